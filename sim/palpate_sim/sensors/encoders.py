"""Joint encoders: what the arm believes of its own posture. Their noise is why pressing tells so little.

White noise of a reading, and a slow error of gears and friction that wanders with its correlation time. Together they
move the tip by about 8 um at half a metre of reach, as was taken for a stiff arm.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]

WHITE_RAD = 4e-6
SLOW_RAD = 9e-6
CORRELATION_S = 0.5
"""Both per joint, 7 joints, assumed: together 8 um at the tip of a Panda over the middle of its table."""


class JointNoise:
    """Noise of the seven joints.

    Args:
        rng: noise.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._slow = SLOW_RAD * rng.standard_normal(7)
        self._time_s: float | None = None

    def apply(self, positions: Array, time_s: float) -> Array:
        """(7,) positions as read, rad.

        Args:
            positions: (7,) true positions, rad.
            time_s: time of the reading; the slow error wanders with the time between readings.
        """
        return self.apply_series(np.asarray(positions, float)[None], np.array([time_s]))[0]

    def apply_series(self, positions: Array, times_s: Array) -> Array:
        """As `apply` for (J, 7) positions at (J,) ascending times."""
        times = np.asarray(times_s, float)
        previous = times[0] if self._time_s is None else self._time_s
        keep = np.exp(-np.maximum(np.diff(times, prepend=previous), 0.0) / CORRELATION_S)[:, None]
        kicks = SLOW_RAD * np.sqrt(1.0 - keep**2) * self._rng.standard_normal((len(times), 7))
        slow = np.empty_like(kicks)
        for row in range(len(times)):
            self._slow = slow[row] = keep[row] * self._slow + kicks[row]
        self._time_s = float(times[-1])
        return np.asarray(positions, float) + slow + WHITE_RAD * self._rng.standard_normal((len(times), 7))
