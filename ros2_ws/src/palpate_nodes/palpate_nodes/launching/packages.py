"""Where packages, their executables and their launch files lie: the ament index, read without rclpy."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from palpate_nodes.launching.errors import LaunchError, known_names

MARKERS = "share/ament_index/resource_index/packages"


def prefixes(environment: Mapping[str, str] = os.environ) -> list[Path]:
    """Install prefixes in order of preference: AMENT_PREFIX_PATH, or this Python's prefix where it is empty."""
    listed = [Path(entry) for entry in environment.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if entry]
    return listed or [Path(sys.prefix)]


def package_prefix(package: str, environment: Mapping[str, str] = os.environ) -> Path:
    """First prefix whose ament index lists the package.

    Raises:
        LaunchError: no prefix has it; names close and known packages.
    """
    found = prefixes(environment)
    for prefix in found:
        if (prefix / MARKERS / package).is_file():
            return prefix
    known = {entry.name for prefix in found if (prefix / MARKERS).is_dir() for entry in (prefix / MARKERS).iterdir()}
    own = {name for name in known if name.startswith("palpate")} | {package for package in known if len(known) < 20}
    raise LaunchError(
        f"package '{package}' is not installed in {os.pathsep.join(map(str, found))} "
        f"({known_names(package, own)}); build the workspace, or set AMENT_PREFIX_PATH"
    )


def package_share(package: str, environment: Mapping[str, str] = os.environ) -> Path:
    """Share folder of a package (see `package_prefix`)."""
    return package_prefix(package, environment) / "share" / package


def executable(package: str, name: str, environment: Mapping[str, str] = os.environ) -> Path:
    """Path of `lib/<package>/<name>`.

    Raises:
        LaunchError: the package or the executable is not there; names those that are.
    """
    folder = package_prefix(package, environment) / "lib" / package
    path = folder / name
    if path.is_file() and os.access(path, os.X_OK):
        return path
    there = [entry.name for entry in folder.iterdir() if os.access(entry, os.X_OK)] if folder.is_dir() else []
    raise LaunchError(f"package '{package}' has no executable '{name}' in {folder}; {known_names(name, there)}")


def launch_file(name: str, package: str = "palpate", environment: Mapping[str, str] = os.environ) -> Path:
    """Launch file by path, or by the name it has in the package's `launch` folder (`sim` or `sim.launch.yaml`).

    Raises:
        LaunchError: neither exists; names the launch files that do.
    """
    path = Path(name)
    if path.is_file():
        return path.resolve()
    if path.suffix or os.sep in name:
        candidates = [package_share(package, environment) / "launch" / name]
    else:
        folder = package_share(package, environment) / "launch"
        candidates = [folder / f"{name}.launch{suffix}" for suffix in (".yaml", ".yml", ".py", ".xml")]
    for candidate in candidates:
        if candidate.is_file():
            return candidate.resolve()
    folder = package_share(package, environment) / "launch"
    there = [entry.name.split(".")[0] for entry in folder.glob("*.launch.*")]
    raise LaunchError(
        f"there is no launch file '{name}', neither as a path nor in {folder}; {known_names(name, there)}"
    )
