"""Vectorised environments: resets by themselves, same numbers alone, among many and in workers, faults."""

from __future__ import annotations

import numpy as np
import pytest
from flat_library import flat_library

from palpate_agents.errors import CellError, ConfigError
from palpate_sim.env import ProbeEnv
from palpate_sim.episodes import EpisodeSettings
from palpate_sim.vec_env import ProbeVectorEnv

LIBRARY = flat_library()
N = 12


def actions(steps: int, n: int = N):
    return np.random.default_rng(2).uniform(-1, 1, (steps, n, 7)).astype(np.float32)


def test_spaces_and_reset_by_itself():
    env = ProbeVectorEnv(N, EpisodeSettings(max_probes=3, expose_truth=True), library=LIBRARY)
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
            assert info["final_obs"][0]["probes"][0] == 3.0
            assert env.single_observation_space.contains(info["final_obs"][4])
            assert "material" in info["truth"][0]
            assert (observation["probes"] == 0.0).all()
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


def test_dead_worker_is_told():
    env = ProbeVectorEnv(N, library=LIBRARY, seed=4, workers=2)
    env.reset()
    env._cells._processes[0].kill()
    env._cells._processes[0].join()
    with pytest.raises(CellError, match="worker of the environment died"):
        env.step(actions(1)[0])
    env.close()


def test_too_many_workers():
    with pytest.raises(ConfigError, match="3 workers"):
        ProbeVectorEnv(2, library=LIBRARY, workers=3)


def test_stable_baselines_environment():
    pytest.importorskip("stable_baselines3")
    from palpate_sim.vec_env import ProbeVecEnv

    env = ProbeVecEnv(N, EpisodeSettings(max_probes=2), library=LIBRARY)
    env.seed(3)
    env.reset()
    env.step(actions(1)[0])
    observation, reward, done, infos = env.step(actions(1)[0])
    assert done.all()
    assert reward.dtype == np.float32
    assert infos[0]["terminal_observation"]["probes"][0] == 2.0
    assert infos[0]["TimeLimit.truncated"] is False
    assert (observation["probes"] == 0.0).all()
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
