"""The physics world: geometry by its meshes, forces that add up, grasps that may fail, nothing left behind."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pybullet
import pybullet_data
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palpate_agents.observation import Frame, Outcome, Primitive, ProbeGoal
from palpate_sim.clearance import LINK_SPHERES, TOOL_SPHERES
from palpate_sim.contact import ARM_STIFFNESS_N_M
from palpate_sim.executor import Executor
from palpate_sim.geometry import quaternion_matrix, ray_distance, signed_distance
from palpate_sim.kinematics import Chain, UrdfModel
from palpate_sim.motion import ArmCommand, ArmState, Motion
from palpate_sim.objects import draw_part
from palpate_sim.planning import HOME, Planner
from palpate_sim.world import World

MODEL = UrdfModel()
PLANNER = Planner(MODEL)
TOOLS = (Frame.BALL_TIP, Frame.WARM_PAD_0, Frame.WARM_PAD_1, Frame.SCRAPER_TIP)
SIZES = {"block": (0.045, 0.06, 0.03), "cylinder": (0.045, 0.045, 0.03)}


def part_of(material="ABS", shape="block", **changes):
    part = draw_part(np.random.default_rng(3), 0, material, "clean", shape)
    return dataclasses.replace(part, **changes) if changes else part


@pytest.fixture
def world():
    world = World(MODEL)
    yield world
    world.close()


def drive(world, goal, executor, watch=None):
    """Run one probe on a noiseless arm; returns the execution and the last state."""
    executor.start(goal)
    for step in range(30_000):
        world.tips_released = executor.motion.tips_released
        state = world.step(executor.motion.command)
        tapped = executor.motion.tap_armed and bool(state.touches)
        executor.tick(
            ArmState(1_000_000 * (step + 1), np.array(state.arm.q), state.wrench, sum(state.arm.fingers), tapped)
        )
        if executor.finished is not None:
            return executor.finished, state
        if watch is not None:
            watch(state)
    raise AssertionError("the probe did not end")


# Geometry


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(SIZES)), st.tuples(*[st.floats(-0.08, 0.08)] * 3))
def test_signed_distance_is_a_distance(shape, point):
    """Going back along the normal by the distance lands on the surface; nothing nearer is inside."""
    size = SIZES[shape]
    distance, normal = signed_distance(shape, size, *point)
    assert math.hypot(*normal) == pytest.approx(1.0)
    on = np.array(point) - distance * np.array(normal)
    assert abs(signed_distance(shape, size, *on)[0]) < 1e-9
    if distance > 1e-6:
        rng = np.random.default_rng(0)
        near = np.array(point) + 0.99 * distance * unit(rng.standard_normal((20, 3)))
        assert all(signed_distance(shape, size, *p)[0] > 0.0 for p in near)


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_rays_meet_the_surface_or_miss():
    size = SIZES["block"]
    down = np.array([0.0, 0.0, -1.0])
    assert ray_distance("block", size, np.array([0.01, 0.0, 0.115]), down, 0.3) == pytest.approx(0.1, abs=1e-5)
    assert ray_distance("block", size, np.array([0.2, 0.0, 0.1]), down, 0.3) is None


@pytest.fixture(scope="module")
def probe_scene():
    world = World(MODEL)
    shape = [
        pybullet.createCollisionShape(pybullet.GEOM_BOX, halfExtents=[0.035, 0.05, h / 2], physicsClientId=world.client)
        for h in (0.01, 0.06)
    ]
    boxes = {
        h: pybullet.createMultiBody(0, s, -1, [9, 9, 9], physicsClientId=world.client)
        for h, s in zip((0.01, 0.06), shape, strict=True)
    }
    yield world, boxes
    world.close()


def nearest(world, body, links):
    gaps = [
        contact[8]
        for link in links
        for contact in pybullet.getClosestPoints(
            world.arm.body, body, 0.08, linkIndexA=world.arm.links[link], physicsClientId=world.client
        )
    ]
    return min(gaps, default=0.08)


@pytest.mark.parametrize("frame", TOOLS)
@pytest.mark.parametrize("height", [0.01, 0.06])
def test_only_the_tip_comes_near_the_part(probe_scene, frame, height):
    """By the meshes: hand, wrist and forearm stay clear of table and part wherever on the part the tip is."""
    world, boxes = probe_scene
    links = ("panda_link5", "panda_link6", "panda_link7", "force_torque_sensor", "panda_hand",
             "panda_leftfinger", "panda_rightfinger")  # fmt: skip
    table = world.fixtures["table"][0]
    for x in (0.42, 0.5, 0.58):
        for y in (-0.1, 0.0, 0.1):
            line = PLANNER.tool_line(frame, np.array([x, y, height]), np.array([0.0, 0.0, 1.0]), 0.1, 0.005)
            world.arm.place(line.at(0.0), 0.08)
            assert nearest(world, table, links) > 0.03
            for dx in (-0.03, 0.0, 0.03):
                for dy in (-0.045, 0.045):
                    pybullet.resetBasePositionAndOrientation(
                        boxes[height], [x + dx, y + dy, height / 2], [0, 0, 0, 1], physicsClientId=world.client
                    )
                    assert nearest(world, boxes[height], links) > 0.03
                    assert nearest(world, boxes[height], ("probe_tool",)) > 0.002, "the tip's own stem ends there"
    for box in boxes.values():
        pybullet.resetBasePositionAndOrientation(box, [9, 9, 9], [0, 0, 0, 1], physicsClientId=world.client)


@pytest.mark.parametrize("frame", TOOLS)
def test_the_other_tips_stay_above_the_surface(frame):
    line = PLANNER.tool_line(frame, np.array([0.5, 0.0, 0.03]), np.array([0.0, 0.0, 1.0]), 0.1, 0.005)
    sensor = PLANNER.sensor_chain.forward(line.at(0.0))
    for other in TOOLS:
        if other is frame:
            continue
        pose = sensor @ PLANNER.tool_in_sensor[other]
        half = {Frame.BALL_TIP: 0.0, Frame.SCRAPER_TIP: 0.003}.get(other, 0.006)
        across = np.abs(pose[2, :2])  # pads are square, the scraper is round
        lowest = pose[2, 3] - half * float(np.linalg.norm(across) if other is Frame.SCRAPER_TIP else across.sum())
        assert lowest > 0.03 + 0.009


@pytest.mark.parametrize("height", [0.01, 0.06])
def test_the_tool_stays_off_the_table_while_the_fingers_grasp(probe_scene, height):
    world, _ = probe_scene
    table = world.fixtures["table"][0]
    for angle in np.linspace(0.0, np.pi, 7):
        line = PLANNER.grasp_line(np.array([0.5, 0.05, height / 2]), float(angle), 0.1)
        world.arm.place(line.at(0.0), 0.07)
        assert nearest(world, table, ("probe_tool", "panda_hand")) > 0.04
        assert nearest(world, table, ("panda_leftfinger", "panda_rightfinger")) > 0.0005


def test_clearance_spheres_enclose_the_meshes():
    folder = Path(pybullet_data.getDataPath()) / "franka_panda" / "meshes" / "collision"
    for link, spheres in LINK_SPHERES.items():
        name = "hand" if link == "force_torque_sensor" else link.removeprefix("panda_")
        lines = (folder / f"{name}.obj").read_text().splitlines()
        vertices = np.array([[float(v) for v in line.split()[1:4]] for line in lines if line.startswith("v ")])
        centers, radii = np.array(spheres)[:, :3], np.array(spheres)[:, 3]
        outside = (np.linalg.norm(vertices[:, None] - centers, axis=2) - radii).min(axis=1)
        assert outside.max() < 0.003, link
    tips = np.array([PLANNER.tool_in_sensor[f][:3, 3] for f in (*TOOLS, Frame.FIBRE)])
    spheres = np.array(TOOL_SPHERES)
    inside = np.linalg.norm(tips[:, None] - spheres[:, :3], axis=2) < spheres[:, 3]
    assert np.all(inside.any(axis=1))


# Forces


def test_at_rest_the_sensor_reads_the_weight_of_what_hangs_on_it(world):
    mass, center, _ = MODEL.inertia_below(Frame.FORCE_TORQUE)
    chain = Chain(MODEL, Frame.FORCE_TORQUE)
    for q in (HOME, HOME + np.array([0, 0, 0, 0, 0.5, -0.6, 0.4])):
        world.arm.place(q, 0.08)
        for _ in range(300):
            state = world.step(ArmCommand(q, 0.08, 20.0))
        rotation = chain.forward(q)[:3, :3]
        weight = rotation.T @ np.array([0.0, 0.0, -9.81 * mass])
        np.testing.assert_allclose(state.wrench[:3], weight, atol=0.01)
        np.testing.assert_allclose(state.wrench[3:], np.cross(center, weight), atol=0.003)


def test_a_press_loads_sensor_and_part_alike(world):
    part = part_of("SS304")
    body = world.add(part, 0.5, 0.0, 0.4, np.random.default_rng(0))
    executor = Executor(Motion(PLANNER))
    true, place = [], np.array(body.position)

    def watch(state):
        true.extend(t.normal_n for t in state.touches)

    target = (0.5, 0.0, part.dimensions_m[2])
    execution, _ = drive(world, ProbeGoal(Primitive.PRESS, target), executor, watch)
    assert execution.outcome is Outcome.SUCCEEDED
    assert max(true) < 8.0
    assert execution.max_force_n == pytest.approx(max(true), abs=0.1)
    assert execution.contact_point_m[2] == pytest.approx(part.dimensions_m[2], abs=1e-4)
    np.testing.assert_allclose(body.position, place, atol=2e-4)


def test_a_steel_press_is_as_stiff_as_the_arm(world):
    part = part_of("SS304", wall_thickness_m=math.inf)
    world.add(part, 0.5, 0.0, 0.0, np.random.default_rng(0))
    executor = Executor(Motion(PLANNER))
    pairs = []
    drive(
        world,
        ProbeGoal(Primitive.PRESS, (0.5, 0.0, part.dimensions_m[2])),
        executor,
        lambda s: pairs.extend((t.depth_m, t.normal_n) for t in s.touches if 2.0 < t.normal_n < 6.0),
    )
    depth, force = np.array(pairs).T
    assert np.polyfit(depth, force, 1)[0] == pytest.approx(ARM_STIFFNESS_N_M, rel=0.05)


def test_friction_drags_a_part_that_nothing_holds(world):
    """The tip's friction acts on the part: without the mat's friction the part goes along."""
    part = part_of("ABS")
    body = world.add(part, 0.5, 0.0, 0.0, np.random.default_rng(0))
    pybullet.changeDynamics(body.body, -1, lateralFriction=0.0, physicsClientId=world.client)
    executor = Executor(Motion(PLANNER))
    drive(world, ProbeGoal(Primitive.SLIDE, (0.5, 0.0, part.dimensions_m[2])), executor)
    assert body.position[0] - 0.5 > 0.003


def test_a_piece_of_a_few_grams_lies_still_under_a_hard_press(world):
    """Stiff contact on a light part would shake an explicit simulation; the slide follows a tilted goal."""
    part = part_of("glass", "tube", mass_kg=0.008)
    body = world.add(part, 0.5, 0.0, 0.0, np.random.default_rng(0))
    executor = Executor(Motion(PLANNER))
    speeds, forces = [], []

    def watch(state):
        if state.touches:
            speeds.append(np.abs(pybullet.getBaseVelocity(body.body, physicsClientId=world.client)).max())
            if executor.motion.phase == "slide":
                forces.append(state.touches[0].normal_n)

    normal = unit(np.array([[0.1, 0.05, 1.0]]))[0]
    target = (0.503, 0.0, part.dimensions_m[2] + 0.003)
    execution, _ = drive(world, ProbeGoal(Primitive.PRESS, target, tuple(normal)), executor, watch)
    assert execution.outcome is Outcome.SUCCEEDED
    assert max(speeds) < 0.02
    goal = ProbeGoal(Primitive.SLIDE, target, tuple(normal), slide_angle_rad=math.pi, slide_distance_m=0.008)
    execution, _ = drive(world, goal, executor, watch)
    assert execution.outcome is Outcome.SUCCEEDED
    assert np.median(forces) == pytest.approx(2.0, abs=0.4)
    assert max(forces) < 4.4
    world.step(executor.motion.command)
    assert pybullet.getDynamicsInfo(body.body, -1, physicsClientId=world.client)[0] == pytest.approx(0.008)


# Grasps


@pytest.mark.parametrize(
    ("material", "shape"), [("ABS", "block"), ("FR4", "plate"), ("Cu", "cylinder"), ("PP", "tube")]
)
def test_lifting_weighs_to_a_tenth_of_a_gram_before_the_sensors_noise(world, material, shape):
    part = part_of(material, shape)
    world.add(part, 0.47, -0.05, 0.8, np.random.default_rng(0))
    executor = Executor(Motion(PLANNER))
    width, _, height = part.dimensions_m
    for _ in range(200):
        empty = world.step(executor.motion.command).wrench
    goal = ProbeGoal(Primitive.LIFT, (0.47, -0.05, height / 2), grasp_width_m=width, grasp_angle_rad=0.8)
    held = []

    def watch(state):
        if executor.motion.phase == "weigh":
            held.append(state.wrench[:3])

    execution, _ = drive(world, goal, executor, watch)
    assert execution.outcome is Outcome.SUCCEEDED
    mass = np.linalg.norm(np.mean(held, axis=0) - empty[:3]) / 9.81
    assert mass == pytest.approx(part.mass_kg, abs=4e-4)
    assert world.parts[0].position[2] > 0.07


def test_a_part_too_slippery_for_its_weight_slips(world):
    part = part_of("Cu", mass_kg=3.0)
    body = world.add(part, 0.5, 0.0, 0.0, np.random.default_rng(0))
    pybullet.changeDynamics(body.body, -1, lateralFriction=0.05, physicsClientId=world.client)
    executor = Executor(Motion(PLANNER))
    width, _, height = part.dimensions_m
    goal = ProbeGoal(Primitive.LIFT, (0.5, 0.0, height / 2), grasp_width_m=width)
    execution, _ = drive(world, goal, executor)
    assert execution.outcome in (Outcome.GRASP_FAILED, Outcome.DROPPED)
    assert not executor.motion.holding
    assert body.position[2] < 0.06


def test_fingers_on_an_obstacle_stop(world):
    """A second part stands where a finger should go down."""
    part = part_of("ABS")
    width, _, height = part.dimensions_m
    world.add(part, 0.5, 0.0, 0.0, np.random.default_rng(0))
    world.add(part, 0.5 + width + 2e-4, 0.0, 0.0, np.random.default_rng(1))
    goal = ProbeGoal(Primitive.LIFT, (0.5, 0.0, height / 2), grasp_width_m=width)
    execution, _ = drive(world, goal, Executor(Motion(PLANNER)))
    assert execution.outcome is Outcome.GRASP_FAILED
    assert "beside" in execution.message
    np.testing.assert_allclose(world.parts[0].position[:2], (0.5, 0.0), atol=0.01)


# What must not happen


def test_a_collision_is_named(world):
    assert world.collision() == ""
    world.arm.place(HOME, 0.08)
    down = HOME.copy()
    for k in range(900):
        down[1] = HOME[1] + 1.4 * k / 900
        world.step(ArmCommand(down, 0.08, 20.0))
        if world.collision():
            break
    assert "hit" in world.collision()


def test_parts_come_and_go_without_leaking(world):
    def memory_kb():
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4

    part = part_of()
    command = ArmCommand(HOME, 0.08, 20.0)

    def exchange(count):
        for k in range(count):
            world.clear()
            world.add(part, 0.5, 0.0, 0.1 * k, np.random.default_rng(k))
            world.step(command)

    exchange(50)
    bodies, before = pybullet.getNumBodies(physicsClientId=world.client), memory_kb()
    exchange(150)
    assert pybullet.getNumBodies(physicsClientId=world.client) == bodies
    assert (memory_kb() - before) / 150 < 6.0


def test_the_fibre_sees_the_part_or_the_table(world):
    part = part_of("ABS")
    top = part.dimensions_m[2]
    body = world.add(part, 0.5, 0.0, 0.0, np.random.default_rng(0))
    line = PLANNER.tool_line(Frame.FIBRE, np.array([0.5, 0.0, top]), np.array([0.0, 0.0, 1.0]), 0.09, -0.01)
    world.arm.place(line.at(-0.01), 0.08)
    state = world.step(ArmCommand(line.at(-0.01), 0.08, 20.0))
    seen, distance, angle, place = world.tool_view(Frame.FIBRE, state)
    assert seen is body
    assert distance == pytest.approx(0.01, abs=2e-4)
    assert angle < 0.01
    np.testing.assert_allclose(place, (0.0, 0.0, 0.5 * top), atol=2e-4)
    world.clear()
    seen, distance, _, place = world.tool_view(Frame.FIBRE, state)
    assert seen is None
    assert place is None
    assert distance == pytest.approx(0.01 + top, abs=2e-4)


def test_quaternions_turn_as_pybullet_turns():
    for quaternion in unit(np.random.default_rng(0).standard_normal((5, 4))):
        q = tuple(float(v) for v in quaternion)
        np.testing.assert_allclose(quaternion_matrix(q).ravel(), pybullet.getMatrixFromQuaternion(q), atol=1e-9)
