"""Reads what is in an MCAP file, whole or cut off anywhere: by its index, or from the front, chunk by chunk."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NamedTuple

import zstandard
from mcap.data_stream import ReadDataStream
from mcap.exceptions import McapError
from mcap.opcode import Opcode
from mcap.records import Channel, ChunkIndex, Header, Metadata, MetadataIndex, Schema, Statistics
from mcap.stream_reader import StreamReader

from palpate_agents.errors import DataError
from palpate_nodes.bag.mcap_file import CHUNK, MAGIC, MESSAGE_FIELDS, RECORD_HEADER, Summary

_FOOTER = struct.Struct("<BQQQI")
_MESSAGE_HEAD = struct.Struct("<HIQQ")
# A chunk whose header claims more than this is damage, not data.
MAX_RECORD_BYTES = 2**32
# Files without chunks (rosbag2 preset `fastwrite`): so many bytes of messages are treated as one chunk.
_RUN_BYTES = 1 << 20
_OPCODES = frozenset(int(opcode) for opcode in Opcode)
_FIRST_PRIVATE_OPCODE = 0x80
_DAMAGE = (struct.error, McapError, UnicodeDecodeError, zstandard.ZstdError, ValueError, RuntimeError, MemoryError)


class RawMessage(NamedTuple):
    """One message as it lies in the file."""

    channel: int
    sequence: int
    log_ns: int
    publish_ns: int
    data: bytes
    offset: int  # of its record within the uncompressed chunk


@dataclass(frozen=True)
class Block:
    """A chunk, or a run of messages outside chunks (compression None)."""

    offset: int
    length: int
    start_ns: int
    end_ns: int
    channels: frozenset[int]
    compression: str | None


@dataclass
class Scan:
    """What a file holds.

    Attributes:
        path: the file.
        size: its length, bytes.
        header: profile and library.
        summary: topics, counts, chunk index; rebuilt when the file has no index.
        blocks: where the messages are.
        metadata: named text values in file order.
        indexed: the file ends with a valid index.
        good_end: the file is whole up to here, bytes.
        problems: what is wrong with it, one sentence each.
        lost_bytes: bytes of the file from which nothing can be read.
    """

    path: Path
    size: int
    header: Header
    summary: Summary = field(default_factory=Summary)
    blocks: list[Block] = field(default_factory=list)
    metadata: list[Metadata] = field(default_factory=list)
    indexed: bool = False
    good_end: int = 0
    problems: list[str] = field(default_factory=list)
    lost_bytes: int = 0


def _stream(data: bytes) -> ReadDataStream:
    return ReadDataStream(io.BytesIO(data))


def parse_messages(data: bytes, summary: Summary | None = None) -> Iterator[RawMessage]:
    """Messages of uncompressed chunk content; schemas and channels in between go into `summary`.

    Raises:
        ValueError, struct.error, McapError: the content is damaged.
    """
    position = 0
    while position < len(data):
        opcode, length = RECORD_HEADER.unpack_from(data, position)
        start = position + RECORD_HEADER.size
        end = start + length
        if end > len(data):
            raise ValueError(f"a record of {length} bytes does not fit into its chunk of {len(data)} bytes")
        if opcode == Opcode.MESSAGE:
            channel, sequence, log_ns, publish_ns = _MESSAGE_HEAD.unpack_from(data, start)
            yield RawMessage(channel, sequence, log_ns, publish_ns, data[start + MESSAGE_FIELDS : end], position)
        elif summary is not None and opcode == Opcode.SCHEMA:
            schema = Schema.read(_stream(data[start:end]))
            summary.schemas[schema.id] = schema
        elif summary is not None and opcode == Opcode.CHANNEL:
            channel_record = Channel.read(_stream(data[start:end]))
            summary.channels[channel_record.id] = channel_record
        position = end


def unpack_chunk(record: bytes) -> tuple[bytes, str]:
    """Uncompressed content and compression of a chunk record (with its record header).

    Raises:
        ValueError, struct.error, ZstdError: the chunk is damaged (length or checksum), or of an unknown compression.
    """
    _, _, _, _, size, crc = CHUNK.unpack_from(record)
    position = CHUNK.size
    (name_length,) = struct.unpack_from("<I", record, position)
    compression = record[position + 4 : position + 4 + name_length].decode()
    position += 4 + name_length
    (packed_length,) = struct.unpack_from("<Q", record, position)
    packed = record[position + 8 : position + 8 + packed_length]
    if len(packed) != packed_length or size > MAX_RECORD_BYTES:
        raise ValueError(f"a chunk is cut off: {len(packed)} of {packed_length} bytes")
    if compression == "zstd":
        if zstandard.frame_content_size(packed) not in (size, -1):
            raise ValueError("a chunk's length does not fit its header")
        data = zstandard.ZstdDecompressor().decompress(packed, max_output_size=size)
    elif compression == "lz4":
        import lz4.frame

        data = lz4.frame.decompress(packed)
    elif compression == "":
        data = packed
    else:
        raise ValueError(f"chunks are compressed with '{compression}'; known are zstd, lz4 and none")
    if len(data) != size or (crc and zlib.crc32(data) != crc):
        raise ValueError("a chunk's checksum is wrong")
    return data, compression


def block_messages(stream: BinaryIO, block: Block, path: Path) -> Iterator[RawMessage]:
    """Messages of one block, in file order.

    Raises:
        DataError: the block is damaged.
    """
    stream.seek(block.offset)
    record = stream.read(block.length)
    try:
        yield from parse_messages(record if block.compression is None else unpack_chunk(record)[0])
    except _DAMAGE as error:
        raise DataError(
            f"{path} is damaged at byte {block.offset}: {error}; `palpate bag recover` keeps what is whole"
        ) from error


def read_index(path: Path) -> Scan | None:
    """The file by its index; None when it has none, or none that is valid."""
    with path.open("rb") as stream:
        header = _read_header(stream, path)
        data = _summary_bytes(stream)
        if data is None:
            return None
        size = stream.seek(0, io.SEEK_END)
        scan = Scan(path, size, header, indexed=True, good_end=size)
        try:
            statistics = _read_summary(data, scan.summary)
            scan.metadata = [_metadata_at(stream, index) for index in scan.summary.metadata]
        except _DAMAGE:
            return None
    if statistics is None or (statistics.message_count and not scan.summary.chunks):
        return None  # not chunked: has to be read from the front
    scan.blocks = [_block_of(chunk) for chunk in scan.summary.chunks]
    return scan


def _summary_bytes(stream: BinaryIO) -> bytes | None:
    """From the summary's begin to the file's end; None when there is no valid one behind the current position."""
    data_start = stream.tell()
    tail = _FOOTER.size + len(MAGIC)
    size = stream.seek(0, io.SEEK_END)
    if size < data_start + tail:
        return None
    stream.seek(size - tail)
    footer = stream.read(tail)
    opcode, length, start, _, crc = _FOOTER.unpack_from(footer)
    if footer[_FOOTER.size :] != MAGIC or (opcode, length) != (Opcode.FOOTER, 20):
        return None
    if not data_start <= start <= size - tail:
        return None
    stream.seek(start)
    data = stream.read()
    return None if crc and zlib.crc32(data[: -len(MAGIC) - 4]) != crc else data


def _block_of(chunk: ChunkIndex) -> Block:
    return Block(
        offset=chunk.chunk_start_offset,
        length=chunk.chunk_length,
        start_ns=chunk.message_start_time,
        end_ns=chunk.message_end_time,
        channels=frozenset(chunk.message_index_offsets),
        compression=chunk.compression,
    )


def _read_summary(data: bytes, summary: Summary) -> Statistics | None:
    statistics: Statistics | None = None
    for record in StreamReader(io.BytesIO(data), skip_magic=True).records:
        match record:
            case Schema():
                summary.schemas[record.id] = record
            case Channel():
                summary.channels[record.id] = record
            case ChunkIndex():
                summary.chunks.append(record)
            case MetadataIndex():
                summary.metadata.append(record)
            case Statistics():
                statistics = record
                summary.counts = dict(record.channel_message_counts)
    return statistics


def _metadata_at(stream: BinaryIO, index: MetadataIndex) -> Metadata:
    stream.seek(index.offset)
    return Metadata.read(_stream(stream.read(index.length)[RECORD_HEADER.size :]))


def _read_header(stream: BinaryIO, path: Path) -> Header:
    start = stream.read(len(MAGIC))
    if not start:
        raise DataError(f"{path} is empty (0 bytes): nothing was recorded into it")
    if start != MAGIC:
        if MAGIC.startswith(start):
            raise DataError(f"{path} ends after {len(start)} bytes: nothing was recorded into it")
        raise DataError(f"{path} is not an MCAP file: it begins with {start!r} instead of {MAGIC!r}")
    record = _next_record(stream, path.stat().st_size)
    if record is None or record[0] != Opcode.HEADER:
        raise DataError(f"{path} ends within its header: nothing was recorded into it")
    try:
        return Header.read(_stream(record[1]))
    except _DAMAGE as error:
        raise DataError(f"{path} has a damaged header: {error}") from error


def _next_record(stream: BinaryIO, size: int) -> tuple[int, bytes] | None:
    """Opcode and content of the next record; None when the file ends before the record does."""
    head = stream.read(RECORD_HEADER.size)
    if len(head) < RECORD_HEADER.size:
        return None
    opcode, length = RECORD_HEADER.unpack(head)
    if length > min(MAX_RECORD_BYTES, size - stream.tell()):
        return None
    return opcode, stream.read(length)


class _FrontReader:
    """Reads a file from the front into a `Scan`."""

    def __init__(self, scan: Scan) -> None:
        self.scan = scan
        self._run_start = 0  # of messages outside chunks
        self._run: list[RawMessage] = []

    def record(self, opcode: int, body: bytes, offset: int) -> None:
        """Take over one record that begins at `offset`."""
        summary = self.scan.summary
        if opcode == Opcode.MESSAGE:
            self._loose_message(body, offset)
            return
        self.end_run(offset)
        if opcode == Opcode.CHUNK:
            self._chunk(body, offset)
        elif opcode == Opcode.SCHEMA:
            schema = Schema.read(_stream(body))
            summary.schemas[schema.id] = schema
        elif opcode == Opcode.CHANNEL:
            channel = Channel.read(_stream(body))
            summary.channels[channel.id] = channel
        elif opcode == Opcode.METADATA:
            metadata = Metadata.read(_stream(body))
            self.scan.metadata.append(metadata)
            summary.metadata.append(MetadataIndex(offset, RECORD_HEADER.size + len(body), metadata.name))

    def _chunk(self, body: bytes, offset: int) -> None:
        record = RECORD_HEADER.pack(Opcode.CHUNK, len(body)) + body
        try:
            content, compression = unpack_chunk(record)
            messages = list(parse_messages(content, self.scan.summary))
        except _DAMAGE as error:
            self.scan.problems.append(f"{len(record)} bytes at byte {offset} are damaged ({error})")
            self.scan.lost_bytes += len(record)
            return
        _add_block(self.scan, messages, offset, len(record), compression)

    def _loose_message(self, body: bytes, offset: int) -> None:
        if self._run and offset - self._run_start > _RUN_BYTES:
            self.end_run(offset)
        if not self._run:
            self._run_start = offset
        channel, sequence, log_ns, publish_ns = _MESSAGE_HEAD.unpack_from(body)
        self._run.append(RawMessage(channel, sequence, log_ns, publish_ns, b"", offset - self._run_start))

    def end_run(self, offset: int) -> None:
        """Messages outside chunks end here."""
        if self._run:
            _add_block(self.scan, self._run, self._run_start, offset - self._run_start, None)
            self._run = []


def _add_block(scan: Scan, messages: list[RawMessage], offset: int, length: int, compression: str | None) -> None:
    if not messages:
        return
    for message in messages:
        scan.summary.counts[message.channel] = scan.summary.counts.get(message.channel, 0) + 1
    times = [message.log_ns for message in messages]
    channels = frozenset(message.channel for message in messages)
    scan.blocks.append(Block(offset, length, min(times), max(times), channels, compression))


def read_front(path: Path) -> Scan:
    """The file read from the front, every checksum checked: as far as it is whole, damaged chunks left out.

    Raises:
        DataError: not even the header is there.
    """
    with path.open("rb") as stream:
        header = _read_header(stream, path)
        scan = Scan(path, path.stat().st_size, header, good_end=stream.tell())
        reader = _FrontReader(scan)
        ended = False
        while not ended:
            offset = stream.tell()
            record = _next_record(stream, scan.size)
            if record is None or (record[0] not in _OPCODES and record[0] < _FIRST_PRIVATE_OPCODE):
                break  # an unknown opcode is a torn or zero-filled tail
            try:
                reader.record(*record, offset)
            except _DAMAGE:
                break
            scan.good_end = stream.tell()
            ended = record[0] == Opcode.DATA_END
        reader.end_run(scan.good_end)
    if not ended:
        lost = scan.size - scan.good_end
        scan.lost_bytes += lost
        torn = f" ({lost} bytes after byte {scan.good_end} are incomplete)" if lost else ""
        scan.problems.append(f"the file has no index: its recorder was cut off{torn}")
    return scan


def scan(path: Path) -> Scan:
    """What a file holds: by its index where it has one, otherwise read from the front.

    Raises:
        DataError: missing, empty, or not MCAP.
    """
    try:
        indexed = read_index(path)
        if indexed is not None:
            return indexed
        found = read_front(path)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    if not found.problems and any(block.compression is not None for block in found.blocks):
        found.problems.append("the file has no valid index")
    return found
