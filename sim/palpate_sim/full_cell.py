"""The full cell without ROS, one probe at a time: what the nodes do between a goal and its features, in one process.

    with FullCell(seed=1) as cell:
        cell.present(part)                           # at its place in the part library, with a first look
        probe = cell.act(action)                     # 7 numbers, decoded on what was seen
        probe.features.values[Modality.TACTILE]

Tests and benchmarks compare it with the batched cell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from palpate_agents.encoders.features import FeatureConfig, PartContext, extract
from palpate_agents.errors import CellError
from palpate_agents.observation import Frame, Primitive, ProbeExecution, ProbeFeatures, ProbeGoal, ProbeWindows
from palpate_agents.probing.decoder import GoalArrays, SeenPart, decode, goal_of
from palpate_agents.samples import (
    Burst,
    Execution,
    HeatedTipState,
    Inductive,
    Joints,
    RgbdFrame,
    Sample,
    Spectrum,
    ThermalFrame,
    Wrench,
)
from palpate_agents.segmentation import PartView, region_around
from palpate_sim.cell import CellConfig, SimCell
from palpate_sim.devices import DeviceDraw
from palpate_sim.kinematics import ARM_JOINTS, Chain, UrdfModel
from palpate_sim.library import placement
from palpate_sim.objects import Part
from palpate_sim.sensors.heated_tip import HeatedTip
from palpate_sim.surface import SurfaceMaps

TICK_NS = 10_000_000
DEADLINE_S = 90.0
"""Of one probe, in the cell's time."""
OVERVIEW = ProbeGoal(Primitive.LOOK)


@dataclass(frozen=True)
class FullProbe:
    """One probe of the full cell.

    Attributes:
        goal: what was asked.
        execution: what the arm did.
        windows: raw data around it.
        features: of them.
        seconds: from the goal to the execution's record, in the cell's time.
    """

    goal: ProbeGoal
    execution: ProbeExecution
    windows: ProbeWindows
    features: ProbeFeatures
    seconds: float


class WindowMaker:
    """Cuts `ProbeWindows` out of samples, with the rules of the nodes' cutter, which reads messages instead."""

    def __init__(self, model: UrdfModel):
        self._tip = Chain(model, Frame.BALL_TIP, Frame.BASE)
        self._sensor = Chain(model, Frame.FORCE_TORQUE, Frame.BASE)

    def cut(self, samples: Sequence[Sample], execution: ProbeExecution) -> ProbeWindows:
        """Windows of one probe.

        Args:
            samples: of all sensors, in the order of their stamps.
            execution: what the arm did.
        """
        start, end = execution.window_start_ns, execution.window_end_ns
        origin = execution.contact_time_ns or start
        inside = [sample for sample in samples if start <= sample.stamp_ns <= end]
        windows = ProbeWindows()
        if pictures := [s for s in inside if isinstance(s, RgbdFrame)]:
            last = pictures[-1]
            windows.color, windows.camera = last.color, last.camera
            windows.depth_m = last.depth_mm.astype(np.float32) / 1000.0
        if thermal := [s for s in inside if isinstance(s, ThermalFrame)]:
            windows.thermal_times_s, windows.thermal_camera = _seconds(thermal, origin), thermal[-1].camera
            windows.thermal_c = np.stack([s.celsius for s in thermal])
        if wrenches := [s for s in inside if isinstance(s, Wrench)]:
            windows.wrench_times_s = _seconds(wrenches, origin)
            windows.wrench = np.array([s.wrench for s in wrenches])
        if joints := [s for s in inside if isinstance(s, Joints)]:
            windows.joint_times_s = _seconds(joints, origin)
            windows.joint_positions = np.array([s.position[: len(ARM_JOINTS)] for s in joints])
            tips, sensors = self._tip.forward_rows(np.asarray(windows.joint_positions, np.float64), self._sensor)
            windows.tip_positions_m, windows.sensor_rotation = tips[:, :3, 3].copy(), sensors[:, :3, :3].copy()
        if bursts := [s for s in inside if isinstance(s, Burst)]:
            windows.burst = bursts[-1].burst
        windows.spectra = [s.spectrum for s in inside if isinstance(s, Spectrum)]
        if pads := [s for s in inside if isinstance(s, HeatedTipState)]:
            windows.pad_times_s = _seconds(pads, origin)
            windows.pad_temperature_c = np.array([s.temperature_c for s in pads])
            windows.pad_setpoint_c = np.array([s.setpoint_c for s in pads])
            windows.pad_power_w = np.array([s.power_w for s in pads])
        coils = [s for s in inside if isinstance(s, Inductive)]
        if coils and execution.primitive is Primitive.DWELL:
            windows.inductive_times_s, pad = _seconds(coils, origin), execution.pad_index
            windows.inductive = np.array([(s.inductance_change[pad], s.resistance_change[pad]) for s in coils])
        return windows


