"""Pictures and forces out of a bag: only those that are shown are decoded."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palpate_nodes.bag.reader import BagMessage, BagReader, MessageDecoder, header_stamp_ns
from palpate_nodes.bag.scan import block_messages
from palpate_nodes.report.collect import COLOR, DEPTH, JOINTS, THERMAL, WRENCH, Progress, topic_names
from palpate_nodes.report.force import force_of, force_trace, resting, tool_force, up_in_sensor
from palpate_nodes.report.records import ForceTrace, PartRecord, ProbeRecord

STREAM_TOPICS = (COLOR, DEPTH, THERMAL, WRENCH, JOINTS)
BEFORE_NS, AFTER_NS = 10_000_000_000, 2_000_000_000
"""Streams are looked for from so long before the first message about a part until so long after the last, ns."""
JOINT_PERIOD_S = 0.05
"""Joint states are decoded no more often than that, s."""


@dataclass
class _Wanted:
    """The first or last message of a topic in an interval of stamps, and where its picture goes."""

    topic: str
    start_ns: int
    end_ns: int
    part: PartRecord
    attribute: str
    first: bool
    message: BagMessage | None = None
    stamp_ns: int = 0

    def offer(self, stamp_ns: int, message: BagMessage) -> None:
        """Keep the message if it suits better than the one at hand."""
        if not self.start_ns <= stamp_ns <= self.end_ns:
            return
        if self.message is None or (stamp_ns < self.stamp_ns) == self.first:
            self.message, self.stamp_ns = message, stamp_ns


_DTYPES: dict[str, tuple[Any, int]] = {"rgb8": (np.uint8, 3), "16UC1": (np.uint16, 1), "32FC1": (np.float32, 1)}


def collect_streams(reader: BagReader, parts: Iterable[PartRecord], progress: Progress) -> None:
    """Fill in the pictures and force traces of these parts."""
    parts = [part for part in parts if part.end_ns > part.start_ns]
    names = topic_names(reader, STREAM_TOPICS)
    decoder = MessageDecoder(reader)
    wanted = [want for part in parts for want in _wanted(part)]
    motions = {id(part): _Motion() for part in parts}
    for message in _messages(reader, names, [part.logged_ns for part in parts]):
        progress(1)
        stamp, topic = header_stamp_ns(message.data), names[message.topic]
        if topic in (WRENCH, JOINTS):
            part = next((part for part in parts if part.start_ns <= stamp < part.end_ns), None)
            if part is not None:
                seconds = (stamp - part.start_ns) * 1e-9
                motions[id(part)].add(seconds, message, None if topic == WRENCH else decoder)
            continue
        for want in wanted:
            if want.topic == topic:
                want.offer(stamp, message)
    for want in wanted:
        if want.message is not None:
            setattr(want.part, want.attribute, image_pixels(decoder.decode(want.message)))
    for part in parts:
        part.force = motions[id(part)].trace(part.probes)


class _Motion:
    """Forces and joints of one part."""

    def __init__(self) -> None:
        self._forces: list[tuple[float, float, float, float]] = []
        self._joints: dict[float, Any] = {}
        self._next_s = 0.0

    def add(self, seconds: float, message: BagMessage, decoder: MessageDecoder | None) -> None:
        """A wrench, or, with a decoder, a joint state; joint states are thinned."""
        if decoder is None:
            self._forces.append((seconds, *force_of(message.data)))
        elif seconds >= self._next_s:
            self._joints[seconds] = decoder.decode(message)
            self._next_s = seconds + JOINT_PERIOD_S

    def trace(self, probes: list[ProbeRecord]) -> ForceTrace | None:
        """The force trace; None without forces."""
        if len(self._forces) < 2:
            return None
        rows = np.array(self._forces)
        times = np.array(sorted(self._joints))
        states = [self._joints[time] for time in times.tolist()]
        up, positions = None, np.zeros((0, 0))
        if len(states) > 2 and all(len(state.position) == len(states[0].name) for state in states):
            positions = np.array([state.position for state in states], float)
            up = up_in_sensor(states[0].name, positions)
        rest = resting(rows[:, 0], times if positions.size else np.zeros(0), positions, probes)
        return force_trace(rows, tool_force(rows, times, up, rest))


def _messages(reader: BagReader, names: Collection[str], spans: Sequence[tuple[int, int]]) -> Iterator[BagMessage]:
    """Messages of some topics out of the chunks that overlap with a span of log times, in no order.

    Most of a long recording is about parts that are not shown: its chunks are not even read.
    """
    for file in reader.files:
        channels = {c.id: c.topic for c in file.summary.channels.values() if c.topic in names}
        with file.path.open("rb") as stream:
            for block in file.blocks:
                near = any(
                    block.start_ns <= end + AFTER_NS and block.end_ns >= start - BEFORE_NS for start, end in spans
                )
                if near and block.channels & channels.keys():
                    for message in block_messages(stream, block, file.path):
                        if message.channel in channels:
                            topic = channels[message.channel]
                            yield BagMessage(message.log_ns, topic, message.data, message.publish_ns)


def _wanted(part: PartRecord) -> list[_Wanted]:
    """LOOK shows the part untouched, the end of the last DWELL the warm spot; without a LOOK, the first picture."""
    looks = [probe for probe in part.probes if probe.primitive == "LOOK"]
    dwells = [probe for probe in part.probes if probe.primitive == "DWELL"]
    start, end, first = part.start_ns, part.end_ns, True
    if looks:
        start, end, first = *_window(part, looks[0]), False
    wanted = [
        _Wanted(COLOR, start, end, part, "color", first),
        _Wanted(DEPTH, start, end, part, "depth_mm", first),
        _Wanted(THERMAL, start, end, part, "thermal_before_c", first),
    ]
    if dwells:
        wanted.append(_Wanted(THERMAL, *_window(part, dwells[-1]), part, "thermal_after_c", False))
    return wanted


def _window(part: PartRecord, probe: ProbeRecord) -> tuple[int, int]:
    return part.start_ns + round(probe.start_s * 1e9), part.start_ns + round(probe.end_s * 1e9)


def image_pixels(message: Any) -> NDArray[Any] | None:
    """Pixels of an rgb8 (H, W, 3), 16UC1 or 32FC1 (H, W) image; None for another encoding or a cut-off picture."""
    dtype, channels = _DTYPES.get(message.encoding, (None, 0))
    if dtype is None:
        return None
    pixels = np.frombuffer(message.data, dtype)
    if pixels.size == 0 or pixels.size != message.height * message.width * channels:
        return None
    return pixels.reshape(
        (message.height, message.width, channels) if channels > 1 else (message.height, message.width)
    )
