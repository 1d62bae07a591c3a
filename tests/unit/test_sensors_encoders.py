import numpy as np
import pytest

from palpate_agents.observation import Frame
from palpate_sim.kinematics import Chain, UrdfModel
from palpate_sim.planning import TOOL_POSTURE
from palpate_sim.sensors.encoders import CORRELATION_S, SLOW_RAD, WHITE_RAD, JointNoise


def test_spread_and_correlation():
    times = np.arange(0.0, 2000.0, 0.01)
    error = JointNoise(np.random.default_rng(0)).apply_series(np.zeros((len(times), 7)), times)
    assert error.std() == pytest.approx(np.hypot(WHITE_RAD, SLOW_RAD), rel=0.03)
    lag = round(CORRELATION_S / 0.01)
    covariance = np.mean(error[lag:] * error[:-lag])
    assert covariance == pytest.approx(SLOW_RAD**2 * np.exp(-1.0), rel=0.15)


def test_tip_wanders_by_about_eight_micrometres():
    chain = Chain(UrdfModel(), Frame.BALL_TIP, Frame.BASE)
    heights = []
    for seed in range(200):
        q = JointNoise(np.random.default_rng(seed)).apply(TOOL_POSTURE, 0.0)
        heights.append(chain.forward(q)[2, 3])
    assert np.std(heights) == pytest.approx(8e-6, rel=0.25)


def test_one_by_one_is_as_in_one_go():
    positions, times = np.ones((4, 7)), np.array([0.0, 0.01, 0.02, 0.5])
    together = JointNoise(np.random.default_rng(3)).apply_series(positions, times)
    single = JointNoise(np.random.default_rng(3))
    assert np.array_equal(together, [single.apply(p, t) for p, t in zip(positions, times, strict=True)])
