"""The process benchmark: nothing leaks from test rows, figures and intervals, computed values, the command."""

import json

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

import palpate_agents.benchmarks.process as bench
from palpate_agents.data import SpectraDataset, TableDataset, save_dataset
from palpate_agents.errors import DataError
from palpate_agents.table_training import TableTraining

METHODS = ("stack", "part_network", "rf", "rf_tuned")
QUICK = TableTraining(steps=3, epochs=1, width=8, out_dim=8, members=1, bins=2)


def make(signal=1.0, rows=60, rows_per_group=1, seed=0):
    """Two classes that differ in one column; the second column names the group, which tells no class."""
    rng = np.random.default_rng(seed)
    groups = rows // rows_per_group
    of_group = np.repeat(np.arange(groups), rows_per_group)
    label = np.where(rng.permutation(groups) < groups // 2, "bad", "good")[of_group]
    values = np.stack([5 * signal * (label == "good") + rng.normal(size=rows), of_group], axis=1)
    return TableDataset(
        name="made", label=label, group=np.array([f"g{g}" for g in of_group]), condition=np.full(rows, ""),
        columns=np.array(["pressure [bar]", "serial"]), values=values,
    )  # fmt: skip


@pytest.fixture
def few_trees(monkeypatch):
    """The same methods with few trees, to be quick."""
    from sklearn.ensemble import RandomForestClassifier

    import palpate_agents.table_training as training

    def forest(seed, _inner=None):
        return RandomForestClassifier(10, random_state=seed)

    monkeypatch.setattr(training, "extra_trees", forest)
    monkeypatch.setattr(training, "gradient_boosting", forest)
    monkeypatch.setitem(bench.BASELINES, "rf", forest)
    monkeypatch.setitem(bench.BASELINES, "rf_tuned", forest)
    monkeypatch.setitem(bench.BASELINES, "hist_gradient_boosting", forest)


def test_result_is_the_content_of_a_result_file(few_trees):
    lines = []
    result = json.loads(json.dumps(bench.bench_process(make(), (3, 4), QUICK, lines.append)))
    assert result["seeds"] == [3, 4]
    assert len(lines) == 2 * (bench.OUTER_FOLDS + 1)
    assert set(bench.BASELINES) < set(result["baselines"])
    for figures in (result["metrics"], *result["baselines"].values()):
        for value in figures.values():
            assert value.keys() == {"value", "low", "high", "n"}
            assert value["low"] <= value["value"] <= value["high"]
    assert result["metrics"]["accuracy"]["value"] > 0.9
    assert result["metrics"]["accuracy"]["n"] == 60
    difference = result["metrics"]["accuracy"]["value"] - result["baselines"]["rf_tuned"]["accuracy"]["value"]
    assert result["metrics"]["minus_rf_tuned"]["value"] == pytest.approx(difference, abs=2e-4)
    assert result["baselines"]["most_frequent"]["accuracy"]["value"] == pytest.approx(0.5, abs=0.05)
    assert sum(result["weights"].values()) == pytest.approx(1, abs=0.01)


def test_groups_that_repeat_are_never_split(few_trees):
    # The serial number tells the class of every row of a part, once one row of the part was seen. Nothing else does.
    data = make(signal=0.0, rows=120, rows_per_group=6)
    result = bench.bench_process(data, (0,), QUICK)
    assert result["metrics"]["accuracy"]["n"] == 20
    assert result["metrics"]["accuracy"]["value"] < 0.75
    apart = TableDataset(
        name="split", label=data.label, group=np.array([f"r{i}" for i in range(120)]), condition=data.condition,
        columns=data.columns, values=data.values,
    )  # fmt: skip
    assert bench.bench_process(apart, (0,), QUICK)["metrics"]["accuracy"]["value"] > 0.8


def test_what_is_chosen_never_sees_a_test_row(few_trees, monkeypatch):
    seen, judged = [], []

    class Watched(bench.TableStack):
        def fit(self, values, target, group, labels, seed):
            seen.append({tuple(row) for row in values})
            return super().fit(values, target, group, labels, seed)

        def part_beliefs(self, values):
            judged.append({tuple(row) for row in values})
            return super().part_beliefs(values)

    monkeypatch.setattr(bench, "TableStack", Watched)
    data = make()
    bench.bench_process(data, (0,), QUICK)
    assert len(seen) == len(judged) == bench.OUTER_FOLDS
    assert all(not train & test for train, test in zip(seen, judged, strict=True))
    assert set.union(*judged) == {tuple(row) for row in data.values}


@pytest.mark.parametrize("name", ["rf", "hist_gradient_boosting", "svm", "knn"])
def test_baselines_learn_a_signal(name):
    data = make(rows=200)
    target = (data.label == "good").astype(int)
    train, test = bench.stratified_folds(target, data.group, bench.OUTER_FOLDS, 0)[0]
    model = bench.BASELINES[name](0, []).fit(data.values[train], target[train])
    assert (model.predict(data.values[test]) == target[test]).mean() > 0.9


def test_tuned_forest_is_tuned_in_the_given_folds_only(monkeypatch):
    # An exclusive or of two columns: a forest of single cuts cannot tell it, deeper trees can.
    rng = np.random.default_rng(0)
    values = rng.normal(size=(160, 2))
    target = ((values[:, 0] > 0) ^ (values[:, 1] > 0)).astype(int)
    inner = bench.stratified_folds(target, np.array([f"r{i}" for i in range(160)]), 3, 0)
    monkeypatch.setattr(bench.TunedForest, "GRID", {"max_depth": [1, 6]})
    forest = bench.TunedForest(0, inner).fit(values, target)
    assert forest.chosen == {"max_depth": 6}
    assert (forest.predict(values) == target).mean() > 0.95
    with pytest.raises(IndexError):  # the folds are used: these name rows that do not exist
        bench.TunedForest(0, [(np.array([0, 1]), np.array([999]))]).fit(values, target)


def test_computed_values_are_told_from_a_readout():
    rng = np.random.default_rng(0)
    bar, degree = np.round(rng.normal(900, 20, 200), 1), np.round(rng.normal(106, 0.3, 200), 3)
    values = np.stack([bar, degree, rng.normal(size=200)], axis=1)  # the last column has no readout
    assert not bench.finer_than_readout(values).any()
    computed = rng.choice(200, 20, replace=False)
    values[computed[:10], 0] += 0.0123456789
    values[computed[10:], 1] += 1e-5 / 3
    assert np.array_equal(np.flatnonzero(bench.finer_than_readout(values)), np.sort(computed))
    plain = np.setdiff1d(np.arange(200), computed)[0]
    values[plain, 0] = 52.26  # one digit more than the others is no computed value
    assert not bench.finer_than_readout(values)[plain]


def test_rows_with_computed_values_are_reported_apart(few_trees):
    data = make(rows=100)
    values = np.round(data.values, 2)
    bad = np.flatnonzero(data.label == "bad")[:15]
    values[bad, 0] += 0.00123456
    filled = TableDataset(
        name="filled", label=data.label, group=data.group, condition=data.condition, columns=data.columns,
        values=values,
    )  # fmt: skip
    result = bench.bench_process(filled, (0,), QUICK)
    assert result["metrics"]["accuracy_readout_rows"]["n"] == 85
    assert "accuracy_readout_rows" not in bench._metrics(data, dict.fromkeys(METHODS, np.ones(100)))


def test_too_few_rows_or_labels_are_refused():
    with pytest.raises(DataError, match="at least 5 groups"):
        bench.bench_process(make(rows=8), (0,), QUICK)
    with pytest.raises(DataError, match="one label only"):
        bench.bench_process(make().take(np.flatnonzero(make().label == "bad")), (0,), QUICK)


@pytest.fixture
def command():
    from palpate_nodes.commands.bench_process import HELP, process

    app = typer.Typer()
    app.command(help=HELP)(process)
    return app


def test_command_measures_a_users_table_and_writes_the_file(command, few_trees, tmp_path, monkeypatch):
    parts = bench.default_parts
    monkeypatch.setattr(bench, "default_parts", lambda _options: parts(QUICK))
    save_dataset(make(rows=40), tmp_path / "mine")
    run = CliRunner().invoke(
        command, ["--data", str(tmp_path / "mine"), "--quick", "--seed", "7", "--json", str(tmp_path / "out.json")]
    )
    assert run.exit_code == 0, run.output
    result = json.loads((tmp_path / "out.json").read_text())
    assert result["benchmark"] == "process"
    assert result["seeds"] == [7]
    assert result["quick"] is True
    assert result["metrics"]["accuracy"]["value"] > 0.9


def test_command_refuses_spectra(command, tmp_path):
    spectra = SpectraDataset(
        name="made", label=np.array(["A", "B"]), group=np.array(["a", "b"]), condition=np.full(2, ""),
        wavelength_nm=np.linspace(900, 1200, 16), values=np.ones((2, 16)),
    )  # fmt: skip
    save_dataset(spectra, tmp_path / "spectra")
    run = CliRunner().invoke(command, ["--data", str(tmp_path / "spectra")])
    assert isinstance(run.exception, DataError)
    assert "no table" in str(run.exception)
