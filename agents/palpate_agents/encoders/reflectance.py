"""Spectral features: the reflectance on the model's grid, its level, and how blind the spectrometer was.

The network's `SpectralEncoder` reads the shape; level, slope and noise say how much the shape is worth (a black part
reflects 2 to 5 % without bands: its spectrum is reliable as a level and blind as a fingerprint).
"""

from __future__ import annotations

import numpy as np

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
    found, ratio = spectral_level(spectrum)
    saturated = any(why.startswith("saturated") for why in reasons)
    blind = 1.0 / (1.0 + (ratio / BLIND_RATIO) ** 2)
    # Level features survive blindness, so a blind spectrum keeps a little weight.
    reliability = (1.0 - 0.8 * blind) * (0.3 if saturated else 1.0)
    reason = next((why for why in reasons if why), "")
    if blind > 0.5:
        reason = reason or f"blind: bands are {ratio:.1f} times the noise"
    values = np.concatenate([[found.get(n, np.nan) for n in LEVEL_NAMES], spectrum]).astype(np.float32)
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


def spectral_level(spectrum: FloatArray) -> tuple[dict[str, float], float]:
    """Level, slope, contrast and noise of a (C,) spectrum, and its structure over noise."""
    good = np.isfinite(spectrum)
    y = spectrum[good]
    x = np.linspace(-1.0, 1.0, len(spectrum))[good]
    # Third differences of a smooth spectrum vanish; those of white noise have 20 times its variance.
    noise = float(np.median(np.abs(np.diff(y, n=3)))) / 0.6745 / np.sqrt(20.0)
    line = np.polyfit(x, y, 1)
    smooth = np.convolve(y - np.polyval(line, x), np.ones(5) / 5, mode="valid")
    structure = float(np.sqrt(max(smooth.var() - noise**2 / 5, 0.0)))
    mean = float(y.mean())
    scale = max(abs(mean), 1e-4)
    ratio = structure / max(noise, 1e-6 * float(np.abs(y).max()) + 1e-12)
    found = {
        "log10_mean_reflectance": np.log10(max(mean, 1e-4)),
        "log10_peak_reflectance": np.log10(max(float(np.percentile(y, 95)), 1e-4)),
        "slope_fraction": float(line[0]) / scale,
        "contrast_fraction": structure / scale,
        "log10_noise": np.log10(max(noise, 1e-6)),
        "log10_structure_over_noise": np.log10(max(ratio, 1e-3)),
    }
    return found, ratio
