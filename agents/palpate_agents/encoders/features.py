"""Raw windows of one probe -> features of fixed length per modality, with a reliability and its reason.

Every column has its unit in its name. A feature that was not measured is NaN; a modality that is missing, stale,
saturated, of the wrong length or from a failed probe has a low reliability and says why. Nothing here raises on data.
NumPy and OpenCV only, 2 to 6 ms for a LOOK and less than 1 ms for the others.

    context = context.after(execution, windows)     # segmentation, tool weight, first thermal picture
    features = extract(execution, windows, context)
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from palpate_agents.encoders import inductive, tactile, thermal, visual
from palpate_agents.encoders.context import FeatureConfig, PartContext
from palpate_agents.encoders.crop import crop_of
from palpate_agents.encoders.reading import Reading, Unusable
from palpate_agents.encoders.reflectance import extract_spectral, measures_spectrum, spectral_names
from palpate_agents.encoders.visual import NOT_MEASURED
from palpate_agents.observation import Modality, Primitive, ProbeExecution, ProbeFeatures, ProbeWindows

__all__ = [
    "FEATURE_NAMES", "FEATURE_VERSION", "NOT_MEASURED", "FeatureConfig", "PartContext", "expected", "extract",
    "feature_names", "flatten", "mean_reliabilities", "summarise",
]  # fmt: skip

FEATURE_VERSION = "4"
"""Raised with every change of a feature's meaning, name or order; a model of another version is refused."""

_EXPECTED: dict[Primitive, tuple[Modality, ...]] = {
    Primitive.LOOK: (Modality.VISUAL, Modality.SPECTRAL, Modality.THERMAL),
    Primitive.PRESS: (Modality.TACTILE,),
    Primitive.TAP: (Modality.TACTILE,),
    Primitive.SLIDE: (Modality.TACTILE,),
    Primitive.DWELL: (Modality.THERMAL,),
    Primitive.LIFT: (Modality.TACTILE,),
    Primitive.PLACE: (),
    Primitive.WIPE: (),
    Primitive.SCRATCH: (),
}


def expected(execution: ProbeExecution) -> tuple[Modality, ...]:
    """What a probe should measure; anything else that happens to be in its window is a bonus."""
    modalities = _EXPECTED[execution.primitive]
    if execution.primitive is Primitive.LOOK and not measures_spectrum(execution):
        return tuple(m for m in modalities if m is not Modality.SPECTRAL)
    return modalities


def feature_names(config: FeatureConfig) -> dict[Modality, tuple[str, ...]]:
    """Column names of every modality for a model's configuration."""
    return {
        Modality.VISUAL: visual.NAMES,
        Modality.TACTILE: tactile.NAMES,
        Modality.SPECTRAL: spectral_names(config),
        Modality.THERMAL: thermal.NAMES,
        Modality.INDUCTIVE: inductive.NAMES,
    }


FEATURE_NAMES: dict[Modality, tuple[str, ...]] = feature_names(FeatureConfig())
"""Column names for the default configuration."""

_EXTRACTORS = {
    Modality.VISUAL: visual.extract_visual,
    Modality.TACTILE: tactile.extract_tactile,
    Modality.SPECTRAL: extract_spectral,
    Modality.THERMAL: thermal.extract_thermal,
    Modality.INDUCTIVE: inductive.extract_inductive,
}


def extract(execution: ProbeExecution, windows: ProbeWindows, context: PartContext) -> ProbeFeatures:
    """Features of one probe.

    Args:
        execution: what the arm did.
        windows: raw sensor data around it.
        context: what earlier probes told, already brought up to date by `context.after(execution, windows)`.

    Returns:
        Features with reliabilities in 0..1 and reasons.
    """
    names = feature_names(context.config)
    readings: dict[Modality, Reading] = {}
    for modality, extractor in _EXTRACTORS.items():
        try:
            with np.errstate(all="ignore"):
                readings[modality] = extractor(execution, windows, context)
        except Unusable as unusable:
            readings[modality] = _nothing(len(names[modality]), str(unusable))
        except (ValueError, IndexError, TypeError, np.linalg.LinAlgError, cv2.error) as error:
            # A device may deliver anything; one bad array must cost one modality of one probe, not the part.
            readings[modality] = _nothing(len(names[modality]), f"malformed data: {error}")
    surface, crop = _pictures(execution, readings[Modality.VISUAL], windows, context)
    return ProbeFeatures(
        primitive=execution.primitive,
        values={m: r.values for m, r in readings.items()},
        reliability={m: r.reliability for m, r in readings.items()},
        reasons={m: r.reason for m, r in readings.items()},
        execution=execution,
        surface=surface,
        crop=crop,
    )


def _pictures(
    execution: ProbeExecution, visual_reading: Reading, windows: ProbeWindows, context: PartContext
) -> tuple[NDArray[np.float32] | None, NDArray[np.uint8] | None]:
    """Surface map of a LOOK whose picture is of use, and of an overview a crop; None otherwise.

    Networks are trained with crops of overviews alone: one of a later look would be something that they never met.
    """
    if visual_reading.reliability <= 0.0 or context.view is None or context.surface is None:
        return None, None
    if measures_spectrum(execution):
        return context.surface.values, None
    try:
        return context.surface.values, crop_of(context.view, windows)
    except (Unusable, ValueError, IndexError, cv2.error):
        return context.surface.values, None


def _nothing(length: int, reason: str) -> Reading:
    return Reading(np.full(length, np.nan, np.float32), 0.0, reason)


def mean_reliabilities(probes: Sequence[ProbeFeatures]) -> dict[Modality, float]:
    """Mean reliability of each modality over the probes that should have measured it; 0 when none did so far."""
    result = {}
    for modality in Modality:
        values = [
            p.reliability.get(modality, 0.0)
            for p in probes
            if p.reliability.get(modality, 0.0) > 0 or (p.execution is not None and modality in expected(p.execution))
        ]
        result[modality] = float(np.mean(values)) if values else 0.0
    return result


def flatten(features: ProbeFeatures, config: FeatureConfig) -> tuple[list[str], NDArray[np.float32]]:
    """All features as one list of names (`modality/name`) and one float32 array, for messages and tables."""
    names, values = [], []
    for modality, columns in feature_names(config).items():
        names += [f"{modality.value}/{column}" for column in columns]
        values.append(features.values[modality])
    return names, np.concatenate(values).astype(np.float32)


def summarise(features: ProbeFeatures) -> str:
    """One line for logs: what was measured and what was not reliable."""
    parts = []
    for modality in Modality:
        reason = features.reasons.get(modality, "")
        if reason == NOT_MEASURED:
            continue
        reliability = features.reliability.get(modality, 0.0)
        parts.append(f"{modality.value} {reliability:.2f}" + (f" ({reason})" if reason else ""))
    return f"{features.primitive.name.lower()}: " + ", ".join(parts)
