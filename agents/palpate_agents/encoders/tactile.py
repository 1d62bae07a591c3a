"""Tactile features: press, tap, slide and lift, each in its own columns of one table.

Forces are wrench differences to the free part of the same window, so neither a calibration of the tool's weight nor a
bias is needed. The sign convention of the sensor (force on the tool or by it) does not matter.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from palpate_agents.encoders.context import (
    MIN_UNLOADED_SAMPLES,
    PartContext,
    UnloadedWrench,
    rotation_at,
    unloaded_wrench,
    valid_wrench,
)
from palpate_agents.encoders.reading import Reading, Unusable, reading
from palpate_agents.encoders.visual import NOT_MEASURED
from palpate_agents.observation import FloatArray, Outcome, Primitive, ProbeExecution, ProbeWindows, TapBurst

NAMES: tuple[str, ...] = (
    "press_log10_stiffness_low_n_m", "press_log10_stiffness_high_n_m", "press_log10_hertz_n_m15",
    "press_displacement_um", "press_max_force_n", "press_creep_um",
    "tap_log10_contact_time_s", "tap_restitution", "tap_log10_peak_m_s2", "tap_log10_modulus_pa",
    "tap_peak_shape", "tap_asymmetry", "tap_ringing_fraction",
    "slide_friction", "slide_friction_slope", "slide_ripple_fraction", "slide_ripple_log10_frequency_hz",
    "slide_normal_force_n",
    "lift_log10_mass_kg", "lift_log10_density_kg_m3",
)  # fmt: skip

BALL_RADIUS_M = 0.005
"""Of the probe's ball tip (PHYSICS.md); only scales the modulus feature."""
GRAVITY_M_S2 = 9.80665
MIN_HOLD_SAMPLES = 50
SPIKE_SAMPLES = 21
SETTLE_SAMPLES = 100
NEAR_RAD = 0.09
"""Below 5 degrees between two poses the sensor's bias cancels when the part is weighed."""
MIN_SPREAD_RAD = 0.3
"""Poses must differ by so much before weight and bias can be told apart."""


def extract_tactile(execution: ProbeExecution, windows: ProbeWindows, context: PartContext) -> Reading:
    """Features of a press, tap, slide or lift; reliability 0 with a reason when the data cannot carry them."""
    kinds = {Primitive.PRESS: _press, Primitive.TAP: _tap, Primitive.SLIDE: _slide, Primitive.LIFT: _lift}
    kind = kinds.get(execution.primitive)
    if kind is None:
        raise Unusable(NOT_MEASURED)
    # A press is stopped by its force; any other primitive that hits the limit did not finish.
    limited = execution.outcome is Outcome.FORCE_LIMIT
    if execution.outcome is not Outcome.SUCCEEDED and not limited:
        raise Unusable(f"the probe ended with {execution.outcome.name.lower()}")
    result = kind(execution, windows, context)
    if limited and execution.primitive is not Primitive.PRESS:
        return result._replace(reliability=0.5 * result.reliability, reason=result.reason or "force limit")
    return result


def contact_forces(
    execution: ProbeExecution, windows: ProbeWindows, context: PartContext
) -> tuple[FloatArray, FloatArray, FloatArray, float, str]:
    """Force of the contact over time, free of tool weight and bias.

    Returns:
        (W,) times s, (W,) normal force N, (W, 3) tangential force N (base frame), reliability 0..1 and its reason.

    Raises:
        Unusable: wrench, joints or tool weight are missing.
    """
    times, wrench = valid_wrench(windows)
    raw = len(windows.wrench_times_s)
    if len(times) < MIN_UNLOADED_SAMPLES:
        raise Unusable(f"missing: {len(times)} of {raw} wrench samples are usable" if raw else "missing: no wrench")
    if np.ptp(wrench[:, :3], axis=0).max() == 0.0:
        raise Unusable("stale: the wrench never changed")
    reliability, reason = 1.0, ""
    if len(times) < 0.9 * raw:
        reliability, reason = 0.6, f"{raw - len(times)} of {raw} wrench samples are not finite"
    peak = np.abs(wrench[:, :3]).max(axis=0)
    stuck = (np.abs(wrench[:, :3]) == peak) & (peak > 1.0)
    if stuck.sum(axis=0).max() > 10:
        reliability, reason = 0.3, "saturated: the wrench is stuck at its largest value"
    rotation = rotation_at(windows, 0.0)
    if rotation is None:
        raise Unusable("missing: no joint states in the window")
    free = unloaded_wrench(execution, windows)
    if free is not None:
        empty = free.force_n
    else:
        empty, trust, _ = unloaded_force(context.unloaded, rotation)
        reliability, reason = 0.5 * trust * reliability, reason or "no free samples before contact"
    force = (wrench[:, :3] - empty) @ rotation.T
    normal = np.asarray(execution.contact_normal, np.float64)
    along = force @ normal
    tangential = force - along[:, None] * normal
    # Pressing is what the contact does most of the time; single samples at the touch may ring the other way.
    held = along[times > 0]
    sign = -1.0 if len(held) and np.median(held) < 0 else 1.0
    return times, sign * along, tangential, reliability, reason


