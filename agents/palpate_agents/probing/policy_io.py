"""The probing policy on disk: weights and card, checked as every model's."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from palpate_agents.errors import ModelError
from palpate_agents.model_io import restore_network, store_network
from palpate_agents.probing.choosing import DEFAULT_POLICY
from palpate_agents.probing.menu import SPOTS
from palpate_agents.probing.policy import PolicyConfig, ProbingPolicy


def _layout(config: PolicyConfig) -> str:
    """sha256 over what it reads and says."""
    meaning = [config.input_version, config.inputs, config.items, SPOTS]
    return hashlib.sha256(json.dumps(meaning).encode()).hexdigest()


def save_policy(
    policy: ProbingPolicy, folder: Path | str, name: str = DEFAULT_POLICY, training: dict[str, Any] | None = None
) -> str:
    """Writes weights and card; arguments and result as of `model_io.save_model`."""
    return store_network(policy, folder, name, policy.config.to_dict(), _layout(policy.config), training)


def load_policy(name: str | Path = DEFAULT_POLICY, fusion_sha256: str = "", reader_sha256: str = "") -> ProbingPolicy:
    """Reads and checks a policy; it comes in evaluation mode with its `card` set.

    Args:
        name: of a committed policy, or a folder.
        fusion_sha256: of the fusion model whose beliefs it will read; empty: it is not compared.
        reader_sha256: of the surface reader, likewise.

    Raises:
        ModelError: missing, altered, of another format or menu, or trained with other models.
    """

    def read(given: dict[str, Any]) -> tuple[str, Callable[[], ProbingPolicy]]:
        config = PolicyConfig.from_dict(given)
        return _layout(config), lambda: ProbingPolicy(config)

    policy = restore_network(name, ProbingPolicy.__name__, read)
    for what, trained, now in (
        ("fusion model", policy.config.fusion_sha256, fusion_sha256),
        ("surface reader", policy.config.reader_sha256, reader_sha256),
    ):
        if now and trained != now:
            raise ModelError(
                f"the policy {str(name)!r} was trained with the {what} {trained[:12] or 'of no name'}, not with "
                f"{now[:12]}; train it anew with `palpate train policy`, or use that {what}"
            )
    return policy
