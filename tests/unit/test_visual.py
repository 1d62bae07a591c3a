"""The surface map that is read from a picture, and the features that are computed from it."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
import synthetic_windows as syn
from synthetic_windows import V, column, features_of, looked

from palpate_agents.encoders.context import PartContext
from palpate_agents.encoders.reading import Unusable
from palpate_agents.encoders.surface_map import CELLS, CHANNELS, same_part, surface_of
from palpate_agents.encoders.visual import NAMES, features_of_view
from palpate_agents.observation import Outcome, Primitive, ProbeWindows

TABLE = (77, 92, 84)
"""Colour of the table in the synthetic pictures."""
VALID, RED, SPREAD, HIGHLIGHT, HOLE, HEIGHT = (
    CHANNELS.index(name)
    for name in ("valid_share", "red_over_table", "lightness_std_over_table", "highlight_share", "hole_share",
                 "height_fraction")
)  # fmt: skip


def surface_of_look(probe=None, **options):
    execution, windows = probe or syn.look(**options)
    view = PartContext().after(execution, windows).view
    return surface_of(view, windows).values, view, windows


def cell_pixels(view, windows, first, second):
    """(H, W) mask of the pixels whose surface point lies in a block of cells (slices, length first)."""
    cos, sin = np.cos(view.yaw_rad), np.sin(view.yaw_rad)
    x, y = (view.pixels_m[:, :2] - view.centroid_m[:2]).T
    along = np.clip(((cos * x + sin * y) / view.extent_m[0] + 0.5) * CELLS, 0, CELLS - 0.001).astype(int)
    across = np.clip(((cos * y - sin * x) / view.extent_m[1] + 0.5) * CELLS, 0, CELLS - 0.001).astype(int)
    chosen = np.zeros((CELLS, CELLS), bool)
    chosen[first, second] = True
    mask = np.zeros(view.mask.shape, bool)
    mask[view.mask] = chosen[along, across]
    return mask


@pytest.mark.parametrize("yaw", [-1.2, -0.4, 0.0, 0.3, 1.4])
def test_a_plain_part_gives_a_plain_map_of_its_colour_over_the_tables(yaw):
    values, view, _ = surface_of_look(yaw=yaw, rgb=(150, 60, 40))
    assert values.shape == (CELLS, CELLS, len(CHANNELS))
    assert view.yaw_rad == pytest.approx(yaw, abs=0.06)
    inner = values[1:-1, 1:-1]
    assert inner[..., VALID].min() > 0.7
    for k, (part, table) in enumerate(zip((150, 60, 40), TABLE, strict=True)):
        assert inner[..., RED + k].mean() == pytest.approx(part / table, rel=0.02)
        assert values[..., RED + k].std() < 0.04 * part / table
    assert inner[..., HEIGHT] == pytest.approx(1.0, abs=0.12)
    assert values[..., HOLE].max() < 0.1
    assert values[..., HIGHLIGHT].max() == 0.0


@pytest.mark.parametrize("yaw", [-1.0, 0.3, 1.5])
def test_a_patch_appears_in_the_cells_where_it_is(yaw):
    execution, windows = syn.look(yaw=yaw, rgb=(60, 60, 60))
    view = PartContext().after(execution, windows).view
    patch = cell_pixels(view, windows, slice(1, 3), slice(5, 8))
    windows.color[patch] = (230, 230, 230)
    values = surface_of(view, windows).values
    light = values[..., RED]
    assert light[1:3, 5:8].min() > 2.0
    light[1:3, 5:8] = 0.0
    assert light.max() < 1.1
    assert values[1:3, 5:8, HIGHLIGHT].min() > 0.9
    table = {name: k for k, name in enumerate(NAMES)}
    found = features_of_view(values[None].astype(float), np.array([view.extent_m]), np.array([view.volume_m3]))[0]
    assert found[table["highlight_share_fraction"]] == pytest.approx(6 / 64, abs=0.03)
    plain = features_of_view(
        surface_of_look(yaw=yaw, rgb=(60, 60, 60))[0][None], np.array([view.extent_m]), np.array([1e-4])
    )[0]
    assert plain[table["patch_share_fraction"]] < 0.01


def test_patches_are_counted_with_their_lightness():
    views = np.zeros((1, CELLS, CELLS, len(CHANNELS)))
    views[..., VALID] = 1.0
    views[..., RED : RED + 3] = 1.0
    views[:, :2, :4, RED : RED + 3] = 2.0
    found = dict(zip(NAMES, features_of_view(views, np.array([[0.06, 0.04, 0.03]]), np.array([5e-5]))[0], strict=True))
    assert found["patch_share_fraction"] == pytest.approx(8 / 64)
    assert found["patch_lightness_over_table"] == pytest.approx(1.0)
    assert found["lightness_over_table"] == pytest.approx(1.125)
    assert found["lightness_p50_over_table"] == pytest.approx(1.0)
    assert found["lightness_spread_over_table"] == pytest.approx(np.sqrt(0.125 * 0.875))
    assert found["log10_volume_mm3"] == pytest.approx(np.log10(5e4))
    assert found["fill_fraction"] == pytest.approx(5e-5 / 7.2e-5)
    assert found["table_difference_over_table"] == pytest.approx(0.125 * np.sqrt(3.0))


def test_exposure_and_white_balance_cancel():
    first = column(features_of(syn.look(rgb=(90, 80, 70))), V, "red_over_table")
    execution, windows = syn.look(rgb=(90, 80, 70))
    dimmed = replace(windows, color=np.rint(windows.color * (0.8, 0.9, 0.7)).astype(np.uint8))
    assert column(features_of((execution, dimmed)), V, "red_over_table") == pytest.approx(first, rel=0.02)


def test_cells_that_were_not_seen_have_no_say():
    rng = np.random.default_rng(0)
    views = rng.uniform(0.5, 1.5, (1, CELLS, CELLS, len(CHANNELS)))
    views[..., VALID] = 1.0
    views[:, :, 4:, VALID] = 0.0
    other = views.copy()
    other[:, :, 4:, 1:] = 7.0
    size = np.array([[0.06, 0.04, 0.03]]), np.array([np.nan])
    first, second = features_of_view(views, *size)[0], features_of_view(other, *size)[0]
    names = [k for k, name in enumerate(NAMES) if not name.endswith("max_fraction")]
    np.testing.assert_allclose(first[names], second[names])
    assert np.isnan(first[NAMES.index("fill_fraction")])


def test_one_view_alone_and_among_many_has_the_same_features():
    rng = np.random.default_rng(1)
    views, sizes = rng.uniform(0.0, 1.0, (40, CELLS, CELLS, len(CHANNELS))), rng.uniform(0.02, 0.09, (40, 3))
    volumes = rng.uniform(1e-6, 1e-4, 40)
    together = features_of_view(views, sizes, volumes)
    assert together.shape == (40, len(NAMES))
    for k in (0, 17, 39):
        np.testing.assert_allclose(features_of_view(views[k : k + 1], sizes[k : k + 1], volumes[k : k + 1])[0],
                                   together[k], rtol=1e-12)  # fmt: skip
    torch = pytest.importorskip("torch")
    on_torch = features_of_view(*(torch.from_numpy(array) for array in (views, sizes, volumes)))
    np.testing.assert_allclose(on_torch.numpy(), together, rtol=1e-9)


def test_look_gives_colour_and_size():
    features = features_of(syn.look(rgb=(200, 40, 40)))
    assert column(features, V, "red_over_table") == pytest.approx(200 / 77, rel=0.05)
    assert column(features, V, "red_green_fraction") > 1.0
    assert column(features, V, "length_mm") == pytest.approx(60.0, abs=3.0)
    assert column(features, V, "height_mm") == pytest.approx(30.0, abs=2.5)
    assert column(features, V, "depth_hole_fraction") < 0.05
    assert column(features_of(syn.look(hole_share=0.4)), V, "depth_hole_fraction") == pytest.approx(0.4, abs=0.05)


def touched(windows):
    return syn.execution(Primitive.PRESS, Outcome.SUCCEEDED), windows


def test_the_surface_is_seen_anew_after_a_contact_and_keeps_its_cells():
    context = looked(rgb=(60, 60, 60))
    _, windows = syn.look(np.random.default_rng(5), rgb=(60, 60, 60))
    patch = cell_pixels(context.view, windows, slice(2, 4), slice(2, 4))
    windows.color[patch] = (230, 230, 230)
    after = context.after(*touched(windows))
    assert after.view is context.view
    assert after.surface.values[2:4, 2:4, RED].min() > 2.0
    assert context.surface.values[2:4, 2:4, RED].max() < 1.0


def test_a_picture_with_the_arm_over_the_part_changes_nothing():
    context = looked()
    _, windows = syn.look()
    height, width = windows.depth_m.shape
    windows.depth_m[height // 2 - 30 : height // 2 + 10, width // 4 : width // 2] -= 0.1  # something that hangs over it
    windows.color[height // 2 - 30 : height // 2 + 10, width // 4 : width // 2] = (200, 200, 200)
    assert context.after(*touched(windows)).surface is context.surface
    _, gone = syn.look(centre=(0.54, 0.03))
    assert context.after(*touched(gone)).surface is context.surface
    assert context.after(*touched(ProbeWindows())).surface is context.surface
    assert not same_part(context.view, replace(context.view, found=False))


def test_pictures_that_tell_nothing_say_why():
    execution, windows = syn.look()
    view = PartContext().after(execution, windows).view
    for change, word in (
        ({"color": None}, "missing"),
        ({"color": windows.color[:100]}, "wrong size"),
        ({"color": np.full_like(windows.color, 90)}, "the same"),
    ):
        with pytest.raises(Unusable, match=word):
            surface_of(view, replace(windows, **change))
    with pytest.raises(Unusable, match="no bare table"):
        surface_of(replace(view, table_mask=np.zeros_like(view.table_mask)), windows)


def test_the_map_is_fast_enough():
    execution, windows = syn.look()
    view = PartContext().after(execution, windows).view
    took = []
    for _ in range(10):
        start = time.perf_counter()
        surface_of(view, windows)
        took.append(time.perf_counter() - start)
    assert min(took) < 0.01  # about 1.5 ms on an idle core
