"""Surface maps without pictures against those of pictures, after touches too; and what they must not tell."""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np
import pytest

from palpate_agents.encoders.surface_map import CHANNELS, surface_of
from palpate_agents.encoders.visual import NAMES, features_of_view
from palpate_agents.observation import ProbeWindows
from palpate_agents.segmentation import region_around, segment
from palpate_sim.batch import vision
from palpate_sim.batch.noise import coarse_normals, coarse_quantile
from palpate_sim.batch.vision import SeenGrid, seen_grid, surface_view
from palpate_sim.devices import DeviceBatch, draw_device_batch
from palpate_sim.geometry import yaw_quaternion
from palpate_sim.keyed import keys_of
from palpate_sim.library import LibraryRows, PartLibrary
from palpate_sim.objects import PartBatch, draw_parts
from palpate_sim.part_geometry import GEOMETRY_CLASSES
from palpate_sim.rendering import FIXTURE, CellRenderer, PartPose, PartRenderer
from palpate_sim.sensors import rgbd
from palpate_sim.surface import SurfaceMaps, draw_surface_maps, scrape, wipe

COUNT = 40
CHANNEL = {name: k for k, name in enumerate(CHANNELS)}
FEATURE = {name: k for k, name in enumerate(NAMES)}


class Seen(NamedTuple):
    """Maps of pictures, the boxes in which they are, and whether a part was found."""

    views: np.ndarray
    extent_m: np.ndarray
    volume_m3: np.ndarray


class Setup(NamedTuple):
    batch: PartBatch
    maps: SurfaceMaps
    rows: LibraryRows
    devices: DeviceBatch
    keys: np.ndarray


def pictures_of(setup: Setup, maps: SurfaceMaps) -> Seen:
    """What the camera, the segmentation and the surface map make of every part, rendered."""
    views, extents, volumes = [], [], []
    renderer = PartRenderer()
    for k in range(len(setup.batch)):
        part, rng = setup.batch.part(k), np.random.default_rng(k)
        x, y = (float(v) for v in setup.rows.position_m[k])
        pose = PartPose((x, y, 0.5 * part.dimensions_m[2]), yaw_quaternion(float(setup.rows.yaw_rad[k])))
        pictures, devices = renderer.render(part, pose), setup.devices.draw(k)
        looks = [rgbd.pixel_look(part, maps.rows(slice(k, k + 1)), pictures.mask, pictures.places_m)]
        depth = rgbd.depth_picture(pictures.depth_m, looks, devices, rng)
        windows = ProbeWindows(
            color=rgbd.color_picture(rgbd.dress(pictures.shade, looks), devices, rng),
            depth_m=depth.astype(np.float32) / 1000.0,
            camera=pictures.camera,
        )
        view = segment(windows, 0.0, region_around((x, y, 0.0)))
        assert view.found
        views.append(surface_of(view, windows).values)
        extents.append(view.extent_m)
        volumes.append(view.volume_m3)
    renderer.close()
    return Seen(np.stack(views), np.array(extents), np.array(volumes))


@pytest.fixture(scope="module")
def setup():
    keys = keys_of(7, np.arange(COUNT))
    batch = draw_parts(keys, mix="hard")
    classes = [GEOMETRY_CLASSES[k] for k in batch.geometry_class]
    library = PartLibrary.of(classes, [int(k) for k in batch.geometry_id])
    return Setup(batch, draw_surface_maps(batch), library.rows_of(batch), draw_device_batch(keys), keys)


@pytest.fixture(scope="module")
def seen(setup):
    return pictures_of(setup, setup.maps)


def view_of(setup, maps=None, **changes):
    given = setup._replace(**changes)
    return surface_view(given.batch, maps or given.maps, given.rows, given.devices, given.keys)


def test_the_table_has_the_colour_that_the_renderer_gives_it():
    cell = CellRenderer(arm=False)
    picture = cell.picture(cell.color_camera, [], None)
    height = float(np.asarray(cell.color_camera.geometry.pose)[2, 3])
    cell.close()
    assert np.median(picture.color[picture.label == FIXTURE] / 255.0, axis=0) == pytest.approx(vision.TABLE_RGB)
    assert height == pytest.approx(vision.CAMERA_HEIGHT_M)
    assert pytest.approx(1.0 / cell.color_camera.geometry.fx) == vision.PIXEL_RAD


