"""How the thermal camera's pixels average a warm spot: what is left of its rise over the pad's footprint and around.

A table over the spread of the heat, from pictures of spots at random places between the pixels, with the camera's blur
and the masks that features are read with (`encoders/thermal.py`).
"""

from __future__ import annotations

from functools import lru_cache
from math import log
from typing import NamedTuple

import numpy as np
from scipy.ndimage import convolve1d
from scipy.special import erf

from palpate_agents.encoders.thermal import PAD_HALF_M
from palpate_sim.backend import Array, integers, kept, namespace
from palpate_sim.contact import PAD_SIDE_M

PIXEL_M = 0.00255
"""Side of a thermal pixel on top of a part: 262 pixels of focal length, 0.67 m."""
BLUR = (0.15, 0.7, 0.15)
"""Optics: neighbouring pixels share light."""
PATCH_PIXELS, RING_PIXELS = 11.0, 57.0
"""Pixels of the pad's footprint, and of the ring around it, on average."""

_LOG_SPREAD = np.linspace(log(2e-4), log(0.1), 48)
_PLACES, _REACH = 48, 9


class SpotOptics(NamedTuple):
    """Seen rise over the mean rise under the pad, in the footprint and around, and its scatter with the place."""

    patch: Array
    ring: Array
    patch_scatter: Array
    ring_scatter: Array


@lru_cache(maxsize=1)
def _tables() -> np.ndarray:
    """(K, 4) of `SpotOptics` over `_LOG_SPREAD`."""
    rng = np.random.default_rng(0)
    row, column = np.indices((2 * _REACH + 1, 2 * _REACH + 1)) - _REACH
    inside = ((np.arange(24) + 0.5) / 24 - 0.5) * PAD_SIDE_M
    seen = np.zeros((2, len(_LOG_SPREAD), _PLACES))
    for place in range(_PLACES):
        shift, angle = rng.uniform(-0.5, 0.5, 2), rng.uniform(0.0, np.pi)
        x, y = (column - shift[0]) * PIXEL_M, (row - shift[1]) * PIXEL_M
        distance = np.hypot(x, y) / PIXEL_M
        patch, ring = distance <= 0.8 * PAD_HALF_M / PIXEL_M, ring_mask(distance)
        along, across = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
        for k, spread in enumerate(np.exp(_LOG_SPREAD)):
            under = np.mean(square_profile(inside, spread)) ** 2
            shape = square_profile(along, spread) * square_profile(across, spread) / under
            shape = convolve1d(convolve1d(shape, BLUR, axis=0, mode="nearest"), BLUR, axis=1, mode="nearest")
            seen[:, k, place] = shape[patch].mean(), np.median(shape[ring])
    return np.ascontiguousarray(np.concatenate([seen.mean(axis=2), seen.std(axis=2)]).T)


def ring_mask(distance: np.ndarray) -> np.ndarray:
    """Pixels of the ring around the footprint, by their distance from its middle in pixels."""
    radius = 0.8 * PAD_HALF_M / PIXEL_M
    return (distance > 1.6 * radius) & (distance <= 2.4 * radius + 0.71)


def square_profile(offset_m: np.ndarray, spread_m: float) -> np.ndarray:
    """A flat square of the pad's side, blurred by diffusion: one dimension, 1 deep inside."""
    half = 0.5 * PAD_SIDE_M
    return 0.5 * (erf((offset_m + half) / spread_m) - erf((offset_m - half) / spread_m))


def spot_optics(log_spread: Array) -> SpotOptics:
    """What the camera sees of spots whose heat has spread so far (natural logarithm of m)."""
    xp = namespace(log_spread)
    step = _LOG_SPREAD[1] - _LOG_SPREAD[0]
    place = xp.clip((log_spread - _LOG_SPREAD[0]) / step, 0.0, len(_LOG_SPREAD) - 1.000001)
    index = integers(place)
    table = kept("spot optics", _tables(), log_spread)
    share = (place - index)[..., None]
    value = table[index] * (1.0 - share) + table[index + 1] * share
    return SpotOptics(*(value[..., k] for k in range(4)))
