"""Base of the device nodes: connect with retries, publish what the device gives, tell when it falls silent."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from palpate_agents.errors import DeviceError
from palpate_agents.samples import Sample
from palpate_nodes import topics
from palpate_nodes.devices.base import Device
from palpate_nodes.node_base import ERROR, OK, WARN, PalpateNode
from palpate_nodes.params import Param

STALE_AFTER = Param(
    "stale_after", 2.0, "Report the device as stale after this time without a sample; 0: never.", "s", 0.0, 600.0
)
CONNECT_ATTEMPTS = Param("connect_attempts", 3, "How often to try to open the device.", low=1, high=20)

Published = Callable[[str, int], None]


class DeviceNode(PalpateNode):
    """A node around one device. Subclasses publish one kind of sample in `publish_sample`."""

    PARAMETERS: tuple[Param, ...] = (STALE_AFTER, CONNECT_ATTEMPTS)

    def __init__(self, name: str, device: Device[Any], *, published: Published | None = None, **kwargs: Any) -> None:
        """Wrap a device.

        Args:
            name: node name.
            device: the backend, not yet connected.
            published: told of every message that goes out (fully qualified topic, stamp), for lock-step.
            **kwargs: passed on.
        """
        super().__init__(name, **kwargs)
        self.device = device
        self._published = published
        self._last_stamp_ns = 0
        self._count = 0
        self._failed = 0
        self._outputs: dict[str, Any] = {}
        # Made with the node, not on configure, so that late subscribers are matched before the first sample.
        for topic in self.streams():
            self._outputs[topic.name] = self.publisher(topic)

    def streams(self) -> tuple[topics.Topic, ...]:
        """The topics that this node publishes."""
        raise NotImplementedError

    def publish_sample(self, sample: Sample) -> None:
        """Publish one sample."""
        raise NotImplementedError

    def outputs(self) -> dict[str, Any]:
        """Fully qualified topic -> publisher."""
        return {topics.resolve(name, self.get_namespace()): handle for name, handle in self._outputs.items()}

    def setup(self) -> None:
        """Open the device, with a reset between attempts."""
        attempts = int(self.values["connect_attempts"])
        for attempt in range(1, attempts + 1):
            try:
                self.device.connect()
                return
            except DeviceError as error:
                self.device.disconnect()
                if attempt == attempts:
                    raise
                self.get_logger().warning(f"attempt {attempt} of {attempts}: {error}")
                time.sleep(0.2 * attempt)

    def teardown(self) -> None:
        """Close the device."""
        self.device.disconnect()

    def publish_pending(self) -> None:
        """Publish everything the device has given since the last call (while active; otherwise it is thrown away)."""
        for sample in self.device.drain():
            if not self.active:
                continue
            try:
                self.publish_sample(sample)
            except Exception as error:
                self._failed += 1
                self.report("publish", ERROR, f"{type(sample).__name__} not published: {error}", lost=self._failed)
                continue
            self._last_stamp_ns = sample.stamp_ns
            self._count += 1

    def send(self, topic: topics.Topic, message: Any) -> None:
        """Publish a stamped message and note it for lock-step."""
        self._outputs[topic.name].publish(message)
        if self._published:
            self._published(topics.resolve(topic.name, self.get_namespace()), topics.stamp_ns(message.header.stamp))

    def publish_diagnostics(self) -> None:
        """State of the stream with every report."""
        if self.active:
            self._report_stream()
        super().publish_diagnostics()

    def _report_stream(self) -> None:
        limit = float(self.values["stale_after"])
        age = (self.get_clock().now().nanoseconds - self._last_stamp_ns) / 1e9
        values = {"samples": self._count, "dropped": self.device.dropped, "failed": self._failed}
        if limit > 0 and self._count and age > limit:
            status = (ERROR, f"no sample for {age:.1f} s, expected one every {limit:g} s")
        elif self.device.dropped:
            status = (WARN, f"{self.device.dropped} samples dropped: subscribers or network too slow")
        else:
            status = (OK, "streaming" if self._count else "waiting for the first sample")
        self._status["stream"] = (*status, {key: str(value) for key, value in values.items()})
