"""What the arm can do with a part, as generators over `Motion`: one function per primitive, each ending in a report."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from palpate_agents.observation import Frame, Outcome, Primitive, ProbeExecution, ProbeGoal
from palpate_sim.guarded import GuardedContact
from palpate_sim.motion import ArmCommand, ArmState, Motion
from palpate_sim.trajectory import ToolLine

Array = NDArray[np.float64]

PAD_AREA_M2 = 0.012**2
BEFORE_CONTACT_NS = 400_000_000
"""Free part of a window before the touch: it gives the tool's own weight."""
TAP_WINDOW_NS = 100_000_000
OPEN_MARGIN_M = 0.012
EMPTY_WIDTH_M = 0.004
SLIP_M = 0.004
"""Fingers that close further than this after a grasp have lost the part."""
FINGER_OBSTACLE_N = 4.0
"""Force on the way down that means the fingers stand on something."""


@dataclass
class Report:
    """A `ProbeExecution` in the making (stamps 0 where nothing happened yet)."""

    goal: ProbeGoal
    outcome: Outcome = Outcome.SUCCEEDED
    message: str = ""
    window_start_ns: int = 0
    window_end_ns: int = 0
    contact: GuardedContact | None = None
    contact_time_ns: int = 0
    speed_m_s: float = 0.0
    slide_distance_m: float = 0.0
    dwell_s: float = 0.0
    pad_area_m2: float = 0.0

    def fail(self, outcome: Outcome, message: str) -> Report:
        """Mark as not succeeded."""
        self.outcome, self.message = outcome, message
        return self

    def touched(self) -> None:
        """Begin the window at the free part before the touch."""
        assert self.contact is not None
        self.contact_time_ns = self.contact.contact_time_ns
        self.window_start_ns = max(self.contact.steady_time_ns, self.contact_time_ns - BEFORE_CONTACT_NS)

    def execution(self) -> ProbeExecution:
        """The finished record."""
        point = self.goal.target_m
        if self.contact is not None and self.contact.contact_q is not None:
            pose = self.contact.motion.planner.ik[self.contact.frame].chain.forward(self.contact.contact_q)
            point = (float(pose[0, 3]), float(pose[1, 3]), float(pose[2, 3]))
        normal = np.asarray(self.goal.normal, float)
        size = float(np.linalg.norm(normal))
        unit = normal / size if np.isfinite(size) and size > 0 else np.array([0.0, 0.0, 1.0])
        return ProbeExecution(
            primitive=self.goal.primitive,
            outcome=self.outcome,
            window_start_ns=self.window_start_ns,
            window_end_ns=self.window_end_ns,
            contact_time_ns=self.contact_time_ns,
            contact_point_m=point,
            contact_normal=(float(unit[0]), float(unit[1]), float(unit[2])),
            speed_m_s=self.speed_m_s,
            slide_distance_m=self.slide_distance_m,
            dwell_s=self.dwell_s,
            max_force_n=0.0 if self.contact is None else self.contact.max_force_n,
            pad_index=self.goal.pad_index,
            pad_contact_area_m2=self.pad_area_m2,
            message=self.message,
        )


Steps = Generator[ArmCommand, ArmState, None]


def force_limit(motion: Motion, goal: ProbeGoal) -> float:
    """The goal's limit, never above the arm's own, N."""
    own = motion.limits.force_limit_n
    return min(goal.force_limit_n, own) if goal.force_limit_n > 0.0 else own


def _touch(motion: Motion, report: Report, frame: Frame, stiffness: float, below_m: float) -> Steps:
    """Go to the line over the target; sets `report.contact`."""
    limits, goal = motion.limits, report.goal
    point = np.asarray(goal.target_m, float)
    above = max(limits.hover_m, limits.hover_height_m - float(point[2]))
    motion.phase = "approach"
    line = motion.planner.tool_line(frame, point, np.asarray(goal.normal), above, below_m)
    yield from motion.enter(line)
    report.contact = GuardedContact(motion, frame, force_limit(motion, goal), stiffness)


def _descend(motion: Motion, report: Report, speed: float, slow_above_m: float, *, released: bool = False) -> Steps:
    contact = report.contact
    assert contact is not None and motion.line is not None
    motion.phase = "descend"
    until = min(motion.limits.search_below_m, motion.line.end_m)
    yield from contact.approach(-slow_above_m, until, speed, released=released)
    report.speed_m_s = speed
    if contact.contact_distance_m is None:
        below = motion.distance_m * 1e3
        report.fail(Outcome.NO_CONTACT, f"nothing was touched down to {below:.0f} mm below the expected surface")
        motion.phase = "retreat"
        yield from contact.leave()
        return
    report.touched()
    motion.phase = "contact"


