"""Forces between the tool and the parts, from exact geometry and the contact laws: what PyBullet cannot resolve.

Tool frames and parts do not collide in PyBullet. How far a tip is beyond a part's free surface gives the normal force
(contact.py), its motion along the surface the friction. One `TouchModel` belongs to one part.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from palpate_agents.observation import Frame
from palpate_sim.contact import (
    ARM_STIFFNESS_N_M,
    BALL_RADIUS_M,
    FrictionLaw,
    pad_stiffness_n_m,
    press_law,
    series_force_scalar,
)
from palpate_sim.geometry import signed_distance
from palpate_sim.objects import Part, PartBatch
from palpate_sim.surface import SurfaceMaps, spot_batch

Array = NDArray[np.float64]

PADS = (Frame.WARM_PAD_0, Frame.WARM_PAD_1)
TIP_SPRING_N_M = 1000.0
TIP_TRAVEL_M = 0.010
"""Ball and pads ride on slides with weak springs: released for taps and quick approaches, else clamped."""
SLIDING_M_S = 2e-3
"""Slower motion along the surface sticks more and more; friction is in full above."""
DRIFT_S = 0.02
"""The part's own motion counts averaged over this time: friction on a part of a few grams, turned with every step of
the physics, would shake it."""
SPOT_RADIUS_M = {Frame.BALL_TIP: 0.5e-3, Frame.SCRAPER_TIP: 3e-3, Frame.WARM_PAD_0: 6e-3, Frame.WARM_PAD_1: 6e-3}
"""Footprints of what touches."""
NEW_SPOT_M = 0.5e-3
"""A tip that has slid so far meets another spot."""


@dataclass(slots=True)
class Spot:
    """What a tool frame meets where it touches, with its law as plain numbers for the 1 kHz loop.

    Attributes:
        uv: (2,) m, part's frame.
        batch: the spot, N = 1.
        hertz, compliance: of the ball's contact, N/m^1.5 and m/N.
        pad_n_m: stiffness of a pad.
        yield_n, yield_m: force and travel at which the part begins to flow under the ball; flow_m_n: its give then.
        friction_factor: of what lies on the surface.
        dent_m: how deep the ball has marked it in this touch.
    """

    uv: tuple[float, float]
    batch: PartBatch
    hertz: float
    compliance: float
    pad_n_m: float
    yield_n: float
    yield_m: float
    flow_m_n: float
    friction_factor: float
    dent_m: float = 0.0

    @staticmethod
    def of(uv: tuple[float, float], batch: PartBatch) -> Spot:
        """Law of a spot, N = 1."""
        hertz, compliance, yield_n, flow = (float(values[0]) for values in press_law(batch))
        limit = compliance * yield_n + (yield_n / hertz) ** (2.0 / 3.0)
        pad, factor = float(pad_stiffness_n_m(batch)[0]), float(batch.friction_factor[0])
        return Spot(uv, batch, hertz, compliance, pad, yield_n, limit, flow, factor)

    def ball_force(self, depth_m: float) -> float:
        """Force of the ball, N; where it has marked the part it meets it deeper than before."""
        if depth_m <= self.yield_m:
            loading = series_force_scalar(depth_m, self.hertz, self.compliance)
        else:
            loading = self.yield_n + (depth_m - self.yield_m) / (self.compliance + self.flow_m_n)
            flowed = self.yield_m - self.compliance * self.yield_n + self.flow_m_n * (loading - self.yield_n)
            self.dent_m = max(self.dent_m, flowed - (loading / self.hertz) ** (2.0 / 3.0))
        if self.dent_m == 0.0:
            return loading
        return min(loading, series_force_scalar(depth_m - self.dent_m, self.hertz, self.compliance))


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

    @property
    def spot(self) -> PartBatch:
        """What the frame meets, N = 1."""
        return self.model.met(self.frame).batch


class TouchModel:
    """Contact laws of one part, with its surface.

    Attributes:
        part, batch: the part, alone and as a batch of one.
        maps: its surface, N = 1; set anew when a touch has changed it.
    """

    def __init__(self, part: Part, rng: np.random.Generator):
        self.part = part
        self.batch = PartBatch.of([part])
        self._maps = SurfaceMaps.of_part(part)
        self._friction = FrictionLaw.of(self.batch)
        self._rng = rng
        self._slid_s = 0.0
        self._drift = np.zeros(3)
        self._place = dict.fromkeys(SPOT_RADIUS_M, (0.0, 0.0))
        self._spots: dict[Frame, Spot] = {}

    @property
    def maps(self) -> SurfaceMaps:
        """Its surface as it is now, N = 1."""
        return self._maps

    @maps.setter
    def maps(self, maps: SurfaceMaps) -> None:
        self._maps = maps
        self._spots.clear()

    def spot(self, uv: Array, radius_m: float) -> PartBatch:
        """What a sensor with a round footprint meets at a place (2,) m of the part's frame, N = 1."""
        return spot_batch(self.batch, self.maps, np.asarray(uv, float)[None], radius_m)

    def met(self, frame: Frame) -> Spot:
        """What a tool frame met where it was last measured by `gap`."""
        u, v = self._place[frame]
        known = self._spots.get(frame)
        if known is None or math.hypot(known.uv[0] - u, known.uv[1] - v) > NEW_SPOT_M:
            known = Spot.of((u, v), self.spot(np.array([u, v]), SPOT_RADIUS_M[frame]))
            self._spots[frame] = known
        return known

    def gap(self, frame: Frame, tip: Array, axis: Array) -> tuple[float, tuple[float, float, float]]:
        """Distance between a tool frame and the surface, m (negative: beyond it), and the outward normal; part frame.

        Args:
            frame: ball, scraper, pad or fibre.
            tip: (3,) its position.
            axis: (3,) its outward axis.
        """
        inset = BALL_RADIUS_M if frame is Frame.BALL_TIP else 0.0
        x, y, z = (float(v) for v in tip - inset * axis)
        distance, normal = signed_distance(self.part.shape, self.part.dimensions_m, x, y, z)
        if frame in self._place:
            self._place[frame] = (x, y)
        return distance - inset, normal

    def normal_force(self, frame: Frame, depth_m: float, *, released: bool) -> float:
        """Force against the approach, N, where the frame was last measured by `gap`.

        Args:
            frame: what touches.
            depth_m: travel beyond the free surface.
            released: the tips ride on their springs; at the end of their travel they are as good as clamped.
        """
        if released and frame is not Frame.FIBRE:
            beyond = max(depth_m - TIP_TRAVEL_M, 0.0)
            return TIP_SPRING_N_M * (depth_m - beyond) + self.normal_force(frame, beyond, released=False)
        if depth_m <= 0.0:
            return 0.0
        if frame in PADS:
            return depth_m * self.met(frame).pad_n_m
        if frame in (Frame.BALL_TIP, Frame.SCRAPER_TIP):  # the button's edge is taken to be as stiff as the ball
            return self.met(frame).ball_force(depth_m)
        return ARM_STIFFNESS_N_M * depth_m

    def friction(
        self, frame: Frame, normal_n: float, tip: Array, surface: Array, normal: Array, period_s: float
    ) -> Array:
        """Friction (3,), N, where the frame was last measured by `gap`; it follows what lies on the surface.

        Args:
            frame: what touches.
            normal_n: normal force.
            tip: (3,) velocity of the tip, m/s.
            surface: (3,) velocity of the part where it is touched, m/s.
            normal: (3,) outward normal.
            period_s: since the last call.
        """
        self._drift += (surface - self._drift) * (period_s / DRIFT_S)
        velocity = tip - self._drift
        velocity -= (velocity @ normal) * normal
        speed = math.sqrt(float(velocity @ velocity))
        if speed < 0.1 * SLIDING_M_S:
            self._slid_s = 0.0
            return np.zeros(3)
        self._slid_s += period_s
        factor = self.met(frame).friction_factor if frame in self._place else 1.0
        noise = float(self._rng.standard_normal())
        force = self._friction.force(normal_n, speed, self._slid_s, factor, noise)
        return -force * min(1.0, speed / SLIDING_M_S) / speed * velocity

    def free(self) -> None:
        """Nothing touches the part."""
        self._slid_s = 0.0
        self._drift[:] = 0.0
        if self._spots:
            self._spots.clear()
