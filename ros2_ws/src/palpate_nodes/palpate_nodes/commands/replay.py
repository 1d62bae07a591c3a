"""`palpate replay BAG`: a recorded session through the same nodes again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

_HELP = """Play a bag through the same probing and distillation nodes, and compare the signatures.

Beliefs, observations and signatures are computed anew from the raw streams; the bag may have lost them. Exits with 1 if
a signature differs from the recorded one by more than the tolerance.

Example:  palpate replay sessions/sim-20260101-120000/bag
"""


def replay(
    bag: Annotated[Path, typer.Argument(help="Bag folder, session folder or MCAP file.", show_default=False)],
    model: Annotated[str, typer.Option(help="Fusion model: a committed one, or a folder.")] = "cell29",
    rate: Annotated[float, typer.Option(min=0, max=100, help="Multiple of real time; 0: as fast as it goes.")] = 0.0,
    tolerance: Annotated[float, typer.Option(min=0, help="Largest allowed difference of any number.")] = 1e-5,
    session_dir: Annotated[Path, typer.Option(help="Where session folders are made.")] = Path("sessions"),
    name: Annotated[str, typer.Option(help="Name of the new session; empty: made from the time.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print the comparison as JSON.")] = False,
) -> None:
    """Replay a bag."""
    from palpate_agents.model_io import check_model
    from palpate_nodes.bag.compare import compare_signatures, signatures
    from palpate_nodes.bag.timeline import BagTimeline
    from palpate_nodes.commands.running import run_session, session_name

    console = Console(highlight=False, stderr=as_json)
    card = check_model(model)
    timeline = BagTimeline(bag)  # says what is wrong with the bag before anything starts
    signatures(bag)  # so does this: recorded signatures of another version cannot be compared
    folder = session_dir / session_name("replay", name)
    arguments = {
        "bag": str(bag.resolve()),
        "rate": str(rate),
        "material_model": model,
        "model_hashes": f"{card['name']}={card['sha256']}",
        "record": "true",
        "namespace": timeline.namespace.strip("/"),
    }
    run_session("replay", arguments, folder, console)
    rows = compare_signatures(bag, folder / "bag")
    worst = max((row.difference for row in rows), default=0.0)
    same = all(row.same_material for row in rows) and worst <= tolerance
    if as_json:
        typer.echo(json.dumps({"same": same, "worst": worst, "parts": [row.as_dict() for row in rows]}, indent=1))
    else:
        table = Table(title="Replayed signatures")
        for heading in ("part", "recorded", "replayed", "largest difference"):
            table.add_column(heading)
        for row in rows:
            recorded = row.recorded if row.recorded is not None else "(not in the bag)"
            table.add_row(row.part_id, recorded or "abstained", row.replayed or "abstained", f"{row.difference:.2g}")
        console.print(table)
        verdict = "[green]equal[/]" if same else "[red]different[/]"
        console.print(f"{verdict}: largest difference {worst:.2g}, allowed {tolerance:g}\nsession  {folder}")
    raise typer.Exit(0 if same else 1)


def register(app: typer.Typer) -> None:
    """Add the command to the `palpate` application."""
    app.command("replay", help=_HELP)(replay)
