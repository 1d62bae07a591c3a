"""A warm touch of n parts per kelvin between pad and part: the pad's fall, the heat that went in, the rise afterwards.

The same impedances as in `sensors/heat_contact.py`, which the full cell asks at every single time, are inverted here
at a few nodes over the logarithm of time and interpolated between them; errors stay below 0.3 % of the step.
"""

from __future__ import annotations

from functools import lru_cache
from math import log
from typing import Any, NamedTuple

import numpy as np

from palpate_sim.backend import Array, erfcx, kept_all, limited, namespace
from palpate_sim.sensors.heat_contact import (
    SURFACE_LOSS_W_M2K,
    contact_resistance,
    invert,
    laplace_places,
    pad_effusivity,
    part_impedance,
)

SEEN_FROM_S, SEEN_TO_S = 0.35, 1.75
"""Times after a touch at which its spot may be looked at."""
_EARLIEST_SHARE = 3e-4
"""Of the dwell: the first node."""
_TOUCH_NODES, _FLUX_NODES, _IMPULSE_NODES, _RISE_NODES = 9, 8, 7, 6


class _Rules(NamedTuple):
    """Constants: nodes as shares of the dwell, matrices from values at nodes to coefficients, rules of integration."""

    shares: np.ndarray
    touch: np.ndarray
    impulse_points: np.ndarray
    impulse: np.ndarray
    flux: np.ndarray
    after: np.ndarray
    within: np.ndarray
    root: np.ndarray
    rise: np.ndarray


class TouchCurves(NamedTuple):
    """Curves of n touches per kelvin of step, as polynomials; read them with `fall_and_heat` and `rise`.

    Attributes:
        dwell_s: (n,) time of contact.
        touch: (n, C, 2) coefficients of the pad's fall, 1, and of heat, J/(m2 K).
        rise: (n, R) coefficients of the spot's rise after the touch, 1.
    """

    dwell_s: Array
    touch: Array
    rise: Array


def _nodes(count: int) -> tuple[np.ndarray, np.ndarray]:
    """(C,) Chebyshev points of -1..1, and the matrix from values there to coefficients of a polynomial."""
    points = -np.cos(np.pi * np.arange(count) / (count - 1))
    return points, np.linalg.inv(np.vander(points, increasing=True))


@lru_cache(maxsize=1)
def _rules() -> _Rules:
    touch_points, touch = _nodes(_TOUCH_NODES)
    impulse_points, impulse = _nodes(_IMPULSE_NODES)
    rise_points, rise = _nodes(_RISE_NODES)
    # Heat that went in at `D x^2`: flux times root of time is smooth there, and comes from the touch's nodes.
    x, weights = np.polynomial.legendre.leggauss(_FLUX_NODES)
    x, weights = 0.5 * (x + 1.0), 0.5 * weights
    place = np.vander(1.0 - 4.0 * np.log(x) / log(_EARLIEST_SHARE), _TOUCH_NODES, increasing=True)
    after = 0.5 * (SEEN_FROM_S + SEEN_TO_S) + 0.5 * (SEEN_TO_S - SEEN_FROM_S) * rise_points
    return _Rules(
        shares=_EARLIEST_SHARE ** (0.5 - 0.5 * touch_points),
        touch=touch,
        impulse_points=impulse_points,
        impulse=impulse.T.copy(),
        flux=(2.0 * weights[:, None] * (place @ touch)).T.copy(),
        after=after[:, None] + 0.0 * x,
        within=1.0 - x**2 + 0.0 * after[:, None],
        root=SURFACE_LOSS_W_M2K * np.sqrt(after),
        rise=rise.T.copy(),
    )


