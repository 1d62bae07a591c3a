"""Radiometric thermal camera (Lepton class): apparent temperature of the scene with the warm spots of past touches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import convolve1d

from palpate_sim.contact import PAD_SIDE_M
from palpate_sim.devices import DeviceDraw
from palpate_sim.objects import PartBatch
from palpate_sim.sensors.heat_contact import (
    pad_course,
    pad_face_temperature,
    pad_flux_w_m2,
    pad_heat_j_m2,
    surface_temperature,
)
from palpate_sim.sensors.heated_tip import PAD_SETPOINTS_C, HeatedTip, heater_power
from palpate_sim.sensors.spot_optics import BLUR, square_profile

__all__ = [
    "PAD_SETPOINTS_C",
    "HeatedTip",
    "WarmSpot",
    "apparent_temperature",
    "frame",
    "heater_power",
    "pad_course",
    "pad_face_temperature",
    "pad_flux_w_m2",
    "pad_heat_j_m2",
    "shutter_closed",
    "spot_rise",
    "surface_temperature",
    "warmth_at",
]

Array = NDArray[np.floating]

TABLE_EMISSIVITY = 0.94
ARM_EMISSIVITY = 0.92
SHUTTER_PERIOD_S = 180.0
SHUTTER_CLOSED_S = 0.5
THERMAL_PERIOD_S = 0.2
ARM_GONE_S = (0.42, 0.48)
"""After a warm touch the arm has left the camera's view of the spot within this time, measured in the cell."""
SPOT_DEPTH_M = 0.004
"""Points farther than this from the spot's plane are on another face and stay cold."""


@dataclass(frozen=True)
class WarmSpot:
    """One touch of a warm pad.

    Attributes:
        center_m: (3,) centre of the touch, base frame.
        start_s: time of the touch on the cell's clock.
        dwell_s: how long it lasted.
        pad_start_c: temperature of the pad before, less the warmth that earlier touches had left there (the rise is
            linear in the difference), degrees Celsius.
        pad_index: which pad.
        normal: (3,) outward normal of the surface.
        angle_rad: direction of the pad's first side, about the normal from the base's x.
        resistance_m2k_w: between pad and part: contact, coat, label and film as met there; the part's own if None.
    """

    center_m: tuple[float, float, float]
    start_s: float
    dwell_s: float
    pad_start_c: float
    pad_index: int = 0
    normal: tuple[float, float, float] = (0.0, 0.0, 1.0)
    angle_rad: float = 0.0
    resistance_m2k_w: float | None = None


def apparent_temperature(true_c: Array, emissivity: Array | float, ambient_c: float) -> Array:
    """`eps To + (1-eps) Tamb`: what a camera set to an emissivity of 1 reads, linearised, degrees Celsius."""
    return emissivity * true_c + (1.0 - emissivity) * ambient_c


def shutter_closed(time_s: float) -> bool:
    """True while the camera's shutter calibrates it: it freezes for half a second every three minutes."""
    return time_s >= SHUTTER_PERIOD_S and time_s % SHUTTER_PERIOD_S < SHUTTER_CLOSED_S


def spot_shape(points_m: Array, spot: WarmSpot, diffusivity_m2_s: float, age_s: float) -> Array:
    """Rise at points over the mean rise under the pad.

    The square that the pad warmed, blurred sideways by `sqrt(4 a t)` with t counted from the middle of the touch, which
    is when half of the heat is in; normalised so that its mean over the pad is 1.

    Args:
        points_m: (..., 3) points, base frame.
        spot: the touch.
        diffusivity_m2_s: of the part.
        age_s: time since the touch began.
    """
    normal = np.asarray(spot.normal, float) / np.linalg.norm(spot.normal)
    reference = np.array([np.cos(spot.angle_rad), np.sin(spot.angle_rad), 0.0])
    if abs(normal @ reference) > 0.9:
        reference = np.array([0.0, 0.0, 1.0])
    first = reference - (reference @ normal) * normal
    first /= np.linalg.norm(first)
    second = np.cross(normal, first)
    offset = np.asarray(points_m) - np.asarray(spot.center_m)
    spread = np.sqrt(4.0 * diffusivity_m2_s * max(age_s - 0.5 * min(age_s, spot.dwell_s), 1e-4))
    inside = ((np.arange(24) + 0.5) / 24 - 0.5) * PAD_SIDE_M
    mean = float(np.mean(square_profile(inside, spread)))
    shape = square_profile(offset @ first, spread) * square_profile(offset @ second, spread) / mean**2
    return np.where(np.abs(offset @ normal) < SPOT_DEPTH_M, shape, 0.0)


