"""From curves of pad and spot to the columns that `palpate_agents.encoders.thermal` gives for a warm touch."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from palpate_agents.encoders import thermal as encoder
from palpate_agents.encoders.pads import LATE_S, SETTLED_S
from palpate_sim.backend import Array, constant, erf, integers, limited, namespace, ndtri
from palpate_sim.batch.heat_curves import TouchCurves, fall_and_heat, rise_after
from palpate_sim.batch.pad_memory import BLOCK_KEPT, FACE_KEPT, READING_PERIOD_S, PadMemory, of_pad, square_share
from palpate_sim.contact import PAD_SIDE_M
from palpate_sim.keyed import uniform
from palpate_sim.sensors.heated_tip import (
    APPROACH_S,
    BLOCK_CAPACITY_J_K,
    HEATER_GAIN_W_K,
    HEATER_LIMIT_W,
    THERMISTOR_NOISE_K,
    TOUCH_DELAY_S,
)
from palpate_sim.sensors.spot_optics import PATCH_PIXELS, PIXEL_M, RING_PIXELS, ring_mask, spot_optics
from palpate_sim.sensors.thermal import ARM_GONE_S, SHUTTER_CLOSED_S, SHUTTER_PERIOD_S, THERMAL_PERIOD_S

NAMES = encoder.NAMES
COLUMN = {name: k for k, name in enumerate(NAMES)}
BEFORE = 3
"""At most so many readings of the heater before a touch."""
PICTURES = 5
"""Of a spot between the arm's leaving and the end of the window."""
_UNIFORM = 6
_DIP_TIMES, _SPOT_TIMES = np.asarray(encoder.DIP_TIMES_S), np.asarray(encoder.SPOT_TIMES_S)
_PICTURE_TIMES = THERMAL_PERIOD_S * np.arange(PICTURES)
_BEFORE_TIMES = READING_PERIOD_S * np.arange(1, BEFORE + 1)
_DIPS = slice(COLUMN[f"pad_dip_{encoder.DIP_TIMES_S[0]:g}s_fraction"], COLUMN["pad_dip_largest_fraction"])
_RISES = slice(COLUMN[f"spot_rise_{encoder.SPOT_TIMES_S[0]:g}s_fraction"], COLUMN["spot_log10_rise_fraction"])


def _at(values: Array, index: Array) -> Array:
    """(n, K) `values[row, index[row, k]]` of values (n, I)."""
    xp = namespace(values)
    if xp is np:
        return values.take(index + _starts(*values.shape))
    return xp.take_along_axis(values, index, axis=1)


@lru_cache(maxsize=64)
def _starts(rows: int, width: int) -> np.ndarray:
    return (np.arange(rows) * width)[:, None]


class Chance(NamedTuple):
    """Random numbers of n touches.

    Attributes:
        even: (n, 6) uniform; before: (n, 3), readings: (n, I), patch, ring: (n, 5), others: (n,), all standard normal.
    """

    even: Array
    before: Array
    readings: Array
    patch: Array
    ring: Array
    base: Array
    ring_base: Array
    place: Array
    ring_place: Array

    @staticmethod
    def of(keys: Array, readings: int, like: Array) -> Chance:
        """Numbers of the keys (n,) for so many readings; in the floating type of `like`."""
        xp = namespace(like)
        fixed = BEFORE + 2 * PICTURES + 4
        drawn = uniform(keys, "dwell", (_UNIFORM + fixed + readings,))
        if drawn.dtype != like.dtype:
            drawn = limited(xp.astype(drawn, like.dtype), 1e-7, 1.0 - 1e-7)
        deviate = ndtri(drawn[:, _UNIFORM:])
        end = BEFORE + 2 * PICTURES
        return Chance(
            drawn[:, :_UNIFORM], deviate[:, :BEFORE], deviate[:, fixed:], deviate[:, BEFORE : BEFORE + PICTURES],
            deviate[:, BEFORE + PICTURES : end], deviate[:, end], deviate[:, end + 1], deviate[:, end + 2],
            deviate[:, end + 3],
        )  # fmt: skip

    def between(self, number: int, limits: tuple[float, float]) -> Array:
        """(n,) uniform within limits."""
        return limits[0] + (limits[1] - limits[0]) * self.even[:, number]


