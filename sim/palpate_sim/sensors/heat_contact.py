"""Heat between a warm pad and a part: exact in the Laplace domain, inverted numerically (Gaver-Stehfest).

Pad (half-space), contact resistance and part are impedances in series. The part's is that of a plate of finite
thickness with an insulated back under a disc of uniform flux (the square pad as a disc of equal area), so that a thin
wall and the lateral spread in metals are in it; thick walls and short times give the half-space of the textbooks:
`q = h (Ts-To) erfcx(u)`, `u = h sqrt(t) (1/es + 1/eo)`. See `docs/physics.md`.
"""

from __future__ import annotations

from functools import lru_cache
from math import factorial

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RectBivariateSpline
from scipy.special import erfcx, j1

from palpate_sim.contact import PAD_SIDE_M
from palpate_sim.devices import DeviceDraw
from palpate_sim.objects import PartBatch

Array = NDArray[np.floating]

PAD_RADIUS_M = PAD_SIDE_M / np.sqrt(np.pi)
SURFACE_LOSS_W_M2K = 10.0
"""Natural convection and radiation of the bare spot."""

_TERMS = 8
_LOG_X = (np.log(0.02), np.log(3000.0))
_LOG_L = (np.log(0.02), np.log(30.0))
_LOG_TIMES = np.linspace(np.log(1e-4), np.log(30.0), 64)


def _stehfest_weights(terms: int) -> Array:
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


_WEIGHTS = _stehfest_weights(_TERMS)


@lru_cache(maxsize=1)
def _disc_spline() -> RectBivariateSpline:
    """Log of mean temperature under a disc on a plate over that of one-dimensional flow, over log x and log l.

    `x = b sqrt(s/a)` and `l = L/b` for disc radius b, thickness L, diffusivity a, Laplace variable s. The exact ratio
    is `2 x tanh(x l) int J1(y)^2 coth(w l) / (y w) dy`, `w = sqrt(y^2 + x^2)` (Carslaw and Jaeger, section 8.2).
    Splines, because the inversion amplifies any kink by a factor of thousands.
    """
    log_x, log_l = np.linspace(*_LOG_X, 96), np.linspace(*_LOG_L, 48)
    x, limit = np.exp(log_x)[:, None], 150.0
    y = np.linspace(0.0, limit, 7501)[1:]
    kernel = 2.0 * j1(y) ** 2 / y * (y[1] - y[0])
    w = np.sqrt(y**2 + x**2)
    tail = 2.0 / np.pi * (np.sqrt(limit**2 + x[:, 0] ** 2) / limit - 1.0) / x[:, 0] ** 2
    columns = []
    for thick in np.exp(log_l):
        mean = (kernel / (w * np.tanh(w * thick))).sum(axis=1) + tail
        columns.append(np.log(mean * x[:, 0] * np.tanh(x[:, 0] * thick)))
    return RectBivariateSpline(log_x, log_l, np.stack(columns, axis=1))


def _spreading_ratio(x: Array, thickness: Array) -> Array:
    """Looks `_disc_spline` up; beyond its ends in x the flow is one-dimensional but for an edge of `2/(pi x)`."""
    log_x = np.clip(np.log(x), *_LOG_X)
    log_l = np.broadcast_to(np.clip(np.log(thickness), *_LOG_L), log_x.shape)
    return np.exp(_disc_spline().ev(log_x, log_l))


def wall_m(batch: PartBatch) -> Array:
    """(N,) thickness that the heat can enter: the wall of a shell, the height of a solid part, m."""
    return np.minimum(batch.wall_thickness_m, batch.dimensions_m[:, 2])


def _part_impedance(batch: PartBatch, s: Array) -> Array:
    """(N, T, K) mean surface temperature over flux in the Laplace domain, m2 K/W; s: (T, K) 1/s."""
    diffusivity = batch.diffusivity_m2_s[:, None, None]
    wave = np.sqrt(s[None] / diffusivity)
    thick = wall_m(batch)[:, None, None]
    one_dimensional = 1.0 / (batch.conductivity_w_mk[:, None, None] * wave * np.tanh(wave * thick))
    return one_dimensional * _spreading_ratio(wave * PAD_RADIUS_M, np.broadcast_to(thick / PAD_RADIUS_M, wave.shape))


def contact_resistance(batch: PartBatch) -> Array:
    """(N,) pad to part: contact, and the coat on it, m2 K/W."""
    return 1.0 / batch.contact_conductance_w_m2k + batch.contact_resistance_m2k_w


def _contact(
    batch: PartBatch, devices: DeviceDraw, time_s: Array, pad_start_c: Array | float, pad_index: int
) -> tuple[Array, Array, Array]:
    """(N, T) flux W/m2, pad face and part surface temperature (degrees Celsius) at times after the touch."""
    time = np.maximum(np.atleast_1d(np.asarray(time_s, float)), 1e-6)
    s = np.log(2.0) / time[:, None] * np.arange(1, _TERMS + 1)
    weights = _WEIGHTS * np.log(2.0) / time[:, None]
    pad = 1.0 / (devices.pad_effusivity[pad_index] * np.sqrt(s))[None]
    part = _part_impedance(batch, s)
    difference = (np.broadcast_to(pad_start_c, (len(batch),)) - batch.temperature_c)[:, None]
    flux = 1.0 / (s * (pad + contact_resistance(batch)[:, None, None] + part))
    start = batch.temperature_c[:, None] + difference
    touching = np.atleast_1d(np.asarray(time_s, float)) > 0.0
    flux_t = difference * np.einsum("ntk,tk->nt", flux, weights)
    pad_t = start - difference * np.einsum("ntk,tk->nt", flux * pad, weights) * touching
    part_t = batch.temperature_c[:, None] + difference * np.einsum("ntk,tk->nt", flux * part, weights) * touching
    return flux_t, pad_t, part_t


