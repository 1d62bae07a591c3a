from dataclasses import replace

import numpy as np
import pytest

from palpate_sim.objects import DeviceDraw, part_from_seed
from palpate_sim.sensors import rgbd

QUIET = DeviceDraw(color_noise=0.0)


def matt(**overrides):
    part = part_from_seed(4, 0, "ABS", "clean", "block")
    plain = {"rgb": (0.5, 0.5, 0.5), "gloss": 0.0, "transparency": 0.0, "texture": "none", "texture_contrast": 0.0}
    return replace(part, **{**plain, **overrides})


def mask_of(shape=(240, 320)):
    mask = np.zeros(shape, bool)
    mask[90:150, 120:200] = True
    return mask


@pytest.mark.parametrize(("distance", "noise_mm"), [(0.5, 0.95), (1.0, 3.8)])
def test_depth_noise_grows_with_the_square(distance, noise_mm):
    depth = np.full((480, 640), distance)
    seen = rgbd.depth_noise(depth, np.zeros_like(depth, bool), matt(), DeviceDraw.nominal(), np.random.default_rng(0))
    assert seen.dtype == np.uint16
    # rounding to millimetres adds 1/12 mm2
    assert np.std(seen.astype(float)) == pytest.approx(np.hypot(noise_mm, np.sqrt(1 / 12)), rel=0.02)
    assert seen.mean() == pytest.approx(1e3 * distance, rel=1e-3)


def test_depth_noise_is_shared_by_neighbours():
    depth = np.full((400, 400), 0.8)
    seen = rgbd.depth_noise(depth, np.zeros_like(depth, bool), matt(), DeviceDraw.nominal(), np.random.default_rng(0))
    centred = seen - seen.mean()
    near = np.mean(centred[:, 1:] * centred[:, :-1]) / centred.var()
    far = np.mean(centred[:, 5:] * centred[:, :-5]) / centred.var()
    assert near > 0.15
    assert abs(far) < 0.02


def test_scale_error_of_the_device():
    depth = np.full((100, 100), 0.6)
    device = DeviceDraw(depth_scale=1.01, depth_noise_per_m=0.0)
    seen = rgbd.depth_noise(depth, np.zeros_like(depth, bool), matt(), device, np.random.default_rng(0))
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
        seen = rgbd.depth_noise(depth, mask, part, DeviceDraw.nominal(), np.random.default_rng(1))
        shares[name] = np.mean(seen[mask] == 0)
        assert shares[name] == pytest.approx(rgbd.hole_share(part), abs=0.01)
        assert np.mean(seen[~mask] == 0) < 0.001
    assert shares["clear"] > 0.5
    assert shares["glossy black"] > 0.3
    assert max(shares["matt"], shares["matt black"], shares["glossy white"]) < 0.02


def test_shadow_beside_an_edge_and_nothing_where_nothing_is():
    depth, mask = np.full((240, 320), 0.7), mask_of()
    depth[mask] = 0.6
    depth[:10] = 0.0
    seen = rgbd.depth_noise(depth, mask, matt(), DeviceDraw.nominal(), np.random.default_rng(0))
    assert np.all(seen[:10] == 0)
    columns = np.mean(seen[95:145] == 0, axis=0)
    assert columns[117:122].max() > 0.4
    assert columns[140:180].max() < 0.1


def test_colour_passes_through_quiet_devices():
    picture, mask = np.full((240, 320, 3), 100, np.uint8), mask_of()
    seen = rgbd.color_noise(picture, mask, matt(), QUIET, np.random.default_rng(0))
    assert seen.dtype == np.uint8
    assert np.array_equal(seen, picture)


def test_white_balance_exposure_and_noise():
    picture = np.full((240, 320, 3), 100, np.uint8)
    device = DeviceDraw(white_balance=(1.1, 1.0, 0.9), exposure=0.8, color_noise=2.0)
    seen = rgbd.color_noise(picture, np.zeros((240, 320), bool), matt(), device, np.random.default_rng(0))
    assert seen.reshape(-1, 3).mean(axis=0) == pytest.approx([88.0, 80.0, 72.0], abs=0.05)
    assert np.std(seen[..., 1].astype(float)) == pytest.approx(np.hypot(2.0, np.sqrt(1 / 12)), rel=0.03)


def test_gloss_texture_and_clearness_show_on_the_part_only():
    picture, mask = np.full((240, 320, 3), 100, np.uint8), mask_of()
    picture[mask] = (60, 60, 60)
    looks = {
        "gloss": matt(gloss=0.9),
        "weave": matt(texture="weave", texture_contrast=0.25),
        "fibre": matt(texture="fibre", texture_contrast=0.1),
        "brush": matt(texture="brush", texture_contrast=0.1),
        "grain": matt(texture="grain", texture_contrast=0.1),
        "clear": matt(transparency=0.9),
    }
    seen = {
        name: rgbd.color_noise(picture, mask, part, QUIET, np.random.default_rng(2)) for name, part in looks.items()
    }
    for view in seen.values():
        assert np.all(view[~mask] == 100)
    assert seen["gloss"][mask].max() > 180
    assert np.std(seen["weave"][mask].astype(float)) == pytest.approx(0.25 * 60, rel=0.15)
    for name in ("fibre", "brush", "grain"):
        assert np.std(seen[name][mask].astype(float)) == pytest.approx(0.1 * 60, rel=0.25)
    assert seen["clear"][mask].mean() > 85  # the table shines through
    along = seen["brush"][90:150, 120:200, 0].astype(float)
    assert np.std(np.diff(along, axis=1)) < 0.6 * np.std(np.diff(along, axis=0))


def test_looks_do_not_depend_on_what_the_part_is_made_of():
    picture, mask, depth = np.full((60, 80, 3), 120, np.uint8), np.zeros((60, 80), bool), np.full((60, 80), 0.6)
    mask[20:40, 20:60] = True
    reference = matt(gloss=0.4)
    other = replace(reference, material="Cu", density_kg_m3=8940.0, youngs_modulus_pa=1.2e11, emissivity=0.05)
    for first, second in (
        [rgbd.color_noise(picture, mask, part, QUIET, np.random.default_rng(5)) for part in (reference, other)],
        [rgbd.depth_noise(depth, mask, part, QUIET, np.random.default_rng(5)) for part in (reference, other)],
    ):
        assert np.array_equal(first, second)
