"""One MCAP file, written so that it is worth something at every moment (https://mcap.dev/spec).

Schemas and channels stand outside chunks, at the front, so that even a file cut off before its first chunk names its
topics. A chunk and its message indexes go out in one write; when that fails the file is cut back to the end of the
last whole chunk, so that what stands in the file is always readable and an index can still be put behind it.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zstandard
from mcap.data_stream import RecordBuilder
from mcap.opcode import Opcode
from mcap.records import (
    Channel,
    ChunkIndex,
    DataEnd,
    Footer,
    Header,
    McapRecord,
    Metadata,
    MetadataIndex,
    Schema,
    Statistics,
    SummaryOffset,
)

MAGIC = b"\x89MCAP0\r\n"
PROFILE = "ros2"
RECORD_HEADER = struct.Struct("<BQ")
MESSAGE = struct.Struct("<BQHIQQ")  # opcode, length, channel, sequence, log time, publish time
MESSAGE_FIELDS = 22  # bytes of a message record before its data
CHUNK = struct.Struct("<BQQQQI")  # opcode, length, start, end, uncompressed size, CRC of the uncompressed records
_INDEX = struct.Struct("<BQHI")
_ENTRY = struct.Struct("<QQ")
COMPRESSION = "zstd"
# Level 1 packs camera noise as well as level 3 does, at half the processor time.
COMPRESSION_LEVEL = 1


def record_bytes(*records: McapRecord) -> bytes:
    """Serialised records, one after the other."""
    builder = RecordBuilder()
    for record in records:
        record.write(builder)
    return builder.end()


@dataclass
class Summary:
    """What the index at the end of a file says: enough to find every message without reading the file."""

    schemas: dict[int, Schema] = field(default_factory=dict)
    channels: dict[int, Channel] = field(default_factory=dict)
    chunks: list[ChunkIndex] = field(default_factory=list)
    metadata: list[MetadataIndex] = field(default_factory=list)
    counts: dict[int, int] = field(default_factory=dict)  # channel id -> messages

    @property
    def message_count(self) -> int:
        """Messages in the file."""
        return sum(self.counts.values())

    @property
    def start_ns(self) -> int:
        """Log time of the first message; 0 without messages."""
        return min((chunk.message_start_time for chunk in self.chunks), default=0)

    @property
    def end_ns(self) -> int:
        """Log time of the last message; 0 without messages."""
        return max((chunk.message_end_time for chunk in self.chunks), default=0)

    def tail(self, offset: int) -> bytes:
        """Everything that follows the last chunk: DataEnd, summary, footer, magic.

        Args:
            offset: position in the file at which the result will be written.
        """
        data_end = record_bytes(DataEnd(0))
        start = offset + len(data_end)
        statistics = Statistics(
            attachment_count=0,
            channel_count=len(self.channels),
            channel_message_counts=self.counts,
            chunk_count=len(self.chunks),
            message_count=self.message_count,
            message_end_time=self.end_ns,
            message_start_time=self.start_ns,
            metadata_count=len(self.metadata),
            schema_count=len(self.schemas),
        )
        groups: list[tuple[Opcode, list[Any]]] = [
            (Opcode.SCHEMA, list(self.schemas.values())),
            (Opcode.CHANNEL, list(self.channels.values())),
            (Opcode.STATISTICS, [statistics]),
            (Opcode.CHUNK_INDEX, list(self.chunks)),
            (Opcode.METADATA_INDEX, list(self.metadata)),
        ]
        body = b""
        offsets: list[McapRecord] = []
        for opcode, records in groups:
            if records:
                data = record_bytes(*records)
                offsets.append(SummaryOffset(opcode, group_start=start + len(body), group_length=len(data)))
                body += data
        summary = body + record_bytes(*offsets)
        crc = zlib.crc32(summary + struct.pack("<BQQQ", Opcode.FOOTER, 20, start, start + len(body)))
        return data_end + summary + record_bytes(Footer(start, start + len(body), crc)) + MAGIC


class ChunkBuilder:
    """Messages on their way into one chunk."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._entries: dict[int, list[tuple[int, int]]] = {}
        self.size = 0
        self.start_ns = 0
        self.end_ns = 0

    @property
    def counts(self) -> dict[int, int]:
        """Channel id -> messages."""
        return {channel: len(entries) for channel, entries in self._entries.items()}

    def add(self, channel: int, sequence: int, log_ns: int, publish_ns: int, data: bytes) -> None:
        """Append one message."""
        if not self._parts:
            self.start_ns = self.end_ns = log_ns
        self.start_ns = min(self.start_ns, log_ns)
        self.end_ns = max(self.end_ns, log_ns)
        self._entries.setdefault(channel, []).append((log_ns, self.size))
        self._parts.append(
            MESSAGE.pack(Opcode.MESSAGE, MESSAGE_FIELDS + len(data), channel, sequence & 0xFFFFFFFF, log_ns, publish_ns)
        )
        self._parts.append(data)
        self.size += MESSAGE.size + len(data)

    def encode(self, offset: int, compress: Callable[[bytes], bytes]) -> tuple[bytes, ChunkIndex]:
        """Chunk record and message indexes for this position in the file.

        Returns:
            the bytes to write, and the chunk's entry in the summary.
        """
        records = b"".join(self._parts)
        packed = compress(records)
        encoding = COMPRESSION.encode()
        length = CHUNK.size - RECORD_HEADER.size + 4 + len(encoding) + 8 + len(packed)
        chunk = b"".join(
            (
                CHUNK.pack(Opcode.CHUNK, length, self.start_ns, self.end_ns, self.size, zlib.crc32(records)),
                struct.pack("<I", len(encoding)),
                encoding,
                struct.pack("<Q", len(packed)),
                packed,
            )
        )
        indexes, offsets = message_indexes(self._entries, offset + len(chunk))
        index = ChunkIndex(
            chunk_length=len(chunk),
            chunk_start_offset=offset,
            compression=COMPRESSION,
            compressed_size=len(packed),
            message_end_time=self.end_ns,
            message_index_length=len(indexes),
            message_index_offsets=offsets,
            message_start_time=self.start_ns,
            uncompressed_size=self.size,
        )
        return chunk + indexes, index


