"""The batched cell's features against those from raw windows of the same parts; a few seconds, so with loose bounds."""

import numpy as np
import pytest

from palpate_agents.observation import Modality, Primitive
from palpate_sim.benchmarks.agreement import (
    PROBES,
    Pair,
    column_rows,
    compare,
    format_table,
    metrics_of,
    told_apart,
)
from palpate_sim.devices import draw_device_batch
from palpate_sim.keyed import combine, keys_of
from palpate_sim.library import PartLibrary
from palpate_sim.objects import draw_parts
from palpate_sim.part_geometry import GEOMETRY_CLASSES
from palpate_sim.training import generate as generator
from palpate_sim.training.generate import SEQUENCE, WindowMaker

PARTS = 56
IDS = (0, 24, 40, 60)
"""Of each class: few geometries, so that the library takes seconds; they have most shapes."""

TOLD_APART = {"vision": 0.88, "vision_scratched": 0.88}
"""At most, others 0.68: with so few parts, accuracies of two equal sets scatter by 0.05 around 0.5."""
SHIFT = {"height_mean_fraction": 1.6, "height_spread_fraction": 0.9, "outline_fill_fraction": 0.9}
"""Median difference over the spread between parts, others 0.15 besides three times what noise explains."""
SPECIAL_SCATTER = {"height_mean_fraction", "height_spread_fraction", "outline_fill_fraction", "spot_blur_fraction"}


@pytest.fixture(scope="module")
def pairs():
    def few(seed, indices, mix="mix"):
        index = np.asarray(indices)
        keys = keys_of(seed, index)
        batch = draw_parts(keys, geometry=np.array(IDS)[index % len(IDS)], mix=mix)
        return batch, draw_device_batch(combine(keys, "devices")), np.full(len(keys), 22.0)

    classes = [name for name in GEOMETRY_CLASSES for _ in IDS]
    library = PartLibrary.of(classes, list(IDS) * len(GEOMETRY_CLASSES))
    with pytest.MonkeyPatch.context() as patch, WindowMaker() as maker:
        patch.setattr(generator, "draw_set", few)
        yield compare(PARTS, 4, library, maker)


@pytest.fixture(scope="module")
def rows(pairs):
    return column_rows(pairs)


def test_all_that_a_probe_measures_is_compared(pairs, rows):
    for probe, (number, modality) in PROBES.items():
        assert len(pairs[probe].part) > 0.6 * PARTS, probe
        assert SEQUENCE[number][0] is not Primitive.WIPE
        assert modality in Modality
    compared = {(row.probe, row.name) for row in rows}
    for name in ("press_log10_stiffness_high_n_m", "press_max_force_n", "press_creep_um"):
        assert ("press", name) in compared
    assert ("dwell_warm", "pair_log10_effusivity_ratio") in compared
    assert len(compared) > 150


def test_columns_are_missing_on_both_sides(rows):
    for row in rows:
        # Whether a reading falls just beyond 2 s, or a fit gives a Hertz constant at all, is chance.
        if row.name not in ("pad_dip_2s_fraction", "press_log10_hertz_n_m15", "press_creep_um"):
            assert row.missing_raw + row.missing_batched < 0.1, row


def test_no_column_is_shifted(rows):
    wrong = []
    for row in rows:
        if np.isfinite(row.shift):
            noise = 3.0 * 1.25 * max(row.scatter, row.own_scatter) / np.sqrt(row.count)
            if abs(row.shift) > SHIFT.get(row.name, 0.15) + noise:
                wrong.append(row)
    assert not wrong


def test_differences_are_noise(rows):
    wrong = []
    for row in rows:
        limit = 0.25 + 1.6 * row.own_scatter
        if np.isfinite(row.scatter) and row.name not in SPECIAL_SCATTER and row.scatter > limit:
            wrong.append(row)
    assert not wrong


def test_a_classifier_hardly_tells_them_apart(pairs):
    metrics = metrics_of(pairs)
    for probe in PROBES:
        figure = metrics[f"{probe}_told_apart"]
        assert figure["value"] < TOLD_APART.get(probe, 0.68), (probe, figure)
        assert figure["low"] <= figure["value"] <= figure["high"]
    text = format_table(column_rows(pairs), metrics)
    assert "slide_friction" in text
    assert "nir_scratched_told_apart" in text


def test_what_is_wrong_is_found():
    rng = np.random.default_rng(0)
    part = np.arange(60)
    truth = rng.normal(size=(60, 3))

    def pair(shift):
        raw, batched, again = (truth + 0.05 * rng.normal(size=truth.shape) for _ in range(3))
        return Pair(("a", "b", "c"), part, raw, batched + shift, again + shift, np.ones(60), np.ones(60))

    assert told_apart(pair(0.0)).mean() < 0.62
    assert told_apart(pair(np.array([0.0, 2.0, 0.0]))).mean() > 0.7
    shifts = [row.shift for row in column_rows({"x": pair(np.array([0.0, 0.5, 0.0]))})]
    assert shifts[1] == pytest.approx(0.5, abs=0.2)
    assert max(abs(shifts[0]), abs(shifts[2])) < 0.1
