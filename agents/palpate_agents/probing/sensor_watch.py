"""Which sensors can be believed: frozen ones and ones at a wrong rate are taken out, and what is wrong is remembered.

A sensor that repeats an old reading, or samples at a rate that the features were not made for, delivers data that look
good. It is found here, before features are computed: what it gave is taken out of the window, as if it were dead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palpate_agents.encoders.visual import NOT_MEASURED
from palpate_agents.observation import (
    FloatArray,
    Modality,
    Outcome,
    Primitive,
    ProbeExecution,
    ProbeFeatures,
    ProbeWindows,
)

FROZEN_NS = 2_000_000_000
"""A reading that is equal in every number to one so long ago is old: noise never repeats. A thermal camera that closes
its shutter stands still for less."""
MIN_TAP_RATE_HZ = 50_000.0
"""Steel touches for 150 us (PHYSICS.md): a slower accelerometer does not see the pulse."""
WRENCH_RATE_HZ = (400.0, 2000.0)
"""Filters and guard times of the tactile features are counted in samples of 1 kHz."""
_PAD_FIELDS = ("temperature_c", "setpoint_c", "power_w")
NEVER_MEASURED = "no probe has measured it so far"

SensorState = tuple[float, str]
"""Reliability 0..1, and why it is below 1."""
Finding = tuple[Modality, dict[str, Any], str]
"""Modality, fields of the window that lose what they hold, and why; empty: nothing is wrong."""


class SensorWatch:
    """Remembers, over all parts, what each sensor gave last."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[NDArray[Any], int]] = {}

    def check(self, execution: ProbeExecution, windows: ProbeWindows) -> tuple[ProbeWindows, dict[Modality, str]]:
        """Takes out what cannot be believed.

        Args:
            execution: what the arm did.
            windows: raw sensor data around it; left as they are.

        Returns:
            the windows without it, and for each modality that lost something, why.
        """
        now = execution.window_end_ns
        checks = (
            self._camera(windows, now),
            self._heat(execution, windows, now),
            self._spectra(windows, now),
            self._touch(windows, now),
        )
        out: dict[str, Any] = {}
        faults: dict[Modality, str] = {}
        for modality, lost, why in checks:
            if why:
                out |= lost
                faults[modality] = why
        return (replace(windows, **out) if out else windows), faults

    def _camera(self, windows: ProbeWindows, now: int) -> Finding:
        age = max(self._age("colour", windows.color, now), self._age("depth", windows.depth_m, now))
        why, depth = _stale("picture", age), windows.depth_m
        if not why and depth is not None and not (depth > 0).any():
            why = "NaN: no pixel of the depth picture holds a distance"
        return Modality.VISUAL, {"color": None, "depth_m": None}, why

    def _heat(self, execution: ProbeExecution, windows: ProbeWindows, now: int) -> Finding:
        lost: dict[str, Any] = {}
        frames, reasons = windows.thermal_c, []
        age = self._age("thermal", frames[-1] if frames.ndim == 3 and len(frames) else None, now)
        if age:
            lost |= {"thermal_c": np.zeros((0, 0, 0), np.float32), "thermal_times_s": np.zeros(0)}
            reasons.append(_stale("thermal picture", age))
        pad = _pad_fault(execution, windows)
        if pad:
            lost |= {"pad_times_s": np.zeros(0)} | {f"pad_{name}": np.zeros((0, 2)) for name in _PAD_FIELDS}
            reasons.append(pad)
        return Modality.THERMAL, lost, "; ".join(reasons)

    def _spectra(self, windows: ProbeWindows, now: int) -> Finding:
        age = self._age("spectrum", windows.spectra[-1].values if windows.spectra else None, now)
        return Modality.SPECTRAL, {"spectra": []}, _stale("spectrum", age)

    def _touch(self, windows: ProbeWindows, now: int) -> Finding:
        burst = windows.burst
        if burst is not None:
            age = self._age("burst", burst.acceleration_m_s2, now)
            why = _stale("tap burst", age)
            if not why and not burst.sample_rate_hz >= 0.99 * MIN_TAP_RATE_HZ:
                why = (
                    f"wrong sample rate: the tap burst has {burst.sample_rate_hz:g} Hz, at least {MIN_TAP_RATE_HZ:g} "
                    "Hz are needed (set the accelerometer's rate)"
                )
            if why:
                return Modality.TACTILE, {"burst": None}, why
        rate = sample_rate_hz(windows.wrench_times_s)
        low, high = WRENCH_RATE_HZ
        why = ""
        if np.isfinite(rate) and not low <= rate <= high:
            why = (
                f"wrong sample rate: the wrench has {rate:.0f} Hz, {low:g} to {high:g} Hz are needed (set the "
                "force/torque sensor's rate)"
            )
        return Modality.TACTILE, {"wrench_times_s": np.zeros(0), "wrench": np.zeros((0, 6))}, why

    def _age(self, name: str, reading: NDArray[Any] | None, now: int) -> float:
        """Seconds for which a reading has been the same, 0 while it may still be new."""
        if reading is None or not np.isfinite(reading).any():
            return 0.0
        before = self._last.get(name)
        nan = np.asarray(reading).dtype != np.uint8  # NumPy looks for NaN in bytes too: 1 ms on a picture
        if before is None or now < before[1] or not np.array_equal(before[0], reading, equal_nan=nan):
            self._last[name] = (np.array(reading), now)
            return 0.0
        return (now - before[1]) / 1e9 if now - before[1] > FROZEN_NS else 0.0


