"""Training of the observation model: probes of parts, what they told and what they took.

Half of the probes are drawn by chance, macros among them; the other half is chosen by the model so far, with some
chance, because that is where it is asked later. Each probe is used for a few passes and then forgotten.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from palpate_agents.probing.items import Options
from palpate_agents.probing.menu import NAMES
from palpate_agents.probing.observation_model import (
    FIRST_ITEM,
    MACROS,
    GreedyItems,
    ObservationConfig,
    ObservationModel,
)
from palpate_agents.probing.policy_input import FLOOR_NATS
from palpate_sim.probing_cells import ProbingCells
from palpate_sim.probing_runs import Ground
from palpate_sim.surface_truth import true_spots
from palpate_sim.training.perception import LATER_LOTS
from palpate_sim.training.rivals import SEED_STRIDE, training_outlines

Say = Callable[[str], None]
Floats = NDArray[np.float32]

_SECOND = np.array([-1] * len(NAMES) + [NAMES.index(second) for _, second in MACROS])
LEAST_SPREAD = 0.05
SECONDS_WEIGHT = 0.1
"""Squared seconds beside squared nats."""
ROUND_SEED = 500_000
"""Added to the seed: parts that no sequence was tuned on."""


@dataclass(frozen=True)
class ObservationTraining:
    """Settings.

    Attributes:
        seed: of parts, choices and weights.
        probes: in all.
        cells: in parallel; length: probes in each between two updates.
        epochs: passes over the probes of a round; batch: of them.
        learning_rate: at the start; falls to a twentieth.
        chance: share of chance in the choices of the second half.
        keep: rounds that are remembered.
        mixes: of conditions, in turns.
    """

    seed: int = 1
    probes: int = 1_000_000
    cells: int = 512
    length: int = 32
    epochs: int = 2
    batch: int = 512
    learning_rate: float = 1e-3
    chance: float = 0.3
    keep: int = 6
    mixes: tuple[str, ...] = ("hard", "mix")
    hidden: tuple[int, ...] = (256, 256)


class Probes:
    """What was seen: inputs, candidate, gain and seconds of each; and of what a macro's second step gave."""

    def __init__(self) -> None:
        self.inputs: list[Floats] = []
        self.candidate: list[NDArray[np.int64]] = []
        self.gain: list[Floats] = []
        self.seconds: list[Floats] = []

    def add(self, inputs: Floats, candidate: Any, gain: Any, seconds: Any) -> None:
        """Some more of them."""
        self.inputs.append(inputs)
        self.candidate.append(np.asarray(candidate, np.int64))
        self.gain.append(np.asarray(gain, np.float32))
        self.seconds.append(np.asarray(seconds, np.float32))

    def arrays(self) -> tuple[Floats, NDArray[np.int64], Floats, Floats]:
        """All in one."""
        return (
            np.concatenate(self.inputs), np.concatenate(self.candidate), np.concatenate(self.gain),
            np.concatenate(self.seconds),
        )  # fmt: skip


