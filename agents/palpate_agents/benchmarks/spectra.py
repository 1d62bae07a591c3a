"""`spectra` on labelled spectra: every object recognised by a model of the others, beside tuned-beforehand classics.

Intervals are over objects, not spectra: repeated scans of one object are no independent trials.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palpate_agents.data import SpectraDataset
from palpate_agents.spectra_training import DEFAULT_TRAINING, SpectraTraining, item_belief, leave_item_out

BOOTSTRAPS = 10_000
CALIBRATION_BINS = 15

Interval = dict[str, float | int]


def bench_spectra(
    dataset: SpectraDataset,
    seeds: Sequence[int],
    options: SpectraTraining = DEFAULT_TRAINING,
    progress: Callable[[str], None] | None = None,
) -> dict:
    """Leave-item-out accuracy of the network and of SVM, random forest and nearest neighbour on the same folds.

    Args:
        dataset: at least two objects per label.
        seeds: of training; figures are means over the seeds.
        options: hyper-parameters of the network, fixed beforehand.
        progress: called with one line per finished step.

    Returns:
        benchmark, seeds, metrics, baselines and wall_s of the result file (`PROTOCOLS`: value, low, high, n).

    Raises:
        DataError: a label has one object only.
    """
    dataset.require_groups_per_label(2)
    say = progress or (lambda _line: None)
    start = time.perf_counter()
    beliefs = []
    for seed in seeds:
        beliefs.append(leave_item_out(dataset, seed, options))
        say(f"network, seed {seed}: {right_answers(dataset, beliefs[-1]).mean():.3f}")
    ours = np.mean([right_answers(dataset, belief) for belief in beliefs], axis=0)
    errors = [expected_calibration_error(np.exp(b.max(axis=1)), right_answers(dataset, b)) for b in beliefs]
    baselines = {name: baseline_right(dataset, name) for name in BASELINES}
    for name, right in baselines.items():
        say(f"{name}: {right.mean():.3f}")
    metrics = {
        "accuracy": interval_over_objects(ours, dataset.group),
        "accuracy_per_item": interval_over_objects(ours, dataset.group, per_object=True),
        "item_decision": _item_decisions(dataset, beliefs),
        "svm_accuracy": interval_over_objects(baselines["svm"], dataset.group),
        "minus_svm": interval_over_objects(ours - baselines["svm"], dataset.group),
        "minus_svm_derivative": interval_over_objects(ours - baselines["svm_derivative"], dataset.group),
        "ece": over_seeds(errors, len(dataset)),
    }
    if "black" in dataset.condition:
        clear = dataset.condition != "black"
        metrics["accuracy_without_black"] = interval_over_objects(ours[clear], dataset.group[clear])
    return {
        "benchmark": "spectra",
        "data": dataset.name,
        "seeds": list(seeds),
        "metrics": metrics,
        "baselines": {
            name: {
                "accuracy": interval_over_objects(right, dataset.group),
                "accuracy_per_item": interval_over_objects(right, dataset.group, per_object=True),
            }
            for name, right in baselines.items()
        },
        "wall_s": round(time.perf_counter() - start, 1),
    }


def right_answers(dataset: SpectraDataset, log_belief: NDArray[np.floating]) -> NDArray[np.float64]:
    """(N,) 1 where the most probable label is the truth."""
    return (np.array(dataset.labels)[log_belief.argmax(axis=1)] == dataset.label).astype(np.float64)


def interval_over_objects(
    values: NDArray[np.floating], group: NDArray[np.str_], per_object: bool = False, seed: int = 0
) -> Interval:
    """Mean of (N,) values with a 95 % bootstrap interval over objects.

    Args:
        values: one per spectrum: right or wrong, or the difference of two methods.
        group: (N,) objects.
        per_object: every object counts the same; else every spectrum does.
        seed: of the bootstrap.
    """
    _, owner = np.unique(group, return_inverse=True)
    total, count = np.bincount(owner, weights=values), np.bincount(owner).astype(float)
    if per_object:
        total, count = total / count, np.ones_like(count)
    drawn = np.random.default_rng(seed).integers(0, len(total), (BOOTSTRAPS, len(total)))
    means = total[drawn].sum(axis=1) / count[drawn].sum(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return {
        "value": round(float(total.sum() / count.sum()), 4),
        "low": round(float(low), 4),
        "high": round(float(high), 4),
        "n": len(total),
    }


def expected_calibration_error(confidence: NDArray[np.floating], right: NDArray[Any]) -> float:
    """Top-1 expected calibration error of (N,) confidences, `right` 1 or 0: 15 bins of equal mass."""
    bins = np.array_split(np.argsort(confidence, kind="stable"), min(CALIBRATION_BINS, len(right)))
    return float(sum(len(b) * abs(confidence[b].mean() - right[b].mean()) for b in bins) / len(right))


def over_seeds(values: Sequence[float], n: int) -> Interval:
    """Mean, lowest and highest of a figure over the seeds of training, measured on `n` rows."""
    low, high = round(min(values), 4), round(max(values), 4)
    return {"value": round(float(np.mean(values)), 4), "low": low, "high": high, "n": n}


def baseline_right(dataset: SpectraDataset, name: str) -> NDArray[np.float64]:
    """(N,) 1 where a baseline recognises an object from all others; fixed hyper-parameters, seed 0."""
    right = np.zeros(len(dataset))
    prepare, make = BASELINES[name]
    values = prepare(dataset.values)
    for group in dataset.groups:
        held_out = dataset.group == group
        model = make().fit(values[~held_out], dataset.label[~held_out])
        right[held_out] = model.predict(values[held_out]) == dataset.label[held_out]
    return right


def _item_decisions(dataset: SpectraDataset, beliefs: Sequence[NDArray[np.floating]]) -> Interval:
    """Objects named right by the belief over all their spectra; mean over seeds."""
    labels = np.array(dataset.labels)
    names = np.array(dataset.groups)
    right = [
        np.mean(
            [labels[item_belief(b[dataset.group == g]).argmax()] == dataset.only_group(g).labels[0] for b in beliefs]
        )
        for g in names
    ]
    return interval_over_objects(np.array(right), names)


def _svm():
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    return make_pipeline(StandardScaler(), SVC(C=100))


def _plain_svm():
    from sklearn.svm import SVC

    return SVC(C=100)


def _forest():
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(300, random_state=0)


def _neighbour():
    from sklearn.neighbors import KNeighborsClassifier

    return KNeighborsClassifier(1)


def _as_measured(values: NDArray[np.floating]) -> NDArray[np.floating]:
    return values


def _derivative(values: NDArray[np.floating]) -> NDArray[np.floating]:
    slope = np.gradient(values, axis=1)
    return (slope - slope.mean(axis=1, keepdims=True)) / np.maximum(slope.std(axis=1, keepdims=True), 1e-12)


BASELINES: dict[str, tuple[Callable[[NDArray[np.floating]], NDArray[np.floating]], Callable]] = {
    "svm": (_as_measured, _svm),
    "svm_unscaled": (_as_measured, _plain_svm),
    "svm_derivative": (_derivative, _plain_svm),
    "random_forest": (_as_measured, _forest),
    "nearest_neighbour": (_as_measured, _neighbour),
}
"""`svm`, `random_forest`, `nearest_neighbour` are the published comparison; `svm_derivative` gets our preprocessing."""
