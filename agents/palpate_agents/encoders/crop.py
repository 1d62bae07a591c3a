"""A small picture of the part alone, for networks that read pictures: turned by its yaw, scaled by its length.

Colours are relative to the bare table beside the part, as in the surface map, which cancels exposure and white balance.
NumPy and OpenCV only; less than 1 ms.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from palpate_agents.encoders.reading import Unusable
from palpate_agents.encoders.surface_map import MIN_TABLE_PIXELS
from palpate_agents.medians import medians_of_pixels
from palpate_agents.observation import FloatArray, ProbeWindows
from palpate_agents.segmentation import PartView, project

SIZE = 64
"""Pixels along each side."""
MARGIN = 1.15
"""Side of the window over the length of the part."""
TABLE_GREY = 128.0
"""Value of the table's colour. Light x over the table's has 256 x / (1 + x): the table is dark, white is about 3
times as light, and neither end is cut."""
HEIGHTS = 2.0
"""Parts' heights over the table that the fourth channel spans."""
_CORNERS = np.array([[-0.5, -0.5], [SIZE - 0.5, -0.5], [SIZE - 0.5, SIZE - 0.5], [-0.5, SIZE - 0.5]], np.float32)
"""x (width) and y (length) of the corners of a crop."""


def crop_of(view: PartView, windows: ProbeWindows) -> NDArray[np.uint8]:
    """Picture of the part in a segmented picture.

    Args:
        view: segmentation of the picture.
        windows: the picture; needs `color` and `camera`.

    Returns:
        (64, 64, 4) uint8: red, green and blue with the bare table at 128, see TABLE_GREY, and height over the table,
        255 at twice the part's; 0 without depth and beside the part. The first axis runs along the length of the seen
        box, the second along its width, a quarter turn further, as in the surface map. Beyond the picture there is
        bare table.

    Raises:
        Unusable: no part, no picture, a picture of another size, or no bare table.
    """
    color, camera = windows.color, windows.camera
    if color is None or camera is None:
        raise Unusable("missing: no colour picture")
    if not view.found:
        raise Unusable(view.reason)
    if color.shape != (*view.mask.shape, 3) or color.dtype != np.uint8:
        raise Unusable(f"wrong size: picture {color.shape} {color.dtype}, segmentation {view.mask.shape}")
    if np.count_nonzero(view.table_mask) < MIN_TABLE_PIXELS:
        raise Unusable("no bare table beside the part to compare colours with")
    table = np.maximum(medians_of_pixels(color, view.table_mask), 5.0)
    corners, depth = project(_corners_m(view), camera)
    if not np.isfinite(corners).all() or (depth <= 0.0).any():
        raise Unusable("the part is not before the camera")
    turn = cv2.getPerspectiveTransform(_CORNERS, corners.astype(np.float32))
    flags, size = cv2.WARP_INVERSE_MAP, (SIZE, SIZE)
    edge = tuple(float(value) for value in table)
    seen = cv2.warpPerspective(color, turn, size, flags=flags | cv2.INTER_LINEAR, borderValue=edge)
    # Not blended: a hole beside the part's top would else have some height.
    raised = cv2.warpPerspective(_heights(view), turn, size, flags=flags | cv2.INTER_NEAREST)
    crop = np.empty((SIZE, SIZE, 4), np.uint8)
    crop[..., :3] = np.rint(2.0 * TABLE_GREY * seen / (seen + table))
    crop[..., 3] = raised
    return crop


def _corners_m(view: PartView) -> FloatArray:
    """(4, 3) corners of the window in the plane of the part's top, base frame, m, in the order of `_CORNERS`."""
    length, _, height = view.extent_m
    half = 0.5 * MARGIN * max(length, 1e-3)
    cos, sin = np.cos(view.yaw_rad), np.sin(view.yaw_rad)
    along, across = np.array([cos, sin]) * half, np.array([-sin, cos]) * half
    flat = np.array([-along - across, across - along, along + across, along - across])
    corners = np.empty((4, 3))
    corners[:, :2] = flat + np.asarray(view.centroid_m[:2])
    corners[:, 2] = view.centroid_m[2] + 0.5 * height
    return corners


def _heights(view: PartView) -> NDArray[np.uint8]:
    """(H, W) height over the table, 255 at `HEIGHTS` times the part's; 0 beside it and without depth."""
    height = max(view.extent_m[2], 1e-3)
    over = view.pixels_m[:, 2] - (view.centroid_m[2] - 0.5 * view.extent_m[2])
    grey = np.clip(np.rint(over * (255.0 / (HEIGHTS * height))), 0.0, 255.0)
    picture = np.zeros(view.mask.shape, np.uint8)
    picture[view.mask] = np.where(view.pixel_holes, 0.0, grey)
    return picture
