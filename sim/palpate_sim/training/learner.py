"""Optimisation of a fusion network: random views of parts, losses, exponential average of the weights, early stop."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel

from palpate_agents.errors import ConfigError
from palpate_agents.fusion import FusionOutput, TokenBatch

Progress = Callable[[dict[str, float]], None]

FAR_OUT = 5.0
"""Spreads from its estimate at which a property's loss turns linear."""


@dataclass(frozen=True)
class PerceptionTraining:
    """Hyper-parameters.

    Attributes:
        seed: of initialisation, split, batches and subsets.
        epochs: at most; patience: epochs without a better validation loss before it stops.
        batch: parts per step; learning_rate (one cycle), weight_decay: of AdamW.
        modality_drop: chance that a part is shown without one of its modalities, for each modality.
        noise: spread of noise added to normalised features, in standard deviations.
        expert_loss, property_loss, condition_loss, novelty_loss: weights beside the loss of the mixture.
        novelty_epochs, novelty_rate, novelty_weight: epochs, learning rate and weight of the novelty in a second stage,
            in which half of the known parts meets all of the novel ones.
        novelty_first: share of the novel parts that the first stage has already.
        average: decay of the exponential average of the weights, per step.
        validation, test: share of outlines.
        check_parts: so many validation parts are looked at after every epoch.
        hidden, dropout, queries: of the network.
    """

    seed: int = 0
    epochs: int = 14
    patience: int = 6
    batch: int = 512
    learning_rate: float = 2.5e-3
    weight_decay: float = 2e-2
    modality_drop: float = 0.1
    noise: float = 0.03
    expert_loss: float = 0.3
    property_loss: float = 0.05
    condition_loss: float = 0.2
    novelty_loss: float = 0.3
    novelty_epochs: int = 3
    novelty_rate: float = 8e-4
    novelty_weight: float = 1.0
    novelty_first: float = 0.2
    average: float = 0.995
    validation: float = 0.1
    test: float = 0.15
    check_parts: int = 4000
    hidden: int = 256
    dropout: float = 0.1
    queries: int = 4

    def __post_init__(self) -> None:
        if not (0 < self.validation < 0.5 and 0 < self.test < 0.5):
            raise ConfigError(f"validation and test are shares of 0 to 0.5, got {self.validation} and {self.test}")
        if self.epochs < 1 or self.batch < 2:
            raise ConfigError(f"epochs {self.epochs} must be at least 1 and batch {self.batch} at least 2")


@dataclass
class Targets:
    """Truth of N parts.

    Attributes:
        label: (N,) class index; known: (N,) bool, False where the part is of no label.
        properties: (N, K), NaN where unknown.
        states: (N, C) 1 where a condition holds.
    """

    label: Tensor
    known: Tensor
    properties: Tensor
    states: Tensor

    def rows(self, index: Tensor) -> Targets:
        """Some of the parts."""
        return Targets(*(getattr(self, f.name)[index] for f in fields(self)))

    def repeated(self, times: int) -> Targets:
        """All parts several times over."""
        return self.rows(torch.arange(len(self.label)).repeat(times))

    def to(self, device: torch.device) -> Targets:
        """On a device."""
        return Targets(*(getattr(self, f.name).to(device) for f in fields(self)))


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