def _press(execution: ProbeExecution, windows: ProbeWindows, context: PartContext) -> Reading:
    """Stiffness from force against the tip's travel by forward kinematics (the arm's own compliance is in it)."""
    times, force, _, reliability, reason = contact_forces(execution, windows, context)
    joint_times, tip = np.asarray(windows.joint_times_s, np.float64), np.asarray(windows.tip_positions_m, np.float64)
    if len(joint_times) < 4 or tip.shape != (len(joint_times), 3) or not np.isfinite(tip).all():
        raise Unusable("missing: no tip positions in the window")
    travel_at_joints = -(tip - np.asarray(execution.contact_point_m)) @ np.asarray(execution.contact_normal)
    travel = np.interp(times, joint_times, travel_at_joints)
    # Braking the tool at the touch shows as a spike of a few milliseconds that no part causes.
    force = median_filter(force, SPIKE_SAMPLES, mode="nearest")
    peak = float(np.percentile(force[times > 0], 98)) if (times > 0).any() else 0.0
    if peak < 0.5:
        raise Unusable(f"the press reached {peak:.2f} N, at least 0.5 N are needed")
    top = int(np.argmax(force >= 0.97 * peak))
    start = int(np.max(np.nonzero(force[: top + 1] < 0.1)[0], initial=0))
    f, d = force[start : top + 1], travel[start : top + 1]
    found = {"press_max_force_n": peak} | (_loading_curve(f, d, peak) if len(f) >= 8 else {})
    # A tip that sinks while the force is held shows a viscoelastic part.
    below = force[top:] < 0.9 * peak
    end = top + (int(np.argmax(below)) if below.any() else len(below))
    if end - top >= MIN_HOLD_SAMPLES:
        fifth = (end - top) // 5
        first, last = slice(top, top + fifth), slice(end - fifth, end)
        found["press_creep_um"] = float(np.median(travel[last]) - np.median(travel[first])) * 1e6
    return reading(NAMES, found, reliability, reason)


def _loading_curve(force: FloatArray, travel: FloatArray, peak: float) -> dict[str, float]:
    """Stiffness at low and high force, and the Hertz constant K of `travel = d0 + F / k_series + (F / K)^(2/3)`."""
    found = {}
    for name, low, high in (("low", 0.1, 0.45), ("high", 0.5, 1.0)):
        part = (force >= low * peak) & (force <= high * peak)
        if part.sum() >= 4 and np.ptp(force[part]) > 0:
            compliance = np.polyfit(force[part], travel[part], 1)[0]
            found[f"press_log10_stiffness_{name}_n_m"] = np.log10(1.0 / np.clip(compliance, 1e-7, 1.0))
    positive = np.maximum(force, 0.0)
    design = np.stack([np.ones_like(positive), positive, positive ** (2 / 3)], axis=1)
    (start, _, hertz), *_ = np.linalg.lstsq(design, travel, rcond=None)
    found["press_displacement_um"] = float(travel[-1] - start) * 1e6
    if hertz > 1e-9:
        found["press_log10_hertz_n_m15"] = float(np.clip(-1.5 * np.log10(hertz), 2.0, 10.0))
    return found


def _tap(execution: ProbeExecution, windows: ProbeWindows, context: PartContext) -> Reading:
    """Contact time, restitution and peak from the accelerometer burst."""
    burst = windows.burst
    if burst is None or not np.size(burst.acceleration_m_s2):
        raise Unusable("missing: no tap burst")
    acceleration = np.asarray(burst.acceleration_m_s2, np.float64)
    share = float(np.isfinite(acceleration).mean())
    if share < 0.95 or burst.sample_rate_hz < 5_000 or len(acceleration) < 20:
        raise Unusable(
            f"burst unusable: {len(acceleration)} samples at {burst.sample_rate_hz:g} Hz, {share:.0%} finite "
            "(at least 20 samples and 5000 Hz are needed)"
        )
    acceleration = np.where(np.isfinite(acceleration), acceleration, 0.0)
    speed = burst.impact_speed_m_s if burst.impact_speed_m_s > 0 else execution.speed_m_s
    found, reason = tap_shape(acceleration, burst, speed)
    return reading(NAMES, found, 0.4 if reason else 1.0, reason)