def _seconds(samples: Sequence[Sample], origin_ns: int) -> NDArray[np.float64]:
    return np.array([sample.stamp_ns - origin_ns for sample in samples], np.int64) / 1e9


class FullCell:
    """`SimCell` with the agent's side: a part at a time, probes with their features.

    Attributes:
        cell: the simulated cell.
        context: what is known of the part.
    """

    def __init__(self, seed: int, config: CellConfig | None = None, features: FeatureConfig | None = None):
        """Start the cell.

        Args:
            seed: of devices and noise.
            config: of the cell.
            features: of the model that would read them.
        """
        self.cell = SimCell(config or CellConfig(), seed)
        self._features = features or FeatureConfig()
        self._maker = WindowMaker(UrdfModel())
        self._part_id, self._parts, self._probes = "", 0, 0
        self.context = PartContext(config=self._features)

    def __enter__(self) -> FullCell:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the cell; safe to call twice."""
        self.cell.close()

    @property
    def devices(self) -> DeviceDraw:
        """Devices of this cell."""
        return self.cell.devices

    @property
    def maps(self) -> SurfaceMaps:
        """Surface of the part as it is now, N = 1."""
        return self.cell.world.parts[0].maps

    @property
    def damage_m(self) -> float:
        """Deepest mark on the part so far."""
        return self.cell.world.parts[0].damage_m

    @property
    def view(self) -> PartView:
        """The part as segmented in the last look.

        Raises:
            CellError: there was no look with pictures.
        """
        if self.context.view is None:
            raise CellError("the part has not been looked at; present it, in a cell with `render=True`")
        return self.context.view

    @property
    def seen(self) -> SeenPart:
        """What the decoder needs, N = 1.

        Raises:
            CellError: no picture of the part could be read.
        """
        if self.context.surface is None:
            raise CellError("no picture of the part could be read; present it, in a cell with `render=True`")
        return SeenPart(self.context.surface.values[None], np.array([self.view.extent_m]))

    def present(self, part: Part) -> FullProbe:
        """Lay a part where the library has it, with pads at rest, and look at it from the cameras.

        Args:
            part: which.

        Returns:
            that look, without a spectrum.
        """
        pose = placement(part.geometry_class, part.geometry_id)
        self.cell.present_part("", self._parts, part=part, pose=pose)
        self.cell.pads.heater = HeatedTip()
        self._part_id, self._probes = part.part_id, 0
        self._parts += 1
        self.context = PartContext(config=self._features, region=region_around((*pose[:2], 0.0)))
        return self.probe(OVERVIEW)

    def goals(self, action: NDArray[np.float64]) -> GoalArrays:
        """What (7,) numbers mean on the part as it is seen, N = 1.

        Raises:
            ConfigError: see `decoder.decode`.
        """
        return decode(np.asarray(action, float)[None], self.seen)

    def act(self, action: NDArray[np.float64]) -> FullProbe:
        """Probe by (7,) numbers.

        Raises:
            ConfigError: the action is none, or no part was found.
            CellError: see `probe`.
        """
        return self.probe(goal_of(self.goals(action), 0, self.view))

    def probe(self, goal: ProbeGoal) -> FullProbe:
        """Execute a goal to its end.

        Raises:
            CellError: the goal makes no sense, or the probe does not end.
        """
        cell, begun_ns = self.cell, self.cell.time_ns
        cell.start_probe(goal, "", self._part_id, self._probes)
        self._probes += 1
        samples: list[Sample] = []
        while cell.time_ns - begun_ns < DEADLINE_S * 1e9:
            samples += cell.advance(TICK_NS)
            ended = next((s for s in reversed(samples[-200:]) if isinstance(s, Execution)), None)
            if ended is not None:
                samples.sort(key=lambda sample: sample.stamp_ns)
                windows = self._maker.cut(samples, ended.execution)
                self.context = self.context.after(ended.execution, windows)
                features = extract(ended.execution, windows, self.context)
                return FullProbe(goal, ended.execution, windows, features, 1e-9 * (ended.stamp_ns - begun_ns))
        raise CellError(f"{goal.primitive.name} did not end within {DEADLINE_S:g} s of the cell's time")
