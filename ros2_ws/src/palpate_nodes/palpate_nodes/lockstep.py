"""Lock-step: simulated (or replayed) time runs on only when its consumers have received what was published.

The cell publishes `sim/tick`: its time, and for every stream the stamp of the last message. A consumer acknowledges a
tick once it has received, on every stream it subscribes to, a message at least that new. On a physical cell there are
no ticks, and nothing here does anything.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from palpate_interfaces.msg import SimAck, SimTick
from palpate_nodes import topics
from palpate_nodes.node_base import ERROR, OK, PalpateNode

_HEADER = struct.Struct("<iI")


def raw_stamp_ns(data: bytes) -> int:
    """Stamp of a serialised message whose first field is a Header (little-endian CDR, 4 bytes of encapsulation)."""
    seconds, nanoseconds = _HEADER.unpack_from(data, 4)
    return seconds * 1_000_000_000 + nanoseconds


class LockstepConsumer:
    """Acknowledges ticks on behalf of one node."""

    def __init__(
        self, node: PalpateNode, streams: Iterable[topics.Topic], on_tick: Callable[[int], None] | None = None
    ) -> None:
        """Subscribe to the ticks and announce the node.

        Args:
            node: whose subscriptions are meant.
            streams: the raw topics that the node subscribes to; `note` must be called for each of their messages.
            on_tick: called with the time (ns) up to which everything has been received.
        """
        self._node = node
        self._name = node.get_fully_qualified_name()
        namespace = node.get_namespace()
        self._last = {topics.resolve(topic.name, namespace): -1 for topic in streams}
        self._baseline_taken = False
        self._pending: list[SimTick] = []
        self._on_tick = on_tick
        self.complete_ns = -1
        self._ack = node.publisher(topics.SIM_ACK)
        self._subscription = node.subscription(topics.SIM_TICK, self._tick)
        # Announced on wall time: simulated time does not run before its consumers are there.
        from rclpy.clock import Clock, ClockType

        self._announcer = node.create_timer(0.2, self.announce, clock=Clock(clock_type=ClockType.STEADY_TIME))

    @property
    def ticking(self) -> bool:
        """Whether a cell in lock-step has been heard."""
        return self._baseline_taken

    def announce(self) -> None:
        """Tell the cell that this node consumes, and what."""
        if self._baseline_taken:
            self._announcer.cancel()
            return
        self._ack.publish(SimAck(consumer=self._name, topics=list(self._last)))

    def note(self, topic: str, stamp_ns: int) -> None:
        """A message with this stamp arrived on this fully qualified topic."""
        if stamp_ns > self._last[topic]:
            self._last[topic] = stamp_ns
            if self._pending:
                self._settle()

    def _tick(self, tick: SimTick) -> None:
        if not self._baseline_taken:
            self._baseline_taken = True
            # What was published before this node listened is not waited for.
            for topic, stamp in zip(tick.topics, tick.last_stamps, strict=True):
                if topic in self._last:
                    self._last[topic] = max(self._last[topic], topics.stamp_ns(stamp))
        self._pending.append(tick)
        self._settle()

    def _settle(self) -> None:
        while self._pending and self._received(self._pending[0]):
            tick = self._pending.pop(0)
            self.complete_ns = topics.stamp_ns(tick.stamp)
            self._ack.publish(SimAck(consumer=self._name, stamp=tick.stamp))
            if self._on_tick:
                self._on_tick(self.complete_ns)

    def _received(self, tick: SimTick) -> bool:
        return all(
            self._last[topic] >= topics.stamp_ns(stamp)
            for topic, stamp in zip(tick.topics, tick.last_stamps, strict=True)
            if topic in self._last
        )

    def leave(self) -> None:
        """Tell the cell not to wait for this node any longer."""
        self._announcer.cancel()
        if self._node.context.ok():
            self._ack.publish(SimAck(consumer=self._name, leaving=True))


@dataclass
class _Consumer:
    topics: tuple[str, ...] = ()
    acked_ns: int = -1
    behind_since_s: float | None = None


class LockstepCell:
    """The cell's side: publishes ticks and says whether time may run on."""

    def __init__(
        self,
        node: PalpateNode,
        *,
        required: Iterable[str],
        lead_ns: int,
        timeout_s: float,
        start_timeout_s: float,
        wake: Callable[[], None],
    ) -> None:
        """Subscribe to the acknowledgements.

        Args:
            node: the cell's node.
            required: names of nodes (without namespace) that time waits for at the start.
            lead_ns: how far time may run ahead of the slowest consumer.
            timeout_s: wall seconds without a word after which a consumer is given up (reported, never silent).
            start_timeout_s: wall seconds to wait for the required consumers at the start.
            wake: called when an acknowledgement arrives.
        """
        self._node = node
        self._required = set(required)
        self._lead_ns = lead_ns
        self._timeout_s = timeout_s
        self._started_s = time.monotonic()
        self._start_timeout_s = start_timeout_s
        self._wake = wake
        self._consumers: dict[str, _Consumer] = {}
        self._publishers: dict[str, Any] = {}
        self._last: dict[str, int] = {}
        self._tick = node.publisher(topics.SIM_TICK)
        self._acks = node.subscription(topics.SIM_ACK, self._on_ack)
        self._time_ns = 0
        self.given_up: list[str] = []

    def watch(self, topic: str, publisher: Any) -> None:
        """A publisher whose subscribers are waited for; `topic` fully qualified."""
        self._publishers[topic] = publisher

    def published(self, topic: str, stamp_ns: int) -> None:
        """A message with this stamp went out on this fully qualified topic."""
        self._last[topic] = stamp_ns

    def tick(self, time_ns: int) -> None:
        """Publish a tick for this time of the cell."""
        self._time_ns = time_ns
        message = SimTick(stamp=topics.to_stamp(time_ns), topics=list(self._last))
        message.last_stamps = [topics.to_stamp(stamp) for stamp in self._last.values()]
        self._tick.publish(message)

    def _on_ack(self, ack: SimAck) -> None:
        if ack.leaving:
            self._consumers.pop(ack.consumer, None)
        else:
            consumer = self._consumers.setdefault(ack.consumer, _Consumer(acked_ns=self._time_ns))
            if ack.topics:
                consumer.topics = tuple(ack.topics)
            if topics.stamp_ns(ack.stamp) > consumer.acked_ns:
                consumer.acked_ns = topics.stamp_ns(ack.stamp)
                consumer.behind_since_s = None
        self._wake()

    def ready(self) -> bool:
        """Whether the required consumers are there and connected to every stream; gives up after the deadline."""
        present = {name.rsplit("/", 1)[-1] for name in self._consumers}
        missing = self._required - present
        if not missing and self._connected():
            return True
        if time.monotonic() - self._started_s < self._start_timeout_s:
            return False
        self._node.report(
            "lock-step",
            ERROR,
            f"started without {', '.join(sorted(missing)) or 'complete connections'} after "
            f"{self._start_timeout_s:g} s: what they should have received is lost; is the node running?",
        )
        return True

    def _connected(self) -> bool:
        wanted: dict[str, int] = {}
        for consumer in self._consumers.values():
            for topic in consumer.topics:
                wanted[topic] = wanted.get(topic, 0) + 1
        return all(
            self._publishers[topic].get_subscription_count() >= count
            for topic, count in wanted.items()
            if topic in self._publishers
        )

    def may_advance(self) -> bool:
        """Whether every consumer is close enough behind; a consumer that fell silent is given up and reported."""
        now = time.monotonic()
        for name, consumer in list(self._consumers.items()):
            if self._time_ns - consumer.acked_ns <= self._lead_ns:
                consumer.behind_since_s = None
                continue
            if consumer.behind_since_s is None:
                consumer.behind_since_s = now
            if now - consumer.behind_since_s < self._timeout_s:
                return False
            del self._consumers[name]
            self.given_up.append(name)
            self._node.get_logger().error(f"{name} is silent for {self._timeout_s:g} s: time goes on without it")
            self._node.report("lock-step", ERROR, f"gave up waiting for {name} after {self._timeout_s:g} s of silence")
        if not self.given_up:
            self._node.report("lock-step", OK, "in step", consumers=len(self._consumers))
        return True
