"""Two thermometers below a skin, one of them heated: their calibration, and the pads' columns from them.

A buried thermometer shows the contact late and only in part. How much, and how the two differ, follows from touches of
parts that have the room's temperature; no touch of a cold or warm part is needed:

- the heated one falls by `Ts - room`, which is known;
- the other one starts where earlier touches left it, a few tenths of a kelvin off the part. How much of that is gone
  after a contact is the slope of its change over its start, within touches of one part.

With both responses undone the two sensors are two half-spaces, and the columns are those of the cell's warm pads.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from palpate_agents.encoders.contact_heat import PartHeat, SensorPair, pair_columns, touch_columns, two_half_spaces
from palpate_agents.encoders.pads import PadTouch
from palpate_agents.encoders.reading import Reading, Unusable, reading
from palpate_agents.encoders.thermal import NAMES
from palpate_agents.errors import DataError

PERIOD_S = 0.1
"""The pads' period: faster traces are averaged to it."""
START_S = 0.2
"""What counts as before: the first readings. The last ones before contact may already feel a cold part's air."""
LATE = 0.5
"""The level is the mean over the contact from this share of it on: a buried thermometer has answered by then."""
BEST_SHARE = 0.95
"""Share of the best conductor of the calibration: a metal (20,000) against a skin (1000 W s0.5/(m2 K), PHYSICS.md)."""
MIN_REACH = 0.3
"""Earlier, when less of the contact has arrived, its temperature cannot be told from the thermometer's."""
MIN_LEVEL_REACH = 0.05
MIN_STEP_K = 3.0
"""Of the heated sensor over the part; with less the reading loses reliability."""
LEFT_OUT = ("pad_step_k", "pad_index", "pad_slope_fraction_s05", "pad_recovery_fraction")
"""Step and index do not vary in calibration touches, so that a network could only learn "cold means ..." from them.
Slope and recovery are zero on a half-space once the reach is undone; what is left is the calibration's error, over the
step."""

Array = NDArray[np.float64]


class Response(NamedTuple):
    """Answer of both sensors to a touch of one material, per kelvin between sensor and part.

    Attributes:
        heated: (T,) fall of the heated sensor over its step.
        unheated: (T,) the same of the other sensor; NaN where it cannot be told.
        unheated_error: (T,) standard error of it.
    """

    heated: Array
    unheated: Array
    unheated_error: Array


@dataclass(frozen=True)
class PairTraces:
    """Touches of two thermometers on one time axis.

    Attributes:
        times_s: (T,) since the contact.
        heated_c, unheated_c: (N, T) degrees Celsius.
    """

    times_s: Array
    heated_c: Array
    unheated_c: Array

    def __len__(self) -> int:
        return len(self.heated_c)

    def take(self, rows: NDArray[np.bool_] | NDArray[np.integer]) -> PairTraces:
        """Some of the touches."""
        return PairTraces(self.times_s, self.heated_c[rows], self.unheated_c[rows])

    def at_period(self, period_s: float = PERIOD_S) -> PairTraces:
        """Averaged to one reading per period; the reading at 0 is around the contact."""
        place = np.rint(self.times_s / period_s).astype(int)
        steps, owner = np.unique(place, return_inverse=True)
        count = np.bincount(owner)
        mean = [np.stack([np.bincount(owner, row) / count for row in x]) for x in (self.heated_c, self.unheated_c)]
        return PairTraces(steps * period_s, mean[0], mean[1])

    def starts(self) -> tuple[Array, Array]:
        """(N,) temperatures before contact of the heated and of the other sensor, degrees Celsius."""
        first = self.times_s <= self.times_s[0] + START_S
        return self.heated_c[:, first].mean(axis=1), self.unheated_c[:, first].mean(axis=1)