# Largest difference of the means over all cells, and 90th percentile of a cell's difference; measured about half.
LIMITS = {
    "valid_share": (0.03, 0.25),
    "red_over_table": (0.03, 0.35),
    "green_over_table": (0.03, 0.35),
    "blue_over_table": (0.03, 0.35),
    "lightness_std_over_table": (0.02, 0.12),
    "highlight_share": (0.02, 0.2),
    "hole_share": (0.02, 0.35),
    "height_fraction": (0.04, 0.25),
}


@pytest.mark.parametrize("channel", CHANNELS)
def test_cells_agree_with_those_of_pictures(setup, seen, channel):
    ours, theirs = view_of(setup), seen.views
    both = (ours[..., 0] > 0.3) & (theirs[..., 0] > 0.3)
    assert both.mean() > 0.9
    difference = (ours - theirs)[..., CHANNEL[channel]][both]
    bias, spread = LIMITS[channel]
    assert abs(difference.mean()) < bias
    assert np.percentile(np.abs(difference), 90) < spread


def test_features_agree_with_those_of_pictures(setup, seen):
    ours = features_of_view(view_of(setup).astype(float), setup.rows.seen_extent_m, setup.rows.seen_volume_m3)
    theirs = features_of_view(seen.views.astype(float), seen.extent_m, seen.volume_m3)
    # Clear brackets show the camera less than half of their thin flange: no measure of height agrees.
    loose = {"texture_fraction": 0.4, "texture_p50_fraction": 0.6, "highlight_max_fraction": 0.4,
             "depth_hole_max_fraction": 0.5, "height_mm": 0.4, "outline_fill_fraction": 1.0,
             "height_mean_fraction": 1.2, "height_spread_fraction": 1.2, "fill_fraction": 1.2}  # fmt: skip
    for name, k in FEATURE.items():
        if name.startswith("contact_"):  # nothing was touched
            assert np.isnan(ours[:, k]).all()
            assert np.isnan(theirs[:, k]).all()
            continue
        off = np.sqrt(np.nanmean((ours[:, k] - theirs[:, k]) ** 2)) / np.nanstd(theirs[:, k])
        assert off < loose.get(name, 0.3), name


@pytest.mark.parametrize("touch", [scrape, wipe])
def test_what_a_touch_changes_is_the_same_in_pictures(setup, touch):
    # A round part's box may be seen turned anyhow.
    angular = ~np.isin(setup.batch.words("shape"), ("cylinder", "tube"))
    changed = np.nonzero(((setup.batch.coat_um if touch is scrape else setup.batch.film_um) > 0.0) & angular)[0][:8]
    some = Setup(
        setup.batch.rows(changed), setup.maps.rows(changed), setup.rows.rows(changed), setup.devices.rows(changed),
        setup.keys[changed],
    )  # fmt: skip
    half = 0.3 * some.batch.dimensions_m[:, :2]
    after, _ = touch(some.batch, some.maps, -half, half, 0.012, 6.0)
    before, now = pictures_of(some, some.maps).views, pictures_of(some, after).views
    theirs, ours = now - before, view_of(some, after) - view_of(some)
    names = ["red_over_table", "green_over_table", "blue_over_table"]
    for name in names:
        k = CHANNEL[name]
        assert np.abs((ours - theirs)[..., k]).mean() < 0.05
        if touch is scrape:
            assert np.corrcoef(ours[..., k].ravel(), theirs[..., k].ravel())[0, 1] > 0.9
    assert np.abs(ours[..., 1:4]).max() > 0.1


def equally_painted(setup):
    """The same coat on whatever the bodies are, all of one size and place."""
    like = np.zeros(COUNT, int)
    coat = {name: setup.batch.arrays[name][like] for name in ("key", "dimensions_m", "shape", "coat_rgb", "coat_gloss")}
    batch = setup.batch.replace(**coat, coat_um=np.full(COUNT, 60.0))
    ones, zeros = np.ones((COUNT, 16, 16)), np.zeros((COUNT, 16, 16))
    devices, rows = setup.devices.rows(like), setup.rows.rows(like)
    return setup._replace(batch=batch, devices=devices, rows=rows), SurfaceMaps(ones, zeros, zeros, zeros)


def test_an_intact_coat_hides_the_material(setup):
    painted, maps = equally_painted(setup)
    same_noise = view_of(painted, maps, keys=setup.keys[np.zeros(COUNT, int)])
    assert np.array_equal(same_noise, np.broadcast_to(same_noise[:1], same_noise.shape))
    maps.coat[:, 4:8, 4:8] = 0.0
    bared = view_of(painted, maps, keys=setup.keys[np.zeros(COUNT, int)])
    assert np.ptp(bared[..., 1:4], axis=0).max() > 0.5


