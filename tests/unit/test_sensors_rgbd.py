from dataclasses import replace

import numpy as np
import pytest

from palpate_sim.objects import DeviceDraw, PartBatch, part_from_seed
from palpate_sim.sensors import rgbd
from palpate_sim.surface_maps import GRID, SurfaceMaps, draw_surface_maps

QUIET = DeviceDraw(color_noise=0.0)


SIZE = (240, 320)
BARE = {"coat": 0.0, "label": 0.0, "film_um": 0.0, "dirt": 0.0}


def matt(**overrides):
    part = part_from_seed(4, 0, "ABS", "clean", "block")
    plain = {"rgb": (0.5, 0.5, 0.5), "gloss": 0.0, "transparency": 0.0, "texture": "none", "texture_contrast": 0.0}
    return replace(part, **{**plain, **overrides})


def mask_of(shape=SIZE):
    mask = np.zeros(shape, bool)
    mask[90:150, 120:200] = True
    return mask


def maps_of(**values):
    return SurfaceMaps(**{name: np.full((1, GRID, GRID), value) for name, value in {**BARE, **values}.items()})


def look_of(part, maps=None, mask=None):
    """The part fills the mask: x runs with the rows, y with the columns."""
    mask = mask_of() if mask is None else mask
    rows, columns = np.nonzero(mask)
    share = np.stack([(rows - rows.min() + 0.5) / np.ptp(rows), (columns - columns.min() + 0.5) / np.ptp(columns)], 1)
    return rgbd.pixel_look(part, maps or maps_of(), mask, (share - 0.5) * np.array(part.dimensions_m[:2]))


def painted(part, maps=None, shade=255, ground=100, devices=QUIET, seed=0):
    picture = np.full((*SIZE, 3), ground, np.uint8)
    picture[mask_of()] = shade
    dressed = rgbd.dress(picture, [look_of(part, maps)])
    return rgbd.color_picture(dressed, devices, np.random.default_rng(seed))


@pytest.mark.parametrize(("distance", "noise_mm"), [(0.5, 0.95), (1.0, 3.8)])
def test_depth_noise_grows_with_the_square(distance, noise_mm):
    depth = np.full((480, 640), distance)
    seen = rgbd.depth_picture(depth, [], DeviceDraw.nominal(), np.random.default_rng(0))
    assert seen.dtype == np.uint16
    # rounding to millimetres adds 1/12 mm2
    assert np.std(seen.astype(float)) == pytest.approx(np.hypot(noise_mm, np.sqrt(1 / 12)), rel=0.02)
    assert seen.mean() == pytest.approx(1e3 * distance, rel=1e-3)


def test_depth_noise_is_shared_by_neighbours():
    depth = np.full((400, 400), 0.8)
    seen = rgbd.depth_picture(depth, [], DeviceDraw.nominal(), np.random.default_rng(0))
    centred = seen - seen.mean()
    near = np.mean(centred[:, 1:] * centred[:, :-1]) / centred.var()
    far = np.mean(centred[:, 5:] * centred[:, :-5]) / centred.var()
    assert near > 0.15
    assert abs(far) < 0.02


def test_scale_error_of_the_device():
    depth = np.full((100, 100), 0.6)
    device = DeviceDraw(depth_scale=1.01, depth_noise_per_m=0.0)
    seen = rgbd.depth_picture(depth, [], device, np.random.default_rng(0))
    assert seen.mean() == pytest.approx(606.0, abs=0.6)


