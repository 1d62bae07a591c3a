from dataclasses import replace

import numpy as np
import pytest

from palpate_agents.encoders.features import FeatureConfig
from palpate_agents.observation import Outcome, Primitive, ProbeGoal
from palpate_sim.devices import DeviceDraw
from palpate_sim.objects import part_from_seed
from palpate_sim.planning import Planner
from palpate_sim.rendering import PartRenderer
from palpate_sim.sensors.spectrum import TABLE_REFLECTANCE, saunderson
from palpate_sim.training.dwell_windows import dwell_window
from palpate_sim.training.scene_of_part import PartScene
from palpate_sim.training.still_windows import lift_window, look_window
from palpate_sim.training.touch_windows import Contact, ToolGeometry, missed, tap_window, taps


@pytest.fixture(scope="module")
def tools():
    planner = Planner()
    renderer = PartRenderer(planner.model)
    yield ToolGeometry.of(planner), renderer
    renderer.close()


def scene_of(tools, name="ABS", seed=0, **changes):
    part = replace(part_from_seed(seed, 0, name, "clean", "block"), wall_thickness_m=float("inf"), **changes)
    return PartScene.of(part, DeviceDraw.nominal(), 22.0, tools[1], np.random.default_rng(seed), FeatureConfig())


def top_goal(scene, primitive, aside_m=0.0, lower_m=0.0):
    x, y, z = scene.pose.position
    top = z + 0.5 * scene.part.dimensions_m[2]
    return ProbeGoal(primitive, (x + aside_m, y, top - lower_m), (0.0, 0.0, 1.0), pad_index=1)


def test_a_descent_meets_the_top_even_when_it_is_expected_elsewhere(tools):
    scene = scene_of(tools)
    top = scene.part.dimensions_m[2]
    for error in (-0.008, 0.0, 0.008):
        hit = scene.meet(top_goal(scene, Primitive.PRESS, lower_m=error))
        assert hit.point[2] == pytest.approx(top, abs=1e-5)
        assert hit.normal == pytest.approx([0, 0, 1], abs=1e-9)
    tilted = replace(top_goal(scene, Primitive.PRESS), normal=(np.sin(0.1), 0.0, np.cos(0.1)))
    assert scene.meet(tilted).point[2] == pytest.approx(top, abs=1e-5)


def test_a_descent_beside_the_part_meets_nothing(tools):
    scene = scene_of(tools)
    assert scene.meet(top_goal(scene, Primitive.PRESS, aside_m=0.09)) is None
    assert (
        scene.meet(top_goal(scene, Primitive.PRESS, lower_m=-0.02)) is None
    )  # expected too high: not searched so deep
    execution, windows = missed(scene, top_goal(scene, Primitive.PRESS, aside_m=0.09))
    assert execution.outcome is Outcome.NO_CONTACT
    assert execution.contact_time_ns == 0
    assert windows.burst is None


def test_pictures_show_the_part_where_it_lies(tools):
    scene = scene_of(tools)
    points = scene.pictures.thermal_points_m[scene.pictures.thermal_mask]
    top = points[points[:, 2] > 0.9 * scene.part.dimensions_m[2]]
    assert top[:, :2].mean(axis=0) == pytest.approx(scene.pose.position[:2], abs=0.003)
    assert scene.pictures.mask.sum() > 500


def test_look_aims_at_the_part_or_past_it(tools):
    scene = scene_of(tools, "PE-HD", gloss=0.2, transparency=0.0)
    x, y, _ = scene.pose.position
    _, on = look_window(scene, ProbeGoal(Primitive.LOOK, (x, y, 0.0)), tools[0])
    _, off = look_window(scene, ProbeGoal(Primitive.LOOK, (x, y + 0.2, 0.0)), tools[0])
    on_spectrum, off_spectrum = on.spectra[0].values, off.spectra[0].values
    assert np.std(off_spectrum) / np.mean(off_spectrum) < 0.05  # the table has no bands
    assert np.std(on_spectrum) / np.mean(on_spectrum) > 0.1
    assert off_spectrum.max() < float(saunderson(np.array(TABLE_REFLECTANCE)))
    assert on.color.shape == (*on.depth_m.shape, 3)
    assert len(on.thermal_c) == len(on.thermal_times_s) == 1
    still = on.wrench[-300:, :3]
    assert still.std(axis=0).max() < 0.02


def test_lift_adds_the_weight_of_the_part(tools):
    scene = scene_of(tools, mass_kg=0.25)
    _, look = look_window(scene, ProbeGoal(Primitive.LOOK, scene.nominal_m), tools[0])
    execution, windows = lift_window(scene, top_goal(scene, Primitive.LIFT), tools[0])
    change = np.median(windows.wrench[:, :3], axis=0) - np.median(look.wrench[-300:, :3], axis=0)
    assert np.linalg.norm(change) == pytest.approx(9.81 * 0.25, rel=0.02)
    assert (execution.window_end_ns - execution.window_start_ns) * 1e-9 == pytest.approx(0.5, abs=0.01)


def test_dwell_cools_the_pad_and_leaves_a_spot(tools):
    scene = scene_of(tools, temperature_c=22.0, emissivity=0.95)
    goal = top_goal(scene, Primitive.DWELL)
    execution, windows = dwell_window(Contact(scene, goal, scene.meet(goal)), tools[0])
    before = windows.pad_temperature_c[windows.pad_times_s < 0, 1].mean()
    during = windows.pad_temperature_c[(windows.pad_times_s > 0.5) & (windows.pad_times_s < execution.dwell_s), 1]
    assert before == pytest.approx(70.0, abs=0.5)
    assert np.all(during < before - 5.0)
    assert windows.pad_temperature_c[:, 0] == pytest.approx(45.0, abs=0.5)
    late = windows.thermal_c[windows.thermal_times_s > execution.dwell_s + 0.5]
    assert late[0].max() > 30.0
    assert np.all(np.diff(late.max(axis=(1, 2))) < 0.5)
    assert len(scene.spots) == 1
    assert scene.heater.face_c[1] == pytest.approx(70.0, abs=0.7)  # warm again for the next touch


def test_tap_window_holds_burst_and_free_wrench(tools):
    scene = scene_of(tools)
    goal = top_goal(scene, Primitive.TAP)
    contact = Contact(scene, goal, scene.meet(goal))
    burst = taps([contact], tools[0], np.random.default_rng(0))[0]
    execution, windows = tap_window(contact, burst, tools[0])
    assert windows.burst is burst
    assert burst.impact_speed_m_s == pytest.approx(tools[0].limits.tap_speed_m_s)
    assert np.all(windows.wrench_times_s < 0)
    assert execution.contact_point_m[2] == pytest.approx(scene.part.dimensions_m[2], abs=1e-5)
