"""Exact geometry of parts: signed distances in plain floats, because the contact loop asks them at 1 kHz."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Point = tuple[float, float, float]

ROUND_SHAPES = ("cylinder", "tube")
"""Upright cylinders; every other shape is a box."""


def signed_distance(shape: str, dimensions_m: Point, x: float, y: float, z: float) -> tuple[float, Point]:
    """Distance of a point from the surface of a part, in the part's frame (origin at its centre).

    Args:
        shape: `cylinder` or `tube` (axis z), otherwise a box.
        dimensions_m: full extents, m.
        x: of the point, m.
        y: of the point, m.
        z: of the point, m.

    Returns:
        distance in m, negative inside, and the outward unit normal of the nearest face, edge or corner.
    """
    if shape in ROUND_SHAPES:
        radius = math.hypot(x, y)
        side, top = radius - 0.5 * dimensions_m[0], abs(z) - 0.5 * dimensions_m[2]
        up = math.copysign(1.0, z)
        ux, uy = (x / radius, y / radius) if radius > 1e-12 else (1.0, 0.0)
        if side <= 0.0 and top <= 0.0:
            return (top, (0.0, 0.0, up)) if top >= side else (side, (ux, uy, 0.0))
        s, t = max(side, 0.0), max(top, 0.0)
        distance = math.hypot(s, t)
        return distance, (ux * s / distance, uy * s / distance, up * t / distance)
    dx, dy, dz = abs(x) - 0.5 * dimensions_m[0], abs(y) - 0.5 * dimensions_m[1], abs(z) - 0.5 * dimensions_m[2]
    if dx <= 0.0 and dy <= 0.0 and dz <= 0.0:
        if dz >= dx and dz >= dy:
            return dz, (0.0, 0.0, math.copysign(1.0, z))
        return (dx, (math.copysign(1.0, x), 0.0, 0.0)) if dx >= dy else (dy, (0.0, math.copysign(1.0, y), 0.0))
    ox, oy, oz = max(dx, 0.0), max(dy, 0.0), max(dz, 0.0)
    distance = math.sqrt(ox * ox + oy * oy + oz * oz)
    normal = (math.copysign(ox, x) / distance, math.copysign(oy, y) / distance, math.copysign(oz, z) / distance)
    return distance, normal


def ray_distance(shape: str, dimensions_m: Point, origin: Array, direction: Array, reach_m: float) -> float | None:
    """Distance along a ray to a part's surface (sphere tracing), part's frame, m; None without a hit in `reach_m`."""
    at = 0.0
    for _ in range(64):
        x, y, z = (float(v) for v in origin + at * direction)
        gap, _ = signed_distance(shape, dimensions_m, x, y, z)
        if gap < 1e-6:
            return at
        at += gap
        if at > reach_m:
            return None
    return at


def quaternion_matrix(quaternion: tuple[float, float, float, float]) -> Array:
    """Rotation matrix (3, 3) of a unit quaternion x, y, z, w."""
    x, y, z, w = quaternion
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def yaw_quaternion(yaw_rad: float) -> tuple[float, float, float, float]:
    """Quaternion x, y, z, w of a turn about z."""
    return 0.0, 0.0, math.sin(0.5 * yaw_rad), math.cos(0.5 * yaw_rad)


def pose_matrix(position: Point, quaternion: tuple[float, float, float, float]) -> Array:
    """Homogeneous transform (4, 4)."""
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = quaternion_matrix(quaternion), position
    return pose


def cross(a: Sequence[float] | Array, b: Sequence[float] | Array) -> Array:
    """Cross product (3,) of two vectors; numpy's own takes ten times as long for one pair."""
    return np.array([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]])