@dataclass(frozen=True)
class ThermistorPair:
    """Calibration of two thermometers, by touches of parts at room temperature.

    Attributes:
        times_s: (T,) of the period `PERIOD_S`; heated_reach: (T,) share of the contact that the heated sensor shows.
        level_reach, unheated_reach: of both sensors' levels.
        effusivity_ratio: of the unheated sensor over the heated one.
    """

    times_s: tuple[float, ...]
    heated_reach: tuple[float, ...]
    level_reach: float
    unheated_reach: float
    effusivity_ratio: float

    @property
    def pair(self) -> SensorPair:
        """For `two_half_spaces`."""
        return SensorPair(self.level_reach, self.unheated_reach, self.effusivity_ratio)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values, for a model's card."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ThermistorPair:
        """From `to_dict`."""
        plain = dict(values)
        for name in ("times_s", "heated_reach"):
            plain[name] = tuple(plain[name])
        return cls(**plain)


def responses(traces: PairTraces, label: NDArray[np.str_], part: NDArray[np.str_]) -> dict[str, Response]:
    """How both sensors answer to each material, from touches of parts that have the room's temperature.

    Args:
        traces: N touches.
        label: (N,) material.
        part: (N,) the physical object; its touches share a temperature.
    """
    heated_start, start = traces.starts()
    found = {}
    for name in sorted(set(label.tolist())):
        rows = np.flatnonzero(label == name)
        # The middle start of a part's touches is the room's temperature there: the unheated sensor rests in the air.
        room = np.array([np.median(start[rows][part[rows] == part[row]]) for row in rows])
        fall = heated_start[rows, None] - traces.heated_c[rows]
        heated = (fall / (heated_start[rows] - room)[:, None]).mean(axis=0)
        slope, error = _slope_within(start[rows], start[rows, None] - traces.unheated_c[rows], part[rows])
        found[name] = Response(heated, slope, error)
    return found


def _slope_within(x: Array, y: Array, part: NDArray[np.str_]) -> tuple[Array, Array]:
    """Slope of (N, T) `y` over (N,) `x` within parts (over all where no part was touched twice), standard error."""
    names, owner, count = np.unique(part, return_inverse=True, return_counts=True)
    if (count < 2).all():
        names, owner, count = names[:1], np.zeros(len(x), int), np.array([len(x)])
    x = x - (np.bincount(owner, x) / count)[owner]
    y = y - (np.stack([np.bincount(owner, column) for column in y.T], axis=1) / count[:, None])[owner]
    spread, free = float(x @ x), len(x) - len(names) - 1
    if free < 1 or spread < 1e-9:
        return np.full(y.shape[1], np.nan), np.full(y.shape[1], np.nan)
    slope = (x @ y) / spread
    return slope, np.sqrt(((y - x[:, None] * slope) ** 2).sum(axis=0) / free / spread)


def late(times_s: Array) -> NDArray[np.bool_]:
    """(T,) readings that make the level."""
    return times_s > LATE * times_s[-1]


def calibrate(traces: PairTraces, label: NDArray[np.str_], part: NDArray[np.str_]) -> ThermistorPair:
    """Calibrates two thermometers by touches of known materials at room temperature.

    The unheated sensor moves little in such touches, so that its part of the answer is uncertain. It is estimated with
    a prior: that the two sensors are alike, within a factor 10 (effusivity) and 3 (reach), one standard deviation.

    Args:
        traces: N touches, any rate of at least `1 / PERIOD_S`.
        label: (N,) material, two or more.
        part: (N,) the physical object.

    Raises:
        DataError: the heated sensor does not answer to any material.
    """
    slow = traces.at_period()
    found = list(responses(slow, label, part).values())
    level = late(slow.times_s)
    best = max(found, key=lambda response: float(response.heated[level].mean()))
    reach = best.heated / BEST_SHARE
    level_reach = float(reach[level].mean())
    if not level_reach > MIN_LEVEL_REACH:
        raise DataError(
            f"the heated sensor falls by {100 * level_reach:.1f} % of its step on its best conductor, "
            f"{100 * MIN_LEVEL_REACH:.0f} % are needed; touch for longer, or check which channel is heated"
        )
    share = np.clip([r.heated[level].mean() / level_reach for r in found], 0.01, BEST_SHARE)
    conductance = share / (1.0 - share)
    slope = np.array([r.unheated[level].mean() for r in found])
    error = np.maximum([r.unheated_error[level].mean() for r in found], 0.02)
    known = np.isfinite(slope)

    def misfit(logs: Array) -> Array:
        ratio, scale = np.exp(logs)
        expected = level_reach * scale * conductance / (ratio + conductance)
        prior = logs / np.log([10.0, 3.0])
        return np.concatenate([((expected - slope) / error)[known], prior])

    ratio, scale = np.exp(least_squares(misfit, np.log([0.3, 1.0])).x)
    return ThermistorPair(
        tuple(slow.times_s.tolist()), tuple(reach.tolist()), level_reach, float(level_reach * scale), float(ratio)
    )


