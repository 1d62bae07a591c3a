"""Message definitions and type hashes of installed interfaces, as a bag needs them to be read anywhere.

Format: the text of the `.msg` file, then every nested type once, each after a line of 80 `=` and a line `MSG: pkg/Type`
(schema encoding `ros2msg` of MCAP, https://mcap.dev/spec/registry#ros2msg). Hashes are RIHS01 (REP-2016), which the
interface generators install beside the definition.
"""

from __future__ import annotations

import json
import os
import re
import sys
from functools import cache
from pathlib import Path

from palpate_agents.errors import DataError

_SEPARATOR = "=" * 80
_PRIMITIVES = re.compile(r"bool|byte|char|w?string|float(32|64)|u?int(8|16|32|64)")
_FIELD = re.compile(r"^\s*(?P<type>[A-Za-z][\w/]*)(?:<=\d+)?(?:\[(?:<=)?\d*\])?\s+[A-Za-z]\w*\s*(?P<rest>.*)$")


def split_name(type_name: str) -> tuple[str, str]:
    """Package and type of `pkg/msg/Type` or `pkg/Type`.

    Raises:
        DataError: any other form.
    """
    parts = type_name.split("/")
    if len(parts) == 3 and parts[1] == "msg":
        parts = [parts[0], parts[2]]
    if len(parts) != 2 or not all(parts):
        raise DataError(f"'{type_name}' is no message type; expected a name such as 'sensor_msgs/msg/Image'")
    return parts[0], parts[1]


def _prefixes() -> list[Path]:
    listed = [Path(entry) for entry in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if entry]
    return [*listed, Path(sys.prefix)]


def _share_file(package: str, name: str, suffix: str) -> Path | None:
    for prefix in _prefixes():
        path = prefix / "share" / package / "msg" / f"{name}{suffix}"
        if path.is_file():
            return path
    return None


@cache
def _text(package: str, name: str) -> str:
    path = _share_file(package, name, ".msg")
    if path is None:
        raise DataError(
            f"no definition of {package}/msg/{name} under {', '.join(map(str, _prefixes()))}; build the workspace or "
            f"source its setup file (AMENT_PREFIX_PATH)"
        )
    return path.read_text(encoding="utf-8")


def nested_types(package: str, text: str) -> list[tuple[str, str]]:
    """(package, type) of every field of a definition that is a message itself, in order, each once."""
    found: dict[tuple[str, str], None] = {}
    for line in text.splitlines():
        match = _FIELD.match(line.split("#", 1)[0])
        if match is None or match["rest"].startswith("="):  # `=` makes it a constant
            continue
        kind = match["type"]
        if not _PRIMITIVES.fullmatch(kind):
            found[split_name(kind) if "/" in kind else (package, kind)] = None
    return list(found)


@cache
def definition(type_name: str) -> str:
    """Full definition of a message type, nested types included.

    Raises:
        DataError: the type or one that it uses is not installed.
    """
    package, name = split_name(type_name)
    text = _text(package, name)
    parts = [text.rstrip("\n") + "\n"]
    seen = {(package, name)}
    queue = nested_types(package, text)
    while queue:
        nested = queue.pop(0)
        if nested in seen:
            continue
        seen.add(nested)
        body = _text(*nested)
        parts.append(f"{_SEPARATOR}\nMSG: {nested[0]}/{nested[1]}\n{body.rstrip()}\n")
        queue.extend(nested_types(nested[0], body))
    return "".join(parts)


@cache
def type_hash(type_name: str) -> str:
    """RIHS01 hash of a message type (`RIHS01_<64 hex>`), or an empty text where the installation has none."""
    package, name = split_name(type_name)
    path = _share_file(package, name, ".json")
    if path is None:
        return ""
    hashes = json.loads(path.read_text(encoding="utf-8")).get("type_hashes", [])
    wanted = f"{package}/msg/{name}"
    return next((entry["hash_string"] for entry in hashes if entry["type_name"] == wanted), "")
