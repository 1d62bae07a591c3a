"""What was known of each material, part and lot: when it held, and when we learnt it. No torch, no ROS."""

from palpate_agents.knowledge.database import KnowledgeError
from palpate_agents.knowledge.facts import FOREVER, Fact, Node, Statement, part_node, subject_of
from palpate_agents.knowledge.store import Neighbour, TemporalKnowledgeGraph

__all__ = [
    "FOREVER",
    "Fact",
    "KnowledgeError",
    "Neighbour",
    "Node",
    "Statement",
    "TemporalKnowledgeGraph",
    "part_node",
    "subject_of",
]
