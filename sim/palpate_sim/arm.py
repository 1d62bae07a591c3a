"""The Panda in PyBullet: position-controlled joints, a hand with coupled fingers, and the force/torque sensor.

The sensor's wrench is the weight and inertia of what hangs on it plus the contact forces on those bodies. PyBullet's
own joint reaction is not used: with a part in the fingers it is wrong by several grams, while contact forces add up
exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pybullet
from numpy.typing import NDArray

from palpate_agents.observation import Frame
from palpate_sim.geometry import cross, quaternion_matrix
from palpate_sim.kinematics import ARM_JOINTS, FINGER_JOINTS, UrdfModel
from palpate_sim.motion import PERIOD_S, ArmCommand
from palpate_sim.planning import HOME
from palpate_sim.scene import load_arm

Array = NDArray[np.float64]

Vector = tuple[float, float, float]

GRAVITY_M_S2 = 9.81
SENSOR_JOINT = "force_torque_joint"
TOOL_LINKS = ("probe_tool", "ball_tip", "warm_pad_0", "warm_pad_1", "scraper_tip", "spectrometer_fibre")
FINGER_LINKS = ("panda_leftfinger", "panda_rightfinger")
POSITION_GAIN = 0.8
"""Share of the position error that is removed per step."""
MOTOR_FORCE = [87.0] * 4 + [12.0] * 3
"""Largest joint torques of the Panda, N m."""
FINGER_SPEED_M_S = 0.1
FINGER_FRICTION = 1.0
"""Silicone finger pads: the part's own friction against silicone is the pair's."""


@dataclass(slots=True)
class ArmReading:
    """State after a step.

    Attributes:
        q, velocity, effort: of the 7 joints, rad, rad/s, N m.
        fingers, finger_velocity, finger_effort: of the two fingers, m, m/s, N.
        rotation, origin: force/torque sensor's frame in the base frame, (3, 3) and (3,) m.
        wrench: (6,) N and N m, sensor frame: weight, inertia and PyBullet's contacts of hand and tool.
        contacts: PyBullet's contact points of the arm.
    """

    q: list[float]
    velocity: list[float]
    effort: list[float]
    fingers: tuple[float, float]
    finger_velocity: tuple[float, float]
    finger_effort: tuple[float, float]
    rotation: Array
    origin: Array
    wrench: Array
    contacts: tuple[tuple, ...]


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
        self._read = [*self._arm, *self._fingers]
        self._gains = [POSITION_GAIN] * len(self._arm)
        self._velocity_gains = [1.0] * len(self._arm)
        self._grip: tuple[float, float] | None = None
        self._mass, center, inertia = model.inertia_below(Frame.FORCE_TORQUE)
        self._center, self._inertia = center.tolist(), inertia.tolist()
        link_center = np.array(pybullet.getDynamicsInfo(self.body, self._sensor, physicsClientId=client)[3])
        self._center_from_link = (center - link_center).tolist()
        self._last_velocity: tuple[Vector, Vector] | None = None
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
        """State after the last step."""
        states = pybullet.getJointStates(self.body, self._read, physicsClientId=self.client)
        link = pybullet.getLinkState(
            self.body, self._sensor, computeLinkVelocity=1, computeForwardKinematics=1, physicsClientId=self.client
        )
        rotation, origin = quaternion_matrix(link[5]), np.array(link[4])
        contacts = pybullet.getContactPoints(bodyA=self.body, physicsClientId=self.client)
        wrench = self._weight_and_inertia(rotation, link[6], link[7])
        if contacts:
            wrench = wrench + self._contact_wrench(contacts, rotation, origin)
        return ArmReading(
            [s[0] for s in states[:7]],
            [s[1] for s in states[:7]],
            [s[3] for s in states[:7]],
            (states[7][0], states[8][0]),
            (states[7][1], states[8][1]),
            (states[7][3], states[8][3]),
            rotation,
            origin,
            wrench,
            contacts,
        )

    def _weight_and_inertia(self, rotation: Array, linear: Vector, angular: Vector) -> Array:
        """(6,) what the bodies behind the sensor weigh and resist; they move as one (the fingers are light).

        Plain floats: with arrays of three numbers this takes four times as long, a thousand times a second.
        """
        (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = rotation.tolist()
        cx, cy, cz = self._center_from_link
        ax, ay, az = xx * cx + xy * cy + xz * cz, yx * cx + yy * cy + yz * cz, zx * cx + zy * cy + zz * cz
        wx, wy, wz = angular
        velocity = (linear[0] + wy * az - wz * ay, linear[1] + wz * ax - wx * az, linear[2] + wx * ay - wy * ax)
        last, self._last_velocity = self._last_velocity, (velocity, angular)
        if last is None:
            last = velocity, angular
        gx, gy, gz = ((v - u) / PERIOD_S for v, u in zip(velocity, last[0], strict=True))
        gz += GRAVITY_M_S2
        mass = -self._mass
        fx, fy, fz = (mass * (xx * gx + yx * gy + zx * gz), mass * (xy * gx + yy * gy + zy * gz),
                      mass * (xz * gx + yz * gy + zz * gz))  # fmt: skip
        bx, by, bz = ((v - u) / PERIOD_S for v, u in zip(angular, last[1], strict=True))
        turn = (xx * wx + yx * wy + zx * wz, xy * wx + yy * wy + zy * wz, xz * wx + yz * wy + zz * wz)
        spin = (xx * bx + yx * by + zx * bz, xy * bx + yy * by + zy * bz, xz * bx + yz * by + zz * bz)
        own = [row[0] * turn[0] + row[1] * turn[1] + row[2] * turn[2] for row in self._inertia]
        resist = [row[0] * spin[0] + row[1] * spin[1] + row[2] * spin[2] for row in self._inertia]
        cx, cy, cz = self._center
        return np.array(
            [
                fx,
                fy,
                fz,
                cy * fz - cz * fy - resist[0] - (turn[1] * own[2] - turn[2] * own[1]),
                cz * fx - cx * fz - resist[1] - (turn[2] * own[0] - turn[0] * own[2]),
                cx * fy - cy * fx - resist[2] - (turn[0] * own[1] - turn[1] * own[0]),
            ]
        )

    def _contact_wrench(self, contacts: tuple[tuple, ...], rotation: Array, origin: Array) -> Array:
        """(6,) of all contact points on bodies behind the sensor."""
        total, moment = np.zeros(3), np.zeros(3)
        for point in contacts:
            if point[3] < self._sensor or point[2] == self.body:
                continue
            force = point[9] * np.array(point[7]) + point[10] * np.array(point[11]) + point[12] * np.array(point[13])
            total += force
            moment += cross(point[5] - origin, force)
        return np.concatenate([rotation.T @ total, rotation.T @ moment])


def tool_tips(model: UrdfModel) -> dict[Frame, tuple[Array, Array]]:
    """Position (3,) and outward axis (3,) of every tool frame in the sensor's frame."""
    frames = (Frame.BALL_TIP, Frame.WARM_PAD_0, Frame.WARM_PAD_1, Frame.SCRAPER_TIP, Frame.FIBRE)
    poses = {frame: model.fixed_transform(frame, Frame.FORCE_TORQUE) for frame in frames}
    return {frame: (pose[:3, 3].copy(), pose[:3, 2].copy()) for frame, pose in poses.items()}
