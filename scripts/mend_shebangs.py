"""Make the installed scripts runnable where the path of the environment has a space or is very long.

The kernel cuts a `#!` line at the first space and at 127 bytes; such scripts are started through /bin/sh instead (the
way pip does it). Scripts with an ordinary path stay as they are.
"""

import sys
from pathlib import Path

LIMIT = 127


def mended(text: str) -> str:
    """The script with a first line that the kernel can use."""
    first, rest = text.split("\n", 1)
    interpreter = first.removeprefix("#!").strip().strip('"')
    if not first.startswith("#!") or "python" not in interpreter or interpreter.startswith("/bin/sh"):
        return text
    if " " not in interpreter and len(first) <= LIMIT:
        return text
    return f"#!/bin/sh\n'''exec' \"{interpreter}\" \"$0\" \"$@\"\n' '''\n{rest}"


def main() -> int:
    """Mend every script of our packages; returns the exit code."""
    for path in Path(sys.prefix, "lib", "palpate_nodes").iterdir():
        if path.is_file():
            text = path.read_text()
            if mended(text) != text:
                path.write_text(mended(text))
    return 0


if __name__ == "__main__":
    sys.exit(main())
