"""ROS's own launch as the runner, with what it leaves out: misspelt arguments, exit code, orphans.

Imported only where `api.ros_launch_installed()`.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from palpate_nodes.launching import reaper
from palpate_nodes.launching.errors import LaunchError, known_names
from palpate_nodes.launching.plan import Argument
from palpate_nodes.launching.process import ENDED_BY_US
from palpate_nodes.launching.runner import Ended, Result


def _description(path: Path) -> Any:
    from launch.launch_description_sources import get_launch_description_from_any_launch_file

    try:
        return get_launch_description_from_any_launch_file(str(path))
    except Exception as error:  # its parsers raise anything
        raise LaunchError(f"{path}: {error}") from error


def arguments_of(path: Path) -> list[Argument]:
    """Declared arguments of any launch file that ROS's launch can read."""
    found = []
    for argument in _description(path).get_launch_arguments():
        default = argument.default_value
        text = None if default is None else " + ".join(part.describe() for part in default).strip("'")
        found.append(Argument(argument.name, text, argument.description, tuple(argument.choices or ())))
    return found


def launch(path: Path, given: Mapping[str, str], log_folder: Path) -> Result:
    """Run a launch file with `launch.LaunchService`.

    Args:
        path: the launch file.
        given: launch arguments; one that the file does not declare is an error (ROS's launch ignores it).
        log_folder: for its logs.

    Returns:
        the result. ROS's launch itself returns 0 when a node crashes; here the first crash's code is returned.
    """
    from launch.actions import IncludeLaunchDescription, RegisterEventHandler
    from launch.event_handlers import OnProcessExit, OnProcessStart, OnShutdown
    from launch.launch_description_sources import AnyLaunchDescriptionSource

    # By name: to a type checker, `launch` is the project's folder of launch files.
    ros: Any = importlib.import_module("launch")
    known = {argument.name: argument for argument in arguments_of(path)}
    for name, value in given.items():
        if name not in known:
            raise LaunchError(f"{path.name} has no launch argument '{name}'; {known_names(name, known)}")
        if known[name].choices and value not in known[name].choices:
            choices = known_names(value, known[name].choices)
            raise LaunchError(f"{path.name}: {name}:={value} is not one of its choices; {choices}")
    log_folder.mkdir(parents=True, exist_ok=True)
    ros.logging.launch_config.log_dir = str(log_folder)
    result = Result(log_folder=log_folder)
    guard = reaper.Guard()
    pids: set[int] = set()
    ports: set[str] = set()

    def on_start(event: Any, context: Any) -> None:
        guard.add(event.pid)
        pids.add(event.pid)

    def on_shutdown(event: Any, context: Any) -> None:
        ports.update(*(reaper.used_ports(pid) for pid in pids))

    def on_exit(event: Any, context: Any) -> None:
        guard.remove(event.pid)
        pids.discard(event.pid)
        code = event.returncode
        clean = code == 0 or (context.is_shutdown and code in ENDED_BY_US)
        result.ended.append(Ended(event.process_name, code, clean, []))
        respawned = _respawns(event.action) and not context.is_shutdown
        if not clean and not respawned and result.exit_code == 0:
            result.exit_code = code if 0 < code < 126 else 1

    service = ros.LaunchService(
        argv=[f"{name}:={value}" for name, value in given.items()], noninteractive=not sys.stdin.isatty()
    )
    service.include_launch_description(
        ros.LaunchDescription(
            [
                RegisterEventHandler(OnProcessStart(on_start=on_start)),
                RegisterEventHandler(OnProcessExit(on_exit=on_exit)),
                RegisterEventHandler(OnShutdown(on_shutdown=on_shutdown)),
                IncludeLaunchDescription(AnyLaunchDescriptionSource(str(path)), launch_arguments=list(given.items())),
            ]
        )
    )
    try:
        code = service.run()
    finally:
        guard.close()
        reaper.remove_dead_segments(ports)
    result.exit_code = result.exit_code or code
    return result


def _respawns(action: Any) -> bool:
    """Whether the action starts its process again: a private attribute; False where it is named otherwise."""
    return getattr(action, "_ExecuteLocal__respawn", False) is True
