"""Segmentation against boxes whose size and pose are known."""

from __future__ import annotations

import numpy as np
import pytest
import synthetic_windows as syn

from palpate_agents.observation import ProbeWindows
from palpate_agents.segmentation import HAND_OPENING_M, PartView, project, region_around, segment

SAME = syn.SIZE_M[2]
REGION = region_around((0.5, 0.0, 0.0))


def view_of(**options) -> PartView:
    return segment(syn.look(**options)[1], 0.0, REGION)


@pytest.mark.parametrize("size", [(0.06, 0.04, 0.03), (0.05, 0.022, 0.012), (0.08, 0.06, 0.05)])
@pytest.mark.parametrize("yaw", [0.0, 0.7, -1.2])
def test_size_pose_and_volume_of_a_box(size, yaw):
    view = view_of(size=size, yaw=yaw)
    assert view.found
    assert not view.touching, view.reason
    assert view.extent_m == pytest.approx(size, abs=0.0035)
    assert abs((view.yaw_rad - yaw + np.pi / 2) % np.pi - np.pi / 2) < 0.12
    assert view.volume_m3 == pytest.approx(np.prod(size), rel=0.15)
    assert view.centroid_m == pytest.approx((*syn.CENTRE, size[2] / 2), abs=0.003)


def test_a_tilted_camera_sees_the_same_part():
    straight, tilted = view_of(yaw=0.5), view_of(yaw=0.5, tilt_camera=True)
    assert tilted.extent_m == pytest.approx(straight.extent_m, abs=0.003)
    assert tilted.volume_m3 == pytest.approx(straight.volume_m3, rel=0.15)
    assert tilted.spots[0].normal[2] > 0.97


@pytest.mark.parametrize("scale", [0.993, 1.007])
def test_a_scale_error_of_the_depth_camera_cancels(scale):
    assert view_of(depth_scale=scale).extent_m[2] == pytest.approx(0.03, abs=0.002)


def test_mask_agrees_with_the_truth():
    _, windows = syn.look()
    _, hit = syn.box_hit(windows.camera, (240, 320), syn.SIZE_M, 0.3)
    view = segment(windows, 0.0, REGION)
    assert (view.mask & hit).sum() / (view.mask | hit).sum() > 0.9
    assert not (view.table_mask & hit).any()
    assert view.table_mask.sum() > 1000


def test_spots_lie_on_the_top_apart_from_each_other_with_clearance_that_is_there():
    view = view_of(size=(0.07, 0.05, 0.03), yaw=0.4)
    assert len(view.spots) >= 4
    points = np.array([s.point_m for s in view.spots])
    assert np.abs(points[:, 2] - 0.03).max() < 0.003
    along = np.array([np.cos(0.4), np.sin(0.4)])
    local = (points[:, :2] - syn.CENTRE) @ np.array([along, [-along[1], along[0]]]).T
    edge = np.minimum(0.035 - np.abs(local[:, 0]), 0.025 - np.abs(local[:, 1]))
    assert edge.min() > 0.002
    for spot, true in zip(view.spots, edge, strict=True):
        assert spot.clearance_m <= true + 0.005
        assert spot.normal[2] > 0.97
    gaps = np.linalg.norm(points[:, None, :2] - points[None, :, :2], axis=-1) + np.eye(len(points))
    assert gaps.min() > 0.007


def test_grasp_closes_across_the_narrow_side():
    view = view_of(size=(0.07, 0.035, 0.03), yaw=0.6)
    assert view.graspable
    assert view.grasp_width_m == pytest.approx(0.035, abs=0.004)
    assert np.cos(view.grasp_angle_rad - 0.6) == pytest.approx(0.0, abs=0.12)
    assert not view_of(size=(0.1, HAND_OPENING_M + 0.006, 0.03), yaw=0.1).graspable


@pytest.mark.parametrize("hole_share", [0.3, 0.8])
def test_holes_in_depth_are_part_where_the_colour_says_so(hole_share):
    view = view_of(hole_share=hole_share)
    assert view.found
    assert view.hole_fraction == pytest.approx(hole_share, abs=0.12)
    assert view.extent_m[:2] == pytest.approx((0.06, 0.04), abs=0.006)
    assert view.extent_m[2] == pytest.approx(0.03, abs=0.004)
    assert view.volume_m3 == pytest.approx(np.prod(syn.SIZE_M), rel=0.12)


