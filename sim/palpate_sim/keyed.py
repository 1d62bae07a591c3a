"""Random numbers that belong to a key: the same seed, part, probe and purpose give the same number, whoever asks.

A counter-based generator: every number is a hash of its key and its place, so that a thousand cells draw theirs in one
go, one cell alone draws the very same, and nothing depends on the order of calls. The hash is two rounds of the
finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014) over 64-bit integers that wrap; the tests check moments,
correlation between neighbouring keys and agreement of both backends.
"""

from __future__ import annotations

import zlib
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from palpate_sim.backend import Array, namespace, ndtri

_GOLDEN = 0x9E3779B97F4A7C15 - (1 << 64)
_FIRST = 0xBF58476D1CE4E5B9 - (1 << 64)
_SECOND = 0x94D049BB133111EB - (1 << 64)
_SCALE = 2.0**-53
_ALL_BITS = (1 << 64) - 1


_WORDS = {number: np.array(number & _ALL_BITS, np.uint64) for number in (_GOLDEN, _FIRST, _SECOND, 30, 27, 31, 11)}
"""The constants as arrays: NumPy takes them in half the time of a whole number."""


def _shifted(x: Array, bits: int) -> Array:
    """Logical right shift of signed 64-bit integers."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _mixed(x: Array) -> Array:
    if isinstance(x, np.ndarray):
        return _mixed_words(x.view(np.uint64)).view(np.int64)
    x = (x ^ _shifted(x, 30)) * _FIRST
    x = (x ^ _shifted(x, 27)) * _SECOND
    return x ^ _shifted(x, 31)


def _mixed_words(x: np.ndarray) -> np.ndarray:
    """The same of unsigned words, whose shift is logical by itself."""
    x = (x ^ (x >> _WORDS[30])) * _WORDS[_FIRST]
    x = (x ^ (x >> _WORDS[27])) * _WORDS[_SECOND]
    return x ^ (x >> _WORDS[31])


def _mixed_whole(x: int) -> int:
    """The same of one whole number 0 .. 2^64 - 1."""
    x = ((x ^ (x >> 30)) * _FIRST) & _ALL_BITS
    x = ((x ^ (x >> 27)) * _SECOND) & _ALL_BITS
    return x ^ (x >> 31)


@lru_cache(maxsize=1024)
def purpose(name: str) -> int:
    """Number of a named purpose; streams of different names are independent."""
    return zlib.crc32(name.encode())


def combine(keys: Array, *parts: Any) -> Array:
    """(N,) int64 keys that depend on all arguments.

    Args:
        keys: (N,) int64.
        parts: (N,) int64 arrays, integers, or names.
    """
    if isinstance(keys, np.ndarray) and keys.shape == (1,):
        return _combined_one(keys, parts)
    return _combined(keys, parts)


def _combined(keys: Array, parts: tuple[Any, ...]) -> Array:
    for part in parts:
        if isinstance(part, str | int):
            keys = _mixed(keys + _mixed_number(part))
        else:
            keys = _mixed(keys * 1 + _GOLDEN + _mixed(part * 1 + _GOLDEN))
    return keys


def _combined_one(keys: np.ndarray, parts: tuple[Any, ...]) -> Array:
    """`combine` of one key, in whole numbers: a tenth of the time of eleven array operations."""
    key = keys.item()
    for place, part in enumerate(parts):
        if not isinstance(part, str | int) and part.shape != (1,):
            return _combined(np.array([_wrapped(key)], np.int64), parts[place:])
        number = part if isinstance(part, str | int) else int(part.item())
        key = _mixed_whole((key + _mixed_number(number)) & _ALL_BITS)
    return np.array([_wrapped(key)], np.int64)


@lru_cache(maxsize=4096)
def _mixed_number(part: str | int) -> int:
    """What a name or a number adds to keys: `_GOLDEN + _mixed(part + _GOLDEN)`, in whole numbers that wrap."""
    x = ((purpose(part) if isinstance(part, str) else part) + _GOLDEN) & _ALL_BITS
    return _wrapped(_mixed_whole(x) + _GOLDEN)


def _wrapped(value: int) -> int:
    value &= _ALL_BITS
    return value - (1 << 64) if value >= 1 << 63 else value


def keys_of(seed: int, index: Any) -> np.ndarray:
    """(N,) int64 keys of the parts `index` of a seed, as NumPy; negative seeds are allowed."""
    index = np.atleast_1d(np.asarray(index, np.int64))
    return combine(np.full(index.shape, _wrapped(seed), np.int64), index)


def uniform(keys: Array, name: str, shape: tuple[int, ...] = ()) -> Array:
    """Uniform numbers in (0, 1), float64.

    Args:
        keys: (N,) int64.
        name: what they are for.
        shape: of each key's numbers.

    Returns:
        (N, *shape).
    """
    xp = namespace(keys)
    count = prod(shape)
    base = combine(keys, name)
    if xp is np:
        words = _mixed_words((base[:, None] + _places(count)).view(np.uint64))
        return _unit(words).reshape(len(base), *shape)
    place = xp.asarray(_places(count), device=keys.device)
    bits = _mixed(base[:, None] + place)
    numbers = (xp.astype(_shifted(bits, 11), xp.float64) + 0.5) * _SCALE
    return xp.reshape(numbers, (base.shape[0], *shape))


def _unit(words: np.ndarray) -> np.ndarray:
    """Numbers in (0, 1) from unsigned words."""
    numbers = (words >> _WORDS[11]).astype(np.float64)
    numbers += 0.5
    numbers *= _SCALE
    return numbers


def bits(keys: Array, name: str, count: int) -> Array:
    """(N, count) int64 whose 64 bits are random each; arguments as for `uniform`."""
    xp = namespace(keys)
    places = _places(count) if xp is np else xp.asarray(_places(count), device=keys.device)
    return _mixed(combine(keys, name)[:, None] + places)


def uniforms(keys: Array, names: tuple[str, ...]) -> Array:
    """(K, N) uniform numbers of many purposes in one go; row k equals `uniform(keys, names[k])`."""
    xp = namespace(keys)
    purposes = _purposes(names) if xp is np else xp.asarray(_purposes(names), device=keys.device)
    if xp is np:
        return _unit(_mixed_words(_mixed_words((keys[None, :] + purposes).view(np.uint64)) + _WORDS[_GOLDEN]))
    bits = _mixed(_mixed(keys[None, :] + purposes) + _GOLDEN)
    return (xp.astype(_shifted(bits, 11), xp.float64) + 0.5) * _SCALE


@lru_cache(maxsize=64)
def _purposes(names: tuple[str, ...]) -> np.ndarray:
    """(K, 1) what `combine` adds to a key for each name."""
    with np.errstate(over="ignore"):
        numbers = np.array([purpose(name) for name in names], np.int64)
        return (_mixed(numbers + np.int64(_GOLDEN)) + np.int64(_GOLDEN))[:, None].copy()


@lru_cache(maxsize=64)
def _places(count: int) -> np.ndarray:
    with np.errstate(over="ignore"):
        return (np.arange(1, count + 1, dtype=np.int64) * np.int64(_GOLDEN)).copy()


def normal(keys: Array, name: str, shape: tuple[int, ...] = ()) -> Array:
    """(N, *shape) standard normal numbers, float64; arguments as for `uniform`."""
    return ndtri(uniform(keys, name, shape))
