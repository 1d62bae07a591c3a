"""How fast this machine records: camera-like pictures and small messages through the whole writer, fsync included."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from palpate_nodes.bag.metadata import TopicSpec
from palpate_nodes.bag.reader import BagReader
from palpate_nodes.bag.recover import recover
from palpate_nodes.bag.writer import BagWriter, WriterLimits

_QUEUE_BYTES = 128 << 20
_HEADER = struct.pack("<4xII", 1, 0)


@dataclass(frozen=True)
class Speed:
    """One measurement.

    Attributes:
        what: what was measured.
        megabytes_s: 10^6 bytes of messages per second.
        messages_s: messages per second.
        cpu: processor seconds per second, all threads.
    """

    what: str
    megabytes_s: float
    messages_s: float
    cpu: float


def pictures(count: int, height: int = 480, width: int = 640) -> list[bytes]:
    """Serialised-size RGB pictures: a shaded scene with sensor noise of 2 grey levels, which is hard to compress."""
    rng = np.random.default_rng(0)
    scene = np.broadcast_to(np.linspace(40, 200, width)[None, :, None], (height, width, 3))
    return [
        _HEADER + (scene + rng.normal(0.0, 2.0, scene.shape)).clip(0, 255).astype(np.uint8).tobytes()
        for _ in range(count)
    ]


def small_messages(count: int, size: int = 88) -> list[bytes]:
    """Messages of a wrench's size."""
    rng = np.random.default_rng(0)
    return [_HEADER + rng.bytes(size - len(_HEADER)) for _ in range(count)]


def record_speed(what: str, folder: Path, messages: list[bytes], seconds: float) -> Speed:
    """Write as fast as the writer takes messages, and close.

    Args:
        what: name of the measurement, also of the bag in `folder`.
        folder: where to write.
        messages: sent again and again.
        seconds: how long messages are handed over.
    """
    writer = BagWriter(folder / what, {}, WriterLimits(queue_bytes=_QUEUE_BYTES, min_free_bytes=0))
    channel = writer.add_topic(TopicSpec(f"/{what}", "std_msgs/msg/Header", "uint32 number\n"))
    begin, cpu = time.perf_counter(), time.process_time()
    count = size = 0
    while time.perf_counter() - begin < seconds:
        data = messages[count % len(messages)]
        if writer.backlog_bytes + len(data) > _QUEUE_BYTES:
            time.sleep(0.001)
            continue
        writer.write(channel, count * 1_000_000, 0, data)
        count += 1
        size += len(data)
    writer.close(timeout_s=60.0)
    wall = time.perf_counter() - begin
    return Speed(f"record {what}", size / 1e6 / wall, count / wall, (time.process_time() - cpu) / wall)


def _read_speed(what: str, bag: Path) -> Speed:
    begin, cpu = time.perf_counter(), time.process_time()
    count = size = 0
    for message in BagReader(bag).messages():
        count += 1
        size += len(message.data)
    wall = time.perf_counter() - begin
    return Speed(f"read {what}", size / 1e6 / wall, count / wall, (time.process_time() - cpu) / wall)


def _recover_speed(what: str, bag: Path) -> Speed:
    file = next(bag.glob("*.mcap"))
    with file.open("r+b") as stream:
        stream.truncate(file.stat().st_size - 100)
    begin, cpu = time.perf_counter(), time.process_time()
    result = recover(bag)
    wall = time.perf_counter() - begin
    size = sum(path.stat().st_size for path in result.path.glob("*.mcap"))
    return Speed(f"recover {what}", size / 1e6 / wall, result.messages / wall, (time.process_time() - cpu) / wall)


def measure(folder: Path, seconds: float = 3.0) -> Iterator[Speed]:
    """Measure recording, reading and recovering; writes some 10^8 bytes a second into `folder`.

    Args:
        folder: an empty folder on the disk in question; the caller removes it.
        seconds: per recording.
    """
    for what, messages in (("pictures", pictures(8)), ("small messages", small_messages(1000))):
        yield record_speed(what, folder, messages, seconds)
        yield _read_speed(what, folder / what)
        yield _recover_speed(what, folder / what)
