"""Tuning finds better rivals than it begins with, and finds the same twice."""

import numpy as np
import pytest
import torch

from palpate_agents.model_io import load_surface_reader
from palpate_agents.probing.observation_model import GreedyItems
from palpate_agents.probing.rivals import FixedItems, RandomItems
from palpate_sim.library import PartLibrary
from palpate_sim.probing_runs import Ground, characterise
from palpate_sim.training.observation_model import ObservationTraining, train_observation_model
from palpate_sim.training.rivals import Pool, RivalTuning, best_sequence, training_outlines, tune_rivals

SHORT = ObservationTraining(seed=2, probes=12_288, cells=64, length=32, hidden=(64,))


@pytest.fixture(scope="module")
def ground():
    return Ground.of(PartLibrary.load_or_build(), load_surface_reader())


def test_a_search_is_never_worse_than_its_start(ground):
    pool = Pool(ground, list(range(100, 148)), 24)
    start = ("press", "slide", "warm_long")
    before = pool.rewards(FixedItems(start)).mean()
    best, value = best_sequence(pool, 2000, 2, start)
    assert value > before
    assert value == pytest.approx(pool.rewards(FixedItems(best)).mean())


def test_what_is_tuned_is_whole_and_the_same_twice(ground):
    few = RivalTuning(seed=3, parts=24, few=12, budget=400)
    one, again = tune_rivals(ground, few), tune_rivals(ground, few)
    assert one == again
    assert set(one["fixed"]) == {"mix", "hard"}
    train, test = training_outlines()
    assert not set(train) & set(test)
    assert one["training"]["outlines"] == list(train)


def test_greedy_learns_what_probes_tell(ground):
    model, how = train_observation_model(ground, SHORT)
    assert how["probes"] == SHORT.probes
    cells = ground.cells(200, 4321)
    greedy, random = (
        characterise(cells, strategy, 4321).reward for strategy in (GreedyItems(model, macros=False), RandomItems())
    )
    gain = greedy - random
    assert gain.mean() > 3.0 * gain.std() / np.sqrt(len(gain))


def test_the_observation_model_is_the_same_twice(ground):
    short = ObservationTraining(seed=2, probes=2048, cells=32, length=32, hidden=(16,))
    one, again = (train_observation_model(ground, short)[0] for _ in range(2))
    for name, value in one.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
