"""How far long work is."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


def bars(console: Console, *, transient: bool = False) -> Progress:
    """Bars that tell what is done, how much of it, and the time that is left.

    Args:
        console: where to show them.
        transient: they vanish at the end.
    """
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    return Progress(*columns, console=console, transient=transient)
