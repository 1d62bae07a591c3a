"""The benchmark of the senses: its classifier, its columns, and a small run."""

import numpy as np
import pytest
from flat_library import flat_library

from palpate_sim.benchmarks.classifiers import fit_tuned, spectral_shape
from palpate_sim.benchmarks.modalities import BANDS, CONDITIONS, SENSORS, SIZE_COLUMNS, bench_modalities, columns_of
from palpate_sim.benchmarks.probed_parts import probe_parts


@pytest.fixture(scope="module")
def library():
    return flat_library()


def test_a_classifier_learns_what_is_there_with_holes_and_nothing_from_noise():
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=600)
    features = rng.normal(size=(600, 4))
    noise = fit_tuned(features[:400], labels[:400])
    assert abs(np.mean(noise.predict(features[400:]) == labels[400:]) - 1 / 3) < 0.12
    features[:, 2] += 3.0 * labels
    features[rng.random((600, 4)) < 0.1] = np.nan
    learnt = fit_tuned(features[:400], labels[:400])
    assert np.mean(learnt.predict(features[400:]) == labels[400:]) > 0.75
    with pytest.raises(ValueError, match="9 parts cannot train"):
        fit_tuned(features[:9], labels[:9])


def test_the_shape_of_a_spectrum_has_neither_level_nor_gain():
    axis = np.linspace(0.0, 6.0, 201)
    spectrum = 0.5 + 0.1 * np.sin(axis)
    plain, other = spectral_shape(spectrum[None]), spectral_shape((0.7 * spectrum + 0.2)[None])
    np.testing.assert_allclose(plain, other, atol=1e-9)


def test_columns_do_not_depend_on_which_parts_were_measured(library):
    many, few = probe_parts(library, 3, range(40)), probe_parts(library, 3, range(2))
    for sensor in SENSORS.values():
        assert columns_of(many, sensor).shape[1] == columns_of(few, sensor).shape[1] > 0
    vision = columns_of(many, SENSORS["vision"]).shape[1]
    assert vision == many.features["vision"].shape[1] - len(SIZE_COLUMNS)
    np.testing.assert_array_equal(many.rows(np.arange(2)).features["tap"], few.features["tap"])


def test_a_small_run_has_every_figure_and_says_what_is_out_of_its_band(library):
    lines = []
    result = bench_modalities(library, [4], 600, 40, jobs=1, progress=lines.append)
    expected = {f"{sensor}_{condition}" for sensor in SENSORS for condition in ("mix", *CONDITIONS)}
    assert expected | set(BANDS) <= set(result["metrics"])
    assert all(m["low"] <= m["value"] <= m["high"] for m in result["metrics"].values())
    assert result["metrics"]["nir_clean_polymers"]["value"] > result["metrics"]["nir_black_polymers"]["value"] + 0.2
    outside = [name for name, (low, high) in BANDS.items() if not low <= result["metrics"][name]["value"] <= high]
    assert [line.split()[0] for line in lines if "expected" in line] == outside
