"""One vocabulary for everything: modalities, primitives, frames, and what one probe measured.

No ROS, no torch: simulation workers, device backends and nodes all speak in these terms. Lengths are in metres, forces
in newtons, temperatures in degrees Celsius, wavelengths in nanometres, times in seconds (stamps: int nanoseconds).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating]

MAX_PROBES = 10
"""At most this many probes on one part."""


class Modality(StrEnum):
    """What a group of sensors can tell; the order is the order in every message. A cell may lack the inductive tip."""

    VISUAL = "visual"
    TACTILE = "tactile"
    SPECTRAL = "spectral"
    THERMAL = "thermal"
    INDUCTIVE = "inductive"


class Primitive(IntEnum):
    """What the arm can do with a part; values equal `palpate_interfaces/ProbeExecution.PRIMITIVE_*`."""

    LOOK = 0
    PRESS = 1
    TAP = 2
    SLIDE = 3
    DWELL = 4
    LIFT = 5
    PLACE = 6
    WIPE = 7
    SCRATCH = 8


class Outcome(IntEnum):
    """How a probe ended; values equal `palpate_interfaces/ProbeExecution.OUTCOME_*`."""

    SUCCEEDED = 0
    UNREACHABLE = 1
    NO_CONTACT = 2
    FORCE_LIMIT = 3
    GRASP_FAILED = 4
    DROPPED = 5
    CANCELLED = 6
    ABORTED = 7


class Frame(StrEnum):
    """Frames of the cell; links of the one URDF have the same names."""

    BASE = "panda_link0"
    FLANGE = "panda_link8"
    FORCE_TORQUE = "force_torque_sensor"
    BALL_TIP = "ball_tip"
    SCRAPER_TIP = "scraper_tip"
    WARM_PAD_0 = "warm_pad_0"
    WARM_PAD_1 = "warm_pad_1"
    FIBRE = "spectrometer_fibre"
    GRASP = "panda_grasp_target"
    CAMERA = "camera_color_optical_frame"
    THERMAL_CAMERA = "thermal_camera_optical_frame"


@dataclass(frozen=True)
class ProbeGoal:
    """One probe to be executed, in the base frame.

    Attributes:
        primitive: what to do.
        target_m: (3,) point on the surface (LIFT: grasp centre; PLACE: ignored), metres, base frame.
        normal: (3,) the approach is against this unit vector: the outward normal there, or up to 15 degrees off it.
        force_limit_n: quasi-static force limit, newtons; 0 means the arm's own, which is never exceeded.
        force_n: contact force wanted (press, slide, dwell, wipe, scratch), newtons; 0 means the primitive's default.
        standoff_m: distance of the fibre from the surface (LOOK); 0 means the default.
        speed_m_s: speed at contact (press, tap) or of the slide; 0 means the primitive's default.
        dwell_s: hold time; 0 means the primitive's default.
        slide_distance_m: length of a slide; 0 means the default.
        slide_angle_rad: direction of the slide, about +z of the base.
        grasp_width_m: width of the part between the fingers (LIFT).
        grasp_angle_rad: closing direction of the fingers, about +z of the base (LIFT).
        pad_index: warm pad to use (DWELL), 0 or 1.
        bin: name of the bin (PLACE).
    """

    primitive: Primitive
    target_m: tuple[float, float, float] = (0.0, 0.0, 0.0)
    normal: tuple[float, float, float] = (0.0, 0.0, 1.0)
    force_limit_n: float = 0.0
    force_n: float = 0.0
    standoff_m: float = 0.0
    speed_m_s: float = 0.0
    dwell_s: float = 0.0
    slide_distance_m: float = 0.0
    slide_angle_rad: float = 0.0
    grasp_width_m: float = 0.0
    grasp_angle_rad: float = 0.0
    pad_index: int = 0
    bin: str = ""


@dataclass(frozen=True)
class ProbeExecution:
    """What the arm really did; mirrors `palpate_interfaces/ProbeExecution` field for field (stamps in nanoseconds)."""

    primitive: Primitive
    outcome: Outcome
    window_start_ns: int
    window_end_ns: int
    contact_time_ns: int = 0
    contact_point_m: tuple[float, float, float] = (0.0, 0.0, 0.0)
    contact_normal: tuple[float, float, float] = (0.0, 0.0, 1.0)
    speed_m_s: float = 0.0
    slide_distance_m: float = 0.0
    dwell_s: float = 0.0
    max_force_n: float = 0.0
    pad_index: int = 0
    pad_contact_area_m2: float = 0.0
    message: str = ""


@dataclass
class TapBurst:
    """Acceleration of the tip around one tap.

    Attributes:
        sample_rate_hz: samples per second.
        acceleration_m_s2: (S,) m/s2, positive away from the part.
        tip_mass_kg: moving mass of the tip.
        impact_speed_m_s: commanded speed at contact.
    """

    sample_rate_hz: float
    acceleration_m_s2: FloatArray
    tip_mass_kg: float
    impact_speed_m_s: float


@dataclass
class SpectrumSample:
    """One spectrum.

    Attributes:
        wavelength_nm: (C,) ascending.
        values: (C,) reflectance (1 = white reference), or counts when `is_reflectance` is false.
        is_reflectance: False for raw detector counts.
        saturation: counts that saturate the detector; 0 if unknown.
    """

    wavelength_nm: FloatArray
    values: FloatArray
    is_reflectance: bool = True
    saturation: float = 0.0


@dataclass
class CameraGeometry:
    """Pinhole camera and its pose.

    Attributes:
        fx, fy, cx, cy: intrinsics in pixels.
        pose: (4, 4) optical frame in the base frame (x right, y down, z forward), metres.
    """

    fx: float
    fy: float
    cx: float
    cy: float
    pose: FloatArray


@dataclass
class ProbeWindows:
    """Raw sensor data around one probe, cut by stamp. `None` or an empty array: the sensor gave nothing.

    Times are seconds relative to the contact (or to the window's start where there was no contact).

    Attributes:
        color: (H, W, 3) uint8 RGB, the last picture of the window with the arm out of the way.
        depth_m: (H, W) float32, metres, 0 invalid; aligned to `color`.
        camera: geometry of both.
        thermal_times_s: (T,) and thermal_c: (T, h, w) float32 apparent temperature, degrees Celsius.
        thermal_camera: geometry of the thermal camera.
        wrench_times_s: (W,) and wrench: (W, 6) N and N m in the sensor frame, tool weight not removed.
        joint_times_s: (J,) and joint_positions: (J, 7) rad of the arm's joints.
        tip_positions_m: (J, 3) ball tip in the base frame by forward kinematics (the arm's own compliance is in it).
        sensor_rotation: (J, 3, 3) rotation of the force/torque sensor frame in the base frame.
        burst: tap burst, if any.
        spectra: spectra whose integration ended inside the window, oldest first.
        pad_times_s: (K,), pad_temperature_c: (K, 2), pad_setpoint_c: (K, 2), pad_power_w: (K, 2).
        thermal_before_c: (h, w) thermal picture of the part before its first contact, if known.
        inductive_times_s: (I,) and inductive: (I, 2) change of inductance and of resistance of the eddy-current coil
            in the warm pad, over its free reactance; raw, not yet balanced in air.
    """

    color: NDArray[np.uint8] | None = None
    depth_m: FloatArray | None = None
    camera: CameraGeometry | None = None
    thermal_times_s: FloatArray = field(default_factory=lambda: np.zeros(0))
    thermal_c: FloatArray = field(default_factory=lambda: np.zeros((0, 0, 0), np.float32))
    thermal_camera: CameraGeometry | None = None
    wrench_times_s: FloatArray = field(default_factory=lambda: np.zeros(0))
    wrench: FloatArray = field(default_factory=lambda: np.zeros((0, 6)))
    joint_times_s: FloatArray = field(default_factory=lambda: np.zeros(0))
    joint_positions: FloatArray = field(default_factory=lambda: np.zeros((0, 7)))
    tip_positions_m: FloatArray = field(default_factory=lambda: np.zeros((0, 3)))
    sensor_rotation: FloatArray = field(default_factory=lambda: np.zeros((0, 3, 3)))
    burst: TapBurst | None = None
    spectra: list[SpectrumSample] = field(default_factory=list)
    pad_times_s: FloatArray = field(default_factory=lambda: np.zeros(0))
    pad_temperature_c: FloatArray = field(default_factory=lambda: np.zeros((0, 2)))
    pad_setpoint_c: FloatArray = field(default_factory=lambda: np.zeros((0, 2)))
    pad_power_w: FloatArray = field(default_factory=lambda: np.zeros((0, 2)))
    thermal_before_c: FloatArray | None = None
    inductive_times_s: FloatArray = field(default_factory=lambda: np.zeros(0))
    inductive: FloatArray = field(default_factory=lambda: np.zeros((0, 2)))


@dataclass
class ProbeFeatures:
    """Features of one probe, in the fixed order of the feature table; NaN where nothing was measured.

    Attributes:
        primitive: what was done.
        values: modality -> (F_modality,) float32 features.
        reliability: modality -> 0 (unusable) .. 1.
        reasons: modality -> why the reliability is below 1, empty otherwise.
        execution: what the arm did.
        surface: (8, 8, C) float32 map of the surface that the visual features of a LOOK were taken from.
        crop: (64, 64, 4) uint8 picture of the part that goes with it, see `encoders.crop`; None in the batched cell.
    """

    primitive: Primitive
    values: dict[Modality, NDArray[np.float32]]
    reliability: dict[Modality, float]
    reasons: dict[Modality, str] = field(default_factory=dict)
    execution: ProbeExecution | None = None
    surface: NDArray[np.float32] | None = None
    crop: NDArray[np.uint8] | None = None
