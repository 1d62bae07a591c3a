"""Pictures of the cell by PyBullet's software renderer, in layers: fixtures (once), parts, arm.

Each layer has its own client and is drawn anew only when it moved; layers are merged by depth. Drawing everything in
one client would cost the table's pixels and the arm's meshes each time. Parts are drawn white: what lies on their
surface changes with every touch and is painted into the picture afterwards (sensors/rgbd.py). `PartRenderer` gives the
same pictures of a part without the arm, for training data.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pybullet
from numpy.typing import NDArray

from palpate_agents.observation import CameraGeometry
from palpate_sim.cameras import Camera, color_camera, thermal_camera
from palpate_sim.clearance import Clearance
from palpate_sim.geometry import Point
from palpate_sim.kinematics import ARM_JOINTS, FINGER_JOINTS, UrdfModel
from palpate_sim.objects import Part
from palpate_sim.scene import PartShapes, Quaternion, add_part, load_arm, load_fixtures

Array = NDArray[np.float64]

WHITE: Point = (1.0, 1.0, 1.0)
LIGHT = {"lightDirection": [0.3, 0.4, 1.0], "lightAmbientCoeff": 0.55, "lightDiffuseCoeff": 0.40,
         "lightSpecularCoeff": 0.05, "shadow": 0}  # fmt: skip
"""Diffuse lighting of the gantry; gloss is the sensor model's."""
NOTHING, FIXTURE, ARM, FIRST_PART = 0, 1, 2, 3
"""Labels of a picture; part number k has `FIRST_PART + k`."""


@dataclass(frozen=True)
class PartPose:
    """Where a part is: position m, quaternion x, y, z, w, base frame."""

    position: Point
    orientation: Quaternion


@dataclass(frozen=True)
class Picture:
    """One noiseless picture with white parts.

    Attributes:
        color: (H, W, 3) uint8; depth_m: (H, W) float32 along the axis; label: (H, W) uint8, what is seen.
    """

    color: NDArray[np.uint8]
    depth_m: NDArray[np.float32]
    label: NDArray[np.uint8]


class _Layer:
    """One client; `draw` remembers the last picture of every camera."""

    def __init__(self) -> None:
        self.client = pybullet.connect(pybullet.DIRECT)
        self._cache: dict[int, tuple[object, Picture]] = {}

    def close(self) -> None:
        if self.client >= 0:
            pybullet.disconnect(physicsClientId=self.client)
            self.client = -1

    def draw(self, camera: Camera, key: object, labels: dict[int, int]) -> Picture:
        """Picture of the layer; `key` tells whether anything moved, `labels` maps body ids to labels."""
        known = self._cache.get(id(camera))
        if known is not None and known[0] == key:
            return known[1]
        _, _, rgba, depth, segmentation = pybullet.getCameraImage(
            camera.width, camera.height, camera.view_matrix(), camera.projection_matrix(),
            renderer=pybullet.ER_TINY_RENDERER, physicsClientId=self.client, **LIGHT,
        )  # fmt: skip
        shape = camera.height, camera.width
        bodies = np.reshape(np.asarray(segmentation, np.int32), shape)
        label = np.zeros(shape, np.uint8)
        for body, value in labels.items():
            label[bodies == body] = value
        color = np.reshape(np.asarray(rgba, np.uint8), (*shape, 4))[..., :3]
        metres = np.where(label > 0, camera.depth_m(np.reshape(np.asarray(depth, float), shape)), camera.far_m)
        picture = Picture(np.ascontiguousarray(color), metres.astype(np.float32), label)
        self._cache[id(camera)] = key, picture
        return picture


def _merge(pictures: list[Picture]) -> Picture:
    color, depth, label = (pictures[0].color.copy(), pictures[0].depth_m.copy(), pictures[0].label.copy())
    for picture in pictures[1:]:
        near = (picture.depth_m < depth) & (picture.label > 0)
        color[near], depth[near], label[near] = picture.color[near], picture.depth_m[near], picture.label[near]
    return Picture(color, depth, label)


