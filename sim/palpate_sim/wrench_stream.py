"""The force/torque sensor: noise of a quarter second is drawn at once, the true wrench added sample by sample."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from palpate_sim.devices import DeviceDraw
from palpate_sim.motion import PERIOD_S
from palpate_sim.sensors.wrench import RANGE, WrenchNoise

Array = NDArray[np.float64]

BLOCK = 250


class WrenchStream:
    """Same numbers as `WrenchNoise.apply` at 1 kHz, ten times as fast; plus the tare that a user can set."""

    def __init__(self, devices: DeviceDraw, rng: np.random.Generator):
        self._noise = WrenchNoise(devices, rng)
        self._gain = devices.force_gain
        self._block: NDArray[np.floating] = np.zeros((0, 6))
        self._row = 0
        self._tare = np.zeros(6)
        self._recent = np.zeros((100, 6))

    def sample(self, true_wrench: Array, step: int) -> Array:
        """Reported wrench (6,) for the true one at a step of the physics."""
        if self._row >= len(self._block):
            times = (step + np.arange(BLOCK)) * PERIOD_S
            self._block, self._row = self._noise.apply_series(np.zeros((BLOCK, 6)), times), 0
        raw = np.minimum(np.maximum(self._gain * true_wrench + self._block[self._row], -RANGE), RANGE)
        self._row += 1
        self._recent[step % len(self._recent)] = raw
        return raw - self._tare

    def zero(self) -> None:
        """Take the mean of the last tenth of a second as zero."""
        self._tare = self._recent.mean(axis=0)
