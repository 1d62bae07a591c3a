"""Windows of probes from closed forms, independent of the simulated cell: the truth of every feature is known."""

from __future__ import annotations

import numpy as np

from palpate_agents.encoders.features import FEATURE_NAMES, PartContext, extract
from palpate_agents.observation import (
    CameraGeometry,
    Modality,
    Outcome,
    Primitive,
    ProbeExecution,
    ProbeWindows,
    SpectrumSample,
    TapBurst,
)

CENTRE = (0.5, 0.0)
SIZE_M = (0.06, 0.04, 0.03)
CONTACT_NS = 5_000_000_000
WAVELENGTH_NM = np.linspace(900.0, 1700.0, 228)
TOOL_FORCE_N = np.array([0.4, -0.2, -9.0])
"""Weight and bias of the tool in the sensor frame."""
SENSOR_ROTATION = np.diag([1.0, -1.0, -1.0])
"""Sensor looks down."""


def overhead(x: float, height: float, width: int, rows: int, focal: float) -> CameraGeometry:
    """Camera straight above (x, 0), looking down."""
    pose = np.eye(4)
    pose[:3, :3] = np.array([[0.0, -1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])
    pose[:3, 3] = (x, 0.0, height)
    return CameraGeometry(focal, focal, width / 2 - 0.5, rows / 2 - 0.5, pose)


def box_hit(camera: CameraGeometry, shape: tuple[int, int], size, yaw: float, centre=CENTRE):
    """Depth of a box on the table z = 0, and where the box is."""
    v, u = np.mgrid[: shape[0], : shape[1]]
    rays = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones(shape)], -1)
    rays = rays @ camera.pose[:3, :3].T
    origin = camera.pose[:3, 3]
    table = -origin[2] / rays[..., 2]
    turn = np.array([[np.cos(yaw), np.sin(yaw), 0], [-np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
    local = turn @ (origin - np.array([*centre, size[2] / 2]))
    with np.errstate(divide="ignore", invalid="ignore"):
        direction = rays @ turn.T
        near, far = (-np.array(size) / 2 - local) / direction, (np.array(size) / 2 - local) / direction
        enter = np.minimum(near, far).max(-1)
        leave = np.maximum(near, far).min(-1)
    hit = (enter < leave) & (enter > 0)
    return np.where(hit, enter, table), hit


def execution(primitive: Primitive, outcome: Outcome = Outcome.SUCCEEDED, **fields) -> ProbeExecution:
    contact = 0 if primitive in (Primitive.LOOK, Primitive.LIFT) else CONTACT_NS
    defaults = {
        "window_start_ns": CONTACT_NS - 500_000_000,
        "window_end_ns": CONTACT_NS + 3_500_000_000,
        "contact_time_ns": contact,
        "contact_point_m": (*CENTRE, SIZE_M[2]),
    }
    return ProbeExecution(primitive, outcome, **(defaults | fields))


def look(
    rng=None, size=SIZE_M, yaw=0.3, rgb=(60, 60, 200), part_c=22.0, ambient_c=22.0, reflectance=None, hole_share=0.0,
    depth_scale=1.0, centre=CENTRE, tilt_camera=False,
):  # fmt: skip
    rng = rng or np.random.default_rng(0)
    camera = overhead(0.5, 0.7, 320, 240, 300.0)
    if tilt_camera:
        angle = 0.5
        turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
        camera.pose[:3, :3] = turn @ camera.pose[:3, :3]
        camera.pose[:3, 3] = (0.5 + 0.7 * np.sin(angle), 0.0, 0.7 * np.cos(angle))
    depth, hit = box_hit(camera, (240, 320), size, yaw, centre)
    depth = np.round((depth * depth_scale + 0.0015 * rng.normal(size=depth.shape)) * 1e3) / 1e3
    depth[hit & (rng.random(hit.shape) < hole_share)] = 0.0
    color = np.where(hit[..., None], rgb, (77, 92, 84)) + 3.0 * rng.normal(size=(*hit.shape, 3))
    thermal = overhead(0.5, 0.7, 160, 120, 150.0)
    _, warm = box_hit(thermal, (120, 160), size, yaw, centre)
    frame = np.where(warm, part_c, ambient_c) + 0.05 * rng.normal(size=warm.shape)
    if reflectance is None:
        reflectance = 0.6 - 0.3 * np.exp(-0.5 * ((WAVELENGTH_NM - 1210) / 20) ** 2)
    noisy = reflectance + rng.normal(size=len(WAVELENGTH_NM)) / 1300
    times = np.arange(0.0, 1.0, 0.001)
    windows = ProbeWindows(
        color=np.clip(color, 0, 255).astype(np.uint8),
        depth_m=depth.astype(np.float32),
        camera=camera,
        thermal_times_s=np.array([0.0, 0.2]),
        thermal_c=np.stack([frame, frame]).astype(np.float32),
        thermal_camera=thermal,
        spectra=[SpectrumSample(WAVELENGTH_NM, noisy)],
    )
    return execution(Primitive.LOOK), with_wrench(windows, times, np.zeros((len(times), 3)), rng)


def with_wrench(windows: ProbeWindows, times, force_base, rng) -> ProbeWindows:
    """Adds wrench (tool weight, bias, noise) for a (W, 3) contact force in the base frame, and joints at 100 Hz."""
    windows.wrench_times_s = times
    wrench = np.zeros((len(times), 6))
    wrench[:, :3] = TOOL_FORCE_N + force_base @ SENSOR_ROTATION
    windows.wrench = wrench + 0.01 * rng.normal(size=wrench.shape)
    windows.joint_times_s = np.arange(times[0], times[-1], 0.01)
    count = len(windows.joint_times_s)
    windows.joint_positions = np.zeros((count, 7))
    windows.sensor_rotation = np.repeat(SENSOR_ROTATION[None], count, axis=0)
    windows.tip_positions_m = np.tile([*CENTRE, SIZE_M[2] + 0.01], (count, 1))
    return windows


def press(rng=None, hertz=2e9, arm=5e4, peak_n=8.0, **fields):
    """Press with travel = F / arm + (F / hertz)^(2/3) at a constant 1 N per 20 ms, then a hold of 0.2 s."""
    rng = rng or np.random.default_rng(0)
    times = np.arange(-0.4, 0.5, 0.001)
    force = np.clip(times / 0.16, 0.0, 1.0) * peak_n
    travel = force / arm + (force / hertz) ** (2 / 3)
    windows = with_wrench(ProbeWindows(), times, np.outer(force, [0, 0, 1.0]), rng)
    free = np.minimum(windows.joint_times_s, 0.0) * 0.005
    windows.tip_positions_m[:, 2] = SIZE_M[2] - free - np.interp(windows.joint_times_s, times, travel)
    return execution(Primitive.PRESS, **fields), windows


def tap(rng=None, contact_time_s=7e-4, restitution=0.8, speed=0.04, **fields):
    """Half-sine pulse to the power 1.5 (close to Hertz) that turns `speed` into `-restitution speed`."""
    rng = rng or np.random.default_rng(0)
    rate = 50_000.0
    time = np.arange(-1e-3, 20e-3, 1 / rate)
    pulse = np.where((time > 0) & (time < contact_time_s), np.sin(np.pi * time / contact_time_s), 0.0)
    pulse = np.abs(pulse) ** 1.5
    pulse *= speed * (1 + restitution) / (pulse.sum() / rate)
    burst = TapBurst(rate, pulse + 0.3 * rng.normal(size=len(time)), 0.05, speed)
    return execution(Primitive.TAP, speed_m_s=speed, **fields), ProbeWindows(burst=burst)


def slide(rng=None, friction=0.3, ripple=0.02, ripple_hz=40.0, normal_n=1.5, **fields):
    rng = rng or np.random.default_rng(0)
    times = np.arange(-0.4, 1.2, 0.001)
    touching, moving = times > 0, (times > 0.1) & (times < 1.1)
    mu = friction * (1 + ripple * np.sqrt(2) * np.sin(2 * np.pi * ripple_hz * times))
    force = np.zeros((len(times), 3))
    force[:, 2] = normal_n * touching
    force[:, 0] = -normal_n * mu * moving
    windows = with_wrench(ProbeWindows(), times, force, rng)
    windows.tip_positions_m[:, 0] = CENTRE[0] + 0.02 * np.clip(windows.joint_times_s - 0.1, 0.0, 1.0)
    return execution(Primitive.SLIDE, speed_m_s=0.02, slide_distance_m=0.02, **fields), windows


def dwell(
    rng=None, effusivity=600.0, pad_effusivity=1000.0, part_c=22.0, pad_c=70.0, pad_index=1, emissivity=0.95,
    ambient_c=22.0, point=(*CENTRE, SIZE_M[2]), **fields,
):  # fmt: skip
    """Ideal contact of two half-spaces for 2 s; the spot then falls with the square root of time."""
    rng = rng or np.random.default_rng(0)
    contact = (pad_effusivity * pad_c + effusivity * part_c) / (pad_effusivity + effusivity)
    pad_times = np.arange(-0.4, 3.4, 0.1) + 0.03
    face = np.where((pad_times > 0) & (pad_times < 2.0), contact, pad_c)
    pads = np.full((len(pad_times), 2), 45.0)
    pads[:, pad_index] = face + 0.02 * rng.normal(size=len(pad_times))
    power = np.full((len(pad_times), 2), 1.0)
    power[:, pad_index] += 2.0 * ((pad_times > 0) & (pad_times < 2.0))
    camera = overhead(0.5, 0.7, 160, 120, 150.0)
    depth, warm = box_hit(camera, (120, 160), SIZE_M, 0.3)
    v, u = np.mgrid[:120, :160]
    x = (u - camera.cx) / camera.fx * depth
    y = (v - camera.cy) / camera.fy * depth
    # The camera looks down with its x along -y of the base.
    spot = (np.abs(-x - point[1]) < 0.006) & (np.abs(CENTRE[0] - y - point[0]) < 0.006) & warm
    base = np.where(warm, emissivity * part_c + (1 - emissivity) * ambient_c, ambient_c)
    times = np.arange(-0.4, 3.5, 0.2)
    frames = []
    for t in times:
        after = max(t - 2.0, 0.0)
        rise = (contact - part_c) * 2 / np.pi * np.arcsin(np.sqrt(2.0 / (2.0 + after))) if t > 2.0 else 0.0
        frames.append(base + emissivity * rise * spot + 0.05 * rng.normal(size=warm.shape))
    windows = ProbeWindows(
        thermal_times_s=times, thermal_c=np.array(frames, np.float32), thermal_camera=camera,
        pad_times_s=pad_times, pad_temperature_c=pads, pad_setpoint_c=np.tile([45.0, 70.0], (len(pad_times), 1)),
        pad_power_w=power,
    )  # fmt: skip
    done = execution(Primitive.DWELL, dwell_s=2.0, pad_index=pad_index, contact_point_m=point, **fields)
    return done, windows


def lift(rng=None, mass_kg=0.07, **fields):
    rng = rng or np.random.default_rng(0)
    times = np.arange(0.0, 0.5, 0.001)
    return execution(Primitive.LIFT, **fields), with_wrench(
        ProbeWindows(), times, np.tile([0.0, 0.0, -9.80665 * mass_kg], (len(times), 1)), rng
    )


V, T, S, H = Modality.VISUAL, Modality.TACTILE, Modality.SPECTRAL, Modality.THERMAL


def features_of(probe, context=None):
    execution, windows = probe
    context = (context or PartContext()).after(execution, windows)
    return extract(execution, windows, context)


def looked(**options) -> PartContext:
    return PartContext().after(*look(**options))


def column(features, modality, name):
    return float(features.values[modality][FEATURE_NAMES[modality].index(name)])
