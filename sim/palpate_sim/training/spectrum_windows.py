"""Spectra of one part for the data generator: what the fibre sees from the stand-off that the arm takes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from palpate_agents.observation import ProbeGoal, SpectrumSample
from palpate_sim.geometry import quaternion_matrix
from palpate_sim.part_batch import PartBatch
from palpate_sim.sensors.spectrum import axis_of, measure, measure_table, spot_radius_m
from palpate_sim.surface import draw_surface_maps, spot_batch
from palpate_sim.training.scene_of_part import PartScene
from palpate_sim.training.touch_windows import ToolGeometry

FAR_TARGET_M = 0.005
"""A target this low is the table's height, not the part's: the arm keeps its distance."""
MIN_DISTANCE_M = 1e-3


def spectrum_of(scene: PartScene, goal: ProbeGoal, geometry: ToolGeometry) -> SpectrumSample:
    """One spectrum along the goal's normal: of the part, or of the table beside it."""
    normal, target = np.asarray(goal.normal, float), np.asarray(goal.target_m, float)
    limits = geometry.limits
    standoff = goal.standoff_m or (
        limits.far_standoff_m if target[2] < FAR_TARGET_M else limits.spectrum_standoff_m
    )  # fmt: skip
    found = scene.ray(target + standoff * normal, -normal, 0.3)
    table_m = (target[2] + standoff * normal[2]) / normal[2]
    if found is None or found[0] > table_m:
        values = measure_table(scene.devices, table_m, float(np.arccos(np.clip(normal[2], -1.0, 1.0))), scene.rng)
    else:
        distance = max(found[0], MIN_DISTANCE_M)
        angle = float(np.arccos(np.clip(found[1].normal @ normal, -1.0, 1.0)))
        values = measure(_spot(scene, found[1].point, distance), scene.devices, distance, angle, scene.rng)[0]
    return SpectrumSample(axis_of(scene.devices.axis_end_nm).copy(), values)


def _spot(scene: PartScene, point: NDArray[np.floating], distance_m: float) -> PartBatch:
    place = quaternion_matrix(scene.pose.orientation).T @ (point - np.asarray(scene.pose.position))
    return spot_batch(scene.batch, draw_surface_maps(scene.batch), place[None, :2], spot_radius_m(distance_m))
