"""Spectral features: the reflectance on the model's grid, its level, and how blind the spectrometer was.

The network's `SpectralEncoder` reads the shape; level, slope and noise say how much the shape is worth (a black part
reflects 2 to 5 % without bands: its spectrum is reliable as a level and blind as a fingerprint).
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from palpate_agents.arrays import namespace
from palpate_agents.encoders.context import FeatureConfig, PartContext
from palpate_agents.encoders.reading import Reading, Unusable
from palpate_agents.encoders.visual import NOT_MEASURED
from palpate_agents.observation import FloatArray, Primitive, ProbeExecution, ProbeWindows, SpectrumSample

LEVEL_NAMES: tuple[str, ...] = (
    "log10_mean_reflectance", "log10_peak_reflectance", "slope_fraction", "contrast_fraction",
    "log10_noise", "log10_structure_over_noise",
)  # fmt: skip
MIN_FINITE = 0.8
MIN_CHANNELS = 8
MAX_REFLECTANCE = 100.0
"""A mirror seen by a fibre can exceed the white reference, but not by this."""
BLIND_RATIO = 3.0
"""Structure over noise at which the shape is half lost."""


def spectral_names(config: FeatureConfig) -> tuple[str, ...]:
    """Level features, then one reflectance per grid point."""
    return LEVEL_NAMES + tuple(f"reflectance_{w:g}nm" for w in config.wavelength_nm)


def extract_spectral(execution: ProbeExecution, windows: ProbeWindows, context: PartContext) -> Reading:
    """Features of the mean of the window's usable spectra."""
    config = context.config
    if not windows.spectra:
        raise Unusable("missing: no spectrum in the window" if measures_spectrum(execution) else NOT_MEASURED)
    resampled: list[FloatArray] = []
    reasons: list[str] = []
    for sample in windows.spectra:
        try:
            values, why = resample(sample, config)
        except Unusable as unusable:
            why = str(unusable)
        else:
            resampled.append(values)
        reasons.append(why)
    if not resampled:
        raise Unusable(reasons[-1])
    with np.errstate(invalid="ignore"):
        spectrum = np.mean(resampled, axis=0) if len(resampled) > 1 else resampled[0]
    levels, ratios = spectral_levels(spectrum[None])
    ratio = float(ratios[0])
    saturated = any(why.startswith("saturated") for why in reasons)
    reliability = spectral_reliability(ratio) * (0.3 if saturated else 1.0)
    reason = next((why for why in reasons if why), "")
    if blindness(ratio) > 0.5:
        reason = reason or f"blind: bands are {ratio:.1f} times the noise"
    values = np.concatenate([levels[0], spectrum]).astype(np.float32)
    return Reading(values, float(reliability), reason)


def measures_spectrum(execution: ProbeExecution) -> bool:
    """True for a LOOK at a point; a LOOK at no point (all zero) is an overview, without a spectrum."""
    return execution.primitive is Primitive.LOOK and any(execution.contact_point_m)


def resample(sample: SpectrumSample, config: FeatureConfig) -> tuple[FloatArray, str]:
    """A spectrum on the model's grid.

    Returns:
        (C,) values (NaN where the device measured nothing near), and what is doubtful about them.

    Raises:
        Unusable: wrong length, too many NaN, counts instead of reflectance, or another wavelength range.
    """
    wavelength, values = np.asarray(sample.wavelength_nm, np.float64), np.asarray(sample.values, np.float64)
    _check_axis(wavelength, values)
    if not sample.is_reflectance and not config.accept_counts:
        raise Unusable("raw counts: the model needs reflectance (take a dark and a white reference)")
    finite = np.isfinite(values)
    if finite.mean() < MIN_FINITE:
        raise Unusable(f"NaN: {1 - finite.mean():.0%} of the channels are not finite")
    reason = "" if finite.all() else f"NaN: {(~finite).sum()} channels were filled from their neighbours"
    x, y = wavelength[finite], values[finite]
    if sample.is_reflectance and np.abs(y).max() > MAX_REFLECTANCE:
        raise Unusable(f"reflectance of {np.abs(y).max():.3g} is impossible")
    grid = config.wavelength_nm
    out = np.interp(grid, x, y)
    right = np.clip(np.searchsorted(x, grid), 1, len(x) - 1)
    nearest = np.minimum(np.abs(grid - x[right - 1]), np.abs(grid - x[right]))
    out[nearest > max(2.5 * float(np.median(np.diff(wavelength))), config.wavelength_step_nm)] = np.nan
    share = np.isfinite(out).mean()
    if share < MIN_FINITE:
        raise Unusable(
            f"wavelengths {wavelength[0]:.0f}-{wavelength[-1]:.0f} nm cover {share:.0%} of the model's "
            f"{grid[0]:.0f}-{grid[-1]:.0f} nm"
        )
    if sample.saturation > 0 and np.mean(y >= 0.999 * sample.saturation) > 0.02:
        reason = f"saturated: counts reach {sample.saturation:g}"
    return out, reason


