"""Windows of looks, warm touches and lifts of one part: what the cameras, the fibre, the pads and the scale see."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from palpate_agents.observation import Outcome, Primitive, ProbeExecution, ProbeGoal, ProbeWindows, SpectrumSample
from palpate_sim.contact import PAD_SIDE_M
from palpate_sim.guarded import approach_speed
from palpate_sim.motion import PERIOD_S
from palpate_sim.planning import HOME
from palpate_sim.sensors import rgbd, thermal
from palpate_sim.sensors.spectrum import WAVELENGTH_NM, measure, measure_table
from palpate_sim.training.scene_of_part import PartScene
from palpate_sim.training.touch_windows import PAD_ACCELERATION_M_S2, Contact, ToolGeometry, add_joints, execution_of

Array = NDArray[np.floating]

LOOK_MOVING_S, LOOK_STILL_S = 2.3, 0.35
MOVING_WRENCH_N = 3.0
"""Spread of the wrench while the arm goes to and from the place of the spectrum, seen in the cell."""
THERMAL_PERIOD_S, HEATER_PERIOD_S = 0.2, 0.1
ARM_GONE_S = (0.30, 0.45)
"""After a warm touch the arm has left the thermal camera's view within this time, seen in the cell."""
RELEASE_S = (0.015, 0.03)
TOUCH_DELAY_S = 0.003
"""From the true touch to its detection."""
WEIGH_S = 0.5
FAR_TARGET_M = 0.005


