"""`palpate train policy`: learn to probe in the batched cell, write the policy with its card and its learning curve."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

HELP = """Train the probing policy: PPO with action masks over the menu of probes.

Hundreds of batched cells at once; the mix of conditions gets harder on the way. With --state an interrupted run goes on
with the last finished round. The learning curve is written beside the weights.

Example:  palpate train policy --steps 1000000 --seed 1 --state policy-run --out models/policy
"""


def policy(
    steps: Annotated[int, typer.Option(min=4096, max=1_000_000_000, help="Probes in all.")] = 1_000_000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of weights, parts and choices.")] = 1,
    out: Annotated[Path, typer.Option(help="Folder of the policy.")] = Path("models/policy"),
    state: Annotated[
        Path | None, typer.Option(help="Folder that keeps the state of the run.", show_default=False)
    ] = None,
    cells: Annotated[int, typer.Option(min=2, max=100_000, help="Cells at once.")] = 256,
    workers: Annotated[int, typer.Option(min=1, max=256, help="Processes.")] = 2,
    model: Annotated[str, typer.Option(help="Fusion model whose beliefs it reads.")] = "cell29",
    tensorboard: Annotated[
        Path | None, typer.Option(help="Folder for TensorBoard's event files.", show_default=False)
    ] = None,
) -> None:
    """Train the probing policy."""
    from palpate_nodes.part_library import part_library
    from palpate_nodes.progress import bars
    from palpate_nodes.report.policy_figures import learning_figure
    from palpate_sim.training.policy import PolicyTraining, train_policy_to, training_task

    console = Console(highlight=False)
    settings = PolicyTraining(seed=seed, steps=steps, cells=cells, workers=workers, task=training_task(model=model))
    library = part_library(console)
    with bars(console) as bar:
        learned = bar.add_task("learning", total=steps)

        def show(row: dict[str, float]) -> None:
            bar.update(
                learned, completed=row["steps"],
                description=f"learning  right {row['accuracy']:.3f}  {row['seconds']:.2f} s",
            )  # fmt: skip

        command = f"palpate train policy --steps {steps} --seed {seed} --cells {cells} --workers {workers}"
        training = train_policy_to(out, settings, library, show, state, tensorboard, command)
    (out / "learning.svg").write_text(learning_figure(training["history"]))
    last = training["history"][-1]
    console.print(f"last round: right {last['accuracy']:.3f}, {last['seconds']:.2f} s until sure, hard mix")
    console.print(f"policy  {out}")