class Readings(NamedTuple):
    """What the heater publishes around a touch.

    Attributes:
        first_s, last_s: (n,) first and last reading during the touch; times_s: (n, I) of all since it was detected.
        held, settled, ends: (n, I) 1.0 during it, once its first fall is over, and for the last three readings.
        fall_k: (n, I) of the published face below `start_c`; short_k: (n, I) of the block below its set temperature.
        short_before_k, last_short_k: (n,) the same before the touch, and at its end.
        start_c, level_c: (n,) as in `PadTouch`.
        last_fall, last_heat: (n,) of the true face and of heat at the end, per kelvin.
        usable: (n,) bool, enough readings.
    """

    first_s: Array
    last_s: Array
    times_s: Array
    held: Array
    settled: Array
    ends: Array
    fall_k: Array
    short_k: Array
    short_before_k: Array
    last_short_k: Array
    start_c: Array
    level_c: Array
    last_fall: Array
    last_heat: Array
    usable: Array


@lru_cache(maxsize=16)
def _block_rule(readings: int) -> tuple[np.ndarray, np.ndarray]:
    """(I, I) what a block lacks at reading i, K, for each J/m2 that is in the part at reading j; (I,) what is kept."""
    row, column = np.indices((readings, readings))
    kept = np.where(row < column, BLOCK_KEPT ** np.maximum(column - row - 1, 0), 0.0)
    # It is drawn between two readings: their difference is in the rule as well.
    rule = kept * PAD_SIDE_M**2 / BLOCK_CAPACITY_J_K
    rule[:-1] -= rule[1:].copy()
    return rule, BLOCK_KEPT ** np.arange(readings)


@lru_cache(maxsize=16)
def _ticks(readings: int) -> np.ndarray:
    return READING_PERIOD_S * np.arange(readings)


def read_pads(curves: TouchCurves, step: Array, published_c: Array, draw: Chance, short_k: Array) -> Readings:
    """Readings at 10 Hz with noise.

    Args:
        curves: of the touch, which begins a little before it is detected.
        step: (n,) between pad and part, K.
        published_c: (n,) the face before the touch, without noise.
        draw: random numbers.
        short_k: (n,) what the block lacks at the touch from earlier ones.
    """
    xp = namespace(step)
    count = draw.readings.shape[1]
    first = READING_PERIOD_S * draw.even[:, 1]
    times = first[:, None] + constant(_ticks(count), step)
    held_s = curves.dwell_s - TOUCH_DELAY_S
    number = xp.floor((held_s - first + 1e-6) * (1.0 / READING_PERIOD_S)) + 1.0
    last = first + READING_PERIOD_S * (number - 1.0)
    held = times < (last + 0.5 * READING_PERIOD_S)[:, None]
    settled = 1.0 * (held & (times > SETTLED_S))
    ends = 1.0 * (held & (times > (last - 2.5 * READING_PERIOD_S)[:, None]))
    before_s = constant(_BEFORE_TIMES, step) - first[:, None]
    before = 1.0 * ((before_s > LATE_S) & (before_s <= draw.between(2, APPROACH_S)[:, None]))
    seen = before.sum(axis=1)
    error = (before * draw.before).sum(axis=1) * THERMISTOR_NOISE_K / limited(seen, 1.0, BEFORE)
    ages = xp.minimum(xp.concat([times + TOUCH_DELAY_S, curves.dwell_s[:, None]], axis=1), curves.dwell_s[:, None])
    both = fall_and_heat(curves, ages)
    rule, kept = _block_rule(count)
    short = step[:, None] * xp.matmul(both[:, :-1, 1], constant(rule, step)) + short_k[:, None] * constant(kept, step)
    true = step[:, None] * both[:, :-1, 0]
    # A reading after the touch sees the face on its way back to its block.
    true = xp.where(held, true, short + (true - short) * FACE_KEPT)
    fall = true + error[:, None] - THERMISTOR_NOISE_K * draw.readings
    late = settled.sum(axis=1)
    mean = (settled * fall).sum(axis=1) / limited(late, 1.0, count)
    index = integers(limited(number - 1.0, 0.0, count - 1.0))[:, None]
    if not bool((late > 0.0).all()):
        mean = xp.where(late > 0.0, mean, _at(fall, index)[:, 0])
    start = published_c + error
    return Readings(
        first, last, times, held, settled, ends, fall, short, short_k / BLOCK_KEPT, _at(short, index)[:, 0], start,
        start - mean, both[:, -1, 0], both[:, -1, 1], (seen > 0.0) & (number > 3.5),
    )  # fmt: skip


