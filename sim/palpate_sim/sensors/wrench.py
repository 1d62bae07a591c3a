"""Force/torque sensor (ATI Mini40 class): noise, bias, drift, gain and range."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from palpate_sim.devices import DeviceDraw

Array = NDArray[np.floating]

RANGE = np.array([40.0, 40.0, 120.0, 2.0, 2.0, 2.0])
"""Mini40 SI-40-2: 40 N sideways, 120 N along z, 2 N m."""
DRIFT_PER_SQRT_S = np.array([2e-3, 2e-3, 2e-3, 4e-5, 4e-5, 4e-5])
"""Random walk with warming up: 0.02 N in 100 s; assumed."""


class WrenchNoise:
    """Adds what the sensor adds.

    Args:
        devices: bias, gain and noise of this sensor.
        rng: noise and drift.
    """

    def __init__(self, devices: DeviceDraw, rng: np.random.Generator) -> None:
        self._rng = rng
        self._bias = np.asarray(devices.wrench_bias, float)
        self._gain = np.array([devices.force_gain] * 6)
        self._sigma = np.array([devices.force_noise_n] * 3 + [devices.torque_noise_nm] * 3)
        self._drift = np.zeros(6)
        self._time_s: float | None = None

    def apply(self, true_wrench: Array, time_s: float) -> Array:
        """One sample.

        Args:
            true_wrench: (6,) N and N m, sensor frame.
            time_s: its time; the drift walks with the time between samples.

        Returns:
            (6,) what the sensor reports, clipped to its range.
        """
        return self.apply_series(np.asarray(true_wrench, float)[None], np.array([time_s]))[0]

    def apply_series(self, true_wrench: Array, times_s: Array) -> Array:
        """As `apply` for (W, 6) wrenches at (W,) ascending times."""
        previous = times_s[0] if self._time_s is None else self._time_s
        steps = np.sqrt(np.maximum(np.diff(np.concatenate([[previous], times_s])), 0.0))
        walk = np.cumsum(steps[:, None] * DRIFT_PER_SQRT_S * self._rng.standard_normal((len(times_s), 6)), axis=0)
        drift = self._drift + walk
        self._drift, self._time_s = drift[-1], float(times_s[-1])
        noise = self._sigma * self._rng.standard_normal((len(times_s), 6))
        return np.clip(self._gain * true_wrench + self._bias + drift + noise, -RANGE, RANGE)
