"""The Panda in PyBullet: position-controlled joints, a hand with coupled fingers, and the force/torque sensor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pybullet
from numpy.typing import NDArray

from palpate_agents.observation import Frame
from palpate_sim.geometry import quaternion_matrix
from palpate_sim.kinematics import ARM_JOINTS, FINGER_JOINTS, UrdfModel
from palpate_sim.motion import ArmCommand
from palpate_sim.planning import HOME
from palpate_sim.scene import load_arm

Array = NDArray[np.float64]

SENSOR_JOINT = "force_torque_joint"
TOOL_LINKS = ("probe_tool", "ball_tip", "warm_pad_0", "warm_pad_1", "spectrometer_fibre")
FINGER_LINKS = ("panda_leftfinger", "panda_rightfinger")
POSITION_GAIN = 0.8
"""Share of the position error that is removed per step."""
MOTOR_FORCE = [400.0] * 4 + [200.0] * 3
"""Above the real motors' 87 and 12 N m: the drives are stiff, reach and speed are limited by the planner."""
FINGER_SPEED_M_S = 0.1
FINGER_FRICTION = 1.0
"""Silicone finger pads: the part's own friction against silicone is the pair's."""


@dataclass(slots=True)
class ArmReading:
    """Joint positions, velocities, efforts (7,) rad, rad/s, N m; fingers likewise (2,) m, m/s, N; wrench (6,) N, N m."""

    q: list[float]
    velocity: list[float]
    effort: list[float]
    fingers: tuple[float, float]
    finger_velocity: tuple[float, float]
    finger_effort: tuple[float, float]
    wrench: Array


class SimArm:
    """Body of the arm in one client."""

    def __init__(self, client: int, model: UrdfModel):
        self.client = client
        self.body = load_arm(client, model)
        count = pybullet.getNumJoints(self.body, physicsClientId=client)
        info = [pybullet.getJointInfo(self.body, i, physicsClientId=client) for i in range(count)]
        joints = {entry[1].decode(): i for i, entry in enumerate(info)}
        self.links = {entry[12].decode(): i for i, entry in enumerate(info)}
        self._arm = [joints[name] for name in ARM_JOINTS]
        self._fingers = [joints[name] for name in FINGER_JOINTS]
        self._sensor = joints[SENSOR_JOINT]
        self._read = [*self._arm, *self._fingers, self._sensor]
        self._gains = [POSITION_GAIN] * len(self._arm)
        self._velocity_gains = [1.0] * len(self._arm)
        self._grip: tuple[float, float] | None = None
        pybullet.enableJointForceTorqueSensor(self.body, self._sensor, 1, physicsClientId=client)
        dynamics = pybullet.getDynamicsInfo(self.body, self._sensor, physicsClientId=client)
        self._sensor_com = np.array(dynamics[3])
        for link in range(-1, count):
            pybullet.changeDynamics(
                self.body, link, linearDamping=0.0, angularDamping=0.0, jointDamping=0.0, physicsClientId=client
            )
        for name in FINGER_LINKS:
            pybullet.changeDynamics(
                self.body, self.links[name], lateralFriction=FINGER_FRICTION, spinningFriction=0.005,
                physicsClientId=client,
            )  # fmt: skip
        # The real hand has one motor for both fingers.
        gear = pybullet.createConstraint(
            self.body, self._fingers[0], self.body, self._fingers[1], pybullet.JOINT_GEAR,
            [1, 0, 0], [0, 0, 0], [0, 0, 0], physicsClientId=client,
        )  # fmt: skip
        pybullet.changeConstraint(gear, gearRatio=-1, erp=0.3, maxForce=200.0, physicsClientId=client)
        self.place(HOME, 0.08)

    def place(self, q: Array, finger_width_m: float) -> None:
        """Put the arm somewhere without moving there (start of the world, mirrored worlds)."""
        for joint, value in zip(self._arm, q, strict=True):
            pybullet.resetJointState(self.body, joint, float(value), physicsClientId=self.client)
        for joint in self._fingers:
            pybullet.resetJointState(self.body, joint, 0.5 * finger_width_m, physicsClientId=self.client)

    def command(self, command: ArmCommand) -> None:
        """Targets of the next step."""
        pybullet.setJointMotorControlArray(
            self.body, self._arm, pybullet.POSITION_CONTROL, targetPositions=command.q.tolist(), forces=MOTOR_FORCE,
            positionGains=self._gains, velocityGains=self._velocity_gains, physicsClientId=self.client,
        )  # fmt: skip
        grip = (command.finger_width_m, command.finger_force_n)
        if grip != self._grip:
            self._grip = grip
            for joint in self._fingers:
                pybullet.setJointMotorControl2(
                    self.body, joint, pybullet.POSITION_CONTROL, targetPosition=0.5 * grip[0], force=grip[1],
                    maxVelocity=FINGER_SPEED_M_S, physicsClientId=self.client,
                )  # fmt: skip

    def read(self) -> ArmReading:
        """State after the last step. The wrench is what hangs on the sensor: weight, inertia, contacts of the hand."""
        states = pybullet.getJointStates(self.body, self._read, physicsClientId=self.client)
        reaction = states[9][2]
        fx, fy, fz, tx, ty, tz = (-v for v in reaction)
        cx, cy, cz = self._sensor_com  # PyBullet reports about the link's centre of mass
        wrench = np.array(
            [fx, fy, fz, tx + cy * fz - cz * fy, ty + cz * fx - cx * fz, tz + cx * fy - cy * fx]
        )
        return ArmReading(
            [s[0] for s in states[:7]],
            [s[1] for s in states[:7]],
            [s[3] for s in states[:7]],
            (states[7][0], states[8][0]),
            (states[7][1], states[8][1]),
            (states[7][3], states[8][3]),
            wrench,
        )

    def sensor_pose(self) -> tuple[Array, Array]:
        """Rotation (3, 3) and position (3,) of the force/torque sensor's frame in the base frame."""
        state = pybullet.getLinkState(
            self.body, self._sensor, computeForwardKinematics=1, physicsClientId=self.client
        )
        return quaternion_matrix(state[5]), np.array(state[4])


def tool_tips(model: UrdfModel) -> dict[Frame, tuple[Array, Array]]:
    """Position (3,) and outward axis (3,) of every tool frame in the sensor's frame."""
    frames = (Frame.BALL_TIP, Frame.WARM_PAD_0, Frame.WARM_PAD_1, Frame.FIBRE)
    poses = {frame: model.fixed_transform(frame, Frame.FORCE_TORQUE) for frame in frames}
    return {frame: (pose[:3, 3].copy(), pose[:3, 2].copy()) for frame, pose in poses.items()}
