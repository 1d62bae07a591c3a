"""The spectra benchmark: intervals over objects, folds without leaks, figures of the baselines."""

import json

import numpy as np
import pytest

from palpate_agents.benchmarks.spectra import BASELINES, baseline_right, bench_spectra, interval_over_objects
from palpate_agents.data import SpectraDataset
from palpate_agents.errors import DataError
from palpate_agents.spectra_training import SpectraTraining


def make(rng, objects=4, scans=4, signal=1.0):
    """Two labels that differ by a band; objects differ everywhere, scans of one object hardly at all."""
    values, label, group = [], [], []
    for name, sign in (("A", 1.0), ("B", -1.0)):
        for number in range(objects):
            own = rng.normal(0, 0.5, 16)
            own[4:12] += 5 * sign * signal
            values += list(own + 0.001 * rng.normal(size=(scans, 16)))
            label += [name] * scans
            group += [f"{name}{number}"] * scans
    return SpectraDataset(
        name="made", label=np.array(label), group=np.array(group), condition=np.full(len(label), ""),
        wavelength_nm=np.linspace(900, 1200, 16), values=np.array(values),
    )  # fmt: skip


def test_interval_counts_objects_not_spectra():
    # 20 objects, right or wrong as a whole: 200 spectra tell no more than 20.
    right = np.repeat(np.arange(20) % 2, 10).astype(float)
    many = interval_over_objects(right, np.repeat([f"o{i}" for i in range(20)], 10))
    few = interval_over_objects(np.arange(20) % 2, np.array([f"o{i}" for i in range(20)]))
    assert many == few
    assert many["n"] == 20
    expected = 1.96 * np.sqrt(0.25 / 20)  # binomial, 20 trials
    assert many["high"] - many["value"] == pytest.approx(expected, abs=0.04)


def test_spectra_or_objects_count_the_same():
    right, group = np.array([1.0, 1.0, 1.0, 0.0]), np.array(["a", "a", "a", "b"])
    assert interval_over_objects(right, group)["value"] == 0.75
    assert interval_over_objects(right, group, per_object=True)["value"] == 0.5


@pytest.mark.parametrize("name", list(BASELINES))
def test_baselines_learn_a_signal_but_not_an_object(name):
    rng = np.random.default_rng(0)
    assert baseline_right(make(rng), name).mean() > 0.9
    # Without a signal only a leak between scans of one object could help.
    assert baseline_right(make(rng, signal=0.0), name).mean() < 0.8


def test_result_is_the_content_of_a_result_file():
    lines = []
    data = make(np.random.default_rng(0), objects=2, scans=2)
    result = bench_spectra(data, (3, 4), SpectraTraining(steps=2), lines.append)
    result = json.loads(json.dumps(result))
    assert result["seeds"] == [3, 4]
    assert len(lines) == 2 + len(BASELINES)
    for figures in (result["metrics"], *result["baselines"].values()):
        for value in figures.values():
            assert value.keys() == {"value", "low", "high", "n"}
            assert value["low"] <= value["value"] <= value["high"]
    difference = result["metrics"]["accuracy"]["value"] - result["baselines"]["svm"]["accuracy"]["value"]
    assert result["metrics"]["minus_svm"]["value"] == pytest.approx(difference, abs=2e-4)


def test_one_object_per_label_is_refused():
    with pytest.raises(DataError, match="at least 2 groups"):
        bench_spectra(make(np.random.default_rng(0), objects=1), (0,))
