"""Regression on measured spectra: a property of the object (density, crystallinity, ...) with its uncertainty.

Measured sets hold few objects, each scanned several times. The model is the mean of two Gaussian processes that are
linear in the spectral encoder's derivative maps of the absorbance: one over all wavelengths, one over the first
overtone of the C-H stretch. The residual has two parts: one that all scans of an object share (what the spectrum does
not tell, error of the label) and one per scan. As the scans of an object carry one label, the marginal likelihood has
no optimum (scans that agree are explained by a scan noise of zero), so the three hyper-parameters maximise the log
density of objects left out one at a time, which the covariance gives in closed form (Sundararajan and Keerthi, Neural
Computation 13:1103, 2001). Nothing is chosen by hand at training time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.stats import t as student_t
from torch import Tensor
from torch.nn import functional

from palpate_agents.data.layout import SpectraDataset
from palpate_agents.encoders.spectral import POOLED_STEP_NM, derivative_filters, spectral_maps
from palpate_agents.errors import DataError

MIN_GROUPS = 8
"""Fewer objects cannot tell the noise from the signal: three hyper-parameters are fitted by leaving objects out."""

MAPS = 4
"""Derivative maps of the spectral encoder: first and second, at two scales."""

GRID_STEP_NM = 2.0
MAX_CHANNELS = 2048
FIRST_OVERTONE_NM = (1600.0, 1850.0)
"""First overtone of the C-H stretch: the bands of CH, CH2 and CH3 (Workman and Weyer, Practical Guide to Interpretive
Near-Infrared Spectroscopy, 2007; from memory)."""

MIN_BAND_CHANNELS = 16
REFLECTANCE_FLOOR = 1e-4
CONSTANT_VARIANCE = 25.0
"""Prior variance of the mean, in units of the target's variance: the mean is learnt, not fixed."""

PRIOR_LOG = (0.5, -3.0, -5.0)
PRIOR_SPREAD = 3.0
"""Weak normal prior of the log variances (signal, object, scan), in units of the target's: a factor of 20 each way."""

LIMITS_LOG = (-12.0, 7.0)
JITTER = 1e-8


