"""Mistakes and faults of the running nodes: one clear sentence, an exit code, no hang, nothing lost."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

NODES = Path(sys.prefix) / "lib" / "palpate_nodes"
CLI = [sys.executable, "-m", "palpate_nodes.cli"]


def run(*words, cwd, timeout=60, domain=91):
    environment = {**os.environ, "ROS_DOMAIN_ID": str(domain)}
    return subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


@pytest.mark.parametrize(
    ("executable", "node", "parameters", "says"),
    [
        ("cell_node", "cell", "{ratte: 1.0}", "did you mean 'rate'"),
        ("cell_node", "cell", "{rate: -1.0}", "below the smallest allowed value"),
        ("cell_node", "cell", "{backend: recorded}", "exactly one of the parameters 'bag' and 'data'"),
        ("cell_node", "cell", "{backend: recorded, data: /nowhere}", "/nowhere"),
        ("cell_node", "cell", "{backend: recorded, bag: /nowhere}", "/nowhere"),
        ("cell_node", "cell", "{backend: realsense}", "sim, recorded"),
        ("probing_node", "probing", "{strategy: greedy}", "fixed"),
        ("session_node", "session", "{parts: -1}", "below the smallest"),
    ],
)
def test_a_wrong_parameter_ends_the_node_with_one_sentence(tmp_path, executable, node, parameters, says):
    file = tmp_path / "parameters.yaml"
    file.write_text(f"/cell/{node}:\n  ros__parameters: {parameters}\n")
    done = run(NODES / executable, "--ros-args", "--params-file", file, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_model_is_said_by_the_node(tmp_path):
    file = tmp_path / "parameters.yaml"
    file.write_text("/cell/probing:\n  ros__parameters: {model: nobody}\n")
    done = run(NODES / "probing_node", "--ros-args", "--params-file", file, cwd=tmp_path)
    assert done.returncode == 3
    assert "there is no model 'nobody'" in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["sim", "--material", "PPP"], "did you mean"),
        (["sim", "--parts", "0"], "--parts"),
        (["sim", "--model", "nobody"], "there is no model 'nobody'"),
        (["sim", "--name", "../out"], "must be 1 to 100 letters"),
        (["identify", "--data", "/nowhere"], "/nowhere"),
        (["replay", "/nowhere"], "/nowhere"),
        (["bag", "info", "/nowhere"], "/nowhere"),
        (["report", "/nowhere"], "/nowhere"),
        (["config", "check", "/nowhere.yaml"], "/nowhere.yaml"),
        (["launch", "nobody"], "nobody"),
        (["launch", "sim", "partz:=2"], "did you mean"),
        (["simm"], "No such command"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_sentence(tmp_path, words, says):
    done = run(*CLI, *words, cwd=tmp_path)
    assert done.returncode == 2, (done.returncode, done.stderr)
    assert says in done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir()), "a mistake leaves nothing behind"


def test_a_parameter_file_is_checked_before_anything_starts(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("/cell/probing:\n  ros__parameters: {confidance: 0.9}\n")
    done = run(*CLI, "config", "check", file, cwd=tmp_path)
    assert done.returncode == 2
    assert "did you mean 'confidence'" in done.stderr
