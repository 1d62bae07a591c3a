"""Pictures and forces out of a bag: only those that are shown are decoded."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palpate_nodes.bag.reader import BagMessage, BagReader, MessageDecoder, header_stamp_ns
from palpate_nodes.report.collect import COLOR, DEPTH, THERMAL, WRENCH, Progress, topic_names
from palpate_nodes.report.records import ForceTrace, PartRecord, ProbeRecord

STREAM_TOPICS = (COLOR, DEPTH, THERMAL, WRENCH)
SLICES = 700
"""Time slices of a force trace: about one per pixel."""


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

    def offer(self, stamp_ns: int, message: BagMessage) -> None:
        inside = self.start_ns <= stamp_ns <= self.end_ns
        if inside and not (self.first and self.message is not None):
            self.message = message


_DTYPES: dict[str, tuple[Any, int]] = {"rgb8": (np.uint8, 3), "16UC1": (np.uint16, 1), "32FC1": (np.float32, 1)}


def collect_streams(reader: BagReader, parts: Iterable[PartRecord], progress: Progress) -> None:
    """Fill in the pictures and force traces of these parts."""
    parts = [part for part in parts if part.end_ns > part.start_ns]
    names = topic_names(reader, STREAM_TOPICS)
    wanted = [want for part in parts for want in _wanted(part)]
    forces: dict[int, list[tuple[float, float, float, float]]] = {id(part): [] for part in parts}
    for message in reader.messages(names):
        progress(1)
        stamp = header_stamp_ns(message.data)
        if names[message.topic] == WRENCH:
            part = next((part for part in parts if part.start_ns <= stamp < part.end_ns), None)
            if part is not None:
                forces[id(part)].append(((stamp - part.start_ns) * 1e-9, *force_of(message.data)))
            continue
        for want in wanted:
            if want.topic == names[message.topic]:
                want.offer(stamp, message)
    decoder = MessageDecoder(reader)
    for want in wanted:
        if want.message is not None:
            setattr(want.part, want.attribute, image_pixels(decoder.decode(want.message)))
    for part in parts:
        if len(forces[id(part)]) > 1:
            part.force = force_trace(np.array(forces[id(part)]), part.probes)


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


def force_of(data: bytes) -> tuple[float, float, float]:
    """Force in N of a serialised WrenchStamped. A thousand a second: read in place, where a decoder takes 20 us each.

    CDR: encapsulation (4 bytes), stamp (8), frame id (length, text), then doubles aligned to 8 from the encapsulation.
    """
    order = "<" if data[1] & 1 else ">"
    (length,) = struct.unpack_from(f"{order}I", data, 12)
    return struct.unpack_from(f"{order}3d", data, 4 + (12 + length + 7) // 8 * 8)


def force_trace(rows: NDArray[np.float64], probes: list[ProbeRecord]) -> ForceTrace:
    """Norm of the force without the tool's weight: least and largest in each time slice.

    Args:
        rows: (W, 4) s, N, N, N.
        probes: the weight is the median outside of their windows.
    """
    times, forces = rows[:, 0], rows[:, 1:]
    free = np.ones(times.size, bool)
    for probe in probes:
        free &= (times < probe.start_s) | (times > probe.end_s)
    weight = np.median(forces[free] if free.any() else forces, axis=0)
    norm = np.linalg.norm(forces - weight, axis=1)
    order = np.argsort(times, kind="stable")
    edges = np.unique(np.linspace(0, times.size, min(SLICES, times.size) + 1).astype(int)[:-1])
    return ForceTrace(
        times[order][edges], np.minimum.reduceat(norm[order], edges), np.maximum.reduceat(norm[order], edges)
    )
