"""The part library with a progress bar: the first use on a machine builds it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console

from palpate_nodes.progress import bars

if TYPE_CHECKING:
    from palpate_sim.library import PartLibrary


def part_library(console: Console) -> PartLibrary:
    """Loads the library from the user's cache, or builds it (about a minute), showing how far it is."""
    from palpate_sim.library import PartLibrary

    with bars(console, transient=True) as bar:
        task = bar.add_task("building the part library", visible=False)

        def report(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total, visible=done < total)

        return PartLibrary.load_or_build(progress=report)
