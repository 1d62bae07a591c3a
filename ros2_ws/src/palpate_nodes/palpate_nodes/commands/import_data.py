"""`palpate import`: a folder of published or own measurements into the documented layout."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from palpate_agents.data import Dataset

_HELP = """Import measurements into the documented layout (docs/data.md), checking every row.

KIND is one of the published data sets [bold]imperial_plastell_nir[/], [bold]nist_polyolefin_nir[/],
[bold]thermal_ambiguity_toh[/], [bold]injection_moulding_road_lens[/], [bold]netsem_degradation[/], or [bold]spectra[/],
[bold]touches[/], [bold]table[/] for a folder of your own that is in the layout already (as CSV, for example).

Nothing is written if anything is wrong, and FOLDER itself is only read. Commands that take [bold]--data[/] import known
raw folders by themselves.

Examples:

  palpate import imperial_plastell_nir downloads/plastell --out data/plastell

  palpate import spectra my_csv_folder --out data/mine
"""


def import_command(
    kind: Annotated[str, typer.Argument(help="What the folder holds.", show_default=False)],
    folder: Annotated[Path, typer.Argument(help="Folder to import; it is only read.", show_default=False)],
    out: Annotated[Path, typer.Option(help="New or empty folder to write to.", show_default=False)],
) -> None:
    """Import a folder (see `_HELP`)."""
    from palpate_agents.data import RAW_KINDS, import_folder

    console = Console(highlight=False, soft_wrap=True)
    written = import_folder(kind, folder, out)
    for path, dataset in written:
        console.print(_summary(dataset))
        console.print(f"written  {escape(str(path))}")
    if kind in RAW_KINDS:
        console.print(f"note     {RAW_KINDS[kind].note}")


def _summary(dataset: Dataset) -> Table:
    """Rows and objects per label, and what the label is called in the catalogue."""
    from palpate_agents.data import catalogue_id
    from palpate_agents.materials import MATERIALS

    table = Table(title=f"{escape(dataset.name)}: {len(dataset)} rows, {len(dataset.groups)} objects")
    for heading in ("label", "in the catalogue", "objects", "rows", "conditions"):
        table.add_column(heading, justify="right" if heading in ("objects", "rows") else "left")
    for label in dataset.labels:
        part = dataset.take(dataset.label == label)
        conditions = ", ".join(sorted({str(name) for name in part.condition if name}))
        name = catalogue_id(label, MATERIALS) or "-"
        table.add_row(escape(label), name, str(len(part.groups)), str(len(part)), escape(conditions))
    if dataset.targets:
        table.caption = "targets: " + ", ".join(dataset.targets)
    return table


def register(app: typer.Typer) -> None:
    """Add the command to the `palpate` application."""
    app.command("import", help=_HELP)(import_command)
