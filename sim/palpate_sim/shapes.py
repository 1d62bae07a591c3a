"""Families of shapes as unions of boxes and cylinders, in the part's frame. No simulator.

Origin at the centre of the bounding box, z up as the part lies, x and y along its extents. Only the outside is a union:
what is inside (walls, ribs) counts for the mass and for how a wall gives way, but no tool reaches it.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Point = tuple[float, float, float]

SHAPES = ("block", "plate", "cylinder", "tube", "bottle", "bracket", "housing")
"""Box; low and wide box; upright cylinder; upright hollow cylinder with closed ends; flat-sided bottle on its broad
side with its neck along +y; plate with an upright flange at its -y end; box open downwards with ribs across y."""

BOTTLE_NECK_SHARE = 0.22
"""Length of a bottle's neck over its whole length."""
BRACKET_THICKNESS_SHARE, BRACKET_THICKNESS_M = 0.35, (0.006, 0.012)
"""Thickness of a bracket over its height, and its limits: a grasp at half height must reach the plate's edges."""
FLANGE_SHARE = 0.09
"""A bracket's flange is no thicker than this share of its length: from above it must not look like a second part."""
RIB_THICKNESS_SHARE, RIB_HEIGHT_SHARE = 0.6, 0.5
"""Of a housing's ribs, over its wall and over its inner height (rule of moulding: ribs of 0.5 to 0.7 walls)."""


class Solid(NamedTuple):
    """One primitive of a union.

    Attributes:
        axis: of a cylinder, 0 to 2; -1: a box.
        center: (3,) m.
        half: (3,) half extents, m; a cylinder has its radius across its axis.
    """

    axis: int
    center: Point
    half: Point


@lru_cache(maxsize=4096)
def solids_of(shape: str, dimensions_m: Point) -> tuple[Solid, ...]:
    """The outside of a part.

    Args:
        shape: one of SHAPES.
        dimensions_m: full extents, m.

    Raises:
        ValueError: unknown shape, or extents that are not positive and finite.
    """
    if not all(math.isfinite(extent) and extent > 0.0 for extent in dimensions_m):
        raise ValueError(f"dimensions_m are {dimensions_m}; they must be finite and above 0 m")
    x, y, z = (0.5 * float(extent) for extent in dimensions_m)
    if shape in ("block", "plate", "housing"):
        return (Solid(-1, (0.0, 0.0, 0.0), (x, y, z)),)
    if shape in ("cylinder", "tube"):
        return (Solid(2, (0.0, 0.0, 0.0), (x, x, z)),)
    if shape == "bottle":
        radius, neck = bottle_neck_m(dimensions_m)
        body = Solid(-1, (0.0, -0.5 * neck, 0.0), (x, y - 0.5 * neck, z))
        inside = 0.5 * (y - neck)  # the neck goes on inside, so that the union has no seam
        return body, Solid(1, (0.0, y - 0.5 * (neck + inside), 0.0), (radius, 0.5 * (neck + inside), radius))
    if shape == "bracket":
        half, flange = (0.5 * thickness for thickness in bracket_thickness_m(dimensions_m))
        return Solid(-1, (0.0, 0.0, half - z), (x, y, half)), Solid(-1, (0.0, flange - y, 0.0), (x, flange, z))
    raise ValueError(f"shape {shape!r} is not one of {', '.join(SHAPES)}")


def bottle_neck_m(dimensions_m: Point) -> tuple[float, float]:
    """Radius and length of a bottle's neck, m."""
    x, y, z = dimensions_m
    return min(0.25 * x, 0.4 * z), BOTTLE_NECK_SHARE * y


def bracket_thickness_m(dimensions_m: Point) -> tuple[float, float]:
    """Thickness of a bracket's plate and of its flange, m."""
    low, high = BRACKET_THICKNESS_M
    plate = min(max(BRACKET_THICKNESS_SHARE * dimensions_m[2], low), high, 0.5 * dimensions_m[2])
    return plate, min(plate, FLANGE_SHARE * dimensions_m[1])


def rib_places_m(dimensions_m: Point, wall_thickness_m: float, rib_pitch_m: float) -> tuple[float, ...]:
    """Places of a housing's ribs along y, m: symmetrically, a pitch apart, and none touches an end wall."""
    if not math.isfinite(rib_pitch_m) or rib_pitch_m <= 0.0 or not math.isfinite(wall_thickness_m):
        return ()
    inner = dimensions_m[1] - 2.0 * wall_thickness_m
    count = max(math.ceil(inner / rib_pitch_m) - 1, 0)
    return tuple((k - 0.5 * (count - 1)) * rib_pitch_m for k in range(count))


