"""What the thermal network is compared with: the published features, both sensors raw, and the physics on its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from palpate_agents.data import TouchDataset
from palpate_agents.encoders.contact_heat import log10_effusivity_ratio
from palpate_agents.encoders.thermistors import PairTraces, ThermistorPair, calibrate, late, part_heat
from palpate_agents.touch_training import two_temperatures

SEARCH_S, KEPT_S = 2.5, 5.0
"""Published alignment: from where the heated curve is flattest within the first 500 samples, 1000 samples are kept; of
shorter touches the same shares."""
SMOOTHING_S = 0.05

Answer = Callable[[TouchDataset], NDArray[np.str_]]
Features = NDArray[np.float64]


class Rival(NamedTuple):
    """`fit(training touches, seed)` gives a function from touches to labels; `told`: it trains on cold touches too."""

    fit: Callable[[TouchDataset, int], Answer]
    told: bool = False


def published_features(traces: PairTraces, sensors: str) -> Features:
    """(N, F) raw readings of the "heated" sensor, the "unheated" one, or "both", aligned as published ('curvemax')."""
    step = float(np.median(np.diff(traces.times_s)))
    length = len(traces.times_s)
    kept = min(round(KEPT_S / step), 5 * length // 8)
    search = min(round(SEARCH_S / step), length - kept)
    slope = gaussian_filter1d(np.gradient(traces.heated_c, step, axis=1), max(SMOOTHING_S / step, 0.1), axis=1)
    start = np.abs(slope[:, :search]).argmin(axis=1)
    at = start[:, None] + np.arange(kept)
    curves = {"heated": (traces.heated_c,), "unheated": (traces.unheated_c,)}
    chosen = curves[sensors] if sensors in curves else curves["heated"] + curves["unheated"]
    return np.hstack([np.take_along_axis(curve, at, axis=1) for curve in chosen])


def _raw(make: Callable[[int], Any], sensors: str) -> Callable[[TouchDataset, int], Answer]:
    def fit(train: TouchDataset, seed: int) -> Answer:
        model = make(seed).fit(published_features(two_temperatures(train), sensors), train.label)
        return lambda touches: model.predict(published_features(two_temperatures(touches), sensors))

    return fit


def _svm(_seed: int) -> Any:
    from sklearn.svm import SVC

    return SVC(kernel="linear")


def _forest(seed: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(300, random_state=seed)


def _by_physics(feature: Callable[[PairTraces, ThermistorPair], Features]) -> Callable[[TouchDataset, int], Answer]:
    """Logistic regression on one number that physics gives."""

    def fit(train: TouchDataset, _seed: int) -> Answer:
        from sklearn.linear_model import LogisticRegression

        traces = two_temperatures(train)
        sensors = calibrate(traces, train.label, train.group)
        model = LogisticRegression().fit(feature(traces, sensors)[:, None], train.label)
        return lambda touches: model.predict(feature(two_temperatures(touches), sensors)[:, None])

    return fit


def _one_sensor(traces: PairTraces, sensors: ThermistorPair) -> Features:
    """The heated sensor's fall over its step to the room: right as long as the part has the room's temperature."""
    slow = traces.at_period()
    start, room = slow.starts()
    fall = start - slow.heated_c[:, late(slow.times_s)].mean(axis=1)
    return log10_effusivity_ratio(fall / sensors.level_reach / (start - room))


def _two_sensors(traces: PairTraces, sensors: ThermistorPair) -> Features:
    return log10_effusivity_ratio(part_heat(traces, sensors).share)


RIVALS: dict[str, Rival] = {
    "svm_heated": Rival(_raw(_svm, "heated")),
    "svm_both": Rival(_raw(_svm, "both")),
    "random_forest_heated": Rival(_raw(_forest, "heated")),
    "random_forest_both": Rival(_raw(_forest, "both")),
    "physics_one_sensor": Rival(_by_physics(_one_sensor)),
    "physics_two_sensors": Rival(_by_physics(_two_sensors)),
    "svm_both_told_cold": Rival(_raw(_svm, "both"), told=True),
    "svm_unheated_told_cold": Rival(_raw(_svm, "unheated"), told=True),
}
"""`svm_*` and `random_forest_*` have the published features. `svm_both_told_cold` is the reference that was trained on
cold touches, too; `svm_unheated_told_cold` can learn from them only that cold means wood. `physics_two_sensors` is ours
without the network, `physics_one_sensor` without the second sensor."""
