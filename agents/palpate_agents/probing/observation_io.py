"""The observation model on disk: weights and card, checked as every model's."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from palpate_agents.errors import ModelError
from palpate_agents.model_io import restore_network, store_network
from palpate_agents.probing.menu import SPOTS
from palpate_agents.probing.observation_model import ObservationConfig, ObservationModel

DEFAULT_OBSERVATION = "observation"
"""Committed observation model of the simulated cell."""


def _layout(config: ObservationConfig) -> str:
    """sha256 over what it reads and says."""
    meaning = [config.input_version, config.inputs, config.items, config.macros, SPOTS]
    return hashlib.sha256(json.dumps(meaning).encode()).hexdigest()


def save_observation_model(
    model: ObservationModel, folder: Path | str, name: str = DEFAULT_OBSERVATION, training: dict[str, Any] | None = None
) -> str:
    """Writes weights and card; arguments and result as of `model_io.save_model`."""
    return store_network(model, folder, name, model.config.to_dict(), _layout(model.config), training)


def load_observation_model(name: str | Path = DEFAULT_OBSERVATION, fusion_sha256: str = "") -> ObservationModel:
    """Reads and checks an observation model; it comes in evaluation mode with its `card` set.

    Args:
        name: of a committed model, or a folder.
        fusion_sha256: of the fusion model whose beliefs it will read; empty: it is not compared.

    Raises:
        ModelError: missing, altered, of another format or menu, or trained with another fusion model.
    """

    def read(given: dict[str, Any]) -> tuple[str, Callable[[], ObservationModel]]:
        config = ObservationConfig.from_dict(given)
        return _layout(config), lambda: ObservationModel(config)

    model = restore_network(name, ObservationModel.__name__, read)
    trained = model.config.fusion_sha256
    if fusion_sha256 and trained != fusion_sha256:
        raise ModelError(
            f"the observation model {str(name)!r} was trained with the fusion model {trained[:12] or 'of no name'}, "
            f"not with {fusion_sha256[:12]}; train it anew with `palpate train rivals`"
        )
    return model
