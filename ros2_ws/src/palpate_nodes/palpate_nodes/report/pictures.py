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
THUMBNAIL_PX = 72


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


def _enlarged(image: NDArray[np.uint8], width: int) -> NDArray[np.uint8]:
    """Small sensors: whole pixels enlarged, so that browsers do not blur what the sensor did not see."""
    factor = max(1, width // image.shape[1])
    return np.repeat(np.repeat(image, factor, axis=0), factor, axis=1)


def color_picture(rgb: NDArray) -> Picture:
    """(H, W, 3) RGB."""
    return Picture(_uri(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)), rgb.shape[1], rgb.shape[0])


def thumbnail(rgb: NDArray[np.uint8]) -> Picture:
    """The middle of a picture, small and square, where the part lies."""
    height, width = rgb.shape[:2]
    side = int(0.6 * min(height, width))
    top, left = (height - side) // 2, (width - side) // 2
    crop = rgb[top : top + side, left : left + side]
    small = cv2.resize(crop, (THUMBNAIL_PX, THUMBNAIL_PX), interpolation=cv2.INTER_AREA)
    return color_picture(small)


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
    return Picture(_uri(_enlarged(image, 320)), values.shape[1], values.shape[0], low, high, invalid)


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
