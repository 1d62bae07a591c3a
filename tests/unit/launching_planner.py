"""What the tests of launch plans share: an install prefix, and a writer of launch files."""

import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml

from palpate_nodes.launching.errors import LaunchError
from palpate_nodes.launching.plan import Plan, make_plan


def make_prefix(root: Path) -> Path:
    """An install prefix with one package, its executables and its share folder."""
    for folder in ("share/ament_index/resource_index/packages", "share/tools/launch", "lib/tools"):
        (root / folder).mkdir(parents=True)
    (root / "share/ament_index/resource_index/packages/tools").touch()
    for name in ("talker", "listener"):
        path = root / "lib/tools" / name
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
    (root / "lib/tools/data.txt").touch()
    (root / "share/tools/launch/demo.launch.yaml").write_text("launch: []\n")
    return root


class Planner:
    """Writes a launch file and plans it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.prefix = make_prefix(folder / "prefix")
        self.environment = {"AMENT_PREFIX_PATH": str(self.prefix), "PATH": "/usr/bin:/bin", "SET": "by the user"}

    def write(self, text: str, name: str = "x.launch.yaml") -> Path:
        path = self.folder / name
        path.write_text(textwrap.dedent(text))
        return path

    def __call__(self, text: str, **given: str) -> Plan:
        return make_plan(self.write(text), given, self.environment)

    def fails(self, text: str, **given: str) -> str:
        with pytest.raises(LaunchError) as error:
            self(text, **given)
        return str(error.value)


def words(made: Plan, index: int = 0) -> list[str]:
    """Command of one process, its executable by name only."""
    head = made.processes[index].head
    return [Path(head[0]).name, *head[1:], *made.processes[index].tail]


def parameters(made: Plan, index: int = 0) -> list[dict[str, Any]]:
    return [yaml.safe_load(file.content or file.path.read_text()) for file in made.processes[index].parameter_files]
