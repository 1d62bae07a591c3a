"""What the doctor looks at: each trouble is found, and a sound machine is not accused."""

import json
from collections import namedtuple
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from palpate_nodes.commands import doctor
from palpate_nodes.launching import environment, packages
from palpate_nodes.launching.environment import FAIL, NOTE, OK, WARN, Finding

SOUND = {"ROS_DOMAIN_ID": "7", "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST", "FASTDDS_BUILTIN_TRANSPORTS": "LARGE_DATA"}
Usage = namedtuple("Usage", "total used free")


def of(findings: list[Finding], what: str) -> Finding:
    return next(finding for finding in findings if finding.what == what and finding.status != OK)


def test_sound_settings_are_fine() -> None:
    assert {finding.status for finding in environment.middleware_settings(SOUND)} == {OK}
    assert {finding.status for finding in environment.middleware_settings({})} == {OK}


@pytest.mark.parametrize(
    ("name", "value", "what", "status", "says"),
    [
        ("ROS_DOMAIN_ID", "300", "ROS_DOMAIN_ID", FAIL, "0 to 101"),
        ("ROS_DOMAIN_ID", "x", "ROS_DOMAIN_ID", FAIL, "0 to 101"),
        ("ROS_DOMAIN_ID", "-1", "ROS_DOMAIN_ID", FAIL, "0 to 101"),
        ("ROS_DOMAIN_ID", "150", "ROS_DOMAIN_ID", WARN, "ephemeral"),
        ("ROS_AUTOMATIC_DISCOVERY_RANGE", "localhost", "discovery range", FAIL, "did you mean 'LOCALHOST'"),
        ("ROS_AUTOMATIC_DISCOVERY_RANGE", "SUBNET", "discovery range", NOTE, "other machines"),
        ("ROS_LOCALHOST_ONLY", "1", "discovery range", WARN, "unset ROS_LOCALHOST_ONLY"),
        ("FASTDDS_BUILTIN_TRANSPORTS", "LARGEDATA", "transports", WARN, "did you mean 'LARGE_DATA'"),
        ("FASTDDS_DEFAULT_PROFILES_FILE", "/none.xml", "transports", FAIL, "/none.xml"),
    ],
)
def test_a_wrong_setting_is_found(name: str, value: str, what: str, status: str, says: str) -> None:
    finding = of(environment.middleware_settings({**SOUND, name: value}), what)
    assert finding.status == status
    assert says in finding.detail + finding.remedy
    assert finding.remedy


def test_large_data_may_carry_options() -> None:
    settings = {"FASTDDS_BUILTIN_TRANSPORTS": "LARGE_DATA?max_msg_size=1MB"}
    assert {finding.status for finding in environment.middleware_settings(settings)} == {OK}


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"AMENT_PREFIX_PATH": "/ws/install:/opt/ros/jazzy", "LD_LIBRARY_PATH": "/opt/ros/kilted/lib"}, "several"),
        ({"AMENT_PREFIX_PATH": "/opt/ros/jazzy", "ROS_DISTRO": "kilted"}, "several"),
        ({"PYTHONPATH": "/opt/ros/jazzy/lib/python3.12/site-packages"}, "at once"),
    ],
)
def test_two_ros_versions_are_found(monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], says: str) -> None:
    monkeypatch.setattr(environment.util, "find_spec", lambda name: object())  # the wheels are there
    finding = environment.ros_mix(settings)
    assert finding.status == FAIL
    assert says in finding.detail


def test_one_ros_version_is_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    assert environment.ros_mix({}).status == OK
    monkeypatch.setattr(environment.util, "find_spec", lambda name: None)
    settings = {
        "AMENT_PREFIX_PATH": "/ws/install:/opt/ros/jazzy",
        "ROS_DISTRO": "jazzy",
        "PYTHONPATH": "/opt/ros/jazzy/lib",
    }
    assert environment.ros_mix(settings).status == OK


