"""Radiometric thermal camera (Lepton class): apparent temperature of the scene with the warm spots of past touches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import convolve1d
from scipy.special import erf

from palpate_sim.contact import PAD_SIDE_M
from palpate_sim.devices import DeviceDraw
from palpate_sim.objects import PartBatch
from palpate_sim.sensors.heat_contact import (
    pad_face_temperature,
    pad_flux_w_m2,
    surface_temperature,
)
from palpate_sim.sensors.heated_tip import PAD_SETPOINTS_C, HeatedTip, heater_power

__all__ = [
    "PAD_SETPOINTS_C",
    "HeatedTip",
    "WarmSpot",
    "apparent_temperature",
    "frame",
    "heater_power",
    "pad_face_temperature",
    "pad_flux_w_m2",
    "shutter_closed",
    "surface_temperature",
]

Array = NDArray[np.floating]

TABLE_EMISSIVITY = 0.94
ARM_EMISSIVITY = 0.92
SHUTTER_PERIOD_S = 180.0
SHUTTER_CLOSED_S = 0.5
SPOT_DEPTH_M = 0.004
"""Points farther than this from the spot's plane are on another face and stay cold."""


@dataclass(frozen=True)
class WarmSpot:
    """One touch of a warm pad.

    Attributes:
        center_m: (3,) centre of the touch, base frame.
        start_s: time of the touch on the cell's clock.
        dwell_s: how long it lasted.
        pad_start_c: temperature of the pad before, degrees Celsius.
        pad_index: which pad.
        normal: (3,) outward normal of the surface.
        angle_rad: direction of the pad's first side, about the normal from the base's x.
    """

    center_m: tuple[float, float, float]
    start_s: float
    dwell_s: float
    pad_start_c: float
    pad_index: int = 0
    normal: tuple[float, float, float] = (0.0, 0.0, 1.0)
    angle_rad: float = 0.0


def apparent_temperature(true_c: Array, emissivity: Array | float, ambient_c: float) -> Array:
    """`eps To + (1-eps) Tamb`: what a camera set to an emissivity of 1 reads, linearised, degrees Celsius."""
    return emissivity * true_c + (1.0 - emissivity) * ambient_c


def shutter_closed(time_s: float) -> bool:
    """True while the camera's shutter calibrates it: it freezes for half a second every three minutes."""
    return time_s >= SHUTTER_PERIOD_S and time_s % SHUTTER_PERIOD_S < SHUTTER_CLOSED_S


def _profile(offset_m: Array, spread_m: float) -> Array:
    """A flat square of the pad's side, blurred by diffusion: one dimension, 1 deep inside."""
    half = 0.5 * PAD_SIDE_M
    return 0.5 * (erf((offset_m + half) / spread_m) - erf((offset_m - half) / spread_m))


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
    mean = float(np.mean(_profile(inside, spread)))
    shape = _profile(offset @ first, spread) * _profile(offset @ second, spread) / mean**2
    return np.where(np.abs(offset @ normal) < SPOT_DEPTH_M, shape, 0.0)


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

    Returns:
        (h, w) float32 apparent temperature, degrees Celsius.
    """
    apparent = np.full(part_mask.shape, apparent_temperature(np.asarray(ambient_c), TABLE_EMISSIVITY, ambient_c))
    points = points_m[part_mask]
    true = np.full(len(points), batch.temperature_c[0])
    for spot in spots:
        age = time_s - spot.start_s
        if age > 0.0 and len(points):
            mean = surface_temperature(batch, age, spot.dwell_s, spot.pad_start_c, devices, spot.pad_index)[0, 0]
            rise = mean - batch.temperature_c[0]
            true += rise * spot_shape(points, spot, float(batch.diffusivity_m2_s[0]), age)
    apparent[part_mask] = apparent_temperature(true, float(batch.emissivity[0]), ambient_c)
    arm_c = ambient_c + 6.0 if tool_c is None else tool_c
    apparent[arm_mask] = apparent_temperature(np.asarray(arm_c), ARM_EMISSIVITY, ambient_c)
    blur = np.array([0.15, 0.7, 0.15])  # optics: neighbouring pixels share light
    apparent = convolve1d(convolve1d(apparent, blur, axis=0, mode="nearest"), blur, axis=1, mode="nearest")
    noise = devices.netd_k * rng.standard_normal(apparent.shape, dtype=np.float32)
    return (apparent + devices.thermal_offset_k + noise).astype(np.float32)