def look_window(scene: PartScene, goal: ProbeGoal, geometry: ToolGeometry) -> tuple[ProbeExecution, ProbeWindows]:
    """Pictures of the part with the arm away, and a spectrum before them."""
    start = scene.time_s
    pictures, part, devices, rng = scene.pictures, scene.part, scene.devices, scene.rng
    depth = rgbd.depth_noise(pictures.depth_m, pictures.mask, part, devices, rng)
    windows = ProbeWindows(
        color=rgbd.color_noise(pictures.color, pictures.mask, part, devices, rng),
        depth_m=depth.astype(np.float32) / 1000.0,
        camera=pictures.camera,
        spectra=[_spectrum(scene, goal, geometry)],
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
    _thermal(scene, windows, np.array([scene.time_s - 0.1]), start, covered_until_s=-1.0)
    execution = execution_of(goal, Outcome.SUCCEEDED, start, scene.time_s, contact_point_m=goal.target_m)
    scene.time_s += 1.0
    return execution, windows


def _spectrum(scene: PartScene, goal: ProbeGoal, geometry: ToolGeometry) -> SpectrumSample:
    """What the fibre sees along the goal's normal, from the stand-off that the arm takes."""
    normal, target = np.asarray(goal.normal, float), np.asarray(goal.target_m, float)
    limits = geometry.limits
    far = target[2] < FAR_TARGET_M
    standoff = limits.far_standoff_m if far else limits.spectrum_standoff_m
    found = scene.ray(target + standoff * normal, -normal, 0.3)
    table_m = (target[2] + standoff * normal[2]) / normal[2]
    if found is None or found[0] > table_m:
        values = measure_table(scene.devices, table_m, float(np.arccos(np.clip(normal[2], -1.0, 1.0))), scene.rng)
    else:
        angle = float(np.arccos(np.clip(found[1].normal @ normal, -1.0, 1.0)))
        values = measure(scene.batch, scene.devices, max(found[0], 1e-3), angle, scene.rng)[0]
    return SpectrumSample(WAVELENGTH_NM.copy(), values)


def _thermal(scene: PartScene, windows: ProbeWindows, stamps_s: Array, origin_s: float, covered_until_s: float) -> None:
    """Thermal pictures at times on the part's clock; the arm covers the part until a time."""
    pictures = scene.pictures
    clear = np.zeros_like(pictures.thermal_mask)
    frames = [
        thermal.frame(
            pictures.thermal_points_m, pictures.thermal_mask,
            pictures.thermal_mask if stamp < covered_until_s else clear,
            scene.batch, scene.spots, float(stamp), scene.devices, scene.ambient_c, scene.rng,
        )
        for stamp in stamps_s
    ]  # fmt: skip
    windows.thermal_times_s = np.asarray(stamps_s) - origin_s
    windows.thermal_c = np.stack(frames)
    windows.thermal_camera = pictures.thermal_camera


def dwell_window(contact: Contact, geometry: ToolGeometry) -> tuple[ProbeExecution, ProbeWindows]:
    """A warm pad on the part, then the spot it leaves."""
    scene, goal, limits = contact.scene, contact.goal, geometry.limits
    scene.time_s += 2.5
    touch_s, pad = scene.time_s - TOUCH_DELAY_S, goal.pad_index
    dwell = (goal.dwell_s or limits.dwell_s) + float(scene.rng.uniform(*RELEASE_S))
    point = contact.hit.point
    mark = thermal.WarmSpot(
        _point(point), touch_s, dwell + TOUCH_DELAY_S, float(scene.heater.face_c[pad]), pad,
        _point(contact.hit.normal), float(scene.rng.uniform(-np.pi, np.pi)),
    )  # fmt: skip
    scene.spots.append(mark)
    room = limits.overshoot_share * limits.force_limit_n
    braking = min(float(scene.rng.uniform(*PAD_ACCELERATION_M_S2)), limits.line_acceleration_m_s2)
    speed = approach_speed(limits.pad_stiffness_n_m, room, braking, limits.reaction_s)
    # A window begins where the approach became steady; there is always a reading of the heater in it.
    before = max(limits.known_above_m / speed, HEATER_PERIOD_S) + float(scene.rng.uniform(0.01, 0.03))
    times = np.arange(-before, 0.0, PERIOD_S)
    wrench = np.zeros((len(times), 6))
    wrench[:, :3] = geometry.weight(geometry.touch_rotation, geometry.tool_mass_kg)
    windows = ProbeWindows(wrench_times_s=times, wrench=scene.wrench_noise.apply_series(wrench, scene.time_s + times))
    tip = point - times[:, None] * speed * contact.approach
    add_joints(windows, np.arange(len(times)), times, tip, scene, geometry, geometry.touch_rotation)
    end = dwell + limits.watch_s
    _pads(scene, windows, mark, -before, end)
    phase = float(scene.rng.uniform(0.0, THERMAL_PERIOD_S))
    stamps = scene.time_s + dwell + np.arange(phase - THERMAL_PERIOD_S, limits.watch_s, THERMAL_PERIOD_S)
    gone = scene.time_s + dwell + float(scene.rng.uniform(*ARM_GONE_S))
    _thermal(scene, windows, stamps, scene.time_s, gone)
    execution = execution_of(
        goal, Outcome.SUCCEEDED, scene.time_s - before, scene.time_s + end, contact_time_ns=round(scene.time_s * 1e9),
        contact_point_m=_point(point), speed_m_s=speed, dwell_s=dwell,
        max_force_n=limits.dwell_force_n, pad_contact_area_m2=PAD_SIDE_M**2,
    )  # fmt: skip
    scene.time_s += end + 1.0
    for _ in range(20):  # the face comes back to its temperature before the next touch
        scene.heater.advance(0.5, scene.ambient_c)
    return execution, windows


def _point(vector: Array) -> tuple[float, float, float]:
    return float(vector[0]), float(vector[1]), float(vector[2])


def _pads(scene: PartScene, windows: ProbeWindows, mark: thermal.WarmSpot, start_s: float, end_s: float) -> None:
    """Heater states at 10 Hz, as the cell's pads give them (warm_pads.py)."""
    times = np.arange(start_s + float(scene.rng.uniform(0.0, HEATER_PERIOD_S)), end_s, HEATER_PERIOD_S)
    age = times + TOUCH_DELAY_S
    face = thermal.pad_face_temperature(scene.batch, scene.devices, age, mark.pad_start_c, mark.pad_index)[0]
    flux = thermal.pad_flux_w_m2(
        scene.batch, scene.devices, np.maximum(age, 0.01), mark.pad_start_c, mark.pad_index
    )[0]  # fmt: skip
    left = thermal.pad_face_temperature(
        scene.batch, scene.devices, mark.dwell_s, mark.pad_start_c, mark.pad_index
    )[0, 0]  # fmt: skip
    temperatures, powers = np.zeros((len(times), 2)), np.zeros((len(times), 2))
    touched = False
    for row, seconds in enumerate(age):
        contact, drawn = np.full(2, np.nan), np.zeros(2)
        touching = 0.0 < seconds <= mark.dwell_s
        if touching:
            contact[mark.pad_index], drawn[mark.pad_index] = face[row], flux[row] * PAD_SIDE_M**2
        elif touched and seconds > mark.dwell_s:
            scene.heater.face_c[mark.pad_index] = left
        touched = touching
        scene.heater.advance(HEATER_PERIOD_S, scene.ambient_c, contact, drawn)
        temperatures[row] = scene.heater.read(scene.devices, scene.rng)
        powers[row] = scene.heater.power_w
    windows.pad_times_s, windows.pad_temperature_c, windows.pad_power_w = times, temperatures, powers
    windows.pad_setpoint_c = np.tile(scene.heater.setpoint_c, (len(times), 1))


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
