"""Characterises parts with a strategy over the menu, and keeps what happened to each."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from palpate_agents.fusion import MultimodalFusionNetwork
from palpate_agents.model_io import load_model
from palpate_agents.observation import MAX_PROBES
from palpate_agents.probing.items import ItemStrategy, Options
from palpate_agents.probing.part_state import Reader
from palpate_agents.probing.rivals import visible_groups
from palpate_sim.batch.cell import BatchConfig
from palpate_sim.episodes import OVERVIEWS
from palpate_sim.library import PartLibrary
from palpate_sim.probing_cells import ProbingCells, ProbingRules

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Ground:
    """What every strategy is measured on.

    Attributes:
        library: of geometries; network: that believes; reader: of surfaces.
        config: which parts; rules: stop rule, clock and prices.
    """

    library: PartLibrary
    network: MultimodalFusionNetwork
    reader: Reader
    config: BatchConfig = field(default_factory=BatchConfig)
    rules: ProbingRules = field(default_factory=ProbingRules)

    @staticmethod
    def of(library: PartLibrary, reader: Reader, model: str = "cell29") -> Ground:
        """With a model by its name, the usual parts and rules."""
        return Ground(library, load_model(model), reader)

    @property
    def conditions(self) -> tuple[str, ...]:
        """Names of the belief's conditions."""
        return tuple(self.network.config.conditions)

    def on(self, mix: str, outlines: tuple[int, ...] | None, lots: tuple[int, int]) -> Ground:
        """The same on other parts."""
        return replace(self, config=replace(self.config, mix=mix, outlines=outlines, lots=lots))

    def cells(self, parts: int, seed: int) -> ProbingCells:
        """So many cells with new parts."""
        return ProbingCells(parts, seed, self.reader, self.network, self.rules, self.config, self.library)


@dataclass(frozen=True)
class PartRuns:
    """What happened to N parts, probe by probe; T is the largest number of probes, the first look in front.

    Attributes:
        clock_s: (T, N) after each probe; confidence: (T, N) of the most probable label; right: (T, N) it is the true
            one; over: (T, N) the part is done or given up.
        damage, force_n: (T, N) of each probe; reward: (N,) in all.
        condition: (N,) true, of `objects.CONDITIONS`; group: (N,) visible at first, of `rivals.GROUPS`.
        rules: that were followed.
        probes_spent: probes of parts under characterisation.
    """

    clock_s: Floats
    confidence: Floats
    right: Bools
    over: Bools
    damage: Floats
    force_n: Floats
    reward: Floats
    condition: Ints
    group: Ints
    rules: ProbingRules
    probes_spent: int

    def __len__(self) -> int:
        return len(self.reward)

    def at(self, sure: float) -> Answers:
        """What came of the parts with another stop rule, not stricter than the one that was followed.

        Strategies do not know the rule: with a lower one a part's probes are the first of those that were made.

        Raises:
            ValueError: a stricter one.
        """
        if sure > self.rules.sure + 1e-12:
            raise ValueError(f"the parts were probed until {self.rules.sure} sure, {sure} is stricter")
        enough = self.confidence >= sure
        enough[0] = False  # nobody stops before the first probe
        ended = self.over | enough
        last = np.where(ended.any(axis=0), ended.argmax(axis=0), len(ended) - 1)
        columns = np.arange(len(self))
        done = enough[last, columns]
        until = np.arange(len(ended))[:, None] <= last
        return Answers(
            self.right[last, columns], done, np.where(done, self.clock_s[last, columns], self.rules.deadline_s),
            last + OVERVIEWS, (self.damage * until).sum(axis=0), (self.force_n * until).max(axis=0),
        )  # fmt: skip

    @cached_property
    def answers(self) -> Answers:
        """With the rule that was followed."""
        return self.at(self.rules.sure)


@dataclass(frozen=True)
class Answers:
    """What came of N parts; (N,) each.

    Attributes:
        right: the most probable label is the true one; sure: it was sure enough.
        seconds: until then, the deadline where it never was.
        probes: with the first look; damage: 1 is a full scratch; force_n: largest.
    """

    right: Bools
    sure: Bools
    seconds: Floats
    probes: Ints
    damage: Floats
    force_n: Floats


def characterise(cells: ProbingCells, strategy: ItemStrategy, seed: int | list[int] | None = None) -> PartRuns:
    """Probes every part until it is done or given up.

    Args:
        cells: with parts that were only looked at, unless a seed is given.
        strategy: that chooses.
        seed: begin anew with it, one for all cells or one for each.
    """
    if seed is not None:
        cells.reset(seed=seed)
    n = cells.cell.cells
    group = visible_groups(cells.states, tuple(cells.belief.network.config.conditions))
    condition = np.asarray(cells.cell.parts.condition).copy()
    clock, confidence, right, over = [], [], [], []
    damage, force, reward, spent = [np.zeros(n)], [np.zeros(n)], np.zeros(n), 0

    def note() -> None:
        belief = cells.belief
        clock.append(cells.clock_s.copy())
        confidence.append(belief.confidence.astype(float))
        right.append(belief.log_probabilities.argmax(axis=1) == belief.label)
        over.append(cells.over.copy())

    note()
    for _ in range(MAX_PROBES):
        spent += int((~cells.over).sum())
        options: Options = cells.options
        step = cells.step(strategy.choose(options), options.spots)
        reward += step.reward
        damage.append(step.damage)
        force.append(step.force_n)
        note()
        if cells.over.all():
            break
    return PartRuns(
        np.stack(clock), np.stack(confidence), np.stack(right), np.stack(over), np.stack(damage), np.stack(force),
        reward, condition, group, cells.rules, spent,
    )  # fmt: skip
