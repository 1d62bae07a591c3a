"""Size of parts as the depth picture gives it: what the library knows without noise, and the error of seeing.

Measured on 300 parts through pictures, depth noise and segmentation: edges come out up to a millimetre too far, the
more so the higher they stand over the table, and the volume under the surface with them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from palpate_sim.backend import Array, constant, limited, namespace
from palpate_sim.keyed import normal

LOW_M, RISE_M, MOST = 9e-3, 15e-3, 1.2
"""Mean height from which on edges are blurred, how much higher doubles that, and its limit."""
BIAS_M, HIGH_BIAS_M = np.array([0.1e-3, 0.1e-3, -0.15e-3]), np.array([1.2e-3, 1.2e-3, 0.0])
SIGMA_M, HIGH_SIGMA_M = np.array([0.25e-3, 0.15e-3, 0.45e-3]), np.array([0.7e-3, 0.9e-3, 0.0])
"""Of seen length, width and height: of low parts, and more for high ones."""
VOLUME_BIAS, VOLUME_SIGMA = -0.004, 0.022
"""Of the logarithm of the mean height, volume over seen area."""
CLEAR_SIGMA = 0.05
"""More for clear parts, which are seen through holes in the depth."""


def mean_size(rows: Any, high: Array | None = None) -> Array:
    """(n, 3) length, width, height of n library rows as looks give them in the mean, m."""
    like = rows.seen_extent_m
    return like + constant(BIAS_M, like) + (_high(rows) if high is None else high) * constant(HIGH_BIAS_M, like)


def seen_size(rows: Any, transparency: Array, keys: Array) -> tuple[Array, Array]:
    """Extents and volume of n parts as one look gives them.

    Args:
        rows: n library rows.
        transparency: (n,) of the parts.
        keys: (n,) of seed, part and look.

    Returns:
        (n, 3) length, width, height in m, and (n,) volume in m3.
    """
    xp = namespace(rows.seen_extent_m)
    deviates = normal(keys, "seen size", (4,))
    like = rows.seen_extent_m
    high = _high(rows)
    sigma = constant(SIGMA_M, like) + high * constant(HIGH_SIGMA_M, like)
    extent = xp.maximum(mean_size(rows, high) + sigma * deviates[:, :3], 1e-3 + 0.0 * like)
    area = extent[:, 0] * extent[:, 1] / (like[:, 0] * like[:, 1])
    spread = VOLUME_SIGMA + CLEAR_SIGMA * transparency
    return extent, rows.seen_volume_m3 * area * xp.exp(VOLUME_BIAS + spread * deviates[:, 3])


def _high(rows: Any) -> Array:
    """(n, 1) 0 for low parts, 1 for those whose mean height is 24 mm."""
    mean = rows.seen_volume_m3 / (rows.seen_extent_m[:, 0] * rows.seen_extent_m[:, 1])
    return limited((mean - LOW_M) * (1.0 / RISE_M), 0.0, MOST)[:, None]
