"""`palpate train perception`: simulate parts, train the fusion model, write it with its card."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from palpate_nodes.commands import train_policy, train_rivals, train_surface

_HELP = """Train the fusion model of the simulated cell.

Draws parts, probes each nine times in the batched cell, renders pictures of some, trains, calibrates, and writes
weights (safetensors) and a model card with figures on parts that were held out. Uses a GPU when there is one. With
--data an interrupted run goes on with what it has made.

Example:  palpate train perception --parts 170000 --seed 1 --data perception-data --out models/mine
"""


def perception(
    parts: Annotated[int, typer.Option(min=500, max=10_000_000, help="How many parts to simulate.")] = 170_000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of parts, devices, weights and batches.")] = 1,
    out: Annotated[Path, typer.Option(help="Folder of the model.")] = Path("models/cell29"),
    data: Annotated[
        Path | None, typer.Option(help="Folder that keeps the simulated parts.", show_default=False)
    ] = None,
    crops: Annotated[int, typer.Option(min=0, max=1_000_000, help="Parts with rendered pictures.")] = 10_000,
    epochs: Annotated[int, typer.Option(min=0, max=10_000, help="Most epochs; 0: the default.")] = 0,
    threads: Annotated[int, typer.Option(min=1, max=256, help="Threads of the training.")] = 2,
    jobs: Annotated[int, typer.Option(min=1, max=256, help="Processes that simulate.")] = 2,
    backbone: Annotated[
        Path | None, typer.Option(help="Folder of a pretrained vision model that reads the crops.", show_default=False)
    ] = None,
    inductive: Annotated[bool, typer.Option(help="The cell has the eddy-current tip.")] = False,
) -> None:
    """Train the fusion model."""
    import torch

    from palpate_agents.encoders.backbone import PretrainedBackbone
    from palpate_agents.fusion_config import SENSES
    from palpate_nodes.part_library import part_library
    from palpate_nodes.progress import bars
    from palpate_sim.training.batched import Draw
    from palpate_sim.training.crops import render_crops
    from palpate_sim.training.learner import PerceptionTraining
    from palpate_sim.training.perception import train_to
    from palpate_sim.training.shards import generate_training_data, with_crops

    console = Console(highlight=False)
    torch.set_num_threads(threads)
    options: dict[str, str] = {}
    if backbone is not None:  # before parts are probed: a folder that does not fit must not be found out afterwards
        options = {"backbone": str(backbone), "backbone_fingerprint": PretrainedBackbone(backbone).fingerprint}
    library = part_library(console)
    crops = min(crops, parts)
    draw = Draw(inductive=True)  # it changes nothing else
    with bars(console) as bar:
        probed = bar.add_task("probing parts", total=parts)
        simulated = generate_training_data(
            parts, seed, library, draw, data, jobs,
            lambda done, total: bar.update(probed, completed=done, total=total),
        )  # fmt: skip
        if crops:
            rendered = bar.add_task("rendering pictures", total=crops)
            pictures, found = render_crops(
                crops, seed, data, draw, library, jobs,
                lambda done, total: bar.update(rendered, completed=done, total=total),
            )  # fmt: skip
            simulated = with_crops(simulated, pictures, found)
    settings = PerceptionTraining(seed=seed, **({"epochs": epochs} if epochs else {}))

    def show(row: dict[str, float]) -> None:
        console.print("  ".join(f"{key} {value:.4g}" for key, value in row.items()))

    command = f"palpate train perception --parts {parts} --seed {seed} --crops {crops}"
    modalities = (*SENSES, "inductive") if inductive else SENSES
    if inductive:
        command += " --inductive"
    if backbone is not None:
        command += f" --backbone {backbone.name}"
    card = train_to(out, simulated, settings, out.name, show, command, modalities, options)
    for name, figure in card["figures"].items():
        if isinstance(figure, dict) and "value" in figure:
            console.print(f"{name}: {figure['value']:.3f} [{figure['low']:.3f}, {figure['high']:.3f}] of {figure['n']}")
    console.print(f"model  {out}")


def register(app: typer.Typer) -> None:
    """Add `train` to the `palpate` application."""
    train = typer.Typer(help="Train the models that the stack uses.", no_args_is_help=True)
    train.command("perception", help=_HELP)(perception)
    train.command("surface", help=train_surface.HELP)(train_surface.surface)
    train.command("policy", help=train_policy.HELP)(train_policy.policy)
    train.command("rivals", help=train_rivals.HELP)(train_rivals.rivals)
    app.add_typer(train, name="train")
