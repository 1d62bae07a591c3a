"""Knowing what is unknown: parts of no label are found, known ones are named as before, false alarms are few."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from palpate_agents.encoders.features import FEATURE_NAMES, FeatureConfig
from palpate_agents.observation import Modality, Primitive
from palpate_sim.training.calibration import FALSE_ALARMS, calibrate
from palpate_sim.training.learner import PerceptionTraining
from palpate_sim.training.perception import (
    LATER_LOTS,
    network_config,
    split_parts,
    targets_of,
    tokens,
    train_network,
    train_perception,
    validation_views,
)
from palpate_sim.training.perception_data import PerceptionData
from palpate_sim.training.perception_figures import auroc, forward

LABELS = ("PP", "ABS", "Cu")
QUICK = PerceptionTraining(epochs=12, batch=64, hidden=64, learning_rate=3e-3)
COLUMNS = ("tap_log10_contact_time_s", "slide_friction")


def toy(known=1500, novel=300, seed=0, centre=(0.0, 2.5)) -> PerceptionData:
    """Three materials in a row in two columns of touch; a part of none of them lies beside the row, at `centre`."""
    rng = np.random.default_rng(seed)
    count = known + novel
    index = np.arange(count) % len(LABELS)
    is_novel = np.arange(count) >= known
    at = np.stack([index - 1.0, np.zeros(count)], axis=1)
    at[is_novel] = np.asarray(centre) + 0.3 * rng.normal(size=(novel, 2))
    at += 0.25 * rng.normal(size=(count, 2))
    values = {m: np.full((count, 2, len(FEATURE_NAMES[m])), np.nan, np.float32) for m in Modality}
    reliability = {m: np.zeros((count, 2), np.float32) for m in Modality}
    reliability[Modality.TACTILE][:] = 1.0
    for k, name in enumerate(COLUMNS):
        values[Modality.TACTILE][:, k, FEATURE_NAMES[Modality.TACTILE].index(name)] = at[:, k]
    ids = np.array([f"{seed}_{n:08d}" for n in range(count)])
    data = PerceptionData(
        ids, np.array(LABELS)[index], np.full(count, "clean"), rng.integers(0, 60, count),
        np.full((count, 2), int(Primitive.TAP), np.int8), values, reliability, ("restitution",),
        rng.normal(size=(count, 1)).astype(np.float32), FeatureConfig(), {"seed": seed},
    )  # fmt: skip
    return replace(data, novel=is_novel, lot=rng.integers(0, 40, count))


@pytest.fixture(scope="module")
def data():
    return toy()


@pytest.fixture(scope="module")
def trained(data):
    return train_perception(data, QUICK, labels=LABELS, modalities=("tactile",)).network


@pytest.fixture(scope="module")
def later():
    return toy(900, 300, seed=1)


def answers(network, data):
    return forward(network, tokens(data, ("tactile",)))


def right(network, data) -> float:
    known = data.rows(~data.novel)
    answer = answers(network, known).log_probabilities.argmax(dim=1).numpy()
    return float(np.mean(np.array(LABELS)[answer] == known.material))


def test_new_formulations_stand_out(trained, later):
    score = answers(trained, later).novelty_logit.numpy()
    assert auroc(score[~later.novel], score[later.novel]) > 0.97
    assert right(trained, later) > 0.9


def test_known_accuracy_does_not_suffer(data, trained, later):
    without = train_perception(data.rows(~data.novel), QUICK, labels=LABELS, modalities=("tactile",)).network
    assert right(trained, later) > right(without, later) - 0.02
    score = answers(without, later).novelty_logit.numpy()
    area = auroc(score[~later.novel], score[later.novel])
    trained_area = auroc(*(answers(trained, later).novelty_logit.numpy()[k] for k in (~later.novel, later.novel)))
    assert trained_area > area + 0.05


def test_novel_parts_do_not_teach_their_base_material(data, later):
    """Their material is what they were derived from: with every label wrong, nothing known changes for the worse."""
    wrong = replace(data, material=np.where(data.novel, "Cu", data.material))
    network = train_perception(wrong, QUICK, labels=LABELS, modalities=("tactile",)).network
    assert right(network, later) > 0.9


def test_the_limit_raises_few_false_alarms(trained, later):
    chance = torch.sigmoid(answers(trained, later).novelty_logit)
    false_alarms = float((chance > trained.novelty_limit)[torch.from_numpy(~later.novel)].float().mean())
    found = float((chance > trained.novelty_limit)[torch.from_numpy(later.novel)].float().mean())
    assert false_alarms < 3 * FALSE_ALARMS
    assert found > 0.6


def test_calibration_sets_the_limit_on_the_parts_that_it_is_given(data, trained):
    _, validation, _ = split_parts(data, QUICK)
    truth = targets_of(data, LABELS).rows(validation)
    batch = tokens(data, ("tactile",)).rows(validation)
    network = type(trained)(trained.config)
    network.load_state_dict(trained.state_dict())
    calibrate(network, batch, truth)
    out = forward(network, batch)
    known = torch.sigmoid(out.novelty_logit)[truth.known]
    share = float((known > network.novelty_limit).float().mean())
    assert share <= FALSE_ALARMS + 1.0 / len(known)
    assert share >= FALSE_ALARMS - 1.0 / len(known)
    # even odds: neither kind has the say, however many of each there are
    novel = torch.sigmoid(out.novelty_logit)[~truth.known]
    balance = 0.5 * float(known.mean()) + 0.5 * float(novel.mean())
    assert balance == pytest.approx(0.5, abs=0.1)


def test_calibration_does_not_depend_on_what_was_set_before():
    """A network that begins with another's weights has its temperatures: they must not count twice."""
    near = toy(1500, 300, centre=(0.0, 0.7))
    few = replace(QUICK, epochs=4)
    network = train_perception(near, few, labels=LABELS, modalities=("tactile",)).network
    _, validation, _ = split_parts(near, few)
    truth = targets_of(near, LABELS).rows(validation)
    batch = tokens(near, ("tactile",)).rows(validation)
    calibrate(network, batch, truth)
    before, limit = forward(network, batch), float(network.novelty_limit)
    network.log_temperature.fill_(0.4)
    network.property_scale.mul_(3.0)
    network.novelty_temperature.mul_(1.2)  # within what the search reaches from there
    network.novelty_bias.add_(-0.8)
    calibrate(network, batch, truth)
    after = forward(network, batch)
    for name in ("log_probabilities", "property_std"):
        torch.testing.assert_close(getattr(after, name), getattr(before, name), rtol=1e-3, atol=1e-3)
    # the search goes in steps of 0.2 for the bias and a tenth for the temperature
    torch.testing.assert_close(after.novelty_logit, before.novelty_logit, rtol=0.1, atol=0.3)
    assert float(network.novelty_limit) == pytest.approx(limit, abs=0.05)


