"""`process` on a labelled table: nested stratified folds, beside random forests and other classics on the same folds.

Every fold of every seed is judged by models of the other folds only: the weights of our stack and the hyper-parameters
of `rf_tuned` are chosen in inner folds of the training part. Intervals are over rows, or over groups where they repeat.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from palpate_agents.benchmarks.spectra import interval_over_objects
from palpate_agents.data import TableDataset
from palpate_agents.table_training import (
    DEFAULT_TRAINING,
    INNER_FOLDS,
    TableStack,
    TableTraining,
    default_parts,
    stratified_folds,
)

OUTER_FOLDS = 5
READOUT_SHARE = 0.8
"""A column's readout is the coarsest decimal step that so many of its values lie on."""

MAX_DECIMALS = 6

Right = NDArray[np.float64]
Fold = tuple[NDArray[np.intp], NDArray[np.intp]]


def bench_process(
    dataset: TableDataset,
    seeds: Sequence[int],
    options: TableTraining = DEFAULT_TRAINING,
    progress: Callable[[str], None] | None = None,
) -> dict:
    """Nested five-fold accuracy of the stack, of each of its parts alone, and of classics on the same folds.

    Args:
        dataset: two labels or more, each with at least five rows (five groups, where groups repeat).
        seeds: of folds and training; figures are means over the seeds.
        options: hyper-parameters of the network, fixed beforehand.
        progress: called with one line per finished fold and seed.

    Returns:
        benchmark, data, seeds, metrics, baselines, weights and wall_s of the result file (`PROTOCOLS`). Parts of the
        stack alone stand among the baselines as `part_<name>`.

    Raises:
        DataError: one label only, or a label with fewer than five rows or groups.
    """
    dataset.require_groups_per_label(OUTER_FOLDS)
    say = progress or (lambda _line: None)
    start = time.perf_counter()
    target = np.searchsorted(dataset.labels, dataset.label)
    per_seed: list[dict[str, Right]] = []
    weights: list[dict[str, float]] = []
    for seed in seeds:
        right: dict[str, Right] = {}
        for number, fold in enumerate(stratified_folds(target, dataset.group, OUTER_FOLDS, seed)):
            weights.append(_judge(dataset, target, fold, seed, options, right))
            say(f"seed {seed}, fold {number + 1} of {OUTER_FOLDS}: {time.perf_counter() - start:.0f} s")
        per_seed.append(right)
        say(f"seed {seed}: " + ", ".join(f"{name} {right[name].mean():.4f}" for name in ("stack", "rf_tuned", "rf")))
    mean = {name: np.mean([right[name] for right in per_seed], axis=0) for name in per_seed[0]}
    return {
        "benchmark": "process",
        "data": dataset.name,
        "seeds": list(seeds),
        "metrics": _metrics(dataset, mean),
        "baselines": {
            name: {"accuracy": interval_over_objects(right, dataset.group)}
            for name, right in mean.items()
            if name != "stack"
        },
        "weights": {name: round(float(np.mean([chosen[name] for chosen in weights])), 3) for name in weights[0]},
        "wall_s": round(time.perf_counter() - start, 1),
    }


def finer_than_readout(values: NDArray[np.floating]) -> NDArray[np.bool_]:
    """(N,) rows with a number that has more decimals than its column's readout: computed, not measured.

    A machine logs a column with a fixed number of decimals. A few values with all digits of a floating-point number
    were filled in or generated afterwards, and may tell the label by that alone. A column without a common step of
    1e-5 or coarser (calibrated, scaled) says nothing.

    Args:
        values: (N, F) finite numbers.
    """
    finer = np.zeros(len(values), bool)
    for column in np.asarray(values, np.float64).T:
        for decimals in range(MAX_DECIMALS):
            if _has_decimals(column, decimals).mean() >= READOUT_SHARE:
                # One digit more is a column that mixes 0.5 and 0.25, not a computed value.
                finer |= ~_has_decimals(column, decimals + 1)
                break
    return finer


def _has_decimals(column: NDArray[np.float64], decimals: int) -> NDArray[np.bool_]:
    scaled = column * 10.0**decimals
    return np.abs(scaled - np.round(scaled)) <= 1e-9 * np.maximum(np.abs(scaled), 1.0)


