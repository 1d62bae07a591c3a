"""Which geometries parts have: a finite set per class, so that what only the scene knows can be computed once for each.

A geometry is a pure function of its class and its number. What nobody sees from outside, the wall, has a number of
its own: from a finite set of shapes with fixed walls, weight alone would tell the material.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from palpate_agents.materials import Material
from palpate_sim import keyed
from palpate_sim import randomisation as rand
from palpate_sim.shapes import SHAPES, solid_volume_m3

GEOMETRY_CLASSES = ("light", "heavy", "sheet", "soft")
GEOMETRIES_PER_CLASS = 64
"""Numbers 0 to 63 of a class are drawn for parts."""
WALLS = 32
"""Walls that a geometry can have, solid among them where its shape allows."""
ASKED_PER_SHAPE = 8
"""Numbers 64 + 8 shape + k are the k-th of a shape that is asked for and that the class has not."""
GEOMETRY_LIMIT = GEOMETRIES_PER_CLASS + ASKED_PER_SHAPE * len(SHAPES)

SOFT_FAMILIES = ("foam", "rubber")
SHEET_MATERIALS = ("FR4", "CFRP", "cardboard", "MDF")
HEAVY_KG_M3 = 2000.0
"""Denser parts are drawn smaller: the arm lifts about 1 kg beside its tool."""

SHAPE_SHARES: dict[str, dict[str, float]] = {
    "light": {"block": 0.25, "plate": 0.125, "cylinder": 0.125, "tube": 0.125, "bottle": 0.125, "bracket": 0.125,
              "housing": 0.125},
    "heavy": {"block": 0.3125, "plate": 0.1875, "cylinder": 0.125, "tube": 0.125, "bracket": 0.125, "housing": 0.125},
    "sheet": {"block": 0.1875, "plate": 0.625, "bracket": 0.1875},
    "soft": {"block": 0.6875, "cylinder": 0.3125},
}  # fmt: skip
"""Assumed; whole numbers of 64ths."""

EXTENTS_MM: dict[str, dict[str, tuple[tuple[int, int, int], tuple[int, int, int]]]] = {
    "small": {
        "block": ((28, 30, 12), (45, 60, 32)),
        "plate": ((32, 45, 10), (50, 75, 14)),
        "cylinder": ((30, 30, 20), (46, 46, 36)),
        "tube": ((30, 30, 20), (46, 46, 36)),
        "bottle": ((30, 50, 20), (42, 64, 30)),
        "bracket": ((28, 42, 18), (45, 62, 30)),
        "housing": ((32, 42, 16), (48, 64, 30)),
    },
    "large": {
        "block": ((30, 32, 16), (66, 95, 55)),
        "plate": ((36, 50, 10), (68, 100, 16)),
        "cylinder": ((32, 32, 20), (62, 62, 55)),
        "tube": ((32, 32, 20), (62, 62, 55)),
        "bottle": ((36, 64, 24), (60, 100, 42)),
        "bracket": ((30, 50, 18), (60, 90, 30)),
        "housing": ((36, 50, 16), (66, 95, 45)),
    },
}
"""Lowest and highest full extents x, y, z. A hand of 80 mm opening takes every part across its narrower side."""


class Geometry(NamedTuple):
    """A shape with its measures.

    Attributes:
        shape: one of `shapes.SHAPES`.
        dimensions_m: (3,) full extents x, y, z as it lies, m.
        wall_thickness_m: inf when solid, m.
        rib_pitch_m: between the ribs of a housing, inf without, m.
    """

    shape: str
    dimensions_m: tuple[float, float, float]
    wall_thickness_m: float
    rib_pitch_m: float


def geometry_class(entry: Material) -> str:
    """Class of the geometries that parts of a material have."""
    if entry.family in SOFT_FAMILIES:
        return "soft"
    if entry.id in SHEET_MATERIALS:
        return "sheet"
    return "heavy" if entry.density_kg_m3 > HEAVY_KG_M3 else "light"


@lru_cache(maxsize=4 * GEOMETRY_LIMIT * WALLS)
def geometry_of(class_name: str, geometry_id: int, wall_number: int = 0) -> Geometry:
    """The geometry with a number.

    Args:
        class_name: one of GEOMETRY_CLASSES.
        geometry_id: 0 to 63, or of a shape that was asked for, see `geometry_ids_of_shape`.
        wall_number: 0 to WALLS - 1; nothing outside depends on it.

    Raises:
        ValueError: unknown class, or a number out of range.
    """
    if class_name not in GEOMETRY_CLASSES:
        raise ValueError(f"geometry class {class_name!r} is not one of {', '.join(GEOMETRY_CLASSES)}")
    if not 0 <= geometry_id < GEOMETRY_LIMIT:
        raise ValueError(f"geometry {geometry_id} is not from 0 to {GEOMETRY_LIMIT - 1}")
    if not 0 <= wall_number < WALLS:
        raise ValueError(f"wall {wall_number} is not from 0 to {WALLS - 1}")
    asked = geometry_id - GEOMETRIES_PER_CLASS
    place = (geometry_id + 0.5) / GEOMETRIES_PER_CLASS
    shape = SHAPES[asked // ASKED_PER_SHAPE] if asked >= 0 else _shape_at(class_name, place)
    key = keyed.combine(keyed.keys_of(0, geometry_id), "geometry", class_name)
    x, y, z = _extents_m(class_name, shape, keyed.uniform(key, "extents", (3,))[0])
    ribs, pitch = (float(u) for u in keyed.uniforms(key, ("ribs", "pitch"))[:, 0])
    inside = keyed.combine(key, wall_number)
    wall, hollow = (float(u) for u in keyed.uniforms(inside, ("wall", "hollow"))[:, 0])
    thickness = rib_pitch = math.inf
    if shape in ("tube", "bottle", "housing") or (shape == "block" and hollow < rand.HOLLOW_SHARE[class_name]):
        name = {"bottle": "wall_bottle_m", "housing": "wall_housing_m"}.get(shape, "wall_m")
        thickness = float(rand.GEOMETRY[name].at(np.asarray(wall)))
    if shape == "housing" and ribs < rand.RIBBED_SHARE:
        rib_pitch = float(rand.GEOMETRY["rib_pitch_m"].at(np.asarray(pitch)))
    return Geometry(shape, (x, y, z), thickness, rib_pitch)


def _shape_at(class_name: str, place: float) -> str:
    total = 0.0
    for shape, share in SHAPE_SHARES[class_name].items():
        total += share
        if place < total:
            return shape
    raise ValueError(f"the shares of {class_name} add up to {total}")


def _extents_m(class_name: str, shape: str, place: NDArray[np.float64]) -> tuple[float, float, float]:
    low, high = EXTENTS_MM["small" if class_name == "heavy" else "large"][shape]
    x, y, z = (1e-3 * (a + (b - a) * float(u)) for a, b, u in zip(low, high, place, strict=True))
    return (x, x, z) if shape in ("cylinder", "tube") else (x, y, z)


@lru_cache(maxsize=256)
def geometry_ids_of_shape(class_name: str, shape: str) -> tuple[int, ...]:
    """Numbers of a class's geometries with a shape; without one among 0 to 63, those kept for such a case.

    Raises:
        ValueError: unknown class or shape.
    """
    if shape not in SHAPES:
        raise ValueError(f"shape {shape!r} is not one of {', '.join(SHAPES)}")
    ids = tuple(k for k in range(GEOMETRIES_PER_CLASS) if geometry_of(class_name, k).shape == shape)
    first = GEOMETRIES_PER_CLASS + ASKED_PER_SHAPE * SHAPES.index(shape)
    return ids or tuple(range(first, first + ASKED_PER_SHAPE))


class GeometryTable(NamedTuple):
    """All geometries, indexed by class and number.

    Attributes:
        shape: (4, K) index into `shapes.SHAPES`.
        dimensions_m: (4, K, 3).
        rib_pitch_m: (4, K).
        wall_thickness_m: (4, K, WALLS).
        volume_m3: (4, K, WALLS) of material.
    """

    shape: NDArray[np.int64]
    dimensions_m: NDArray[np.float64]
    wall_thickness_m: NDArray[np.float64]
    rib_pitch_m: NDArray[np.float64]
    volume_m3: NDArray[np.float64]


@lru_cache(maxsize=1)
def geometry_table() -> GeometryTable:
    """The geometries of every class as arrays."""
    numbers = range(GEOMETRY_LIMIT)
    every = [[geometry_of(name, k) for k in numbers] for name in GEOMETRY_CLASSES]
    walls = [[[geometry_of(name, k, w) for w in range(WALLS)] for k in numbers] for name in GEOMETRY_CLASSES]
    return GeometryTable(
        np.array([[SHAPES.index(g.shape) for g in row] for row in every], np.int64),
        np.array([[g.dimensions_m for g in row] for row in every]),
        np.array([[[g.wall_thickness_m for g in cell] for cell in row] for row in walls]),
        np.array([[g.rib_pitch_m for g in row] for row in every]),
        np.array([[[solid_volume_m3(*g) for g in cell] for cell in row] for row in walls]),
    )


def constants() -> dict[str, Any]:
    """What geometries are drawn from, for the hash of the randomisation."""
    return {"shares": SHAPE_SHARES, "extents": EXTENTS_MM, "soft": SOFT_FAMILIES, "sheet": SHEET_MATERIALS,
            "heavy": HEAVY_KG_M3, "count": [GEOMETRIES_PER_CLASS, ASKED_PER_SHAPE, WALLS]}  # fmt: skip
