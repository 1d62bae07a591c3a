"""Sensors that look at one point: the accelerometer in the tip and the spectrometer's fibre."""

from __future__ import annotations

import numpy as np

from palpate_agents.observation import SpectrumSample, TapBurst
from palpate_sim.contact import BURST_DURATION_S, BURST_PREROLL_S, BURST_RATE_HZ, TIP_MASS_KG, tap_burst
from palpate_sim.devices import DeviceDraw
from palpate_sim.sensors.spectrum import axis_of, measure, measure_table, spot_radius_m
from palpate_sim.touch import Touch
from palpate_sim.world import World, WorldState

MIN_TAP_M_S = 0.005


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
    body, distance, angle, point = world.fibre_view(state)
    if body is not None and point is not None:
        spot = body.touch.spot(point[:2], float(spot_radius_m(distance)))
        values = measure(spot, devices, distance, angle, rng)[0]
    else:
        values = measure_table(devices, distance, angle, rng)
    return SpectrumSample(axis_of(devices.axis_end_nm).copy(), values)
