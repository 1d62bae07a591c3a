"""Launching as the commands use it: by name, with ROS's own launch where there is one, otherwise by ourselves."""

from __future__ import annotations

import importlib.util
import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path

from palpate_nodes.launching import packages
from palpate_nodes.launching.errors import LaunchError
from palpate_nodes.launching.plan import Argument, declared_arguments, make_plan
from palpate_nodes.launching.process import Say
from palpate_nodes.launching.runner import Result, Runner

RUNNERS = ("auto", "own", "ros")


def ros_launch_installed() -> bool:
    """Whether ROS's own launch can be imported.

    `import launch` alone proves nothing: a folder `launch/` in the search path is a namespace package of that name,
    and the package index has an unrelated project called launch.
    """
    try:
        return all(
            importlib.util.find_spec(name) is not None for name in ("launch.actions", "launch_ros", "launch_yaml")
        )
    except (ImportError, AttributeError, ValueError):
        return False


def chosen_runner(runner: str) -> str:
    """`own` or `ros` for one of `RUNNERS`.

    Raises:
        LaunchError: unknown, or ROS's launch is asked for and not there.
    """
    if runner not in RUNNERS:
        raise LaunchError(f"runner '{runner}' is unknown; known: {', '.join(RUNNERS)}")
    if runner == "ros" and not ros_launch_installed():
        raise LaunchError(
            "ROS's own launch is not installed (Debian package ros-<distro>-ros2launch); use --runner own"
        )
    return "ros" if runner == "ros" or (runner == "auto" and ros_launch_installed()) else "own"


def default_log_folder() -> Path:
    """A new folder where ROS's launch would log: below ROS_LOG_DIR, or ROS_HOME/log, or ~/.ros/log."""
    home = Path(os.environ.get("ROS_HOME") or Path.home() / ".ros")
    base = Path(os.environ.get("ROS_LOG_DIR") or home / "log")
    return base / f"{time.strftime('%Y-%m-%d-%H-%M-%S')}-{socket.gethostname()}-{os.getpid()}"


def arguments_of(name: str, runner: str = "auto") -> list[Argument]:
    """Declared launch arguments of a launch file, by name or path."""
    path = packages.launch_file(name)
    if chosen_runner(runner) == "ros":
        from palpate_nodes.launching import ros_launch

        return ros_launch.arguments_of(path)
    from palpate_nodes.launching.loading import load

    return declared_arguments(load(path))


def launch(
    name: str,
    arguments: Mapping[str, str] | None = None,
    *,
    runner: str = "auto",
    log_folder: Path | None = None,
    say: Say | None = None,
) -> Result:
    """Run a launch file until it ends; blocks.

    Args:
        name: path of a launch file, or its name in the package (`sim`).
        arguments: launch arguments.
        runner: `own`, `ros`, or `auto` (ROS's where it is installed).
        log_folder: for the processes' output; None for a new folder below ~/.ros/log.
        say: takes (process, line) for each line to be shown; None prints. Only with our own runner.

    Returns:
        the result; its `exit_code` is 0 if everything ended as it should.

    Raises:
        LaunchError: the file, an argument or a value is wrong; nothing has been started.
    """
    path = packages.launch_file(name)
    given = dict(arguments or {})
    folder = log_folder or default_log_folder()
    if chosen_runner(runner) == "ros":
        from palpate_nodes.launching import ros_launch

        return ros_launch.launch(path, given, folder)
    return Runner(make_plan(path, given), log_folder=folder, say=say).run()