def touch_curves(spot: Any, devices: Any, pad_index: int | Array, dwell_s: Array) -> TouchCurves:
    """Curves of one touch each.

    Args:
        spot: n parts as met under the pad.
        devices: n sets, or one.
        pad_index: 0 or 1, for all or (n,).
        dwell_s: (n,).
    """
    xp = namespace(dwell_s)
    count = dwell_s.shape[0]
    rules = kept_all("heat curves", _rules(), dwell_s)
    times = dwell_s[:, None] * rules.shares
    end = xp.log(dwell_s + SEEN_TO_S)
    middle, half = 0.5 * (end + log(SEEN_FROM_S)), 0.5 * (end - log(SEEN_FROM_S))
    ago = xp.exp(middle[:, None] + half[:, None] * rules.impulse_points)
    times = xp.concat([times, ago], axis=1)
    s = laplace_places(times)
    part = xp.reshape(part_impedance(spot, xp.reshape(s, (count, -1))), s.shape)
    early, part_early, size = s[:, :_TOUCH_NODES], part[:, :_TOUCH_NODES], _TOUCH_NODES
    pad = 1.0 / (pad_effusivity(devices, pad_index, dwell_s)[:, None, None] * xp.sqrt(early))
    flux = 1.0 / (early * (pad + contact_resistance(spot)[:, None, None] + part_early))
    transforms = xp.concat([flux, flux * pad, flux / early, part[:, size:]], axis=1)
    values = invert(transforms, xp.concat([times[:, :size]] * 3 + [ago], axis=1))
    fall_heat = xp.permute_dims(xp.reshape(values[:, size : 3 * size], (count, 2, size)), (0, 2, 1))
    touch = xp.matmul(rules.touch, fall_heat)
    response = xp.matmul(xp.log(values[:, 3 * size :]), rules.impulse)
    rooted = values[:, :size] * xp.sqrt(times[:, :size])
    return TouchCurves(dwell_s, touch, _rise(spot, dwell_s, rooted, response, middle, half))


def _rise(spot: Any, dwell_s: Array, rooted: Array, response: Array, middle: Array, half: Array) -> Array:
    """(n, R) coefficients of the rise: flux times root of time at the nodes, over the response to an impulse."""
    xp = namespace(dwell_s)
    rules = kept_all("heat curves", _rules(), dwell_s)
    share = xp.sqrt(dwell_s)[:, None] * xp.matmul(rooted, rules.flux)
    since = rules.after + dwell_s[:, None, None] * rules.within
    place = (xp.log(since) - middle[:, None, None]) / half[:, None, None]
    log_response = response[:, -1, None, None]
    for k in range(_IMPULSE_NODES - 2, -1, -1):
        log_response = log_response * place + response[:, k, None, None]
    rise = xp.matmul(xp.exp(log_response), share[..., None])[..., 0]
    rise = rise * erfcx(rules.root / spot.effusivity_w_s05_m2k[:, None])
    return xp.matmul(rise, rules.rise)


def fall_and_heat(curves: TouchCurves, time_s: Array) -> Array:
    """(n, T, 2) fall of the pad's face (1) and heat that went in (J/(m2 K)) per kelvin, at times (n, T) of contact."""
    xp = namespace(time_s)
    share = limited(time_s / curves.dwell_s[:, None], _EARLIEST_SHARE, 1.0)
    place = 1.0 - 2.0 / log(_EARLIEST_SHARE) * xp.log(share)
    square = place * place
    # Three polynomials of degree 2 at once, then one of degree 2 over the cube.
    powers = xp.concat([p[..., None] for p in (xp.ones_like(place), place, square)], axis=2)
    by_three = xp.permute_dims(xp.reshape(curves.touch, (-1, 3, 3, 2)), (0, 2, 1, 3))
    parts = xp.matmul(powers, xp.reshape(by_three, (-1, 3, 6)))
    cube = (square * place)[..., None]
    value = (parts[..., 4:] * cube + parts[..., 2:4]) * cube + parts[..., :2]
    return value * (time_s > 0.0)[..., None]


def rise_after(curves: TouchCurves, after_s: Array) -> Array:
    """(n, T) mean rise under the pad per kelvin at times (n, T) after it left, `SEEN_FROM_S` to `SEEN_TO_S`."""
    place = (limited(after_s, SEEN_FROM_S, SEEN_TO_S) - SEEN_FROM_S) * (2.0 / (SEEN_TO_S - SEEN_FROM_S)) - 1.0
    value = curves.rise[:, -1, None]
    for k in range(_RISE_NODES - 2, -1, -1):
        value = value * place + curves.rise[:, k, None]
    return value
