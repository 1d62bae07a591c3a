"""`palpate report`: one self-contained HTML page from a recorded session."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

_HELP = """Write the report of a recorded session: one HTML file, readable anywhere, without network.

Reads bag and results.json of a session's folder; needs no ROS. A bag that was cut off is shown as far as it goes.

Examples:

  palpate report sessions/sim-20261124-081400-77

  palpate report sessions/NAME --out mine.html --open
"""


def report(
    session: Annotated[Path, typer.Argument(help="Folder of the session, as `palpate sim` names it.")],
    out: Annotated[Path | None, typer.Option(help="The HTML file; report.html in the session's folder.")] = None,
    details: Annotated[int, typer.Option(min=0, max=10_000, help="Show so many parts in full, wrong ones first.")] = 60,
    show: Annotated[bool, typer.Option("--open/--no-open", help="Open it in the browser.")] = False,
) -> None:
    """Write the report of a session."""
    from palpate_nodes.report.build import build_report

    console = Console(highlight=False, soft_wrap=True)
    target = build_report(session, out, max_details=details, console=Console(stderr=True))
    console.print(f"report   {target}  ({target.stat().st_size / 2**20:.1f} MiB)")
    if show:
        typer.launch(str(target.resolve()))


def register(app: typer.Typer) -> None:
    """Add the command to the `palpate` application."""
    app.command("report", help=_HELP)(report)
