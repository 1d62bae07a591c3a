"""The cell's bodies in a PyBullet client of their own, moved as they move in the cell: a window to look around in."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pybullet

from palpate_agents.errors import ConfigError
from palpate_sim.kinematics import ARM_JOINTS, FINGER_JOINTS, UrdfModel
from palpate_sim.objects import Part, PartBatch
from palpate_sim.render_process import PartsJob, SurfaceJob
from palpate_sim.rendering import PartPose
from palpate_sim.scene import add_part, load_arm, load_fixtures
from palpate_sim.surface import SurfaceMaps, whole_part

INSTEAD = "write a film instead (palpate sim --video cell.mp4)"


@dataclass(frozen=True)
class CellState:
    """Where everything is: part poses, 7 joints rad and 2 fingers m, and lines of text for people."""

    poses: tuple[PartPose, ...]
    joints: tuple[float, ...]
    lines: tuple[str, ...] = ()


def check_display(environment: Mapping[str, str] | None = None) -> None:
    """Refuse a window where there is no screen.

    Args:
        environment: variables to look at; those of this process if None.

    Raises:
        ConfigError: no display.
    """
    if not (os.environ if environment is None else environment).get("DISPLAY"):
        raise ConfigError(f"a window needs a display, and DISPLAY is not set: run on a desktop, or {INSTEAD}")


class Mirror:
    """Bodies of the cell in a PyBullet client, moved to where they are in the cell; without physics."""

    def __init__(self, *, visible: bool):
        """Open the window.

        Args:
            visible: False: a client without one.

        Raises:
            ConfigError: PyBullet cannot open it.
        """
        client = pybullet.connect(pybullet.GUI if visible else pybullet.DIRECT)
        if client < 0:
            raise ConfigError(f"PyBullet cannot open a window on this display; {INSTEAD}")
        self._client = client
        model = UrdfModel()
        if visible:
            for option in (pybullet.COV_ENABLE_GUI, pybullet.COV_ENABLE_SHADOWS):
                pybullet.configureDebugVisualizer(option, 0, physicsClientId=client)
            pybullet.resetDebugVisualizerCamera(1.25, 55.0, -32.0, [0.38, 0.0, 0.2], physicsClientId=client)
        load_fixtures(client, model, collision=False)
        self._arm = load_arm(client, model)
        count = pybullet.getNumJoints(self._arm, physicsClientId=client)
        names = {pybullet.getJointInfo(self._arm, k, physicsClientId=client)[1].decode(): k for k in range(count)}
        self._joints = [names[name] for name in (*ARM_JOINTS, *FINGER_JOINTS)]
        self._bodies: list[int] = []
        self._parts: Sequence[Part] = ()

    def close(self) -> None:
        """Close the window; safe to call twice."""
        if pybullet.isConnected(self._client):
            pybullet.disconnect(self._client)

    def take(self, job: Any) -> bool:
        """Show a `PartsJob`, a `SurfaceJob` or a `CellState`; False when the window was closed."""
        try:
            self._take(job)
        except pybullet.error:
            return False
        return bool(pybullet.isConnected(self._client))

    def _take(self, job: Any) -> None:
        if isinstance(job, PartsJob):
            for body in self._bodies:
                pybullet.removeBody(body, physicsClientId=self._client)
            self._parts = job.parts
            self._bodies = [self._body(*pair) for pair in zip(job.parts, job.surfaces, strict=True)]
        elif isinstance(job, SurfaceJob):
            rgba = [*_color(self._parts[job.index], job.surface), 1.0]
            pybullet.changeVisualShape(self._bodies[job.index], -1, rgbaColor=rgba, physicsClientId=self._client)
        else:
            for body, pose in zip(self._bodies, job.poses, strict=True):
                pybullet.resetBasePositionAndOrientation(
                    body, pose.position, pose.orientation, physicsClientId=self._client
                )
            for joint, value in zip(self._joints, job.joints, strict=True):
                pybullet.resetJointState(self._arm, joint, value, physicsClientId=self._client)

    def _body(self, part: Part, surface: SurfaceMaps) -> int:
        return add_part(
            self._client, part.shape, part.dimensions_m, 0.0, _color(part, surface), (0.0, 0.0, -1.0), (0, 0, 0, 1),
            collision=False,
        )  # fmt: skip


def _color(part: Part, surface: SurfaceMaps) -> tuple[float, float, float]:
    """Mean colour of a part with what lies on it: the window shows no texture."""
    red, green, blue = (float(value) for value in whole_part(PartBatch.of([part]), surface).rgb[0])
    return red, green, blue
