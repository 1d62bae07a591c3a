"""What segmentation and surface maps compute the fast way is, bit for bit, what the plain way gives."""

from __future__ import annotations

from dataclasses import fields

import cv2
import numpy as np
import pytest
import synthetic_windows as syn

from palpate_agents import segmentation
from palpate_agents.encoders.thermal import pixels_of
from palpate_agents.medians import median, medians_of_pixels
from palpate_agents.segmentation import PartView, Spot, box_of, project, region_around, segment
from palpate_agents.segmentation_color import unlike_table
from palpate_agents.segmentation_rays import rays_to_table

REGION = region_around((0.5, 0.0, 0.0))
BOX = slice(30, 200), slice(60, 250)


def looks(count=8):
    """Pictures of boxes of all kinds, with holes, seen straight and askew."""
    for seed in range(count):
        rng = np.random.default_rng(seed)
        size = tuple(rng.uniform([0.025, 0.022, 0.008], [0.08, 0.06, 0.05]))
        hole_share = float(rng.choice([0.0, 0.2, 0.6]))
        yaw = rng.uniform(0, 3)
        yield syn.look(rng, size=size, yaw=yaw, tilt_camera=bool(seed % 2), hole_share=hole_share)[1]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 1000, 1001])
def test_medians_are_those_of_numpy(count):
    rng = np.random.default_rng(count)
    values = rng.normal(size=count)
    assert median(values.copy()) == np.median(values)
    few = rng.integers(0, 5, count) / 3.0
    assert median(few.copy()) == np.median(few)
    picture = rng.integers(0, 256, (count, 7, 3)).astype(np.uint8)
    mask = rng.random((count, 7)) < 0.5
    mask[0, 0] = True
    expected = np.median(picture[mask].astype(np.float64), axis=0)
    np.testing.assert_array_equal(medians_of_pixels(picture, mask), expected)
    np.testing.assert_array_equal(medians_of_pixels(picture.astype(np.float32), mask), expected)


def plain_unlike_table(color, table, solid):
    near = cv2.dilate(solid.astype(np.uint8), np.ones((9, 9), np.uint8)).astype(bool)
    if table.sum() < 50:
        return near
    lab = cv2.cvtColor(np.ascontiguousarray(color), cv2.COLOR_RGB2LAB).astype(np.float64)
    reference = np.median(lab[table], axis=0)
    spread = 1.4826 * np.median(np.abs(lab[table] - reference), axis=0) + 2.0
    return near | (np.max(np.abs(lab - reference) / spread, axis=-1) > 6.0)


@pytest.mark.parametrize("share", [0.0005, 0.3, 0.9])
def test_the_tables_colour_is_told_from_others_as_with_sorted_pixels(share):
    told = 0
    for seed in range(6):
        rng = np.random.default_rng(seed)
        shape = (80 + seed, 90)
        color = np.clip(rng.normal((90, 85, 80), 3.0 + 4.0 * seed, (*shape, 3)), 0, 255).astype(np.uint8)
        color[20:40, 30:60] = rng.integers(0, 256, 3)
        table = rng.random(shape) < share
        solid = rng.random(shape) < 0.002
        where = rng.random(shape) < 0.5
        expected = plain_unlike_table(color, table, solid) & where
        np.testing.assert_array_equal(unlike_table(color, table, solid, where), expected)
        told += np.count_nonzero(expected[20:40, 30:60])
    assert told > 50, "nothing was told apart: the comparison shows nothing"


def test_rays_lead_through_their_pixels_to_the_table_and_are_remembered():
    camera = syn.look(tilt_camera=True)[1].camera
    rays = rays_to_table(camera, *BOX, 0.01)
    points = np.moveaxis(rays.on_table_m, 0, -1)
    uv, depth = project(points.reshape(-1, 3), camera)
    v, u = np.mgrid[BOX]
    np.testing.assert_allclose(uv, np.stack([u, v], axis=-1).reshape(-1, 2), atol=1e-6)
    np.testing.assert_allclose(depth, rays.table_depth_m.ravel(), atol=1e-9)
    np.testing.assert_allclose(points[..., 2], 0.01, atol=1e-12)
    assert rays.pixel_m == np.median(np.linalg.norm(points - rays.origin_m, axis=-1)) / camera.fx
    assert rays_to_table(camera, *BOX, 0.01).rays is rays.rays
    with pytest.raises(ValueError, match="read-only"):
        rays.on_table_m[0] = 0.0


@pytest.mark.parametrize("change", ["pose", "fx", "cy", "table", "box"])
def test_a_camera_or_table_that_moved_has_other_rays(change):
    first, second = syn.look()[1].camera, syn.look()[1].camera
    rows, cols, height = *BOX, 0.0
    if change == "pose":
        second.pose[2, 3] += 1e-9
    elif change in ("fx", "cy"):
        setattr(second, change, getattr(second, change) + 1e-6)
    elif change == "table":
        height = 1e-6
    else:
        cols = slice(cols.start + 1, cols.stop + 1)
    old, new = rays_to_table(first, *BOX, 0.0), rays_to_table(second, rows, cols, height)
    assert not np.array_equal(old.on_table_m, new.on_table_m)


def test_heights_are_smoothed_as_with_weights_in_floats():
    rng = np.random.default_rng(0)
    height, hole = rng.normal(0.02, 0.01, (60, 70)), rng.random((60, 70)) < 0.4
    hole[20:40, 20:40] = True
    valid = (~hole).astype(np.float64)
    near = cv2.boxFilter(height * valid, -1, (5, 5), normalize=False)
    near = near / np.maximum(cv2.boxFilter(valid, -1, (5, 5), normalize=False), 1.0)
    expected = cv2.medianBlur(np.where(hole, near, height).astype(np.float32), 3).astype(np.float64)
    np.testing.assert_array_equal(segmentation._smooth_height(np.where(hole, 0.0, height), hole), expected)


