"""`palpate train rivals`: tune what the policy is compared with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

HELP = """Tune the rivals of the probing policy, each with a budget of probes like the policy's.

Best fixed sequences, one per visible condition, the settings of a hand-written rule, the observation model of greedy
information gain, and a reference that knows what lies on the surface. Writes rivals.json and two model folders.

Example:  palpate train rivals --probes 1000000 --seed 1 --out models/rivals
"""


def rivals(
    probes: Annotated[int, typer.Option(min=1000, max=1_000_000_000, help="Budget of each.")] = 1_000_000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of parts, choices and weights.")] = 1,
    out: Annotated[Path, typer.Option(help="Folder of the files.")] = Path("models/rivals"),
    model: Annotated[str, typer.Option(help="Fusion model whose beliefs they read.")] = "cell29",
    jobs: Annotated[int, typer.Option(min=1, max=3, help="Processes.")] = 2,
) -> None:
    """Tune the rivals of the policy."""
    from palpate_nodes.part_library import part_library
    from palpate_sim.training.rivals_to import train_rivals_to

    console = Console(highlight=False)
    library = part_library(console)
    with console.status("tuning, half an hour for a million probes each"):
        train_rivals_to(out, seed, probes, model, jobs, console.print, library)
    console.print(f"rivals  {out}")
