"""Features of slides: friction, its slope, and the ripple, from what the wrench's rows add up to."""

from __future__ import annotations

import math

import numpy as np

from palpate_agents.encoders.tactile import NAMES, SETTLE_SAMPLES
from palpate_agents.observation import Outcome
from palpate_sim.backend import Array, constant, namespace
from palpate_sim.batch.features import Features, TouchResult
from palpate_sim.batch.robot import JOINT_PERIOD, LIMITS, MEDIAN, TOOL_MASS_KG, ZERO_ERROR_N, draw, or_default
from palpate_sim.devices import DeviceBatch
from palpate_sim.elastic import law_dent, law_displacement, law_force, press_law
from palpate_sim.friction import ROUGH_SHARE, friction_coefficient, stribeck_rise
from palpate_sim.guarded import SLIDE_ACCELERATION_M_S2, SLIDE_NORM_SHARE
from palpate_sim.motion import PERIOD_S
from palpate_sim.objects import PartBatch
from palpate_sim.surface import SurfaceMaps, spot_batch

FIRST = NAMES.index("slide_friction")
"""The five features of a slide follow each other from here."""
MIN_ROWS, LOWEST_HZ, SMALLEST_FRICTION = 50.0, 3.0, 0.02
BRAKING_M_S2 = 0.9 * SLIDE_ACCELERATION_M_S2
"""`GuardedContact.slide` slows down by 1.8 a times the way that is left."""
FREE_ROWS = 110.0
"""Rows before the touch that tell the tool's weight, seen in the windows."""
DRIFT_N = 0.0015
"""Of the wrench since the touch (`wrench.DRIFT_PER_SQRT_S`)."""
MOST_N = LIMITS.slide_share * LIMITS.force_limit_n
HANN_LINE = (0.0597, 0.0133, 0.0033)
"""What a straight line of slope 1 over all rows leaves in the first bins, per row."""
HANN_NOISE, HANN_PEAK = 0.375, 0.25
"""Mean square of Hann's window; its mean over 2: what a sine of height 1 leaves in its bin, per row."""


