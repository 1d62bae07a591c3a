"""The eddy-current coils behind the caps of the warm pads: change of inductance and of resistance, raw."""

from __future__ import annotations

from typing import Any

from palpate_nodes import convert, topics
from palpate_nodes.device_node import DeviceNode


class InductiveNode(DeviceNode):
    """Publishes the readings of both coils."""

    def streams(self) -> tuple[topics.Topic, ...]:
        """The readings."""
        return (topics.INDUCTIVE,)

    def publish_sample(self, sample: Any) -> None:
        """One reading."""
        self.send(topics.INDUCTIVE, convert.inductive_message(sample))
