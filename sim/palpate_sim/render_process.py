"""The cameras in a process of their own: rendering and picture noise never delay the 1 kHz physics.

The parent sends jobs and collects results in the same order. A job carries everything that its result depends on, and
its noise comes from a seed and the number of the frame, so that results do not depend on timing. The child ends when
its parent's end of the pipe closes, and, should another process have inherited that end, when its parent has changed.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palpate_agents.errors import CellError
from palpate_sim.cameras import Camera
from palpate_sim.devices import DeviceDraw
from palpate_sim.objects import Part, PartBatch, part_from_seed
from palpate_sim.rendering import ARM, FIRST_PART, CellRenderer, PartPose, Picture, part_places
from palpate_sim.sensors import rgbd, thermal
from palpate_sim.surface_maps import SurfaceMaps

START_DEADLINE_S = 60.0
JOB_DEADLINE_S = 20.0
PARENT_CHECK_S = 2.0
MAX_UNDERWAY = 8
"""More jobs would fill the pipe and let both ends wait for each other."""


@dataclass(frozen=True)
class PartsJob:
    """Other parts lie in the cell, with their surfaces (N = 1 each); no result."""

    parts: tuple[Part, ...]
    surfaces: tuple[SurfaceMaps, ...]


@dataclass(frozen=True)
class SurfaceJob:
    """A contact has changed the surface of part number `index`; no result."""

    index: int
    surface: SurfaceMaps


@dataclass(frozen=True)
class ColorJob:
    """One colour and depth picture: frame number, part poses, 9 joints. Result: (H, W, 3) uint8, (H, W) uint16 mm."""

    frame: int
    poses: tuple[PartPose, ...]
    joints: tuple[float, ...]


@dataclass(frozen=True)
class ThermalJob:
    """One thermal picture: as `ColorJob`, with the touches so far, time s, room temperature. Result: (h, w) float32."""

    frame: int
    poses: tuple[PartPose, ...]
    joints: tuple[float, ...]
    spots: tuple[thermal.WarmSpot, ...]
    time_s: float
    ambient_c: float


def looks_of(
    picture: Picture, camera: Camera, parts: Sequence[Part], surfaces: Sequence[SurfaceMaps], poses: Sequence[PartPose]
) -> list[rgbd.PixelLook]:
    """Look of the pixels of every part in a picture; all three in the order of the parts that were drawn."""
    looks = []
    for k, (part, surface, pose) in enumerate(zip(parts, surfaces, poses, strict=True)):
        mask = picture.label == FIRST_PART + k
        looks.append(rgbd.pixel_look(part, surface, mask, part_places(camera.points_at(picture.depth_m, mask), pose)))
    return looks


SILENT_JOBS = PartsJob, SurfaceJob
ABSENT = part_from_seed(0, 0)
"""Stands for an empty table: it covers no pixel."""


class FrameMaker:
    """Turns jobs into pictures as the devices would deliver them; used in the child, and directly without one."""

    def __init__(self, seed: int, devices: DeviceDraw):
        self._renderer = CellRenderer()
        self._seed, self._devices = seed, devices
        self._parts: list[Part] = []
        self._surfaces: list[SurfaceMaps] = []
        self._changes = 0
        self._still: dict[int, tuple[object, Any]] = {}
        self._last_thermal: NDArray[np.float32] | None = None

    def close(self) -> None:
        """Release the renderer."""
        self._renderer.close()

    def make(self, job: Any) -> Any:
        """Result of a job, None for a `PartsJob` and a `SurfaceJob`."""
        if isinstance(job, PartsJob):
            self._parts, self._surfaces = list(job.parts), list(job.surfaces)
            self._renderer.set_parts(self._parts)
            self._changes += 1
            return None
        if isinstance(job, SurfaceJob):
            self._surfaces[job.index] = job.surface
            self._changes += 1
            return None
        return self._color(job) if isinstance(job, ColorJob) else self._thermal(job)

    def _rng(self, stream: int, frame: int) -> np.random.Generator:
        return np.random.default_rng([self._seed, stream, frame])

    def _once(self, camera: Camera, picture: Picture, work: Callable[[], Any]) -> Any:
        """Result of `work` for a picture; kept while neither the picture nor a surface changes."""
        known = self._still.get(id(camera))
        if known is None or known[0] != (id(picture), self._changes):
            known = self._still[id(camera)] = (id(picture), self._changes), (picture, work())
        return known[1][1]

    def _color(self, job: ColorJob) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
        cell, rng = self._renderer, self._rng(1, job.frame)
        camera = cell.color_camera
        picture = cell.picture(camera, list(job.poses), job.joints)

        def paint() -> tuple[list[rgbd.PixelLook], NDArray[np.float32]]:
            looks = looks_of(picture, camera, self._parts, self._surfaces, job.poses)
            return looks, rgbd.dress(picture.color, looks)

        looks, dressed = self._once(camera, picture, paint)
        color = rgbd.color_picture(dressed, self._devices, rng)
        return color, rgbd.depth_picture(picture.depth_m, looks, self._devices, rng)

    def _thermal(self, job: ThermalJob) -> NDArray[np.float32]:
        if self._last_thermal is not None and thermal.shutter_closed(job.time_s):
            return self._last_thermal
        cell = self._renderer
        camera = cell.thermal_camera
        picture = cell.picture(camera, list(job.poses), job.joints)

        def look() -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.float64]]:
            points, mask = camera.points(picture.depth_m), picture.label == FIRST_PART
            if not self._parts:
                return points, mask, np.zeros(0)
            places = part_places(points[mask], job.poses[0])
            return points, mask, rgbd.pixel_emissivity(self._parts[0], self._surfaces[0], places)

        points, mask, emissivity = self._once(camera, picture, look)
        self._last_thermal = thermal.frame(
            points, mask, picture.label == ARM, PartBatch.of(self._parts[:1] or [ABSENT]), job.spots, job.time_s,
            self._devices, job.ambient_c, self._rng(2, job.frame), emissivity=emissivity,
        )  # fmt: skip
        return self._last_thermal


def _serve(connection: Connection, seed: int, devices: DeviceDraw, parent: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent says when to end
    maker = FrameMaker(seed, devices)
    while True:
        while not connection.poll(PARENT_CHECK_S):
            if os.getppid() != parent:
                return
        try:
            job = connection.recv()
            result = maker.make(job)
            if not isinstance(job, SILENT_JOBS):
                connection.send(result)
        except (EOFError, BrokenPipeError, ConnectionResetError):
            return


class RenderProcess:
    """The parent's end."""

    def __init__(self, seed: int, devices: DeviceDraw):
        context = multiprocessing.get_context("spawn")
        self._connection, child = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(child, seed, devices, os.getpid()), name="palpate-cameras", daemon=True
        )
        self._process.start()
        child.close()
        self._deadline_s = START_DEADLINE_S
        self._underway: deque[int] = deque()
        self._done: dict[int, Any] = {}
        self._next = 0

    @property
    def pid(self) -> int:
        """Process id of the child."""
        return int(self._process.pid or 0)

    def submit(self, job: Any) -> int:
        """Send a job; returns the ticket for `collect`.

        Raises:
            CellError: the child is gone.
        """
        while len(self._underway) >= MAX_UNDERWAY:
            self._receive()
        try:
            self._connection.send(job)
        except (OSError, ValueError) as error:
            raise self._gone() from error
        ticket = self._next
        if not isinstance(job, SILENT_JOBS):
            self._underway.append(ticket)
            self._next += 1
        return ticket

    def collect(self, ticket: int) -> Any:
        """Result of a job; waits for it.

        Raises:
            CellError: the child is gone, or gave no answer in time.
        """
        while ticket not in self._done:
            self._receive()
        return self._done.pop(ticket)

    def _receive(self) -> None:
        try:
            if not self._connection.poll(self._deadline_s):
                raise CellError(f"the cameras' process gave no picture within {self._deadline_s:g} s; restart the cell")
            result = self._connection.recv()
        except (EOFError, OSError) as error:
            raise self._gone() from error
        self._deadline_s = JOB_DEADLINE_S
        self._done[self._underway.popleft()] = result

    def _gone(self) -> CellError:
        self._process.join(1.0)
        code = self._process.exitcode
        return CellError(f"the cameras' process ended unexpectedly (exit code {code}); restart the cell")

    def close(self) -> None:
        """End the child; safe to call twice."""
        self._connection.close()
        self._process.join(3.0)
        if self._process.is_alive():
            self._process.kill()
            self._process.join(3.0)
