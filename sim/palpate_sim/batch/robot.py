"""What the arm and its controller do to every touch, as numbers: checked against URDF, sensors and training windows."""

from __future__ import annotations

import math

from palpate_sim.backend import Array, namespace, ndtri
from palpate_sim.keyed import uniform
from palpate_sim.motion import MotionLimits
from palpate_sim.sensors.encoders import SLOW_RAD, WHITE_RAD

LIMITS = MotionLimits()
TOOL_MASS_KG = 1.145
"""Hand and tools behind the wrench sensor."""
TIP_LEVER_M = 0.596
"""Square sum over the joints of the ball's motion along the vertical, over the middle of the table, m/rad."""
TIP_WHITE_M, TIP_SLOW_M = TIP_LEVER_M * WHITE_RAD, TIP_LEVER_M * SLOW_RAD
"""Error of the ball's height by the encoders."""
JOINT_PERIOD = 10
"""Control periods between joint states."""
BALL_ACCELERATION_M_S2 = (2.4, 2.7)
"""What the joints allow along the approach over the middle of the table (`ToolLine.limit`); sets its speed."""
PRESS_HOLD_S = 0.2
ZERO_ERROR_N = (-0.01, 0.01)
"""Error of the controller's zero at the touch, seen in the cell."""

MEDIAN = 1.2533
"""Standard error of a median over that of a mean."""


def draw(keys: Array, name: str, uniforms: int, normals: int) -> tuple[Array, Array]:
    """(n, uniforms) numbers in 0..1 and (n, normals) standard normal ones that belong to the keys, in one go."""
    numbers = uniform(keys, name, (uniforms + normals,))
    return numbers[:, :uniforms], ndtri(numbers[:, uniforms:])


def or_default(values: Array, default: float, most: float = math.inf) -> Array:
    """(n,) what was asked for; the arm's default where that is 0, and never more than `most`."""
    xp = namespace(values)
    return xp.minimum(xp.where(values > 0.0, values, default), most)
