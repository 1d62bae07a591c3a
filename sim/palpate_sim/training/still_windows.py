"""Windows of looks and lifts of one part: what the cameras, the fibre and the scale see."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from palpate_agents.observation import Outcome, Primitive, ProbeExecution, ProbeGoal, ProbeWindows
from palpate_sim.motion import PERIOD_S
from palpate_sim.planning import HOME
from palpate_sim.sensors import rgbd
from palpate_sim.training.dwell_windows import thermal_pictures
from palpate_sim.training.scene_of_part import PartScene
from palpate_sim.training.spectrum_windows import spectrum_of
from palpate_sim.training.touch_windows import ToolGeometry, add_joints, execution_of

Array = NDArray[np.floating]

LOOK_MOVING_S, LOOK_STILL_S = 2.3, 0.35
MOVING_WRENCH_N = 3.0
"""Spread of the wrench while the arm goes to and from the place of the spectrum, seen in the cell."""
WEIGH_S = 0.5


def look_window(scene: PartScene, goal: ProbeGoal, geometry: ToolGeometry) -> tuple[ProbeExecution, ProbeWindows]:
    """Pictures of the part with the arm away, and a spectrum before them."""
    start = scene.time_s
    pictures, devices, rng = scene.pictures, scene.devices, scene.rng
    looks = [rgbd.pixel_look(scene.part, scene.maps, pictures.mask, pictures.places_m)]
    depth = rgbd.depth_picture(pictures.depth_m, looks, devices, rng)
    windows = ProbeWindows(
        color=rgbd.color_picture(rgbd.dress(pictures.shade, looks), devices, rng),
        depth_m=depth.astype(np.float32) / 1000.0,
        camera=pictures.camera,
        spectra=[spectrum_of(scene, goal, geometry)],
    )
    times = np.arange(0.0, LOOK_MOVING_S + LOOK_STILL_S, PERIOD_S)
    moving = times < LOOK_MOVING_S
    wrench = np.zeros((len(times), 6))
    wrench[:, :3] = np.where(
        moving[:, None],
        geometry.weight(geometry.touch_rotation, geometry.tool_mass_kg)
        + MOVING_WRENCH_N * np.sin(2.0 * np.pi * times[:, None] / 0.9 + rng.uniform(0.0, 6.0, 3)),
        geometry.weight(geometry.hand_rotation, geometry.tool_mass_kg),
    )
    windows.wrench_times_s = times
    windows.wrench = scene.wrench_noise.apply_series(wrench, start + times)
    tip = np.zeros((len(times), 3))
    add_joints(windows, np.arange(len(times)), times, tip, scene, geometry, geometry.hand_rotation)
    windows.sensor_rotation[windows.joint_times_s < LOOK_MOVING_S] = geometry.touch_rotation
    windows.joint_positions[windows.joint_times_s >= LOOK_MOVING_S] = HOME
    scene.time_s = start + float(times[-1])
    thermal_pictures(scene, windows, np.array([scene.time_s - 0.1]), start, covered_until_s=-1.0)
    execution = execution_of(goal, Outcome.SUCCEEDED, start, scene.time_s, contact_point_m=goal.target_m)
    scene.time_s += 1.0
    return execution, windows


def lift_window(scene: PartScene, goal: ProbeGoal, geometry: ToolGeometry) -> tuple[ProbeExecution, ProbeWindows]:
    """The part held still in the hand."""
    scene.time_s += 4.0
    times = np.arange(0.0, WEIGH_S, PERIOD_S)
    wrench = np.zeros((len(times), 6))
    wrench[:, :3] = geometry.weight(geometry.hand_rotation, geometry.tool_mass_kg + scene.part.mass_kg)
    windows = ProbeWindows(wrench_times_s=times, wrench=scene.wrench_noise.apply_series(wrench, scene.time_s + times))
    tip = np.zeros((len(times), 3))
    add_joints(windows, np.arange(len(times)), times, tip, scene, geometry, geometry.hand_rotation)
    execution = execution_of(
        goal, Outcome.SUCCEEDED, scene.time_s, scene.time_s + WEIGH_S,
        contact_time_ns=round((scene.time_s - 1.0) * 1e9), contact_point_m=goal.target_m,
    )  # fmt: skip
    windows.wrench_times_s = times + 1.0
    windows.joint_times_s = windows.joint_times_s + 1.0
    scene.time_s += 1.0
    assert goal.primitive is Primitive.LIFT
    return execution, windows
