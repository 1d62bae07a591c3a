"""`palpate bench thermal`: measured contact heat of parts that have another temperature than in training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from palpate_nodes.commands.bench_options import JsonOption, OneSeedOption, SeedOption, SeedsOption, used_seeds

HELP = """Materials by contact heat, trained on parts at room temperature, tested on cold ones.

Two temperature channels (one sensor heated) say effusivity and temperature of the part, beside SVM and random forest
on the raw curves. Any folder with a touches.npz serves; see docs/data.md.

Example:  palpate bench thermal --data thermal_ambiguity_toh --json thermal.json --figures docs/images
"""

FIGURE = "thermal_separation.svg"


def thermal(
    data: Annotated[Path, typer.Option(help="Folder of measured touches.", show_default=False)],
    seeds: SeedsOption = 5,
    seed: SeedOption = 0,
    room: Annotated[str, typer.Option(help="Condition to train on: parts at room temperature.")] = "room",
    quick: OneSeedOption = False,
    figures: Annotated[Path | None, typer.Option(help="Folder for the figure.", show_default=False)] = None,
    json_file: JsonOption = None,
) -> None:
    """Contact heat of cold parts."""
    from palpate_agents.benchmarks.thermal import bench_thermal, separation
    from palpate_agents.data import TouchDataset, open_dataset
    from palpate_agents.errors import DataError
    from palpate_nodes.benchmarking import finish
    from palpate_nodes.report.thermal_figure import separation_figure

    console = Console(highlight=False)
    dataset = open_dataset(data)
    if not isinstance(dataset, TouchDataset):
        raise DataError(f"{data} holds no contact traces (touches.npz)")
    used = used_seeds(seed, seeds, quick)
    with console.status("training a model per fold and seed"):
        result = bench_thermal(dataset, used, progress=console.print, room=room)
    finish(result, quick=quick, json_file=json_file, console=console)
    if figures is not None:
        figures.mkdir(parents=True, exist_ok=True)
        (figures / FIGURE).write_text(separation_figure(separation(dataset, seed, room)), encoding="utf-8")
        console.print(f"written  {figures / FIGURE}")
