"""PPO learns on a toy cell what random probing cannot, and learns the same twice."""

import numpy as np
import pytest
import torch

from palpate_agents.errors import ConfigError, ModelError
from palpate_agents.model_io import load_model, load_surface_reader
from palpate_agents.probing.items import Options
from palpate_agents.probing.policy import PolicyConfig, ProbingPolicy
from palpate_agents.probing.policy_input import input_size
from palpate_agents.probing.policy_io import load_policy, save_policy
from palpate_sim.batch.cell import BatchConfig
from palpate_sim.menu_env import MenuTask
from palpate_sim.probing_cells import ProbingCells
from palpate_sim.training.policy import PolicyTraining, train_policy

TOY = MenuTask(BatchConfig(materials=("PE-HD", "ABS", "glass", "mild-steel", "EPDM", "MDF"), mix="hard"))
SHORT = PolicyTraining(
    seed=3, steps=1024, cells=32, workers=1, length=8, batch=128, epochs=2, curriculum=((0.5, "mix"), (0.5, "hard")),
    task=TOY,
)  # fmt: skip


def rewards(choose, parts=300, seed=77):
    cells = ProbingCells(parts, seed, load_surface_reader(), load_model("cell29"), TOY.rules, TOY.config)
    total = np.zeros(parts)
    for _ in range(10):
        options = cells.options
        total += cells.step(choose(options), options.spots).reward
    return total


def test_ppo_beats_random_on_a_toy_cell():
    settings = PolicyTraining(
        seed=1, steps=24_576, cells=64, workers=1, batch=512, curriculum=((1.0, "hard"),), task=TOY
    )
    policy, history = train_policy(settings)
    rng = np.random.default_rng(0)
    random = rewards(lambda o: (rng.random(o.allowed.shape) * o.allowed).argmax(axis=1))
    learnt = rewards(policy.choose)
    gain = learnt - random  # of the same parts
    assert gain.mean() > 4.0 * gain.std() / np.sqrt(len(gain))
    assert gain.mean() > 0.1
    assert history[-1]["steps"] == 24_576


def test_the_same_seed_gives_the_same_weights_and_another_others():
    one, _ = train_policy(SHORT)
    again, _ = train_policy(SHORT)
    other, _ = train_policy(PolicyTraining(**{**vars(SHORT), "seed": 4}))
    for name, value in one.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    assert not torch.equal(one.head.weight, other.head.weight)


def test_an_interrupted_run_goes_on(tmp_path):
    """The second run finds the rounds of the first, and learns only what is left."""
    half = PolicyTraining(**{**vars(SHORT), "steps": 512})
    train_policy(half, folder=tmp_path)
    _, history = train_policy(SHORT, folder=tmp_path)
    assert [row["steps"] for row in history] == sorted({row["steps"] for row in history})
    assert history[-1]["steps"] == 1024
    other = PolicyTraining(**{**vars(SHORT), "hidden": (16,)})
    with pytest.raises(ConfigError, match="other settings"):
        train_policy(other, folder=tmp_path)


def test_a_curriculum_that_is_not_whole_is_refused():
    with pytest.raises(ConfigError, match="add up to 1"):
        PolicyTraining(curriculum=((0.5, "mix"),))
    with pytest.raises(ConfigError, match="one round"):
        PolicyTraining(steps=100)


@pytest.fixture
def policy():
    torch.manual_seed(0)
    return ProbingPolicy(PolicyConfig(input_size(29, 512, 4), (8,), fusion_sha256="f" * 64, reader_sha256="r" * 64))


def options(inputs, allowed):
    return Options(None, None, np.asarray(inputs, np.float32), np.asarray(allowed, bool))


def test_only_allowed_items_are_chosen(policy):
    size, items = policy.config.inputs, len(policy.config.items)
    allowed = np.zeros((5, items), bool)
    allowed[np.arange(5), [0, 3, 7, 7, items - 1]] = True
    assert policy.choose(options(np.random.default_rng(0).normal(size=(5, size)), allowed)).tolist() == [
        0, 3, 7, 7, items - 1,
    ]  # fmt: skip


def test_what_is_no_number_leads_to_no_probe(policy):
    inputs = np.zeros((1, policy.config.inputs))
    inputs[0, 3] = np.nan
    with pytest.raises(ModelError, match="not finite"):
        policy.choose(options(inputs, np.ones((1, len(policy.config.items)))))
    with pytest.raises(ModelError, match="reads"):
        policy.choose(options(np.zeros((1, 4)), np.ones((1, len(policy.config.items)))))


def test_files_are_checked(policy, tmp_path):
    save_policy(policy, tmp_path / "p")
    back = load_policy(tmp_path / "p", "f" * 64, "r" * 64)
    assert torch.equal(back.head.weight, policy.head.weight)
    with pytest.raises(ModelError, match=r"trained with the fusion model f+, not with 0+"):
        load_policy(tmp_path / "p", "0" * 64)
    with pytest.raises(ModelError, match="surface reader"):
        load_policy(tmp_path / "p", "", "0" * 64)
    with pytest.raises(ModelError, match="none"):
        load_policy(tmp_path / "none")
    weights = tmp_path / "p" / "weights.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(bytes(data))
    with pytest.raises(ModelError, match="altered"):
        load_policy(tmp_path / "p")


def test_another_menu_is_refused(policy, tmp_path):
    card = tmp_path / "p" / "card.json"
    save_policy(policy, tmp_path / "p")
    card.write_text(card.read_text().replace('"look_far"', '"look_very_far"'))
    with pytest.raises(ModelError):
        load_policy(tmp_path / "p")
