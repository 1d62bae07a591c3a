"""`thermal` on measured contact heat: parts that have another temperature than any that a model was trained on.

Training sees touches of one condition only (parts at room temperature), of other sessions than those it is tested on.
Tested are the held-out touches, those of every other condition, and simulated cooled ones: measured touches of room
temperature, shifted by what the sensors answer to a colder part. The last are for the class that was not measured cold:
a model that takes everything cold for wood fails there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from palpate_agents.benchmarks.spectra import Interval, expected_calibration_error, interval_over_objects, over_seeds
from palpate_agents.benchmarks.thermal_rivals import RIVALS, Answer
from palpate_agents.data import TouchDataset
from palpate_agents.encoders.contact_heat import log10_effusivity_ratio
from palpate_agents.encoders.thermistors import Response, calibrate, part_heat, responses
from palpate_agents.errors import DataError
from palpate_agents.touch_training import (
    DEFAULT_TRAINING,
    TouchTraining,
    predict,
    temperature_channels,
    train_thermal_model,
    two_temperatures,
)

ROOM = "room"
FOLDS = 10
COOLED_K = 7.0
"""As the cold wood looks to the unheated sensor at the end of a touch."""
COLD_K = 17.0
"""About as far below the room as the cold wood is by two half-spaces."""
WARMED_K = 5.0
"""Three quarters of the way to a sensor at 29.5 degrees Celsius: one heated sensor then takes metal for wood."""
SHIFTED: dict[str, tuple[float, float]] = {
    "cooled_{0}_is_{0}": (COOLED_K, 1.0),
    "cooled_{0}_is_{0}_17k": (COLD_K, 1.0),
    "cooled_{0}_is_{0}_unheated_half": (COOLED_K, 0.5),
    "cooled_{0}_is_{0}_unheated_double": (COOLED_K, 2.0),
    "warmed_{0}_is_{0}": (-WARMED_K, 1.0),
}
"""Metric -> kelvin colder, and factor on the answer of the unheated sensor, which is known least."""


class Touches(NamedTuple):
    """Touches to be recognised; `rows` (n,) are their places in the whole data set, which say their sessions."""

    data: TouchDataset
    rows: NDArray[np.intp]


class Fold(NamedTuple):
    """(N,) bool each: touches of the sessions that are held out, touches to train on."""

    held_out: NDArray[np.bool_]
    train: NDArray[np.bool_]


class Separation(NamedTuple):
    """What two half-spaces say of some touches: (n,) log10 effusivity ratio, and part temperature, degrees Celsius."""

    name: str
    log10_ratio: NDArray[np.float64]
    part_c: NDArray[np.float64]


Right = dict[str, NDArray[np.float64]]


def bench_thermal(
    dataset: TouchDataset,
    seeds: Sequence[int],
    options: TouchTraining = DEFAULT_TRAINING,
    progress: Callable[[str], None] | None = None,
    room: str = ROOM,
) -> dict:
    """Accuracy on held-out, cold and simulated cooled touches, of the network and of its rivals on the same folds.

    Args:
        dataset: touches with two temperature channels; at least two sessions per label in the condition `room`.
        seeds: of folds and training; figures are means over the seeds.
        options: hyper-parameters of the network, fixed beforehand.
        progress: called with one line per finished step.
        room: the condition to train on; a data set without conditions is all of it.

    Returns:
        benchmark, data, seeds, metrics, baselines and wall_s of the result file (`PROTOCOLS`: value, low, high, n).

    Raises:
        DataError: channels or sample rate do not serve, no touches in that condition, or too few sessions.
    """
    say = progress or (lambda _line: None)
    start = time.perf_counter()
    tests = to_recognise(dataset, room)
    session = sessions(dataset)
    ours: list[Right] = []
    errors: list[float] = []
    rivals: dict[str, list[Right]] = {name: [] for name in RIVALS}
    for seed in seeds:
        folds = list(split(dataset, room, seed))
        right, error = _network_right(dataset, folds, tests, seed, options)
        ours.append(right)
        errors.append(error)
        say(f"network, seed {seed}: {_line(right)}")
        for name, rival in RIVALS.items():
            rivals[name].append(_rival_right(dataset, folds, tests, rival.fit, rival.told, seed))
            say(f"{name}, seed {seed}: {_line(rivals[name][-1])}")
    ece = over_seeds(errors, len(tests[_name(room)].rows))
    return {
        "benchmark": "thermal",
        "data": dataset.name,
        "seeds": list(seeds),
        "metrics": _intervals(ours, tests, session) | {"ece_room": ece},
        "baselines": {name: _intervals(right, tests, session) for name, right in rivals.items()},
        "wall_s": round(time.perf_counter() - start, 1),
    }


def training_rows(dataset: TouchDataset, room: str = ROOM) -> NDArray[np.bool_]:
    """(N,) touches of the condition to train on.

    Raises:
        DataError: there is no such condition.
    """
    conditions = sorted({str(condition) for condition in dataset.condition})
    if conditions == [""]:
        return np.ones(len(dataset), bool)
    if room not in conditions:
        raise DataError(
            f"{dataset.name}: no touch has the condition {room!r}; there are {', '.join(map(repr, conditions))}: name "
            "the one in which parts have the room's temperature"
        )
    return np.asarray(dataset.condition == room)


def sessions(dataset: TouchDataset) -> NDArray[np.str_]:
    """(N,) what was measured together: the group without its label, if that joins groups of several labels.

    "block 3 metal" and "block 3 wood" are two objects of one session, whose weather and handling they share.
    """
    pairs = zip(dataset.group, dataset.label, strict=True)
    joint = np.array([str(group).replace(str(label), "").strip(" _-/") for group, label in pairs])
    together = {name for name in joint.tolist() if name and len(set(dataset.label[joint == name])) > 1}
    return np.where(np.isin(joint, sorted(together)), joint, dataset.group)


def split(dataset: TouchDataset, room: str, seed: int, folds: int = FOLDS) -> Iterator[Fold]:
    """Folds over sessions; touches of other conditions follow their session and never train.

    Raises:
        DataError: a label has fewer than two sessions in the condition to train on.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    train = training_rows(dataset, room)
    session = sessions(dataset)
    replace(dataset.take(train), group=_of_label(session, dataset.label)[train]).require_groups_per_label(2)
    fewest = min(len(set(session[train & (dataset.label == label)])) for label in dataset.take(train).labels)
    rows = np.flatnonzero(train)
    splitter = StratifiedGroupKFold(min(folds, fewest), shuffle=True, random_state=seed)
    parts = [set(session[rows[test]]) for _, test in splitter.split(rows, dataset.label[rows], session[rows])]
    # Sessions without any touch to train on are no one's: the first model recognises them.
    parts[0] |= set(session.tolist()) - set(session[rows])
    for part in parts:
        held_out = np.isin(session, sorted(part))
        yield Fold(held_out, train & ~held_out)


