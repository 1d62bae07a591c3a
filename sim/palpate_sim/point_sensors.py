"""Sensors that look at one point: accelerometer in the tip, spectrometer's fibre, eddy-current coils in the pads."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from palpate_agents.observation import Frame, SpectrumSample, TapBurst
from palpate_sim.contact import BURST_DURATION_S, BURST_PREROLL_S, BURST_RATE_HZ, TIP_MASS_KG, tap_burst
from palpate_sim.devices import DeviceDraw
from palpate_sim.objects import PartBatch
from palpate_sim.sensors import inductive as coil
from palpate_sim.sensors.spectrum import axis_of, measure, measure_table, spot_radius_m
from palpate_sim.surface import SurfaceMaps, spot_batch
from palpate_sim.touch import NEW_SPOT_M, PADS, Touch, TouchModel
from palpate_sim.world import World, WorldState

Array = NDArray[np.float64]

MIN_TAP_M_S = 0.005
COIL_REACH_M = 0.03
"""Further away a coil reads less than a twentieth of its noise."""


def burst_of_tap(touch: Touch, rng: np.random.Generator, devices: DeviceDraw) -> tuple[TapBurst, float, float]:
    """Burst of a tap at the speed with which the tip met the surface.

    Returns:
        the burst, its seconds before the touch, and its seconds after it.
    """
    speed = max(touch.closing_m_s, MIN_TAP_M_S)
    acceleration = tap_burst(touch.spot, speed, rng, devices)[0]
    burst = TapBurst(float(BURST_RATE_HZ), acceleration, TIP_MASS_KG, speed)
    return burst, BURST_PREROLL_S, BURST_DURATION_S - BURST_PREROLL_S


def scan(world: World, state: WorldState, devices: DeviceDraw, rng: np.random.Generator) -> SpectrumSample:
    """One spectrum of whatever lies before the fibre: a part, or the table."""
    body, distance, angle, point = world.tool_view(Frame.FIBRE, state)
    if body is not None and point is not None:
        spot = body.touch.spot(point[:2], float(spot_radius_m(distance)))
        values = measure(spot, devices, distance, angle, rng)[0]
    else:
        values = measure_table(devices, distance, angle, rng)
    return SpectrumSample(axis_of(devices.axis_end_nm).copy(), values)


class PadCoils:
    """The eddy-current coils behind the caps of both warm pads, with noise and a value in air that drifts."""

    def __init__(self, rng: np.random.Generator):
        self._rng = rng
        self._air = coil.DRIFT_SD * rng.standard_normal((2, 2))
        self._seat_m: list[float | None] = [None, None]
        self._spots: list[tuple[SurfaceMaps, Array, PartBatch] | None] = [None, None]

    def read(self, world: World, state: WorldState, period_s: float) -> Array:
        """(2, 2) change of inductance and of resistance of each pad's coil, raw.

        Args:
            world: with its parts.
            state: of it now.
            period_s: since the last reading.
        """
        kept = np.exp(-period_s / coil.DRIFT_TAU_S)
        self._air = kept * self._air + coil.DRIFT_SD * np.sqrt(1.0 - kept**2) * self._rng.standard_normal((2, 2))
        change = np.array([self._change(pad, world, state) for pad in range(len(PADS))])
        noisy = change + self._air + coil.SAMPLE_NOISE * self._rng.standard_normal((2, 2))
        return np.clip(noisy, -coil.FULL_SCALE, coil.FULL_SCALE)

    def _change(self, pad: int, world: World, state: WorldState) -> Array:
        view = world.tool_view(PADS[pad], state, COIL_REACH_M)
        if view.body is None or view.point is None:  # the table does not conduct
            self._seat_m[pad] = self._spots[pad] = None
            return np.zeros(2)
        seat = self._seat_m[pad]
        if seat is None:  # once for each approach, whatever the surface
            seat = self._seat_m[pad] = coil.LIFT_SCATTER_M * float(self._rng.standard_normal())
        gap = np.array([max(view.distance_m, 0.0) + seat])
        found: Array = coil.response(self._spot(pad, view.body.touch, view.point[:2]), gap)[0]
        return found

    def _spot(self, pad: int, model: TouchModel, uv: Array) -> PartBatch:
        """What the coil meets; the same one until it has moved on or the surface has changed."""
        known = self._spots[pad]
        if known is None or known[0] is not model.maps or np.linalg.norm(known[1] - uv) > NEW_SPOT_M:
            spot = spot_batch(model.batch, model.maps, uv[None], coil.FOOTPRINT_M, optics=False, stiffness=False)
            known = self._spots[pad] = model.maps, uv, spot
        return known[2]
