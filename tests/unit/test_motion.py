"""Motion without a simulator: profiles, guarded contact over all stiffnesses, limits, cancelling, clear outcomes."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spring_arm import PLANNER, SpringArm

from palpate_agents.errors import CellError
from palpate_agents.observation import Frame, Outcome, Primitive, ProbeGoal
from palpate_sim.guarded import approach_speed
from palpate_sim.motion import MotionLimits
from palpate_sim.planning import HOME, TOOL_POSTURE, Unreachable
from palpate_sim.trajectory import JOINT_ACCELERATION, JointMove, Profile, ToolLine

TOP = (0.5, 0.02, 0.03)
TOUCHING = (
    Primitive.PRESS, Primitive.TAP, Primitive.SLIDE, Primitive.DWELL, Primitive.WIPE, Primitive.SCRATCH,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.floats(1e-5, 3.0), st.floats(0.01, 3.0), st.floats(0.1, 20.0))
def test_a_profile_is_smooth_and_keeps_its_limits(distance, speed, acceleration):
    profile = Profile.over(distance, speed, acceleration)
    times = np.linspace(0.0, profile.duration_s, 2001)
    at = np.array([profile.at(t) for t in times])
    step = times[1]
    assert at[0] == 0.0
    assert at[-1] == pytest.approx(distance)
    velocity = np.diff(at) / step
    assert velocity.min() >= -1e-9
    assert velocity.max() <= speed * (1 + 1e-3)
    assert np.abs(np.diff(velocity) / step).max() <= acceleration * 1.01
    assert velocity[0] <= acceleration * step


def test_a_joint_move_is_fast_and_within_the_panda():
    goal = HOME + np.array([-0.9, 0.9, -0.2, 0.3, -1.0, -0.2, 0.6])
    move = JointMove(HOME, goal, PLANNER.velocity)
    at = np.array([move.at(t) for t in np.arange(0.0, move.duration_s + 1e-3, 1e-3)])
    velocity = np.diff(at, axis=0) / 1e-3
    np.testing.assert_allclose(at[-1], goal, atol=1e-9)
    assert np.all(np.abs(velocity).max(axis=0) <= PLANNER.velocity)
    assert np.all(np.abs(np.diff(velocity, axis=0) / 1e-3).max(axis=0) <= JOINT_ACCELERATION * 1.02)
    assert 0.5 < move.duration_s < 1.0


def test_a_tool_line_is_straight_to_a_micrometre():
    line = PLANNER.tool_line(Frame.BALL_TIP, np.array(TOP), np.array([0.1, 0.0, 1.0]), 0.07, 0.01)
    chain = PLANNER.ik[Frame.BALL_TIP].chain
    direction = -np.array([0.1, 0.0, 1.0]) / np.hypot(0.1, 1.0)
    for distance in np.linspace(-0.07, 0.01, 57):
        pose = chain.forward(line.at(distance))
        np.testing.assert_allclose(pose[:3, 3], np.array(TOP) + distance * direction, atol=1e-6)
        np.testing.assert_allclose(pose[:3, 2], direction, atol=1e-4)
    first = line.at(line.start_m)
    assert np.array_equal(line.at(line.start_m - 1.0), first), "outside its range a line stands still"


def test_the_approach_speed_holds_its_promise():
    """Free travel during the reaction and braking at that speed, times the stiffness, is the force asked for."""
    for stiffness, force in ((5e4, 2.4), (8e3, 2.4), (1e3, 0.5)):
        speed = approach_speed(stiffness, force, 2.5, 0.003)
        assert stiffness * (speed * 0.003 + speed**2 / 5.0) == pytest.approx(force)


@pytest.mark.parametrize("stiffness", [400.0, 5e3, 5e4])
@pytest.mark.parametrize("limit", [2.0, 8.0])
@pytest.mark.parametrize("error", [-0.009, 0.0, 0.006])
def test_a_press_stops_at_its_force_and_never_exceeds_the_limit(stiffness, limit, error):
    arm = SpringArm(TOP[2] + error, stiffness)
    execution = arm.run(ProbeGoal(Primitive.PRESS, TOP, force_limit_n=limit))
    assert execution.outcome is Outcome.SUCCEEDED
    assert arm.peak_n < limit
    assert execution.max_force_n < limit
    depth = min(0.8 * limit / stiffness, arm.motion.limits.press_depth_m)
    assert arm.peak_n == pytest.approx(stiffness * depth, rel=0.08, abs=0.35 + 0.1 * limit)
    assert execution.contact_point_m[2] == pytest.approx(arm.surface_m, abs=0.0015)
    assert execution.window_start_ns < execution.contact_time_ns < execution.window_end_ns


@pytest.mark.parametrize("primitive", TOUCHING)
def test_a_surface_far_higher_than_expected_stays_within_the_limit(primitive):
    """Vision wrong by 25 mm: the quick approach rides on the tips' springs."""
    arm = SpringArm(TOP[2] + 0.025, 5e4)
    execution = arm.run(ProbeGoal(primitive, TOP, dwell_s=0.3))
    assert execution.outcome is Outcome.SUCCEEDED
    assert arm.peak_n < 8.0


