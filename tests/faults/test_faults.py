"""Mistakes and faults of the running nodes: one clear sentence, an exit code, no hang, nothing lost."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from palpate_agents.fusion import FusionConfig, MultimodalFusionNetwork
from palpate_agents.model_io import CARD_FILE, WEIGHTS_FILE, save_model
from palpate_nodes.commands import doctor
from palpate_nodes.launching.environment import FAIL, OK

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
        ("probing_node", "probing", "{strategy: clever}", "fixed"),
        ("probing_node", "probing", "{abstain_novel: 2}", "abstain_novel"),
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


def altered(folder):
    """One bit of the weights has flipped."""
    data = bytearray((folder / WEIGHTS_FILE).read_bytes())
    data[-1] ^= 1
    (folder / WEIGHTS_FILE).write_bytes(bytes(data))


def card_with(**changes):
    def change(folder):
        card = json.loads((folder / CARD_FILE).read_text())
        (folder / CARD_FILE).write_text(json.dumps(card | changes))

    return change


BAD_MODELS = {
    "altered": (altered, "was altered or is incomplete"),
    "cut off": (lambda f: (f / WEIGHTS_FILE).write_bytes(b"x"), "was altered or is incomplete"),
    "no weights": (lambda f: (f / WEIGHTS_FILE).unlink(), "weights.safetensors is missing"),
    "no card": (lambda f: (f / CARD_FILE).unlink(), "card.json is missing"),
    "older features": (card_with(feature_version="1"), "feature_version '1', this version of palpate needs"),
    "later format": (card_with(format_version=9), "format_version 9, this version of palpate needs"),
}


@pytest.fixture
def model(tmp_path_factory):
    """Folder of a whole model, small and untrained."""
    folder = tmp_path_factory.mktemp("models") / "small"
    save_model(MultimodalFusionNetwork(FusionConfig(("PP", "ABS"), hidden=16, state_dim=16)), folder, "small")
    return folder


@pytest.mark.parametrize("fault", BAD_MODELS)
def test_a_session_with_a_bad_model_does_not_begin(tmp_path, model, fault):
    spoil, says = BAD_MODELS[fault]
    spoil(model)
    words = ["replay", "/nowhere"] if fault == "altered" else ["sim"]
    done = run(*CLI, *words, "--model", model, cwd=tmp_path)
    text = " ".join((done.stderr + done.stdout).split())
    assert done.returncode == 2, (words, done.stderr)
    assert says in text
    assert "Traceback" not in text
    assert not list(tmp_path.iterdir()), "nothing was started"


@pytest.mark.parametrize("fault", ["altered", "older features"])
def test_node_and_doctor_name_a_bad_model(tmp_path, model, fault):
    spoil, says = BAD_MODELS[fault]
    spoil(model)
    file = tmp_path / "parameters.yaml"
    file.write_text(f"/cell/probing:\n  ros__parameters: {{model: {model}}}\n")
    done = run(NODES / "probing_node", "--ros-args", "--params-file", file, cwd=tmp_path)
    assert done.returncode == 3
    assert says in done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    finding = doctor.model_loads(str(model))
    assert finding.status == FAIL
    assert says in finding.detail
    assert "palpate train perception" in finding.remedy


def test_the_doctor_names_a_model_that_works(model):
    finding = doctor.model_loads(str(model))
    assert finding.status == OK, finding
    assert finding.detail.startswith("small ")
    assert "2 materials" in finding.detail


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
