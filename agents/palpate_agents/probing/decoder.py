"""From seven bounded numbers to a probe on a good spot, for n parts at once, and back.

Every strategy acts through this decoder, in the batched environment as on the real cell. An action names a point in the
seen box of the part; the decoder moves it to the best place near by: seen, level, with room for the tool and its way.

| number | meaning |
|---|---|
| 0, 1 | point along the seen length and width, -1..1 from edge to edge |
| 2 | above 0.5: look from 10 to 100 mm; below -0.8: grasp and weigh; between: touch |
| 3 | tool: pad 0, pad 1, ball, scraper, a quarter of the range each; the place in the ball's quarter is a tilt of
-15 to 15 degrees about the width; of a look the whole range is |
| 4 | within -0.5..0.5 no slide; above 8 to 20 mm along the length, below along the width |
| 5 | tempo: of the ball above 0 a tap at 20 to 50 mm/s, else a press held for 0.1 to 1 s; of a pad that rests 1 to
4 s; of a slide 5 to 40 mm/s |
| 6 | force, 1 to 6 N; a tap has none, a grasp the hand's own |

A pad that slides wipes, a scraper always scratches. Pads and scraper lie flat. NumPy, or torch through the array API.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from palpate_agents.errors import ConfigError
from palpate_agents.observation import Primitive, ProbeGoal
from palpate_agents.probing.spot_quality import EDGE_M, SeenPart, limited, namespace, pairs, snapped, spot_quality
from palpate_agents.segmentation import PartView

__all__ = ["ACTION_SIZE", "GoalArrays", "SeenPart", "check_actions", "decode", "encode", "goal_of", "spot_quality"]

Array = Any
"""A NumPy array or a torch tensor."""

ACTION_SIZE = 7
LOOK_ABOVE, LIFT_BELOW, NO_SLIDE = 0.5, -0.8, 0.5
STANDOFF_M, TILT_RAD = (0.010, 0.100), math.radians(15.0)
SLIDE_M, SLIDE_SPEED_M_S = (0.008, 0.020), (0.005, 0.040)
TAP_SPEED_M_S, HOLD_S, DWELL_S, FORCE_N = (0.02, 0.05), (0.1, 1.0), (1.0, 4.0), (1.0, 6.0)
HALF_WIDTH_M = (0.006, 0.006, 0.002, 0.003, 0.004)
"""Half of what pad 0, pad 1, ball, scraper and the fibre's spot cover."""
LOCAL_M, LOCAL_POINTS = 0.004, 6
"""Pixels so near a point, and at least so many, tell its height."""
NORMAL_M, STEP_M, NORMAL_POINTS = 0.010, 0.0025, 12
"""Pixels so near, within a step of that height, and at least so many, tell its normal."""
LEVEL_COSINE = math.cos(math.radians(10.0))
"""Normals nearer to vertical count as vertical: noise of depth tilts the fit by up to 8 degrees (1 in 400 fits)."""

_LOOK, _LIFT = int(Primitive.LOOK), int(Primitive.LIFT)
_TOUCH = (
    ((Primitive.DWELL, Primitive.DWELL), (Primitive.WIPE, Primitive.WIPE)),
    ((Primitive.DWELL, Primitive.DWELL), (Primitive.WIPE, Primitive.WIPE)),
    ((Primitive.PRESS, Primitive.TAP), (Primitive.SLIDE, Primitive.SLIDE)),
    ((Primitive.SCRATCH, Primitive.SCRATCH), (Primitive.SCRATCH, Primitive.SCRATCH)),
)
"""By tool, slide and sign of the tempo."""
_SLIDES = (Primitive.WIPE, Primitive.SLIDE, Primitive.SCRATCH)
_LOOKS, _LIFTS = 16, 17
"""Rows of `_tables` behind those of touches."""
_NUMBERS = np.array([2, 3, 5, 5, 6])
_TOOL_OF = {Primitive.WIPE: 0, Primitive.PRESS: 2, Primitive.TAP: 2, Primitive.SLIDE: 2, Primitive.SCRATCH: 3}


