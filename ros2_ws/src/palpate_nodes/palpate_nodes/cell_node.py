"""The process that owns a simulated or recorded cell: its time, and the device nodes around it.

Everything runs in one thread: stepping the cell, publishing and answering are events of one executor, in turn. Time
runs as fast as the consumers follow (`rate: 0`), or at a multiple of real time, in lock-step either way.
"""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rclpy.clock import Clock, ClockType
from rosgraph_msgs.msg import Clock as ClockMessage

from palpate_agents.errors import ConfigError, PalpateError
from palpate_agents.observation import Frame, Primitive
from palpate_agents.samples import Execution
from palpate_interfaces.msg import PartPresented, PartTruth
from palpate_interfaces.srv import PresentPart
from palpate_nodes import topics
from palpate_nodes.arm_node import ArmNode
from palpate_nodes.camera_node import CameraNode
from palpate_nodes.device_node import DeviceNode
from palpate_nodes.devices.cell import ArmDevice, Cell, CellDevice, ForceTorqueDevice, Part, SpectrometerDevice, route
from palpate_nodes.force_torque_node import ForceTorqueNode
from palpate_nodes.heated_tip_node import HeatedTipNode
from palpate_nodes.inductive_node import InductiveNode
from palpate_nodes.lockstep import LockstepCell
from palpate_nodes.node_base import ERROR, OK, PalpateNode, run
from palpate_nodes.params import Param
from palpate_nodes.spectrometer_node import SpectrometerNode
from palpate_nodes.thermal_camera_node import ThermalCameraNode

TICK_NS = 10_000_000


