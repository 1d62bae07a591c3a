"""Medians of many pixels, number for number those of `np.median` in a fraction of its time. NumPy and OpenCV only."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from palpate_agents.observation import FloatArray


def median(values: FloatArray) -> float:
    """Median of (N,) numbers without NaN, N >= 1. Reorders them in place."""
    low, high = middle(values)
    return float((low + high) / 2.0)


def middle(values: FloatArray) -> tuple[np.floating, np.floating]:
    """The two numbers in the middle of (N,), twice the same one when N is odd. Reorders them in place."""
    half = len(values) // 2
    # Two places, although one would do: NumPy 2 partitions about one place by another algorithm, at 2 to 5 times the
    # time (measured on 26,000 numbers).
    values.partition((max(half - 1, 0), half))
    return values[half - 1 + len(values) % 2], values[half]


def medians_of_pixels(picture: NDArray, mask: NDArray[np.bool_]) -> FloatArray:
    """(C,) medians of the channels of an (H, W, C) picture over a mask of (H, W) that is not empty.

    Fast for bytes: 256 values are counted, not sorted.
    """
    if picture.dtype != np.uint8:
        return np.asarray(np.median(picture[mask].astype(np.float64), axis=0))
    return np.array([median_of_counts(counts) for counts in counts_of_pixels(picture, mask)])


def counts_of_pixels(picture: NDArray[np.uint8], mask: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    """(256,) how often each value occurs in each channel of an (H, W, C) picture, over a mask of (H, W)."""
    x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
    box = slice(y, y + height), slice(x, x + width)
    part, weights = np.ascontiguousarray(picture[box]), np.ascontiguousarray(mask[box]).view(np.uint8)
    found = (cv2.calcHist([part], [k], weights, [256], [0, 256]) for k in range(picture.shape[2]))
    return [counts.ravel().astype(np.int64) for counts in found]


def median_of_counts(counts: NDArray) -> float:
    """Median of whole numbers from 0 on that occur `counts` times, at least one in all."""
    below = np.cumsum(counts)
    total = int(below[-1])
    low, high = np.searchsorted(below, [(total - 1) // 2, total // 2], side="right")
    return 0.5 * (int(low) + int(high))
