"""Which cells of a seen surface are good to touch, and the best of them near a point, for n parts at once.

NumPy, or torch through the array API.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from palpate_agents.arrays import Array, limited, namespace
from palpate_agents.encoders.surface_map import CELLS, CHANNELS

EDGE_M = 0.001
"""Kept between a slide and the edge of the seen box, beyond the tool's own half width."""
STEP_M = 0.0025
"""A cell that lies so far above or below its neighbours is half as good as a level one; depth has 1 mm of noise."""
SEEN = (0.3, 0.7)
"""Seen share of a cell at which it begins to count, and from which it counts in full."""
NEAR = 0.1
"""What a cell of distance costs, squared, against a quality of 0..1."""
INSIDE = 0.3
"""The asked point stays as it is within this share of a cell around the middle of the chosen one."""

_VALID, _HEIGHT = CHANNELS.index("valid_share"), CHANNELS.index("height_fraction")


class SeenPart(NamedTuple):
    """What the decoder knows of n parts.

    Attributes:
        surface: (n, 8, 8, C) maps, `surface_map.CHANNELS`.
        extent_m: (n, 3) length, width, height of the seen box.
        ground: (n, 8, 8) `level_ground` of both, if it is known.
    """

    surface: Array
    extent_m: Array
    ground: Array | None = None


def spot_quality(part: SeenPart, half_m: Array, way_m: Array | None = None) -> Array:
    """(n, 8, 8) how good each cell is to touch, 0..1: share of the tool's way that lies on seen, level ground.

    Args:
        part: n parts as seen.
        half_m: (n,) half of the tool's width, m.
        way_m: (n, 2) of a slide around the cell along length and width, m; None: no slide.
    """
    xp = namespace(part.extent_m)
    extent, apart = part.extent_m, _constant(xp, 1, part.extent_m)
    good = level_ground(part.surface, extent) if part.ground is None else part.ground
    reach = half_m[:, None] if way_m is None else half_m[:, None] + 0.5 * way_m
    # of the tool's way, 2 reach long, that lies over each cell
    cells = ((0.5 / CELLS) * extent[:, :2] / reach)[..., None, None]
    share = limited(0.5 + cells * (0.5 - apart), 0.0, 1.0)
    share = xp.minimum(share, cells)
    return good * xp.matmul(xp.matmul(share[:, 0], good), share[:, 1])


def level_ground(surface: Array, extent_m: Array) -> Array:
    """(n, 8, 8) how far each cell was seen and lies as high as its neighbours, 0..1; arguments as of `SeenPart`."""
    xp = namespace(extent_m)
    values = surface if xp is np else xp.astype(surface, extent_m.dtype)
    seen = values[..., _VALID]
    height = values[..., _HEIGHT] * extent_m[:, 2, None, None]
    near = _constant(xp, 0, extent_m)
    around = xp.matmul(near, xp.matmul(seen, near))
    mean = xp.matmul(near, xp.matmul(seen * height, near)) / (around + 1e-6)
    square = ((height - mean) * (1.0 / STEP_M)) ** 2
    return limited((seen - SEEN[0]) * (1.0 / (SEEN[1] - SEEN[0])), 0.0, 1.0) / (1.0 + square * square)


def snapped(part: SeenPart, asked_m: Array, half_m: Array, way_m: Array | None) -> Array:
    """(n, 2) where the tool touches down: the start of the way around the best cell near the asked point.

    Args:
        part: n parts as seen.
        asked_m: (n, 2) middle of the way, seen frame.
        half_m: (n,) half of the tool's width.
        way_m: (n, 2) along length and width; None: no slide.
    """
    xp = namespace(part.extent_m)
    extent = part.extent_m[:, :2]
    quality = spot_quality(part, half_m, way_m)
    cell = (1.0 / CELLS) * extent
    places = _constant(xp, 2, extent)
    away = (asked_m / cell)[:, :, None] - places
    cost = NEAR * away * away
    score = xp.reshape(quality - cost[:, 0, :, None] - cost[:, 1, None, :], (-1, CELLS * CELLS))
    best = xp.argmax(score, axis=1)
    middle = _constant(xp, 3, extent)[best] * cell
    slack = INSIDE * cell
    point = xp.minimum(xp.maximum(asked_m, middle - slack), middle + slack)
    if way_m is None:
        return point
    sliding = way_m > 0.0
    room = limited(0.5 * (extent - way_m) - (half_m + EDGE_M)[:, None], 0.0, math.inf)
    point = xp.where(sliding, xp.minimum(xp.maximum(point, -room), room), point)
    return point - 0.5 * way_m


def pairs(first: Array, second: Array) -> Array:
    """(n, 2) from two (n,); for a single part in a third of the time of `stack`."""
    if not isinstance(first, np.ndarray):
        return namespace(first).stack((first, second), axis=1)
    both = np.empty((len(first), 2))
    both[:, 0], both[:, 1] = first, second
    return both


@lru_cache(maxsize=1)
def _tables() -> tuple[np.ndarray, ...]:
    index = np.arange(CELLS)
    apart = np.abs(index[:, None] - index[None, :]).astype(float)
    places = index + 0.5 - 0.5 * CELLS
    both = np.stack(np.meshgrid(places, places, indexing="ij"), axis=-1).reshape(-1, 2)
    return 1.0 * (apart <= 1.0), apart, places, both


def _constant(xp: Any, number: int, like: Array) -> Array:
    values = _tables()[number]
    return values if xp is np else xp.asarray(values, dtype=like.dtype, device=like.device)
