"""`palpate train surface`: simulate parts, train the surface reader, write it with its card."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

HELP = """Train the surface reader of the simulated cell.

It tells from the camera's map of a part what lies on each cell: paint, label, water, dirt. Draws parts, touches and
looks at them in the batched cell, trains on one core in minutes, calibrates, and writes weights (safetensors) and a
card with figures on outlines that were held out.

Example:  palpate train surface --seed 1 --out models/mine
"""


def surface(
    parts: Annotated[int, typer.Option(min=40, max=1_000_000, help="How many parts to train on.")] = 60_000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of parts, devices, weights and batches.")] = 1,
    out: Annotated[Path, typer.Option(help="Folder of the model.")] = Path("models/surface8"),
    epochs: Annotated[int, typer.Option(min=0, max=10_000, help="Epochs; 0: the default.")] = 0,
) -> None:
    """Train the surface reader."""
    from palpate_nodes.part_library import part_library
    from palpate_nodes.progress import bars
    from palpate_sim.training.surface_reader import ReaderTraining, train_reader_to

    console = Console(highlight=False)
    settings = ReaderTraining(seed=seed, parts=parts, **({"epochs": epochs} if epochs else {}))
    library = part_library(console)
    with bars(console) as bar:
        probed = bar.add_task("probing parts", total=parts)
        card = train_reader_to(
            out, settings, out.name, library, lambda done, total: bar.update(probed, completed=done, total=total),
            lambda loss: console.print(f"loss {loss:.4f}"),
        )  # fmt: skip
    for layer, figures in card["figures"]["layers"].items():
        area = figures["auroc"]
        shown = "unknown" if area is None else f"{area:.3f}"
        console.print(
            f"{layer}: AUROC {shown}, Brier {figures['brier']:.4f} (constant {figures['brier_constant']:.4f})"
        )
    for group, ways in card["figures"]["bare_spot"].items():
        shown = ", ".join(f"{way} {figure['value']:.3f}" for way, figure in ways.items())
        console.print(f"bare spot, {group}: {shown}")
    console.print(f"model  {out}")