def plain_spots(surface, mask, pixel_m, offset, length):
    """Every quantity for every pixel of the box, then the flat ones."""
    size = max(3, 2 * round(segmentation.SPOT_WINDOW_M / pixel_m / 2) + 1)
    weight = mask.astype(np.float64)
    x, y, z = (surface - offset[:, None, None]) * weight
    stack = np.stack([weight, x, y, z, x * x, x * y, y * y, x * z, y * z, z * z], axis=-1)
    sums = [cv2.boxFilter(stack[..., i], -1, (size, size), normalize=False, borderType=cv2.BORDER_CONSTANT)
            for i in range(10)]  # fmt: skip
    n = np.maximum(sums[0], 1.0)
    mx, my, mz = sums[1] / n, sums[2] / n, sums[3] / n
    cxx, cxy, cyy = sums[4] / n - mx * mx, sums[5] / n - mx * my, sums[6] / n - my * my
    cxz, cyz, czz = sums[7] / n - mx * mz, sums[8] / n - my * mz, sums[9] / n - mz * mz
    determinant = cxx * cyy - cxy * cxy
    with np.errstate(divide="ignore", invalid="ignore"):
        a, b = (cxz * cyy - cyz * cxy) / determinant, (cyz * cxx - cxz * cxy) / determinant
        residual = np.sqrt(np.maximum(czz - a * cxz - b * cyz, 0.0))
        tilt = np.arctan(np.hypot(a, b))
    flat = mask & (sums[0] >= 0.99 * size * size) & (determinant > 1e-14) & (tilt < segmentation.MAX_SPOT_TILT_RAD)
    padded = cv2.copyMakeBorder(flat.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    clearance = cv2.distanceTransform(padded, cv2.DIST_L2, 3)[1:-1, 1:-1] * pixel_m + segmentation.SPOT_WINDOW_M / 2
    away = np.hypot(mx, my) / max(length / 2, 1e-3)
    score = np.minimum(clearance, 0.012) / 0.004 - residual / 0.0005 - tilt / 0.15 - 0.5 * away
    score, found = np.where(flat, score, -np.inf), []
    while len(found) < segmentation.MAX_SPOTS and np.isfinite(score.max()):
        i, j = np.unravel_index(int(np.argmax(score)), score.shape)
        up = np.array([-a[i, j], -b[i, j], 1.0])
        up /= np.linalg.norm(up)
        point = offset + np.array([mx[i, j], my[i, j], mz[i, j]])
        found.append(Spot(tuple(point.tolist()), tuple(up.tolist()), float(residual[i, j]), float(clearance[i, j])))
        score[np.hypot(mx - mx[i, j], my - my[i, j]) < segmentation.SPOT_SPACING_M] = -np.inf
    return tuple(found)


def test_spots_and_volume_are_those_of_whole_arrays(monkeypatch):
    """Only pixels where a window fits are computed, and only the box of the part is looked at."""
    calls, fast_spots, fast_volume, found = [], segmentation._spots, segmentation._volume, 0
    monkeypatch.setattr(segmentation, "_spots", lambda *a: calls.append(a) or fast_spots(*a))
    for windows in looks():
        view = segment(windows, 0.0, REGION)
        surface, mask, pixel_m, offset, length = calls.pop()
        assert mask.shape == tuple(s.stop - s.start for s in box_of(view.mask))
        expected = plain_spots(surface, mask, pixel_m, offset, length)
        found += len(expected)
        assert fast_spots(surface, mask, pixel_m, offset, length) == expected
        wide, wide_mask = np.pad(surface, ((0, 0), (5, 9), (7, 3))), np.pad(mask, ((5, 9), (7, 3)))
        assert fast_volume(wide, wide_mask, 0.0, pixel_m) == view.volume_m3
    assert found > 20


def test_without_volume_and_spots_all_else_is_the_same():
    for windows in looks():
        whole, part = segment(windows, 0.0, REGION), segment(windows, 0.0, REGION, full=False)
        assert whole.found
        assert part.spots == ()
        assert np.isnan(part.volume_m3)
        for name in {field.name for field in fields(PartView)} - {"spots", "volume_m3"}:
            np.testing.assert_array_equal(getattr(part, name), getattr(whole, name), err_msg=name)


def test_a_part_at_the_rim_of_the_picture_is_boxed_within_it():
    mask = np.zeros((20, 30), bool)
    mask[0:5, 26:30] = True
    assert box_of(mask) == (slice(0, 5), slice(26, 30))
    assert mask[box_of(mask, 1)].shape == (6, 5)


def test_thermal_pixels_of_points_are_sorted_rows_without_doubles():
    camera = syn.look()[1].camera
    points = np.random.default_rng(0).uniform((0.2, -0.3, 0.0), (0.8, 0.3, 0.05), (3000, 3))
    uv, _ = project(points, camera)
    cells = np.round(uv[:, ::-1]).astype(np.int64)
    cells = cells[((cells >= 0) & (cells < (120, 160))).all(axis=1)]
    assert len(np.unique(cells, axis=0)) < len(cells) < 3000
    np.testing.assert_array_equal(pixels_of(points, camera, (120, 160)), np.unique(cells, axis=0))
    assert pixels_of(points[:0], camera, (120, 160)).shape == (0, 2)
