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


def test_readings_in_parts_go_on_where_they_were():
    times = np.arange(0.0, 1.0, 0.01)
    jumps = []
    for seed in range(200):
        noise = JointNoise(np.random.default_rng(seed))
        first = noise.apply_series(np.ones((100, 7)), times)
        jumps.append(noise.apply(np.ones(7), 1.0) - first[-1])
    # one step of 10 ms: much less than the slow error itself, which two independent draws would differ by
    step = np.sqrt(2 * SLOW_RAD**2 * (1 - np.exp(-0.01 / CORRELATION_S)) + 2 * WHITE_RAD**2)
    assert np.std(jumps) == pytest.approx(step, rel=0.1)