@dataclass(frozen=True)
class LinearProcess:
    """One Gaussian process, linear in standardised features; everything in units of the training target.

    Attributes:
        channels: (F,) indices of the features that it reads.
        centre: (F,) mean of the training features.
        scale: (F,) one value per derivative map, so that every map adds the same to the training kernel.
        features: (n, F) training features, centred and scaled.
        weights: (n,) dual weights.
        inverse: (n, n) inverse covariance of the training spectra.
        log_variance: (3,) signal, shared by an object's scans, per scan.
    """

    channels: NDArray[np.intp]
    centre: NDArray[np.float64]
    scale: NDArray[np.float64]
    features: NDArray[np.float64]
    weights: NDArray[np.float64]
    inverse: NDArray[np.float64]
    log_variance: NDArray[np.float64]

    def predict(self, features: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(N, all) features -> mean (N,) and variance (N,) of a new object's scan."""
        signal, shared, scan = np.exp(self.log_variance)
        new = (features[:, self.channels] - self.centre) / self.scale
        across = CONSTANT_VARIANCE + signal * (new @ self.features.T)
        own = CONSTANT_VARIANCE + signal * np.square(new).sum(axis=1)
        explained = np.einsum("ij,jk,ik->i", across, self.inverse, across)
        return across @ self.weights, np.maximum(own - explained, 0.0) + shared + scan


@dataclass(frozen=True)
class SpectralRegression:
    """A trained regression.

    Attributes:
        target: name of the property.
        grid_nm: (C,) the model's wavelengths, nm.
        is_reflectance: it was trained on reflectance; else on counts.
        processes: averaged with equal weight.
        offset, spread: mean and standard deviation of the training target, in its unit.
        groups: how many objects it was trained on.
    """

    target: str
    grid_nm: NDArray[np.float64]
    is_reflectance: bool
    processes: tuple[LinearProcess, ...]
    offset: float
    spread: float
    groups: int

    def predict(self, dataset: SpectraDataset) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean (N,) and standard deviation (N,) of the target for every spectrum on its own, in the target's unit.

        Raises:
            DataError: the spectra do not cover the model's wavelengths, or are counts where it knows reflectance
                (or the reverse).
        """
        if dataset.is_reflectance != self.is_reflectance:
            known, given = ("reflectance", "counts")[:: 1 if self.is_reflectance else -1]
            raise DataError(f"{dataset.name}: the model of {self.target!r} was trained on {known}, these are {given}")
        features = regression_features(dataset, self.grid_nm)
        each = [process.predict(features) for process in self.processes]
        means = np.stack([mean for mean, _ in each])
        variance = np.mean([variance for _, variance in each], axis=0) + means.var(axis=0)
        return means.mean(axis=0) * self.spread + self.offset, np.sqrt(variance) * self.spread

    def half_width(self, std: NDArray[np.floating], level: float = 0.9) -> NDArray[np.float64]:
        """Half of the central interval that holds the truth with chance `level`.

        The noise was learnt from few objects, so the quantile is Student's, one degree of freedom less than objects.
        """
        return np.asarray(std, np.float64) * float(student_t.ppf(0.5 + level / 2, self.groups - 1))


def fit_regression(dataset: SpectraDataset, target: str) -> SpectralRegression:
    """Trains on every spectrum whose target was measured.

    Args:
        dataset: training spectra only.
        target: a name in `dataset.targets`.

    Returns:
        The model. Deterministic: there is no random start.

    Raises:
        DataError: no such target, it is NaN everywhere or constant, or fewer than `MIN_GROUPS` objects have it.
    """
    dataset = measured_rows(dataset, target)
    if len(dataset.groups) < MIN_GROUPS:
        raise DataError(
            f"{dataset.name}: {len(dataset.groups)} groups have 'target_{target}'; regression needs at least "
            f"{MIN_GROUPS}: measure more objects"
        )
    values = dataset.targets[target]
    offset, spread = float(values.mean()), float(values.std())
    if spread <= 1e-12 * max(1.0, abs(offset)):
        raise DataError(f"{dataset.name}: 'target_{target}' is {offset:g} everywhere; there is nothing to learn")
    grid = regression_grid(dataset)
    features = regression_features(dataset, grid)
    standard = (values - offset) / spread
    processes = tuple(
        _fit_process(features, channels, standard, dataset.group) for channels in _channel_sets(grid, features.shape[1])
    )
    return SpectralRegression(target, grid, dataset.is_reflectance, processes, offset, spread, len(dataset.groups))


def measured_rows(dataset: SpectraDataset, target: str) -> SpectraDataset:
    """The spectra whose target is a number.

    Raises:
        DataError: there is no such target, or it is NaN in every row.
    """
    if target not in dataset.targets:
        known = ", ".join(dataset.targets) or "none"
        raise DataError(f"{dataset.name}: there is no 'target_{target}'; targets of this data set: {known}")
    finite = np.isfinite(dataset.targets[target])
    if not finite.any():
        raise DataError(f"{dataset.name}: 'target_{target}' is NaN in all {len(dataset)} rows; give measured values")
    return dataset.take(finite)


def regression_grid(dataset: SpectraDataset) -> NDArray[np.float64]:
    """Even wavelengths over the data set's range: `GRID_STEP_NM`, or wider for more than `MAX_CHANNELS` channels."""
    low, high = float(dataset.wavelength_nm[0]), float(dataset.wavelength_nm[-1])
    wanted = int((high - low) / GRID_STEP_NM) + 1
    return np.linspace(low, high, min(MAX_CHANNELS, max(2 * MIN_BAND_CHANNELS, wanted)))


def regression_features(dataset: SpectraDataset, grid_nm: NDArray[np.floating]) -> NDArray[np.float64]:
    """(N, 4 P) derivative maps of the spectral encoder, each averaged to P channels of about 6 nm.

    Reflectance R becomes absorbance log10(1/R), which is nearly linear in what absorbs; counts stay as they are.

    Raises:
        DataError: the spectra do not cover the grid.
    """
    axis = dataset.wavelength_nm
    slack = max(_step_nm(grid_nm), float(np.diff(axis).max()))
    if axis[0] > grid_nm[0] + slack or axis[-1] < grid_nm[-1] - slack:
        raise DataError(
            f"{dataset.name}: wavelengths {axis[0]:.0f}-{axis[-1]:.0f} nm do not cover the model's "
            f"{grid_nm[0]:.0f}-{grid_nm[-1]:.0f} nm; measure that range or train on the common one"
        )
    values = -np.log10(np.maximum(dataset.values, REFLECTANCE_FLOOR)) if dataset.is_reflectance else dataset.values
    resampled = np.stack([np.interp(grid_nm, axis, row) for row in values])
    filters = torch.tensor(derivative_filters(_step_nm(grid_nm)), dtype=torch.float32)
    maps = spectral_maps(torch.tensor(resampled, dtype=torch.float32), filters)[:, 1:].double()
    return functional.avg_pool1d(maps, _pool(grid_nm)).flatten(1).numpy()


def _step_nm(grid_nm: NDArray[np.floating]) -> float:
    return float(np.diff(grid_nm).mean())


def _pool(grid_nm: NDArray[np.floating]) -> int:
    return max(1, round(POOLED_STEP_NM / _step_nm(grid_nm)))


def _channel_sets(grid_nm: NDArray[np.float64], n_features: int) -> list[NDArray[np.intp]]:
    """Feature indices of all wavelengths, and of the first overtone where the grid holds enough of it."""
    pool = _pool(grid_nm)
    centre = grid_nm[: len(grid_nm) // pool * pool].reshape(-1, pool).mean(axis=1)
    everywhere = np.tile(centre, n_features // len(centre))
    low, high = FIRST_OVERTONE_NM
    overtone = np.flatnonzero((everywhere >= low) & (everywhere < high))
    sets = [np.arange(n_features)]
    if grid_nm[0] <= low and grid_nm[-1] >= high and len(overtone) >= MIN_BAND_CHANNELS:
        sets.append(overtone)
    return sets


def _fit_process(
    features: NDArray[np.float64], channels: NDArray[np.intp], target: NDArray[np.float64], group: NDArray[np.str_]
) -> LinearProcess:
    """Fits the three variances by leaving objects out, then solves for the weights."""
    order = np.argsort(group, kind="stable")
    centre = features[:, channels].mean(axis=0)
    known = features[order][:, channels] - centre
    per_map = np.sqrt(np.square(known).reshape(len(known), MAPS, -1).sum(axis=2).mean(axis=0))
    scale = np.repeat(np.maximum(per_map, 1e-12), len(channels) // MAPS)
    known /= scale
    kernel = torch.from_numpy(known @ known.T)
    value = torch.from_numpy(target[order])
    _, size = np.unique(group[order], return_counts=True)
    owner = torch.from_numpy(np.repeat(np.arange(len(size)), size))
    same = (owner[:, None] == owner[None]).double()
    prior = torch.tensor(PRIOR_LOG, dtype=torch.float64)
    blocks = _blocks(size)

    def objective(point: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        log_variance = torch.tensor(point, requires_grad=True)
        loss = _left_out_loss(_covariance(kernel, same, log_variance), value, blocks)
        loss = loss + 0.5 * ((log_variance - prior) / PRIOR_SPREAD).square().sum()
        loss.backward()
        assert log_variance.grad is not None
        return loss.item(), log_variance.grad.numpy()

    found = minimize(
        objective, np.array(PRIOR_LOG), jac=True, method="L-BFGS-B", bounds=[LIMITS_LOG] * 3, options={"maxiter": 60}
    ).x
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(_covariance(kernel, same, torch.tensor(found))))
    return LinearProcess(channels, centre, scale, known, (inverse @ value).numpy(), inverse.numpy(), found)


def _covariance(kernel: Tensor, same: Tensor, log_variance: Tensor) -> Tensor:
    signal, shared, scan = log_variance.exp()
    return CONSTANT_VARIANCE + signal * kernel + shared * same + (scan + JITTER) * torch.eye(len(kernel)).double()


def _blocks(size: NDArray[np.integer]) -> list[Tensor]:
    """Rows of the objects, as (objects, scans) indices: one entry per number of scans, so that they batch."""
    first = np.r_[0, np.cumsum(size)[:-1]]
    return [torch.from_numpy(first[size == n][:, None] + np.arange(n)) for n in np.unique(size)]


def _left_out_loss(covariance: Tensor, value: Tensor, blocks: list[Tensor]) -> Tensor:
    """Minus the log density of each object's scans given the other objects: mean over its scans, summed over objects.

    Each scan counts by its own density, not jointly: scans that agree by construction (they share a label) would
    otherwise reward a scan noise of zero.
    """
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(covariance))
    weights = inverse @ value
    loss = covariance.new_zeros(())
    for rows in blocks:
        left_out = torch.linalg.inv(inverse[rows[:, :, None], rows[:, None, :]])
        error = (left_out @ weights[rows][:, :, None])[:, :, 0]
        variance = torch.diagonal(left_out, dim1=1, dim2=2)
        loss = loss + (0.5 * error.square() / variance + 0.5 * variance.log()).mean(dim=1).sum()
    return loss