def part_heat(traces: PairTraces, sensors: ThermistorPair) -> PartHeat:
    """(N,) share and temperature of each touched part.

    Raises:
        DataError: the traces have another time axis than the calibration.
    """
    slow = traces.at_period()
    _same_axis(slow, sensors)
    start, other = slow.starts()
    level = late(slow.times_s)
    fall, other_fall = start - slow.heated_c[:, level].mean(axis=1), other - slow.unheated_c[:, level].mean(axis=1)
    return two_half_spaces(start, fall, other, other_fall, sensors.pair)


def thermal_columns(traces: PairTraces, sensors: ThermistorPair) -> list[Reading]:
    """The cell's thermal columns of each touch, with the part's temperature from both sensors, not from a camera.

    What a buried thermometer cannot resolve is NaN, and so are the columns in `LEFT_OUT`.
    """
    slow = traces.at_period()
    heat = part_heat(slow, sensors)
    start, _ = slow.starts()
    return [
        _columns(slow, row, start[row], PartHeat(heat.share[row], heat.part_c[row]), sensors)
        for row in range(len(slow))
    ]


def _columns(slow: PairTraces, row: int, start_c: float, heat: PartHeat, sensors: ThermistorPair) -> Reading:
    times, reach = slow.times_s, np.asarray(sensors.heated_reach)
    resolved = (times > 0.0) & (reach >= min(MIN_REACH, sensors.level_reach))
    part_c = float(heat.part_c)
    if not np.isfinite(part_c):
        # Hardly any heat flowed: an insulator, whatever its temperature. The other sensor's end is the best guess.
        part_c = float(slow.unheated_c[row, -1])
    fall = start_c - slow.heated_c[row]
    face = start_c - fall[resolved] / reach[resolved]
    level = start_c - fall[late(times)].mean() / sensors.level_reach
    # A part warmer than the sensor heats it: the same shares of a step in the other direction.
    sign = 1.0 if start_c >= part_c else -1.0
    held = np.ones(int(resolved.sum()), bool)
    unknown = np.full(len(face), np.nan)
    touch = PadTouch(0, sign * start_c, sign * float(level), times[resolved], sign * face, unknown, ~held, held)
    step = abs(start_c - part_c)
    reason = "" if step >= MIN_STEP_K else f"sensor only {step:.1f} K from the part, {MIN_STEP_K:.0f} K are needed"
    found = touch_columns(touch, sign * part_c) | pair_columns(heat, np.nan)
    for name in LEFT_OUT:
        found.pop(name, None)
    try:
        return reading(NAMES, found, min(1.0, step / MIN_STEP_K), reason)
    except Unusable as unusable:
        return Reading(np.full(len(NAMES), np.nan, np.float32), 0.0, str(unusable))


def _same_axis(slow: PairTraces, sensors: ThermistorPair) -> None:
    if len(slow.times_s) != len(sensors.times_s) or not np.allclose(slow.times_s, sensors.times_s, atol=1e-6):
        raise DataError(
            f"touches last from {slow.times_s[0]:g} to {slow.times_s[-1]:g} s, the model was calibrated from "
            f"{sensors.times_s[0]:g} to {sensors.times_s[-1]:g} s; cut them to that time"
        )