class CellRenderer:
    """Mirrored cell without physics."""

    def __init__(self, model: UrdfModel | None = None, *, arm: bool = True):
        self.model = model or UrdfModel()
        self.color_camera = color_camera(self.model)
        self.thermal_camera = thermal_camera(self.model)
        self._fixtures, self._parts = _Layer(), _Layer()
        self._shapes = PartShapes(self._parts.client)
        self._arm = _Layer() if arm else None
        self._layers = [layer for layer in (self._fixtures, self._parts, self._arm) if layer is not None]
        bodies = load_fixtures(self._fixtures.client, self.model, collision=False)
        self._fixture_labels = {body: FIXTURE for entries in bodies.values() for body in entries}
        self._bodies: list[int] = []
        self._generation = 0
        self._merged: dict[int, tuple[object, Picture]] = {}
        self._spheres: Clearance | None = None
        if self._arm is not None:
            self._body = load_arm(self._arm.client, self.model)
            count = pybullet.getNumJoints(self._body, physicsClientId=self._arm.client)
            names = {
                pybullet.getJointInfo(self._body, i, physicsClientId=self._arm.client)[1].decode(): i
                for i in range(count)
            }
            self._joints = [names[name] for name in (*ARM_JOINTS, *FINGER_JOINTS)]
            self._spheres = Clearance(self.model)

    def close(self) -> None:
        """Release the clients; safe to call twice."""
        for layer in self._layers:
            layer.close()

    def set_parts(self, parts: list[Part]) -> None:
        """Exchange the parts that lie in the cell."""
        for body in self._bodies:
            pybullet.removeBody(body, physicsClientId=self._parts.client)
        self._bodies = [
            add_part(
                self._parts.client, part.shape, part.dimensions_m, 0.0, WHITE, (0.0, 0.0, -1.0), (0, 0, 0, 1),
                collision=False, shapes=self._shapes,
            )
            for part in parts
        ]  # fmt: skip
        self._generation += 1

    def picture(self, camera: Camera, poses: list[PartPose], joints: tuple[float, ...] | None) -> Picture:
        """What a camera sees; the very same object while nothing moved.

        Args:
            camera: one of this renderer's.
            poses: of the parts that were set, in their order.
            joints: 7 arm joints rad and 2 fingers m; None draws no arm.
        """
        for body, pose in zip(self._bodies, poses, strict=True):
            pybullet.resetBasePositionAndOrientation(
                body, pose.position, pose.orientation, physicsClientId=self._parts.client
            )
        visible = joints is not None and self._arm is not None and self._arm_in_view(camera, joints)
        key = self._generation, tuple(poses), joints if visible else None
        known = self._merged.get(id(camera))
        if known is not None and known[0] == key:
            return known[1]
        pictures = [self._fixtures.draw(camera, "still", self._fixture_labels)]
        if self._bodies:
            labels = {body: FIRST_PART + k for k, body in enumerate(self._bodies)}
            pictures.append(self._parts.draw(camera, (self._generation, tuple(poses)), labels))
        if visible:
            assert joints is not None
            assert self._arm is not None
            for joint, value in zip(self._joints, joints, strict=True):
                pybullet.resetJointState(self._body, joint, value, physicsClientId=self._arm.client)
            pictures.append(self._arm.draw(camera, joints, {self._body: ARM}))
        merged = _merge(pictures)
        self._merged[id(camera)] = key, merged
        return merged

    def _arm_in_view(self, camera: Camera, joints: tuple[float, ...]) -> bool:
        assert self._spheres is not None
        return camera.sees(*self._spheres.spheres(np.array(joints[:7])))


def part_places(points_m: NDArray[np.floating], pose: PartPose) -> Array:
    """Places (K, 2), x and y in a part's frame, m, of points (K, 3) in the base frame."""
    turn = np.reshape(pybullet.getMatrixFromQuaternion(pose.orientation), (3, 3))
    return (points_m - np.asarray(pose.position)) @ turn[:, :2]


@dataclass(frozen=True)
class PartPictures:
    """Noiseless pictures of one part without the arm.

    Attributes:
        shade: (H, W, 3) uint8, the part white; depth_m: (H, W) float32; mask: (H, W) bool, the part; camera: geometry.
        places_m: (K, 2) x and y in the part's frame behind the pixels of the mask, row by row.
        thermal_points_m: (h, w, 3) float32 base frame; thermal_mask: (h, w) bool; thermal_camera: their geometry.
        thermal_places_m: (k, 2) as `places_m` for the thermal mask.
    """

    shade: NDArray[np.uint8]
    depth_m: NDArray[np.float32]
    mask: NDArray[np.bool_]
    camera: CameraGeometry
    places_m: Array
    thermal_points_m: NDArray[np.float32]
    thermal_mask: NDArray[np.bool_]
    thermal_camera: CameraGeometry
    thermal_places_m: Array


class PartRenderer:
    """Pictures of single parts, as the cell's cameras take them with the arm out of view; a few milliseconds each."""

    def __init__(self, model: UrdfModel | None = None):
        self._renderer = CellRenderer(model, arm=False)

    def close(self) -> None:
        """Release the clients."""
        self._renderer.close()

    def render(self, part: Part, pose: PartPose) -> PartPictures:
        """Pictures of one part.

        Args:
            part: what to draw.
            pose: where it lies (`resting_pose` for flat on the table).
        """
        cell = self._renderer
        cell.set_parts([part])
        color = cell.picture(cell.color_camera, [pose], None)
        mask = color.label == FIRST_PART
        places = part_places(cell.color_camera.points_at(color.depth_m, mask), pose)
        thermal = cell.picture(cell.thermal_camera, [pose], None)
        points, warm = cell.thermal_camera.points(thermal.depth_m), thermal.label == FIRST_PART
        return PartPictures(
            color.color, color.depth_m, mask, cell.color_camera.geometry, places,
            points, warm, cell.thermal_camera.geometry, part_places(points[warm], pose),
        )  # fmt: skip


def resting_pose(part: Part, x: float, y: float, yaw_rad: float) -> PartPose:
    """A part flat on the table, turned about z."""
    half = 0.5 * yaw_rad
    return PartPose((x, y, 0.5 * part.dimensions_m[2]), (0.0, 0.0, float(np.sin(half)), float(np.cos(half))))
