"""Two half-spaces: one solution for effusivity and temperature, for pads and for buried thermometers alike."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic_touches import EFFUSIVITY_RATIO, ROOM_C, touches

from palpate_agents.encoders.contact_heat import (
    PartHeat,
    SensorPair,
    log10_effusivity_ratio,
    pair_columns,
    touch_columns,
    two_half_spaces,
)
from palpate_agents.encoders.pads import PadTouch
from palpate_agents.encoders.reading import Unusable
from palpate_agents.encoders.thermal import NAMES
from palpate_agents.encoders.thermistors import (
    LEFT_OUT,
    PairTraces,
    ThermistorPair,
    calibrate,
    late,
    part_heat,
    responses,
    thermal_columns,
)
from palpate_agents.errors import DataError
from palpate_agents.touch_training import two_temperatures

COLUMN = {name: k for k, name in enumerate(NAMES)}


def fall(start_c, part_c, conductance, effusivity, reach):
    return reach * (start_c - part_c) * conductance / (effusivity + conductance)


@given(
    conductance=st.floats(0.1, 30.0), part_c=st.floats(-10.0, 25.0), ratio=st.floats(0.05, 5.0),
    reaches=st.tuples(st.floats(0.1, 1.0), st.floats(0.1, 1.0)),
)  # fmt: skip
def test_effusivity_and_temperature_come_back(conductance, part_c, ratio, reaches):
    falls = fall(70.0, part_c, conductance, 1.0, reaches[0]), fall(40.0, part_c, conductance, ratio, reaches[1])
    found = two_half_spaces(70.0, falls[0], 40.0, falls[1], SensorPair(*reaches, ratio))
    assert found.share == pytest.approx(conductance / (1.0 + conductance), rel=1e-6)
    assert found.part_c == pytest.approx(part_c, abs=1e-4)


def test_two_pads_of_one_kind_need_differences_only():
    # 1 - share is the ratio of the differences of the faces and of the starts, whatever the part's temperature.
    for part_c in (-5.0, 22.0, 35.0):
        hot, warm = 70.0 - fall(70.0, part_c, 0.5, 1.0, 1.0), 45.0 - fall(45.0, part_c, 0.5, 1.0, 1.0)
        found = two_half_spaces(70.0, 70.0 - hot, 45.0, 45.0 - warm)
        assert found.share == pytest.approx(1.0 - (hot - warm) / 25.0)


def test_an_insulator_tells_no_temperature_and_nothing_overflows():
    assert np.isnan(two_half_spaces(70.0, 0.1, 45.0, 0.05).part_c)
    same = two_half_spaces(45.0, 5.0, 45.0, 5.0)
    assert not np.isfinite(same.part_c)
    assert log10_effusivity_ratio([-1.0, 0.5, 2.0]) == pytest.approx([np.log10(0.01 / 0.99), 0.0, np.log10(99)])


def test_columns_of_a_touch_are_relative_to_its_step():
    times = np.arange(-0.5, 2.01, 0.1)
    before, held = times < -0.02, times > 0
    for step in (20.0, 45.0):
        face = np.where(held, 70.0 - 0.4 * step, 70.0)
        touch = PadTouch(0, 70.0, 70.0 - 0.4 * step, times, face, np.full(len(times), 1.0), before, held)
        found = touch_columns(touch, 70.0 - step)
        assert found["pad_step_k"] == pytest.approx(step)
        assert found["pad_dip_1s_fraction"] == pytest.approx(0.4)
        assert found["pad_log10_effusivity_ratio"] == pytest.approx(np.log10(0.4 / 0.6))
        assert found["pad_recovery_fraction"] == pytest.approx(0.0, abs=1e-12)
    with pytest.raises(Unusable, match="temperature before contact is unknown"):
        touch_columns(touch, np.nan)


def test_pair_columns_compare_with_a_camera_only_if_there_was_one():
    heat = PartHeat(np.float64(0.5), np.float64(10.0))
    assert pair_columns(heat, np.nan) == {"pair_log10_effusivity_ratio": 0.0}
    assert pair_columns(heat, 12.0)["pair_part_minus_apparent_k"] == pytest.approx(-2.0)


@pytest.fixture(scope="module")
def calibration():
    data = touches(np.random.default_rng(0), blocks=12)
    return calibrate(two_temperatures(data), data.label, data.group)


def test_calibration_by_parts_at_room_temperature_finds_the_sensors(calibration):
    # 36 touches per material; the unheated sensor moves by tenths of a kelvin only.
    assert calibration.level_reach == pytest.approx(0.42, abs=0.05)  # mean of erfc(sqrt(1.5 / t)) over 2.5 to 5 s
    assert calibration.unheated_reach == pytest.approx(0.55, abs=0.06)
    assert calibration.effusivity_ratio == pytest.approx(EFFUSIVITY_RATIO, rel=0.5)


def test_cold_parts_have_the_effusivity_of_their_material_and_their_own_temperature(calibration):
    for part_c in (5.0, 15.0, ROOM_C):
        for label, share in (("metal", 20 / 21), ("plastic", 0.5), ("wood", 0.3 / 1.3)):
            heat = part_heat(two_temperatures(touches(np.random.default_rng(1), (label,), part_c=part_c)), calibration)
            assert np.median(heat.share) == pytest.approx(share, abs=0.06)
            assert np.median(heat.part_c) == pytest.approx(part_c, abs=2.5)


def test_no_column_follows_the_temperature(calibration):
    def columns(part_c):
        rows = thermal_columns(
            two_temperatures(touches(np.random.default_rng(2), ("wood",), part_c=part_c, spread_k=0.0)), calibration
        )
        assert all(row.reliability == 1.0 for row in rows)
        return np.mean([row.values for row in rows], axis=0)

    warm, cold = columns(ROOM_C), columns(6.0)
    known = np.isfinite(warm)
    assert (known == np.isfinite(cold)).all()
    assert warm[known] == pytest.approx(cold[known], abs=0.12)
    assert not known[[COLUMN[name] for name in LEFT_OUT]].any()
    assert known[COLUMN["pair_log10_effusivity_ratio"]]


def test_a_part_warmer_than_both_sensors_is_read_like_a_cold_one(calibration):
    for label in ("metal", "wood"):
        rows = thermal_columns(two_temperatures(touches(np.random.default_rng(3), (label,), part_c=45.0)), calibration)
        ratio = np.array([row.values[COLUMN["pad_log10_effusivity_ratio"]] for row in rows])
        assert ((ratio > 0.3) if label == "metal" else (ratio < -0.2)).all()


def test_a_part_as_warm_as_the_heated_sensor_is_not_reliable(calibration):
    rows = thermal_columns(two_temperatures(touches(np.random.default_rng(4), ("metal",), part_c=29.5)), calibration)
    assert np.median([row.reliability for row in rows]) < 0.5
    assert any("K are needed" in row.reason for row in rows)


def test_without_any_sign_of_the_unheated_sensor_both_are_taken_to_be_alike():
    data = touches(np.random.default_rng(5), blocks=3, each=2, spread_k=0.0, noise_k=0.0)
    found = calibrate(two_temperatures(data), data.label, data.group)
    assert found.effusivity_ratio == pytest.approx(1.0, rel=0.05)
    assert found.unheated_reach == pytest.approx(found.level_reach, rel=0.05)


def test_responses_say_how_uncertain_they_are():
    for each, small in ((8, True), (2, False)):
        data = touches(np.random.default_rng(6), blocks=6, each=each, noise_k=0.1)
        answer = responses(two_temperatures(data), data.label, data.group)["metal"]
        level = late(data.time_s)
        assert (answer.unheated_error[level].mean() < 0.06) == small
        assert abs(answer.unheated[level].mean() - 0.55) < 4 * answer.unheated_error[level].mean()
    once = touches(np.random.default_rng(6), blocks=1, each=1)
    assert np.isnan(responses(two_temperatures(once), once.label, once.group)["metal"].unheated).all()


def test_traces_are_averaged_to_the_period():
    times = np.round(np.arange(-0.5, 1.0, 0.005), 6)
    noisy = np.random.default_rng(7).normal(size=(2, len(times)))
    slow = PairTraces(times, noisy, noisy + 1.0).at_period()
    assert slow.times_s == pytest.approx(np.arange(-5, 11) * 0.1)
    assert slow.heated_c.std() == pytest.approx(1 / np.sqrt(20), rel=0.4)
    assert slow.heated_c[:, 5] == pytest.approx(noisy[:, (times > -0.0501) & (times < 0.0501)].mean(axis=1), abs=0.1)
    assert slow.unheated_c - slow.heated_c == pytest.approx(1.0)


def test_calibration_travels_as_json_and_refuses_another_time_axis(calibration):
    assert ThermistorPair.from_dict(calibration.to_dict()) == calibration
    short = touches(np.random.default_rng(8), time_s=np.arange(-0.5, 3.0, 0.05))
    with pytest.raises(DataError, match="cut them to that time"):
        part_heat(two_temperatures(short), calibration)


def test_a_heated_sensor_that_feels_nothing_cannot_be_calibrated():
    data = touches(np.random.default_rng(9))
    flat = data.signals.copy()
    flat[:, :, 1] = 30.0
    traces = PairTraces(data.time_s, flat[:, :, 1], data.signals[:, :, 0])
    with pytest.raises(DataError, match="touch for longer"):
        calibrate(traces, data.label, data.group)
