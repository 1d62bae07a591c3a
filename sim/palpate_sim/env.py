"""`palpate/Probe-v0`: one part, up to ten probes, as a Gymnasium environment over one batched cell.

import gymnasium
from palpate_sim.env import register
register()
env = gymnasium.make("palpate/Probe-v0")
"""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium.error import ResetNeeded
from numpy.typing import NDArray

from palpate_agents.errors import CellError, ConfigError
from palpate_sim.batch.cell import BatchConfig, ProbeResult
from palpate_sim.episodes import Belief, Episodes, EpisodeSettings, Observation
from palpate_sim.library import PartLibrary

ENV_ID = "palpate/Probe-v0"


class ProbeEnv(gymnasium.Env[Any, Any]):
    """A cell with one part. Observation: `Episodes.observe`; action: `palpate_agents.probing.decoder`."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}  # type: ignore[misc]

    def __init__(
        self,
        settings: EpisodeSettings | None = None,
        config: BatchConfig | None = None,
        belief: Belief | None = None,
        library: PartLibrary | None = None,
        seed: int | None = None,
        *,
        expose_truth: bool | None = None,
        render_mode: str | None = None,
    ) -> None:
        """Set up the cell.

        Args:
            settings: end and prices of an episode.
            config: which parts.
            belief: gives the reward its information; None: none.
            library: of geometries; None: the cached one, built if need be.
            seed: until `reset` gives another one; None: a new one each time.
            expose_truth: overrides that of the settings.
            render_mode: None, there is nothing to render.

        Raises:
            ConfigError: a render mode, or a seed that is no whole number.
        """
        if render_mode is not None:
            raise ConfigError(f"render_mode is {render_mode!r}; there is nothing to render, give None")
        settings = settings or EpisodeSettings()
        if expose_truth is not None:
            settings = EpisodeSettings(**{**vars(settings), "expose_truth": expose_truth})
        self.render_mode = render_mode
        start = int(np.random.SeedSequence().generate_state(1)[0]) if seed is None else seed
        self.episodes = Episodes(1, start, settings, config, belief, library)
        self.action_space = self.episodes.action_space
        self.observation_space = self.episodes.observation_space
        self._closed = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Lay in the next part and look at it from the camera.

        Args:
            seed: begin anew with this seed; without it the next part of the present one comes.
            options: none are known.

        Raises:
            CellError: the environment is closed.
            ConfigError: there are options, or the seed is no whole number.
        """
        self._check_open()
        check_options(options)
        super().reset(seed=seed)
        result = self.episodes.reset(seed=seed)
        return self._observed(result), self._info(result)

    def step(self, action: NDArray[np.floating]) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """One probe.

        Args:
            action: (7,), -1..1.

        Raises:
            ConfigError: the action has another shape or type, is not finite or out of bounds.
            ResetNeeded: the episode is over, or none was begun.
            CellError: the environment is closed.
        """
        self._check_open()
        if self.episodes.over[0]:
            raise ResetNeeded("the episode is over, or none was begun; call reset() before step()")
        taken = self.episodes.step(np.asarray(action)[None])
        probe = taken.probe
        ended = bool(taken.terminated[0]), bool(taken.truncated[0])
        return self._observed(probe), float(taken.reward[0]), *ended, self._info(probe)

    def close(self) -> None:
        """Nothing is left open; safe to call twice."""
        self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            raise CellError("the environment is closed; make a new one")

    def _observed(self, result: ProbeResult) -> Observation:
        return {name: values[0] for name, values in self.episodes.observe(result).items()}

    def _info(self, result: ProbeResult) -> dict[str, Any]:
        info = {
            "seconds": float(result.seconds[0]),
            "damage": float(result.damage[0]),
            "max_force_n": float(result.max_force_n[0]),
        }
        return info | self.episodes.truth(0)


def check_options(options: dict[str, Any] | None) -> None:
    """Refuse options of a reset.

    Raises:
        ConfigError: there are any.
    """
    if options:
        named = repr(next(iter(options))) if isinstance(options, dict) else repr(options)
        raise ConfigError(f"option {named} is unknown; a reset has no options")


def register() -> None:
    """Make `palpate/Probe-v0` known to Gymnasium; safe to call twice."""
    if ENV_ID not in gymnasium.registry:
        gymnasium.register(
            ENV_ID,
            entry_point="palpate_sim.env:ProbeEnv",
            vector_entry_point="palpate_sim.vec_env:ProbeVectorEnv",
        )
