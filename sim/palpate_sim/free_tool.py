"""What the wrench tells while the tool is free: its weight, whether something hangs on it, where a soft part begins."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from palpate_sim.motion import PERIOD_S, Motion

Array = NDArray[np.float64]

GRAVITY_M_S2 = 9.81
SAME_ZERO_N = 0.05
"""Two zeros of a free tool in one orientation differ by a fifth of it; more means that the later one was not free."""
FREE_OFFSET_N = 0.5
"""Without its weight the wrench of a free tool stays the same for the arm's life, but for drift and gain (0.1 N)."""
ONSET_N, ONSET_SHARE, ONSET_LAG = 0.05, 0.1, 12
"""Where a smoothed force leaves zero (share of each new sample, its delay in periods) a part begins."""


def carried_n(motion: Motion, zero: Array) -> float:
    """Force on the tool beyond its own weight, N, against the first time that was asked.

    Args:
        motion: the arm, at rest; remembers the first offset.
        zero: (3,) mean force, N, sensor frame.
    """
    down = motion.planner.sensor_chain.forward(motion.state.q)[2, :3]
    offset = zero + motion.planner.tool_mass_kg * GRAVITY_M_S2 * down
    if motion.free_offset_n is None:
        motion.free_offset_n = offset
    return float(np.linalg.norm(offset - motion.free_offset_n))


def same_zero(first: Array, later: Array) -> bool:
    """Whether two zeros (3,) N in one orientation are both of a free tool, given that the first one is."""
    return float(np.linalg.norm(later - first)) < SAME_ZERO_N


@dataclass
class Onset:
    """Finds where a part begins that is felt only deeper in.

    Attributes:
        distance_m: last place on the line where nothing was felt.
        force_n: smoothed normal force.
    """

    distance_m: float
    force_n: float = 0.0

    def add(self, distance_m: float, normal_n: float) -> None:
        """One period's place and normal force."""
        self.force_n += ONSET_SHARE * (normal_n - self.force_n)
        if self.force_n < ONSET_N:
            self.distance_m = distance_m

    def surface_m(self, touch_m: float, speed_m_s: float) -> float:
        """Where the part begins, given where it was felt and the speed."""
        return min(touch_m, self.distance_m + ONSET_LAG * PERIOD_S * speed_m_s)
