"""Seconds that the arm needs for a probe, for n parts at once, from its limits and the distances: nothing is simulated.

The motions are those of motion.py and primitives.py. Postures of the arm are smooth in the place of the tool, so that
a quadratic through nine solutions of the inverse kinematics stands for it.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from palpate_agents.observation import Frame, Primitive
from palpate_agents.probing.decoder import GoalArrays
from palpate_agents.probing.spot_quality import pairs
from palpate_sim.clearance import WORK_AREA
from palpate_sim.fixtures import PLACE_X_M, PLACE_Y_M
from palpate_sim.guarded import SLIDE_ACCELERATION_M_S2
from palpate_sim.handling import DESCENT_M_S, OPEN_MARGIN_M, PASSING_M_S
from palpate_sim.kinematics import IkTarget
from palpate_sim.motion import NEIGHBOUR_M, MotionLimits
from palpate_sim.planning import DOWN, FINGERTIP_BELOW_GRASP_M, GRASP_POSTURE, HOME, Planner, Unreachable
from palpate_sim.trajectory import JOINT_ACCELERATION

Floats = NDArray[np.float64]

LIMITS = MotionLimits()
FRAMES = (
    Frame.WARM_PAD_0, Frame.WARM_PAD_1, Frame.BALL_TIP, Frame.SCRAPER_TIP, Frame.FIBRE, Frame.GRASP,
)  # fmt: skip
"""In the order of `decoder.HALF_WIDTH_M`, and the hand."""
FIBRE, GRASP, AT_HOME = 4, 5, 6
STIFFNESS_N_M = np.array((LIMITS.pad_stiffness_n_m,) * 2 + (LIMITS.arm_stiffness_n_m,) * 4)
TOOL_OF = np.array([FIBRE, 2, 2, 2, 0, GRASP, GRASP, 0, 3])
"""Index into FRAMES by primitive; a warm touch adds its pad."""
WORK_HEIGHT_M = 0.025
"""Of the surface for which postures are solved."""
VIA = np.stack((GRASP_POSTURE + np.array([0.0, -0.4, 0.0, 0.0, 0.0, -0.3, 0.0]), HOME))
"""Postures over which the arm goes where the straight way is not free (`Planner.path`)."""
LINE_SHARE = 0.85
"""Of the joint limits that a line uses (`ToolLine.limit`)."""
LEVEL_TILT_RAD = math.acos(0.995)
LOOK_STILL_S, SPECTRUM_S = 0.25, 0.03 + LIMITS.integration_s + 0.01
FAST_S, RAMP_N_S = 0.02, 20.0
"""Weighing the tool before a descent and changes of speed on the way; how fast slides build up their force."""
PRESS_AHEAD_S = 0.15
"""A press loads from the force that braking at the touch has built up already: 1.6 N on stiff parts, 0.5 N on foam."""
FINGER_M_S, GRASP_S, WEIGH_S = 0.2, 0.15, 0.65
REFUSED_S = 0.1
"""What cannot be reached, or is asked of a hand that holds a part, ends without a motion: what the planner needs until
it gives up (0.10 to 0.13 s of one core), which the clock of the full cell does not count."""
_LOOK, _DWELL, _LIFT = int(Primitive.LOOK), int(Primitive.DWELL), int(Primitive.LIFT)
_PRESS, _TAP = int(Primitive.PRESS), int(Primitive.TAP)
_CONTACT_S = np.tile([1.0 / RAMP_N_S, 0.15, 0.0, 1.0, 1.0], (len(Primitive), 1))
"""By primitive, from the touch on: seconds per newton, in any case, shares of the dwell and of the way up, and of the
way along and its start; as of a slide but for those below."""
_CONTACT_S[_PRESS] = 1.0 / LIMITS.press_rate_n_s + 1.0 / (1.5 * LIMITS.press_rate_n_s), -PRESS_AHEAD_S, 1.0, 1.0, 0.0
_CONTACT_S[_DWELL] = 0.0, LIMITS.watch_s, 1.0, 0.0, 0.0
_CONTACT_S[_TAP] = 0.0, 0.0, 0.0, 1.0, 0.0
_CONTACT_S[[_LOOK, _LIFT]] = 0.0


class ArmState(NamedTuple):
    """Where n arms are.

    Attributes:
        posture: (n, 7) joint positions, rad.
        tool: (n,) int64, index into FRAMES of what was used last, AT_HOME at home.
        touched_m: (n, 2) base frame, last touch that tells the surface's height; NaN without.
    """

    posture: Floats
    tool: NDArray[np.int64]
    touched_m: Floats

    @staticmethod
    def home(n: int) -> ArmState:
        """Arms at home over new parts."""
        return ArmState(np.repeat(HOME[None], n, axis=0), np.full(n, AT_HOME), np.full((n, 2), np.nan))


class Places(NamedTuple):
    """Where n probes touch, base frame.

    Attributes:
        x_m, y_m, height_m: (n,) of the surface.
        grasp_width_m: (n,) between the fingers; grasp_angle_rad: (n,) their closing direction.
    """

    x_m: Floats
    y_m: Floats
    height_m: Floats
    grasp_width_m: Floats
    grasp_angle_rad: Floats


class _Reach(NamedTuple):
    """What the planner says.

    Attributes:
        table: (T, 6, 9) of each frame, quadratics in the place for 7 joints, speed m/s and acceleration m/s2 of lines.
        detour: (T + 1, T) between frames, and from home: 0 where the straight way is free, else 1 + index into VIA.
        limits: see `_transit_limits`.
    """

    table: Floats
    detour: NDArray[np.int64]
    limits: Floats


@lru_cache(maxsize=1)
def _reach() -> _Reach:
    planner = Planner()
    tables = []
    for frame in FRAMES:
        rows = []
        for x in (PLACE_X_M[0] - 0.02, 0.5, PLACE_X_M[1] + 0.02):
            for y in (1.2 * PLACE_Y_M[0], 0.0, 1.2 * PLACE_Y_M[1]):
                rows.append((_terms(np.array([x]), np.array([y]))[0], _line(planner, frame, np.array([x, y, 0.025]))))
        left = np.stack([row[0] for row in rows])
        right = np.stack([row[1] for row in rows])
        tables.append(np.linalg.lstsq(left, right, rcond=None)[0])
    table = np.stack(tables)
    middle = [_terms(np.array(0.5), np.array(0.0)) @ quadratics[:, :7] for quadratics in table]
    detour = [[_detour(planner, start, goal) for goal in middle] for start in [*middle, HOME]]
    return _Reach(table, np.array(detour), _transit_limits(planner.velocity))


def _detour(planner: Planner, start: Floats, goal: Floats) -> int:
    """0 if the straight way is free, else 1 + index into VIA, as `Planner.path` goes."""
    try:
        path = planner.path(start, goal)
    except Unreachable:
        return 0
    return 0 if len(path) == 1 else 1 + int(np.argmin([np.abs(path[0] - via).max() for via in VIA]))


def _line(planner: Planner, frame: Frame, point: Floats) -> Floats:
    """(9,) hover posture over a point, and speed and acceleration of the line down to it."""
    ik, grasp = planner.ik[frame], frame is Frame.GRASP
    axis = np.cross(np.array([1.0, 0.0, 0.0]), DOWN) if grasp else None
    seeds = [GRASP_POSTURE] if grasp else planner.tool_seeds(frame)
    q = ik.solve(IkTarget(point, DOWN, axis), seeds)
    assert q is not None
    x_axis, above = ik.chain.forward(q)[:3, 0], float(_above(point[2]))
    knots = [q]
    for share in (0.5, 1.0):
        knot = ik.refine(knots[-1], IkTarget(point - DOWN * (share * above), DOWN, x_axis))
        assert knot is not None
        knots.append(knot)
    slope = np.abs(np.diff(knots, axis=0)).max(axis=0) / (0.5 * above)
    limits = ((LIMITS.line_speed_m_s, planner.velocity), (LIMITS.line_acceleration_m_s2, JOINT_ACCELERATION))
    return np.array([*knots[-1], *(min(most, LINE_SHARE * float((limit / slope).min())) for most, limit in limits)])


def _above(height: Any) -> Any:
    return np.maximum(LIMITS.hover_m, LIMITS.hover_height_m - height)


def _terms(x: Floats, y: Floats) -> Floats:
    u, v = (x - 0.5) * 10.0, y * 10.0
    terms = np.empty((*u.shape, 6))
    terms[..., 0], terms[..., 1], terms[..., 2] = 1.0, u, v
    terms[..., 3], terms[..., 4], terms[..., 5] = u * u, u * v, v * v
    return terms


def profile_s(distance: Floats | float, speed: Floats | float, acceleration: Floats | float) -> Floats:
    """(n,) seconds from rest to rest over distances; see `trajectory.Profile`."""
    top = np.minimum(speed, np.sqrt((2.0 / math.pi) * acceleration * distance))
    top = np.maximum(top, 1e-9)
    return distance / top + (0.5 * math.pi) * top / acceleration


def joint_move_s(start: Floats, goal: Floats, velocity: Floats) -> Floats:
    """(n,) seconds of joint moves between postures (n, 7), joints limited to `velocity`; see `trajectory.JointMove`."""
    return _transit_s(start, goal, _transit_limits(velocity))


def _transit_limits(velocity: Floats) -> Floats:
    """(2, 1, 7) speeds rad/s and accelerations rad/s2 of the joints between places."""
    limits: Floats = LIMITS.transit_share * np.array([[velocity], [JOINT_ACCELERATION]])
    return limits


def _transit_s(start: Floats, goal: Floats, limits: Floats) -> Floats:
    away = np.maximum(np.abs(goal - start), 1e-9)
    speed, acceleration = np.minimum.reduce(limits / away, axis=2)
    return profile_s(1.0, speed, acceleration)


class Spent(NamedTuple):
    """Seconds of n probes, (n,) each: until the touch, and in all; and the arms afterwards."""

    before_s: Floats
    total_s: Floats
    arm: ArmState


def probe_seconds(goals: GoalArrays, places: Places, arm: ArmState, ok: NDArray[np.bool_]) -> Spent:
    """How long n probes take.

    Args:
        goals: what is asked.
        places: where.
        arm: before.
        ok: (n,) bool, the arm sets out at all: the place can be reached and the hand is free.
    """
    reach, kind = _reach(), goals.primitive
    tool = TOOL_OF[kind] + goals.pad_index
    found = np.matmul(_terms(places.x_m, places.y_m)[:, None, :], reach.table[tool])[:, 0, :]
    hover, speed, acceleration = found[:, :7], found[:, 7], found[:, 8]
    look, dwell, lift = kind == _LOOK, kind == _DWELL, kind == _LIFT
    looks, lifts = np.count_nonzero(look), np.count_nonzero(lift)
    if lifts:
        hover = np.where(lift[:, None], _turned(hover, places.grasp_angle_rad), hover)
    start, left = arm.posture, arm.tool
    if looks:
        start, left = np.where(look[:, None], HOME, start), np.where(look, AT_HOME, left)
    enter = _transit_s(start, hover, reach.limits)
    detour = reach.detour[left, tool]
    if np.count_nonzero(detour):
        via = VIA[np.maximum(detour - 1, 0)]
        around = _transit_s(start, via, reach.limits) + _transit_s(via, hover, reach.limits)
        enter = np.where(detour > 0, around, enter)
    above = _above(places.height_m)
    total = before = enter
    touched = arm.touched_m
    if looks + lifts < len(kind):
        base = pairs(places.x_m, places.y_m)
        away = base - touched
        near = np.sqrt(away[:, 0] ** 2 + away[:, 1] ** 2) < NEIGHBOUR_M  # False where it is NaN
        known = near & (np.abs(goals.tilt_rad) < LEVEL_TILT_RAD)
        before = enter + _descent_s(goals, tool, places.height_m, above, known, speed, acceleration)
        total = before + _contact_s(goals, profile_s(above, speed, acceleration))
        touched = np.where((look | lift)[:, None], touched, base)
    if looks:
        total, before = _with_looks(look, goals, arm, (enter, above, speed, acceleration), total, before)
    if lifts:
        total = np.where(lift, enter + _lift_s(places, speed, acceleration), total)
        before = np.where(lift, total - WEIGH_S, before)
        touched = np.where(lift[:, None], np.nan, touched)
    ends_home = look | dwell
    if np.count_nonzero(ends_home):
        hover, tool = np.where(ends_home[:, None], HOME, hover), np.where(ends_home, AT_HOME, tool)
    if np.count_nonzero(ok) == len(kind):
        return Spent(before, total, ArmState(hover, tool, touched))
    moved = ok | look  # a look goes home before it plans its way
    given_up = np.where(look, _transit_s(arm.posture, HOME, reach.limits), 0.0) + REFUSED_S
    after = ArmState(
        np.where(moved[:, None], hover, arm.posture),
        np.where(moved, tool, arm.tool),
        np.where(ok[:, None], touched, arm.touched_m),
    )
    return Spent(np.where(ok, before, 0.0), np.where(ok, total, given_up), after)


def _descent_s(
    goals: GoalArrays, tool: NDArray[np.int64], height: Floats, above: Floats, known: NDArray[np.bool_], top: Floats,
    acceleration: Floats,
) -> Floats:  # fmt: skip
    """(n,) from the hover to the touch: quickly, within the work area on the tips' springs, then slowly."""
    tap = goals.primitive == _TAP
    stiffness = STIFFNESS_N_M[tool]
    room_n = LIMITS.overshoot_share * LIMITS.force_limit_n
    safe = _approach_speed(stiffness, room_n, acceleration)
    slow = np.where(tap, goals.speed_m_s, safe)
    springy = np.maximum(_approach_speed(LIMITS.tip_spring_n_m, room_n, acceleration), slow)
    room = np.where(tap, 0.3 * slow, LIMITS.free_s * slow)
    slow_m = np.where(known, LIMITS.known_above_m, LIMITS.slow_above_m) + room
    into_area = np.maximum(height + above - WORK_AREA[2], 0.0)
    first = np.minimum(into_area, above - slow_m)
    braking = 0.9 * acceleration
    rise, fall = 0.5 / acceleration, 0.5 / braking
    peak = np.sqrt((first + fall * springy**2) / (rise + fall))
    peak = np.minimum(np.maximum(peak, springy), top)
    way = rise * peak**2 + fall * (peak**2 - springy**2)
    fast_s = peak / acceleration + (peak - springy) / braking + np.maximum(first - way, 0.0) / peak
    second = np.maximum(above - first - slow_m, 0.0)
    return FAST_S + fast_s + second / springy + (springy - slow) * 0.5 / braking + slow_m / np.maximum(slow, 1e-3)


