"""Surface maps, and what a sensor meets on them."""

import time

import numpy as np
import pytest
from surface_parts import at, everything, maps, parts

from palpate_sim.keyed import keys_of
from palpate_sim.objects import SHAPES, PartBatch, draw_parts
from palpate_sim.sensors.look import layer_shares
from palpate_sim.surface import SurfaceMaps, dent, draw_surface_maps, scrape, spot_batch, whole_part, wipe
from palpate_sim.surface_maps import GRID, MAPS, footprint_weights

SPOT = (
    "coat_cover", "label_cover", "dirt_cover", "film_cover", "wall_factor", "film_um", "friction_factor",
    "contact_conductance_w_m2k", "contact_resistance_m2k_w", "emissivity", "gloss", "transparency", "rgb",
)  # fmt: skip


# --- drawing ---


def test_only_what_a_part_has_is_drawn():
    drawn = draw_surface_maps(parts())
    assert not any(np.any(getattr(drawn, name)) for name in MAPS)
    drawn = draw_surface_maps(everything())
    assert all(np.all(np.any(getattr(drawn, name), axis=(1, 2))) for name in MAPS)


def test_coats_stay_between_75_and_100_percent_and_some_have_bare_patches():
    batch = parts(400, coat_um=60.0)
    share = draw_surface_maps(batch).coat.mean(axis=(1, 2))
    assert share.min() > 0.75
    assert share.max() <= 1.0
    assert np.std(share) > 0.03
    bare = (draw_surface_maps(batch).coat < 0.1).mean(axis=(1, 2))
    assert np.mean(bare > 0.02) > 0.5, "most worn coats have a patch that a fibre can find"


def test_film_has_the_parts_mean_thickness_where_it_is_wet():
    batch = parts(200, film_um=80.0)
    film = draw_surface_maps(batch).film_um
    assert film.min() >= 0.0
    wet = film > 8.0
    assert 0.45 < wet.mean() < 0.98
    assert film[wet].mean() == pytest.approx(80.0, rel=0.1)


def test_labels_are_rectangles_of_the_stated_size():
    batch = parts(200, label_um=100.0)
    label = draw_surface_maps(batch).label
    assert label.max() == pytest.approx(1.0)
    share = label.mean(axis=(1, 2))
    assert share.min() > 0.3**2 - 1e-9
    assert share.max() < 0.6**2 + 1e-9
    rows, columns = label.max(axis=2), label.max(axis=1)
    np.testing.assert_allclose(rows[:, :, None] * columns[:, None, :], label, atol=1e-12)


def test_one_part_equals_the_same_among_many():
    batch = everything(32)
    many = draw_surface_maps(batch)
    for row in (0, 7, 31):
        one = draw_surface_maps(batch.rows(np.array([row])))
        for name in MAPS:
            np.testing.assert_allclose(getattr(one, name)[0], getattr(many, name)[row], rtol=1e-12, atol=1e-12)
    uv = np.random.default_rng(1).uniform(-0.03, 0.03, (32, 2))
    met = spot_batch(batch, many, uv, 0.003)
    alone = spot_batch(batch.rows(np.array([7])), many.rows(np.array([7])), uv[7:8], 0.003)
    for name in SPOT:
        np.testing.assert_allclose(getattr(alone, name)[0], getattr(met, name)[7], rtol=1e-12, atol=1e-15)


def test_a_coat_does_not_depend_on_what_else_lies_on_the_part():
    both = draw_surface_maps(everything())
    alone = draw_surface_maps(parts(coat_um=60.0))
    np.testing.assert_array_equal(both.coat, alone.coat)


def test_maps_of_one_part():
    batch = draw_parts(keys_of(3, [4]))
    found = SurfaceMaps.of_part(batch.part(0))
    np.testing.assert_allclose(found.coat, draw_surface_maps(batch).coat)


# --- what is met ---


