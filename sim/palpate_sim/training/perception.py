"""Training of the fusion model on generated parts: `palpate train perception`.

Outlines and lots, not probes, are split: no test part has an outline that was trained on, and later lots are left out.
Every part of a batch is shown with a random choice of its probes and now and then without one of its modalities
(`learner`). Parts of virtual formulations teach what a formulation looks like that is none of the labels.
Temperatures and spreads are calibrated on validation parts; the test parts are looked at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from palpate_agents.errors import DataError
from palpate_agents.fusion import FusionConfig, MultimodalFusionNetwork, Pictures, TokenBatch
from palpate_agents.fusion_config import SENSES
from palpate_agents.materials import MATERIALS
from palpate_agents.model_io import load_model, save_model
from palpate_agents.observation import Modality
from palpate_sim.part_geometry import GEOMETRY_LIMIT
from palpate_sim.training.calibration import calibrate, calibrate_novelty
from palpate_sim.training.learner import PerceptionTraining, Progress, Targets, fit, random_views
from palpate_sim.training.novelty_head import train_novelty_head
from palpate_sim.training.perception_data import PerceptionData
from palpate_sim.training.perception_figures import figures, forward
from palpate_sim.training.shards import RESERVED, kinds_of

LATER_LOTS = 32
"""Lots from this number on are in no training set."""
VIEWS = 3
NORMALISATION_PARTS = 20_000


@dataclass(frozen=True)
class TrainedPerception:
    """A trained network, how the training went (one row per epoch), and its figures on the test parts."""

    network: MultimodalFusionNetwork
    history: list[dict[str, float]]
    figures: dict[str, Any]


def network_config(
    data: PerceptionData, settings: PerceptionTraining, labels: tuple[str, ...], **options: Any
) -> FusionConfig:
    """Configuration of a network for a data set; `options` as of `FusionConfig`."""
    given: dict[str, Any] = {
        "properties": data.property_names, "features": data.config, "hidden": settings.hidden,
        "dropout": settings.dropout, "queries": settings.queries, "noise": settings.noise,
    }  # fmt: skip
    return FusionConfig(labels, **(given | options))


def train_perception(
    data: PerceptionData, settings: PerceptionTraining | None = None, progress: Progress | None = None,
    labels: tuple[str, ...] = MATERIALS, modalities: tuple[str, ...] = SENSES,
    options: dict[str, Any] | None = None,
) -> TrainedPerception:  # fmt: skip
    """Trains, calibrates, and measures on the test parts.

    Args:
        data: parts with all their probes.
        settings: hyper-parameters.
        progress: called after every epoch with its losses.
        labels: classes, in the order of the model's logits.
        modalities: what the network reads.
        options: of `FusionConfig`, beside.

    Raises:
        DataError: a material outside the labels, or too few parts.
    """
    settings = settings or PerceptionTraining()
    truth = targets_of(data, labels)
    train, validation, test = split_parts(data, settings)
    config = network_config(data, settings, labels, modalities=modalities, **(options or {}))
    batch = tokens(data, modalities)
    reserved = torch.from_numpy(np.flatnonzero(kinds_of(data) == RESERVED))
    network, history = train_in_stages(config, batch, truth, train, validation, settings, progress, reserved)
    result = figures(network, batch.rows(test), truth.rows(test), data.condition[test.numpy()])
    return TrainedPerception(network, history, result)


def train_network(
    config: FusionConfig, batch: TokenBatch, truth: Targets, train: Tensor, validation: Tensor,
    settings: PerceptionTraining, progress: Progress | None = None,
    make: Callable[[FusionConfig], Any] = MultimodalFusionNetwork, start: dict[str, Tensor] | None = None,
) -> tuple[Any, list[dict[str, float]]]:  # fmt: skip
    """Trains and calibrates one network.

    Args:
        config: its shape.
        batch: all parts.
        truth: of them.
        train: indices of the training parts.
        validation: indices of others.
        settings: hyper-parameters.
        progress: called after every epoch.
        make: configuration -> network with the interface of `MultimodalFusionNetwork`.
        start: weights to begin with; what is not among them is random.

    Returns:
        the network on the CPU, in evaluation mode, and one row per epoch.
    """
    torch.manual_seed(settings.seed)
    network = make(config)
    some = train[:NORMALISATION_PARTS]
    network.set_normalisation(batch.rows(some), truth.properties[some])
    if start is not None:
        network.load_state_dict(start, strict=False)
    generator = torch.Generator().manual_seed(settings.seed)
    known = validation[truth.known[validation]]
    few = known[: settings.check_parts]
    checks = validation_views(batch.rows(few), generator)
    few_truth = truth.label[few].repeat(VIEWS)

    def check(candidate: Any) -> float:
        out = forward(candidate, checks)
        return float(functional.nll_loss(out.log_probabilities, few_truth))

    network.to(device())
    history = fit(network, batch, truth, train, check, settings, progress)
    network.to("cpu")
    calibrate(network, validation_views(batch.rows(validation), generator), truth.rows(validation).repeated(VIEWS))
    return network, history


def train_in_stages(
    config: FusionConfig, batch: TokenBatch, truth: Targets, train: Tensor, validation: Tensor,
    settings: PerceptionTraining, progress: Progress | None = None, reserved: Tensor | None = None,
) -> tuple[MultimodalFusionNetwork, list[dict[str, float]]]:  # fmt: skip
    """Trains on known parts and a few novel ones, then shortly on half of the known and all of the novel.

    Novel formulations have to be many, because each is another; the classes do not need as many epochs of them. The
    head that tells them apart is trained last, on those that were kept back.

    Args:
        config: of the network.
        batch: all parts.
        truth: of them.
        train: indices of the training parts.
        validation: indices of others.
        settings: hyper-parameters.
        progress: called after every epoch.
        reserved: indices of novel parts that only the last stage sees; None or none: no last stage.
    """
    known, novel = train[truth.known[train]], train[~truth.known[train]]
    if reserved is not None:
        novel = novel[~torch.isin(novel, reserved)]
    first = torch.cat([known, novel[: round(settings.novelty_first * len(novel))]])
    network, history = train_network(config, batch, truth, first, validation, settings, progress)
    if not len(novel) or not settings.novelty_epochs:
        return network, history
    second = replace(
        settings, epochs=settings.novelty_epochs, learning_rate=settings.novelty_rate,
        novelty_loss=settings.novelty_weight,
    )  # fmt: skip
    mixed = torch.cat([known[::2], novel])
    network, more = train_network(config, batch, truth, mixed, validation, second, progress, start=network.state_dict())
    last = train if reserved is None else train[torch.isin(train, reserved)]
    if reserved is not None and len(last) and network.novelty is not None:
        finish_novelty(network, batch, truth, known, last, validation, settings, progress)
    return network, history + more


def finish_novelty(
    network: MultimodalFusionNetwork, batch: TokenBatch, truth: Targets, known: Tensor, novel: Tensor,
    validation: Tensor, settings: PerceptionTraining, progress: Progress | None = None,
) -> None:  # fmt: skip
    """The last stage: novelty head and its calibration; see `train_novelty_head`."""
    train_novelty_head(network, batch, known, novel, settings, progress)
    generator = torch.Generator().manual_seed(settings.seed)
    checks = validation_views(batch.rows(validation), generator)
    calibrate_novelty(network, checks, truth.known[validation].repeat(VIEWS))


def device() -> torch.device:
    """Where training runs: a GPU when there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def train_to(
    folder: Path | str, data: PerceptionData, settings: PerceptionTraining | None = None, name: str = "cell29",
    progress: Progress | None = None, command: str = "", modalities: tuple[str, ...] = SENSES,
    options: dict[str, Any] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Trains and writes a model with its card; the figures in the card are those of the stored (rounded) weights."""
    settings = settings or PerceptionTraining()
    start = time.perf_counter()
    trained = train_perception(data, settings, progress, modalities=modalities, options=options)
    wall = time.perf_counter() - start
    train, _, test = split_parts(data, settings)
    card: dict[str, Any] = {
        "command": command or f"palpate train perception --parts {len(data)} --seed {settings.seed}",
        "parts": len(data), "training_parts": len(train), "crops": len(data.crop), "data": data.origin,
        "settings": asdict(settings), "epochs": len(trained.history), "history": _rounded(trained.history),
        "wall_s": round(wall, 1), "torch": torch.__version__,
    }  # fmt: skip
    save_model(trained.network, folder, name, card, half_precision=True)
    stored = load_model(folder)
    truth = targets_of(data, stored.config.labels)
    card["figures"] = figures(
        stored, tokens(data, modalities).rows(test), truth.rows(test), data.condition[test.numpy()]
    )
    save_model(trained.network, folder, name, card, half_precision=True)
    return card


def _rounded(history: list[dict[str, float]]) -> list[dict[str, float]]:
    """History with four digits."""
    return [{k: round(v, 4) for k, v in row.items()} for row in history]


def tokens(data: PerceptionData, modalities: tuple[str, ...] = SENSES) -> TokenBatch:
    """All parts as one batch, in the order probed; a place without a probe has reliability 0 everywhere."""
    there = (data.primitive >= 0).astype(np.float32)
    chosen = [Modality(m) for m in modalities]
    values = {m.value: torch.from_numpy(data.values[m]) for m in chosen}
    reliability = {m.value: torch.from_numpy(data.reliability[m] * there) for m in chosen}
    surface = crop = None
    slots = data.surface.shape[1]
    if slots:
        first = slots * np.arange(len(data))[:, None]
        index = np.where(data.surface_slot >= 0, first + data.surface_slot, -1)
        store = torch.from_numpy(data.surface.reshape(-1, *data.surface.shape[2:]))
        surface = Pictures(store, torch.from_numpy(index))
    if len(data.crop):
        crop = Pictures(torch.from_numpy(data.crop), torch.from_numpy(data.crop_at.astype(np.int64)))
    primitive = torch.from_numpy(np.maximum(data.primitive, 0).astype(np.int64))
    return TokenBatch(primitive, values, reliability, surface, crop)


def outline_split(outlines: Any, settings: PerceptionTraining) -> tuple[Any, Any, Any]:
    """Numbers of outlines -> those of training, validation and test."""
    order = np.random.default_rng(settings.seed).permutation(np.unique(outlines))
    a = max(1, round(settings.validation * len(order)))
    b = a + max(1, round(settings.test * len(order)))
    return order[b:], order[:a], order[a:b]


def split_parts(data: PerceptionData, settings: PerceptionTraining) -> tuple[Tensor, Tensor, Tensor]:
    """Indices of training, validation and test parts.

    Outlines of one number stay together in all classes of geometry: none is known by heart. Later lots are left out.

    Raises:
        DataError: a material that one of the three has not.
    """
    number = data.geometry % GEOMETRY_LIMIT
    early = data.lot < LATER_LOTS
    shares = [np.flatnonzero(np.isin(number, some) & early) for some in outline_split(number, settings)]
    shares[2] = shares[2][~data.novel[shares[2]]]
    for name in np.unique(data.material[~data.novel]):
        counts = [int(np.sum((data.material[share] == name) & ~data.novel[share])) for share in shares]
        if min(counts) == 0:
            shown = ", ".join(str(count) for count in counts)
            raise DataError(f"{name} has {shown} parts to train, validate and test; generate more parts")
    train, validation, test = (torch.from_numpy(share) for share in shares)
    return train, validation, test


def validation_views(batch: TokenBatch, generator: torch.Generator) -> TokenBatch:
    """The validation parts three times: with all probes, and with two random choices that stay the same."""
    return TokenBatch.joined([batch, *(random_views(batch, generator, 0.05) for _ in range(VIEWS - 1))])


def targets_of(data: PerceptionData, labels: tuple[str, ...]) -> Targets:
    """Truth of all parts.

    Raises:
        DataError: a known part of a material outside the labels.
    """
    index = {name: i for i, name in enumerate(labels)}
    unknown = sorted(set(data.material[~data.novel].tolist()) - set(index))
    if unknown:
        raise DataError(f"training data has materials outside the {len(labels)} labels: {', '.join(unknown)}")
    return Targets(
        torch.tensor([index.get(name, 0) for name in data.material.tolist()]),
        torch.from_numpy(~data.novel),
        torch.from_numpy(data.properties),
        torch.from_numpy(data.states),
    )
