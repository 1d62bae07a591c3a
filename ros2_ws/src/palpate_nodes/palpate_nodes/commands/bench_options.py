"""Options that mean the same in several benchmarks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

JsonOption = Annotated[Path | None, typer.Option("--json", help="Also write the result file.", show_default=False)]
SeedsOption = Annotated[int, typer.Option(min=1, max=100, help="How many seeds.")]
SeedOption = Annotated[int, typer.Option(min=0, help="Shifts every seed.")]
OneSeedOption = Annotated[bool, typer.Option(help="One seed.")]


def used_seeds(seed: int, seeds: int, quick: bool) -> list[int]:
    """`seeds` numbers from `seed` on; the first alone where it has to be quick."""
    return [seed + i for i in range(1 if quick else seeds)]
