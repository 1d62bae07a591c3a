"""Describes a bag for people and for programs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from palpate_nodes.bag import metadata
from palpate_nodes.bag.reader import BagReader

_PREFIX = "palpate."


@dataclass(frozen=True)
class TopicInfo:
    """One topic of a bag; `dropped` is None when nobody knows."""

    name: str
    type: str
    messages: int
    rate_hz: float
    dropped: int | None


@dataclass(frozen=True)
class BagInfo:
    """What a bag holds.

    Attributes:
        path: the bag.
        state: recording, complete, stopped, recovered; empty for bags of others.
        indexed: every file is whole and has its index.
        problems: what is wrong, one sentence each.
        files: file name -> bytes.
        start_ns: log time of the first message, ns.
        end_ns: log time of the last, ns.
        messages: number of messages that can be read.
        topics: topics by name.
        custom: custom data.
    """

    path: Path
    state: str
    indexed: bool
    problems: tuple[str, ...]
    files: dict[str, int]
    start_ns: int
    end_ns: int
    messages: int
    topics: tuple[TopicInfo, ...]
    custom: dict[str, str]

    @property
    def duration_s(self) -> float:
        """Log time from the first to the last message, seconds."""
        return (self.end_ns - self.start_ns) / 1e9

    @property
    def size_bytes(self) -> int:
        """Size of all files."""
        return sum(self.files.values())

    def as_json(self) -> dict[str, Any]:
        """The same for programs."""
        return {
            "path": str(self.path),
            "state": self.state,
            "indexed": self.indexed,
            "recovery_needed": not self.indexed,
            "problems": list(self.problems),
            "files": self.files,
            "size_bytes": self.size_bytes,
            "start_ns": self.start_ns,
            "end_ns": self.end_ns,
            "duration_s": self.duration_s,
            "messages": self.messages,
            "topics": [vars(topic) for topic in self.topics],
            "custom_data": self.custom,
        }


def describe(path: Path) -> BagInfo:
    """Look at a bag.

    Raises:
        DataError: missing, empty or foreign.
    """
    reader = BagReader(path)
    duration_s = (reader.end_ns - reader.start_ns) / 1e9
    topics = []
    for name, topic in sorted(reader.topics.items()):
        count = reader.counts[name]
        rate = (count - 1) / duration_s if count > 1 and duration_s > 0 else 0.0
        dropped = None if reader.dropped is None else reader.dropped.get(name, 0)
        topics.append(TopicInfo(name, topic.type, count, rate, dropped))
    return BagInfo(
        path=reader.path,
        state=reader.custom.get(metadata.STATE, ""),
        indexed=reader.complete,
        problems=tuple(reader.problems),
        files={file.path.name: file.size for file in reader.files},
        start_ns=reader.start_ns,
        end_ns=reader.end_ns,
        messages=sum(reader.counts.values()),
        topics=tuple(topics),
        custom=reader.custom,
    )


def size_text(size: float) -> str:
    """Bytes for people."""
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.2f} GiB"


def render(info: BagInfo) -> Group:
    """The same for people."""
    head = Table.grid(padding=(0, 2))
    head.add_column(style="bold")
    head.add_column(overflow="fold")
    head.add_row("bag", escape(str(info.path)))
    head.add_row("files", escape(", ".join(f"{name} ({size_text(size)})" for name, size in info.files.items())))
    head.add_row("messages", f"{info.messages:,} in {info.duration_s:.2f} s, {size_text(info.size_bytes)}")
    head.add_row("start", f"{info.start_ns / 1e9:.3f} s on the cell's clock")
    head.add_row("state", info.state or "recorded by another program")
    head.add_row("index", "complete" if info.indexed else "[red]missing or incomplete[/]")
    for key, value in sorted(info.custom.items()):
        if key not in (metadata.STATE, metadata.DROPPED):
            head.add_row(escape(key.removeprefix(_PREFIX).replace("_", " ")), escape(value))
    table = Table()
    table.add_column("topic", no_wrap=True)
    table.add_column("type", overflow="fold")
    for heading in ("messages", "Hz", "dropped"):
        table.add_column(heading, justify="right", no_wrap=True)
    for topic in info.topics:
        dropped = "?" if topic.dropped is None else f"[red]{topic.dropped:,}[/]" if topic.dropped else "0"
        table.add_row(
            topic.name, topic.type.replace("/msg/", "/"), f"{topic.messages:,}", f"{topic.rate_hz:.1f}", dropped
        )
    parts: list[Any] = [head, table]
    parts += [Text(f"! {problem}", style="red") for problem in info.problems]
    if not info.indexed:
        parts.append(Text(f"Recovery is needed: palpate bag recover {info.path}", style="bold red"))
    return Group(*parts)
