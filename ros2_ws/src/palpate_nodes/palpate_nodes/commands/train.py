"""`palpate train perception`: simulate parts, train the fusion model, write it with its card."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from palpate_agents.errors import ConfigError

_HELP = """Train the fusion model of the simulated cell.

Draws parts, probes each through the sensor models and the feature extraction of the stack, trains, calibrates, and
writes weights (safetensors) and a model card with figures on parts that were held out. A run that was stopped goes on
where it was.

Example:  palpate train perception --parts 20000 --seed 0 --out models/mine
"""


def perception(
    parts: Annotated[int, typer.Option(min=500, max=10_000_000, help="How many parts to simulate.")] = 20_000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of parts, devices, weights and batches.")] = 0,
    workers: Annotated[int, typer.Option(min=1, max=256, help="Processes that simulate.")] = 2,
    out: Annotated[Path, typer.Option(help="Folder of the model.")] = Path("models/cell29"),
    data: Annotated[
        Path | None, typer.Option(help="Simulated parts (.npz); made if missing. Default: beside the model.")
    ] = None,
    epochs: Annotated[int, typer.Option(min=0, max=10_000, help="Most epochs; 0: the default.")] = 0,
) -> None:
    """Train the fusion model."""
    import torch

    from palpate_sim.training.generate import generate
    from palpate_sim.training.perception import PerceptionTraining, train_to
    from palpate_sim.training.perception_data import PerceptionData

    console = Console(highlight=False)
    torch.set_num_threads(1)
    source = data or out.with_name(f"{out.name}-{parts}-{seed}.npz")
    source.parent.mkdir(parents=True, exist_ok=True)
    simulated = PerceptionData.load(source) if source.exists() else generate(parts, seed, workers, source)
    if len(simulated) != parts:
        raise ConfigError(f"{source} holds {len(simulated)} parts, not {parts}: give another --data or --parts")
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
