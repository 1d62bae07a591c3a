"""The thermal benchmark: what is trained on, what is tested, that shortcuts fail, and what it refuses."""

import json
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
import typer
from synthetic_touches import ROOM_C, joined, touches
from typer.testing import CliRunner

from palpate_agents.benchmarks.thermal import (
    SHIFTED,
    Fold,
    bench_thermal,
    cooled,
    separation,
    sessions,
    split,
    to_recognise,
    training_rows,
)
from palpate_agents.benchmarks.thermal_rivals import RIVALS, published_features
from palpate_agents.data import SpectraDataset, save_dataset
from palpate_agents.encoders.thermistors import PairTraces, responses
from palpate_agents.errors import DataError, ModelError
from palpate_agents.model_io import load_model, save_model
from palpate_agents.touch_training import (
    ThermalModel,
    TouchTraining,
    predict,
    temperature_channels,
    train_thermal_model,
    training_record,
    two_temperatures,
)

SHORT = TouchTraining(steps=60)


def with_cold(seed=0, **options):
    rng = np.random.default_rng(seed)
    room = touches(rng, **options)
    return joined(room, touches(rng, ("wood",), **(options | {"part_c": -10.0, "condition": "cold"})))


@pytest.fixture(scope="module")
def result():
    lines = []
    found = bench_thermal(with_cold(blocks=4), (0,), SHORT, lines.append)
    assert len(lines) == 1 + len(RIVALS)
    return json.loads(json.dumps(found))


def test_physics_recognises_cold_wood_and_a_plain_classifier_does_not(result):
    metrics, rivals = result["metrics"], result["baselines"]
    for name in ("accuracy_room", "accuracy_cold_wood", "cooled_metal_is_metal", "cooled_wood_is_wood"):
        assert metrics[name]["value"] >= 0.95, name
    assert rivals["svm_heated"]["accuracy_room"]["value"] == 1.0
    assert rivals["svm_heated"]["accuracy_cold_wood"]["value"] < 0.1
    assert rivals["physics_one_sensor"]["accuracy_cold_wood"]["value"] < 0.5
    assert rivals["svm_both_told_cold"]["accuracy_cold_wood"]["value"] > 0.9


def test_who_takes_cold_for_wood_is_caught(result):
    shortcut = result["baselines"]["svm_unheated_told_cold"]
    assert shortcut["accuracy_cold_wood"]["value"] > 0.9
    assert shortcut["cooled_metal_is_metal"]["value"] < 0.5


def test_result_is_the_content_of_a_result_file(result):
    assert result["benchmark"] == "thermal"
    assert result["seeds"] == [0]
    assert set(result["baselines"]) == set(RIVALS)
    for figures in (result["metrics"], *result["baselines"].values()):
        assert {name.format("metal") for name in SHIFTED} <= set(figures)
        for value in figures.values():
            assert value.keys() == {"value", "low", "high", "n"}
            assert value["low"] <= value["value"] <= value["high"]
    assert result["metrics"]["accuracy_room"]["n"] == 4  # sessions, not touches


def test_simulated_cold_metal_catches_who_takes_cold_for_wood():
    data = with_cold()
    cold = to_recognise(data)["cooled_metal_is_metal"].data
    traces = two_temperatures(cold)
    _, start = traces.starts()
    assert (start - traces.unheated_c[:, -1] > 2.0).all()  # as a cold part looks to the unheated sensor
    assert (cold.label == "metal").all()


def test_simulated_cooling_is_what_a_colder_part_gives():
    data = touches(np.random.default_rng(1), ("metal",), blocks=20)
    answer = responses(two_temperatures(data), data.label, data.group)["metal"]
    simulated = cooled(data, answer, 10.0).signals.mean(axis=0)
    real = touches(np.random.default_rng(1), ("metal",), blocks=20, part_c=ROOM_C - 10.0).signals.mean(axis=0)
    assert simulated[:, 1] == pytest.approx(real[:, 1], abs=0.1)  # heated: known well
    assert simulated[:, 0] == pytest.approx(real[:, 0], abs=0.8)
    assert simulated[:, 2] == pytest.approx(real[:, 2], abs=0.05)  # force is none of its business


