"""From a goal in the base frame to joint positions: tool lines, grasps, bins, and free paths between them."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from palpate_agents.errors import CellError
from palpate_agents.observation import Frame
from palpate_sim.clearance import Clearance
from palpate_sim.fixtures import bin_positions, bin_rim_m
from palpate_sim.kinematics import Chain, IkTarget, InverseKinematics, UrdfModel
from palpate_sim.trajectory import ToolLine

Array = NDArray[np.float64]

HOME = np.array([0.971, -0.400, -0.014, -2.482, -0.006, 2.082, 0.780])
"""Hand straight down (as when it weighs a part, so that its own weight reads the same), beside both cameras' view."""
TOOL_POSTURE = np.array([0.35, 0.34, -0.20, -2.20, -1.06, 1.84, 0.18])
SCRAPER_POSTURE = np.array([0.876, 0.726, -0.469, -2.069, -0.816, 1.328, 0.977])
GRASP_POSTURE = np.array([0.06, 0.35, -0.06, -2.39, 0.05, 2.74, 0.78])
"""Comfortable postures over the middle of the table: inverse kinematics starts there and stays near."""
DOWN = np.array([0.0, 0.0, -1.0])
MAX_TILT_RAD = math.radians(35.0)
"""Steeper surfaces are not probed: the tool would slip, and the hand comes near the table."""
TOOL_TILT_RAD = math.radians(16.0)
"""Goals tilt the tool on purpose by at most 15 degrees."""
TIP_HALF_M = {
    Frame.BALL_TIP: 0.003, Frame.WARM_PAD_0: 0.006, Frame.WARM_PAD_1: 0.006, Frame.SCRAPER_TIP: 0.003,
    Frame.FIBRE: 0.0,
}  # fmt: skip
"""How far tips reach sideways (the ball: as far as it matters for its lowest point; the fibre's end is round)."""
WORK_HEIGHT_M = (-0.001, 0.20)
"""Heights above the table at which a target makes sense."""
RISE_STEP_M, RISE_STEPS = 0.02, 10
MOST_TURN_RAD = 0.3
"""Of a joint within a step of rising; more means that the arm folds over."""
FINGERTIP_BELOW_GRASP_M = 0.0095
"""The fingertips reach 9 mm below the grasp frame."""


class Unreachable(Exception):  # noqa: N818 - an outcome of a probe, reported and not raised to users
    """No collision-free joint solution; the message says for what."""


