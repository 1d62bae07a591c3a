"""Features of presses: the controller's forces in closed form, the travel's error with the encoders' covariance.

The force jumps at the touch (the tool brakes), then rises at a constant rate, holds, and falls. Rows around the jump
are taken one by one, because joint states come at a tenth of the wrench's rate and travel between them is interpolated;
the ramp is taken at a few forces, each for many rows. The fits of `encoders/tactile.py` are weighted sums over both.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from palpate_agents.encoders.tactile import MIN_HOLD_SAMPLES, NAMES
from palpate_agents.observation import Outcome
from palpate_sim.backend import Array, constant, integers, limited, namespace
from palpate_sim.batch.features import Features, TouchResult
from palpate_sim.batch.robot import (
    BALL_ACCELERATION_M_S2,
    JOINT_PERIOD,
    LIMITS,
    PRESS_HOLD_S,
    TIP_SLOW_M,
    TIP_WHITE_M,
    TOOL_MASS_KG,
    ZERO_ERROR_N,
    draw,
    or_default,
)
from palpate_sim.devices import DeviceBatch
from palpate_sim.elastic import PressLaw, law_dent, law_displacement, law_force, press_law
from palpate_sim.motion import PERIOD_S
from palpate_sim.objects import PartBatch
from palpate_sim.sensors.encoders import CORRELATION_S

FIRST = NAMES.index("press_log10_stiffness_low_n_m")
"""The six features of a press follow each other from here."""
START_N, MIN_PEAK_N, MIN_ROWS, MIN_FIT_ROWS = 0.1, 0.5, 8.0, 4.0
LOW_SHARE, HIGH_SHARE, TOP_SHARE, HELD_SHARE = (0.1, 0.45), 0.5, 0.97, 0.9
RISING, AFTER, SLOW_RISE = 12, 10, 4
"""Rows before and after the end of the jump, and places for the slower rise of soft parts before them."""
NODES = 6
"""Joint states around the jump."""
RAMP = (6, 1, 8)
"""Forces of the ramp below, between and above the ranges of the two stiffnesses."""
PASSING_N = 0.2
FILTERED_S = 0.0105
"""Half the median filter of the features."""
CONTROL_ACCELERATION_M_S2 = 1.0
"""Of a hold (`GuardedContact.hold`)."""
STOPPING_M = 0.5 * LIMITS.slide_speed_m_s**2 / CONTROL_ACCELERATION_M_S2
"""So much deeper a part gives way that is too soft to stop the tool."""
PEAK_NOISE_N = 0.004
"""Of the largest force as the features find it; the controller answers to noise."""
INTERPOLATED = 0.82
"""Noise of a value between two noisy ones, over theirs."""
FIT_ROWS = math.sqrt(JOINT_PERIOD)


class _Loading(NamedTuple):
    """What the fits see.

    Attributes:
        force, travel, weight: (n, P) N as measured, m, and rows that each place stands for (0: not seen).
        last_m: (n,) travel in the row that ends the loading.
    """

    force: Array
    travel: Array
    weight: Array
    last_m: Array


class _Touch(NamedTuple):
    """The jump at the touch, (n,) each: travel m where it was detected, speed m per row, rows and travel of the end."""

    detected_m: Array
    row_m: Array
    brake_m: Array
    rows: Array
    stop_m: Array


def press(
    spot: PartBatch, devices: DeviceBatch, force_n: Array, hold_s: Array, tilt_rad: Array, keys: Array
) -> TouchResult:
    """Presses of n parts.

    Args:
        spot: what the ball meets.
        devices: n sets.
        force_n: (n,) wanted; 0: the arm's default. Never above its share of the force limit.
        hold_s: (n,) time at that force; 0: the arm's default.
        tilt_rad: (n,) between approach and surface normal.
        keys: (n,) int64, of these presses.
    """
    xp = namespace(force_n)
    cosine = xp.cos(tilt_rad)
    across = press_law(spot)
    law = _along_approach(across, cosine)
    draws, noise = draw(keys, "press", 4, 4 + NODES + 2 * sum(RAMP) + 1)
    most = LIMITS.press_share * LIMITS.force_limit_n
    zero = ZERO_ERROR_N[0] + (ZERO_ERROR_N[1] - ZERO_ERROR_N[0]) * draws[:, 0]
    touch = touch_down(law, zero, draws[:, 1], draws[:, 2])
    early = touch.detected_m[:, None] + touch.row_m[:, None] * constant(np.arange(RISING) - RISING, cosine)[None, :]
    deepest_m = touch.detected_m + (LIMITS.press_depth_m + STOPPING_M)
    forces = law_force(law.column(), xp.concat([early, touch.stop_m[:, None], deepest_m[:, None]], axis=1))
    rising, jump, deepest = forces[:, :RISING], forces[:, RISING], forces[:, RISING + 1]
    aimed = or_default(force_n, most, most) - zero
    wanted = xp.minimum(aimed, deepest)
    peak = xp.maximum(wanted, jump)
    give = (law_displacement(law, peak) - touch.stop_m) / xp.maximum(peak - jump, 1e-3)
    rate = xp.minimum(LIMITS.slide_speed_m_s / xp.maximum(give, 1e-9), LIMITS.press_rate_n_s)
    gain = devices.force_gain
    # the jump is too short to count in full where less is wanted
    found = gain * xp.maximum(wanted, jump - xp.where(wanted < jump, PASSING_N, 0.0)) + PEAK_NOISE_N * noise[:, 0]
    phase = xp.floor(JOINT_PERIOD * draws[:, 3])
    loading = _loading(law, touch, (early[:, 0], rising), jump, peak, rate, phase, noise[:, 1], noise[:, 4:])
    # Drives that take longer than the filter's half window to change the speed leave the tool's inertia in the force.
    shaken = give * (1.5 * LIMITS.press_rate_n_s) > FILTERED_S * CONTROL_ACCELERATION_M_S2
    cut_short = (deepest < aimed) & (peak < TOOL_MASS_KG * CONTROL_ACCELERATION_M_S2 + LIMITS.contact_threshold_n)
    columns = _fits(loading, gain, found, ~cut_short)
    columns.append(found)
    columns.append(_creep(law, peak, wanted, rate, or_default(hold_s, PRESS_HOLD_S), shaken, noise[:, 2:4]))
    usable = found >= MIN_PEAK_N
    n = keys.shape[0]
    values = xp.full((n, len(NAMES)), math.nan, dtype=xp.float64, device=force_n.device)
    values[:, FIRST : FIRST + 6] = xp.where(usable[:, None], xp.stack(columns, axis=1), math.nan)
    outcome = xp.full((n,), int(Outcome.SUCCEEDED), dtype=xp.int64, device=force_n.device)
    return TouchResult(Features(values, 1.0 * usable), peak / cosine, law_dent(across, peak / cosine), outcome)


def _along_approach(law: PressLaw, cosine: Array) -> PressLaw:
    """The law between travel and force along an approach that is tilted against the surface's normal."""
    return PressLaw(law.hertz * cosine**2.5, law.compliance / cosine**2, law.yield_n * cosine, law.flow_m_n / cosine**2)


