"""The set-up scripts: first lines with spaces, CMake exports, one place for versions."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def load(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("folder", ["plain", "with space", "very" * 40])
def test_a_script_runs_from_any_path(tmp_path, folder):
    place = tmp_path / folder
    place.mkdir()
    interpreter = place / "python"
    interpreter.symlink_to(sys.executable)
    script = place / "script"
    quoted = f'"{interpreter}"' if " " in folder else interpreter
    script.write_text(load("mend_shebangs").mended(f"#!{quoted}\nimport sys\nprint('ran', sys.argv[1:])\n"))
    script.chmod(0o755)
    result = subprocess.run([script, "a b"], capture_output=True, text=True, check=False)
    assert result.stdout == "ran ['a b']\n", result.stderr


def test_mending_twice_changes_nothing():
    mended = load("mend_shebangs").mended
    once = mended('#!"/with space/python"\nprint()\n')
    assert mended(once) == once
    assert mended("#!/bin/sh\necho\n") == "#!/bin/sh\necho\n"


def test_every_requirement_is_pinned_once():
    names = []
    for path in sorted((ROOT / "requirements").glob("*.txt")):
        for line in path.read_text().splitlines():
            if line and not line.startswith("#"):
                match = re.fullmatch(r"([A-Za-z0-9_.-]+)(\[[a-z]+\])?==[0-9][0-9a-z.]*", line)
                assert match, f"{path.name}: '{line}' is not pinned"
                names.append(match[1].lower())
    assert len(names) == len(set(names))
    assert "torch" in names
