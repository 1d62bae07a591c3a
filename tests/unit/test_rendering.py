"""Pictures: right geometry, the arm out of view, the same with and without it, and the process they come from."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from palpate_agents.errors import CellError
from palpate_agents.observation import Frame
from palpate_sim.devices import DeviceDraw
from palpate_sim.kinematics import UrdfModel
from palpate_sim.objects import PartBatch, draw_part, part_from_seed
from palpate_sim.planning import HOME, Planner
from palpate_sim.render_process import ColorJob, FrameMaker, PartsJob, RenderProcess, SurfaceJob, ThermalJob
from palpate_sim.rendering import ARM, FIRST_PART, FIXTURE, CellRenderer, PartRenderer, resting_pose
from palpate_sim.sensors.thermal import WarmSpot
from palpate_sim.surface import SurfaceMaps, scrape

MODEL = UrdfModel()
AT_HOME = (*HOME.tolist(), 0.04, 0.04)


def part_of(shape="block"):
    return draw_part(np.random.default_rng(3), 0, "ABS", "clean", shape)


@pytest.fixture(scope="module")
def renderer():
    renderer = CellRenderer(MODEL)
    yield renderer
    renderer.close()


@pytest.fixture(scope="module")
def over_part():
    """Joints of the arm with the ball on a part at (0.5, 0)."""
    line = Planner(MODEL).tool_line(Frame.BALL_TIP, np.array([0.5, 0.0, 0.03]), np.array([0.0, 0.0, 1.0]), 0.1, 0.005)
    return (*line.at(0.0).tolist(), 0.04, 0.04)


def pixel(camera, point):
    g = camera.geometry
    local = np.linalg.inv(g.pose) @ np.array([*point, 1.0])
    return g.fx * local[0] / local[2] + g.cx, g.fy * local[1] / local[2] + g.cy


@pytest.mark.parametrize("name", ["color_camera", "thermal_camera"])
def test_points_of_the_picture_lie_on_table_and_part(renderer, name):
    camera = getattr(renderer, name)
    part = part_of()
    renderer.set_parts([part])
    picture = renderer.picture(camera, [resting_pose(part, 0.52, 0.03, 0.0)], AT_HOME)
    points = camera.points(picture.depth_m)
    # fixtures in view are the table and, in a few pixels at the border, the walls of the bins
    height = points[picture.label == FIXTURE][:, 2]
    assert np.median(np.abs(height)) < 2e-4
    assert np.mean(np.abs(height) < 1e-3) > 0.97
    on_part = points[picture.label == FIRST_PART]
    top = on_part[np.abs(on_part[:, 2] - part.dimensions_m[2]) < 1e-3]
    assert len(top) > 0.8 * len(on_part)
    pitch = 0.7 / camera.geometry.fx
    for axis, middle in ((0, 0.52), (1, 0.03)):
        half = 0.5 * part.dimensions_m[axis]
        assert top[:, axis].min() == pytest.approx(middle - half, abs=pitch)
        assert top[:, axis].max() == pytest.approx(middle + half, abs=pitch)


def test_a_corner_projects_to_where_it_is_drawn(renderer):
    camera = renderer.color_camera
    part = part_of()
    renderer.set_parts([part])
    picture = renderer.picture(camera, [resting_pose(part, 0.47, -0.06, 0.0)], AT_HOME)
    rows, columns = np.nonzero(picture.label == FIRST_PART)
    x, y, z = part.dimensions_m
    signs = [(sx, sy, h) for sx in (-1, 1) for sy in (-1, 1) for h in (0.0, z)]
    corners = [pixel(camera, (0.47 + sx * x / 2, -0.06 + sy * y / 2, h)) for sx, sy, h in signs]
    us, vs = zip(*corners, strict=True)
    assert columns.min() - 0.5 == pytest.approx(min(us), abs=0.6)
    assert columns.max() + 0.5 == pytest.approx(max(us), abs=0.6)
    assert rows.min() - 0.5 == pytest.approx(min(vs), abs=0.6)
    assert rows.max() + 0.5 == pytest.approx(max(vs), abs=0.6)


def test_parts_are_drawn_white_and_the_frame_has_their_colour(renderer):
    part = dataclasses.replace(part_of(), rgb=(0.7, 0.1, 0.1), gloss=0.1)
    pose = resting_pose(part, 0.5, 0.0, 0.0)
    renderer.set_parts([part])
    picture = renderer.picture(renderer.color_camera, [pose], AT_HOME)
    mask = picture.label == FIRST_PART
    assert picture.color[mask].min() > 100
    assert np.ptp(picture.color[mask].mean(axis=0)) < 1.0
    maker = FrameMaker(1, DeviceDraw.nominal())
    maker.make(PartsJob((part,), (SurfaceMaps.of_part(part),)))
    color, _ = maker.make(ColorJob(1, (pose,), AT_HOME))
    maker.close()
    red, green, blue = color[mask].mean(axis=0)
    assert red > 3 * green
    assert red > 3 * blue


def test_a_scraped_coat_shows_in_the_next_picture_where_it_was_scraped():
    part = dataclasses.replace(
        part_from_seed(3, 0, "ABS", "painted", "block"), rgb=(0.05, 0.05, 0.05), coat_rgb=(0.9, 0.9, 0.9),
        coat_gloss=0.1, label_um=0.0, dirt_level=0.0, coat_um=60.0,
    )  # fmt: skip
    pose = resting_pose(part, 0.5, 0.02, 0.7)
    maps = SurfaceMaps.of_part(part)
    maps.coat[:] = 1.0
    batch = PartBatch.of([part])
    start, end = np.array([[-0.008, 0.004]]), np.array([[0.008, 0.004]])
    scraped, _ = scrape(batch, maps, start, end, 0.006, 5.0)
    maker = FrameMaker(1, DeviceDraw.nominal())
    maker.make(PartsJob((part,), (maps,)))
    before, _ = maker.make(ColorJob(1, (pose,), AT_HOME))
    maker.make(SurfaceJob(0, scraped))
    after, _ = maker.make(ColorJob(2, (pose,), AT_HOME))
    maker.close()
    darker = before.astype(float).mean(axis=-1) - after.mean(axis=-1)
    camera = CellRenderer(MODEL, arm=False).color_camera
    turn = np.array([[np.cos(0.7), -np.sin(0.7)], [np.sin(0.7), np.cos(0.7)]])

    def at(u, v):
        x, y = turn @ (u, v) + (0.5, 0.02)
        column, row = pixel(camera, (x, y, part.dimensions_m[2]))
        return darker[round(row), round(column)]

    assert at(0.0, 0.004) > 60.0
    assert abs(at(0.0, -0.008)) < 8.0
    assert np.mean(darker > 40.0) < 0.01


@pytest.mark.parametrize("name", ["color_camera", "thermal_camera"])
def test_at_home_the_arm_is_out_of_view(renderer, name):
    renderer.set_parts([])
    assert not np.any(renderer.picture(getattr(renderer, name), [], AT_HOME).label == ARM)


def test_the_arm_covers_what_lies_under_it(renderer, over_part):
    part = part_of()
    renderer.set_parts([part])
    poses = [resting_pose(part, 0.5, 0.0, 0.0)]
    free = renderer.picture(renderer.color_camera, poses, AT_HOME)
    covered = renderer.picture(renderer.color_camera, poses, over_part)
    assert np.mean(covered.label == ARM) > 0.1
    assert np.sum(covered.label == FIRST_PART) < np.sum(free.label == FIRST_PART)
    assert np.all(covered.depth_m[covered.label == ARM] < 0.70)


def test_still_scenes_are_not_drawn_again(renderer):
    part = part_of()
    renderer.set_parts([part])
    poses = [resting_pose(part, 0.5, 0.0, 0.0)]
    first = renderer.picture(renderer.color_camera, poses, AT_HOME)
    assert renderer.picture(renderer.color_camera, list(poses), AT_HOME) is first
    moved = renderer.picture(renderer.color_camera, [resting_pose(part, 0.51, 0.0, 0.0)], AT_HOME)
    assert not np.array_equal(moved.label, first.label)


@pytest.mark.parametrize("shape", ["block", "plate", "cylinder", "tube", "bottle", "bracket", "housing"])
def test_part_pictures_are_those_of_the_cell(renderer, shape):
    part = part_of(shape)
    pose = resting_pose(part, 0.48, 0.05, 0.6)
    training = PartRenderer(MODEL)
    alone = training.render(part, pose)
    training.close()
    renderer.set_parts([part])
    color = renderer.picture(renderer.color_camera, [pose], AT_HOME)
    thermal = renderer.picture(renderer.thermal_camera, [pose], AT_HOME)
    np.testing.assert_array_equal(alone.shade, color.color)
    np.testing.assert_array_equal(alone.depth_m, color.depth_m)
    np.testing.assert_array_equal(alone.mask, color.label == FIRST_PART)
    np.testing.assert_array_equal(alone.thermal_mask, thermal.label == FIRST_PART)
    assert alone.mask.sum() > 200
    assert alone.places_m.shape == (alone.mask.sum(), 2)
    assert np.abs(alone.places_m).max(axis=0) == pytest.approx(np.array(part.dimensions_m[:2]) / 2, abs=2e-3)
    assert alone.thermal_mask.sum() > 50


def test_frames_depend_on_their_number_and_seed_alone():
    part = part_of()
    poses = (resting_pose(part, 0.5, 0.0, 0.0),)
    jobs = [ColorJob(7, poses, AT_HOME), ThermalJob(9, poses, AT_HOME, (), 3.0, 22.0), ColorJob(8, poses, AT_HOME)]

    def frames(order, seed):
        maker = FrameMaker(seed, DeviceDraw.nominal())
        maker.make(PartsJob((part,), (SurfaceMaps.of_part(part),)))
        results = {k: maker.make(jobs[k]) for k in order}
        maker.close()
        return results

    one, other = frames((0, 1, 2), 5), frames((2, 0, 1), 5)
    np.testing.assert_array_equal(one[0][0], other[0][0])
    np.testing.assert_array_equal(one[0][1], other[0][1])
    np.testing.assert_array_equal(one[1], other[1])
    assert not np.array_equal(one[0][0], one[2][0]), "noise is drawn anew for every frame"
    assert not np.array_equal(one[0][0], frames((0,), 6)[0][0])


def test_a_warm_spot_is_seen_where_it_was_touched():
    part = part_of()
    top = part.dimensions_m[2]
    maker = FrameMaker(1, DeviceDraw.nominal())
    maker.make(PartsJob((part,), (SurfaceMaps.of_part(part),)))
    poses = (resting_pose(part, 0.5, 0.0, 0.0),)
    spot = WarmSpot((0.505, -0.01, top), 1.0, 2.0, 70.0, 1)
    before = maker.make(ThermalJob(1, poses, AT_HOME, (), 0.5, 22.0))
    after = maker.make(ThermalJob(2, poses, AT_HOME, (spot,), 3.5, 22.0))
    camera = CellRenderer(MODEL, arm=False).thermal_camera
    u, v = pixel(camera, (0.505, -0.01, top))
    row, column = np.unravel_index(np.argmax(after - before), after.shape)
    assert abs(row - v) <= 3
    assert abs(column - u) <= 3
    assert (after - before).max() > 3.0
    maker.close()


def test_a_dead_cameras_process_is_a_clear_error():
    process = RenderProcess(1, DeviceDraw.nominal())
    ticket = process.submit(ColorJob(1, (), AT_HOME))
    assert process.collect(ticket)[0].shape == (240, 320, 3)
    os.kill(process.pid, signal.SIGINT)
    assert process.collect(process.submit(ColorJob(2, (), AT_HOME)))[0].shape == (240, 320, 3), "Ctrl-C is the parent's"
    os.kill(process.pid, signal.SIGKILL)
    time.sleep(0.2)
    with pytest.raises(CellError, match="ended unexpectedly"):
        process.collect(process.submit(ColorJob(2, (), AT_HOME)))
    process.close()


def test_the_cameras_end_with_their_parent_even_when_it_is_killed():
    code = (
        "from palpate_sim.render_process import RenderProcess\n"
        "from palpate_sim.devices import DeviceDraw\n"
        "import time\n"
        "if __name__ == '__main__':\n"
        "    print(RenderProcess(1, DeviceDraw.nominal()).pid, flush=True)\n"
        "    time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    lines = iter(parent.stdout.readline, "")
    child = int(next(line for line in lines if line.strip().isdigit()))
    os.kill(child, 0)
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and alive(child):
        time.sleep(0.1)
    assert not alive(child)


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
