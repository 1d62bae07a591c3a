"""What a touch changed on the surface: the place under it in the map of a LOOK, less that in the map from before.

The ball may dent, a wipe bares what was under dust or water, a scratch what was under paint. Warm pads and the hand
change nothing that a camera sees and do not count.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from palpate_agents.arrays import Array, limited, namespace
from palpate_agents.encoders.surface_map import CELLS, LUMA, SurfaceView
from palpate_agents.observation import FloatArray, Primitive, ProbeExecution, ProbeWindows
from palpate_agents.segmentation import PartView

NAMES: tuple[str, ...] = (
    "contact_lightness_change_over_table", "contact_red_green_change_fraction",
    "contact_yellow_blue_change_fraction", "contact_height_change_mm",
)  # fmt: skip
TOUCHES = (Primitive.PRESS, Primitive.TAP, Primitive.SLIDE, Primitive.WIPE, Primitive.SCRATCH)
SEEN = 0.05
"""With less of the place seen in either map, nothing is known of its change."""
WAY = np.linspace(0.0, 1.0, 5)[:, None]
"""Shares of the way at which the surface is looked at."""
KNOWN_WAY = 0.5
"""A tip that moved less than this share of the reported way does not tell its direction."""
_CELLS = np.arange(float(CELLS))


class Touched(NamedTuple):
    """The newest touch since the last LOOK.

    Attributes:
        start_m: (2,) x and y where the tool touched down, base frame.
        way_m: (2,) from there to where a drawn tool left; 0 for a touch, and where the direction is not known.
        view: box of the map from before.
        surface: that map.
    """

    start_m: FloatArray
    way_m: FloatArray
    view: PartView
    surface: SurfaceView


def touch_of(
    execution: ProbeExecution, windows: ProbeWindows, view: PartView | None, surface: SurfaceView | None
) -> Touched | None:
    """The touch of a window; None when nothing was touched or no map of before is known.

    Args:
        execution: what the arm did.
        windows: the tip's way tells the direction of a drawn tool.
        view: the part as known before the touch.
        surface: likewise.
    """
    if view is None or not view.found or surface is None:
        return None
    start = np.asarray(execution.contact_point_m, np.float64)[:2]
    return Touched(start, _way_m(execution, windows), view, surface)


def touches(execution: ProbeExecution) -> bool:
    """Whether a probe touched the surface with something that may change it."""
    return execution.primitive in TOUCHES and execution.contact_time_ns > 0


def _way_m(execution: ProbeExecution, windows: ProbeWindows) -> FloatArray:
    """(2,) way of a drawn tool, m: its reported length in the direction in which the tip moved."""
    length, tip = execution.slide_distance_m, np.asarray(windows.tip_positions_m, np.float64)
    times = np.asarray(windows.joint_times_s, np.float64)
    if not length > 0.0 or tip.ndim != 2 or tip.shape[1:] != (3,) or len(tip) != len(times):
        return np.zeros(2)
    after = tip[(times >= 0.0) & np.isfinite(tip).all(axis=1)][:, :2]
    if len(after) < 2:
        return np.zeros(2)
    moved: FloatArray = after[-1] - after[0]
    distance = float(np.hypot(*moved))
    return moved * (length / distance) if KNOWN_WAY * length < distance < 2.0 * length else np.zeros(2)


def change_of(touched: Touched | None, view: PartView, surface: SurfaceView | None) -> FloatArray:
    """(4,) what the touch changed, in the order of NAMES; NaN where there was no touch or a map is missing.

    Args:
        touched: the newest touch since the last LOOK.
        view: box of the new map.
        surface: the map of this LOOK.
    """
    if touched is None or surface is None:
        return np.full(len(NAMES), np.nan)
    views = np.stack([touched.surface.values, surface.values]).astype(np.float64)
    places, ways = np.stack([_in_box(touched, touched.view), _in_box(touched, view)], axis=1)
    before, now = look_under(views, np.array([touched.view.extent_m[2], view.extent_m[2]]), places, ways)
    difference: FloatArray = now - before
    return difference


def _in_box(touched: Touched, view: PartView) -> FloatArray:
    """(2, 2) start and way of a touch along length and width of a seen box, over them."""
    cos, sin = np.cos(view.yaw_rad), np.sin(view.yaw_rad)
    axes = np.array([[cos, sin], [-sin, cos]])
    from_middle = np.stack([touched.start_m - np.asarray(view.centroid_m[:2]), touched.way_m])
    turned: FloatArray = from_middle @ axes.T / np.maximum(view.extent_m[:2], 1e-3)
    return turned


def look_under(views: Array, height_m: Array, places: Array, ways: Array) -> Array:
    """How n maps look along a way; pure, through the array API.

    The map is read between the middles of its cells, so that a place counts the cells within one cell of it.

    Args:
        views: (n, 8, 8, C) surface maps, `surface_map.CHANNELS`.
        height_m: (n,) height of the seen boxes, m.
        places: (n, 2) where the way begins, over length and width of the box, -0.5..0.5; cut to the map.
        ways: (n, 2) from there to its end, over the same.

    Returns:
        (n, 4) lightness over the table's, red less green and yellow less blue over it, height mm; NaN where it was
        not seen.
    """
    xp, n = namespace(views), views.shape[0]
    shares, cells = WAY, _CELLS
    if xp is not np:
        shares, cells = (xp.asarray(fixed, dtype=views.dtype, device=views.device) for fixed in (WAY, _CELLS))
    at = limited((places[:, None, :] + ways[:, None, :] * shares) * CELLS + (0.5 * CELLS - 0.5), 0.0, CELLS - 1.0)
    near = limited(1.0 - xp.abs(at[..., None] - cells), 0.0, 1.0)
    weight = xp.matmul(xp.permute_dims(near[:, :, 0], (0, 2, 1)), near[:, :, 1])
    seen = views[..., 0]
    weight = xp.reshape(weight * seen * (seen > SEEN), (n, 1, CELLS * CELLS))
    total = weight.sum(axis=2)
    mean = xp.matmul(weight, xp.reshape(views, (n, CELLS * CELLS, views.shape[3])))[:, 0]
    mean = mean / xp.where(total > SEEN * len(WAY), total, xp.full_like(total, np.nan))
    red, green, blue = mean[:, 1], mean[:, 2], mean[:, 3]
    light = LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue
    base = 1.0 / limited(light, 0.03, 1e9)
    found = [light, (red - green) * base, (0.5 * (red + green) - blue) * base, mean[:, 7] * height_m * 1e3]
    return xp.stack(found, axis=1)
