"""Forces between the tool and the parts, from exact geometry and the contact laws: what PyBullet cannot resolve.

Tool frames and parts do not collide in PyBullet. How far a tip is beyond a part's free surface gives the normal force
(contact.py), its motion along the surface the friction. One `TouchModel` belongs to one part.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from palpate_agents.observation import Frame
from palpate_sim.contact import ARM_STIFFNESS_N_M, BALL_RADIUS_M, pad_force, press_force, slide_force
from palpate_sim.geometry import signed_distance
from palpate_sim.objects import Part, PartBatch

Array = NDArray[np.float64]

PADS = (Frame.WARM_PAD_0, Frame.WARM_PAD_1)
TIP_SPRING_N_M = 1000.0
TIP_TRAVEL_M = 0.010
"""Ball and pads ride on slides with weak springs: released for taps and quick approaches, else clamped."""
TABLE_MARGIN = 512
MAX_DEPTH_M = 0.03
SLIDING_M_S = 2e-3
"""Slower motion along the surface sticks more and more; friction is in full above."""
DRIFT_S = 0.02
"""The part's own motion counts averaged over this time: friction on a part of a few grams, turned with every step of
the physics, would shake it."""


class ForceTable:
    """A monotone force law over depth, tabulated on a square grid so that one look-up takes a microsecond."""

    def __init__(self, law: Callable[[PartBatch, NDArray[np.floating]], NDArray[np.floating]], part: Part):
        depth = MAX_DEPTH_M * np.linspace(0.0, 1.0, TABLE_MARGIN) ** 2
        self._force = law(PartBatch.of([part] * TABLE_MARGIN), depth).tolist()
        self._depth = depth.tolist()

    def at(self, depth_m: float) -> float:
        """Force in N, 0 without contact; the last value beyond the table."""
        if depth_m <= 0.0:
            return 0.0
        k = int(math.sqrt(depth_m / MAX_DEPTH_M) * (TABLE_MARGIN - 1))
        if k >= TABLE_MARGIN - 1:
            return float(self._force[-1])
        low, high = self._depth[k], self._depth[k + 1]
        share = (depth_m - low) / (high - low)
        return float(self._force[k] + share * (self._force[k + 1] - self._force[k]))


@dataclass(slots=True)
class Touch:
    """One tool frame on one part; vectors (3,) in the base frame.

    Attributes:
        frame: what touches.
        model: contact laws of the part.
        depth_m: travel beyond the free surface.
        normal_n: normal force, N.
        closing_m_s: speed against the surface.
        point, normal: where, m, and the outward normal.
    """

    frame: Frame
    model: TouchModel
    depth_m: float
    normal_n: float
    closing_m_s: float
    point: Array
    normal: Array


class TouchModel:
    """Contact laws of one part."""

    def __init__(self, part: Part, rng: np.random.Generator):
        self.part = part
        self.batch = PartBatch.of([part])
        self._ball = ForceTable(press_force, part)
        self._pad = ForceTable(pad_force, part)
        self._rng = rng
        self._slid_s = 0.0
        self._drift = np.zeros(3)

    def gap(self, frame: Frame, tip: Array, axis: Array) -> tuple[float, tuple[float, float, float]]:
        """Distance between a tool frame and the surface, m (negative: beyond it), and the outward normal; part frame.

        Args:
            frame: ball, pad or fibre.
            tip: (3,) its position.
            axis: (3,) its outward axis.
        """
        inset = BALL_RADIUS_M if frame is Frame.BALL_TIP else 0.0
        x, y, z = (float(v) for v in tip - inset * axis)
        distance, normal = signed_distance(self.part.shape, self.part.dimensions_m, x, y, z)
        return distance - inset, normal

    def normal_force(self, frame: Frame, depth_m: float, *, released: bool) -> float:
        """Force against the approach, N.

        Args:
            frame: what touches.
            depth_m: travel beyond the free surface.
            released: the tips ride on their springs; at the end of their travel they are as good as clamped.
        """
        if released and frame is not Frame.FIBRE:
            beyond = max(depth_m - TIP_TRAVEL_M, 0.0)
            return TIP_SPRING_N_M * (depth_m - beyond) + self.normal_force(frame, beyond, released=False)
        if frame in PADS:
            return self._pad.at(depth_m)
        if frame is Frame.BALL_TIP:
            return self._ball.at(depth_m)
        return ARM_STIFFNESS_N_M * max(depth_m, 0.0)

    def friction(self, normal_n: float, tip: Array, surface: Array, normal: Array, period_s: float) -> Array:
        """Friction on the tool (3,), N.

        Args:
            normal_n: normal force.
            tip: (3,) velocity of the tip, m/s.
            surface: (3,) velocity of the part where it is touched, m/s.
            normal: (3,) outward normal.
            period_s: since the last call.
        """
        self._drift += (surface - self._drift) * (period_s / DRIFT_S)
        velocity = tip - self._drift
        velocity -= (velocity @ normal) * normal
        speed = float(np.linalg.norm(velocity))
        if speed < 0.1 * SLIDING_M_S:
            self._slid_s = 0.0
            return np.zeros(3)
        self._slid_s += period_s
        force = float(slide_force(self.batch, normal_n, speed, self._slid_s, self._rng)[0])
        return -force * min(1.0, speed / SLIDING_M_S) / speed * velocity

    def free(self) -> None:
        """Nothing touches the part."""
        self._slid_s = 0.0
        self._drift[:] = 0.0
