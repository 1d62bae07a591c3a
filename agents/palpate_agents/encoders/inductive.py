"""Inductive features: what the eddy-current coil behind the cap of a warm pad reads on the part, balanced in air.

The last half second of the contact less the nearest half second in air. As a rule that is the one after the contact:
windows begin only a few millimetres above the part, where the coil feels it already.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from palpate_agents.encoders.context import PartContext
from palpate_agents.encoders.reading import Reading, Unusable, reading
from palpate_agents.encoders.visual import NOT_MEASURED
from palpate_agents.observation import FloatArray, Outcome, Primitive, ProbeExecution, ProbeWindows

NAMES: tuple[str, ...] = ("inductance_change_fraction", "resistance_change_fraction")

READ_S, AIR_S = 0.5, 0.5
SETTLED_S, LIFTING_S = 0.05, 0.05
"""Left out at the begin and at the end of the contact."""
AIR_M = 0.025
"""So far from where it touched, a coil of 6 mm reads less than 1e-4 of anything."""
GONE_S = 0.5
"""After the contact, where no joint states tell how far the tool is."""
MIN_READINGS = 10
FULL_SCALE = 1.0
"""No part changes the impedance by more than the free coil's reactance: such a reading is at the end of its range."""
STEADY = 0.02
"""More between the first and the second half of the contact, and the pad has not sat still."""

Mask = NDArray[np.bool_]


def extract_inductive(execution: ProbeExecution, windows: ProbeWindows, context: PartContext) -> Reading:
    """Features of a DWELL; a cell without the coil measures nothing.

    Raises:
        Unusable: the probe failed, or readings are missing, stale, saturated or not finite.
    """
    del context
    times, values = np.asarray(windows.inductive_times_s, np.float64), np.asarray(windows.inductive, np.float64)
    if execution.primitive is not Primitive.DWELL or not values.size:
        raise Unusable(NOT_MEASURED)
    if execution.outcome not in (Outcome.SUCCEEDED, Outcome.FORCE_LIMIT) or execution.contact_time_ns == 0:
        raise Unusable(f"the probe ended with {execution.outcome.name.lower()}")
    if values.shape != (len(times), len(NAMES)):
        raise Unusable(f"malformed data: {len(times)} times and readings of shape {values.shape}")
    touching = (times > SETTLED_S) & (times < execution.dwell_s - LIFTING_S)
    air = _air(times, windows, execution.dwell_s)
    if touching.sum() < MIN_READINGS or air.sum() < MIN_READINGS:
        raise Unusable(
            f"missing: {touching.sum()} inductive readings in contact and {air.sum()} in air, {MIN_READINGS} are needed"
        )
    finite = np.isfinite(values).sum(axis=1) == len(NAMES)
    share = min(float(finite[touching].mean()), float(finite[air].mean()))
    if min((finite & touching).sum(), (finite & air).sum()) < MIN_READINGS:
        raise Unusable(f"NaN: only {share:.0%} of the inductive readings are finite")
    return _balanced(times, values, finite & touching, finite & air, share)


def _balanced(times: FloatArray, values: FloatArray, touching: Mask, air: Mask, finite_share: float) -> Reading:
    """Reading in contact less the one in air, with what speaks against it."""
    in_contact, in_air = values[touching], values[air]
    full = float(max((np.abs(part) >= FULL_SCALE).any(axis=1).mean() for part in (in_contact, in_air)))
    if full > 0.5:
        raise Unusable(f"saturated: {full:.0%} of the inductive readings are at full scale")
    if not np.ptp(in_contact, axis=0).any() or not np.ptp(in_air, axis=0).any():
        raise Unusable("stale: the inductive reading never changed")
    last = in_contact[times[touching] > times[touching][-1] - READ_S]
    change = np.median(last, axis=0) - np.median(in_air, axis=0)
    reliability, reasons = 1.0, []
    if finite_share < 1.0:
        reliability *= finite_share
        reasons.append(f"NaN: {1.0 - finite_share:.0%} of the inductive readings are not finite")
    if full > 0.0:
        reliability *= 1.0 - full
        reasons.append(f"saturated: {full:.0%} of the inductive readings are at full scale")
    half = len(in_contact) // 2
    moved = float(np.abs(np.median(in_contact[:half], axis=0) - np.median(in_contact[half:], axis=0)).max())
    if moved > STEADY:
        reliability *= STEADY / moved
        reasons.append(f"unsteady: the inductive reading changed by {moved:.2g} in contact, {STEADY:g} is allowed")
    return reading(NAMES, dict(zip(NAMES, change.tolist(), strict=True)), reliability, "; ".join(reasons))


def _air(times: FloatArray, windows: ProbeWindows, dwell_s: float) -> Mask:
    """(I,) the first half second in air after the contact, or the last one before it."""
    joints, tips = np.asarray(windows.joint_times_s, np.float64), np.asarray(windows.tip_positions_m, np.float64)
    if len(joints) > 1 and tips.shape == (len(joints), 3):
        distance = np.linalg.norm(tips - tips[int(np.argmin(np.abs(joints)))], axis=1)
        away = np.interp(times, joints, distance) >= AIR_M
        after, before = away & (times > dwell_s), away & (times < 0.0)
    else:
        after, before = times > dwell_s + GONE_S, np.zeros(len(times), bool)
    if after.sum() >= MIN_READINGS or not before.any():
        return after & (times < times[after].min(initial=np.inf) + AIR_S)
    return before & (times > times[before].max() - AIR_S)
