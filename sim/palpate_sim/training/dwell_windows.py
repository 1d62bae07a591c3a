"""Windows of warm touches of one part: what the heater and the thermal camera see, and the spot that stays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from palpate_agents.observation import Outcome, ProbeExecution, ProbeWindows
from palpate_sim.contact import PAD_SIDE_M
from palpate_sim.guarded import approach_speed
from palpate_sim.motion import PERIOD_S
from palpate_sim.sensors import rgbd, thermal
from palpate_sim.sensors.heat_contact import PAD_RADIUS_M, contact_resistance
from palpate_sim.sensors.heated_tip import APPROACH_S, HEATER_PERIOD_S, RELEASE_S, TOUCH_DELAY_S
from palpate_sim.sensors.thermal import ARM_GONE_S, THERMAL_PERIOD_S
from palpate_sim.training.scene_of_part import PartScene
from palpate_sim.training.touch_windows import PAD_ACCELERATION_M_S2, Contact, ToolGeometry, add_joints, execution_of

Array = NDArray[np.floating]


def thermal_pictures(
    scene: PartScene, windows: ProbeWindows, stamps_s: Array, origin_s: float, covered_until_s: float
) -> None:
    """Thermal pictures at times on the part's clock; the arm covers the part until a time.

    The camera has been on for a while of its own, so that its shutter closes at any time.
    """
    pictures = scene.pictures
    emissivity = rgbd.pixel_emissivity(scene.part, scene.maps, pictures.thermal_places_m)
    clear = np.zeros_like(pictures.thermal_mask)
    on_s = thermal.SHUTTER_PERIOD_S * (1.0 + scene.part.seed % 997 / 997)
    frames: list[NDArray[np.float32]] = []
    for stamp in stamps_s:
        if frames and thermal.shutter_closed(on_s + float(stamp)):
            frames.append(frames[-1])
            continue
        arm = pictures.thermal_mask if stamp < covered_until_s else clear
        frames.append(
            thermal.frame(
                pictures.thermal_points_m, pictures.thermal_mask, arm, scene.batch, scene.spots, float(stamp),
                scene.devices, scene.ambient_c, scene.rng, emissivity=emissivity,
            )
        )  # fmt: skip
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
    spot = scene.spot(point, PAD_RADIUS_M)
    warmth = thermal.warmth_at(point, spot, scene.spots, touch_s, scene.devices)
    mark = thermal.WarmSpot(
        _point(point), touch_s, dwell + TOUCH_DELAY_S, float(scene.heater.face_c[pad]) - warmth, pad,
        _point(contact.hit.normal), float(scene.rng.uniform(-np.pi, np.pi)), float(contact_resistance(spot)[0]),
    )  # fmt: skip
    scene.spots.append(mark)
    room = limits.overshoot_share * limits.force_limit_n
    braking = min(float(scene.rng.uniform(*PAD_ACCELERATION_M_S2)), limits.line_acceleration_m_s2)
    speed = approach_speed(limits.pad_stiffness_n_m, room, braking, limits.reaction_s)
    before = float(scene.rng.uniform(*APPROACH_S))
    times = np.arange(-before, 0.0, PERIOD_S)
    wrench = np.zeros((len(times), 6))
    wrench[:, :3] = geometry.weight(geometry.touch_rotation, geometry.tool_mass_kg)
    windows = ProbeWindows(wrench_times_s=times, wrench=scene.wrench_noise.apply_series(wrench, scene.time_s + times))
    tip = point - times[:, None] * speed * contact.approach
    add_joints(windows, np.arange(len(times)), times, tip, scene, geometry, geometry.touch_rotation)
    end = dwell + limits.watch_s
    _pads(scene, windows, mark, warmth, -before, end)
    phase = float(scene.rng.uniform(0.0, THERMAL_PERIOD_S))
    stamps = scene.time_s + dwell + np.arange(phase - THERMAL_PERIOD_S, limits.watch_s, THERMAL_PERIOD_S)
    gone = scene.time_s + dwell + float(scene.rng.uniform(*ARM_GONE_S))
    thermal_pictures(scene, windows, stamps, scene.time_s, gone)
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


def _pads(
    scene: PartScene, windows: ProbeWindows, mark: thermal.WarmSpot, warmth_k: float, start_s: float, end_s: float
) -> None:
    """Heater states at 10 Hz, as the cell's pads give them (warm_pads.py)."""
    times = np.arange(start_s + float(scene.rng.uniform(0.0, HEATER_PERIOD_S)), end_s, HEATER_PERIOD_S)
    pad, age = mark.pad_index, times + TOUCH_DELAY_S
    ages = np.concatenate([np.minimum(age, mark.dwell_s), [mark.dwell_s]])
    heat, face = thermal.pad_course(
        scene.batch, scene.devices, ages, mark.pad_start_c, pad, mark.resistance_m2k_w
    )  # fmt: skip
    face = face + warmth_k
    drawn_w = np.diff(heat[:-1], prepend=0.0) * PAD_SIDE_M**2 / HEATER_PERIOD_S
    temperatures, powers = np.zeros((len(times), 2)), np.zeros((len(times), 2))
    touched = False
    for row, seconds in enumerate(age):
        contact, drawn = np.full(2, np.nan), np.zeros(2)
        touching = 0.0 < seconds <= mark.dwell_s
        drawn[pad] = drawn_w[row]
        if touching:
            contact[pad] = face[row]
        elif touched:
            scene.heater.face_c[pad] = face[-1]
        touched = touching
        scene.heater.advance(HEATER_PERIOD_S, scene.ambient_c, contact, drawn)
        temperatures[row] = scene.heater.read(scene.devices, scene.rng)
        powers[row] = scene.heater.power_w
    windows.pad_times_s, windows.pad_temperature_c, windows.pad_power_w = times, temperatures, powers
    windows.pad_setpoint_c = np.tile(scene.heater.setpoint_c, (len(times), 1))
