"""The force limit on soft parts, and ways out of places that the arm should not be in."""

from __future__ import annotations

import math

import numpy as np
import pytest
from spring_arm import PLANNER, SpringArm

from palpate_agents.observation import Frame, Outcome, Primitive, ProbeGoal
from palpate_sim.motion import MotionLimits
from palpate_sim.planning import HOME, Unreachable

TOP = (0.5, 0.02, 0.03)
FOAM_N_M = 110.0
"""The touch is felt 3 mm deep."""
TOUCHING = (
    Primitive.PRESS, Primitive.TAP, Primitive.SLIDE, Primitive.DWELL, Primitive.WIPE, Primitive.SCRATCH,
)  # fmt: skip


def beside(x_m):
    return (TOP[0] + x_m, TOP[1], TOP[2])


@pytest.mark.parametrize("again", [Primitive.PRESS, Primitive.SLIDE, Primitive.SCRATCH])
def test_touches_of_foam_near_an_earlier_one_start_free_and_stay_within_the_limit(again):
    arm = SpringArm(stiffness_n_m=FOAM_N_M)
    first = arm.run(ProbeGoal(Primitive.PRESS, beside(-0.006), force_n=3.0))
    deep = arm.depth_m
    heights = [first.contact_point_m[2]]
    for x in (0.0, 0.004, -0.002):
        execution = arm.run(ProbeGoal(again, beside(x)))
        assert execution.outcome in (Outcome.SUCCEEDED, Outcome.NO_CONTACT), execution.message
        heights.append(execution.contact_point_m[2])
    assert arm.peak_n < 8.0
    assert arm.depth_m < deep + 0.001
    assert np.ptp(heights) < 0.001, "the touch is felt where it was felt before"


def test_a_zero_that_was_taken_in_contact_is_no_zero():
    """The surface is believed 4 mm deeper than it is: the slow approach would begin in the foam."""
    for noise in (0.0, 0.01, 0.03):
        arm = SpringArm(stiffness_n_m=FOAM_N_M, noise_n=noise)
        arm.motion.surface = np.array(TOP), 0.005
        execution = arm.run(ProbeGoal(Primitive.PRESS, beside(0.004), force_n=3.0))
        assert execution.outcome is Outcome.SUCCEEDED
        assert arm.surface_m - execution.contact_point_m[2] == pytest.approx(0.3 / FOAM_N_M, abs=8e-4)
        assert arm.peak_n < 8.0
        free_ns = execution.contact_time_ns - execution.window_start_ns
        assert free_ns > 0.04e9, "the window begins while the tool is free"


@pytest.mark.parametrize("limit", [2.0, 8.0])
@pytest.mark.parametrize("core_mm", [0.5, 2.0, 4.0, 6.5, 8.0])
@pytest.mark.parametrize("primitive", [Primitive.PRESS, Primitive.SLIDE, Primitive.DWELL])
def test_whatever_is_under_the_soft_surface_the_limit_holds(primitive, core_mm, limit):
    """A rigid core as stiff as the arm, met at the speed that foam needs."""
    arm = SpringArm(stiffness_n_m=FOAM_N_M, core_m=TOP[2] - 1e-3 * core_mm)
    execution = arm.run(ProbeGoal(primitive, TOP, force_limit_n=limit, dwell_s=1.0))
    assert arm.peak_n < limit, execution.message
    assert execution.max_force_n < limit


def test_a_tool_that_carries_something_does_not_approach():
    arm = SpringArm()
    assert arm.run(ProbeGoal(Primitive.PRESS, TOP)).outcome is Outcome.SUCCEEDED
    arm.hanging_n, arm.peak_n = 1.0, 0.0
    execution = arm.run(ProbeGoal(Primitive.PRESS, TOP))
    assert execution.outcome is Outcome.FORCE_LIMIT
    assert "carries 1.0 N" in execution.message
    assert arm.peak_n == 0.0
    arm.motion.free_offset_n = None  # as after zeroing the sensor
    assert arm.run(ProbeGoal(Primitive.PRESS, TOP)).outcome is Outcome.SUCCEEDED


