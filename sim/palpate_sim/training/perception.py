"""Training of the fusion model on generated parts: `palpate train perception`.

Parts, not probes, are split. Every part of a batch is shown with a random choice of its probes (all, a prefix in the
order done, or any subset) and now and then without one of its modalities, so that a belief is good after every number
of probes and with a dead sensor. The weights that are kept are an exponential average, chosen on validation parts;
temperature and the spread of the property estimates are calibrated there too. The test parts are looked at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel

from palpate_agents.errors import ConfigError, DataError
from palpate_agents.fusion import FusionConfig, FusionOutput, ModalityPool, MultimodalFusionNetwork, TokenBatch
from palpate_agents.materials import MATERIALS
from palpate_agents.model_io import load_model, save_model
from palpate_agents.observation import Modality
from palpate_sim.training.perception_data import PerceptionData
from palpate_sim.training.perception_figures import figures, forward

Progress = Callable[[dict[str, float]], None]


@dataclass(frozen=True)
class PerceptionTraining:
    """Hyper-parameters.

    Attributes:
        seed: of initialisation, split, batches and subsets.
        epochs: at most; patience: epochs without a better validation loss before it stops.
        batch: parts per step; learning_rate (one cycle), weight_decay: of AdamW.
        modality_drop: chance that a part is shown without one of its modalities, for each modality.
        noise: spread of noise added to normalised features, in standard deviations.
        expert_loss, property_loss: weights beside the loss of the mixture.
        average: decay of the exponential average of the weights, per step.
        validation, test: share of parts.
        hidden, dropout, queries: of the network.
    """

    seed: int = 0
    epochs: int = 40
    patience: int = 10
    batch: int = 256
    learning_rate: float = 2e-3
    weight_decay: float = 2e-2
    modality_drop: float = 0.1
    noise: float = 0.03
    expert_loss: float = 0.3
    property_loss: float = 0.05
    average: float = 0.995
    validation: float = 0.1
    test: float = 0.15
    hidden: int = 256
    dropout: float = 0.1
    queries: int = 4

    def __post_init__(self) -> None:
        if not (0 < self.validation < 0.5 and 0 < self.test < 0.5):
            raise ConfigError(f"validation and test are shares of 0 to 0.5, got {self.validation} and {self.test}")
        if self.epochs < 1 or self.batch < 2:
            raise ConfigError(f"epochs {self.epochs} must be at least 1 and batch {self.batch} at least 2")


@dataclass(frozen=True)
class TrainedPerception:
    """A trained network, how the training went (one row per epoch), and its figures on the test parts."""

    network: MultimodalFusionNetwork
    history: list[dict[str, float]]
    figures: dict[str, Any]


def train_perception(
    data: PerceptionData, settings: PerceptionTraining | None = None, progress: Progress | None = None,
    labels: tuple[str, ...] = MATERIALS,
) -> TrainedPerception:  # fmt: skip
    """Trains, calibrates, and measures on the test parts.

    Args:
        data: parts with all their probes.
        settings: hyper-parameters.
        progress: called after every epoch with its losses.
        labels: classes, in the order of the model's logits.

    Raises:
        DataError: a material outside the labels, or too few parts.
    """
    settings = settings or PerceptionTraining()
    truth = _targets(data, labels)
    train, validation, test = split_parts(data, settings)
    config = FusionConfig(
        labels, properties=data.property_names, features=data.config, hidden=settings.hidden,
        dropout=settings.dropout, queries=settings.queries,
    )  # fmt: skip
    generator = torch.Generator().manual_seed(settings.seed)
    torch.manual_seed(settings.seed)
    network = MultimodalFusionNetwork(config)
    batch, properties = tokens(data), torch.from_numpy(data.properties)
    network.set_normalisation(batch.rows(train), properties[train])
    checks = validation_views(batch.rows(validation), generator)
    learner = _Learner(network, settings, steps=settings.epochs * (len(train) // settings.batch + 1))
    history: list[dict[str, float]] = []
    best, best_state = np.inf, network.state_dict()
    for epoch in range(settings.epochs):
        start = time.perf_counter()
        loss = learner.epoch(batch, truth, properties, train, generator)
        out = forward(learner.averaged, checks)
        value = float(functional.nll_loss(out.log_probabilities, truth[validation].repeat(VIEWS)))
        seconds = time.perf_counter() - start
        history.append({"epoch": epoch, "loss": loss, "validation_loss": value, "seconds": seconds})
        if progress is not None:
            progress(history[-1])
        if value < best:
            best = value
            best_state = {k: v.clone() for k, v in learner.averaged.state_dict().items()}
        elif epoch - int(np.argmin([h["validation_loss"] for h in history])) >= settings.patience:
            break
    network.load_state_dict(best_state)
    network.eval()
    calibrate(network, checks, truth[validation].repeat(VIEWS), properties[validation].repeat(VIEWS, 1))
    result = figures(network, batch.rows(test), truth[test], data.condition[test.numpy()], properties[test])
    return TrainedPerception(network, history, result)


def train_to(
    folder: Path | str, data: PerceptionData, settings: PerceptionTraining | None = None, name: str = "cell29",
    progress: Progress | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Trains and writes a model with its card; the figures in the card are those of the stored (rounded) weights."""
    settings = settings or PerceptionTraining()
    start = time.perf_counter()
    trained = train_perception(data, settings, progress)
    wall = time.perf_counter() - start
    card: dict[str, Any] = {
        "command": f"palpate train perception --parts {len(data)} --seed {settings.seed}",
        "parts": len(data), "data": data.origin, "settings": asdict(settings), "epochs": len(trained.history),
        "wall_s": round(wall, 1), "torch": torch.__version__,
    }  # fmt: skip
    save_model(trained.network, folder, name, card, half_precision=True)
    _, _, test = split_parts(data, settings)
    truth = _targets(data, trained.network.config.labels)[test]
    stored = load_model(folder)
    batch, condition = tokens(data).rows(test), data.condition[test.numpy()]
    card["figures"] = figures(stored, batch, truth, condition, torch.from_numpy(data.properties)[test])
    save_model(trained.network, folder, name, card, half_precision=True)
    return card


