"""What the tool leaves on parts: wipes, scratches and dents along the way that it really went, in the full physics."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from test_world import MODEL, PLANNER, drive

from palpate_agents.observation import Frame, Outcome, Primitive, ProbeGoal
from palpate_sim.contact import dent_depth_m
from palpate_sim.executor import Executor
from palpate_sim.marks import ContactTrack, marked
from palpate_sim.motion import Motion
from palpate_sim.objects import PartBatch, part_from_seed
from palpate_sim.surface import GRID, SurfaceMaps, scrape, wipe
from palpate_sim.touch import TouchModel
from palpate_sim.world import World


def part_of(material="ABS", condition="clean", shape="block", **changes):
    part = part_from_seed(5, 0, material, condition, shape)
    return dataclasses.replace(part, wall_thickness_m=math.inf, **changes)


@pytest.fixture
def world():
    world = World(MODEL)
    yield world
    world.close()


def probe(world, part, primitive, yaw=0.0, executor=None, **goal):
    """Lay the part down and run one probe on its middle; the part's body and the execution."""
    body = world.add(part, 0.5, 0.0, yaw, np.random.default_rng(0))
    target = (0.5, 0.0, part.dimensions_m[2])
    execution, _ = drive(world, ProbeGoal(primitive, target, **goal), executor or Executor(Motion(PLANNER)))
    return body, execution


def lost(before, after):
    return np.asarray(before - after)[0]


@pytest.mark.parametrize("yaw", [0.0, 1.1])
def test_a_scratch_bares_the_coat_along_its_way(world, yaw):
    part = part_of(condition="painted", coat_um=40.0)
    before = SurfaceMaps.of_part(part)
    body, execution = probe(
        world, part, Primitive.SCRATCH, yaw, slide_angle_rad=yaw, slide_distance_m=0.012, force_n=4.0
    )
    assert execution.outcome is Outcome.SUCCEEDED
    assert world.changed
    assert not body.tracks
    # the same in closed form, from the goal: 12 mm along the part's x from its middle
    wanted, _ = scrape(PartBatch.of([part]), before, [[0.0, 0.0]], [[0.012, 0.0]], force_n=4.0)
    np.testing.assert_allclose(body.touch.maps.coat, wanted.coat, atol=0.15)
    found, sure = lost(before.coat, body.touch.maps.coat).sum(), lost(before.coat, wanted.coat).sum()
    assert found == pytest.approx(sure, rel=0.1)
    np.testing.assert_array_equal(body.touch.maps.film_um, before.film_um)


def test_a_wipe_dries_and_cleans_and_leaves_the_coat(world):
    part = part_of(condition="wet", film_um=60.0, dirt_level=0.4, dirt_rgb=(0.2, 0.2, 0.1))
    before = SurfaceMaps.of_part(part)
    body, execution = probe(world, part, Primitive.WIPE, slide_angle_rad=0.5 * math.pi, slide_distance_m=0.01)
    assert execution.outcome is Outcome.SUCCEEDED
    wanted, _ = wipe(PartBatch.of([part]), before, [[0.0, 0.0]], [[0.0, 0.01]], force_n=3.0)
    for name in ("film_um", "dirt"):
        found = lost(getattr(before, name), getattr(body.touch.maps, name)).sum()
        assert found == pytest.approx(lost(getattr(before, name), getattr(wanted, name)).sum(), rel=0.1)
    middle = GRID // 2
    assert body.touch.maps.film_um[0, middle, middle] < 0.2 * max(before.film_um[0, middle, middle], 1e-9) + 1e-6
    np.testing.assert_array_equal(body.touch.maps.coat, before.coat)
    assert body.damage_m == 0.0


def test_a_press_dents_what_yields_and_says_so(world):
    executor = Executor(Motion(PLANNER))
    for material, coat_um, yields in (("Cu", 0.0, True), ("Cu", 40.0, False), ("glass", 0.0, False)):
        part = part_of(material, condition="painted", coat_um=coat_um)  # paint spreads the load
        body, execution = probe(world, part, Primitive.PRESS, executor=executor)
        assert execution.outcome is Outcome.SUCCEEDED
        sure = float(dent_depth_m(body.touch.spot(np.zeros(2), 5e-4), 6.4)[0])
        assert (sure > 0.0) == yields
        assert body.damage_m == pytest.approx(sure, rel=0.15)
        world.clear()


def test_a_tap_or_a_dwell_leaves_the_maps_alone(world):
    executor = Executor(Motion(PLANNER))
    for primitive in (Primitive.TAP, Primitive.DWELL):
        part = part_of(condition="wet", film_um=60.0)
        body, execution = probe(world, part, primitive, executor=executor, dwell_s=0.3)
        assert execution.outcome is Outcome.SUCCEEDED
        assert not world.changed
        np.testing.assert_array_equal(body.touch.maps.film_um, SurfaceMaps.of_part(part).film_um)
        world.clear()


def test_a_new_part_has_its_own_surface(world):
    part = part_of(condition="painted", coat_um=40.0)
    probe(world, part, Primitive.SCRATCH)
    assert world.changed
    world.clear()
    assert not world.changed
    body = world.add(part, 0.5, 0.0, 0.0, np.random.default_rng(0))
    np.testing.assert_array_equal(body.touch.maps.coat, SurfaceMaps.of_part(part).coat)


def test_a_track_counts_force_by_the_way():
    model = TouchModel(part_of(), np.random.default_rng(0))
    track = ContactTrack(Frame.BALL_TIP, model, np.zeros(2), np.zeros(2))
    for k in range(1, 11):
        track.go_on(np.array([1e-3 * k, 0.0]), 2.0 if k <= 5 else 4.0, clamped=True)
    for _ in range(100):
        track.go_on(np.array([1e-2, 0.0]), 6.0, clamped=True)
    assert track.path_m == pytest.approx(0.01)
    assert track.mean_force_n == pytest.approx(3.0)
    assert track.max_force_n == 6.0


@pytest.mark.parametrize("frame", [Frame.WARM_PAD_0, Frame.SCRAPER_TIP, Frame.FIBRE])
def test_touches_without_a_way_leave_nothing(frame):
    model = TouchModel(part_of(condition="painted", coat_um=40.0), np.random.default_rng(0))
    track = ContactTrack(frame, model, np.zeros(2), np.zeros(2))
    track.go_on(np.array([5e-4, 0.0]), 3.0, clamped=True)
    assert marked(track) == (None, 0.0)


@pytest.mark.parametrize("material", ["ABS", "SS304"])
@pytest.mark.parametrize("tilt_deg", [-15.0, 15.0])
def test_tilted_goals_succeed_on_real_parts(world, material, tilt_deg):
    """A level surface touched off its normal: no slide climbs into it, no press is too hard."""
    tilt, executor = math.radians(tilt_deg), Executor(Motion(PLANNER))
    for primitive in (Primitive.PRESS, Primitive.SLIDE, Primitive.WIPE, Primitive.SCRATCH, Primitive.DWELL):
        world.clear()
        body, execution = probe(
            world, part_of(material), primitive, executor=executor, normal=(math.sin(tilt), 0.0, math.cos(tilt)),
            slide_distance_m=0.012, slide_angle_rad=0.3, dwell_s=0.3,
        )  # fmt: skip
        assert execution.outcome is Outcome.SUCCEEDED, primitive
        assert execution.max_force_n < 8.0
        assert abs(body.position[0] - 0.5) < 2e-3