def check_way(start, way):
    """It only gains distance until it is free, and stays free."""
    at, reached = start, PLANNER.clearance.distance(start)[0]
    for stop in way:
        for k in range(1, 17):
            now = PLANNER.clearance.distance(at + (stop - at) * k / 16)[0]
            assert now >= min(reached, PLANNER.clearance.margin_m)
            reached = max(reached, now)
        at = stop
    assert reached >= PLANNER.clearance.margin_m


def test_a_posture_within_the_margin_can_be_left():
    near = np.array([0.4602, 0.4330, -0.1431, -2.0173, -0.9174, 1.3772, -0.0380])
    assert not PLANNER.clearance.free(near)
    check_way(near, PLANNER.path(near, HOME))


def test_every_place_over_and_in_a_part_can_be_left():
    rng = np.random.default_rng(1)
    frames = (Frame.BALL_TIP, Frame.WARM_PAD_0, Frame.WARM_PAD_1, Frame.SCRAPER_TIP)
    left = 0
    for k in range(40):
        point = rng.uniform((0.4, -0.15, 0.01), (0.6, 0.15, 0.06))
        tilt, turn = math.radians(rng.uniform(0.0, 30.0)), rng.uniform(0.0, 2.0 * math.pi)
        normal = np.array([math.sin(tilt) * math.cos(turn), math.sin(tilt) * math.sin(turn), math.cos(tilt)])
        try:
            line = PLANNER.tool_line(frames[k % 4], point, normal, max(0.05, 0.115 - point[2]), 0.01)
        except Unreachable:
            continue
        start = line.at(rng.uniform(line.start_m, 0.0))
        if not PLANNER.clearance.free(start):
            check_way(start, PLANNER.path(start, HOME))
            left += 1
    assert left > 15


@pytest.mark.parametrize("primitive", [Primitive.SLIDE, Primitive.WIPE, Primitive.SCRATCH])
@pytest.mark.parametrize("tilt_deg", [0.0, 15.0, 30.0])
@pytest.mark.parametrize("angle", [0.5, 3.6])
def test_after_a_slide_the_tool_is_as_high_as_before(primitive, tilt_deg, angle):
    tilt = math.radians(tilt_deg)
    normal, ends = (math.sin(tilt), 0.0, math.cos(tilt)), []
    arm = SpringArm(stiffness_n_m=2e4)

    def watch(arm):
        if arm.motion.phase == "approach":
            ends.append(arm.q)

    execution = arm.run(
        ProbeGoal(primitive, TOP, normal, slide_angle_rad=angle, slide_distance_m=0.02, force_n=1.5), watch
    )
    assert execution.outcome is not Outcome.UNREACHABLE
    before, after = (PLANNER.sensor_chain.forward(q)[2, 3] for q in (ends[-1], arm.motion.command.q))
    assert after == pytest.approx(before, abs=0.011)  # along a tilted surface it climbs itself
    assert PLANNER.path(arm.motion.command.q, HOME)


@pytest.mark.parametrize("primitive", TOUCHING)
def test_after_an_abort_the_next_probe_is_reached(primitive):
    arm, limits = SpringArm(limits=MotionLimits(press_share=1.5, slide_share=1.5)), []

    def watch(arm):
        limits.append(arm.motion.phase)
        if limits.count("contact") + limits.count("descend") == 150:
            arm.executor.abort("a fault")

    assert arm.run(ProbeGoal(primitive, TOP, force_n=20.0), watch).outcome is Outcome.ABORTED
    arm.motion.limits = MotionLimits()
    assert arm.run(ProbeGoal(Primitive.PRESS, TOP)).outcome is Outcome.SUCCEEDED
