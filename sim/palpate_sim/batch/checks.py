"""Refusals of the batched cell: what cannot be meant is told by name and value before anything has changed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palpate_agents.errors import ConfigError
from palpate_agents.observation import Primitive
from palpate_agents.probing.decoder import GoalArrays

_LENGTHS = ("standoff_m", "slide_m", "speed_m_s", "dwell_s", "force_n")
"""Fields of goals that are never negative."""


def whole_number(name: str, value: Any, least: int | None = None, most: int | None = None) -> int:
    """A whole number within bounds.

    Args:
        name: for the message.
        value: to check; `True` and 2.0 are none.
        least: lower bound, None: none.
        most: upper bound.

    Raises:
        ConfigError: it is not.
    """
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer):
        raise ConfigError(f"{name} is {value!r}, a whole number is needed")
    if (least is not None and value < least) or (most is not None and value > most):
        bounds = f"{least} to {most}" if most is not None else f"{least} or more"
        raise ConfigError(f"{name} is {value}, allowed are {bounds}")
    return int(value)


def real_number(name: str, value: Any, least: float = -math.inf, most: float = math.inf) -> float:
    """A finite number within bounds.

    Args:
        name: for the message.
        value: to check.
        least: lower bound.
        most: upper bound.

    Raises:
        ConfigError: it is not.
    """
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.integer | np.floating):
        raise ConfigError(f"{name} is {value!r}, a number is needed")
    if not (math.isfinite(value) and least <= value <= most):
        bounds = f"{least:g} to {most:g}" if math.isfinite(most) else f"finite ones from {least:g}"
        raise ConfigError(f"{name} is {value:g}, allowed are {bounds}")
    return float(value)


def number_range(name: str, given: Any, least: int, most: int) -> tuple[int, int]:
    """First number and the one behind the last.

    Args:
        name: for the message.
        given: to check.
        least: lower bound of both.
        most: upper bound of both.

    Raises:
        ConfigError: they are not two whole numbers within the bounds, the first one smaller.
    """
    pair = tuple(given) if isinstance(given, Sequence) and not isinstance(given, str) else ()
    if len(pair) != 2:
        raise ConfigError(f"{name} is {given!r}, two numbers are needed: the first, and the one behind the last")
    first, behind = (whole_number(name, value, least, most) for value in pair)
    if first >= behind:
        raise ConfigError(f"{name} is {given!r}, which holds none; the second number has to be larger")
    return first, behind


def check_goals(goals: GoalArrays, cells: int, decoded: bool = False) -> NDArray[np.int64]:
    """One goal per cell, of numbers that mean something.

    Args:
        goals: to check.
        cells: how many there are.
        decoded: `decode` has just made them; then they are only counted.

    Returns:
        (9,) how many goals there are of each primitive.

    Raises:
        ConfigError: other lengths, an unknown primitive or pad, or a number that is not finite or is negative.
    """
    if decoded:
        return np.bincount(goals.primitive, minlength=len(Primitive))
    # All numbers in one piece: a check of each array would take as long as the touch of a single cell.
    first = (goals.primitive, goals.pad_index, *(getattr(goals, name) for name in _LENGTHS))
    try:
        numbers = np.concatenate((*first, goals.tilt_rad, goals.slide_angle_rad, goals.point_m.ravel()))
    except ValueError:
        numbers = np.empty(0)
    if len(numbers) == (len(first) + 4) * cells and cells == len(goals.primitive):
        never_negative, pads = numbers[: len(first) * cells], numbers[cells : 2 * cells]
        if math.isfinite(numbers.sum()) and never_negative.min() >= 0.0 and pads.max() <= 1.0:
            counts = np.bincount(goals.primitive, minlength=len(Primitive))
            if len(counts) == len(Primitive) and not counts[Primitive.PLACE]:
                return counts
    raise ConfigError(_what_is_wrong(goals, cells))


def _what_is_wrong(goals: GoalArrays, cells: int) -> str:
    for name, array in zip(goals._fields, goals, strict=True):
        wanted = (cells, 2) if name == "point_m" else (cells,)
        if array.shape != wanted:
            return f"{len(array)} goals came for {cells} cells: {name} is {array.shape}; give one per cell, {wanted}"
    kind = goals.primitive
    if kind.min() < 0 or kind.max() >= len(Primitive):
        strange = int(kind.min() if kind.min() < 0 else kind.max())
        return f"there is no primitive {strange}; known are 0 to {len(Primitive) - 1}"
    if (kind == Primitive.PLACE).any():
        return "a batched cell does not place parts; take `reset` for the next part"
    for name in (*_LENGTHS, "point_m", "tilt_rad", "slide_angle_rad"):
        values = np.asarray(getattr(goals, name), float).reshape(cells, -1)
        wrong = ~np.isfinite(values) | ((values < 0.0) & (name in _LENGTHS))
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            least = " of at least 0 (0: the default)" if name in _LENGTHS else ""
            return f"{name} of goal {row} is {values[row, column]:g}; it must be a finite number{least}"
    return "a goal's pad_index is neither 0 nor 1; the tool has two pads"


def check_mask(mask: Any, cells: int) -> NDArray[np.bool_]:
    """(N,) bool, which cells are meant.

    Raises:
        ConfigError: other shape or type.
    """
    mask = np.asarray(mask)
    if mask.shape != (cells,) or mask.dtype != np.bool_:
        raise ConfigError(f"a mask of shape {mask.shape} and type {mask.dtype} came; ({cells},) of bool is needed")
    return mask


def check_given(name: str, batch: Any, count: int) -> None:
    """One part, or set of devices, for each cell that gets one.

    Raises:
        ConfigError: another number of them.
    """
    if batch is not None and len(batch) != count:
        raise ConfigError(f"{len(batch)} {name} came for {count} cells; give one for each")


def seeds_of(seed: Any, cells: int) -> int | list[int]:
    """One seed for all cells, or one for each.

    Args:
        seed: whole number, or N of them.
        cells: N.

    Raises:
        ConfigError: neither.
    """
    if isinstance(seed, list | tuple | np.ndarray):
        if len(seed) != cells:
            raise ConfigError(f"{len(seed)} seeds came for {cells} cells; give one for all, or one for each")
        return [_seed(value) for value in seed]
    return _seed(seed)


def _seed(value: Any) -> int:
    if value is None:
        raise ConfigError("a seed is None among others that are not; give every cell a whole number")
    return whole_number("seed", value)
