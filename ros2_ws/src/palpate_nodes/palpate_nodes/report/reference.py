"""What a spectrum should look like: the catalogue's materials through the simulation's optics, or the other items.

Within the range of the simulated spectrometer a catalogue material has a reference: median and spread over clean parts
drawn from the documented distributions, seen by a nominal device. Elsewhere (measured data with other ranges and
labels) the reference is the mean of the other objects of the same label in the session.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from palpate_agents.materials import MATERIALS

_DRAWS = 48
_RANGE_NM = (880.0, 1720.0)


@dataclass(frozen=True)
class Reference:
    """Reference reflectance (C,) with the spread (10th to 90th percentile) of clean parts; `source` in words."""

    median: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    source: str


def catalogue_reference(material: str, wavelength_nm: NDArray) -> Reference | None:
    """Reference of a catalogue material at (C,) wavelengths; None where there is none."""
    inside = wavelength_nm.size > 1 and wavelength_nm[0] >= _RANGE_NM[0] and wavelength_nm[-1] <= _RANGE_NM[1]
    if not inside or material not in MATERIALS:
        return None
    return _simulated(material, tuple(np.asarray(wavelength_nm, float).tolist()))


@lru_cache(maxsize=64)
def _simulated(material: str, wavelength_nm: tuple[float, ...]) -> Reference:
    from palpate_sim.keyed import keys_of
    from palpate_sim.objects import draw_parts
    from palpate_sim.sensors.spectrum import reflectance

    keys = keys_of(MATERIALS.index(material), range(_DRAWS))  # the same reference in every report
    seen = reflectance(draw_parts(keys, material, "clean"), np.array(wavelength_nm))
    low, median, high = np.percentile(seen, [10.0, 50.0, 90.0], axis=0)
    return Reference(median, low, high, "clean parts of the catalogue's material, nominal device")


def session_reference(spectra: list[NDArray], label: str) -> Reference | None:
    """Reference from (C,) spectra of other objects of one label; None without any."""
    if not spectra:
        return None
    stack = np.stack(spectra)
    low, high = np.percentile(stack, [10.0, 90.0], axis=0)
    return Reference(stack.mean(axis=0), low, high, f"mean of {len(spectra)} spectra of other items of {label}")


def scaled_to(reference: Reference, measured: NDArray) -> tuple[Reference, float]:
    """The reference times the factor that brings it closest to (C,) measured values, and that factor."""
    power = float(np.dot(reference.median, reference.median))
    factor = float(np.dot(reference.median, measured)) / power if power > 0.0 else 1.0
    scaled = Reference(reference.median * factor, reference.low * factor, reference.high * factor, reference.source)
    return scaled, factor
