"""`full_vs_batched`: the same probes of the same parts in the full cell and in the batched one.

Each part lies in the full cell where the part library has it. Actions are decoded on what its camera sees, executed
with pictures and 1 kHz streams, and their features extracted. The batched cell then gets the same goals, parts, devices
and surfaces, many times over with other noise. What the full cell measured should be one more of those.

    print(format_table(full_vs_batched(24, seed=1)))
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from palpate_agents.benchmarks.spectra import interval_over_objects
from palpate_agents.encoders.features import FeatureConfig, feature_names
from palpate_agents.encoders.surface_map import CHANNELS
from palpate_agents.observation import Modality, Primitive, ProbeGoal
from palpate_agents.probing.decoder import GoalArrays, SeenPart, decode
from palpate_sim.batch.cell import BatchConfig, BatchedCell
from palpate_sim.batch.grids import seen_axis
from palpate_sim.benchmarks.agreement import columns_of
from palpate_sim.benchmarks.full_runs import MAPS, PartRun, full_probes
from palpate_sim.devices import DeviceBatch
from palpate_sim.keyed import keys_of
from palpate_sim.library import PartLibrary
from palpate_sim.objects import PartBatch, draw_parts

Array = NDArray[np.floating]

REPEATS = 24
"""Cells of each part with noise of their own."""
FLOOR = 0.05
"""Differences count against the noise and this share of the spread between parts: so small ones tell no materials
apart, and columns without noise are not held to rounding errors."""
REFERENCE_PARTS = 192
ALIKE_RAD = 0.2
"""Seen frames that differ by more have other axes."""


@dataclass(frozen=True)
class Compared:
    """Both cells on P parts and S steps.

    Attributes:
        parts: (P,) of them.
        full: modality -> (P, S, F); middle, noise: of the batched cells, (P, S, F), NaN
            in `middle` where fewer than half of them have a value; spread: (S, F) between parts.
        outcome_full, outcome_batched, seconds_full, seconds_batched: (P, S).
        maps_full, maps_batched: name -> (P, S + 1, 16, 16).
        views: (P, S, 2, 8, 8, C) as seen by both before each probe, NaN where their frames differ.
        apart_m: (P, S) between the places that both cells' own decoding gives, NaN likewise.
        damage_batched: (P, S) as the batched cell counts it.
    """

    runs: tuple[PartRun, ...]
    full: dict[Modality, Array]
    middle: dict[Modality, Array]
    noise: dict[Modality, Array]
    spread: dict[Modality, Array]
    outcome_full: NDArray[np.int64]
    outcome_batched: NDArray[np.int64]
    seconds_full: Array
    seconds_batched: Array
    maps_full: dict[str, Array]
    maps_batched: dict[str, Array]
    views: Array
    apart_m: Array
    damage_batched: Array

    def z(self, step: str, modality: Modality) -> Array:
        """(P, F) full less batched, over noise and `FLOOR`; NaN where one of them has no value."""
        k = self.runs[0].steps.index(step)
        scale = np.hypot(self.noise[modality][:, k], FLOOR * self.spread[modality][k])
        with np.errstate(invalid="ignore", divide="ignore"):
            return (self.full[modality][:, k] - self.middle[modality][:, k]) / np.maximum(scale, 1e-12)


def compared(runs: Sequence[PartRun], seed: int, library: PartLibrary | None = None) -> Compared:
    """The batched cell on what the full cell did.

    Args:
        runs: of `full_probes`, all with the same steps.
        seed: of the batched noise.
        library: with the geometries of the parts; None: the whole one.
    """
    library = library or PartLibrary.load_or_build()
    count, steps = len(runs), len(runs[0].steps)
    rows = np.repeat(np.arange(count), REPEATS)
    batch = PartBatch.of([run.part for run in runs]).rows(rows)
    devices = DeviceBatch.of([run.devices for run in runs]).rows(rows)
    cell = BatchedCell(len(rows), seed, BatchConfig(), library, batch, devices)
    first = np.arange(count) * REPEATS
    names = feature_names(FeatureConfig())
    values: dict[Modality, list[Array]] = {modality: [] for modality in names}
    outcome, seconds, damage, apart, views = [], [], [], [], []
    maps = [{name: getattr(cell.maps, name)[first].copy() for name in MAPS}]
    axis = seen_axis(cell.rows.rows(first))
    for k in range(steps):
        goals, turned = _same_place([run.goals[k] for run in runs], [run.asked[k] for run in runs], cell, first, axis)
        own = decode(np.stack([run.actions[k] for run in runs]), SeenPart(cell.view[first], cell.extent_m[first]))
        alike, distance = np.abs(turned) < ALIKE_RAD, np.linalg.norm(goals.point_m - own.point_m, axis=1)
        apart.append(np.where(alike & (goals.primitive == own.primitive), distance, np.nan))
        seen = np.stack([np.stack([run.seen[k].surface[0] for run in runs]), cell.view[first]], axis=1)
        views.append(np.where(alike[:, None, None, None, None], seen, np.nan))
        done = cell.probe(goals.rows(rows))
        for modality in names:
            values[modality].append(done.features[modality].values.reshape(count, REPEATS, -1))
        outcome.append(_usual(done.outcome.reshape(count, REPEATS)))
        seconds.append(done.seconds.reshape(count, REPEATS).mean(axis=1))
        damage.append(done.damage.reshape(count, REPEATS).mean(axis=1))
        maps.append({name: getattr(cell.maps, name)[first].copy() for name in MAPS})
    drawn = {modality: np.stack(value, axis=1) for modality, value in values.items()}  # (P, S, R, F)
    spread = _spread_between_parts(runs, seed, library)
    low, middle, high = (
        {m: _percentile(np.moveaxis(v, 2, 0), share) for m, v in drawn.items()} for share in (15.9, 50.0, 84.1)
    )
    return Compared(
        runs=tuple(runs),
        full={m: np.stack([np.stack([f[m] for f in run.features]) for run in runs]) for m in names},
        middle={m: np.where(np.isfinite(drawn[m]).mean(axis=2) < 0.5, np.nan, middle[m]) for m in names},
        noise={m: 0.5 * (high[m] - low[m]) for m in names},
        spread=spread,
        outcome_full=np.stack([run.outcome for run in runs]),
        outcome_batched=np.stack(outcome, axis=1),
        seconds_full=np.stack([run.seconds for run in runs]),
        seconds_batched=np.stack(seconds, axis=1),
        maps_full={name: np.stack([run.maps[name] for run in runs]) for name in MAPS},
        maps_batched={name: np.stack([one[name] for one in maps], axis=1) for name in MAPS},
        views=np.stack(views, axis=1),
        apart_m=np.stack(apart, axis=1),
        damage_batched=np.stack(damage, axis=1),
    )


def _stacked(goals: Sequence[GoalArrays]) -> GoalArrays:
    return GoalArrays(*(np.concatenate(arrays) for arrays in zip(*goals, strict=True)))


def _same_place(
    goals: Sequence[GoalArrays], asked: Sequence[ProbeGoal], cell: BatchedCell, first: NDArray[np.int64], axis: Array
) -> tuple[GoalArrays, Array]:
    """Goals of the full cell at the same places of the parts in the batched cell's seen frame.

    Returns:
        P goals, and (P,) rad between both frames: on round and square parts either side may be the length.
    """
    rows, stacked = cell.rows.rows(first), _stacked(goals)
    yaw = rows.yaw_rad + axis
    turned = np.array([goal.slide_angle_rad for goal in asked]) - stacked.slide_angle_rad - yaw
    lift = stacked.primitive == Primitive.LIFT
    turned = np.where(lift, 0.0, (turned + np.pi) % (2.0 * np.pi) - np.pi)
    away = np.array([goal.target_m[:2] for goal in asked]) - rows.position_m
    center = rows.seen_center_m
    cos, sin = np.cos(yaw), np.sin(yaw)
    ca, sa = np.cos(axis), np.sin(axis)
    middle = np.stack((ca * center[:, 0] + sa * center[:, 1], ca * center[:, 1] - sa * center[:, 0]), axis=1)
    point = np.stack((cos * away[:, 0] + sin * away[:, 1], cos * away[:, 1] - sin * away[:, 0]), axis=1) - middle
    point = np.where(lift[:, None], stacked.point_m, point)
    return stacked._replace(point_m=point, slide_angle_rad=stacked.slide_angle_rad + turned), turned


def _usual(outcomes: NDArray[np.int64]) -> NDArray[np.int64]:
    """(P,) most frequent of (P, R)."""
    return np.array([np.bincount(row).argmax() for row in outcomes], np.int64)


def _percentile(values: Array, share: float) -> Array:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # columns that no part measures are NaN throughout
        return np.asarray(np.nanpercentile(values, share, axis=0))


def _spread_between_parts(runs: Sequence[PartRun], seed: int, library: PartLibrary) -> dict[Modality, Array]:
    """(S, F) half the range from the 16th to the 84th percentile over parts of all materials, in the batched cell."""
    keys = keys_of(seed + 1, np.arange(REFERENCE_PARTS))
    template = [runs[k % len(runs)] for k in range(REFERENCE_PARTS)]
    parts = draw_parts(keys).replace(
        **{
            name: np.array([getattr(PartBatch.of([run.part]), name)[0] for run in template])
            for name in ("geometry_class", "geometry_id", "shape", "dimensions_m")
        }
    )
    cell = BatchedCell(REFERENCE_PARTS, seed + 1, BatchConfig(), library, parts)
    found: dict[Modality, list[Array]] = {modality: [] for modality in cell.names}
    for k in range(len(runs[0].steps)):
        done = cell.probe(_stacked([run.goals[k] for run in template]))
        for modality, values in found.items():
            values.append(done.features[modality].values)
    return {
        modality: np.stack([0.5 * (_percentile(v, 84.1) - _percentile(v, 15.9)) for v in values])
        for modality, values in found.items()
    }


def metrics_of(both: Compared, seed: int = 0) -> dict[str, dict[str, float | int]]:
    """Agreement in numbers, each {value, low, high, n} with a 95 % bootstrap interval over parts.

    `z_<probe>_<modality>` is the median of |z| over columns, mean over parts (noise alone: 0.67). `seconds_<probe>` is
    batched over full. `outcome_<probe>` is the share of parts with the same outcome. `marks_<probe>` is the overlap of
    the cells that changed (both over either). `view_<channel>` is the mean difference of the seen surfaces,
    `decoded_mm` between the places that both cells' own decoding of an action gives.
    """
    names, steps = feature_names(FeatureConfig()), both.runs[0].steps
    metrics: dict[str, dict[str, float | int]] = {}

    def add(name: str, values: Array) -> None:
        kept = np.isfinite(values)
        if kept.any():
            metrics[name] = interval_over_objects(values[kept], np.flatnonzero(kept).astype(str), seed=seed)

    worked = (both.outcome_full == 0) & (both.outcome_batched == 0)
    for k, step in enumerate(steps):
        for modality in names:
            z = np.abs(both.z(step, modality)[:, columns_of(names[modality])])
            add(f"z_{step}_{modality.value}", np.where(worked[:, k], _median(z), np.nan))
    for k, step in enumerate(steps):
        ratio = both.seconds_batched[:, k] / both.seconds_full[:, k]
        add(f"seconds_{step}", np.where(worked[:, k], ratio, np.nan))
        add(f"outcome_{step}", (both.outcome_full[:, k] == both.outcome_batched[:, k]).astype(float))
    for step in {"wipe", "scratch"}.intersection(steps):
        k = steps.index(step)
        add(f"marks_{step}", np.where(worked[:, k], overlap(both, k), np.nan))
    apart = np.abs(both.views[:, 0, 0] - both.views[:, 0, 1])
    for channel, name in enumerate(CHANNELS):
        add(f"view_{name}", apart[..., channel].mean(axis=(1, 2)))
    add("decoded_mm", 1e3 * _median(both.apart_m))
    return metrics


def overlap(both: Compared, step: int) -> Array:
    """(P,) change of the surface that both cells made over that which at least one made, 1 is the same; NaN: none.

    Args:
        both: of `compared`.
        step: number of the probe.
    """
    common, either = np.zeros(len(both.runs)), np.zeros(len(both.runs))
    for name in MAPS:
        full, batched = (
            np.abs(maps[name][:, step + 1] - maps[name][:, step]) for maps in (both.maps_full, both.maps_batched)
        )
        unit = max(float(full.max()), float(batched.max()), 1e-9)  # films are in um, the others in shares
        common += np.sum(np.minimum(full, batched), axis=(1, 2)) / unit
        either += np.sum(np.maximum(full, batched), axis=(1, 2)) / unit
    return np.where(either > 0.05, common / np.maximum(either, 1e-9), np.nan)


def _median(values: Array) -> Array:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # rows of NaN
        return np.asarray(np.nanmedian(values, axis=1))


def format_table(metrics: dict[str, dict[str, float | int]]) -> str:
    """Text: one line per metric."""
    return "\n".join(
        f"{name:34} {m['value']:8.3f} [{m['low']:.3f}, {m['high']:.3f}] n {m['n']}" for name, m in metrics.items()
    )


def full_vs_batched(
    parts: int = 24, seed: int = 1, progress: Callable[[int, int], None] | None = None,
    library: PartLibrary | None = None,
) -> dict[str, dict[str, float | int]]:  # fmt: skip
    """The metrics of `metrics_of` over new parts of the hard mix; about 12 s each.

    Args:
        parts: how many.
        seed: of parts, devices, noise and actions.
        progress: called with parts done and parts in all.
        library: None: the whole one.
    """
    drawn = draw_parts(keys_of(seed, np.arange(parts)), mix="hard").parts()
    return metrics_of(compared(full_probes(drawn, seed, progress=progress), seed, library))
