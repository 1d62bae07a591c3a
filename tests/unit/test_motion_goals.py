"""What a goal asks for beyond its place: force, stand-off, tilt, and the primitives that change a surface."""

from __future__ import annotations

import math

import numpy as np
import pytest
from spring_arm import PLANNER, SpringArm

from palpate_agents.observation import Frame, Outcome, Primitive, ProbeGoal
from palpate_sim.motion import MotionLimits

TOP = (0.5, 0.02, 0.03)
HELD = {
    Primitive.PRESS: 0.8,
    Primitive.DWELL: 0.8,
    Primitive.SLIDE: 0.65,
    Primitive.WIPE: 0.65,
    Primitive.SCRATCH: 0.65,
}
"""Most of the limit that a primitive goes to."""
DEFAULT_N = {Primitive.PRESS: 6.4, Primitive.DWELL: 5.0, Primitive.SLIDE: 2.0, Primitive.WIPE: 3.0,
             Primitive.SCRATCH: 3.0}  # fmt: skip
FRAMES = {Primitive.SLIDE: Frame.BALL_TIP, Primitive.WIPE: Frame.WARM_PAD_0, Primitive.SCRATCH: Frame.SCRAPER_TIP}


def held_force(arm, goal):
    """Median normal force while the primitive is at work, N; the arm's last execution."""
    wrench = []
    phases = ("dwell", "slide", "wipe", "scratch")

    def watch(arm):
        contact = arm.motion.contact
        if contact is not None and (arm.motion.phase in phases or goal.primitive is Primitive.PRESS):
            wrench.append(contact.normal_n)

    execution = arm.run(goal, watch)
    late = np.sort(wrench)[-len(wrench) // 4 :] if goal.primitive is Primitive.PRESS else wrench[len(wrench) // 3 :]
    return float(np.median(late)), execution


@pytest.mark.parametrize("primitive", HELD)
@pytest.mark.parametrize("force", [0.0, 1.0, 4.0, 30.0])
def test_the_force_is_the_goals_or_the_default_and_within_the_limit(primitive, force):
    arm = SpringArm(stiffness_n_m=2e4)
    goal = ProbeGoal(
        primitive, TOP, force_n=force, dwell_s=0.8 if primitive in (Primitive.PRESS, Primitive.DWELL) else 0
    )
    found, execution = held_force(arm, goal)
    assert execution.outcome is Outcome.SUCCEEDED
    wanted = min(force or DEFAULT_N[primitive], HELD[primitive] * 8.0)
    assert found == pytest.approx(wanted, rel=0.06, abs=0.12)
    assert arm.peak_n < 8.0


def test_a_low_limit_wins_over_the_force():
    arm = SpringArm(limits=MotionLimits(force_limit_n=3.0))
    found, execution = held_force(arm, ProbeGoal(Primitive.PRESS, TOP, force_n=6.0, dwell_s=0.5))
    assert execution.outcome is Outcome.SUCCEEDED
    assert found == pytest.approx(2.4, abs=0.2)


@pytest.mark.parametrize("primitive", FRAMES)
@pytest.mark.parametrize("tilt_deg", [0.0, 15.0])
def test_slides_follow_the_surface_with_their_own_tip(primitive, tilt_deg):
    tilt, frame = math.radians(tilt_deg), FRAMES[primitive]
    normal = (math.sin(tilt), 0.0, math.cos(tilt))
    arm, tips, axes = SpringArm(stiffness_n_m=2e4), [], []

    def watch(arm):
        if arm.motion.phase == primitive.name.lower():
            pose = PLANNER.ik[frame].chain.forward(arm.q)
            tips.append(pose[:3, 3])
            axes.append(pose[:3, 2])

    goal = ProbeGoal(primitive, TOP, normal, slide_angle_rad=2.0, slide_distance_m=0.012, speed_m_s=0.02)
    execution = arm.run(goal, watch)
    assert execution.outcome is Outcome.SUCCEEDED
    assert execution.slide_distance_m == pytest.approx(0.012)
    moved = tips[-1] - tips[0]
    np.testing.assert_allclose(moved[:2], 0.012 * np.array([np.cos(2.0), np.sin(2.0)]), atol=1.5e-3)
    assert np.ptp(np.array(tips)[:, 2]) < 5e-4, "the tip keeps on the level surface"
    np.testing.assert_allclose(axes[-1], -np.array(normal), atol=2e-3)
    assert arm.peak_n < 8.0


def test_a_wipe_is_flat_and_a_scratch_uses_the_scraper():
    for primitive, frame in FRAMES.items():
        arm, lowest = SpringArm(stiffness_n_m=2e4), []

        def watch(arm, primitive=primitive, lowest=lowest):
            if arm.motion.phase == primitive.name.lower():
                sensor = PLANNER.sensor_chain.forward(arm.q)
                heights = {f: (sensor @ PLANNER.tool_in_sensor[f])[2, 3] for f in FRAMES.values()}
                lowest.append(min(heights, key=heights.get))

        arm.run(ProbeGoal(primitive, TOP), watch)
        assert set(lowest) == {frame}


@pytest.mark.parametrize("tilt_deg", [-15.0, 15.0])
@pytest.mark.parametrize("primitive", [Primitive.PRESS, Primitive.TAP, Primitive.DWELL])
def test_a_tilted_approach_comes_along_its_normal(primitive, tilt_deg):
    tilt = math.radians(tilt_deg)
    normal = np.array([0.0, math.sin(tilt), math.cos(tilt)])
    arm, path = SpringArm(), []

    def watch(arm):
        if arm.motion.phase == "descend":
            path.append(arm.q)

    execution = arm.run(ProbeGoal(primitive, TOP, tuple(normal), dwell_s=0.3), watch)
    assert execution.outcome is Outcome.SUCCEEDED
    np.testing.assert_allclose(execution.contact_normal, normal, atol=1e-9)
    np.testing.assert_allclose(execution.contact_point_m, TOP, atol=2e-3)
    frame = Frame.WARM_PAD_0 if primitive is Primitive.DWELL else Frame.BALL_TIP
    chain = PLANNER.ik[frame].chain
    way = chain.forward(path[-1])[:3, 3] - chain.forward(path[len(path) // 3])[:3, 3]
    np.testing.assert_allclose(way / np.linalg.norm(way), -normal, atol=0.02)
    assert arm.peak_n < 8.0


@pytest.mark.parametrize("standoff", [0.0, 0.010, 0.035, 0.100])
def test_a_look_keeps_its_stand_off(standoff):
    arm, heights = SpringArm(), []

    def watch(arm):
        if arm.motion.phase == "spectrum":
            heights.append(PLANNER.ik[Frame.FIBRE].chain.forward(arm.q)[2, 3])

    execution = arm.run(ProbeGoal(Primitive.LOOK, TOP, standoff_m=standoff), watch)
    assert execution.outcome is Outcome.SUCCEEDED
    assert np.median(heights) == pytest.approx(TOP[2] + (standoff or 0.010), abs=3e-4)
