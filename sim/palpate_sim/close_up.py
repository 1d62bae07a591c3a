"""Pictures of single parts from nearby and aslant, for people: the cell's camera looks straight down from 0.7 m."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from palpate_agents.observation import CameraGeometry
from palpate_sim.cameras import Camera
from palpate_sim.objects import Part
from palpate_sim.rendering import FIRST_PART, CellRenderer, part_places, resting_pose
from palpate_sim.sensors.rgbd import dress, pixel_look
from palpate_sim.surface import SurfaceMaps

PLACE_M, YAW_RAD = (0.5, 0.0), 0.3
FROM_M = (-0.16, -0.22, 0.30)
"""Of the eye over the part's middle."""
RENDERED, SEEN_M = (800, 600), 0.15
"""Pixels of what is rendered, and metres that its height shows; the part is cut out of it."""
SIZE = (264, 198)
"""Pixels of a picture."""
FILL = 0.8
"""Of a picture's height or width that its part fills."""


def looking(eye_m: NDArray[np.float64], target_m: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pose (4, 4) of an optical frame (x right, y down, z ahead) at a place, looking at another."""
    ahead = (target_m - eye_m) / np.linalg.norm(target_m - eye_m)
    right = np.cross(ahead, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = np.stack((right, np.cross(ahead, right), ahead), axis=1)
    pose[:3, 3] = eye_m
    return pose


class CloseUp:
    """Renders parts from nearby; close it after use."""

    def __init__(self) -> None:
        self._cell = CellRenderer(arm=False)
        target = np.array([*PLACE_M, 0.015])
        width, height = RENDERED
        focal = height * float(np.linalg.norm(FROM_M)) / SEEN_M
        pose = looking(target + FROM_M, target)
        self._camera = Camera(width, height, CameraGeometry(focal, focal, 0.5 * width, 0.5 * height - 1.0, pose))

    def close(self) -> None:
        """Release the renderer; safe to call twice."""
        self._cell.close()

    def __enter__(self) -> CloseUp:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def picture(self, part: Part, maps: SurfaceMaps) -> NDArray[np.uint8]:
        """Noiseless picture (H, W, 3) of a part on the table with what lies on it.

        Args:
            part: what to draw.
            maps: its surface, N = 1.
        """
        self._cell.set_parts([part])
        pose = resting_pose(part, *PLACE_M, YAW_RAD)
        rendered = self._cell.picture(self._camera, [pose], None)
        mask = rendered.label == FIRST_PART
        places = part_places(self._camera.points_at(rendered.depth_m, mask), pose)
        painted = np.clip(dress(rendered.color, [pixel_look(part, maps, mask, places)]), 0.0, 255.0)
        return np.asarray(cv2.resize(_around(painted.astype(np.uint8), mask), SIZE, interpolation=cv2.INTER_AREA))


def _around(picture: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The picture's part around a mask, in the shape of SIZE."""
    rows, columns = np.nonzero(mask)
    middle = 0.5 * (rows.min() + rows.max()), 0.5 * (columns.min() + columns.max())
    high = max((np.ptp(rows) + 1) / FILL, (np.ptp(columns) + 1) / FILL * SIZE[1] / SIZE[0])
    high = min(round(high), picture.shape[0])
    wide = min(round(high * SIZE[0] / SIZE[1]), picture.shape[1])
    top = int(np.clip(middle[0] - 0.5 * high, 0, picture.shape[0] - high))
    left = int(np.clip(middle[1] - 0.5 * wide, 0, picture.shape[1] - wide))
    return picture[top : top + high, left : left + wide]
