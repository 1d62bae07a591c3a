"""Reads bags: ours, ours after a crash, and those of `ros2 bag record` in MCAP format."""

from __future__ import annotations

import heapq
import importlib
import re
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from palpate_agents.errors import DataError
from palpate_nodes.bag import metadata
from palpate_nodes.bag.definitions import split_name
from palpate_nodes.bag.mcap_file import PROFILE
from palpate_nodes.bag.metadata import BagMetadata, TopicSpec
from palpate_nodes.bag.scan import Block, RawMessage, Scan, block_messages, scan

# Bytes in front of the header's stamp: the CDR encapsulation.
_CDR_HEADER = 4


class BagMessage(NamedTuple):
    """One recorded message.

    Attributes:
        log_ns: when it was recorded, ns on the cell's clock.
        topic: fully qualified name.
        data: CDR with its encapsulation.
        publish_ns: when it was published or acquired, ns.
    """

    log_ns: int
    topic: str
    data: bytes
    publish_ns: int


def header_stamp_ns(data: bytes) -> int:
    """Stamp of a serialised message that begins with a std_msgs/Header, ns.

    Raises:
        DataError: it is too short.
    """
    if len(data) < _CDR_HEADER + 8:
        raise DataError(f"a message of {len(data)} bytes has no header")
    order = "little" if data[1] & 1 else "big"
    seconds = int.from_bytes(data[4:8], order, signed=True)  # type: ignore[arg-type]
    return seconds * 1_000_000_000 + int.from_bytes(data[8:12], order)  # type: ignore[arg-type]


@dataclass(frozen=True)
class _Place:
    """Where a bag's files are, and what its metadata says."""

    root: Path
    files: list[Path]
    metadata: BagMetadata | None


def _natural(path: Path) -> list[Any]:
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path.name)]


def find_bag(path: Path) -> _Place:
    """Files of a bag given by its folder, by the session's folder above it, or by one MCAP file.

    Raises:
        DataError: nothing there, or a bag that is not in MCAP format; says what to do.
    """
    if path.is_file():
        if path.suffix == ".db3":
            raise DataError(_sqlite_hint(path))
        return _Place(path, [path], None)
    if not path.is_dir():
        raise DataError(f"no bag at {path}: there is no such file or folder")
    found = metadata.read(path)
    if found and found.storage != "mcap":
        raise DataError(
            _sqlite_hint(path)
            if found.storage == "sqlite3"
            else f"{path} is stored as '{found.storage}'; only MCAP is read"
        )
    if found and found.compression_mode not in ("", "none"):
        raise DataError(
            f"{path} is compressed per {found.compression_mode}; only MCAP's own chunk compression is read: convert it "
            "with `ros2 bag convert`"
        )
    files = sorted(path.glob("*.mcap"), key=_natural)
    if found:
        listed = [path / entry.name for entry in found.files]
        missing = [file.name for file in listed if not file.exists()]
        if missing:
            raise DataError(f"{path} lacks {', '.join(missing)}, which its {metadata.FILE_NAME} lists")
        files = listed + [file for file in files if file not in listed]
    if files:
        return _Place(path, files, found)
    if (path / "bag").is_dir():
        return find_bag(path / "bag")
    if list(path.glob("*.db3")):
        raise DataError(_sqlite_hint(path))
    raise DataError(f"{path} is no bag: it holds no .mcap file")


def _sqlite_hint(path: Path) -> str:
    return f"{path} is stored as sqlite3; only MCAP is read: convert it with `ros2 bag convert` or `rosbags-convert`"


