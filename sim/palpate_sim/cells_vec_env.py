"""What the environments for stable-baselines3 have in common: cells of this process or of workers behind `VecEnv`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices

from palpate_agents.errors import CellError
from palpate_sim.batch.checks import whole_number
from palpate_sim.env import check_options
from palpate_sim.env_workers import Batch, Cells, Workers
from palpate_sim.episodes import Observation


class CellsVecEnv(VecEnv):
    """N cells that are reset by themselves; `step_wait` is left to the environment."""

    def __init__(
        self, num_envs: int, cells: Cells, observation_space: spaces.Space[Any], action_space: spaces.Space[Any]
    ) -> None:
        """Take over the cells.

        Args:
            num_envs: N.
            cells: all of them.
            observation_space: of one.
            action_space: of one.
        """
        self.render_mode = None
        self._cells = cells
        super().__init__(num_envs, observation_space, action_space)
        self._batch: Batch | None = None
        self._seed: int | None = None
        self._closed = False

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Begin anew with this seed at the next reset; one for all cells.

        Raises:
            ConfigError: no whole number.
        """
        self._seed = None if seed is None else whole_number("seed", seed)
        return [seed] * self.num_envs

    def set_options(self, options: list[dict[str, Any]] | dict[str, Any] | None = None) -> None:
        """There are none.

        Raises:
            ConfigError: there are any.
        """
        for given in options if isinstance(options, list) else [options]:
            check_options(given)

    def reset(self) -> Any:
        """New parts in all cells."""
        self._check_open()
        seed, self._seed = self._seed, None
        return self._observed(self._cells.reset(seed))

    def _observed(self, observation: Observation) -> Any:
        """What the learner is shown."""
        return observation

    def _checked(self, actions: NDArray[Any]) -> NDArray[np.floating]:
        """Actions as the cells take them.

        Raises:
            ConfigError: they are none.
        """
        raise NotImplementedError

    def step_async(self, actions: NDArray[Any]) -> None:
        """Begin a probe in every cell.

        Raises:
            ConfigError: the actions are none.
            CellError: closed.
        """
        self._check_open()
        chosen = self._checked(actions)
        if isinstance(self._cells, Workers):
            self._cells.begin(chosen)
        else:
            self._batch = self._cells.step(chosen)

    def _finished(self) -> Batch:
        """What the step gave.

        Raises:
            CellError: none was begun.
        """
        batch = self._cells.finish() if isinstance(self._cells, Workers) else self._batch
        if batch is None:
            raise CellError("no step was begun; call step_async first")
        self._batch = None
        return batch

    def close(self) -> None:
        """End the workers; safe to call twice."""
        self._closed = True
        self._cells.close()

    def _check_open(self) -> None:
        if self._closed:
            raise CellError("the environment is closed; make a new one")

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """The same attribute of this environment for each cell."""
        return [getattr(self, attr_name)] * len(self._numbers(indices))

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set an attribute of this environment."""
        setattr(self, attr_name, value)

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
    ) -> list[Any]:
        """Not to be had: the cells are no environments of their own.

        Raises:
            CellError: always.
        """
        raise CellError(f"the cells have no method {method_name!r} of their own; call that of the whole environment")

    def env_is_wrapped(self, wrapper_class: Any, indices: VecEnvIndices = None) -> list[bool]:
        """No wrapper around any cell."""
        return [False] * len(self._numbers(indices))

    def _numbers(self, indices: VecEnvIndices) -> list[int]:
        return list(self._get_indices(indices))
