"""Strategies over the menu on the agent's one part."""

from dataclasses import replace

import numpy as np
import pytest
import synthetic_windows as syn
import torch
from test_probing import answer, overview

from palpate_agents.errors import ModelError
from palpate_agents.model_io import load_model
from palpate_agents.observation import Outcome, Primitive
from palpate_agents.probing import AgentSettings, MaterialCharacterizationAgent, make_strategy
from palpate_agents.probing.menu import MENU, NAMES
from palpate_agents.probing.menu_strategy import MenuStrategy, states_of
from palpate_agents.probing.policy import PolicyConfig, ProbingPolicy
from palpate_agents.probing.policy_input import input_size
from palpate_agents.probing.policy_io import save_policy
from palpate_agents.probing.strategy import OVERVIEW, ProbingState


class Blank:
    """Sees nothing on any surface."""

    def covers(self, maps, extent_m):
        return np.zeros((*maps.shape[:3], 4), np.float32)


class Plan:
    """Items in a row; remembers what it was shown."""

    def __init__(self, *names):
        self.items, self.seen = [NAMES.index(name) for name in names], []

    def choose(self, options):
        self.seen.append(options)
        return np.array([self.items[int(options.states.log.count[0])]])


@pytest.fixture(scope="module")
def network():
    return load_model("cell29")


def agent_of(network, plan, deadline_s=20.0):
    return MaterialCharacterizationAgent(
        network, MenuStrategy(plan, Blank(), deadline_s), AgentSettings(confidence=1.0)
    )  # fmt: skip


def test_the_part_is_found_first_then_items_become_goals(network):
    plan = Plan("tap", "hot", "press", "lift")
    agent = agent_of(network, plan)
    assert agent.next_goal() == OVERVIEW
    agent.observe(*overview())
    goals = []
    while (goal := agent.next_goal(1.0 + len(goals))) is not None:
        goals.append(goal)
        agent.observe(*answer(goal))
    assert [goal.primitive for goal in goals] == [Primitive.TAP, Primitive.DWELL, Primitive.PRESS, Primitive.LIFT]
    assert goals[0].speed_m_s == pytest.approx(0.045, abs=1e-3)
    assert (goals[1].pad_index, goals[1].dwell_s) == (1, pytest.approx(1.0, abs=0.01))
    view = agent.context.view
    for goal in goals[:3]:
        assert goal.target_m[2] == pytest.approx(0.03, abs=0.003)
        assert np.abs(np.subtract(goal.target_m, view.centroid_m)[:2]).max() < 0.5 * max(view.extent_m[:2])


def test_what_was_done_is_known_again(network):
    """From goals and executions alone the strategy knows its items, and where they were."""
    plan = Plan("scratch", "tap_treated", "tap", "hot_long", "look_far", "warm")
    agent = agent_of(network, plan)
    agent.observe(*overview())
    for k in range(5):
        goal = agent.next_goal(float(k))
        primitive = Primitive.SLIDE if goal.primitive is Primitive.SCRATCH else goal.primitive
        execution, windows = answer(replace(goal, primitive=primitive))
        agent.observe(replace(execution, primitive=goal.primitive), windows)
    agent.next_goal(5.0)
    options = plan.seen[-1]
    log = options.states.log
    assert [NAMES[k] for k in log.item[0, :5]] == ["scratch", "tap_treated", "tap", "hot_long", "look_far"]
    assert log.worked[0, :5].all()
    assert np.linalg.norm(log.place_m[0, 1] - log.place_m[0, 0]) < 0.004
    assert options.states.elapsed_s[0] == pytest.approx(5.0)


def test_it_stops_at_the_deadline_and_for_parts_that_touch(network):
    agent = agent_of(network, Plan("tap", "tap"), deadline_s=8.0)
    agent.observe(*overview())
    assert agent.next_goal(7.9) is not None
    assert agent.next_goal(8.0) is None
    touching = replace(agent.context, view=replace(agent.context.view, touching=True))
    state = ProbingState(touching, agent.belief, agent.history, tuple(agent.goals), 1.0)
    assert agent.strategy.next(state) is None


def test_after_a_failed_grasp_the_part_is_looked_at_anew(network):
    agent = agent_of(network, Plan("lift", "tap"))
    agent.observe(*overview())
    agent.observe(*answer(agent.next_goal(), Outcome.GRASP_FAILED))
    assert agent.next_goal() == OVERVIEW


def test_a_part_that_is_not_there_is_given_up(network):
    agent = agent_of(network, Plan("tap"))
    for _ in range(2):
        assert agent.next_goal() == OVERVIEW
        execution, windows = syn.look()
        agent.observe(replace(execution, contact_point_m=(0.0, 0.0, 0.0)), replace(windows, color=None, depth_m=None))
    assert agent.next_goal() is None


def test_the_state_is_the_belief_as_it_stands(network):
    agent = agent_of(network, Plan("tap", "tap"))
    agent.observe(*overview())
    state = ProbingState(agent.context, agent.belief, agent.history, tuple(agent.goals), 2.0)
    states = states_of(state, Blank(), 20.0)
    assert np.exp(states.log_probabilities).sum() == pytest.approx(1.0, abs=1e-3)
    assert np.array_equal(states.state[0], agent.belief.state)
    assert states.part.extent_m[0] == pytest.approx(agent.context.view.extent_m)


def test_a_policy_by_name_must_fit_its_fusion_model(network, tmp_path):
    torch.manual_seed(0)
    size = input_size(len(network.config.labels), network.config.state_dim, len(network.config.conditions))
    save_policy(ProbingPolicy(PolicyConfig(size, (8,), fusion_sha256="0" * 64)), tmp_path / "p")
    with pytest.raises(ModelError, match="trained with the fusion model"):
        make_strategy("policy", network=network, policy=str(tmp_path / "p"))
    assert isinstance(make_strategy("random", network=network), MenuStrategy)


def test_every_item_can_be_told_from_the_others_by_its_goal():
    """Two items of one kind and one kind of spot differ in a setting."""
    kinds = {(item.primitive, item.spot == "treated", item.settings) for item in MENU}
    assert len(kinds) == len(MENU)
