#!/usr/bin/env bash
# Sets everything up on a Debian or Ubuntu machine: `setup.sh env` makes the virtual environment with the pinned
# packages, `setup.sh interfaces` builds the messages into it, `setup.sh python` installs our Python packages into it.
# Each step can be run again. Works from a path with spaces, and beside a sourced ROS 2 installation.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
venv=$root/.venv

say() { printf '\033[1m==> %s\033[0m\n' "$*" >&2; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

# A sourced ROS 2 installation, or a PYTHONPATH, would put other versions of rclpy in front of ours.
unset PYTHONPATH PYTHONHOME AMENT_PREFIX_PATH CMAKE_PREFIX_PATH COLCON_PREFIX_PATH LD_LIBRARY_PATH ROS_DISTRO \
    ROS_VERSION ROS_PYTHON_VERSION RMW_IMPLEMENTATION 2>/dev/null || true

usable() { # a Python of 3.11 to 3.13 that can make virtual environments and compile against its headers
    "$1" -c '
import os, sys, sysconfig, venv, ensurepip
ok = (3, 11) <= sys.version_info[:2] <= (3, 13)
ok = ok and os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h"))
sys.exit(0 if ok else 1)' >/dev/null 2>&1
}

find_python() {
    local candidate
    for candidate in ${PYTHON:-} /usr/bin/python3.11 python3.11 /usr/bin/python3 python3.12 python3.13 python3; do
        if usable "$candidate"; then echo "$candidate"; return 0; fi
    done
    return 1
}

apt_install() {
    local sudo=
    if [ "$(id -u)" != 0 ]; then
        if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then sudo="sudo -n"
        else fail "these Debian packages are missing: $*. Install them with: sudo apt-get install -y $*"; fi
    fi
    command -v apt-get >/dev/null || fail "these packages are missing: $*; install them with this system's package manager"
    say "installing Debian packages: $*"
    $sudo apt-get update -qq
    DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

make_env() {
    local missing=() python version
    command -v g++ >/dev/null || missing+=(g++)
    command -v make >/dev/null || missing+=(make)
    find_python >/dev/null || missing+=(python3 python3-venv python3-dev)
    if [ ${#missing[@]} -gt 0 ]; then apt_install "${missing[@]}"; fi
    python=$(find_python) || fail "no Python 3.11 to 3.13 with venv and headers found; set PYTHON=/path/to/python"
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    if [ -x "$venv/bin/python" ] && ! usable "$venv/bin/python"; then rm -rf "$venv"; fi
    if [ ! -x "$venv/bin/python" ]; then
        say "virtual environment with Python $version"
        "$python" -m venv "$venv"
    fi
    local pip=("$venv/bin/python" -m pip install --disable-pip-version-check --quiet --progress-bar off)
    say "PyTorch (about 200 MB)"
    # First and on its own: any other order pulls in gigabytes of CUDA.
    "${pip[@]}" "$(grep '^torch==' requirements/core.txt)"
    say "ROS 2 wheels"
    "${pip[@]}" -r requirements/ros.txt
    say "the other packages"
    "${pip[@]}" -r requirements/core.txt -r requirements/dev.txt
    "$venv/bin/python" scripts/fix_cmake_exports.py
}

colcon_build() {
    export VIRTUAL_ENV=$venv PATH=$venv/bin:$PATH AMENT_PREFIX_PATH=$venv CMAKE_PREFIX_PATH=$venv
    mkdir -p build
    local log=build/colcon-$1.log
    if ! "$venv/bin/python" -m colcon --log-base build/log build --base-paths . ros2_ws/src --packages-select "${@:2}" \
        --build-base build --merge-install --install-base "$venv" --event-handlers console_direct- \
        --cmake-args -DBUILD_TESTING=OFF "-DPython3_EXECUTABLE=$venv/bin/python" >"$log" 2>&1; then
        tail -n 40 "$log" >&2
        fail "the build failed; the whole log is in $log"
    fi
}

case "${1:-}" in
env) make_env ;;
interfaces)
    say "building the messages (about a minute)"
    colcon_build interfaces palpate_interfaces ;;
python)
    say "installing the Python packages"
    # A module that was deleted or renamed must not live on in the environment.
    rm -rf "$venv"/lib/python3.*/site-packages/palpate_{agents,sim,nodes} build/palpate build/palpate_nodes
    colcon_build python palpate palpate_nodes
    "$venv/bin/python" scripts/mend_shebangs.py
    ln -sf ../lib/palpate_nodes/palpate "$venv/bin/palpate" ;;
*) fail "usage: setup.sh env|interfaces|python" ;;
esac
