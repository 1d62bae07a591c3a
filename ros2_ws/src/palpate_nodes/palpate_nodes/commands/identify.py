"""`palpate identify`: measured spectra through the running nodes, each item with a model that never saw it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import track

if TYPE_CHECKING:
    from palpate_agents.data import SpectraDataset

_HELP = """Identify measured spectra with the running ROS 2 stack, leaving one item out at a time.

For every physical item a model is trained on the other items only, then the item's spectra are played, message by
message, through the spectrometer node into the probing node with that model. Truth and belief are shown per spectrum
and per item.

FOLDER holds spectra.npz or spectra.csv (wavelength_nm, values, label, group), or is a known raw data set.

Example:  palpate identify --data imperial_plastell_nir
"""


def identify(
    data: Annotated[Path, typer.Option(help="Folder of measured spectra.", show_default=False)],
    seed: Annotated[int, typer.Option(min=0, help="Seed of the training.")] = 0,
    session_dir: Annotated[Path, typer.Option(help="Where session folders are made.")] = Path("sessions"),
    name: Annotated[str, typer.Option(help="Name of the session; empty: made from the time.")] = "",
    record: Annotated[bool, typer.Option(help="Write a bag.")] = True,
) -> None:
    """Leave-item-out identification through the nodes."""
    from palpate_agents.data import open_spectra
    from palpate_nodes.commands.running import run_session, session_name
    from palpate_nodes.results import print_table, read_results

    console = Console(highlight=False)
    dataset = open_spectra(data)
    folder = session_dir / session_name("identify", name)
    models = folder.with_name(folder.name + "-models")
    table = train_models(dataset, models, seed, console)
    arguments = {
        "data": str(data.resolve()),
        "kind": "identify",
        "models": str(table.resolve()),
        "material_model": next(iter(json.loads(table.read_text()).values())),
        "max_probes": "1",
        "abstain_below": "0.0",
        "abstain_novel": "false",
        "sort": "false",
        "record": "true" if record else "false",
    }
    run_session("replay", arguments, folder, console)
    results = read_results(folder)
    print_table(results, console)
    console.print(
        f"{len(dataset)} spectra, {len(dataset.groups)} items, {len(dataset.labels)} labels; each item with a model "
        f"trained on the others\nsession  {folder}\nmodels   {models}"
    )


def train_models(dataset: SpectraDataset, folder: Path, seed: int, console: Console) -> Path:
    """One model per item, trained without it.

    Args:
        dataset: all spectra.
        folder: for the models, `item-000` and so on: the name of an item never becomes a path.
        seed: of the training.
        console: for the progress bar.

    Returns:
        JSON file {item: model folder}.
    """
    from palpate_agents.model_io import save_model
    from palpate_agents.spectra_training import train_spectral_model

    found: dict[str, str] = {}
    for number, item in enumerate(track(dataset.groups, "training a model per item", console=console)):
        network = train_spectral_model(dataset.without_group(item), seed, labels=dataset.labels)
        target = folder / f"item-{number:03d}"
        save_model(network, target, f"{dataset.name} without item {number}", {"left_out": item, "seed": seed})
        found[item] = str(target.resolve())
    table = folder / "models.json"
    table.write_text(json.dumps(found, indent=1) + "\n")
    return table


def register(app: typer.Typer) -> None:
    """Add the command to the `palpate` application."""
    app.command("identify", help=_HELP)(identify)