def test_the_material_alone_changes_nothing(setup):
    names = ("material", "density_kg_m3", "youngs_modulus_pa", "emissivity", "effusivity_w_s05_m2k", "base_reflectance")
    swapped = setup.batch.replace(**{name: setup.batch.arrays[name][::-1].copy() for name in names})
    assert np.array_equal(view_of(setup), view_of(setup, batch=swapped))


def test_maps_belong_to_their_keys_and_not_to_their_company(setup):
    together = view_of(setup)
    assert together.dtype == np.float32
    assert np.array_equal(together, view_of(setup))
    alone = setup._replace(
        batch=setup.batch.rows([5]), maps=setup.maps.rows([5]), rows=setup.rows.rows([5]),
        devices=setup.devices.rows([5]), keys=setup.keys[[5]],
    )  # fmt: skip
    np.testing.assert_allclose(view_of(alone)[0], together[5], rtol=2e-5, atol=2e-5)
    other = view_of(setup, keys=setup.keys + 1)
    assert not np.array_equal(other, together)
    assert np.abs((other - together)[..., 1:4]).mean() < 0.03


def test_the_texture_stays_from_picture_to_picture(setup):
    rough = setup.batch.texture_contrast > 0.03
    assert rough.sum() > 5
    views = np.stack([view_of(setup, keys=setup.keys + k) for k in range(6)])[:, rough][..., 1:-1, 1:-1, 1]
    between = views.mean(axis=0).std(axis=(1, 2))
    assert np.median(views.std(axis=0).mean(axis=(1, 2)) / between) < 0.5


def test_a_known_grid_and_many_parts_give_the_same(setup):
    grid = seen_grid(setup.batch, setup.rows, setup.devices)
    known = surface_view(setup.batch, setup.maps, setup.rows, setup.devices, setup.keys, grid)
    assert np.array_equal(known, view_of(setup))
    many = np.arange(300) % COUNT
    blocks = Setup(
        setup.batch.rows(many), setup.maps.rows(many), setup.rows.rows(many), setup.devices.rows(many),
        setup.keys[many],
    )  # fmt: skip
    np.testing.assert_allclose(view_of(blocks), known[many], rtol=2e-5, atol=2e-5)
    wide = seen_grid(blocks.batch, blocks.rows, blocks.devices)
    assert isinstance(wide, SeenGrid)
    assert len(wide) == 300
    wide.assign(np.array([0, 1]), grid.rows(np.array([7, 8])))
    assert np.array_equal(wide.index[:2], grid.index[7:9])


def test_torch_gives_the_same_maps(setup):
    torch = pytest.importorskip("torch")
    theirs = surface_view(
        setup.batch.to(torch), setup.maps.to(torch), setup.rows.to(torch), setup.devices.to(torch),
        torch.from_numpy(setup.keys),
    )  # fmt: skip
    ours = view_of(setup)
    close = np.isclose(theirs.numpy(), ours, rtol=1e-4, atol=1e-4)
    assert close.mean() > 0.999  # a number of hole pixels may round to the other side


def test_coarse_noise_is_normal_and_independent():
    numbers = coarse_normals(keys_of(3, np.arange(2000)), "noise", 64)
    for values in numbers:
        assert values.mean() == pytest.approx(0.0, abs=0.01)
        assert values.std() == pytest.approx(1.0, abs=0.01)
    table = np.corrcoef([values.ravel() for values in numbers])
    assert np.abs(table - np.eye(len(numbers))).max() < 0.01
    assert coarse_quantile(np.array([0.5, 0.975, 0.1], np.float32)) == pytest.approx([0.0, 1.96, -1.28], abs=0.02)


def test_maps_are_fast_enough(setup):
    many = np.arange(512) % COUNT
    given = [setup.batch.rows(many), setup.maps.rows(many), setup.rows.rows(many), setup.devices.rows(many)]
    grid = seen_grid(given[0], given[2], given[3])
    took = []
    for _ in range(8):
        start = time.process_time()  # not the wall's: the machine may be busy
        surface_view(*given, setup.keys[many], grid)
        took.append(time.process_time() - start)
    assert min(took) / 512 < 60e-6  # 12 us on an idle core