def _log_odds(share: Array) -> Array:
    share = limited(share, 0.01, 0.99)
    return namespace(share).log10(share / (1.0 - share))


def _between(values: Array, first_s: Array, period_s: float, at_s: np.ndarray, from_: Array | float) -> Array:
    """(n, K) values (n, I) of a regular series read in between; constant before place `from_` and beyond its end."""
    xp = namespace(values)
    top = values.shape[1] - 1.0
    place = (constant(at_s, values) - first_s[:, None]) / period_s
    place = limited(xp.maximum(place, from_) if not isinstance(from_, float) else place, 0.0, top)
    low = integers(limited(place, 0.0, top - 1.0))
    value = _at(values, low)
    return value + (place - low) * (_at(values, low + 1) - value)


def pad_columns(values: Array, touch: Readings, asked_k: Array, rest_w: Array) -> None:
    """Fills in what `encoder._pad` gives; `asked_k` (n,) from the pad to the part as it was seen, `rest_w` (n,)."""
    xp = namespace(asked_k)
    values[:, COLUMN["pad_step_k"]] = asked_k
    scale = 1.0 / (asked_k if bool((asked_k >= 1.0).all()) else xp.where(asked_k >= 1.0, asked_k, xp.nan))
    dip = touch.fall_k * scale[:, None]
    largest = xp.max(xp.where(touch.held, dip, -9.0), axis=1)
    values[:, COLUMN["pad_dip_largest_fraction"]] = largest
    at = _between(dip, touch.first_s, READING_PERIOD_S, _DIP_TIMES, 0.0)
    there = constant(_DIP_TIMES - 0.06, dip) <= touch.last_s[:, None]
    values[:, _DIPS] = xp.where(there, at, xp.nan)
    values[:, COLUMN["pad_log10_effusivity_ratio"]] = _log_odds((touch.start_c - touch.level_c) * scale)
    late = touch.settled.sum(axis=1)
    weight = touch.settled
    root = xp.sqrt(touch.times_s)
    weighted = weight * (root - ((weight * root).sum(axis=1) / limited(late, 1.0, 1e9))[:, None])
    slope = (weighted * dip).sum(axis=1) / ((weighted * root).sum(axis=1) + 1e-12)
    recovery = largest - (touch.ends * dip).sum(axis=1) / 3.0
    if not bool((late >= 3.0).all()):
        slope, recovery = xp.where(late >= 3.0, slope, xp.nan), xp.where(late >= 3.0, recovery, xp.nan)
    values[:, COLUMN["pad_slope_fraction_s05"]] = slope
    values[:, COLUMN["pad_recovery_fraction"]] = recovery
    before = limited(rest_w + HEATER_GAIN_W_K * touch.short_before_k, 0.0, HEATER_LIMIT_W)
    extra = limited(rest_w[:, None] + HEATER_GAIN_W_K * touch.short_k, 0.0, HEATER_LIMIT_W) - before[:, None]
    ended = touch.held * extra
    end_w = (touch.ends * extra).sum(axis=1) / 3.0
    last = limited(rest_w + HEATER_GAIN_W_K * touch.last_short_k, 0.0, HEATER_LIMIT_W) - before
    work = ended.sum(axis=1) - 0.5 * (ended[:, 0] + last)
    values[:, COLUMN["heater_extra_j_k"]] = READING_PERIOD_S * work * scale
    values[:, COLUMN["heater_power_rise_w_k"]] = end_w * scale


