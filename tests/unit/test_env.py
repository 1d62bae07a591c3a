"""`palpate/Probe-v0`: checkers, determinism across processes, faults of its user, and that every number matters."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import warnings

import gymnasium
import numpy as np
import pytest
from flat_library import flat_library
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env

from palpate_agents.errors import CellError, ConfigError
from palpate_agents.observation import MAX_PROBES, Modality, Outcome, Primitive
from palpate_agents.probing.decoder import encode
from palpate_sim.batch.cell import BatchConfig
from palpate_sim.env import ENV_ID, ProbeEnv, register
from palpate_sim.episodes import BeliefUpdate, Episodes, EpisodeSettings

LIBRARY = flat_library()


def make(**given):
    return ProbeEnv(library=LIBRARY, **given)


def digest(seed: int = 5) -> str:
    env, rng, total = make(), np.random.default_rng(0), hashlib.sha256()
    observation, _ = env.reset(seed=seed)
    for _ in range(25):
        for name in sorted(observation):
            total.update(observation[name].tobytes())
        observation, reward, terminated, truncated, _ = env.step(rng.uniform(-1, 1, 7).astype(np.float32))
        total.update(np.float64(reward).tobytes())
        if terminated or truncated:
            observation, _ = env.reset()
    return total.hexdigest()


def test_gymnasium_checker():
    register()
    register()
    env = gymnasium.make(ENV_ID, library=LIBRARY)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning)
        check_env(env.unwrapped, skip_render_check=True)
    env.close()


def test_stable_baselines_checker():
    checker = pytest.importorskip("stable_baselines3.common.env_checker")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning)
        checker.check_env(make())


def test_same_bytes_in_another_process():
    code = "import sys; sys.path.insert(0, 'tests/unit'); import test_env; print(test_env.digest())"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert child.stdout.strip().splitlines()[-1] == digest() != digest(6)


def test_episode_ends_after_its_probes_and_goes_on_after_reset():
    env = make(settings=EpisodeSettings(max_probes=4))
    env.reset(seed=1)
    ends = [env.step(np.zeros(7))[2] for _ in range(3)]
    assert ends == [False, False, True]
    with pytest.raises(ResetNeeded, match="call reset"):
        env.step(np.zeros(7))
    env.reset()
    assert env.step(np.zeros(7))[2] is False
    first, _ = env.reset()  # in the middle of an episode
    assert first["probes"][0] == 1.0  # its picture
    assert first["primitive"][Primitive.LOOK] == 1.0
    assert first["reliability"].tolist() == [1.0, 0.0, 0.0, 1.0, 0.0]


def test_no_policy_meets_an_eleventh_probe():
    """The agent of a real cell counts the first picture among the ten."""
    env = make(settings=EpisodeSettings(time_limit_s=1e6))
    env.reset(seed=1)
    ends = [env.step(np.zeros(7)) for _ in range(MAX_PROBES - 1)]
    assert [step[2] for step in ends] == [False] * (MAX_PROBES - 2) + [True]
    assert ends[-1][0]["probes"][0] == MAX_PROBES == env.observation_space["probes"].high[0]


def test_what_there_is_not_is_refused():
    with pytest.raises(ConfigError, match="nothing to render"):
        make(render_mode="human")
    env = make()
    with pytest.raises(ConfigError, match="'speed' is unknown"):
        env.reset(options={"speed": 2})
    with pytest.raises(ConfigError, match="3 is unknown"):
        env.reset(options=3)
    env.reset(options={})
    with pytest.raises(ConfigError, match="seed"):
        make(seed=1.5)


def test_time_limit_truncates():
    env = make(settings=EpisodeSettings(time_limit_s=4.0))
    env.reset(seed=1)
    for _ in range(10):
        observation, _, terminated, truncated, _ = env.step(np.zeros(7))
        if truncated:
            break
    assert truncated
    assert not terminated
    assert observation["elapsed_s"][0] >= 4.0


def test_step_before_reset_and_after_close():
    env = make()
    with pytest.raises(ResetNeeded):
        env.step(np.zeros(7))
    env.close()
    env.close()
    with pytest.raises(CellError, match="closed"):
        env.reset()
    with pytest.raises(CellError, match="closed"):
        env.step(np.zeros(7))


@pytest.mark.parametrize(
    ("action", "word"),
    [
        (np.zeros(6), "shape"),
        (np.full(7, np.nan), "nan"),
        (np.full(7, 3.0), "is 3, allowed"),
        (np.full(7, "a"), "give real numbers"),
        (np.full(7, None), "type object"),
        (np.zeros(7, complex), "type complex128"),
        (np.zeros(7, bool), "type bool"),
    ],
)
def test_bad_actions(action, word):
    env = make()
    env.reset(seed=0)
    with pytest.raises(ConfigError, match=word):
        env.step(action)
    env.step(np.zeros(7))  # nothing is spoilt


def test_reward_is_the_price():
    env = make(settings=EpisodeSettings(seconds_price=0.1, damage_price=2.0), config=BatchConfig(condition="painted"))
    observation, _ = env.reset(seed=3)
    action = encode(Primitive.SCRATCH, (0, 0), observation["extent_m"], slide_m=0.015, force_n=6.0)[0]
    _, reward, _, _, info = env.step(action)
    assert info["damage"] > 0.1
    assert reward == pytest.approx(-0.1 * info["seconds"] - 2.0 * info["damage"])


def test_belief_gives_information_and_ends():
    calls = []

    def belief(result, material, rows, *, fresh):
        calls.append(fresh)
        loss = np.full(len(material), 3.0 if fresh else 3.0 - 0.5 * len(calls))
        return BeliefUpdate(loss, np.full(len(material), len(calls) == 4))

    env = make(settings=EpisodeSettings(seconds_price=0.0, damage_price=0.0), belief=belief)
    env.reset(seed=0)
    rewards = [env.step(np.zeros(7))[1] for _ in range(2)]
    assert rewards == pytest.approx([1.0, 0.5])
    assert env.step(np.zeros(7))[2] is True
    assert calls == [True, False, False, False]


def test_truth_only_when_asked():
    hidden, shown = make(), make(expose_truth=True)
    assert "material" not in hidden.reset(seed=4)[1]
    info = shown.reset(seed=4)[1]
    assert {"material", "condition", "shape", "key"} <= set(info)
    assert "material" not in hidden.step(np.zeros(7))[-1]


def test_settings_refuse_nonsense():
    for wrong in (
        {"max_probes": 1}, {"max_probes": 11}, {"max_probes": 2.5}, {"max_probes": True}, {"time_limit_s": 0.0},
        {"time_limit_s": "long"}, {"seconds_price": -1.0}, {"damage_price": float("nan")},
        {"information_weight": float("inf")},
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            EpisodeSettings(**wrong)


@pytest.mark.parametrize("primitive", [p for p in Primitive if p is not Primitive.PLACE])
def test_every_primitive_is_reachable(primitive):
    env = make()
    observation, _ = env.reset(seed=11)
    action = encode(primitive, (0, 0), observation["extent_m"], dwell_s=1.5)[0].astype(np.float32)
    observation, *_ = env.step(action)
    assert observation["primitive"][primitive] == 1.0
    assert observation["outcome"].sum() == 1.0
    assert observation["outcome"][Outcome.SUCCEEDED] == 1.0 or primitive is Primitive.LIFT


BASE = {
    "look": encode(Primitive.LOOK, (0, 0), (0.06, 0.05, 0.02))[0],
    "touch": encode(Primitive.PRESS, (0, 0), (0.06, 0.05, 0.02))[0],
    "slide": encode(Primitive.SLIDE, (0, 0), (0.06, 0.05, 0.02), slide_m=0.012)[0],
}


@pytest.mark.parametrize(
    ("base", "number", "value", "modality"),
    [
        ("look", 0, 0.7, Modality.SPECTRAL),  # another place of a painted, patchy surface
        ("look", 1, -0.7, Modality.SPECTRAL),
        ("look", 2, 1.0, Modality.SPECTRAL),  # farther away
        ("touch", 2, 0.6, Modality.SPECTRAL),  # look instead of touch
        ("touch", 3, 0.99 * 0.5, Modality.TACTILE),  # tilted
        ("slide", 4, -1.0, Modality.TACTILE),  # longer, across
        ("touch", 5, 1.0, Modality.TACTILE),  # tap instead of press
        ("slide", 5, 1.0, Modality.TACTILE),  # faster
        ("touch", 6, 1.0, Modality.TACTILE),  # harder
    ],
)
def test_each_number_changes_what_is_sensed(base, number, value, modality):
    found = []
    for chosen in (None, value):
        episodes = Episodes(16, 3, config=BatchConfig(condition="painted"), library=LIBRARY)
        episodes.reset()
        action = BASE[base].copy()
        if chosen is not None:
            action[number] = chosen
        taken = episodes.step(np.repeat(action[None], 16, axis=0))
        found.append(np.nan_to_num(taken.probe.features[modality].values))
    assert np.abs(found[0] - found[1]).max() > 1e-6