def tap_shape(acceleration: FloatArray, burst: TapBurst, speed_m_s: float) -> tuple[dict[str, float], str]:
    """Features of one (S,) burst and a reason when they are doubtful.

    Raises:
        Unusable: nothing in the burst stands out of its noise.
    """
    step = 1.0 / burst.sample_rate_hz
    quiet = acceleration[: max(5, int(0.5e-3 / step))]
    acceleration = acceleration - np.median(quiet)
    noise = 1.4826 * np.median(np.abs(quiet - np.median(quiet))) + 1e-9
    top = int(np.argmax(acceleration))
    peak = float(acceleration[top])
    if peak < 8 * noise:
        raise Unusable(f"no impact in the burst: peak {peak:.1f} m/s2, noise {noise:.2f} m/s2")
    reason = ""
    if np.sum(acceleration >= peak * (1 - 1e-6)) > 3:
        reason = "saturated: the accelerometer is stuck at its largest value"
    # The half-height width of a Hertz pulse is 0.609 of its contact time; crossings there are far above the noise.
    left, right = _crossing(acceleration, top, 0.5 * peak, -1), _crossing(acceleration, top, 0.5 * peak, 1)
    contact_time = (right - left) * step / 0.609
    begin = max(0, int(top - 2.0 * (top - left) - 2))
    finish = min(len(acceleration), int(top + 2.5 * (right - top) + 3))
    change = float(np.trapezoid(acceleration[begin:finish], dx=step))
    rest = acceleration[finish:]
    found = {
        "tap_log10_contact_time_s": np.log10(contact_time),
        "tap_log10_peak_m_s2": np.log10(peak),
        "tap_asymmetry": float((right - top) / max(top - left, 0.5) - 1.0),
        "tap_ringing_fraction": float(rest.std() / peak) if len(rest) > 10 else np.nan,
    }
    if speed_m_s > 0:
        # Hertz: t = 2.94 (15 m / (16 E* sqrt(R)))^(2/5) v^(-1/5) for a ball on a flat (PHYSICS.md)
        base = (contact_time * speed_m_s**0.2 / 2.94) ** 2.5
        modulus = 15.0 * burst.tip_mass_kg / (16.0 * np.sqrt(BALL_RADIUS_M) * base)
        found |= {
            "tap_restitution": float(np.clip(change / speed_m_s - 1.0, -0.5, 1.5)),
            "tap_log10_modulus_pa": np.log10(max(modulus, 1.0)),
            "tap_peak_shape": peak * contact_time / speed_m_s,
        }
    return found, reason


def _crossing(signal: FloatArray, top: int, level: float, direction: int) -> float:
    """Fractional index where the signal falls below a level, going from `top` in a direction."""
    i = top
    while 0 < i < len(signal) - 1 and signal[i] >= level:
        i += direction
    inside, outside = signal[i - direction], signal[i]
    share = (inside - level) / (inside - outside) if inside > outside else 0.0
    return float(i - direction + direction * np.clip(share, 0.0, 1.0))


def _slide(execution: ProbeExecution, windows: ProbeWindows, context: PartContext) -> Reading:
    """Friction coefficient |Ft| / Fn while the tip moves along the surface, its slope, and the ripple of stick-slip."""
    times, normal, tangential, reliability, reason = contact_forces(execution, windows, context)
    moving = _sliding(times, execution, windows) & (normal > 0.3)
    # Setting the tool in motion takes a force that is not friction.
    moving &= np.cumsum(moving) > SETTLE_SAMPLES
    if moving.sum() < 50:
        raise Unusable(f"{moving.sum()} samples while sliding in contact, at least 50 are needed")
    t, fn = times[moving], normal[moving]
    direction = tangential[moving].mean(axis=0)
    size = float(np.linalg.norm(direction))
    if size < 1e-6:
        raise Unusable("no tangential force while sliding")
    ft = tangential[moving] @ (direction / size)
    ratio = ft / fn
    mu = float(np.median(ratio))
    line = np.polyfit(t - t.mean(), ratio, 1)
    ripple = ratio - np.polyval(line, t - t.mean())
    rate = (len(t) - 1) / max(t[-1] - t[0], 1e-6)
    spectrum = np.abs(np.fft.rfft(ripple * np.hanning(len(ripple)))) ** 2
    frequencies = np.fft.rfftfreq(len(ripple), 1.0 / rate)
    band = frequencies > 3.0
    peak = float(frequencies[band][np.argmax(spectrum[band])]) if band.any() else np.nan
    found = {
        "slide_friction": mu,
        "slide_friction_slope": float(line[0] * (t[-1] - t[0]) / max(mu, 0.02)),
        "slide_ripple_fraction": float(ripple.std() / max(mu, 0.02)),
        "slide_ripple_log10_frequency_hz": np.log10(peak) if peak > 0 else np.nan,
        "slide_normal_force_n": float(np.median(fn)),
    }
    return reading(NAMES, found, reliability, reason)