def _approach_speed(stiffness: Floats | float, force: float, braking: Floats) -> Floats:
    """As `guarded.approach_speed`."""
    reaction = LIMITS.reaction_s
    return braking * (np.sqrt(reaction**2 + 2.0 * force / (stiffness * braking)) - reaction)


def _contact_s(goals: GoalArrays, up: Floats) -> Floats:
    """(n,) from the touch to the end of a touch."""
    per_n, rest, holds, rises, slides = _CONTACT_S[goals.primitive].T
    result: Floats = per_n * goals.force_n + rest + holds * goals.dwell_s + rises * up
    if np.count_nonzero(slides):
        speed = np.maximum(goals.speed_m_s, 1e-3)
        result = result + slides * (goals.slide_m / speed + speed / SLIDE_ACCELERATION_M_S2)
    return result


def _with_looks(
    look: NDArray[np.bool_], goals: GoalArrays, arm: ArmState, way: tuple[Floats, ...], total: Floats, before: Floats
) -> tuple[Floats, Floats]:
    enter, above, speed, acceleration = way
    back = _transit_s(arm.posture, HOME, _reach().limits)
    line = np.maximum(above, goals.standoff_m + 0.01) - goals.standoff_m
    travel = profile_s(line, speed, acceleration)
    until = back + enter + travel + SPECTRUM_S
    return np.where(look, until + travel + enter + LOOK_STILL_S, total), np.where(look, until, before)


