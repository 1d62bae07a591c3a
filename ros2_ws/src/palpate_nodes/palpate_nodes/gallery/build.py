"""Builds the gallery: draws, renders and writes one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from palpate_agents.errors import DataError
from palpate_agents.materials import MATERIALS, material
from palpate_nodes.gallery.page import page
from palpate_nodes.results import write_text
from palpate_sim.close_up import CloseUp
from palpate_sim.gallery import sheets
from palpate_sim.randomisation import randomisation_hash


def build_gallery(out: Path, materials: Sequence[str] = MATERIALS, console: Console | None = None) -> Path:
    """Write the gallery.

    Args:
        out: the HTML file.
        materials: ids in the catalogue.
        console: where to show progress; nowhere if not given.

    Returns:
        The file.

    Raises:
        MaterialError: unknown material.
        DataError: the file cannot be written.
    """
    for name in materials:
        material(name)
    if not out.resolve().parent.is_dir():
        raise DataError(f"the folder of {out} does not exist; make it first, or give another --out")
    bars = Progress(
        TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(),
        console=console or Console(quiet=True), disable=console is None, transient=True,
    )  # fmt: skip
    with bars, CloseUp() as camera:
        everything = list(bars.track(sheets(), len(MATERIALS), description="measuring"))
        shown = [sheet for sheet in everything if sheet.material in set(materials)]
        pictures = {
            sheet.material: [camera.picture(sample.batch.part(0), sample.maps) for sample in sheet.samples]
            for sheet in bars.track(shown, description="rendering")
        }
    write_text(out, page(shown, pictures, everything, _made()))
    return out


def _made() -> str:
    try:
        program = f"palpate {version('palpate_nodes')}"
    except PackageNotFoundError:
        program = "palpate"
    return (
        f"Made by {program} on {datetime.now(UTC):%Y-%m-%d %H:%M} UTC. Distributions {randomisation_hash()}. "
        "Every curve and picture is simulated; docs/physics.md says how, and what is assumed."
    )