def fit(
    network: nn.Module, batch: TokenBatch, targets: Targets, rows: Tensor, check: Callable[[nn.Module], float],
    settings: PerceptionTraining, progress: Progress | None = None,
) -> list[dict[str, float]]:  # fmt: skip
    """Trains in place and leaves the averaged weights that were best on the validation parts.

    Args:
        network: anything that turns a `TokenBatch` into a `FusionOutput`.
        batch: all parts.
        targets: of them.
        rows: indices of the training parts.
        check: validation loss of a network.
        settings: hyper-parameters.
        progress: called after every epoch with its losses.

    Returns:
        one row per epoch.
    """
    generator = torch.Generator().manual_seed(settings.seed)
    torch.manual_seed(settings.seed)
    learner = _Learner(network, settings, steps=settings.epochs * (len(rows) // settings.batch + 1))
    history: list[dict[str, float]] = []
    best, best_state, best_epoch = np.inf, network.state_dict(), 0
    for epoch in range(settings.epochs):
        start = time.perf_counter()
        loss = learner.epoch(batch, targets, rows, generator)
        value = check(learner.averaged)
        seconds = time.perf_counter() - start
        history.append({"epoch": epoch, "loss": loss, "validation_loss": value, "seconds": seconds})
        if progress is not None:
            progress(history[-1])
        if value < best:
            best, best_epoch = value, epoch
            best_state = {k: v.clone() for k, v in learner.averaged.state_dict().items()}
        elif epoch - best_epoch >= settings.patience:
            break
    network.load_state_dict(best_state)
    network.eval()
    return history


class _Learner:
    def __init__(self, network: nn.Module, settings: PerceptionTraining, steps: int) -> None:
        self.network, self.settings = network, settings
        self.device = next(network.parameters()).device
        decay = [p for p in network.parameters() if p.ndim >= 2]
        plain = [p for p in network.parameters() if p.ndim < 2]
        groups = [{"params": decay, "weight_decay": settings.weight_decay}, {"params": plain, "weight_decay": 0.0}]
        self.optimiser = torch.optim.AdamW(groups, settings.learning_rate, fused=True)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser, settings.learning_rate, total_steps=max(steps, 2), pct_start=0.15, final_div_factor=100.0
        )
        self._average = AveragedModel(network, multi_avg_fn=self._averaged)

    @property
    def averaged(self) -> nn.Module:
        """The network with averaged weights."""
        module: nn.Module = self._average.module
        return module.eval()

    @torch.no_grad()
    def _averaged(self, average: Any, new: Any, count: Any) -> None:
        """Exponential average that forgets the first, random weights quickly."""
        decay = min(self.settings.average, (1.0 + int(count)) / (10.0 + int(count)))
        torch._foreach_lerp_(list(average), list(new), 1.0 - decay)

    def epoch(self, batch: TokenBatch, targets: Targets, rows: Tensor, generator: torch.Generator) -> float:
        """One pass over the training rows; returns the mean loss."""
        settings = self.settings
        self.network.train()
        order = rows[torch.randperm(len(rows), generator=generator)]
        total = 0.0
        for start in range(0, len(order), settings.batch):
            index = order[start : start + settings.batch]
            view = random_views(batch.rows(index), generator, settings.modality_drop)
            loss = self._loss(self.network(view.to(self.device)), targets.rows(index).to(self.device))
            self.optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0, foreach=True)
            self.optimiser.step()
            self.schedule.step()
            self._average.update_parameters(self.network)
            total += float(loss.detach()) * len(index)
        return total / len(order)

    def _loss(self, out: FusionOutput, truth: Targets) -> Tensor:
        settings, known = self.settings, truth.known
        label = truth.label[known]
        loss = functional.nll_loss(out.log_probabilities[known], label) if bool(known.any()) else out.state.sum() * 0.0
        experts = out.expert_log_probabilities[known]
        if len(experts):
            every = label.repeat_interleave(experts.shape[1])
            loss = loss + settings.expert_loss * functional.nll_loss(experts.flatten(0, 1), every)
        if out.property_mean.shape[1]:
            spreads = self.network.get_buffer("property_std")
            loss = loss + settings.property_loss * property_loss(out, truth.properties, spreads)
        if out.condition_logit.shape[1]:
            odds = functional.binary_cross_entropy_with_logits(out.condition_logit, truth.states)
            loss = loss + settings.condition_loss * odds
        if not bool(known.all()):
            novel = functional.binary_cross_entropy_with_logits(out.novelty_logit, (~known).float())
            loss = loss + settings.novelty_loss * novel
        return loss


def property_loss(out: FusionOutput, properties: Tensor, scale: Tensor) -> Tensor:
    """Gaussian negative log likelihood of the known properties, weighted by the estimated spread.

    Without the weight (Seitzer et al., ICLR 2022, beta 0.5) what is nearly certain drowns the rest: the share of a
    blend is exactly 0 in all but a few materials. Beyond FAR_OUT spreads the loss is linear, so that a blend that was
    taken for a plain polymer is still pulled back.

    Args:
        out: of B parts.
        properties: (B, K) truth, NaN where unknown.
        scale: (K,) spread of each property over all parts.
    """
    known = torch.isfinite(properties)
    if not bool(known.any()):
        return out.property_mean.sum() * 0.0
    spread = out.property_std / scale
    z = (torch.where(known, properties, 0.0) - out.property_mean) / out.property_std
    loss = functional.huber_loss(z, torch.zeros_like(z), reduction="none", delta=FAR_OUT) + spread.log()
    return (spread.detach() * loss)[known].mean()