class GoalArrays(NamedTuple):
    """Probes of n parts, in each part's seen frame: origin in the middle of the box, first axis along its length.

    Attributes:
        primitive: (n,) int64 of `Primitive`.
        point_m: (n, 2) where the tool touches down, or the fibre looks.
        standoff_m: (n,) of the fibre, 0 where it is not used.
        tilt_rad: (n,) of the approach about the width axis.
        slide_m: (n,) length of a slide, 0 without; slide_angle_rad: (n,) its direction, from the length axis.
        speed_m_s: (n,) of a tap or a slide, 0: the primitive's own.
        dwell_s: (n,) of a press or a warm touch, 0 without.
        force_n: (n,) wanted, 0: the primitive's own.
        pad_index: (n,) int64.
    """

    primitive: Array
    point_m: Array
    standoff_m: Array
    tilt_rad: Array
    slide_m: Array
    slide_angle_rad: Array
    speed_m_s: Array
    dwell_s: Array
    force_n: Array
    pad_index: Array

    def rows(self, index: Any) -> GoalArrays:
        """The goals at an index array, a mask or a slice."""
        return GoalArrays(*(array[index] for array in self))


def check_actions(actions: Array, count: int) -> None:
    """Refuse what is no action.

    Args:
        actions: array to check.
        count: number of parts.

    Raises:
        ConfigError: no real numbers, wrong shape, a value that is not finite, or one beyond -1..1.
    """
    kind = getattr(actions.dtype, "kind", "f")  # torch's types have none, and its own refusals
    if kind not in "fiu":
        raise ConfigError(f"actions are of type {actions.dtype}; give real numbers, float32 is best")
    if tuple(actions.shape) != (count, ACTION_SIZE):
        raise ConfigError(
            f"actions have shape {tuple(actions.shape)}, ({count}, {ACTION_SIZE}) is needed: "
            f"{ACTION_SIZE} numbers for each of {count} parts"
        )
    if kind != "f":
        actions = np.asarray(actions, float)  # the smallest whole number has no absolute value of its own type
    if bool(abs(actions).max() <= 1.0 + 1e-6):
        return
    worst = np.asarray(actions, float)
    row, column = (int(k[0]) for k in np.nonzero(~(np.abs(worst) <= 1.0 + 1e-6)))
    value = worst[row, column]
    way = "clip it" if math.isfinite(value) else "stop the policy that gave it"
    raise ConfigError(f"number {column} of action {row} is {value:g}, allowed are -1 to 1; {way}")


def decode(actions: Array, part: SeenPart) -> GoalArrays:
    """Probes on good spots.

    Args:
        actions: (n, 7), -1..1.
        part: n parts as seen.

    Raises:
        ConfigError: see `check_actions`.
    """
    extent = part.extent_m
    check_actions(actions, extent.shape[0])
    xp = namespace(extent)
    if xp is np:
        actions = np.asarray(actions, np.float64)
    if xp is np and len(actions) == 1:
        row = np.array([_row(*actions[0, 2:6].tolist())])
    else:
        row = _row(*(actions[:, k] for k in range(2, 6)))
    whole, numbers = (_constant(xp, k, extent)[row] for k in (0, 1))
    half, base, gain = numbers[:, 0], numbers[:, 1:6], numbers[:, 6:]
    length, angle, way = _slides(xp, actions[:, 4], whole[:, 2], extent, half)
    tuned = base + gain * (actions[:, _NUMBERS] if xp is np else xp.take(actions, _constant(xp, 2, extent), axis=1))
    return GoalArrays(
        primitive=whole[:, 0],
        point_m=snapped(part, actions[:, :2] * (0.5 * extent[:, :2]), half, way),
        standoff_m=tuned[:, 0],
        tilt_rad=tuned[:, 1],
        slide_m=length,
        slide_angle_rad=angle,
        speed_m_s=tuned[:, 2],
        dwell_s=tuned[:, 3],
        force_n=tuned[:, 4],
        pad_index=whole[:, 1],
    )