def tokens(data: PerceptionData) -> TokenBatch:
    """All parts as one batch, in the order probed; a place without a probe has reliability 0 everywhere."""
    there = (data.primitive >= 0).astype(np.float32)
    values = {m.value: torch.from_numpy(data.values[m]) for m in Modality}
    reliability = {m.value: torch.from_numpy(data.reliability[m] * there) for m in Modality}
    return TokenBatch(torch.from_numpy(np.maximum(data.primitive, 0).astype(np.int64)), values, reliability)


def split_parts(data: PerceptionData, settings: PerceptionTraining) -> tuple[Tensor, Tensor, Tensor]:
    """Indices of training, validation and test parts. Parts of the same outline stay together: none is known by heart.

    Raises:
        DataError: a material that one of the three has not.
    """
    outlines = np.random.default_rng(settings.seed).permutation(np.unique(data.geometry))
    a = max(1, round(settings.validation * len(outlines)))
    b = a + max(1, round(settings.test * len(outlines)))
    shares = [np.flatnonzero(np.isin(data.geometry, some)) for some in (outlines[b:], outlines[:a], outlines[a:b])]
    for name in np.unique(data.material):
        counts = [int(np.sum(data.material[share] == name)) for share in shares]
        if min(counts) == 0:
            shown = ", ".join(str(count) for count in counts)
            raise DataError(f"{name} has {shown} parts to train, validate and test; generate more parts")
    train, validation, test = (torch.from_numpy(share) for share in shares)
    return train, validation, test


def random_views(batch: TokenBatch, generator: torch.Generator, modality_drop: float) -> TokenBatch:
    """Shows each part with all its probes (0.35), a prefix (0.35) or any subset (0.3), sometimes without a modality."""
    count, probes = batch.primitive.shape
    position = torch.arange(probes)
    length = torch.randint(0, probes + 1, (count, 1), generator=generator)
    subset = torch.rand(count, probes, generator=generator) < torch.rand(count, 1, generator=generator)
    kind = torch.rand(count, 1, generator=generator)
    keep = torch.where(kind < 0.35, torch.ones(()), torch.where(kind < 0.7, position < length, subset).float())
    masks = {}
    for m in batch.reliability:
        drop = torch.rand(count, 1, generator=generator) < modality_drop
        masks[m] = keep * ~drop
    return batch.masked(masks)


VIEWS = 3


def validation_views(batch: TokenBatch, generator: torch.Generator) -> TokenBatch:
    """The validation parts three times: with all probes, and with two random choices that stay the same."""
    views = [batch, random_views(batch, generator, 0.05), random_views(batch, generator, 0.05)]
    return TokenBatch(
        torch.cat([v.primitive for v in views]),
        {m: torch.cat([v.values[m] for v in views]) for m in batch.values},
        {m: torch.cat([v.reliability[m] for v in views]) for m in batch.values},
    )


