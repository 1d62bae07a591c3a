"""Models on disk: `weights.safetensors` and `card.json` in one folder. Nothing is ever unpickled.

The card holds the configuration, the layout of the features, the sha256 of the weights, how the model was trained and
its figures. Loading refuses a missing file, altered weights, another format, and features that mean something else.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import nn

from palpate_agents.encoders.features import FEATURE_VERSION, feature_names
from palpate_agents.encoders.surface_map import CELLS, CHANNELS
from palpate_agents.errors import ConfigError, ModelError
from palpate_agents.fusion import FusionConfig, MultimodalFusionNetwork
from palpate_agents.observation import Modality
from palpate_agents.probing.surface_reader import LAYERS, SurfaceReader

Network = TypeVar("Network", bound=nn.Module)

FORMAT_VERSION = 1
WEIGHTS_FILE = "weights.safetensors"
CARD_FILE = "card.json"
MODELS_FOLDER = Path(__file__).parent / "models"
DEFAULT_MODEL = "cell29"
"""Committed model of the simulated cell."""
DEFAULT_READER = "surface8"
"""Committed surface reader of the simulated cell."""


def model_path(name: str | Path) -> Path:
    """Folder of a model: a path as it is, or the name of a committed model.

    Raises:
        ModelError: neither exists.
    """
    path = Path(name)
    if path.is_dir():
        return path
    if len(path.parts) == 1 and (MODELS_FOLDER / path).is_dir():
        return MODELS_FOLDER / path
    known = sorted(p.parent.name for p in MODELS_FOLDER.glob(f"*/{CARD_FILE}"))
    raise ModelError(
        f"there is no model '{name}': give a folder with {CARD_FILE} and {WEIGHTS_FILE}, or one of the committed "
        f"models {known}, or train one with 'palpate train perception'"
    )


def feature_layout(config: FusionConfig) -> str:
    """sha256 over the names and order of every feature that the model reads."""
    names = feature_names(config.features)
    text = json.dumps({m: names[Modality(m)] for m in config.modalities}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def save_model(
    network: MultimodalFusionNetwork, folder: Path | str, name: str, training: dict[str, Any] | None = None,
    half_precision: bool = False,
) -> str:  # fmt: skip
    """Writes weights and card.

    Args:
        network: the model.
        folder: created when missing; existing model files in it are replaced.
        name: for people and messages.
        training: how it was trained and what it reached, as JSON values.
        half_precision: store float16, half the size; loading gives float32 again.

    Returns:
        sha256 of the weights.
    """
    config, layout = network.config, feature_layout(network.config)
    return store_network(network, folder, name, config.to_dict(), layout, training, half_precision)


def load_model(name: str | Path = DEFAULT_MODEL) -> MultimodalFusionNetwork:
    """Reads and checks a model; it comes in evaluation mode with its `card` set.

    Raises:
        ModelError: missing, altered, or of another format, feature version or layout.
    """

    def read(given: dict[str, Any]) -> tuple[str, Callable[[], MultimodalFusionNetwork]]:
        config = FusionConfig.from_dict(given)
        return feature_layout(config), lambda: MultimodalFusionNetwork(config)

    return restore_network(name, MultimodalFusionNetwork.__name__, read)


def surface_layout() -> str:
    """sha256 over what a surface reader reads and says."""
    return hashlib.sha256(json.dumps([CELLS, CHANNELS, LAYERS]).encode()).hexdigest()


def save_surface_reader(
    reader: SurfaceReader, folder: Path | str, name: str = DEFAULT_READER, training: dict[str, Any] | None = None
) -> str:
    """Writes weights and card of a surface reader; arguments and result as of `save_model`."""
    return store_network(reader, folder, name, reader.config, surface_layout(), training)


def load_surface_reader(name: str | Path = DEFAULT_READER) -> SurfaceReader:
    """Reads and checks a surface reader; it comes in evaluation mode with its `card` set.

    Raises:
        ModelError: missing, altered, or of another format, feature version or layout.
    """

    def read(given: dict[str, Any]) -> tuple[str, Callable[[], SurfaceReader]]:
        return surface_layout(), lambda: SurfaceReader(**given)

    return restore_network(name, SurfaceReader.__name__, read)


def store_network(
    network: nn.Module, folder: Path | str, name: str, config: dict[str, Any], layout: str,
    training: dict[str, Any] | None = None, half_precision: bool = False,
) -> str:  # fmt: skip
    """Writes weights and card of any network; other arguments and result as of `save_model`.

    Args:
        network: the model.
        folder: of the files.
        name: for people and messages.
        config: what `restore_network` builds it from, as JSON values.
        layout: sha256 over the meaning of what it reads.
        training: how it was trained.
        half_precision: store float16.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {k: v.detach().cpu().contiguous() for k, v in network.state_dict().items()}
    if half_precision:
        tensors = {k: v.half() if v.is_floating_point() else v for k, v in tensors.items()}
    data = save_tensors(tensors)
    digest = hashlib.sha256(data).hexdigest()
    card = {
        "format_version": FORMAT_VERSION,
        "name": name,
        "network": type(network).__name__,
        "sha256": digest,
        "feature_version": FEATURE_VERSION,
        "feature_layout": layout,
        "config": config,
        "training": training or {},
    }
    (folder / WEIGHTS_FILE).write_bytes(data)
    (folder / CARD_FILE).write_text(json.dumps(card, indent=2, allow_nan=False) + "\n")
    return digest