def _row(kind: Any, turn: Any, slide: Any, tempo: Any) -> Any:
    """Row of `_tables`; of numbers as of arrays, because one part alone is ten times quicker without arrays."""
    look, lift = 1 * (kind > LOOK_ABOVE), 1 * (kind < LIFT_BELOW)
    tool = 1 * (turn >= -0.5) + 1 * (turn >= 0.0) + 1 * (turn >= 0.5)
    touch = 4 * tool + 2 * (abs(slide) >= NO_SLIDE) + 1 * (tempo > 0.0)
    return look * _LOOKS + lift * (_LIFTS + tool) + (1 - look - lift) * touch


def _slides(xp: Any, slide: Array, slides: Array, extent: Array, half: Array) -> tuple[Array, Array, Array | None]:
    """(n,) length m and direction rad of slides, and (n, 2) their way along length and width, m; None without any."""
    none = 0.0 * half
    if not (np.count_nonzero(slides) if xp is np else xp.any(slides > 0)):
        return none, none, None
    across = (slides > 0) & (slide <= -NO_SLIDE)
    long = limited(xp.abs(slide), NO_SLIDE, 1.0)
    wanted = SLIDE_M[0] + (SLIDE_M[1] - SLIDE_M[0]) / (1.0 - NO_SLIDE) * (long - NO_SLIDE)
    free = xp.where(across, extent[:, 1], extent[:, 0]) - 2.0 * (half + EDGE_M)
    length = slides * limited(xp.minimum(wanted, free), 0.0, SLIDE_M[1])
    wide = length * across
    return length, across * (0.5 * math.pi), pairs(length - wide, wide)


def encode(
    primitive: ArrayLike,
    point_m: ArrayLike,
    extent_m: ArrayLike,
    *,
    standoff_m: ArrayLike = STANDOFF_M[0],
    tilt_rad: ArrayLike = 0.0,
    slide_m: ArrayLike = 0.0,
    across: ArrayLike = False,
    speed_m_s: ArrayLike = 0.02,
    dwell_s: ArrayLike = 0.2,
    force_n: ArrayLike = 3.0,
    pad_index: ArrayLike = 0,
) -> NDArray[np.float64]:
    """Actions (n, 7) that `decode` turns into these probes, as near as bounds and good spots allow.

    Args:
        primitive: (n,) or one of `Primitive`, but PLACE.
        point_m: (n, 2) or (2,) in the seen frame; the middle of the way of a slide.
        extent_m: (n, 3) or (3,) of the seen box.
        standoff_m: of a look.
        tilt_rad: of a look or the ball.
        slide_m: of a slide, a wipe or a scratch; 0: the shortest.
        across: slide along the width instead of the length.
        speed_m_s: of a tap or a slide.
        dwell_s: of a press or a warm touch.
        force_n: of a touch.
        pad_index: of a warm touch.

    Raises:
        ConfigError: a primitive that no action stands for.
    """
    extent, point = np.atleast_2d(np.asarray(extent_m, float)), np.atleast_2d(np.asarray(point_m, float))
    kind, stand, tilt, slide, turned, speed, dwell, force, pad = np.broadcast_arrays(
        *(np.atleast_1d(v) for v in (
            primitive, standoff_m, tilt_rad, slide_m, across, speed_m_s, dwell_s, force_n, pad_index,
        ))
    )  # fmt: skip
    known = {int(p) for row in _TOUCH for pair in row for p in pair} | {_LOOK, _LIFT}
    strange = [int(k) for k in np.unique(kind) if int(k) not in known]
    if strange:
        raise ConfigError(f"no action stands for primitive {strange[0]}; known are {sorted(known)}")
    n = max(len(kind), len(extent), len(point))
    actions = np.zeros((n, ACTION_SIZE))
    actions[:, :2] = point / (0.5 * extent[:, :2])
    look, lift = kind == _LOOK, kind == _LIFT
    actions[:, 2] = np.where(look, LOOK_ABOVE + 1e-6 + (1.0 - LOOK_ABOVE) * _share(stand, STANDOFF_M), -0.3)
    actions[:, 2] = np.where(lift, -1.0, actions[:, 2])
    tool = np.array([_TOOL_OF.get(Primitive(int(k)), 0) for k in kind]) + np.where(kind == Primitive.DWELL, pad, 0)
    lean = np.clip(tilt / TILT_RAD, -1.0, 1.0)
    leaning = 0.5 * np.where(tool == 2, 0.5 * (np.clip(lean, -1.0, 0.999) + 1.0), 0.5)
    actions[:, 3] = np.where(look, lean, -1.0 + 0.5 * tool + leaning)
    slides = np.isin(kind, (Primitive.SLIDE, Primitive.WIPE, Primitive.SCRATCH))
    size = NO_SLIDE + (1.0 - NO_SLIDE) * _share(slide, SLIDE_M)
    actions[:, 4] = np.where(slides, np.where(turned, -size, size), 0.0)
    tempo = np.select(
        [kind == Primitive.TAP, kind == Primitive.PRESS, kind == Primitive.DWELL],
        [np.maximum(_share(speed, TAP_SPEED_M_S), 1e-6), -_share(dwell, HOLD_S), 2.0 * _share(dwell, DWELL_S) - 1.0],
        2.0 * _share(speed, SLIDE_SPEED_M_S) - 1.0,
    )
    actions[:, 5] = tempo
    actions[:, 6] = 2.0 * _share(force, FORCE_N) - 1.0
    return np.clip(actions, -1.0, 1.0)


