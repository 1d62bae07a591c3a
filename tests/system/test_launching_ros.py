"""Our launcher against ROS's own, where that is installed: the same file must start the same processes.

Each process writes down what it was started with; both launchers' records must be equal.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from launching_dummies import events, make_prefix

from palpate_nodes.launching.api import ros_launch_installed

REPOSITORY = Path(__file__).parents[2]
NODES = ("recorder_node", "distillation_node", "probing_node", "cell_node", "session_node")
PROGRAM = """
import sys
from pathlib import Path
from palpate_agents.errors import PalpateError
from palpate_nodes.launching import api
from palpate_nodes.launching.plan import parse_assignments
runner, log_folder, file, *words = sys.argv[1:]
try:
    result = api.launch(file, parse_assignments(words), runner=runner, log_folder=Path(log_folder))
except PalpateError as error:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(error.exit_code)
sys.exit(result.exit_code)
"""

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(not ros_launch_installed(), reason="ROS's own launch is not installed"),
]


class Launchers:
    """Runs a launch file with one launcher and reads what its processes wrote down."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.prefix = make_prefix(folder / "prefix", "palpate_nodes", NODES)
        self.out = folder / "out"

    def start(self, runner: str, file: Path, *words: str) -> "subprocess.Popen[str]":
        shutil.rmtree(self.out, ignore_errors=True)
        self.out.mkdir()
        environment = {**os.environ, "DUMMY_OUT": str(self.out)}
        environment["AMENT_PREFIX_PATH"] = f"{self.prefix}:{os.environ.get('AMENT_PREFIX_PATH', sys.prefix)}"
        for name in ("ROS_AUTOMATIC_DISCOVERY_RANGE", "FASTDDS_BUILTIN_TRANSPORTS", "FASTDDS_DEFAULT_PROFILES_FILE"):
            environment.pop(name, None)
        return subprocess.Popen(
            [sys.executable, "-c", PROGRAM, runner, str(self.folder / f"logs_{runner}"), str(file), *words],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            stdin=subprocess.DEVNULL,
        )

    def records(self, runner: str, file: Path, *words: str, count: int) -> list[dict[str, Any]]:
        """What each process was started with, by executable; the launch is ended by SIGINT."""
        launcher = self.start(runner, file, *words)
        deadline = time.monotonic() + 20
        while len([1 for *_, event in events(self.out) if event == "start"]) < count:
            assert time.monotonic() < deadline, launcher.communicate(timeout=5)
            assert launcher.poll() is None, launcher.communicate(timeout=5)
            time.sleep(0.05)
        launcher.send_signal(signal.SIGINT)
        output, _ = launcher.communicate(timeout=20)
        assert launcher.returncode == 0, output
        assert [event for *_, event in events(self.out)].count("end") == count
        found = []
        for path in sorted(self.out.glob("*.json")):
            record = json.loads(path.read_text())
            del record["pid"], record["environment"]["DUMMY_OUT"]
            record["environment"].pop("ROS_LOG_DIR", None)
            record["files"] = [yaml.safe_load(text) for text in record["files"]]
            found.append(record)
        return found


@pytest.fixture
def launchers(tmp_path: Path) -> Launchers:
    return Launchers(tmp_path)


@pytest.mark.parametrize(
    ("name", "words", "count"),
    [
        ("sim", ("session_id:=s1",), 5),
        ("sim", ("session_id:=7", "record:=false", "namespace:=line/two", "rate:=1", "material:=PP", "parts:=2"), 4),
        ("replay", ("session_id:=r", "bag:=/a b/c", "record:=true", "log_level:=debug"), 5),
    ],
)
def test_the_projects_launch_files_start_the_same(
    launchers: Launchers, name: str, words: tuple[str, ...], count: int
) -> None:
    file = REPOSITORY / "launch" / f"{name}.launch.yaml"
    ours = launchers.records("own", file, *words, count=count)
    theirs = launchers.records("ros", file, *words, count=count)
    assert ours == theirs
    assert len(ours) == count
    assert all(record["environment"]["FASTDDS_BUILTIN_TRANSPORTS"] == "LARGE_DATA" for record in ours)