def message_indexes(entries: Mapping[int, list[tuple[int, int]]], offset: int) -> tuple[bytes, dict[int, int]]:
    """Message index records of one chunk.

    Args:
        entries: channel id -> (log time, offset in the uncompressed chunk) of each message.
        offset: position in the file at which they will be written.

    Returns:
        the bytes, and channel id -> position of its record.
    """
    parts: list[bytes] = []
    offsets: dict[int, int] = {}
    position = offset
    for channel, times in entries.items():
        offsets[channel] = position
        size = _ENTRY.size * len(times)
        parts.append(_INDEX.pack(Opcode.MESSAGE_INDEX, 6 + size, channel, size))
        parts.extend(_ENTRY.pack(*entry) for entry in times)
        position += _INDEX.size + size
    return b"".join(parts), offsets


class McapFile:
    """A growing MCAP file.

    Every method that writes raises OSError when the file system refuses, and then the file ends with the last thing
    that was written whole.
    """

    def __init__(self, path: Path, library: str) -> None:
        """Create the file; it must not exist.

        Args:
            path: the file.
            library: who writes, for the header.

        Raises:
            OSError: it exists, or the file system refuses.
        """
        self.path = path
        self.summary = Summary()
        self.size = 0
        self._compressor = zstandard.ZstdCompressor(level=COMPRESSION_LEVEL)
        self._stream = path.open("xb", buffering=0)
        try:
            self.append(MAGIC + record_bytes(Header(profile=PROFILE, library=library)))
        except OSError:
            self.discard()
            raise

    def fileno(self) -> int:
        """Descriptor, for fsync."""
        return self._stream.fileno()

    def append(self, data: bytes) -> None:
        """Write bytes at the end, all or nothing."""
        view = memoryview(data)
        try:
            while view:
                view = view[self._stream.write(view) :]
        except OSError:
            self._stream.truncate(self.size)
            self._stream.seek(self.size)
            raise
        self.size += len(data)

    def add_schema(self, schema: Schema) -> None:
        """Write a message definition."""
        self.append(record_bytes(schema))
        self.summary.schemas[schema.id] = schema

    def add_channel(self, channel: Channel) -> None:
        """Write a topic; its schema must stand in the file."""
        self.append(record_bytes(channel))
        self.summary.channels[channel.id] = channel

    def add_metadata(self, name: str, values: Mapping[str, str]) -> None:
        """Write named text values."""
        data = record_bytes(Metadata(name=name, metadata=dict(values)))
        offset = self.size
        self.append(data)
        self.summary.metadata.append(MetadataIndex(offset=offset, length=len(data), name=name))

    def add_chunk(self, chunk: ChunkBuilder) -> None:
        """Write a chunk and its message indexes."""
        data, index = chunk.encode(self.size, self._compressor.compress)
        self.append(data)
        self.note_chunk(index, chunk.counts)

    def note_chunk(self, index: ChunkIndex, counts: Mapping[int, int]) -> None:
        """Enter a chunk that was written with `append` into the summary."""
        self.summary.chunks.append(index)
        for channel, count in counts.items():
            self.summary.counts[channel] = self.summary.counts.get(channel, 0) + count

    def finish(self) -> None:
        """Write the index. On OSError the file stays without one and can be recovered."""
        self.append(self.summary.tail(self.size))

    @property
    def closed(self) -> bool:
        """Whether the file is closed."""
        return self._stream.closed

    def close(self) -> None:
        """Close the file; again is nothing."""
        self._stream.close()

    def discard(self) -> None:
        """Close and remove the file: it never came to hold anything."""
        self.close()
        self.path.unlink(missing_ok=True)
