"""Where the pixels of a picture look: their rays, and where these meet the table. NumPy only."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from palpate_agents.medians import middle
from palpate_agents.observation import CameraGeometry, FloatArray

KEPT = 8
"""Boxes of pixels that are remembered, about 1 MB each: a camera that stands still sees one part many times."""


class TableRays(NamedTuple):
    """Rays of a box of pixels. Read-only: the next picture of the same camera gets the very same arrays.

    Attributes:
        origin_m: (3,) camera centre, base frame.
        rays: (3, h, w) x, y and z of rays with unit depth along the optical axis, base frame.
        table_depth_m: (h, w) depth at which each ray meets the table plane; far away for rays that never do.
        on_table_m: (3, h, w) the points there.
        pixel_m: width that a pixel covers on the table, median of the box.
    """

    origin_m: FloatArray
    rays: FloatArray
    table_depth_m: FloatArray
    on_table_m: FloatArray
    pixel_m: float


def rays_to_table(camera: CameraGeometry, rows: slice, cols: slice, table_height_m: float) -> TableRays:
    """Rays of the pixels in some rows and columns.

    Args:
        camera: its pose and focal lengths.
        rows: of the box, with start and stop.
        cols: likewise.
        table_height_m: z of the table, base frame.
    """
    pose = np.ascontiguousarray(np.asarray(camera.pose, np.float64)[:3])
    box = (int(rows.start), int(rows.stop), int(cols.start), int(cols.stop))
    return _rays_to_table(camera.fx, camera.fy, camera.cx, camera.cy, pose.tobytes(), box, float(table_height_m))


@lru_cache(maxsize=KEPT)
def _rays_to_table(
    fx: float, fy: float, cx: float, cy: float, pose: bytes, box: tuple[int, int, int, int], table_height_m: float
) -> TableRays:
    base = np.frombuffer(pose, np.float64).reshape(3, 4)
    origin = base[:, 3]
    v, u = np.mgrid[box[0] : box[1], box[2] : box[3]].astype(np.float64)
    local = np.stack([(u - cx) / fx, (v - cy) / fy, np.ones_like(u)], axis=-1)
    rays = np.ascontiguousarray(np.moveaxis(local @ base[:, :3].T, -1, 0))
    down = np.where(rays[2] < -1e-6, rays[2], -1e-6)
    depth = np.clip((table_height_m - origin[2]) / down, 0.0, 100.0)
    on_table = rays * depth
    on_table += origin[:, None, None]
    away = on_table - origin[:, None, None]
    away *= away
    # The root keeps the order, so that only the middle needs one.
    low, high = np.sqrt(middle((away[0] + away[1] + away[2]).ravel()))
    pixel_m = float((low + high) / 2.0) / fx
    for array in (rays, depth, on_table):
        array.flags.writeable = False
    return TableRays(origin, rays, depth, on_table, pixel_m)
