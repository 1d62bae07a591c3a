"""Waits until every message up to a stamp has arrived, so that a window is complete before it is cut.

In lock-step the ticks say so exactly. On a physical cell there are no ticks: a window is complete when every live
stream has passed its end, or after a grace time, when a stream that has not is taken as dead.
"""

from __future__ import annotations

from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.task import Future

from palpate_agents.errors import DeviceError
from palpate_nodes.lockstep import LockstepConsumer
from palpate_nodes.node_base import PalpateNode
from palpate_nodes.routines import wait
from palpate_nodes.windows import WindowCutter

# A picture is stamped when it is taken and published when it is ready; both cameras deliver within this time.
DELIVERY_NS = 250_000_000
STREAM_GRACE_S = 1.0


class Gate:
    """One waiter at a time."""

    def __init__(self, node: PalpateNode, cutter: WindowCutter, consumer: LockstepConsumer, timeout_s: float) -> None:
        """Watch the streams.

        Args:
            node: whose clock and executor are used.
            cutter: the streams.
            consumer: the node's lock-step consumer.
            timeout_s: wall seconds after which a cell whose time stands still is given up.
        """
        self._node = node
        self._cutter = cutter
        self._consumer = consumer
        self._timeout_s = timeout_s
        self._end_ns = 0
        self._future: Future | None = None
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._started_ns = 0
        self._poll = node.create_timer(0.02, self.check, clock=self._steady)

    async def passed(self, end_ns: int) -> None:
        """Return when everything stamped up to `end_ns` has arrived.

        Raises:
            DeviceError: the cell's time stands still.
        """
        self._end_ns = end_ns
        self._started_ns = self._steady.now().nanoseconds
        if not self._complete():
            self._future = Future(executor=self._node.executor)
            await wait(self._future)

    def check(self, *_: Any) -> None:
        """Called on every tick and from time to time."""
        future = self._future
        if future is None:
            return
        if self._complete():
            self._future = None
            future.set_result(None)
        elif self._steady.now().nanoseconds - self._started_ns > self._timeout_s * 1e9:
            self._future = None
            future.set_exception(
                DeviceError(f"the cell's time stands still for {self._timeout_s:g} s: is its process running?")
            )

    def _complete(self) -> bool:
        if self._consumer.ticking:
            return self._consumer.complete_ns >= self._end_ns + DELIVERY_NS
        late = [name for name, last in self._cutter.last_ns().items() if 0 <= last < self._end_ns]
        now = self._node.get_clock().now().nanoseconds
        return now > self._end_ns + (STREAM_GRACE_S * 1e9 if late else DELIVERY_NS)
