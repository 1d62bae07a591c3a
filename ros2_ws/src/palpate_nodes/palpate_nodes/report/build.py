"""Builds the report of a session: one HTML file that needs nothing else, now or in ten years."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from palpate_nodes.report.collect import EVENT_TOPICS, collect_events, open_session, topic_names
from palpate_nodes.report.page import page
from palpate_nodes.report.part_page import part_section
from palpate_nodes.report.pictures import thumbnail
from palpate_nodes.report.records import PartRecord, SessionRecord
from palpate_nodes.report.streams import STREAM_TOPICS, collect_streams
from palpate_nodes.results import write_text

REPORT_NAME = "report.html"
MAX_DETAILS = 60
"""Parts shown in full: more would make a page of tens of megabytes."""
OPEN_DETAILS = 12


def build_report(
    session_dir: Path, out: Path | None = None, *, max_details: int = MAX_DETAILS, console: Console | None = None
) -> Path:
    """Write the report of a session.

    Args:
        session_dir: folder of the session, with `bag/` and `results.json`.
        out: the HTML file; `report.html` in the session's folder if not given.
        max_details: so many parts are shown in full, those that went wrong first.
        console: where to show progress; nowhere if not given.

    Returns:
        The file.

    Raises:
        DataError: no session, no bag, a foreign bag, malformed results, or the file cannot be written.
    """
    reader, results = open_session(session_dir)
    bars = Progress(
        TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(),
        console=console or Console(quiet=True), disable=console is None, transient=True,
    )  # fmt: skip
    with bars:
        counts = reader.counts
        reading = bars.add_task("reading events", total=sum(counts[name] for name in topic_names(reader, EVENT_TOPICS)))
        session = collect_events(reader, results, _advance(bars, reading))
        if not session.results.session_id:
            session.results.session_id = session_dir.resolve().name
        chosen = choose_details(session, max_details)
        streams = bars.add_task(
            "reading streams", total=sum(counts[name] for name in topic_names(reader, STREAM_TOPICS))
        )
        collect_streams(reader, chosen, _advance(bars, streams))
        drawing = bars.add_task("drawing", total=len(chosen))
        sections = []
        for part in chosen:
            sections.append(part_section(part, session.parts, len(chosen) <= OPEN_DETAILS))
            bars.advance(drawing)
    thumbnails = {
        part.result.part_id: thumbnail(part.color, part.depth_mm) for part in chosen if part.color is not None
    }
    html = page(session, thumbnails, "".join(sections), [part.result.part_id for part in chosen], _made())
    target = out or session_dir / REPORT_NAME
    write_text(target, html)
    return target


def _advance(bars: Progress, task: TaskID) -> Callable[[int], None]:
    """Moves a bar once in a while: doing it for every message takes longer than reading it."""
    pending = 0

    def advance(count: int) -> None:
        nonlocal pending
        pending += count
        if pending >= 1000:
            bars.advance(task, pending)
            pending = 0

    return advance


def choose_details(session: SessionRecord, count: int) -> list[PartRecord]:
    """Parts to show in full: all in order, or, where there are too many, those that went wrong and then the first."""
    if len(session.parts) <= count:
        return session.parts
    return sorted(session.parts, key=lambda part: (_went_well(part), part.result.index))[:count]


def _went_well(part: PartRecord) -> bool:
    result = part.result
    return bool(result.decision) and result.correct is not False


def _made() -> str:
    try:
        program = f"palpate {version('palpate_nodes')}"
    except PackageNotFoundError:
        program = "palpate"
    return f"Made by {program} on {datetime.now(UTC):%Y-%m-%d %H:%M} UTC."
