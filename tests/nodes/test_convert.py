"""Samples become messages and samples again without losing anything."""

from dataclasses import is_dataclass

import numpy as np
import pytest
from rclpy.serialization import deserialize_message, serialize_message

from palpate_agents import samples
from palpate_agents.errors import DataError
from palpate_agents.observation import (
    CameraGeometry,
    Outcome,
    Primitive,
    ProbeExecution,
    ProbeGoal,
    SpectrumSample,
    TapBurst,
)
from palpate_interfaces.action import Probe
from palpate_nodes import convert

STAMP = 1_795_000_000_123_456_789
RNG = np.random.default_rng(0)
FLOAT = np.float32


def through_wire(message):
    return deserialize_message(serialize_message(message), type(message))


def same(a, b):
    assert type(a) is type(b)
    for name, value in vars(a).items():
        other = getattr(b, name)
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(value, other)
        elif is_dataclass(value):
            same(value, other)
        else:
            assert value == other, name


def f32(*shape):
    return RNG.normal(size=shape).astype(FLOAT).astype(np.float64)


CASES = [
    (samples.Wrench(STAMP, RNG.normal(size=6)), convert.wrench_message, convert.wrench_sample),
    (
        samples.Joints(STAMP, ("a", "b"), RNG.normal(size=2), RNG.normal(size=2), RNG.normal(size=2)),
        convert.joint_message,
        convert.joint_sample,
    ),
    (
        samples.JointPath(STAMP, ("a", "b"), RNG.normal(size=(3, 2)), np.array([0.0, 0.25, 1.5])),
        convert.path_message,
        convert.path_sample,
    ),
    (
        samples.Burst(STAMP, TapBurst(50_000.0, f32(100), 0.0625, 0.03125)),
        convert.burst_message,
        convert.burst_sample,
    ),
    (
        samples.Spectrum(STAMP, SpectrumSample(np.arange(5.0), f32(5), False, 4096.0), "serial", 0.125, 3),
        convert.spectrum_message,
        convert.spectrum_sample,
    ),
    (
        samples.HeatedTipState(STAMP, f32(2), f32(2), f32(2), np.array([False, True])),
        convert.heated_tip_message,
        convert.heated_tip_sample,
    ),
    (samples.Inductive(STAMP, 50_000.0, f32(2), f32(2)), convert.inductive_message, convert.inductive_sample),
    (
        samples.Execution(
            STAMP,
            "s",
            "p",
            3,
            ProbeExecution(
                Primitive.SLIDE, Outcome.FORCE_LIMIT, STAMP - 5, STAMP, STAMP - 2, (1.0, 2.0, 3.0), (0.0, 0.6, 0.8),
                0.02, 0.015, 0.5, 7.5, 1, 1.44e-4, "stopped",
            ),
        ),
        convert.execution_message,
        convert.execution_sample,
    ),
]  # fmt: skip


@pytest.mark.parametrize(("sample", "there", "back"), CASES, ids=lambda v: getattr(v, "__name__", type(v).__name__))
def test_round_trip(sample, there, back):
    same(sample, back(through_wire(there(sample))))


def test_pictures_keep_every_pixel():
    camera = CameraGeometry(300.0, 301.0, 160.5, 120.5, np.eye(4))
    color = RNG.integers(0, 255, (24, 32, 3)).astype(np.uint8)
    depth = RNG.integers(0, 9000, (24, 32)).astype(np.uint16)
    frame = samples.RgbdFrame(STAMP, color, depth, camera)
    np.testing.assert_array_equal(convert.image_pixels(through_wire(convert.color_message(frame))), color)
    message = through_wire(convert.depth_message(frame))
    assert (message.encoding, message.step) == ("16UC1", 64)
    np.testing.assert_array_equal(convert.image_pixels(message), depth)
    thermal = samples.ThermalFrame(STAMP, RNG.normal(22, 1, (12, 16)).astype(FLOAT), camera)
    np.testing.assert_array_equal(convert.image_pixels(through_wire(convert.thermal_message(thermal))), thermal.celsius)
    info = through_wire(convert.camera_info(STAMP, "frame", camera, 24, 32))
    back = convert.geometry(info, np.eye(4))
    assert (back.fx, back.fy, back.cx, back.cy) == (300.0, 301.0, 160.5, 120.5)


def test_a_picture_of_another_size_or_kind_is_refused():
    frame = samples.RgbdFrame(STAMP, np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.uint16), None)
    message = convert.color_message(frame)
    message.height = 5
    with pytest.raises(DataError, match="expected 60"):
        convert.image_pixels(message)
    message.encoding = "bayer_rggb8"
    with pytest.raises(DataError, match="not supported"):
        convert.image_pixels(message)


def test_goals_go_through_and_bad_ones_are_refused():
    goal = ProbeGoal(
        Primitive.LIFT, (0.4, 0.1, 0.02), (0.0, 0.0, 1.0), force_limit_n=5.0, force_n=2.0, standoff_m=0.03,
        speed_m_s=0.01, dwell_s=1.0, slide_distance_m=0.01, slide_angle_rad=0.5, grasp_width_m=0.04,
        grasp_angle_rad=1.5, pad_index=1, bin="metal",
    )  # fmt: skip
    message = through_wire(convert.goal_message(goal, "s", "p", 2))
    assert convert.goal_of(message) == goal
    with pytest.raises(DataError, match="primitive 77"):
        convert.goal_of(Probe.Goal(primitive=77))
    message.target.x = float("nan")
    with pytest.raises(DataError, match="not finite"):
        convert.goal_of(message)
