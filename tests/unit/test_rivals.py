"""The policy's rivals over the menu."""

import json

import numpy as np
import pytest
import torch
from test_menu import parts

from palpate_agents.errors import ConfigError, DataError, ModelError
from palpate_agents.probing.items import Options
from palpate_agents.probing.menu import MENU, NAMES
from palpate_agents.probing.observation_io import load_observation_model, save_observation_model
from palpate_agents.probing.observation_model import GreedyItems, ObservationConfig, ObservationModel
from palpate_agents.probing.policy_input import input_size
from palpate_agents.probing.rivals import GROUPS, ConditionItems, FixedItems, HandRule, RandomItems, RuleSettings
from palpate_agents.probing.tuned_rivals import load_rivals

CONDITIONS = ("black", "painted", "wet", "aged")
SIZE = input_size(29, 512, 4)


def chosen(strategy, states):
    return [NAMES[k] for k in strategy.choose(Options.of(states))]


def did(states, name, worked=True):
    item = NAMES.index(name)
    n = len(states)
    states.log.add(np.arange(n), item, int(MENU[item].primitive), np.zeros(2), worked)


def walked(strategy, states, failing=()):
    found = []
    for k in range(6):
        found.append(chosen(strategy, states)[0])
        did(states, found[-1], k not in failing)
    return found


def test_a_sequence_is_followed_and_begins_again():
    assert walked(FixedItems(["look", "tap", "hot"]), parts(1)) == ["look", "tap", "hot", "look", "tap", "hot"]


def test_a_failed_probe_is_tried_once_more():
    plan = FixedItems(["look", "tap", "hot"])
    assert walked(plan, parts(1), failing=(1, 2)) == ["look", "tap", "tap", "hot", "look", "tap"]


def test_what_is_not_allowed_is_left_out():
    assert chosen(FixedItems(["look_treated", "lift", "tap"]), parts(1, width_m=0.09)) == ["tap"]


def test_bad_sequences_are_refused():
    for wrong in ([], "look", ["look", "lick"]):
        with pytest.raises(ConfigError, match="item of the menu"):
            FixedItems(wrong)


def test_each_visible_condition_has_its_sequence():
    plans = {group: [NAMES[k]] for k, group in enumerate(GROUPS)}
    states = parts(4)
    states.conditions[0, 1] = states.conditions[1, 2] = states.conditions[2, 0] = 0.9
    assert chosen(ConditionItems(plans, CONDITIONS), states) == [NAMES[0], NAMES[1], "look", NAMES[3]]
    with pytest.raises(ConfigError, match="no sequence"):
        ConditionItems({"wet": ["tap"]}, CONDITIONS)
    with pytest.raises(ConfigError, match="no condition"):
        ConditionItems(plans, ("aged",)).choose(Options.of(states))


def test_the_rule_scratches_where_paint_lies_everywhere_and_measures_there():
    covers = np.zeros((2, 8, 8, 4), np.float32)
    covers[0, ..., 0] = 0.95
    states = parts(2, covers)
    states.conditions[:, 1] = 0.9
    rule = HandRule(CONDITIONS)
    assert chosen(rule, states) == ["scratch", RuleSettings().look[0]]
    did(states, "scratch")
    assert chosen(rule, states)[0] == "look_treated"


def test_chance_is_fair_and_repeatable():
    states = parts(4000)
    states.log_probabilities[:] += np.random.default_rng(0).normal(size=states.log_probabilities.shape)
    options = Options.of(states)
    one = RandomItems(1).choose(options)
    assert np.array_equal(one, RandomItems(1).choose(options))
    assert not np.array_equal(one, RandomItems(2).choose(options))
    assert options.allowed[np.arange(4000), one].all()
    share = np.bincount(one, minlength=len(NAMES))[options.allowed[0]] / 4000
    assert share == pytest.approx(1.0 / options.allowed[0].sum(), abs=0.02)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return ObservationModel(ObservationConfig(SIZE, (8,), fusion_sha256="f" * 64)).eval()


def test_greedy_takes_the_best_rate_and_the_first_half_of_a_macro(model):
    """A net that says what it is told: gain 1 of everything, much of one candidate."""
    with torch.no_grad():
        model.head.weight.zero_()
        model.head.bias.zero_()
        model.head.bias[NAMES.index("press")] = 2.0
        model.head.bias[len(NAMES)] = 5.0  # wipe, then look
    states = parts(2)
    assert chosen(GreedyItems(model, macros=False), states) == ["press", "press"]
    assert chosen(GreedyItems(model, macros=True), states) == ["wipe", "wipe"]
    options = Options.of(states)
    options.allowed[:, NAMES.index("press")] = False
    assert NAMES.index("press") not in GreedyItems(model, macros=False).choose(options)


def test_no_number_leads_to_no_probe(model):
    options = Options.of(parts(1))
    options.inputs[0, 0] = np.nan
    with pytest.raises(ModelError, match="not finite"):
        GreedyItems(model, macros=True).choose(options)


def test_the_observation_model_is_checked(model, tmp_path):
    save_observation_model(model, tmp_path / "o")
    assert torch.equal(load_observation_model(tmp_path / "o", "f" * 64).head.weight, model.head.weight)
    with pytest.raises(ModelError, match="trained with the fusion model"):
        load_observation_model(tmp_path / "o", "0" * 64)


def test_tuned_rivals_are_read_and_checked(tmp_path):
    good = {
        "menu": list(NAMES), "fixed": {"mix": ["look", "tap"]}, "condition": {group: ["tap"] for group in GROUPS},
        "rule": {"bare": 0.4}, "training": {},
    }  # fmt: skip
    path = tmp_path / "rivals.json"
    path.write_text(json.dumps(good))
    tuned = load_rivals(path)
    assert tuned.fixed_items("mix").sequence == ("look", "tap")
    assert tuned.rule.bare == 0.4
    with pytest.raises(ConfigError, match="hard"):
        tuned.fixed_items("hard")
    for change, word in (
        ({"menu": ["look"]}, "another menu"),
        ({"rule": {"x": 1}}, "no setting"),
        ({"fixed": 3}, "no"),
    ):
        path.write_text(json.dumps(good | change))
        with pytest.raises(DataError, match=word):
            load_rivals(path)
    with pytest.raises(DataError, match="cannot be read"):
        load_rivals(tmp_path / "none.json")