class ProbeSource:
    """Cells that make probes for the training, chosen by chance and by the model so far."""

    def __init__(self, cells: ProbingCells, seed: int, *, truth: bool) -> None:
        """Args: cells: to probe in; seed: of the choices; truth: the true surface is among the inputs."""
        self.cells, self.truth = cells, truth
        self._rng = np.random.default_rng(seed)
        n = cells.cell.cells
        self._macro = np.full(n, -1)
        self._first: Floats = np.zeros((n, 0), np.float32)
        self._before = np.zeros(n)
        self._seconds = np.zeros(n)

    def probe(self, length: int, model: ObservationModel | None, chance: float) -> Probes:
        """So many probes in every cell."""
        probes = Probes()
        for _ in range(length):
            self._one(probes, model, chance)
        return probes

    def _one(self, probes: Probes, model: ObservationModel | None, chance: float) -> None:
        cells, n = self.cells, self.cells.cell.cells
        options = cells.options
        inputs = with_truth(cells, options) if self.truth else options.inputs
        before = entropy(cells.belief.log_probabilities)
        item = _SECOND[np.maximum(self._macro, 0)]
        second = (self._macro >= 0) & options.allowed[np.arange(n), item]
        # A treatment that did not work ends its macro with what it gave.
        self._end(probes, (self._macro >= 0) & ~second, before)
        candidate = self._chosen(options, inputs, model, chance)
        item = np.where(second, item, FIRST_ITEM[candidate])
        step = cells.step(item, options.spots)
        after = entropy(cells.belief.log_probabilities)
        # Each step of a macro is a probe of its item too.
        probes.add(inputs, item, before - after, step.seconds)
        self._seconds += step.seconds
        self._end(probes, second, after)
        begins = np.flatnonzero(~second & (candidate >= len(NAMES)))
        if self._first.shape[1] != inputs.shape[1]:
            self._first = np.zeros(inputs.shape, np.float32)
        self._macro[begins], self._first[begins] = candidate[begins], inputs[begins]
        self._before[begins], self._seconds[begins] = before[begins], step.seconds[begins]
        # Sure after the treatment alone, or given up: that is what the macro gave.
        self._end(probes, step.over, after)
        over = np.flatnonzero(step.over)
        if len(over):
            cells.reset(over)

    def _end(self, probes: Probes, which: NDArray[np.bool_], after: NDArray[np.float64]) -> None:
        rows = np.flatnonzero(which & (self._macro >= 0))
        if len(rows):
            probes.add(self._first[rows], self._macro[rows], self._before[rows] - after[rows], self._seconds[rows])
            self._macro[rows] = -1

    def _chosen(
        self, options: Options, inputs: Floats, model: ObservationModel | None, chance: float
    ) -> NDArray[np.int64]:
        can = options.allowed[:, FIRST_ITEM].astype(float)
        drawn = np.asarray((self._rng.random(can.shape) * can).argmax(axis=1), np.int64)
        if model is None:
            return drawn
        rate = model.rate(inputs, options.allowed, macros=True)
        by_chance = self._rng.random(len(drawn)) < chance
        return np.where(by_chance, drawn, rate.argmax(axis=1))


