"""Spectra of one part for the data generator: what the fibre sees from the stand-off that the arm takes."""

from __future__ import annotations

import numpy as np

from palpate_agents.observation import ProbeGoal, SpectrumSample
from palpate_sim.sensors.spectrum import axis_of, measure, measure_table, spot_radius_m
from palpate_sim.training.scene_of_part import Hit, PartScene
from palpate_sim.training.touch_windows import ToolGeometry

FAR_TARGET_M = 0.005
"""A target this low is the table's height, not the part's: the arm keeps its distance."""
MIN_DISTANCE_M = 1e-3


def spectrum_of(scene: PartScene, goal: ProbeGoal, geometry: ToolGeometry) -> SpectrumSample:
    """One spectrum along the goal's normal: of the part, or of the table beside it."""
    found = fibre_hit(scene, goal, geometry)
    if found is None:
        tilt = float(np.arccos(np.clip(goal.normal[2], -1.0, 1.0)))
        values = measure_table(scene.devices, _table_m(goal, _standoff_m(goal, geometry)), tilt, scene.rng)
    else:
        hit, distance, angle = found
        spot = scene.spot(hit.point, spot_radius_m(distance))
        values = measure(spot, scene.devices, distance, angle, scene.rng)[0]
    return SpectrumSample(axis_of(scene.devices.axis_end_nm).copy(), values)


def fibre_hit(scene: PartScene, goal: ProbeGoal, geometry: ToolGeometry) -> tuple[Hit, float, float] | None:
    """Where the fibre looks, from what distance m and at what angle rad to the normal; None beside the part."""
    normal, target = np.asarray(goal.normal, float), np.asarray(goal.target_m, float)
    standoff = _standoff_m(goal, geometry)
    found = scene.ray(target + standoff * normal, -normal, 0.3)
    if found is None or found[0] > _table_m(goal, standoff):
        return None
    distance, hit = found
    return hit, max(distance, MIN_DISTANCE_M), float(np.arccos(np.clip(hit.normal @ normal, -1.0, 1.0)))


def _standoff_m(goal: ProbeGoal, geometry: ToolGeometry) -> float:
    limits = geometry.limits
    far = goal.target_m[2] < FAR_TARGET_M
    return goal.standoff_m or (limits.far_standoff_m if far else limits.spectrum_standoff_m)


def _table_m(goal: ProbeGoal, standoff_m: float) -> float:
    """Distance to the table along the goal's normal."""
    return (goal.target_m[2] + standoff_m * goal.normal[2]) / goal.normal[2]
