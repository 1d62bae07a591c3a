"""The NIR spectrometer: raw counts of a DLP scanner with its fibre, and reflectance over a dark and a white reference.

What a spot reflects is in `nir_physics`. The device adds geometry (stand-off, tilt), its lamp and detector, dark level,
noise, saturation, the noise of its two references (one set per device, the same in all its scans), an error of its
wavelength axis and one of its gain. The usual device ends at 1700 nm and loses the strongest C-H bands of PE and PVC;
one with an extended detector (`axis_end_nm` 2150) has the same channels and more. See `docs/physics.md`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from palpate_sim.backend import Array, constant, integers, kept, namespace
from palpate_sim.sensors.nir_physics import (
    TABLE_REFLECTANCE,
    kubelka_munk,
    kubelka_munk_inverse,
    reflectance,
    saunderson,
    saunderson_inverse,
)

__all__ = [
    "EXTENDED_NM", "TABLE_REFLECTANCE", "WAVELENGTH_NM", "Scan", "axis_of", "kubelka_munk", "kubelka_munk_inverse",
    "measure", "measure_table", "noise_shape", "reflectance", "saunderson", "saunderson_inverse", "scan",
    "spot_radius_m",
]  # fmt: skip

WAVELENGTH_NM: NDArray[np.float64] = np.linspace(900.0, 1700.0, 228)
"""Reported axis: 228 channels of a DLP NIR scanner."""
END_NM, EXTENDED_END_NM = 1700.0, 2150.0
EXTENDED_NM: NDArray[np.float64] = 900.0 + (WAVELENGTH_NM[1] - WAVELENGTH_NM[0]) * np.arange(356)
"""Axis of a device with an extended detector: the channels of the usual one, and 128 more, to 2151 nm."""

NOMINAL_STANDOFF_M = 0.010
RANGE_M = 0.06
"""A collimating head on the fibre: a quarter of the light is left at 0.1 m; assumed."""

SPOT_M, SPOT_SPREAD = 0.004, 0.35
"""Diameter of what the fibre sees at its tip, and how it grows with the stand-off; assumed."""

FULL_SCALE = 65535.0  # counts at which the detector's converter ends
WHITE_SHARE = 0.6  # of full scale, where the white reference peaks after the exposure was set; assumed
DARK_SHARE = 0.02  # of full scale without light; assumed
DARK_DRIFT = 2e-4  # of the white's counts, standard deviation since the dark reference was taken; assumed
REFERENCE_SCANS = 16  # averaged for each reference; assumed
LEVEL_SCATTER, TILT_SCATTER = 0.02, 0.01  # between two placements of the fibre; assumed
SCAN_NUMBERS = 3
"""Standard normal numbers of a scan beside those of its channels: level, tilt, dark drift."""
_PLACES = 1 << 14


class Scan(NamedTuple):
    """Counts of a scan and of the two references, each (N, C)."""

    counts: Array
    dark: Array
    white: Array

    @property
    def reflectance(self) -> Array:
        """(N, C), 1 = white reference."""
        return (self.counts - self.dark) / (self.white - self.dark)


def axis_of(axis_end_nm: float) -> NDArray[np.float64]:
    """(C,) reported axis of a device, nm."""
    return EXTENDED_NM if axis_end_nm > END_NM else WAVELENGTH_NM


def spot_radius_m(standoff_m: Array | float) -> Any:
    """Radius of the spot that the fibre sees from a distance, m, for `surface.spot_batch`."""
    return 0.5 * (SPOT_M + SPOT_SPREAD * standoff_m)


def noise_shape(wavelength_nm: Array, axis_end_nm: float = END_NM) -> Array:
    """(C,) noise over that at mid range: detector and lamp fade over the last 100 nm at both ends; assumed."""
    end = np.maximum((1000.0 - wavelength_nm) / 100.0, (wavelength_nm - axis_end_nm + 100.0) / 100.0)
    return 1.0 + 1.5 * np.clip(end, 0.0, 1.0) ** 2


@lru_cache(maxsize=4)
def _response(channels: int) -> NDArray[np.float64]:
    """(2, C) counts of a white tile over their peak, for the usual device and for the extended one."""
    axis = EXTENDED_NM[:channels]
    return np.stack([1.0 / noise_shape(axis, end) for end in (END_NM, EXTENDED_END_NM)])


@lru_cache(maxsize=1)
def _reference_noise() -> NDArray[np.float64]:
    """A fixed run of standard normal numbers; a device's two references begin at two places of it."""
    numbers = np.random.default_rng(1).permutation(ndtri((np.arange(_PLACES) + 0.5) / _PLACES))
    return np.concatenate([numbers, numbers[: len(EXTENDED_NM)]])


