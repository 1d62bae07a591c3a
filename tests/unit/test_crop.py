"""The small picture of a part: place, turn, colours over the table's, heights."""

from __future__ import annotations

import time
from dataclasses import replace

import cv2
import numpy as np
import pytest
import synthetic_windows as syn
from synthetic_windows import V

from palpate_agents.encoders import features
from palpate_agents.encoders.context import PartContext
from palpate_agents.encoders.crop import MARGIN, SIZE, crop_of
from palpate_agents.encoders.reading import Unusable
from palpate_agents.encoders.surface_map import CELLS, surface_of
from palpate_agents.observation import CameraGeometry, Primitive, ProbeWindows

TABLE = np.array((77.0, 92.0, 84.0))


def crop_of_look(probe=None, **options):
    execution, windows = probe or syn.look(**options)
    view = PartContext().after(execution, windows).view
    return crop_of(view, windows).astype(float), view, windows


def inside(share=0.8):
    """(64, 64) bool, the middle of a part of 60 x 40 mm."""
    along, across = np.meshgrid(np.arange(SIZE), np.arange(SIZE), indexing="ij")
    scale = MARGIN * syn.SIZE_M[0] / SIZE
    far = np.stack(
        [(along + 0.5 - SIZE / 2) * scale / syn.SIZE_M[0], (across + 0.5 - SIZE / 2) * scale / syn.SIZE_M[1]]
    )
    return (np.abs(far) < 0.5 * share).all(axis=0)


@pytest.mark.parametrize("yaw", [-1.2, 0.0, 0.4, 1.4])
@pytest.mark.parametrize("tilt_camera", [False, True])
def test_the_part_lies_along_the_first_axis_with_table_around(yaw, tilt_camera):
    crop, _, _ = crop_of_look(yaw=yaw, rgb=(150, 60, 40), tilt_camera=tilt_camera)
    assert crop.shape == (SIZE, SIZE, 4)
    over = np.array((150, 60, 40)) / TABLE
    expected = 256.0 * over / (1.0 + over)
    assert crop[inside()][:, :3].mean(axis=0) == pytest.approx(expected, abs=2.0)
    assert crop[inside()][:, 3].mean() == pytest.approx(127.5, abs=4.0)
    beside = ~inside(1.12)
    assert np.median(crop[beside][:, :3], axis=0) == pytest.approx([128.0] * 3, abs=4.0)
    if not tilt_camera:  # else a side of the part is seen beside its top
        assert (crop[beside][:, 3] == 0).mean() > 0.97


def test_a_patch_is_where_the_surface_map_has_it():
    execution, windows = syn.look(yaw=0.3, rgb=(60, 60, 60))
    view = PartContext().after(execution, windows).view
    turn = np.array([np.cos(view.yaw_rad), np.sin(view.yaw_rad)])
    spot = np.array(view.centroid_m[:2]) + 0.018 * turn + 0.009 * np.array([-turn[1], turn[0]])
    mask = np.zeros(view.mask.shape, bool)
    mask[view.mask] = np.hypot(*(view.pixels_m[:, :2] - spot).T) < 0.006
    windows.color[mask] = (230, 230, 230)
    crop = crop_of(view, windows).astype(float)
    weight = np.maximum(crop[..., 0] - 140.0, 0.0)
    along, across = (float((np.arange(SIZE) * weight.sum(axis=1 - axis)).sum() / weight.sum()) for axis in (0, 1))
    pixel = MARGIN * view.extent_m[0] / SIZE
    assert (along - 31.5) * pixel == pytest.approx(0.018, abs=1.5e-3)
    assert (across - 31.5) * pixel == pytest.approx(0.009, abs=1.5e-3)
    cells = surface_of(view, windows).values[..., 1]
    first, second = np.unravel_index(cells.argmax(), (CELLS, CELLS))
    assert first >= CELLS // 2
    assert second >= CELLS // 2


