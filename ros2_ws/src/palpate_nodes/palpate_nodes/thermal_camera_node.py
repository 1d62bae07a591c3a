"""The radiometric thermal camera: 32FC1, degrees Celsius."""

from __future__ import annotations

from typing import Any

from palpate_agents.observation import Frame
from palpate_agents.samples import ThermalFrame
from palpate_nodes import convert, topics
from palpate_nodes.device_node import DeviceNode


class ThermalCameraNode(DeviceNode):
    """Publishes apparent temperature and camera info."""

    def streams(self) -> tuple[topics.Topic, ...]:
        """Picture and info."""
        return topics.THERMAL, topics.THERMAL_INFO

    def publish_sample(self, sample: Any) -> None:
        """One frame: two messages with one stamp."""
        frame: ThermalFrame = sample
        height, width = frame.celsius.shape
        info = convert.camera_info(frame.stamp_ns, Frame.THERMAL_CAMERA, frame.camera, height, width)
        self.send(topics.THERMAL_INFO, info)
        self.send(topics.THERMAL, convert.thermal_message(frame))
