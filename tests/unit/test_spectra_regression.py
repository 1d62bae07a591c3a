"""Regression on spectra: what it learns, its uncertainty, what it refuses; folds and baselines of its benchmark."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from palpate_agents.benchmarks import spectra_regression as bench
from palpate_agents.data import SpectraDataset, save_dataset
from palpate_agents.errors import ConfigError, DataError
from palpate_agents.spectra_regression import (
    MIN_GROUPS,
    _blocks,
    _left_out_loss,
    fit_regression,
    regression_features,
    regression_grid,
)
from palpate_nodes.commands.bench_spectra import spectra

AXIS = np.linspace(1500, 1950, 120)
FIGURES = {"benchmark": "spectra", "seeds": [0], "metrics": {}, "baselines": {}, "wall_s": 0.0}


def made(rng, objects=24, scans=3, noise=0.02, axis=AXIS, reflectance=True):
    """Objects whose absorption band at 1730 nm grows with `amount`; every scan has its own gain and offset."""
    amount = np.repeat(rng.uniform(1, 3, objects), scans)
    band = np.exp(-(((axis - 1730) / 25) ** 2))
    other = np.exp(-(((axis - 1650) / 25) ** 2))
    absorbance = 0.3 * amount[:, None] * band + 0.8 * other + 0.1 * rng.uniform(size=(len(amount), 1))
    values = 10.0 ** -(absorbance * rng.uniform(0.8, 1.2, (len(amount), 1)))
    truth = amount + np.repeat(noise * rng.normal(size=objects), scans)
    return SpectraDataset(
        name="made", label=np.tile(np.repeat(["A", "B"], scans), objects // 2),
        group=np.repeat([f"o{i:02d}" for i in range(objects)], scans), condition=np.full(len(amount), ""),
        targets={"amount": truth}, wavelength_nm=axis, values=values * (1 if reflectance else 1000),
        is_reflectance=reflectance,
    )  # fmt: skip


@pytest.fixture(scope="module")
def halves():
    data = made(np.random.default_rng(0), objects=60)
    first = np.isin(data.group, data.groups[:30])
    return data.take(first), data.take(~first)


def test_new_objects_are_predicted_whatever_gain_and_offset(halves):
    train, test = halves
    mean, std = fit_regression(train, "amount").predict(test)
    error = mean - test.targets["amount"]
    assert np.sqrt(np.mean(error**2)) < 0.15 * test.targets["amount"].std()
    assert mean.shape == std.shape == (len(test),)
    assert np.all(std > 0)


def test_intervals_hold_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(1)
    inside = []
    for _ in range(4):
        data = made(rng, objects=60, noise=0.3)
        first = np.isin(data.group, data.groups[:30])
        model = fit_regression(data.take(first), "amount")
        mean, std = model.predict(data.take(~first))
        inside.append(np.abs(mean - data.targets["amount"][~first]) < model.half_width(std, 0.9))
    # 120 objects: 0.9 +- 0.08 is three standard errors.
    assert 0.82 <= np.mean(inside) <= 0.98
    assert np.median(std) == pytest.approx(0.3, rel=0.35)


def test_a_spectrum_is_predicted_without_the_others(halves):
    train, test = halves
    model = fit_regression(train, "amount")
    mean, std = model.predict(test)
    alone = model.predict(test.take(np.array([4])))
    assert alone[0][0] == pytest.approx(mean[4], rel=1e-4)
    assert alone[1][0] == pytest.approx(std[4], rel=1e-4)


def test_training_is_deterministic_and_ignores_the_order_of_rows(halves):
    train, test = halves
    first = fit_regression(train, "amount").predict(test)[0]
    assert np.array_equal(first, fit_regression(train, "amount").predict(test)[0])
    shuffled = train.take(np.random.default_rng(0).permutation(len(train)))
    assert np.allclose(first, fit_regression(shuffled, "amount").predict(test)[0], rtol=1e-3)


def test_left_out_density_is_that_of_a_fit_without_the_object():
    rng = np.random.default_rng(2)
    size = np.array([2, 3, 2, 1])
    n = size.sum()
    root = rng.normal(size=(n, n))
    covariance, value = root @ root.T + np.eye(n), rng.normal(size=n)
    fast = _left_out_loss(torch.tensor(covariance), torch.tensor(value), _blocks(size))
    slow = 0.0
    for object_ in range(len(size)):
        out = np.repeat(np.arange(len(size)), size) == object_
        gain = covariance[np.ix_(out, ~out)] @ np.linalg.inv(covariance[np.ix_(~out, ~out)])
        mean = gain @ value[~out]
        variance = np.diag(covariance[np.ix_(out, out)] - gain @ covariance[np.ix_(~out, out)])
        slow += np.mean(0.5 * (value[out] - mean) ** 2 / variance + 0.5 * np.log(variance))
    assert fast.item() == pytest.approx(slow, rel=1e-9)


def test_objects_with_different_numbers_of_scans_and_missing_targets():
    data = made(np.random.default_rng(3))
    data = data.take(np.r_[0:40, 41, 43, 44, 45:72])
    target = data.targets["amount"].copy()
    target[data.group == "o03"] = np.nan
    model = fit_regression(replace(data, targets={"amount": target}), "amount")
    assert model.groups == 23
    mean, _ = model.predict(data.only_group("o03"))
    assert mean == pytest.approx(data.only_group("o03").targets["amount"], abs=0.4)


def test_counts_and_a_range_without_the_first_overtone_work():
    data = made(np.random.default_rng(4), axis=np.linspace(1680, 1800, 40), reflectance=False)
    model = fit_regression(data, "amount")
    assert len(model.processes) == 1
    assert np.corrcoef(model.predict(data)[0], data.targets["amount"])[0, 1] > 0.9
    with pytest.raises(DataError, match="trained on counts, these are reflectance"):
        model.predict(replace(data, is_reflectance=True))


def test_uneven_axis_is_resampled():
    uneven = 1e7 / np.linspace(1e7 / 1500, 1e7 / 1950, 300)
    data = made(np.random.default_rng(5), axis=uneven)
    grid = regression_grid(data)
    assert np.ptp(np.diff(grid)) < 1e-9
    assert len(fit_regression(data, "amount").processes) == 2
    even = made(np.random.default_rng(5))
    near = regression_features(even, grid)
    assert np.corrcoef(regression_features(data, grid).ravel(), near.ravel())[0, 1] > 0.99


def test_what_cannot_be_learnt_is_refused(halves):
    train, test = halves
    with pytest.raises(DataError, match="no 'target_density'; targets of this data set: amount"):
        fit_regression(train, "density")
    with pytest.raises(DataError, match="NaN in all 90 rows"):
        fit_regression(replace(train, targets={"amount": np.full(len(train), np.nan)}), "amount")
    with pytest.raises(DataError, match="is 2 everywhere"):
        fit_regression(replace(train, targets={"amount": np.full(len(train), 2.0)}), "amount")
    few = train.take(np.isin(train.group, train.groups[: MIN_GROUPS - 1]))
    with pytest.raises(DataError, match=f"7 groups have 'target_amount'; regression needs at least {MIN_GROUPS}"):
        fit_regression(few, "amount")
    narrow = replace(test, wavelength_nm=AXIS[:80], values=test.values[:, :80])
    with pytest.raises(DataError, match="1500-1799 nm do not cover the model's 1500-1950 nm"):
        fit_regression(train, "amount").predict(narrow)


def test_folds_never_split_an_object_and_cover_all():
    data = made(np.random.default_rng(6))
    seen = np.zeros(len(data), int)
    for train, test in bench.outer_folds(data.group, data.label, 0):
        assert not set(data.group[train]) & set(data.group[test])
        assert len(set(data.label[test])) == 2  # stratified
        seen += test
    assert np.all(seen == 1)
    # A label per object cannot be stratified: plain folds.
    assert len(list(bench.outer_folds(data.group, data.group, 0))) == 5


def test_paths_are_the_library_fits():
    from sklearn.cross_decomposition import PLSRegression
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LinearRegression

    rng = np.random.default_rng(7)
    train, test = rng.normal(size=(40, 60)), rng.normal(size=(10, 60))
    target = train[:, :5].sum(axis=1) + rng.normal(size=40)
    for count in (1, 3, 8):
        pls = PLSRegression(count).fit(train, target).predict(test)
        assert np.allclose(bench.plsr_path(train, test, target)[:, count - 1], pls)
        pca = PCA(count, svd_solver="full").fit(train)
        pcr = LinearRegression().fit(pca.transform(train), target).predict(pca.transform(test))
        assert np.allclose(bench.pcr_path(train, test, target)[:, count - 1], pcr)


def test_robust_normal_variate_takes_the_middle_half():
    spectrum = np.r_[np.arange(8.0), 1e6]
    middle = np.arange(2.0, 7.0)
    expected = (spectrum - middle.mean()) / middle.std(ddof=1)
    assert np.allclose(bench.robust_normal_variate(spectrum[None])[0], expected)


def test_score_of_weighted_objects_is_the_score_of_repeated_objects():
    square, fold, owner = np.array([1.0, 4.0, 9.0, 16.0]), np.array([0, 0, 1, 1]), np.array([0, 1, 2, 2])
    weight = np.array([[1.0, 1.0, 1.0], [2.0, 0.0, 1.0], [0.0, 3.0, 0.0]])
    expected = [(np.sqrt(2.5) + np.sqrt(12.5)) / 2, (1 + np.sqrt(12.5)) / 2, 2.0]
    assert np.allclose(bench.mean_of_fold_rmse(square, fold, owner, weight), expected)


def test_result_is_the_content_of_a_result_file():
    data = made(np.random.default_rng(8), objects=16)
    lines = []
    result = json.loads(json.dumps(bench.bench_regression(data, (0, 3), progress=lines.append)))
    assert len(lines) == 2
    assert result["benchmark"] == "spectra"
    assert set(result["baselines"]) == {"plsr", "pcr", "lasso", "mean"}
    for figures in (result["metrics"], *result["baselines"].values()):
        for value in figures.values():
            assert value.keys() == {"value", "low", "high", "n"}
            assert value["low"] <= value["value"] <= value["high"]
            assert value["n"] == 16
    ours, mean = result["metrics"]["rmse_amount"]["value"], result["baselines"]["mean"]["rmse_amount"]["value"]
    assert ours < 0.3 * mean
    difference = ours - result["baselines"]["pcr"]["rmse_amount"]["value"]
    assert result["metrics"]["minus_pcr_amount"]["value"] == pytest.approx(difference, abs=1e-5)
    assert "rmse_amount_seed0" in result["metrics"]
    assert "rmse_amount_seed0" not in bench.bench_regression(data, (3,))["metrics"]


def test_benchmark_refuses_what_its_folds_cannot_hold():
    data = made(np.random.default_rng(9), objects=14)
    with pytest.raises(DataError, match="14 groups have 'target_amount'; nested 5 x 5 folds need at least 15"):
        bench.bench_regression(data, (0,))
    with pytest.raises(DataError, match="no 'target_\\*' columns"):
        bench.bench_regression(replace(data, targets={}), (0,))


@pytest.fixture
def folder(tmp_path):
    save_dataset(made(np.random.default_rng(10), objects=16), tmp_path / "set")
    return tmp_path / "set"


def test_command_runs_the_regression_where_the_set_has_targets(folder, tmp_path):
    spectra(folder, seeds=1, json_file=tmp_path / "all.json")
    spectra(folder, target=["amount"], seeds=5, quick=True, seed=2, json_file=tmp_path / "one.json")
    everything, one = (json.loads((tmp_path / name).read_text()) for name in ("all.json", "one.json"))
    assert {"rmse_amount", "rmse_amount_seed0", "coverage_90_amount"} <= set(everything["metrics"])
    assert (one["seeds"], one["quick"]) == ([2], True)


def test_command_identifies_when_asked_for_the_label(folder, monkeypatch):
    asked = []
    monkeypatch.setattr("palpate_agents.benchmarks.spectra.bench_spectra", lambda *a, **k: asked.append(a) or FIGURES)
    spectra(folder, target=["label"])
    assert len(asked) == 1
    assert asked[0][1] == [0, 1, 2, 3, 4]
    with pytest.raises(ConfigError, match="cannot be joined"):
        spectra(folder, target=["label", "amount"])
    with pytest.raises(DataError, match="no 'target_density'"):
        spectra(folder, target=["density"])