def test_the_wheels_have_one_middleware(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp"}
    monkeypatch.setattr(environment.util, "find_spec", lambda name: object())
    assert of(environment.middleware_settings(settings), "middleware").status == FAIL
    monkeypatch.setattr(environment.util, "find_spec", lambda name: None)
    assert {finding.status for finding in environment.middleware_settings(settings)} == {OK}


def test_pins_are_read_as_pip_reads_them() -> None:
    lines = [
        "# comment",
        "",
        "-r other.txt",
        "torch==2.13.0  # first",
        "ros-rclpy[fastrtps]==9.1.2",
        "zstandard",
        "a==1; python_version<'3'",
    ]
    expected = {"torch": "2.13.0", "ros-rclpy": "9.1.2", "zstandard": None, "a": "1"}
    assert environment.pins(lines) == expected


def test_packages_against_pins() -> None:
    yaml_version = environment.metadata.version("PyYAML")
    assert environment.installed_packages({"PyYAML": yaml_version})[0].status == OK
    (finding,) = environment.installed_packages({"PyYAML": "0.1", "typer": None})
    assert (finding.status, finding.detail) == (WARN, f"other versions: PyYAML {yaml_version} (pinned: 0.1)")
    (finding,) = environment.installed_packages({"no-such-package-here": "1.0"})
    assert finding.status == FAIL
    assert "no-such-package-here==1.0" in finding.detail


@pytest.mark.parametrize(("version", "status"), [((3, 10), FAIL), ((3, 11), OK), ((3, 13), OK), ((3, 14), FAIL)])
def test_python_versions(monkeypatch: pytest.MonkeyPatch, version: tuple[int, int], status: str) -> None:
    monkeypatch.setattr(environment.sys, "version_info", (*version, 0))
    monkeypatch.setattr(environment.platform, "machine", lambda: "x86_64")
    assert environment.python().status == status


def test_another_machine_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ROS_DISTRO", raising=False)
    monkeypatch.setattr(environment.platform, "machine", lambda: "aarch64")
    assert environment.python().status == WARN


def test_shared_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "fastdds_port7400_el").touch()
    monkeypatch.setattr(environment.shutil, "disk_usage", lambda _: Usage(0, 0, 65 * 2**20))
    finding = environment.shared_memory(tmp_path)
    assert finding.status == OK
    assert "65 MB free, 1 Fast DDS" in finding.detail
    monkeypatch.setattr(environment.shutil, "disk_usage", lambda _: Usage(0, 0, 63 * 2**20))
    assert environment.shared_memory(tmp_path).status == FAIL


def test_no_shared_memory(tmp_path: Path) -> None:
    assert environment.shared_memory(tmp_path / "none").status == FAIL


def test_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert environment.disk(tmp_path / "not/yet/there").status in (OK, WARN)
    monkeypatch.setattr(environment.shutil, "disk_usage", lambda _: Usage(0, 0, 1.9e9))
    finding = environment.disk(tmp_path)
    assert finding.status == WARN
    assert "1.9 GB" in finding.detail
    monkeypatch.setattr(environment.os, "access", lambda *_: False)
    assert environment.disk(tmp_path).status == FAIL


def test_an_incomplete_installation_is_found(tmp_path: Path) -> None:
    settings = {"AMENT_PREFIX_PATH": str(tmp_path)}
    finding = of(environment.installation(settings), "palpate")
    assert finding.status == FAIL
    assert "palpate_nodes" in finding.detail
    for package in ("palpate", "palpate_nodes"):
        for folder in (packages.MARKERS, f"lib/{package}", f"share/{package}/launch"):
            (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / packages.MARKERS / package).touch()
    for node in environment.NODES:
        (tmp_path / f"lib/palpate_nodes/{node}_node").touch(mode=0o755)
    assert "sim.launch.yaml" in of(environment.installation(settings), "palpate").detail
    for name in ("sim", "replay"):
        (tmp_path / f"share/palpate/launch/{name}.launch.yaml").touch()
    assert {finding.status for finding in environment.installation(settings)} == {OK}


def test_hardware_libraries_are_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment.util, "find_spec", lambda name: None)
    findings = environment.hardware_libraries()
    assert {finding.status for finding in findings} == {NOTE}
    assert "libusb" in findings[0].remedy


# The command.


def test_a_program_that_is_tried_is_believed_by_its_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor.tried("x", "print('a'); print('well')", "r").detail.startswith("well (")
    finding = doctor.tried("x", "raise ValueError('because')", "mend it")
    assert (finding.status, finding.detail, finding.remedy) == (FAIL, "ValueError: because", "mend it")
    assert doctor.tried("x", "import os; os.abort()", "r").status == FAIL
    monkeypatch.setattr(doctor, "PROBE_TIMEOUT_S", 0.2)
    assert "within 0.2 s" in doctor.tried("x", "import time; time.sleep(60)", "r").detail


@pytest.mark.parametrize(("status", "code"), [(OK, 0), (NOTE, 0), (WARN, 0), (FAIL, 1)])
def test_exit_code_and_json(monkeypatch: pytest.MonkeyPatch, status: str, code: int) -> None:
    monkeypatch.setattr(doctor, "examine", lambda _: [Finding("a [b]", status, "detail [c]", "mend")])
    app = typer.Typer()
    doctor.register(app)
    app.command("other")(lambda: None)
    result = CliRunner().invoke(app, ["doctor", "--json"])
    assert result.exit_code == code
    assert json.loads(result.stdout) == {
        "ok": code == 0,
        "findings": [{"what": "a [b]", "status": status, "detail": "detail [c]", "remedy": "mend"}],
    }
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == code
    assert "detail [c]" in result.stdout
    assert ("all well" in result.stdout) == (status in (OK, NOTE))
