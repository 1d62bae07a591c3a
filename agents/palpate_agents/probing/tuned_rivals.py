"""Sequences and settings of the policy's rivals as they were tuned: `rivals.json`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from palpate_agents.errors import ConfigError, DataError
from palpate_agents.probing.menu import NAMES
from palpate_agents.probing.rivals import ConditionItems, FixedItems, HandRule, RuleSettings

RIVALS_FILE = Path(__file__).with_name("rivals.json")


@dataclass(frozen=True)
class TunedRivals:
    """What `palpate train rivals` found.

    Attributes:
        fixed: best sequence of each mix.
        condition: best sequence of each visible condition.
        rule: settings of the hand-written rule.
        training: how they were found.
    """

    fixed: dict[str, tuple[str, ...]]
    condition: dict[str, tuple[str, ...]]
    rule: RuleSettings
    training: dict[str, Any]

    def fixed_items(self, mix: str = "mix") -> FixedItems:
        """The best sequence for all parts of a mix.

        Raises:
            ConfigError: none was tuned for it.
        """
        if mix not in self.fixed:
            raise ConfigError(f"no sequence was tuned for the mix {mix!r}; there are {', '.join(self.fixed)}")
        return FixedItems(self.fixed[mix])

    def condition_items(self, conditions: Sequence[str]) -> ConditionItems:
        """The best sequence per visible condition; `conditions`: names of the belief's."""
        return ConditionItems(self.condition, conditions)

    def hand_rule(self, conditions: Sequence[str]) -> HandRule:
        """The tuned rule; `conditions`: names of the belief's."""
        return HandRule(conditions, self.rule)


def load_rivals(path: Path = RIVALS_FILE) -> TunedRivals:
    """Reads and checks a file.

    Raises:
        DataError: missing, or no file of rivals for this menu.
    """
    again = "'palpate train rivals' writes one"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as a file of tuned rivals: {error}; {again}") from error
    try:
        if tuple(values["menu"]) != NAMES:
            raise DataError(f"{path} was tuned on another menu of probes; {again}")
        rivals = TunedRivals(
            {mix: tuple(items) for mix, items in values["fixed"].items()},
            {group: tuple(items) for group, items in values["condition"].items()},
            RuleSettings.from_dict(values["rule"]), dict(values["training"]),
        )  # fmt: skip
        for mix in rivals.fixed:
            rivals.fixed_items(mix)
    except (KeyError, TypeError, AttributeError, ConfigError) as error:
        raise DataError(f"{path} is no file of tuned rivals ({error}); {again}") from error
    return rivals
