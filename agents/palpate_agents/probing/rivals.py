"""Strategies over the menu that need no training of a network: chance, fixed sequences, and a hand-written rule.

All of them are stateless: what was done is read from the log, so that a replay repeats every choice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from palpate_agents.errors import ConfigError
from palpate_agents.probing.items import Options
from palpate_agents.probing.menu import NAMES, SPOTS
from palpate_agents.probing.part_state import TREATMENTS, PartStates, ProbeLog

Floats = NDArray[np.floating]
Ints = NDArray[np.int64]

GROUPS = ("painted", "wet", "black", "none")
"""Visible conditions in the order in which they are asked; the first that holds counts."""
GROUP_LIMIT = 0.5
_MIX, _STEP = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x9E3779B97F4A7C15)
_LAST = np.uint64(0x94D049BB133111EB)


def visible_groups(states: PartStates, names: Sequence[str], limit: float = GROUP_LIMIT) -> Ints:
    """(n,) number in GROUPS by what the belief says of the surface.

    Args:
        states: of n parts.
        names: of the belief's conditions, in the order of `states.conditions`.
        limit: probability from which a condition counts.

    Raises:
        ConfigError: the belief knows none of that name.
    """
    holds = np.ones((len(states), len(GROUPS)), bool)
    for k, group in enumerate(GROUPS[:-1]):
        if group not in names:
            raise ConfigError(f"the belief tells no condition {group!r}, only {', '.join(names)}")
        holds[:, k] = states.conditions[:, list(names).index(group)] > limit
    return holds.argmax(axis=1)


class RandomItems:
    """Any allowed item with the same chance; the same choice for the same part, state and seed."""

    def __init__(self, seed: int = 0) -> None:
        """Args: seed: of all choices."""
        self.seed = seed

    def choose(self, options: Options) -> Ints:
        """(n,) allowed items."""
        states = options.states
        bits = np.ascontiguousarray(states.log_probabilities[:, :2], np.float64).view(np.uint64)
        with np.errstate(over="ignore"):
            word = _mixed(bits[:, 0] ^ _mixed(bits[:, 1] + _mixed(np.uint64(self.seed) + _STEP)))
            word = _mixed(word + states.log.count.astype(np.uint64) * _STEP)
            items = np.arange(1, len(NAMES) + 1, dtype=np.uint64) * _STEP
            drawn = _mixed(word[:, None] + items[None, :])
        return np.asarray(np.where(options.allowed, drawn >> np.uint64(1), 0).argmax(axis=1), np.int64)


def _mixed(word: NDArray[np.uint64] | np.uint64) -> NDArray[np.uint64]:
    """SplitMix64 (Steele et al., 2014)."""
    word = (word ^ (word >> np.uint64(30))) * _MIX
    word = (word ^ (word >> np.uint64(27))) * _LAST
    return np.asarray(word ^ (word >> np.uint64(31)), np.uint64)


class FixedItems:
    """One sequence for every part. A probe that failed is tried once more; after its end the sequence begins again."""

    def __init__(self, sequence: Sequence[str]) -> None:
        """Args: sequence: names of the menu; those that are not allowed when their turn comes are left out.

        Raises:
            ConfigError: no sequence, or a name that the menu has not.
        """
        strange = [name for name in sequence if name not in NAMES]
        if isinstance(sequence, str) or not len(sequence) or strange:
            raise ConfigError(
                f"a sequence has at least one item of the menu, got {strange[0] if strange else sequence!r}; known are "
                + ", ".join(NAMES)
            )
        self.sequence = tuple(sequence)
        self._items = np.array([NAMES.index(name) for name in sequence])
        length = len(sequence)
        self._turned = (np.arange(length)[:, None] + np.arange(length)[None, :]) % length
        same = self._items[self._turned][:, :, None] == np.arange(len(NAMES))
        away = np.where(same.any(axis=1), same.argmax(axis=1) + 1, 0)
        self._behind = (np.arange(length)[:, None] + away) % length
        """(L, K) place behind the next turn of an item; an item that is not in the sequence changes nothing."""

    def choose(self, options: Options) -> Ints:
        """(n,) allowed items."""
        place = self._place(options.states.log)
        coming = self._items[self._turned[place]]
        can = np.take_along_axis(options.allowed, coming, axis=1)
        best = np.take_along_axis(coming, can.argmax(axis=1)[:, None], axis=1)[:, 0]
        best = np.where(can.any(axis=1), best, options.allowed.argmax(axis=1))
        again, item = _once_more(options.states.log)
        again &= np.take_along_axis(options.allowed, np.maximum(item, 0)[:, None], axis=1)[:, 0]
        again &= (item[:, None] == self._items).any(axis=1)
        return np.asarray(np.where(again, item, best), np.int64)

    def _place(self, log: ProbeLog) -> Ints:
        """(n,) which item of the sequence comes next."""
        place = np.zeros(len(log.count), np.int64)
        first_failure = np.zeros(len(log.count), bool)
        for k in range(int(np.minimum(log.count, log.item.shape[1]).max(initial=0))):
            item, there = log.item[:, k], (log.count > k) & (log.item[:, k] >= 0)
            second = first_failure & (item == log.item[:, k - 1])
            first_failure = there & ~log.worked[:, k] & ~second
            place = np.where(there & ~first_failure, self._behind[place, np.maximum(item, 0)], place)
        return place


def _once_more(log: ProbeLog) -> tuple[NDArray[np.bool_], Ints]:
    """(n,) whether the last probe failed for the first time in a row, and its item."""
    n, failures = len(log.count), np.zeros(len(log.count), np.int64)
    item = np.full(n, -1)
    for k in range(int(np.minimum(log.count, log.item.shape[1]).max(initial=0))):
        there = log.count > k
        repeated = (log.item[:, k] == item) & (failures == 1)
        failures = np.where(there, np.where(log.worked[:, k], 0, np.where(repeated, 2, 1)), failures)
        item = np.where(there, log.item[:, k], item)
    return (failures == 1) & (item >= 0), item


class ConditionItems:
    """A sequence for each visible condition of GROUPS; what is seen counts anew before every probe."""

    def __init__(self, sequences: Mapping[str, Sequence[str]], conditions: Sequence[str]) -> None:
        """Args: sequences: one for each of GROUPS; conditions: names of the belief's.

        Raises:
            ConfigError: a group has none.
        """
        missing = [group for group in GROUPS if group not in sequences]
        if missing:
            raise ConfigError(
                f"there is no sequence for parts that look {missing[0]!r}; groups are {', '.join(GROUPS)}"
            )
        self.conditions = tuple(conditions)
        self._plans = [FixedItems(sequences[group]) for group in GROUPS]

    def choose(self, options: Options) -> Ints:
        """(n,) allowed items."""
        return _by_group(visible_groups(options.states, self.conditions), self._plans, options)


def _by_group(group: Ints, plans: Sequence[FixedItems], options: Options) -> Ints:
    choice = np.zeros(len(group), np.int64)
    for k, plan in enumerate(plans):
        rows = np.flatnonzero(group == k)
        if len(rows):
            choice[rows] = plan.choose(rows_of(options, rows))
    return choice


def rows_of(options: Options, rows: Ints) -> Options:
    """Options of some parts."""
    spots = type(options.spots)(*(values[rows] for values in options.spots))
    return Options(options.states.rows(rows), spots, options.inputs[rows], options.allowed[rows])


@dataclass(frozen=True)
class RuleSettings:
    """Thresholds and orders of the hand-written rule.

    Attributes:
        bare: score of the best bare spot from which it is measured as it is; below, the surface is treated first.
        black, painted, wet: probability from which the belief's condition counts.
        look: what a bare part is looked at with before it is touched; empty: it is touched first.
        touch: order of touches on parts that the spectrometer can read.
        blind: order on black parts, of which it reads nothing.
        after_scratch: what is measured on the scratched place.
        scratch: which one.
    """

    bare: float = 0.3
    black: float = 0.5
    painted: float = 0.5
    wet: float = 0.5
    look: tuple[str, ...] = ("look_far",)
    touch: tuple[str, ...] = ("tap", "hot", "lift")
    blind: tuple[str, ...] = ("tap", "hot", "slide", "lift")
    after_scratch: tuple[str, ...] = ("look_treated", "tap_treated", "hot_treated")
    scratch: str = "scratch"

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> RuleSettings:
        """From JSON values.

        Raises:
            ConfigError: a name that the rule has not.
        """
        strange = set(values) - {f.name for f in fields(cls)}
        if strange:
            raise ConfigError(f"the rule has no setting {sorted(strange)[0]!r}")
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})  # type: ignore[arg-type]


class HandRule:
    """What an engineer would write down who knows the sensors.

    Measure on bare ground where there is some. Where there is none: scratch paint, wipe water, then look there. On
    black parts light tells nothing: touch and warm them.
    """

    def __init__(self, conditions: Sequence[str], settings: RuleSettings | None = None) -> None:
        """Args: conditions: names of the belief's; settings: None: the usual ones."""
        self.settings = used = settings or RuleSettings()
        self.conditions = tuple(conditions)
        self._plans = [
            FixedItems((used.scratch, *used.after_scratch, *used.touch)),
            FixedItems(("wipe", "look_treated", *used.touch)),
            FixedItems(used.blind),
            FixedItems((*used.look, *used.touch)),
        ]

    def choose(self, options: Options) -> Ints:
        """(n,) allowed items."""
        used, states = self.settings, options.states
        score = options.spots.score[:, SPOTS.index("fibre_bare")]
        treated = states.log.newest(TREATMENTS)[0]
        names = list(self.conditions)
        painted, wet, black = (
            states.conditions[:, names.index(name)] > limit
            for name, limit in (("painted", used.painted), ("wet", used.wet), ("black", used.black))
        )
        covered = (score < used.bare) | treated
        group = np.select((painted & covered, wet & covered & ~black, black), (0, 1, 2), 3)
        return _by_group(group.astype(np.int64), self._plans, options)
