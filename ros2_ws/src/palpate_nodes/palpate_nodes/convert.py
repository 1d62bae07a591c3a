"""Between stamped samples and ROS messages, both ways. Numbers are copied, never rounded beyond the message's type."""

from __future__ import annotations

import array
import math
from typing import Any

import numpy as np
from geometry_msgs.msg import Point, Vector3, WrenchStamped
from sensor_msgs.msg import CameraInfo, Image, JointState
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from palpate_agents import samples
from palpate_agents.errors import DataError
from palpate_agents.observation import (
    CameraGeometry,
    Frame,
    Outcome,
    Primitive,
    ProbeExecution,
    ProbeGoal,
    SpectrumSample,
    TapBurst,
)
from palpate_interfaces import msg
from palpate_interfaces.action import Probe
from palpate_nodes.topics import stamp_ns, to_stamp

Floats = array.array


def _floats(values: Any, code: str = "f") -> array.array:
    # An array.array is assigned in bulk; a list or an ndarray is checked element by element (50 ms a picture).
    return array.array(code, np.ascontiguousarray(values, dtype=np.dtype(code)).tobytes())


def _image(stamp: int, frame: str, pixels: np.ndarray, encoding: str) -> Image:
    message = Image(height=pixels.shape[0], width=pixels.shape[1], encoding=encoding, is_bigendian=0)
    message.header.stamp = to_stamp(stamp)
    message.header.frame_id = frame
    message.step = int(pixels.strides[0]) if pixels.flags.c_contiguous else int(pixels.shape[1] * pixels[0, 0].nbytes)
    message.data = array.array("B", np.ascontiguousarray(pixels).tobytes())
    return message


_DTYPES: dict[str, tuple[Any, int]] = {"rgb8": (np.uint8, 3), "16UC1": (np.uint16, 1), "32FC1": (np.float32, 1)}


def image_pixels(message: Image) -> np.ndarray:
    """Pixels of an rgb8 (H, W, 3), 16UC1 or 32FC1 (H, W) image.

    Raises:
        DataError: another encoding, or a size that does not fit the data.
    """
    if message.encoding not in _DTYPES:
        raise DataError(f"image encoding '{message.encoding}' is not supported; known: {', '.join(_DTYPES)}")
    dtype, channels = _DTYPES[message.encoding]
    pixels = np.frombuffer(message.data, dtype=dtype)
    if pixels.size != message.height * message.width * channels:
        raise DataError(
            f"image of {message.width}x{message.height} ({message.encoding}) holds {pixels.size} values, "
            f"expected {message.height * message.width * channels}"
        )
    shape = (message.height, message.width, channels) if channels > 1 else (message.height, message.width)
    return pixels.reshape(shape)


def color_message(frame: samples.RgbdFrame) -> Image:
    """rgb8 picture in the camera's optical frame."""
    return _image(frame.stamp_ns, Frame.CAMERA, frame.color, "rgb8")


def depth_message(frame: samples.RgbdFrame) -> Image:
    """16UC1 depth in millimetres, 0 invalid (REP-118), aligned to the colour picture."""
    return _image(frame.stamp_ns, Frame.CAMERA, frame.depth_mm, "16UC1")


def thermal_message(frame: samples.ThermalFrame) -> Image:
    """32FC1 apparent temperature in degrees Celsius (REP-103)."""
    return _image(frame.stamp_ns, Frame.THERMAL_CAMERA, frame.celsius.astype(np.float32, copy=False), "32FC1")


def camera_info(stamp: int, frame: str, camera: CameraGeometry, height: int, width: int) -> CameraInfo:
    """Pinhole model without distortion."""
    info = CameraInfo(height=height, width=width, distortion_model="plumb_bob", d=[0.0] * 5)
    info.header.stamp = to_stamp(stamp)
    info.header.frame_id = frame
    info.k = [camera.fx, 0.0, camera.cx, 0.0, camera.fy, camera.cy, 0.0, 0.0, 1.0]
    info.r = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    info.p = [camera.fx, 0.0, camera.cx, 0.0, 0.0, camera.fy, camera.cy, 0.0, 0.0, 0.0, 1.0, 0.0]
    return info


