"""Features of touches, warm touches and lifts against closed forms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import synthetic_windows as syn
from synthetic_windows import H, T, column, features_of, looked

from palpate_agents.encoders import tactile
from palpate_agents.encoders.context import UnloadedWrench
from palpate_agents.encoders.features import PartContext, extract


# Tactile.
@pytest.mark.parametrize("hertz", [1e7, 1e8, 1e9])
def test_press_recovers_the_hertz_constant_in_series_with_the_arm(hertz):
    found = [column(features_of(syn.press(np.random.default_rng(s), hertz)), T, "press_log10_hertz_n_m15")
             for s in range(8)]  # fmt: skip
    assert np.mean(found) == pytest.approx(np.log10(hertz), abs=0.15)


def test_press_stiffness_is_the_slope_of_the_loading_curve():
    features = features_of(syn.press(hertz=1e8))
    force = 6.0
    slope = 1 / 5e4 + 2 / 3 * 1e8 ** (-2 / 3) * force ** (-1 / 3)
    assert column(features, T, "press_log10_stiffness_high_n_m") == pytest.approx(np.log10(1 / slope), abs=0.05)
    assert column(features, T, "press_max_force_n") == pytest.approx(8.0, rel=0.02)
    execution, windows = syn.press(hertz=1e8)
    windows.wrench[405:412, 2] -= 20.0  # the tool braking at the touch
    spiked = features_of((execution, windows))
    for name, error in (("press_log10_stiffness_high_n_m", 0.01), ("press_displacement_um", 10.0)):
        assert column(spiked, T, name) == pytest.approx(column(features, T, name), abs=error)


def test_an_elastic_press_does_not_creep_and_a_viscoelastic_one_does():
    elastic = features_of(syn.press())
    assert column(elastic, T, "press_creep_um") == pytest.approx(0.0, abs=2.0)
    execution, windows = syn.press()
    sinks = 40e-6 * np.clip((windows.joint_times_s - 0.16) / 0.3, 0.0, 1.0)
    windows.tip_positions_m[:, 2] -= sinks
    assert column(features_of((execution, windows)), T, "press_creep_um") == pytest.approx(32.0, abs=6.0)


def test_press_does_not_depend_on_the_sign_convention_bias_or_weight_of_the_tool():
    execution, windows = syn.press()
    first = features_of((execution, windows))
    flipped = replace(windows, wrench=-windows.wrench + 3.0)
    second = features_of((execution, flipped))
    assert np.allclose(first.values[T], second.values[T], rtol=1e-3, atol=1e-3, equal_nan=True)


@pytest.mark.parametrize("contact_time", [1.5e-4, 7e-4, 3e-3])
@pytest.mark.parametrize("restitution", [0.3, 0.9])
def test_tap_gives_contact_time_and_restitution(contact_time, restitution):
    features = features_of(syn.tap(contact_time_s=contact_time, restitution=restitution))
    assert column(features, T, "tap_restitution") == pytest.approx(restitution, abs=0.06)
    # sin^1.5 is wider at half height (0.562 of its base) than a Hertz pulse (0.609 of its contact time) by 8 %
    assert 10 ** column(features, T, "tap_log10_contact_time_s") == pytest.approx(contact_time, rel=0.15)


def test_tap_modulus_is_independent_of_speed():
    modulus = []
    for speed in (0.02, 0.06):
        time_s = 2.94 * (15 * 0.05 / (16 * 2e9 * np.sqrt(0.005))) ** 0.4 * speed**-0.2
        features = features_of(syn.tap(contact_time_s=time_s, speed=speed))
        modulus.append(column(features, T, "tap_log10_modulus_pa"))
    assert modulus[0] == pytest.approx(modulus[1], abs=0.05)
    assert modulus[0] == pytest.approx(np.log10(2e9), abs=0.15)


@pytest.mark.parametrize("friction", [0.12, 0.45, 1.1])
def test_slide_gives_friction_ripple_and_its_frequency(friction):
    features = features_of(syn.slide(friction=friction, ripple=0.08, ripple_hz=60.0))
    assert column(features, T, "slide_friction") == pytest.approx(friction, rel=0.03)
    assert column(features, T, "slide_ripple_fraction") == pytest.approx(0.08, rel=0.4)
    assert 10 ** column(features, T, "slide_ripple_log10_frequency_hz") == pytest.approx(60.0, rel=0.05)


def test_lift_gives_mass_and_density():
    features = features_of(syn.lift(mass_kg=0.0756), looked())
    assert 10 ** column(features, T, "lift_log10_mass_kg") == pytest.approx(0.0756, rel=0.02)
    assert 10 ** column(features, T, "lift_log10_density_kg_m3") == pytest.approx(1050.0, rel=0.08)


def test_lift_without_an_unloaded_wrench_is_not_weighed():
    features = features_of(syn.lift(), PartContext())
    assert features.reliability[T] == 0.0
    assert "empty tool" in features.reasons[T]


def test_lift_in_a_tilted_pose_is_doubted():
    context = looked()
    execution, windows = syn.lift()
    turn = np.array([[1, 0, 0], [0, np.cos(0.2), -np.sin(0.2)], [0, np.sin(0.2), np.cos(0.2)]])
    windows.sensor_rotation = windows.sensor_rotation @ turn
    features = extract(execution, windows, context.after(execution, windows))
    assert 0 < features.reliability[T] < 0.5
    assert "degrees away" in features.reasons[T]


def tilted(angle):
    turn = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    return turn @ syn.SENSOR_ROTATION


def test_weight_and_bias_are_told_apart_by_two_poses():
    bias, weight = np.array([0.3, -0.2, 0.1]), -9.0
    poses = [tilted(a) for a in (0.0, 0.9)]
    known = [UnloadedWrench(weight * r[2] + bias, r) for r in poses]
    third = tilted(0.5)
    force, reliability, reason = tactile.unloaded_force(known, third)
    assert force == pytest.approx(weight * third[2] + bias, abs=1e-9)
    assert reliability > 0.8
    assert reason == ""
    assert tactile.unloaded_force(known, tilted(0.92))[0] == pytest.approx(known[1].force_n)


def test_a_look_gives_the_unloaded_wrench_only_from_when_the_arm_stands_still():
    execution, windows = syn.look()
    windows.joint_positions[:, 0] = np.minimum(windows.joint_times_s, 0.6)
    windows.wrench[windows.wrench_times_s < 0.6, :3] += 5.0
    unloaded = PartContext().after(execution, windows).unloaded
    assert len(unloaded) == 1
    assert unloaded[0].force_n == pytest.approx(syn.TOOL_FORCE_N, abs=0.01)
    windows.joint_positions[:, 0] = windows.joint_times_s
    assert PartContext().after(execution, windows).unloaded == ()


def test_the_newest_unloaded_wrench_of_a_pose_replaces_the_older_one():
    context = looked()
    execution, windows = syn.press()
    windows.wrench[:, :3] += 0.5
    again = context.after(execution, windows)
    assert len(again.unloaded) == 1
    assert again.unloaded[0].force_n == pytest.approx(syn.TOOL_FORCE_N + 0.5, abs=0.01)


# Thermal.
@pytest.mark.parametrize("effusivity", [200.0, 600.0, 3000.0])
def test_dwell_gives_the_effusivity_ratio(effusivity):
    features = features_of(syn.dwell(effusivity=effusivity), looked())
    ratio = column(features, H, "pad_log10_effusivity_ratio")
    assert ratio == pytest.approx(np.log10(effusivity / 1000.0), abs=0.05)
    rise = column(features, H, "spot_log10_rise_fraction")
    assert rise == pytest.approx(np.log10(0.95 * 1000 / (1000 + effusivity) * 0.72), abs=0.1)


@pytest.mark.parametrize("part_c", [10.0, 35.0])
def test_two_pads_give_the_effusivity_of_a_part_whose_temperature_the_camera_reads_wrong(part_c):
    context = PartContext().after(*syn.look(part_c=22.0))  # the camera is off by up to 13 K
    first = syn.dwell(effusivity=600.0, part_c=part_c)
    context = context.after(*first)
    one = extract(*first, context)
    second = syn.dwell(effusivity=600.0, part_c=part_c, pad_c=45.0, pad_index=0)
    two = extract(*second, context.after(*second))
    truth = np.log10(0.6)
    assert np.isnan(column(one, H, "pair_log10_effusivity_ratio"))
    assert abs(column(one, H, "pad_log10_effusivity_ratio") - truth) > 0.1
    assert column(two, H, "pair_log10_effusivity_ratio") == pytest.approx(truth, abs=0.05)
    assert column(two, H, "pair_part_minus_apparent_k") == pytest.approx(part_c - 22.0, abs=0.5)


def test_a_pad_reading_from_just_before_the_detected_touch_is_not_its_temperature_before():
    execution, windows = syn.dwell()
    clean = features_of((execution, windows), looked())
    late = replace(windows, pad_times_s=windows.pad_times_s - 0.0301)  # a reading at -0.1 ms has dipped already
    moved = features_of((execution, late), looked())
    assert column(moved, H, "pad_step_k") == pytest.approx(column(clean, H, "pad_step_k"), abs=0.1)


def test_dwell_sees_the_spot_where_it_touched():
    context = looked()
    at_spot = features_of(syn.dwell(point=(0.51, -0.008, 0.03)), context)
    execution, windows = syn.dwell(point=(0.51, -0.008, 0.03))
    elsewhere = extract(replace(execution, contact_point_m=(0.485, 0.008, 0.03)), windows, context)
    assert column(at_spot, H, "spot_log10_rise_fraction") > column(elsewhere, H, "spot_log10_rise_fraction") + 0.5


def test_pictures_in_which_the_arm_covers_the_spot_are_left_out():
    context = looked()
    execution, windows = syn.dwell()
    clear = extract(execution, windows, context)
    covered = windows.thermal_c.copy()
    hidden = (windows.thermal_times_s > 2.0) & (windows.thermal_times_s < 2.7)
    covered[hidden] = 29.0
    features = extract(execution, replace(windows, thermal_c=covered), context)
    name = "spot_rise_1s_fraction"
    assert column(features, H, name) == pytest.approx(column(clear, H, name), abs=0.01)
    windows.thermal_c[windows.thermal_times_s > 2.0] = 29.0
    hidden_all = extract(execution, windows, context)
    assert np.isnan(column(hidden_all, H, name))
    assert hidden_all.reliability[H] == pytest.approx(0.6)
    assert "pictures of the spot" in hidden_all.reasons[H]


def test_dwell_of_a_pad_that_is_not_warm_is_doubted():
    features = features_of(syn.dwell(pad_c=30.0), looked())
    assert features.reliability[H] < 0.6
    assert "K are needed" in features.reasons[H]


def test_look_gives_the_part_temperature_against_the_table_whatever_the_offset_of_the_camera():
    execution, windows = syn.look(part_c=30.0)
    shifted = replace(windows, thermal_c=windows.thermal_c + 4.0)
    for version in (windows, shifted):
        assert column(features_of((execution, version)), H, "part_minus_ambient_k") == pytest.approx(8.0, abs=0.1)