def slide(
    spot: PartBatch, devices: DeviceBatch, force_n: Array, speed_m_s: Array, distance_m: Array, keys: Array,
    way: Array | None = None,
) -> TouchResult:  # fmt: skip
    """Slides of n parts.

    Args:
        spot: what the ball meets.
        devices: n sets.
        force_n: (n,) wanted normal force; 0: the arm's default. Never above its share of the force limit.
        speed_m_s: (n,) of the slide; 0: the arm's default. At most three times that.
        distance_m: (n,) of the slide; 0: the arm's default.
        keys: (n,) int64, of these slides.
        way: (n, K) `friction_factor` at even distances from start to end, K >= 4; None: as at the spot.
    """
    xp = namespace(force_n)
    draws, noise = draw(keys, "slide", 4, 5)
    zero = ZERO_ERROR_N[0] + (ZERO_ERROR_N[1] - ZERO_ERROR_N[0]) * draws[:, 0]
    wanted = or_default(force_n, LIMITS.slide_force_n, MOST_N)
    law = press_law(spot)
    touched_m = law_displacement(law, xp.maximum(LIMITS.contact_threshold_n - zero, 0.0))
    most = law_force(law, touched_m + LIMITS.press_depth_m)
    speed = or_default(speed_m_s, LIMITS.slide_speed_m_s, 3.0 * LIMITS.slide_speed_m_s)
    distance = or_default(distance_m, LIMITS.slide_m)
    rows, braking = _rows(speed, distance, xp.floor(JOINT_PERIOD * draws[:, 3]) * PERIOD_S)
    # Friction adds to the norm of the force, and near the limit the normal force gives way.
    height, stick = spot.ripple, stribeck_rise(spot, speed)
    oblique = xp.sqrt(1.0 + friction_coefficient(spot, wanted, speed) ** 2)
    allowed = xp.sqrt(wanted * (SLIDE_NORM_SHARE * LIMITS.force_limit_n) / oblique)
    force = xp.minimum(xp.maximum(xp.minimum(wanted, allowed) - zero, 0.0), most)
    friction = friction_coefficient(spot, force, speed)
    drift = uneven = 0.0
    if way is not None:
        friction, drift, uneven = _along(friction[:, None] * (way / spot.friction_factor[:, None]))
    sigma = devices.force_noise_n / xp.maximum(force, 0.05)
    free = xp.sqrt(sigma**2 * (MEDIAN**2 / FREE_ROWS) + (DRIFT_N / xp.maximum(force, 0.05)) ** 2)
    # Parts of the ratio of both forces, relative to the friction: a sine, a sawtooth in step with it, and noise.
    shared = xp.maximum(friction, SMALLEST_FRICTION)
    white = xp.sqrt((ROUGH_SHARE * height * friction) ** 2 + sigma**2 * (1.0 + friction**2))
    waves = friction**2 * (0.5 * height**2 + stick**2 / 12.0 + height * stick / math.pi)
    # The tool slows down at the end: its inertia takes off friction in those rows.
    brake = -(TOOL_MASS_KG * BRAKING_M_S2) / xp.maximum(force, 0.05)
    share = braking / xp.maximum(rows, 1.0)
    slope = 6.0 * share * (1.0 - share) * brake
    block = xp.maximum(share * (1.0 - share) * brake**2 - slope**2 / 12.0, 0.0)
    spread = xp.sqrt(waves + white**2)
    root = xp.sqrt(xp.maximum(rows, 1.0))
    median = friction + spread * (MEDIAN / root) * noise[:, 0] * 0.7 + free * noise[:, 1]
    median = median - spread * share * 1.25
    frequency = speed / spot.texture_pitch_m
    cycles = xp.maximum(frequency * rows * PERIOD_S, 1.0)
    wave_slope = friction * (height + stick / math.pi) * (0.955 / cycles) * xp.cos(2.0 * math.pi * draws[:, 1])
    slope = slope + white * (math.sqrt(12.0) / root) * noise[:, 2] + wave_slope + drift
    ripple = xp.sqrt((waves + white**2 * (1.0 + noise[:, 3] * math.sqrt(2.0) / root)) + block + uneven)
    trend = xp.abs(6.0 * share * (1.0 - share) * brake), -brake * (math.pi**2 / 3.0) * braking * share**2
    found = _frequency(frequency, friction * (height + stick / math.pi), white, rows, trend, draws[:, 2], noise[:, 4])
    normal_n = devices.force_gain * force + devices.force_noise_n * (MEDIAN / root) * noise[:, 1]
    columns = [median, slope / xp.maximum(median, SMALLEST_FRICTION), ripple / shared, xp.log10(found), normal_n]
    # as soon as the tool moves, before the controller can answer
    start = xp.minimum(wanted - zero, most)
    whole = start * xp.sqrt(1.0 + (friction * (1.0 + height + 0.5 * stick)) ** 2)
    limited = whole + 2.0 * devices.force_noise_n > LIMITS.force_limit_n
    usable = (rows >= MIN_ROWS) & (force > 0.3) & ~limited
    n = keys.shape[0]
    values = xp.full((n, len(NAMES)), math.nan, dtype=xp.float64, device=force_n.device)
    values[:, FIRST : FIRST + 5] = xp.where(usable[:, None], xp.stack(columns, axis=1), math.nan)
    outcome = xp.where(limited, int(Outcome.FORCE_LIMIT), int(Outcome.SUCCEEDED))
    return TouchResult(Features(values, 1.0 * usable), force, law_dent(law, force), outcome)


def friction_along(batch: PartBatch, maps: SurfaceMaps, start_uv: Array, end_uv: Array, count: int) -> Array:
    """(N, count) `friction_factor` as a ball meets it at even distances from start to end, (N, 2) m, part's frame."""
    xp = namespace(start_uv)
    factor = xp.ones((len(batch), count), dtype=start_uv.dtype, device=start_uv.device)
    covered = (batch.coat_um > 0.0) | (batch.label_um > 0.0) | (batch.film_um > 0.0)
    if not xp.any(covered):
        return factor
    index = xp.nonzero(covered)[0]
    shares = [k / (count - 1.0) for k in range(count)]
    places = xp.concat([(1.0 - share) * start_uv[index] + share * end_uv[index] for share in shares], axis=0)
    many = xp.concat([index] * count, axis=0)
    met = spot_batch(batch.rows(many), maps.rows(many), places, 0.0 * places[:, 0], optics=False)
    factor[index] = xp.permute_dims(xp.reshape(met.friction_factor, (count, -1)), (1, 0))
    return factor


