"""Exact geometry of parts: signed distances in plain floats, because the contact loop asks them at 1 kHz."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from palpate_sim.shapes import Point, Solid, solids_of

Array = NDArray[np.float64]


def signed_distance(shape: str, dimensions_m: Point, x: float, y: float, z: float) -> tuple[float, Point]:
    """Distance of a point from the surface of a part, in the part's frame (origin at the middle of its extents).

    Outside a union it is exact. Inside it is the depth in the solid that holds the point deepest, which is at most the
    depth in the union.

    Args:
        shape: one of `shapes.SHAPES`.
        dimensions_m: full extents, m.
        x: of the point, m.
        y: of the point, m.
        z: of the point, m.

    Returns:
        distance in m, negative inside, and the outward unit normal of the nearest face, edge or corner.
    """
    solids = solids_of(shape, dimensions_m)
    best = solid_distance(solids[0], x, y, z)
    for solid in solids[1:]:
        other = solid_distance(solid, x, y, z)
        if other[0] < best[0]:
            best = other
    return best


def solid_distance(solid: Solid, x: float, y: float, z: float) -> tuple[float, Point]:
    """As `signed_distance` for one box or cylinder; exact inside too."""
    axis, (cx, cy, cz), (hx, hy, hz) = solid
    x, y, z = x - cx, y - cy, z - cz
    if axis < 0:
        return _box_distance(x, y, z, hx, hy, hz)
    if axis == 2:
        return _cylinder_distance(x, y, z, hx, hz)
    if axis == 1:
        distance, (u, v, w) = _cylinder_distance(x, z, y, hx, hy)
        return distance, (u, w, v)
    distance, (u, v, w) = _cylinder_distance(z, y, x, hy, hx)
    return distance, (w, v, u)


def _cylinder_distance(x: float, y: float, z: float, radius: float, half: float) -> tuple[float, Point]:
    """Of an upright cylinder around the origin."""
    out = math.hypot(x, y)
    side, top = out - radius, abs(z) - half
    up = math.copysign(1.0, z)
    ux, uy = (x / out, y / out) if out > 1e-12 else (1.0, 0.0)
    if side <= 0.0 and top <= 0.0:
        return (top, (0.0, 0.0, up)) if top >= side else (side, (ux, uy, 0.0))
    s, t = max(side, 0.0), max(top, 0.0)
    distance = math.hypot(s, t)
    return distance, (ux * s / distance, uy * s / distance, up * t / distance)


def _box_distance(x: float, y: float, z: float, hx: float, hy: float, hz: float) -> tuple[float, Point]:
    """Of a box around the origin."""
    dx, dy, dz = abs(x) - hx, abs(y) - hy, abs(z) - hz
    if dx <= 0.0 and dy <= 0.0 and dz <= 0.0:
        if dz >= dx and dz >= dy:
            return dz, (0.0, 0.0, math.copysign(1.0, z))
        return (dx, (math.copysign(1.0, x), 0.0, 0.0)) if dx >= dy else (dy, (0.0, math.copysign(1.0, y), 0.0))
    ox, oy, oz = max(dx, 0.0), max(dy, 0.0), max(dz, 0.0)
    distance = math.sqrt(ox * ox + oy * oy + oz * oz)
    normal = (math.copysign(ox, x) / distance, math.copysign(oy, y) / distance, math.copysign(oz, z) / distance)
    return distance, normal


def ray_distance(shape: str, dimensions_m: Point, origin: Array, direction: Array, reach_m: float) -> float | None:
    """Distance along a ray to a part's surface, part's frame, m; None without a hit in `reach_m`.

    Args:
        shape: one of `shapes.SHAPES`.
        dimensions_m: full extents, m.
        origin: (3,) m; inside the part the distance is 0.
        direction: (3,) unit vector.
        reach_m: length of the ray.
    """
    ox, oy, oz = (float(v) for v in origin)
    dx, dy, dz = (float(v) for v in direction)
    nearest = math.inf
    for axis, (cx, cy, cz), (hx, hy, hz) in solids_of(shape, dimensions_m):
        at, along, half = (ox - cx, oy - cy, oz - cz), (dx, dy, dz), (hx, hy, hz)
        enter, leave = 0.0, math.inf
        for k in range(3) if axis < 0 else (axis,):
            first, last = _slab(at[k], along[k], half[k])
            enter, leave = max(enter, first), min(leave, last)
        if axis >= 0:
            i, j = (axis + 1) % 3, (axis + 2) % 3
            first, last = _circle(at[i], at[j], along[i], along[j], half[i])
            enter, leave = max(enter, first), min(leave, last)
        if enter <= leave:
            nearest = min(nearest, enter)
    return nearest if nearest <= reach_m else None


def _slab(at: float, along: float, half: float) -> tuple[float, float]:
    """Where a ray enters and leaves |coordinate| <= half; enters after it leaves if it never does."""
    if abs(along) < 1e-15:
        return (-math.inf, math.inf) if abs(at) <= half else (math.inf, -math.inf)
    first, last = (-half - at) / along, (half - at) / along
    return (first, last) if first <= last else (last, first)


def _circle(x: float, y: float, dx: float, dy: float, radius: float) -> tuple[float, float]:
    """As `_slab` for a circle."""
    a, b, c = dx * dx + dy * dy, x * dx + y * dy, x * x + y * y - radius * radius
    if a < 1e-24:
        return (-math.inf, math.inf) if c <= 0.0 else (math.inf, -math.inf)
    root = b * b - a * c
    if root < 0.0:
        return math.inf, -math.inf
    root = math.sqrt(root)
    return (-b - root) / a, (-b + root) / a


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
