"""Two parts that lie against each other, told from one part by the heights of their tops. NumPy and OpenCV only."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from palpate_agents.observation import FloatArray

MIN_TOP_PIXELS = 60
TOP_BAND_M, TOPS_APART_M, SECOND_TOP_SHARE = 0.006, 0.007, 0.15
"""Two tops: bands of this height, at least so far apart, the smaller with at least this share of the outline."""


def two_tops(height: FloatArray, mask: NDArray[np.bool_], hole: NDArray[np.bool_]) -> bool:
    """Whether the outline holds two flat tops at different heights: two parts that touch along an edge.

    The sides of a single part spread over all heights below its top, so no other height gathers a share of its own.

    Args:
        height: (h, w) height over the table, metres.
        mask: (h, w) the outline.
        hole: (h, w) pixels without depth.
    """
    inner = cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool) & ~hole
    heights = height[inner]
    if len(heights) < MIN_TOP_PIXELS:
        return False
    first = _fullest_band(heights)
    rest = heights[np.abs(heights - first) > TOPS_APART_M]
    if not len(rest):
        return False
    second = _fullest_band(rest)
    return bool(np.mean(np.abs(heights - second) < TOP_BAND_M / 2) >= SECOND_TOP_SHARE)


def _fullest_band(heights: FloatArray) -> float:
    """Middle of the band of `TOP_BAND_M` that holds most of the heights."""
    ordered = np.sort(heights)
    counts = np.searchsorted(ordered, ordered + TOP_BAND_M) - np.arange(len(ordered))
    return float(ordered[int(np.argmax(counts))] + TOP_BAND_M / 2)
