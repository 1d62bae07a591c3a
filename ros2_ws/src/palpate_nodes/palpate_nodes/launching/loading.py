"""Reading launch files: YAML with line numbers, elements and attributes checked against what is known.

ROS's YAML front end does not convert types: `default: 6` is an error there, because a default is text. The same is
asked for here, so that a file that runs with one launcher runs with the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from palpate_nodes.launching.errors import LaunchError, known_names

TEXT, TRUTH, WHOLE, REAL, LIST, CHILDREN, ANY = (
    "text",
    "true or false",
    "integer",
    "number",
    "list",
    "elements",
    "value",
)
_CONDITION = {"if": TEXT, "unless": TEXT}
_PROCESS = {
    "args": TEXT,
    "cwd": TEXT,
    "env": LIST,
    "launch-prefix": TEXT,
    "on_exit": TEXT,
    "output": TEXT,
    "respawn": TEXT,
    "respawn_delay": REAL,
    "respawn_max_retries": WHOLE,
    "sigkill_timeout": REAL,
    "sigterm_timeout": REAL,
}
ELEMENTS: dict[str, dict[str, str]] = {
    "arg": {"name": TEXT, "default": TEXT, "description": TEXT, "choice": LIST},
    "let": {"name": TEXT, "value": TEXT},
    "set_env": {"name": TEXT, "value": TEXT},
    "unset_env": {"name": TEXT},
    "log": {"message": TEXT},
    "include": {"file": TEXT, "arg": LIST},
    "group": {"scoped": TRUTH, "children": CHILDREN},
    "push_ros_namespace": {"namespace": TEXT},
    "push-ros-namespace": {"namespace": TEXT},
    "executable": {"cmd": TEXT, "name": TEXT, **{key: kind for key, kind in _PROCESS.items() if key != "args"}},
    "node": {
        **{"pkg": TEXT, "exec": TEXT, "name": TEXT, "exec_name": TEXT, "namespace": TEXT, "ros_args": TEXT},
        **{"param": LIST, "remap": LIST},
        **_PROCESS,
    },
}
"""Element -> attribute -> kind; every element also takes `if` or `unless`. Names and kinds as in ros2/launch."""
ITEMS: dict[str, dict[str, str]] = {
    "choice": {"value": TEXT},
    "env": {"name": TEXT, "value": TEXT},
    "remap": {"from": TEXT, "to": TEXT},
    "param": {"name": TEXT, "value": ANY, "type": TEXT, "from": TEXT, "allow_substs": TRUTH, "param": LIST},
    "include.arg": {"name": TEXT, "value": TEXT},
}
"""What the items of an attribute that is a list may hold."""
REQUIRED = {
    **{"arg": ("name",), "let": ("name", "value"), "set_env": ("name", "value"), "unset_env": ("name",)},
    **{"log": ("message",), "include": ("file",), "group": ("children",), "executable": ("cmd",)},
    **{"push_ros_namespace": ("namespace",), "push-ros-namespace": ("namespace",), "node": ("pkg", "exec")},
    **{"choice": ("value",), "env": ("name", "value"), "remap": ("from", "to"), "include.arg": ("name", "value")},
}
_TYPES: dict[str, tuple[type, ...]] = {TEXT: (str,), TRUTH: (bool,), WHOLE: (int,), REAL: (float,), LIST: (list,)}


class LocatedError(LaunchError):
    """An error that says in which file, line and element it is."""


@dataclass(frozen=True)
class Element:
    """One element of a launch file.

    Attributes:
        kind: `node`, `arg` ...
        attributes: checked attributes; lists hold plain dicts.
        children: elements of a group.
        where: file and line, for messages.
    """

    kind: str
    attributes: dict[str, Any]
    children: tuple[Element, ...]
    where: str

    def locate(self, error: LaunchError) -> LaunchError:
        """The error with file, line and element in front; the innermost element that it passes is the one named."""
        return error if isinstance(error, LocatedError) else LocatedError(f"{self.where}: '{self.kind}': {error}")

    def walk(self) -> Iterator[Element]:
        """This element and all below it."""
        yield self
        for child in self.children:
            yield from child.walk()


class _Mapping(dict[str, Any]):
    """A YAML mapping that knows the line it starts in."""

    line = 0


class _Loader(yaml.SafeLoader):
    """Safe loader that keeps line numbers and refuses a key that is given twice (YAML would keep the last)."""


def _construct_mapping(loader: _Loader, node: yaml.MappingNode) -> _Mapping:
    result = _Mapping()
    result.line = node.start_mark.line + 1
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if key in result:
            raise LaunchError(f"line {key_node.start_mark.line + 1}: '{key}' is given twice")
        result[key] = loader.construct_object(value_node, deep=True)
    return result


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _construct_mapping)


def load(path: Path) -> tuple[Element, ...]:
    """Read and check a launch file.

    Raises:
        LaunchError: not readable, not YAML, an unknown element or attribute, a missing or ill-typed attribute.
    """
    if not path.name.endswith((".yaml", ".yml")):
        raise LocatedError(
            f"{path}: only YAML launch files can be run without ROS's own launch (pip and apt name: ros2launch)"
        )
    try:
        tree = yaml.load(path.read_text(), Loader=_Loader)
    except OSError as error:
        raise LocatedError(f"cannot read the launch file {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise LocatedError(f"{path} is not a text file: {error}") from error
    except yaml.YAMLError as error:
        raise LocatedError(f"{path} is not YAML: {error}") from error
    except LaunchError as error:
        raise LocatedError(f"{path}, {error}") from None
    if not isinstance(tree, dict) or list(tree) != ["launch"] or not isinstance(tree["launch"], list):
        raise LocatedError(f"{path}: a launch file is one key 'launch' with a list of elements")
    return tuple(_element(item, path, "launch") for item in tree["launch"])


def _element(item: Any, path: Path, parent: str) -> Element:
    line = f" line {item.line}" if isinstance(item, _Mapping) else ""
    if not isinstance(item, dict) or len(item) != 1:
        raise LocatedError(f"{path}{line}: each entry of '{parent}' is one element with its attributes, not {item!r}")
    kind, given = next(iter(item.items()))
    where = f"{path}{line}"
    if kind not in ELEMENTS:
        raise LocatedError(f"{where}: unknown element '{kind}'; {known_names(kind, ELEMENTS)}")
    if kind == "group" and isinstance(given, list):
        given = {"children": given}
    if not isinstance(given, dict):
        raise LocatedError(f"{where}: '{kind}' needs attributes, not {given!r}")
    known = {**ELEMENTS[kind], **_CONDITION}
    attributes = _checked(given, kind, known, f"{where}: '{kind}'")
    if "if" in attributes and "unless" in attributes:
        raise LocatedError(f"{where}: '{kind}' has both 'if' and 'unless'")
    for name, values in attributes.items():
        if known[name] == LIST:
            attributes[name] = _items(values, name, f"{kind}.{name}", f"{where}: '{kind}'")
    children = attributes.pop("children", [])
    return Element(kind, attributes, tuple(_element(child, path, kind) for child in children), where)


def _items(values: list[Any], name: str, full_name: str, where: str) -> list[dict[str, Any]]:
    """Checked items of a list attribute."""
    item_kind = full_name if full_name in ITEMS else name
    checked = []
    for value in values:
        if not isinstance(value, dict):
            raise LocatedError(
                f"{where}: '{name}' is a list of entries with {known_names('', ITEMS[item_kind])}; got {value!r}"
            )
        item = _checked(value, item_kind, ITEMS[item_kind], f"{where}, in '{name}'")
        if "param" in item:
            item["param"] = _items(item["param"], "param", "param", f"{where}, in '{name}'")
        checked.append(item)
    if not checked:
        raise LocatedError(f"{where}: '{name}' is an empty list (ROS's launch refuses that): leave it out")
    return checked


def _checked(given: dict[str, Any], kind: str, known: dict[str, str], where: str) -> dict[str, Any]:
    """Attributes with names and types checked."""
    for name, value in given.items():
        if name not in known:
            raise LocatedError(f"{where} has an unknown attribute '{name}'; {known_names(name, known)}")
        if known[name] == CHILDREN:
            if not isinstance(value, list):
                raise LocatedError(f"{where}: '{name}' must be a list of elements")
        elif known[name] != ANY and type(value) not in _TYPES[known[name]]:
            hint = f'; write "{value}" in quotes' if known[name] == TEXT and not isinstance(value, dict | list) else ""
            if known[name] == REAL and isinstance(value, int):
                hint = f"; write {value}.0"
            raise LocatedError(f"{where}: '{name}' must be {known[name]}, not {value!r}{hint}")
    for name in REQUIRED.get(kind, ()):
        if name not in given:
            raise LocatedError(f"{where} needs the attribute '{name}'")
    return dict(given)
