"""Pinhole geometry of the cell's two cameras, and the matrices that PyBullet's renderer wants for it. No simulator."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from palpate_agents.observation import CameraGeometry, Frame
from palpate_sim.kinematics import UrdfModel

Array = NDArray[np.float64]

NEAR_M, FAR_M = 0.05, 1.5
COLOR_SIZE, COLOR_FOV_RAD = (320, 240), math.radians(36.0)
"""Width, height and horizontal field of view: the middle of a D435-class picture."""
THERMAL_SIZE, THERMAL_FOV_RAD = (160, 120), math.radians(34.0)
"""160x120 core with a narrow lens: a 12 mm pad covers 5 pixels."""
OVERVIEW_SIZE, OVERVIEW_FOV_RAD, OVERVIEW_FAR_M = (640, 480), math.radians(56.0), 4.0
OVERVIEW_EYE_M, OVERVIEW_TARGET_M = (1.10, -0.80, 0.78), (0.34, 0.0, 0.27)


@dataclass(frozen=True)
class Camera:
    """One camera.

    Attributes:
        width, height: pixels.
        geometry: intrinsics and pose of its optical frame in the base frame.
        far_m: what lies farther along the axis is not drawn.
    """

    width: int
    height: int
    geometry: CameraGeometry
    far_m: float = FAR_M

    @staticmethod
    def mounted(model: UrdfModel, frame: Frame, size: tuple[int, int], fov_rad: float) -> Camera:
        """A camera at a frame of the URDF with square pixels and a horizontal field of view.

        The principal point is PyBullet's, measured to a tenth of a pixel: its rows count from the other side.
        """
        width, height = size
        focal = 0.5 * width / math.tan(0.5 * fov_rad)
        pose = model.fixed_transform(frame)
        return Camera(width, height, CameraGeometry(focal, focal, 0.5 * width, 0.5 * height - 1.0, pose))

    def view_matrix(self) -> list[float]:
        """Column-major OpenGL view matrix: the optical frame with y and z turned."""
        pose = np.asarray(self.geometry.pose, float) @ np.diag([1.0, -1.0, -1.0, 1.0])
        return [float(v) for v in np.linalg.inv(pose).T.ravel()]

    def projection_matrix(self) -> list[float]:
        """Column-major OpenGL projection matrix (PyBullet's own principal point)."""
        g, far = self.geometry, self.far_m
        matrix = np.zeros((4, 4))
        matrix[0, 0], matrix[1, 1] = 2.0 * g.fx / self.width, 2.0 * g.fy / self.height
        matrix[2, 2] = -(far + NEAR_M) / (far - NEAR_M)
        matrix[2, 3] = -2.0 * far * NEAR_M / (far - NEAR_M)
        matrix[3, 2] = -1.0
        return [float(v) for v in matrix.T.ravel()]

    def depth_m(self, buffer: Array) -> NDArray[np.float32]:
        """Depth along the optical axis (H, W), m, from the renderer's depth buffer."""
        return (self.far_m * NEAR_M / (self.far_m - (self.far_m - NEAR_M) * buffer)).astype(np.float32)

    def points(self, depth_m: NDArray[np.floating]) -> NDArray[np.float32]:
        """Points (H, W, 3) in the base frame that the pixels see."""
        everywhere = np.ones((self.height, self.width), bool)
        return self.points_at(depth_m, everywhere).reshape(self.height, self.width, 3)

    def points_at(self, depth_m: NDArray[np.floating], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Points (K, 3) in the base frame that the pixels of a mask (H, W) see, row by row."""
        g = self.geometry
        v, u = np.nonzero(mask)
        rays = np.stack([(u - g.cx) / g.fx, (v - g.cy) / g.fy, np.ones(len(u))], axis=-1)
        local = rays * np.asarray(depth_m, float)[mask][:, None]
        pose = np.asarray(g.pose, float)
        return (local @ pose[:3, :3].T + pose[:3, 3]).astype(np.float32)

    def sees(self, points_m: Array, radii_m: Array) -> bool:
        """True if any sphere (N, 3), (N,) in the base frame can cover a pixel."""
        pose = np.asarray(self.geometry.pose, float)
        local = (points_m - pose[:3, 3]) @ pose[:3, :3]
        z = np.maximum(local[:, 2], NEAR_M)
        margin = radii_m * 1.2  # the cone around a sphere is wider than its radius at its centre
        inside_x = np.abs(local[:, 0]) < z * 0.5 * self.width / self.geometry.fx + margin
        inside_y = np.abs(local[:, 1]) < z * 0.5 * self.height / self.geometry.fy + margin
        return bool(np.any(inside_x & inside_y & (local[:, 2] > -radii_m)))


def color_camera(model: UrdfModel) -> Camera:
    """The RGB-D camera."""
    return Camera.mounted(model, Frame.CAMERA, COLOR_SIZE, COLOR_FOV_RAD)


def thermal_camera(model: UrdfModel) -> Camera:
    """The thermal camera."""
    return Camera.mounted(model, Frame.THERMAL_CAMERA, THERMAL_SIZE, THERMAL_FOV_RAD)


def overview_camera() -> Camera:
    """A visitor's view of the whole cell, arm included; no device of the cell."""
    eye, target = np.array(OVERVIEW_EYE_M), np.array(OVERVIEW_TARGET_M)
    forward = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross(forward, (0.0, 0.0, 1.0))
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(forward, right), forward], axis=1)
    pose[:3, 3] = eye
    width, height = OVERVIEW_SIZE
    focal = 0.5 * width / math.tan(0.5 * OVERVIEW_FOV_RAD)
    return Camera(width, height, CameraGeometry(focal, focal, 0.5 * width, 0.5 * height - 1.0, pose), OVERVIEW_FAR_M)