def test_what_was_measured_together_is_one_session():
    data = with_cold(blocks=3)
    assert set(sessions(data)) == {"block 0", "block 1", "block 2"}
    alone = replace(data, group=np.array([f"piece {i // 3}" for i in range(len(data))]))
    assert (sessions(alone) == alone.group).all()


@pytest.mark.parametrize("seed", [0, 1])
def test_folds_share_no_session_and_train_on_no_cold_touch(seed):
    data = with_cold(blocks=5)
    session, seen = sessions(data), np.zeros(len(data), int)
    folds = list(split(data, "room", seed))
    assert len(folds) == 5
    for fold in folds:
        assert isinstance(fold, Fold)
        assert not set(session[fold.train]) & set(session[fold.held_out])
        assert (data.condition[fold.train] == "room").all()
        assert set(data.label[fold.train]) == {"metal", "wood"}
        seen += fold.held_out
    assert (seen == 1).all()


def test_another_seed_gives_other_folds():
    data = with_cold(blocks=8)
    one, other = (np.array([f.held_out for f in split(data, "room", seed, folds=3)]) for seed in (0, 1))
    assert (one != other).any()


def test_same_seed_same_model_and_own_labels():
    data = touches(np.random.default_rng(2), ("metal", "plastic", "wood"), blocks=4)
    models = [train_thermal_model(data, 3, SHORT) for _ in range(2)]
    beliefs = [predict(model, two_temperatures(data)) for model in models]
    assert (beliefs[0] == beliefs[1]).all()
    assert models[0].labels == ("metal", "plastic", "wood")
    assert np.exp(beliefs[0]).sum(axis=1) == pytest.approx(1.0)
    record = json.loads(json.dumps(training_record(data, models[0], 3, SHORT)))
    assert record["touches"] == len(data)


def test_a_saved_model_keeps_its_calibration_and_its_belief(tmp_path):
    data = touches(np.random.default_rng(9), blocks=2)
    model = train_thermal_model(data, 0, SHORT)
    save_model(model.network, tmp_path / "good", "heat", training_record(data, model, 0, SHORT))
    loaded = ThermalModel.of_loaded(load_model(tmp_path / "good"))
    assert loaded.sensors == model.sensors
    assert (predict(loaded, two_temperatures(data)) == predict(model, two_temperatures(data))).all()
    save_model(model.network, tmp_path / "bare", "bare")
    with pytest.raises(ModelError, match="'bare' has no calibration"):
        ThermalModel.of_loaded(load_model(tmp_path / "bare"))


def test_learns_three_materials_and_keeps_them_apart_when_cold():
    data = touches(np.random.default_rng(4), ("metal", "plastic", "wood"), blocks=6)
    model = train_thermal_model(data, 0)
    cold = touches(np.random.default_rng(5), ("metal", "plastic", "wood"), blocks=3, part_c=8.0)
    named = np.array(model.labels)[predict(model, two_temperatures(cold)).argmax(axis=1)]
    assert (named == cold.label).mean() > 0.9


def test_published_features_start_where_the_heated_curve_is_flattest():
    times = np.round(np.arange(-1.0, 7.0, 0.005), 6)
    heated = np.where(times < 0.5, 29.5 - 0.1 * (times - 0.5) ** 2, 29.5 - (times - 0.5))[None]
    found = published_features(PairTraces(times, heated, heated - 7.0), "both")
    assert found.shape == (1, 2000)
    assert found[0, 0] == pytest.approx(29.5, abs=0.01)
    assert found[0, 1000] == pytest.approx(22.5, abs=0.01)


def test_channels_are_found_by_unit_and_warmth_in_kelvin_too():
    data = touches(np.random.default_rng(6), blocks=1)
    assert temperature_channels(data) == (1, 0)
    kelvin = replace(
        data,
        channels=np.array(["skin [K]", "pad [K]", "force [N]"]),
        signals=data.signals + np.array([273.15, 273.15, 0]),
    )
    assert two_temperatures(kelvin).heated_c == pytest.approx(data.channel("active"))