def pair_columns(values: Array, touch: Readings, base_c: Array, memory: PadMemory, pad_index: Array) -> None:
    """Fills in what `encoder._pair` gives, with the other pad's last touch."""
    xp = namespace(base_c)
    other_start, other_level = of_pad(memory.start_c, 1 - pad_index), of_pad(memory.level_c, 1 - pad_index)
    apart = touch.start_c - other_start
    found = xp.abs(apart) > encoder.MIN_PAIR_K
    if not bool(found.any()):
        return
    dip = xp.where(found, 1.0 - (touch.level_c - other_level) / apart, xp.nan)
    values[:, COLUMN["pair_log10_effusivity_ratio"]] = _log_odds(dip)
    own = touch.start_c - (touch.start_c - touch.level_c) / dip - base_c
    values[:, COLUMN["pair_part_minus_apparent_k"]] = xp.where(dip > 0.05, own, xp.nan)


_STEPS = PIXEL_M * np.arange(-5.0, 6.0)
_RING = np.flatnonzero(
    ring_mask(np.hypot(*np.meshgrid(_STEPS, _STEPS)).ravel() / PIXEL_M)  # of the 11 x 11 pixels around a spot
)
RING_PULL, RING_EDGE = 0.9, 0.1
"""Of the noise, by which it moves the ring's median at most; rise of the ring's warm pixels over the footprint's."""
_BLUR_M2 = 2.0 * 0.4 * PIXEL_M**2
"""What optics, and squares that are turned, add to the square of a spread; fitted to pictures."""


def around(uv_m: Array) -> tuple[Array, Array]:
    """(n, 11) rows and columns of the pixels around places `uv_m` (n, 2), m."""
    steps = constant(_STEPS, uv_m)
    return uv_m[:, 0:1] + steps, uv_m[:, 1:2] + steps


