"""ROS parameters of a node: typed values from launch files, parameter files, and the files handed to the process."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from palpate_nodes.launching.context import Context
from palpate_nodes.launching.errors import LaunchError, known_names
from palpate_nodes.launching.grammar import parse

Scalar = bool | int | float | str
TYPES: dict[str, tuple[type | None, bool]] = {
    **{"str": (str, False), "bool": (bool, False), "int": (int, False), "float": (float, False)},
    **{"list_of_str": (str, True), "list_of_bool": (bool, True), "list_of_int": (int, True)},
    **{"list_of_float": (float, True), "yaml": (None, False)},
}
"""Names of `type` -> type of the value or of its items, and whether it is a list."""


@dataclass(frozen=True)
class ParameterFile:
    """One `--params-file` of a process.

    Attributes:
        path: the file as the user has it; None when only `content` exists.
        content: what to write into a file of our own; None when the user's file is handed on as it is.
    """

    path: Path | None
    content: str | None

    def materialise(self, folder: Path) -> Path:
        """Path to hand to the process; a file of our own is written into `folder`."""
        if self.content is None:
            assert self.path is not None
            return self.path
        with tempfile.NamedTemporaryFile(
            "w", prefix="launch_params_", suffix=".yaml", dir=folder, delete=False
        ) as file:
            file.write(self.content)
        return Path(file.name)


def collect(items: list[dict[str, Any]], node: str | None, context: Context) -> list[ParameterFile]:
    """Evaluate the `param` list of a node.

    Args:
        items: entries with `name` and `value` (or nested `param`), or with `from`.
        node: fully qualified name of the node, None where it is not known before the node runs.
        context: for substitutions.

    Returns:
        parameter files in the order in which the process reads them (later ones win).

    Raises:
        LaunchError: contradicting attributes, a missing file, a value that does not fit its type.
    """
    files = []
    for item in items:
        if ("from" in item) == ("name" in item):
            raise LaunchError("each 'param' has either 'name' or 'from'")
        if "from" in item:
            if extra := set(item) - {"from", "allow_substs"}:
                raise LaunchError(f"'param' with 'from' cannot have '{sorted(extra)[0]}'")
            files.append(_file(Path(context.text(item["from"])), item.get("allow_substs", False), context))
            continue
        if "allow_substs" in item:
            raise LaunchError("'allow_substs' goes with 'from' only")
        values = dict(_flat(item, "", context))
        # As launch_ros does: a node whose name is not known yet is reached by a wildcard.
        content = yaml.safe_dump({node or "/**": {"ros__parameters": values}}, sort_keys=False)
        files.append(ParameterFile(None, content))
    return files


def _file(path: Path, allow_substitutions: bool, context: Context) -> ParameterFile:
    if not path.is_file():
        # launch_ros warns and starts the node with its defaults; that hides a misspelt path.
        raise LaunchError(f"there is no parameter file {path}")
    text = path.read_text()
    if allow_substitutions:
        try:
            text = context.text(text)
        except LaunchError as error:
            raise LaunchError(f"in the parameter file {path}: {error}") from error
    try:
        tree = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise LaunchError(f"the parameter file {path} is not YAML (after substitution): {error}") from error
    if not isinstance(tree, dict):
        raise LaunchError(f"the parameter file {path} must map node names to 'ros__parameters'")
    return ParameterFile(path, text if allow_substitutions else None)


def _flat(item: dict[str, Any], prefix: str, context: Context) -> list[tuple[str, Scalar | list[Scalar]]]:
    """Name and value pairs of an entry; nested names are joined with dots."""
    if "name" not in item or "from" in item:
        raise LaunchError("a nested 'param' needs a 'name'")
    name = prefix + context.text(item["name"])
    nested = item.get("param")
    if (nested is None) == ("value" not in item):
        raise LaunchError(f"parameter '{name}' needs either a 'value' or nested 'param'")
    if nested is None:
        return [(name, typed(item["value"], item.get("type"), context, name))]
    if "type" in item:
        raise LaunchError(f"parameter '{name}' has nested 'param' and therefore no 'type'")
    return [pair for child in nested for pair in _flat(child, f"{name}.", context)]


def typed(value: Any, type_name: str | None, context: Context, name: str) -> Scalar | list[Scalar]:
    """Value of a parameter in its type.

    A text with substitutions becomes what it looks like in YAML (`"$(var parts)"` with 6 is an integer) unless `type`
    says otherwise; a text without any stays text.

    Raises:
        LaunchError: unknown type, or a value that does not fit it.
    """
    if type_name is not None and type_name not in TYPES:
        raise LaunchError(f"parameter '{name}' has the unknown type '{type_name}'; {known_names(type_name, TYPES)}")
    kind, is_list = TYPES[type_name] if type_name else (None, False)
    if isinstance(value, list):
        if kind is not None and not is_list:
            raise LaunchError(f"parameter '{name}' is a list, not {type_name}")
        items: list[Scalar] = []
        for entry in value:
            item = _scalar(entry, kind, context, name)
            if isinstance(item, list):
                raise LaunchError(f"parameter '{name}' holds a list within a list")
            items.append(item)
        return _uniform(items, name)
    if isinstance(value, dict) or value is None:
        raise LaunchError(f"parameter '{name}' has the value {value!r}; nested names are written as nested 'param'")
    if is_list:
        result = _from_yaml(context.text(str(value)), name)
        if not isinstance(result, list) or not all(kind is None or _fits(entry, kind) for entry in result):
            raise LaunchError(f"parameter '{name}' must be {type_name}, not {result!r}")
        return _uniform(result, name)
    return _scalar(value, kind, context, name)


def _scalar(value: Any, kind: type | None, context: Context, name: str) -> Any:
    if not isinstance(value, str):
        if kind is not None and not _fits(value, kind):
            raise LaunchError(f"parameter '{name}' must be {kind.__name__}, not {value!r}")
        return value
    template = parse(value)
    text = context.perform(template)
    if all(isinstance(part, str) for part in template):
        if kind not in (None, str):
            wanted = kind.__name__ if kind else ""
            raise LaunchError(f"parameter '{name}' must be {wanted}, not the text '{text}'; leave out the quotes")
        return text
    if kind is str:
        return text
    try:
        if kind in (int, float):
            return kind(text)
        result = _from_yaml({"1": "true", "0": "false"}.get(text, text) if kind is bool else text, name)
    except ValueError:
        result = None
    if kind is not None and not _fits(result, kind):
        raise LaunchError(f"parameter '{name}' must be {kind.__name__}, not '{text}'")
    return result


def _from_yaml(text: str, name: str) -> Any:
    """A text as YAML reads it; an empty one stays empty."""
    if not text:
        return text
    try:
        result = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise LaunchError(f"parameter '{name}': '{text}' is not YAML; give it 'type: str'") from error
    if isinstance(result, list):
        return _uniform(result, name)
    if not isinstance(result, bool | int | float | str):
        raise LaunchError(
            f"parameter '{name}': '{text}' is neither number, truth value, text nor list; give it 'type: str'"
        )
    return result


def _fits(value: Any, kind: type) -> bool:
    return type(value) is kind


def _uniform(items: list[Any], name: str) -> list[Any]:
    if len({type(item) for item in items}) > 1 or not all(isinstance(item, bool | int | float | str) for item in items):
        raise LaunchError(f"parameter '{name}': the items of a list must have one type, not {items!r}")
    return items