def test_holes_on_clear_and_on_glossy_black_parts_only():
    depth, mask = np.full((240, 320), 0.6), mask_of()
    shares = {}
    for name, part in {
        "matt": matt(),
        "clear": matt(transparency=0.9),
        "glossy black": matt(rgb=(0.03, 0.03, 0.03), gloss=0.9),
        "matt black": matt(rgb=(0.03, 0.03, 0.03), gloss=0.05),
        "glossy white": matt(rgb=(0.9, 0.9, 0.9), gloss=0.9),
    }.items():
        look = look_of(part)
        seen = rgbd.depth_picture(depth, [look], DeviceDraw.nominal(), np.random.default_rng(1))
        shares[name] = np.mean(seen[mask] == 0)
        assert shares[name] == pytest.approx(look.hole.mean(), abs=0.01)
        assert np.mean(seen[~mask] == 0) < 0.001
    assert shares["clear"] > 0.5
    assert shares["glossy black"] > 0.3
    assert max(shares["matt"], shares["matt black"], shares["glossy white"]) < 0.02


def test_shadow_beside_an_edge_and_nothing_where_nothing_is():
    depth, mask = np.full((240, 320), 0.7), mask_of()
    depth[mask] = 0.6
    depth[:10] = 0.0
    seen = rgbd.depth_picture(depth, [look_of(matt())], DeviceDraw.nominal(), np.random.default_rng(0))
    assert np.all(seen[:10] == 0)
    columns = np.mean(seen[95:145] == 0, axis=0)
    assert columns[117:122].max() > 0.4
    assert columns[140:180].max() < 0.1


def test_colour_passes_through_quiet_devices():
    seen = painted(matt(rgb=(0.4, 0.2, 0.6)), shade=200)
    assert seen.dtype == np.uint8
    assert np.all(seen[mask_of()] == (80, 40, 120))
    assert np.all(seen[~mask_of()] == 100)


def test_white_balance_exposure_and_noise():
    picture = np.full((240, 320, 3), 100, np.float32)
    device = DeviceDraw(white_balance=(1.1, 1.0, 0.9), exposure=0.8, color_noise=2.0)
    seen = rgbd.color_picture(picture, device, np.random.default_rng(0))
    assert seen.reshape(-1, 3).mean(axis=0) == pytest.approx([88.0, 80.0, 72.0], abs=0.05)
    assert np.std(seen[..., 1].astype(float)) == pytest.approx(np.hypot(2.0, np.sqrt(1 / 12)), rel=0.03)


def test_gloss_texture_and_clearness_show_on_the_part_only():
    mask = mask_of()
    looks = {
        "gloss": matt(gloss=0.9),
        "weave": matt(texture="weave", texture_contrast=0.25),
        "fibre": matt(texture="fibre", texture_contrast=0.1),
        "brush": matt(texture="brush", texture_contrast=0.1),
        "grain": matt(texture="grain", texture_contrast=0.1),
        "clear": matt(transparency=0.9),
    }
    seen = {name: painted(part, shade=120) for name, part in looks.items()}  # the body is half as light: 60
    for view in seen.values():
        assert np.all(view[~mask] == 100)
    assert seen["gloss"][mask].max() > 180
    assert np.std(seen["weave"][mask].astype(float)) == pytest.approx(0.25 * 60, rel=0.15)
    for name in ("fibre", "brush", "grain"):
        assert np.std(seen[name][mask].astype(float)) == pytest.approx(0.1 * 60, rel=0.25)
    assert seen["clear"][mask].mean() > 85  # the table shines through
    along = seen["brush"][90:150, 120:200, 0].astype(float)
    assert np.std(np.diff(along, axis=1)) < 0.6 * np.std(np.diff(along, axis=0))


