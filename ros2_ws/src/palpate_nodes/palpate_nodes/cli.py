"""The `palpate` command."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path

import typer
from rich.console import Console
from rich.markup import escape

from palpate_agents.errors import PalpateError

HELP = """Find out what things are made of: by looking, touching, lighting and warming.

First steps:

  palpate sim                          six parts in the simulated sorting cell, with table, bag and report

  palpate replay sessions/NAME/bag     the same bag through the same nodes again

  palpate identify --data FOLDER       measured spectra through the same nodes

  palpate doctor                       is everything there?
"""

COMMANDS = (
    "sim", "launch", "identify", "import_data", "replay", "bag", "report", "gallery", "train", "bench", "config",
    "doctor",
)  # fmt: skip


def use_environment() -> None:
    """Let ament find what was built into this virtual environment, here and in every child process."""
    if not os.environ.get("AMENT_PREFIX_PATH") and Path(sys.prefix, "share", "ament_index").is_dir():
        os.environ["AMENT_PREFIX_PATH"] = sys.prefix


def make_app() -> typer.Typer:
    """The application with every command."""
    app = typer.Typer(
        name="palpate", help=HELP, no_args_is_help=True, rich_markup_mode="rich", pretty_exceptions_enable=False
    )
    for name in COMMANDS:
        import_module(f"palpate_nodes.commands.{name}").register(app)
    return app


def main() -> int:
    """Run the command; a problem that the user can mend is one sentence, not a traceback."""
    use_environment()
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    try:
        code = make_app()(standalone_mode=False)
        return int(code or 0)
    except PalpateError as error:
        console.print(f"[bold red]error:[/] {escape(str(error))}")
        return error.exit_code
    except typer.Exit as end:
        return end.exit_code
    except typer.Abort:
        console.print("aborted")
        return 130
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if hasattr(error, "format_message"):  # click's usage errors
            console.print(f"[bold red]error:[/] {escape(error.format_message())}")
            return 2
        raise


if __name__ == "__main__":
    sys.exit(main())