def test_a_part_that_depth_never_sees_is_found_by_colour_with_a_guessed_height():
    view = view_of(hole_share=1.0)
    assert view.found
    assert "guess" in view.reason
    assert np.isnan(view.volume_m3)
    assert view.extent_m[0] == pytest.approx(0.06, abs=0.01)


def test_an_empty_table_has_no_part():
    _, windows = syn.look(size=(1e-6, 1e-6, 1e-6))
    view = segment(windows, 0.0, REGION)
    assert not view.found
    assert "no part" in view.reason
    assert not view.mask.any()


def test_a_part_outside_the_region_is_not_found():
    assert not segment(syn.look()[1], 0.0, region_around((0.5, 0.2, 0.0), 0.05)).found


def two_boxes(second, yaw=0.9):
    _, windows = syn.look(yaw=0.0)
    depth, hit = syn.box_hit(windows.camera, (240, 320), syn.SIZE_M, yaw, second)
    windows.depth_m = np.minimum(windows.depth_m, depth.astype(np.float32))
    windows.color[hit] = (60, 160, 60)
    return segment(windows, 0.0, REGION)


def test_two_parts_are_flagged_apart_and_touching():
    apart, touching = two_boxes((0.5, 0.07)), two_boxes((0.54, 0.042))
    assert apart.touching
    assert "2 parts" in apart.reason
    assert touching.touching
    assert "touch" in touching.reason
    assert not touching.graspable


@pytest.mark.parametrize(("height", "touching"), [(SAME, False), (0.012, True), (0.05, True)])
def test_boxes_along_a_common_edge_are_told_apart_by_their_heights(height, touching):
    _, windows = syn.look(yaw=0.0)
    size = (syn.SIZE_M[0], syn.SIZE_M[1], height)
    centre = (syn.CENTRE[0], syn.CENTRE[1] + syn.SIZE_M[1])
    depth, _ = syn.box_hit(windows.camera, (240, 320), size, 0.0, centre)
    noisy = depth + 0.0015 * np.random.default_rng(1).normal(size=depth.shape)
    windows.depth_m = np.minimum(windows.depth_m, noisy.astype(np.float32))
    view = segment(windows, 0.0, REGION)
    assert view.touching == touching


@pytest.mark.parametrize("tilt", [False, True])
@pytest.mark.parametrize("height", [0.01, 0.03, 0.06])
def test_one_part_has_one_top_whatever_its_height_and_the_camera(height, tilt):
    for seed in range(5):
        rng = np.random.default_rng(seed)
        _, windows = syn.look(rng, size=(0.04, 0.06, height), yaw=rng.uniform(0, 3), tilt_camera=tilt)
        assert not segment(windows, 0.0, REGION).touching


@pytest.mark.parametrize("missing", ["color", "depth_m", "camera"])
def test_a_missing_picture_is_said(missing):
    _, windows = syn.look()
    setattr(windows, missing, None)
    view = segment(windows, 0.0, REGION)
    assert not view.found
    assert view.reason == "no picture"


def test_pictures_of_different_size_and_blind_cameras_are_said():
    _, windows = syn.look()
    windows.color = windows.color[::2]
    assert "pixels" in segment(windows, 0.0, REGION).reason
    _, windows = syn.look()
    windows.depth_m = np.zeros_like(windows.depth_m)
    windows.color[:] = 90
    assert not segment(windows, 0.0, REGION).found
    assert not segment(windows, 0.0, region_around((5.0, 5.0, 0.0))).found
    assert not segment(ProbeWindows(), 0.0, REGION).found


def test_projection_inverts_the_rays():
    _, windows = syn.look()
    camera = windows.camera
    uv, depth = project(np.array([[0.5, 0.0, 0.0], [0.55, -0.03, 0.1]]), camera)
    assert uv[0] == pytest.approx((camera.cx, camera.cy))
    assert depth == pytest.approx([0.7, 0.6])
    assert uv[1] == pytest.approx((camera.cx + 300 * 0.03 / 0.6, camera.cy - 300 * 0.05 / 0.6))
