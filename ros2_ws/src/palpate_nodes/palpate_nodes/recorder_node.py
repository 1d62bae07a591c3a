"""The recorder: writes every topic of the cell into a rosbag2 MCAP bag, from serialised messages.

What it loses it counts: publishers number their messages, so a gap in the numbers is a loss on the way, and the
writer counts what its queue could not take. Both stand in `/diagnostics` and in the bag.
"""

from __future__ import annotations

import inspect
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

from rclpy.clock import Clock, ClockType
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from palpate_agents.errors import ConfigError
from palpate_interfaces.msg import SimTick
from palpate_nodes import topics
from palpate_nodes.bag import metadata
from palpate_nodes.bag.definitions import definition, type_hash
from palpate_nodes.bag.log_times import LogTimes, Timed
from palpate_nodes.bag.metadata import TopicSpec, qos_entry
from palpate_nodes.bag.reader import header_stamp_ns
from palpate_nodes.bag.writer import BagWriter, RecordingError, SplitLimits, WriterLimits
from palpate_nodes.lockstep import LockstepConsumer
from palpate_nodes.node_base import ERROR, OK, WARN, PalpateNode, run
from palpate_nodes.params import Param

_MIB = 1 << 20


class _Message(NamedTuple):
    topic: str
    sequence: int
    stamp_ns: int
    data: bytes


@dataclass
class _Stream:
    """One subscription and what came through it."""

    topic: topics.Topic
    name: str
    subscription: Any = None
    best_effort: bool = False
    received: int = 0


