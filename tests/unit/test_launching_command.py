"""`palpate launch`: what it shows, what it starts, its exit code; and which launcher is chosen."""

import os
import sys
from pathlib import Path

import pytest
import typer
from launching_planner import make_prefix
from typer.testing import CliRunner, Result

from palpate_nodes.commands import launch
from palpate_nodes.launching import api, packages
from palpate_nodes.launching.errors import LaunchError

FILE = """launch:
- arg: {name: code, default: "0", description: exit code of the node, choice: [{value: "0"}, {value: "7"}]}
- arg: {name: text, default: "[bold]"}
- node: {pkg: tools, exec: talker, args: $(var code), output: screen, on_exit: shutdown, param: [{name: p, value: 1}]}
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    prefix = make_prefix(tmp_path / "prefix")
    (prefix / "lib/tools/talker").write_text('#!/bin/sh\necho "says $1"\nexit $1\n')
    monkeypatch.setenv("AMENT_PREFIX_PATH", os.pathsep.join(map(str, (prefix, *packages.prefixes()))))
    monkeypatch.setenv("COLUMNS", "200")
    path = tmp_path / "x.launch.yaml"
    path.write_text(FILE)
    return path


def run(*words: str) -> Result:
    app = typer.Typer()
    launch.register(app)
    app.command("other")(lambda: None)
    return CliRunner().invoke(app, ["launch", *words])


@pytest.mark.parametrize("code", ["0", "7"])
def test_the_exit_code_is_the_nodes(file: Path, tmp_path: Path, code: str) -> None:
    result = run(str(file), f"code:={code}", "--runner", "own", "--log-dir", str(tmp_path / "logs"))
    assert result.exit_code == int(code)
    assert f"[talker-1] says {code}" in result.output
    assert f"logs: {tmp_path / 'logs'}" in result.output
    log = (tmp_path / "logs/launch.log").read_text()
    assert ("failed: exit code 7" in log) == (code == "7")


def test_arguments_are_shown(file: Path) -> None:
    result = run(str(file), "--show-args", "--runner", "own")
    assert result.exit_code == 0
    for part in ("code", "exit code of the node", "(one of: 0, 7)", "[bold]"):
        assert part in result.output


def test_the_plan_is_printed_and_nothing_is_started(file: Path) -> None:
    result = run(str(file), "code:=7", "--print")
    assert result.exit_code == 0
    assert "talker 7 --ros-args --params-file (in line)" in result.output
    assert "p: 1" in result.output
    assert "ends the launch when it ends" in result.output
    assert "says" not in result.output


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("coed:=1",), "did you mean 'code'"),
        (("code=1",), "name:=value"),
        (("code:=1",), "not one of its choices"),
        (("--runner", "mine"), "known: auto, own, ros"),
    ],
)
def test_a_mistake_is_one_error(file: Path, words: tuple[str, ...], says: str) -> None:
    result = run(str(file), *words)
    assert isinstance(result.exception, LaunchError)
    assert result.exception.exit_code == 2
    assert says in str(result.exception)


def test_a_folder_called_launch_is_not_ros_launch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`import launch` succeeds beside a folder of that name (a namespace package)."""
    (tmp_path / "launch").mkdir()
    before = [name for name in sys.modules if name == "launch" or name.startswith("launch.")]
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.setattr(sys, "path_importer_cache", {})
    for name in before:
        monkeypatch.delitem(sys.modules, name)
    assert not api.ros_launch_installed()
    assert api.chosen_runner("auto") == "own"
    with pytest.raises(LaunchError, match="not installed"):
        api.chosen_runner("ros")
    for name in [name for name in sys.modules if name == "launch"]:
        monkeypatch.delitem(sys.modules, name)


def test_logs_go_where_ros_puts_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ROS_LOG_DIR", str(tmp_path / "a"))
    assert api.default_log_folder().parent == tmp_path / "a"
    monkeypatch.delenv("ROS_LOG_DIR")
    monkeypatch.setenv("ROS_HOME", str(tmp_path / "b"))
    assert api.default_log_folder().parent == tmp_path / "b/log"
