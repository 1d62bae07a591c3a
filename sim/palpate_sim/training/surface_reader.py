"""Training of the surface reader on parts of the batched cell: `palpate train surface`.

Outlines are split as for the fusion model: no test part has an outline that was trained on. The logits are calibrated
on validation outlines, one slope and one offset per layer, which are folded into the last layer.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from palpate_agents.errors import ConfigError
from palpate_agents.model_io import load_surface_reader, save_surface_reader
from palpate_agents.one_cycle import repeatable, train_one_cycle
from palpate_agents.probing.surface_reader import SurfaceReader
from palpate_sim.library import PartLibrary, Progress
from palpate_sim.part_geometry import GEOMETRIES_PER_CLASS
from palpate_sim.randomisation import CONDITION_MIX, randomisation_hash
from palpate_sim.training.learner import PerceptionTraining
from palpate_sim.training.perception import LATER_LOTS, outline_split
from palpate_sim.training.surface_figures import reader_figures
from palpate_sim.training.surface_samples import ROUNDS, SurfaceSamples, surface_samples

HELD_OUT = 0.1
"""Validation and test parts over training parts, each."""
CALIBRATION_STEPS = 60


@dataclass(frozen=True)
class ReaderTraining:
    """Hyper-parameters.

    Attributes:
        seed: of parts, split, weights and batches.
        parts: to train on, each with `surface_samples.ROUNDS` + 1 maps; half are of the hard mix.
        epochs: over all maps; batch: maps per step; learning_rate (one cycle), weight_decay: of AdamW.
        width, deep, blocks: of the network.
    """

    seed: int = 1
    parts: int = 60_000
    epochs: int = 6
    batch: int = 256
    learning_rate: float = 6e-3
    weight_decay: float = 1e-3
    width: int = 16
    deep: int = 32
    blocks: int = 2

    def __post_init__(self) -> None:
        if self.parts < 40 or self.epochs < 1 or self.batch < 2:
            raise ConfigError(
                f"parts {self.parts} must be at least 40, epochs {self.epochs} at least 1, "
                f"batch {self.batch} at least 2"
            )


@dataclass(frozen=True)
class ReaderData:
    """Maps of training, validation and test outlines."""

    train: SurfaceSamples
    validation: SurfaceSamples
    test: SurfaceSamples


def reader_data(
    settings: ReaderTraining, library: PartLibrary | None = None, progress: Progress | None = None
) -> ReaderData:
    """Simulates parts of all three sets; early lots only, as for the fusion model.

    Args:
        settings: seed and number of parts.
        library: None: the cached one.
        progress: called with parts done and parts in all.
    """
    library = library or PartLibrary.load_or_build()
    split = outline_split(np.arange(GEOMETRIES_PER_CLASS), PerceptionTraining(seed=settings.seed))
    fewer = max(4, round(HELD_OUT * settings.parts))
    counts, sets, done = (settings.parts, fewer, fewer), [], 0
    for number, (outlines, count) in enumerate(zip(split, counts, strict=True)):
        pieces = []
        for place, mix in enumerate(sorted(CONDITION_MIX)):
            share = count // 2 if place else count - count // 2
            before = done

            def report(some: int, _: int, before: int = before) -> None:
                if progress is not None:
                    progress(before + some, sum(counts))

            # numbers of seeds that no other set of the same training has
            own = 10 * settings.seed + 2 * number + place
            pieces.append(surface_samples(share, own, tuple(outlines), mix, library, (0, LATER_LOTS), report))
            done += share
        sets.append(SurfaceSamples.joined(pieces))
    return ReaderData(*sets)


def train_reader(
    data: ReaderData, settings: ReaderTraining | None = None, progress: Callable[[float], None] | None = None
) -> SurfaceReader:
    """Trains and calibrates; the same on every run.

    Args:
        data: maps.
        settings: hyper-parameters.
        progress: called with the mean loss of each epoch.

    Returns:
        the network in evaluation mode.
    """
    settings = settings or ReaderTraining()
    train, batch = data.train, settings.batch
    maps, extents, covers, seen = _tensors(train)
    steps = max(1, len(train) // batch)
    order = torch.zeros(0, dtype=torch.int64)
    losses: list[Tensor] = []

    with repeatable(settings.seed):
        network = SurfaceReader(settings.width, settings.deep, settings.blocks)

        def loss() -> Tensor:
            nonlocal order
            step = len(losses) % steps
            if step == 0:
                order = torch.randperm(len(train))
                if losses and progress is not None:
                    progress(float(torch.stack(losses[-steps:]).mean()))
            rows = order[step * batch : (step + 1) * batch]
            # a part turned by half a turn is the same part, and nothing on it cares for left and right
            flips = [dim for dim in (1, 2) if bool(torch.rand(()) < 0.5)]
            some, truth, weight = (values[rows].flip(flips) for values in (maps, covers, seen))
            value = _loss(network(some.float(), extents[rows]), truth.float(), weight.float())
            losses.append(value.detach())
            return value

        train_one_cycle(network, loss, settings.epochs * steps, settings.learning_rate, settings.weight_decay)
        if progress is not None:
            progress(float(torch.stack(losses[-steps:]).mean()))
        _calibrate(network.eval(), data.validation)
    return network


def _tensors(samples: SurfaceSamples) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    maps, extents, covers, seen = (
        torch.from_numpy(values) for values in (samples.maps, samples.extent_m, samples.covers, samples.seen)
    )
    return maps, extents, covers, seen


def _loss(logits: Tensor, covers: Tensor, seen: Tensor) -> Tensor:
    """Binary cross entropy against shares, summed over layers, weighted by what of the cells can be seen."""
    each = functional.binary_cross_entropy_with_logits(logits, covers, reduction="none").sum(dim=-1)
    return (each * seen).sum() / seen.sum()


def _calibrate(network: SurfaceReader, samples: SurfaceSamples) -> None:
    """Slope and offset per layer that make the expected shares right on other outlines, folded into the network."""
    maps, extents, covers, seen = _tensors(samples)
    with torch.no_grad():
        pieces = [network(m.float(), e) for m, e in zip(maps.split(256), extents.split(256), strict=True)]
    logits, truth, weight = torch.cat(pieces), covers.float(), seen.float()
    log_slope, offset = (torch.zeros(logits.shape[-1], requires_grad=True) for _ in range(2))
    optimiser = torch.optim.LBFGS([log_slope, offset], max_iter=CALIBRATION_STEPS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        value = _loss(logits * log_slope.exp() + offset, truth, weight)
        value.backward()
        return value

    optimiser.step(closure)
    with torch.no_grad():
        slope = log_slope.exp()
        assert network.out.bias is not None
        network.out.weight.mul_(slope[:, None, None, None])
        network.out.bias.mul_(slope).add_(offset)


def base_rate(samples: SurfaceSamples) -> NDArray[np.float64]:
    """(4,) mean share under each layer, over what is seen."""
    weight = samples.seen.astype(np.float64)
    return np.einsum("nijk,nij->k", samples.covers.astype(np.float64), weight) / weight.sum()


def train_reader_to(
    folder: Path | str, settings: ReaderTraining | None = None, name: str = "surface8",
    library: PartLibrary | None = None, progress: Progress | None = None,
    epoch: Callable[[float], None] | None = None, command: str = "",
) -> dict[str, Any]:  # fmt: skip
    """Simulates, trains, and writes a reader with its card; the figures are those of the stored weights.

    Args:
        folder: of the model.
        settings: hyper-parameters.
        name: for people and messages.
        library: None: the cached one.
        progress: called with parts simulated and parts in all.
        epoch: called with the mean loss of each epoch.
        command: that made it, for the card.
    """
    settings = settings or ReaderTraining()
    start = time.perf_counter()
    data = reader_data(settings, library, progress)
    network = train_reader(data, settings, epoch)
    card: dict[str, Any] = {
        "command": command or f"palpate train surface --parts {settings.parts} --seed {settings.seed}",
        "settings": asdict(settings), "maps": len(data.train), "maps_of_a_part": ROUNDS + 1,
        "randomisation_hash": randomisation_hash(), "wall_s": round(time.perf_counter() - start, 1),
        "torch": torch.__version__,
    }  # fmt: skip
    save_surface_reader(network, folder, name, card)
    card["figures"] = reader_figures(load_surface_reader(folder), data.test, base_rate(data.train))
    save_surface_reader(network, folder, name, card)
    return card
