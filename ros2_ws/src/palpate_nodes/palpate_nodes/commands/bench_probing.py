"""`palpate bench probing`: how soon and how surely parts are known, by the policy and by its rivals."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from palpate_nodes.commands.bench_options import JsonOption, SeedOption, SeedsOption, used_seeds

HELP = """How soon and how surely parts are known: the learnt policy beside fixed sequences, a rule and greedy choices.

All on the same new parts of the batched cell, with the same belief, stop rule and clock; on the usual mix and on one
with a quarter of each condition.

Example:  palpate bench probing --json benchmarks/results/probing.json --figures docs/images
"""


def probing(
    parts: Annotated[int, typer.Option(min=20, max=100_000, help="New parts per seed and mix.")] = 1000,
    seeds: SeedsOption = 5,
    seed: SeedOption = 0,
    policy: Annotated[str, typer.Option(help="Name of a committed policy, or the path of its folder.")] = "policy",
    model: Annotated[str, typer.Option(help="Fusion model whose beliefs it reads.")] = "cell29",
    rivals: Annotated[
        Path | None, typer.Option(help="Folder with the reference that knows the surface.", show_default=False)
    ] = None,
    quick: Annotated[bool, typer.Option(help="One seed, 250 parts, under two minutes.")] = False,
    figures: Annotated[Path | None, typer.Option(help="Folder for the figures.", show_default=False)] = None,
    json_file: JsonOption = None,
) -> None:
    """The probing policy beside its rivals."""
    import torch

    from palpate_agents.model_io import load_surface_reader
    from palpate_agents.probing.policy_io import load_policy
    from palpate_nodes.benchmarking import finish
    from palpate_nodes.part_library import part_library
    from palpate_nodes.report.policy_figures import probing_figure
    from palpate_sim.benchmarks.probing import bench_probing
    from palpate_sim.probing_runs import Ground
    from palpate_sim.probing_strategies import REFERENCE, rival_makers, with_policy

    console = Console(highlight=False)
    torch.set_num_threads(1)
    reader = load_surface_reader()
    ground = Ground.of(part_library(console), reader, model)
    learnt = load_policy(policy, ground.network.hash, reader.hash)
    # Made by `palpate train rivals`, of use for this comparison only, and not committed.
    reference = rivals / REFERENCE if rivals is not None and (rivals / REFERENCE).is_dir() else None
    if reference is None:
        console.print("without the reference that knows the surface: give --rivals FOLDER of `palpate train rivals`")
    strategies = with_policy(rival_makers(ground, reference=reference), learnt)
    with console.status("probing"):
        result = bench_probing(
            ground, strategies, used_seeds(seed, seeds, quick), 250 if quick else parts, console.print
        )
    result["policy_sha256"] = learnt.card.get("sha256", "")
    if figures is not None:
        figures.mkdir(parents=True, exist_ok=True)
        (figures / "probing_strategies.svg").write_text(probing_figure(result))
        console.print(f"figure  {figures / 'probing_strategies.svg'}")
    finish(result, quick=quick, json_file=json_file, console=console)
