"""All strategies of `palpate bench probing`, as they are committed."""

from __future__ import annotations

from pathlib import Path

from palpate_agents.probing.items import ItemStrategy
from palpate_agents.probing.observation_io import load_observation_model
from palpate_agents.probing.observation_model import GreedyItems
from palpate_agents.probing.rivals import RandomItems
from palpate_agents.probing.tuned_rivals import RIVALS_FILE, load_rivals
from palpate_sim.benchmarks.probing import Maker
from palpate_sim.probing_runs import Ground
from palpate_sim.training.observation_model import MapGreedy
from palpate_sim.training.rivals_to import REFERENCE


def rival_makers(
    ground: Ground, rivals: Path = RIVALS_FILE, observation: str | Path = "observation",
    reference: str | Path | None = REFERENCE,
) -> dict[str, Maker]:  # fmt: skip
    """Every rival, and the reference, by name.

    Args:
        ground: models.
        rivals: file of tuned sequences.
        observation: model of `greedy` and `greedy_macros`.
        reference: model of `greedy_map`; None: without it.

    Raises:
        DataError: no file of rivals.
        ModelError: a model is missing, or was trained with another fusion model.
    """
    tuned, names = load_rivals(rivals), ground.conditions
    digest = str(ground.network.card.get("sha256", ""))
    seen = load_observation_model(observation, digest)
    makers: dict[str, Maker] = {
        "random": lambda _cells, _mix: RandomItems(),
        "fixed": lambda _cells, mix: tuned.fixed_items(mix),
        "condition": lambda _cells, _mix: tuned.condition_items(names),
        "rule": lambda _cells, _mix: tuned.hand_rule(names),
        "greedy": lambda _cells, _mix: GreedyItems(seen, macros=False),
        "greedy_macros": lambda _cells, _mix: GreedyItems(seen, macros=True),
    }
    if reference is not None:
        knowing = load_observation_model(reference, digest)
        makers["greedy_map"] = lambda cells, _mix: MapGreedy(knowing, cells)
    return makers


def with_policy(makers: dict[str, Maker], policy: ItemStrategy) -> dict[str, Maker]:
    """The same with the learnt policy in front."""
    return {"policy": lambda _cells, _mix: policy, **makers}
