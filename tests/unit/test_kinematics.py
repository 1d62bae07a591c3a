"""Kinematics against PyBullet, against differences, and at its limits."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pybullet
import pytest

from palpate_agents.errors import ConfigError
from palpate_agents.materials.bins import BINS
from palpate_agents.observation import Frame
from palpate_sim.fixtures import bin_positions, bin_rim_m, fixture_boxes
from palpate_sim.kinematics import (
    ARM_JOINTS,
    Chain,
    IkTarget,
    InverseKinematics,
    UrdfModel,
    rotation_vector,
    rpy_matrix,
)
from palpate_sim.planning import GRASP_POSTURE, HOME, TOOL_POSTURE
from palpate_sim.scene import load_arm

ARM_FRAMES = (
    Frame.FLANGE, Frame.FORCE_TORQUE, Frame.BALL_TIP, Frame.WARM_PAD_0, Frame.WARM_PAD_1, Frame.FIBRE, Frame.GRASP,
)  # fmt: skip
DOWN = np.array([0.0, 0.0, -1.0])


@pytest.fixture(scope="module")
def model():
    return UrdfModel()


@pytest.fixture(scope="module")
def body(model):
    client = pybullet.connect(pybullet.DIRECT)
    arm = load_arm(client, model)
    info = [pybullet.getJointInfo(arm, i, physicsClientId=client) for i in range(pybullet.getNumJoints(arm, client))]
    yield client, arm, {e[1].decode(): i for i, e in enumerate(info)}, {e[12].decode(): i for i, e in enumerate(info)}
    pybullet.disconnect(client)


def random_postures(chain, count, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(chain.lower, chain.upper, (count, 7))


def test_every_frame_of_the_vocabulary_is_a_link(model):
    assert set(Frame) <= set(model.links)


def test_every_bin_of_the_catalogue_stands_in_the_cell(model):
    assert set(bin_positions(model)) == set(BINS)
    assert 0.03 < bin_rim_m(model) < 0.1


@pytest.mark.parametrize("frame", ARM_FRAMES)
def test_forward_kinematics_is_that_of_pybullet(model, body, frame):
    client, arm, joints, links = body
    chain = Chain(model, frame)
    for q in random_postures(chain, 20):
        for name, value in zip(ARM_JOINTS, q, strict=True):
            pybullet.resetJointState(arm, joints[name], value, physicsClientId=client)
        state = pybullet.getLinkState(arm, links[frame], computeForwardKinematics=1, physicsClientId=client)
        pose = chain.forward(q)
        np.testing.assert_allclose(pose[:3, 3], state[4], atol=3e-6)
        np.testing.assert_allclose(pose[:3, :3].ravel(), pybullet.getMatrixFromQuaternion(state[5]), atol=3e-6)


@pytest.mark.parametrize("count", [0, 1, 3, 404])
def test_many_postures_at_once_are_bit_for_bit_each_by_itself(model, count):
    tip, sensor = Chain(model, Frame.BALL_TIP), Chain(model, Frame.FORCE_TORQUE)
    rows = random_postures(tip, count)
    tips, sensors = tip.forward_rows(rows, sensor)
    assert tips.shape == sensors.shape == (count, 4, 4)
    for q, one, other in zip(rows, tips, sensors, strict=True):
        np.testing.assert_array_equal(one, tip.forward(q))
        np.testing.assert_array_equal(other, sensor.forward(q))
    assert np.array_equal(tip.forward_rows(rows)[0], tips)


def test_tips_on_other_joints_are_not_computed_in_one_pass(model):
    tip = Chain(model, Frame.BALL_TIP)
    with pytest.raises(ConfigError, match="panda_link4"):
        tip.forward_rows(np.zeros((2, 7)), Chain(model, "panda_link4"))


@pytest.mark.parametrize("frame", [Frame.BALL_TIP, Frame.GRASP])
def test_jacobian_is_the_derivative(model, frame):
    chain = Chain(model, frame)
    step = 1e-6
    for q in random_postures(chain, 10, seed=1):
        pose, jacobian = chain.jacobian(q)
        for k in range(7):
            moved = chain.forward(q + step * np.eye(7)[k])
            linear = (moved[:3, 3] - pose[:3, 3]) / step
            angular = rotation_vector(moved[:3, :3] @ pose[:3, :3].T) / step
            np.testing.assert_allclose(jacobian[:, k], np.concatenate([linear, angular]), atol=2e-5)


def test_inverse_finds_poses_that_exist(model):
    chain = Chain(model, Frame.GRASP)
    ik = InverseKinematics(chain)
    rng = np.random.default_rng(2)
    found = 0
    for _ in range(40):
        truth = np.clip(GRASP_POSTURE + rng.uniform(-0.6, 0.6, 7), ik.lower, ik.upper)
        pose = chain.forward(truth)
        q = ik.solve(IkTarget(pose[:3, 3], pose[:3, 2], pose[:3, 0]), [GRASP_POSTURE])
        if q is None:
            continue
        found += 1
        np.testing.assert_allclose(chain.forward(q), pose, atol=5e-6)
        assert np.all(q >= chain.lower)
        assert np.all(q <= chain.upper)
    assert found >= 38


def test_a_free_turn_leaves_only_the_approach_fixed(model):
    chain = Chain(model, Frame.BALL_TIP)
    ik = InverseKinematics(chain)
    tilted = np.array([0.2, -0.1, -1.0])
    tilted /= np.linalg.norm(tilted)
    q = ik.solve(IkTarget(np.array([0.5, 0.05, 0.04]), tilted), [TOOL_POSTURE])
    assert q is not None
    pose = chain.forward(q)
    np.testing.assert_allclose(pose[:3, 3], [0.5, 0.05, 0.04], atol=1e-6)
    np.testing.assert_allclose(pose[:3, 2], tilted, atol=1e-5)
    assert np.abs(q - TOOL_POSTURE).max() < 0.6, "it should stay near the comfortable posture"


def test_out_of_reach_is_none(model):
    ik = InverseKinematics(Chain(model, Frame.BALL_TIP))
    assert ik.solve(IkTarget(np.array([1.4, 0.0, 0.1]), DOWN), [TOOL_POSTURE]) is None


def test_a_refused_solution_is_not_returned(model):
    ik = InverseKinematics(Chain(model, Frame.BALL_TIP))
    target = IkTarget(np.array([0.5, 0.0, 0.05]), DOWN)
    assert ik.solve(target, [TOOL_POSTURE]) is not None
    assert ik.solve(target, [TOOL_POSTURE], lambda q: False) is None


def test_home_hangs_the_hand_straight_down(model):
    """The tool's own weight must read the same at home and while a part is weighed."""
    rotation = Chain(model, Frame.FORCE_TORQUE).forward(HOME)[:3, :3]
    assert rotation[2, 2] < -np.cos(np.radians(0.1))