def _column(value: Array | float) -> Array | float:
    """A device's number, or (N, 1) of many devices."""
    return value if isinstance(value, float | int) or value.ndim == 0 else value[:, None]


def true_wavelength(devices: Any, channels: int, like: Array) -> Array:
    """(C,) of one device or (N, C) of many: where the channels really look, nm."""
    return constant(EXTENDED_NM[:channels], like) + _column(devices.wavelength_shift_nm)


def scan(seen: Array, devices: Any, standoff_m: Array | float, angle_rad: Array | float, numbers: Array) -> Scan:
    """Raw counts of a noiseless reflectance, and the references of the device.

    Noise is the detector's: the same in all channels and at all levels, a dark detector included.

    Args:
        seen: (N, C) at the true wavelengths.
        devices: one for all, or N of them.
        standoff_m: distance of the fibre, one or (N,), m; light falls off over `RANGE_M`.
        angle_rad: tilt of the fibre against the normal, one or (N,).
        numbers: (N, C + SCAN_NUMBERS) standard normal.
    """
    xp = namespace(seen)
    channels = seen.shape[1]
    falloff = (1.0 + (NOMINAL_STANDOFF_M / RANGE_M) ** 2) / (1.0 + (constant(standoff_m, seen) / RANGE_M) ** 2)
    level = falloff * xp.cos(constant(angle_rad, seen)) * (1.0 + LEVEL_SCATTER * numbers[:, channels])
    level = level * devices.spectral_gain
    tilt = constant((EXTENDED_NM[:channels] - 1300.0) / 400.0, seen) * TILT_SCATTER
    shape = level[:, None] + (level * numbers[:, channels + 1])[:, None] * tilt
    response = constant(_response(channels), seen)
    end = devices.axis_end_nm
    lamp = response[int(end > END_NM)] if isinstance(end, float | int) else response[integers(end > END_NM)]
    peak, dark = WHITE_SHARE * FULL_SCALE, DARK_SHARE * FULL_SCALE
    noise = peak / _column(devices.spectral_snr)
    drift = dark + peak * DARK_DRIFT * numbers[:, channels + 2]
    lamp = peak * lamp
    counts = drift[:, None] + lamp * shape * seen + noise * numbers[:, :channels]
    dark_noise, white_noise = _reference_numbers(devices, channels, seen)
    of_mean = noise / REFERENCE_SCANS**0.5
    # maximum and minimum: a clip costs five times as much on the short arrays of one scan
    counts = xp.minimum(xp.maximum(counts, constant(0.0, counts)), constant(FULL_SCALE, counts))
    return Scan(counts, dark + of_mean * dark_noise, (lamp + dark) + of_mean * white_noise)


def _reference_numbers(devices: Any, channels: int, like: Array) -> tuple[Array, Array]:
    """Standard normal numbers of the dark and of the white reference, each (C,) of one device or (N, C)."""
    table, place = kept("reference noise", _reference_noise(), like), devices.reference_place * _PLACES
    if isinstance(place, float | int):
        first, second = int(place), int(place % 1.0 * _PLACES)
        return table[first : first + channels], table[second : second + channels]
    xp = namespace(place)
    along = xp.arange(channels, device=place.device)[None, :]
    first, second = integers(place), integers(place % 1.0 * _PLACES)
    return table[first[:, None] + along], table[second[:, None] + along]


def measure(
    batch: Any, devices: Any, standoff_m: Array | float, angle_rad: Array | float, rng: np.random.Generator
) -> Array:
    """One scan of each part, on the device's axis (`axis_of(devices.axis_end_nm)`).

    Args:
        batch: N parts or spots.
        devices: the spectrometer, one for all.
        standoff_m: as for `scan`.
        angle_rad: as for `scan`.
        rng: noise.

    Returns:
        (N, C) reflectance, 1 = white tile at the nominal stand-off.
    """
    channels = len(axis_of(devices.axis_end_nm))
    wavelength = true_wavelength(devices, channels, batch.base_reflectance)
    seen = reflectance(batch, wavelength, angle_rad)
    return _reported(seen, devices, standoff_m, angle_rad, rng)


def measure_table(devices: Any, standoff_m: float, angle_rad: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """(C,) one scan of the grey table, which has no bands; arguments as for `measure`."""
    seen = np.full((1, len(axis_of(devices.axis_end_nm))), saunderson(TABLE_REFLECTANCE))
    return _reported(seen, devices, standoff_m, angle_rad, rng)[0]


def _reported(
    seen: Array, devices: Any, standoff_m: Array | float, angle_rad: Array | float, rng: np.random.Generator
) -> Array:
    numbers = rng.standard_normal((seen.shape[0], seen.shape[1] + SCAN_NUMBERS))
    return scan(seen, devices, standoff_m, angle_rad, numbers).reflectance
