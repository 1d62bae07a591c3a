"""One implementation of the physics on NumPy and on torch: what the array API standard does not have.

Physics functions ask `namespace(array)` for the module of their arrays and use nothing but the array API standard and
the functions here, so that the same code runs on one part in the full cell and on thousands on a GPU. torch is not
imported unless a tensor comes in.
"""

from __future__ import annotations

import sys
from typing import Any

import array_api_compat
import numpy as np
import scipy.special

Array = Any
"""A NumPy array or a torch tensor."""


def namespace(*arrays: Array) -> Any:
    """Array namespace (`xp`) of the arguments; plain numbers are ignored.

    Raises:
        TypeError: arrays of different libraries, or none at all.
    """
    for array in arrays:
        if isinstance(array, np.ndarray):
            return np
    return array_api_compat.array_namespace(*[a for a in arrays if not isinstance(a, float | int | bool)])


def is_torch(array: Array) -> bool:
    """True for torch tensors."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(array, torch.Tensor)


def _special(name: str, array: Array) -> Array:
    if is_torch(array):
        return getattr(sys.modules["torch"].special, name)(array)
    return getattr(scipy.special, name)(array)


def erf(x: Array) -> Array:
    """Error function."""
    return _special("erf", x)


def erfcx(x: Array) -> Array:
    """`exp(x^2) erfc(x)`, without overflow."""
    return _special("erfcx", x)


def ndtri(p: Array) -> Array:
    """Quantile of the standard normal distribution."""
    return _special("ndtri", p)


def some(mask: Array) -> bool:
    """Whether any entry is true, or not 0; NumPy's own `any` takes ten times as long on a single part."""
    return bool(np.count_nonzero(mask)) if isinstance(mask, np.ndarray) else bool(namespace(mask).any(mask != 0))


def limited(values: Array, low: float, high: float) -> Array:
    """Values cut to low..high; NumPy's own `clip` takes ten times as long on a single part."""
    if isinstance(values, np.ndarray):
        return np.minimum(np.maximum(values, low), high)
    return namespace(values).clip(values, low, high)


def constant(values: Any, like: Array) -> Array:
    """A table of numbers as an array of the same library, device and floating type as `like`."""
    if isinstance(like, np.ndarray):
        return np.asarray(values, like.dtype if like.dtype.kind == "f" else np.float64)
    xp = namespace(like)
    dtype = like.dtype if like.dtype.is_floating_point else xp.float64
    return xp.asarray(values, dtype=dtype, device=like.device)


def to_numpy(array: Array) -> np.ndarray:
    """A NumPy array with the same values; tensors come from their device."""
    return array.detach().cpu().numpy() if is_torch(array) else np.asarray(array)


def interpolate(x: Array, grid_start: float, grid_step: float, table: Array) -> Array:
    """Linear interpolation in a table on an even grid, held constant beyond its ends.

    Args:
        x: any shape.
        grid_start: place of the first entry.
        grid_step: between entries.
        table: (K,) values, K >= 2, of the same library as `x`.
    """
    xp = namespace(x)
    position = xp.clip((x - grid_start) / grid_step, 0.0, float(table.shape[0] - 1))
    index = xp.clip(xp.floor(position), 0.0, float(table.shape[0] - 2))
    share = position - index
    low = xp.astype(index, xp.int64) if xp is not np else index.astype(np.int64)
    return table[low] * (1.0 - share) + table[low + 1] * share
