"""`ProbeVecEnv`: hundreds of cells for stable-baselines3, without a wrapper around each."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env.base_vec_env import VecEnvStepReturn

from palpate_agents.probing.decoder import check_actions
from palpate_sim.batch.cell import BatchConfig
from palpate_sim.cells_vec_env import CellsVecEnv
from palpate_sim.env_workers import make_cells
from palpate_sim.episodes import Belief, EpisodeSettings
from palpate_sim.library import PartLibrary
from palpate_sim.vec_env import NUMBERS


class ProbeVecEnv(CellsVecEnv):
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
        cells = make_cells(workers, num_envs, seed, settings, config, belief, library)
        super().__init__(num_envs, cells, cells.observation_space, cells.action_space)

    def _checked(self, actions: NDArray[Any]) -> NDArray[np.floating]:
        actions = np.asarray(actions)
        check_actions(actions, self.num_envs)
        return actions

    def step_wait(self) -> VecEnvStepReturn:
        """What it gave."""
        batch = self._finished()
        done = batch.terminated | batch.truncated
        infos: list[dict[str, Any]] = [dict(zip(NUMBERS, row, strict=True)) for row in batch.numbers.tolist()]
        for k, row in enumerate(batch.ended.rows.tolist()):
            infos[row]["terminal_observation"] = {name: values[k] for name, values in batch.ended.observation.items()}
            infos[row]["TimeLimit.truncated"] = bool(batch.truncated[row])
            infos[row].update(batch.ended.truth[k])
        return batch.observation, batch.reward.astype(np.float32), done, infos
