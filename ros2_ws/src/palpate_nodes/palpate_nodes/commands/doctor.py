"""`palpate doctor`: is everything there, and does it work?"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from palpate_nodes.launching import environment
from palpate_nodes.launching.environment import FAIL, NOTE, OK, WARN, Finding

_HELP = """Check this machine: Python, packages, messages, middleware, simulation, model, memory, disk, ROS settings.

Nothing is changed. The exit code is 0 if nothing failed (warnings are no failure), otherwise 1.

Examples:

  palpate doctor

  palpate doctor --json | python -m json.tool
"""
_COLOURS = {OK: "green", NOTE: "cyan", WARN: "yellow", FAIL: "bold red"}
PROBE_TIMEOUT_S = 60.0
DEFAULT_MODEL = "cell29"  # as in model_io, which loads torch

# Each runs in a process of its own: a library that crashes must not take the doctor with it.
_EXCHANGE = """
import os, time
import rclpy
from palpate_interfaces.msg import Spectrum
from palpate_interfaces.srv import PresentPart
from palpate_interfaces.action import Probe
rclpy.init()
node = rclpy.create_node(f"doctor_{os.getpid()}")
got = []
node.create_subscription(Spectrum, f"doctor_{os.getpid()}", got.append, 10)
publisher = node.create_publisher(Spectrum, f"doctor_{os.getpid()}", 10)
message = Spectrum()
message.header.frame_id = "doctor"
end = time.monotonic() + 15
while not got and time.monotonic() < end:
    publisher.publish(message)
    rclpy.spin_once(node, timeout_sec=0.1)
assert got and got[0].header.frame_id == "doctor", "a message sent to itself did not arrive within 15 s"
print(f"a message made the round trip with {rclpy.get_rmw_implementation_identifier()}")
"""
_SIMULATION = """
import pybullet
client = pybullet.connect(pybullet.DIRECT)
box = pybullet.createCollisionShape(pybullet.GEOM_BOX, halfExtents=[0.1, 0.1, 0.1])
body = pybullet.createMultiBody(1.0, box, basePosition=[0, 0, 1])
pybullet.setGravity(0, 0, -9.81)
for _ in range(24):
    pybullet.stepSimulation()
assert pybullet.getBasePositionAndOrientation(body)[0][2] < 1.0, "a box does not fall"
width, height, *_ = pybullet.getCameraImage(64, 48, renderer=pybullet.ER_TINY_RENDERER)
assert (width, height) == (64, 48)
print("a box falls, a picture is drawn")
"""

_MODEL = """
import sys
from palpate_agents.errors import PalpateError
from palpate_agents.model_io import load_model
try:
    network = load_model({name!r})
except PalpateError as error:
    sys.exit(str(error))
print(f"{{network.name}} {{network.hash[:12]}}: {{len(network.config.labels)}} materials")
"""


def tried(what: str, program: str, remedy: str) -> Finding:
    """Run a small program in its own process; its last line is the finding."""
    started = time.monotonic()
    try:
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, timeout=PROBE_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return Finding(what, FAIL, f"no answer within {PROBE_TIMEOUT_S:g} s", remedy)
    seconds = time.monotonic() - started
    if done.returncode == 0:
        return Finding(what, OK, f"{done.stdout.strip().splitlines()[-1]} ({seconds:.1f} s)")
    lines = [line for line in done.stderr.strip().splitlines() if line.strip()] or [f"exit code {done.returncode}"]
    return Finding(what, FAIL, lines[-1], remedy)


def model_loads(name: str) -> Finding:
    """Whether a fusion model is there, unaltered and of this version."""
    return tried("model", _MODEL.format(name=name), "restore the folder of the model, or palpate train perception")


def examine(session_dir: Path) -> list[Finding]:
    """Everything the doctor looks at, in the order in which it is shown."""
    with ThreadPoolExecutor() as pool:
        exchange = pool.submit(
            tried, "messages", _EXCHANGE, "make setup builds palpate_interfaces; see the row ROS versions"
        )
        simulation = pool.submit(tried, "simulation", _SIMULATION, "make setup installs pybullet")
        model = pool.submit(model_loads, DEFAULT_MODEL)
        files = environment.requirement_files()
        wanted = environment.pins(line for file in files for line in file.read_text().splitlines())
        pinned = environment.installed_packages(wanted) if files else []
        return [
            environment.python(),
            *(pinned or [Finding("packages", NOTE, "no list of pinned versions beside this installation")]),
            *environment.installation(os.environ),
            environment.ros_mix(os.environ),
            exchange.result(),
            simulation.result(),
            model.result(),
            environment.shared_memory(),
            environment.disk(session_dir),
            *environment.middleware_settings(os.environ),
            *environment.hardware_libraries(),
        ]


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    session_dir: Annotated[Path, typer.Option(help="Where sessions will be recorded.")] = Path("sessions"),
) -> None:
    """Check this machine (see `_HELP`)."""
    findings = examine(session_dir)
    failed = sum(finding.status == FAIL for finding in findings)
    if as_json:
        print(json.dumps({"ok": not failed, "findings": [asdict(finding) for finding in findings]}, indent=2))
    else:
        table = Table(show_lines=False)
        for heading in ("what", "", "finding", "what to do"):
            table.add_column(heading, overflow="fold")
        for finding in findings:
            status = f"[{_COLOURS[finding.status]}]{finding.status}[/]"
            table.add_row(finding.what, status, escape(finding.detail), escape(finding.remedy))
        console = Console()
        console.print(table)
        warnings = sum(finding.status == WARN for finding in findings)
        console.print(f"{failed} failed, {warnings} warnings" if failed or warnings else "all well")
    raise typer.Exit(1 if failed else 0)


def register(app: typer.Typer) -> None:
    """Add the command to the `palpate` application."""
    app.command("doctor", help=_HELP)(doctor)
