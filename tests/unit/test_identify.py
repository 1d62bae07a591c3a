"""`bench identify`: what it compares, and on which parts."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import sklearn.ensemble
import torch
from flat_library import flat_library

from palpate_agents.encoders.features import FEATURE_NAMES, FeatureConfig
from palpate_agents.errors import ConfigError
from palpate_agents.fusion import FusionConfig, MultimodalFusionNetwork
from palpate_agents.fusion_config import SENSES
from palpate_agents.materials import MATERIALS
from palpate_agents.model_io import save_model
from palpate_agents.observation import Modality, Primitive
from palpate_nodes.report.identify_figures import FIGURES, write_figures
from palpate_sim.benchmarks import identify, identify_models
from palpate_sim.benchmarks.concatenation import ConcatenationNetwork, concatenated
from palpate_sim.benchmarks.identify_models import (
    SPECS,
    Models,
    TrainingSet,
    committed_model,
    training_set,
    widened,
)
from palpate_sim.objects import FORMULATIONS
from palpate_sim.part_geometry import GEOMETRY_LIMIT
from palpate_sim.training.batched import PROBES, Draw, generate_batched
from palpate_sim.training.learner import PerceptionTraining
from palpate_sim.training.perception import LATER_LOTS, split_parts, targets_of, tokens, train_in_stages, train_network
from palpate_sim.training.perception_data import PerceptionData
from palpate_sim.training.perception_figures import forward
from palpate_sim.training.shards import generate_training_data

CONDITIONS = ("mix", "clean", "black", "wet", "painted", "aged", "shifted_8nm")
METRICS = (
    *CONDITIONS, "vision_only", "tactile_only", "spectral_only", "thermal_only", "ece", "ece_shifted", "ood_auroc",
    "worst_sensor_dead_drop", "fusion_minus_best_single_black", "fusion_minus_best_single_painted",
)  # fmt: skip
BASELINES = ("concat", "gated_late", "best_single", "extra_trees", "ceiling")
PARTS, TESTED = 400, 60

pytestmark = pytest.mark.timeout(900)  # about 20 s of a free core


def no_say(_line):
    """Nobody listens."""


@pytest.fixture(scope="module")
def library():
    return flat_library()


@pytest.fixture(scope="module")
def runs(library, tmp_path_factory):
    """Two runs into one folder, without surface maps, which take most of the time; and what was trained in each."""
    folder, trained, results, lines = tmp_path_factory.mktemp("identify"), [], [], []

    def bare(data, modalities=SENSES):
        return replace(tokens(data, modalities), surface=None)

    def counted(*args, **options):
        trained.append(args[0])
        return train_network(*args, **options)

    def in_stages(*args, **options):
        trained.append(args[0])
        return train_in_stages(*args, **options)

    few_trees = partial(sklearn.ensemble.ExtraTreesClassifier, 20)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(identify, "tokens", bare)
        patch.setattr(identify_models, "tokens", bare)
        patch.setattr(identify_models, "train_network", counted)
        patch.setattr(identify_models, "train_in_stages", in_stages)
        patch.setattr(identify_models, "TUNED", {"epochs": 1, "learning_rate": 5e-4})
        patch.setattr(sklearn.ensemble, "ExtraTreesClassifier", lambda _count, **options: few_trees(**options))
        for _ in range(2):
            said: list[str] = []
            results.append(identify.bench_identify(library, [1], PARTS, TESTED, folder, 1, None, 1, said.append))
            lines.append((len(trained), said))
    return results, lines


@pytest.fixture(scope="module")
def result(runs):
    return json.loads(json.dumps(runs[0][0], allow_nan=False))


@pytest.fixture(scope="module")
def training(library):
    return training_set(library, 1, 300, None, 1, no_say)


def test_every_metric_and_baseline_of_the_result_file_is_there(result):
    metrics, baselines = result["metrics"], result["baselines"]
    assert set(METRICS) <= set(metrics)
    assert set(BASELINES) <= set(baselines)
    for name in CONDITIONS:
        assert all(name in baselines[who] for who in BASELINES), name
    for figure in [*metrics.values(), *(f for b in baselines.values() for f in b.values())]:
        assert set(figure) == {"value", "low", "high", "n"}
        assert figure["low"] <= figure["value"] <= figure["high"]
    assert metrics["mix"]["n"] == TESTED
    assert result["seeds"] == [1]


def test_figures_hang_together(result):
    metrics, baselines = result["metrics"], result["baselines"]
    table = np.array(result["pictures"]["confusion"])
    assert table.shape == (len(MATERIALS), len(MATERIALS))
    assert table.sum() == TESTED
    assert np.trace(table) / TESTED == pytest.approx(metrics["mix"]["value"], abs=1e-4)
    assert metrics[f"after_{PROBES}_probes"] == metrics["mix"]
    assert sum(count for _, _, count in result["pictures"]["reliability"]) == TESTED
    for name in CONDITIONS:
        singles = [baselines[f"{m}_alone"][name]["value"] for m in SENSES]
        assert baselines["best_single"][name]["value"] == max(singles)
        ahead = metrics[f"fusion_minus_best_single_{name}"]["value"]
        assert ahead == pytest.approx(metrics[name]["value"] - max(singles), abs=2e-4)
    drops = [metrics[f"{name}_dead_drop"]["value"] for name in ("vision", "tactile", "spectral", "thermal")]
    assert metrics["worst_sensor_dead_drop"]["value"] == max(drops)


def test_the_result_is_enough_for_all_figures(result, tmp_path):
    assert [path.name for path in write_figures(result, tmp_path)] == list(FIGURES)
    assert not any("nan" in path.read_text(encoding="utf-8") for path in tmp_path.iterdir())


def test_a_run_that_goes_on_trains_nothing_again(runs):
    results, ((first, _), (second, said)) = runs
    assert first == len(SPECS) == second
    assert sum("trained before" in line for line in said) == len(SPECS)
    for key in ("metrics", "baselines", "pictures"):
        assert results[0][key] == results[1][key]


def test_progress_names_every_network(runs):
    said = "\n".join(runs[1][0][1])
    for name in (*(spec.name for spec in SPECS), "extra_trees"):
        assert f"{name}: " in said


def test_training_parts_are_early_and_have_no_test_outlines(training):
    number = training.data.geometry % GEOMETRY_LIMIT
    assert training.data.lot.max() < LATER_LOTS
    assert not set(number.tolist()) & set(training.test_outlines)
    assert not set(number[training.validation].tolist()) & set(number[~training.validation].tolist())
    assert len(training.test_outlines) == round(PerceptionTraining().test * 64)
    assert training.data.novel.any()
    # twice as many known and aged parts for the ceiling, which is not told of novelty
    assert 0.35 < training.ours[~training.data.novel].mean() < 0.65
    assert training.ours[training.data.novel].all()


def test_the_first_parts_are_those_of_a_smaller_set(library, training):
    half = training_set(library, 1, 150, None, 1, no_say)
    same = training.data.part_id[training.ours & ~training.data.novel]
    assert set(half.data.part_id[~half.data.novel]) == set(same)


def test_rows_of_a_network(training):
    models = Models(training, PerceptionTraining(seed=1), None, None, no_say)
    by_name = {spec.name: spec for spec in SPECS}
    for name, spec in by_name.items():
        train, validation = (rows.numpy() for rows in models.rows(spec))
        assert not set(train) & set(validation)
        assert not training.validation[train].any()
        assert training.validation[validation].all()
        assert training.data.novel[train].any() == (spec.options.get("novelty") is not False)
        assert training.ours[train].all() == (name != "ceiling")
    same = [name for name, spec in by_name.items() if name != "ceiling" and spec.options.get("novelty") is False]
    rows = {tuple(models.rows(by_name[name])[0].tolist()) for name in same}
    assert len(rows) == 1  # every baseline has the same training parts
    known = [k for k in models.rows(by_name["palpate"])[0].tolist() if not training.data.novel[k]]
    assert rows == {tuple(known)}  # which are the known ones of ours


def test_palpate_has_the_parts_that_its_training_command_splits(library, training):
    """So that a committed model and its rivals were trained on the same ones."""
    settings = PerceptionTraining(seed=1)
    data = generate_training_data(300, 1, library, Draw(inductive=True))
    one_material = replace(data, material=np.full(len(data), "PP"))  # 300 are too few for all materials in each share
    shares = split_parts(one_material, settings)
    models = Models(training, settings, None, None, no_say)
    for theirs, ours in zip(shares[:2], models.rows(SPECS[0]), strict=True):
        assert set(data.part_id[theirs.numpy()]) == set(training.data.part_id[ours.numpy()])
    outlines = set((data.geometry % GEOMETRY_LIMIT)[shares[2].numpy()].tolist())
    assert outlines <= set(training.test_outlines)


def test_only_the_ceiling_is_told_and_dead_sensors_are_dead(training):
    models = Models(training, PerceptionTraining(seed=1), None, None, no_say)
    for spec in SPECS:
        batch = models.view(spec, training.data)
        assert (batch.told is not None) == (spec.name == "ceiling")
        for m in spec.modalities:
            assert bool((batch.reliability[m] > 0).any()) == (m not in spec.dead)
        assert set(batch.reliability) == set(spec.modalities)
    told = models.view(next(spec for spec in SPECS if spec.told), training.data).told
    np.testing.assert_array_equal(told.numpy(), training.data.states)


def test_test_parts_have_outlines_lots_and_devices_that_nobody_was_trained_on(library, training):
    count = 40
    sets = identify.test_sets(library, identify.TEST_SEED + 1, training.test_outlines, count)
    assert set(sets) == {*identify.CONDITIONS, *identify.SHIFTS, "new_lots", "formulations"}
    seen = set(training.data.part_id)
    for name, data in sets.items():
        assert len(data) == count, name
        assert set(data.geometry % GEOMETRY_LIMIT) <= set(training.test_outlines)
        assert not seen & set(data.part_id)
        seen |= set(data.part_id)
        assert data.novel.all() == data.novel.any() == (name == "formulations")
        assert (data.lot.min() >= LATER_LOTS) if name == "new_lots" else (data.lot.max() < LATER_LOTS)
        assert np.isfinite(data.values[Modality.INDUCTIVE]).any()
    for name in identify.CONDITIONS[1:]:
        assert set(sets[name].condition) == {name}
    assert len(set(sets["mix"].condition)) > 2
    assert set(sets["formulations"].material) <= set(FORMULATIONS)
    assert not set(FORMULATIONS) & set(MATERIALS)


def test_shifted_test_parts_are_shifted_both_ways(library, monkeypatch):
    drawn = []

    def noted(count, seed, library, draw):
        drawn.append((draw.shift_nm, count, draw.first))
        return generate_batched(2, seed, library, draw)

    monkeypatch.setattr(identify, "generate_batched", noted)
    identify.test_sets(library, 5, (1, 2), 10)
    shifted = [(shift, count) for shift, count, _ in drawn if shift is not None]
    assert shifted == [(8.0, 5), (-8.0, 5), (12.0, 5), (-12.0, 5)]
    first = [k for _, _, k in drawn]
    assert first == sorted(set(first))


def committed(folder, training, seed, **card):
    config = FusionConfig(("PP", "ABS"), modalities=("thermal",), properties=(), conditions=(), novelty=False)
    torch.manual_seed(0)
    parts = len(Models(training, PerceptionTraining(seed=1), None, None, no_say).rows(SPECS[0])[0])
    facts = {"data": training.data.origin, "settings": {"seed": seed}, "training_parts": parts} | card
    save_model(MultimodalFusionNetwork(config), folder, "mine", facts)
    return folder


def test_a_committed_model_counts_as_ours(training, tmp_path):
    ours = committed_model(committed(tmp_path, training, 1), 1)
    models = Models(training, PerceptionTraining(seed=1), None, ours, no_say)
    assert models.get(SPECS[0]).name == "mine"


def test_a_committed_model_of_other_parts_is_refused(training, tmp_path):
    with pytest.raises(ConfigError, match="seed 7"):
        committed_model(committed(tmp_path / "seed", training, 7), 1)
    with pytest.raises(ConfigError, match="randomisation abc"):
        committed_model(committed(tmp_path / "parts", training, 1, data={"randomisation_hash": "abc"}), 1)
    with pytest.raises(ConfigError, match="seed None"):
        committed_model(committed(tmp_path / "bare", training, 1, data={}, settings={}), 1)
    few = committed_model(committed(tmp_path / "few", training, 1, training_parts=3), 1)
    with pytest.raises(ConfigError, match="trained on 3 parts, this run has"):
        Models(training, PerceptionTraining(seed=1), None, few, no_say)


def test_a_model_that_does_not_fit_is_found_out_before_parts_are_probed(training, tmp_path):
    with pytest.raises(ConfigError, match="seed 7"):
        identify.bench_identify(None, [1], committed=committed(tmp_path, training, 7))


def test_kept_networks_are_named_by_what_they_depend_on(training, tmp_path):
    def files(settings, data=training):
        models = Models(data, settings, tmp_path, None, no_say)
        return {models._file(spec).name for spec in SPECS}

    one = files(PerceptionTraining(seed=1))
    assert len(one) == len(SPECS)
    assert one == files(PerceptionTraining(seed=1))
    for other in (PerceptionTraining(seed=2), PerceptionTraining(seed=1, epochs=3)):
        assert not one & files(other)
    fewer = TrainingSet(
        training.data.rows(np.arange(50)), training.ours[:50], training.validation[:50], training.test_outlines
    )  # fmt: skip
    assert not one & files(PerceptionTraining(seed=1), fewer)


def test_a_wider_network_begins_as_the_narrow_one(training):
    """The coil's columns count nothing before it is trained on; heads that it has not are left out."""
    whole = next(spec for spec in SPECS if spec.name == "palpate_inductive")
    models = Models(training, PerceptionTraining(seed=1), None, None, no_say)
    torch.manual_seed(0)
    narrow, wide = (MultimodalFusionNetwork(models._config(spec)[0]).eval() for spec in (SPECS[0], whole))
    few = torch.arange(12)
    narrow.set_normalisation(models.view(SPECS[0], training.data))
    wide.load_state_dict(widened(narrow.state_dict(), wide.state_dict()), strict=False)
    shown = [models.view(spec, training.data).rows(few) for spec in (SPECS[0], whole)]
    assert bool((shown[1].reliability["inductive"] > 0).any())
    same = [forward(network, batch) for network, batch in zip((narrow, wide), shown, strict=True)]
    torch.testing.assert_close(same[1].log_probabilities, same[0].log_probabilities)
    assert same[1].condition_logit.shape[1] == 0 < same[0].condition_logit.shape[1]


