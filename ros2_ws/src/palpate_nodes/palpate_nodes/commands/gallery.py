"""`palpate gallery`: one HTML page with every material as the simulated cell's sensors meet it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

_HELP = """Write the gallery of materials: one HTML file, readable anywhere, without network.

Each material in every condition: rendered parts, surface maps, spectra, curves of pressing, tapping and warming.

Examples:

  palpate gallery

  palpate gallery --materials PP,ABS,PC/ABS --out plastics.html --open
"""


def gallery(
    out: Annotated[Path, typer.Option(help="The HTML file.")] = Path("gallery.html"),
    materials: Annotated[str, typer.Option(help="Ids, separated by commas; all of the catalogue if empty.")] = "",
    show: Annotated[bool, typer.Option("--open/--no-open", help="Open it in the browser.")] = False,
) -> None:
    """Write the gallery of materials."""
    from palpate_agents.materials import MATERIALS
    from palpate_nodes.gallery.build import build_gallery

    console = Console(highlight=False, soft_wrap=True)
    names = tuple(name.strip() for name in materials.split(",") if name.strip()) or MATERIALS
    target = build_gallery(out, names, Console(stderr=True))
    console.print(f"gallery  {target}  ({target.stat().st_size / 2**20:.1f} MiB)")
    if show:
        typer.launch(str(target.resolve()))


def register(app: typer.Typer) -> None:
    """Add the command to the `palpate` application."""
    app.command("gallery", help=_HELP)(gallery)
