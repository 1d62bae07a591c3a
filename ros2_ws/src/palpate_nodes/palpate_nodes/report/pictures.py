"""Pictures of a part as data URIs: colour, and depth and temperature in colours with the range that they show."""

from __future__ import annotations

import base64
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

_QUALITY = [int(cv2.IMWRITE_JPEG_QUALITY), 88]
DEPTH_MAP, THERMAL_MAP = cv2.COLORMAP_VIRIDIS, cv2.COLORMAP_INFERNO
_INVALID = (96, 96, 96)
THUMBNAIL_PX, SHOWN_PX = 72, 320
SPOT_K = 0.3
"""A rise of temperature that noise (50 mK, averaged over nine pixels) does not make, K."""
STANDS_OUT_MM = 8.0
"""What is nearer than the table by this is the part; the noise of the depth camera is 1 to 4 mm."""


@dataclass(frozen=True)
class Picture:
    """A picture ready for the page.

    Attributes:
        uri: data URI.
        width, height: px.
        low, high: values at the ends of the colour scale, in the unit of the input; None for a colour picture.
        invalid: share of pixels without a value, 0..1.
    """

    uri: str
    width: int
    height: int
    low: float | None = None
    high: float | None = None
    invalid: float = 0.0


def _uri(bgr: NDArray) -> str:
    ok, data = cv2.imencode(".jpg", bgr, _QUALITY)
    if not ok:
        raise ValueError(f"a picture of {bgr.shape} {bgr.dtype} could not be encoded")
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode("ascii")


