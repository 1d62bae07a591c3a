"""How walls give way where they are touched, and what tools do to surfaces."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from surface_parts import at, maps, parts

from palpate_sim.keyed import keys_of
from palpate_sim.objects import SHAPES, PartBatch, draw_parts
from palpate_sim.surface import dent, draw_surface_maps, scrape, spot_batch, wall_factor, wipe
from palpate_sim.surface_maps import GRID, cell_centers_m, track_cover

# --- walls ---


def hollow(shape: str, count: int = 1, rib_pitch_m: float = np.inf) -> PartBatch:
    batch = parts(count, wall_thickness_m=0.002, rib_pitch_m=rib_pitch_m)
    return batch.replace(shape=np.full(count, SHAPES.index(shape), np.int64))


def test_walls_give_way_in_the_middle_and_not_at_edges_or_on_solid_parts():
    solid = parts(4)
    np.testing.assert_array_equal(wall_factor(solid, at(solid, 0.02, 0.02)), 1.0)
    for shape in ("block", "tube", "cylinder", "housing"):
        batch = hollow(shape)
        assert wall_factor(batch, at(batch)) == pytest.approx(1.0)
        assert wall_factor(batch, at(batch, 0.0219)) < 0.01
    batch = hollow("bottle")
    neck = 0.22 * 0.064
    assert wall_factor(batch, at(batch, 0.0, -0.5 * neck)) == pytest.approx(1.0)
    assert wall_factor(batch, at(batch, 0.0, 0.03)) == pytest.approx(0.05)


def test_round_walls_follow_the_clamped_circular_plate():
    batch = hollow("tube")
    radius = 0.024 - 0.002
    for share in (0.2, 0.5, 0.8):
        found = wall_factor(batch, at(batch, share * radius))
        np.testing.assert_allclose(found, (1.0 - share**2) ** 2, rtol=1e-9)


def test_ribs_hold_and_bays_give_way():
    pitch = 0.02  # inner length 60 mm: ribs at -10 and 10 mm
    batch = hollow("housing", rib_pitch_m=pitch)
    assert wall_factor(batch, at(batch, 0.0, 0.01)) < 1e-9
    assert wall_factor(batch, at(batch, 0.0, 0.0)) == pytest.approx(1.0)
    assert wall_factor(batch, at(batch, 0.0, 0.02)) == pytest.approx(1.0)
    narrow = hollow("housing", rib_pitch_m=0.04)  # one rib in the middle, two bays of 30 mm
    assert wall_factor(narrow, at(narrow, 0.0, 0.015)) == pytest.approx((0.015 / 0.02) ** 2)


@given(u=st.floats(-0.5, 0.5), v=st.floats(-0.5, 0.5), pitch=st.floats(0.008, 0.1), shape=st.sampled_from(SHAPES))
@settings(max_examples=60, deadline=None)
def test_wall_factors_lie_between_0_and_1(u, v, pitch, shape):
    batch = hollow(shape, rib_pitch_m=pitch if shape == "housing" else np.inf)
    factor = wall_factor(batch, at(batch, u * 0.048, v * 0.064))
    assert 0.0 <= factor[0] <= 1.0


# --- tools ---


@given(angle=st.floats(0.0, 6.28), length=st.floats(0.008, 0.02), width=st.floats(0.005, 0.014))
@settings(max_examples=40, deadline=None)
def test_a_track_has_the_area_that_the_tool_passes_over(angle, length, width):
    batch = parts(1)
    way = 0.5 * length * np.array([[np.cos(angle), np.sin(angle)]])
    cover = track_cover(batch, -way, way, np.array([width]), np.array([0.0]))
    cell = 0.048 * 0.064 / GRID**2
    assert cover.sum() * cell == pytest.approx(length * width, rel=0.1)


def test_wiping_dries_and_cleans_its_track_only():
    batch = parts(2, film_um=100.0, dirt_level=1.0, coat_um=60.0)
    before = maps(2, coat=1.0, film_um=100.0, dirt=1.0)
    after, damage = wipe(batch, before, at(batch, 0.0, -0.01), at(batch, 0.0, 0.01), 0.012, np.array([3.0, 1.0]))
    x, y = (entry[0] for entry in cell_centers_m(batch))
    beside = np.abs(x) > 0.006 + 0.003
    beyond = np.abs(y) > 0.016 + 0.004
    for name in ("film_um", "dirt"):
        np.testing.assert_array_equal(getattr(after, name)[:, beside], getattr(before, name)[:, beside])
        np.testing.assert_array_equal(getattr(after, name)[:, :, beyond], getattr(before, name)[:, :, beyond])
    middle = GRID // 2
    np.testing.assert_allclose(after.film_um[:, middle, middle], 100.0 * np.exp([-3.0, -1.0]), rtol=1e-6)
    np.testing.assert_allclose(after.dirt[:, middle, middle], np.exp([-1.5, -0.5]), rtol=1e-6)
    np.testing.assert_array_equal(after.coat, before.coat)
    np.testing.assert_array_equal(damage, 0.0)
    assert np.all(before.film_um == 100.0), "the maps that went in stay as they were"
    assert np.all(after.film_um.sum(axis=(1, 2)) < before.film_um.sum(axis=(1, 2)))


def test_a_blade_takes_ninety_percent_of_a_60_um_coat_at_3_n_and_marks_the_body():
    batch = parts(2, coat_um=60.0)
    before = maps(2, coat=1.0)
    after, damage = scrape(batch, before, at(batch, 0.0, -0.01), at(batch, 0.0, 0.01), 0.006, 3.0)
    assert after.coat.min() == pytest.approx(0.1, abs=0.01)
    np.testing.assert_array_equal(after.coat[:, :4], 1.0)
    assert np.all((damage > 0.0) & (damage <= 0.5e-3))
    light, less = scrape(batch, before, at(batch, 0.0, -0.01), at(batch, 0.0, 0.01), 0.006, 1.0)
    assert light.coat.min() > after.coat.min()
    assert np.all(less < damage)


def test_scraping_a_bare_body_makes_the_groove_that_hardness_allows():
    batch = parts(2, yield_pa=40e6)
    _, damage = scrape(batch, maps(2), at(batch, 0.0, -0.01), at(batch, 0.0, 0.01), 0.006, 3.0)
    reach = 3.0 / (3.0 * 40e6 * 0.006)
    np.testing.assert_allclose(damage, reach**2 / (2.0 * 50e-6), rtol=1e-6)


def test_a_fibre_sees_the_body_after_a_scratch():
    batch = parts(8, coat_um=60.0)
    after, _ = scrape(batch, maps(8, coat=1.0), at(batch, 0.0, -0.008), at(batch, 0.0, 0.008), 0.006, 6.0)
    assert np.all(spot_batch(batch, after, at(batch), 0.002).coat_cover < 0.25)


def test_a_dent_chips_the_coat_and_is_recorded():
    batch = parts(2, coat_um=60.0)
    depth = np.array([0.0, 20e-6])
    before = maps(2, coat=1.0)
    after, damage = dent(batch, before, at(batch), depth)
    np.testing.assert_array_equal(damage, depth)
    lost = (before.coat - after.coat).sum(axis=(1, 2)) * 0.048 * 0.064 / GRID**2
    np.testing.assert_allclose(lost, 2.0 * np.pi * 0.005 * depth, rtol=0.05)


@given(
    seed=st.integers(0, 2**40),
    u=st.floats(-0.6, 0.6),
    v=st.floats(-0.6, 0.6),
    force=st.floats(0.0, 20.0),
    radius=st.floats(0.0, 0.02),
)
@settings(max_examples=50, deadline=None)
def test_shares_stay_between_0_and_1_whatever_is_done(seed, u, v, force, radius):
    batch = draw_parts(keys_of(seed, np.arange(6)), mix="hard")
    surface = draw_surface_maps(batch)
    start, end = batch.dimensions_m[:, :2] * [u, v], batch.dimensions_m[:, :2] * [v, -u]
    for act in (wipe, scrape):
        after, damage = act(batch, surface, start, end, 0.008, force)
        assert np.all(after.film_um <= surface.film_um)
        assert np.all(after.coat <= surface.coat)
        assert np.all(damage >= 0.0)
        surface = after
    surface, _ = dent(batch, surface, start, 1e-5 * force)
    for name in ("coat", "label", "dirt"):
        assert np.all((getattr(surface, name) >= 0.0) & (getattr(surface, name) <= 1.0))
    assert np.all(surface.film_um >= 0.0)
    met = spot_batch(batch, surface, start, radius)
    for name in ("coat_cover", "label_cover", "dirt_cover", "film_cover", "emissivity", "gloss", "transparency", "rgb"):
        values = getattr(met, name)
        assert np.all((values >= 0.0) & (values <= 1.0)), name
    assert np.all(met.contact_resistance_m2k_w >= -1e-15)
    assert np.all(met.friction_factor > 0.0)