def geometry(info: CameraInfo, pose: np.ndarray) -> CameraGeometry:
    """Camera geometry from its info and its (4, 4) pose in the base frame."""
    return CameraGeometry(fx=info.k[0], fy=info.k[4], cx=info.k[2], cy=info.k[5], pose=pose)


def wrench_message(sample: samples.Wrench) -> WrenchStamped:
    """Raw wrench in the sensor's frame."""
    message = WrenchStamped()
    message.header.stamp = to_stamp(sample.stamp_ns)
    message.header.frame_id = Frame.FORCE_TORQUE
    force, torque = message.wrench.force, message.wrench.torque
    force.x, force.y, force.z, torque.x, torque.y, torque.z = (float(value) for value in sample.wrench)
    return message


def wrench_values(message: WrenchStamped) -> tuple[float, ...]:
    """(6,) fx fy fz N, tx ty tz N m."""
    force, torque = message.wrench.force, message.wrench.torque
    return force.x, force.y, force.z, torque.x, torque.y, torque.z


def wrench_sample(message: WrenchStamped) -> samples.Wrench:
    """Sample of a message."""
    return samples.Wrench(stamp_ns(message.header.stamp), np.array(wrench_values(message)))


def joint_message(sample: samples.Joints) -> JointState:
    """Positions, velocities and efforts of all joints."""
    message = JointState(name=list(sample.names))
    message.header.stamp = to_stamp(sample.stamp_ns)
    message.position = _floats(sample.position, "d")
    message.velocity = _floats(sample.velocity, "d")
    message.effort = _floats(sample.effort, "d")
    return message


def joint_sample(message: JointState) -> samples.Joints:
    """Sample of a message."""
    rows = (np.array(values, dtype=np.float64) for values in (message.position, message.velocity, message.effort))
    return samples.Joints(stamp_ns(message.header.stamp), tuple(message.name), *rows)


def path_message(sample: samples.JointPath) -> JointTrajectory:
    """A joint trajectory as sent to the controller."""
    message = JointTrajectory(joint_names=list(sample.names))
    message.header.stamp = to_stamp(sample.stamp_ns)
    for positions, seconds in zip(sample.positions, sample.times_s, strict=True):
        point = JointTrajectoryPoint(positions=_floats(positions, "d"))
        nanoseconds = round(float(seconds) * 1e9)
        point.time_from_start.sec = nanoseconds // 1_000_000_000
        point.time_from_start.nanosec = nanoseconds % 1_000_000_000
        message.points.append(point)
    return message


def path_sample(message: JointTrajectory) -> samples.JointPath:
    """Sample of a message."""
    positions = np.array([point.positions for point in message.points], dtype=np.float64)
    times = [point.time_from_start.sec + point.time_from_start.nanosec / 1e9 for point in message.points]
    return samples.JointPath(stamp_ns(message.header.stamp), tuple(message.joint_names), positions, np.array(times))


def burst_message(sample: samples.Burst) -> msg.ContactBurst:
    """Tip acceleration of one tap."""
    burst = sample.burst
    message = msg.ContactBurst(
        sample_rate_hz=float(burst.sample_rate_hz),
        tip_mass_kg=float(burst.tip_mass_kg),
        impact_speed_m_s=float(burst.impact_speed_m_s),
        acceleration_m_s2=_floats(burst.acceleration_m_s2),
    )
    message.header.stamp = to_stamp(sample.stamp_ns)
    message.header.frame_id = Frame.BALL_TIP
    return message


def burst_of(message: msg.ContactBurst) -> TapBurst:
    """Tap burst of a message."""
    return TapBurst(
        sample_rate_hz=message.sample_rate_hz,
        acceleration_m_s2=np.asarray(message.acceleration_m_s2, dtype=np.float64),
        tip_mass_kg=message.tip_mass_kg,
        impact_speed_m_s=message.impact_speed_m_s,
    )


def burst_sample(message: msg.ContactBurst) -> samples.Burst:
    """Sample of a message."""
    return samples.Burst(stamp_ns(message.header.stamp), burst_of(message))