def broken(what):
    data = with_cold(blocks=2)
    if what == "one channel":
        return replace(data, signals=data.signals[:, :, 1:], channels=data.channels[1:])
    if what == "no unit":
        return replace(data, channels=np.array(["passive", "active", "force [N]"]))
    if what == "equally warm":
        return replace(data, signals=data.signals[:, :, [0, 0, 2]])
    if what == "slow":
        return replace(data, time_s=data.time_s[::10], signals=data.signals[:, ::10])
    if what == "short":
        kept = data.time_s < 0.9
        return replace(data, time_s=data.time_s[kept], signals=data.signals[:, kept])
    if what == "one block":
        return data.take(sessions(data) == "block 0")
    if what == "one label":
        return data.take(data.label == "wood")
    assert what == "conditions"
    return replace(data, condition=np.array(["warm"] * len(data)))


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("one channel", r"1 temperature channels among active \[degC\], force \[N\]; two sensors"),
        ("no unit", "0 temperature channels"),
        ("equally warm", r"0\.0 K apart before contact, at least 2 K are needed"),
        ("slow", r"0\.5 s between readings \(2 Hz\); contact heat needs at least 10 Hz"),
        ("short", r"from -0\.5 to 0\.9 s around the contact at 0; at least"),
        ("one block", "at least 2 groups"),
        ("one label", "one label only"),
        ("conditions", "no touch has the condition 'room'; there are 'warm'"),
    ],
)
def test_what_cannot_serve_is_refused_with_the_way_out(what, message):
    with pytest.raises(DataError, match=message):
        bench_thermal(broken(what), (0,), SHORT)


def test_without_conditions_everything_trains():
    data = touches(np.random.default_rng(7), condition="")
    assert training_rows(data).all()
    assert set(to_recognise(data)) == {"accuracy_room"} | {n.format(m) for n in SHIFTED for m in ("metal", "wood")}


def test_foreign_label_is_refused():
    data = touches(np.random.default_rng(8), blocks=1)
    with pytest.raises(DataError, match="'wood' is not in the label set metal, cork"):
        train_thermal_model(data, 0, SHORT, ("metal", "cork"))


def test_command_writes_result_and_figure(tmp_path, monkeypatch):
    from palpate_nodes.commands.bench_thermal import FIGURE, thermal

    for slow in set(RIVALS) - {"svm_heated"}:
        monkeypatch.delitem(RIVALS, slow)
    save_dataset(with_cold(blocks=2, each=2), tmp_path / "data")
    app = typer.Typer()
    app.command()(thermal)
    result = CliRunner().invoke(
        app,
        ["--data", str(tmp_path / "data"), "--quick", "--json", str(tmp_path / "r.json"), "--figures", str(tmp_path)],
        catch_exceptions=False,
    )
    assert result.exit_code == 0
    content = json.loads((tmp_path / "r.json").read_text())
    assert content["quick"] is True
    assert content["metrics"]["accuracy_cold_wood"]["n"] == 2
    drawn = ElementTree.parse(tmp_path / FIGURE).getroot()
    marks = drawn.findall(".//{http://www.w3.org/2000/svg}circle")
    assert len(marks) > 8 + 4 * 4
    assert "cold wood (4)" in "".join(drawn.itertext())


def test_command_refuses_spectra(tmp_path):
    from palpate_nodes.commands.bench_thermal import thermal

    spectra = SpectraDataset(
        name="s", label=np.array(["a"]), group=np.array(["g"]), condition=np.array([""]),
        wavelength_nm=np.linspace(900, 1700, 20), values=np.ones((1, 20)),
    )  # fmt: skip
    save_dataset(spectra, tmp_path / "data")
    with pytest.raises(DataError, match="holds no contact traces"):
        thermal(tmp_path / "data")


def test_separation_names_every_series_once():
    found = separation(with_cold(blocks=3))
    names = [one.name for one in found]
    assert names[:3] == ["metal", "wood", "cold wood"]
    assert len(set(names)) == len(names) == 3 + 2 * 3
    cold = next(one for one in found if one.name == "cold wood")
    assert np.median(cold.part_c) == pytest.approx(-10.0, abs=6.0)
    assert (cold.log10_ratio < 0.0).all()
