"""Strategies by name, as nodes and commands ask for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from palpate_agents.errors import ConfigError
from palpate_agents.probing.strategy import DEFAULT_SEQUENCE, FixedStrategy, Strategy

if TYPE_CHECKING:
    from palpate_agents.fusion import MultimodalFusionNetwork
    from palpate_agents.probing.items import ItemStrategy

STRATEGIES = ("policy", "greedy", "fixed", "random")
DEFAULT_POLICY = "policy"
"""Committed policy of the simulated cell."""
DEADLINE_S = 20.0


def make_strategy(
    name: str, sequence: Sequence[str] = DEFAULT_SEQUENCE, network: MultimodalFusionNetwork | None = None,
    policy: str = DEFAULT_POLICY, deadline_s: float = DEADLINE_S,
) -> Strategy:  # fmt: skip
    """A strategy by name.

    Args:
        name: one of STRATEGIES.
        sequence: of `fixed`.
        network: fusion model whose beliefs the strategy will read; all but `fixed` need it.
        policy: name or folder of the policy.
        deadline_s: of the cell's time; then all but `fixed` give a part up.

    Raises:
        ConfigError: an unknown strategy, no network, or a sequence that `FixedStrategy` refuses.
        ModelError: a model is missing, altered, or was trained with another fusion model.
    """
    if name not in STRATEGIES:
        raise ConfigError(f"unknown strategy '{name}'; known are {', '.join(STRATEGIES)}")
    if name == "fixed":
        return FixedStrategy(sequence)
    if network is None:
        raise ConfigError(f"strategy '{name}' needs the fusion model whose beliefs it reads")
    from palpate_agents.model_io import load_surface_reader
    from palpate_agents.probing.menu_strategy import MenuStrategy

    reader = load_surface_reader()
    return MenuStrategy(_items(name, network.hash, reader.hash, policy), reader, deadline_s)


def _items(name: str, fusion_sha256: str, reader_sha256: str, policy: str) -> ItemStrategy:
    if name == "policy":
        from palpate_agents.probing.policy_io import load_policy

        return load_policy(policy, fusion_sha256, reader_sha256)
    if name == "greedy":
        from palpate_agents.probing.observation_io import load_observation_model
        from palpate_agents.probing.observation_model import GreedyItems

        return GreedyItems(load_observation_model(fusion_sha256=fusion_sha256), macros=True)
    from palpate_agents.probing.rivals import RandomItems

    return RandomItems()
