"""Heat between a warm pad and parts: exact in the Laplace domain, inverted numerically (Gaver-Stehfest).

Pad (half-space), contact resistance and part are impedances in series. The part's is that of a plate of finite
thickness with an insulated back under a disc of uniform flux (the square pad as a disc of equal area), so that a thin
wall and the lateral spread in metals are in it; thick walls and short times give the half-space of the textbooks:
`q = h (Ts-To) erfcx(u)`, `u = h sqrt(t) (1/es + 1/eo)`. See `docs/physics.md`. Arrays may be NumPy's or torch's.
"""

from __future__ import annotations

from functools import lru_cache
from math import factorial, log, sqrt
from typing import Any

import numpy as np
from scipy.special import j1

from palpate_sim.backend import Array, constant, erfcx, integers, is_torch, kept, limited, namespace
from palpate_sim.contact import PAD_SIDE_M
from palpate_sim.devices import DeviceDraw

PAD_RADIUS_M = PAD_SIDE_M / sqrt(np.pi)
SURFACE_LOSS_W_M2K = 10.0
"""Natural convection and radiation of the bare spot."""
EARLIEST_S = 1e-6

_TERMS = 8
_LOG_X = (log(0.02), log(3000.0))
_LOG_L = (log(0.02), log(30.0))
_POINTS_X, _POINTS_L = 192, 48


