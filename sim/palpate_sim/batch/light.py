"""Batched spectra and eddy-current readings: features of many spots at once, from the physics of the full cell."""

from __future__ import annotations

from functools import lru_cache
from types import SimpleNamespace
from typing import Any

import numpy as np

from palpate_agents.encoders.context import FeatureConfig
from palpate_agents.encoders.reflectance import MIN_FINITE, spectral_levels, spectral_reliability
from palpate_sim.backend import Array, constant, namespace, some
from palpate_sim.batch.features import Features
from palpate_sim.keyed import normal
from palpate_sim.sensors import inductive as coil
from palpate_sim.sensors.nir_physics import TABLE_REFLECTANCE, reflectance, saunderson, substrate_reflectance
from palpate_sim.sensors.spectrum import END_NM, EXTENDED_NM, SCAN_NUMBERS, WAVELENGTH_NM, scan, true_wavelength
from palpate_sim.surface import SurfaceMaps, spot_batch

OPTICS = (
    "metal", "ceramic", "nir_bands", "band_strength", "base_reflectance", "carbon_black_q", "clear_absorption_per_mm",
    "gloss", "transparency", "dimensions_m", "wall_thickness_m", "paint_transmission", "coat_reflectance",
    "coat_band_strength", "film_um",
)  # fmt: skip
"""What of a part the spectrometer sees."""
COVERS = (
    "bare_gloss", "bare_transparency", "coat_gloss", "label_reflectance", "coat_cover", "label_cover", "dirt_cover",
    "film_cover",
)  # fmt: skip
"""The same for what lies over it; a batch of whole parts may lack them."""
SPECTROMETER = ("wavelength_shift_nm", "spectral_gain", "spectral_snr", "axis_end_nm", "reference_place")
ROWS = 256
"""Spectra that are computed together on a CPU, so that what they need stays in its cache."""
DEFAULT = FeatureConfig()
_TABLE = np.array([TABLE_REFLECTANCE])


def spectrum(
    spot: Any, devices: Any, standoff_m: Array, tilt_rad: Array, keys: Array, config: FeatureConfig = DEFAULT,
    table: Array | None = None, internal: Array | None = None,
) -> Features:  # fmt: skip
    """One spectrum of each spot, as features.

    Args:
        spot: spot batch of n parts.
        devices: DeviceBatch of n.
        standoff_m: (n,) distance of the fibre, m.
        tilt_rad: (n,) its tilt against the normal.
        keys: (n,) int64, specific to seed, part and probe.
        config: grid of the model.
        table: (n,) bool, the fibre sees the grey table instead of the spot; None: nowhere.
        internal: (n, C) `body_spectrum(spot, devices, config)`, which belongs to a part, if it is known.
    """
    xp = namespace(keys)
    count = keys.shape[0]
    if count <= ROWS or xp is not np:
        return _features(spot, devices, standoff_m, tilt_rad, keys, config, table, internal)
    pieces = []
    for start in range(0, count, ROWS):
        rows = slice(start, start + ROWS)
        seen, device = _view(spot, OPTICS, COVERS, rows), _view(devices, SPECTROMETER, (), rows)
        beside = None if table is None else table[rows]
        body = None if internal is None else internal[rows]
        pieces.append(_features(seen, device, standoff_m[rows], tilt_rad[rows], keys[rows], config, beside, body))
    return Features(np.concatenate([p.values for p in pieces]), np.concatenate([p.reliability for p in pieces]))


def _view(batch: Any, names: tuple[str, ...], optional: tuple[str, ...], rows: slice) -> Any:
    """Some fields of some rows, without copies."""
    found = {name: getattr(batch, name)[rows] for name in names}
    for name in optional:
        values = getattr(batch, name, None)
        if values is not None:
            found[name] = values[rows]
    return SimpleNamespace(**found)


