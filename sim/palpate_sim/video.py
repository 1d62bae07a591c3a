"""A film of the cell: an overview with the arm, the part from above in a corner, and what is going on in words.

Frames come at an even pace of the cell's time. Drawing one takes longer than the physics between two; where it falls
behind, the frame before stands in (spectators.py), so that the film keeps time.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from palpate_agents.errors import ConfigError
from palpate_sim.cameras import Camera, overview_camera
from palpate_sim.objects import Part
from palpate_sim.render_process import looks_of
from palpate_sim.rendering import FIRST_PART, CellRenderer, PartPose
from palpate_sim.sensors import rgbd
from palpate_sim.surface_maps import SurfaceMaps

FOURCC = ("avc1", "mp4v")
"""H.264 where OpenCV's FFmpeg can encode it, else MPEG-4 part 2."""
SUFFIX = ".mp4"
INSET_PX, INSET_CROP_PX, INSET_EDGE_PX = (176, 132), (88, 66), 8
TEXT_COLOR, TEXT_LINE_PX = (255, 255, 255), 20

Picture = NDArray[np.uint8]


def check_video_path(path: Path) -> Path:
    """The file to write, made absolute.

    Raises:
        ConfigError: no .mp4, or a folder that is missing or cannot be written.
    """
    if path.suffix.lower() != SUFFIX:
        raise ConfigError(f"the video is written as MP4: name it like {path.stem or 'cell'}{SUFFIX}, not {path.name!r}")
    whole = path.expanduser().absolute()
    if whole.is_dir():
        raise ConfigError(f"{path} is a folder; give the name of a file in it")
    if not whole.parent.is_dir() or not os.access(whole.parent, os.W_OK):
        raise ConfigError(f"the folder of the video {whole.parent} is missing or cannot be written")
    return whole


class VideoWriter:
    """An MP4 file; close it, or it cannot be played."""

    def __init__(self, path: Path, size: tuple[int, int], frames_per_s: float):
        """Open the file.

        Args:
            path: of the file.
            size: width and height, pixels.
            frames_per_s: of the film.

        Raises:
            ConfigError: no encoder, or a file that cannot be written.
        """
        level = cv2.utils.logging.getLogLevel()
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        for code in FOURCC:
            self._writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*code), frames_per_s, size)  # type: ignore[attr-defined]
            if self._writer.isOpened():
                break
        cv2.utils.logging.setLogLevel(level)
        if not self._writer.isOpened():
            raise ConfigError(f"cannot write the video {path}: OpenCV has neither of the encoders {', '.join(FOURCC)}")

    def add(self, picture: Picture) -> None:
        """One frame (H, W, 3), RGB."""
        self._writer.write(np.ascontiguousarray(picture[..., ::-1]))

    def close(self) -> None:
        """Finish the file; safe to call twice."""
        self._writer.release()


class OverviewRenderer:
    """Draws the frames; owns a renderer."""

    def __init__(self) -> None:
        self._cell = CellRenderer()
        self.camera: Camera = overview_camera()
        self._parts: list[Part] = []
        self._surfaces: list[SurfaceMaps] = []

    def close(self) -> None:
        """Release the renderer."""
        self._cell.close()

    def set_parts(self, parts: Sequence[Part], surfaces: Sequence[SurfaceMaps]) -> None:
        """Exchange the parts, with their surfaces (N = 1 each)."""
        self._parts, self._surfaces = list(parts), list(surfaces)
        self._cell.set_parts(self._parts)

    def set_surface(self, index: int, surface: SurfaceMaps) -> None:
        """A contact has changed a part's surface (N = 1)."""
        self._surfaces[index] = surface

    def frame(self, poses: tuple[PartPose, ...], joints: tuple[float, ...], lines: Sequence[str] = ()) -> Picture:
        """One frame (480, 640, 3).

        Args:
            poses: of the parts.
            joints: 7 arm joints rad and 2 fingers m.
            lines: of text, written into it.
        """
        picture = self._painted(self.camera, poses, joints)[0].copy()
        above, mask = self._painted(self._cell.color_camera, poses, None)
        if mask.any():
            width, height = INSET_PX
            right, top = picture.shape[1] - INSET_EDGE_PX, INSET_EDGE_PX
            inset = cv2.resize(_around(above, mask), INSET_PX, interpolation=cv2.INTER_CUBIC)
            picture[top : top + height, right - width : right] = inset
            cv2.rectangle(picture, (right - width, top), (right - 1, top + height - 1), TEXT_COLOR, 1)
        if lines:
            picture[-TEXT_LINE_PX * len(lines) - 8 :] //= 3
        for row, line in enumerate(lines):
            place = (10, picture.shape[0] - 9 - TEXT_LINE_PX * (len(lines) - 1 - row))
            cv2.putText(picture, line, place, cv2.FONT_HERSHEY_SIMPLEX, 0.5, TEXT_COLOR, 1, cv2.LINE_AA)
        return picture

    def _painted(
        self, camera: Camera, poses: tuple[PartPose, ...], joints: tuple[float, ...] | None
    ) -> tuple[Picture, NDArray[np.bool_]]:
        drawn = self._cell.picture(camera, list(poses), joints)
        looks = looks_of(drawn, camera, self._parts, self._surfaces, poses)
        painted = np.clip(rgbd.dress(drawn.color, looks), 0.0, 255.0).astype(np.uint8)
        return painted, drawn.label == FIRST_PART


def _around(picture: Picture, mask: NDArray[np.bool_]) -> Picture:
    """The picture's part of INSET_CROP_PX around the middle of a mask."""
    rows, columns = np.nonzero(mask)
    width, height = INSET_CROP_PX
    top = int(np.clip(round(float(rows.mean())) - height // 2, 0, picture.shape[0] - height))
    left = int(np.clip(round(float(columns.mean())) - width // 2, 0, picture.shape[1] - width))
    return picture[top : top + height, left : left + width]
