"""Made-up parts of five materials, each told from the first by one sensor alone, and sensors that fail."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import synthetic_windows as syn
import torch
from torch import nn

from palpate_agents.encoders.features import PartContext, extract
from palpate_agents.encoders.picture import PictureEncoder
from palpate_agents.fusion import FusionConfig, MultimodalFusionNetwork, TokenBatch
from palpate_agents.observation import Modality, ProbeExecution, ProbeFeatures, ProbeWindows
from palpate_agents.probing import AgentSettings, FixedStrategy, MaterialCharacterizationAgent

LABELS = ("plain", "coloured", "soft", "banded", "cold")
V, T, S, H = Modality.VISUAL, Modality.TACTILE, Modality.SPECTRAL, Modality.THERMAL
SENSORS = (V, T, S, H)
PROBES_PER_PART, PROBE_NS, PART_NS = 4, 10_000_000_000, 100_000_000_000
Probe = tuple[ProbeExecution, ProbeWindows]


def probes_of(label: int, part: int, rng: np.random.Generator) -> Iterator[Probe]:
    """Look, tap, press and dwell; `part` numbers the parts of a session and sets the clock."""
    odd = LABELS[label]
    band = syn.WAVELENGTH_NM - (1410.0 if odd == "banded" else 1210.0) + 4.0 * rng.normal()
    reflectance = 0.6 - 0.3 * np.exp(-0.5 * (band / 20.0) ** 2)
    rgb = np.array((60, 190, 60) if odd == "coloured" else (60, 60, 200)) + 5.0 * rng.normal(size=3)
    touch = np.exp(0.05 * rng.normal())
    probes = (
        syn.look(rng, rgb=tuple(rgb), reflectance=reflectance),
        syn.tap(rng, contact_time_s=(1.2e-3 if odd == "soft" else 4e-4) * touch),
        syn.press(rng, hertz=(5e8 if odd == "soft" else 5e9) * touch),
        syn.dwell(rng, effusivity=(1500.0 if odd == "cold" else 300.0) * touch),
    )
    for number, (execution, windows) in enumerate(probes):
        shift = part * PART_NS + number * PROBE_NS
        times = {
            name: getattr(execution, name) + shift
            for name in ("window_start_ns", "window_end_ns", "contact_time_ns")
            if getattr(execution, name)
        }
        yield replace(execution, **times), windows


def lost(windows: ProbeWindows, sensor: Modality) -> ProbeWindows:
    """A sensor that gives nothing."""
    empty = {
        V: {"color": None, "depth_m": None},
        T: {"burst": None, "wrench_times_s": np.zeros(0), "wrench": np.zeros((0, 6))},
        S: {"spectra": []},
        H: {
            "thermal_c": np.zeros((0, 0, 0)), "thermal_times_s": np.zeros(0), "pad_times_s": np.zeros(0),
            "pad_temperature_c": np.zeros((0, 2)), "pad_setpoint_c": np.zeros((0, 2)), "pad_power_w": np.zeros((0, 2)),
        },
    }  # fmt: skip
    return replace(windows, **empty[sensor])


def not_a_number(windows: ProbeWindows, sensor: Modality) -> ProbeWindows:
    """A sensor whose numbers are NaN (of the camera: its depth)."""

    def bad(values):
        return np.full_like(values, np.nan) if values is not None else None

    if sensor is V:
        return replace(windows, depth_m=bad(windows.depth_m))
    if sensor is T:
        burst = windows.burst and replace(windows.burst, acceleration_m_s2=bad(windows.burst.acceleration_m_s2))
        return replace(windows, burst=burst, wrench=bad(windows.wrench))
    if sensor is S:
        return replace(windows, spectra=[replace(s, values=bad(s.values)) for s in windows.spectra])
    return replace(windows, thermal_c=bad(windows.thermal_c), pad_temperature_c=bad(windows.pad_temperature_c))


def frozen(windows: ProbeWindows, sensor: Modality, before: Sequence[ProbeWindows]) -> ProbeWindows:
    """A sensor that repeats the last that it gave in probes `before`; a stream stands still at its first sample."""

    def still(values):
        return np.repeat(values[:1], len(values), axis=0)

    if sensor is V:
        last = next(w for w in reversed(before) if w.color is not None)
        return windows if windows.color is None else replace(windows, color=last.color, depth_m=last.depth_m)
    if sensor is T:
        burst = windows.burst and next(w.burst for w in reversed(before) if w.burst is not None)
        return replace(windows, burst=burst, wrench=still(windows.wrench))
    if sensor is S:
        last = next(w for w in reversed(before) if w.spectra)
        return replace(windows, spectra=last.spectra if windows.spectra else [])
    last = next(w for w in reversed(before) if len(w.thermal_c))
    frames = np.repeat(last.thermal_c[-1:], len(windows.thermal_c), axis=0)
    return replace(windows, thermal_c=frames, pad_temperature_c=still(windows.pad_temperature_c))


class _NoPictures(nn.Module):
    """In place of the residual networks: what they give for a look without pictures."""

    def forward(self, count, *_):
        return torch.zeros((count, PictureEncoder.OUT))


def small_network(**options) -> MultimodalFusionNetwork:
    """Untrained, small, all senses; the pictures' network is as large as ever."""
    torch.manual_seed(0)
    dims = {m.value: 32 for m in SENSORS}
    return MultimodalFusionNetwork(FusionConfig(LABELS, hidden=64, state_dim=32, feature_dims=dims, **options)).eval()


def agent_of(network: MultimodalFusionNetwork) -> MaterialCharacterizationAgent:
    """An agent that is fed by hand."""
    return MaterialCharacterizationAgent(network, FixedStrategy(["look"]), AgentSettings(confidence=1.0))


def features_of_parts(count: int, seed: int) -> tuple[list[list[ProbeFeatures]], torch.Tensor]:
    """Features without pictures of `count` parts of every material, and their labels."""
    rng, rows = np.random.default_rng(seed), []
    truth = [label for label in range(len(LABELS)) for _ in range(count)]
    for part, label in enumerate(truth):
        context, probes = PartContext(), []
        for execution, windows in probes_of(label, part, rng):
            context = context.after(execution, windows)
            probes.append(replace(extract(execution, windows, context), surface=None, crop=None))
        rows.append(probes)
    return rows, torch.tensor(truth)


def trained_network(parts_per_label: int = 12, steps: int = 300) -> MultimodalFusionNetwork:
    """A network that knows the five materials, trained with senses left out at random; reads no pictures."""
    network = small_network(novelty=False, conditions=(), properties=(), dropout=0.0, noise=0.2)
    network.pools[V.value].picture = _NoPictures()
    rows, truth = features_of_parts(parts_per_label, seed=1)
    batch = TokenBatch.of(rows, network.config)
    network.set_normalisation(batch)
    optimiser = torch.optim.AdamW(network.parameters(), 2e-3, weight_decay=0.02)
    generator = torch.Generator().manual_seed(2)
    network.train()
    for _ in range(steps):
        index = torch.randint(len(truth), (32,), generator=generator)
        keep = {
            m.value: (torch.rand((32, 1), generator=generator) > 0.3).float().expand(-1, PROBES_PER_PART)
            for m in SENSORS
        }
        loss = nn.functional.nll_loss(network(batch.rows(index).masked(keep)).log_probabilities, truth[index])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return network.eval()
