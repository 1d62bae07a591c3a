"""One implementation of the physics on NumPy and on torch: what the array API standard does not have.

Physics functions ask `namespace(array)` for the module of their arrays and use nothing but the array API standard and
the functions here, so that the same code runs on one part in the full cell and on thousands on a GPU. torch is not
imported unless a tensor comes in.
"""

from __future__ import annotations

import sys
from typing import Any, NamedTuple, TypeVar

import array_api_compat
import numpy as np
import scipy.special

from palpate_agents.arrays import Array, limited


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


def constant(values: Any, like: Array) -> Array:
    """A table of numbers as an array of the same library, device and floating type as `like`."""
    if isinstance(like, np.ndarray):
        return np.asarray(values, like.dtype if like.dtype.kind == "f" else np.float64)
    xp = namespace(like)
    dtype = like.dtype if like.dtype.is_floating_point else xp.float64
    return xp.asarray(values, dtype=dtype, device=like.device)


Tables = TypeVar("Tables", bound=NamedTuple)

_kept: dict[tuple[str, str, str], Array] = {}


def kept(name: str, values: np.ndarray, like: Array) -> Array:
    """`constant` for a table that never changes: its tensors are kept under its name, so that each is copied once."""
    if not is_torch(like):
        return constant(values, like)
    key = name, str(like.dtype), str(like.device)
    if key not in _kept:
        _kept[key] = constant(values, like)
    return _kept[key]


def kept_all(name: str, tables: Tables, like: Array) -> Tables:
    """`kept` for a NamedTuple of NumPy tables of floats; these themselves where `like` is of NumPy."""
    if not is_torch(like):
        return tables
    return tables._make(kept(f"{name}.{field}", values, like) for field, values in tables._asdict().items())


def integers(values: Array) -> Array:
    """Values as int64, cut towards 0."""
    if isinstance(values, np.ndarray):
        return values.astype(np.int64)
    xp = namespace(values)
    return xp.astype(values, xp.int64)


def to_numpy(array: Array) -> np.ndarray:
    """A NumPy array with the same values; tensors come from their device."""
    return array.detach().cpu().numpy() if is_torch(array) else np.asarray(array)


def copied(array: Array, xp: Any, device: Any = None) -> Array:
    """A copy in another array library.

    Args:
        array: of either library.
        xp: `numpy` or `torch`.
        device: of torch; None for its default.
    """
    return np.array(to_numpy(array)) if xp is np else xp.asarray(array, device=device, copy=True)


def interpolate(x: Array, grid_start: float, grid_step: float, table: Array) -> Array:
    """Linear interpolation in a table on an even grid, held constant beyond its ends.

    Args:
        x: any shape.
        grid_start: place of the first entry.
        grid_step: between entries.
        table: (K,) values, K >= 2, of the same library as `x`.
    """
    xp = namespace(x)
    position = limited((x - grid_start) / grid_step, 0.0, float(table.shape[0] - 1))
    index = xp.clip(xp.floor(position), 0.0, float(table.shape[0] - 2))
    share = position - index
    low = integers(index)
    return table[low] * (1.0 - share) + table[low + 1] * share
