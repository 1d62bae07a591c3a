"""Spectral encoder: one near-infrared spectrum -> 256 features, tolerant of gain, offset, background and axis shift.

What a spectrum says about a material is the position, width and relative depth of its absorption bands. Its level
and slope say more about colour, distance and grain. So the network never sees levels: each spectrum is normalised by
its own mean and spread (standard normal variate), and fixed convolutions turn it into smoothed derivatives at two
scales, the form in which spectroscopists compare spectra (Savitzky and Golay, Anal. Chem. 36:1627, 1964). They are
averaged over a few nanometres, less than any band is wide, so that a calibration error moves the features little; one
learnt layer follows. How far a spectrum can be trusted (blind, saturated, gaps) is judged in `encoders.reflectance`.
"""

from __future__ import annotations

import math

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
"""Widths of the Savitzky-Golay windows; bands of polymers are 15 to 70 nm wide (materials.csv)."""

POOLED_STEP_NM = 6.0
"""Spacing of the averaged channels: less than half of a polymer's narrowest band, about a usual calibration error."""


class SpectralEncoder(nn.Module):
    """Encodes spectra on one wavelength grid.

    Args:
        wavelength_nm: (C,) ascending, nm, nearly even spacing; at least 16 channels.
        out_dim: number of features.
        dropout: share of inputs dropped while training.

    Raises:
        DataError: the grid is too short, not ascending, or uneven.
    """

    wavelength_nm: Tensor
    filters: Tensor

    def __init__(self, wavelength_nm: ArrayLike, out_dim: int = 256, dropout: float = 0.1) -> None:
        super().__init__()
        grid = np.asarray(wavelength_nm, np.float64)
        self.step_nm = _even_step(grid)
        # Both follow from the grid, which the model's card holds: not stored with the weights, never rounded.
        self.register_buffer("wavelength_nm", torch.tensor(grid, dtype=torch.float32), persistent=False)
        filters = torch.tensor(derivative_filters(self.step_nm), dtype=torch.float32)
        self.register_buffer("filters", filters, persistent=False)
        n_maps = 1 + self.filters.shape[0]
        pool = max(1, round(POOLED_STEP_NM / self.step_nm))
        self.learnt = nn.Sequential(
            nn.AvgPool1d(pool, ceil_mode=True, count_include_pad=False),
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(n_maps * math.ceil(len(grid) / pool), out_dim),
            nn.GELU(),
            nn.LayerNorm(out_dim),
        )

    def forward(self, values: Tensor) -> Tensor:
        """(B, C) raw values (reflectance or counts, NaN allowed) -> (B, out_dim); zeros for an unusable spectrum."""
        if values.ndim != 2 or values.shape[1] != len(self.wavelength_nm):
            raise DataError(
                f"the encoder takes (batch, {len(self.wavelength_nm)}) spectra, got {tuple(values.shape)}; "
                "resample the spectrum to the model's wavelength grid"
            )
        usable = torch.isfinite(values).float().mean(dim=1) >= MIN_FINITE_FRACTION
        with torch.autocast(values.device.type, enabled=False):  # derivatives need all the digits
            maps = spectral_maps(values, self.filters)
        return self.learnt(maps) * usable[:, None]


def spectral_maps(values: Tensor, filters: Tensor) -> Tensor:
    """(B, C) raw values -> (B, maps, C): normalised spectrum and its derivatives; finite whatever comes in.

    Args:
        values: on an even grid.
        filters: `derivative_filters` of its step.
    """
    spectrum = _standardise(fill_gaps(values))
    half = filters.shape[-1] // 2
    padded = functional.pad(spectrum[:, None], (half, half), mode="replicate")
    derivatives = functional.conv1d(padded, filters)
    return torch.cat([spectrum[:, None], _standardise(derivatives)], dim=1)


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
