"""The two warm pads of the probe tool: set and true temperature, power, cut-off."""

from __future__ import annotations

from typing import Any

from palpate_nodes import convert, topics
from palpate_nodes.device_node import DeviceNode


class HeatedTipNode(DeviceNode):
    """Publishes the state of both pads."""

    def streams(self) -> tuple[topics.Topic, ...]:
        """The state."""
        return (topics.HEATED_TIP,)

    def publish_sample(self, sample: Any) -> None:
        """One state."""
        self.send(topics.HEATED_TIP, convert.heated_tip_message(sample))
