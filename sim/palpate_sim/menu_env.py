"""`MenuVecEnv`: hundreds of `ProbingCells` for stable-baselines3: an action is an item of the menu."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvStepReturn

from palpate_agents.errors import ConfigError
from palpate_agents.probing.menu import MENU
from palpate_agents.probing.policy_input import input_size
from palpate_sim.batch.cell import BatchConfig
from palpate_sim.cells_vec_env import CellsVecEnv
from palpate_sim.env_workers import Batch, Cells, Ended, Workers, shares
from palpate_sim.episodes import Observation
from palpate_sim.library import PartLibrary
from palpate_sim.probing_cells import ProbingCells, ProbingRules

INPUT, ALLOWED = "input", "allowed"


@dataclass(frozen=True)
class MenuTask:
    """What the cells of a policy are.

    Attributes:
        config: which parts; rules: stop rule, clock and prices.
        model: name or folder of the fusion model; reader: of the surface reader.
    """

    config: BatchConfig = field(default_factory=lambda: BatchConfig(mix="hard"))
    rules: ProbingRules = field(default_factory=ProbingRules)
    model: str = "cell29"
    reader: str = "surface8"


class MenuCells:
    """The cells of one process, reset by themselves where a part is done."""

    def __init__(self, cells: int, seed: int, task: MenuTask, library: PartLibrary | None) -> None:
        """See `MenuVecEnv`."""
        import torch

        from palpate_agents.model_io import load_surface_reader

        torch.set_num_threads(1)
        reader = load_surface_reader(task.reader)
        self.cells = ProbingCells(cells, seed, reader, task.model, task.rules, task.config, library)
        self._options = self.cells.options
        self.action_space: spaces.Space[Any] = spaces.Box(0.0, float(len(MENU) - 1), (1,), np.float32)
        belief = self.cells.belief
        size = input_size(belief.log_probabilities.shape[1], belief.state.shape[1], belief.conditions.shape[1])
        self.observation_space = spaces.Dict(
            {
                INPUT: spaces.Box(-np.inf, np.inf, (size,), np.float32),
                ALLOWED: spaces.Box(0.0, 1.0, (len(MENU),), np.float32),
            }
        )

    def _observed(self) -> Observation:
        self._options = self.cells.options
        return {INPUT: self._options.inputs, ALLOWED: self._options.allowed.astype(np.float32)}

    def reset(self, seed: int | list[int] | None = None) -> Observation:
        """See `Cells`."""
        self.cells.reset(seed=seed)
        return self._observed()

    def step(self, actions: NDArray[np.floating]) -> Batch:
        """See `Cells`; the last observation of an episode is not kept, because none is cut short."""
        taken = self.cells.step(actions[:, 0].astype(np.int64), self._options.spots)
        numbers = np.stack((taken.seconds, taken.damage, taken.force_n), axis=1)
        rows = np.flatnonzero(taken.over)
        truth = self._result(rows, taken.sure)
        if len(rows):
            self.cells.reset(rows)
        never = np.zeros(len(taken.over), bool)
        return Batch(self._observed(), taken.reward, taken.over, never, numbers, Ended(rows, {}, truth))

    def _result(self, rows: NDArray[np.int64], sure: NDArray[np.bool_]) -> list[dict[str, Any]]:
        belief, rules = self.cells.belief, self.cells.rules
        right = belief.log_probabilities[rows].argmax(axis=1) == belief.label[rows]
        clock = np.where(sure[rows], self.cells.clock_s[rows], rules.deadline_s)
        return [
            {"right": bool(r), "clock_s": float(c), "sure": bool(s)}
            for r, c, s in zip(right, clock, sure[rows], strict=True)
        ]

    def close(self) -> None:
        """Nothing is left open."""


class MenuVecEnv(CellsVecEnv):
    """N cells for PPO with action masks; infos of ended parts say whether the belief was right, and the seconds."""

    def __init__(
        self, num_envs: int, task: MenuTask | None = None, library: PartLibrary | None = None, seed: int = 0,
        workers: int = 1,
    ) -> None:  # fmt: skip
        """Set up the cells.

        Args:
            num_envs: N.
            task: what they are.
            library: of geometries; None: the cached one.
            seed: until `seed` gives another one.
            workers: processes; 1: this one.
        """
        task, library = task or MenuTask(), library or PartLibrary.load_or_build()
        cells: Cells
        if workers == 1:
            cells = MenuCells(num_envs, seed, task, library)
        else:
            first = task.config.first_cell
            own = [replace(task.config, first_cell=first + a) for a, _ in shares(workers, num_envs)]
            given: list[tuple[Any, ...]] = [(seed, replace(task, config=part), library) for part in own]
            one = MenuCells(1, seed, task, library)
            cells = Workers(workers, num_envs, MenuCells, given, one.action_space, one.observation_space, check_items)
        super().__init__(num_envs, cells, cells.observation_space[INPUT], spaces.Discrete(len(MENU)))
        self._allowed = np.ones((num_envs, len(MENU)), bool)

    def _observed(self, observation: Observation) -> NDArray[np.float32]:
        self._allowed = observation[ALLOWED] > 0.5
        return np.asarray(observation[INPUT])

    def _checked(self, actions: NDArray[Any]) -> NDArray[np.floating]:
        chosen = np.asarray(actions, np.float32).reshape(-1, 1)
        check_items(chosen, self.num_envs)
        return chosen

    def step_wait(self) -> VecEnvStepReturn:
        """What it gave."""
        batch = self._finished()
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for row, truth in zip(batch.ended.rows.tolist(), batch.ended.truth, strict=True):
            infos[row] = {**truth, "TimeLimit.truncated": False}
        return self._observed(batch.observation), batch.reward.astype(np.float32), batch.terminated, infos

    def action_masks(self) -> NDArray[np.bool_]:
        """(N, K) items that make sense now."""
        return self._allowed

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
    ) -> list[Any]:
        """`action_masks` of each cell.

        Raises:
            CellError: another method.
        """
        if method_name != "action_masks":
            return super().env_method(method_name, *method_args, indices=indices, **method_kwargs)
        return list(self._allowed[self._numbers(indices)])


def check_items(actions: NDArray[np.floating], count: int) -> None:
    """Refuse what is no item of the menu.

    Args:
        actions: array to check.
        count: number of cells.

    Raises:
        ConfigError: another shape, no whole numbers, or beyond the menu.
    """
    if actions.shape != (count, 1):
        raise ConfigError(f"actions have shape {actions.shape}, one item for each of {count} cells is needed")
    wrong = ~((actions >= 0) & (actions < len(MENU)) & (actions == np.floor(actions)))
    if wrong.any():
        raise ConfigError(f"item {float(actions[wrong][0]):g} is none of the menu; items are 0 to {len(MENU) - 1}")