def touch_down(law: PressLaw, zero: Array, braking: Array, phase: Array) -> _Touch:
    """What the guarded approach does: two rows over the threshold, then the tool brakes.

    Args:
        law: along the approach.
        zero: (n,) error of the controller's zero, N.
        braking: (n,) 0..1 of the range of accelerations.
        phase: (n,) 0..1 of the row in which the force gets over the threshold.
    """
    xp = namespace(zero)
    low, high = BALL_ACCELERATION_M_S2
    most = low + (high - low) * braking
    room = 2.0 * LIMITS.overshoot_share * LIMITS.force_limit_n / LIMITS.arm_stiffness_n_m
    speed = most * (xp.sqrt(LIMITS.reaction_s**2 + room / most) - LIMITS.reaction_s)
    threshold = law_displacement(law, xp.maximum(LIMITS.contact_threshold_n - zero, 0.0))
    row = speed * PERIOD_S
    change = most * PERIOD_S**2
    rows = xp.ceil(row / change)
    slower = rows - 1.0  # rows in which the tool still moves: row - change, row - 2 change, ..
    stop = slower * row - 0.5 * slower * rows * change
    detected = threshold + (1.0 + phase) * row
    return _Touch(detected, row, change, rows, detected + stop)


def _loading(
    law: PressLaw,
    touch: _Touch,
    rise: tuple[Array, Array],
    jump: Array,
    peak: Array,
    rate: Array,
    phase: Array,
    last: Array,
    noise: Array,
) -> _Loading:
    """Force and travel from the touch to the end of the ramp.

    Args:
        law: along the approach.
        touch: how the jump went.
        rise: (n,) travel m in the first of the rows before the detection, and (n, RISING) forces in them.
        jump: (n,) force after the jump, N.
        peak: (n,) force in the end, N.
        rate: (n,) N/s.
        phase: (n,) rows since the last joint state at the detection.
        last: (n,) a normal number for the last travel.
        noise: (n, NODES + 2 sum(RAMP) + 1) normal numbers for all other travels.
    """
    xp = namespace(jump)
    wide = law.column()
    pace, end = rate * PERIOD_S, TOP_SHARE * peak

    def column(values: Array) -> Array:
        return values[:, None]

    # Rows one by one. Filtering takes out the spike of the braking tool; the rows before it are seen so much later.
    row = constant(np.arange(RISING + AFTER) - RISING, jump)[None, :] + column(touch.rows)
    first_m, rising = rise
    late = column(jump) + column(pace) * constant(np.arange(AFTER), jump)[None, :]
    force = xp.concat([rising, late], axis=1)
    travel = _interpolated(law, touch, jump, rate, row, phase, noise[:, :NODES])
    seen = (force > START_N) & (force <= column(end))
    first = force[:, :RISING] <= START_N
    # the last row that carries nothing yet begins the loading
    begins = first & xp.concat([~first[:, 1:], xp.ones_like(first[:, :1])], axis=1)
    weight = xp.concat([1.0 * (seen[:, :RISING] | begins), 1.0 * seen[:, RISING:]], axis=1)
    # A slow rise before them.
    base = law_displacement(law, START_N + 0.0 * jump)
    longer = xp.maximum(first_m - base, 0.0)
    share = constant((np.arange(SLOW_RISE) + 0.5) / SLOW_RISE, jump)[None, :]
    slow_travel = column(base) + column(longer) * share
    slow_force = START_N + column(xp.maximum(rising[:, 0] - START_N, 0.0)) * share
    slow_weight = column(longer / touch.row_m) * (1.0 / SLOW_RISE) + 0.0 * slow_travel
    # The ramp.
    start = late[:, -1] + pace
    bounds = [xp.minimum(xp.maximum(share * peak, start), end) for share in (LOW_SHARE[1], HIGH_SHARE)]
    forces, weights = [], []
    for low, high, count in zip((start, *bounds), (*bounds, end), RAMP, strict=True):
        step = xp.maximum(high - low, 0.0) / count
        forces.append(column(low) + column(step) * constant(np.arange(count) + 0.5, jump)[None, :])
        weights.append(column(step / pace) + 0.0 * forces[-1])
    ramp, ramp_weight = xp.concat(forces, axis=1), xp.concat(weights, axis=1)
    times = xp.maximum(ramp - column(jump), 0.0) / column(rate)
    slow, white = _wander(times, noise[:, NODES:])
    error = slow + TIP_WHITE_M * limited(FIT_ROWS / xp.sqrt(ramp_weight + 1e-9), 0.0, INTERPOLATED) * white
    ramp_travel = law_displacement(wide, ramp) + error
    last_m = law_displacement(law, xp.maximum(end, jump)) + slow[:, -1] + INTERPOLATED * TIP_WHITE_M * last
    return _Loading(
        xp.concat([slow_force, force, ramp], axis=1),
        xp.concat([slow_travel, travel, ramp_travel], axis=1),
        xp.concat([slow_weight, weight, ramp_weight], axis=1),
        last_m,
    )


