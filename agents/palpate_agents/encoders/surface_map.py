"""The surface of a part as the camera sees it: a small map over the seen box, taken anew with every picture.

Colours are relative to the bare table beside the part, which cancels exposure and white balance. NumPy and OpenCV only.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from palpate_agents.encoders.reading import Unusable
from palpate_agents.medians import medians_of_pixels
from palpate_agents.observation import FloatArray, ProbeWindows
from palpate_agents.segmentation import PartView, box_of

CELLS = 8
CHANNELS: tuple[str, ...] = (
    "valid_share", "red_over_table", "green_over_table", "blue_over_table", "lightness_std_over_table",
    "highlight_share", "hole_share", "height_fraction",
)  # fmt: skip
"""What each cell tells: share of it that was seen, mean colour, spread of lightness within it, share of pixels far
lighter than the part, share without depth, and height over the part's; all but the first 0 where nothing was seen."""

LUMA = (0.299, 0.587, 0.114)
HIGHLIGHT = 0.45
"""Over the table's lightness: this much lighter than the part's mean counts as highlight."""
SHADOW_PX = 2
"""Beside edges a stereo camera has no depth; such pixels at the outline may be table and have no colour of the part."""
TABLE_LIKE = 0.1
"""Over the table's lightness: so near to 1 in all three colours is the table's colour."""
MIN_TABLE_PIXELS = 30
SAME_PART = 0.15
"""Extents and place must agree this well, relative to the length, for a picture to show the same part uncovered."""


class SurfaceView(NamedTuple):
    """Map of a part's surface.

    Attributes:
        values: (CELLS, CELLS, C) float32 in the order of CHANNELS. The first axis runs along the length of the seen
            box (`PartView.yaw_rad`), the second along its width, a quarter turn further.
    """

    values: NDArray[np.float32]


def surface_of(view: PartView, windows: ProbeWindows) -> SurfaceView:
    """Map of the part in a segmented picture.

    Args:
        view: segmentation of the picture.
        windows: the picture; needs `color` and `camera`.

    Raises:
        Unusable: no part, no picture, a picture of another size, or one that shows nothing.
    """
    color, camera = windows.color, windows.camera
    if color is None or camera is None:
        raise Unusable("missing: no colour picture")
    if not view.found:
        raise Unusable(view.reason)
    if color.shape != (*view.mask.shape, 3):
        raise Unusable(f"wrong size: picture {color.shape}, segmentation {view.mask.shape}")
    if color.min() == color.max():
        raise Unusable("every pixel of the colour picture is the same")
    if np.count_nonzero(view.table_mask) < MIN_TABLE_PIXELS:
        raise Unusable("no bare table beside the part to compare colours with")
    table: FloatArray = np.maximum(medians_of_pixels(color, view.table_mask), 5.0)
    box, size = box_of(view.mask), 2 * SHADOW_PX + 1
    mask = view.mask[box]
    inner = cv2.erode(mask.astype(np.uint8), np.ones((size, size), np.uint8), borderValue=0).astype(bool)
    inner = inner[mask]
    rgb = color[box][mask] / table
    kept = inner | ~(view.pixel_holes | _strays(rgb, inner))
    if not kept.any():
        kept = np.ones_like(inner)
    cell = _cells(view, view.pixels_m)
    luma = rgb @ np.array(LUMA)
    count = _sums(cell[kept])
    some = np.maximum(count, 1.0)
    mean_luma = _sums(cell[kept], luma[kept]) / some
    variance = _sums(cell[kept], luma[kept] ** 2) / some - mean_luma**2
    length, width, height = view.extent_m
    top = np.array([*view.centroid_m[:2], view.centroid_m[2] + height / 2])
    distance = float(np.linalg.norm(np.asarray(camera.pose)[:3, 3] - top))
    expected = length * width / CELLS**2 * camera.fx * camera.fy / distance**2
    inner_count = _sums(cell[inner])
    holes = _sums(cell[inner], view.pixel_holes[inner])
    usual = float(holes.sum() / max(inner_count.sum(), 1.0)) if inner.any() else view.hole_fraction
    channels = [
        np.minimum(_sums(cell) / max(expected, 1e-9), 1.0) * (count > 0),
        *(_sums(cell[kept], rgb[kept, k]) / some for k in range(3)),
        np.sqrt(np.maximum(variance, 0.0)),
        _sums(cell[kept], luma[kept] > luma[kept].mean() + HIGHLIGHT) / some,
        np.where(inner_count > 0, holes / np.maximum(inner_count, 1.0), usual) * (count > 0),
        _heights(cell, view, kept) / max(height, 1e-3),
    ]
    values = np.stack(channels, axis=-1).reshape(CELLS, CELLS, len(CHANNELS))
    return SurfaceView(values.astype(np.float32))


def _heights(cell: NDArray[np.int64], view: PartView, kept: NDArray[np.bool_]) -> FloatArray:
    """Mean height over the table in each cell, m: of what depth saw there, of what was assumed where it saw nothing."""
    over = view.pixels_m[:, 2] - (view.centroid_m[2] - view.extent_m[2] / 2)
    measured = kept & ~view.pixel_holes
    count, all_count = _sums(cell[measured]), _sums(cell[kept])
    seen = _sums(cell[measured], over[measured]) / np.maximum(count, 1.0)
    return np.where(count > 0, seen, _sums(cell[kept], over[kept]) / np.maximum(all_count, 1.0))


def _strays(rgb: FloatArray, inner: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(K,) pixels that have the table's colour although the part has another: the outline is rough by a pixel."""
    if not inner.any() or np.abs(np.median(rgb[inner], axis=0) - 1.0).max() < 2.0 * TABLE_LIKE:
        return np.zeros(len(rgb), bool)
    return np.abs(rgb - 1.0).max(axis=1) < TABLE_LIKE


def same_part(known: PartView, new: PartView) -> bool:
    """Whether a picture shows the known part where it lay and nothing over it, such as the arm."""
    if not known.found or not new.found or new.touching:
        return False
    limit = SAME_PART * max(known.extent_m[0], 0.02)
    moved = np.subtract(known.centroid_m[:2], new.centroid_m[:2])
    grown = np.subtract(known.extent_m, new.extent_m)
    return bool(np.abs(moved).max() < limit and np.abs(grown).max() < limit)


def _cells(view: PartView, points_m: FloatArray) -> NDArray[np.int64]:
    """Index (K,) of the cell of each point, length first."""
    cos, sin = np.cos(view.yaw_rad), np.sin(view.yaw_rad)
    x, y = (points_m[:, :2] - np.asarray(view.centroid_m[:2])).T
    along = (cos * x + sin * y) / max(view.extent_m[0], 1e-3)
    across = (cos * y - sin * x) / max(view.extent_m[1], 1e-3)
    first = np.clip(np.floor((along + 0.5) * CELLS), 0, CELLS - 1).astype(np.int64)
    second = np.clip(np.floor((across + 0.5) * CELLS), 0, CELLS - 1).astype(np.int64)
    return first * CELLS + second


def _sums(cell: NDArray[np.int64], weights: NDArray | None = None) -> FloatArray:
    return np.bincount(cell, weights, CELLS * CELLS).astype(np.float64)