class RecorderNode(PalpateNode):
    """Records `topics.RECORDED_TOPICS` while active."""

    PARAMETERS = (
        Param("session_dir", "", "Folder of the session; the bag goes into its subfolder 'bag'."),
        Param("session_id", "", "Name of the session, kept in the bag."),
        Param("model_hashes", [""], "Models in use, each 'name=sha256', kept in the bag."),
        Param("max_file_size", 1024, "A file that is larger is ended and the next begun.", "MiB", 1, 3072),
        Param("queue_size", 256, "Messages that may wait for the disk; beyond it they are dropped.", "MiB", 1, 16384),
        Param("min_free_space", 512, "Recording stops before the file system has less than this.", "MiB", 0, 10**7),
        Param("flush_interval", 0.3, "Longest time until a received message is written.", "s", 0.2, 10.0),
    )

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("recorder", **kwargs)
        self.writer: BagWriter | None = None
        self.failure = ""
        self._sequences: dict[tuple[str, bytes], int] = {}
        self._channels: dict[str, int] = {}
        self._early: list[_Message] = []
        self._deferred: dict[str, int] = {}
        self._reported_s = 0.0
        self._reported_bytes = 0
        self._sim_time = bool(self.get_parameter("use_sim_time").value)
        namespace = self.get_namespace()
        self._streams = [_Stream(topic, topics.resolve(topic.name, namespace)) for topic in topics.RECORDED_TOPICS]
        self._log_times: LogTimes[_Message] = LogTimes([stream.name for stream in self._streams])
        self._lockstep = LockstepConsumer(self, topics.RECORDED_TOPICS)
        self._tick_subscription = self.subscription(topics.SIM_TICK, self._on_tick)
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # the disk does not run in simulated time
        self._timer = self.create_timer(0.1, self.guarded(self._periodic), clock=steady)

    # Lifecycle.
    def setup(self) -> None:
        """Create the bag."""
        directory = free_directory(Path(self.values["session_dir"] or ".") / "bag")
        self.writer = BagWriter(directory, self._custom_data(), self._limits(), on_stop=self._on_stopped)
        self._channels = {stream.name: self.writer.add_topic(topic_spec(stream)) for stream in self._streams}
        self.failure = ""
        self.get_logger().info(f"recording into {directory}")

    def _custom_data(self) -> dict[str, str]:
        values = {metadata.PALPATE_VERSION: installed_version()}
        if self.values["session_id"]:
            values[metadata.SESSION] = self.values["session_id"]
        for entry in filter(None, self.values["model_hashes"]):
            name, equals, digest = entry.partition("=")
            if not (name and equals and digest):
                raise ConfigError(f"parameter 'model_hashes' of node 'recorder' has '{entry}', expected 'name=sha256'")
            values[metadata.MODEL_HASH + name] = digest
        return values

    def _limits(self) -> WriterLimits:
        return WriterLimits(
            split=SplitLimits(file_bytes=self.values["max_file_size"] * _MIB),
            flush_s=self.values["flush_interval"],
            queue_bytes=self.values["queue_size"] * _MIB,
            min_free_bytes=self.values["min_free_space"] * _MIB,
        )

    def start(self) -> None:
        """Subscribe."""
        for stream in self._streams:
            if stream.subscription is None:
                self._subscribe(stream)
        self._report()

    def stop(self) -> None:
        """Stop listening; whatever has arrived by now is still recorded."""
        for stream in self._streams:
            if stream.subscription is not None:
                self._drain(stream)
                self.destroy_subscription(stream.subscription)
                stream.subscription = None
        self._lockstep.leave()
        rest = self._log_times.rest()
        self._write(rest or [Timed(0, message) for message in self._early])
        self._early = []

    def teardown(self) -> None:
        """End the bag."""
        writer, self.writer = self.writer, None
        if writer is None:
            return
        try:
            writer.close()
        except RecordingError as error:
            self.failure = str(error)
            raise
        status = writer.status()
        lost = sum(status.dropped.values())
        self.get_logger().info(
            f"{writer.directory}: {status.messages} messages, {status.size_bytes / _MIB:.1f} MiB, {lost} lost"
        )

    # Receiving.
    def _subscribe(self, stream: _Stream) -> None:
        qos = stream.topic.qos
        if stream.best_effort:
            qos = QoSProfile(
                history=qos.history,
                depth=qos.depth,
                reliability=ReliabilityPolicy.BEST_EFFORT,
                durability=DurabilityPolicy.VOLATILE,
            )
        stream.subscription = self.create_subscription(
            stream.topic.type, stream.name, with_info(self.guarded(self._receiver(stream))), qos, raw=True
        )

    def _drain(self, stream: _Stream) -> None:
        """Take what the middleware holds for this subscription and the executor has not come to."""
        receive = self.guarded(self._receiver(stream))
        handle = stream.subscription.handle
        while True:
            with handle:
                taken = handle.take_message(stream.topic.type, True)
            if taken is None:
                return
            receive(*taken)

    def _receiver(self, stream: _Stream) -> Callable[..., None]:
        def received(*arguments: Any) -> None:
            # The EventsExecutor hands message and info over as one tuple, the other executors as two arguments.
            data, info = arguments[0] if len(arguments) == 1 else arguments
            stream.received += 1
            self._on_message(stream.name, data, self._count_gap(stream.name, info))

        return received

    def _count_gap(self, name: str, info: Any) -> int:
        """Sequence number of the message, 0 if unknown; messages missing before it are counted as lost."""
        number = info["publication_sequence_number"]
        if number is None:
            return 0
        publisher = (name, bytes(info["publisher_gid"]["data"]) if info["publisher_gid"] else b"")
        last = self._sequences.get(publisher, number - 1)
        missing = number - last - 1
        self._sequences[publisher] = max(number, last)
        if missing > 0 and self.writer:
            self.writer.count_lost(name, missing)
        return int(number)

    def _on_message(self, name: str, data: bytes, sequence: int) -> None:
        message = _Message(name, sequence, header_stamp_ns(data), data)
        now_ns = self.get_clock().now().nanoseconds
        if not self._sim_time:
            self._write([Timed(now_ns, message)])
        elif now_ns == 0 and message.stamp_ns == 0:
            self._early.append(message)  # diagnostics from before time began: they get its first instant
        else:
            ready = self._log_times.add(name, message.stamp_ns, now_ns, time.monotonic(), message)
            self._write(ready)
        self._acknowledge(name, message.stamp_ns)

    def _acknowledge(self, name: str, stamp_ns: int) -> None:
        """Let time run on, unless the disk is behind: in lock-step nothing has to be dropped."""
        if self.writer and self.writer.backlog_bytes > self.values["queue_size"] * _MIB // 2:
            self._deferred[name] = max(stamp_ns, self._deferred.get(name, 0))
        else:
            self._lockstep.note(name, stamp_ns)

    def _on_tick(self, tick: SimTick) -> None:
        if self.active:
            stamps = zip(tick.topics, map(topics.stamp_ns, tick.last_stamps), strict=True)
            self._write(self._log_times.tick(topics.stamp_ns(tick.stamp), stamps))

    def _write(self, ready: list[Timed[_Message]]) -> None:
        if self.writer is None:
            return
        if ready and self._early:
            early, self._early = self._early, []
            ready = [*(Timed(ready[0].log_ns, message) for message in early), *ready]
        for log_ns, message in ready:
            publish_ns = message.stamp_ns or log_ns
            self.writer.write(self._channels[message.topic], log_ns, publish_ns, message.data, message.sequence)

    # From time to time.
    def _periodic(self) -> None:
        if not self.active:
            return
        self._write(self._log_times.overdue(time.monotonic()))
        if self._deferred and self.writer and self.writer.backlog_bytes < self.values["queue_size"] * _MIB // 4:
            deferred, self._deferred = self._deferred, {}
            for name, stamp_ns in deferred.items():
                self._lockstep.note(name, stamp_ns)
        if time.monotonic() - self._reported_s >= 1.0:
            self._adapt_to_publishers()
            self._report()

    def _adapt_to_publishers(self) -> None:
        """A driver may publish best effort, which a reliable subscription never hears."""
        for stream in self._streams:
            if stream.received or stream.best_effort or stream.subscription is None:
                continue
            publishers = self.get_publishers_info_by_topic(stream.name)
            if any(p.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT for p in publishers):
                stream.best_effort = True
                self.destroy_subscription(stream.subscription)
                self._subscribe(stream)
                self.get_logger().warning(f"{stream.name} is published best effort: messages may be lost on the way")

    def _report(self) -> None:
        if self.writer is None:
            return
        status = self.writer.status()
        now = time.monotonic()
        rate = (status.size_bytes - self._reported_bytes) / _MIB / max(now - self._reported_s, 1e-3)
        self._reported_s, self._reported_bytes = now, status.size_bytes
        lost = sum(status.dropped.values())
        level, text = OK, "recording"
        if lost:
            worst = max(status.dropped, key=lambda name: status.dropped[name])
            level, text = WARN, f"{lost} messages lost, most of them on {worst}"
        if status.state == metadata.STATE_STOPPED:
            level, text = ERROR, status.reason
        self.report(
            "recording",
            level,
            text,
            bag=self.writer.directory.name,
            messages=status.messages,
            size_mib=f"{status.size_bytes / _MIB:.1f}",
            rate_mib_s=f"{rate:.2f}",
            backlog_mib=f"{status.backlog_bytes / _MIB:.1f}",
            lost=lost,
            **{f"lost {name}": count for name, count in status.dropped.items() if count},
        )

    def _on_stopped(self, reason: str) -> None:
        """Called from the writer's thread; the next report carries it to `/diagnostics`."""
        self.failure = reason
        self.get_logger().error(reason)


