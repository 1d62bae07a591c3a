"""The `recorded` backend over a bag: its raw topics as stamped samples, in the order in which they were recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rclpy.serialization import deserialize_message

from palpate_agents import samples
from palpate_agents.errors import DataError
from palpate_agents.observation import Frame, Primitive
from palpate_nodes import convert, topics
from palpate_nodes.bag.timeline import BagTimeline
from palpate_nodes.devices.cell import Part
from palpate_nodes.devices.recorded import PartArrival
from palpate_sim.kinematics import UrdfModel

Timeline = Iterator[tuple[int, samples.Sample]]


class _BagDecoder:
    """From serialised messages to samples; colour, depth and info of one stamp become one frame."""

    def __init__(self) -> None:
        urdf = UrdfModel()
        in_base = np.linalg.inv(urdf.fixed_transform(Frame.BASE))
        self._poses = {frame: in_base @ urdf.fixed_transform(frame) for frame in (Frame.CAMERA, Frame.THERMAL_CAMERA)}
        self._truth: dict[str, dict[str, Any]] = {}
        self._pictures: dict[str, dict[int, Any]] = {}
        self._convert: dict[str, Callable[[Any], samples.Sample | None]] = {
            topics.COLOR.name: lambda m: self._rgbd(topics.COLOR.name, m),
            topics.COLOR_INFO.name: lambda m: self._rgbd(topics.COLOR_INFO.name, m),
            topics.DEPTH.name: lambda m: self._rgbd(topics.DEPTH.name, m),
            topics.THERMAL.name: lambda m: self._thermal(topics.THERMAL.name, m),
            topics.THERMAL_INFO.name: lambda m: self._thermal(topics.THERMAL_INFO.name, m),
            topics.WRENCH.name: convert.wrench_sample,
            topics.TIP_BURST.name: convert.burst_sample,
            topics.SPECTRUM.name: convert.spectrum_sample,
            topics.HEATED_TIP.name: convert.heated_tip_sample,
            topics.INDUCTIVE.name: convert.inductive_sample,
            topics.JOINT_STATES.name: convert.joint_sample,
            topics.JOINT_TRAJECTORY.name: convert.path_sample,
            topics.PROBE_EXECUTION.name: convert.execution_sample,
            topics.PART_TRUTH.name: self._keep_truth,
            topics.PART_PRESENTED.name: self._part,
        }

    def __call__(self, topic: topics.Topic, data: bytes) -> samples.Sample | None:
        """The sample that this message completes, if any."""
        return self._convert[topic.name](deserialize_message(data, topic.type))

    def _together(self, name: str, message: Any, needed: tuple[str, ...]) -> dict[str, Any] | None:
        stamp = topics.stamp_ns(message.header.stamp)
        waiting = self._pictures.setdefault(name, {})
        waiting[stamp] = message
        if not all(stamp in self._pictures.get(other, {}) for other in needed):
            return None
        found = {other: self._pictures[other][stamp] for other in needed}
        for other in needed:
            # Whatever is older and incomplete was lost in the recording: a frame without its partner is no frame.
            self._pictures[other] = {at: m for at, m in self._pictures[other].items() if at > stamp}
        return found

    def _rgbd(self, name: str, message: Any) -> samples.Sample | None:
        names = (topics.COLOR.name, topics.COLOR_INFO.name, topics.DEPTH.name)
        found = self._together(name, message, names)
        if found is None:
            return None
        color, info, depth = (found[key] for key in names)
        return samples.RgbdFrame(
            stamp_ns=topics.stamp_ns(depth.header.stamp),
            color=convert.image_pixels(color),
            depth_mm=convert.image_pixels(depth),
            camera=convert.geometry(info, self._poses[Frame.CAMERA]),
        )

    def _thermal(self, name: str, message: Any) -> samples.Sample | None:
        found = self._together(name, message, (topics.THERMAL.name, topics.THERMAL_INFO.name))
        if found is None:
            return None
        image, info = found[topics.THERMAL.name], found[topics.THERMAL_INFO.name]
        return samples.ThermalFrame(
            stamp_ns=topics.stamp_ns(image.header.stamp),
            celsius=convert.image_pixels(image),
            camera=convert.geometry(info, self._poses[Frame.THERMAL_CAMERA]),
        )

    def _keep_truth(self, message: Any) -> None:
        fields = ("material", "condition", "group", "shape", "mass_kg", "temperature_c", "seed")
        self._truth[message.part_id] = {name: getattr(message, name) for name in fields}

    def _part(self, message: Any) -> samples.Sample:
        position = message.position
        part = Part(message.part_id, (position.x, position.y, position.z), self._truth.get(message.part_id, {}))
        return PartArrival(topics.stamp_ns(message.header.stamp), part)


def bag_timeline(bag: Path) -> Timeline:
    """Samples of a recorded session, at the times at which they were recorded.

    Raises:
        DataError: no bag, a foreign bag, or one without parts.
    """
    decode = _BagDecoder()
    known = {topic.name: topic for topic in topics.RAW_TOPICS}
    any_part = False
    # A part's truth is published just before the part; latched topics may be recorded in either order.
    for log_time_ns, name, data in BagTimeline(bag):
        sample = decode(known[name], data)
        if sample is not None:
            any_part = any_part or isinstance(sample, PartArrival)
            yield log_time_ns, sample
    if not any_part:
        raise DataError(f"{bag} holds no part (topic '{topics.PART_PRESENTED.name}'): it is no recorded session")


def recorded_probes(bag: Path) -> dict[str, list[tuple[Primitive, int]]]:
    """Primitive and pad of each probe of each part, in their order; putting a part into its bin is none.

    Raises:
        DataError: no bag, or a foreign bag.
    """
    decode = _BagDecoder()
    found: dict[str, list[tuple[Primitive, int]]] = {}
    timeline = BagTimeline(bag, wanted=(topics.PROBE_EXECUTION,), required=())
    for _, _, data in timeline:
        sample = decode(topics.PROBE_EXECUTION, data)
        if isinstance(sample, samples.Execution) and sample.execution.primitive is not Primitive.PLACE:
            found.setdefault(sample.part_id, []).append((sample.execution.primitive, sample.execution.pad_index))
    return found
