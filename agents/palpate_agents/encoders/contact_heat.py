"""Heat between a sensor and the part that it touches: two half-spaces. One implementation for every contact sensor.

A sensor at `Ts` that touches a part at `To` falls towards `Tc = (es Ts + eo To) / (es + eo)`, so that its fall is the
share `eo / (es + eo)` of the step `Ts - To` (PHYSICS.md, 'Heat'). One sensor cannot tell a poor conductor that is cold
from a good one that is not; two sensors that start at two temperatures can, because one share and one `To` have to
explain both. The cell's warm pads show the contact's own temperature. A thermometer below a skin shows a part of its
fall only, its *reach*, which has to be calibrated (`encoders.thermistors`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from palpate_agents.encoders.pads import SETTLED_S, PadTouch
from palpate_agents.encoders.reading import Unusable

DIP_TIMES_S = (0.2, 0.5, 1.0, 1.5, 2.0)
MIN_SHARE, MAX_SHARE = 0.01, 0.99
"""Shares beyond these drown in noise: their log-odds would be those of the noise."""
MIN_SHARE_FOR_TEMPERATURE = 0.05
"""A part that hardly takes heat does not tell its temperature."""

Array = NDArray[np.float64]


class SensorPair(NamedTuple):
    """How two contact sensors differ; the default is two sensors of one kind that show the contact itself.

    Attributes:
        first_reach, second_reach: share of the contact's fall that each of them shows.
        effusivity_ratio: effusivity of the second over that of the first.
    """

    first_reach: float = 1.0
    second_reach: float = 1.0
    effusivity_ratio: float = 1.0


ALIKE = SensorPair()


class PartHeat(NamedTuple):
    """What two sensors tell of a part.

    Attributes:
        share: (...,) `eo / (e1 + eo)` with the effusivity `e1` of the first sensor; outside 0..1 by noise only.
        part_c: (...,) the part's own temperature, degrees Celsius; NaN below `MIN_SHARE_FOR_TEMPERATURE`.
    """

    share: Array
    part_c: Array


def two_half_spaces(
    first_start_c: ArrayLike,
    first_fall_k: ArrayLike,
    second_start_c: ArrayLike,
    second_fall_k: ArrayLike,
    pair: SensorPair = ALIKE,
) -> PartHeat:
    """Effusivity and temperature of a part from two sensors that touched it at two temperatures.

    With `u = fall / reach`, `u1 = (T1 - To) eo / (e1 + eo)` and `u2 = (T2 - To) eo / (k e1 + eo)` are two equations for
    `eo / e1` and `To`. They have one solution, without iteration; for two sensors of one kind (k = 1) it is
    `share = (u1 - u2) / (T1 - T2)`.

    Args:
        first_start_c: (...,) temperature of the first sensor before contact, degrees Celsius.
        first_fall_k: (...,) how far it fell, K (negative: it rose).
        second_start_c: (...,) the same of the second sensor.
        second_fall_k: (...,) the same of the second sensor.
        pair: how the sensors differ.
    """
    start, other = np.asarray(first_start_c, np.float64), np.asarray(second_start_c, np.float64)
    fall, other_fall = np.asarray(first_fall_k) / pair.first_reach, np.asarray(second_fall_k) / pair.second_reach
    ratio = pair.effusivity_ratio
    with np.errstate(divide="ignore", invalid="ignore"):
        share = (fall - ratio * other_fall) / (start - other + (1.0 - ratio) * other_fall)
        part = start - fall / np.where(share > MIN_SHARE_FOR_TEMPERATURE, share, np.nan)
    return PartHeat(share, part)


def log10_effusivity_ratio(share: ArrayLike) -> Array:
    """(...,) log10 of the part's effusivity over the sensor's, from the share of the step; limited to 0.01..0.99."""
    kept = np.clip(share, MIN_SHARE, MAX_SHARE)
    return np.log10(kept / (1.0 - kept))


def touch_columns(touch: PadTouch, part_c: float) -> dict[str, float]:
    """Columns of one touch: dip and recovery of the sensor's face, and its heater's work, relative to the step.

    Args:
        touch: one sensor's readings.
        part_c: temperature of the part before contact, from a camera or from two sensors, degrees Celsius.

    Returns:
        Some of `thermal.NAMES`; the step alone when it is below 1 K.

    Raises:
        Unusable: the part's temperature is unknown.
    """
    if not np.isfinite(part_c):
        raise Unusable("the part's temperature before contact is unknown")
    step = touch.start_c - part_c
    if step < 1.0:
        return {"pad_step_k": step}
    times, held = touch.times_s, touch.held
    dip = (touch.start_c - touch.face_c) / step
    found = {"pad_step_k": step, "pad_dip_largest_fraction": float(dip[held].max())}
    for t in DIP_TIMES_S:
        if t <= times[held][-1] + 0.06 and t >= times[0]:
            found[f"pad_dip_{t:g}s_fraction"] = float(np.interp(t, times, dip))
    found["pad_log10_effusivity_ratio"] = float(log10_effusivity_ratio((touch.start_c - touch.level_c) / step))
    settled = held & (times > SETTLED_S)
    if settled.sum() >= 3:
        found["pad_slope_fraction_s05"] = float(np.polyfit(np.sqrt(times[settled]), dip[settled], 1)[0])
        found["pad_recovery_fraction"] = float(dip[held].max() - np.mean(dip[settled][-3:]))
    power = touch.power_w
    if np.isfinite(power[touch.before | held]).all():
        extra = power - np.mean(power[touch.before][-5:])
        found["heater_extra_j_k"] = float(np.trapezoid(extra[held], times[held])) / step
        found["heater_power_rise_w_k"] = float(np.mean(extra[held][-3:])) / step
    return found


def pair_columns(heat: PartHeat, apparent_c: float) -> dict[str, float]:
    """Columns of two touches: effusivity without any thermometer, and how far the part is from what a camera saw.

    Args:
        heat: of one part, scalars.
        apparent_c: what the camera saw, degrees Celsius; NaN without one.
    """
    found = {"pair_log10_effusivity_ratio": float(log10_effusivity_ratio(heat.share))}
    if np.isfinite(heat.part_c) and np.isfinite(apparent_c):
        found["pair_part_minus_apparent_k"] = float(heat.part_c) - apparent_c
    return found
