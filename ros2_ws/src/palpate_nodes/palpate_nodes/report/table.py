"""Results as tables in the terminal: columns that would be empty are left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from palpate_nodes.results import ItemResult, PartResult, SessionResults

_RIGHT, _WRONG, _ABSTAINED, _UNKNOWN = "[green]✓[/]", "[red]✗[/]", "[yellow]–[/]", ""


class _Column(NamedTuple):
    title: str
    cell: Callable[[Any], str]
    right: bool = False


def print_table(results: SessionResults, console: Console) -> None:
    """Print parts, items where there are any, and the figures in sum."""
    _print("Parts", _PARTS, results.parts, console)
    if results.items:
        _print("Items", _ITEMS, results.items, console)
    for line in summary_lines(results):
        console.print(line)


def summary_lines(results: SessionResults) -> list[str]:
    """The figures in sum, as text without markup."""
    summary = results.summary
    lines = []
    if summary.accuracy is not None:
        line = f"correct {summary.correct} of {summary.known} ({summary.accuracy:.1%})"
        if summary.accuracy_decided is not None and summary.abstained:
            line += f", {summary.accuracy_decided:.1%} of those decided"
        lines.append(line)
        shares = summary.accuracy_by_condition
        if len(shares) > 1:
            lines.append("by condition: " + ", ".join(f"{name} {share:.0%}" for name, share in shares.items()))
    items = [item for item in results.items if item.correct is not None]
    if items:
        right = sum(bool(item.correct) for item in items)
        lines.append(f"items correct {right} of {len(items)} ({right / len(items):.1%})")
    counts = f"abstained {summary.abstained}" + (f", failed {summary.failed}" if summary.failed else "")
    speed = f"{summary.seconds_per_part:.1f} s of cell time per part"
    if summary.real_time_factor is not None:
        speed += f", {summary.real_time_factor:.1f} times real time"
    return [*lines, counts, speed]


def mark(correct: bool | None, decided: bool) -> str:
    """One sign: right, wrong, abstained, or nothing where the truth is unknown."""
    if not decided:
        return _ABSTAINED
    return _UNKNOWN if correct is None else _RIGHT if correct else _WRONG


def _decision(part: PartResult) -> str:
    if part.error:
        return f"[red]{escape(part.error)}[/]"
    if part.abstained:
        return f"[yellow]{escape(part.belief)}?[/]" if part.belief else "[yellow]abstained[/]"
    return escape(part.belief)


def _probes(part: PartResult) -> str:
    failed = sum(probe.outcome != "SUCCEEDED" for probe in part.probes)
    return (f"{len(part.probes)}" + (f" [yellow]({failed}✗)[/]" if failed else "")) if part.probes else ""


def _seconds(value: float) -> str:
    return f"{value:.1f}" if value else ""


_PARTS = (
    _Column("#", lambda part: str(part.index + 1), right=True),
    _Column("Part", lambda part: escape(part.part_id)),
    _Column("Item", lambda part: escape(part.group) if part.group != part.part_id else ""),
    _Column("Truth", lambda part: escape(part.truth)),
    _Column("Condition", lambda part: escape(part.condition)),
    _Column("Decision", _decision),
    _Column("p", lambda part: f"{part.confidence:.2f}" if part.belief else "", right=True),
    _Column("", lambda part: mark(part.correct, bool(part.decision))),
    _Column("Probes", _probes, right=True),
    _Column("Bin", lambda part: escape(part.bin)),
    _Column("s", lambda part: _seconds(part.cell_seconds), right=True),
)


def _item_share(item: ItemResult) -> str:
    return f"{item.correct_measurements}/{item.measurements}" if item.truth else str(item.measurements)


_ITEMS = (
    _Column("Item", lambda item: escape(item.group)),
    _Column("Truth", lambda item: escape(item.truth)),
    _Column("Decision", lambda item: escape(item.belief)),
    _Column("p", lambda item: f"{item.confidence:.2f}", right=True),
    _Column("", lambda item: mark(item.correct, bool(item.belief))),
    _Column("Measurements correct", _item_share, right=True),
)


def _print(title: str, columns: Sequence[_Column], rows: Sequence[Any], console: Console) -> None:
    cells = [[column.cell(row) for row in rows] for column in columns]
    used = [(column, texts) for column, texts in zip(columns, cells, strict=True) if any(texts)]
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    for column, _ in used:
        table.add_column(column.title, justify="right" if column.right else "left", no_wrap=column.right)
    for row in zip(*(texts for _, texts in used), strict=True):
        table.add_row(*row)
    console.print(table)