def _sliding(times: FloatArray, execution: ProbeExecution, windows: ProbeWindows) -> NDArray[np.bool_]:
    """(W,) bool: the tip moves along the surface at more than half of its median sliding speed."""
    joint_times, tip = np.asarray(windows.joint_times_s, np.float64), np.asarray(windows.tip_positions_m, np.float64)
    if len(joint_times) < 4 or tip.shape != (len(joint_times), 3) or not np.isfinite(tip).all():
        return times > 0.05
    normal = np.asarray(execution.contact_normal, np.float64)
    velocity = np.gradient(tip, joint_times, axis=0)
    velocity -= (velocity @ normal)[:, None] * normal
    speed = np.linalg.norm(velocity, axis=1)
    wanted = execution.speed_m_s if execution.speed_m_s > 0 else float(np.percentile(speed, 75))
    return (np.interp(times, joint_times, speed) > 0.5 * wanted) & (times > 0)


def _lift(execution: ProbeExecution, windows: ProbeWindows, context: PartContext) -> Reading:
    """Mass from the weight that the sensor carries more than the empty tool; density with the volume seen by depth."""
    times, wrench = valid_wrench(windows)
    if len(times) < MIN_UNLOADED_SAMPLES:
        raise Unusable("missing: no wrench while the part was held")
    rotation = rotation_at(windows, float(times[-1]))
    if rotation is None:
        raise Unusable("missing: no joint states in the window")
    empty, reliability, reason = unloaded_force(context.unloaded, rotation)
    force, down = wrench[len(wrench) // 3 :, :3], rotation[2]
    mass = abs(float((np.median(force, axis=0) - empty) @ down)) / GRAVITY_M_S2
    found = {"lift_log10_mass_kg": np.log10(max(mass, 1e-5))}
    volume = context.view.volume_m3 if context.view is not None and context.view.found else np.nan
    if np.isfinite(volume) and volume > 1e-7 and mass > 1e-4:
        found["lift_log10_density_kg_m3"] = np.log10(mass / volume)
    return reading(NAMES, found, reliability, reason)


def unloaded_force(known: Sequence[UnloadedWrench], rotation: FloatArray) -> tuple[FloatArray, float, str]:
    """Force that the empty tool shows in a pose, from what it showed in others.

    In the sensor's frame the tool's weight turns with the pose and the bias does not: `F = w R^T z + b`. A pose close
    to a known one takes that one's force; otherwise weight and bias are fitted to poses that differ enough.

    Args:
        known: unloaded wrenches of earlier poses.
        rotation: (3, 3) sensor in the base frame.

    Returns:
        (3,) N in the sensor frame, reliability 0..1 and its reason.

    Raises:
        Unusable: no unloaded wrench is known.
    """
    if not known:
        raise Unusable("the weight of the empty tool is unknown: no free wrench before the lift")
    downs = np.array([u.rotation[2] for u in known])
    angles = np.arccos(np.clip(downs @ rotation[2], -1.0, 1.0))
    nearest = int(np.argmin(angles))
    if angles[nearest] < NEAR_RAD:
        return known[nearest].force_n, 1.0, ""
    spread = float(np.arccos(np.clip((downs @ downs.T).min(), -1.0, 1.0)))
    if spread < MIN_SPREAD_RAD:
        away = f"{np.degrees(angles[nearest]):.0f} degrees"
        return known[nearest].force_n, 0.2, f"the tool's weight is known only in a pose that is {away} away"
    rows = np.concatenate([np.column_stack([down, np.eye(3)]) for down in downs])
    solution, *_ = np.linalg.lstsq(rows, np.concatenate([u.force_n for u in known]), rcond=None)
    return solution[0] * rotation[2] + solution[1:], 0.9, ""