class Planner:
    """Plans against the URDF's geometry only; nothing here knows which part lies on the table."""

    def __init__(self, model: UrdfModel | None = None):
        self.model = model or UrdfModel()
        self.clearance = Clearance(self.model)
        frames = (
            Frame.BALL_TIP, Frame.WARM_PAD_0, Frame.WARM_PAD_1, Frame.SCRAPER_TIP, Frame.FIBRE, Frame.GRASP,
        )  # fmt: skip
        self.ik = {frame: InverseKinematics(Chain(self.model, frame)) for frame in frames}
        self.sensor_chain = Chain(self.model, Frame.FORCE_TORQUE)
        self.velocity = self.sensor_chain.velocity
        self.bins = bin_positions(self.model)
        self.bin_rim_m = bin_rim_m(self.model)
        self.tool_mass_kg = self.model.inertia_below(Frame.FORCE_TORQUE)[0]
        self.tool_in_sensor: dict[Frame, Array] = {
            frame: self.model.fixed_transform(frame, Frame.FORCE_TORQUE) for frame in frames if frame != Frame.GRASP
        }

    @staticmethod
    def tool_seeds(frame: Frame) -> list[Array]:
        """(7,) postures from which a tool frame's inverse kinematics starts, best first."""
        first = SCRAPER_POSTURE if frame is Frame.SCRAPER_TIP else TOOL_POSTURE
        return [first, TOOL_POSTURE * np.array([-1.0, 1, -1, 1, -1, 1, 1]), GRASP_POSTURE]

    def tool_line(self, frame: Frame, point: Array, normal: Array, above_m: float, below_m: float) -> ToolLine:
        """Line of a tool frame through `point` against `normal`, from `above_m` over it to `below_m` beneath.

        Raises:
            Unreachable: out of reach, too steep, or something would be hit.
        """
        point, normal = np.asarray(point, float), np.asarray(normal, float)
        size = float(np.linalg.norm(normal))
        if not (np.isfinite(point).all() and np.isfinite(size) and size > 1e-6):
            raise Unreachable(f"target {point} with normal {normal} is not a place")
        normal = normal / size
        tilt = math.acos(float(np.clip(normal[2], -1.0, 1.0)))
        if tilt > MAX_TILT_RAD:
            raise Unreachable(
                f"the surface is tilted by {math.degrees(tilt):.0f} degrees, the tool reaches "
                f"{math.degrees(MAX_TILT_RAD):.0f}"
            )
        if not WORK_HEIGHT_M[0] <= point[2] <= WORK_HEIGHT_M[1]:
            raise Unreachable(f"the target is {point[2] * 1e3:.0f} mm above the table, the tool works up to 200 mm")
        ik = self.ik[frame]
        target = IkTarget(point, -normal)
        q = ik.solve(target, self.tool_seeds(frame), lambda q: self.clearance.free(q, tool=False))
        if q is None:
            raise Unreachable(f"no free posture puts {frame.value} at {_text(point)}")
        below_m = min(below_m, max(point[2] - 0.0005, 0.0) / max(float(normal[2]), 0.5))
        start = self._start(ik, q, point + normal * above_m, -normal)
        line = ToolLine.plan(ik, point, -normal, target, start, -above_m, below_m)
        if line is None or not self._line_free(line, tool_low=True):
            raise Unreachable(f"{frame.value} cannot go straight to {_text(point)}")
        return line

    def grasp_line(self, point: Array, angle_rad: float, above_m: float) -> ToolLine:
        """Line of the grasp frame straight down to `point`, fingers closing along `angle_rad` about +z.

        Raises:
            Unreachable: as for `tool_line`.
        """
        point = np.asarray(point, float).copy()
        if not np.isfinite(point).all() or not math.isfinite(angle_rad):
            raise Unreachable(f"grasp at {point} with angle {angle_rad} is not a place")
        point[2] = max(point[2], FINGERTIP_BELOW_GRASP_M + 0.0015)
        ik = self.ik[Frame.GRASP]
        best: tuple[float, ToolLine] | None = None
        for turn in (0.0, math.pi):
            closing = np.array([math.cos(angle_rad + turn), math.sin(angle_rad + turn), 0.0])
            target = IkTarget(point, DOWN, np.cross(closing, DOWN))
            seeds = [GRASP_POSTURE]
            q = ik.solve(target, seeds, lambda q: self.clearance.free(q, tool=False))
            if q is None:
                continue
            top = IkTarget(point - DOWN * above_m, DOWN, target.x_axis)
            start = ik.refine(q, top)
            line = None if start is None else ToolLine.plan(ik, point, DOWN, target, start, -above_m, 0.0)
            if line is not None and self._line_free(line, tool_low=True):
                travel = float(np.abs(line.positions[0] - GRASP_POSTURE).max())
                if best is None or travel < best[0]:
                    best = (travel, line)
        if best is None:
            raise Unreachable(f"no free posture puts the fingers at {_text(point)}")
        return best[1]

    @staticmethod
    def surface_normal(approach: Array) -> Array:
        """(3,) unit normal of the surface that is touched against `approach` (3,).

        Parts lie with level faces up: an approach that is off the vertical by no more than a tool is tilted on purpose
        meets a level surface; a steeper one is taken as the normal of a slanted surface.
        """
        unit = np.asarray(approach, float) / np.linalg.norm(approach)
        return np.array([0.0, 0.0, 1.0]) if unit[2] > math.cos(TOOL_TILT_RAD) else unit

    def room_m(self, frame: Frame, q: Array, up: Array, others: tuple[Frame, ...] = tuple(TIP_HALF_M)) -> float:
        """How deep a tool frame may press before another tip meets the same plane, m.

        Args:
            frame: what touches.
            q: (7,) joint positions of the touch, rad.
            up: (3,) normal of the plane.
            others: tips that count; the fibre's gives least, it is as stiff as the arm.
        """
        sensor = self.sensor_chain.forward(q)
        own = float(up @ (sensor @ self.tool_in_sensor[frame])[:3, 3])
        room = math.inf
        for other in others:
            if other is not frame:
                half = TIP_HALF_M[other]
                pose = sensor @ self.tool_in_sensor[other]
                lowest = float(up @ pose[:3, 3]) - half * float(np.abs(up @ pose[:3, :2]).sum())
                room = min(room, lowest - own)
        return room

    def slide(self, line: ToolLine, frame: Frame, q: Array, direction: Array, length_m: float) -> ToolLine:
        """Line along the surface from the tool's place at `q`, orientation kept.

        Raises:
            Unreachable: the arm cannot follow.
        """
        ik = self.ik[frame]
        pose = ik.chain.forward(q)
        target = IkTarget(pose[:3, 3], pose[:3, 2], pose[:3, 0])
        along = ToolLine.plan(ik, pose[:3, 3], direction, target, q, 0.0, length_m)
        if along is None or not self._line_free(along, tool_low=True):
            raise Unreachable(f"the arm cannot slide {length_m * 1e3:.0f} mm from {_text(line.origin)}")
        return along

    def retreat(self, line: ToolLine, frame: Frame, q: Array, distance_m: float) -> ToolLine | None:
        """Line from `q`, at a distance of a line that was left sideways, back as far as that line began; None: none.

        Args:
            line: the way down.
            frame: of the tool.
            q: (7,) joint positions, rad.
            distance_m: that they stand for.
        """
        ik, length = self.ik[frame], distance_m - line.start_m
        if length <= 0.0:
            return None
        pose = ik.chain.forward(q)
        target = IkTarget(pose[:3, 3], pose[:3, 2], pose[:3, 0])
        up = ToolLine.plan(ik, pose[:3, 3], -line.direction, target, q, 0.0, length)
        if up is None:
            return None
        return ToolLine(
            pose[:3, 3] - distance_m * line.direction, line.direction, line.start_m, distance_m, up.positions[::-1]
        )

    def over_bin(self, name: str, height_m: float, near: Array, payload_m: float) -> Array:
        """Joint positions with the grasp frame `height_m` over a bin's floor, hand down, turned as is nearest.

        Raises:
            CellError: no such bin.
            Unreachable: no free posture.
        """
        if name not in self.bins:
            raise CellError(f"there is no bin {name!r} in the cell; bins are {', '.join(sorted(self.bins))}")
        target = IkTarget(self.bins[name] + np.array([0.0, 0.0, height_m]), DOWN)
        q = self.ik[Frame.GRASP].solve(
            target, [GRASP_POSTURE, near], lambda q: self.clearance.free(q, payload_m=payload_m)
        )
        if q is None:
            raise Unreachable(f"no free posture over bin {name!r}")
        return q

    def path(self, start: Array, goal: Array, payload_m: float = 0.0) -> list[Array]:
        """Joint positions to pass on the way, the goal last: straight, or over a raised posture.

        A start that is itself too near to something, or from which no such way leads, is left first, straight up.

        Raises:
            Unreachable: none is free.
        """
        if self.clearance.free(start, payload_m=payload_m):
            way = self._free_path(start, goal, payload_m)
            if way:
                return way
        for raised in self._raised(start):
            if self.clearance.path_leaves(start, raised, payload_m=payload_m):
                way = self._free_path(raised, goal, payload_m)
                if way:
                    return [raised, *way]
        raise Unreachable("no free path between the arm's posture and its goal")

    def _free_path(self, start: Array, goal: Array, payload_m: float) -> list[Array]:
        """Joint positions to pass from a free posture, empty if there is no way."""
        if self.clearance.path_free(start, goal, payload_m=payload_m):
            return [goal]
        for via in (GRASP_POSTURE + np.array([0, -0.4, 0, 0, 0, -0.3, 0]), HOME):
            legs = ((start, via), (via, goal))
            if all(self.clearance.path_free(a, b, payload_m=payload_m) for a, b in legs):
                return [via, goal]
        return []

    def _raised(self, start: Array) -> Iterator[Array]:
        """Joint positions with the hand straight up over where it is, higher and higher; at last home."""
        ik, q = self.ik[Frame.GRASP], start
        pose = ik.chain.forward(start)
        for rise in np.arange(1, RISE_STEPS + 1) * RISE_STEP_M:
            raised = ik.refine(q, IkTarget(pose[:3, 3] - rise * DOWN, pose[:3, 2], pose[:3, 0]))
            if raised is None or float(np.abs(raised - q).max()) > MOST_TURN_RAD:
                break
            q = raised
            yield q
        yield HOME

    @staticmethod
    def _start(ik: InverseKinematics, q: Array, point: Array, approach: Array) -> Array:
        x_axis = ik.chain.forward(q)[:3, 0]
        start = ik.refine(q, IkTarget(point, approach, x_axis))
        if start is None:
            raise Unreachable(f"the arm cannot hover at {_text(point)}")
        return start

    def _line_free(self, line: ToolLine, *, tool_low: bool) -> bool:
        step = max(1, len(line.positions) // 6)
        return all(self.clearance.free(q, tool=not tool_low) for q in [*line.positions[::step], line.positions[-1]])


def _text(point: Array) -> str:
    return f"({point[0]:.3f}, {point[1]:.3f}, {point[2]:.3f}) m"
