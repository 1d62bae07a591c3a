"""The files of a growing bag: chunks, splits by size, `metadata.yaml`. Single-threaded; `writer` drives it."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mcap.records import Channel, Schema

from palpate_nodes.bag import metadata
from palpate_nodes.bag.mcap_file import ChunkBuilder, McapFile
from palpate_nodes.bag.metadata import BagMetadata, FileEntry, TopicSpec

# Set aside in the bag's folder, so that chunk and index can still be written when the disk is full.
RESERVE_NAME = ".reserve"
RESERVE_BYTES = 8 << 20


@dataclass(frozen=True)
class SplitLimits:
    """When chunks and files end.

    Attributes:
        file_bytes: a file that has grown beyond this is ended and the next one begun.
        chunk_bytes: messages per chunk, uncompressed.
        chunk_span_ns: log time per chunk; bounds what a killed recorder loses where time runs faster than real time.
    """

    file_bytes: int = 1 << 30
    chunk_bytes: int = 768 << 10
    chunk_span_ns: int = 500_000_000


def library_name(version: str) -> str:
    """Who wrote a file, for its header."""
    return f"palpate {version}".strip()


class SplitFiles:
    """The bag directory while it is being written. Methods raise OSError when the file system refuses."""

    def __init__(self, directory: Path, custom: dict[str, str], limits: SplitLimits) -> None:
        """Create the directory, the reserve and the first file.

        Args:
            directory: the bag; must not exist.
            custom: custom data, kept and extended.
            limits: when chunks and files end.
        """
        self.directory = directory
        self.custom = custom
        self.limits = limits
        self.topics: list[TopicSpec] = []
        self.dropped: dict[str, int] = {}
        self._dropped_written: dict[str, int] = {}
        self._chunk = ChunkBuilder()
        self._earlier: list[McapFile] = []  # ended files
        directory.mkdir(parents=True)
        self._take_reserve()
        self.file = self._open()
        self.write_metadata()

    def _take_reserve(self) -> None:
        with (self.directory / RESERVE_NAME).open("wb") as stream, suppress(OSError):  # not every file system can
            os.posix_fallocate(stream.fileno(), 0, RESERVE_BYTES)

    def release_reserve(self) -> None:
        """Give the reserved space back to the file system."""
        (self.directory / RESERVE_NAME).unlink(missing_ok=True)

    def _open(self) -> McapFile:
        path = self.directory / f"{self.directory.name}_{len(self._earlier)}.mcap"
        file = McapFile(path, library_name(self.custom.get(metadata.PALPATE_VERSION, "")))
        try:
            file.add_metadata(metadata.RECORD_NAME, self.custom)
            for number, topic in enumerate(self.topics, start=1):
                self._declare(file, number, topic)
        except OSError:
            file.discard()
            raise
        return file

    @staticmethod
    def _declare(file: McapFile, number: int, topic: TopicSpec) -> None:
        schemas = file.summary.schemas.values()
        schema = next((known for known in schemas if known.name == topic.type), None)
        if schema is None:
            schema = Schema(
                id=len(schemas) + 1, data=topic.definition.encode(), encoding=topic.encoding, name=topic.type
            )
            file.add_schema(schema)
        file.add_channel(
            Channel(
                id=number,
                topic=topic.name,
                message_encoding="cdr",
                metadata=metadata.channel_metadata(topic),
                schema_id=schema.id,
            )
        )

    def add_topic(self, topic: TopicSpec) -> None:
        """Declare a topic; its channel is its number in the order of declaration, from 1."""
        self.topics.append(topic)
        self._declare(self.file, len(self.topics), topic)

    @property
    def files(self) -> list[McapFile]:
        """All files so far, the current one last."""
        return [*self._earlier, self.file]

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return sum(file.size for file in self.files)

    @property
    def pending(self) -> int:
        """Uncompressed bytes in the chunk that is not written yet."""
        return self._chunk.size

    @property
    def messages(self) -> int:
        """Messages written so far."""
        return sum(file.summary.message_count for file in self.files)

    def append(self, channel: int, sequence: int, log_ns: int, publish_ns: int, data: bytes) -> None:
        """Add a message; first ends the chunk and the file where the limits say so.

        If that fails, the message is not added.
        """
        chunk = self._chunk
        if chunk.size and (
            chunk.size + len(data) > self.limits.chunk_bytes
            or abs(log_ns - chunk.start_ns) >= self.limits.chunk_span_ns
        ):
            self.flush()
        self._chunk.add(channel, sequence, log_ns, publish_ns, data)

    def discard_chunk(self) -> dict[int, int]:
        """Give up the chunk that could not be written; returns channel -> messages in it."""
        counts, self._chunk = self._chunk.counts, ChunkBuilder()
        return counts

    def flush(self) -> None:
        """Write the chunk. If that fails it is kept, to be tried again."""
        if self._chunk.size:
            if self.file.closed or self.file.size >= self.limits.file_bytes:
                self._next_file()
            self.file.add_chunk(self._chunk)
            self._chunk = ChunkBuilder()
        if self.dropped != self._dropped_written:
            # Into the stream, so that a recorder that is killed has still told what it lost.
            dropped = dict(self.dropped)
            self.file.add_metadata(metadata.DROPS_RECORD, {metadata.DROPPED: metadata.dropped_text(dropped)})
            self._dropped_written = dropped

    def _next_file(self) -> None:
        self._end_file()
        ended = self.file
        self._earlier.append(ended)
        try:
            self.file = self._open()
        except OSError:
            self.file = self._earlier.pop()
            raise
        self.write_metadata()

    def _end_file(self) -> None:
        """Index and close the current file; closed it is even if that fails."""
        if self.file.closed:
            return
        try:
            text = metadata.dump(metadata.information(self.describe([self.file]))).strip()
            self.file.add_metadata("rosbag2", {"serialized_metadata": text})
            self.file.finish()
            os.fsync(self.file.fileno())
        finally:
            self.file.close()

    def end(self, state: str, reason: str = "") -> None:
        """Index the current file, and say in which state the bag ends. What is to be kept must have been flushed.

        Args:
            state: complete or stopped.
            reason: why it was stopped.
        """
        self.custom[metadata.STATE] = state
        if reason:
            self.custom[metadata.STOP_REASON] = reason
        try:
            if not self.file.closed:
                self.file.add_metadata(metadata.RECORD_NAME, self._custom_now())
                self._end_file()
        finally:
            self.file.close()
            self.release_reserve()
            self.write_metadata()

    def describe(self, files: list[McapFile] | None = None) -> BagMetadata:
        """What `metadata.yaml` says now, of all files or of some."""
        files = self.files if files is None else files
        summaries = [file.summary for file in files]
        return BagMetadata(
            files=[
                FileEntry(f.path.name, f.summary.start_ns, f.summary.end_ns, f.summary.message_count) for f in files
            ],
            topics=self.topics,
            counts={
                topic.name: sum(summary.counts.get(number, 0) for summary in summaries)
                for number, topic in enumerate(self.topics, start=1)
            },
            custom=self._custom_now(),
            distro=os.environ.get("ROS_DISTRO", ""),
        )

    def _custom_now(self) -> dict[str, str]:
        return {**self.custom, metadata.DROPPED: metadata.dropped_text(self.dropped)}

    def write_metadata(self) -> None:
        """Bring `metadata.yaml` up to date."""
        metadata.write(self.directory, self.describe())
