"""A part library without PyBullet: flat blocks that are seen and reached everywhere but at their rims; and goals."""

from __future__ import annotations

import numpy as np

from palpate_agents.probing.decoder import GoalArrays
from palpate_sim.library import LibraryRows, PartLibrary, placement
from palpate_sim.part_geometry import GEOMETRIES_PER_CLASS, GEOMETRY_CLASSES, geometry_of
from palpate_sim.surface_maps import GRID


def flat_library() -> PartLibrary:
    names = [(name, number) for name in GEOMETRY_CLASSES for number in range(GEOMETRIES_PER_CLASS)]
    size = np.array([geometry_of(*name).dimensions_m for name in names])
    place = np.array([placement(*name) for name in names])
    n, turned = len(names), size[:, 1] > size[:, 0]
    extent = np.where(turned[:, None], size[:, [1, 0, 2]], size)
    reach = np.zeros((n, GRID, GRID, 4), bool)
    reach[:, 1:-1, 1:-1] = True
    normal = np.zeros((n, GRID, GRID, 3))
    normal[..., 2] = 1.0
    rows = LibraryRows(
        position_m=place[:, :2],
        yaw_rad=place[:, 2],
        seen_center_m=np.zeros((n, 2)),
        seen_yaw_rad=np.where(turned, 0.5 * np.pi, 0.0),
        seen_extent_m=extent,
        seen_volume_m3=extent.prod(axis=1),
        height_m=np.broadcast_to(size[:, 2, None, None], (n, GRID, GRID)).copy(),
        normal=normal,
        visible=np.ones((n, GRID, GRID), bool),
        shade=np.full((n, GRID, GRID), 0.9),
        reach=reach,
        graspable=extent[:, 1] < 0.078,
    )
    return PartLibrary(rows, {name: row for row, name in enumerate(names)})


def goals_at(cell, primitive, point, **changes) -> GoalArrays:
    """The same goal in every cell; what is not given is 0."""
    n = cell.cells
    zero = np.zeros(n)
    goals = GoalArrays(
        np.full(n, int(primitive)), np.broadcast_to(np.asarray(point, float), (n, 2)), zero, zero, zero, zero, zero,
        zero, zero, np.zeros(n, np.int64),
    )  # fmt: skip
    return goals._replace(**{name: np.full(n, value) for name, value in changes.items()})
