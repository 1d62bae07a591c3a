"""Imports point one way, and heavy or optional libraries stay where they belong."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "palpate_agents": ROOT / "agents" / "palpate_agents",
    "palpate_sim": ROOT / "sim" / "palpate_sim",
    "palpate_nodes": ROOT / "ros2_ws" / "src" / "palpate_nodes" / "palpate_nodes",
}
ALLOWED = {
    "palpate_agents": {"palpate_agents"},
    "palpate_sim": {"palpate_agents", "palpate_sim"},
    "palpate_nodes": {"palpate_agents", "palpate_sim", "palpate_nodes", "palpate_interfaces"},
}
OURS = set().union(*ALLOWED.values())


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
    return names


def files(package: str):
    return sorted(PACKAGES[package].rglob("*.py"))


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_point_one_way(package):
    wrong = [
        (path.name, name)
        for path in files(package)
        for name in imported(path)
        if name.split(".")[0] in OURS - ALLOWED[package]
    ]
    assert not wrong


def test_only_the_nodes_import_ros_and_their_devices_do_not():
    for package in ("palpate_agents", "palpate_sim"):
        for path in files(package):
            assert not {n for n in imported(path) if n.split(".")[0] in {"rclpy", "rosbags"}}, path
    for path in (PACKAGES["palpate_nodes"] / "devices").rglob("*.py"):
        assert not {n for n in imported(path) if n.split(".")[0] == "rclpy"}, path


def test_agents_have_no_simulator():
    for path in files("palpate_agents"):
        assert not {n for n in imported(path) if n.split(".")[0] in {"pybullet", "pybullet_data"}}, path


def test_the_vocabulary_stays_light():
    light = [PACKAGES["palpate_agents"] / name for name in ("observation.py", "samples.py", "errors.py")]
    light += sorted((PACKAGES["palpate_agents"] / "materials").rglob("*.py"))
    for path in light:
        assert not {n for n in imported(path) if n.split(".")[0] in {"torch", "scipy", "cv2"}}, path


def test_no_file_is_longer_than_four_hundred_lines():
    long = {
        path.name: count for p in PACKAGES for path in files(p) if (count := len(path.read_text().splitlines())) > 400
    }
    assert not long