def goal_of(goals: GoalArrays, row: int, view: PartView) -> ProbeGoal:
    """One of the probes as a goal of the real cell.

    Args:
        goals: of n parts.
        row: which.
        view: that part as the camera sees it; its seen frame is the one of the goals.

    Raises:
        ConfigError: no part was found in the view.
    """
    if not view.found:
        raise ConfigError(f"there is no part to probe: {view.reason}; look again")
    primitive = Primitive(int(goals.primitive[row]))
    if primitive is Primitive.LIFT:
        return ProbeGoal(
            primitive, view.centroid_m, grasp_width_m=view.grasp_width_m, grasp_angle_rad=view.grasp_angle_rad
        )
    along, across = (float(v) for v in goals.point_m[row])
    cos, sin = math.cos(view.yaw_rad), math.sin(view.yaw_rad)
    x = view.centroid_m[0] + cos * along - sin * across
    y = view.centroid_m[1] + sin * along + cos * across
    z, normal = _surface_at(view, x, y)
    # A positive tilt leans the tool's axis towards the length.
    axis, tilt = np.array([-sin, cos, 0.0]), float(goals.tilt_rad[row])
    normal = normal * math.cos(tilt) + np.cross(axis, normal) * math.sin(tilt)
    normal /= np.linalg.norm(normal)
    return ProbeGoal(
        primitive,
        (x, y, z),
        (float(normal[0]), float(normal[1]), float(normal[2])),
        force_n=float(goals.force_n[row]),
        standoff_m=float(goals.standoff_m[row]),
        speed_m_s=float(goals.speed_m_s[row]),
        dwell_s=float(goals.dwell_s[row]),
        slide_distance_m=float(goals.slide_m[row]),
        slide_angle_rad=float(goals.slide_angle_rad[row]) + view.yaw_rad,
        pad_index=int(goals.pad_index[row]),
    )