def look(motion: Motion, report: Report) -> Steps:
    """Pictures with the arm away; before them a spectrum over the target, unless the target is all zero."""
    limits, goal = motion.limits, report.goal
    yield from motion.home()
    motion.phase = "look"
    point = np.asarray(goal.target_m, float)
    if np.any(point != 0.0):
        motion.phase = "approach"
        far = point[2] < 0.005  # only the place on the table is known, not the part's height
        standoff = limits.far_standoff_m if far else limits.spectrum_standoff_m
        above = max(limits.hover_m, limits.hover_height_m - float(point[2]))
        line = motion.planner.tool_line(Frame.FIBRE, point, np.asarray(goal.normal), max(above, standoff), -standoff)
        yield from motion.enter(line)
        yield from motion.travel(-standoff)
        motion.phase = "spectrum"
        yield from motion.wait(0.03)
        motion.spectrum_wanted = True
        yield from motion.wait(limits.integration_s + 0.01)
        motion.phase = "retreat"
        yield from motion.travel(line.start_m)
        yield from motion.home()
        motion.phase = "look"
    yield from motion.wait(0.35)


def press(motion: Motion, report: Report) -> Steps:
    """Quasi-static press of the ball: load at a constant rate, hold, unload."""
    limits = motion.limits
    yield from _touch(motion, report, Frame.BALL_TIP, limits.arm_stiffness_n_m, limits.search_below_m + limits.press_depth_m)
    contact = report.contact
    assert contact is not None
    yield from _descend(motion, report, _speed(report.goal, contact.safe_speed_m_s), limits.slow_above_m)
    if report.outcome != Outcome.SUCCEEDED:
        return
    dwell = report.goal.dwell_s or 0.2
    yield from contact.hold(limits.press_share * contact.limit_n, dwell, limits.press_rate_n_s, limits.press_depth_m)
    report.dwell_s = 1e-9 * (motion.state.time_ns - report.contact_time_ns)
    yield from contact.unload(1.5 * limits.press_rate_n_s)
    report.window_end_ns = motion.state.time_ns
    motion.phase = "retreat"
    yield from contact.leave()


def _speed(goal: ProbeGoal, safe_m_s: float) -> float:
    """The goal's speed at contact, never above the safe one."""
    return min(goal.speed_m_s, safe_m_s) if goal.speed_m_s > 0.0 else safe_m_s


def tap(motion: Motion, report: Report) -> Steps:
    """One tap with the spring-isolated tip, limited by its speed."""
    limits, goal = motion.limits, report.goal
    yield from _touch(motion, report, Frame.BALL_TIP, limits.arm_stiffness_n_m, limits.search_below_m + 0.002)
    contact = report.contact
    assert contact is not None
    speed = min(goal.speed_m_s or limits.tap_speed_m_s, limits.tap_speed_max_m_s)
    yield from _descend(motion, report, speed, 0.4 * speed + 0.004, released=True)
    if report.outcome != Outcome.SUCCEEDED:
        return
    motion.phase = "retreat"
    yield from contact.leave()
    yield from motion.wait(max(0.0, 1e-9 * (report.contact_time_ns + TAP_WINDOW_NS - motion.state.time_ns)))
    report.window_end_ns = report.contact_time_ns + TAP_WINDOW_NS


def slide(motion: Motion, report: Report) -> Steps:
    """Slide of the ball under a light normal force."""
    limits, goal = motion.limits, report.goal
    yield from _touch(motion, report, Frame.BALL_TIP, limits.arm_stiffness_n_m, limits.search_below_m + limits.press_depth_m)
    contact = report.contact
    assert contact is not None
    yield from _descend(motion, report, contact.safe_speed_m_s, limits.slow_above_m)
    if report.outcome != Outcome.SUCCEEDED:
        return
    normal = np.asarray(goal.normal, float)
    flat = np.array([np.cos(goal.slide_angle_rad), np.sin(goal.slide_angle_rad), 0.0])
    direction = flat - (flat @ normal) * normal
    direction /= np.linalg.norm(direction)
    length = goal.slide_distance_m or limits.slide_m
    speed = min(goal.speed_m_s or limits.slide_speed_m_s, 3.0 * limits.slide_speed_m_s)
    force = min(limits.slide_force_n, 0.5 * contact.limit_n)
    yield from contact.hold(force, 0.15, 20.0, limits.press_depth_m)
    along = motion.planner.slide(_line(motion), Frame.BALL_TIP, motion.command.q, direction, length)
    motion.phase = "slide"
    yield from contact.slide(along, speed, force)
    report.slide_distance_m, report.speed_m_s = contact.along_m, speed
    report.window_end_ns = motion.state.time_ns
    motion.phase = "retreat"
    yield from contact.leave()
    if contact.along_m < 0.3 * length:
        report.fail(Outcome.NO_CONTACT, f"the tip lost the surface after {contact.along_m * 1e3:.1f} mm")


def _line(motion: Motion) -> ToolLine:
    assert motion.line is not None
    return motion.line


