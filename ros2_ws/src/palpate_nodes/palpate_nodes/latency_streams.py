"""From a sensor's stamp to its subscriber, through the nodes and the middleware that the stack uses.

Two processes on one ROS domain of their own: one runs the device nodes of the wrench (1 kHz) and of the camera
(10 pictures/s of 320 x 240), the other listens as the probing node does. Each is this file run as a program, ends by
itself after its time, and is ended by `measure_streams` whatever happens.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.clock import Clock, ClockType

from palpate_agents.errors import PalpateError
from palpate_agents.observation import CameraGeometry
from palpate_agents.samples import RgbdFrame, Sample, Wrench
from palpate_nodes import topics
from palpate_nodes.camera_node import CameraNode
from palpate_nodes.device_node import DeviceNode
from palpate_nodes.devices.cell import CellDevice, ForceTorqueDevice
from palpate_nodes.force_torque_node import ForceTorqueNode
from palpate_nodes.launching.packages import launch_file
from palpate_nodes.launching.plan import make_plan
from palpate_nodes.launching.reaper import remove_dead_segments, used_ports
from palpate_nodes.node_base import PalpateNode, run
from palpate_nodes.params import Param
from palpate_nodes.windows import StreamBuffer

WRENCH_PERIOD_S, PICTURE_PERIOD_S = 0.001, 0.1
HEIGHT, WIDTH = 240, 320
STREAMS = (topics.WRENCH, topics.COLOR, topics.DEPTH)
WARM_UP_S = 1.0
"""Before messages count: the subscriber's side may be matched later than the publisher's."""
START_TIMEOUT_S, END_TIMEOUT_S = 30.0, 15.0
MAX_DOMAIN = 101

Stamps = dict[str, NDArray[np.int64]]
"""Topic's relative name -> (N, 2) stamp and time of arrival, ns by the system clock."""


class Source:
    """A sensor that gives a sample every period, whether or not its process gets to run, and the node that publishes.

    Stamps are the instants at which samples were due, so that a late process does not make its lateness invisible.
    """

    def __init__(self, node: DeviceNode, period_s: float, acquire: Callable[[int], Sample]) -> None:
        self.node, self._acquire = node, acquire
        self._period_ns = round(1e9 * period_s)
        self.stamps: list[int] = []
        # By the clock of the stamps: timers of the steady clock would drift away from them.
        self._timer = node.create_timer(period_s, self._tick, clock=Clock(clock_type=ClockType.SYSTEM_TIME))

    def _tick(self) -> None:
        new = due_stamps(self.stamps[-1] if self.stamps else 0, self._period_ns, time.time_ns())
        for stamp in new:
            self.node.device.push(self._acquire(stamp))
        self.node.publish_pending()
        self.stamps += new

    def end(self) -> None:
        """Publish no more."""
        self._timer.cancel()


def due_stamps(last_ns: int, period_ns: int, now_ns: int) -> list[int]:
    """Instants of the samples that a sensor has given since its last one; at least one.

    Args:
        last_ns: of the last sample; 0: there was none.
        period_ns: between samples.
        now_ns: a timer of that period has just fired, so that a sample is due, at the latest now.
    """
    due = min(last_ns + period_ns, now_ns) if last_ns else now_ns
    return list(range(due, now_ns + 1, period_ns))