def _surface_at(view: PartView, x: float, y: float) -> tuple[float, NDArray[np.float64]]:
    """Height m of the seen surface at a point, and its outward normal (3,)."""
    up = np.array([0.0, 0.0, 1.0])
    points = np.asarray(view.pixels_m if len(view.pixels_m) else view.points_m, float)
    if not len(points):
        return view.centroid_m[2] + 0.5 * view.extent_m[2], up
    offset = points - (x, y, 0.0)
    near = np.hypot(offset[:, 0], offset[:, 1])
    local = offset[near < LOCAL_M]
    if len(local) < LOCAL_POINTS:
        local = offset[np.argsort(near)[:LOCAL_POINTS]]
    height = float(np.median(local[:, 2]))
    chosen = offset[(near < NORMAL_M) & (np.abs(offset[:, 2] - height) < STEP_M)]
    if len(chosen) < NORMAL_POINTS:
        return height, up
    slope_x, slope_y, _ = np.linalg.lstsq(np.c_[chosen[:, :2], np.ones(len(chosen))], chosen[:, 2], rcond=None)[0]
    normal = np.array([-slope_x, -slope_y, 1.0]) / math.sqrt(slope_x**2 + slope_y**2 + 1.0)
    return height, up if normal[2] > LEVEL_COSINE else normal


def _share(value: Any, bounds: tuple[float, float]) -> Any:
    return np.clip((np.asarray(value, float) - bounds[0]) / (bounds[1] - bounds[0]), 0.0, 1.0)


@lru_cache(maxsize=1)
def _tables() -> tuple[np.ndarray, ...]:
    """What the kinds of probes have, and of which numbers of an action that is a linear function.

    Returns:
        (21, 3) int64 primitive, pad and 1 for slides, by tool, slide and sign of the tempo, then looks, and grasps by
        tool; (21, 11) half width of the tool, m; then stand-off m, tilt rad, speed m/s, dwell s and force N where
        the number is 0; then their change with it; (5,) the numbers.
    """
    whole, numbers = np.zeros((_LIFTS + 4, 3), np.int64), np.zeros((_LIFTS + 4, 11))

    def line(row: int, place: int, at: tuple[float, float], bounds: tuple[float, float]) -> None:
        """`bounds` at two values of the number."""
        slope = (bounds[1] - bounds[0]) / (at[1] - at[0])
        numbers[row, 1 + place], numbers[row, 6 + place] = bounds[0] - slope * at[0], slope

    for row in range(_LOOKS):
        tool, slid, up = row // 4, row // 2 % 2, row % 2
        primitive = _TOUCH[tool][slid][up]
        whole[row] = primitive, tool if primitive is Primitive.DWELL else 0, primitive in _SLIDES
        numbers[row, 0] = HALF_WIDTH_M[tool]
        if tool == 2:
            line(row, 1, (0.0, 0.5), (-TILT_RAD, TILT_RAD))
        if primitive in _SLIDES:
            line(row, 2, (-1.0, 1.0), SLIDE_SPEED_M_S)
        elif primitive is Primitive.TAP:
            line(row, 2, (0.0, 1.0), TAP_SPEED_M_S)
        else:
            at = (-1.0, 1.0) if primitive is Primitive.DWELL else (0.0, -1.0)
            line(row, 3, at, DWELL_S if primitive is Primitive.DWELL else HOLD_S)
        if primitive is not Primitive.TAP:
            line(row, 4, (-1.0, 1.0), FORCE_N)
    whole[_LOOKS], whole[_LIFTS:] = (_LOOK, 0, 0), (_LIFT, 0, 0)
    numbers[_LOOKS, 0], numbers[_LIFTS:, 0] = HALF_WIDTH_M[4], HALF_WIDTH_M[:4]
    line(_LOOKS, 0, (LOOK_ABOVE, 1.0), STANDOFF_M)
    line(_LOOKS, 1, (-1.0, 1.0), (-TILT_RAD, TILT_RAD))
    return whole, numbers, _NUMBERS


def _constant(xp: Any, number: int, like: Array) -> Array:
    values = _tables()[number]
    return values if xp is np else xp.asarray(values, device=like.device)
