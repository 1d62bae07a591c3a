"""Strategies, spots and the agent."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import synthetic_windows as syn
import torch

from palpate_agents.errors import ConfigError
from palpate_agents.fusion import FusionConfig, MultimodalFusionNetwork
from palpate_agents.observation import MAX_PROBES, Modality, Outcome, Primitive, ProbeWindows
from palpate_agents.probing import (
    AgentSettings,
    FixedStrategy,
    MaterialCharacterizationAgent,
    SpotChooser,
    make_strategy,
)
from palpate_agents.probing.strategy import RecordedStrategy
from palpate_agents.segmentation import region_around, segment

SEQUENCE = ["look", "tap", "press", "slide", "dwell", "lift"]
PROBES = {
    Primitive.LOOK: syn.look, Primitive.TAP: syn.tap, Primitive.PRESS: syn.press, Primitive.SLIDE: syn.slide,
    Primitive.DWELL: syn.dwell, Primitive.LIFT: syn.lift,
}  # fmt: skip


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return MultimodalFusionNetwork(FusionConfig(("PP", "ABS", "PLA")))


def agent_of(network, sequence=SEQUENCE, **settings) -> MaterialCharacterizationAgent:
    return MaterialCharacterizationAgent(network, FixedStrategy(sequence), AgentSettings(confidence=1.0, **settings))


def answer(goal, outcome=Outcome.SUCCEEDED, **options):
    """What the cell would answer to a goal: contact where it was asked for."""
    execution, windows = PROBES[goal.primitive](**options)
    if goal.primitive not in (Primitive.LOOK, Primitive.LIFT):
        execution = replace(execution, contact_point_m=goal.target_m, pad_index=goal.pad_index)
    if outcome is not Outcome.SUCCEEDED:
        execution = replace(execution, outcome=outcome, contact_time_ns=0)
        windows = windows if goal.primitive is Primitive.LOOK else ProbeWindows()
    return execution, windows


def overview(**options):
    execution, windows = syn.look(**options)
    return replace(execution, contact_point_m=(0.0, 0.0, 0.0)), replace(windows, spectra=[])


def run(agent, outcomes=None, **look):
    """All goals after the overview until the agent stops; `outcomes`: number of the goal -> outcome."""
    goals = []
    if not agent.history:
        assert agent.next_goal().target_m == (0.0, 0.0, 0.0)
        agent.observe(*overview(**look))
    while (goal := agent.next_goal()) is not None:
        options = look if goal.primitive is Primitive.LOOK else {}
        agent.observe(*answer(goal, (outcomes or {}).get(len(goals), Outcome.SUCCEEDED), **options))
        goals.append(goal)
        assert len(goals) <= MAX_PROBES
    return goals


def names(goals):
    return [g.primitive.name.lower() for g in goals]


# The fixed strategy.
def test_the_sequence_is_followed_and_ends(network):
    agent = agent_of(network)
    goals = run(agent)
    assert names(goals) == SEQUENCE
    assert agent.belief.probes == 7
    assert agent.next_goal() is None


def test_the_spectrum_is_taken_close_to_a_flat_spot_once_the_part_is_known(network):
    agent = agent_of(network, ["look"])
    goal = run(agent)[0]
    assert goal.target_m == agent.context.view.spots[0].point_m
    assert goal.target_m[2] == pytest.approx(0.03, abs=0.003)
    assert agent.observations[0].reasons[Modality.SPECTRAL] == "not measured by this primitive"
    assert agent.belief.reliabilities[Modality.SPECTRAL] > 0.9


def test_contacts_are_apart_from_each_other_and_from_the_warm_spot(network):
    agent = agent_of(network, ["look", "tap", "dwell", "press", "tap", "dwell0"])
    goals = run(agent)
    tap, dwell, press, tap2, dwell2 = (np.array(g.target_m) for g in goals[1:])
    assert np.linalg.norm((tap - press)[:2]) > 0.006
    for other in (press, tap2):
        assert np.linalg.norm((dwell - other)[:2]) > 0.0095
    assert np.linalg.norm((dwell - dwell2)[:2]) > 0.0095
    assert [g.pad_index for g in goals if g.primitive is Primitive.DWELL] == [1, 0]
    for goal in goals[1:]:
        assert goal.target_m[2] == pytest.approx(0.03, abs=0.003)
        assert goal.normal[2] > 0.97


def test_the_pad_gets_room(network):
    agent = agent_of(network, ["look", "dwell"])
    run(agent)
    view = agent.context.view
    target = agent.goals[-1].target_m
    chosen = next(s for s in view.spots if s.point_m == target)
    assert chosen.clearance_m > 0.0085


def test_a_slide_stays_on_the_part_along_its_length(network):
    agent = agent_of(network, ["look", "slide"])
    goal = run(agent)[1]
    assert goal.slide_angle_rad == pytest.approx(0.3, abs=0.1)
    assert 0.008 <= goal.slide_distance_m <= 0.02
    along = np.array([np.cos(goal.slide_angle_rad), np.sin(goal.slide_angle_rad)])
    for share in (0.0, 1.0):
        point = np.array(goal.target_m[:2]) + share * goal.slide_distance_m * along - syn.CENTRE
        assert abs(point @ along) < 0.03 - 0.003
        assert abs(point @ [-along[1], along[0]]) < 0.02 - 0.003


def test_what_the_part_has_no_place_for_is_left_out(network):
    agent = agent_of(network)
    assert "lift" not in names(run(agent, size=(0.12, 0.09, 0.03)))
    small = agent_of(network, ["slide", "tap"])
    assert names(run(small, size=(0.013, 0.013, 0.02))) == ["tap"]


@pytest.mark.parametrize("outcome", [Outcome.UNREACHABLE, Outcome.NO_CONTACT])
def test_a_missed_probe_is_tried_once_more_elsewhere(network, outcome):
    agent = agent_of(network, ["look", "tap", "press"])
    goals = run(agent, {1: outcome})
    assert names(goals) == ["look", "tap", "tap", "press"]
    assert np.linalg.norm(np.array(goals[1].target_m) - goals[2].target_m) > 0.006
    twice = run(agent_of(network, ["look", "tap", "press"]), {1: outcome, 2: outcome})
    assert names(twice) == ["look", "tap", "tap", "press"]


@pytest.mark.parametrize("outcome", [Outcome.GRASP_FAILED, Outcome.DROPPED])
def test_after_a_failed_grasp_the_part_is_looked_at_anew(network, outcome):
    assert names(run(agent_of(network), {5: outcome})) == [*SEQUENCE, "look"]


def test_no_part_is_looked_for_twice_and_reported(network):
    agent = agent_of(network)
    for _ in range(2):
        assert agent.next_goal().primitive is Primitive.LOOK
        agent.observe(*overview(size=(1e-6, 1e-6, 1e-6)))
    assert agent.next_goal() is None
    signature = agent.signature()
    assert signature.abstained
    assert "no part" in signature.reason
    assert agent.place_goal().bin == "abstain"


def test_touching_parts_stop_the_probing_and_are_reported(network):
    agent = agent_of(network)
    execution, windows = syn.look(yaw=0.0)
    depth, _ = syn.box_hit(windows.camera, (240, 320), syn.SIZE_M, 0.9, (0.54, 0.042))
    windows.depth_m = np.minimum(windows.depth_m, depth.astype(np.float32))
    agent.next_goal()
    agent.observe(execution, windows)
    assert agent.next_goal() is None
    assert "touch" in agent.signature().reason


@pytest.mark.parametrize(
    ("sequence", "word"),
    [
        (["look", "lick"], "unknown probe 'lick'"),
        ([], "1 to 9"),
        (["look"] * 10, "1 to 9"),
        (["look", "lift", "tap"], "comes last"),
        (["look", "place"], "unknown probe 'place'"),
    ],
)
def test_impossible_sequences_are_refused(sequence, word):
    with pytest.raises(ConfigError, match=word):
        FixedStrategy(sequence)


def test_strategies_by_name():
    assert isinstance(make_strategy("fixed", ["look"]), FixedStrategy)
    with pytest.raises(ConfigError, match="unknown strategy 'clever'"):
        make_strategy("clever")
    with pytest.raises(ConfigError, match="needs the fusion model"):
        make_strategy("greedy")


# Spots.
def test_a_part_with_one_spot_is_touched_there_again(network):
    view = segment(syn.look()[1], 0.0, region_around((0.5, 0.0)))
    one = replace(view, spots=view.spots[:1])
    done = syn.execution(Primitive.TAP, contact_point_m=one.spots[0].point_m)
    assert SpotChooser(one, [done]).goal(Primitive.PRESS).target_m == one.spots[0].point_m
    assert SpotChooser(replace(view, found=False)).goal(Primitive.PRESS) is None


# The agent.
def test_it_stops_when_sure_but_not_before_the_least_number_of_probes(network):
    with torch.no_grad():
        sure = MultimodalFusionNetwork(network.config)
        sure.load_state_dict(network.state_dict())
        for head in sure.heads:
            head.bias[0] += 50.0
    agent = MaterialCharacterizationAgent(sure, FixedStrategy(SEQUENCE), AgentSettings(confidence=0.9, min_probes=4))
    assert names(run(agent)) == ["look", "tap", "press"]
    assert agent.signature().material == "PP"
    assert agent.place_goal().bin == "polyolefin"


def test_the_limit_of_probes_is_kept(network):
    assert len(run(agent_of(network, max_probes=3))) == 2
    agent = agent_of(network)
    for _ in range(MAX_PROBES):
        agent.observe(*syn.tap())
    assert agent.next_goal() is None
    with pytest.raises(ValueError, match="limit is 10"):
        agent.observe(*syn.tap())


def test_the_bin_goes_with_the_material_and_the_grasp_with_the_view(network):
    with torch.no_grad():
        sure = MultimodalFusionNetwork(network.config)
        for head in sure.heads:
            head.bias[2] += 50.0
    agent = MaterialCharacterizationAgent(sure, FixedStrategy(["look"]))
    run(agent)
    goal = agent.place_goal()
    assert agent.signature().material == "PLA"  # a label outside the catalogue
    assert goal.bin == "other"
    assert goal.grasp_width_m == pytest.approx(0.04, abs=0.004)
    assert goal.primitive is Primitive.PLACE


def test_a_lift_that_succeeded_holds_the_part(network):
    agent = agent_of(network)
    assert not agent.holding
    run(agent)
    assert agent.holding
    dropped = agent_of(network, ["look", "lift"])
    run(dropped, {1: Outcome.DROPPED})
    assert not dropped.holding


def test_a_new_part_starts_from_the_prior(network):
    agent = agent_of(network)
    prior = agent.belief.probabilities
    run(agent)
    assert not np.allclose(agent.belief.probabilities, prior, atol=1e-4)
    assert np.array_equal(agent.reset((0.5, 0.0, 0.0)).probabilities, prior)
    assert agent.history == ()
    assert agent.context.view is None


def test_the_same_windows_give_the_same_signature(network):
    first, second = agent_of(network), agent_of(network)
    run(first)
    run(second)
    assert np.array_equal(first.signature().embedding, second.signature().embedding)
    assert [g.target_m for g in first.goals] == [g.target_m for g in second.goals]


def test_dead_sensors_lead_to_abstention_not_to_a_crash(network):
    agent = agent_of(network)
    for goal_number in range(3):
        goal = agent.next_goal()
        if goal is None:
            break
        agent.observe(syn.execution(goal.primitive), ProbeWindows())
        assert agent.belief.probes == goal_number + 1
    assert max(agent.belief.reliabilities[m] for m in Modality) == 0.0
    assert agent.signature().abstained


@pytest.mark.parametrize(
    ("settings", "word"),
    [({"max_probes": 11}, "max_probes"), ({"confidence": 1.5}, "confidence"), ({"abstain_below": -1.0}, "abstain")],
)
def test_impossible_settings_are_refused(settings, word):
    with pytest.raises(ConfigError, match=word):
        AgentSettings(**settings)


def test_a_recording_is_followed_whatever_chose_its_probes(network):
    """Another strategy's probes are asked for again, part by part, and no more than there are."""
    recorded = {"one": [(Primitive.LOOK, 0), (Primitive.DWELL, 0), (Primitive.TAP, 0)], "two": [(Primitive.LOOK, 0)]}
    agent = MaterialCharacterizationAgent(network, RecordedStrategy(recorded), AgentSettings(confidence=1.0))
    for part, probes in recorded.items():
        agent.reset(part_id=part)
        asked = []
        while (goal := agent.next_goal()) is not None:
            asked.append((goal.primitive, goal.pad_index))
            agent.observe(*answer(goal))
        assert asked == probes
    agent.reset(part_id="unknown")
    assert agent.next_goal() is None