SUBSET = """
launch:
- arg: {name: who, default: "$(env USER_NAME world)"}
- arg: {name: number, default: "6", description: a number, choice: [{value: "6"}, {value: "7"}]}
- let: {name: greeting, value: "hello $(var who)"}
- set_env: {name: DUMMY_A, value: "$(var greeting)"}
- set_env: {name: DUMMY_GONE, value: x}
- unset_env: {name: DUMMY_GONE}
- log: {message: "$(var greeting)"}
- group:
    scoped: true
    children:
    - push_ros_namespace: {namespace: outer}
    - let: {name: who, value: scoped}
    - set_env: {name: DUMMY_B, value: "$(var who)"}
    - node:
        pkg: palpate_nodes
        exec: cell_node
        name: cell
        namespace: inner
        exec_name: label
        args: "--x '1 2' $(var who)  --y=$(eval '$(var number) * 2.5') a$(var greeting)b"
        ros_args: --log-level debug
        cwd: $(dirname)
        output: screen
        param:
        - {name: i, value: $(var number)}
        - {name: s, value: $(var number), type: str}
        - {name: f, value: $(var number), type: float}
        - {name: literal, value: "6"}
        - {name: flag, value: true}
        - {name: list, value: "[1, 2]", type: str}
        - {name: list2, value: "$(var nothing '[1.5, 2.5]')"}
        - {name: mixed, value: [a, "$(var who)"]}
        - {name: outer, param: [{name: a, value: 1.5}, {name: in, param: [{name: b, value: [1, 2]}]}]}
        - {from: $(dirname)/p.yaml, allow_substs: true}
        - {from: $(dirname)/p.yaml}
        remap: [{from: a, to: "$(var who)"}, {from: /b, to: c}]
        env: [{name: DUMMY_C, value: "$(var number)"}]
- node:
    pkg: palpate_nodes
    exec: probing_node
    param: [{name: p, value: "$(var who)"}]
    if: "$(equals $(var number) 6.0)"
- node: {pkg: palpate_nodes, exec: session_node, unless: "$(var on true)"}
- include: {file: $(dirname)/inner.launch.yaml, arg: [{name: given, value: "$(var who)!"}]}
"""
INNER = """
launch:
- arg: {name: given}
- arg: {name: other, default: "$(filename)"}
- executable: {cmd: "$(find-pkg-prefix palpate_nodes)/lib/palpate_nodes/recorder_node $(var given) $(var other)"}
"""


def test_the_documented_subset_means_the_same(launchers: Launchers, tmp_path: Path) -> None:
    (tmp_path / "x.launch.yaml").write_text(SUBSET)
    (tmp_path / "inner.launch.yaml").write_text(INNER)
    (tmp_path / "p.yaml").write_text("/outer/inner/cell: {ros__parameters: {a: '$(var who)', b: \"$(var number)\"}}\n")
    ours = launchers.records("own", tmp_path / "x.launch.yaml", count=3)
    theirs = launchers.records("ros", tmp_path / "x.launch.yaml", count=3)
    assert ours == theirs
    assert len(ours) == 3


@pytest.mark.parametrize(
    "element",
    [
        "- nod: {pkg: palpate_nodes}",
        "- node: {pkg: palpate_nodes, exec: cell_node, respwan: 'true'}",
        "- node: {pkg: palpate_nodes, exec: cell_node, respawn: true}",
        "- node: {pkg: palpate_nodes, exec: cell_node, respawn_delay: 1}",
        "- node: {pkg: palpate_nodes, exec: cell_node, if: maybe}",
        "- node: {pkg: palpate_nodes, exec: cell_node, on_exit: restart}",
        "- node: {pkg: palpate_nodes, exec: cell_node, param: [{name: a, value: 1, type: float}]}",
        "- node: {pkg: palpate_nodes, exec: cell_node, param: [{name: a, value: '$(var x 2026-01-01)'}]}",
        "- node: {pkg: palpate_nodes, exec: none}",
        "- node: {pkg: none, exec: cell_node}",
        "- arg: {name: a, default: 6}",
        "- arg: {name: a}",
        "- log: {message: $(var nothing)}",
        "- log: {message: $(nothing)}",
        "- let: {name: a}",
    ],
)
def test_what_one_refuses_the_other_refuses(launchers: Launchers, tmp_path: Path, element: str) -> None:
    file = tmp_path / "x.launch.yaml"
    file.write_text(textwrap.dedent(f"launch:\n{element}\n"))
    for runner in ("own", "ros"):
        launcher = launchers.start(runner, file)
        output, _ = launcher.communicate(timeout=20)
        assert launcher.returncode != 0, (runner, output)
        assert not events(launchers.out)


@pytest.mark.parametrize("runner", ["own", "ros"])
def test_a_misspelt_argument_and_a_crash_give_an_exit_code_with_either(
    launchers: Launchers, tmp_path: Path, runner: str
) -> None:
    file = tmp_path / "x.launch.yaml"
    file.write_text(
        "launch:\n- arg: {name: code, default: '7'}\n"
        "- node: {pkg: palpate_nodes, exec: recorder_node}\n"
        "- node: {pkg: palpate_nodes, exec: cell_node, args: fail=$(var code) after=1, on_exit: shutdown}\n"
    )
    launcher = launchers.start(runner, file, "coed:=1")
    output, _ = launcher.communicate(timeout=20)
    assert launcher.returncode == 2
    assert "did you mean 'code'" in output
    launcher = launchers.start(runner, file, "code:=9")
    launcher.communicate(timeout=20)
    assert launcher.returncode == 9
    assert ("recorder_node", "end") in [event[1:] for event in events(launchers.out)]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_ros_launch_leaves_no_orphans_either(launchers: Launchers, number: int) -> None:
    launcher = launchers.start("ros", REPOSITORY / "launch/sim.launch.yaml")
    deadline = time.monotonic() + 20
    while len([1 for *_, event in events(launchers.out) if event == "start"]) < 5:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    launcher.send_signal(number)
    launcher.communicate(timeout=20)
    deadline = time.monotonic() + 10
    while len([1 for *_, event in events(launchers.out) if event == "end"]) < 5:
        assert time.monotonic() < deadline
        time.sleep(0.05)
