"""Features against closed forms, and what bad data does to reliability."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
import synthetic_windows as syn

from palpate_agents.encoders import tactile, thermal, visual
from palpate_agents.encoders.context import UnloadedWrench
from palpate_agents.encoders.features import (
    FEATURE_NAMES,
    FeatureConfig,
    PartContext,
    expected,
    extract,
    feature_names,
    flatten,
    mean_reliabilities,
    summarise,
)
from palpate_agents.encoders.reflectance import LEVEL_NAMES, spectral_names
from palpate_agents.errors import ModelError
from palpate_agents.observation import Modality, Outcome, Primitive, ProbeWindows, SpectrumSample

V, T, S, H = Modality.VISUAL, Modality.TACTILE, Modality.SPECTRAL, Modality.THERMAL


def features_of(probe, context=None):
    execution, windows = probe
    context = (context or PartContext()).after(execution, windows)
    return extract(execution, windows, context)


def looked(**options) -> PartContext:
    return PartContext().after(*syn.look(**options))


def column(features, modality, name):
    return float(features.values[modality][FEATURE_NAMES[modality].index(name)])


def test_names_are_unique_and_every_length_fits():
    probes = [syn.look(), syn.tap(), syn.press(), syn.slide(), syn.dwell(), syn.lift()]
    for probe in probes:
        features = features_of(probe, looked())
        for modality, names in FEATURE_NAMES.items():
            assert len(set(names)) == len(names)
            assert features.values[modality].shape == (len(names),)
            assert features.values[modality].dtype == np.float32
            assert not np.isinf(features.values[modality]).any()


@pytest.mark.parametrize("probe", [syn.look, syn.tap, syn.press, syn.slide, syn.dwell, syn.lift])
def test_a_good_probe_is_fully_reliable_in_what_it_measures_and_nothing_else(probe):
    features = features_of(probe(), looked())
    for modality in Modality:
        if modality in expected(features.execution):
            assert features.reliability[modality] >= 0.9, features.reasons
        else:
            assert features.reliability[modality] == 0.0
            assert np.isnan(features.values[modality]).all()


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


# Visual.
def test_look_gives_colour_and_size():
    features = features_of(syn.look(rgb=(200, 40, 40)))
    assert column(features, V, "red_fraction") == pytest.approx(200 / 255, abs=0.02)
    assert column(features, V, "red_over_table") == pytest.approx(200 / 77, rel=0.05)
    assert column(features, V, "length_mm") == pytest.approx(60.0, abs=3.0)
    assert column(features, V, "height_mm") == pytest.approx(30.0, abs=2.5)
    assert column(features, V, "depth_hole_fraction") < 0.05


# Spectral.
def test_spectrum_is_resampled_to_the_grid_of_the_model():
    config = FeatureConfig(950.0, 1650.0, 7.0)
    truth = 0.5 + 0.2 * np.sin(syn.WAVELENGTH_NM / 60.0)
    features = features_of(syn.look(reflectance=truth), PartContext(config=config))
    values = features.values[S][len(LEVEL_NAMES) :]
    assert len(values) == len(config.wavelength_nm) == 101
    assert np.abs(values - (0.5 + 0.2 * np.sin(config.wavelength_nm / 60.0))).max() < 0.006


def test_an_overview_without_a_spectrum_is_no_dead_spectrometer():
    execution, windows = syn.look()
    windows.spectra = []
    dead = features_of((execution, windows))
    overview = features_of((replace(execution, contact_point_m=(0.0, 0.0, 0.0)), windows))
    assert "missing" in dead.reasons[S]
    assert "not measured" in overview.reasons[S]
    assert mean_reliabilities([overview, features_of(syn.look())])[S] > 0.9
    assert mean_reliabilities([dead, features_of(syn.look())])[S] < 0.6


def spectrum_reliability(wavelength, values, **options):
    execution, windows = syn.look()
    windows.spectra = [SpectrumSample(wavelength, values, **options)]
    features = features_of((execution, windows))
    return features.reliability[S], features.reasons[S], features


def test_black_spectrum_is_blind_but_keeps_its_level():
    rng = np.random.default_rng(1)
    flat = 0.04 + rng.normal(size=228) / 1300
    reliability, reason, features = spectrum_reliability(syn.WAVELENGTH_NM, flat)
    assert 0 < reliability < 0.4
    assert "blind" in reason
    assert column(features, S, "log10_mean_reflectance") == pytest.approx(np.log10(0.04), abs=0.02)


GOOD = 0.5 + 0.1 * np.sin(syn.WAVELENGTH_NM / 50.0)


@pytest.mark.parametrize(
    ("wavelength", "values", "options", "word"),
    [
        (syn.WAVELENGTH_NM, GOOD[:100], {}, "wrong length"),
        (syn.WAVELENGTH_NM, np.full(228, np.nan), {}, "NaN"),
        (syn.WAVELENGTH_NM[::-1], GOOD, {}, "ascending"),
        (syn.WAVELENGTH_NM + 900, GOOD, {}, "cover"),
        (syn.WAVELENGTH_NM, 3e4 * GOOD, {"is_reflectance": False}, "raw counts"),
        (syn.WAVELENGTH_NM, 1e9 * GOOD, {}, "impossible"),
        (np.zeros(0), np.zeros(0), {}, "wrong length"),
        (syn.WAVELENGTH_NM.reshape(2, -1), GOOD, {}, "wrong length"),
    ],
)
def test_bad_spectra_have_no_reliability_and_say_why(wavelength, values, options, word):
    reliability, reason, _ = spectrum_reliability(wavelength, values, **options)
    assert reliability == 0.0
    assert word in reason


def test_a_few_nan_channels_are_filled_and_reported():
    holes = GOOD.copy()
    holes[50:53] = np.nan
    reliability, reason, features = spectrum_reliability(syn.WAVELENGTH_NM, holes)
    assert reliability > 0.5
    assert "3 channels" in reason
    assert np.isfinite(features.values[S]).all()


def test_saturated_spectrum_is_doubted():
    counts = np.minimum(6e4 * GOOD, 3.2e4)
    execution, windows = syn.look()
    windows.spectra = [SpectrumSample(syn.WAVELENGTH_NM, counts, is_reflectance=False, saturation=3.2e4)]
    features = features_of((execution, windows), PartContext(config=FeatureConfig(accept_counts=True)))
    assert features.reliability[S] < 0.4
    assert "saturated" in features.reasons[S]


# Bad data of every other kind.
@pytest.mark.parametrize("outcome", [o for o in Outcome if o not in (Outcome.SUCCEEDED, Outcome.FORCE_LIMIT)])
@pytest.mark.parametrize("probe", [syn.tap, syn.press, syn.slide, syn.dwell, syn.lift])
def test_a_failed_probe_tells_nothing(probe, outcome):
    features = features_of(probe(outcome=outcome), looked())
    assert max(features.reliability.values()) == 0.0
    modality = next(iter(expected(features.execution)))
    assert outcome.name.lower() in features.reasons[modality]


@pytest.mark.parametrize("primitive", list(Primitive))
def test_an_empty_window_never_raises(primitive):
    features = features_of((syn.execution(primitive), ProbeWindows()))
    assert max(features.reliability.values()) == 0.0
    for modality in expected(syn.execution(primitive)):
        assert features.reasons[modality]


@pytest.mark.parametrize(
    ("probe", "change", "word"),
    [
        (syn.press, {"wrench": np.zeros((900, 6))}, "stale"),
        (syn.press, {"wrench": np.full((900, 6), np.nan)}, "missing"),
        (syn.press, {"wrench": np.zeros((10, 6))}, "missing"),
        (syn.press, {"joint_times_s": np.zeros(0), "sensor_rotation": np.zeros((0, 3, 3))}, "joint"),
        (syn.tap, {"burst": None}, "missing"),
        (syn.slide, {"wrench_times_s": np.zeros(0)}, "missing"),
        (syn.dwell, {"pad_times_s": np.zeros(0), "thermal_c": np.zeros((0, 0, 0))}, "missing"),
    ],
)
def test_dead_or_stale_sensors_have_no_reliability(probe, change, word):
    execution, windows = probe()
    features = features_of((execution, replace(windows, **change)), looked())
    modality = next(iter(expected(execution)))
    assert features.reliability[modality] == 0.0
    assert word in features.reasons[modality]


def test_a_saturated_wrench_is_doubted():
    execution, windows = syn.press()
    wrench = windows.wrench.copy()
    wrench[:, 2] = np.clip(wrench[:, 2], -14.0, 14.0)
    features = features_of((execution, replace(windows, wrench=wrench)))
    assert 0 < features.reliability[T] < 0.5
    assert "saturated" in features.reasons[T]


def test_a_quiet_burst_is_no_tap():
    execution, windows = syn.tap()
    windows.burst.acceleration_m_s2 = 0.3 * np.random.default_rng(0).normal(size=1000)
    assert "no impact" in features_of((execution, windows)).reasons[T]


def spoilt(value, rng):
    numbers = value.astype(np.float64)
    ways = [
        lambda: np.where(rng.random(value.shape) < 0.3, np.nan, numbers),
        lambda: numbers * 1e30,
        lambda: value[: len(value) // 2],
        lambda: value[..., :1],
        lambda: np.zeros_like(value),
    ]
    return ways[rng.integers(len(ways))]()


def test_fuzzed_windows_never_raise_and_never_give_infinities():
    rng = np.random.default_rng(7)
    probes = [syn.look, syn.tap, syn.press, syn.slide, syn.dwell, syn.lift]
    context = looked()
    for trial in range(120):
        execution, windows = probes[trial % 6]()
        for name, value in vars(windows).items():
            if not isinstance(value, np.ndarray) or rng.random() < 0.5:
                continue
            setattr(windows, name, spoilt(value, rng))
        features = extract(execution, windows, context.after(execution, windows))
        for values in features.values.values():
            assert not np.isinf(values).any()


# The rest.
def test_mean_reliability_counts_only_probes_that_should_have_measured():
    dead = features_of((syn.execution(Primitive.TAP), ProbeWindows()))
    good = features_of(syn.press())
    look = features_of(syn.look())
    means = mean_reliabilities([look, dead, good])
    assert means[T] == pytest.approx(0.5, abs=0.05)
    assert means[V] == look.reliability[V]
    assert mean_reliabilities([])[H] == 0.0


def test_flatten_gives_every_column_with_its_modality():
    names, values = flatten(features_of(syn.look()), FeatureConfig())
    assert len(names) == len(values) == sum(len(n) for n in FEATURE_NAMES.values())
    assert names[0] == f"visual/{visual.NAMES[0]}"
    assert f"thermal/{thermal.NAMES[0]}" in names
    assert f"tactile/{tactile.NAMES[0]}" in names


def test_summary_names_what_is_doubtful():
    assert "no tap burst" in summarise(features_of((syn.execution(Primitive.TAP), ProbeWindows())))


def test_feature_config_goes_through_json_and_refuses_unknown_keys():
    config = FeatureConfig(1000.0, 1600.0, 5.0, accept_counts=True)
    assert FeatureConfig.from_dict(config.to_dict()) == config
    assert len(spectral_names(config)) == len(feature_names(config)[S]) == 6 + 121
    with pytest.raises(ModelError, match="keys"):
        FeatureConfig.from_dict({"wavelength_start_nm": 1.0})


def test_features_are_fast_enough():
    probes = [syn.look(), syn.tap(), syn.press(), syn.slide(), syn.dwell(), syn.lift()]
    context = looked()
    took = []
    for _ in range(5):
        start = time.perf_counter()
        for execution, windows in probes:
            context = context.after(execution, windows)
            extract(execution, windows, context)
        took.append(time.perf_counter() - start)
    assert min(took) < 0.15  # six probes; about 15 ms on an idle core