def _judge(
    dataset: TableDataset, target: NDArray[np.integer], fold: Fold, seed: int, options: TableTraining,
    right: dict[str, Right],
) -> dict[str, float]:  # fmt: skip
    """Fills one fold of every method's right answers; returns the weights of the stack."""
    train, test = fold
    values, group = dataset.values, dataset.group[train]
    stack = TableStack(default_parts(options)).fit(values[train], target[train], group, len(dataset.labels), seed)
    beliefs = stack.part_beliefs(values[test])
    answers = {"stack": stack.mix(beliefs).argmax(axis=1)}
    answers |= {f"part_{name}": belief.argmax(axis=1) for name, belief in beliefs.items()}
    for name, make in BASELINES.items():
        inner = stratified_folds(target[train], group, INNER_FOLDS, seed)
        answers[name] = make(seed, inner).fit(values[train], target[train]).predict(values[test])
    for name, answer in answers.items():
        right.setdefault(name, np.zeros(len(target)))[test] = answer == target[test]
    return stack.weights


def _metrics(dataset: TableDataset, mean: dict[str, Right]) -> dict:
    group, ours = dataset.group, mean["stack"]
    metrics = {
        "accuracy": interval_over_objects(ours, group),
        "network_accuracy": interval_over_objects(mean["part_network"], group),
        "minus_rf": interval_over_objects(ours - mean["rf"], group),
        "minus_rf_tuned": interval_over_objects(ours - mean["rf_tuned"], group),
    }
    for label in dataset.labels:
        rows = dataset.label == label
        metrics[f"recall_{label}"] = interval_over_objects(ours[rows], group[rows])
    finer = finer_than_readout(dataset.values)
    if finer.any() and not finer.all():
        metrics["accuracy_readout_rows"] = interval_over_objects(ours[~finer], group[~finer])
        metrics["minus_rf_tuned_readout_rows"] = interval_over_objects((ours - mean["rf_tuned"])[~finer], group[~finer])
    return metrics


def _forest(seed: int, _inner: list[Fold]) -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(300, random_state=seed)


class TunedForest:
    """A random forest whose columns per cut and criterion are chosen in inner folds, with fewer trees to save time.

    Args:
        seed: of the forests.
        inner: folds of the rows that `fit` gets.
    """

    GRID: ClassVar[dict[str, list]] = {"max_features": [0.25, 0.5, 0.75], "criterion": ["gini", "entropy"]}

    def __init__(self, seed: int, inner: list[Fold]) -> None:
        self.seed, self.inner = seed, inner

    def fit(self, values: NDArray[np.floating], target: NDArray[np.integer]) -> TunedForest:
        """Chooses, then trains 300 trees on all rows."""
        from sklearn.ensemble import RandomForestClassifier
        from sklearn.model_selection import GridSearchCV

        forest = RandomForestClassifier(100, random_state=self.seed)
        search = GridSearchCV(forest, self.GRID, cv=self.inner, refit=False).fit(values, target)
        self.chosen = search.best_params_
        self.model = RandomForestClassifier(300, random_state=self.seed, **self.chosen).fit(values, target)
        return self

    def predict(self, values: NDArray[np.floating]) -> NDArray[np.integer]:
        """(N,) class index."""
        return self.model.predict(values)


def _boosting(seed: int, _inner: list[Fold]) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(random_state=seed)


def _svm(_seed: int, _inner: list[Fold]) -> Any:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    return make_pipeline(StandardScaler(), SVC(C=100, gamma=0.1))


def _neighbours(_seed: int, _inner: list[Fold]) -> Any:
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), KNeighborsClassifier(4, p=1))


def _most_frequent(_seed: int, _inner: list[Fold]) -> Any:
    from sklearn.dummy import DummyClassifier

    return DummyClassifier()


BASELINES: dict[str, Callable[[int, list[Fold]], Any]] = {
    "rf": _forest,
    "rf_tuned": TunedForest,
    "hist_gradient_boosting": _boosting,
    "svm": _svm,
    "knn": _neighbours,
    "most_frequent": _most_frequent,
}
"""Fixed hyper-parameters as published for this data (Polenta et al. 2022: svm, knn) or the library's (rf, boosting)."""