def test_the_arms_own_limit_wins_over_the_goals():
    arm = SpringArm(limits=MotionLimits(force_limit_n=4.0))
    execution = arm.run(ProbeGoal(Primitive.PRESS, TOP, force_limit_n=50.0))
    assert execution.outcome is Outcome.SUCCEEDED
    assert 2.5 < arm.peak_n < 4.0


def test_the_limit_stops_a_motion_that_goes_on_pushing():
    """A control law that overshoots must not matter: the check runs in every period."""
    arm = SpringArm(limits=MotionLimits(press_share=1.5))
    execution = arm.run(ProbeGoal(Primitive.PRESS, TOP))
    assert execution.outcome is Outcome.FORCE_LIMIT
    assert "limit" in execution.message
    assert arm.peak_n < 8.3
    assert arm.motion.contact is None, "the tool must have left the part"


def test_a_tap_meets_the_surface_at_its_speed():
    arm = SpringArm()
    execution = arm.run(ProbeGoal(Primitive.TAP, TOP, speed_m_s=0.05))
    assert execution.outcome is Outcome.SUCCEEDED
    assert execution.speed_m_s == 0.05
    assert arm.peak_n < 1.0
    fast = SpringArm().run(ProbeGoal(Primitive.TAP, TOP, speed_m_s=0.5))
    assert fast.speed_m_s == MotionLimits().tap_speed_max_m_s, "a tap is limited by its speed"


def test_a_slide_moves_along_the_surface_under_its_force():
    arm = SpringArm(stiffness_n_m=2e4)
    tips = []

    def watch(arm):
        if arm.motion.phase == "slide":
            tips.append(PLANNER.ik[Frame.BALL_TIP].chain.forward(arm.q)[:3, 3])

    execution = arm.run(ProbeGoal(Primitive.SLIDE, TOP, slide_angle_rad=0.7, slide_distance_m=0.02), watch)
    assert execution.outcome is Outcome.SUCCEEDED
    assert execution.slide_distance_m == pytest.approx(0.02)
    path = np.array(tips)
    moved = path[-1] - path[0]
    np.testing.assert_allclose(moved[:2], 0.02 * np.array([np.cos(0.7), np.sin(0.7)]), atol=3e-4)
    forces = 2e4 * (arm.surface_m - path[:, 2])
    assert np.median(forces) == pytest.approx(2.0, abs=0.15)


def test_a_slide_off_the_edge_is_no_contact():
    arm = SpringArm()

    def cut_off(arm):
        if arm.motion.phase == "slide":
            arm.surface_m = -1.0

    execution = arm.run(ProbeGoal(Primitive.SLIDE, TOP), cut_off)
    assert execution.outcome is Outcome.NO_CONTACT
    assert execution.slide_distance_m < 0.003