class BagReader:
    """A bag, whole or cut off.

    Attributes:
        path: the bag's folder (or file).
        files: what each file holds, in order.
        topics: fully qualified name -> topic.
        counts: fully qualified name -> messages that can be read.
        custom: custom data.
        dropped: topic -> messages that the recorder could not keep; None if nobody knows.
        problems: what is wrong, one sentence each; empty for a complete bag.
    """

    def __init__(self, path: Path) -> None:
        """Find and index the bag.

        Raises:
            DataError: missing, empty, foreign, or one topic with two types.
        """
        place = find_bag(path)
        self.path = place.root
        self.problems: list[str] = []
        self.files = self._scan(place.files)
        self.custom = self._custom_data(place.metadata)
        self.topics, self.counts = self._topics(place.metadata)
        text = self.custom.get(metadata.DROPPED)
        self.dropped = None if text is None else metadata.parse_dropped(text)
        for file in self.files:
            self.problems += [f"{file.path.name}: {problem}" for problem in file.problems]
        unended = self.custom.get(metadata.STATE) == metadata.STATE_RECORDING
        if unended and place.metadata is not None and not self.problems:
            self.problems.append("the recorder did not end the bag")

    def _scan(self, paths: list[Path]) -> list[Scan]:
        scans: list[Scan] = []
        for path in paths:
            try:
                found = scan(path)
            except DataError as error:
                # A recorder that was killed while it began another file leaves a stub behind the good ones.
                if not scans or path is not paths[-1]:
                    raise
                self.problems.append(str(error))
                continue
            if found.header.profile != PROFILE:
                raise DataError(
                    f"{path} is an MCAP file, but no ROS 2 recording: its profile is '{found.header.profile}', "
                    f"expected '{PROFILE}'"
                )
            scans.append(found)
        return scans

    def _custom_data(self, found: BagMetadata | None) -> dict[str, str]:
        values: dict[str, str] = dict(found.custom) if found else {}
        # The files are newer than metadata.yaml, and they are what a kill leaves.
        for file in self.files:
            for record in file.metadata:
                if record.name in (metadata.RECORD_NAME, metadata.DROPS_RECORD):
                    values.update(record.metadata)
        if found and values.get(metadata.STATE) == metadata.STATE_RECORDING:
            # A file that could not be ended: only metadata.yaml knows why.
            values.update({k: v for k, v in found.custom.items() if k in (metadata.STATE, metadata.STOP_REASON)})
        return values

    def _topics(self, found: BagMetadata | None) -> tuple[dict[str, TopicSpec], dict[str, int]]:
        topics: dict[str, TopicSpec] = {}
        counts: dict[str, int] = {}
        hashes = {topic.name: topic.type_hash for topic in found.topics} if found else {}
        for file in self.files:
            for channel in file.summary.channels.values():
                schema = file.summary.schemas.get(channel.schema_id)
                topic = metadata.topic_of_channel(
                    channel.topic,
                    schema.name if schema else "",
                    schema.data if schema else b"",
                    schema.encoding if schema else "",
                    {"topic_type_hash": hashes.get(channel.topic, ""), **channel.metadata},
                )
                known = topics.setdefault(channel.topic, topic)
                if known.type != topic.type:
                    raise DataError(f"{self.path} has {channel.topic} both as {known.type} and as {topic.type}")
                counts[channel.topic] = counts.get(channel.topic, 0) + file.summary.counts.get(channel.id, 0)
        return topics, counts

    @property
    def complete(self) -> bool:
        """Whether every file is whole and has its index."""
        return not self.problems

    @property
    def start_ns(self) -> int:
        """Log time of the first message; 0 without messages."""
        return min((block.start_ns for file in self.files for block in file.blocks), default=0)

    @property
    def end_ns(self) -> int:
        """Log time of the last message; 0 without messages."""
        return max((block.end_ns for file in self.files for block in file.blocks), default=0)

    def messages(self, topics: Collection[str] | None = None) -> Iterator[BagMessage]:
        """Messages in the order of their log time, over all files; equal times in the order in which they were written.

        Args:
            topics: fully qualified names; None for all.

        Raises:
            DataError: a chunk of an indexed file is damaged.
        """
        wanted = set(self.topics if topics is None else topics)
        with ExitStack() as stack:
            blocks: list[tuple[int, int, int, BinaryIO, Block]] = []
            names: list[dict[int, str]] = []
            for number, file in enumerate(self.files):
                stream = stack.enter_context(file.path.open("rb"))
                channels = {c.id: c.topic for c in file.summary.channels.values() if c.topic in wanted}
                names.append(channels)
                for block in file.blocks:
                    if block.channels & channels.keys():
                        blocks.append((block.start_ns, number, block.offset, stream, block))
            blocks.sort(key=lambda entry: entry[:3])
            yield from self._merge(blocks, names)

    def _merge(
        self, blocks: list[tuple[int, int, int, BinaryIO, Block]], names: list[dict[int, str]]
    ) -> Iterator[BagMessage]:
        heap: list[tuple[int, int, int, int, RawMessage]] = []
        for start_ns, number, offset, stream, block in blocks:
            while heap and heap[0][0] < start_ns:
                yield self._named(heapq.heappop(heap), names)
            for message in block_messages(stream, block, self.files[number].path):
                if message.channel in names[number]:
                    heapq.heappush(heap, (message.log_ns, number, offset, message.offset, message))
        while heap:
            yield self._named(heapq.heappop(heap), names)

    @staticmethod
    def _named(entry: tuple[int, int, int, int, RawMessage], names: list[dict[int, str]]) -> BagMessage:
        message = entry[4]
        return BagMessage(message.log_ns, names[entry[1]][message.channel], message.data, message.publish_ns)


class MessageDecoder:
    """Decodes messages into objects with the message's fields as attributes.

    With rclpy where ROS is installed, otherwise with mcap-ros2-support from the definitions in the bag.
    """

    def __init__(self, reader: BagReader) -> None:
        self._topics = reader.topics
        self._decoders: dict[str, Callable[[bytes], Any]] = {}

    def decode(self, message: BagMessage) -> Any:
        """The decoded message.

        Raises:
            DataError: neither way knows the type.
        """
        decoder = self._decoders.get(message.topic)
        if decoder is None:
            decoder = self._decoders[message.topic] = _ros_decoder(self._topics[message.topic]) or _definition_decoder(
                self._topics[message.topic]
            )
        return decoder(message.data)


def _ros_decoder(topic: TopicSpec) -> Callable[[bytes], Any] | None:
    package, name = split_name(topic.type)
    try:
        from rclpy.serialization import deserialize_message

        message_type = getattr(importlib.import_module(f"{package}.msg"), name)
    except (ImportError, AttributeError):
        return None
    return lambda data: deserialize_message(data, message_type)


def _definition_decoder(topic: TopicSpec) -> Callable[[bytes], Any]:
    from mcap.exceptions import McapError
    from mcap.records import Schema
    from mcap_ros2.decoder import DecoderFactory

    schema = Schema(id=1, data=topic.definition.encode(), encoding=topic.encoding, name=topic.type)
    try:
        decoder = DecoderFactory().decoder_for("cdr", schema)
    except (McapError, ValueError) as error:
        raise DataError(f"{topic.name}: cannot understand the definition of {topic.type}: {error}") from error
    if decoder is None:
        raise DataError(f"{topic.name}: {topic.type} is defined as '{topic.encoding}'; only ros2msg can be decoded")
    return decoder
