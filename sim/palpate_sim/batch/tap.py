"""Features of taps: the samples of each pulse with their noise, and what `encoders/tactile.py` finds in them.

Only the samples around the pulse are drawn. A pulse of more than 248 samples is drawn in groups of a few samples:
where the largest of a group counts its noise is that of the largest, where a crossing is looked for that of the
smallest, and in sums that of the mean.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from palpate_agents.encoders.tactile import NAMES
from palpate_agents.observation import Outcome
from palpate_sim.backend import Array, constant, integers, interpolate, limited, namespace, ndtri
from palpate_sim.batch.features import Features, TouchResult
from palpate_sim.batch.robot import LIMITS, MEDIAN, draw, or_default
from palpate_sim.devices import DeviceBatch
from palpate_sim.elastic import BALL_RADIUS_M, law_dent, press_law
from palpate_sim.impact import (
    BURST_DURATION_S,
    BURST_PREROLL_S,
    BURST_RANGE_M_S2,
    BURST_RATE_HZ,
    TIP_MASS_KG,
    Pulses,
    pulses,
    received_until,
)
from palpate_sim.keyed import bits
from palpate_sim.objects import PartBatch

FIRST = NAMES.index("tap_log10_contact_time_s")
"""The seven features of a tap follow each other from here."""
HALF_HEIGHT = 0.609
WINDOWS = (32, 64, 128, 256)
"""Samples, or groups of samples, of a window; each pulse has the smallest that takes it."""
LEAD, TAIL = 3, 5
"""Samples of a window before the touch and after the release."""
LARGEST_MEAN = (0.0, 0.5642, 0.8463, 1.0294, 1.1630, 1.2672, 1.3522, 1.4236, 1.4850, 1.5388, 1.5864)
LARGEST_SPREAD = (1.0, 0.8256, 0.7480, 0.7012, 0.6690, 0.6449, 0.6260, 0.6107, 0.5978, 0.5868, 0.5773)
"""Mean and standard deviation of the largest of 1, 2, .. 11 standard normal numbers."""
FIELDS, WIDTH = 4, 13
LEVELS = 1 << WIDTH
"""One hash gives four normal numbers of 8192 levels, none beyond 3.8."""
QUIET_SAMPLES = 25
MIN_PEAK = 8.0
"""Peak over noise below which the features find no impact."""
SATURATED_SAMPLES, SATURATED_RELIABILITY = 3, 0.4
TOTAL = round(BURST_DURATION_S * BURST_RATE_HZ)
BEFORE = round(BURST_PREROLL_S * BURST_RATE_HZ)


def tap(spot: PartBatch, devices: DeviceBatch, speed_m_s: Array, tilt_rad: Array, keys: Array) -> TouchResult:
    """Taps of n parts.

    Args:
        spot: what the ball meets.
        devices: n sets.
        speed_m_s: (n,) of the arm along its approach; 0: its default. Never above its limit.
        tilt_rad: (n,) between approach and surface normal.
        keys: (n,) int64, of these taps.
    """
    xp = namespace(speed_m_s)
    speed = or_default(speed_m_s, LIMITS.tap_speed_m_s, LIMITS.tap_speed_max_m_s) * xp.cos(tilt_rad)
    law = press_law(spot)
    found = pulses(spot, speed, law)
    samples = found.duration_s * BURST_RATE_HZ
    room = float(WINDOWS[-1] - LEAD - TAIL)
    group = xp.maximum(xp.ceil(xp.minimum(samples, float(TOTAL)) / room), 1.0)
    wanted = xp.minimum(samples / group, room) + (LEAD + TAIL)
    n = speed.shape[0]
    columns = xp.full((n, 8), math.nan, dtype=xp.float64, **_on(speed))
    smallest = 0.0
    for size in WINDOWS:
        chosen = (wanted > smallest) & (wanted <= size)
        smallest = float(size)
        if n == 1:
            if bool(chosen[0]):
                columns = _window(found, devices, speed, group, keys, size)
        elif xp.any(chosen):
            index = xp.nonzero(chosen)[0]
            rows = Pulses(*(part[index] for part in found))
            columns[index] = _window(rows, devices.rows(index), speed[index], group[index], keys[index], size)
    values = xp.full((n, len(NAMES)), math.nan, dtype=xp.float64, **_on(speed))
    values[:, FIRST : FIRST + 7] = columns[:, :7]
    peak = found.peak_force_n
    outcome = xp.full((n,), int(Outcome.SUCCEEDED), dtype=xp.int64, **_on(speed))
    return TouchResult(Features(values, columns[:, 7]), 0.0 * peak, law_dent(law, peak), outcome)


def _on(like: Array) -> dict[str, object]:
    return {"device": like.device}


class _Samples(NamedTuple):
    """Samples, or groups of them, of n windows, (n, size) each, m/s2.

    Attributes:
        clean: without noise.
        high: the largest of each group.
        low: the smallest.
        mean: their mean.
    """

    clean: Array
    high: Array
    low: Array
    mean: Array


def _samples(found: Pulses, devices: DeviceBatch, group: Array, jitter: Array, keys: Array, place: Array) -> _Samples:
    xp = namespace(group)
    size = place.shape[1]
    edges = xp.arange(size + 1, dtype=xp.float64, **_on(group))[None, :] - LEAD
    samples = (found.duration_s * BURST_RATE_HZ)[:, None]
    received = received_until(found, (edges * group[:, None] - jitter[:, None]) / samples)
    scale = devices.burst_gain * found.impulse_n_s * (BURST_RATE_HZ / TIP_MASS_KG) / group
    clean = (received[:, 1:] - received[:, :-1]) * scale[:, None]
    large, small, mean = _noise(keys, size, group)
    spread = devices.burst_noise_m_s2[:, None]
    high = clean + spread * large
    if xp.max(high) > BURST_RANGE_M_S2:
        high = xp.minimum(high, BURST_RANGE_M_S2)
    if small is large:
        return _Samples(clean, high, high, high)
    low = clean + spread * small
    inside = (place - LEAD) * group[:, None] < TOTAL - BEFORE  # the burst is over before the longest pulses are
    high, low = xp.where(inside, high, -1e9), xp.where(inside, low, -1e9)
    return _Samples(clean, high, low, clean + spread * mean)


def _window(found: Pulses, devices: DeviceBatch, speed: Array, group: Array, keys: Array, size: int) -> Array:
    """(n, 8): the features in the order of NAMES, and the reliability, of taps whose windows have `size` samples."""
    xp = namespace(speed)
    sigma = devices.burst_noise_m_s2
    step = group / BURST_RATE_HZ
    place = xp.arange(size, dtype=xp.float64, **_on(speed))[None, :]
    draws, extra = draw(keys, "tap", 1, 4)
    clean, high, low, mean = _samples(found, devices, group, draws[:, 0], keys, place)
    base = (MEDIAN / math.sqrt(QUIET_SAMPLES)) * sigma * extra[:, 0]  # error of the median that is taken off
    top = xp.argmax(high, axis=1)
    rows = xp.arange(speed.shape[0], **_on(speed))
    raw = high[rows, top]
    peak = raw - base
    level = 0.5 * peak + base
    below, column = low < level[:, None], top[:, None]
    before = xp.max(place * (below & (place < column)), axis=1)
    after = size - 1.0 - xp.max((size - 1.0 - place) * (below & (place > column)), axis=1)
    left, right = _crossing(low, rows, before, 1, level), _crossing(low, rows, after, -1, level)
    tip = 1.0 * top
    contact = xp.maximum(right - left, 0.01) * step / HALF_HEIGHT
    begin = xp.maximum(xp.floor(tip - 2.0 * (tip - left) - 2.0 / group), LEAD - BEFORE / group)
    finish = xp.floor(tip + 2.5 * (right - tip) + 3.0 / group)
    finish = xp.minimum(finish, LEAD + (TOTAL - BEFORE) / group)
    ended = place >= finish[:, None]
    summed = xp.sum(mean * ((place >= begin[:, None]) & ~ended), axis=1)
    outside = xp.maximum(-begin, 0.0) + xp.maximum(finish - size, 0.0)
    change = (summed - base * (finish - begin) + sigma * xp.sqrt(outside / group) * extra[:, 1]) * step
    rest = TOTAL - BEFORE - (finish - LEAD) * group
    tail = xp.sum((clean * ended) ** 2, axis=1) * group
    loud = sigma**2 * (1.0 + extra[:, 2] * xp.sqrt(2.0 / xp.maximum(rest, 2.0)))
    ringing = xp.sqrt(loud + tail / xp.maximum(rest, 1.0))
    restitution = limited(change / speed - 1.0, -0.5, 1.5)
    modulus = (15.0 * TIP_MASS_KG / (16.0 * math.sqrt(BALL_RADIUS_M))) / (contact * speed**0.2 / 2.94) ** 2.5
    features = (
        xp.log10(contact),
        restitution,
        xp.log10(xp.maximum(peak, 1e-3)),
        xp.log10(xp.maximum(modulus, 1.0)),
        peak * contact / speed,
        (right - tip) / xp.maximum(tip - left, 0.5 / group) - 1.0,
        xp.where(rest > 10.0, ringing / peak, math.nan),
    )
    noise = sigma * (1.0 + 0.2 * extra[:, 3])  # as the median deviation of the quiet samples estimates it
    seen = peak >= MIN_PEAK * noise
    reliability = xp.ones_like(peak)
    if xp.max(raw) >= BURST_RANGE_M_S2:
        stuck = xp.sum(1.0 * (high >= BURST_RANGE_M_S2), axis=1) > SATURATED_SAMPLES
        reliability = xp.where(stuck, SATURATED_RELIABILITY, reliability)
    table = xp.stack([xp.where(seen, column, math.nan) for column in features], axis=1)
    return xp.concat([table, xp.where(seen, reliability, 0.0)[:, None]], axis=1)


@lru_cache(maxsize=1)
def _quantiles() -> np.ndarray:
    return ndtri((np.arange(LEVELS) + 0.5) / LEVELS)


def _noise(keys: Array, size: int, group: Array) -> tuple[Array, Array, Array]:
    """Noise (n, size) of the largest, the smallest and the mean sample of each group."""
    xp = namespace(keys)
    words = bits(keys, "tap.samples", size // FIELDS)
    table = constant(_quantiles(), group)
    draws = xp.concat([table[(words >> (WIDTH * k)) & (LEVELS - 1)] for k in range(FIELDS)], axis=1)
    if size < WINDOWS[-1]:
        return draws, draws, draws
    middle = interpolate(group, 1.0, 1.0, constant(LARGEST_MEAN, group))[:, None]
    large = middle + interpolate(group, 1.0, 1.0, constant(LARGEST_SPREAD, group))[:, None] * draws
    return large, large - 2.0 * middle, draws / group[:, None] ** 0.5


def _crossing(signal: Array, rows: Array, outside: Array, inward: int, level: Array) -> Array:
    """Place of the crossing between a sample below the level and its neighbour towards the top."""
    xp = namespace(signal)
    index = integers(outside)
    inner = signal[rows, index + inward]
    outer = signal[rows, index]
    share = xp.where(inner > outer, (inner - level) / xp.where(inner > outer, inner - outer, 1.0), 0.0)
    return outside + inward * (1.0 - limited(share, 0.0, 1.0))
