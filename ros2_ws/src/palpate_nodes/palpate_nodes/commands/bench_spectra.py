"""`palpate bench spectra`: labels of measured spectra, or their `target_*` columns, with one object never split."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from palpate_nodes.commands.bench_options import JsonOption, OneSeedOption, SeedOption, SeedsOption, used_seeds

HELP = """Measured spectra, whole objects held out: identification, or regression where the set has targets.

Without targets: leave-item-out accuracy, beside SVM, random forest and 1-NN in one run. With `target_*` columns: RMSE
by nested 5 x 5 cross-validation over objects, beside PLSR, PCR and LASSO on the same folds; --target label asks for
identification.

Example:  palpate bench spectra --data imperial_plastell_nir --json benchmarks/results/spectra.json

Example:  palpate bench spectra --data nist_polyolefin_nir --target density_g_cm3
"""

LABEL = "label"


def spectra(
    data: Annotated[Path, typer.Option(help="Folder of measured spectra.", show_default=False)],
    target: Annotated[
        list[str] | None,
        typer.Option(help="Column target_NAME to predict, or 'label'; may be repeated; all targets by default."),
    ] = None,
    seeds: SeedsOption = 5,
    seed: SeedOption = 0,
    quick: OneSeedOption = False,
    json_file: JsonOption = None,
) -> None:
    """Leave-item-out accuracy, or RMSE of the targets."""
    from palpate_agents.data import SpectraDataset, open_dataset
    from palpate_agents.errors import ConfigError, DataError
    from palpate_nodes.benchmarking import finish

    console = Console(highlight=False)
    used = used_seeds(seed, seeds, quick)
    wanted = target or []
    if LABEL in wanted and len(wanted) > 1:
        raise ConfigError(f"--target {LABEL} asks for identification and cannot be joined with other targets")
    dataset = open_dataset(data)
    if not isinstance(dataset, SpectraDataset):
        raise DataError(f"{data} holds no spectra (spectra.npz or spectra.csv)")
    if LABEL in wanted or not (wanted or dataset.targets):
        from palpate_agents.benchmarks.spectra import bench_spectra

        with console.status("training a model per item and seed"):
            result = bench_spectra(dataset, used, progress=console.print)
    else:
        from palpate_agents.benchmarks.spectra_regression import bench_regression

        with console.status("nested cross-validation"):
            result = bench_regression(dataset, used, wanted, progress=console.print)
    finish(result, quick=quick, json_file=json_file, console=console)