def _enlarged(image: NDArray, width: int) -> NDArray:
    """Small sensors: whole pixels enlarged, so that browsers do not blur what the sensor did not see."""
    factor = max(1, width // image.shape[1])
    return np.repeat(np.repeat(image, factor, axis=0), factor, axis=1)


def color_picture(rgb: NDArray, enlarge_to: int = 0) -> Picture:
    """(H, W, 3) RGB, at least about `enlarge_to` px wide."""
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    return Picture(_uri(_enlarged(bgr, enlarge_to)), rgb.shape[1], rgb.shape[0])


@dataclass(frozen=True)
class Region:
    """A rectangle of pixels: rows `top` to `bottom`, columns `left` to `right`, ends exclusive."""

    top: int
    bottom: int
    left: int
    right: int

    def of(self, image: NDArray) -> NDArray:
        """That part of an image."""
        return image[self.top : self.bottom, self.left : self.right]


def around_part(
    shape: tuple[int, ...], depth_mm: NDArray[np.uint16] | None, aspect: float, margin: float = 2.4
) -> Region:
    """Region around what stands out of the table, or the whole picture where nothing does.

    Args:
        shape: of the picture, (H, W) or (H, W, 3).
        depth_mm: (H, W), 0 invalid; None or another size: the whole picture.
        aspect: width over height of the region.
        margin: size of the region over that of the part; at least a fifth of the height is shown.
    """
    height, width = shape[:2]
    whole = Region(0, height, 0, width)
    if depth_mm is None or depth_mm.shape != (height, width):
        return whole
    valid = depth_mm > 0
    if not valid.any():
        return whole
    nearer = valid & (depth_mm < np.median(depth_mm[valid]) - STANDS_OUT_MM)
    solid = cv2.morphologyEx(nearer.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    count, _, stats, centres = cv2.connectedComponentsWithStats(solid)
    if count < 2:
        return whole
    best = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    extent = max(stats[best, cv2.CC_STAT_WIDTH] / aspect, stats[best, cv2.CC_STAT_HEIGHT])
    rows = int(np.clip(margin * extent, 0.2 * height, min(height, width / aspect)))
    columns = int(rows * aspect)
    x, y = centres[best]
    left = int(np.clip(x - columns / 2, 0, width - columns))
    top = int(np.clip(y - rows / 2, 0, height - rows))
    return Region(top, top + rows, left, left + columns)


def around_spot(before_c: NDArray[np.float32], after_c: NDArray[np.float32] | None) -> Region:
    """Region (4:3, half the height) around what a warm pad has warmed, or the whole picture where nothing was.

    Args:
        before_c: (h, w) degrees Celsius.
        after_c: (h, w); None or another size: the whole picture.
    """
    height, width = before_c.shape
    whole = Region(0, height, 0, width)
    if after_c is None or after_c.shape != before_c.shape:
        return whole
    rise = cv2.blur(np.nan_to_num(after_c - before_c).astype(np.float32), (3, 3))
    rise -= np.median(rise)
    y, x = np.unravel_index(int(np.argmax(rise)), rise.shape)
    if rise[y, x] < SPOT_K:
        return whole
    rows = height // 2
    columns = min(width, rows * 4 // 3)
    top = int(np.clip(y - rows // 2, 0, height - rows))
    left = int(np.clip(x - columns // 2, 0, width - columns))
    return Region(top, top + rows, left, left + columns)


def thumbnail(rgb: NDArray[np.uint8], depth_mm: NDArray[np.uint16] | None) -> Picture:
    """The part, small and square."""
    square = around_part(rgb.shape, depth_mm, 1.0, margin=1.5).of(rgb)
    side = min(square.shape[:2])
    top, left = (square.shape[0] - side) // 2, (square.shape[1] - side) // 2
    square = square[top : top + side, left : left + side]
    return color_picture(cv2.resize(square, (THUMBNAIL_PX, THUMBNAIL_PX), interpolation=cv2.INTER_AREA))


def map_picture(
    values: NDArray, colormap: int, valid: NDArray[np.bool_], min_range: float, top_percentile: float
) -> Picture:
    """A (H, W) field in colours, from its 1st to its top percentile (small hot spots need a high one).

    Args:
        values: depth in m, temperature in degrees Celsius, ...
        colormap: of OpenCV.
        valid: (H, W) pixels that hold a value; the others are grey.
        top_percentile: upper end of the scale.
        min_range: least range of the scale, so that noise alone does not fill it; unit of `values`.
    """
    inside = np.asarray(values, float)[valid]
    low, high = (float(v) for v in np.percentile(inside, [1.0, top_percentile])) if inside.size else (0.0, min_range)
    if high - low < min_range:
        middle = 0.5 * (low + high)
        low, high = middle - 0.5 * min_range, middle + 0.5 * min_range
    level = np.clip((np.nan_to_num(np.asarray(values, float)) - low) / (high - low), 0.0, 1.0)
    image = cv2.applyColorMap(np.round(255.0 * level).astype(np.uint8), colormap)
    image[~valid] = _INVALID
    invalid = 1.0 - float(valid.mean()) if valid.size else 0.0
    return Picture(_uri(_enlarged(image, SHOWN_PX)), values.shape[1], values.shape[0], low, high, invalid)


def depth_picture(depth_mm: NDArray[np.uint16]) -> Picture:
    """(H, W) depth, mm, 0 invalid; the scale is in mm."""
    return map_picture(depth_mm, DEPTH_MAP, depth_mm > 0, min_range=20.0, top_percentile=99.0)


def thermal_picture(celsius: NDArray[np.float32]) -> Picture:
    """(h, w) apparent temperature, degrees Celsius."""
    return map_picture(celsius, THERMAL_MAP, np.isfinite(celsius), min_range=1.0, top_percentile=99.9)


def scale_gradient(colormap: int) -> str:
    """CSS gradient of a colour map, from low to high."""
    levels = np.linspace(0, 255, 9).round().astype(np.uint8)[None]
    colors = cv2.applyColorMap(levels, colormap)[0, :, ::-1]
    return "linear-gradient(90deg," + ",".join(f"rgb({r},{g},{b})" for r, g, b in colors.tolist()) + ")"
