"""The batched cell's touches: press, tap, slide and lift give the features that the full cell's windows give.

Each takes n spots (`surface.spot_batch`), n sets of devices and n keys, and needs some ten microseconds per probe.
"""

from __future__ import annotations

import math

from palpate_agents.encoders.tactile import GRAVITY_M_S2, NAMES
from palpate_agents.observation import Outcome
from palpate_sim.backend import Array, namespace
from palpate_sim.batch.features import Features, TouchResult
from palpate_sim.batch.press import press
from palpate_sim.batch.robot import MEDIAN
from palpate_sim.batch.slide import friction_along, slide
from palpate_sim.batch.tap import tap
from palpate_sim.devices import DeviceBatch
from palpate_sim.keyed import normal
from palpate_sim.objects import PartBatch

__all__ = ["friction_along", "lift", "press", "slide", "tap"]

TRUE_GRAVITY_M_S2 = 9.81
"""Of the simulated world."""
WEIGHING_ROWS, REFERENCE_ROWS = 333.0, 280.0
"""Rows of the wrench whose median gives the weight, and that of the empty tool."""
DRIFT_N = 0.006
"""Of the wrench between both, ten seconds apart (`wrench.DRIFT_PER_SQRT_S`)."""
LIGHTEST_KG, MIN_KG, MIN_VOLUME_M3 = 1e-5, 1e-4, 1e-7


def lift(
    batch: PartBatch, devices: DeviceBatch, seen_volume_m3: Array, tool_reference: Array, keys: Array
) -> TouchResult:
    """Weighs n parts in the hand.

    Args:
        batch: n parts.
        devices: n sets.
        seen_volume_m3: (n,) by the depth camera; NaN where the part was not seen.
        tool_reference: (n,) bool: the wrench of the empty hand in that posture is known.
        keys: (n,) int64, of these lifts.
    """
    xp = namespace(seen_volume_m3)
    noise = normal(keys, "lift", (1,))[:, 0]
    white = devices.force_noise_n * (MEDIAN * math.sqrt(1.0 / WEIGHING_ROWS + 1.0 / REFERENCE_ROWS))
    force = devices.force_gain * batch.mass_kg * TRUE_GRAVITY_M_S2 + xp.sqrt(white**2 + DRIFT_N**2) * noise
    mass = xp.abs(force) / GRAVITY_M_S2
    seen = (seen_volume_m3 > MIN_VOLUME_M3) & (mass > MIN_KG)
    density = xp.where(seen, mass / xp.where(seen, seen_volume_m3, 1.0), math.nan)
    n = keys.shape[0]
    values = xp.full((n, len(NAMES)), math.nan, dtype=xp.float64, device=mass.device)
    first = NAMES.index("lift_log10_mass_kg")
    values[:, first] = xp.where(tool_reference, xp.log10(xp.maximum(mass, LIGHTEST_KG)), math.nan)
    values[:, first + 1] = xp.where(tool_reference, xp.log10(density), math.nan)
    outcome = xp.full((n,), int(Outcome.SUCCEEDED), dtype=xp.int64, device=mass.device)
    return TouchResult(Features(values, 1.0 * tool_reference), 0.0 * mass, 0.0 * mass, outcome)
