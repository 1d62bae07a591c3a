"""What to do next with a part: strategies, spots to touch, and the agent that holds features and belief.

Imported lazily: the decoder serves simulation workers, which load no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from palpate_agents.probing.agent import AgentSettings, MaterialCharacterizationAgent
    from palpate_agents.probing.choosing import make_strategy
    from palpate_agents.probing.spots import SpotChooser
    from palpate_agents.probing.strategy import FixedStrategy, ProbingState, Strategy

__all__ = [
    "AgentSettings",
    "FixedStrategy",
    "MaterialCharacterizationAgent",
    "ProbingState",
    "SpotChooser",
    "Strategy",
    "make_strategy",
]

_HOMES = {
    "AgentSettings": "agent",
    "MaterialCharacterizationAgent": "agent",
    "SpotChooser": "spots",
    "FixedStrategy": "strategy",
    "ProbingState": "strategy",
    "Strategy": "strategy",
    "make_strategy": "choosing",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
