"""Cells under one stop rule and clock."""

import numpy as np
import pytest

from palpate_agents.errors import ConfigError
from palpate_agents.probing.menu import NAMES
from palpate_sim.batch.cell import BatchConfig
from palpate_sim.fusion_belief import FusionBelief
from palpate_sim.probing_cells import ProbingCells, ProbingRules

CELLS = 24


class Blank:
    """Sees nothing on any surface."""

    def covers(self, maps, extent_m):
        return np.zeros((*maps.shape[:3], 4), np.float32)


@pytest.fixture(scope="module")
def network():
    from palpate_agents.model_io import load_model

    return load_model("cell29")


def made(network, seed=3, **rules):
    return ProbingCells(CELLS, seed, Blank(), network, ProbingRules(**rules), BatchConfig(mix="hard"))


def run(cells, names):
    return [cells.step(np.full(CELLS, NAMES.index(name))) for name in names]


def test_the_same_seed_gives_the_same(network):
    one, other = made(network), made(network)
    for a, b in zip(run(one, ["look", "tap"]), run(other, ["look", "tap"]), strict=True):
        assert np.array_equal(a.reward, b.reward)
    assert np.array_equal(one.belief.log_probabilities, other.belief.log_probabilities)


def test_belief_is_that_of_all_probes_together(network):
    """What is fused probe by probe is what the network says of all of them at once."""
    cells = made(network, sure=1.0)
    run(cells, ["look", "tap", "hot"])
    again = FusionBelief(CELLS, network)
    cell = made(network, sure=1.0)
    assert not np.allclose(again.log_probabilities, cells.belief.log_probabilities)
    run(cell, ["look", "tap", "hot"])
    assert np.array_equal(cell.belief.state, cells.belief.state)
    assert np.exp(cells.belief.log_probabilities).sum(axis=1) == pytest.approx(1.0, abs=1e-4)


def test_reward_adds_up_to_what_was_learnt_less_time_and_damage(network):
    cells = made(network, sure=1.0, deadline_s=60.0, seconds_price=0.1, damage_price=0.3)
    before = np.minimum(cells.belief.loss_nats, 8.0)
    steps = run(cells, ["look", "scratch", "look_treated"])
    reward = sum(step.reward for step in steps)
    seconds, damage = (sum(getattr(step, name) for step in steps) for name in ("seconds", "damage"))
    after = np.minimum(cells.belief.loss_nats, 8.0)
    assert reward == pytest.approx(before - after - 0.1 * seconds - 0.3 * damage, abs=1e-5)
    assert damage.max() > 0.0


def test_a_probe_that_is_not_over_at_the_deadline_tells_nothing(network):
    cells = made(network, sure=1.0, deadline_s=2.0)
    before = cells.belief.log_probabilities.copy()
    step = run(cells, ["hot_long"])[0]
    refused = step.outcome == 1
    assert np.array_equal(cells.belief.log_probabilities[~refused], before[~refused])
    assert step.over[~refused].all()
    assert cells.clock_s[~refused] == pytest.approx(2.0)


def test_giving_up_early_gains_nothing(network):
    """A part in the hand that is not sure is charged for the rest of the clock."""
    cells = made(network, sure=1.0, seconds_price=1.0)
    step = run(cells, ["lift"])[0]
    held = cells.cell.held
    assert held.sum() > CELLS // 4
    assert step.over[held].all()
    assert (step.reward[held] < -10.0).all()


def test_what_is_over_counts_no_more(network):
    cells = made(network, sure=0.01)
    run(cells, ["look"])
    assert cells.sure.all()
    clock, belief = cells.clock_s.copy(), cells.belief.log_probabilities.copy()
    step = run(cells, ["tap"])[0]
    assert not step.reward.any()
    assert np.array_equal(clock, cells.clock_s)
    assert np.array_equal(belief, cells.belief.log_probabilities)


def test_new_parts_begin_anew(network):
    cells = made(network, sure=1.0)
    run(cells, ["look", "tap"])
    rows = np.array([1, 5])
    others = np.setdiff1d(np.arange(CELLS), rows)
    kept = cells.belief.log_probabilities[others].copy()
    cells.reset(rows)
    assert cells.log.count[rows].tolist() == [0, 0]
    assert cells.clock_s[rows] == pytest.approx(0.25)
    assert np.array_equal(cells.belief.log_probabilities[others], kept)


def test_bad_rules_are_refused():
    with pytest.raises(ConfigError, match="deadline_s"):
        ProbingRules(deadline_s=0.0)
    with pytest.raises(ConfigError, match="max_probes"):
        ProbingRules(max_probes=11)
