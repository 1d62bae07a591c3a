"""Size of parts as the depth picture gives it: what the library knows without noise, and the error of seeing.

Measured on 120 parts through pictures, depth noise and segmentation: edges come out a pixel too far, the more so the
noisier their depth, and the volume under the surface with them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from palpate_sim.backend import Array, constant, namespace
from palpate_sim.keyed import normal

BIAS_M = np.array([0.6e-3, 0.5e-3, -0.1e-3])
SIGMA_M = np.array([1.1e-3, 0.7e-3, 0.45e-3])
"""Of seen length, width and height."""
VOLUME_BIAS, VOLUME_SIGMA = 0.032, 0.030
"""Of the logarithm of the volume."""
CLEAR_SIGMA = 0.05
"""More for clear parts, which are seen through holes in the depth."""


def seen_size(rows: Any, transparency: Array, keys: Array) -> tuple[Array, Array]:
    """Extents and volume of n parts as a look gives them.

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
    extent = like + constant(BIAS_M, like) + constant(SIGMA_M, like) * deviates[:, :3]
    spread = VOLUME_SIGMA + CLEAR_SIGMA * transparency
    volume = rows.seen_volume_m3 * xp.exp(VOLUME_BIAS + spread * deviates[:, 3])
    return xp.clip(extent, 1e-3, 1.0), volume
