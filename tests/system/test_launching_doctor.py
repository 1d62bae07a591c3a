"""The doctor on this machine, with real middleware and simulation."""

import os
import sys
from pathlib import Path

import pytest

from palpate_nodes.commands import doctor
from palpate_nodes.launching.environment import OK


@pytest.mark.system
def test_the_examination_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What this test itself stands on works; the order of the rows is fixed."""
    monkeypatch.setenv("ROS_DOMAIN_ID", str(1 + os.getpid() % 100))
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    findings = {finding.what: finding for finding in doctor.examine(tmp_path)}
    assert list(findings)[:2] == ["Python", "packages"]
    for what in ("Python", "messages", "simulation", "shared memory"):
        assert findings[what].status == OK, findings[what]
    assert sys.prefix in findings["Python"].detail