@pytest.mark.parametrize("share", [0.0, 0.25, 0.6, 1.0])
def test_colour_gloss_emissivity_and_clearness_mix_by_area(share):
    batch = parts(coat_um=60.0)
    met = spot_batch(batch, maps(64, coat=share), at(batch), 0.004)
    for name, paint in (("rgb", batch.coat_rgb), ("gloss", batch.coat_gloss), ("emissivity", batch.coat_emissivity)):
        expected = share * paint + (1.0 - share) * getattr(batch, name)
        np.testing.assert_allclose(getattr(met, name), expected, rtol=0.02)
    np.testing.assert_allclose(met.transparency, (1.0 - share) * batch.transparency, rtol=0.02)
    np.testing.assert_allclose(met.coat_cover, share)


def test_half_a_spot_on_the_bare_side_of_an_edge_meets_half_the_coat():
    batch = parts(8, coat_um=60.0)
    surface = maps(8, coat=1.0)
    surface.coat[:, GRID // 2 :] = 0.0
    for radius in (0.0005, 0.002, 0.0068):
        np.testing.assert_allclose(spot_batch(batch, surface, at(batch), radius).coat_cover, 0.5, rtol=0.02)


def test_a_disc_over_a_half_plane_meets_its_segment():
    batch = parts(4, coat_um=60.0)
    surface = maps(4, coat=1.0)
    surface.coat[:, GRID // 2 :] = 0.0
    radius = 0.012
    for offset in (-0.004, 0.003, 0.006):
        x = -offset / radius  # bare from x > 0
        segment = (np.arccos(x) - x * np.sqrt(1.0 - x * x)) / np.pi
        found = spot_batch(batch, surface, at(batch, offset), radius).coat_cover
        np.testing.assert_allclose(found, 1.0 - segment, atol=0.04)


def test_dirt_and_label_have_their_emissivity_and_hide_the_coat():
    batch = parts(coat_um=60.0, label_um=100.0, dirt_level=1.0)
    met = spot_batch(batch, maps(64, coat=1.0, label=1.0), at(batch), 0.004)
    np.testing.assert_allclose(met.emissivity, 0.93)
    np.testing.assert_allclose(met.rgb, batch.label_rgb)
    met = spot_batch(batch, maps(64, coat=1.0, label=1.0, dirt=1.0), at(batch), 0.004)
    np.testing.assert_allclose(met.emissivity, 0.93)
    np.testing.assert_allclose(met.rgb, batch.dirt_rgb)


@pytest.mark.parametrize("film_um", [10.0, 30.0, 200.0])
def test_water_mixes_emissivity_after_its_absorption_and_shines(film_um):
    batch = parts(film_um=film_um)
    met = spot_batch(batch, maps(64, film_um=film_um), at(batch), 0.004)
    absorbed = 1.0 - np.exp(-2.0 * 0.064 * film_um)
    np.testing.assert_allclose(met.emissivity, batch.emissivity + absorbed * (0.96 - batch.emissivity), rtol=0.02)
    np.testing.assert_allclose(met.film_um, film_um, rtol=1e-6)
    np.testing.assert_allclose(met.film_cover, 1.0)
    assert np.all(met.gloss > batch.gloss)
    assert np.all(met.rgb <= batch.rgb)


def test_half_wet_is_the_mean_of_wet_and_dry():
    batch = parts(film_um=100.0)
    wet = spot_batch(batch, maps(64, film_um=100.0), at(batch), 0.006)
    dry = spot_batch(batch, maps(64), at(batch), 0.006)
    surface = maps(64, film_um=100.0)
    surface.film_um[:, GRID // 2 :] = 0.0
    half = spot_batch(batch, surface, at(batch), 0.006)
    for name in ("emissivity", "gloss", "rgb", "friction_factor", "contact_conductance_w_m2k"):
        np.testing.assert_allclose(getattr(half, name), 0.5 * (getattr(wet, name) + getattr(dry, name)), rtol=0.02)
    np.testing.assert_allclose(half.film_um, 100.0, rtol=1e-6)


def test_water_lubricates_and_conducts():
    batch = parts(film_um=100.0)
    met = spot_batch(batch, maps(64, film_um=100.0), at(batch), 0.0005)
    np.testing.assert_allclose(met.friction_factor, batch.wet_friction_factor)
    assert np.all((met.friction_factor >= 0.5) & (met.friction_factor <= 0.7))
    expected = batch.contact_conductance_w_m2k + batch.wet_conductance_w_m2k
    np.testing.assert_allclose(met.contact_conductance_w_m2k, expected)


def test_layers_of_coat_and_label_are_resistances_in_series():
    batch = parts(coat_um=60.0, label_um=100.0)
    met = spot_batch(batch, maps(64, coat=1.0, label=1.0), at(batch), 0.006)
    np.testing.assert_allclose(met.contact_resistance_m2k_w, 60e-6 / 0.25 + 100e-6 / 0.06, rtol=1e-9)
    met = spot_batch(batch, maps(64), at(batch), 0.006)
    np.testing.assert_allclose(met.contact_resistance_m2k_w, 0.0, atol=1e-12)


def test_a_bare_share_conducts_beside_the_coat():
    batch = parts(coat_um=60.0)
    met = spot_batch(batch, maps(64, coat=0.5), at(batch), 0.006)
    contact = 1.0 / batch.contact_conductance_w_m2k
    total = 1.0 / (0.5 / contact + 0.5 / (contact + 60e-6 / 0.25))
    np.testing.assert_allclose(met.contact_resistance_m2k_w, total - contact, rtol=1e-9)


def test_friction_on_paint_is_the_paints():
    batch = parts(coat_um=60.0)
    met = spot_batch(batch, maps(64, coat=1.0), at(batch), 0.0005)
    friction = met.friction_factor * batch.friction
    assert np.all((friction >= 0.25) & (friction <= 0.45))
    assert np.ptp(friction) > 0.1


def test_nothing_on_any_part_gives_the_same_as_nothing_on_this_one():
    bare = parts(4)
    other = parts(4, coat_um=60.0, label_um=80.0, film_um=50.0, dirt_level=0.5)
    mixed = PartBatch({name: np.concatenate((bare.arrays[name], other.arrays[name])) for name in bare.arrays})
    surface = draw_surface_maps(mixed)
    met = spot_batch(mixed, surface, at(mixed), 0.004)
    alone = spot_batch(bare, surface.rows(slice(0, 4)), at(bare), 0.004)
    for name in SPOT:
        np.testing.assert_allclose(getattr(met, name)[:4], getattr(alone, name), rtol=1e-12, atol=1e-15)


def test_what_a_part_has_not_is_not_met_whatever_the_maps_say():
    met = spot_batch(parts(), maps(64, coat=1.0, label=1.0, film_um=50.0, dirt=1.0), at(parts()), 0.004)
    for name in ("coat_cover", "label_cover", "dirt_cover", "film_cover", "film_um", "contact_resistance_m2k_w"):
        np.testing.assert_allclose(getattr(met, name), 0.0)


def test_whole_parts_meet_the_mean_over_the_footprint():
    batch = parts(16, coat_um=60.0)
    surface = draw_surface_maps(batch)
    np.testing.assert_allclose(whole_part(batch, surface).coat_cover, surface.coat.mean(axis=(1, 2)), rtol=1e-9)
    disc = batch.replace(shape=np.full(16, SHAPES.index("cylinder"), np.int64))
    corner = maps(16, coat=0.0)
    corner.coat[:, 0, 0] = 1.0
    np.testing.assert_allclose(whole_part(disc, corner).coat_cover, 0.0, atol=1e-9)
    weights = footprint_weights(disc)
    np.testing.assert_allclose(weights.sum(axis=(1, 2)), 1.0)
    assert weights[0, GRID // 2, GRID // 2] == pytest.approx(4.0 / np.pi / GRID**2, rel=0.01)


def test_tools_that_only_feel_meet_the_same_without_optics():
    batch = everything()
    surface = draw_surface_maps(batch)
    met = spot_batch(batch, surface, at(batch), 0.0005)
    felt = spot_batch(batch, surface, at(batch), 0.0005, optics=False)
    for name in SPOT:
        expected = batch if name in ("emissivity", "gloss", "transparency", "rgb") else met
        np.testing.assert_array_equal(getattr(felt, name), getattr(expected, name))


def test_area_shares_sum_to_one():
    batch = everything()
    surface = draw_surface_maps(batch)
    met = spot_batch(batch, surface, at(batch), 0.006)
    shares = layer_shares(met.coat_cover, met.label_cover, met.dirt_cover)
    np.testing.assert_allclose(sum(shares), 1.0)
    assert all(np.all(share >= 0.0) for share in shares)


# --- the other backend, speed, mistakes ---


def test_torch_gives_the_same_numbers():
    torch = pytest.importorskip("torch")
    batch = draw_parts(keys_of(9, np.arange(40)), mix="hard")
    other = batch.to(torch)
    surface, mirrored = draw_surface_maps(batch), draw_surface_maps(other)
    uv = np.random.default_rng(2).uniform(-0.02, 0.02, (40, 2))
    tensor = torch.asarray(uv)
    pairs = [(surface, mirrored)]
    pairs.append((wipe(batch, surface, uv, -uv)[0], wipe(other, mirrored, tensor, -tensor)[0]))
    numbers, tensors = scrape(batch, surface, uv, -uv), scrape(other, mirrored, tensor, -tensor)
    pairs.append((numbers[0], tensors[0]))
    np.testing.assert_allclose(numbers[1], tensors[1].numpy(), rtol=1e-6)
    for one, two in pairs:
        for name in MAPS:
            np.testing.assert_allclose(getattr(one, name), getattr(two, name).numpy(), rtol=1e-6, atol=1e-9)
    for met, mirror in (
        (spot_batch(batch, surface, uv, 0.004), spot_batch(other, mirrored, tensor, 0.004)),
        (whole_part(batch, surface), whole_part(other, mirrored)),
    ):
        for name in SPOT:
            np.testing.assert_allclose(getattr(met, name), getattr(mirror, name).numpy(), rtol=1e-6, atol=1e-9)
    back = mirrored.to(np)
    assert isinstance(back.coat, np.ndarray)


def test_drawing_is_cheap():
    batch = draw_parts(keys_of(1, np.arange(512)))
    draw_surface_maps(batch)
    times = []
    for _ in range(5):
        began = time.perf_counter()
        draw_surface_maps(batch)
        times.append(time.perf_counter() - began)
    assert min(times) / 512 < 50e-6, "expected below 25 us a part on an idle core"


def test_rows_are_replaced_in_a_copy_and_in_place():
    surface = draw_surface_maps(everything(6))
    index = np.array([1, 4])
    changed = surface.with_rows(index, maps(2, coat=0.3))
    assert np.all(changed.coat[index] == 0.3)
    assert not np.any(surface.coat[index] == 0.3)
    surface.assign(index, maps(2, coat=0.3))
    np.testing.assert_array_equal(surface.coat, changed.coat)
    assert len(surface.rows(index)) == 2
    assert np.all(surface.replace(coat=np.zeros((6, GRID, GRID))).coat == 0.0)


def test_mistakes_are_named():
    batch, surface = parts(4), maps(4)
    with pytest.raises(ValueError, match=r"label.*\(4, 16, 8\)"):
        SurfaceMaps(surface.coat, np.zeros((4, 16, 8)), surface.film_um, surface.dirt)
    with pytest.raises(ValueError, match=r"uv_m has shape \(3, 2\); \(4, 2\)"):
        spot_batch(batch, surface, np.zeros((3, 2)), 0.001)
    with pytest.raises(ValueError, match="not finite"):
        spot_batch(batch, surface, np.full((4, 2), np.nan), 0.001)
    with pytest.raises(ValueError, match="radius_m holds a value that is negative"):
        spot_batch(batch, surface, np.zeros((4, 2)), -0.001)
    with pytest.raises(ValueError, match="surface maps of 3"):
        whole_part(batch, maps(3))
    with pytest.raises(ValueError, match=r"force_n has shape \(2,\)"):
        wipe(batch, surface, np.zeros((4, 2)), np.zeros((4, 2)), 0.012, np.zeros(2))
    with pytest.raises(ValueError, match="depth_m"):
        dent(batch, surface, np.zeros((4, 2)), np.inf)