def test_rotation_vector_undoes_rotations():
    for vector in ([0.3, -0.2, 1.0], [0.0, 0.0, 0.0], [1e-7, 0, 0], [np.pi - 1e-6, 0.0, 0.0]):
        angle = np.linalg.norm(vector)
        axis = np.asarray(vector) / max(angle, 1e-12)
        cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
        rotation = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
        np.testing.assert_allclose(rotation_vector(rotation), vector, atol=1e-6)
    np.testing.assert_allclose(np.abs(rotation_vector(rpy_matrix(np.pi, 0.0, 0.0))), [np.pi, 0, 0], atol=1e-6)


def test_mass_and_centre_behind_the_sensor_are_the_sum_of_the_links(model, body):
    client, arm, joints, links = body
    mass, center, inertia = model.inertia_below(Frame.FORCE_TORQUE)
    for joint in joints.values():
        pybullet.resetJointState(arm, joint, 0.0, physicsClientId=client)
    names = [n for n in links if any(j.parent == "force_torque_sensor" for j in model.path_to(n))]
    total, moment = 0.0, np.zeros(3)
    for name in [*names, "force_torque_sensor"]:
        weight = pybullet.getDynamicsInfo(arm, links[name], physicsClientId=client)[0]
        at = pybullet.getLinkState(arm, links[name], computeForwardKinematics=1, physicsClientId=client)[0]
        total, moment = total + weight, moment + weight * np.array(at)
    sensor = Chain(model, Frame.FORCE_TORQUE).forward(np.zeros(7))
    assert mass == pytest.approx(total, abs=1e-9)
    np.testing.assert_allclose(sensor[:3, :3] @ center + sensor[:3, 3], moment / total, atol=1e-5)
    assert np.all(np.linalg.eigvalsh(inertia) > 0)


def test_fixtures_are_where_the_urdf_says(model):
    table = [b for b in fixture_boxes(model) if b.link == "table"]
    assert len(table) == 1
    assert table[0].center_m[2] + table[0].half_m[2] == pytest.approx(0.0)


@pytest.mark.parametrize("text", ["", "<robot", '<robot name="x"><joint name="j" type="fixed"/></robot>'])
def test_a_broken_description_is_a_clear_error(tmp_path, text):
    path = tmp_path / "cell.urdf"
    path.write_text(text)
    with pytest.raises(ConfigError):
        UrdfModel(path)


def test_a_missing_description_and_link_are_clear_errors(tmp_path, model):
    with pytest.raises(ConfigError, match=r"nowhere\.urdf"):
        UrdfModel(tmp_path / "nowhere.urdf")
    with pytest.raises(ConfigError, match="third_arm"):
        model.path_to("third_arm")


def test_motion_and_kinematics_need_no_simulator():
    """A driver of a real arm uses them without PyBullet."""
    code = "import palpate_sim.executor, sys; assert 'pybullet' not in sys.modules and 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
