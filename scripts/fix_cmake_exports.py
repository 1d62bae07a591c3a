"""Mend the CMake exports of the ROS wheels in this virtual environment.

The `.cmake` files inside the wheels name the Python of the machine that built them. They are rewritten to name this
environment's Python headers and NumPy headers. Running it again changes nothing.
"""

import re
import sys
import sysconfig
from pathlib import Path

import numpy

PYTHON_INCLUDE = re.compile(r"/opt/python/cp\d+-cp\d+/include/python3\.\d+")
NUMPY_INCLUDE = re.compile(r"/opt/python/cp\d+-cp\d+/lib/python3\.\d+/site-packages/numpy/_core/include")


def main() -> int:
    """Rewrite every `*.cmake` below the environment's share folder; returns the exit code."""
    changed = 0
    include = sysconfig.get_paths()["include"]
    for path in Path(sys.prefix, "share").rglob("*.cmake"):
        text = path.read_text()
        fixed = NUMPY_INCLUDE.sub(lambda _: numpy.get_include(), text)
        fixed = PYTHON_INCLUDE.sub(lambda _: include, fixed)
        if fixed != text:
            path.write_text(fixed)
            changed += 1
    print(f"CMake exports: {changed} files mended")
    return 0


if __name__ == "__main__":
    sys.exit(main())