# the baseline of concatenated columns


def touched(count=400, seed=0) -> PerceptionData:
    """Two materials that differ in one column of touch, measured by the first or by the second of two probes."""
    rng = np.random.default_rng(seed)
    index = np.arange(count) % 2
    values = {m: np.full((count, 2, len(FEATURE_NAMES[m])), np.nan, np.float32) for m in Modality}
    reliability = {m: np.ones((count, 2), np.float32) for m in Modality}
    column = FEATURE_NAMES[Modality.TACTILE].index("slide_friction")
    values[Modality.TACTILE][np.arange(count), rng.integers(0, 2, count), column] = index + 0.2 * rng.normal(size=count)
    return PerceptionData(
        np.array([f"0_{n}" for n in range(count)]), np.array(["PP", "ABS"])[index], np.full(count, "clean"),
        np.arange(count), np.full((count, 2), int(Primitive.SLIDE), np.int8), values, reliability, (),
        np.zeros((count, 0), np.float32), FeatureConfig(), {},
    )  # fmt: skip


@pytest.fixture(scope="module")
def concat():
    data = touched()
    batch = tokens(data, ("tactile", "thermal"))
    config = FusionConfig(
        ("PP", "ABS"), modalities=("tactile", "thermal"), properties=(), conditions=(), novelty=False,
    )  # fmt: skip
    columns = len(FEATURE_NAMES[Modality.TACTILE]) + len(FEATURE_NAMES[Modality.THERMAL])
    rows = torch.arange(len(data))
    network, _ = train_network(
        config, batch, targets_of(data, ("PP", "ABS")), rows[:300], rows[300:],
        PerceptionTraining(epochs=4, batch=64, learning_rate=2e-3), make=partial(ConcatenationNetwork, columns=columns),
    )  # fmt: skip
    return network


