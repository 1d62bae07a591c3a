"""`spectra` on data with `target_*` columns: nested cross-validation over objects, beside PLSR, PCR and LASSO.

The protocol is that of the published NIST polyolefin study (mds2-3809): stratified 5-fold over objects, inside it the
same again for every choice, all scans of an object together; the score is the mean of the five outer RMSEs over
spectra. Intervals are over objects.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.cross_decomposition import PLSRegression
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import lasso_path
from sklearn.model_selection import KFold, StratifiedKFold

from palpate_agents.benchmarks.spectra import Interval
from palpate_agents.data import SpectraDataset
from palpate_agents.errors import DataError
from palpate_agents.spectra_regression import fit_regression, measured_rows

FOLDS = 5
MIN_GROUPS = 3 * FOLDS
BOOTSTRAPS = 2_000
COMPONENTS = 30
LASSO_ALPHAS = np.logspace(0, -4, 10)
LASSO_STRIDE = 4
"""Of a fine axis, every fourth channel. NIST, seed 0: .00722, .0520, 5.17; published, all: .00713, .0517, 5.34."""

LASSO_STEPS = 1000
LEVEL = 0.9
REPORTED_SEED = 0
"""`random_state` of the published folds."""

Array = NDArray[np.float64]
Method = Callable[[Array, Array, Array], Array]


def bench_regression(
    dataset: SpectraDataset,
    seeds: Sequence[int],
    targets: Sequence[str] = (),
    progress: Callable[[str], None] | None = None,
) -> dict:
    """RMSE of our regression and of tuned PLSR, PCR and LASSO on the same folds.

    Args:
        dataset: at least `MIN_GROUPS` objects with each target.
        seeds: `random_state` of outer and inner folds; figures are means over the seeds.
        targets: names; all of the data set by default.
        progress: called with one line per finished step.

    Returns:
        benchmark, data, seeds, metrics, baselines and wall_s of the result file. `rmse_<target>` is the mean over the
        seeds, `rmse_<target>_seed0` the published folds, `coverage_90_<target>` the share of spectra within the 90 %
        interval, `minus_<baseline>_<target>` the paired difference (negative: ours is better).

    Raises:
        DataError: no targets, an unknown one, or too few objects for the folds.
    """
    names = tuple(targets) or tuple(dataset.targets)
    if not names:
        raise DataError(f"{dataset.name}: there are no 'target_*' columns; regression needs at least one")
    say = progress or (lambda _line: None)
    start = time.perf_counter()
    measured = {name: measured_rows(dataset, name) for name in names}
    for name, rows in measured.items():
        if len(rows.groups) < MIN_GROUPS:
            raise DataError(
                f"{dataset.name}: {len(rows.groups)} groups have 'target_{name}'; nested {FOLDS} x {FOLDS} folds need "
                f"at least {MIN_GROUPS}: measure more objects"
            )
    metrics: dict[str, Interval] = {}
    baselines: dict[str, dict[str, Interval]] = {name: {} for name in ("plsr", "pcr", "lasso", "mean")}
    for name, rows in measured.items():
        errors, covered = _all_errors(rows, name, seeds, say)
        _report(metrics, baselines, name, errors, covered, rows.group, seeds)
    return {
        "benchmark": "spectra",
        "data": dataset.name,
        "seeds": list(seeds),
        "metrics": metrics,
        "baselines": baselines,
        "wall_s": round(time.perf_counter() - start, 1),
    }


def outer_folds(group: NDArray[np.str_], label: NDArray[np.str_], seed: int) -> Iterator[tuple[NDArray, NDArray]]:
    """Row masks (train, test) of the folds over objects sorted by name, stratified on the label where it can be."""
    names, first = np.unique(group, return_index=True)
    kinds = label[first]
    many = np.unique(kinds, return_counts=True)[1].max() >= FOLDS
    splitter = (StratifiedKFold if many else KFold)(FOLDS, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a label with fewer objects than folds: as published
        for train, test in splitter.split(names, kinds):
            yield np.isin(group, names[train]), np.isin(group, names[test])


def robust_normal_variate(values: NDArray[np.floating]) -> Array:
    """Each (N, W) spectrum less the mean, over the standard deviation, of its values between its quartiles."""
    low, high = np.percentile(values, [25, 75], axis=1, keepdims=True)
    middle = np.where((values >= low) & (values <= high), values, np.nan)
    spread = np.nanstd(middle, axis=1, keepdims=True, ddof=1)
    return (values - np.nanmean(middle, axis=1, keepdims=True)) / np.maximum(spread, 1e-12)


def nested_predictions(spectra: Array, target: Array, dataset: SpectraDataset, seed: int, path: Method) -> Array:
    """(N,) outer-fold predictions of a method whose setting has the lowest mean inner RMSE."""
    predicted = np.empty(len(target))
    for train, test in outer_folds(dataset.group, dataset.label, seed):
        scores = []
        known, truth = spectra[train], target[train]
        for fit, check in outer_folds(dataset.group[train], dataset.label[train], seed):
            candidates = path(*_standardise(known[fit], known[check]), truth[fit])
            scores.append(np.sqrt(np.square(candidates - truth[check][:, None]).mean(axis=0)))
        fewest = min(len(score) for score in scores)
        best = int(np.mean([score[:fewest] for score in scores], axis=0).argmin())
        predicted[test] = path(*_standardise(known, spectra[test]), truth)[:, best]
    return predicted


def plsr_path(train: Array, test: Array, target: Array) -> Array:
    """(n, components) predictions by 1, 2, ... PLS components, from one fit."""
    components = min(COMPONENTS, len(train) - 1, train.shape[1])
    model = PLSRegression(components).fit(train, target)
    spread = train.std(axis=0, ddof=1)
    scores = (test - train.mean(axis=0)) / np.where(spread > 0, spread, 1.0) @ model.x_rotations_
    return np.cumsum(scores * model.y_loadings_[0], axis=1) * target.std(ddof=1) + target.mean()


def pcr_path(train: Array, test: Array, target: Array) -> Array:
    """(n, components) predictions by 1, 2, ... principal components."""
    centre = train.mean(axis=0)
    left, size, right = np.linalg.svd(train - centre, full_matrices=False)
    kept = max(1, min(COMPONENTS, int((size > 1e-10 * size[0]).sum())))
    weights = left[:, :kept].T @ (target - target.mean()) / size[:kept]
    return np.cumsum((test - centre) @ right[:kept].T * weights, axis=1) + target.mean()


def lasso_predictions(train: Array, test: Array, target: Array) -> Array:
    """(n, alphas) predictions by LASSO along `LASSO_ALPHAS`, each from the one before, at most `LASSO_STEPS` steps."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the smallest alphas; the published grid has them too
        _, weights, _ = lasso_path(
            train, target - target.mean(), alphas=LASSO_ALPHAS, max_iter=LASSO_STEPS, precompute=True
        )
    return test @ weights + target.mean()