def dwell(motion: Motion, report: Report) -> Steps:
    """Warm pad on the part, then quickly away so that the thermal camera sees the spot."""
    limits, goal = motion.limits, report.goal
    frame = (Frame.WARM_PAD_0, Frame.WARM_PAD_1)[goal.pad_index]
    yield from _touch(motion, report, frame, limits.pad_stiffness_n_m, limits.search_below_m + limits.press_depth_m)
    contact = report.contact
    assert contact is not None
    yield from _descend(motion, report, _speed(goal, contact.safe_speed_m_s), limits.slow_above_m)
    if report.outcome != Outcome.SUCCEEDED:
        return
    report.pad_area_m2 = PAD_AREA_M2
    wanted = goal.dwell_s or limits.dwell_s
    so_far = 1e-9 * (motion.state.time_ns - report.contact_time_ns)
    motion.phase = "dwell"
    force = min(limits.dwell_force_n, limits.press_share * contact.limit_n)
    yield from contact.hold(force, wanted - so_far, 20.0, limits.press_depth_m, in_all=True)
    motion.phase = "retreat"
    yield from contact.release()
    report.dwell_s = 1e-9 * (motion.state.time_ns - report.contact_time_ns)
    away_ns = motion.state.time_ns
    yield from contact.leave()
    yield from motion.home()
    motion.phase = "watch"
    report.window_end_ns = away_ns + round(limits.watch_s * 1e9)
    yield from motion.wait(max(0.0, 1e-9 * (report.window_end_ns - motion.state.time_ns)))


def _grasp(motion: Motion, report: Report) -> Generator[ArmCommand, ArmState, float]:
    """Close the fingers around the part at the target; returns their width. Sets the outcome when it fails."""
    limits, goal = motion.limits, report.goal
    width = goal.grasp_width_m
    if width > motion.open_width_m - 0.002:
        report.fail(Outcome.GRASP_FAILED, f"the part is {width * 1e3:.0f} mm wide, the hand opens {motion.open_width_m * 1e3:.0f} mm")
        return 0.0
    motion.phase = "approach"
    motion.grip(min(width + OPEN_MARGIN_M, motion.open_width_m) if width > 0.0 else motion.open_width_m, limits.grasp_force_n)
    above = max(limits.lift_m, limits.hover_height_m - goal.target_m[2])
    line = motion.planner.grasp_line(np.asarray(goal.target_m), goal.grasp_angle_rad, above)
    yield from motion.enter(line)
    yield from motion.wait(0.05)
    motion.phase = "descend"
    free = motion.state.wrench[:3].copy()
    yield from motion.travel(-0.5 * limits.lift_m)
    bottom = yield from _careful_descent(motion, free)
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
        report.fail(Outcome.GRASP_FAILED, f"the fingers closed to {closed * 1e3:.0f} mm, the part should be {width * 1e3:.0f} mm wide")
        motion.phase = "retreat"
        motion.grip(motion.open_width_m, limits.grasp_force_n)
        yield from motion.wait(0.2)
        yield from motion.travel(line.start_m)
        return 0.0
    motion.holding = True
    return closed


def _careful_descent(motion: Motion, free: Array) -> Generator[ArmCommand, ArmState, bool]:
    """Last part of the way down; stops when the fingers meet something. True at the bottom."""
    line = _line(motion)
    period, speed = 0.001, 0.0
    while motion.distance_m < line.end_m:
        speed = min(speed + 2.0 * period, 0.12, (2.0 * 1.5 * (line.end_m - motion.distance_m)) ** 0.5 + 1e-3)
        motion.distance_m = min(motion.distance_m + speed * period, line.end_m)
        motion.command.q = line.at(motion.distance_m)
        yield from motion.tick()
        if float(np.linalg.norm(motion.state.wrench[:3] - free)) > FINGER_OBSTACLE_N:
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
    yield from motion.travel(_line(motion).start_m, 0.25, 1.5)
    if motion.state.finger_width_m < width - SLIP_M:
        motion.release()
        report.fail(Outcome.GRASP_FAILED, "the part slipped out of the fingers before it was lifted")
        return
    yield from motion.wait(0.2)
    motion.phase = "weigh"
    report.window_start_ns = motion.state.time_ns
    yield from motion.wait(report.goal.dwell_s or 0.5)
    report.window_end_ns = motion.state.time_ns
    if motion.state.finger_width_m < width - SLIP_M:
        motion.release()
        report.fail(Outcome.DROPPED, "the part left the fingers while it was weighed")


def place(motion: Motion, report: Report) -> Steps:
    """Carry the part (grasp it first if it is not in the hand) over the bin, open, go home."""
    limits, goal = motion.limits, report.goal
    if not motion.holding:
        if goal.grasp_width_m <= 0.0:
            report.fail(Outcome.GRASP_FAILED, "the hand is empty and the goal names no grasp (grasp_width_m is 0)")
            return
        yield from _grasp(motion, report)
        if report.outcome != Outcome.SUCCEEDED:
            yield from motion.home()
            return
        motion.phase = "lift"
        yield from motion.travel(_line(motion).start_m, 0.25, 1.5)
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


PRIMITIVES: dict[Primitive, Callable[[Motion, Report], Steps]] = {
    Primitive.LOOK: look,
    Primitive.PRESS: press,
    Primitive.TAP: tap,
    Primitive.SLIDE: slide,
    Primitive.DWELL: dwell,
    Primitive.LIFT: lift,
    Primitive.PLACE: place,
}
