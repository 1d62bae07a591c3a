"""`palpate bag info|recover`: look at recordings, and mend those that were cut off."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from palpate_nodes.bag.info import describe, render, size_text
from palpate_nodes.bag.recover import recover as recover_bag

app = typer.Typer(help="Look at recordings (bags), and recover those that were cut off.", no_args_is_help=True)

_BAG = typer.Argument(metavar="BAG", help="Bag folder, session folder or .mcap file.", show_default=False)


@app.command()
def info(
    bag: Annotated[Path, _BAG],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Show topics, counts, duration, size, session and drops of a bag, and whether it must be recovered.

    Example: palpate bag info sessions/sim-20260101-120000/bag
    """
    found = describe(bag)
    if as_json:
        print(json.dumps(found.as_json(), indent=2))
    else:
        Console(highlight=False).print(render(found))


@app.command()
def recover(
    bag: Annotated[Path, _BAG],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the new bag; default: BAG_recovered beside the original.", show_default=False),
    ] = None,
) -> None:
    """Write a complete, indexed bag from one that was cut off (power cut, kill -9) or damaged.

    The original is left as it is. Everything that was written is kept, that is all but at most the last second.

    Example: palpate bag recover sessions/sim-20260101-120000/bag --out /tmp/mended
    """
    console = Console(highlight=False, soft_wrap=True)
    result = recover_bag(bag, out)
    for problem in result.problems:
        console.print(f"[yellow]![/] {escape(problem)}")
    if not result.problems:
        console.print("The bag was complete; the copy is the same.")
    lost = f", {size_text(result.lost_bytes)} could not be read" if result.lost_bytes else ""
    duration = (result.end_ns - result.start_ns) / 1e9
    console.print(f"{result.messages:,} messages ({duration:.2f} s) recovered into {escape(str(result.path))}{lost}")


def register(parent: typer.Typer) -> None:
    """Add the commands to the `palpate` application."""
    parent.add_typer(app, name="bag")
