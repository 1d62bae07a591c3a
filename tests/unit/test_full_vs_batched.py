"""The same probes of the same parts give the same in the full cell and in the batched one."""

from __future__ import annotations

import numpy as np
import pytest

from palpate_agents.encoders.surface_map import CHANNELS
from palpate_agents.observation import Modality, Outcome
from palpate_sim.benchmarks.full_runs import STEPS, full_probes
from palpate_sim.benchmarks.full_vs_batched import compared, format_table, metrics_of, overlap
from palpate_sim.cell import CellConfig
from palpate_sim.library import PartLibrary
from palpate_sim.objects import part_from_seed

STEPS_HERE = ("look", "tap", "press", "slide", "dwell_hot", "wipe", "scratch", "look_scratched", "lift")
MEASURED = {
    "look": (Modality.VISUAL, Modality.SPECTRAL, Modality.THERMAL),
    "tap": (Modality.TACTILE,),
    "press": (Modality.TACTILE,),
    "slide": (Modality.TACTILE,),
    "dwell_hot": (Modality.THERMAL,),
    "look_scratched": (Modality.VISUAL, Modality.SPECTRAL, Modality.THERMAL),
    "lift": (Modality.TACTILE,),
}
VIEW_BOUND = {
    "valid_share": 0.12, "red_over_table": 0.15, "green_over_table": 0.15, "blue_over_table": 0.15,
    "lightness_std_over_table": 0.08, "highlight_share": 0.08, "hole_share": 0.12, "height_fraction": 0.12,
}  # fmt: skip
"""Mean difference over the cells of a part."""


@pytest.fixture(scope="module")
def both():
    painted = part_from_seed(3, 0, "PP", "painted", "block")
    others = [part_from_seed(23, 1, "Al6061", "clean", "plate"), part_from_seed(9, 2, "PE-HD", "wet", "housing")]
    parts = [painted, *others]
    library = PartLibrary.of([part.geometry_class for part in parts], [part.geometry_id for part in parts])
    # Half as many colour pictures as usual are enough for looks, and take half the time.
    drawn, nominal = (CellConfig(color_period_s=0.2, nominal_devices=nominal) for nominal in (False, True))
    runs = full_probes([painted], 5, drawn, steps=STEPS_HERE) + full_probes(others, 6, nominal, steps=STEPS_HERE)
    return compared(runs, 7, library)


def step(name):
    return STEPS_HERE.index(name)


def test_probes_end_alike_and_take_as_long(both):
    assert (both.outcome_full == Outcome.SUCCEEDED).all()
    np.testing.assert_array_equal(both.outcome_full, both.outcome_batched)
    np.testing.assert_allclose(both.seconds_batched, both.seconds_full, rtol=0.10)


def test_the_same_columns_are_measured(both):
    for name, modalities in MEASURED.items():
        for modality in modalities:
            full, batched = (np.isfinite(v[modality][:, step(name)]) for v in (both.full, both.middle))
            assert full.any(), (name, modality)
            assert np.mean(full != batched) < 0.15, (name, modality)


@pytest.mark.parametrize("name", MEASURED)
def test_features_differ_by_their_noise(both, name):
    for modality in MEASURED[name]:
        z = np.abs(both.z(name, modality))
        z = z[np.isfinite(z)]
        assert np.median(z) < 1.5, (modality, np.median(z))  # 0.67 by noise alone
        assert np.mean(z > 6.0) < 0.15, (modality, np.sort(z)[-5:])


def test_tools_change_the_same_cells(both):
    painted, metal, wet = range(3)
    for part, name in ((wet, "wipe"), (painted, "scratch")):
        assert overlap(both, step(name))[part] > 0.6  # places are 1 mm off, cells 3 to 5 mm wide
    for name in ("coat", "label", "film_um", "dirt"):
        np.testing.assert_array_equal(both.maps_full[name][:, 0], both.maps_batched[name][:, 0])
        moved = np.abs(both.maps_full[name][:, -1] - both.maps_batched[name][:, -1]).mean(axis=(1, 2))
        assert (moved < 0.02 * max(1.0, float(both.maps_full[name].max()))).all(), name
    assert not np.any(both.maps_full["coat"][metal] != both.maps_full["coat"][metal, 0])


def test_marks_are_counted_as_damage(both):
    scratched = both.damage_batched[:, step("scratch")]
    for part, run in enumerate(both.runs):
        bared = run.damage_m[step("scratch")] > run.damage_m[step("wipe")]
        lost = np.any(run.maps["coat"][step("scratch") + 1] < run.maps["coat"][step("scratch")])
        assert (scratched[part] > 1e-3) == (bared or lost)
    assert (both.damage_batched[:, step("wipe")] == 0.0).all()


def test_both_see_the_same_surface(both):
    apart = np.abs(both.views[:, 0, 0] - both.views[:, 0, 1]).mean(axis=(1, 2))
    for channel, name in enumerate(CHANNELS):
        assert (apart[:, channel] < VIEW_BOUND[name]).all(), (name, apart[:, channel])


def test_a_scratch_is_seen_where_it_was_made(both):
    before, after = both.views[0, step("scratch")], both.views[0, step("lift")]
    change = np.abs(after - before)[..., 1:4].sum(axis=-1)  # (2, 8, 8)
    full, batched = (one.ravel() for one in change)
    strongest = np.argsort(batched)[-4:]
    assert full[strongest].mean() > 3.0 * np.median(full)
    assert np.corrcoef(full, batched)[0, 1] > 0.7


def test_an_action_means_the_same_place(both):
    touches = [k for k, name in enumerate(STEPS_HERE) if name != "lift"]
    apart = both.apart_m[:, touches]
    assert np.median(apart) < 1e-3
    assert np.mean(apart < 0.004) > 0.75  # seldom another cell of the seen map is a little better


def test_pads_and_scraper_come_down_flat_on_level_tops(both):
    for run in both.runs:
        for name in ("dwell_hot", "wipe", "scratch"):
            assert run.asked[step(name)].normal == (0.0, 0.0, 1.0), name


def test_metrics_have_intervals(both):
    metrics = metrics_of(both)
    assert set(STEPS_HERE) < set(STEPS)
    for name, metric in metrics.items():
        assert metric["low"] <= metric["value"] <= metric["high"], name
    assert "z_press_tactile" in format_table(metrics)