class CellNode(PalpateNode):
    """Owner of time: `/clock`, `sim/tick`, and the service that presents parts."""

    PARAMETERS = (
        Param("backend", "sim", "Where the data come from.", choices=("sim", "recorded")),
        Param("seed", 0, "Seed of parts, devices and noise (sim).", low=0, high=2**31 - 1),
        Param("parts", 0, "How many parts there are; 0: no end (sim).", low=0, high=1_000_000),
        Param("touching_probability", 0.0, "Share of parts that come with a second part touching (sim).", "", 0.0, 1.0),
        Param("rate", 0.0, "Multiple of real time; 0: as fast as the consumers follow.", "", 0.0, 100.0),
        Param("force_limit", 8.0, "Quasi-static force limit of the arm (sim).", "N", 0.5, 50.0),
        Param("inductive", False, "The warm pads have eddy-current coils (sim; a recording has what it has)."),
        Param("video", "", "MP4 file to film the cell into; empty: none (sim)."),
        Param("gui", False, "Show the cell in a window; needs a display (sim)."),
        Param("start_time", 0.0, "The cell's clock at the start; 0: now (sim).", "s", 0.0, 1e10),
        Param("bag", "", "Bag to play back (recorded)."),
        Param("data", "", "Folder of measured spectra to play back (recorded)."),
        Param("item", "", "Only the spectra of this item of the folder; empty: all (recorded)."),
        Param("wait_for", ["probing", "recorder"], "Nodes that time waits for at the start; [] for none."),
        Param(
            "idle_after", 5.0, "At rate 0, stand still after this time without part or probe; 0: never.", "s", 0.0, 1e6
        ),
        Param("lead", 0.1, "How far time may run ahead of the slowest consumer.", "s", 0.02, 10.0),
        Param("start_timeout", 60.0, "Wall time to wait for those nodes.", "s", 0.1, 3600.0),
        Param("silence_timeout", 10.0, "Wall time after which a silent consumer is given up.", "s", 0.5, 3600.0),
    )

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("cell", **kwargs)
        self.cell: Cell = build_cell(self.values)
        self._nodes: Sequence[DeviceNode] = ()
        self._arm: ArmNode | None = None
        self._devices: Sequence[CellDevice] = ()
        self._clock_output = self.publisher(topics.CLOCK)
        self._presented = self.publisher(topics.PART_PRESENTED)
        self._truth = self.publisher(topics.PART_TRUTH)
        self.lockstep = LockstepCell(
            self,
            required=[name for name in self.values["wait_for"] if name],
            lead_ns=int(self.values["lead"] * 1e9),
            timeout_s=self.values["silence_timeout"],
            start_timeout_s=self.values["start_timeout"],
            wake=self.wake,
        )
        self._given: tuple[tuple[str, int, str], PartPresented] | None = None
        self._ready = False
        self._triggered = False
        self._started_wall = 0.0
        self._started_ns = 0
        self._busy_ns = 0
        self._guarded_step = self.guarded(self._step)
        # Acknowledgements wake the cell; this covers pacing, a paused recording, and consumers that fell silent.
        self._heartbeat = self.create_timer(0.005, self.wake, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self.create_service(PresentPart, topics.PRESENT_PART_SERVICE, self._present_part)

    def compose(self) -> list[PalpateNode]:
        """Make the device nodes around the cell; returns all nodes of the process, this one first."""
        from palpate_agents import samples

        cell = self.cell
        camera = CellDevice("camera", (samples.RgbdFrame,))
        thermal = CellDevice("thermal camera", (samples.ThermalFrame,))
        heated = CellDevice("heated tip", (samples.HeatedTipState,))
        options: dict[str, Any] = {"published": self.lockstep.published, "context": self.context}
        self._arm = ArmNode("arm", ArmDevice(cell), **options)
        coils = []
        if self.values["inductive"] or self.values["backend"] == "recorded":
            device = CellDevice("inductive sensor", (samples.Inductive,))
            coils.append(InductiveNode("inductive_sensor", device, **options))
        self._nodes = (
            CameraNode("camera", camera, **options),
            ThermalCameraNode("thermal_camera", thermal, **options),
            ForceTorqueNode("force_torque_sensor", ForceTorqueDevice(cell), **options),
            SpectrometerNode("spectrometer", SpectrometerDevice(cell), **options),
            HeatedTipNode("heated_tip", heated, **options),
            *coils,
            # Last, so that the end of a probe is published after the data of its last instant.
            self._arm,
        )
        self._devices = [node.device for node in self._nodes]  # type: ignore[misc]
        for node in self._nodes:
            for topic, publisher in node.outputs().items():
                self.lockstep.watch(topic, publisher)
        return [self, *self._nodes]

    def start(self) -> None:
        """Let time run."""
        self.wake()

    def teardown(self) -> None:
        """End the simulation or recording."""
        self.cell.close()

    def wake(self) -> None:
        """Ask for a step, once."""
        if not self._triggered and self.executor is not None and self.context.ok():
            self._triggered = True
            self.executor.create_task(self._guarded_step)

    def _step(self) -> None:
        self._triggered = False
        if not self.active or not self._may_step():
            return
        before = self.cell.time_ns
        try:
            batch = self.cell.advance(TICK_NS)
        except PalpateError as error:
            self.get_logger().error(str(error))
            self.report("cell", ERROR, str(error))
            if self._arm:
                self._arm.fail(str(error))
            batch = []
        if any(isinstance(s, Execution) and s.execution.primitive == Primitive.PLACE for s in batch):
            self._given = None
        now = self.cell.time_ns
        self._clock_output.publish(ClockMessage(clock=topics.to_stamp(now)))
        route(self._devices, batch)
        for node in self._nodes:
            node.publish_pending()
        if now > before or batch:
            self.lockstep.tick(now)
        if now > before:
            self.wake()

    def _may_step(self) -> bool:
        if not self._ready:
            self._ready = self.lockstep.ready()
            if not self._ready:
                return False
            self._started_wall, self._started_ns = time.monotonic(), self.cell.time_ns
            self._busy_ns = self.cell.time_ns
            self.report("cell", OK, f"running ({self.values['backend']})")
        rate = self.values["rate"]
        if rate == 0 and self._idle():
            return False
        if rate > 0:
            due_ns = self._started_ns + (time.monotonic() - self._started_wall) * rate * 1e9
            if self.cell.time_ns + TICK_NS > due_ns:
                return False
        return self.lockstep.may_advance()

    def _idle(self) -> bool:
        """Nothing has been asked for a while: as fast as it goes, time (and the bag) would only run away."""
        limit_ns = self.values["idle_after"] * 1e9
        if self.cell.probe_phase != "idle" or self.cell.waiting_for_part or limit_ns == 0:
            self._busy_ns = self.cell.time_ns
        if self.cell.time_ns - self._busy_ns <= limit_ns:
            return False
        self.report("cell", OK, "standing still until a part or a probe is asked for")
        return True

    def _present_part(self, request: PresentPart.Request, response: PresentPart.Response) -> Any:
        asked = (request.session_id, int(request.index), request.material)
        if self._given is not None and self._given[0] == asked:
            # Asked for again because the answer was lost: the part lies there, and is known to everybody.
            response.success, response.part = True, self._given[1]
            return response
        try:
            # A part belongs to time that runs: before the consumers are there it would be lost on them.
            part = self._next_part(request) if self._ready else None
            response.retry = not self._ready or (part is None and self.cell.waiting_for_part)
        except PalpateError as error:
            response.message = str(error)
            return response
        except Exception as error:
            self.get_logger().error(f"present_part failed:\n{traceback.format_exc()}")
            response.message = f"the cell failed: {error!r}"
            return response
        response.success, response.exhausted = part is not None, part is None and not response.retry
        if part is not None:
            response.part = self._announce(part, request.session_id)
            self._given = asked, response.part
        elif response.exhausted:
            response.message = "there is no further part"
        return response

    def _next_part(self, request: PresentPart.Request) -> Part | None:
        return self.cell.present_part(request.session_id, int(request.index), request.material or None)

    def _announce(self, part: Part, session_id: str) -> PartPresented:
        self._busy_ns = self.cell.time_ns
        stamp = topics.to_stamp(self.cell.time_ns)
        message = PartPresented(session_id=session_id, part_id=part.part_id)
        message.header.stamp, message.header.frame_id = stamp, Frame.BASE
        message.position.x, message.position.y, message.position.z = part.position_m
        if part.truth:
            truth = PartTruth(session_id=session_id, part_id=part.part_id, **part.truth)
            truth.header.stamp, truth.header.frame_id = stamp, Frame.BASE
            self._truth.publish(truth)
        self._presented.publish(message)
        for topic in (topics.PART_TRUTH, topics.PART_PRESENTED):
            self.lockstep.published(topics.resolve(topic.name, self.get_namespace()), self.cell.time_ns)
        return message


def build_cell(values: dict[str, Any]) -> Cell:
    """The cell that the parameters ask for.

    Raises:
        ConfigError: parameters that contradict each other.
        DataError: a bag or folder that cannot be played.
    """
    if values["backend"] == "sim":
        from palpate_nodes.devices.sim import SimulatedCell
        from palpate_sim.cell import CellConfig, SimCell

        start_ns = int((values["start_time"] or float(int(time.time()))) * 1e9)
        config = CellConfig(
            force_limit_n=values["force_limit"],
            touching_probability=values["touching_probability"],
            start_time_ns=start_ns,
            inductive=values["inductive"],
            video=values["video"],
            gui=values["gui"],
        )
        return SimulatedCell(SimCell(config, seed=values["seed"]), values["parts"])
    from palpate_nodes.devices.recorded import RecordedCell
    from palpate_nodes.devices.spectra import spectra_timeline

    if bool(values["bag"]) == bool(values["data"]):
        raise ConfigError(
            "backend 'recorded' of node 'cell' needs exactly one of the parameters 'bag' and 'data', "
            f"not bag='{values['bag']}' and data='{values['data']}'"
        )
    if values["bag"]:
        from palpate_nodes.bag_playback import bag_timeline

        return RecordedCell(bag_timeline(Path(values["bag"])))
    return RecordedCell(spectra_timeline(Path(values["data"]), values["item"] or None))


def make() -> list[PalpateNode]:
    """All nodes of this process."""
    return CellNode().compose()


def main() -> int:
    """Run the cell."""
    return run(make)


if __name__ == "__main__":
    sys.exit(main())