def test_without_novel_parts_there_is_no_limit(data):
    network = train_perception(
        data.rows(~data.novel), replace(QUICK, epochs=1), labels=LABELS, modalities=("tactile",)
    ).network  # fmt: skip
    assert float(network.novelty_limit) == 1.0
    assert not bool((torch.sigmoid(answers(network, data).novelty_logit) > network.novelty_limit).any())


def test_later_lots_and_novel_test_parts_are_left_out(data):
    train, validation, test = (share.numpy() for share in split_parts(data, QUICK))
    assert data.lot.max() >= LATER_LOTS
    for share in (train, validation, test):
        assert data.lot[share].max() < LATER_LOTS
    assert data.novel[train].any()
    assert data.novel[validation].any()
    assert not data.novel[test].any()
    outlines = [set(data.geometry[share].tolist()) for share in (train, validation, test)]
    assert not outlines[0] & outlines[1]
    assert not outlines[2] & (outlines[0] | outlines[1])
    used = np.concatenate([train, validation, test])
    left = np.setdiff1d(np.arange(len(data)), used)
    assert np.all((data.lot[left] >= LATER_LOTS) | data.novel[left])


def test_early_stop_looks_at_known_parts_only(data):
    """Novel parts carry the label of what they were derived from, which is not to be met."""
    truth = targets_of(data, LABELS)
    train, validation, _ = split_parts(data, QUICK)
    config = network_config(data, QUICK, LABELS, modalities=("tactile",))
    settings = replace(QUICK, epochs=1)
    batch = tokens(data, ("tactile",))
    _, history = train_network(config, batch, truth, train, validation, settings)
    known = validation[truth.known[validation]]
    _, fewer = train_network(config, batch, truth, train, known, settings)
    assert history[0]["validation_loss"] == fewer[0]["validation_loss"]


def test_views_for_calibration_come_with_all_and_with_some_probes(data):
    batch = tokens(data, ("tactile",)).rows(torch.arange(50))
    views = validation_views(batch, torch.Generator().manual_seed(0))
    kept = views.reliability["tactile"].sum(dim=1)
    assert len(views) == 150
    assert bool((kept[:50] == 2).all())
    assert 0 < float(kept[50:].mean()) < 2


def test_loss_of_novelty_falls(trained, data):
    truth = targets_of(data, LABELS)
    out = answers(trained, data)
    loss = float(functional.binary_cross_entropy_with_logits(out.novelty_logit, (~truth.known).float()))
    share = float((~truth.known).float().mean())
    guess = -(share * np.log(share) + (1 - share) * np.log(1 - share))
    assert loss < 0.6 * guess
