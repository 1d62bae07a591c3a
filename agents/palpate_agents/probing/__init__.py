"""What to do next with a part: strategies, spots to touch, and the agent that holds features and belief."""

from palpate_agents.probing.agent import MaterialCharacterizationAgent
from palpate_agents.probing.spots import SpotChooser
from palpate_agents.probing.strategy import FixedStrategy, ProbingState, Strategy

__all__ = ["FixedStrategy", "MaterialCharacterizationAgent", "ProbingState", "SpotChooser", "Strategy"]