def with_info(callback: Callable[..., None]) -> Callable[..., None]:
    """Tell rclpy that the callback wants message and info, whichever way they are handed over."""
    parameters = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_ONLY) for name in ("message", "info")]
    callback.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return callback


def topic_spec(stream: _Stream) -> TopicSpec:
    """The topic as the bag names it."""
    qos, type_name = stream.topic.qos, metadata.topic_type(stream.topic.type)
    profile = qos_entry(
        depth=qos.depth,
        reliable=qos.reliability == ReliabilityPolicy.RELIABLE,
        latched=qos.durability == DurabilityPolicy.TRANSIENT_LOCAL,
    )
    return TopicSpec(stream.name, type_name, definition(type_name), type_hash(type_name), (profile,))


def free_directory(wanted: Path) -> Path:
    """The folder, or the same name with the first free number: a recorder that starts again overwrites nothing."""
    candidate, number = wanted, 2
    while candidate.exists():
        candidate, number = wanted.with_name(f"{wanted.name}_{number}"), number + 1
    return candidate


def installed_version() -> str:
    """Version of palpate."""
    for name in ("palpate", "palpate_nodes"):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return "0.1.0"


def main() -> int:
    """Run the recorder; 3 if the bag could not be written to its end."""
    nodes: list[RecorderNode] = []

    def make() -> list[RecorderNode]:
        nodes.append(RecorderNode())
        return nodes

    code = run(make)
    return code or (RecordingError.exit_code if any(node.failure for node in nodes) else 0)


if __name__ == "__main__":
    sys.exit(main())
