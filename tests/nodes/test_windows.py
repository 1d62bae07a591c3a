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
from palpate_nodes import convert, topics
from palpate_nodes.windows import StreamBuffer, WindowCutter
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
