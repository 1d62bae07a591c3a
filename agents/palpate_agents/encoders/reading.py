"""What an extractor gives back: features in the order of a table, how reliable they are, and why not more."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Unusable(Exception):  # noqa: N818 - a finding about data, not a fault of the program
    """Data that cannot carry features of a modality; the message is the reason that goes with reliability 0."""


class Reading(NamedTuple):
    """Features of one modality: (F,) float32 in the order of its table, reliability 0..1, and why it is below 1."""

    values: NDArray[np.float32]
    reliability: float
    reason: str


def reading(names: tuple[str, ...], found: dict[str, float], reliability: float, reason: str = "") -> Reading:
    """Puts found features in the table's order; NaN where nothing was found, and never infinite.

    Raises:
        Unusable: nothing was found at all.
    """
    values = np.array([found.get(name, np.nan) for name in names], np.float32)
    values[~np.isfinite(values)] = np.nan
    if not np.isfinite(values).any():
        raise Unusable(reason or "no feature could be computed")
    return Reading(values, float(np.clip(reliability, 0.0, 1.0)), reason)
