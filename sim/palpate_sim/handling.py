"""Grasp, lift and weigh, put into a bin: the primitives of the hand."""

from __future__ import annotations

import math
from collections.abc import Generator

import numpy as np
from numpy.typing import NDArray

from palpate_agents.observation import Outcome
from palpate_sim.motion import PERIOD_S, ArmCommand, ArmState, Motion
from palpate_sim.planning import FINGERTIP_BELOW_GRASP_M
from palpate_sim.report import Report, Steps
from palpate_sim.trajectory import JOINT_ACCELERATION, Profile

Array = NDArray[np.float64]

OPEN_MARGIN_M = 0.016
EMPTY_WIDTH_M = 0.004
SLIP_M = 0.004
"""Fingers that close further than this after a grasp have lost the part."""
DESCENT_M_S, PASSING_M_S = 0.2, 0.05
"""Speed beside the part, and where the fingertips pass its top and may stand on it."""
FINGER_OBSTACLE_N = 3.0
"""Force on the way down, beyond the tool's inertia, that means the fingers stand on something."""


def _grasp(motion: Motion, report: Report) -> Generator[ArmCommand, ArmState, float]:
    """Close the fingers around the part at the target; returns their width. Sets the outcome when it fails."""
    limits, goal = motion.limits, report.goal
    width = goal.grasp_width_m
    if width > motion.open_width_m - 0.002:
        opens = motion.open_width_m * 1e3
        report.fail(Outcome.GRASP_FAILED, f"the part is {width * 1e3:.0f} mm wide, the hand opens {opens:.0f} mm")
        return 0.0
    motion.phase = "approach"
    opening = min(width + OPEN_MARGIN_M, motion.open_width_m) if width > 0.0 else motion.open_width_m
    motion.grip(opening, limits.grasp_force_n)
    above = max(limits.lift_m, limits.hover_height_m - goal.target_m[2])
    line = motion.planner.grasp_line(np.asarray(goal.target_m), goal.grasp_angle_rad, above)
    yield from motion.enter(line)
    motion.phase = "descend"
    yield from motion.wait(0.02)
    bottom = yield from _descend(motion)
    if not bottom:
        report.fail(Outcome.GRASP_FAILED, "the fingers stand on something beside the part")
        motion.phase = "retreat"
        yield from motion.travel(line.start_m)
        return 0.0
    motion.phase = "grasp"
    report.contact_time_ns = motion.state.time_ns
    motion.grip(0.0, limits.grasp_force_n)
    closed = yield from _closed_width(motion)
    if closed < max(EMPTY_WIDTH_M, width - 0.015):
        wanted = f"the part should be {width * 1e3:.0f} mm wide"
        report.fail(Outcome.GRASP_FAILED, f"the fingers closed to {closed * 1e3:.0f} mm, {wanted}")
        motion.phase = "retreat"
        motion.grip(motion.open_width_m, limits.grasp_force_n)
        yield from motion.wait(0.2)
        yield from motion.travel(line.start_m)
        return 0.0
    motion.holding, motion.surface = True, None
    return closed


def _descend(motion: Motion) -> Generator[ArmCommand, ArmState, bool]:
    """Down to the grasp, slowly where the fingertips pass the part's top; stops when they meet something.

    Returns:
        True at the bottom.
    """
    line = motion.current_line()
    half_height = float(line.origin[2])
    free = motion.state.wrench[:3].copy()
    below_top = -half_height - FINGERTIP_BELOW_GRASP_M + 0.006
    stops = ((below_top - 0.014, motion.limits.line_speed_m_s), (below_top, PASSING_M_S), (line.end_m, DESCENT_M_S))
    for to_m, speed in stops:
        clear = yield from _descend_to(motion, min(to_m, line.end_m), speed, free)
        if not clear:
            return False
    return True


def _descend_to(motion: Motion, to_m: float, speed: float, free: Array) -> Generator[ArmCommand, ArmState, bool]:
    line, start = motion.current_line(), motion.distance_m
    most = min(motion.limits.line_acceleration_m_s2, line.limit(JOINT_ACCELERATION))
    profile = Profile.over(to_m - start, min(speed, line.limit(motion.planner.velocity)), most)
    weight_n = motion.planner.tool_mass_kg * most
    for k in range(1, math.ceil(profile.duration_s / PERIOD_S) + 1):
        last, motion.distance_m = motion.distance_m, start + profile.at(k * PERIOD_S)
        motion.command.q = line.at(motion.distance_m)
        yield from motion.tick()
        if float(np.linalg.norm(motion.state.wrench[:3] - free)) > FINGER_OBSTACLE_N + weight_n:
            speed = (motion.distance_m - last) / PERIOD_S
            while speed > 0.0:
                speed = max(speed - most * PERIOD_S, 0.0)
                motion.distance_m = min(motion.distance_m + speed * PERIOD_S, line.end_m)
                motion.command.q = line.at(motion.distance_m)
                yield from motion.tick()
            return False
    return True


def _closed_width(motion: Motion) -> Generator[ArmCommand, ArmState, float]:
    """Wait until the fingers have come to rest, at most 1 s, and squeeze a little longer; returns their width."""
    still, last = 0, motion.state.finger_width_m
    for _ in range(1000):
        yield from motion.tick()
        still = still + 1 if abs(motion.state.finger_width_m - last) < 5e-6 else 0
        last = motion.state.finger_width_m
        if still > 40:
            break
    yield from motion.wait(0.05)
    return motion.state.finger_width_m


def lift(motion: Motion, report: Report) -> Steps:
    """Grasp, lift, hold still to weigh; the part stays in the hand."""
    if motion.holding:
        report.fail(Outcome.ABORTED, "the hand holds a part already; place it first")
        return
    width = yield from _grasp(motion, report)
    if report.outcome != Outcome.SUCCEEDED:
        return
    motion.phase = "lift"
    yield from motion.travel(motion.current_line().start_m, 0.25)
    if motion.state.finger_width_m < width - SLIP_M:
        motion.release()
        report.fail(Outcome.GRASP_FAILED, "the part slipped out of the fingers before it was lifted")
        return
    yield from motion.wait(0.15)
    motion.phase = "weigh"
    report.window_start_ns = motion.state.time_ns
    yield from motion.wait(report.goal.dwell_s or 0.5)
    report.window_end_ns = motion.state.time_ns
    if motion.state.finger_width_m < width - SLIP_M:
        motion.release()
        report.fail(Outcome.DROPPED, "the part left the fingers while it was weighed")


def place(motion: Motion, report: Report) -> Steps:
    """Carry the part (grasp it first if it is not in the hand) over the bin, open, go home."""
    goal = report.goal
    if not motion.holding:
        if goal.grasp_width_m <= 0.0:
            report.fail(Outcome.GRASP_FAILED, "the hand is empty and the goal names no grasp (grasp_width_m is 0)")
            return
        yield from _grasp(motion, report)
        if report.outcome != Outcome.SUCCEEDED:
            yield from motion.home()
            return
        motion.phase = "lift"
        yield from motion.travel(motion.current_line().start_m, 0.25)
    width = motion.state.finger_width_m
    motion.phase = "transfer"
    goal_q = motion.planner.over_bin(goal.bin, motion.planner.bin_rim_m + 0.055, motion.command.q, 0.05)
    yield from motion.move(goal_q, 0.05)
    if width < EMPTY_WIDTH_M or motion.state.finger_width_m < width - SLIP_M:
        motion.release()
        report.fail(Outcome.DROPPED, "the part left the fingers on the way to the bin")
    motion.phase = "release"
    motion.release()
    yield from motion.wait(0.3)
    yield from motion.home()
