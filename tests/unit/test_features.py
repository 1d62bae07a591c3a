"""Features against closed forms, and what bad data does to reliability."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
import synthetic_windows as syn
from synthetic_windows import H, S, T, V, column, features_of, looked

from palpate_agents.encoders import tactile, thermal, visual
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
