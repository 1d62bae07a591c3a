"""Many noise numbers per part at a few nanoseconds each, where their tails do not matter."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from scipy.special import ndtri

from palpate_sim.backend import Array, namespace
from palpate_sim.keyed import uniform

_BITS, _FIELDS = 13, 4
_LEVELS = 1 << _BITS


@lru_cache(maxsize=1)
def _quantiles() -> np.ndarray:
    return ndtri((np.arange(_LEVELS) + 0.5) / _LEVELS).astype(np.float32)


def coarse_normals(keys: Array, name: str, count: int, length: int) -> Array:
    """Standard normal numbers from 8192 levels (none beyond 3.8), float32.

    One hash of the key gives four of them: 13 bits each of a uniform number, looked up in a table of quantiles.

    Args:
        keys: (N,) int64.
        name: what they are for.
        count, length: how many rows of how many numbers.

    Returns:
        (count, N, length).
    """
    xp = namespace(keys)
    n = keys.shape[0]
    words = -(-count // _FIELDS)
    draws = uniform(keys, name, (words * length,)) * float(1 << (_BITS * _FIELDS))
    whole = draws.astype(np.int64) if xp is np else xp.astype(draws, xp.int64)
    whole = xp.permute_dims(xp.reshape(whole, (n, words, length)), (1, 0, 2))
    table: Any = _quantiles() if xp is np else xp.asarray(_quantiles(), device=keys.device)
    fields = [table[(whole >> (_BITS * k)) & (_LEVELS - 1)] for k in range(_FIELDS)]
    return xp.concat(fields, axis=0)[:count]