def test_a_dwell_holds_its_force_and_time():
    arm = SpringArm(stiffness_n_m=8e3)
    execution = arm.run(ProbeGoal(Primitive.DWELL, TOP, dwell_s=1.0, pad_index=1))
    assert execution.outcome is Outcome.SUCCEEDED
    assert execution.dwell_s == pytest.approx(1.0, abs=0.06)
    assert arm.peak_n == pytest.approx(5.0, abs=0.3)
    assert execution.pad_contact_area_m2 == pytest.approx(1.44e-4)
    watched = 1e-9 * (execution.window_end_ns - execution.contact_time_ns) - execution.dwell_s
    assert watched == pytest.approx(arm.motion.limits.watch_s, abs=1e-6)
    np.testing.assert_allclose(arm.motion.command.q, HOME, atol=1e-9)


@pytest.mark.parametrize("primitive", TOUCHING)
def test_nothing_there_is_no_contact(primitive):
    execution = SpringArm(surface_m=-1.0).run(ProbeGoal(primitive, TOP))
    assert execution.outcome is Outcome.NO_CONTACT
    assert execution.contact_time_ns == 0
    assert "nothing was touched" in execution.message


@pytest.mark.parametrize(
    ("target", "normal", "words"),
    [
        ((1.2, 0.0, 0.03), (0, 0, 1), "posture"),
        ((0.5, 0.0, 0.5), (0, 0, 1), "above the table"),
        ((0.5, 0.0, 0.03), (1, 0, 0), "tilted"),
        ((float("nan"), 0.0, 0.03), (0, 0, 1), "not a place"),
        ((0.5, 0.0, 0.03), (0, 0, 0), "not a place"),
    ],
)
def test_what_cannot_be_reached_is_an_outcome(target, normal, words):
    execution = SpringArm().run(ProbeGoal(Primitive.PRESS, target, normal))
    assert execution.outcome is Outcome.UNREACHABLE
    assert words in execution.message


