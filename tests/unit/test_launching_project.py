"""The launch files of the project: processes, arguments, parameters, environment."""

from pathlib import Path

import pytest
import yaml

from palpate_nodes.launching.loading import load
from palpate_nodes.launching.plan import declared_arguments, make_plan

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path: Path) -> dict[str, str]:
    """Environment in which the executables that the launch files name exist."""
    root = tmp_path / "project"
    (root / "share/ament_index/resource_index/packages").mkdir(parents=True)
    (root / "share/ament_index/resource_index/packages/palpate_nodes").touch()
    (root / "lib/palpate_nodes").mkdir(parents=True)
    for name in ("cell", "probing", "distillation", "recorder", "session"):
        path = root / f"lib/palpate_nodes/{name}_node"
        path.touch()
        path.chmod(0o755)
    return {"AMENT_PREFIX_PATH": str(root)}


@pytest.mark.parametrize("name", ["sim", "replay"])
def test_the_projects_launch_files(name: str, project: dict[str, str]) -> None:
    file = REPOSITORY / "launch" / f"{name}.launch.yaml"
    declared = {argument.name: argument for argument in declared_arguments(load(file))}
    assert all(argument.description for argument in declared.values())
    made = make_plan(file, {"record": "true", "namespace": "line2", "session_id": "0815", "rate": "1"}, project)
    executables = [process.name.split("-")[0] for process in made.processes]
    assert executables == ["recorder_node", "distillation_node", "probing_node", "cell_node", "session_node"]
    assert [process.required for process in made.processes] == [True, False, True, True, True]
    for process in made.processes:
        assert process.environment["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "LOCALHOST"
        assert process.environment["FASTDDS_BUILTIN_TRANSPORTS"] == "LARGE_DATA"
        assert Path(process.environment["FASTDDS_DEFAULT_PROFILES_FILE"]).samefile(REPOSITORY / "config/fastdds.xml")
        assert not any("__node:=" in word for word in process.head)
        assert "__ns:=/line2" in process.head
        (file_,) = process.parameter_files
        nodes = yaml.safe_load(file_.content)
        assert set(nodes) >= {f"/line2/{node}" for node in ("cell", "probing", "distillation", "recorder", "session")}
        assert not any("*" in node for node in nodes)
        for node in ("recorder", "session"):
            values = nodes[f"/line2/{node}"]["ros__parameters"]
            assert values["session_id"] == "0815"
            assert values["session_dir"] == "sessions/0815"
        assert nodes["/line2/cell"]["ros__parameters"]["wait_for"] == ["probing", "recorder"]


def test_without_recorder_time_does_not_wait_for_it(project: dict[str, str]) -> None:
    made = make_plan(REPOSITORY / "launch/sim.launch.yaml", {"record": "false"}, project)
    assert len(made.processes) == 4
    nodes = yaml.safe_load(made.processes[0].parameter_files[0].content)
    assert nodes["/cell/cell"]["ros__parameters"]["wait_for"] == ["probing"]


def test_film_and_window_reach_the_cell(project: dict[str, str]) -> None:
    for given, expected in (({}, ("", False)), ({"video": "/tmp/a b.mp4", "gui": "true"}, ("/tmp/a b.mp4", True))):
        made = make_plan(REPOSITORY / "launch/sim.launch.yaml", given, project)
        values = yaml.safe_load(made.processes[0].parameter_files[0].content)["/cell/cell"]["ros__parameters"]
        assert (values["video"], values["gui"]) == expected


def test_every_parameter_of_the_simulated_cell_says_what_it_does() -> None:
    section = (REPOSITORY / "config/sim.yaml").read_text().split("/cell:\n")[1].split("\n\n")[0]
    lines = [line.strip() for line in section.splitlines() if "ros__parameters" not in line]
    assert len(lines) >= 8
    for line in lines:
        name, _, comment = line.partition(": ")[0], *line.partition(" # ")[1:]
        assert len(comment) > 3, f"config/sim.yaml does not say what '{name}' does"


def test_what_the_user_has_set_is_kept(project: dict[str, str]) -> None:
    mine = {"ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET", "FASTDDS_BUILTIN_TRANSPORTS": "UDPv4"}
    mine |= {"FASTDDS_DEFAULT_PROFILES_FILE": "/my.xml"}
    environment = make_plan(REPOSITORY / "launch/sim.launch.yaml", {}, project | mine).processes[0].environment
    assert {name: environment[name] for name in mine} == mine