def test_each_layer_shows_its_colour_where_it_lies():
    part = matt(coat_rgb=(0.8, 0.1, 0.1), label_rgb=(0.9, 0.9, 0.9), dirt_rgb=(0.2, 0.15, 0.1), coat_gloss=0.0)
    maps = maps_of()
    maps.coat[0, :, :8], maps.label[0, :4, :4], maps.dirt[0, :4, :2] = 1.0, 1.0, 0.5
    mask = mask_of()
    picture = np.full((*SIZE, 3), 255, np.uint8)
    look = replace(look_of(part, maps, mask), highlight=np.zeros(int(mask.sum())))  # paper has a faint shine
    seen = rgbd.color_picture(rgbd.dress(picture, [look]), QUIET, np.random.default_rng(0)) / 255.0
    assert seen[148, 198] == pytest.approx((0.5, 0.5, 0.5), abs=0.005)
    assert seen[148, 122] == pytest.approx((0.8, 0.1, 0.1), abs=0.005)
    assert seen[92, 136] == pytest.approx((0.9, 0.9, 0.9), abs=0.005)
    assert seen[92, 122] == pytest.approx((0.55, 0.525, 0.5), abs=0.005)


def test_water_darkens_what_is_rough_and_shines():
    dry, wet = look_of(matt()), look_of(matt(), maps_of(film_um=200.0))
    assert wet.rgb == pytest.approx(0.75 * dry.rgb, rel=1e-3)
    assert wet.highlight.max() > 0.2 > 0.01 > dry.highlight.max()
    mirror = matt(gloss=1.0)
    assert look_of(mirror, maps_of(film_um=200.0)).rgb == pytest.approx(look_of(mirror).rgb)


def test_a_coat_hides_texture_and_clearness_and_its_bare_patches_do_not():
    part = matt(transparency=0.9, texture="weave", texture_contrast=0.2, coat_gloss=0.3, coat_rgb=(0.5, 0.5, 0.5))
    maps = maps_of(coat=1.0)
    maps.coat[0, 8:, :] = 0.0
    look = look_of(part, maps)
    rows = np.nonzero(mask_of())[0]
    assert np.all(look.texture[rows < 115] == 0.0)
    assert np.all(look.clear[rows < 115] == 0.0)
    assert look.hole[rows < 115].max() < 0.01
    assert np.std(look.texture[rows > 125]) == pytest.approx(0.2, rel=0.1)
    assert look.hole[rows > 125].min() > 0.6


def test_emissivity_of_the_pixels_is_that_of_what_lies_on_top():
    part = matt(emissivity=0.1, coat_emissivity=0.9)
    maps = maps_of()
    maps.coat[0, 8:, :] = 1.0
    maps.film_um[0, :, 8:] = 500.0
    x, y, _ = part.dimensions_m
    places = np.array([(-0.3 * x, -0.3 * y), (0.3 * x, -0.3 * y), (-0.3 * x, 0.3 * y), (-2.0 * x, -2.0 * y)])
    assert rgbd.pixel_emissivity(part, maps, places) == pytest.approx([0.1, 0.9, 0.96, 0.1], abs=1e-3)


def test_two_parts_are_painted_each_with_its_own_colour():
    other = np.zeros(SIZE, bool)
    other[10:40, 10:60] = True
    picture = np.full((*SIZE, 3), 200, np.uint8)
    looks = [look_of(matt(rgb=(0.9, 0.1, 0.1))), look_of(matt(rgb=(0.1, 0.1, 0.9)), mask=other)]
    seen = rgbd.dress(picture, looks)
    assert seen[120, 160] == pytest.approx((180, 20, 20), abs=1)
    assert seen[20, 20] == pytest.approx((20, 20, 180), abs=1)


def test_looks_do_not_depend_on_what_the_part_is_made_of():
    depth = np.full(SIZE, 0.6)
    reference = part_from_seed(9, 0, "ABS", "painted", "block")
    other = replace(reference, material="Cu", density_kg_m3=8940.0, youngs_modulus_pa=1.2e11, emissivity=0.05)
    maps = draw_surface_maps(PartBatch.of([reference]))
    assert np.array_equal(painted(reference, maps, devices=DeviceDraw()), painted(other, maps, devices=DeviceDraw()))
    first, second = (
        rgbd.depth_picture(depth, [look_of(part, maps)], QUIET, np.random.default_rng(5)) for part in (reference, other)
    )
    assert np.array_equal(first, second)
