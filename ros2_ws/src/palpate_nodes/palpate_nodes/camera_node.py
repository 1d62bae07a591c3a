"""The RGB-D camera: realsense-ros names, rgb8 colour and depth in millimetres aligned to it."""

from __future__ import annotations

from typing import Any

from palpate_agents.observation import Frame
from palpate_agents.samples import RgbdFrame
from palpate_nodes import convert, topics
from palpate_nodes.device_node import DeviceNode


class CameraNode(DeviceNode):
    """Publishes colour, its camera info, and aligned depth."""

    def streams(self) -> tuple[topics.Topic, ...]:
        """Colour, info, depth."""
        return topics.COLOR, topics.COLOR_INFO, topics.DEPTH

    def publish_sample(self, sample: Any) -> None:
        """One frame: three messages with one stamp."""
        frame: RgbdFrame = sample
        height, width = frame.color.shape[:2]
        info = convert.camera_info(frame.stamp_ns, Frame.CAMERA, frame.camera, height, width)
        self.send(topics.COLOR_INFO, info)
        self.send(topics.COLOR, convert.color_message(frame))
        self.send(topics.DEPTH, convert.depth_message(frame))