@pytest.mark.parametrize("primitive", [*TOUCHING, Primitive.LOOK])
def test_cancel_retreats_from_every_phase(primitive):
    """Whenever the cancel comes, the arm ends at home, brakes within its limits and presses no harder."""
    phases: dict[str, int] = {}
    goal = ProbeGoal(primitive, TOP, dwell_s=0.4)
    arm = SpringArm()
    arm.run(goal, lambda a: phases.__setitem__(a.motion.phase, phases.get(a.motion.phase, 0) + 1))
    for phase, count in phases.items():
        arm, seen = SpringArm(), [0]

        def watch(a, phase=phase, count=count, seen=seen):
            seen[0] += a.motion.phase == phase
            if seen[0] == max(1, count // 2):
                a.executor.cancel()

        execution = arm.run(goal, watch)
        if phase == "retreat" and execution.outcome is Outcome.SUCCEEDED:
            continue  # the cancel came while the arm was on its last way home
        assert execution.outcome is Outcome.CANCELLED, phase
        np.testing.assert_allclose(arm.motion.command.q, HOME, atol=1e-9)
        assert arm.peak_n < 8.0
        velocity = np.diff(np.array(arm.commands), axis=0) / 1e-3
        assert np.all(np.abs(velocity).max(axis=0) <= PLANNER.velocity * 1.01), phase
        acceleration = np.abs(np.diff(velocity, axis=0)).max(axis=0) / 1e-3
        assert np.all(acceleration <= 1.6 * JOINT_ACCELERATION), (phase, acceleration / JOINT_ACCELERATION)


@pytest.mark.parametrize("primitive", [*TOUCHING, Primitive.LOOK, Primitive.LIFT])
def test_motion_keeps_to_the_joints_limits(primitive):
    arm = SpringArm(part_width_m=0.04)
    execution = arm.run(ProbeGoal(primitive, TOP, grasp_width_m=0.04, dwell_s=0.3))
    assert execution.outcome is Outcome.SUCCEEDED
    velocity = np.diff(np.array(arm.commands), axis=0) / 1e-3
    assert np.all(np.abs(velocity).max(axis=0) <= PLANNER.velocity)
    assert np.all(np.abs(np.diff(velocity, axis=0)).max(axis=0) / 1e-3 <= 1.1 * JOINT_ACCELERATION)


def test_paths_that_are_sent_are_told():
    arm = SpringArm()
    arm.run(ProbeGoal(Primitive.PRESS, TOP))
    assert len(arm.motion.sent) >= 4
    first = arm.motion.sent[0]
    np.testing.assert_allclose(first.positions[0], HOME)
    assert first.positions.shape == (len(first.times_s), 7)
    assert np.all(np.diff(first.times_s) > 0)
    assert np.all(np.diff([p.stamp_ns for p in arm.motion.sent]) > 0)


def test_an_empty_grasp_fails_and_a_part_is_held():
    empty = SpringArm().run(ProbeGoal(Primitive.LIFT, TOP, grasp_width_m=0.04))
    assert empty.outcome is Outcome.GRASP_FAILED
    arm = SpringArm(part_width_m=0.04)
    assert arm.run(ProbeGoal(Primitive.LIFT, TOP, grasp_width_m=0.04)).outcome is Outcome.SUCCEEDED
    assert arm.motion.holding
    refused = arm.run(ProbeGoal(Primitive.PRESS, TOP))
    assert refused.outcome is Outcome.ABORTED
    assert "hand holds a part" in refused.message
    assert arm.run(ProbeGoal(Primitive.PLACE, bin="metal")).outcome is Outcome.SUCCEEDED
    assert not arm.motion.holding


def test_a_part_lost_on_the_way_is_dropped():
    arm = SpringArm(part_width_m=0.04)
    arm.run(ProbeGoal(Primitive.LIFT, TOP, grasp_width_m=0.04))

    def lose(arm):
        if arm.motion.phase == "transfer":
            arm.part_width_m = 0.0

    assert arm.run(ProbeGoal(Primitive.PLACE, bin="metal"), lose).outcome is Outcome.DROPPED


def test_too_wide_for_the_hand_is_a_failed_grasp():
    execution = SpringArm().run(ProbeGoal(Primitive.LIFT, TOP, grasp_width_m=0.09))
    assert execution.outcome is Outcome.GRASP_FAILED
    assert "90 mm" in execution.message


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"speed_m_s": -0.1}, "speed_m_s"),
        ({"dwell_s": float("nan")}, "dwell_s"),
        ({"dwell_s": 600.0}, "dwell_s"),
        ({"force_n": -1.0}, "force_n"),
        ({"force_n": float("inf")}, "force_n"),
        ({"standoff_m": 0.5}, "standoff_m"),
        ({"slide_distance_m": 1.0}, "slide_distance_m"),
        ({"primitive": Primitive.DWELL, "pad_index": 2}, "pad_index"),
        ({"primitive": Primitive.PLACE, "bin": "nowhere"}, "nowhere"),
    ],
)
def test_senseless_goals_are_refused_at_once(change, words):
    arm = SpringArm()
    with pytest.raises(CellError, match=words):
        arm.executor.start(dataclasses.replace(ProbeGoal(Primitive.PRESS, TOP), **change))
    assert not arm.executor.busy


def test_one_probe_at_a_time():
    arm = SpringArm()
    arm.executor.start(ProbeGoal(Primitive.PRESS, TOP))
    with pytest.raises(CellError, match="running"):
        arm.executor.start(ProbeGoal(Primitive.TAP, TOP))


def test_planned_paths_keep_clear_of_the_fixtures():
    line = PLANNER.tool_line(Frame.WARM_PAD_0, np.array(TOP), np.array([0.0, 0.0, 1.0]), 0.085, 0.01)
    at = HOME
    for stop in PLANNER.path(HOME, line.at(line.start_m)):
        assert PLANNER.clearance.path_free(at, stop)
        at = stop
    under_the_table = TOOL_POSTURE + np.array([0, 0.9, 0, 0, 0, 0, 0])
    assert not PLANNER.clearance.free(under_the_table)
    with pytest.raises(Unreachable):
        PLANNER.path(HOME, under_the_table)


def test_a_line_through_a_singular_place_is_none():
    ik = PLANNER.ik[Frame.BALL_TIP]
    pose = ik.chain.forward(TOOL_POSTURE)
    from palpate_sim.kinematics import IkTarget

    target = IkTarget(pose[:3, 3], pose[:3, 2])
    assert ToolLine.plan(ik, pose[:3, 3], np.array([1.0, 0.0, 0.0]), target, TOOL_POSTURE, 0.0, 0.8) is None