def _interpolated(
    law: PressLaw, touch: _Touch, jump: Array, rate: Array, row: Array, phase: Array, noise: Array
) -> Array:
    """(n, P) travel in rows around the touch (the detection is row 0), between joint states, with their noise."""
    xp = namespace(jump)
    nodes = constant((np.arange(NODES) - 2) * JOINT_PERIOD, jump)[None, :] - phase[:, None]
    after = law_displacement(law, jump + rate * (JOINT_PERIOD * PERIOD_S)) - touch.stop_m
    moved = limited(nodes, 0.0, 1e9)
    slower = xp.minimum(moved, (touch.rows - 1.0)[:, None])
    approach = touch.row_m[:, None] * (xp.minimum(nodes, 0.0 * nodes) + slower)
    braked = 0.5 * touch.brake_m[:, None] * slower * (slower + 1.0)
    climbed = xp.maximum(nodes - touch.rows[:, None], 0.0) * (after / JOINT_PERIOD)[:, None]
    true = touch.detected_m[:, None] + approach - braked + climbed + TIP_WHITE_M * noise
    place = limited((row - nodes[:, :1]) / JOINT_PERIOD, 0.0, nodes.shape[1] - 1.001)
    low = xp.floor(place)
    share = place - low
    index = integers(low) + nodes.shape[1] * xp.arange(nodes.shape[0], dtype=xp.int64, device=nodes.device)[:, None]
    flat = xp.reshape(true, (-1,))
    return flat[index] * (1.0 - share) + flat[index + 1] * share


