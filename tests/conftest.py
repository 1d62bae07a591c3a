"""What every test needs: the environment of the workspace, this machine only, a ROS domain per worker process."""

import os
import sys
from pathlib import Path

import pytest

os.environ.setdefault("AMENT_PREFIX_PATH", sys.prefix)
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
os.environ.setdefault("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))


@pytest.fixture
def project() -> Path:
    """Root of the checkout."""
    return Path(__file__).parents[1]
