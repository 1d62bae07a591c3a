"""`palpate config check`: parameter files against the nodes' parameter tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console
from rich.table import Table

from palpate_agents.errors import ConfigError

_CHECK_HELP = """Check a parameter file: every node, parameter, type, unit and range. Without one, list them all.

Example:  palpate config check my_cell.yaml
"""


def parameter_tables() -> dict[str, tuple[Any, ...]]:
    """Node name -> its parameter table."""
    from palpate_nodes.arm_node import ArmNode
    from palpate_nodes.camera_node import CameraNode
    from palpate_nodes.cell_node import CellNode
    from palpate_nodes.distillation_node import DistillationNode
    from palpate_nodes.force_torque_node import ForceTorqueNode
    from palpate_nodes.heated_tip_node import HeatedTipNode
    from palpate_nodes.inductive_node import InductiveNode
    from palpate_nodes.node_base import AUTOSTART, PalpateNode
    from palpate_nodes.probing_node import ProbingNode
    from palpate_nodes.recorder_node import RecorderNode
    from palpate_nodes.session_node import SessionNode
    from palpate_nodes.spectrometer_node import SpectrometerNode
    from palpate_nodes.thermal_camera_node import ThermalCameraNode

    nodes: dict[str, type[PalpateNode]] = {
        "cell": CellNode,
        "camera": CameraNode,
        "thermal_camera": ThermalCameraNode,
        "force_torque_sensor": ForceTorqueNode,
        "spectrometer": SpectrometerNode,
        "heated_tip": HeatedTipNode,
        "inductive_sensor": InductiveNode,
        "arm": ArmNode,
        "probing": ProbingNode,
        "distillation": DistillationNode,
        "recorder": RecorderNode,
        "session": SessionNode,
    }
    return {name: (*node.PARAMETERS, AUTOSTART) for name, node in nodes.items()}


def check_file(path: Path) -> int:
    """Check one parameter file; returns how many values it sets.

    Raises:
        ConfigError: not readable, an unknown node or parameter, or an impossible value. A value that holds a launch
            substitution `$(...)` is checked when the launch file runs.
    """
    from palpate_nodes.params import check_all, hint

    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from None
    if not isinstance(content, dict) or not content:
        raise ConfigError(f"{path} is no parameter file: it must map node names to 'ros__parameters'")
    tables = parameter_tables()
    count = 0
    for full_name, section in content.items():
        name = str(full_name).rsplit("/", 1)[-1]
        if name not in tables:
            raise ConfigError(f"{path} names the node '{full_name}'{hint(name, tables)}; known: {', '.join(tables)}")
        if not isinstance(section, dict) or set(section) != {"ros__parameters"}:
            raise ConfigError(f"{path}: node '{full_name}' must hold exactly 'ros__parameters'")
        values = section["ros__parameters"] or {}
        known = {param.name for param in tables[name]}
        plain = {key: value for key, value in values.items() if key not in known or "$(" not in str(value)}
        check_all(tables[name], plain, name)
        count += len(values)
    return count


def check(
    files: Annotated[list[Path] | None, typer.Argument(help="Parameter files.", show_default=False)] = None,
) -> None:
    """Check parameter files, or list every parameter."""
    console = Console(highlight=False)
    for path in files or []:
        console.print(f"[green]ok[/] {path}: {check_file(path)} values")
    if not files:
        for node, table_ in parameter_tables().items():
            table = Table(title=node, title_justify="left")
            for heading in ("parameter", "default", "unit", "range", "meaning"):
                table.add_column(heading, overflow="fold")
            for param in table_:
                low, high = ("" if v is None else f"{v:g}" for v in (param.low, param.high))
                range_ = ", ".join(param.choices) or (f"{low}..{high}" if low or high else "")
                table.add_row(param.name, str(param.default), param.unit, range_, param.description)
            console.print(table)


def register(app: typer.Typer) -> None:
    """Add `config check` to the `palpate` application."""
    config = typer.Typer(help="Parameter files.", no_args_is_help=True)
    config.command("check", help=_CHECK_HELP)(check)
    app.add_typer(config, name="config")