def _stehfest_weights(terms: int) -> np.ndarray:
    half = terms // 2
    weights = []
    for k in range(1, terms + 1):
        total = 0.0
        for j in range((k + 1) // 2, min(k, half) + 1):
            total += (j**half * factorial(2 * j)) / (
                factorial(half - j) * factorial(j) * factorial(j - 1) * factorial(k - j) * factorial(2 * j - k)
            )
        weights.append((-1) ** (k + half) * total)
    return np.asarray(weights)


_WEIGHTS = log(2.0) * _stehfest_weights(_TERMS)
_PLACES = log(2.0) * np.arange(1.0, _TERMS + 1)
"""The inverse at t is `sum_k _WEIGHTS[k] F(_PLACES[k] / t) / t`."""


def _spline_coefficients(values: np.ndarray) -> np.ndarray:
    """Coefficients (K + 2, ...) of the uniform cubic B-spline through values (K, ...), without a knot near the ends."""
    count = len(values)
    system = np.zeros((count + 2, count + 2))
    for row in range(count):
        system[row, row : row + 3] = 1 / 6, 4 / 6, 1 / 6
    system[count, :5] = system[count + 1, -5:] = 1.0, -4.0, 6.0, -4.0, 1.0
    flat = values.reshape(count, -1)
    return np.linalg.solve(system, np.concatenate([flat, np.zeros((2, flat.shape[1]))])).reshape(-1, *values.shape[1:])


@lru_cache(maxsize=1)
def _disc_spline() -> np.ndarray:
    """B-spline over log l, log x: log of mean temperature under a disc on a plate over that of one-dimensional flow.

    `x = b sqrt(s/a)` and `l = L/b` for disc radius b, thickness L, diffusivity a, Laplace variable s. The exact ratio
    is `2 x tanh(x l) int J1(y)^2 coth(w l) / (y w) dy`, `w = sqrt(y^2 + x^2)` (Carslaw and Jaeger, section 8.2).
    Splines, because the inversion amplifies any kink by a factor of thousands.
    """
    log_x, log_l = np.linspace(*_LOG_X, _POINTS_X), np.linspace(*_LOG_L, _POINTS_L)
    x, limit = np.exp(log_x)[:, None], 150.0
    u = (np.arange(4000) + 0.5) / 4000
    y = limit * u**2
    kernel = 2.0 * j1(y) ** 2 / y * (2.0 * limit * u / 4000)
    w = np.sqrt(y**2 + x**2)
    tail = 2.0 / np.pi * (np.sqrt(limit**2 + x[:, 0] ** 2) / limit - 1.0) / x[:, 0] ** 2
    rows = []
    for thick in np.exp(log_l):
        mean = (kernel / (w * np.tanh(w * thick))).sum(axis=1) + tail
        rows.append(np.log(mean * x[:, 0] * np.tanh(x[:, 0] * thick)))
    return np.ascontiguousarray(_spline_coefficients(_spline_coefficients(np.stack(rows)).T).T)


_FOUR = np.arange(4)


def _whole(x: Array) -> tuple[Array, Array]:
    """Integer part of non-negative numbers, as an index, and the rest."""
    index = integers(x)
    return index, x - index


def _basis(t: Array) -> tuple[Array, Array, Array, Array]:
    """The four cubic B-splines that reach a place `t` in 0..1 between two knots."""
    u, tt = 1.0 - t, t * t
    last = tt * t / 6.0
    first = u * u * u / 6.0
    second = 2.0 / 3.0 - tt + 3.0 * last
    return first, second, 1.0 - first - second - last, last


def _spreading_ratio(x: Array, thickness: Array) -> Array:
    """Looks `_disc_spline` up; beyond its ends in x the flow is one-dimensional but for an edge of `2/(pi x)`.

    Args:
        x: (N, M) `b sqrt(s/a)`.
        thickness: (N,) over the disc's radius.
    """
    xp = namespace(x)
    table = kept("disc", _disc_spline(), x)
    step_x = (_LOG_X[1] - _LOG_X[0]) / (_POINTS_X - 1)
    step_l = (_LOG_L[1] - _LOG_L[0]) / (_POINTS_L - 1)
    place = (xp.log(thickness) - _LOG_L[0]) / step_l
    row, t = _whole(limited(place, 0.0, _POINTS_L - 1.000001))
    # Each part has one thickness: first its own row of the table, then a spline in one dimension.
    rows = row[:, None] + (_FOUR if xp is np else xp.arange(4, device=x.device))
    lines = xp.matmul(xp.concat([w[:, None] for w in _basis(t)], axis=1)[:, None, :], table[rows])[:, 0, :]
    column, t = _whole(limited((xp.log(x) - _LOG_X[0]) * (1.0 / step_x), 0.0, _POINTS_X - 1.000001))
    width = table.shape[1]
    if xp is np:
        flat = lines.ravel()
        column += (np.arange(len(lines)) * width)[:, None]
        gathered = [flat.take(column + k) for k in range(4)]
    else:
        flat = xp.reshape(lines, (-1,))
        column = column + (xp.arange(lines.shape[0], device=x.device) * width)[:, None]
        gathered = [flat[column + k] for k in range(4)]
    a, b, c, d = _basis(t)
    return xp.exp(a * gathered[0] + b * gathered[1] + c * gathered[2] + d * gathered[3])


def wall_m(batch: Any) -> Array:
    """(N,) thickness that the heat can enter: the wall of a shell, the height of a solid part, m."""
    xp = namespace(batch.wall_thickness_m)
    return xp.minimum(batch.wall_thickness_m, batch.dimensions_m[:, 2])


def part_impedance(batch: Any, s: Array) -> Array:
    """(N, M) mean surface temperature over flux in the Laplace domain, m2 K/W; s: (N, M) 1/s."""
    xp = namespace(s)
    wave = xp.sqrt(s / batch.diffusivity_m2_s[:, None])
    thick = wall_m(batch)
    one_dimensional = 1.0 / (batch.conductivity_w_mk[:, None] * wave * xp.tanh(wave * thick[:, None]))
    return one_dimensional * _spreading_ratio(wave * PAD_RADIUS_M, thick / PAD_RADIUS_M)


def contact_resistance(batch: Any) -> Array:
    """(N,) pad to part: contact, and the coat or label on it, m2 K/W."""
    return 1.0 / batch.contact_conductance_w_m2k + batch.contact_resistance_m2k_w


def laplace_places(time_s: Array) -> Array:
    """(N, T, 8) Laplace variable at which `invert` wants a transform for times (N, T), 1/s."""
    return kept("places", _PLACES, time_s) / time_s[..., None]


def invert(transform: Array, time_s: Array) -> Array:
    """Inverse Laplace transform (Gaver-Stehfest) at times (N, T); transform (N, T, 8) at `laplace_places`."""
    xp = namespace(time_s)
    return xp.matmul(transform, kept("weights", _WEIGHTS, time_s)) / time_s


def pad_effusivity(devices: Any, pad_index: int | Array, like: Array) -> Array:
    """(N,) of the pads that touch, W s0.5/(m2 K).

    Args:
        devices: one set of devices (for all parts) or N of them.
        pad_index: one for all, or (N,) int.
        like: (N,) array of the parts.
    """
    xp = namespace(like)
    values = devices.pad_effusivity
    if isinstance(values, tuple | list) or values.ndim == 1:
        return constant(values, like)[pad_index] + 0.0 * like
    if isinstance(pad_index, int):
        return values[:, pad_index] + 0.0 * like
    return xp.where(pad_index == 0, values[:, 0], values[:, 1]) + 0.0 * like


def _times(batch: Any, time_s: Any) -> Array:
    """(N, T) from one, (T,) or (N, T) times."""
    like = batch.temperature_c
    xp = namespace(like)
    time = time_s if is_torch(time_s) else constant(np.atleast_1d(np.asarray(time_s, float)), like)
    if time.ndim == 1:
        time = xp.broadcast_to(time[None, :], (like.shape[0], time.shape[0]))
    return time


def _contact(
    batch: Any, devices: Any, time: Array, pad_start_c: Array | float, pad_index: int | Array, resistance: Any = None
) -> tuple[Array, Array, Array, Array]:
    """(N, T) flux W/m2, heat J/m2, pad face and part surface temperature (degrees Celsius) after the touch."""
    between = contact_resistance(batch) if resistance is None else resistance + 0.0 * batch.temperature_c
    xp = namespace(time)
    count, length = time.shape
    start = batch.temperature_c
    step = (pad_start_c - start)[:, None]
    touching = time > 0.0
    late = limited(time, EARLIEST_S, 1e9)
    s = laplace_places(late)
    part = xp.reshape(part_impedance(batch, xp.reshape(s, (count, -1))), (count, length, _TERMS))
    pad = 1.0 / (pad_effusivity(devices, pad_index, start)[:, None, None] * xp.sqrt(s))
    flux = 1.0 / (s * (pad + between[:, None, None] + part))
    return (
        step * invert(flux, late),
        step * invert(flux / s, late) * touching,
        start[:, None] + step * (1.0 - invert(flux * pad, late) * touching),
        start[:, None] + step * invert(flux * part, late) * touching,
    )


def pad_face_temperature(
    batch: Any, devices: Any, time_s: Any, pad_start_c: Array | float, pad_index: int | Array = 0
) -> Array:
    """True temperature of the pad's face while it touches.

    Args:
        batch: N parts, as met at the spot.
        devices: effusivity of the pads; one set, or one per part.
        time_s: (T,) or (N, T) seconds since the touch; 0 and below give the start.
        pad_start_c: temperature of the pad before, one or (N,), degrees Celsius.
        pad_index: 0 or 1, for all or (N,).

    Returns:
        (N, T) degrees Celsius.
    """
    return _contact(batch, devices, _times(batch, time_s), pad_start_c, pad_index)[2]


def pad_flux_w_m2(
    batch: Any, devices: Any, time_s: Any, pad_start_c: Array | float, pad_index: int | Array = 0
) -> Array:
    """(N, T) mean flux into the part, W/m2; arguments as for `pad_face_temperature`."""
    return _contact(batch, devices, _times(batch, time_s), pad_start_c, pad_index)[0]


def pad_heat_j_m2(
    batch: Any, devices: Any, time_s: Any, pad_start_c: Array | float, pad_index: int | Array = 0
) -> Array:
    """(N, T) heat that has gone into the part since the touch, J/m2; arguments as for `pad_face_temperature`."""
    return _contact(batch, devices, _times(batch, time_s), pad_start_c, pad_index)[1]


def pad_course(
    batch: Any, devices: Any, time_s: Any, pad_start_c: Array | float, pad_index: int | Array = 0,
    resistance_m2k_w: Array | float | None = None,
) -> tuple[Array, Array]:  # fmt: skip
    """Heat that went in, J/m2, and the pad's face, degrees Celsius, of one part: (T,) each.

    Args:
        batch: the part (N = 1).
        devices: effusivity of the pads.
        time_s: (T,) seconds since the touch.
        pad_start_c: temperature of the pad before, degrees Celsius.
        pad_index: 0 or 1.
        resistance_m2k_w: between pad and part; the batch's own if None.
    """
    course = _contact(batch, devices, _times(batch, time_s), pad_start_c, pad_index, resistance_m2k_w)
    return course[1][0], course[2][0]


_NODES, _NODE_WEIGHTS = np.polynomial.legendre.leggauss(8)
_NODES, _NODE_WEIGHTS = 0.5 * (_NODES + 1.0), 0.5 * _NODE_WEIGHTS


def surface_temperature(
    batch: Any,
    time_s: Any,
    dwell_s: float | Array,
    pad_start_c: Array | float,
    devices: Any = None,
    pad_index: int | Array = 0,
    resistance_m2k_w: Array | float | None = None,
) -> Array:
    """Mean temperature of the part's surface under the pad, while it touches and after it has left.

    After the touch: the flux that went in, superposed over the surface's response to an impulse of heat, and the loss
    of a bare surface as the factor `erfcx(h sqrt(t) / e)` of a half-space.

    Args:
        batch: N parts, as met at the spot.
        time_s: (T,) or (N, T) seconds since the touch.
        dwell_s: how long the pad touched, one or (N,).
        pad_start_c: temperature of the pad before, one or (N,), degrees Celsius.
        devices: effusivity of the pads; nominal if None.
        pad_index: 0 or 1, for all or (N,).
        resistance_m2k_w: between pad and part, one or (N,); the batch's own if None.

    Returns:
        (N, T) degrees Celsius.
    """
    devices = devices or DeviceDraw.nominal()
    time = _times(batch, time_s)
    xp = namespace(time)
    dwell = (dwell_s + 0.0 * batch.temperature_c)[:, None]
    during = _contact(batch, devices, xp.minimum(time, dwell), pad_start_c, pad_index, resistance_m2k_w)[3]
    after = xp.clip(time - dwell, 1e-9, None)
    if not bool(xp.any(time > dwell)):
        return during
    start = batch.temperature_c[:, None]
    loss = erfcx(SURFACE_LOSS_W_M2K * xp.sqrt(after) / batch.effusivity_w_s05_m2k[:, None])
    rise = _rise_after(batch, devices, after, dwell, pad_start_c, pad_index, resistance_m2k_w)
    return xp.where(time <= dwell, during, start + rise * loss)


def _rise_after(
    batch: Any, devices: Any, after: Array, dwell: Array, pad_start_c: Array | float, pad_index: int | Array,
    resistance: Any,
) -> Array:  # fmt: skip
    """(N, T) rise under the pad, K, at times (N, T) after a touch of (N, 1) s, without the surface's loss.

    The integral of flux and response is singular at the touch (flux) and near its end (response): either half is
    taken over the root of the time from there.
    """
    xp = namespace(after)
    nodes, weights = kept("nodes", _NODES, after), kept("node weights", _NODE_WEIGHTS, after)
    count, length = after.shape
    half = 0.5 * dwell
    early = half * nodes**2
    low, high = xp.sqrt(after), xp.sqrt(after + half)
    root = low[..., None] + (high - low)[..., None] * nodes
    since = xp.reshape(root * root, (count, -1))
    when = xp.reshape((after + dwell)[..., None] - root * root, (count, -1))
    flux = _contact(batch, devices, xp.concat([early, when], axis=1), pad_start_c, pad_index, resistance)[0]
    ago = xp.concat([xp.reshape((after + dwell)[..., None] - early[:, None, :], (count, -1)), since], axis=1)
    response = impulse_response(batch, ago)
    size, split = nodes.shape[0], (count, length, -1)
    first = xp.reshape(response[:, : length * size], split) * flux[:, None, :size]
    second = xp.reshape(response[:, length * size :] * flux[:, size:], split) * root
    return 2.0 * half * xp.matmul(first, weights * nodes) + 2.0 * (high - low) * xp.matmul(second, weights)


def impulse_response(batch: Any, time_s: Array) -> Array:
    """(N, T) mean rise under the pad at times (N, T) after one J/m2 went in, m2 K/J."""
    xp = namespace(time_s)
    count, length = time_s.shape
    s = xp.reshape(laplace_places(time_s), (count, -1))
    return invert(xp.reshape(part_impedance(batch, s), (count, length, _TERMS)), time_s)
