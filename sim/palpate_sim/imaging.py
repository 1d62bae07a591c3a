"""When the cameras expose, and when their pictures arrive: a schedule over the cameras' process.

A picture arrives `latency_s` after its exposure, as with real cameras; until then it is rendered beside the physics.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from palpate_agents.samples import RgbdFrame, Sample, ThermalFrame
from palpate_sim.cameras import color_camera, thermal_camera
from palpate_sim.devices import DeviceDraw
from palpate_sim.kinematics import UrdfModel
from palpate_sim.mirror import CellState
from palpate_sim.motion import PERIOD_S
from palpate_sim.objects import Part
from palpate_sim.render_process import ColorJob, PartsJob, RenderProcess, SurfaceJob, ThermalJob
from palpate_sim.rendering import PartPose
from palpate_sim.sensors.thermal import WarmSpot
from palpate_sim.spectators import Spectator
from palpate_sim.surface_maps import SurfaceMaps


@dataclass(frozen=True)
class _Exposure:
    due_step: int
    stamp_ns: int
    ticket: int
    thermal: bool


class Imaging:
    """Both cameras."""

    def __init__(
        self,
        model: UrdfModel,
        seed: int,
        devices: DeviceDraw,
        periods: tuple[int, int],
        latency: int,
        spectators: Sequence[Spectator] = (),
    ):
        """Start the cameras' process.

        Args:
            model: geometry.
            seed: of the pictures' noise.
            devices: errors of the cameras.
            periods: steps between colour and between thermal pictures.
            latency: steps between exposure and arrival.
            spectators: who watches besides; owned from now on.
        """
        self._spectators = {spectator: max(1, round(spectator.period_s / PERIOD_S)) for spectator in spectators}
        self._process = RenderProcess(seed, devices)
        self._color_geometry = color_camera(model).geometry
        self._thermal_geometry = thermal_camera(model).geometry
        self._color_period, self._thermal_period = periods
        self._latency = latency
        self._underway: deque[_Exposure] = deque()

    @property
    def pid(self) -> int:
        """Process id of the cameras."""
        return self._process.pid

    def close(self) -> None:
        """End the process, and those of the spectators; safe to call twice."""
        self._process.close()
        for spectator in self._spectators:
            spectator.close()

    def set_parts(self, parts: Sequence[Part], surfaces: Sequence[SurfaceMaps]) -> None:
        """Exchange the parts in view.

        Args:
            parts: those in the cell; the first is the one that is probed.
            surfaces: of each, N = 1.
        """
        self._tell(PartsJob(tuple(parts), tuple(surfaces)))

    def set_surface(self, index: int, surface: SurfaceMaps) -> None:
        """Tell that a contact has changed a part's surface (N = 1): the next pictures show it."""
        self._tell(SurfaceJob(index, surface))

    def _tell(self, job: PartsJob | SurfaceJob) -> None:
        self._process.submit(job)
        for spectator in self._spectators:
            spectator.send(job)

    def due(self, step: int) -> bool:
        """A camera exposes at this step, or a spectator looks."""
        watched = any(step % period == 0 for period in self._spectators.values())
        return watched or step % self._color_period == 0 or step % self._thermal_period == 0

    def expose(
        self,
        step: int,
        stamp_ns: int,
        poses: tuple[PartPose, ...],
        joints: tuple[float, ...],
        spots: tuple[WarmSpot, ...],
        time_s: float,
        ambient_c: float,
        caption: tuple[str, ...] = (),
    ) -> None:
        """Take the pictures that are due; `caption` is for spectators."""
        for spectator, period in self._spectators.items():
            if step % period == 0:
                spectator.send(CellState(poses, joints, caption))
        if step % self._color_period == 0:
            ticket = self._process.submit(ColorJob(step, poses, joints))
            self._underway.append(_Exposure(step + self._latency, stamp_ns, ticket, thermal=False))
        if step % self._thermal_period == 0:
            ticket = self._process.submit(ThermalJob(step, poses, joints, spots, time_s, ambient_c))
            self._underway.append(_Exposure(step + self._latency, stamp_ns, ticket, thermal=True))

    def arrived(self, step: int) -> list[Sample]:
        """Pictures that arrive at this step."""
        out: list[Sample] = []
        while self._underway and self._underway[0].due_step <= step:
            exposure = self._underway.popleft()
            result = self._process.collect(exposure.ticket)
            if exposure.thermal:
                out.append(ThermalFrame(exposure.stamp_ns, result, self._thermal_geometry))
            else:
                out.append(RgbdFrame(exposure.stamp_ns, result[0], result[1], self._color_geometry))
        return out

    def pending_until(self, stamp_ns: int) -> bool:
        """A picture exposed at or before a time has not arrived yet."""
        return bool(self._underway) and self._underway[0].stamp_ns <= stamp_ns
