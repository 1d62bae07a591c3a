"""Makes a complete, indexed bag of one that was cut off or damaged. The original is never touched.

Whole chunks are taken over byte for byte after their checksum has been verified; message indexes, summary and
`metadata.yaml` are made anew. What cannot be kept is only a chunk that was not written to its end, and chunks whose
checksum is wrong.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from mcap.records import ChunkIndex

from palpate_agents.errors import DataError
from palpate_nodes.bag import metadata
from palpate_nodes.bag.mcap_file import CHUNK, ChunkBuilder, McapFile, message_indexes
from palpate_nodes.bag.metadata import BagMetadata, FileEntry
from palpate_nodes.bag.reader import BagReader
from palpate_nodes.bag.scan import Block, RawMessage, Scan, parse_messages, read_front, unpack_chunk
from palpate_nodes.bag.splits import library_name


@dataclass(frozen=True)
class Recovery:
    """What was recovered.

    Attributes:
        path: the new bag.
        messages: messages in it.
        lost_bytes: bytes of the original from which nothing could be read.
        problems: what was wrong with the original.
        start_ns: log time of the first message, ns.
        end_ns: log time of the last message, ns.
    """

    path: Path
    messages: int
    lost_bytes: int
    problems: tuple[str, ...]
    start_ns: int
    end_ns: int


def default_output(bag: Path) -> Path:
    """Where a recovered bag goes when nobody says: beside the original."""
    name = bag.stem if bag.suffix == ".mcap" else bag.name
    return bag.parent / f"{name}_recovered"


def recover(path: Path, out: Path | None = None) -> Recovery:
    """Recover a bag.

    Args:
        path: bag folder, session folder or MCAP file.
        out: folder of the new bag; None: `<bag>_recovered` beside the original.

    Returns:
        what was recovered.

    Raises:
        DataError: nothing to recover from, `out` exists, or it cannot be written.
    """
    reader = BagReader(path)
    target = out or default_output(reader.path)
    if target.exists():
        raise DataError(f"{target} exists: nothing is overwritten; give another folder with --out")
    partial = target.parent / f".{target.name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        # Every byte is checked, also of files that have an index: it says nothing about the chunks.
        scans = [read_front(file.path) if file.indexed else file for file in reader.files]
        described = _write_bag(reader, scans, partial, target.name)
        partial.rename(target)
    except OSError as error:
        raise DataError(f"cannot write {target}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    problems = [f"{found.path.name}: {problem}" for found in scans for problem in found.problems]
    filled = [entry for entry in described.files if entry.messages]
    return Recovery(
        path=target,
        messages=sum(described.counts.values()),
        lost_bytes=_lost(scans),
        problems=tuple(dict.fromkeys([*reader.problems, *problems])),
        start_ns=min((entry.start_ns for entry in filled), default=0),
        end_ns=max((entry.end_ns for entry in filled), default=0),
    )


def _lost(scans: list[Scan]) -> int:
    return sum(found.lost_bytes for found in scans)


def _write_bag(reader: BagReader, scans: list[Scan], folder: Path, name: str) -> BagMetadata:
    custom = {**reader.custom, metadata.RECOVERED_LOST_BYTES: str(_lost(scans))}
    if custom.get(metadata.STATE) == metadata.STATE_RECORDING:
        custom[metadata.STATE] = metadata.STATE_RECOVERED
    described = BagMetadata(topics=list(reader.topics.values()), custom=custom, distro=os.environ.get("ROS_DISTRO", ""))
    for number, found in enumerate(scans):
        file = _write_file(found, folder / f"{name}_{number}.mcap", custom)
        summary = file.summary
        described.files.append(FileEntry(file.path.name, summary.start_ns, summary.end_ns, summary.message_count))
        for channel in summary.channels.values():
            count = summary.counts.get(channel.id, 0)
            described.counts[channel.topic] = described.counts.get(channel.topic, 0) + count
    metadata.write(folder, described)
    return described


def _write_file(found: Scan, path: Path, custom: dict[str, str]) -> McapFile:
    file = McapFile(path, library_name(custom.get(metadata.PALPATE_VERSION, "")))
    try:
        # All records that name things come first: recorders other than ours put them into chunks, perhaps a lost one.
        for schema in found.summary.schemas.values():
            file.add_schema(schema)
        for channel in found.summary.channels.values():
            file.add_channel(channel)
        for record in found.metadata:
            if record.name not in (metadata.RECORD_NAME, "rosbag2"):  # they are written anew
                file.add_metadata(record.name, record.metadata)
        file.add_metadata(metadata.RECORD_NAME, custom)
        with found.path.open("rb") as stream:
            for block in found.blocks:
                stream.seek(block.offset)
                _copy_block(file, block, stream.read(block.length))
        file.finish()
        os.fsync(file.fileno())
    finally:
        file.close()
    return file


def _copy_block(file: McapFile, block: Block, record: bytes) -> None:
    if block.compression is None:  # messages outside chunks: put them into one
        chunk = ChunkBuilder()
        for message in parse_messages(record):
            chunk.add(message.channel, message.sequence, message.log_ns, message.publish_ns, message.data)
        file.add_chunk(chunk)
        return
    content, compression = unpack_chunk(record)
    messages = list(parse_messages(content))
    entries = _entries(messages)
    offset = file.size
    indexes, offsets = message_indexes(entries, offset + len(record))
    file.append(record + indexes)
    file.note_chunk(
        ChunkIndex(
            chunk_length=len(record),
            chunk_start_offset=offset,
            compression=compression,
            compressed_size=_packed_size(record, compression),
            message_end_time=block.end_ns,
            message_index_length=len(indexes),
            message_index_offsets=offsets,
            message_start_time=block.start_ns,
            uncompressed_size=len(content),
        ),
        {channel: len(times) for channel, times in entries.items()},
    )


def _entries(messages: list[RawMessage]) -> dict[int, list[tuple[int, int]]]:
    entries: dict[int, list[tuple[int, int]]] = {}
    for message in messages:
        entries.setdefault(message.channel, []).append((message.log_ns, message.offset))
    return entries


def _packed_size(record: bytes, compression: str) -> int:
    """Compressed bytes of a chunk record: all but record header, fixed fields and the compression's name."""
    return len(record) - CHUNK.size - (4 + len(compression)) - 8
