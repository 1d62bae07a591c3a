"""Hundreds of cells as one vectorised environment: `ProbeVectorEnv` for Gymnasium, `ProbeVecEnv` for stable-baselines3.

`ProbeVecEnv` is loaded when it is asked for, because stable-baselines3 loads torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from palpate_agents.errors import CellError
from palpate_sim.batch.cell import BatchConfig
from palpate_sim.batch.checks import seeds_of
from palpate_sim.env import check_options
from palpate_sim.env_workers import Batch, make_cells
from palpate_sim.episodes import Belief, EpisodeSettings, Observation
from palpate_sim.library import PartLibrary

if TYPE_CHECKING:
    from palpate_sim.sb3_env import ProbeVecEnv

__all__ = ["ProbeVecEnv", "ProbeVectorEnv"]

NUMBERS = ("seconds", "damage", "max_force_n")


class ProbeVectorEnv(VectorEnv[Observation, NDArray[np.floating], Any]):
    """N cells; where an episode ends the next part is laid in within the same step.

    The info of a step has `seconds`, `damage` and `max_force_n` of that step in all cells; where episodes ended also
    `final_obs` and `final_info`, with the truth if the settings expose it.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": [], "autoreset_mode": AutoresetMode.SAME_STEP}  # type: ignore[misc]

    def __init__(
        self,
        num_envs: int,
        settings: EpisodeSettings | None = None,
        config: BatchConfig | None = None,
        belief: Belief | None = None,
        library: PartLibrary | None = None,
        seed: int = 0,
        workers: int = 1,
    ) -> None:
        """Set up the cells.

        Args:
            num_envs: N.
            settings: end and prices of an episode.
            config: which parts.
            belief: gives the reward its information; each worker has its own copy.
            library: of geometries; None: the cached one.
            seed: until `reset` gives another one.
            workers: processes; 1: this one.

        Raises:
            ConfigError: no cell, no worker, or more workers than cells.
        """
        self.num_envs = num_envs
        self._cells = make_cells(workers, num_envs, seed, settings, config, belief, library)
        self.single_action_space = self._cells.action_space
        self.single_observation_space = self._cells.observation_space
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.render_mode = None

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """New parts in all cells.

        Args:
            seed: one for all, whose cells differ by their number; or one for each, which then has the parts that
                `ProbeEnv` has with that seed.
            options: none are known; cells are reset by themselves where their episodes end.

        Raises:
            CellError: closed.
            ConfigError: there are options, other than N seeds, or one that is no whole number.
        """
        _check_open(self.closed)
        check_options(options)
        return self._cells.reset(None if seed is None else seeds_of(seed, self.num_envs)), {}

    def step(
        self, actions: NDArray[np.floating]
    ) -> tuple[Observation, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """One probe in every cell.

        Args:
            actions: (N, 7), -1..1.

        Raises:
            ConfigError: the actions have another shape or type, are not finite or out of bounds.
            CellError: closed.
        """
        _check_open(self.closed)
        batch = self._cells.step(actions)
        return batch.observation, batch.reward, batch.terminated, batch.truncated, self._info(batch)

    def _info(self, batch: Batch) -> dict[str, Any]:
        everywhere = np.ones(self.num_envs, bool)
        info: dict[str, Any] = {}
        for k, name in enumerate(NUMBERS):
            info |= {name: batch.numbers[:, k], f"_{name}": everywhere}
        rows = batch.ended.rows
        if len(rows):
            final = np.full(self.num_envs, None, object)
            for k, row in enumerate(rows):
                final[row] = {name: values[k] for name, values in batch.ended.observation.items()}
            mask = np.zeros(self.num_envs, bool)
            mask[rows] = True
            last = self._final_info(batch, mask)
            info |= {"final_obs": final, "_final_obs": mask, "final_info": last, "_final_info": mask}
        return info

    def _final_info(self, batch: Batch, mask: NDArray[np.bool_]) -> dict[str, Any]:
        """Infos of the steps that ended episodes, as gymnasium's own vector environments nest them."""
        last: dict[str, Any] = {}
        for k, name in enumerate(NUMBERS):
            last |= {name: np.where(mask, batch.numbers[:, k], 0.0), f"_{name}": mask}
        for name in batch.ended.truth[0]:
            found = np.full(self.num_envs, None, object)
            for row, truth in zip(batch.ended.rows, batch.ended.truth, strict=True):
                found[row] = truth[name]
            last |= {name: found, f"_{name}": mask}
        return last

    def close_extras(self, **kwargs: Any) -> None:
        """End the workers."""
        self._cells.close()


def _check_open(closed: bool) -> None:
    if closed:
        raise CellError("the environment is closed; make a new one")


def __getattr__(name: str) -> Any:
    if name == "ProbeVecEnv":
        from palpate_sim.sb3_env import ProbeVecEnv

        return ProbeVecEnv
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
