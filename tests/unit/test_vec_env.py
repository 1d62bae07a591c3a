"""Vectorised environments: resets by themselves, same numbers alone, among many and in workers, faults."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from flat_library import flat_library

from palpate_agents.errors import CellError, ConfigError
from palpate_agents.probing.decoder import LOOK_ABOVE
from palpate_sim.env import ENV_ID, ProbeEnv, register
from palpate_sim.episodes import BeliefUpdate, EpisodeSettings
from palpate_sim.vec_env import NUMBERS, ProbeVectorEnv

LIBRARY = flat_library()
N = 12
TRUTH = ("material", "condition", "shape", "key")


def actions(steps: int, n: int = N):
    return np.random.default_rng(2).uniform(-1, 1, (steps, n, 7)).astype(np.float32)


def test_spaces_and_reset_by_itself():
    env = ProbeVectorEnv(N, EpisodeSettings(max_probes=4, expose_truth=True), library=LIBRARY)
    observation, _ = env.reset(seed=1)
    assert env.observation_space.contains(observation)
    for k, step in enumerate(actions(7)):
        observation, reward, terminated, truncated, info = env.step(step)
        assert env.observation_space.contains(observation)
        assert reward.shape == terminated.shape == truncated.shape == (N,)
        ended = (k + 1) % 3 == 0
        assert terminated.all() == ended
        assert ("final_obs" in info) == ended
        if ended:
            assert info["_final_obs"].all()
            assert info["final_obs"][0]["probes"][0] == 4.0
            assert env.single_observation_space.contains(info["final_obs"][4])
            last = info["final_info"]
            assert info["_final_info"].all()
            assert set(last) == {f"{_}{name}" for name in (*NUMBERS, *TRUTH) for _ in ("", "_")}
            assert isinstance(last["material"][3], str)
            np.testing.assert_array_equal(last["seconds"], info["seconds"])
            assert (observation["probes"] == 1.0).all()
    env.close()
    env.close()
    with pytest.raises(CellError, match="closed"):
        env.reset()


def test_same_as_one_environment():
    env, one = ProbeVectorEnv(N, library=LIBRARY, seed=9), ProbeEnv(library=LIBRARY)
    many, _ = env.reset(seed=9)
    alone, _ = one.reset(seed=9)
    for step in actions(14):
        for name, values in alone.items():
            np.testing.assert_allclose(values, many[name][0], rtol=1e-5, atol=1e-5, err_msg=name)
        many, rewards, *_ = env.step(step)
        alone, reward, terminated, truncated, _ = one.step(step[0])
        assert reward == pytest.approx(rewards[0])
        if terminated or truncated:
            alone, _ = one.reset()


def test_workers_change_nothing():
    local, shared = (ProbeVectorEnv(N, library=LIBRARY, seed=4, workers=w) for w in (1, 3))
    try:
        here, there = local.reset()[0], shared.reset()[0]
        for step in actions(12):
            for name, values in here.items():
                np.testing.assert_allclose(values, there[name], rtol=1e-5, atol=1e-5, err_msg=name)
            here, reward, *_, info = local.step(step)
            there, other, *_, also = shared.step(step)
            np.testing.assert_allclose(reward, other, rtol=1e-6)
            assert ("final_obs" in info) == ("final_obs" in also)
        with pytest.raises(ConfigError, match="shape"):
            shared.step(np.zeros((N, 3)))
    finally:
        shared.close()
        shared.close()
        local.close()


def test_worker_numbers_change_nothing_in_double_precision():
    local, shared = (ProbeVectorEnv(4, library=LIBRARY, seed=4, workers=w) for w in (1, 2))
    try:
        local.reset()
        shared.reset()
        exact = np.random.default_rng(5).uniform(-1, 1, (4, 7))
        exact[:, 2] = LOOK_ABOVE + 1e-9  # a look, or not, after rounding
        here, there = local.step(exact)[0], shared.step(exact)[0]
        for name, values in here.items():
            np.testing.assert_array_equal(values, there[name], err_msg=name)
    finally:
        shared.close()


@dataclass
class Grumbling:
    """Refuses its second step in one of two workers, which it knows by the number of its cells."""

    calls: int = 0

    def __call__(self, result, material, rows, *, fresh):
        self.calls += not fresh
        if len(material) == 2 and self.calls == 2 and not fresh:
            raise ConfigError("enough")
        return BeliefUpdate(np.full(len(material), 3.0), np.zeros(len(material), bool))


def test_refusal_of_one_worker_leaves_no_answer_behind():
    env = ProbeVectorEnv(5, library=LIBRARY, seed=4, workers=2, belief=Grumbling())
    other = ProbeVectorEnv(5, library=LIBRARY, seed=4, belief=None)
    try:
        env.reset()
        steps = actions(3, 5)
        env.step(steps[0])
        with pytest.raises(ConfigError, match="enough"):
            env.step(steps[1])
        np.testing.assert_array_equal(env.reset(seed=8)[0]["visual"], other.reset(seed=8)[0]["visual"])
        observation, _, _, _, info = env.step(steps[2])
        wanted, _, _, _, also = other.step(steps[2])
        np.testing.assert_allclose(observation["tactile"], wanted["tactile"], rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(info["seconds"], also["seconds"])
        env._cells.begin(steps[0])
        with pytest.raises(CellError, match="under way"):
            env._cells.begin(steps[0])
        np.testing.assert_array_equal(env.reset(seed=8)[0]["visual"], other.reset(seed=8)[0]["visual"])
    finally:
        env.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_seed_of_each_cell(workers):
    env = ProbeVectorEnv(3, library=LIBRARY, workers=workers)
    try:
        many, _ = env.reset(seed=[7, 8, 7])
        one = ProbeEnv(library=LIBRARY)
        for row, seed in ((0, 7), (1, 8), (2, 7)):
            np.testing.assert_allclose(one.reset(seed=seed)[0]["visual"], many["visual"][row], rtol=1e-5, atol=1e-5)
        for wrong, word in (([1, 2], "2 seeds"), ([1, None, 3], "None"), (1.5, "whole number"), ("7", "whole number")):
            with pytest.raises(ConfigError, match=word):
                env.reset(seed=wrong)
        with pytest.raises(ConfigError, match="reset_mask"):
            env.reset(options={"reset_mask": np.ones(3, bool)})
    finally:
        env.close()


def test_dead_worker_is_told():
    env = ProbeVectorEnv(N, library=LIBRARY, seed=4, workers=2)
    env.reset()
    env._cells._processes[0].kill()
    env._cells._processes[0].join()
    with pytest.raises(CellError, match="worker of the environment died"):
        env.step(actions(1)[0])
    env.close()


def test_a_script_without_a_guard_is_told(tmp_path):
    """Its workers die while they load it, before they have read what they are given."""
    script = tmp_path / "unguarded.py"
    script.write_text(
        f"import sys\nsys.path.append({str(Path(__file__).parent)!r})\n"
        "from flat_library import flat_library\nfrom palpate_sim.vec_env import ProbeVectorEnv\n"
        "ProbeVectorEnv(4, library=flat_library(), workers=2)\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert "CellError" in done.stderr
    assert "in a script only below" in done.stderr


def test_made_by_gymnasium():
    register()
    env = gymnasium.make_vec(ENV_ID, num_envs=3, vectorization_mode="vector_entry_point", library=LIBRARY)
    observation, _ = env.reset(seed=2)
    assert env.observation_space.contains(observation)
    assert isinstance(env.unwrapped, ProbeVectorEnv)
    env.close()


def test_too_many_workers():
    with pytest.raises(ConfigError, match="3 workers"):
        ProbeVectorEnv(2, library=LIBRARY, workers=3)
    for workers in (0, -1, 1.0):
        with pytest.raises(ConfigError, match="number of workers"):
            ProbeVectorEnv(2, library=LIBRARY, workers=workers)


def test_stable_baselines_environment():
    pytest.importorskip("stable_baselines3")
    from palpate_sim.vec_env import ProbeVecEnv

    env = ProbeVecEnv(N, EpisodeSettings(max_probes=3), library=LIBRARY)
    env.seed(3)
    env.reset()
    env.step(actions(1)[0])
    observation, reward, done, infos = env.step(actions(1)[0])
    assert done.all()
    assert reward.dtype == np.float32
    assert infos[0]["terminal_observation"]["probes"][0] == 3.0
    assert infos[0]["TimeLimit.truncated"] is False
    assert (observation["probes"] == 1.0).all()
    env.set_options()
    with pytest.raises(ConfigError, match="'speed' is unknown"):
        env.set_options({"speed": 1})
    with pytest.raises(ConfigError, match="seed"):
        env.seed("three")
    assert env.get_attr("num_envs") == [N] * N
    assert env.env_is_wrapped(object) == [False] * N
    for wrong in (np.zeros((N, 3)), np.full((N, 7), np.nan), np.full((N, 7), 2.0)):
        with pytest.raises(ConfigError):
            env.step(wrong)
    with pytest.raises(CellError, match="no method"):
        env.env_method("render")
    env.close()
    env.close()
    with pytest.raises(CellError, match="closed"):
        env.reset()


@pytest.mark.learning
def test_ppo_runs():
    sb3 = pytest.importorskip("stable_baselines3")
    from palpate_sim.vec_env import ProbeVecEnv

    env = ProbeVecEnv(16, library=LIBRARY)
    sb3.PPO("MultiInputPolicy", env, n_steps=4, batch_size=32, n_epochs=1, device="cpu").learn(128)
    env.close()
