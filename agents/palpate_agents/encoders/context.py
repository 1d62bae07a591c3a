"""What features need beside the window: the configuration that travels with the model, and what earlier probes told.

NumPy only: simulation workers import this.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from palpate_agents.encoders.contact_change import Touched, change_of, touch_of, touches
from palpate_agents.encoders.pads import PadTouch, pad_touch
from palpate_agents.encoders.reading import Unusable
from palpate_agents.encoders.surface_map import SurfaceView, same_part, surface_of
from palpate_agents.errors import ModelError
from palpate_agents.observation import CameraGeometry, FloatArray, Primitive, ProbeExecution, ProbeWindows
from palpate_agents.segmentation import PartView, Region, region_around, segment

GUARD_S = 0.02
"""Samples closer than this before the detected contact may already carry force (detection is late by a few ms)."""
MIN_UNLOADED_SAMPLES = 20
SAME_POSE_RAD = 0.05
STILL_RAD_S = 0.02
"""Joint speed below which a moving arm counts as still."""


@dataclass(frozen=True)
class FeatureConfig:
    """What a model's features depend on; stored in the model's card.

    Attributes:
        wavelength_start_nm, wavelength_stop_nm, wavelength_step_nm: grid of the spectrum, ends included, nm.
        accept_counts: take raw detector counts as well as reflectance (for data sets without a white reference).
    """

    wavelength_start_nm: float = 900.0
    wavelength_stop_nm: float = 1700.0
    wavelength_step_nm: float = 4.0
    accept_counts: bool = False

    @property
    def wavelength_nm(self) -> FloatArray:
        """(C,) grid, nm."""
        count = round((self.wavelength_stop_nm - self.wavelength_start_nm) / self.wavelength_step_nm) + 1
        return self.wavelength_start_nm + self.wavelength_step_nm * np.arange(count)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "wavelength_start_nm": self.wavelength_start_nm,
            "wavelength_stop_nm": self.wavelength_stop_nm,
            "wavelength_step_nm": self.wavelength_step_nm,
            "accept_counts": self.accept_counts,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> FeatureConfig:
        """From `to_dict`; ModelError when a key is unknown or missing."""
        known = cls().to_dict()
        if set(values) != set(known):
            raise ModelError(f"feature configuration has keys {sorted(values)}, this version needs {sorted(known)}")
        return cls(**values)


class UnloadedWrench(NamedTuple):
    """Wrench with nothing touching: (3,) force N in the sensor frame (tool weight and bias), (3, 3) sensor in base."""

    force_n: FloatArray
    rotation: FloatArray


@dataclass(frozen=True)
class PartContext:
    """What is known of the part before a probe's features are computed.

    Attributes:
        config: of the model that will read the features.
        table_height_m: z of the table, base frame.
        region: where a part may lie.
        view: segmentation of the newest LOOK.
        surface: the surface as last seen, in the box of `view`; None until a picture could be read.
        unloaded: wrenches with nothing touching, the newest of each pose of the sensor.
        thermal_c, thermal_camera: first thermal picture of the part, before anything touched it.
        pads: warm touches so far.
        touched: the newest touch that no LOOK has seen yet.
        change: (4,) what the newest touch before the newest LOOK changed, see `contact_change.NAMES`; None: no LOOK.
    """

    config: FeatureConfig = field(default_factory=FeatureConfig)
    table_height_m: float = 0.0
    region: Region = field(default_factory=lambda: region_around((0.5, 0.0, 0.0)))
    view: PartView | None = None
    surface: SurfaceView | None = None
    unloaded: tuple[UnloadedWrench, ...] = ()
    thermal_c: FloatArray | None = None
    thermal_camera: CameraGeometry | None = None
    pads: tuple[PadTouch, ...] = ()
    touched: Touched | None = None
    change: FloatArray | None = None

    def after(self, execution: ProbeExecution, windows: ProbeWindows) -> PartContext:
        """Context with what this window adds. Call it before `extract` of the same window.

        A LOOK gives the segmentation and, the first time, the thermal picture of the untouched part; a DWELL how far
        its pad cooled; the free part of any window but a LIFT's the wrench of the unloaded tool. Every picture that
        shows the whole part gives its surface anew.
        """
        changed: dict[str, Any] = self._seen(execution, windows)
        if touches(execution):
            changed["touched"] = touch_of(execution, windows, self.view, self.surface)
        if execution.primitive is Primitive.LOOK:
            if self.thermal_c is None and windows.thermal_c.ndim == 3 and len(windows.thermal_c):
                changed["thermal_c"] = np.asarray(windows.thermal_c[-1], np.float64)
                changed["thermal_camera"] = windows.thermal_camera
        elif self.thermal_c is None and windows.thermal_before_c is not None:
            changed["thermal_c"] = np.asarray(windows.thermal_before_c, np.float64)
            changed["thermal_camera"] = windows.thermal_camera
        if execution.primitive not in (Primitive.LIFT, Primitive.PLACE):
            new = unloaded_wrench(execution, windows)
            if new is not None:
                others = [u for u in self.unloaded if u.rotation[2] @ new.rotation[2] < np.cos(SAME_POSE_RAD)]
                changed["unloaded"] = (*others, new)
        if execution.primitive is Primitive.DWELL:
            with suppress(Unusable):
                changed["pads"] = (*self.pads, pad_touch(execution, windows))
        return replace(self, **changed) if changed else self

    def _seen(self, execution: ProbeExecution, windows: ProbeWindows) -> dict[str, Any]:
        """What the last picture of a window changes."""
        look = execution.primitive is Primitive.LOOK
        if not look and (self.view is None or not self.view.found or windows.color is None):
            return {}
        if look and windows.color is None and self.view is not None:
            return {}  # a look that failed takes nothing back
        view = segment(windows, self.table_height_m, self.region, full=look)  # a LOOK plans touches, others do not
        changed: dict[str, Any] = {"view": view, "surface": None, "change": None} if look else {}
        if look or (self.view is not None and same_part(self.view, view)):
            if not look and self.view is not None:  # the box stays, so that cells keep their places
                view = replace(
                    view, centroid_m=self.view.centroid_m, extent_m=self.view.extent_m, yaw_rad=self.view.yaw_rad
                )
            with suppress(Unusable):
                changed["surface"] = surface = surface_of(view, windows)
                if look:
                    changed["change"], changed["touched"] = change_of(self.touched, view, surface), None
        return changed


def unloaded_wrench(execution: ProbeExecution, windows: ProbeWindows) -> UnloadedWrench | None:
    """Median wrench of the last 0.3 s before contact (of a LOOK: while the arm stands still at its end).

    None when there are fewer than 20 finite samples or the arm's pose is unknown.
    """
    times, wrench = valid_wrench(windows)
    joint_times = np.asarray(windows.joint_times_s, np.float64)
    if not len(times) or len(joint_times) < 2:
        return None
    if execution.primitive is Primitive.LOOK:
        positions = np.asarray(windows.joint_positions, np.float64)
        if positions.ndim != 2 or len(positions) != len(joint_times):
            return None
        moving = np.abs(np.diff(positions, axis=0)).max(axis=1) > STILL_RAD_S * np.diff(joint_times)
        start = joint_times[1:][moving][-1] if moving.any() else joint_times[0]
        free = times > max(start + GUARD_S, times[-1] - 0.3)
    else:
        free = (times < -GUARD_S) & (times > -0.3 - GUARD_S)
    times, wrench = times[free], wrench[free]
    if len(times) < MIN_UNLOADED_SAMPLES:
        return None
    rotation = rotation_at(windows, float(np.median(times)))
    return None if rotation is None else UnloadedWrench(np.median(wrench[:, :3], axis=0), rotation)


def valid_wrench(windows: ProbeWindows) -> tuple[FloatArray, FloatArray]:
    """(W,) times and (W, 6) wrench without non-finite rows; empty when their lengths differ."""
    times, wrench = np.asarray(windows.wrench_times_s, np.float64), np.asarray(windows.wrench, np.float64)
    if wrench.ndim != 2 or wrench.shape[1:] != (6,) or len(times) != len(wrench):
        return np.zeros(0), np.zeros((0, 6))
    good = np.isfinite(times) & np.isfinite(wrench).all(axis=1)
    return times[good], wrench[good]


def rotation_at(windows: ProbeWindows, time_s: float) -> FloatArray | None:
    """(3, 3) rotation of the force/torque sensor in the base frame at the joint sample nearest to a time."""
    times = np.asarray(windows.joint_times_s, np.float64)
    rotations = np.asarray(windows.sensor_rotation, np.float64)
    if not len(times) or rotations.shape != (len(times), 3, 3):
        return None
    rotation = rotations[int(np.argmin(np.abs(times - time_s)))]
    return rotation if np.isfinite(rotation).all() else None