def calibrate(network: MultimodalFusionNetwork, batch: TokenBatch, truth: Tensor, properties: Tensor) -> None:
    """Sets the temperature (least loss on a grid) and the scale of the property spreads (unit mean square error)."""
    network.log_temperature.zero_()
    out = forward(network, batch)
    grid = torch.linspace(-1.0, 1.5, 101)
    losses = [
        float(functional.nll_loss(functional.log_softmax(out.log_probabilities / t.exp(), dim=1), truth)) for t in grid
    ]
    network.log_temperature.fill_(float(grid[int(np.argmin(losses))]))
    if not len(network.config.properties):
        return
    z = (properties - out.property_mean) / out.property_std
    known = torch.isfinite(z)
    # The median is not fooled by the few parts of another material that were confused.
    for k in range(z.shape[1]):
        if known[:, k].any():
            network.property_scale[k] *= float(z[known[:, k], k].abs().median()) / 0.6745


class _Learner:
    """Optimiser, schedule and averaged weights."""

    def __init__(self, network: MultimodalFusionNetwork, settings: PerceptionTraining, steps: int) -> None:
        self.network, self.settings = network, settings
        decay = [p for p in network.parameters() if p.ndim >= 2]
        plain = [p for p in network.parameters() if p.ndim < 2]
        groups = [{"params": decay, "weight_decay": settings.weight_decay}, {"params": plain, "weight_decay": 0.0}]
        self.optimiser = torch.optim.AdamW(groups, settings.learning_rate)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser, settings.learning_rate, total_steps=steps, pct_start=0.15, final_div_factor=100.0
        )
        self._average = AveragedModel(network, avg_fn=self._average_of, use_buffers=True)

    @property
    def averaged(self) -> MultimodalFusionNetwork:
        """The network with the averaged weights."""
        module = self._average.module
        assert isinstance(module, MultimodalFusionNetwork)
        return module

    def _average_of(self, average: Tensor, new: Tensor, count: Tensor | int) -> Tensor:
        """Exponential average that forgets the first, random weights quickly."""
        decay = min(self.settings.average, (1.0 + int(count)) / (10.0 + int(count)))
        return decay * average + (1.0 - decay) * new

    def epoch(
        self, batch: TokenBatch, truth: Tensor, properties: Tensor, rows: Tensor, generator: torch.Generator
    ) -> float:
        """One pass over the training rows; returns the mean loss."""
        settings = self.settings
        self.network.train()
        order = rows[torch.randperm(len(rows), generator=generator)]
        total = 0.0
        for start in range(0, len(order), settings.batch):
            index = order[start : start + settings.batch]
            view = random_views(batch.rows(index), generator, settings.modality_drop)
            loss = self._loss(self._noisy(view, generator), truth[index], properties[index])
            self.optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
            self.optimiser.step()
            self.schedule.step()
            self._average.update_parameters(self.network)
            total += float(loss.detach()) * len(index)
        return total / len(order)

    def _noisy(self, view: TokenBatch, generator: torch.Generator) -> TokenBatch:
        values = {}
        for m, v in view.values.items():
            pool = self.network.pools[m]
            assert isinstance(pool, ModalityPool)
            scalars = pool.scalars
            noise = torch.randn(*v.shape[:2], scalars, generator=generator) * pool.std * self.settings.noise
            values[m] = torch.cat([v[..., :scalars] + noise, v[..., scalars:]], dim=-1)
        return TokenBatch(view.primitive, values, view.reliability)

    def _loss(self, view: TokenBatch, truth: Tensor, properties: Tensor) -> Tensor:
        out = self.network(view)
        loss = functional.nll_loss(out.log_probabilities, truth)
        every_truth = truth.repeat_interleave(out.gate.shape[1])
        experts = functional.nll_loss(out.expert_log_probabilities.flatten(0, 1), every_truth)
        loss = loss + self.settings.expert_loss * experts
        return loss + self.settings.property_loss * property_loss(out, properties)


def property_loss(out: FusionOutput, properties: Tensor) -> Tensor:
    """Gaussian negative log likelihood of the known properties, in units of their estimated spread."""
    known = torch.isfinite(properties)
    if not bool(known.any()):
        return out.property_mean.sum() * 0.0
    z = (torch.where(known, properties, 0.0) - out.property_mean) / out.property_std
    return (0.5 * z.clamp(-10, 10).square() + out.property_std.log())[known].mean()


def _targets(data: PerceptionData, labels: tuple[str, ...]) -> Tensor:
    index = {name: i for i, name in enumerate(labels)}
    unknown = sorted(set(data.material.tolist()) - set(index))
    if unknown:
        raise DataError(f"training data has materials outside the {len(labels)} labels: {', '.join(unknown)}")
    return torch.tensor([index[name] for name in data.material.tolist()])
