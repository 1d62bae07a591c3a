"""What of machine and environment can keep a launch from working, as findings. Nothing is started or changed."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata, util
from pathlib import Path

from palpate_nodes.launching import packages, reaper
from palpate_nodes.launching.api import ros_launch_installed
from palpate_nodes.launching.errors import LaunchError, known_names

OK, NOTE, WARN, FAIL = "ok", "note", "warn", "fail"
PYTHONS = ((3, 11), (3, 13))  # lowest and highest that every package has wheels for
SHM_MIN_MB, DISK_MIN_GB = 64, 2.0
DISCOVERY_RANGES = ("SUBNET", "LOCALHOST", "OFF", "SYSTEM_DEFAULT")
TRANSPORTS = ("DEFAULT", "DEFAULTv6", "SHM", "UDPv4", "UDPv6", "LARGE_DATA", "LARGE_DATAv6", "P2P", "NONE")
NODES = ("cell", "probing", "distillation", "recorder", "session")
_PIN = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?(?:==([^\s;#]+))?")
_DISTRO = re.compile(r"/opt/ros/([a-z]+)")


@dataclass(frozen=True)
class Finding:
    """One thing looked at: what, how it is (`OK`, `NOTE`, `WARN`, `FAIL`), in words, and what to do about it."""

    what: str
    status: str
    detail: str
    remedy: str = ""


def python() -> Finding:
    """The interpreter's version and machine."""
    version, machine = sys.version_info[:2], platform.machine()
    text = f"{platform.python_version()} on {platform.system()} {machine}, {sys.prefix}"
    if not PYTHONS[0] <= version <= PYTHONS[1]:
        wanted = " to ".join(".".join(map(str, one)) for one in PYTHONS)
        return Finding("Python", FAIL, text, f"use Python {wanted}: PYTHON=/usr/bin/python3.11 make setup")
    if (platform.system(), machine) != ("Linux", "x86_64") and not os.environ.get("ROS_DISTRO"):
        return Finding("Python", WARN, text, "the ROS wheels exist for Linux x86_64 only; install ROS 2 itself here")
    return Finding("Python", OK, text)


def requirement_files() -> list[Path]:
    """The project's pins: beside the virtual environment, or in the package's share folder."""
    folders = [Path(sys.prefix).parent / "requirements"]
    with suppress(LaunchError):
        folders.append(packages.package_share("palpate") / "requirements")
    found = ([folder / name for name in ("core.txt", "ros.txt")] for folder in folders)
    return next((files for files in found if all(file.is_file() for file in files)), [])


def pins(lines: Iterable[str]) -> dict[str, str | None]:
    """Package -> pinned version (None: any) of requirement lines."""
    found = {}
    for line in lines:
        text = line.split("#", 1)[0].strip()
        if text and not text.startswith("-") and (match := _PIN.match(text)):
            found[match.group(1)] = match.group(2)
    return found


def installed_packages(wanted: Mapping[str, str | None]) -> list[Finding]:
    """Installed versions against pins; `ros-*` are not asked for where ROS itself is installed."""
    ros_itself = "/opt/ros/" in str(getattr(util.find_spec("rclpy"), "origin", ""))
    missing, other, good = [], [], 0
    for name, version in wanted.items():
        if ros_itself and name.startswith("ros-"):
            continue
        try:
            there = metadata.version(name)
        except metadata.PackageNotFoundError:
            missing.append(f"{name}{f'=={version}' if version else ''}")
            continue
        # A local build tag (2.13.0+cpu) is the same version.
        if version and there.split("+")[0] != version:
            other.append(f"{name} {there} (pinned: {version})")
        else:
            good += 1
    findings = [Finding("packages", OK, f"{good} as pinned")] if good and not missing and not other else []
    if missing:
        findings.append(Finding("packages", FAIL, f"missing: {', '.join(missing)}", "make setup"))
    if other:
        findings.append(Finding("packages", WARN, f"other versions: {', '.join(other)}", "make setup"))
    names = {str(distribution.metadata["Name"]).lower() for distribution in metadata.distributions()}
    if {"opencv-python", "opencv-python-headless"} <= names:
        both = "opencv-python and opencv-python-headless overwrite each other"
        findings.append(Finding("packages", FAIL, both, "pip uninstall opencv-python, then make setup"))
    return findings


