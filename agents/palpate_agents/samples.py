"""What a device delivers: one stamped record per acquisition. Simulation, recordings and drivers all produce these.

`stamp_ns` is the acquisition time on the cell's clock, in nanoseconds; never the time of publishing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from palpate_agents.observation import CameraGeometry, FloatArray, ProbeExecution, SpectrumSample, TapBurst


@dataclass(frozen=True)
class Sample:
    """Base of all records."""

    stamp_ns: int


@dataclass(frozen=True)
class RgbdFrame(Sample):
    """Colour (H, W, 3) uint8 RGB and aligned depth (H, W) uint16 millimetres (0 invalid), with their geometry."""

    color: NDArray[np.uint8]
    depth_mm: NDArray[np.uint16]
    camera: CameraGeometry


@dataclass(frozen=True)
class ThermalFrame(Sample):
    """Radiometric picture (h, w) float32, apparent temperature in degrees Celsius, with its geometry."""

    celsius: NDArray[np.float32]
    camera: CameraGeometry


@dataclass(frozen=True)
class Wrench(Sample):
    """(6,) fx fy fz in N, tx ty tz in N m, sensor frame, raw (tool weight and bias included)."""

    wrench: FloatArray


@dataclass(frozen=True)
class Joints(Sample):
    """Joint names and (J,) position rad (fingers: m), velocity rad/s, effort N m."""

    names: tuple[str, ...]
    position: FloatArray
    velocity: FloatArray
    effort: FloatArray


@dataclass(frozen=True)
class Burst(Sample):
    """One tap; `stamp_ns` is the time of its first sample."""

    burst: TapBurst


@dataclass(frozen=True)
class Spectrum(Sample):
    """One spectrum; `stamp_ns` is the end of the integration."""

    spectrum: SpectrumSample
    device_serial: str = ""
    integration_time_s: float = 0.0
    scans_averaged: int = 1


@dataclass(frozen=True)
class HeatedTipState(Sample):
    """Both warm pads: (2,) set and true temperature in degrees Celsius, (2,) power in W, (2,) cut-off tripped."""

    setpoint_c: FloatArray
    temperature_c: FloatArray
    power_w: FloatArray
    cut_off: NDArray[np.bool_]


@dataclass(frozen=True)
class Inductive(Sample):
    """Both eddy-current coils behind the caps of the warm pads, raw: the drifting value in air is not taken off.

    Excitation in Hz, (2,) change of reactance and (2,) of resistance over the free coil's reactance; -1, 1: full scale.
    """

    frequency_hz: float
    inductance_change: FloatArray
    resistance_change: FloatArray


@dataclass(frozen=True)
class JointPath(Sample):
    """A joint trajectory that was sent: names, (P, J) positions in rad, (P,) times from its start in s."""

    names: tuple[str, ...]
    positions: FloatArray
    times_s: FloatArray


@dataclass(frozen=True)
class Execution(Sample):
    """The arm finished a probe; `index` is the number of the probe on the part."""

    session_id: str
    part_id: str
    index: int
    execution: ProbeExecution