def solid_volume_m3(
    shape: str, dimensions_m: Point, wall_thickness_m: float = math.inf, rib_pitch_m: float = math.inf
) -> float:
    """Volume of material, m3.

    Args:
        shape: one of SHAPES.
        dimensions_m: full extents, m.
        wall_thickness_m: inf when solid. Blocks, plates, cylinders and tubes are closed shells, bottles have an open
            neck, housings an open bottom; brackets are solid whatever this says.
        rib_pitch_m: between a housing's ribs; inf: none.

    Raises:
        ValueError: see `solids_of`.
    """
    outer = outside_volume_m3(shape, dimensions_m)
    if shape == "bracket" or math.isinf(wall_thickness_m):
        return outer
    wall = wall_thickness_m
    x, y, z = dimensions_m
    if shape == "bottle":
        radius, neck = bottle_neck_m(dimensions_m)
        body = _box(x - 2.0 * wall, y - neck - 2.0 * wall, z - 2.0 * wall)
        return outer - body - math.pi * max(radius - wall, 0.0) ** 2 * (neck + wall)
    if shape == "housing":
        inner_x, inner_z = max(x - 2.0 * wall, 0.0), max(z - wall, 0.0)
        ribs = len(rib_places_m(dimensions_m, wall, rib_pitch_m)) * RIB_THICKNESS_SHARE * RIB_HEIGHT_SHARE
        return outer - _box(inner_x, y - 2.0 * wall, inner_z) + ribs * wall * inner_x * inner_z
    share = 0.25 * math.pi if shape in ("cylinder", "tube") else 1.0
    return outer - share * _box(x - 2.0 * wall, y - 2.0 * wall, z - 2.0 * wall)


def outside_volume_m3(shape: str, dimensions_m: Point) -> float:
    """Volume inside the outer surface, m3.

    Raises:
        ValueError: see `solids_of`.
    """
    solids = solids_of(shape, dimensions_m)
    x, y, z = dimensions_m
    if shape == "bottle":
        radius, neck = bottle_neck_m(dimensions_m)
        return _box(x, y - neck, z) + math.pi * radius**2 * neck
    if shape == "bracket":
        plate, flange = bracket_thickness_m(dimensions_m)
        return _box(x, y, plate) + _box(x, flange, z - plate)
    return (0.25 * math.pi if solids[0].axis >= 0 else 1.0) * _box(x, y, z)


def _box(x: float, y: float, z: float) -> float:
    return max(x, 0.0) * max(y, 0.0) * max(z, 0.0)


def center_of_mass_m(shape: str, dimensions_m: Point) -> Point:
    """Centre of mass (3,) in the part's frame, m, as if it were full (walls change it by a few millimetres)."""
    x, y, z = dimensions_m
    if shape == "bottle":
        radius, neck = bottle_neck_m(dimensions_m)
        body, mouth = _box(x, y - neck, z), math.pi * radius**2 * neck
        return 0.0, (mouth * 0.5 * (y - neck) - body * 0.5 * neck) / (body + mouth), 0.0
    if shape == "bracket":
        thick, upright = bracket_thickness_m(dimensions_m)
        plate, flange = _box(x, y, thick), _box(x, upright, z - thick)
        total = plate + flange
        return 0.0, flange * 0.5 * (upright - y) / total, (plate * 0.5 * (thick - z) + flange * 0.5 * thick) / total
    solids_of(shape, dimensions_m)
    return 0.0, 0.0, 0.0


def top_height_m(shape: str, dimensions_m: Point, x: Array, y: Array) -> Array:
    """Height of the surface over the part's lowest point, m, seen from above; NaN beside the footprint.

    Args:
        shape: one of SHAPES.
        dimensions_m: full extents, m.
        x: (...) places in the part's frame, m.
        y: (...) as x.
    """
    top = np.full(np.broadcast(x, y).shape, -np.inf)
    for solid in solids_of(shape, dimensions_m):
        (cx, cy, cz), (hx, hy, hz) = solid.center, solid.half
        dx, dy = np.abs(np.asarray(x, float) - cx), np.abs(np.asarray(y, float) - cy)
        inside = (dx <= hx) & (dy <= hy)
        rise = np.full(top.shape, hz)
        if solid.axis == 2:
            inside = dx**2 + dy**2 <= hx**2
        elif solid.axis >= 0:
            rise = np.sqrt(np.maximum(hz**2 - (dy if solid.axis == 0 else dx) ** 2, 0.0))
        top = np.maximum(top, np.where(inside, cz + rise, -np.inf))
    return np.where(np.isfinite(top), top + 0.5 * dimensions_m[2], np.nan)


def on_footprint(shape: str, dimensions_m: Point, x: Array, y: Array) -> NDArray[np.bool_]:
    """True where a place (part's frame, m) lies over the part, seen from above."""
    return np.isfinite(top_height_m(shape, dimensions_m, x, y))