def restore_network(
    name: str | Path, kind: str, read: Callable[[dict[str, Any]], tuple[str, Callable[[], Network]]]
) -> Network:
    """Reads and checks a model of any kind; it comes in evaluation mode with its `card` set.

    Args:
        name: of a committed model, or a folder.
        kind: class of the network in the card.
        read: configuration in the card -> its layout now, and what builds the network.

    Raises:
        ModelError: missing, altered, or of another format, kind, feature version or layout.
    """
    folder = model_path(name)
    card = read_card(folder, kind)
    weights, data = folder / WEIGHTS_FILE, _weights(folder, card)
    try:
        layout, build = read(card["config"])
    except (KeyError, TypeError, ConfigError) as error:
        raise ModelError(f"{folder / CARD_FILE} has a configuration that this version cannot read: {error}") from error
    if card["feature_layout"] != layout:
        raise ModelError(f"{folder} was trained on another feature layout; train it again with this version of palpate")
    try:
        network = build()
    except (TypeError, ConfigError) as error:  # an unknown option, or its backbone is not here
        raise ModelError(f"{folder}: {error}") from error
    try:
        tensors = {k: v.float() if v.is_floating_point() else v for k, v in load_tensors(data).items()}
    except SafetensorError as error:
        raise ModelError(f"{weights} does not fit the configuration in its card: {error}") from error
    different = _different(network, tensors)
    if different:
        raise ModelError(
            f"{weights} does not fit the configuration in its card: {len(different)} tensors are missing, unknown or "
            f"of another size, the first is {different[0]}; train it again with this version of palpate"
        )
    network.load_state_dict(tensors)
    if not all(torch.isfinite(v).all() for v in tensors.values()):
        raise ModelError(f"{weights} holds weights that are not finite; train the model again")
    network.card = card  # type: ignore[assignment]  # every kind has one, `nn.Module` does not say so
    return network.eval()


def check_model(name: str | Path = DEFAULT_MODEL) -> dict[str, Any]:
    """The card of a model whose files are whole and of this version; quick, without building the network.

    Raises:
        ModelError: missing, altered, or of another format or feature version.
    """
    folder = model_path(name)
    card = read_card(folder)
    _weights(folder, card)
    return card


def _weights(folder: Path, card: dict[str, Any]) -> bytes:
    """The bytes of the weights, checked against the card."""
    path = folder / WEIGHTS_FILE
    if not path.exists():
        raise ModelError(f"{path} is missing; train the model again or restore the file")
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != card["sha256"]:
        raise ModelError(
            f"{path} was altered or is incomplete: its sha256 is {digest[:12]}..., the card says "
            f"{str(card['sha256'])[:12]}...; restore the file or train the model again"
        )
    return data


def _different(network: torch.nn.Module, tensors: dict[str, torch.Tensor]) -> list[str]:
    """Names of tensors that the network lacks, that it needs, or that have another size."""
    ours = network.state_dict()
    return sorted(
        k for k in {*ours, *tensors} if k not in ours or k not in tensors or ours[k].shape != tensors[k].shape
    )


def read_card(folder: Path | str, kind: str | None = None) -> dict[str, Any]:
    """The card of a model, checked for format, kind and feature version.

    Args:
        folder: of the model.
        kind: class of the network; None: a fusion model.

    Raises:
        ModelError: missing, not a card, or another version.
    """
    path = Path(folder) / CARD_FILE
    if not path.exists():
        raise ModelError(f"{path} is missing; a model is a folder with {CARD_FILE} and {WEIGHTS_FILE}")
    try:
        card = json.loads(path.read_text())
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ModelError(f"{path} is not JSON: {error}") from error
    needed = ("format_version", "name", "network", "sha256", "feature_version", "feature_layout", "config")
    missing = [key for key in needed if not isinstance(card, dict) or key not in card]
    if missing:
        raise ModelError(f"{path} is no model card: {', '.join(missing)} missing")
    for key, ours in (
        ("format_version", FORMAT_VERSION),
        ("network", kind or MultimodalFusionNetwork.__name__),
        ("feature_version", FEATURE_VERSION),
    ):
        if card[key] != ours:
            raise ModelError(
                f"{path} has {key} {card[key]!r}, this version of palpate needs {ours!r}; train the model again"
            )
    return card
