"""`palpate launch NAME [arg:=value ...]`: run a ROS 2 launch file, with or without ROS's own launch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from palpate_nodes.launching import api, packages
from palpate_nodes.launching.plan import make_plan, parse_assignments

_HELP = """Run a launch file: by its name in the package ([bold]sim[/], [bold]replay[/]) or by path.

Uses ROS's own launch where it is installed, and otherwise runs the same YAML itself. Ctrl-C ends everything in
order (again: at once). The exit code is 0 if every process ended as it should, otherwise that of the first that failed.

Examples:

  palpate launch sim parts:=2 rate:=1

  palpate launch sim --show-args

  palpate launch replay bag:=sessions/sim-20260101-120000/bag

  palpate launch my_cell.launch.yaml --print
"""


def launch(
    name: Annotated[str, typer.Argument(help="Name of a launch file of palpate, or a path.", show_default=False)],
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="[ARG:=VALUE]...", help="Launch arguments.", show_default=False)
    ] = None,
    show_args: Annotated[bool, typer.Option("--show-args", "-s", help="Show the launch arguments and end.")] = False,
    print_plan: Annotated[
        bool, typer.Option("--print", "-p", help="Show what would be started, with all parameters, and end.")
    ] = False,
    log_dir: Annotated[
        Path | None,
        typer.Option(help="Folder for one log per process; default: a new one below ~/.ros/log.", show_default=False),
    ] = None,
    runner: Annotated[
        str, typer.Option(help="Who runs it: own, ros, or auto (ROS's own launch if installed).")
    ] = "auto",
) -> None:
    """Run a launch file (see `_HELP`)."""
    console = Console(soft_wrap=True, highlight=False)
    if show_args:
        console.print(_argument_table(name, runner))
        return
    given = parse_assignments(arguments or [])
    if print_plan:
        _print_plan(console, name, given)
        return
    folder = log_dir or api.default_log_folder()
    result = api.launch(name, given, runner=runner, log_folder=folder)
    console.print(f"[dim]logs: {folder}[/dim]")
    raise typer.Exit(result.exit_code)


def _argument_table(name: str, runner: str) -> Table:
    table = Table(title=f"Launch arguments of {packages.launch_file(name).name}", caption="give them as name:=value")
    for heading in ("name", "default", "meaning"):
        table.add_column(heading, overflow="fold")
    for argument in api.arguments_of(name, runner):
        default = "[red](must be given)[/]" if argument.default is None else escape(argument.default or "(empty)")
        choices = f" (one of: {', '.join(argument.choices)})" if argument.choices else ""
        table.add_row(argument.name, default, escape(argument.description + choices))
    return table


def _print_plan(console: Console, name: str, given: dict[str, str]) -> None:
    """Commands and parameters; needs no ROS and starts nothing."""
    path = packages.launch_file(name)
    plan = make_plan(path, given)
    console.print(f"# {path}", markup=False)
    shown: set[str] = set()
    for process in plan.processes:
        notes = [f"output {process.output}"]
        notes += ["ends the launch when it ends"] if process.required else []
        notes += ["starts again when it ends"] if process.respawn else []
        console.print(f"\n{process.name} ({', '.join(notes)})", markup=False)
        files = [str(file.path or "(in line)") for file in process.parameter_files]
        words = [*process.head, *(word for file in files for word in ("--params-file", file)), *process.tail]
        console.print(f"  {' '.join(words)}", markup=False)
        for file in process.parameter_files:
            text = file.content if file.content is not None else file.path.read_text() if file.path else ""
            console.print(
                f"  parameters {file.path or 'in line'}{': as above' if text in shown else ':'}", markup=False
            )
            if text not in shown:
                console.print("".join(f"    {line}\n" for line in text.splitlines()), markup=False, end="")
            shown.add(text)


def register(app: typer.Typer) -> None:
    """Add the command to the `palpate` application."""
    app.command("launch", help=_HELP)(launch)
