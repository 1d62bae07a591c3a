"""Node parameters as tables: name, default, unit, range, meaning. A misspelt parameter is refused, never ignored."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor

from palpate_agents.errors import ConfigError

Value = bool | int | float | str | list[str] | list[float]

# Parameters that rclpy itself declares on every node.
ROS_PARAMETERS = ("use_sim_time", "start_type_description_service", "qos_overrides")


@dataclass(frozen=True)
class Param:
    """One parameter.

    Attributes:
        name: as in the parameter file.
        default: its type is the parameter's type.
        description: what it does, one sentence.
        unit: SI unit, empty for dimensionless or text.
        low: smallest allowed value (numbers).
        high: largest allowed value (numbers).
        choices: allowed texts.
    """

    name: str
    default: Value
    description: str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()

    def descriptor(self) -> ParameterDescriptor:
        """Descriptor for `declare_parameter`, so that `ros2 param describe` teaches unit and range."""
        unit = f" [{self.unit}]" if self.unit else ""
        options = f" One of: {', '.join(self.choices)}." if self.choices else ""
        descriptor = ParameterDescriptor(name=self.name, description=f"{self.description}{unit}{options}")
        if self.low is not None or self.high is not None:
            if isinstance(self.default, int) and not isinstance(self.default, bool):
                low = -(2**63) if self.low is None else int(self.low)
                high = 2**63 - 1 if self.high is None else int(self.high)
                descriptor.integer_range = [IntegerRange(from_value=low, to_value=high)]
            else:
                low_f = -math.inf if self.low is None else float(self.low)
                high_f = math.inf if self.high is None else float(self.high)
                descriptor.floating_point_range = [FloatingPointRange(from_value=low_f, to_value=high_f)]
        return descriptor

    def check(self, value: Any, node: str) -> Value:
        """Return `value` in the parameter's type.

        Args:
            value: what the user gave.
            node: name of the node, for the message.

        Raises:
            ConfigError: wrong type, out of range, not one of the choices, or not finite.
        """
        where = f"parameter '{self.name}' of node '{node}'"
        kind = type(self.default)
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if kind is list and isinstance(value, list | tuple):
            value = list(value)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise ConfigError(f"{where} must be a {kind.__name__}, not {value!r} ({type(value).__name__})")
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"{where} must be a finite number, not {value}")
        unit = f" {self.unit}" if self.unit else ""
        if isinstance(value, int | float):
            self._check_range(value, where, unit)
        if self.choices and value not in self.choices:
            known = ", ".join(self.choices)
            raise ConfigError(f"{where} is '{value}', which is none of: {known}{hint(str(value), self.choices)}")
        return value

    def _check_range(self, value: float, where: str, unit: str) -> None:
        if self.low is not None and value < self.low:
            raise ConfigError(f"{where} is {value}{unit}, below the smallest allowed value {self.low}{unit}")
        if self.high is not None and value > self.high:
            raise ConfigError(f"{where} is {value}{unit}, above the largest allowed value {self.high}{unit}")


def hint(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` when something close is known, otherwise an empty text."""
    close = difflib.get_close_matches(str(name), list(known), n=1)
    return f"; did you mean '{close[0]}'?" if close else ""


def check_all(table: Iterable[Param], given: Mapping[str, Any], node: str) -> dict[str, Value]:
    """Validate given values against a table and fill in the defaults.

    Args:
        table: the node's parameters.
        given: values from a file or the command line.
        node: name of the node, for messages.

    Returns:
        name -> value for every parameter of the table.

    Raises:
        ConfigError: an unknown name or an impossible value.
    """
    params = {param.name: param for param in table}
    for name in given:
        if name not in params and name.split(".")[0] not in ROS_PARAMETERS:
            raise ConfigError(
                f"node '{node}' has no parameter '{name}'{hint(name, params)}; known: {', '.join(sorted(params))}"
            )
    return {name: param.check(given.get(name, param.default), node) for name, param in params.items()}
