from dataclasses import replace

import numpy as np
import pytest

from palpate_agents.encoders.context import PartContext
from palpate_agents.observation import Primitive, ProbeGoal
from palpate_sim.devices import DeviceDraw
from palpate_sim.objects import part_from_seed
from palpate_sim.part_batch import PartBatch
from palpate_sim.planning import Planner
from palpate_sim.rendering import resting_pose
from palpate_sim.sensors.nir_physics import TABLE_REFLECTANCE, saunderson
from palpate_sim.sensors.spectrum import EXTENDED_NM, WAVELENGTH_NM
from palpate_sim.training.scene_of_part import PartScene
from palpate_sim.training.spectrum_windows import spectrum_of
from palpate_sim.training.touch_windows import ToolGeometry


@pytest.fixture(scope="module")
def tools():
    return ToolGeometry.of(Planner())


def scene_of(name="PE-HD", seed=0, condition="clean", devices=None, **changes):
    part = replace(part_from_seed(seed, 0, name, condition, "block"), wall_thickness_m=float("inf"), **changes)
    pose = resting_pose(part, 0.5, 0.1, 0.7)
    devices = DeviceDraw(spectral_snr=1e6) if devices is None else devices
    rng = np.random.default_rng(seed)
    nominal = (0.5, 0.1, 0.0)
    return PartScene(part, PartBatch.of([part]), pose, None, nominal, devices, 22.0, rng, PartContext())


def top_goal(scene, u=0.0, v=0.0, **more):
    """A LOOK at a place of the top, in the part's frame as shares of its half extents."""
    x, y, z = scene.pose.position
    half = 0.5 * np.asarray(scene.part.dimensions_m)
    turn = np.array([[np.cos(0.7), -np.sin(0.7)], [np.sin(0.7), np.cos(0.7)]])
    place = turn @ (np.array([u, v]) * half[:2]) + (x, y)
    return ProbeGoal(Primitive.LOOK, (place[0], place[1], z + half[2]), **more)


def test_the_fibre_sees_the_part_or_the_table_beside_it(tools):
    scene = scene_of(gloss=0.2, transparency=0.0, label_um=0.0, dirt_level=0.0)
    on = spectrum_of(scene, top_goal(scene), tools)
    off = spectrum_of(scene, ProbeGoal(Primitive.LOOK, (0.5, 0.3, 0.0)), tools)
    assert np.array_equal(on.wavelength_nm, WAVELENGTH_NM)
    assert np.std(off.values) / np.mean(off.values) < 0.05  # the table has no bands
    assert np.std(on.values) / np.mean(on.values) > 0.1
    assert off.values.max() < float(saunderson(np.array(TABLE_REFLECTANCE)))


def test_a_wanted_stand_off_is_taken(tools):
    scene = scene_of(gloss=0.2, label_um=0.0, dirt_level=0.0)
    near, far = (
        np.mean([spectrum_of(scene, top_goal(scene, standoff_m=standoff), tools).values.mean() for _ in range(20)])
        for standoff in (0.01, 0.06)
    )
    assert far / near == pytest.approx((1 + 1 / 36) / 2, rel=0.05)


def test_a_label_is_seen_only_where_it_is(tools):
    """Over the places of a labelled black part some spots are paper and some are black."""
    for seed in range(40):
        scene = scene_of("PP", seed, "black", label_um=80.0, label_reflectance=0.8, dirt_level=0.0)
        seen = [
            spectrum_of(scene, top_goal(scene, u, v), tools).values.mean()
            for u in (-0.6, -0.2, 0.2, 0.6)
            for v in (-0.6, 0.0, 0.6)
        ]
        if max(seen) > 0.5 and min(seen) < 0.05:
            return
    raise AssertionError("no part had a label beside bare places")


def test_the_axis_is_that_of_the_device(tools):
    scene = scene_of(devices=DeviceDraw(axis_end_nm=2150.0))
    sample = spectrum_of(scene, top_goal(scene), tools)
    assert np.array_equal(sample.wavelength_nm, EXTENDED_NM)
    assert sample.values.shape == EXTENDED_NM.shape
