"""The launcher with real middleware: what a killed node leaves in shared memory, and room for pictures in it."""

import os
import re
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from palpate_nodes.launching import reaper
from palpate_nodes.launching.plan import make_plan
from palpate_nodes.launching.runner import Runner

REPOSITORY = Path(__file__).parents[2]
NODE = """
import rclpy
from std_msgs.msg import String
rclpy.init()
node = rclpy.create_node("shared_memory_user")
node.create_subscription(String, "chatter", lambda message: None, 10)
publisher = node.create_publisher(String, "chatter", 10)
node.create_timer(0.005, lambda: publisher.publish(String(data="x")))
print("up", flush=True)
try:
    rclpy.spin(node)
except BaseException:
    node.destroy_node()
    rclpy.try_shutdown()
"""
NAMES = ("one", "two", "three", "four")
pytestmark = pytest.mark.system


def segments(pid: int) -> set[Path]:
    """Fast DDS segments that a process has mapped."""
    maps = Path(f"/proc/{pid}/maps").read_text()
    return {Path(found) for found in re.findall(r"/dev/shm/fastdds_[0-9a-z]{16}", maps)}


@pytest.fixture
def launch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Starts nodes with the project's Fast DDS profile; gives (runner, thread, pids by name)."""
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    monkeypatch.setenv("ROS_DOMAIN_ID", str(40 + os.getpid() % 50))
    monkeypatch.setenv("FASTDDS_DEFAULT_PROFILES_FILE", str(REPOSITORY / "config/fastdds.xml"))
    script = tmp_path / "node.py"
    script.write_text(NODE)
    element = "- executable: {{cmd: {} {}, name: {}, output: screen}}\n"
    file = tmp_path / "x.launch.yaml"
    file.write_text("launch:\n" + "".join(element.format(sys.executable, script, name) for name in NAMES))
    lines: list[tuple[str, str]] = []
    runner = Runner(make_plan(file, {}), say=lambda *line: lines.append(line))
    thread = threading.Thread(target=runner.run)
    thread.start()
    deadline = time.monotonic() + 30
    while {name for name, line in lines if line == "up"} != {f"{name}-{index}" for index, name in enumerate(NAMES, 1)}:
        assert time.monotonic() < deadline, lines
        time.sleep(0.05)
    starts = (re.fullmatch(r"(\S+) started \(pid (\d+)\)", line) for name, line in lines if name == "launch")
    yield runner, thread, {match[1]: int(match[2]) for match in starts if match}
    runner.stop()
    thread.join(20)


def test_segments_of_a_killed_node_are_removed_and_those_of_living_ones_are_not(launch) -> None:
    runner, thread, pids = launch
    own = segments(os.getpid())
    left_behind = {path for pid in pids.values() for path in segments(pid) if path.exists()} - own
    assert left_behind, "the nodes use shared memory"
    time.sleep(1.1)  # the age from which a segment is judged
    for pid in pids.values():
        os.kill(pid, signal.SIGKILL)
    thread.join(20)
    assert not thread.is_alive()
    assert {ended.exit_code for ended in runner.result.ended} == {-9}
    assert not [path for path in left_behind if path.exists()]


def test_an_orderly_end_leaves_no_ports_behind(launch) -> None:
    """Fast DDS itself does: each participant opens the ports of the others, and does not remove them."""
    runner, thread, pids = launch
    time.sleep(0.5)  # discovery: each has opened the other's port
    ports = set().union(*(reaper.used_ports(pid) for pid in pids.values()))
    assert ports
    runner.stop()
    thread.join(20)
    assert runner.result.exit_code == 0
    assert not [port for port in ports if (reaper.SHM / port).exists()]


def test_a_picture_fits_into_the_shared_memory_of_a_node(launch) -> None:
    """640x480 colour is 0.92 MB; the middleware's own segment under LOCALHOST has 0.5 MB."""
    _, _, pids = launch
    for pid in pids.values():
        assert max(path.stat().st_size for path in segments(pid)) > 8 * 2**20