def test_concatenation_learns(concat):
    new = touched(seed=1)
    label = forward(concat, tokens(new, ("tactile", "thermal"))).log_probabilities.argmax(dim=1).numpy()
    assert np.mean(np.array(["PP", "ABS"])[label] == new.material) > 0.95


def test_concatenation_does_not_mix_rows(concat):
    batch = tokens(touched(seed=2), ("tactile", "thermal"))
    whole = forward(concat, batch).log_probabilities
    torch.testing.assert_close(forward(concat, batch.rows(torch.tensor([7]))).log_probabilities[0], whole[7])
    changed = {m: v.clone() for m, v in batch.values.items()}
    changed["tactile"][8:] = 50.0
    torch.testing.assert_close(forward(concat, replace(batch, values=changed)).log_probabilities[:8], whole[:8])


def test_concatenated_columns_are_means_of_what_was_measured():
    batch = tokens(touched(4), ("tactile", "thermal"))
    batch.values["tactile"][:] = torch.nan
    batch.values["tactile"][0, :, 3] = torch.tensor([1.0, 3.0])
    batch.values["tactile"][1, 1, 3] = 5.0
    batch.values["tactile"][2, :, 3] = torch.tensor([9.0, 7.0])
    batch.reliability["tactile"][2, 0] = 0.0
    table = concatenated(batch, ("tactile", "thermal"))
    assert table[:3, 3].tolist() == [2.0, 5.0, 7.0]
    assert torch.isnan(table[3]).all()
    assert torch.isfinite(table).sum() == 3


def test_trees_tell_what_was_not_measured(library):
    data = generate_batched(8, 3, library)
    columns = identify._columns(data)
    assert np.isfinite(columns).all()
    assert (columns == -1e3).any()
    assert columns.shape == concatenated(tokens(data, SENSES), SENSES).shape