def test_exposure_and_white_balance_cancel_and_white_is_not_cut():
    first, view, windows = crop_of_look(rgb=(210, 180, 150))
    dimmed = replace(windows, color=np.rint(windows.color * (0.8, 0.9, 0.7)).astype(np.uint8))
    second = crop_of(view, dimmed)
    assert np.abs(first - second)[..., :3].mean() < 1.0
    assert first[..., :3].max() < 230.0


def test_holes_and_the_part_above_have_heights():
    crop, view, _ = crop_of_look(hole_share=0.3)
    assert (crop[inside()][:, 3] == 0).mean() == pytest.approx(view.hole_fraction, abs=0.06)
    measured = crop[inside()][:, 3]
    assert np.median(measured[measured > 0]) == pytest.approx(127.5, abs=6.0)


def test_beyond_the_picture_there_is_table():
    _, view, windows = crop_of_look(rgb=(200, 40, 40))
    rows, cols = np.nonzero(view.mask)
    top, left = rows.min() - 1, cols.min() - 1
    camera = windows.camera
    cut = (slice(top, None), slice(left, None))
    moved = CameraGeometry(camera.fx, camera.fy, camera.cx - left, camera.cy - top, camera.pose)
    view = replace(view, mask=view.mask[cut], table_mask=view.table_mask[cut])
    crop = crop_of(view, replace(windows, color=windows.color[cut].copy(), camera=moved)).astype(float)
    assert np.abs(crop[~inside(1.12)][:, :3] - 128.0).max() < 20.0


def test_what_cannot_be_cut_out_says_why():
    _, view, windows = crop_of_look()
    behind = windows.camera.pose.copy()
    behind[2, 3] = -0.7
    for change, word in (
        ({"color": None}, "missing"),
        ({"color": windows.color[:100]}, "wrong size"),
        ({"color": windows.color.astype(float)}, "wrong size"),
        ({"camera": replace(windows.camera, pose=behind)}, "before the camera"),
    ):
        with pytest.raises(Unusable, match=word):
            crop_of(view, replace(windows, **change))
    with pytest.raises(Unusable, match="no bare table"):
        crop_of(replace(view, table_mask=np.zeros_like(view.table_mask)), windows)
    with pytest.raises(Unusable, match="gone"):
        crop_of(replace(view, found=False, reason="gone"), windows)


def overview():
    execution, windows = syn.look()
    return replace(execution, contact_point_m=(0.0, 0.0, 0.0)), windows


def test_an_overview_carries_its_map_and_its_crop_and_nothing_else_does():
    execution, windows = overview()
    context = PartContext().after(execution, windows)
    look = features.extract(execution, windows, context)
    assert np.array_equal(look.crop, crop_of(context.view, windows))
    assert np.array_equal(look.surface, surface_of(context.view, windows).values)
    assert look.surface.dtype == np.float32
    assert look.crop.dtype == np.uint8
    close = features.extract(*syn.look(), context)
    assert close.crop is None, "networks are trained with crops of overviews alone"
    assert close.surface is not None
    for probe in (syn.press(), syn.dwell(), (syn.execution(Primitive.LOOK), ProbeWindows())):
        other = features.extract(*probe, context.after(*probe))
        assert other.crop is None
        assert other.surface is None
        assert other.reliability[V] == 0.0


def test_a_crop_that_fails_costs_no_more_than_itself(monkeypatch):
    def broken(view, windows):
        raise cv2.error("no")

    execution, windows = overview()
    context = PartContext().after(execution, windows)
    monkeypatch.setattr(features, "crop_of", broken)
    look = features.extract(execution, windows, context)
    assert look.crop is None
    assert look.surface is not None
    assert look.reliability[V] == 1.0


def test_it_is_fast_enough():
    _, view, windows = crop_of_look()
    took = []
    for _ in range(20):
        start = time.process_time()
        crop_of(view, windows)
        took.append(time.process_time() - start)
    assert min(took) < 3e-3  # about 0.4 ms on an idle core
