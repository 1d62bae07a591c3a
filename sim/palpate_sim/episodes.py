"""Episodes of probing in many batched cells at once: observation, reward, end. What all the environments share.

The observation has nothing that the real cell does not know. Gymnasium is needed for the spaces only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from palpate_agents.encoders.surface_map import CELLS, CHANNELS
from palpate_agents.errors import CellError
from palpate_agents.observation import MAX_PROBES, Modality, Outcome, Primitive
from palpate_agents.probing.decoder import ACTION_SIZE, check_actions, decode
from palpate_sim.batch.cell import BatchConfig, BatchedCell, ProbeResult
from palpate_sim.batch.checks import real_number, whole_number
from palpate_sim.library import PartLibrary

Observation = dict[str, NDArray[Any]]

OVERVIEWS = 1
"""Probes that a part has had when an episode begins: the agent of a real cell counts its first picture as one."""


class BeliefUpdate(NamedTuple):
    """What a belief says after a probe of n parts.

    Attributes:
        loss_nats: (n,) cross-entropy of the true label.
        sure: (n,) bool, the belief is sure enough to stop.
    """

    loss_nats: NDArray[np.float64]
    sure: NDArray[np.bool_]


class Belief(Protocol):
    """Holds a belief about each cell's part; gives the reward its information and the episode its end."""

    def __call__(
        self, result: ProbeResult, material: NDArray[np.int64], rows: NDArray[np.bool_], *, fresh: bool
    ) -> BeliefUpdate:
        """Take in what was measured.

        Args:
            result: of all cells.
            material: (n,) truth, number into `part_batch.WORDS["material"]`.
            rows: (n,) bool, the cells whose result counts.
            fresh: their parts are new: forget the last ones first.

        Returns:
            of all cells; of the others unchanged.
        """
        ...


@dataclass(frozen=True)
class EpisodeSettings:
    """When an episode ends and what it pays.

    Attributes:
        max_probes: then the episode is over; the picture at its start counts as one, as on a real cell.
        time_limit_s: then it is cut short.
        seconds_price: taken off the reward per second.
        damage_price: per full scratch.
        information_weight: reward per nat of cross-entropy that a probe takes away.
        expose_truth: `info` tells what the part is; for benchmarks, never for a policy.
    """

    max_probes: int = MAX_PROBES
    time_limit_s: float = 60.0
    seconds_price: float = 0.05
    damage_price: float = 0.15
    information_weight: float = 1.0
    expose_truth: bool = False

    def __post_init__(self) -> None:
        whole_number("max_probes", self.max_probes, OVERVIEWS + 1, MAX_PROBES)
        real_number("time_limit_s", self.time_limit_s, 1e-3)
        for name in ("seconds_price", "damage_price", "information_weight"):
            real_number(name, getattr(self, name), 0.0)


class StepResult(NamedTuple):
    """One step of n cells; (n,) each.

    Attributes:
        probe: what was measured.
        reward: float64.
        terminated: all probes are used, or the belief is sure.
        truncated: the time is up.
    """

    probe: ProbeResult
    reward: NDArray[np.float64]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]


