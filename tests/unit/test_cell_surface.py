"""The full cell on a given part: it lies where the library says, looks as the library says, and shows what was done."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from test_cell import FAST, of, run

from palpate_agents.errors import ConfigError
from palpate_agents.observation import Outcome, Primitive, ProbeGoal, ProbeWindows
from palpate_agents.samples import RgbdFrame, Spectrum
from palpate_agents.segmentation import project, region_around, segment
from palpate_sim.cell import CellConfig, SimCell
from palpate_sim.library import PartLibrary, placement
from palpate_sim.objects import part_from_seed


@pytest.fixture(scope="module")
def scratched():
    """A painted part before and after a scratch: presented, library row, the two last frames, the spectra."""
    part = part_from_seed(3, 0, "PP", "painted", "block")
    part = dataclasses.replace(
        part, coat_um=40.0, coat_rgb=(0.7, 0.1, 0.1), rgb=(0.9, 0.9, 0.9), label_um=0.0, dirt_level=0.0,
        paint_transmission=0.0, coat_reflectance=0.3,
    )  # fmt: skip
    pose = placement(part.geometry_class, part.geometry_id)
    cell = SimCell(CellConfig(nominal_devices=True), seed=8)
    presented = cell.present_part("session", 0, part=part, pose=pose)
    x, y, yaw = pose
    top = (x, y, part.dimensions_m[2])
    goals = [
        ProbeGoal(Primitive.LOOK, top),
        ProbeGoal(Primitive.SCRATCH, top, slide_angle_rad=yaw, slide_distance_m=0.014, force_n=5.0),
        ProbeGoal(Primitive.SCRATCH, top, slide_angle_rad=yaw, slide_distance_m=0.014, force_n=5.0),
        ProbeGoal(Primitive.LOOK, (x + 0.007 * np.cos(yaw), y + 0.007 * np.sin(yaw), top[2])),
    ]
    frames, spectra = [], []
    for index, goal in enumerate(goals):
        samples, execution = run(cell, goal, index)
        assert execution.outcome is Outcome.SUCCEEDED
        if goal.primitive is Primitive.LOOK:
            frames.append(of(RgbdFrame, samples)[-1])
            spectra.append(of(Spectrum, samples)[-1].spectrum)
    cell.close()
    row = PartLibrary.of([part.geometry_class], [part.geometry_id]).row(part.geometry_class, part.geometry_id)
    return presented, row, frames, spectra


def test_the_part_lies_and_looks_as_the_library_says(scratched):
    presented, row, frames, _ = scratched
    np.testing.assert_allclose(presented.pose, placement(presented.part.geometry_class, presented.part.geometry_id))
    np.testing.assert_allclose(row.position_m[0], presented.pose[:2], atol=5e-4)
    frame = frames[0]
    windows = ProbeWindows(color=frame.color, depth_m=frame.depth_mm.astype(np.float32) * 1e-3, camera=frame.camera)
    view = segment(windows, 0.0, region_around(presented.position_m))
    assert view.found
    np.testing.assert_allclose(view.extent_m, row.seen_extent_m[0], atol=3e-3)
    turn = view.yaw_rad - presented.pose[2] - row.seen_yaw_rad[0]
    assert abs(np.sin(turn)) < 0.03
    assert view.volume_m3 == pytest.approx(row.seen_volume_m3[0], rel=0.06)
    assert view.graspable == row.graspable[0]


def test_pictures_show_a_scratch(scratched):
    presented, _, frames, _ = scratched
    x, y, yaw = presented.pose
    along = np.linspace(0.002, 0.012, 8)
    points = np.stack([x + along * np.cos(yaw), y + along * np.sin(yaw), np.full(8, presented.part.dimensions_m[2])], 1)
    pixels, _ = project(points, frames[0].camera)
    columns, lines = np.rint(pixels).astype(int).T
    before, after = (frame.color[lines, columns].mean(axis=0).astype(float) for frame in frames)
    assert before[0] > 1.8 * before[1], "red paint"
    assert after[1] > 1.8 * before[1], "light plastic under it"
    away = points - 0.012 * np.array([-np.sin(yaw), np.cos(yaw), 0.0])
    pixels, _ = project(away, frames[0].camera)
    columns, lines = np.rint(pixels).astype(int).T
    elsewhere = frames[1].color[lines, columns].mean(axis=0)
    assert elsewhere[0] > 1.8 * elsewhere[1], "still painted beside it"


def test_spectra_see_the_plastic_through_the_scratch(scratched):
    _, _, _, spectra = scratched
    painted, bared = (np.asarray(sample.values, float) for sample in spectra)
    change = np.abs(bared - painted).mean() / painted.mean()
    assert change > 0.1


def test_a_place_off_the_table_is_refused():
    cell = SimCell(FAST, seed=1)
    with pytest.raises(ConfigError, match="a part at"):
        cell.present_part("session", 0, pose=(0.9, 0.0, 0.0))
    cell.close()