def _features(
    spot: Any, devices: Any, standoff_m: Array, tilt_rad: Array, keys: Array, config: FeatureConfig,
    table: Array | None = None, internal: Array | None = None,
) -> Features:  # fmt: skip
    xp = namespace(keys)
    extended, channels = config.wavelength_stop_nm > END_NM, _channels(config)
    numbers = normal(keys, "spectrum", (channels + SCAN_NUMBERS,))
    wavelength = true_wavelength(devices, channels, spot.base_reflectance)
    seen = reflectance(spot, wavelength, tilt_rad, internal)
    if table is not None and some(table):
        seen = xp.where(table[:, None], saunderson(constant(_TABLE, seen)), seen)
    reported = scan(seen, devices, standoff_m, tilt_rad, numbers).reflectance
    index, share, covered = _plan(config, channels)
    left = xp.asarray(index, device=keys.device)
    low, high = xp.take(reported, left, axis=1), xp.take(reported, left + 1, axis=1)
    values = low + constant(share, low) * (high - low)
    if extended:
        blank = (devices.axis_end_nm <= END_NM)[:, None] & xp.asarray(covered > END_NM, device=keys.device)[None, :]
        values = xp.where(blank, xp.nan, values)
        finite = xp.mean(xp.astype(xp.isfinite(values), xp.float64), axis=1)
        values = xp.where((finite >= MIN_FINITE)[:, None], values, xp.nan)
    levels, ratio = spectral_levels(values)
    reliability = spectral_reliability(ratio)
    if extended:
        reliability = xp.where(xp.isnan(levels[:, 0]), 0.0, reliability)
    return Features(xp.concat([levels, values], axis=1), reliability)


def body_spectrum(parts: Any, devices: Any, config: FeatureConfig = DEFAULT) -> Array:
    """(n, C) what the bodies of n parts reflect inside at the channels of their spectrometers."""
    return substrate_reflectance(parts, true_wavelength(devices, _channels(config), parts.base_reflectance))


def _channels(config: FeatureConfig) -> int:
    return len(EXTENDED_NM) if config.wavelength_stop_nm > END_NM else len(WAVELENGTH_NM)


@lru_cache(maxsize=8)
def _plan(config: FeatureConfig, channels: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where the model's grid lies between the channels: (G,) channel on its left, share of the next one, wavelength.

    Held constant beyond the axis, as `np.interp` does.
    """
    grid = config.wavelength_nm
    place = np.clip((grid - EXTENDED_NM[0]) / (EXTENDED_NM[1] - EXTENDED_NM[0]), 0.0, channels - 1.0)
    index = np.minimum(np.floor(place).astype(np.int64), channels - 2)
    return index, place - index, grid


def inductive_touch(parts: Any, maps: SurfaceMaps, uv_m: Array, devices: Any, keys: Array) -> Features:
    """What the eddy-current coil in the warm pad reads of parts while it touches them.

    Args:
        parts: n parts, bare as drawn.
        maps: their surfaces.
        uv_m: (n, 2) middle of the pad, m, part's frame.
        devices: DeviceBatch of n.
        keys: (n,) int64, specific to seed, part and probe.

    Returns:
        columns of `palpate_agents.encoders.inductive.NAMES`.
    """
    spot = spot_batch(parts, maps, uv_m, coil.FOOTPRINT_M, optics=False, stiffness=False)
    values = inductive(spot, devices, keys)
    return Features(values, 0.0 * values[:, 0] + 1.0)


def inductive(spot: Any, devices: Any, keys: Array) -> Array:
    """(n, 2) normalised change of inductance and of resistance of the eddy-current tip on each spot.

    Args:
        spot: spot batch of n parts.
        devices: DeviceBatch of n; the tip has no individual errors, it is balanced in air before each touch.
        keys: (n,) int64, specific to seed, part and probe.
    """
    del devices
    return coil.reading(spot, normal(keys, "inductive", (coil.NUMBERS,)))
