import numpy as np
import pytest

from palpate_sim.devices import DeviceDraw
from palpate_sim.sensors.wrench import DRIFT_PER_SQRT_S, RANGE, WrenchNoise


def test_noise_bias_and_gain():
    devices = DeviceDraw(wrench_bias=(0.3, -0.2, 0.1, 0.01, 0.0, -0.01), force_gain=1.01)
    sensor = WrenchNoise(devices, np.random.default_rng(0))
    times = np.arange(20_000) * 1e-6  # so short that nothing drifts
    true = np.tile([1.0, 2.0, -8.0, 0.1, 0.0, 0.05], (len(times), 1))
    seen = sensor.apply_series(true, times)
    assert seen.mean(axis=0) == pytest.approx(1.01 * true[0] + devices.wrench_bias, abs=1e-3)
    assert seen[:, :3].std(axis=0) == pytest.approx([0.01] * 3, rel=0.03)
    assert seen[:, 3:].std(axis=0) == pytest.approx([2.5e-4] * 3, rel=0.03)


def test_drift_is_a_random_walk_that_remembers():
    quiet = DeviceDraw(force_noise_n=0.0, torque_noise_nm=0.0)
    ends = []
    for seed in range(300):
        sensor = WrenchNoise(quiet, np.random.default_rng(seed))
        sensor.apply(np.zeros(6), 0.0)
        before = sensor.apply(np.zeros(6), 50.0)
        after = sensor.apply(np.zeros(6), 100.0)
        assert not np.array_equal(before, after)
        ends.append(after)
    assert np.std(ends, axis=0) == pytest.approx(10.0 * DRIFT_PER_SQRT_S, rel=0.15)


def test_one_by_one_is_as_in_one_go():
    devices, times = DeviceDraw(force_noise_n=0.0, torque_noise_nm=0.0), np.array([0.0, 0.001, 0.002])
    together = WrenchNoise(devices, np.random.default_rng(1)).apply_series(np.zeros((3, 6)), times)
    single = WrenchNoise(devices, np.random.default_rng(1))
    first = single.apply(np.zeros(6), 0.0)
    assert first == pytest.approx(together[0], abs=1e-12)
    assert np.abs(together).max() < 1e-3


def test_saturates_at_its_range():
    sensor = WrenchNoise(DeviceDraw(), np.random.default_rng(0))
    assert np.array_equal(sensor.apply(np.full(6, 1e3), 0.0), RANGE)
    assert np.array_equal(sensor.apply(np.full(6, -1e3), 0.1), -RANGE)
