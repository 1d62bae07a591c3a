"""Running a launch file as one session: a folder, a ROS domain of its own, few lines on the screen, all in logs."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from palpate_agents.errors import ConfigError, PalpateError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
# What a node logs: [INFO] [1790000000.123] [cell.session]: text
_LOG = re.compile(r"\[(?P<level>[A-Z]+)\] \[[0-9.]+\] \[(?P<node>[^\]]+)\]: (?P<text>.*)")
_FAILED = re.compile(r"failed|is required")
LAUNCHER = "launch"
MAX_DOMAIN = 101


def session_name(kind: str, given: str) -> str:
    """The session's name: as given, or made from kind, time and process.

    Raises:
        ConfigError: a name that cannot be a folder.
    """
    if given and not _NAME.fullmatch(given):
        raise ConfigError(f"session name '{given}' must be 1 to 100 letters, digits, '.', '_' or '-'")
    return given or f"{kind}-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"


def use_own_domain() -> None:
    """A ROS domain for this session, unless the user chose one, so that two sessions on one machine never mix."""
    os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % MAX_DOMAIN))


class Screen:
    """Shows what the session node says, warnings and errors of all; the rest is in the logs."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def __call__(self, process: str, line: str) -> None:
        """One line of one process."""
        match = _LOG.match(line)
        if match is None:
            if process == LAUNCHER and _FAILED.search(line):
                self._console.print(f"[red]{escape(line)}[/]")
            elif line.startswith(("error:", "Traceback")):
                self._console.print(f"[red]{escape(process)}: {escape(line)}[/]")
            return
        level, node, text = match["level"], match["node"].rsplit(".", 1)[-1], escape(match["text"])
        if level in ("ERROR", "FATAL"):
            self._console.print(f"[red]{node}: {text}[/]")
        elif level == "WARN":
            self._console.print(f"[yellow]{node}: {text}[/]")
        elif node == "session":
            self._console.print(text)


def run_session(launch_file: str, arguments: dict[str, str], folder: Path, console: Console) -> None:
    """Run a launch file to its end, with its logs below the session's folder.

    Args:
        launch_file: name of one of our launch files.
        arguments: launch arguments besides session_dir, session_id and exit_when_done.
        folder: the session's folder.
        console: where to show what happens.

    Raises:
        ConfigError: the folder holds a session already.
        PalpateError: the launch did not end well.
    """
    from palpate_nodes.launching import api

    if folder.exists() and any(folder.iterdir()):
        raise ConfigError(f"{folder} is not empty: choose another --name, or remove it")
    use_own_domain()
    given = {"session_dir": str(folder.parent), "session_id": folder.name, "exit_when_done": "true", **arguments}
    logs = folder / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    console.print(f"[dim]session {folder}, ROS domain {os.environ['ROS_DOMAIN_ID']}, logs in {logs}[/]")
    result = api.launch(launch_file, given, runner="own", log_folder=logs, say=Screen(console))
    if result.exit_code:
        raise PalpateError(f"the session did not end well (exit code {result.exit_code}); see the logs in {logs}")
