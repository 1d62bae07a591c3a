"""Visual features of a part: colour, patches, gloss, texture, holes in depth, and size, from the map of its surface.

Colours are relative to the bare table beside the part, which cancels exposure and white balance. The features are
computed from the surface map alone, so that the batched environment, which has no pictures, has the same.
"""

from __future__ import annotations

import numpy as np

from palpate_agents.arrays import Array, limited, namespace
from palpate_agents.encoders import contact_change
from palpate_agents.encoders.context import PartContext
from palpate_agents.encoders.reading import Reading, Unusable, reading
from palpate_agents.encoders.surface_map import LUMA, surface_of
from palpate_agents.observation import Primitive, ProbeExecution, ProbeWindows

NAMES: tuple[str, ...] = (
    "red_over_table", "green_over_table", "blue_over_table", "lightness_over_table", "table_difference_over_table",
    "red_green_fraction", "yellow_blue_fraction", "chroma_fraction", "saturation_fraction",
    "lightness_p05_over_table", "lightness_p50_over_table", "lightness_p95_over_table",
    "lightness_spread_over_table", "red_green_spread_fraction", "yellow_blue_spread_fraction",
    "patch_share_fraction", "patch_lightness_over_table", "dark_share_fraction",
    "texture_fraction", "texture_p50_fraction", "highlight_share_fraction", "highlight_max_fraction",
    "depth_hole_fraction", "depth_hole_max_fraction",
    "height_mean_fraction", "height_spread_fraction", "outline_fill_fraction",
    "length_mm", "width_mm", "height_mm", "log10_volume_mm3", "fill_fraction", *contact_change.NAMES,
)  # fmt: skip
"""In this order. `over_table`: the bare table's lightness is 1; `patch`: cells whose colour is not the usual one;
`contact`: what the newest touch since the last LOOK changed under it, NaN without one."""

MIN_PIXELS = 30
SEEN = 0.05
"""A cell of which less was seen has no say."""
DARK, PATCH = 0.35, 0.25
"""Over the table's lightness: below is dark; a cell farther than that from the median colour belongs to a patch."""
LOW, MIDDLE, HIGH = 3, 32, 60
"""Places of 5, 50 and 95 % among 64 sorted cells."""
NOT_MEASURED = "not measured by this primitive"


def features_of_view(views: Array, extent_m: Array, volume_m3: Array, change: Array | None = None) -> Array:
    """Features of n parts; pure, through the array API.

    Args:
        views: (n, 8, 8, C) surface maps, `surface_map.CHANNELS`.
        extent_m: (n, 3) length, width, height of the seen box, m.
        volume_m3: (n,) seen volume, m3; NaN where unknown.
        change: (n, 4) in the order of `contact_change.NAMES`; None: nothing was touched.

    Returns:
        (n, F) in the order of NAMES.
    """
    xp = namespace(views)
    n = views.shape[0]
    cells = xp.reshape(views, (n, -1, views.shape[-1]))
    seen, red, green, blue, texture, highlight, hole, height = (cells[:, :, k] for k in range(8))
    seen = seen * (seen > SEEN)
    weight = (seen / limited(seen.sum(axis=1), 1e-6, 64.0)[:, None])[:, :, None]
    light = LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue
    base = 1.0 / limited(light, 0.03, 1e9)
    red_green, yellow_blue = (red - green) * base, (0.5 * (red + green) - blue) * base
    peak, low = xp.maximum(xp.maximum(red, green), blue), xp.minimum(xp.minimum(red, green), blue)
    chroma = xp.sqrt(red_green * red_green + yellow_blue * yellow_blue)
    saturation = (peak - low) / limited(peak, 0.03, 1e9)
    dark = limited((DARK - light) * 10.0 + 0.5, 0.0, 1.0)
    rough = texture * base
    each = [light, red_green, yellow_blue, rough, height, red, green, blue, chroma, saturation, dark, highlight, hole]
    values = xp.concat([row[:, None, :] for row in each], axis=1)
    mean = xp.matmul(values, weight)
    away = values[:, :5] - mean[:, :5]
    spread = xp.sqrt(xp.matmul(away * away, weight))[:, :, 0]
    # What was not seen has the mean, so that it does not move the order's ends.
    ordered = xp.sort(mean[:, :4] + away[:, :4] * (seen > 0.0)[:, None, :], axis=2)
    middle = ordered[:, :, MIDDLE]
    mean = mean[:, :, 0]
    unusual = xp.abs(values[:, :3] - middle[:, :3, None])
    difference = unusual[:, 0] + 0.5 * (unusual[:, 1] + unusual[:, 2]) * light
    strange = limited((difference - PATCH) * (1.0 / PATCH), 0.0, 1.0) * weight[:, :, 0]
    patch = strange.sum(axis=1)
    patch_light = (strange * (light - middle[:, 0:1])).sum(axis=1) / limited(patch, 0.02, 1.0)
    colour = mean[:, 5:8] - 1.0
    size = extent_m + 0.0 * mean[:, :3]
    volume = volume_m3 + 0.0 * patch
    if change is None:
        change = xp.full_like(mean[:, : len(contact_change.NAMES)], np.nan)
    found = [
        mean[:, 5:8],
        mean[:, 0:1],
        xp.sqrt((colour * colour).sum(axis=1))[:, None],
        mean[:, 1:3],
        mean[:, 8:10],
        ordered[:, 0, LOW][:, None],
        middle[:, 0:1],
        ordered[:, 0, HIGH][:, None],
        spread[:, :3],
        patch[:, None],
        patch_light[:, None],
        mean[:, 10:11],
        mean[:, 3:4],
        middle[:, 3:4],
        mean[:, 11:12],
        xp.max(highlight, axis=1)[:, None],
        mean[:, 12:13],
        xp.max(hole, axis=1)[:, None],
        mean[:, 4:5],
        spread[:, 4:5],
        (seen.sum(axis=1) * (1.0 / seen.shape[1]))[:, None],
        size * 1e3,
        xp.log10(limited(volume * 1e9, 1.0, 1e15))[:, None],
        (volume / limited(size[:, 0] * size[:, 1] * size[:, 2], 1e-9, 1e9))[:, None],
        change,
    ]
    return xp.concat(found, axis=1)


def extract_visual(execution: ProbeExecution, windows: ProbeWindows, context: PartContext) -> Reading:
    """Features of the newest picture; only a LOOK is read, since the arm or hand covers the part in other windows."""
    if execution.primitive is not Primitive.LOOK:
        raise Unusable(NOT_MEASURED)
    view = context.view
    if windows.color is None:
        raise Unusable("missing: no colour picture")
    if view is None or not view.found:
        raise Unusable(view.reason if view is not None else "no segmentation")
    surface = context.surface or surface_of(view, windows)
    values = features_of_view(
        surface.values[None].astype(np.float64), np.array([view.extent_m]), np.array([view.volume_m3]),
        None if context.change is None else context.change[None],
    )  # fmt: skip
    found = dict(zip(NAMES, values[0].tolist(), strict=True))
    if view.touching:
        return reading(NAMES, found, 0.3, view.reason)
    return reading(NAMES, found, 1.0 if view.mask.sum() >= 4 * MIN_PIXELS else 0.6)
