"""The parameter files against the nodes: every parameter exists, with the right type and within its range."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from palpate_agents.errors import ConfigError
from palpate_nodes.cell_node import CellNode
from palpate_nodes.distillation_node import DistillationNode
from palpate_nodes.launching.plan import make_plan
from palpate_nodes.node_base import AUTOSTART
from palpate_nodes.params import check_all
from palpate_nodes.probing_node import ProbingNode
from palpate_nodes.recorder_node import RecorderNode
from palpate_nodes.session_node import SessionNode

REPOSITORY = Path(__file__).parents[2]
NODES = {
    "cell": CellNode,
    "probing": ProbingNode,
    "distillation": DistillationNode,
    "recorder": RecorderNode,
    "session": SessionNode,
}


def parameters(name: str, prefix: Path, **given: str) -> dict[str, dict[str, Any]]:
    """Node -> parameters, as the launch file hands them over."""
    markers = prefix / "share/ament_index/resource_index/packages"
    markers.mkdir(parents=True, exist_ok=True)
    (markers / "palpate_nodes").touch()
    (prefix / "lib/palpate_nodes").mkdir(parents=True, exist_ok=True)
    for node in NODES:
        (prefix / f"lib/palpate_nodes/{node}_node").touch(mode=0o755)
    plan = make_plan(REPOSITORY / "launch" / f"{name}.launch.yaml", given, {"AMENT_PREFIX_PATH": str(prefix)})
    content = yaml.safe_load(plan.processes[0].parameter_files[0].content or "")
    return {key.rsplit("/", 1)[-1]: section["ros__parameters"] for key, section in content.items()}


@pytest.mark.parametrize("name", ["sim", "replay"])
@pytest.mark.parametrize("given", [{}, {"session_id": "1", "rate": "1.5", "record": "false", "exit_when_done": "true"}])
def test_every_node_takes_its_section(tmp_path: Path, name: str, given: dict[str, str]) -> None:
    sections = parameters(name, tmp_path, **given)
    assert set(sections) == set(NODES)
    for node, values in sections.items():
        checked = check_all((*NODES[node].PARAMETERS, AUTOSTART), values, node)
        for key in set(values) - {"use_sim_time"}:
            assert checked[key] == values[key]


def test_launch_arguments_reach_the_nodes(tmp_path: Path) -> None:
    given = {"seed": "3", "parts": "2", "rate": "1", "material": "PP", "material_model": "/m", "session_dir": "/a b"}
    sections = parameters("sim", tmp_path, **given, session_id="7", exit_when_done="true")
    assert sections["cell"]["seed"] == 3
    assert sections["cell"]["parts"] == sections["session"]["parts"] == 2
    assert sections["cell"]["rate"] == 1
    assert sections["session"]["material"] == "PP"
    assert sections["session"]["exit_when_done"] is True
    assert sections["probing"]["model"] == "/m"
    for node in ("recorder", "distillation", "session"):
        assert sections[node]["session_dir"] == "/a b/7"
    sections = parameters("replay", tmp_path, bag="/b", models="/m.json", item="1", kind="identify")
    assert (sections["cell"]["backend"], sections["cell"]["bag"], sections["cell"]["item"]) == ("recorded", "/b", "1")
    assert (sections["session"]["kind"], sections["session"]["models"]) == ("identify", "/m.json")


def test_a_wrong_value_is_refused_by_the_node(tmp_path: Path) -> None:
    sections = parameters("sim", tmp_path, parts="two")
    with pytest.raises(ConfigError, match="'parts' of node 'session' must be a int, not 'two'"):
        check_all(SessionNode.PARAMETERS, sections["session"], "session")
