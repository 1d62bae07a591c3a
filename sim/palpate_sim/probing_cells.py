"""Many batched cells whose parts are characterised item by item of the menu: the ground of policies and their rivals.

One belief, one stop rule and one clock for every strategy. A part is done when its belief is sure; it is given up at
the deadline, after the most probes, or when the hand holds it and nothing more can be measured. A probe that is not
over at the deadline tells nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from palpate_agents.fusion import MultimodalFusionNetwork
from palpate_agents.observation import MAX_PROBES, Outcome, Primitive
from palpate_agents.probing.choosing import DEADLINE_S
from palpate_agents.probing.decoder import GoalArrays, SeenPart, decode
from palpate_agents.probing.items import Options
from palpate_agents.probing.menu import Spots, actions, find_spots
from palpate_agents.probing.part_state import PartStates, ProbeLog, Reader
from palpate_agents.probing.policy_input import FLOOR_NATS
from palpate_sim.batch.cell import BatchConfig, BatchedCell, ProbeResult
from palpate_sim.batch.checks import real_number, whole_number
from palpate_sim.episodes import OVERVIEWS
from palpate_sim.fusion_belief import FusionBelief
from palpate_sim.library import PartLibrary

Floats = NDArray[np.float64]
_SEEING = (int(Primitive.LOOK), int(Primitive.DWELL))
"""After these the surface is seen anew."""


@dataclass(frozen=True)
class ProbingRules:
    """Stop rule, clock and prices, the same for every strategy.

    Attributes:
        sure: probability of the most probable label at which a part is done.
        deadline_s: then it is given up.
        max_probes: likewise; the first look counts as one.
        seconds_price: reward per second, in nats; a part that ends unsure is charged for the rest of the clock, so that
            giving up early gains nothing.
        damage_price: per full scratch.
    """

    sure: float = 0.9
    deadline_s: float = DEADLINE_S
    max_probes: int = MAX_PROBES
    seconds_price: float = 0.15
    damage_price: float = 0.15

    def __post_init__(self) -> None:
        real_number("sure", self.sure, 0.0)
        real_number("deadline_s", self.deadline_s, 1.0)
        whole_number("max_probes", self.max_probes, OVERVIEWS + 1, MAX_PROBES)
        for name in ("seconds_price", "damage_price"):
            real_number(name, getattr(self, name), 0.0)


class Step(NamedTuple):
    """One probe of n parts; (n,) each.

    Attributes:
        reward: float64.
        over: the part is done or given up; sure: it is done.
        seconds: that count, up to the deadline; damage: 1 is a full scratch; force_n: largest.
        outcome: of `Outcome`.
    """

    reward: Floats
    over: NDArray[np.bool_]
    sure: NDArray[np.bool_]
    seconds: Floats
    damage: Floats
    force_n: Floats
    outcome: NDArray[np.int64]


class ProbingCells:
    """N cells, each with a part under characterisation.

    Attributes:
        cell: the batched cells; belief: about their parts; log: of what was done.
        over, sure: (N,) bool; clock_s: (N,) seconds that count.
    """

    def __init__(
        self, cells: int, seed: int, reader: Reader, network: MultimodalFusionNetwork | str = "cell29",
        rules: ProbingRules | None = None, config: BatchConfig | None = None, library: PartLibrary | None = None,
    ) -> None:  # fmt: skip
        """Lays in the first parts; see `BatchedCell`.

        Args:
            cells: N.
            seed: of everything.
            reader: of surfaces.
            network: fusion model.
            rules: None: the usual ones.
            config: which parts.
            library: of geometries; None: the cached one.
        """
        self.rules = rules or ProbingRules()
        self.cell = BatchedCell(cells, seed, config, library)
        self.belief, self.reader = FusionBelief(cells, network), reader
        self.log = ProbeLog(cells)
        self.covers = np.zeros((cells, 8, 8, 4), np.float32)
        self.over, self.sure = np.zeros(cells, bool), np.zeros(cells, bool)
        self.clock_s = np.zeros(cells)
        self._loss = np.zeros(cells)
        self.reset(seed=seed)

    def reset(self, rows: NDArray[np.int64] | None = None, seed: int | list[int] | None = None) -> None:
        """New parts, and a first look at them.

        Args:
            rows: (k,) in these cells; None: in all.
            seed: begin anew with this seed in all cells.
        """
        n = self.cell.cells
        if seed is not None:
            self.cell.reseed(seed)
            rows = None
        rows = np.arange(n) if rows is None else rows
        mask = np.zeros(n, bool)
        mask[rows] = True
        result = self.cell.reset(mask)
        self.log.forget(rows)
        self.belief.take(self.cell, result, rows, fresh=True)
        self._read(rows)
        self.clock_s[rows] = self.cell.elapsed_s[rows]
        self._loss[rows] = self.belief.loss_nats[rows]
        self.sure[rows] = self.over[rows] = False

    @property
    def states(self) -> PartStates:
        """What a strategy may know; views of the present, not copies."""
        belief, cell = self.belief, self.cell
        part = SeenPart(cell.view, cell.extent_m, cell.seen.ground)
        return PartStates(
            belief.log_probabilities, belief.state, belief.conditions, part, self.covers, self.log, self.clock_s,
            self.rules.deadline_s, cell.held,
        )  # fmt: skip

    @property
    def options(self) -> Options:
        """What the parts offer."""
        return Options.of(self.states)

    def step(self, choice: NDArray[np.int64], spots: Spots | None = None) -> Step:
        """One item of the menu in every cell; where a part is over nothing counts.

        Args:
            choice: (N,) items.
            spots: those of `options`; None: they are found here.
        """
        states = self.states
        goals = decode(
            actions(states, find_spots(states) if spots is None else spots, choice).astype(np.float32), self.cell.seen
        )
        return self.probe(goals, choice)

    def probe(self, goals: GoalArrays, choice: NDArray[np.int64]) -> Step:
        """A decoded probe in every cell; `choice`: (N,) the items it stands for, -1 for none."""
        rules, cell = self.rules, self.cell
        live = ~self.over
        before = self.clock_s.copy()
        result = cell.probe(goals, decoded=True)
        seconds = np.minimum(result.seconds, np.maximum(rules.deadline_s - before, 0.0)) * live
        self.clock_s += seconds
        told = live & (before + result.seconds <= rules.deadline_s)
        rows = np.flatnonzero(told)
        self.belief.take(cell, result, rows)
        self._read(rows[np.isin(result.primitive[rows], _SEEING)])
        self._note(rows, choice, goals, result)
        self.sure |= told & (self.belief.confidence >= rules.sure)
        late = live & ~told
        full = cell.probes + OVERVIEWS >= rules.max_probes
        self.over |= live & (self.sure | late | full | cell.held)
        reward = self._reward(rows, seconds, result.damage * live)
        reward -= rules.seconds_price * (rules.deadline_s - self.clock_s) * (live & self.over & ~self.sure)
        return Step(
            reward, self.over.copy(), self.sure.copy(), seconds, result.damage * live, result.max_force_n * live,
            result.outcome,
        )  # fmt: skip

    def _reward(self, rows: NDArray[np.int64], seconds: Floats, damage: Floats) -> Floats:
        reward = -self.rules.seconds_price * seconds - self.rules.damage_price * damage
        loss = np.minimum(self.belief.loss_nats[rows], FLOOR_NATS)
        reward[rows] += np.minimum(self._loss[rows], FLOOR_NATS) - loss
        self._loss[rows] = loss
        return reward

    def _note(self, rows: NDArray[np.int64], choice: NDArray[np.int64], goals: GoalArrays, result: ProbeResult) -> None:
        way = goals.slide_m[rows, None] * np.stack(
            (np.cos(goals.slide_angle_rad[rows]), np.sin(goals.slide_angle_rad[rows])), axis=1
        )
        worked = np.isin(result.outcome[rows], (int(Outcome.SUCCEEDED), int(Outcome.FORCE_LIMIT)))
        self.log.add(rows, choice[rows], goals.primitive[rows], goals.point_m[rows] + 0.5 * way, worked)

    def _read(self, rows: NDArray[np.int64]) -> None:
        if len(rows):
            self.covers[rows] = self.reader.covers(self.cell.view[rows], self.cell.extent_m[rows])
