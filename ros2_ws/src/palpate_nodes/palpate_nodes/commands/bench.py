"""`palpate bench`: every figure that we state, measured by a command."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

if TYPE_CHECKING:
    from palpate_agents.data import SpectraDataset
    from palpate_nodes.benchmarking import BenchmarkResult

_SPECTRA_HELP = """Leave-item-out identification of measured spectra, beside SVM, random forest and 1-NN in one run.

Example:  palpate bench spectra --data imperial_plastell_nir --json benchmarks/results/spectra.json
"""
_RECORD_HELP = "Speed of the recorder's writer (pictures, small messages, with fsync), of reading and of recovery."

JsonOption = Annotated[Path | None, typer.Option("--json", help="Also write the result file.", show_default=False)]


def spectra(
    data: Annotated[Path, typer.Option(help="Folder of measured spectra.", show_default=False)],
    seeds: Annotated[int, typer.Option(min=1, max=100, help="How many seeds.")] = 5,
    seed: Annotated[int, typer.Option(min=0, help="Shifts every seed.")] = 0,
    quick: Annotated[bool, typer.Option(help="One seed.")] = False,
    json_file: JsonOption = None,
) -> None:
    """Leave-item-out accuracy."""
    from palpate_agents.data import open_spectra
    from palpate_agents.spectra_training import leave_item_out
    from palpate_nodes.benchmarking import BenchmarkResult, grouped_mean

    console = Console(highlight=False)
    dataset = open_spectra(data)
    began = time.monotonic()
    used = [seed + i for i in range(1 if quick else seeds)]
    result = BenchmarkResult("spectra", used, quick=quick)
    rivals = classical(dataset, console)
    labels = np.array(dataset.labels)
    answers = [
        labels[leave_item_out(dataset, s).argmax(axis=1)] for s in track(used, "our model, per seed", console=console)
    ]
    hits = np.mean([answer == dataset.label for answer in answers], axis=0)
    result.metrics["accuracy"] = grouped_mean(hits, dataset.group)
    for name, right in rivals.items():
        result.baselines[name] = {"accuracy": grouped_mean(right.astype(float), dataset.group)}
    result.metrics["svm_accuracy"] = result.baselines["svm"]["accuracy"]
    result.metrics["accuracy_minus_svm"] = grouped_mean(hits - rivals["svm"], dataset.group)
    items = [hits[dataset.group == item].mean() for item in dataset.groups]
    result.metrics["accuracy_per_item"] = grouped_mean(np.array(items), list(dataset.groups))
    result.wall_s = time.monotonic() - began
    finish(result, json_file, console)


def classical(dataset: SpectraDataset, console: Console) -> dict[str, np.ndarray]:
    """Leave-item-out answers of three classical classifiers with hyper-parameters fixed beforehand.

    Returns:
        name -> (N,) bool, whether each spectrum was identified. SVM: RBF kernel, C = 100, standardised SNV spectra.
    """
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    values = dataset.values
    snv = (values - values.mean(axis=1, keepdims=True)) / values.std(axis=1, keepdims=True)
    makers = {
        "svm": lambda: make_pipeline(StandardScaler(), SVC(C=100.0)),
        "random_forest": lambda: RandomForestClassifier(500, random_state=0),
        "nearest_neighbour": lambda: KNeighborsClassifier(1),
    }
    right = {name: np.zeros(len(dataset), bool) for name in makers}
    for item in track(dataset.groups, "classical rivals", console=console):
        test = dataset.group == item
        for name, make in makers.items():
            model = make().fit(snv[~test], dataset.label[~test])
            right[name][test] = model.predict(snv[test]) == dataset.label[test]
    return right


def record(
    seconds: Annotated[float, typer.Option(min=0.5, max=600, help="Time per measurement.")] = 10.0,
    folder: Annotated[Path, typer.Option(help="Disk to measure.")] = Path("."),
    quick: Annotated[bool, typer.Option(help="Two seconds each.")] = False,
    json_file: JsonOption = None,
) -> None:
    """Recorder's speed."""
    import tempfile

    from palpate_nodes.bag.benchmark import measure
    from palpate_nodes.benchmarking import BenchmarkResult, Metric

    console = Console(highlight=False)
    began = time.monotonic()
    result = BenchmarkResult("record", [0], quick=quick)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        for speed in measure(Path(scratch), 2.0 if quick else seconds):
            key = speed.what.replace(" ", "_").replace(",", "")
            for name, value in (("mb_s", speed.megabytes_s), ("messages_s", speed.messages_s), ("cpu", speed.cpu)):
                result.metrics[f"{key}_{name}"] = Metric(value, value, value, 1)
    result.wall_s = time.monotonic() - began
    finish(result, json_file, console)


def finish(result: BenchmarkResult, json_file: Path | None, console: Console) -> None:
    """Print the table and write the file."""
    table = Table(title=f"{result.benchmark}{' (quick)' if result.quick else ''}")
    for heading in ("who", "metric", "value [95 % interval]", "n"):
        table.add_column(heading)
    for who, metrics in {"palpate": result.metrics, **result.baselines}.items():
        for name, metric in metrics.items():
            table.add_row(who, name, str(metric), str(metric.n))
    console.print(table)
    console.print(f"seeds {result.seeds}, {result.wall_s:.0f} s")
    if json_file is not None:
        result.write(json_file)
        console.print(f"written  {json_file}")


def register(app: typer.Typer) -> None:
    """Add `bench` to the `palpate` application."""
    bench = typer.Typer(help="Benchmarks; each prints a table and can write a result file.", no_args_is_help=True)
    bench.command("spectra", help=_SPECTRA_HELP)(spectra)
    bench.command("record", help=_RECORD_HELP)(record)
    app.add_typer(bench, name="bench")