def spectrum_message(sample: samples.Spectrum) -> msg.Spectrum:
    """One spectrum; the stamp is the end of its integration."""
    spectrum = sample.spectrum
    message = msg.Spectrum(
        device_serial=sample.device_serial,
        kind=msg.Spectrum.KIND_REFLECTANCE if spectrum.is_reflectance else msg.Spectrum.KIND_RAW_COUNTS,
        wavelength_nm=_floats(spectrum.wavelength_nm),
        values=_floats(spectrum.values),
        integration_time_s=float(sample.integration_time_s),
        scans_averaged=int(sample.scans_averaged),
        saturation=float(spectrum.saturation),
    )
    message.header.stamp = to_stamp(sample.stamp_ns)
    message.header.frame_id = Frame.FIBRE
    return message


def spectrum_of(message: msg.Spectrum) -> SpectrumSample:
    """Spectrum of a message; lengths are checked by whoever uses it (a bad spectrum is data too)."""
    return SpectrumSample(
        wavelength_nm=np.asarray(message.wavelength_nm, dtype=np.float64),
        values=np.asarray(message.values, dtype=np.float64),
        is_reflectance=message.kind == msg.Spectrum.KIND_REFLECTANCE,
        saturation=message.saturation,
    )


def spectrum_sample(message: msg.Spectrum) -> samples.Spectrum:
    """Sample of a message."""
    return samples.Spectrum(
        stamp_ns=stamp_ns(message.header.stamp),
        spectrum=spectrum_of(message),
        device_serial=message.device_serial,
        integration_time_s=message.integration_time_s,
        scans_averaged=message.scans_averaged,
    )


def heated_tip_message(sample: samples.HeatedTipState) -> msg.HeatedTip:
    """State of the warm pads."""
    message = msg.HeatedTip(
        setpoint_c=_floats(sample.setpoint_c),
        temperature_c=_floats(sample.temperature_c),
        heater_power_w=_floats(sample.power_w),
        cut_off=[bool(value) for value in sample.cut_off],
    )
    message.header.stamp = to_stamp(sample.stamp_ns)
    message.header.frame_id = Frame.WARM_PAD_0
    return message


def heated_tip_sample(message: msg.HeatedTip) -> samples.HeatedTipState:
    """Sample of a message."""
    return samples.HeatedTipState(
        stamp_ns=stamp_ns(message.header.stamp),
        setpoint_c=np.array(message.setpoint_c, dtype=np.float64),
        temperature_c=np.array(message.temperature_c, dtype=np.float64),
        power_w=np.array(message.heater_power_w, dtype=np.float64),
        cut_off=np.array(message.cut_off, dtype=np.bool_),
    )


def inductive_message(sample: samples.Inductive) -> msg.Inductive:
    """Raw reading of both coils."""
    message = msg.Inductive(
        frequency_hz=float(sample.frequency_hz),
        inductance_change=_floats(sample.inductance_change),
        resistance_change=_floats(sample.resistance_change),
    )
    message.header.stamp = to_stamp(sample.stamp_ns)
    message.header.frame_id = Frame.WARM_PAD_0
    return message


def coil_values(message: msg.Inductive, pad: int) -> tuple[float, float]:
    """Change of inductance and of resistance of one pad's coil; NaN where the message has no such pad."""
    changes = message.inductance_change, message.resistance_change
    first, second = (float(values[pad]) if pad < len(values) else math.nan for values in changes)
    return first, second


def inductive_sample(message: msg.Inductive) -> samples.Inductive:
    """Sample of a message."""
    return samples.Inductive(
        stamp_ns=stamp_ns(message.header.stamp),
        frequency_hz=message.frequency_hz,
        inductance_change=np.array(message.inductance_change, dtype=np.float64),
        resistance_change=np.array(message.resistance_change, dtype=np.float64),
    )


def _point(values: Any) -> Point:
    return Point(x=float(values[0]), y=float(values[1]), z=float(values[2]))