def _along(friction: Array) -> tuple[Array, Array, Array]:
    """(n,) median, change by a straight line, and variance around it, of friction (n, K) along the way.

    The first step does not count: the tool is still being set in motion.
    """
    xp = namespace(friction)
    steps = 0.5 * (friction[:, 1:-1] + friction[:, 2:])
    ordered, count = xp.sort(steps, axis=1), steps.shape[1]
    median = 0.5 * (ordered[:, (count - 1) // 2] + ordered[:, count // 2])
    place = constant((np.arange(count) + 0.5) / count - 0.5, friction)
    away = steps - xp.mean(steps, axis=1)[:, None]
    change = xp.sum(away * place, axis=1) / float(np.sum(((np.arange(count) + 0.5) / count - 0.5) ** 2))
    rest = xp.mean((away - change[:, None] * place) ** 2, axis=1)
    return median, change, rest


def _rows(speed: Array, distance: Array, last_s: Array) -> tuple[Array, Array]:
    """(n,) rows that count as sliding, and of those the rows in which the tool slows down.

    Args:
        speed: (n,) wanted, m/s.
        distance: (n,) m.
        last_s: (n,) from the last joint state to the end.
    """
    xp = namespace(speed)
    start, stop = 0.5 / SLIDE_ACCELERATION_M_S2, 0.5 / BRAKING_M_S2
    top = xp.minimum(speed, xp.sqrt(distance / (start + stop)))
    steady = xp.maximum(distance - (start + stop) * top**2, 0.0) / xp.maximum(top, 1e-6)
    half = 0.5 * speed
    rising = xp.maximum(top - half, 0.0) / SLIDE_ACCELERATION_M_S2
    braking = top / BRAKING_M_S2 - xp.minimum(_slow_s(half, top, last_s), top / BRAKING_M_S2)
    rows = xp.maximum(xp.floor((rising + steady + braking) / PERIOD_S) - SETTLE_SAMPLES, 0.0)
    return rows, xp.minimum(braking / PERIOD_S, rows)


def _slow_s(half: Array, top: Array, last_s: Array) -> Array:
    """(n,) s before the end from which on the speed between the joint states is below the half of what was wanted."""
    xp = namespace(half)
    period = JOINT_PERIOD * PERIOD_S

    def left(time_s: Array) -> Array:
        braked = xp.minimum(time_s, top / BRAKING_M_S2)
        return 0.5 * BRAKING_M_S2 * braked**2 + top * (time_s - braked)

    place = [left(last_s + k * period) for k in range(4)]
    shown = [(place[1] - place[0]) / period, *((place[k + 2] - place[k]) / (2.0 * period) for k in range(2))]
    found = half / BRAKING_M_S2
    for k in (1, 0):
        share = (half - shown[k]) / xp.maximum(shown[k + 1] - shown[k], 1e-9)
        found = xp.where(shown[k + 1] > half, last_s + (k + xp.clip(share, 0.0, 1.0)) * period, found)
    return xp.where(shown[0] > half, 0.0, found)


def _frequency(
    true_hz: Array, height: Array, white: Array, rows: Array, trend: tuple[Array, Array], pick: Array, lift: Array
) -> Array:
    """(n,) Hz of the strongest bin above 3 Hz: that of the ripple unless the noise or the braking has a higher one.

    Args:
        true_hz: of the ripple.
        height: of the ripple.
        white: standard deviation of a row.
        rows: how many.
        trend: slope that was taken off over all rows, and what the braking leaves at low frequencies, in rows.
        pick: a uniform number, for the noise.
        lift: a normal number, for the ripple.
    """
    xp = namespace(true_hz)
    many = xp.maximum(rows, MIN_ROWS)
    rate = 1.0 / PERIOD_S
    bin_hz = rate / many
    seen = xp.abs(true_hz - rate * xp.floor(true_hz / rate + 0.5))  # folded at half the rate
    seen = bin_hz * xp.floor(seen / bin_hz + 0.5)
    power = HANN_NOISE * many * white**2
    signal = height * HANN_PEAK * many
    # a sine in noise, and the highest of the other bins: an exponential's maximum
    found = xp.maximum(signal + xp.sqrt(0.5 * power) * lift, 0.0) ** 2
    others = 0.5 * many
    highest = -power * xp.log(1.0 - pick ** (1.0 / others))
    lost = (highest > found) | (seen <= LOWEST_HZ)
    elsewhere = LOWEST_HZ + (0.5 * rate - LOWEST_HZ) * _fraction(pick * 7919.0)
    found_hz = xp.where(lost, bin_hz * xp.ceil(elsewhere / bin_hz), seen)
    first = xp.floor(LOWEST_HZ / bin_hz) + 1.0
    line = xp.where(first < 1.5, HANN_LINE[0], xp.where(first < 2.5, HANN_LINE[1], HANN_LINE[2]))
    low = (trend[0] * many * line + trend[1]) ** 2
    return xp.where(low > xp.maximum(found, highest), first * bin_hz, found_hz)


def _fraction(x: Array) -> Array:
    return x - namespace(x).floor(x)