def sample_rate_hz(times_s: FloatArray) -> float:
    """Samples per second of (W,) times, by their median distance: gaps do not count; NaN for less than 3 samples."""
    steps = np.diff(np.asarray(times_s, np.float64))
    steps = steps[np.isfinite(steps) & (steps > 0)]
    return float(1.0 / np.median(steps)) if len(steps) >= 2 else float("nan")


def with_faults(features: ProbeFeatures, faults: dict[Modality, str]) -> ProbeFeatures:
    """Features whose reasons name the fault of the sensor instead of what follows from it ("missing")."""
    found = {
        m: why for m, why in faults.items()
        if features.reliability.get(m, 0.0) < 1.0 and features.reasons.get(m) != NOT_MEASURED
    }  # fmt: skip
    return replace(features, reasons={**features.reasons, **found}) if found else features


def sensor_states(probe: ProbeFeatures) -> dict[Modality, SensorState]:
    """Reliability and reason of what a probe should have measured; nothing of a probe that failed."""
    done = probe.execution is None or probe.execution.outcome in (Outcome.SUCCEEDED, Outcome.FORCE_LIMIT)
    return {
        m: (probe.reliability.get(m, 0.0), why)
        for m, why in probe.reasons.items()
        if done and why != NOT_MEASURED
    }  # fmt: skip


def newest_reasons(probes: Sequence[ProbeFeatures]) -> dict[Modality, str]:
    """Per modality the newest reason for a reliability below 1; empty where every probe was fully reliable."""
    found = dict.fromkeys(Modality, NEVER_MEASURED)
    for probe in probes:
        for m, why in probe.reasons.items():
            if why != NOT_MEASURED and (why or found[m] == NEVER_MEASURED):
                found[m] = why
    return found


def _pad_fault(execution: ProbeExecution, windows: ProbeWindows) -> str:
    """A pad that touches a part cools or warms by more than its thermistor resolves."""
    pads = np.asarray(windows.pad_temperature_c, np.float64)
    if execution.primitive is not Primitive.DWELL or execution.contact_time_ns == 0 or pads.ndim != 2 or len(pads) < 5:
        return ""
    column = pads[:, min(execution.pad_index, pads.shape[1] - 1)]
    if not np.isfinite(column).any():
        return "NaN: no temperature of the warm pad is finite"
    frozen = np.isfinite(column).all() and np.ptp(column) == 0.0
    return "stale: the temperature of the warm pad never changed in contact" if frozen else ""


def _stale(what: str, age_s: float) -> str:
    return f"stale: the {what} has been the same for {age_s:.0f} s" if age_s else ""
