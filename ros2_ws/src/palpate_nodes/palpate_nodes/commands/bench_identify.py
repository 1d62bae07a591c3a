"""`palpate bench identify`: how often the fused belief is right, beside its rivals, and its figures."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from palpate_agents.errors import ConfigError, DataError
from palpate_nodes.commands.bench_options import JsonOption, used_seeds

HELP = """How often the belief is right on new simulated parts, per condition and set of sensors, beside its rivals.

Concatenation, gated late fusion, extra trees and each sensor alone are trained on the same parts; the ceiling is told
the true condition and has twice as many. Hours on two cores: --data keeps what is done, and an interrupted run goes on.
--from draws the figures of a result file and trains nothing.

Example:  palpate bench identify --data perception-data --json benchmarks/results/identify.json --figures docs/images

Example:  palpate bench identify --from benchmarks/results/identify.json --figures docs/images
"""
QUICK = {"parts": 3000, "test_parts": 300, "epochs": 3}


def identify(
    parts: Annotated[int, typer.Option(min=600, help="Known training parts; the ceiling has twice as many.")] = 170_000,
    test_parts: Annotated[int, typer.Option(min=60, help="New parts of each condition.")] = 3000,
    seeds: Annotated[
        int, typer.Option(min=1, max=100, help="How many trainings of everything; each takes hours on two cores.")
    ] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Of parts and networks; 1 is that of the committed model.")] = 1,
    data: Annotated[
        Path | None, typer.Option(help="Folder that keeps parts and trained networks.", show_default=False)
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, max=256, help="Processes and threads.")] = 2,
    model: Annotated[
        str, typer.Option(help='Model that counts as ours for the first seed; "" trains it here.')
    ] = "cell29",
    epochs: Annotated[int, typer.Option(min=0, max=10_000, help="Most epochs; 0: the default.")] = 0,
    quick: Annotated[
        bool, typer.Option(help="3,000 parts, 300 of each condition, 3 epochs, no committed model; under 4 minutes.")
    ] = False,
    figures: Annotated[Path | None, typer.Option(help="Folder for the figures.", show_default=False)] = None,
    source: Annotated[
        Path | None,
        typer.Option("--from", help="Result file to show and draw; nothing is trained.", show_default=False),
    ] = None,
    json_file: JsonOption = None,
) -> None:
    """Accuracy of the belief."""
    from palpate_nodes.benchmarking import finish
    from palpate_nodes.report.identify_figures import write_figures

    console = Console(highlight=False)
    if source is None:
        used = used_seeds(seed, seeds, quick)
        sizes = QUICK if quick else {"parts": parts, "test_parts": test_parts, "epochs": epochs}
        result = _measured(used, sizes, data, jobs, None if quick or not model else model, console)
    elif json_file is not None:
        raise ConfigError("--from reads a result file and --json writes one: give one of the two")
    else:
        result = read_result(source)
        quick = bool(result.get("quick", False))
    finish(result, quick=quick, json_file=json_file, console=console)
    if figures is not None:
        for path in write_figures(result, figures):
            console.print(f"written  {path}")


def _measured(
    seeds: list[int], sizes: dict[str, int], data: Path | None, jobs: int, model: str | None, console: Console
) -> dict[str, Any]:
    import torch

    from palpate_nodes.part_library import part_library
    from palpate_sim.benchmarks.identify import bench_identify

    began = time.monotonic()

    def say(line: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - began), 60)
        console.print(f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}  {line}", markup=False)

    torch.set_num_threads(jobs)
    return bench_identify(
        part_library(console), seeds, folder=data, jobs=jobs, committed=model, progress=say, **sizes
    )  # fmt: skip


def read_result(path: Path) -> dict[str, Any]:
    """Content of a result file.

    Raises:
        DataError: missing, or no result file.
    """
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as a result file: {error}") from error
    if not isinstance(result, dict) or not {"benchmark", "metrics", "baselines", "seeds", "wall_s"} <= set(result):
        raise DataError(f"{path} is no result file; 'palpate bench identify --json FILE' writes one")
    return result