def _noisy_median(values: Array, sigma: Array) -> Array:
    """(n,) median of values (n, K) that all have noise of deviation `sigma` (n,): some warm pixels move it a little."""
    xp = namespace(values)
    scale = 0.5**0.5 / limited(sigma, 1e-3, 1e9)[:, None]
    ordered = xp.sort(values, axis=1)
    median = ordered[:, values.shape[1] // 2]
    for _ in range(3):
        away = (median[:, None] - values) * scale
        below = erf(away).sum(axis=1)
        slope = (1.128 * scale * xp.exp(-away * away)).sum(axis=1)
        median = median - xp.where(slope > 0.05 * scale[:, 0], below / limited(slope, 1e-9, 1e99), 0.0)
    return median


class SpotView(NamedTuple):
    """A warm spot before the camera: (n,) arrays.

    Attributes:
        spot: the parts as met there.
        step: between pad and part, K.
        warmth: (n, 11, 11) what earlier touches have left in the pixels `around`, K; None without any.
        netd: noise of a pixel, K.
        asked: between the pad and the part as it was seen, K.
    """

    spot: Any
    step: Array
    warmth: Array | None
    netd: Array
    asked: Array


def spot_columns(values: Array, curves: TouchCurves, view: SpotView, draw: Chance) -> None:
    """Fills in what `encoder._spot` gives, from the pictures after the arm has left."""
    xp = namespace(view.step)
    first = encoder.ARM_GONE_S + THERMAL_PERIOD_S * draw.even[:, 3]
    times = first[:, None] + constant(_PICTURE_TIMES, first)
    shown, hidden = _shutter(times, draw)
    rise = rise_after(curves, shown) * view.step[:, None]
    since = shown + (0.5 * curves.dwell_s)[:, None]
    optics = spot_optics(0.5 * xp.log((4.0 * view.spot.diffusivity_m2_s)[:, None] * since))
    emissivity = view.spot.emissivity[:, None]
    patch = emissivity * ((optics.patch + optics.patch_scatter * draw.place[:, None]) * rise)
    ring = emissivity * ((optics.ring + optics.ring_scatter * draw.ring_place[:, None]) * rise)
    # A third of the ring's pixels are warm: noise moves the median of the others towards them.
    netd = limited(view.netd, 1e-6, 1e9)[:, None]
    edge = RING_EDGE * patch
    ring = ring + RING_PULL * netd * edge / (xp.abs(edge) + 1.5 * netd) * xp.exp(-((ring / (4.0 * netd)) ** 2))
    if view.warmth is not None:
        wide = xp.sqrt(4.0 * view.spot.diffusivity_m2_s * since[:, 2] + _BLUR_M2)[:, None]
        side = square_share(constant(_STEPS, first)[None, :], wide)
        own = xp.reshape(rise[:, 2, None, None] * side[:, :, None] * side[:, None, :], (rise.shape[0], -1))[:, _RING]
        left = xp.reshape(view.warmth, (rise.shape[0], -1))[:, _RING]
        patch = patch + emissivity * view.warmth[:, 5, 5][:, None]
        # what the warmth changes: pixels that stand square to the pad have another median than most
        alone = _noisy_median(emissivity * own, view.netd)
        ring = ring + (_noisy_median(emissivity * (own + left), view.netd) - alone)[:, None]
    grain = (view.netd * PATCH_PIXELS**-0.5)[:, None]
    patch = patch + grain * (draw.patch - draw.base[:, None])
    grain = (view.netd * (1.57 / RING_PIXELS) ** 0.5)[:, None]
    ring = ring + grain * (draw.ring - draw.ring_base[:, None])
    scale = 1.0 / limited(view.asked, 1.0, 1e9)
    if hidden is None:
        early, from_ = patch[:, 0], 0.0
        mean, around = patch.sum(axis=1) / PICTURES, ring.sum(axis=1) / PICTURES
    else:
        number = PICTURES - hidden
        late = constant(np.arange(PICTURES), first) >= hidden[:, None]
        early, from_ = _at(patch, integers(hidden)[:, None])[:, 0], hidden[:, None]
        mean, around = (late * patch).sum(axis=1) / number, (late * ring).sum(axis=1) / number
    read = _between(patch, first, THERMAL_PERIOD_S, _SPOT_TIMES, from_) * scale[:, None]
    seen_s = first[:, None] + THERMAL_PERIOD_S * from_
    there = constant(_SPOT_TIMES + 0.1, first) >= seen_s
    values[:, _RISES] = xp.where(there, read, xp.nan)
    values[:, COLUMN["spot_log10_rise_fraction"]] = xp.log10(limited(mean * scale, 1e-3, 1e9))
    values[:, COLUMN["spot_decay_fraction"]] = limited(1.0 - patch[:, -1] / limited(early, 0.05, 1e9), -1.0, 2.0)
    values[:, COLUMN["spot_blur_fraction"]] = limited(around / limited(mean, 0.05, 1e9), -1.0, 2.0)


def _shutter(times: Array, draw: Chance) -> tuple[Array, Array | None]:
    """(n, P) times that the pictures show, and (n,) how many of the first still show the arm; None if nowhere any.

    While the shutter is closed the picture before it is shown again.

    Args:
        times: (n, P) when they are read.
        draw: random numbers.
    """
    xp = namespace(times)
    closed = (SHUTTER_PERIOD_S * draw.even[:, 4] - 1.0)[:, None]
    frozen = (times >= closed) & (times < closed + SHUTTER_CLOSED_S)
    if not bool(frozen.any()):
        return times, None
    back = xp.ceil((times - closed) / THERMAL_PERIOD_S + 1e-9) * THERMAL_PERIOD_S
    shown = xp.where(frozen, times - back, times)
    return shown, (1.0 * (shown < draw.between(5, ARM_GONE_S)[:, None])).sum(axis=1)
