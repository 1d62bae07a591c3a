"""Frozen sensors and wrong sample rates are found before features are computed, and no healthy sensor is accused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import synthetic_windows as syn
from faulty_parts import SENSORS, H, S, T, V, agent_of, frozen, lost, not_a_number, probes_of, small_network

from palpate_agents.observation import Outcome, Primitive, ProbeWindows
from palpate_agents.probing.sensor_watch import (
    NEVER_MEASURED,
    SensorWatch,
    newest_reasons,
    sample_rate_hz,
    sensor_states,
)

SECOND = 1_000_000_000


def later(probe, seconds):
    execution, windows = probe
    return replace(execution, window_end_ns=execution.window_end_ns + round(seconds * SECOND)), windows


def test_healthy_parts_are_left_as_they_are():
    watch, rng = SensorWatch(), np.random.default_rng(0)
    for part in range(3):
        for execution, windows in probes_of(0, part, rng):
            checked, faults = watch.check(execution, windows)
            assert faults == {}
            assert checked is windows


@pytest.mark.parametrize("sensor", SENSORS)
def test_a_frozen_sensor_loses_what_it_gave_and_only_that(sensor):
    watch, rng = SensorWatch(), np.random.default_rng(0)
    first = list(probes_of(0, 0, rng))
    for probe in first:
        watch.check(*probe)
    found = {}
    for execution, windows in probes_of(1, 1, rng):
        checked, faults = watch.check(execution, frozen(windows, sensor, [w for _, w in first]))
        found |= faults
        others = set(SENSORS) - {sensor}
        assert not set(faults) & others
        assert (checked.color is None) == (windows.color is None or sensor is V)
        assert len(checked.spectra) == (0 if sensor is S else len(windows.spectra))
        assert len(checked.thermal_c) == (0 if sensor is H else len(windows.thermal_c))
        if sensor is T and windows.burst is not None:
            assert checked.burst is None
    assert found[sensor].startswith("stale")


@pytest.mark.parametrize(("seconds", "stale"), [(-5.0, False), (0.0, False), (1.0, False), (2.5, True)])
def test_a_reading_is_old_only_after_a_while_on_the_cells_clock(seconds, stale):
    """The same window again (a part repeated in a test, a recording played twice) is no fault."""
    watch = SensorWatch()
    watch.check(*syn.look())
    _, faults = watch.check(*later(syn.look(), seconds))
    assert (set(faults) == {V, S, H}) == stale
    assert not faults or stale


def test_a_sensor_that_recovers_is_believed_again():
    watch = SensorWatch()
    watch.check(*syn.look())
    assert watch.check(*later(syn.look(), 10.0))[1]
    assert watch.check(*later(syn.look(np.random.default_rng(7)), 20.0))[1] == {}


def test_a_buffer_that_a_driver_uses_again_is_no_frozen_camera():
    watch = SensorWatch()
    execution, windows = syn.look()
    watch.check(execution, windows)
    windows.color[...] = np.random.default_rng(3).integers(0, 255, windows.color.shape)
    windows.depth_m += 0.001
    windows.thermal_c += 0.1
    windows.spectra[0].values += 0.01
    assert watch.check(*later((execution, windows), 10.0))[1] == {}


@pytest.mark.parametrize(("rate", "refused"), [(50_000.0, False), (100_000.0, False), (20_000.0, True), (0.0, True)])
def test_a_tap_needs_a_fast_accelerometer(rate, refused):
    execution, windows = syn.tap()
    windows.burst.sample_rate_hz = rate
    checked, faults = SensorWatch().check(execution, windows)
    assert (checked.burst is None) == refused
    if refused:
        assert f"{rate:g} Hz, at least 50000 Hz are needed" in faults[T]


@pytest.mark.parametrize(("every", "refused"), [(1, False), (2, False), (8, True), (10, True)])
def test_a_wrench_far_from_its_rate_is_refused(every, refused):
    execution, windows = syn.press()
    windows.wrench_times_s, windows.wrench = windows.wrench_times_s[::every], windows.wrench[::every]
    checked, faults = SensorWatch().check(execution, windows)
    assert (len(checked.wrench) == 0) == refused
    if refused:
        assert f"the wrench has {1000 / every:.0f} Hz, 400 to 2000 Hz are needed" in faults[T]


def test_gaps_do_not_change_a_rate():
    times = np.arange(1000) / 1000.0
    assert sample_rate_hz(times) == pytest.approx(1000.0)
    assert sample_rate_hz(np.delete(times, slice(200, 700))) == pytest.approx(1000.0)
    assert np.isnan(sample_rate_hz(times[:2]))


@pytest.mark.parametrize("fault", ["lost", "nan", "frozen"])
@pytest.mark.parametrize("sensor", SENSORS)
def test_the_agent_names_the_fault_and_forgets_it_after_recovery(sensor, fault):
    agent, rng = agent_of(small_network()), np.random.default_rng(4)
    first = list(probes_of(0, 0, rng))
    for probe in first:
        agent.observe(*probe)
    assert not any(agent.reasons[m] for m in SENSORS)
    agent.reset()
    for execution, windows in probes_of(1, 1, rng):
        bad = {
            "lost": lambda w: lost(w, sensor),
            "nan": lambda w: not_a_number(w, sensor),
            "frozen": lambda w: frozen(w, sensor, [w for _, w in first]),
        }[fault](windows)
        agent.observe(execution, bad)
    assert agent.belief.reliabilities[sensor] == 0.0
    word = {"lost": "missing", "nan": ("NaN", "usable", "finite"), "frozen": "stale"}[fault]
    assert any(w in agent.reasons[sensor] for w in ([word] if isinstance(word, str) else word)), agent.reasons[sensor]
    # Without a picture nobody knows where the part is, so that its temperature cannot be read from a LOOK either.
    for other in set(SENSORS) - {sensor, *([H] if sensor is V else [])}:
        assert agent.belief.reliabilities[other] > 0.9
        assert not agent.reasons[other]
    agent.reset()
    for execution, windows in probes_of(1, 2, rng):
        agent.observe(execution, windows)
    assert agent.belief.reliabilities[sensor] > 0.9
    assert not agent.reasons[sensor]


def test_before_any_probe_every_modality_says_so():
    assert set(newest_reasons([]).values()) == {NEVER_MEASURED}


def test_a_probe_that_failed_says_nothing_of_sensors():
    features = syn.features_of((syn.execution(Primitive.PRESS, Outcome.NO_CONTACT), ProbeWindows()))
    assert sensor_states(features) == {}
    assert "no_contact" in newest_reasons([features])[T]


def test_a_probe_says_only_what_it_should_have_measured():
    context = syn.looked()
    assert set(sensor_states(syn.features_of(syn.look()))) == {V, S, H}
    assert set(sensor_states(syn.features_of(syn.tap(), context))) == {T}
    assert sensor_states(syn.features_of(syn.dwell(), context))[H] == (1.0, "")
