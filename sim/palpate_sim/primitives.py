"""What the arm can do with the tool, as generators over `Motion`: one function per primitive; and the list of all."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from palpate_agents.observation import Frame, Outcome, Primitive, ProbeGoal
from palpate_sim.guarded import GuardedContact
from palpate_sim.handling import lift, place
from palpate_sim.motion import Motion
from palpate_sim.report import Report, Steps

Array = NDArray[np.float64]

PAD_AREA_M2 = 0.012**2
TAP_WINDOW_NS = 100_000_000


def force_limit(motion: Motion, goal: ProbeGoal) -> float:
    """The goal's limit, never above the arm's own, N."""
    own = motion.limits.force_limit_n
    return min(goal.force_limit_n, own) if goal.force_limit_n > 0.0 else own


def wanted_force(goal: ProbeGoal, default_n: float, most_n: float) -> float:
    """The goal's contact force, or the primitive's default, never above `most_n`, N."""
    return min(goal.force_n or default_n, most_n)


def _touch(motion: Motion, report: Report, frame: Frame, stiffness: float, depth_m: float) -> Steps:
    """Go to a line over the target that reaches `depth_m` below the deepest surface searched; sets `report.contact`."""
    limits, goal = motion.limits, report.goal
    point = np.asarray(goal.target_m, float)
    above = max(limits.hover_m, limits.hover_height_m - float(point[2]))
    motion.phase = "approach"
    line = motion.planner.tool_line(frame, point, np.asarray(goal.normal), above, limits.search_below_m + depth_m)
    yield from motion.enter(line)
    planner, q = motion.planner, line.at(0.0)
    up = planner.surface_normal(np.asarray(goal.normal))
    deepest = min(limits.press_depth_m, planner.room_m(frame, q, up) - limits.tip_gap_m)
    rigid = planner.room_m(frame, q, up, (Frame.FIBRE,)) - limits.tip_gap_m
    report.contact = GuardedContact(motion, frame, force_limit(motion, goal), stiffness, deepest, rigid)


def _descend(motion: Motion, report: Report, speed: float, room_m: float = 0.0, *, released: bool = False) -> Steps:
    """Guarded approach at `speed`, slow for at least `room_m`; fails the report if nothing is touched."""
    contact = report.contact
    assert contact is not None
    motion.phase = "descend"
    limits = motion.limits
    until = min(limits.search_below_m, motion.current_line().end_m)
    target, normal = np.asarray(report.goal.target_m, float), np.asarray(report.goal.normal, float)
    known = motion.expected_surface(target, normal)
    room_m = max(room_m, limits.free_s * speed)
    slow_from = -limits.slow_above_m if known is None else known - limits.known_above_m
    yield from contact.approach(slow_from - room_m, until, speed, released=released)
    report.speed_m_s = speed
    if contact.contact_distance_m is None:
        below = motion.distance_m * 1e3
        report.fail(Outcome.NO_CONTACT, f"nothing was touched down to {below:.0f} mm below the expected surface")
        motion.phase = "retreat"
        yield from contact.leave()
        return
    motion.surface = target, contact.surface_distance_m
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
        standoff = goal.standoff_m or (limits.far_standoff_m if far else limits.spectrum_standoff_m)
        above = max(limits.hover_m, limits.hover_height_m - float(point[2]), standoff + 0.01)
        line = motion.planner.tool_line(Frame.FIBRE, point, np.asarray(goal.normal), above, -standoff)
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
    yield from motion.wait(0.25)


def press(motion: Motion, report: Report) -> Steps:
    """Quasi-static press of the ball: load at a constant rate, hold, unload."""
    limits = motion.limits
    yield from _touch(motion, report, Frame.BALL_TIP, limits.arm_stiffness_n_m, limits.press_depth_m)
    contact = report.contact
    assert contact is not None
    yield from _descend(motion, report, _speed(report.goal, contact.safe_speed_m_s))
    if report.outcome != Outcome.SUCCEEDED:
        return
    dwell = report.goal.dwell_s or 0.2
    force = wanted_force(report.goal, math.inf, limits.press_share * contact.limit_n)
    yield from contact.hold(force, dwell, limits.press_rate_n_s)
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
    yield from _touch(motion, report, Frame.BALL_TIP, limits.arm_stiffness_n_m, 0.002)
    contact = report.contact
    assert contact is not None
    speed = min(goal.speed_m_s or limits.tap_speed_m_s, limits.tap_speed_max_m_s)
    yield from _descend(motion, report, speed, 0.3 * speed, released=True)
    if report.outcome != Outcome.SUCCEEDED:
        return
    motion.phase = "retreat"
    yield from contact.leave()
    yield from motion.wait(max(0.0, 1e-9 * (report.contact_time_ns + TAP_WINDOW_NS - motion.state.time_ns)))
    report.window_end_ns = report.contact_time_ns + TAP_WINDOW_NS


def slide(motion: Motion, report: Report) -> Steps:
    """Slide of the ball under a light normal force."""
    limits = motion.limits
    yield from _slide(motion, report, Frame.BALL_TIP, limits.arm_stiffness_n_m, limits.slide_force_n)


def wipe(motion: Motion, report: Report) -> Steps:
    """Slide of the first pad, flat on the surface: it takes up water and dirt."""
    limits = motion.limits
    yield from _slide(motion, report, Frame.WARM_PAD_0, limits.pad_stiffness_n_m, limits.wipe_force_n)


def scratch(motion: Motion, report: Report) -> Steps:
    """Slide of the scraper: it takes off coat and label."""
    limits = motion.limits
    yield from _slide(motion, report, Frame.SCRAPER_TIP, limits.arm_stiffness_n_m, limits.scratch_force_n)


def _slide(motion: Motion, report: Report, frame: Frame, stiffness: float, force_n: float) -> Steps:
    """Touch with a tool frame and move it along the surface, `force_n` by default."""
    limits, goal = motion.limits, report.goal
    yield from _touch(motion, report, frame, stiffness, limits.press_depth_m)
    contact = report.contact
    assert contact is not None
    yield from _descend(motion, report, contact.safe_speed_m_s)
    if report.outcome != Outcome.SUCCEEDED:
        return
    normal = motion.planner.surface_normal(np.asarray(goal.normal))
    flat = np.array([np.cos(goal.slide_angle_rad), np.sin(goal.slide_angle_rad), 0.0])
    direction = flat - (flat @ normal) * normal
    direction /= np.linalg.norm(direction)
    length = goal.slide_distance_m or limits.slide_m
    speed = min(goal.speed_m_s or limits.slide_speed_m_s, 3.0 * limits.slide_speed_m_s)
    force = wanted_force(goal, min(force_n, 0.5 * contact.limit_n), limits.slide_share * contact.limit_n)
    yield from contact.hold(force, 0.15, 20.0)
    along = motion.planner.slide(motion.current_line(), frame, motion.command.q, direction, length)
    motion.phase = report.goal.primitive.name.lower()
    yield from contact.slide(along, speed, force)
    report.slide_distance_m, report.speed_m_s = contact.along_m, speed
    report.window_end_ns = motion.state.time_ns
    motion.phase = "retreat"
    yield from contact.leave()
    if contact.along_m < 0.3 * length:
        report.fail(
            Outcome.NO_CONTACT, f"the tip lost the surface, or the part gave way, after {contact.along_m * 1e3:.1f} mm"
        )


def dwell(motion: Motion, report: Report) -> Steps:
    """Warm pad on the part, then quickly away so that the thermal camera sees the spot."""
    limits, goal = motion.limits, report.goal
    frame = (Frame.WARM_PAD_0, Frame.WARM_PAD_1)[goal.pad_index]
    yield from _touch(motion, report, frame, limits.pad_stiffness_n_m, limits.press_depth_m)
    contact = report.contact
    assert contact is not None
    yield from _descend(motion, report, _speed(goal, contact.safe_speed_m_s))
    if report.outcome != Outcome.SUCCEEDED:
        return
    report.pad_area_m2 = PAD_AREA_M2
    wanted = goal.dwell_s or limits.dwell_s
    so_far = 1e-9 * (motion.state.time_ns - report.contact_time_ns)
    motion.phase = "dwell"
    force = wanted_force(goal, limits.dwell_force_n, limits.press_share * contact.limit_n)
    yield from contact.hold(force, wanted - so_far, 20.0, in_all=True)
    motion.phase = "retreat"
    yield from contact.release()
    report.dwell_s = 1e-9 * (motion.state.time_ns - report.contact_time_ns)
    away_ns = motion.state.time_ns
    yield from contact.settle()
    yield from motion.swing_home()
    motion.phase = "watch"
    report.window_end_ns = away_ns + round(limits.watch_s * 1e9)
    yield from motion.wait(max(0.0, 1e-9 * (report.window_end_ns - motion.state.time_ns)))


PRIMITIVES: dict[Primitive, Callable[[Motion, Report], Steps]] = {
    Primitive.LOOK: look,
    Primitive.PRESS: press,
    Primitive.TAP: tap,
    Primitive.SLIDE: slide,
    Primitive.DWELL: dwell,
    Primitive.LIFT: lift,
    Primitive.PLACE: place,
    Primitive.WIPE: wipe,
    Primitive.SCRATCH: scratch,
}