def to_recognise(dataset: TouchDataset, room: str = ROOM) -> dict[str, Touches]:
    """Everything that is to be recognised, by the name of its metric."""
    train = training_rows(dataset, room)
    known = dataset.take(train).labels
    sets = {_name(room): Touches(dataset.take(train), np.flatnonzero(train))}
    for condition in sorted({str(condition) for condition in dataset.condition[~train]}):
        for label in known:
            rows = np.flatnonzero(~train & (dataset.condition == condition) & (dataset.label == label))
            if len(rows):
                sets[f"accuracy_{_word(condition)}_{_word(label)}"] = Touches(dataset.take(rows), rows)
    answers = responses(two_temperatures(dataset).take(train), dataset.label[train], dataset.group[train])
    for label in known:
        rows = np.flatnonzero(train & (dataset.label == label))
        for name, (kelvin, factor) in SHIFTED.items():
            sets[name.format(_word(label))] = Touches(cooled(dataset.take(rows), answers[label], kelvin, factor), rows)
    return sets


def cooled(dataset: TouchDataset, answer: Response, kelvin: float, unheated_factor: float = 1.0) -> TouchDataset:
    """Touches of one material as they would be if the part were colder.

    Conduction is linear: a part that is colder by `kelvin` adds the sensor's answer to one kelvin, that many times. For
    the heated sensor that answer is its measured fall over its step. It is a lower bound: in air the skin's face is
    colder than its heater, so the step that the part sees is smaller than the one that is measured.

    Args:
        dataset: touches of one material at room temperature.
        answer: both sensors' answers to that material, on the data set's time axis.
        kelvin: how much colder.
        unheated_factor: on the answer of the unheated sensor.
    """
    heated, unheated = temperature_channels(dataset)
    signals = dataset.signals.copy()
    signals[:, :, heated] -= kelvin * answer.heated
    signals[:, :, unheated] -= kelvin * unheated_factor * np.nan_to_num(answer.unheated)
    return replace(dataset, signals=signals)