class Publishing:
    """The publishing process: waits for its subscriber, publishes for some seconds, keeps the stamps."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._sources: list[Source] = []
        self._nodes: Sequence[PalpateNode] = ()
        self._born_s = time.monotonic()
        self._connected_s = self._ended_s = 0.0

    def make(self) -> Sequence[PalpateNode]:
        """Nodes of the process."""
        wrench = ForceTorqueNode("force_torque_sensor", _WrenchDevice())
        camera = CameraNode("camera", CellDevice("camera", (RgbdFrame,)))
        rng = np.random.default_rng(0)
        color = rng.integers(0, 255, (HEIGHT, WIDTH, 3)).astype(np.uint8)
        depth_mm = rng.integers(600, 800, (HEIGHT, WIDTH)).astype(np.uint16)
        geometry = CameraGeometry(300.0, 300.0, 160.0, 120.0, np.eye(4))
        force = rng.normal(size=6)
        self._sources = [
            Source(wrench, WRENCH_PERIOD_S, lambda stamp: Wrench(stamp, force)),
            Source(camera, PICTURE_PERIOD_S, lambda stamp: RgbdFrame(stamp, color, depth_mm, geometry)),
        ]
        self._nodes = (wrench, camera)
        return self._nodes

    def done(self, _: Sequence[PalpateNode]) -> int | None:
        """Exit code when all is published; polled between callbacks."""
        now = time.monotonic()
        if not self._connected_s:
            if all(p.get_subscription_count() for p in self._outputs().values()):
                self._connected_s = now
            return 4 if now - self._born_s > START_TIMEOUT_S else None
        if not self._ended_s and now - self._connected_s > WARM_UP_S + self._seconds:
            self._ended_s = now
            for source in self._sources:
                source.end()
        return 0 if self._ended_s and now - self._ended_s > 0.5 else None

    def _outputs(self) -> dict[str, Any]:
        wanted = {topics.resolve(topic.name) for topic in STREAMS}
        nodes = [source.node for source in self._sources]
        return {name: p for node in nodes for name, p in node.outputs().items() if name in wanted}

    def stamps(self) -> Stamps:
        """Topic -> (N,) stamps that count: of the last seconds, after the warm-up."""
        wrench, picture = (np.array(source.stamps, np.int64) for source in self._sources)
        if not len(wrench):
            return {topic.name: wrench for topic in STREAMS}
        first = wrench[-1] - int(self._seconds * 1e9)
        of = {topics.WRENCH.name: wrench, topics.COLOR.name: picture, topics.DEPTH.name: picture}
        return {name: stamps[stamps >= first] for name, stamps in of.items()}


class _WrenchDevice(ForceTorqueDevice):
    """A force/torque sensor without a cell, which cannot be zeroed."""

    def __init__(self) -> None:
        CellDevice.__init__(self, "force/torque sensor", (Wrench,))

    def zero(self) -> None:
        raise PalpateError("there is no sensor to zero")


class Listener(PalpateNode):
    """Keeps what arrives as the probing node does, serialised, and when."""

    PARAMETERS = (Param("keep", 25.0, "How long messages are kept.", "s", 0.1, 600.0),)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("listener", **kwargs)
        self.arrived: dict[str, list[tuple[int, int]]] = {}
        for topic in STREAMS:
            self.subscription(topic, self._keep(topic), raw=True)

    def _keep(self, topic: topics.Topic) -> Callable[[bytes], None]:
        buffer = StreamBuffer(topic.type, self.values["keep"])
        arrived = self.arrived[topic.name] = []

        def keep(data: bytes) -> None:
            now = time.time_ns()
            arrived.append((buffer.add(data), now))

        return keep


def measure_streams(seconds: float, *, core: int | None = None) -> dict[str, NDArray[np.int64]]:
    """Publish and listen for a while.

    Args:
        seconds: of publishing that count.
        core: both processes run on this core only; None: wherever the system puts them.

    Returns:
        topic -> (N, 2) stamp and arrival in ns of every message published; arrival -1 where it was lost.

    Raises:
        PalpateError: a process failed or did not end.
    """
    with tempfile.TemporaryDirectory() as scratch:
        files = {role: Path(scratch, f"{role}.npz") for role in ("listen", "publish")}
        launched = make_plan(launch_file("sim"), {}).processes[0].environment  # with its settings of the middleware
        environment = {**launched, "ROS_DOMAIN_ID": str(1 + os.getpid() % MAX_DOMAIN)}
        children: dict[str, subprocess.Popen[bytes]] = {}
        ports: set[str] = set()
        try:
            for role, file in files.items():
                command = [sys.executable, "-m", "palpate_nodes.latency_streams", role, str(file), str(seconds)]
                with file.with_suffix(".log").open("w") as log:
                    children[role] = subprocess.Popen(
                        [*command, *([] if core is None else [str(core)])], env=environment, stdout=log, stderr=log
                    )
            _wait(children["publish"], START_TIMEOUT_S + WARM_UP_S + seconds + END_TIMEOUT_S, ports, files["publish"])
            children["listen"].send_signal(signal.SIGINT)
            _wait(children["listen"], END_TIMEOUT_S, ports, files["listen"])
        finally:
            for child in children.values():
                _end(child)
            remove_dead_segments(ports)
        return _joined(_read(files["publish"]), _read(files["listen"]))


def _wait(child: subprocess.Popen[bytes], timeout_s: float, ports: set[str], file: Path) -> None:
    deadline = time.monotonic() + timeout_s
    while child.poll() is None:
        ports |= used_ports(child.pid)
        if time.monotonic() > deadline:
            raise PalpateError(f"a process of the measurement did not end within {timeout_s:g} s")
        time.sleep(0.2)
    if child.returncode:
        said = file.with_suffix(".log").read_text()[-500:]
        why = "no subscriber appeared" if child.returncode == 4 else said
        raise PalpateError(f"a process of the measurement ended with code {child.returncode}: {why}")


def _end(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(5.0)
        except subprocess.TimeoutExpired:
            child.kill()
    child.wait()


def _read(file: Path) -> Stamps:
    if not file.exists():
        raise PalpateError(f"a process of the measurement wrote no {file.name}")
    with np.load(file) as content:
        return {topic.name: content[topic.name.replace("/", ".")] for topic in STREAMS}


def _joined(published: Stamps, arrived: Stamps) -> Stamps:
    joined = {}
    for name, stamps in published.items():
        times = {int(stamp): int(time_ns) for stamp, time_ns in arrived[name]}
        joined[name] = np.array([(stamp, times.get(stamp, -1)) for stamp in stamps.tolist()], np.int64).reshape(-1, 2)
    return joined


def main(role: str, file: str, seconds: str, core: str = "") -> int:
    """The child process: `publish` or `listen`, result file, seconds, core."""
    if core:
        os.sched_setaffinity(0, {int(core)})
    if role == "publish":
        publishing = Publishing(float(seconds))
        code = run(publishing.make, done=publishing.done)
        _write(file, publishing.stamps())
        return code
    nodes: list[Listener] = []
    limit_s = time.monotonic() + START_TIMEOUT_S + WARM_UP_S + float(seconds) + 2 * END_TIMEOUT_S

    def make() -> Sequence[PalpateNode]:
        nodes.append(Listener())
        return nodes

    code = run(make, done=lambda _: 5 if time.monotonic() > limit_s else None)
    _write(file, {name: np.array(a, np.int64).reshape(-1, 2) for name, a in nodes[0].arrived.items()})
    return code


def _write(file: str, stamps: Stamps) -> None:
    np.savez(file, allow_pickle=False, **{name.replace("/", "."): values for name, values in stamps.items()})


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