class Episodes:
    """N cells and their episodes. A cell whose episode is over has to be reset before the next step."""

    def __init__(
        self,
        cells: int,
        seed: int | list[int],
        settings: EpisodeSettings | None = None,
        config: BatchConfig | None = None,
        belief: Belief | None = None,
        library: PartLibrary | None = None,
    ) -> None:
        """See `BatchedCell` for cells, seed, config and library; `belief` None: no information in the reward."""
        self.settings = settings or EpisodeSettings()
        self.belief = belief
        self.cell = BatchedCell(cells, seed, config, library)
        self.cell.reseed(seed)  # so that the first reset lays in the first part
        self.over = np.ones(cells, bool)
        self._loss = np.zeros(cells)
        names = self.cell.names
        self._width = sum(len(columns) for columns in names.values())

    @property
    def action_space(self) -> spaces.Box:
        """Seven numbers, see `probing.decoder`."""
        return spaces.Box(-1.0, 1.0, (ACTION_SIZE,), np.float32)

    @property
    def observation_space(self) -> spaces.Dict:
        """Of one cell; `observe` says what it holds."""
        inf = np.inf
        sizes = {modality.value: (-inf, inf, (len(names),)) for modality, names in self.cell.names.items()}
        boxes = {
            **sizes,
            "measured": (0.0, 1.0, (self._width,)),
            "reliability": (0.0, 1.0, (len(Modality),)),
            "primitive": (0.0, 1.0, (len(Primitive),)),
            "outcome": (0.0, 1.0, (len(Outcome),)),
            "surface": (-inf, inf, (CELLS, CELLS, len(CHANNELS))),
            "extent_m": (0.0, 1.0, (3,)),
            "elapsed_s": (0.0, inf, (1,)),
            "probes": (0.0, float(self.settings.max_probes), (1,)),
        }
        return spaces.Dict(
            {name: spaces.Box(low, high, shape, np.float32) for name, (low, high, shape) in boxes.items()}
        )

    def observe(self, result: ProbeResult, rows: Any = slice(None)) -> Observation:
        """What the policy sees of some cells, float32.

        Args:
            result: of all cells.
            rows: which.

        Returns:
            `visual`, `tactile`, `spectral`, `thermal`, `inductive`: features of the last probe, 0 where not measured
            (`inductive`: unless the configuration has the coil); `measured`: 1 for each of them that was;
            `reliability` of the five; `primitive` and `outcome`, one-hot; `surface` and `extent_m` as last seen;
            `elapsed_s` and `probes` since the part was laid in, its first picture among them.
        """
        cell, found, place = self.cell, {}, 0
        values = result.block[rows].astype(np.float32)
        known = values == values  # noqa: PLR0124 - False for NaN, without the time of `isnan` and `nan_to_num`
        values[~known] = 0.0
        for modality, features in result.features.items():
            found[modality.value] = values[:, place : place + features.values.shape[1]]
            place += features.values.shape[1]
        found["measured"] = known.astype(np.float32)
        found["reliability"] = result.trust.T[rows].astype(np.float32)
        found["primitive"] = _ONE_HOT[result.primitive[rows]]
        found["outcome"] = _ONE_HOT[result.outcome[rows], : len(Outcome)]
        found["surface"] = cell.view[rows].copy()
        found["extent_m"] = cell.extent_m[rows].astype(np.float32)
        found["elapsed_s"] = cell.elapsed_s[rows].astype(np.float32)[:, None]
        found["probes"] = (cell.probes[rows] + OVERVIEWS).astype(np.float32)[:, None]
        return found

    def reset(self, mask: NDArray[np.bool_] | None = None, seed: int | list[int] | None = None) -> ProbeResult:
        """New parts.

        Args:
            mask: (n,) bool, in these cells; None: in all.
            seed: begin anew with this seed, or one for each, in all cells.

        Raises:
            ConfigError: a mask of another shape or type, or a seed that is none.
        """
        if seed is not None:
            self.cell.reseed(seed)
            mask = None
        result = self.cell.reset(mask)
        rows = np.ones(len(self.over), bool) if mask is None else mask
        self.over[rows] = False
        if self.belief is not None:
            update = self.belief(result, self.cell.parts.material, rows, fresh=True)
            self._loss = np.where(rows, update.loss_nats, self._loss)
        return result

    def step(self, actions: NDArray[np.floating]) -> StepResult:
        """One probe in every cell.

        Args:
            actions: (n, 7), -1..1.

        Raises:
            ConfigError: see `decoder.check_actions`.
            CellError: an episode is over.
        """
        if self.over.any():
            first = int(np.argmax(self.over))
            raise CellError(f"the episode of cell {first} is over; reset it before the next step")
        settings, cell = self.settings, self.cell
        actions = np.asarray(actions)
        check_actions(actions, cell.cells)
        # The precision of the action space, so that a cell in this process does what one behind shared memory does.
        result = cell.probe(decode(actions.astype(np.float32, copy=False), cell.seen), decoded=True)
        reward = -settings.seconds_price * result.seconds - settings.damage_price * result.damage
        terminated = cell.probes + OVERVIEWS >= settings.max_probes
        if self.belief is not None:
            update = self.belief(result, cell.parts.material, np.ones(len(reward), bool), fresh=False)
            reward += settings.information_weight * (self._loss - update.loss_nats)
            self._loss = update.loss_nats.copy()
            terminated = terminated | update.sure
        truncated = ~terminated & (cell.elapsed_s >= settings.time_limit_s)
        self.over = terminated | truncated
        return StepResult(result, reward, terminated, truncated)

    def truth(self, row: int) -> dict[str, Any]:
        """What the part of a cell is; empty unless the settings expose it."""
        if not self.settings.expose_truth:
            return {}
        parts = self.cell.parts
        words = {name: str(parts.words(name)[row]) for name in ("material", "condition", "shape")}
        return {**words, "key": int(parts.key[row])}


_ONE_HOT = np.eye(len(Primitive), dtype=np.float32)
