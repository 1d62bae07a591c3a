#!/usr/bin/env bash
# Runs a command in the project's environment, whatever else (another ROS, a PYTHONPATH) is set in this shell.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
unset PYTHONPATH PYTHONHOME CMAKE_PREFIX_PATH COLCON_PREFIX_PATH LD_LIBRARY_PATH ROS_DISTRO ROS_VERSION \
    ROS_PYTHON_VERSION RMW_IMPLEMENTATION 2>/dev/null || true
export VIRTUAL_ENV=$root/.venv PATH=$root/.venv/bin:$PATH AMENT_PREFIX_PATH=$root/.venv
export ROS_AUTOMATIC_DISCOVERY_RANGE=${ROS_AUTOMATIC_DISCOVERY_RANGE:-LOCALHOST}
exec "$@"
