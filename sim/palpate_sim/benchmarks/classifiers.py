"""A well-tuned plain classifier on a table of features: what a sensor can tell without any model of ours.

Three kinds that differ in what they are good at (trees: thresholds and missing values; linear discriminants: many
correlated channels; boosted trees: small differences), each with a few settings, chosen by accuracy on parts that are
held out of the training parts. The parts it is measured on are never looked at before.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]

HELD_OUT = 0.2
CHUNK = 4096


@dataclass(frozen=True)
class Tuned:
    """A classifier that was chosen and fitted.

    Attributes:
        name: which one won.
        model: fitted on all training parts.
    """

    name: str
    model: Any

    def predict(self, features: Array) -> NDArray[np.int64]:
        """(N, F) features, NaN allowed -> (N,) labels."""
        rows = range(0, len(features), CHUNK)
        return np.concatenate([self.model.predict(features[start : start + CHUNK]) for start in rows])


def candidates(seed: int, jobs: int) -> dict[str, Callable[[], Any]]:
    """Name -> a fresh classifier."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def trees(leaf: int, share: str | float) -> Any:
        forest = ExtraTreesClassifier(150, min_samples_leaf=leaf, max_features=share, random_state=seed, n_jobs=jobs)
        # Far below every value, so that trees can split on "not measured".
        return make_pipeline(SimpleImputer(strategy="constant", fill_value=-1e3, keep_empty_features=True), forest)

    def linear(shrinkage: float) -> Any:
        return make_pipeline(
            SimpleImputer(strategy="median", keep_empty_features=True),
            StandardScaler(),
            LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage),
        )

    return {
        "extra trees, leaf 1": lambda: trees(1, "sqrt"),
        "extra trees, leaf 3": lambda: trees(3, 0.3),
        "linear discriminants, 0.001": lambda: linear(1e-3),
        "linear discriminants, 0.1": lambda: linear(0.1),
    }


def fit_tuned(features: Array, labels: NDArray[np.int64], seed: int = 0, jobs: int = 1) -> Tuned:
    """Chooses a classifier on held-out training parts and fits it on all of them.

    Args:
        features: (N, F), NaN where not measured.
        labels: (N,) classes.
        seed: of the split and the trees.
        jobs: threads.

    Raises:
        ValueError: fewer than 10 parts.
    """
    if len(labels) < 10:
        raise ValueError(f"{len(labels)} parts cannot train a classifier, at least 10 are needed")
    order = np.random.default_rng(seed).permutation(len(labels))
    cut = round(HELD_OUT * len(labels))
    held_out, rest = order[:cut], order[cut:]
    makers = candidates(seed, jobs)
    scores = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # collinear columns: the shrinkage is there for them
        for name, make in makers.items():
            model = make().fit(features[rest], labels[rest])
            scores[name] = float(np.mean(model.predict(features[held_out]) == labels[held_out]))
        best = max(scores, key=lambda name: scores[name])
        return Tuned(best, makers[best]().fit(features, labels))


def spectral_shape(spectra: Array) -> Array:
    """(N, C) spectra -> (N, C') what chemometrics feeds a classifier: normal variate and smoothed slope.

    Level and slope are left out here; the level features carry them.
    """
    from scipy.signal import savgol_filter

    filled = np.where(np.isfinite(spectra), spectra, np.nanmean(spectra, axis=1, keepdims=True))
    filled = np.nan_to_num(filled)
    slope = savgol_filter(filled, 11, 2, deriv=1, axis=1)
    slope = slope / np.maximum(slope.std(axis=1, keepdims=True), 1e-12)
    return slope[:, ::2]