def pad_face_temperature(
    batch: PartBatch, devices: DeviceDraw, time_s: Array | float, pad_start_c: Array | float, pad_index: int = 0
) -> Array:
    """True temperature of the pad's face while it touches.

    Args:
        batch: N parts.
        devices: effusivity of the pads.
        time_s: (T,) seconds since the touch; 0 and below give the start.
        pad_start_c: temperature of the pad before, one or (N,), degrees Celsius.
        pad_index: 0 or 1.

    Returns:
        (N, T) degrees Celsius.
    """
    return _contact(batch, devices, np.asarray(time_s), pad_start_c, pad_index)[1]


def pad_flux_w_m2(
    batch: PartBatch, devices: DeviceDraw, time_s: Array | float, pad_start_c: Array | float, pad_index: int = 0
) -> Array:
    """(N, T) mean flux into the part, W/m2; arguments as for `pad_face_temperature`."""
    return _contact(batch, devices, np.asarray(time_s), pad_start_c, pad_index)[0]


@lru_cache(maxsize=32)
def _step_response(batch: PartBatch) -> Array:
    """(N, G) rise of the spot's mean temperature per constant flux, on the grid `_LOG_TIMES`, m2 K/W.

    Kept for the last batches, as is the flux of a touch: a camera asks for the same spot again and again.
    """
    time = np.exp(_LOG_TIMES)
    s = np.log(2.0) / time[:, None] * np.arange(1, _TERMS + 1)
    return np.einsum("ntk,tk->nt", _part_impedance(batch, s) / s, _WEIGHTS * np.log(2.0) / time[:, None])


@lru_cache(maxsize=64)
def _flux_of_touch(
    batch: PartBatch, devices: DeviceDraw, dwell_s: float, pad_start_c: tuple[float, ...], pad_index: int
) -> tuple[Array, Array]:
    """Edges (I+1,) of the steps of a touch, s, and (N, I) the flux in each, W/m2."""
    edges = dwell_s * np.linspace(0.0, 1.0, 41) ** 2
    return edges, _contact(batch, devices, 0.5 * (edges[1:] + edges[:-1]), np.asarray(pad_start_c), pad_index)[0]


def _response_at(table: Array, time: Array) -> Array:
    """Interpolates the step response (N, G) at times (T, I), log-log; 0 at and before 0. Returns (N, T, I)."""
    position = (np.log(np.maximum(time, 1e-12)) - _LOG_TIMES[0]) / (_LOG_TIMES[1] - _LOG_TIMES[0])
    index = np.clip(position.astype(int), 0, len(_LOG_TIMES) - 2)
    logs = np.log(table)
    value = np.exp(logs[:, index] + (position - index) * (logs[:, index + 1] - logs[:, index]))
    return np.where(time > 0.0, value, 0.0)


def surface_temperature(
    batch: PartBatch,
    time_s: Array | float,
    dwell_s: float,
    pad_start_c: Array | float,
    devices: DeviceDraw | None = None,
    pad_index: int = 0,
) -> Array:
    """Mean temperature of the part's surface under the pad, while it touches and after it has left.

    After the touch: superposition of the flux that went in (40 steps), and the loss of a bare surface as the factor
    `erfcx(h sqrt(t) / e)` of a half-space.

    Args:
        batch: N parts.
        time_s: (T,) seconds since the touch.
        dwell_s: how long the pad touched.
        pad_start_c: temperature of the pad before, one or (N,), degrees Celsius.
        devices: effusivity of the pads; nominal if None.
        pad_index: 0 or 1.

    Returns:
        (N, T) degrees Celsius.
    """
    devices = devices or DeviceDraw.nominal()
    time = np.atleast_1d(np.asarray(time_s, float))
    result = np.empty((len(batch), len(time)))
    during = time <= dwell_s
    if during.any():
        result[:, during] = _contact(batch, devices, time[during], pad_start_c, pad_index)[2]
    if (~during).any():
        start = tuple(float(v) for v in np.atleast_1d(np.asarray(pad_start_c, float)))
        edges, flux = _flux_of_touch(batch, devices, float(dwell_s), start, pad_index)
        after = time[~during]
        response = _response_at(_step_response(batch), after[:, None] - edges[None, :])
        rise = np.einsum("ntk,nk->nt", response[:, :, :-1] - response[:, :, 1:], flux)
        loss = SURFACE_LOSS_W_M2K * np.sqrt(after - dwell_s) / batch.effusivity_w_s05_m2k[:, None]
        result[:, ~during] = batch.temperature_c[:, None] + rise * erfcx(loss)
    return result
