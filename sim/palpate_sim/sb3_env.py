"""`ProbeVecEnv`: hundreds of cells for stable-baselines3, without a wrapper around each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvStepReturn

from palpate_agents.errors import CellError
from palpate_agents.probing.decoder import check_actions
from palpate_sim.batch.cell import BatchConfig
from palpate_sim.batch.checks import whole_number
from palpate_sim.env import check_options
from palpate_sim.env_workers import Batch, Workers, make_cells
from palpate_sim.episodes import Belief, EpisodeSettings, Observation
from palpate_sim.library import PartLibrary
from palpate_sim.vec_env import NUMBERS


class ProbeVecEnv(VecEnv):
    """N cells, reset by themselves; the last observation of an episode is `terminal_observation` in its info."""

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
        """See `ProbeVectorEnv`."""
        self.render_mode = None
        self._cells = make_cells(workers, num_envs, seed, settings, config, belief, library)
        super().__init__(num_envs, self._cells.observation_space, self._cells.action_space)
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

    def reset(self) -> Observation:
        """New parts in all cells."""
        self._check_open()
        seed, self._seed = self._seed, None
        return self._cells.reset(seed)

    def step_async(self, actions: NDArray[np.floating]) -> None:
        """Begin a probe in every cell.

        Raises:
            ConfigError: the actions have another shape or type, are not finite or out of bounds.
            CellError: closed.
        """
        self._check_open()
        check_actions(np.asarray(actions), self.num_envs)
        if isinstance(self._cells, Workers):
            self._cells.begin(actions)
        else:
            self._batch = self._cells.step(actions)

    def step_wait(self) -> VecEnvStepReturn:
        """What it gave."""
        batch = self._cells.finish() if isinstance(self._cells, Workers) else self._batch
        if batch is None:
            raise CellError("no step was begun; call step_async first")
        self._batch = None
        done = batch.terminated | batch.truncated
        infos: list[dict[str, Any]] = [dict(zip(NUMBERS, row, strict=True)) for row in batch.numbers.tolist()]
        for k, row in enumerate(batch.ended.rows.tolist()):
            infos[row]["terminal_observation"] = {name: values[k] for name, values in batch.ended.observation.items()}
            infos[row]["TimeLimit.truncated"] = bool(batch.truncated[row])
            infos[row].update(batch.ended.truth[k])
        return batch.observation, batch.reward.astype(np.float32), done, infos

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
