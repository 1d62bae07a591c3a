"""`palpate bench`: every figure that we state, measured by a command."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from palpate_nodes.commands import (
    bench_identify,
    bench_latency,
    bench_probing,
    bench_process,
    bench_spectra,
    bench_thermal,
)
from palpate_nodes.commands.bench_options import JsonOption, SeedOption, SeedsOption, used_seeds

_RECORD_HELP = "Speed of the recorder's writer (pictures, small messages, with fsync), of reading and of recovery."

_MODALITIES_HELP = """How much each simulated sensor alone, and sets of them, can tell of 29 materials, per condition.

A well-tuned plain classifier on new parts; builds the part library first (about a minute, then cached).

Example:  palpate bench modalities --json benchmarks/results/modalities.json
"""

_ENV_HELP = """Speed and memory of the probing environment, beside panda-gym in the same run, and of the full cell.

Builds the part library first (about a minute, then cached).

Example:  palpate bench env --json benchmarks/results/env.json
"""

_AGREEMENT_HELP = """How alike the batched cell, the raw windows and the full cell are on the same parts and actions.

`<probe>_told_apart` is the accuracy of a classifier that tells raw windows from batched features: 0.5 is the same.
The other metrics compare probes in the full cell, with pictures and 1 kHz streams, with the batched cell's.

Example:  palpate bench agreement --json benchmarks/results/agreement.json
"""


def record(
    seconds: Annotated[float, typer.Option(min=0.5, max=600, help="Time per measurement.")] = 10.0,
    folder: Annotated[Path, typer.Option(help="Disk to measure.")] = Path("."),
    quick: Annotated[bool, typer.Option(help="Two seconds each.")] = False,
    json_file: JsonOption = None,
) -> None:
    """Recorder's speed."""
    import tempfile

    from palpate_nodes.bag.benchmark import measure
    from palpate_nodes.benchmarking import finish

    console = Console(highlight=False)
    began = time.monotonic()
    metrics: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory(dir=folder) as scratch, console.status("writing, reading, recovering"):
        for speed in measure(Path(scratch), 2.0 if quick else seconds):
            key = speed.what.replace(" ", "_").replace(",", "")
            for name, value in (("mb_s", speed.megabytes_s), ("messages_s", speed.messages_s), ("cpu", speed.cpu)):
                metrics[f"{key}_{name}"] = {"value": value, "low": value, "high": value, "n": 1}
    wall_s = round(time.monotonic() - began, 1)
    result = {"benchmark": "record", "seeds": [0], "metrics": metrics, "baselines": {}, "wall_s": wall_s}
    finish(result, quick=quick, json_file=json_file, console=console)


def modalities(
    parts: Annotated[int, typer.Option(min=600, help="Training parts per seed.")] = 12_000,
    seeds: SeedsOption = 5,
    seed: SeedOption = 0,
    quick: Annotated[bool, typer.Option(help="One seed, 3,000 training parts, 300 new ones per condition.")] = False,
    json_file: JsonOption = None,
) -> None:
    """What each sensor can tell."""
    from palpate_nodes.benchmarking import finish
    from palpate_nodes.part_library import part_library
    from palpate_sim.benchmarks.modalities import bench_modalities

    console = Console(highlight=False)
    library = part_library(console)
    used = used_seeds(seed, seeds, quick)
    each = 300 if quick else 1_500
    with console.status("probing parts, training classifiers"):
        result = bench_modalities(library, used, 3_000 if quick else parts, each, progress=console.print)
    finish(result, quick=quick, json_file=json_file, console=console)


def env(
    seed: Annotated[int, typer.Option(min=0, help="Of parts and actions.")] = 0,
    quick: Annotated[bool, typer.Option(help="Short repeats, 3,000 episodes.")] = False,
    json_file: JsonOption = None,
) -> None:
    """Speed of the environment."""
    from palpate_nodes.benchmarking import finish
    from palpate_nodes.part_library import part_library
    from palpate_sim.benchmarks.env import bench_env

    console = Console(highlight=False)
    result = bench_env(part_library(console), quick=quick, seed=seed, progress=console.print)
    finish(result, quick=quick, json_file=json_file, console=console)


def agreement(
    parts: Annotated[int, typer.Option(min=20, help="Parts through raw windows, 0.1 s each.")] = 400,
    full_parts: Annotated[int, typer.Option(min=2, help="Parts in the full cell, about 12 s each.")] = 24,
    seed: Annotated[int, typer.Option(min=0, help="Of parts, devices and noise.")] = 1,
    quick: Annotated[bool, typer.Option(help="60 parts, and 3 in the full cell.")] = False,
    json_file: JsonOption = None,
) -> None:
    """Batched cell against raw windows and the full cell."""
    from palpate_nodes.benchmarking import finish
    from palpate_nodes.part_library import part_library
    from palpate_nodes.progress import bars
    from palpate_sim.benchmarks.agreement import agreement as raw_and_batched
    from palpate_sim.benchmarks.full_vs_batched import full_vs_batched

    console = Console(highlight=False)
    began = time.monotonic()
    library = part_library(console)
    if quick:
        parts, full_parts = 60, 3
    with bars(console) as bar:
        windows = bar.add_task("raw windows", total=parts)
        metrics = raw_and_batched(
            parts, seed, lambda done, total: bar.update(windows, completed=done, total=total), library
        )
        full = bar.add_task("full cell", total=full_parts)
        metrics |= full_vs_batched(
            full_parts, seed, lambda done, total: bar.update(full, completed=done, total=total), library
        )
    wall_s = round(time.monotonic() - began, 1)
    result = {"benchmark": "agreement", "seeds": [seed], "metrics": metrics, "baselines": {}, "wall_s": wall_s}
    finish(result, quick=quick, json_file=json_file, console=console)


def register(app: typer.Typer) -> None:
    """Add `bench` to the `palpate` application."""
    bench = typer.Typer(help="Benchmarks; each prints a table and can write a result file.", no_args_is_help=True)
    bench.command("spectra", help=bench_spectra.HELP)(bench_spectra.spectra)
    bench.command("identify", help=bench_identify.HELP)(bench_identify.identify)
    bench.command("thermal", help=bench_thermal.HELP)(bench_thermal.thermal)
    bench.command("process", help=bench_process.HELP)(bench_process.process)
    bench.command("latency", help=bench_latency.HELP)(bench_latency.latency)
    bench.command("probing", help=bench_probing.HELP)(bench_probing.probing)
    bench.command("modalities", help=_MODALITIES_HELP)(modalities)
    bench.command("agreement", help=_AGREEMENT_HELP)(agreement)
    bench.command("record", help=_RECORD_HELP)(record)
    bench.command("env", help=_ENV_HELP)(env)
    app.add_typer(bench, name="bench")
