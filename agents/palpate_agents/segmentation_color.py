"""Which pixels have another colour than the bare table. NumPy and OpenCV only."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from palpate_agents.medians import counts_of_pixels, median_of_counts
from palpate_agents.observation import FloatArray

MIN_TABLE_PIXELS = 50
"""With fewer, the table's colour is not known."""
DEVIATIONS = 6.0
"""Robust deviations of the table's colour beyond which a pixel is no table."""


def unlike_table(
    color: NDArray[np.uint8], table: NDArray[np.bool_], solid: NDArray[np.bool_], where: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Pixels whose colour is not the table's (more than 6 robust deviations in Lab), or that touch measured part.

    Args:
        color: (h, w, 3) red, green and blue.
        table: (h, w) pixels of the bare table.
        solid: (h, w) pixels of the part that depth measured.
        where: (h, w) pixels that are asked for.

    Returns:
        (h, w), False outside `where`.
    """
    near = cv2.dilate(solid.astype(np.uint8), np.ones((9, 9), np.uint8)).astype(bool)
    found = where & near
    asked = where & ~near
    if np.count_nonzero(table) < MIN_TABLE_PIXELS or not asked.any():
        return found
    lab = np.asarray(cv2.cvtColor(np.ascontiguousarray(color), cv2.COLOR_RGB2LAB), np.uint8)
    reference, spread = _usual(lab, table)
    found[asked] = np.max(np.abs(lab[asked] - reference) / spread, axis=-1) > DEVIATIONS
    return found


def _usual(lab: NDArray[np.uint8], table: NDArray[np.bool_]) -> tuple[FloatArray, FloatArray]:
    """(3,) median of the table's colour and its robust deviation; counts, since 256 values take no sorting."""
    grey, reference, spread = np.arange(256), np.empty(3), np.empty(3)
    for k, counts in enumerate(counts_of_pixels(lab, table)):
        reference[k] = median_of_counts(counts)
        # Twice the distances: the median of bytes may end in a half.
        away = np.abs(2 * grey - round(2.0 * reference[k]))
        distance = 0.5 * median_of_counts(np.bincount(away, counts))
        spread[k] = 1.4826 * distance + 2.0
    return reference, spread