def _vector(values: Any) -> Vector3:
    return Vector3(x=float(values[0]), y=float(values[1]), z=float(values[2]))


def execution_message(sample: samples.Execution) -> msg.ProbeExecution:
    """What the arm did."""
    done = sample.execution
    message = msg.ProbeExecution(
        session_id=sample.session_id,
        part_id=sample.part_id,
        index=sample.index,
        primitive=int(done.primitive),
        outcome=int(done.outcome),
        message=done.message,
        window_start=to_stamp(done.window_start_ns),
        window_end=to_stamp(done.window_end_ns),
        contact_time=to_stamp(done.contact_time_ns),
        contact_point=_point(done.contact_point_m),
        contact_normal=_vector(done.contact_normal),
        speed_m_s=float(done.speed_m_s),
        slide_distance_m=float(done.slide_distance_m),
        dwell_s=float(done.dwell_s),
        max_force_n=float(done.max_force_n),
        pad_index=int(done.pad_index),
        pad_contact_area_m2=float(done.pad_contact_area_m2),
    )
    message.header.stamp = to_stamp(sample.stamp_ns)
    message.header.frame_id = Frame.BASE
    return message


def execution_of(message: msg.ProbeExecution) -> ProbeExecution:
    """Execution of a message."""
    point, normal = message.contact_point, message.contact_normal
    return ProbeExecution(
        primitive=Primitive(message.primitive),
        outcome=Outcome(message.outcome),
        message=message.message,
        window_start_ns=stamp_ns(message.window_start),
        window_end_ns=stamp_ns(message.window_end),
        contact_time_ns=stamp_ns(message.contact_time),
        contact_point_m=(point.x, point.y, point.z),
        contact_normal=(normal.x, normal.y, normal.z),
        speed_m_s=message.speed_m_s,
        slide_distance_m=message.slide_distance_m,
        dwell_s=message.dwell_s,
        max_force_n=message.max_force_n,
        pad_index=message.pad_index,
        pad_contact_area_m2=message.pad_contact_area_m2,
    )


def execution_sample(message: msg.ProbeExecution) -> samples.Execution:
    """Sample of a message."""
    return samples.Execution(
        stamp_ns=stamp_ns(message.header.stamp),
        session_id=message.session_id,
        part_id=message.part_id,
        index=message.index,
        execution=execution_of(message),
    )


_GOAL_NUMBERS = (
    "force_limit_n", "force_n", "standoff_m", "speed_m_s", "dwell_s", "slide_distance_m", "slide_angle_rad",
    "grasp_width_m", "grasp_angle_rad", "pad_index", "bin",
)  # fmt: skip


def goal_message(goal: ProbeGoal, session_id: str, part_id: str, index: int) -> Probe.Goal:
    """Action goal for one probe."""
    message = Probe.Goal(session_id=session_id, part_id=part_id, index=index, primitive=int(goal.primitive))
    message.target = _point(goal.target_m)
    message.normal = _vector(goal.normal)
    for name in _GOAL_NUMBERS:
        # The generated code aborts the process on a value of another type (a float where an integer belongs).
        setattr(message, name, type(getattr(message, name))(getattr(goal, name)))
    return message


def goal_of(message: Probe.Goal) -> ProbeGoal:
    """Probe goal of an action goal.

    Raises:
        DataError: an unknown primitive, or a number that is not finite.
    """
    try:
        primitive = Primitive(message.primitive)
    except ValueError:
        known = ", ".join(f"{p.value} {p.name}" for p in Primitive)
        raise DataError(f"probe goal has primitive {message.primitive}; known: {known}") from None
    target = (message.target.x, message.target.y, message.target.z)
    normal = (message.normal.x, message.normal.y, message.normal.z)
    values = {name: getattr(message, name) for name in _GOAL_NUMBERS}
    numbers = [*target, *normal, *(value for value in values.values() if isinstance(value, float))]
    if not np.isfinite(numbers).all():
        raise DataError(f"probe goal holds a number that is not finite: target {target}, normal {normal}, {values}")
    return ProbeGoal(primitive=primitive, target_m=target, normal=normal, **values)
