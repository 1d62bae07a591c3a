"""`palpate train perception`: simulate parts, train the fusion model, write it with its card."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from palpate_agents.errors import ConfigError

_HELP = """Train the fusion model of the simulated cell.

Draws parts, probes each nine times in the batched cell, trains, calibrates, and writes weights (safetensors) and a
model card with figures on parts that were held out.

Example:  palpate train perception --parts 100000 --seed 1 --out models/mine
"""


def perception(
    parts: Annotated[int, typer.Option(min=500, max=10_000_000, help="How many parts to simulate.")] = 60_000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of parts, devices, weights and batches.")] = 1,
    out: Annotated[Path, typer.Option(help="Folder of the model.")] = Path("models/cell29"),
    data: Annotated[
        Path | None, typer.Option(help="Simulated parts (.npz) to read; made and kept there if missing.")
    ] = None,
    epochs: Annotated[int, typer.Option(min=0, max=10_000, help="Most epochs; 0: the default.")] = 0,
    threads: Annotated[int, typer.Option(min=1, max=256, help="Threads of the training.")] = 2,
) -> None:
    """Train the fusion model."""
    import torch

    from palpate_nodes.part_library import part_library
    from palpate_nodes.progress import bars
    from palpate_sim.training.batched import generate_batched
    from palpate_sim.training.perception import PerceptionTraining, train_to
    from palpate_sim.training.perception_data import PerceptionData

    console = Console(highlight=False)
    torch.set_num_threads(threads)
    if data is not None and data.exists():
        simulated = PerceptionData.load(data)
    else:
        library = part_library(console)
        with bars(console) as bar:
            task = bar.add_task("probing parts", total=parts)
            simulated = generate_batched(
                parts, seed, library, progress=lambda done, _total: bar.update(task, completed=done)
            )
        if data is not None:
            data.parent.mkdir(parents=True, exist_ok=True)
            simulated.save(data)
    if len(simulated) != parts:
        raise ConfigError(f"{data} holds {len(simulated)} parts, not {parts}: give another --data or --parts")
    settings = PerceptionTraining(seed=seed, **({"epochs": epochs} if epochs else {}))

    def show(row: dict[str, float]) -> None:
        console.print("  ".join(f"{key} {value:.4g}" for key, value in row.items()))

    card = train_to(out, simulated, settings, name=out.name, progress=show)
    for name, figure in card["figures"].items():
        if isinstance(figure, dict) and "value" in figure:
            console.print(f"{name}: {figure['value']:.3f} [{figure['low']:.3f}, {figure['high']:.3f}] of {figure['n']}")
    console.print(f"model  {out}")


def register(app: typer.Typer) -> None:
    """Add `train` to the `palpate` application."""
    train = typer.Typer(help="Train the models that the stack uses.", no_args_is_help=True)
    train.command("perception", help=_HELP)(perception)

    @train.callback()
    def _group() -> None:
        """Keeps `perception` a subcommand while it is the only one."""

    app.add_typer(train, name="train")
