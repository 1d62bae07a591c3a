"""What a launch file is evaluated in: launch configurations, environment, the current file; and the substitutions."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from palpate_nodes.launching import expression, packages
from palpate_nodes.launching.errors import LaunchError, known_names
from palpate_nodes.launching.grammar import Call, Template, parse

ROS_NAMESPACE = "ros_namespace"
"""Launch configuration in which `push_ros_namespace` keeps the namespace, as in launch_ros."""
TRUE, FALSE = ("true", "1"), ("false", "0")


@dataclass
class Context:
    """The state that elements read and change while a launch file is gone through from top to bottom.

    Attributes:
        configurations: launch arguments and `let` values, text.
        environment: what processes started from here on see.
        file: the launch file being read.
    """

    environment: dict[str, str]
    file: Path
    configurations: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def scope(self) -> Iterator[None]:
        """Changes of configurations and environment end with the block."""
        configurations, environment = dict(self.configurations), dict(self.environment)
        try:
            yield
        finally:
            self.configurations, self.environment = configurations, environment

    @contextmanager
    def within(self, file: Path) -> Iterator[None]:
        """Read another file; afterwards `$(dirname)` means this one again."""
        before, self.file = self.file, file
        try:
            yield
        finally:
            self.file = before

    def text(self, template: str) -> str:
        """Perform every substitution in a text.

        Raises:
            LaunchError: bad syntax, an unknown substitution, or one that fails.
        """
        return self.perform(parse(template))

    def perform(self, template: Template) -> str:
        """Join a parsed template."""
        return "".join(part if isinstance(part, str) else self._call(part) for part in template)

    def _call(self, call: Call) -> str:
        if call.name not in SUBSTITUTIONS:
            raise LaunchError(f"unknown substitution '$({call.name})'; {known_names(call.name, SUBSTITUTIONS)}")
        least, most, function = SUBSTITUTIONS[call.name]
        if not least <= len(call.arguments) <= most:
            number = f"{least}" if least == most else f"{least} or {most}"
            raise LaunchError(f"$({call.name}) takes {number} arguments, not {len(call.arguments)}")
        return function(self, *(self.perform(argument) for argument in call.arguments))


def truth(text: str) -> bool:
    """Truth of a condition, spelled as ROS's launch wants it.

    Raises:
        LaunchError: anything but true, 1, false, 0 (in any case).
    """
    value = text.strip().lower()
    if value in TRUE:
        return True
    if value in FALSE:
        return False
    raise LaunchError(f"'{text}' is not a condition: it must be true, 1, false or 0")


def _var(context: Context, name: str, default: str | None = None) -> str:
    value = context.configurations.get(name, default)
    if value is None:
        raise LaunchError(f"'$(var {name})': no such launch argument; {known_names(name, context.configurations)}")
    return value


def _env(context: Context, name: str, default: str | None = None) -> str:
    value = context.environment.get(name, default)
    if value is None:
        raise LaunchError(f"the environment variable '{name}' is not set; '$(env {name} DEFAULT)' gives a default")
    return value


def _prefix(context: Context, package: str) -> str:
    return str(packages.package_prefix(package, context.environment))


def _share(context: Context, package: str) -> str:
    return str(packages.package_share(package, context.environment))


def _word(value: bool) -> str:
    return "true" if value else "false"


def _same(one: str, other: str) -> bool:
    """Equality as in ros2/launch: as truth values if both are, as numbers if both are, otherwise as text."""
    if {one.lower(), other.lower()} <= {*TRUE, *FALSE}:
        return truth(one) == truth(other)
    try:
        return math.isclose(float(one), float(other))
    except ValueError:
        return one == other


SUBSTITUTIONS: Mapping[str, tuple[int, int, Callable[..., str]]] = {
    "var": (1, 2, _var),
    "env": (1, 2, _env),
    "dirname": (0, 0, lambda context: str(context.file.parent)),
    "filename": (0, 0, lambda context: str(context.file)),
    "find-pkg-prefix": (1, 1, _prefix),
    "find-pkg-share": (1, 1, _share),
    "eval": (1, 2, lambda _, text, modules="math": expression.evaluate(text, modules)),
    "not": (1, 1, lambda _, one: _word(not truth(one))),
    "and": (2, 2, lambda _, one, other: _word(truth(one) and truth(other))),
    "or": (2, 2, lambda _, one, other: _word(truth(one) or truth(other))),
    "equals": (2, 2, lambda _, one, other: _word(_same(one, other))),
    "not-equals": (2, 2, lambda _, one, other: _word(not _same(one, other))),
}
"""Name -> least and most arguments, function of the context and the arguments."""
