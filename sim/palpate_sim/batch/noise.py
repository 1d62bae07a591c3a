"""Many noise numbers per part at a few nanoseconds each, where neither tails nor fine steps matter."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from scipy.special import ndtri

from palpate_sim.backend import Array, integers, namespace
from palpate_sim.keyed import bits

FIELDS = 6
_WIDTH = 10
_LEVELS = 1 << _WIDTH
_SHIFTS = (_WIDTH * np.arange(FIELDS))[:, None, None]


@lru_cache(maxsize=1)
def _quantiles() -> np.ndarray:
    values = ndtri((np.arange(_LEVELS) + 0.5) / _LEVELS)
    return (values / values.std()).astype(np.float32)


def coarse_quantile(p: Array) -> Array:
    """Quantile of the standard normal distribution to a thousandth in `p`, 0 <= p < 1, float32; fast."""
    xp = namespace(p)
    place = p * float(_LEVELS)
    table: Any = _quantiles() if xp is np else xp.asarray(_quantiles(), device=p.device)
    return table[integers(place)]


def coarse_normals(keys: Array, name: str, length: int) -> Array:
    """(FIELDS, N, length) standard normal numbers, float32, of 1024 levels, none beyond 3.3.

    One hash gives a number of each: 10 bits, looked up in a table of quantiles.

    Args:
        keys: (N,) int64.
        name: what they are for.
        length: numbers per key.
    """
    xp = namespace(keys)
    words = bits(keys, name, length)
    table: Any = _quantiles() if xp is np else xp.asarray(_quantiles(), device=keys.device)
    shifts: Any = _SHIFTS if xp is np else xp.asarray(_SHIFTS, device=keys.device)
    return table[(words[None] >> shifts) & (_LEVELS - 1)]