def mean_of_fold_rmse(square: Array, fold: NDArray[np.integer], owner: NDArray[np.integer], weight: Array) -> Array:
    """(B,) scores of weighted objects: RMSE over the spectra of each fold, then the mean over the folds.

    Args:
        square: (N,) squared errors.
        fold: (N,) outer fold of each spectrum.
        owner: (N,) object index.
        weight: (B, objects) how often each object counts; a fold that has none is left out.
    """
    objects = weight.shape[1]
    total = np.zeros((FOLDS, objects))
    count = np.zeros((FOLDS, objects))
    np.add.at(total, (fold, owner), square)
    np.add.at(count, (fold, owner), 1.0)
    rows = weight @ count.T
    with np.errstate(invalid="ignore", divide="ignore"):
        rmse = np.sqrt(np.where(rows > 0, weight @ total.T / rows, np.nan))
    return np.nanmean(rmse, axis=1)


def _all_errors(
    dataset: SpectraDataset, target: str, seeds: Sequence[int], say: Callable[[str], None]
) -> tuple[dict[str, list[tuple[Array, NDArray]]], list[Array]]:
    """Squared errors with their folds, per method and seed, and whether our interval held the truth."""
    truth = dataset.targets[target]
    spectra = robust_normal_variate(dataset.values)
    coarse = spectra[:, :: LASSO_STRIDE if spectra.shape[1] >= 64 * LASSO_STRIDE else 1]
    errors: dict[str, list] = {"palpate": [], "plsr": [], "pcr": [], "lasso": [], "mean": []}
    covered = []
    for seed in seeds:
        fold = np.zeros(len(dataset), int)
        ours, mean, inside = np.empty(len(dataset)), np.empty(len(dataset)), np.empty(len(dataset))
        for number, (train, test) in enumerate(outer_folds(dataset.group, dataset.label, seed)):
            fold[test] = number
            model = fit_regression(dataset.take(train), target)
            ours[test], std = model.predict(dataset.take(test))
            mean[test] = model.offset
            inside[test] = np.abs(ours[test] - truth[test]) <= model.half_width(std, LEVEL)
        predicted = {
            "palpate": ours,
            "plsr": nested_predictions(spectra, truth, dataset, seed, plsr_path),
            "pcr": nested_predictions(spectra, truth, dataset, seed, pcr_path),
            "lasso": nested_predictions(coarse, truth, dataset, seed, lasso_predictions),
            "mean": mean,
        }
        for name, values in predicted.items():
            errors[name].append((np.square(values - truth), fold))
        covered.append(inside)
        shown = ", ".join(f"{name} {_plain_score(*errors[name][-1]):.5g}" for name in predicted)
        say(f"{target}, seed {seed}: RMSE {shown}")
    return errors, covered


