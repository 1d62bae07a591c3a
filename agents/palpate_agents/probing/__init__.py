"""What to do next with a part: strategies, spots to touch, and the agent that holds features and belief."""

from palpate_agents.probing.agent import AgentSettings, MaterialCharacterizationAgent
from palpate_agents.probing.spots import SpotChooser
from palpate_agents.probing.strategy import FixedStrategy, ProbingState, Strategy, make_strategy

__all__ = [
    "AgentSettings",
    "FixedStrategy",
    "MaterialCharacterizationAgent",
    "ProbingState",
    "SpotChooser",
    "Strategy",
    "make_strategy",
]
