"""Where goals of the seen frame lie on n parts, and whether the arm gets there, from what the part library knows."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from palpate_agents.observation import Outcome, Primitive
from palpate_agents.probing.decoder import GoalArrays
from palpate_agents.probing.spot_quality import pairs
from palpate_sim.batch.timing import Places
from palpate_sim.library import LibraryRows
from palpate_sim.motion import MotionLimits
from palpate_sim.surface_maps import GRID

Floats = NDArray[np.float64]

LIMITS = MotionLimits()
REACH_OF = np.array([3, 0, 0, 0, 1, 0, 0, 1, 2])
"""Last axis of `LibraryRows.reach` (`library.TOOLS`) by primitive."""
TRACK_POINTS, CLIMB_M, MIN_TRACK = 6, 0.0015, 0.3
"""Places along a slide whose heights are compared; a higher step stops the tool; shorter ways count as no contact."""
_SHARES = np.linspace(0.0, 1.0, TRACK_POINTS)
_LOOK, _LIFT = int(Primitive.LOOK), int(Primitive.LIFT)
_SUCCEEDED, _NO_CONTACT = int(Outcome.SUCCEEDED), int(Outcome.NO_CONTACT)
_UNREACHABLE, _GRASP_FAILED = int(Outcome.UNREACHABLE), int(Outcome.GRASP_FAILED)


class Targets(NamedTuple):
    """What n probes find.

    Attributes:
        reached: (n,) bool, the arm sets out.
        outcome: (n,) int64 of `Outcome`, as far as the place decides it.
        height_m: (n,) of the surface over the table, 0 beside the part.
        there: (n,) bool, the place is not beside the part.
    """

    reached: NDArray[np.bool_]
    outcome: NDArray[np.int64]
    height_m: Floats
    there: NDArray[np.bool_]


def part_frame(rows: LibraryRows, axis_rad: Floats, point_m: Floats) -> Floats:
    """(n, 2) points (n, 2) of the seen frame in the part's, m."""
    cos, sin = np.cos(axis_rad), np.sin(axis_rad)
    a, b = point_m[:, 0], point_m[:, 1]
    center = rows.seen_center_m
    points: Floats = pairs(center[:, 0] + cos * a - sin * b, center[:, 1] + sin * a + cos * b)
    return points


def way_of(goals: GoalArrays, axis_rad: Floats) -> Floats:
    """(n, 2) way of the slides in the part's frame, m."""
    angle = axis_rad + goals.slide_angle_rad
    way: Floats = pairs(goals.slide_m * np.cos(angle), goals.slide_m * np.sin(angle))
    return way


@lru_cache(maxsize=64)
def _numbers(n: int) -> NDArray[np.int64]:
    return np.arange(n)


def base_places(rows: LibraryRows, axis_rad: Floats, uv_m: Floats, height_m: Floats, width_m: Floats) -> Places:
    """Places in the base frame.

    Args:
        rows: of n parts.
        axis_rad: (n,) see `grids.seen_axis`.
        uv_m: (n, 2) part's frame.
        height_m: (n,) of the surface there.
        width_m: (n,) of the part between the fingers.
    """
    cos, sin = np.cos(rows.yaw_rad), np.sin(rows.yaw_rad)
    x = rows.position_m[:, 0] + cos * uv_m[:, 0] - sin * uv_m[:, 1]
    y = rows.position_m[:, 1] + sin * uv_m[:, 0] + cos * uv_m[:, 1]
    return Places(x, y, height_m, width_m, rows.yaw_rad + axis_rad + 0.5 * np.pi)


def targets(
    goals: GoalArrays, uv_m: Floats, axis_rad: Floats, rows: LibraryRows, dimensions_m: Floats
) -> tuple[GoalArrays, Targets]:
    """What the places of n probes make of them.

    Args:
        goals: as asked.
        uv_m: (n, 2) where the tools touch down, part's frame.
        axis_rad: (n,) see `grids.seen_axis`.
        rows: of n parts.
        dimensions_m: (n, 3) of the parts.

    Returns:
        The goals with slides that end where a step or an edge stops them, and what is found.
    """
    kind, every = goals.primitive, _numbers(len(goals.primitive))
    slides = goals.slide_m > 0.0
    place = uv_m[:, None, :]
    if np.count_nonzero(slides):
        place = place + way_of(goals, axis_rad)[:, None, :] * _SHARES[:, None]
    place = (place / dimensions_m[:, None, :2] + 0.5) * GRID
    cell = np.minimum(np.maximum(place, 0.0), GRID - 1.0).astype(np.int64)
    i, j = cell[..., 0], cell[..., 1]
    heights = rows.height_m[every[:, None], i, j]
    height = heights[:, 0]
    there = np.isfinite(height)
    reached = rows.reach[every, i[:, 0], j[:, 0], REACH_OF[kind]] | ~there
    outcome = np.where(reached, np.where(there | (kind == _LOOK), _SUCCEEDED, _NO_CONTACT), _UNREACHABLE)
    lift = kind == _LIFT
    if np.count_nonzero(lift):
        reached = np.where(lift, rows.graspable, reached)
        outcome = np.where(lift, np.where(reached, _SUCCEEDED, _GRASP_FAILED), outcome)
    if heights.shape[1] > 1:
        rise = heights - height[:, None]
        free = (rise < CLIMB_M) & (rise > -LIMITS.press_depth_m)  # False beside the part
        passed = np.add.reduce(np.multiply.accumulate(free, axis=1, dtype=np.int64), axis=1)
        done = (passed - 1.0) / (TRACK_POINTS - 1.0)
        lost = slides & (done < MIN_TRACK) & (outcome == 0)
        outcome = np.where(lost, _NO_CONTACT, outcome)
        goals = goals._replace(slide_m=np.where(slides, goals.slide_m * np.maximum(done, 0.0), 0.0))
    return goals, Targets(reached, outcome, np.where(there, height, 0.0), there)