def entropy(log_probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """(n,) nats."""
    logs = np.maximum(log_probabilities.astype(float), -FLOOR_NATS)
    return -(np.exp(logs) * logs).sum(axis=1)


def with_truth(cells: ProbingCells, options: Options) -> Floats:
    """(n, D + S) inputs, and what really lies on the spots: for the reference that knows the map."""
    return np.concatenate((options.inputs, true_spots(cells.cell, options.spots)), axis=1)


def train_observation_model(
    ground: Ground, settings: ObservationTraining | None = None, progress: Say | None = None, *, truth: bool = False
) -> tuple[ObservationModel, dict[str, Any]]:
    """Trains it.

    Args:
        ground: models and rules.
        settings: None: the usual ones.
        progress: called now and then with a line.
        truth: it also reads what really lies on the spots; a reference, of no use on a cell.

    Returns:
        the model in evaluation mode, and how it was trained, as JSON values.
    """
    used, say = settings or ObservationTraining(), progress or (lambda _line: None)
    torch.set_num_threads(1)
    torch.manual_seed(used.seed)
    outlines, _ = training_outlines()
    sources = [
        ProbeSource(
            ground.on(mix, outlines, (0, LATER_LOTS)).cells(used.cells, used.seed * SEED_STRIDE + ROUND_SEED + k),
            used.seed + k, truth=truth,
        )
        for k, mix in enumerate(used.mixes)
    ]  # fmt: skip
    rounds = max(2, round(used.probes / (used.cells * used.length)))
    model: ObservationModel | None = None
    optimiser: torch.optim.Adam | None = None
    rng, kept, row = np.random.default_rng(used.seed), [], {}
    began = time.perf_counter()
    for k in range(rounds):
        choosing = model.eval() if model is not None and 2 * k >= rounds else None
        kept.append(sources[k % len(sources)].probe(used.length, choosing, used.chance).arrays())
        kept = kept[-used.keep :]
        if model is None or optimiser is None:
            model = _fresh(ground, kept[0][0], used)
            optimiser = torch.optim.Adam(model.parameters(), used.learning_rate)
        for group in optimiser.param_groups:
            group["lr"] = used.learning_rate * max(0.05, 1.0 - k / rounds)
        row = _fit(model, optimiser, kept, used, rng)
        if (k + 1) % 8 == 0 or k == rounds - 1:
            words = "  ".join(f"{name} {value:.4f}" for name, value in row.items())
            say(f"{(k + 1) * used.cells * used.length} probes, {time.perf_counter() - began:.0f} s: {words}")
    assert model is not None
    how = {"probes": rounds * used.cells * used.length, "seed": used.seed, "last": row, "truth": truth}
    return model.eval(), how


def _fresh(ground: Ground, inputs: Floats, used: ObservationTraining) -> ObservationModel:
    reader = str(getattr(ground.reader, "hash", ""))
    config = ObservationConfig(
        inputs.shape[1], used.hidden, fusion_sha256=str(ground.network.card.get("sha256", "")), reader_sha256=reader
    )
    model = ObservationModel(config)
    model.mean.copy_(torch.from_numpy(inputs.mean(axis=0)))
    model.std.copy_(torch.from_numpy(np.maximum(inputs.std(axis=0), LEAST_SPREAD)))
    return model


def _fit(
    model: ObservationModel, optimiser: torch.optim.Adam, kept: list[Any], used: ObservationTraining,
    rng: np.random.Generator,
) -> dict[str, float]:  # fmt: skip
    """Some passes over the newest round, and as many probes of remembered ones."""
    model.train()
    newest = [torch.from_numpy(a) for a in kept[-1]]
    older = [torch.from_numpy(np.concatenate(parts)) for parts in zip(*kept[:-1], strict=True)] if kept[1:] else newest
    count = len(newest[0])
    total = torch.zeros(2)
    batches = 0
    for _ in range(used.epochs):
        order, other = rng.permutation(count), rng.integers(0, len(older[0]), count)
        for at in range(0, count, used.batch // 2):
            one, two = (
                torch.from_numpy(order[at : at + used.batch // 2]),
                torch.from_numpy(other[at : at + used.batch // 2]),
            )
            inputs, candidate, gain, seconds = (torch.cat((a[one], b[two])) for a, b in zip(newest, older, strict=True))
            said_gain, said_seconds = model(inputs)
            column = candidate[:, None]
            wrong_gain = (said_gain.gather(1, column)[:, 0] - gain).square().mean()
            wrong_seconds = (said_seconds.gather(1, column)[:, 0] - seconds).square().mean()
            optimiser.zero_grad()
            (wrong_gain + SECONDS_WEIGHT * wrong_seconds).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            total += torch.stack((wrong_gain.detach(), wrong_seconds.detach()))
            batches += 1
    gain_error, seconds_error = (total / batches).sqrt().tolist()
    return {"gain_rmse_nats": gain_error, "seconds_rmse": seconds_error}


class MapGreedy:
    """Greedy that knows what really lies on the spots of the parts in some cells: a reference, no rival."""

    def __init__(self, model: ObservationModel, cells: ProbingCells) -> None:
        """Args: model: trained with the truth; cells: whose parts it is asked about."""
        self._greedy, self._cells = GreedyItems(model, macros=True), cells

    def choose(self, options: Options) -> NDArray[np.int64]:
        """(n,) best allowed items."""
        return self._greedy.choose(options._replace(inputs=with_truth(self._cells, options)))
