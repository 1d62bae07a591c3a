"""`palpate sim`: parts in the simulated sorting cell."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

_HELP = """Characterise parts in the simulated sorting cell, with real ROS 2 underneath.

Runs launch/sim.launch.yaml to its end, then prints a table and writes a report. Everything is recorded.

Examples:

  palpate sim --parts 10 --seed 3

  palpate sim --parts 1 --material PP --rate 1 --gui  watch one part in real time

  palpate sim --parts 6 --strategy policy             probes chosen by the learnt policy

  palpate sim --parts 3 --inductive                   with eddy-current coils in the warm pads

  palpate sim --parts 2 --video cell.mp4              film two parts
"""


def sim(
    parts: Annotated[int, typer.Option(min=1, max=100_000, help="How many parts.")] = 6,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Seed of parts, devices and noise.")] = 0,
    rate: Annotated[float, typer.Option(min=0, max=100, help="Multiple of real time; 0: as fast as it goes.")] = 0.0,
    material: Annotated[str, typer.Option(help="One material for every part; empty: drawn from the mix.")] = "",
    model: Annotated[str, typer.Option(help="Fusion model: a committed one, or a folder.")] = "cell29",
    strategy: Annotated[str, typer.Option(help="How probes are chosen: policy, greedy, fixed or random.")] = "fixed",
    record: Annotated[bool, typer.Option(help="Write a bag.")] = True,
    report: Annotated[bool, typer.Option(help="Write the HTML report (needs the bag).")] = True,
    inductive: Annotated[bool, typer.Option("--inductive", help="Eddy-current coils in the warm pads.")] = False,
    video: Annotated[Path | None, typer.Option(help="Film the cell into this MP4 file.")] = None,
    gui: Annotated[bool, typer.Option("--gui", help="Show the cell in a window; needs a display.")] = False,
    session_dir: Annotated[Path, typer.Option(help="Where session folders are made.")] = Path("sessions"),
    name: Annotated[str, typer.Option(help="Name of the session; empty: made from the time.")] = "",
) -> None:
    """Characterise parts in simulation."""
    from palpate_agents.errors import ConfigError
    from palpate_agents.materials import material as known_material
    from palpate_agents.model_io import check_model
    from palpate_agents.probing.choosing import STRATEGIES
    from palpate_nodes.commands.running import run_session, session_name

    console = Console(highlight=False)
    if material:
        known_material(material)
    film = watched(video, gui)
    card = check_model(model)
    if strategy not in STRATEGIES:
        raise ConfigError(f"strategy is {strategy!r}; known are {', '.join(STRATEGIES)}")
    folder = session_dir / session_name("sim", name)
    arguments = {
        "parts": str(parts),
        "seed": str(seed),
        "rate": str(rate),
        "material": material,
        "material_model": model,
        "strategy": strategy,
        "model_hashes": f"{card['name']}={card['sha256']}",
        "record": "true" if record else "false",
        "inductive": "true" if inductive else "false",
        "video": film,
        "gui": "true" if gui else "false",
    }
    run_session("sim", arguments, folder, console)
    if film:
        console.print(f"film     {film}")
    finish(folder, report and record, console)


def watched(video: Path | None, gui: bool) -> str:
    """Absolute path of the film or an empty text, after a look at whether film and window are possible.

    Raises:
        ConfigError: a file that cannot be written, or no display.
    """
    from palpate_sim.mirror import check_display
    from palpate_sim.video import check_video_path

    if gui:
        check_display()
    return "" if video is None else str(check_video_path(video))


def finish(folder: Path, report: bool, console: Console) -> None:
    """Table and report of a session that has ended."""
    from palpate_nodes.report.build import build_report
    from palpate_nodes.results import print_table, read_results

    results = read_results(folder)
    print_table(results, console)
    console.print(f"session  {folder}")
    if report:
        console.print(f"report   {build_report(folder)}")


def register(app: typer.Typer) -> None:
    """Add the command to the `palpate` application."""
    app.command("sim", help=_HELP)(sim)
