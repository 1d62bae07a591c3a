"""Strategies over the menu: which item comes next for each of n parts. One interface for the policy and its rivals."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from palpate_agents.probing.menu import Spots, allowed, find_spots
from palpate_agents.probing.part_state import PartStates
from palpate_agents.probing.policy_input import policy_input


class Options(NamedTuple):
    """What n parts offer.

    Attributes:
        states: of the parts; spots: on them.
        inputs: (n, D) `policy_input`.
        allowed: (n, K) bool, items of the menu that make sense; at least one of each part.
    """

    states: PartStates
    spots: Spots
    inputs: NDArray[np.float32]
    allowed: NDArray[np.bool_]

    @staticmethod
    def of(states: PartStates) -> Options:
        """Looks at the parts."""
        spots = find_spots(states)
        return Options(states, spots, policy_input(states, spots), allowed(states))


class ItemStrategy(Protocol):
    """Chooses an item for each part; stateless, so that a replay repeats it."""

    def choose(self, options: Options) -> NDArray[np.int64]:
        """(n,) items, all of them allowed."""
        ...
