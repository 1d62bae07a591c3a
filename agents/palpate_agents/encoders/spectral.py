"""Spectral encoder: one near-infrared spectrum -> 256 features and a quality, tolerant of gain, offset and axis shift.

What a spectrum says about a material is the position, width and relative depth of its absorption bands. Its level
and slope say more about colour, distance and grain. So the network never sees levels: each spectrum is normalised by
its own mean and spread (standard normal variate), and fixed convolutions turn it into smoothed derivatives at two
scales, the form in which spectroscopists compare spectra (Savitzky and Golay, Anal. Chem. 36:1627, 1964). Only then
come learnt layers: convolutions with pooling, so that a calibration error of a few nanometres moves the result little.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.signal import savgol_coeffs
from torch import Tensor, nn
from torch.nn import functional

from palpate_agents.errors import DataError

MIN_CHANNELS = 16
MIN_FINITE_FRACTION = 0.8
"""Below this share of finite channels a spectrum is unusable; above it, gaps are filled by linear interpolation."""

DERIVATIVE_SCALES_NM = (20.0, 45.0)
"""Widths of the Savitzky-Golay windows; bands of polymers are 25 to 70 nm wide (materials.csv)."""

BLIND_SIGNAL_TO_NOISE = 4.0
"""Structure over noise at which a spectrum counts as half blind."""


class SpectralQuality(NamedTuple):
    """Why a spectrum can be trusted or not; every field is (B,) in 0..1.

    Attributes:
        reliability: product of the others' complements; 0 for an unusable spectrum.
        missing: share of channels that are not finite.
        saturated: share of channels stuck at the spectrum's maximum in a run (a clipped detector).
        blind: how far noise exceeds structure; 1 for a flat or black spectrum.
    """

    reliability: Tensor
    missing: Tensor
    saturated: Tensor
    blind: Tensor


class SpectralEncoder(nn.Module):
    """Encodes spectra on one wavelength grid.

    Args:
        wavelength_nm: (C,) ascending, nm, nearly even spacing; at least 16 channels.
        out_dim: number of features.
        width: channels of the learnt convolutions.
        dropout: share of features dropped while training.

    Raises:
        DataError: the grid is too short, not ascending, or uneven.
    """

    wavelength_nm: Tensor
    filters: Tensor

    def __init__(self, wavelength_nm: ArrayLike, out_dim: int = 256, width: int = 32, dropout: float = 0.2) -> None:
        super().__init__()
        grid = np.asarray(wavelength_nm, np.float64)
        self.step_nm = _even_step(grid)
        self.register_buffer("wavelength_nm", torch.tensor(grid, dtype=torch.float32))
        self.register_buffer("filters", torch.tensor(derivative_filters(self.step_nm), dtype=torch.float32))
        n_maps = 1 + self.filters.shape[0]
        kernel = _odd(20.0 / self.step_nm, low=3)
        # Pool to about 12 nm: finer than any band of a solid, coarser than a usual calibration error.
        pool = max(1, round(12.0 / self.step_nm))
        pooled = math.ceil(len(grid) / pool)
        self.learnt = nn.Sequential(
            nn.Conv1d(n_maps, width, kernel, padding="same"),
            nn.GELU(),
            nn.AvgPool1d(pool, ceil_mode=True, count_include_pad=False),
            nn.Conv1d(width, width, 3, padding="same"),
            nn.GELU(),
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(width * pooled, out_dim),
            nn.GELU(),
            nn.LayerNorm(out_dim),
        )

    def normalise(self, values: Tensor) -> Tensor:
        """(B, C) raw values -> (B, maps, C): normalised spectrum and its derivatives; finite whatever comes in."""
        filled = fill_gaps(values)
        spectrum = _standardise(filled)
        half = self.filters.shape[-1] // 2
        padded = functional.pad(spectrum[:, None], (half, half), mode="replicate")
        derivatives = functional.conv1d(padded, self.filters)
        return torch.cat([spectrum[:, None], _standardise(derivatives)], dim=1)

    def quality(self, values: Tensor) -> SpectralQuality:
        """(B, C) raw values -> quality of each spectrum, without gradient."""
        return spectral_quality(values, self.step_nm)

    def forward(self, values: Tensor) -> Tensor:
        """(B, C) raw values (reflectance or counts, NaN allowed) -> (B, out_dim); zeros for an unusable spectrum."""
        if values.ndim != 2 or values.shape[1] != len(self.wavelength_nm):
            raise DataError(
                f"the encoder takes (batch, {len(self.wavelength_nm)}) spectra, got {tuple(values.shape)}; "
                "resample the spectrum to the model's wavelength grid"
            )
        usable = torch.isfinite(values).float().mean(dim=1) >= MIN_FINITE_FRACTION
        return self.learnt(self.normalise(values)) * usable[:, None]


@torch.no_grad()
def spectral_quality(values: Tensor, step_nm: float) -> SpectralQuality:
    """Quality of (B, C) raw spectra with channels `step_nm` apart.

    Noise is read from third differences (a straight, slightly curved or banded spectrum has nearly none), structure
    from what remains of the smoothed spectrum without its straight line.
    """
    finite = torch.isfinite(values)
    missing = 1.0 - finite.float().mean(dim=1)
    filled = fill_gaps(values)
    differences = filled.diff(dim=1, n=3)
    noise = differences.abs().median(dim=1).values / 0.6745 / math.sqrt(20.0)  # sum of squares of 1 3 3 1
    axis = torch.linspace(-1.0, 1.0, filled.shape[1], dtype=filled.dtype, device=filled.device)
    centred = filled - filled.mean(dim=1, keepdim=True)
    slope = (centred * axis).sum(dim=1, keepdim=True) / (axis * axis).sum()
    residual = centred - slope * axis
    size = _odd(15.0 / step_nm, low=3)
    smooth = functional.avg_pool1d(residual[:, None], size, stride=1, padding=size // 2, count_include_pad=False)[:, 0]
    structure = smooth.std(dim=1)
    # Smoothing leaves noise / sqrt(size) of white noise in `structure`: take it out before comparing.
    clean = (structure**2 - noise**2 / size).clamp_min(0).sqrt()
    scale = filled.abs().amax(dim=1).clamp_min(1e-12)
    ratio = clean / noise.clamp_min(1e-6 * scale)
    blind = torch.where(clean > 1e-5 * scale, 1.0 / (1.0 + (ratio / BLIND_SIGNAL_TO_NOISE) ** 2), 1.0)
    top = filled >= filled.amax(dim=1, keepdim=True)
    run = top[:, 2:] & top[:, 1:-1] & top[:, :-2]  # three equal maxima in a row do not happen by chance
    saturated = torch.where(run.any(dim=1), top.float().mean(dim=1), 0.0)
    reliability = (1.0 - missing) * (1.0 - blind) * (1.0 - (5.0 * saturated).clamp(max=1.0))
    reliability = torch.where(missing > 1.0 - MIN_FINITE_FRACTION, 0.0, reliability)
    return SpectralQuality(reliability, missing, saturated, blind)


def fill_gaps(values: Tensor) -> Tensor:
    """Fills non-finite channels of (B, C) linearly, at the ends by the nearest; zeros where none is finite."""
    finite = torch.isfinite(values)
    if bool(finite.all()):
        return values
    index = torch.arange(values.shape[1], device=values.device).expand_as(values)
    last = values.shape[1]
    before = torch.where(finite, index, -1).cummax(dim=1).values
    after = torch.where(finite, index, last).flip(1).cummin(dim=1).values.flip(1)
    before_ok, after_ok = before >= 0, after < last
    left = torch.where(before_ok, before, after.clamp(max=last - 1))
    right = torch.where(after_ok, after, before.clamp(min=0))
    clean = torch.where(finite, values, 0.0)
    share = (index - left) / (right - left).clamp(min=1)
    low, high = clean.gather(1, left), clean.gather(1, right)
    return torch.where(finite, clean, low + share * (high - low))


def derivative_filters(step_nm: float) -> np.ndarray:
    """Fixed filters (4, 1, K): first and second Savitzky-Golay derivative at each of `DERIVATIVE_SCALES_NM`."""
    sizes = [_odd(scale / step_nm, low=5) for scale in DERIVATIVE_SCALES_NM]
    longest = max(sizes)
    filters = []
    for size in sizes:
        for order in (1, 2):
            taps = savgol_coeffs(size, polyorder=2, deriv=order, use="dot")
            filters.append(np.pad(taps / np.abs(taps).sum(), (longest - size) // 2))
    return np.stack(filters)[:, None, :]


def _standardise(values: Tensor) -> Tensor:
    """Zero mean and unit spread along the last axis; a constant stays zero."""
    centred = values - values.mean(dim=-1, keepdim=True)
    spread = centred.square().mean(dim=-1, keepdim=True).sqrt()
    floor = 1e-6 * values.abs().amax(dim=-1, keepdim=True) + 1e-12
    return centred / (spread + floor)


def _odd(size: float, low: int) -> int:
    """The odd number nearest to `size`, at least `low`."""
    return max(low, 2 * round((size - 1) / 2) + 1)


def _even_step(grid: np.ndarray) -> float:
    if grid.ndim != 1 or len(grid) < MIN_CHANNELS:
        raise DataError(f"a spectrum needs at least {MIN_CHANNELS} channels, got shape {grid.shape}")
    steps = np.diff(grid)
    if not np.all(np.isfinite(grid)) or np.any(steps <= 0):
        raise DataError("wavelengths must be finite and ascending, in nm")
    step = float(steps.mean())
    if np.max(np.abs(steps - step)) > 0.5 * step:
        raise DataError(
            f"wavelengths are {steps.min():.2f} to {steps.max():.2f} nm apart; resample them to an even grid, "
            f"for example of {step:.2f} nm"
        )
    return step
