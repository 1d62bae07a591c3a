"""Windows are cut by stamp from serialised messages; a dead sensor leaves its part empty and lowers its reliability."""

import numpy as np
import pytest
from rclpy.serialization import serialize_message

from palpate_agents import samples
from palpate_agents.errors import DataError
from palpate_agents.fusion import FusionConfig, MultimodalFusionNetwork
from palpate_agents.materials import MATERIALS
from palpate_agents.observation import CameraGeometry, Frame, Modality, Outcome, Primitive, ProbeExecution
from palpate_agents.probing import MaterialCharacterizationAgent, make_strategy
from palpate_nodes import cdr, convert, topics
from palpate_nodes.windows import WRENCH_FIELDS, StreamBuffer, WindowCutter
from palpate_sim.kinematics import ARM_JOINTS, Chain, UrdfModel

MS = 1_000_000
START = 10_000 * MS
READY = np.array([0.0, -0.4, 0.0, -2.0, 0.0, 1.6, 0.8])


@pytest.fixture(scope="module")
def urdf():
    return UrdfModel()


def wrench(ms):
    return serialize_message(convert.wrench_message(samples.Wrench(START + ms * MS, np.arange(6.0) + ms)))


def filled(urdf, *, without=()):
    cutter = WindowCutter(urdf)
    camera = CameraGeometry(300.0, 300.0, 160.0, 120.0, np.eye(4))
    for ms in range(0, 1000):
        cutter.add(topics.WRENCH)(wrench(ms))
        if ms % 10 == 0:
            joints = samples.Joints(START + ms * MS, ARM_JOINTS, READY, np.zeros(7), np.zeros(7))
            cutter.add(topics.JOINT_STATES)(serialize_message(convert.joint_message(joints)))
        if ms % 100 == 0 and "camera" not in without:
            color = np.full((240, 320, 3), ms // 100, np.uint8)
            frame = samples.RgbdFrame(START + ms * MS, color, np.full((240, 320), 700, np.uint16), camera)
            cutter.add(topics.COLOR)(serialize_message(convert.color_message(frame)))
            cutter.add(topics.DEPTH)(serialize_message(convert.depth_message(frame)))
            info = convert.camera_info(frame.stamp_ns, Frame.CAMERA, camera, 240, 320)
            cutter.add(topics.COLOR_INFO)(serialize_message(info))
    return cutter


def look(start_ms=200, end_ms=520, contact_ms=0):
    contact = START + contact_ms * MS if contact_ms else 0
    return ProbeExecution(Primitive.LOOK, Outcome.SUCCEEDED, START + start_ms * MS, START + end_ms * MS, contact)


def test_a_window_holds_what_was_stamped_inside_it_and_nothing_else(urdf):
    windows = filled(urdf).cut(look(contact_ms=300))
    np.testing.assert_allclose(windows.wrench_times_s, np.arange(-0.1, 0.2205, 0.001), atol=1e-9)
    np.testing.assert_array_equal(windows.wrench[0], np.arange(6.0) + 200)
    assert len(windows.joint_times_s) == 33
    assert int(windows.color[0, 0, 0]) == 5, "the last picture of the window"
    assert windows.depth_m[0, 0] == pytest.approx(0.7)


def test_poses_come_from_the_one_urdf(urdf):
    windows = filled(urdf).cut(look())
    tip = Chain(urdf, Frame.BALL_TIP, Frame.BASE).forward(READY)
    np.testing.assert_allclose(windows.tip_positions_m[0], tip[:3, 3], atol=1e-12)
    camera = np.linalg.inv(urdf.fixed_transform(Frame.BASE)) @ urdf.fixed_transform(Frame.CAMERA)
    np.testing.assert_allclose(windows.camera.pose, camera, atol=1e-12)


def test_a_dead_camera_leaves_no_picture_and_no_trust(urdf):
    windows = filled(urdf, without=("camera",)).cut(look())
    assert windows.color is None
    assert len(windows.wrench) == 321
    network = MultimodalFusionNetwork(FusionConfig(tuple(MATERIALS))).eval()
    agent = MaterialCharacterizationAgent(network, make_strategy("fixed"))
    prior = agent.belief
    belief = agent.observe(look(), windows)
    assert agent.observations[-1].reliability[Modality.VISUAL] == 0.0
    assert agent.observations[-1].reasons[Modality.VISUAL]
    assert np.isfinite(belief.probabilities).all()
    assert belief.entropy_nats == pytest.approx(prior.entropy_nats, abs=0.3), "no data: the belief stays wide"
    assert agent.signature().abstained


def test_a_picture_in_a_foreign_frame_is_refused(urdf):
    cutter = filled(urdf, without=("camera",))
    camera = CameraGeometry(300.0, 300.0, 160.0, 120.0, np.eye(4))
    frame = samples.RgbdFrame(START + 300 * MS, np.zeros((4, 4, 3), np.uint8), np.ones((4, 4), np.uint16), camera)
    color, depth = convert.color_message(frame), convert.depth_message(frame)
    color.header.frame_id = depth.header.frame_id = "somebody_elses_camera"
    info = convert.camera_info(frame.stamp_ns, "somebody_elses_camera", camera, 4, 4)
    for topic, message in ((topics.COLOR, color), (topics.DEPTH, depth), (topics.COLOR_INFO, info)):
        cutter.add(topic)(serialize_message(message))
    with pytest.raises(DataError, match="somebody_elses_camera"):
        cutter.cut(look())


def test_a_buffer_forgets_what_is_old_and_refuses_what_comes_late():
    buffer = StreamBuffer(topics.WRENCH.type, keep_s=0.1)
    for ms in range(0, 300, 10):
        buffer.add(wrench(ms))
    assert [stamp for stamp, _ in buffer.between(0, 1 << 62)] == [START + ms * MS for ms in range(190, 300, 10)]
    buffer.add(wrench(50))
    assert buffer.rejected == 1
    assert buffer.last_ns == START + 290 * MS
    assert buffer.last_in(START, START + 100 * MS) is None


def dwell():
    return ProbeExecution(Primitive.DWELL, Outcome.SUCCEEDED, START, START + 300 * MS, START + 50 * MS, pad_index=1)


def add_streams(cutter, change=lambda topic, ms, message: None):
    """300 ms of every stream of numbers, each message changed by `change` before it is serialised."""
    rng = np.random.default_rng(0)
    names = (*ARM_JOINTS[::-1], "panda_finger_joint1", "panda_finger_joint2")
    for ms in range(0, 300):
        stamp = START + ms * MS
        found = [(topics.WRENCH, convert.wrench_message(samples.Wrench(stamp, rng.normal(size=6))))]
        if ms % 10 == 0:
            position = rng.uniform(-1.5, 1.5, 9)
            joints = samples.Joints(stamp, names, position, np.zeros(9), np.zeros(9))
            found.append((topics.JOINT_STATES, convert.joint_message(joints)))
            tip = samples.HeatedTipState(stamp, *rng.uniform(20, 60, (3, 2)), np.array([False, True]))
            found.append((topics.HEATED_TIP, convert.heated_tip_message(tip)))
            coil = samples.Inductive(stamp, 5e4, rng.normal(size=2), rng.normal(size=2))
            found.append((topics.INDUCTIVE, convert.inductive_message(coil)))
        for topic, message in found:
            change(topic, ms, message)
            cutter.add(topic)(serialize_message(message))
    return cutter


NUMBERS = (
    "wrench_times_s", "wrench", "joint_times_s", "joint_positions", "tip_positions_m", "sensor_rotation", "pad_times_s",
    "pad_temperature_c", "pad_setpoint_c", "pad_power_w", "inductive_times_s", "inductive",
)  # fmt: skip


def other_frame(topic, ms, message):
    if ms == 100:
        message.header.frame_id += "_2"


def equal_length(topic, ms, message):
    if ms == 100:
        message.header.frame_id = message.header.frame_id[::-1]


def other_order(topic, ms, message):
    if topic is topics.JOINT_STATES and ms == 100:
        message.name = message.name[::-1]


def no_velocity(topic, ms, message):
    if topic is topics.JOINT_STATES:
        message.velocity, message.effort = [], []


def single_pad(topic, ms, message):
    if topic is topics.INDUCTIVE:
        message.inductance_change, message.resistance_change = message.inductance_change[:1], []


def not_finite(topic, ms, message):
    if topic is topics.WRENCH and ms == 7:
        message.wrench.torque.z = float("nan")
    if topic is topics.JOINT_STATES and ms == 0:
        message.position[3] = -0.0


ALIKE, ODD_WRENCH, ODD_JOINTS = (None, no_velocity, single_pad, not_finite), (other_frame, equal_length), (other_order,)


@pytest.mark.parametrize("change", [*ALIKE, *ODD_WRENCH, *ODD_JOINTS])
def test_numbers_read_in_bulk_are_those_of_messages_decoded_singly(urdf, monkeypatch, change):
    cutter = add_streams(WindowCutter(urdf), change or (lambda *_: None))
    span = (START, START + 300 * MS)
    wrenches = cutter.streams[topics.WRENCH.name].columns(*span, WRENCH_FIELDS)
    assert (wrenches is None) == (change in ODD_WRENCH)
    joints = cutter.streams[topics.JOINT_STATES.name].columns(*span, ("position",))
    assert (joints is None) == (change in (other_frame, *ODD_JOINTS))
    fast = cutter.cut(dwell())
    monkeypatch.setattr(cdr, "columns", lambda *_: None)
    plain = cutter.cut(dwell())
    assert len(plain.wrench) == 300
    assert len(plain.joint_positions) == len(plain.inductive) == len(plain.pad_power_w) == 30
    for name in NUMBERS:
        one, other = getattr(fast, name), getattr(plain, name)
        assert (one.dtype, one.shape) == (other.dtype, other.shape), name
        assert one.tobytes() == other.tobytes(), name


def test_what_is_no_little_endian_cdr_or_has_other_bytes_is_not_read_in_bulk():
    data = [wrench(ms) for ms in range(5)]
    first, values = cdr.columns(data, topics.WRENCH.type, WRENCH_FIELDS)
    assert first.header.frame_id == Frame.FORCE_TORQUE
    np.testing.assert_array_equal(values[2], np.arange(5.0) + 2.0)
    for at, value in ((1, 0), (12, 7), (16, ord("x"))):
        odd = bytearray(data[3])
        odd[at] = value
        assert cdr.columns([*data[:3], bytes(odd)], topics.WRENCH.type, WRENCH_FIELDS) is None
    assert cdr.columns([*data, data[0] + b"0000"], topics.WRENCH.type, WRENCH_FIELDS) is None


def test_what_a_writer_leaves_between_two_aligned_fields_means_nothing():
    message = convert.wrench_message(samples.Wrench(START, np.arange(6.0)))
    message.header.frame_id = "abcd"
    data = serialize_message(message)
    gap = data.index(b"abcd\x00") + 5
    filled = bytearray(data)
    filled[gap] = 99
    _, values = cdr.columns([data, bytes(filled)], topics.WRENCH.type, WRENCH_FIELDS)
    np.testing.assert_array_equal(np.stack(values, axis=1), [np.arange(6.0)] * 2)


def test_joints_that_the_arm_needs_but_nobody_sends_are_an_error(urdf):
    def forget(topic, ms, message):
        if topic is topics.JOINT_STATES:
            message.name = ["shoulder", *message.name[1:]]

    with pytest.raises(KeyError, match="panda_joint7"):
        add_streams(WindowCutter(urdf), forget).cut(dwell())
