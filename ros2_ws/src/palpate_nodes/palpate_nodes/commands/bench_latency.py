"""`palpate bench latency`: from a probe's data to a new belief, and from a sensor's stamp to its subscriber."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from palpate_nodes.commands.bench_options import JsonOption

HELP = """How long it takes from a probe's data to a new belief on one core, and from sensor to subscriber.

Parts are probed in the simulated full cell (12 s each), their windows played through the agent again and again, beside
a plain perceptron. Then two processes exchange a wrench at 1 kHz and pictures. Nothing else should run: look at
`own_share_of_core`.

Example:  palpate bench latency --json benchmarks/results/latency.json
"""


def latency(
    model: Annotated[str, typer.Option(help="Name of a committed model, or the path of a model folder.")] = "cell29",
    parts: Annotated[int, typer.Option(min=2, max=200, help="Parts to probe, 12 s each.")] = 12,
    seed: Annotated[int, typer.Option(min=0, help="Of parts, devices and noise.")] = 0,
    quick: Annotated[bool, typer.Option(help="Two parts and few calls, a minute and a half.")] = False,
    json_file: JsonOption = None,
) -> None:
    """Latency of the belief and of the streams."""
    import os
    import time

    from rich.progress import TaskID

    from palpate_agents.model_io import load_model
    from palpate_nodes.benchmarking import finish
    from palpate_nodes.cli import use_environment
    from palpate_nodes.latency import bench_latency
    from palpate_nodes.latency_parts import record_parts
    from palpate_nodes.progress import bars

    began, load = time.monotonic(), os.getloadavg()[0]
    console = Console(highlight=False)
    use_environment()
    network = load_model(model)
    with bars(console) as bar:
        tasks: dict[str, TaskID] = {}

        def report(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
            bar.update(tasks[what], completed=done, total=total)

        recorded = record_parts(2 if quick else parts, seed, lambda done, total: report("parts", done, total))
        result = bench_latency(network, recorded, quick=quick, seed=seed, report=report)
    result |= {"wall_s": round(time.monotonic() - began, 1), "load_average_before": load}
    core = result["pinned_to_core"]
    console.print("not bound to a core" if core is None else f"belief and streams on core {core}, one torch thread")
    share = result["metrics"]["own_share_of_core"]["value"]
    if share < 0.95:
        console.print(f"[yellow]other work took {1 - share:.0%} of the core: these are figures of a busy machine[/]")
    finish(result, quick=quick, json_file=json_file, console=console)