def _wander(times: Array, draws: Array) -> tuple[Array, Array]:
    """Slow error of the tip, m, at ascending times (n, P) s, 0 at time 0; and as many white numbers.

    Travel counts from the touch, so that the error then cancels.
    """
    xp = namespace(times)
    count = times.shape[1]
    grown = xp.exp(times / CORRELATION_S)
    square = grown**2
    before = xp.concat([xp.ones_like(square[:, :1]), square[:, :-1]], axis=1)
    kicks = draws[:, 1 : count + 1] * xp.sqrt(xp.maximum(square - before, 0.0))
    total = np.cumsum(kicks, axis=1) if xp is np else xp.cumulative_sum(kicks, axis=1)
    first = draws[:, :1]
    return TIP_SLOW_M * ((first + total) / grown - first), draws[:, count + 1 :]


def _fits(loading: _Loading, gain: Array, peak: Array, usable: Array) -> list[Array]:
    """Stiffness at low and high force, the Hertz constant, and the whole displacement, (n,) each."""
    xp = namespace(peak)
    force = xp.maximum(loading.force, 0.0) * (gain / peak)[:, None]
    travel, weight = loading.travel, loading.weight
    result = []
    for low, high in (LOW_SHARE, (HIGH_SHARE, 1.0)):
        part = xp.where((force >= low) & (force <= high), weight, 0.0)
        rows = xp.sum(part, axis=1)
        share = part / xp.maximum(rows, 1.0)[:, None]
        middle = xp.sum(share * force, axis=1)[:, None]
        spread = share * (force - middle)
        variance = xp.sum(spread * force, axis=1)
        slope = xp.sum(spread * travel, axis=1) / xp.maximum(variance, 1e-12) / peak
        known = (rows >= MIN_FIT_ROWS) & (variance > 1e-9)
        result.append(xp.where(known, -xp.log10(limited(slope, 1e-7, 1.0)), math.nan))
    rows = xp.sum(weight, axis=1)
    share = weight / xp.maximum(rows, 1.0)[:, None]
    root = force ** (2.0 / 3.0)
    f0, r0, d0 = (xp.sum(share * values, axis=1) for values in (force, root, travel))
    f, r = force - f0[:, None], root - r0[:, None]
    wf, wr = share * f, share * r
    ff, fr, rr = xp.sum(wf * f, axis=1), xp.sum(wf * r, axis=1), xp.sum(wr * r, axis=1)
    fd, rd = xp.sum(wf * travel, axis=1), xp.sum(wr * travel, axis=1)
    determinant = xp.maximum(ff * rr - fr**2, 1e-18)
    linear, hertz = (fd * rr - rd * fr) / determinant, (rd * ff - fd * fr) / determinant
    start = d0 - linear * f0 - hertz * r0
    hertz = hertz / peak ** (2.0 / 3.0)
    known = usable & (rows >= MIN_ROWS)
    constant_k = limited(-1.5 * xp.log10(xp.maximum(hertz, 1e-9)), 2.0, 10.0)
    result = [xp.where(known, values, math.nan) for values in result]
    result.append(xp.where(known & (hertz > 1e-9), constant_k, math.nan))
    result.append(xp.where(known, (loading.last_m - start) * 1e6, math.nan))
    return result


def _creep(law: PressLaw, peak: Array, held: Array, rate: Array, hold_s: Array, shaken: Array, noise: Array) -> Array:
    """(n,) travel while the force is held, um: of the controller, of the encoders, and where unloading begins."""
    xp = namespace(peak)
    fall = 1.5 * LIMITS.press_rate_n_s
    rise_s, fall_s = (1.0 - TOP_SHARE) * peak / rate, (1.0 - HELD_SHARE) * peak / fall
    held_s = xp.where(shaken, hold_s, rise_s + hold_s + fall_s)
    # where the jump was more than what is wanted, the force falls at once
    held_s = xp.where(held >= HELD_SHARE * peak, held_s, (1.0 - HELD_SHARE) * peak / LIMITS.press_rate_n_s)
    middle = 0.1 * held_s
    first = xp.minimum(TOP_SHARE * peak + rate * middle, peak)
    last = xp.minimum(HELD_SHARE * peak + fall * middle, peak)
    change = xp.where(shaken, 0.0, law_displacement(law, last) - law_displacement(law, first))
    slow = TIP_SLOW_M * xp.sqrt(2.0 * (1.0 - xp.exp(-0.8 * held_s / CORRELATION_S)))
    states = xp.maximum(0.2 * held_s / (JOINT_PERIOD * PERIOD_S), 1.0)
    white = TIP_WHITE_M * xp.sqrt(2.0 / states)
    moved = change + slow * noise[:, 0] + white * noise[:, 1]
    return xp.where(held_s >= MIN_HOLD_SAMPLES * PERIOD_S, moved * 1e6, math.nan)
