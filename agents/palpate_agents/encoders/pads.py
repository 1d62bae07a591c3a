"""How far a warm pad's face cooled on a part: what a DWELL's heated-tip states say."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from palpate_agents.encoders.reading import Unusable
from palpate_agents.observation import FloatArray, ProbeExecution, ProbeWindows

LATE_S = 0.02
"""The touch is detected a few milliseconds late: a reading this close before it may already have dipped."""
SETTLED_S = 0.4
MAX_GAP_S = 0.5
"""The pads report at 10 Hz."""


class PadTouch(NamedTuple):
    """One warm touch.

    Attributes:
        pad_index: which pad.
        start_c: its face before, degrees Celsius; level_c: mean of its face once the first fall is over.
        times_s: (K,) since the touch; face_c, power_w: (K,) of that pad (power NaN where unknown).
        before, held: (K,) bool, readings before the touch and while it lasted.
    """

    pad_index: int
    start_c: float
    level_c: float
    times_s: FloatArray
    face_c: FloatArray
    power_w: FloatArray
    before: np.ndarray
    held: np.ndarray


def pad_touch(execution: ProbeExecution, windows: ProbeWindows) -> PadTouch:
    """Reads the states of the pad that touched.

    Raises:
        Unusable: states are missing, stale, or too few.
    """
    times = np.asarray(windows.pad_times_s, np.float64)
    faces, powers = np.asarray(windows.pad_temperature_c, np.float64), np.asarray(windows.pad_power_w, np.float64)
    pad = execution.pad_index
    if not len(times) or faces.ndim != 2 or len(faces) != len(times) or not 0 <= pad < faces.shape[1]:
        raise Unusable("missing: no pad temperatures")
    good = np.isfinite(times) & np.isfinite(faces[:, pad])
    times, face = times[good], faces[good, pad]
    power = powers[good, pad] if powers.shape == faces.shape else np.full(len(times), np.nan)
    before = times < -LATE_S
    held = (times > 0.0) & (times <= execution.dwell_s + 1e-6)
    if not before.any() or held.sum() < 4:
        raise Unusable(f"{before.sum()} pad readings before and {held.sum()} in contact, 1 and 4 are needed")
    if np.diff(times[times <= execution.dwell_s]).max(initial=0.0) > MAX_GAP_S:
        raise Unusable(f"stale: more than {MAX_GAP_S:g} s between pad readings")
    settled = held & (times > SETTLED_S)
    level = face[settled].mean() if settled.any() else face[held][-1]
    return PadTouch(pad, float(face[before][-5:].mean()), float(level), times, face, power, before, held)