def _report(
    metrics: dict[str, Interval], baselines: dict[str, dict[str, Interval]], target: str,
    errors: dict[str, list[tuple[Array, NDArray]]], covered: list[Array], group: NDArray[np.str_], seeds: Sequence[int],
) -> None:  # fmt: skip
    names, owner = np.unique(group, return_inverse=True)
    drawn = np.random.default_rng(0).multinomial(len(names), np.full(len(names), 1 / len(names)), BOOTSTRAPS)
    weight = np.vstack([np.ones(len(names)), drawn])  # row 0: the data themselves
    scores = {
        who: np.array([mean_of_fold_rmse(square, fold, owner, weight) for square, fold in per_seed])
        for who, per_seed in errors.items()
    }
    published = list(seeds).index(REPORTED_SEED) if REPORTED_SEED in seeds else None
    for who, score in scores.items():
        place = metrics if who == "palpate" else baselines[who]
        place[f"rmse_{target}"] = _interval(score.mean(axis=0), len(names))
        if published is not None:
            place[f"rmse_{target}_seed{REPORTED_SEED}"] = _interval(score[published], len(names))
    for who in ("plsr", "pcr", "lasso"):
        difference = (scores["palpate"] - scores[who]).mean(axis=0)
        metrics[f"minus_{who}_{target}"] = _interval(difference, len(names))
    inside = np.mean(covered, axis=0)
    total, count = np.bincount(owner, weights=inside), np.bincount(owner)
    metrics[f"coverage_90_{target}"] = _interval((weight @ total) / (weight @ count), len(names))


def _interval(values: Array, n: int) -> Interval:
    low, high = np.percentile(values[1:], [2.5, 97.5])
    return {"value": float(f"{values[0]:.6g}"), "low": float(f"{low:.6g}"), "high": float(f"{high:.6g}"), "n": n}


def _plain_score(square: Array, fold: NDArray) -> float:
    return float(np.mean([np.sqrt(square[fold == number].mean()) for number in range(FOLDS)]))


def _standardise(train: Array, test: Array) -> tuple[Array, Array]:
    centre, spread = train.mean(axis=0), train.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    return (train - centre) / spread, (test - centre) / spread
