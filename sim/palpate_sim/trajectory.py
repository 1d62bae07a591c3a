"""Time along a path: jerk-free velocity profiles, joint-space moves and straight lines of the tool.

Everything here is a function of time or of distance; motion.py samples it at the control rate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from palpate_sim.kinematics import IkTarget, InverseKinematics

Array = NDArray[np.float64]

JOINT_ACCELERATION = np.array([15.0, 7.5, 10.0, 12.5, 15.0, 20.0, 20.0])
"""Largest joint accelerations of the Panda, rad/s2 (Franka, robot and interface specifications)."""


def approach_speed(stiffness_n_m: float, force_n: float, braking_m_s2: float, reaction_s: float) -> float:
    """Speed at which no more than `force_n` builds up between touch and standstill, m/s.

    Travel after the touch is `v t + v^2 / (2 a)`; times the stiffness it must equal the force.
    """
    return braking_m_s2 * (math.sqrt(reaction_s**2 + 2.0 * force_n / (stiffness_n_m * braking_m_s2)) - reaction_s)


@dataclass(frozen=True)
class Profile:
    """Rest to rest over a distance: velocity ramps are raised cosines, so acceleration is continuous.

    Attributes:
        distance: length, >= 0.
        speed: top speed reached.
        ramp_s: length of each ramp.
        duration_s: of the whole motion.
    """

    distance: float
    speed: float
    ramp_s: float
    duration_s: float

    @staticmethod
    def over(distance: float, speed: float, acceleration: float) -> Profile:
        """Fastest such motion: the peak of a raised-cosine ramp is pi/2 times its mean acceleration."""
        if distance <= 0.0:
            return Profile(0.0, 0.0, 0.0, 0.0)
        top = min(speed, math.sqrt(2.0 * acceleration * distance / math.pi))
        ramp = 0.5 * math.pi * top / acceleration
        return Profile(distance, top, ramp, distance / top + ramp)

    def at(self, time_s: float) -> float:
        """Distance covered after `time_s`."""
        if time_s >= self.duration_s:
            return self.distance
        if time_s <= 0.0:
            return 0.0
        if time_s < self.ramp_s:
            return self._ramp(time_s)
        left = self.duration_s - time_s
        if left < self.ramp_s:
            return self.distance - self._ramp(left)
        return self.speed * (time_s - 0.5 * self.ramp_s)

    def _ramp(self, time_s: float) -> float:
        return 0.5 * self.speed * (time_s - self.ramp_s / math.pi * math.sin(math.pi * time_s / self.ramp_s))


class JointMove:
    """Straight line in joint space, all joints in step, within velocity and acceleration limits."""

    def __init__(self, start: Array, goal: Array, velocity: Array, fraction: float = 0.9):
        """Plan the move.

        Args:
            start: (7,) rad.
            goal: (7,) rad.
            velocity: (7,) limits, rad/s; accelerations are the Panda's.
            fraction: share of both limits that is used.
        """
        self.start, self.goal = np.asarray(start, float), np.asarray(goal, float)
        delta = np.abs(self.goal - self.start)
        length = float(delta.max())
        share = np.maximum(delta / length, 1e-9) if length > 0.0 else np.ones_like(delta)
        self.profile = Profile.over(
            length,
            float((fraction * velocity / share).min()),
            float((fraction * JOINT_ACCELERATION / share).min()),
        )
        self._direction = (self.goal - self.start) / length if length > 0.0 else np.zeros_like(delta)

    @property
    def duration_s(self) -> float:
        """Seconds from rest to rest."""
        return self.profile.duration_s

    def at(self, time_s: float) -> Array:
        """Joint positions (7,) after `time_s`."""
        return self.start + self._direction * self.profile.at(time_s)

    def sampled(self, step_s: float = 0.02) -> tuple[Array, Array]:
        """Positions (P, 7) and times (P,) from the start, for publishing."""
        times = np.append(np.arange(0.0, self.duration_s, step_s), self.duration_s)
        return np.stack([self.at(t) for t in times]), times


class ToolLine:
    """Joint positions along a straight line of a tool frame with constant orientation: a spline through IK solutions.

    The control loop evaluates a polynomial instead of solving inverse kinematics at 1 kHz.
    """

    knot_m = 0.005

    def __init__(self, origin: Array, direction: Array, start_m: float, end_m: float, positions: Array):
        """Use `plan`.

        Args:
            origin: (3,) point of the line at distance 0.
            direction: (3,) unit vector.
            start_m: distance of the first knot.
            end_m: of the last.
            positions: (K, 7) joint positions at equally spaced knots, K >= 2.
        """
        self.origin, self.direction, self.positions = origin, direction, positions
        self.start_m, self.end_m = start_m, end_m
        self._spacing_m = (end_m - start_m) / (len(positions) - 1)
        slopes = np.gradient(positions, axis=0, edge_order=2 if len(positions) > 2 else 1)
        p0, p1, m0, m1 = positions[:-1], positions[1:], slopes[:-1], slopes[1:]
        self._coefficients = np.stack([p0, m0, 3 * (p1 - p0) - 2 * m0 - m1, 2 * (p0 - p1) + m0 + m1], axis=1)

    @staticmethod
    def plan(
        ik: InverseKinematics,
        origin: Array,
        direction: Array,
        target: IkTarget,
        seed: Array,
        start_m: float,
        end_m: float,
    ) -> ToolLine | None:
        """Solve the knots from `start_m` to `end_m`, each from its neighbour, or None where one fails.

        Args:
            ik: solver of the tool frame.
            origin: (3,) point of the line at distance 0.
            direction: (3,) unit vector.
            target: orientation to keep (its position is ignored).
            seed: (7,) joint positions at or near `start_m`.
            start_m: where the line begins, m.
            end_m: where it ends, m.
        """
        count = max(2, math.ceil((end_m - start_m) / ToolLine.knot_m - 1e-9) + 1)
        positions = np.empty((count, 7))
        q, x_axis = np.asarray(seed, float), target.x_axis
        for k in range(count):
            point = origin + direction * (start_m + (end_m - start_m) * k / (count - 1))
            solution = ik.refine(q, IkTarget(point, target.approach, x_axis))
            if solution is None or (k > 0 and float(np.abs(solution - q).max()) > 0.15):
                return None
            q = positions[k] = solution
            if x_axis is None:  # keep the turn that the first knot found
                x_axis = ik.chain.forward(q)[:3, 0]
        return ToolLine(np.asarray(origin, float), np.asarray(direction, float), start_m, end_m, positions)

    def at(self, distance_m: float) -> Array:
        """Joint positions (7,) at a distance along the line, clipped to its range."""
        x = (min(max(distance_m, self.start_m), self.end_m) - self.start_m) / self._spacing_m
        k = min(int(x), len(self._coefficients) - 1)
        t = x - k
        c = self._coefficients[k]
        return ((c[3] * t + c[2]) * t + c[1]) * t + c[0]

    def limit(self, joint_limits: Array, fraction: float = 0.85) -> float:
        """Largest speed (or acceleration) along the line that keeps every joint below its limit, m/s (m/s2).

        Args:
            joint_limits: (7,) rad/s or rad/s2.
            fraction: share of them that is used.
        """
        slope = np.abs(np.diff(self.positions, axis=0)).max(axis=0) / self._spacing_m
        return float((fraction * joint_limits / np.maximum(slope, 1e-9)).min())
