"""`palpate bench process`: the class of a part from the parameters of the process that made it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from palpate_nodes.commands.bench_options import JsonOption, OneSeedOption, SeedOption, SeedsOption, used_seeds

HELP = """Classes of a measured table in nested five-fold cross-validation, beside random forests and other classics.

Our stack mixes a network over the tabular encoder with two kinds of trees; its weights are chosen in inner folds of the
training part. Any folder with a table.csv and a label column serves; see docs/data.md.

Example:  palpate bench process --data injection_moulding_road_lens --json benchmarks/results/process.json
"""


def process(
    data: Annotated[Path, typer.Option(help="Folder of a measured table.", show_default=False)],
    seeds: SeedsOption = 5,
    seed: SeedOption = 0,
    quick: OneSeedOption = False,
    json_file: JsonOption = None,
) -> None:
    """Nested accuracy on a table."""
    from palpate_agents.benchmarks.process import bench_process
    from palpate_agents.data import TableDataset, open_dataset
    from palpate_agents.errors import DataError
    from palpate_nodes.benchmarking import finish

    console = Console(highlight=False)
    dataset = open_dataset(data)
    if not isinstance(dataset, TableDataset):
        raise DataError(f"{data} holds no table (table.csv)")
    used = used_seeds(seed, seeds, quick)
    with console.status("training models per fold and seed"):
        result = bench_process(dataset, used, progress=console.print)
    finish(result, quick=quick, json_file=json_file, console=console)