def ros_mix(environment: Mapping[str, str]) -> Finding:
    """Two ROS versions in the search paths: the second one's libraries break the first one's nodes."""
    names = ("AMENT_PREFIX_PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "CMAKE_PREFIX_PATH")
    places = {name: set(_DISTRO.findall(environment.get(name, ""))) for name in names}
    distros = set().union(*places.values()) | ({environment["ROS_DISTRO"]} if environment.get("ROS_DISTRO") else set())
    wheels = util.find_spec("ros_wheels_bootstrapper") is not None
    where = ", ".join(f"{name}: {'+'.join(sorted(found))}" for name, found in places.items() if found)
    if len(distros) > 1:
        return Finding(
            "ROS versions", FAIL, f"several at once: {where}", "open a new shell and source only one setup.bash"
        )
    if distros and wheels:
        text = f"the wheels in {sys.prefix} and {'/'.join(distros)} ({where or 'ROS_DISTRO'}) at once"
        return Finding("ROS versions", FAIL, text, "use a shell without ROS sourced, or scripts/run.sh COMMAND")
    return Finding("ROS versions", OK, f"one: {'/'.join(distros) or ('wheels' if wheels else 'none sourced')}")


def middleware_settings(environment: Mapping[str, str]) -> list[Finding]:
    """Domain, discovery range, transports, middleware implementation."""
    findings = []
    domain = environment.get("ROS_DOMAIN_ID", "")
    if domain and not (domain.isdigit() and int(domain) <= 232):
        findings.append(Finding("ROS_DOMAIN_ID", FAIL, f"'{domain}'", "a number from 0 to 101 (232 at most)"))
    elif domain and int(domain) > 101:
        text = f"{domain}: its ports lie in Linux's ephemeral range and may be taken"
        findings.append(Finding("ROS_DOMAIN_ID", WARN, text, "a number from 0 to 101"))
    else:
        findings.append(Finding("ROS_DOMAIN_ID", OK, domain or "0 (not set)"))
    discovery = environment.get("ROS_AUTOMATIC_DISCOVERY_RANGE", "")
    if discovery and discovery not in DISCOVERY_RANGES:
        remedy = known_names(discovery, DISCOVERY_RANGES)
        findings.append(Finding("discovery range", FAIL, f"'{discovery}' in ROS_AUTOMATIC_DISCOVERY_RANGE", remedy))
    elif discovery in ("SUBNET", "SYSTEM_DEFAULT"):
        text = f"{discovery}: other machines of the network see the cell, and it sees theirs"
        findings.append(Finding("discovery range", NOTE, text, "LOCALHOST keeps it on this machine"))
    else:
        findings.append(Finding("discovery range", OK, discovery or "not set; our launch files set LOCALHOST"))
    if "ROS_LOCALHOST_ONLY" in environment:
        text = "ROS_LOCALHOST_ONLY is set; where it is 1 it overrides the discovery range"
        findings.append(Finding("discovery range", WARN, text, "unset ROS_LOCALHOST_ONLY"))
    transports = environment.get("FASTDDS_BUILTIN_TRANSPORTS")
    if transports is not None and transports.split("?")[0] not in TRANSPORTS:
        remedy = known_names(transports, TRANSPORTS)
        findings.append(Finding("transports", WARN, f"'{transports}' in FASTDDS_BUILTIN_TRANSPORTS is ignored", remedy))
    profiles = environment.get("FASTDDS_DEFAULT_PROFILES_FILE")
    if profiles and not Path(profiles).is_file():
        text = f"FASTDDS_DEFAULT_PROFILES_FILE names {profiles}, which does not exist"
        findings.append(Finding("transports", FAIL, text, "unset it, or give the path of a file"))
    rmw = environment.get("RMW_IMPLEMENTATION")
    if rmw and util.find_spec("ros_wheels_bootstrapper") and rmw != "rmw_fastrtps_cpp":
        findings.append(Finding("middleware", FAIL, f"'{rmw}' is not in the wheels", "unset RMW_IMPLEMENTATION"))
    return findings


def shared_memory(folder: Path = reaper.SHM) -> Finding:
    """Room for the middleware's segments."""
    try:
        free_mb = shutil.disk_usage(folder).free / 2**20
    except OSError as error:
        return Finding("shared memory", FAIL, f"{folder}: {error.strerror}", "mount a tmpfs there")
    if not os.access(folder, os.W_OK):
        return Finding("shared memory", FAIL, f"{folder} cannot be written to", f"chmod 1777 {folder}")
    segments = len(list(folder.glob("fastdds_*_el")))
    text = f"{folder}: {free_mb:.0f} MB free, {segments} Fast DDS segments and ports"
    if free_mb < SHM_MIN_MB:
        return Finding(
            "shared memory",
            FAIL,
            text,
            f"{SHM_MIN_MB} MB are needed (docker run --shm-size=256m), or: fastdds shm clean",
        )
    return Finding("shared memory", OK, text)


def disk(folder: Path) -> Finding:
    """Room for recordings."""
    place = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free_gb = shutil.disk_usage(place).free / 1e9
    text = f"{free_gb:.1f} GB free for {folder}"
    if not os.access(place, os.W_OK):
        return Finding("disk", FAIL, f"{place} cannot be written to", "choose another folder: --session-dir")
    if free_gb < DISK_MIN_GB:
        return Finding(
            "disk", WARN, text, f"sessions may need {DISK_MIN_GB:g} GB: make room, or choose another --session-dir"
        )
    return Finding("disk", OK, text)


def installation(environment: Mapping[str, str]) -> list[Finding]:
    """Our own packages: executables and launch files."""
    findings = []
    try:
        for node in NODES:
            packages.executable("palpate_nodes", f"{node}_node", environment)
        for name in ("sim", "replay"):
            packages.launch_file(f"{name}.launch.yaml", "palpate", environment)
        findings.append(Finding("palpate", OK, f"installed in {packages.package_prefix('palpate', environment)}"))
    except LaunchError as error:
        findings.append(
            Finding("palpate", FAIL, str(error), "make setup; or colcon build, and source install/setup.bash")
        )
    there = "ROS's own" if ros_launch_installed() else "our own (ROS's is not installed)"
    findings.append(Finding("launcher", OK, f"palpate launch uses {there}"))
    return findings


def hardware_libraries() -> list[Finding]:
    """Libraries that only a physical cell needs."""
    wanted = (
        ("pyrealsense2", "Intel RealSense cameras", "apt-get install libusb-1.0-0; pip install pyrealsense2==2.59.1"),
        ("seabreeze", "Ocean Insight spectrometers", "pip install seabreeze==2.11.0; then: seabreeze_os_setup"),
    )
    findings = []
    for module, what, remedy in wanted:
        there = util.find_spec(module) is not None
        text = f"{module} {'is installed' if there else 'is not installed'}: {what}, physical cell only"
        findings.append(Finding("hardware", OK if there else NOTE, text, "" if there else remedy))
    return findings