def _lift_s(places: Places, speed: Floats, acceleration: Floats) -> Floats:
    """(n,) from the hover over the part to the end of its weighing."""
    middle = 0.5 * places.height_m
    grasp = np.maximum(middle, FINGERTIP_BELOW_GRASP_M + 0.0015)
    above = np.maximum(LIMITS.lift_m, LIMITS.hover_height_m - middle)
    passing = grasp + FINGERTIP_BELOW_GRASP_M - 0.006
    quick = np.maximum(above - passing - 0.014, 0.0)
    down = (
        profile_s(quick, speed, acceleration)
        + profile_s(0.014, PASSING_M_S, acceleration)
        + profile_s(np.maximum(passing, 1e-4), np.minimum(speed, DESCENT_M_S), acceleration)
    )
    close = 0.5 * OPEN_MARGIN_M / FINGER_M_S + GRASP_S
    return 0.02 + down + close + profile_s(above, np.minimum(speed, 0.25), acceleration) + WEIGH_S


def _turned(hover: Floats, angle: Floats) -> Floats:
    """Grasp postures with the last joint turned to the closing direction, by the way nearer to the usual posture."""
    last = hover[:, 6] - angle
    last = GRASP_POSTURE[6] + (last - GRASP_POSTURE[6] + 0.5 * math.pi) % math.pi - 0.5 * math.pi
    return np.concatenate((hover[:, :6], last[:, None]), axis=1)