def spot_rise(points_m: Array, batch: PartBatch, spot: WarmSpot, time_s: float, devices: DeviceDraw) -> Array:
    """(...,) rise that one touch has left at points (..., 3) of the part (N = 1), K; 0 before the touch."""
    age = time_s - spot.start_s
    if age <= 0.0 or points_m.size == 0:
        return np.zeros(points_m.shape[:-1])
    mean = surface_temperature(
        batch, age, spot.dwell_s, spot.pad_start_c, devices, spot.pad_index, spot.resistance_m2k_w
    )[0, 0]
    rise = float(mean - batch.temperature_c[0])
    return rise * spot_shape(points_m, spot, float(batch.diffusivity_m2_s[0]), age)


def warmth_at(point_m: Array, batch: PartBatch, spots: Sequence[WarmSpot], time_s: float, devices: DeviceDraw) -> float:
    """What earlier touches have left at a point (3,), K above the part's own temperature."""
    point = np.asarray(point_m, float)[None]
    return float(sum(spot_rise(point, batch, spot, time_s, devices)[0] for spot in spots))


def frame(
    points_m: Array,
    part_mask: NDArray[np.bool_],
    arm_mask: NDArray[np.bool_],
    batch: PartBatch,
    spots: Sequence[WarmSpot],
    time_s: float,
    devices: DeviceDraw,
    ambient_c: float,
    rng: np.random.Generator,
    tool_c: float | None = None,
    emissivity: Array | None = None,
) -> NDArray[np.float32]:
    """One picture.

    Args:
        points_m: (h, w, 3) surface point behind each pixel, base frame.
        part_mask: (h, w) the part.
        arm_mask: (h, w) the arm, which covers the part.
        batch: the one part (N = 1).
        spots: touches so far, on the cell's clock.
        time_s: now, on the cell's clock.
        devices: offset and noise of the camera.
        ambient_c: room temperature, reflected by everything.
        rng: noise.
        tool_c: temperature of the arm's skin; the room's plus 6 K (motors) if None.
        emissivity: (P,) of the surface that each pixel of `part_mask` sees, in its order; the part's own if None.

    Returns:
        (h, w) float32 apparent temperature, degrees Celsius.
    """
    apparent = np.full(part_mask.shape, apparent_temperature(np.asarray(ambient_c), TABLE_EMISSIVITY, ambient_c))
    points = points_m[part_mask]
    true = np.full(len(points), batch.temperature_c[0])
    for spot in spots:
        true += spot_rise(points, batch, spot, time_s, devices)
    seen = float(batch.emissivity[0]) if emissivity is None else emissivity
    apparent[part_mask] = apparent_temperature(true, seen, ambient_c)
    arm_c = ambient_c + 6.0 if tool_c is None else tool_c
    apparent[arm_mask] = apparent_temperature(np.asarray(arm_c), ARM_EMISSIVITY, ambient_c)
    apparent = convolve1d(convolve1d(apparent, BLUR, axis=0, mode="nearest"), BLUR, axis=1, mode="nearest")
    noise = devices.netd_k * rng.standard_normal(apparent.shape, dtype=np.float32)
    return (apparent + devices.thermal_offset_k + noise).astype(np.float32)
