"""Training of fusion on a toy cell with four materials whose features follow simple laws."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from palpate_agents.benchmarks.spectra import expected_calibration_error
from palpate_agents.encoders.features import FEATURE_NAMES, FeatureConfig
from palpate_agents.errors import ConfigError, DataError
from palpate_agents.model_io import load_model
from palpate_agents.observation import Modality, Primitive
from palpate_sim.training.calibration import calibrate
from palpate_sim.training.learner import PerceptionTraining, random_views
from palpate_sim.training.perception import (
    split_parts,
    targets_of,
    tokens,
    train_perception,
    train_to,
    validation_views,
)
from palpate_sim.training.perception_data import PerceptionData
from palpate_sim.training.perception_figures import bootstrap, forward

LABELS = ("PP", "ABS", "Cu", "glass")
QUICK = PerceptionTraining(epochs=15, batch=64, hidden=64, learning_rate=3e-3)


def toy(count=600, seed=0) -> PerceptionData:
    """PP and ABS differ in the spectrum only, Cu and glass in touch only; black parts have no spectrum."""
    rng = np.random.default_rng(seed)
    index = np.arange(count) % 4
    condition = np.where(rng.random(count) < 0.25, "black", "clean")
    grid = FeatureConfig().wavelength_nm
    primitive = np.full((count, 2), -1, np.int8)
    values = {m: np.full((count, 2, len(FEATURE_NAMES[m])), np.nan, np.float32) for m in Modality}
    reliability = {m: np.zeros((count, 2), np.float32) for m in Modality}
    column = FEATURE_NAMES[Modality.TACTILE].index("tap_log10_contact_time_s")
    for n in range(count):
        centre = 1200.0 if index[n] == 0 else 1350.0 if index[n] == 1 else 1500.0
        band = 0.5 - 0.2 * np.exp(-0.5 * ((grid - centre) / 30) ** 2) + rng.normal(size=len(grid)) / 500
        spectrum = np.concatenate([rng.normal(size=6), band])
        tap = {0: -3.0, 1: -3.0, 2: -3.6, 3: -3.9}[int(index[n])] + 0.05 * rng.normal()
        if condition[n] == "black":
            spectrum[6:] = 0.04 + rng.normal(size=len(grid)) / 500
        primitive[n, 0], values[Modality.SPECTRAL][n, 0] = Primitive.LOOK, spectrum
        reliability[Modality.SPECTRAL][n, 0] = 0.2 if condition[n] == "black" else 1.0
        if n % 7:
            primitive[n, 1], values[Modality.TACTILE][n, 1, column] = Primitive.TAP, tap
            reliability[Modality.TACTILE][n, 1] = 1.0
    density = np.array([0.9, 1.05, 8.9, 2.5])[index]
    properties = np.stack([np.log10(density * 1e3), np.where(index == 2, np.nan, 0.5)], axis=1)
    ids = np.array([f"s/{n}" for n in range(count)])
    return PerceptionData(
        ids, np.array(LABELS)[index], condition, np.arange(count), primitive, values, reliability,
        ("log10_density_kg_m3", "restitution"), properties.astype(np.float32), FeatureConfig(), {"seed": seed},
    )  # fmt: skip


@pytest.fixture(scope="module")
def data():
    return toy()


@pytest.fixture(scope="module")
def trained():
    # Enough test parts that one more or less does not decide.
    return train_perception(toy(1200), QUICK, labels=LABELS)


def test_it_learns_what_the_sensors_can_tell_and_no_more(trained):
    figures = trained.figures
    assert figures["mix"]["value"] > 0.8
    assert figures["clean"]["value"] > 0.95
    # PP and ABS cannot be told apart by touch, glass and copper can.
    assert 0.5 < figures["only"]["tactile"]["value"] < 0.85
    assert figures["only"]["thermal"]["value"] < 0.45
    assert figures["mix"]["low"] < figures["mix"]["value"] < figures["mix"]["high"]
    assert [row["probes"] for row in figures["after_probes"]] == [0, 1, 2]
    assert figures["after_probes"][0]["accuracy"] < 0.45
    assert figures["after_probes"][1]["accuracy"] < figures["after_probes"][2]["accuracy"]


def test_properties_are_learnt_with_honest_spreads(trained):
    density = trained.figures["properties"]["log10_density_kg_m3"]
    assert density["rmse"] < 0.5 * density["spread"]
    assert density["coverage_90"] > 0.7


def test_training_twice_gives_the_same_weights(data):
    short = replace(QUICK, epochs=2)
    first = train_perception(data, short, labels=LABELS).network.state_dict()
    second = train_perception(data, short, labels=LABELS).network.state_dict()
    other = train_perception(data, replace(short, seed=1), labels=LABELS).network.state_dict()
    assert all(torch.equal(first[k], second[k]) for k in first)
    assert any(not torch.equal(first[k], other[k]) for k in first)


def test_progress_and_early_stop(data):
    rows = []
    stop = replace(QUICK, epochs=30, patience=1, learning_rate=3e-2)
    result = train_perception(data, stop, rows.append, labels=LABELS)
    assert rows == result.history
    assert len(rows) < 30
    assert {"epoch", "loss", "validation_loss", "seconds"} == set(rows[0])


def test_a_model_is_written_with_its_figures_and_loads(data, tmp_path, monkeypatch):
    monkeypatch.setattr("palpate_sim.training.perception.MATERIALS", LABELS)
    renamed = replace(data, origin={"seed": 0})
    # train_to uses the catalogue's labels, which contain all of the toy's
    card = train_to(tmp_path / "m", renamed, replace(QUICK, epochs=2), "toy")
    network = load_model(tmp_path / "m")
    assert network.name == "toy"
    on_disk = json.loads((tmp_path / "m" / "card.json").read_text())["training"]
    assert on_disk["figures"]["mix"] == card["figures"]["mix"]
    assert on_disk["parts"] == 600
    assert on_disk["data"] == {"seed": 0}


def test_parts_are_split_without_overlap_and_every_material_is_everywhere(data):
    shares = split_parts(data, QUICK)
    together = torch.cat(shares)
    assert len(together) == len(data) == len(together.unique())
    for share in shares:
        assert set(data.material[share.numpy()]) == set(LABELS)
    with pytest.raises(DataError, match=r"has .* parts to train, validate and test"):
        split_parts(data.rows(np.arange(6)), QUICK)


def test_parts_of_one_outline_stay_together(data):
    grouped = replace(data, geometry=np.arange(len(data)) // 12)
    shares = split_parts(grouped, QUICK)
    outlines = [set(grouped.geometry[share.numpy()].tolist()) for share in shares]
    assert sum(map(len, outlines)) == len(set.union(*outlines)) == 50


def test_unknown_materials_are_refused(data):
    with pytest.raises(DataError, match="glass"):
        train_perception(data, QUICK, labels=LABELS[:3])


def test_random_views_only_take_away(data):
    batch = tokens(data)
    view = random_views(batch, torch.Generator().manual_seed(0), 0.1)
    for m, r in view.reliability.items():
        assert ((r == 0) | (r == batch.reliability[m])).all()
    shown = (view.reliability["tactile"] > 0).sum() / (batch.reliability["tactile"] > 0).sum()
    assert 0.4 < shown < 0.9
    everything_gone = [(r == 0).all(dim=1) for r in view.reliability.values()]
    assert torch.stack(everything_gone).all(dim=0).any(), "the prior must be trained too"


def test_calibration_mends_an_overconfident_network(data, trained):
    network = trained.network
    fitting = float(network.log_temperature)
    checks = validation_views(tokens(data), torch.Generator().manual_seed(0))
    targets = targets_of(data, LABELS).repeated(3)
    truth = targets.label
    with torch.no_grad():
        for head in network.heads:
            head.weight *= 3.0
            head.bias *= 3.0
    network.log_temperature.zero_()
    before = float(torch.nn.functional.nll_loss(forward(network, checks).log_probabilities, truth))
    calibrate(network, checks, targets)
    after = float(torch.nn.functional.nll_loss(forward(network, checks).log_probabilities, truth))
    assert float(network.log_temperature) > fitting + 0.3
    assert after < before


def test_data_goes_through_a_file_without_pickle(data, tmp_path):
    data.save(tmp_path / "d.npz")
    again = PerceptionData.load(tmp_path / "d.npz")
    assert again.config == data.config
    assert again.origin == data.origin
    assert again.property_names == data.property_names
    for m in Modality:
        assert np.array_equal(again.values[m], data.values[m], equal_nan=True)
        assert np.array_equal(again.reliability[m], data.reliability[m])
    for name in ("part_id", "material", "condition", "primitive"):
        assert np.array_equal(getattr(again, name), getattr(data, name))
    joined = PerceptionData.concatenate([again, data.rows(np.arange(5))])
    assert len(joined) == 605


def test_bad_files_and_shards_are_refused(data, tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        PerceptionData.load(tmp_path / "none.npz")
    (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04 no zip")
    with pytest.raises(DataError, match="no training data"):
        PerceptionData.load(tmp_path / "bad.npz")
    np.savez(tmp_path / "old.npz", header=np.array(json.dumps({"layout_version": 0, "feature_version": "0"})))
    with pytest.raises(DataError, match="generate it again"):
        PerceptionData.load(tmp_path / "old.npz")
    with pytest.raises(DataError, match="no shards"):
        PerceptionData.concatenate([])
    with pytest.raises(DataError, match="differ"):
        PerceptionData.concatenate([data, replace(data, property_names=("other",))])


@pytest.mark.parametrize("options", [{"validation": 0.0}, {"test": 0.7}, {"epochs": 0}, {"batch": 1}])
def test_impossible_settings_are_refused(options):
    with pytest.raises(ConfigError):
        PerceptionTraining(**options)


def test_figures_helpers():
    assert bootstrap(np.ones(10, bool)) == {"value": 1.0, "low": 1.0, "high": 1.0, "n": 10}
    half = bootstrap(np.arange(400) % 2 == 0)
    assert half["high"] - half["low"] == pytest.approx(4 * np.sqrt(0.25 / 400), rel=0.15)
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.3, 1.0, 20_000)
    assert expected_calibration_error(confidence, rng.random(20_000) < confidence) < 0.02
    assert expected_calibration_error(confidence, rng.random(20_000) < confidence - 0.2) == pytest.approx(0.2, abs=0.02)


def test_tokens_keep_the_order_and_a_missing_probe_counts_nothing(data):
    batch = tokens(data)
    assert batch.primitive[1].tolist() == [int(Primitive.LOOK), int(Primitive.TAP)]
    alone = int(np.flatnonzero(data.primitive[:, 1] < 0)[0])
    assert all(float(r[alone, 1]) == 0.0 for r in batch.reliability.values())
    assert batch.primitive.min() >= 0


def test_only_leaves_one_sensor(data):
    batch = tokens(data).only(["tactile"])
    assert batch.reliability["spectral"].sum() == 0
    assert batch.reliability["tactile"].sum() > 0