def separation(dataset: TouchDataset, seed: int = 0, room: str = ROOM) -> list[Separation]:
    """Effusivity ratio and temperature of every touch by two half-spaces, sensors calibrated by the other sessions."""
    tests = to_recognise(dataset, room)
    found = {key: (np.empty(len(test.rows)), np.empty(len(test.rows))) for key, test in tests.items()}
    for fold in split(dataset, room, seed):
        train = dataset.take(fold.train)
        sensors = calibrate(two_temperatures(train), train.label, train.group)
        for key, inside, touches in _held_out(tests, fold):
            heat = part_heat(two_temperatures(touches), sensors)
            found[key][0][inside], found[key][1][inside] = log10_effusivity_ratio(heat.share), heat.part_c
    points = []
    for key, (ratio, part_c) in found.items():
        if key == _name(room):
            for label in tests[key].data.labels:
                of = tests[key].data.label == label
                points.append(Separation(label, ratio[of], part_c[of]))
        elif key.startswith("accuracy_"):
            points.append(Separation(key.removeprefix("accuracy_").replace("_", " "), ratio, part_c))
        elif not key.endswith(("_half", "_double")):
            label, by = tests[key].data.labels[0], COLD_K if key.endswith("_17k") else COOLED_K
            words = f"{WARMED_K:.0f} K warmer" if key.startswith("warmed") else f"{by:.0f} K colder"
            points.append(Separation(f"{label}, simulated {words}", ratio, part_c))
    return points


def _held_out(tests: dict[str, Touches], fold: Fold) -> Iterator[tuple[str, NDArray[np.intp], TouchDataset]]:
    """What a fold holds out of each test set: its name, places in it and touches; nothing of a set that it spares."""
    for key, test in tests.items():
        inside = np.flatnonzero(fold.held_out[test.rows])
        if len(inside):
            yield key, inside, test.data.take(inside)


def _network_right(
    dataset: TouchDataset, folds: Sequence[Fold], tests: dict[str, Touches], seed: int, options: TouchTraining
) -> tuple[Right, float]:
    """Right answers of the network, and its calibration error on the held-out touches of the first test set."""
    labels = np.array(next(iter(tests.values())).data.labels)
    beliefs = {key: np.zeros((len(test.rows), len(labels))) for key, test in tests.items()}
    for fold in folds:
        model = train_thermal_model(dataset.take(fold.train), seed, options, tuple(labels.tolist()))
        for key, inside, touches in _held_out(tests, fold):
            beliefs[key][inside] = predict(model, two_temperatures(touches))
    right = {key: (labels[beliefs[key].argmax(axis=1)] == tests[key].data.label).astype(float) for key in tests}
    first = next(iter(tests))
    return right, expected_calibration_error(np.exp(beliefs[first].max(axis=1)), right[first])


def _rival_right(
    dataset: TouchDataset,
    folds: Sequence[Fold],
    tests: dict[str, Touches],
    fit: Callable[[TouchDataset, int], Answer],
    told: bool,
    seed: int,
) -> Right:
    """Right answers of a rival; one that is `told` trains on every condition of the other sessions."""
    right = {key: np.zeros(len(test.rows)) for key, test in tests.items()}
    for fold in folds:
        answer = fit(dataset.take(~fold.held_out if told else fold.train), seed)
        for key, inside, touches in _held_out(tests, fold):
            right[key][inside] = answer(touches) == touches.label
    return right


def _intervals(rights: Sequence[Right], tests: dict[str, Touches], session: NDArray[np.str_]) -> dict[str, Interval]:
    """Mean over seeds, interval over sessions."""
    return {
        key: interval_over_objects(np.mean([right[key] for right in rights], axis=0), session[test.rows])
        for key, test in tests.items()
    }


def _of_label(session: NDArray[np.str_], label: NDArray[np.str_]) -> NDArray[np.str_]:
    return np.array([f"{s} {name}" for s, name in zip(session, label, strict=True)])


def _name(room: str) -> str:
    return f"accuracy_{_word(room)}"


def _word(text: str) -> str:
    """A label or condition as part of a metric's name."""
    return "".join(c if c.isalnum() else "_" for c in text.lower()).strip("_") or "unnamed"


def _line(right: Right) -> str:
    return ", ".join(f"{key} {values.mean():.3f}" for key, values in right.items() if key.startswith("accuracy"))