def _check_axis(wavelength: FloatArray, values: FloatArray) -> None:
    if wavelength.ndim != 1 or wavelength.shape != values.shape or len(values) < MIN_CHANNELS:
        raise Unusable(f"wrong length: {values.size} values at {wavelength.size} wavelengths")
    if not np.isfinite(wavelength).all() or np.any(np.diff(wavelength) <= 0):
        raise Unusable("wavelengths are not finite and ascending")


def spectral_levels(spectra: Any) -> tuple[Any, Any]:
    """Level, slope, contrast and noise of many spectra at once.

    Args:
        spectra: (N, C) reflectance on an even grid, NumPy or torch; NaN where a device measured nothing, C >= 8.

    Returns:
        (N, 6) in the order of `LEVEL_NAMES`, and (N,) structure over noise.
    """
    xp = namespace(spectra)
    count = spectra.shape[1]
    if math.isfinite(float(spectra.sum())):
        place = _even(count) if xp is np else xp.asarray(_even(count), dtype=spectra.dtype, device=spectra.device)
        return _levels(xp, spectra, place)
    place = 2.0 / (count - 1) * xp.arange(count, dtype=spectra.dtype, device=spectra.device) - 1.0
    levels = xp.zeros((spectra.shape[0], len(LEVEL_NAMES)), dtype=spectra.dtype, device=spectra.device)
    ratio = xp.zeros_like(levels[:, 0])
    finite = xp.isfinite(spectra)
    for row in range(spectra.shape[0]):
        good = finite[row]
        if bool(xp.any(good)):
            found, row_ratio = _levels(xp, spectra[row][good][None], place[good] - xp.mean(place[good]))
            levels[row], ratio[row] = found[0], row_ratio[0]
        else:
            levels[row] = xp.nan
    return levels, ratio


def spectral_reliability(ratio: Any) -> Any:
    """How far spectra can be trusted, (N,) 0..1, by their structure over noise.

    Level features survive blindness, so a blind spectrum keeps a little weight.
    """
    return 1.0 - 0.8 * blindness(ratio)


def blindness(ratio: Any) -> Any:
    """Share of the shape that is lost in noise, 0..1."""
    return 1.0 / (1.0 + (ratio / BLIND_RATIO) ** 2)


@lru_cache(maxsize=8)
def _even(count: int) -> FloatArray:
    """Even places around 0, -1 to 1."""
    return 2.0 / (count - 1) * np.arange(count) - 1.0


def _levels(xp: Any, y: Any, centred: Any) -> tuple[Any, Any]:
    """(N, 6) levels and (N,) structure over noise of finite (N, C) spectra at (C,) places whose mean is 0."""
    # Third differences of a smooth spectrum vanish; those of white noise have 20 times its variance.
    first = y[:, 1:] - y[:, :-1]
    second = first[:, 1:] - first[:, :-1]
    noise = _quantile(xp, xp.abs(second[:, 1:] - second[:, :-1]), 0.5) / (0.6745 * 20.0**0.5)
    mean = y.sum(axis=1) / y.shape[1]
    slope = xp.matmul(y, centred) / xp.matmul(centred, centred)
    rest = y - mean[:, None] - slope[:, None] * centred
    smooth = (rest[:, :-4] + rest[:, 1:-3] + rest[:, 2:-2] + rest[:, 3:-1] + rest[:, 4:]) / 5.0
    smooth = smooth - (smooth.sum(axis=1) / smooth.shape[1])[:, None]
    variance = (smooth * smooth).sum(axis=1) / smooth.shape[1]
    structure = xp.sqrt(_at_least(xp, variance - noise**2 / 5.0, 0.0))
    scale = _at_least(xp, xp.abs(mean), 1e-4)
    ratio = structure / xp.maximum(noise, 1e-6 * xp.max(xp.abs(y), axis=1) + 1e-12)
    levels = xp.empty((y.shape[0], len(LEVEL_NAMES)), dtype=y.dtype, device=y.device)
    levels[:, 0] = _at_least(xp, mean, 1e-4)
    levels[:, 1] = _at_least(xp, _quantile(xp, y, 0.95), 1e-4)
    levels[:, 4] = _at_least(xp, noise, 1e-6)
    levels[:, 5] = _at_least(xp, ratio, 1e-3)
    levels[:, 2] = levels[:, 3] = 1.0
    levels = xp.log10(levels)
    levels[:, 2] = slope / scale
    levels[:, 3] = structure / scale
    return levels, ratio


def _at_least(xp: Any, values: Any, low: float) -> Any:
    return np.maximum(values, low) if xp is np else xp.clip(values, low, None)  # np.clip takes five times as long


def _quantile(xp: Any, values: Any, share: float) -> Any:
    """(N,) quantile of each row, linear between its neighbours."""
    position = share * (values.shape[1] - 1)
    low = min(int(position), values.shape[1] - 2)
    ordered = xp.sort(values, axis=1)
    return ordered[:, low] + (position - low) * (ordered[:, low + 1] - ordered[:, low])
