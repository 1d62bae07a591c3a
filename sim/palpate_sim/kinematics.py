"""Kinematics of the arm from its URDF: forward kinematics, Jacobian, inverse kinematics. No simulator in here.

The same file describes the simulated and the real arm, so this module is all that a driver of a real arm needs to turn
a probe goal into joint positions. All poses are (4, 4) homogeneous transforms, metres; angles are radians.
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from palpate_agents.errors import ConfigError

Array = NDArray[np.float64]

CELL_URDF = Path(__file__).parent / "assets" / "cell.urdf"
ARM_JOINTS = tuple(f"panda_joint{i}" for i in range(1, 8))
FINGER_JOINTS = ("panda_finger_joint1", "panda_finger_joint2")


def rpy_matrix(roll: float, pitch: float, yaw: float) -> Array:
    """Rotation (3, 3) of the URDF's fixed-axis roll, pitch and yaw."""
    cr, sr = math.cos(roll), math.sin(roll)
    cp, sp = math.cos(pitch), math.sin(pitch)
    cy, sy = math.cos(yaw), math.sin(yaw)
    return np.array(
        [
            [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
            [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
            [-sp, cp * sr, cp * cr],
        ]
    )


def _floats(text: str | None, default: str) -> list[float]:
    return [float(v) for v in (text or default).split()]


def origin_transform(element: ET.Element | None) -> Array:
    """Transform (4, 4) of a URDF `<origin>` (identity if there is none)."""
    transform = np.eye(4)
    if element is not None:
        transform[:3, :3] = rpy_matrix(*_floats(element.get("rpy"), "0 0 0"))
        transform[:3, 3] = _floats(element.get("xyz"), "0 0 0")
    return transform


@dataclass(frozen=True)
class UrdfJoint:
    """One joint of the file; `axis` in the joint's own frame, limits in rad or m and rad/s or m/s."""

    name: str
    kind: str
    parent: str
    child: str
    origin: Array
    axis: Array
    lower: float
    upper: float
    velocity: float


class UrdfModel:
    """The tree of links and joints of a URDF file."""

    def __init__(self, path: Path = CELL_URDF):
        """Read the file.

        Raises:
            ConfigError: the file is missing or is no URDF.
        """
        try:
            root = ET.parse(path).getroot()
        except (OSError, ET.ParseError) as error:
            raise ConfigError(f"cannot read the robot description {path}: {error}") from error
        self.path = path
        self.root = root
        self.links = tuple(str(link.get("name")) for link in root.iter("link"))
        self.parent_joint: dict[str, UrdfJoint] = {}
        for element in root.findall("joint"):
            joint = self._joint(element)
            self.parent_joint[joint.child] = joint
        self.joints = {joint.name: joint for joint in self.parent_joint.values()}

    @staticmethod
    def _joint(element: ET.Element) -> UrdfJoint:
        limit, axis = element.find("limit"), element.find("axis")
        parent, child = element.find("parent"), element.find("child")
        if parent is None or child is None:
            raise ConfigError(f"joint {element.get('name')!r} of the robot description has no parent or no child link")
        numbers = {key: 0.0 if limit is None else float(limit.get(key, 0.0)) for key in ("lower", "upper", "velocity")}
        return UrdfJoint(
            name=str(element.get("name")),
            kind=str(element.get("type")),
            parent=str(parent.get("link")),
            child=str(child.get("link")),
            origin=origin_transform(element.find("origin")),
            axis=np.array(_floats(None if axis is None else axis.get("xyz"), "1 0 0")),
            **numbers,
        )

    def path_to(self, link: str, base: str | None = None) -> list[UrdfJoint]:
        """Joints from `base` (default: the root) to `link`, in that order."""
        joints: list[UrdfJoint] = []
        at = link
        while at != base and at in self.parent_joint:
            joints.append(self.parent_joint[at])
            at = joints[-1].parent
        if link not in self.links or (base is not None and at != base):
            raise ConfigError(f"link {link!r} is not in {self.path.name} below {base or 'its root'!r}")
        return joints[::-1]

    def inertia_below(self, link: str) -> tuple[float, Array, Array]:
        """A link and everything that hangs on it as one rigid body, all joints at zero.

        Returns:
            mass kg, centre of mass (3,) m and inertia about it (3, 3) kg m2, in the link's frame.
        """
        bodies = []
        for element in self.root.findall("link"):
            name, inertial = str(element.get("name")), element.find("inertial")
            below = name == link or any(joint.parent == link for joint in self.path_to(name))
            if inertial is None or not below:
                continue
            pose = self.fixed_transform(name, link) @ origin_transform(inertial.find("origin"))
            mass, tensor = inertial.find("mass"), inertial.find("inertia")
            if mass is None or tensor is None:
                raise ConfigError(f"link {name!r} of the robot description has an incomplete <inertial>")
            local = np.diag([float(tensor.get(key, 0.0)) for key in ("ixx", "iyy", "izz")])
            rotation = pose[:3, :3]
            bodies.append((float(mass.get("value", 0.0)), pose[:3, 3], rotation @ local @ rotation.T))
        total = sum(weight for weight, _, _ in bodies)
        center = sum((weight * at for weight, at, _ in bodies), np.zeros(3)) / total
        inertia = np.zeros((3, 3))
        for weight, at, own in bodies:
            arm = at - center
            inertia += own + weight * (arm @ arm * np.eye(3) - np.outer(arm, arm))
        return total, center, inertia

    def fixed_transform(self, link: str, base: str | None = None) -> Array:
        """Pose (4, 4) of `link` in `base`, all joints between them at zero."""
        transform = np.eye(4)
        for joint in self.path_to(link, base):
            transform = transform @ joint.origin
        return transform


class Chain:
    """Serial chain of revolute joints from `base` to `tip`, about each joint's own z axis (all of the arm's are)."""

    def __init__(self, model: UrdfModel, tip: str, base: str = "panda_link0"):
        self.tip = tip
        self.names: list[str] = []
        before = np.eye(4)
        fixed: list[Array] = []
        limits: list[tuple[float, float, float]] = []
        for joint in model.path_to(tip, base):
            before = before @ joint.origin
            if joint.kind == "revolute":
                if not np.allclose(joint.axis, (0, 0, 1)):
                    raise ConfigError(f"joint {joint.name!r} turns about {joint.axis}, supported is its own z axis")
                self.names.append(joint.name)
                limits.append((joint.lower, joint.upper, joint.velocity))
                fixed.append(before)
                before = np.eye(4)
        self._fixed = np.stack(fixed)
        self._last = before
        self.lower, self.upper, self.velocity = np.array(limits).T

    def frames(self, q: Sequence[float] | Array) -> list[Array]:
        """Pose (4, 4) of every joint's moving frame, then of the tip, for joint positions `q` (J,)."""
        angles = np.asarray(q, float)
        cosine, sine = np.cos(angles)[:, None], np.sin(angles)[:, None]
        turned = self._fixed.copy()
        turned[:, :, 0] = cosine * self._fixed[:, :, 0] + sine * self._fixed[:, :, 1]
        turned[:, :, 1] = cosine * self._fixed[:, :, 1] - sine * self._fixed[:, :, 0]
        at = turned[0]
        out = [at]
        for step in turned[1:]:
            at = at @ step
            out.append(at)
        out.append(at @ self._last)
        return out

    def forward_rows(self, rows: Array, *others: Chain) -> tuple[Array, ...]:
        """Poses of the tip, and of other tips behind the very same joints, for many joint positions in one pass.

        Args:
            rows: (N, J) joint positions, rad.
            others: chains that differ from this one only behind the last joint, such as other frames of one tool.

        Returns:
            (N, 4, 4) for this chain, then for each of the others; bit for bit what `forward` gives row by row.

        Raises:
            ConfigError: another chain has other joints.
        """
        for other in others:
            if other.names != self.names or not np.array_equal(other._fixed, self._fixed):
                raise ConfigError(f"{other.tip!r} and {self.tip!r} hang on different joints: compute each on its own")
        angles = np.ascontiguousarray(rows, dtype=np.float64)
        cosine, sine = np.cos(angles)[..., None], np.sin(angles)[..., None]
        turned = np.broadcast_to(self._fixed, (len(angles), *self._fixed.shape)).copy()
        turned[..., 0] = cosine * self._fixed[:, :, 0] + sine * self._fixed[:, :, 1]
        turned[..., 1] = cosine * self._fixed[:, :, 1] - sine * self._fixed[:, :, 0]
        at = turned[:, 0]
        for joint in range(1, turned.shape[1]):
            at = at @ turned[:, joint]
        return tuple(at @ chain._last for chain in (self, *others))

    def forward(self, q: Sequence[float] | Array) -> Array:
        """Pose (4, 4) of the tip in the base frame."""
        return self.frames(q)[-1]

    def jacobian(self, q: Sequence[float] | Array) -> tuple[Array, Array]:
        """Pose of the tip (4, 4) and geometric Jacobian (6, J): linear m/rad, then angular, base frame."""
        frames = self.frames(q)
        tip = frames[-1]
        axes = np.stack([frame[:3, 2] for frame in frames[:-1]])
        arms = tip[:3, 3] - np.stack([frame[:3, 3] for frame in frames[:-1]])
        linear = np.stack(
            [
                axes[:, 1] * arms[:, 2] - axes[:, 2] * arms[:, 1],
                axes[:, 2] * arms[:, 0] - axes[:, 0] * arms[:, 2],
                axes[:, 0] * arms[:, 1] - axes[:, 1] * arms[:, 0],
            ]
        )
        return tip, np.concatenate([linear, axes.T])


@dataclass(frozen=True)
class IkTarget:
    """Where the tip must be.

    Attributes:
        position: (3,) m, base frame.
        approach: (3,) unit vector that the tip's z axis must point along.
        x_axis: (3,) unit vector for the tip's x axis, or None if the turn about the approach is free.
    """

    position: Array
    approach: Array
    x_axis: Array | None = None


class InverseKinematics:
    """Damped least squares with joint limits; redundancy is spent on staying near a comfortable posture.

    Buss, "Introduction to inverse kinematics with Jacobian transpose, pseudoinverse and damped least squares methods",
    2004.
    """

    position_tolerance_m = 1e-7
    angle_tolerance_rad = 1e-6
    limit_margin_rad = 0.03
    restarts = 6

    def __init__(self, chain: Chain):
        self.chain = chain
        self.lower = chain.lower + self.limit_margin_rad
        self.upper = chain.upper - self.limit_margin_rad

    def error(self, tip: Array, target: IkTarget) -> Array:
        """Position (3,) m and rotation vector (3,) rad that are missing."""
        out = np.empty(6)
        out[:3] = target.position - tip[:3, 3]
        if target.x_axis is not None:
            wanted = np.column_stack([target.x_axis, np.cross(target.approach, target.x_axis), target.approach])
            out[3:] = rotation_vector(wanted @ tip[:3, :3].T)
        else:
            z = tip[:3, 2]
            axis = np.cross(z, target.approach)
            sine, cosine = float(np.linalg.norm(axis)), float(z @ target.approach)
            out[3:] = axis * (math.atan2(sine, cosine) / sine) if sine > 1e-12 else 0.0
            if sine <= 1e-12 and cosine < 0.0:
                out[3:] = tip[:3, 0] * math.pi
        return out

    def refine(self, seed: Array, target: IkTarget, posture: Array | None = None, iterations: int = 60) -> Array | None:
        """Joint positions (7,) from one seed, or None if it does not converge within the limits."""
        q = np.clip(seed, self.lower, self.upper)
        rest = q if posture is None else posture
        for _ in range(iterations):
            tip, jacobian = self.chain.jacobian(q)
            error = self.error(tip, target)
            if target.x_axis is None:  # turning about the approach is free: remove that row from the task
                z = tip[:3, 2]
                jacobian[3:] -= np.outer(z, z @ jacobian[3:])
            linear, angular = float(np.linalg.norm(error[:3])), float(np.linalg.norm(error[3:]))
            if linear < self.position_tolerance_m and angular < self.angle_tolerance_rad:
                return q
            error[:3] *= min(1.0, 0.15 / max(linear, 1e-9))
            error[3:] *= min(1.0, 0.5 / max(angular, 1e-9))
            damping = 1e-9 + 1e-3 * min(1.0, linear + 0.2 * angular) ** 2
            gram = jacobian @ jacobian.T
            gram[np.diag_indices(6)] += damping
            pull = np.clip(rest - q, -0.2, 0.2) * min(1.0, 20.0 * (linear + 0.2 * angular))
            step = pull + jacobian.T @ np.linalg.solve(gram, error - jacobian @ pull)
            q = np.clip(q + np.clip(step, -0.4, 0.4), self.lower, self.upper)
        return None

    def solve(self, target: IkTarget, seeds: Sequence[Array], accept=None) -> Array | None:
        """Joint positions (7,) for `target`, or None.

        Args:
            target: the pose.
            seeds: (7,) starting postures, best first; more are drawn near them (always the same ones) if all fail.
            accept: optional predicate on a solution, e.g. free of collisions.
        """
        rng = np.random.default_rng(7)
        spread = 0.25 * (self.upper - self.lower)
        tries = [*seeds, *(seeds[k % len(seeds)] + rng.uniform(-spread, spread) for k in range(self.restarts))]
        for seed in tries:
            q = self.refine(np.asarray(seed, dtype=float), target, posture=np.asarray(seeds[0], dtype=float))
            if q is not None and (accept is None or accept(q)):
                return q
        return None


def rotation_vector(rotation: Array) -> Array:
    """Rotation vector (3,) rad of a rotation matrix (3, 3)."""
    skew = np.array([rotation[2, 1] - rotation[1, 2], rotation[0, 2] - rotation[2, 0], rotation[1, 0] - rotation[0, 1]])
    sine, cosine = 0.5 * float(np.linalg.norm(skew)), 0.5 * (float(np.trace(rotation)) - 1.0)
    if sine < 1e-9:
        if cosine > 0.0:
            return 0.5 * skew
        axis = np.sqrt(np.maximum(np.diag(rotation) + 1.0, 0.0) / 2.0)
        return math.pi * axis / max(float(np.linalg.norm(axis)), 1e-12)
    return skew * (math.atan2(sine, cosine) / (2.0 * sine))
