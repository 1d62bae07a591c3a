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
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palpate_agents.errors import CellError
from palpate_sim.devices import DeviceDraw
from palpate_sim.objects import Part, PartBatch, draw_part
from palpate_sim.rendering import ARM, FIRST_PART, CellRenderer, PartPose
from palpate_sim.sensors import rgbd, thermal

START_DEADLINE_S = 60.0
JOB_DEADLINE_S = 20.0
PARENT_CHECK_S = 2.0
MAX_UNDERWAY = 8
"""More jobs would fill the pipe and let both ends wait for each other."""


@dataclass(frozen=True)
class PartsJob:
    """Other parts lie in the cell; no result."""

    parts: tuple[Part, ...]


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


class FrameMaker:
    """Turns jobs into pictures as the devices would deliver them; used in the child, and directly without one."""

    def __init__(self, seed: int, devices: DeviceDraw):
        self._renderer = CellRenderer()
        self._seed, self._devices = seed, devices
        self._part = draw_part(np.random.default_rng(0), 0)  # stands for an empty table: it covers no pixel
        self._last_thermal: NDArray[np.float32] | None = None
        self._points: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None

    def close(self) -> None:
        """Release the renderer."""
        self._renderer.close()

    def make(self, job: Any) -> Any:
        """Result of a job, None for a `PartsJob`."""
        if isinstance(job, PartsJob):
            if job.parts:
                self._part = job.parts[0]
            self._renderer.set_parts(list(job.parts))
            return None
        if isinstance(job, ColorJob):
            return self._color(job)
        return self._thermal(job)

    def _rng(self, stream: int, frame: int) -> np.random.Generator:
        return np.random.default_rng([self._seed, stream, frame])

    def _color(self, job: ColorJob) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
        cell, rng = self._renderer, self._rng(1, job.frame)
        picture = cell.picture(cell.color_camera, list(job.poses), job.joints)
        mask = picture.label == FIRST_PART
        color = rgbd.color_noise(picture.color, mask, self._part, self._devices, rng)
        return color, rgbd.depth_noise(picture.depth_m, mask, self._part, self._devices, rng)

    def _thermal(self, job: ThermalJob) -> NDArray[np.float32]:
        if self._last_thermal is not None and thermal.shutter_closed(job.time_s):
            return self._last_thermal
        cell = self._renderer
        picture = cell.picture(cell.thermal_camera, list(job.poses), job.joints)
        if self._points is None or self._points[0] is not picture.depth_m:
            self._points = picture.depth_m, cell.thermal_camera.points(picture.depth_m)
        self._last_thermal = thermal.frame(
            self._points[1], picture.label == FIRST_PART, picture.label == ARM, PartBatch.of([self._part]), job.spots,
            job.time_s, self._devices, job.ambient_c, self._rng(2, job.frame),
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
            if not isinstance(job, PartsJob):
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

    def submit(self, job: PartsJob | ColorJob | ThermalJob) -> int:
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
        if not isinstance(job, PartsJob):
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
