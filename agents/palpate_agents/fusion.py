"""Fusion of every probe so far into a belief over materials, properties, condition, novelty and a state for the policy.

One probe gives one token per modality. Tokens of a modality are pooled by attention (`pooling.ModalityPool`) into its
encoded features; with no token at all a learnt null token, a prior, is what remains. Experts read different sets of
modalities (without the spectrum, which is blind on black parts; without vision, which paint fools; touch and heat
alone), and a gate that sees everything mixes their probabilities. No layer mixes rows of a batch.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from palpate_agents.encoders.features import feature_names
from palpate_agents.fusion_config import CONDITIONS, FEATURE_DIMS, PROPERTIES, FusionConfig, default_experts
from palpate_agents.observation import Modality
from palpate_agents.pooling import TOKEN_LIMIT, Looked, ModalityPool, moments
from palpate_agents.tokens import Pictures, TokenBatch

__all__ = [
    "CONDITIONS", "FEATURE_DIMS", "PROPERTIES", "FusionConfig", "FusionOutput", "ModalityPool",
    "MultimodalFusionNetwork", "Pictures", "TokenBatch", "default_experts",
]  # fmt: skip

PRESENCE = 2


@dataclass
class FusionOutput:
    """What the network says of B parts.

    Attributes:
        log_probabilities: (B, L) calibrated by temperature.
        expert_log_probabilities: (B, E, L) of each expert, not calibrated.
        gate: (B, E) weight of each expert.
        property_mean, property_std: (B, K) in the units of the properties' names.
        condition_logit: (B, C) log odds of each condition.
        novelty_logit: (B,) log odds that the part is of none of the labels' formulations; zeros without that head.
        state: (B, state_dim).
    """

    log_probabilities: Tensor
    expert_log_probabilities: Tensor
    gate: Tensor
    property_mean: Tensor
    property_std: Tensor
    condition_logit: Tensor
    novelty_logit: Tensor
    state: Tensor

    @classmethod
    def joined(cls, pieces: list[FusionOutput]) -> FusionOutput:
        """Of batches one after the other."""
        return cls(*(torch.cat([getattr(piece, f.name) for piece in pieces]) for f in fields(cls)))


class MultimodalFusionNetwork(nn.Module):
    """Fuses any number of probes with any modality missing; see the module's docstring."""

    log_temperature: Tensor
    property_mean: Tensor
    property_std: Tensor
    property_scale: Tensor
    condition_temperature: Tensor
    novelty_temperature: Tensor
    novelty_bias: Tensor
    novelty_limit: Tensor

    def __init__(self, config: FusionConfig) -> None:
        super().__init__()
        self.config = config
        self.card: dict[str, Any] = {}
        names = feature_names(config.features)
        self.pools = nn.ModuleDict({m: ModalityPool(m, len(names[Modality(m)]), config) for m in config.modalities})
        dims = {m: config.feature_dims[m] for m in config.modalities}
        self.summaries = nn.ModuleDict(
            {m: nn.Sequential(nn.Linear(dim, TOKEN_LIMIT), nn.GELU()) for m, dim in dims.items() if dim > TOKEN_LIMIT}
        )
        size = {m: min(dim, TOKEN_LIMIT) + PRESENCE for m, dim in dims.items()}
        width, labels, properties = config.hidden, len(config.labels), len(config.properties)
        everything = sum(size.values()) + config.told
        self.experts = nn.ModuleList(
            _mlp(sum(size[m] for m in e) + config.told, width, config.dropout) for e in config.experts
        )
        self.heads = nn.ModuleList(nn.Linear(width, labels) for _ in config.experts)
        self.gate = _head(everything, width // 2, len(config.experts))
        self.state = nn.Sequential(
            nn.Linear(width * len(config.experts), config.state_dim), nn.LayerNorm(config.state_dim)
        )
        conditions = len(config.conditions)
        self.properties = nn.Sequential(nn.GELU(), nn.Linear(config.state_dim, 2 * properties)) if properties else None
        self.conditions = _head(everything, width // 2, conditions) if conditions else None
        self.novelty = _head(everything + labels, width, 1) if config.novelty else None
        self.register_buffer("log_temperature", torch.zeros(()))
        self.register_buffer("property_mean", torch.zeros(properties))
        self.register_buffer("property_std", torch.ones(properties))
        self.register_buffer("property_scale", torch.ones(properties))
        self.register_buffer("condition_temperature", torch.ones(conditions))
        self.register_buffer("novelty_temperature", torch.ones(()))
        self.register_buffer("novelty_bias", torch.zeros(()))
        self.register_buffer("novelty_limit", torch.ones(()))

    @property
    def name(self) -> str:
        """Name in the card; "untrained" for a network that was not loaded."""
        return str(self.card.get("name", "untrained"))

    @property
    def hash(self) -> str:
        """sha256 of the weights that were loaded, hex; empty for a network that was not loaded."""
        return str(self.card.get("sha256", ""))

    def encode(self, batch: TokenBatch) -> dict[str, Tensor]:
        """Modality -> (B, feature_dims[modality]) encoded features of all its probes so far."""
        return {m: self.pools[m](batch)[0] for m in self.config.modalities}

    def read(self, batch: TokenBatch) -> dict[str, Tensor]:
        """What the experts read of each modality, (B, D): its encoded features, summed up if wide, and presence."""
        return self.read_looked(self.look_up(batch))

    def look_up(self, batch: TokenBatch) -> dict[str, Looked]:
        """Every probe encoded, each for itself: what `FusionMemory` keeps."""
        return {m: self._pool(m).look_up(batch) for m in self.config.modalities}

    def read_looked(self, looked: dict[str, Looked]) -> dict[str, Tensor]:
        """`read`, of probes that are encoded already."""
        read: dict[str, Tensor] = {}
        for m in self.config.modalities:
            features, presence = self._pool(m).pool(looked[m])
            summary = self.summaries[m](features) if m in self.summaries else features
            read[m] = torch.cat([summary, presence], dim=1)
        return read

    def _pool(self, modality: str) -> ModalityPool:
        pool = self.pools[modality]
        assert isinstance(pool, ModalityPool)
        return pool

    def forward(self, batch: TokenBatch) -> FusionOutput:
        """Belief, properties, condition, novelty and state of every part of the batch."""
        return self.decide(self.read(batch), batch.told)

    def decide(self, read: dict[str, Tensor], facts: Tensor | None = None) -> FusionOutput:
        """The second half of `forward`.

        Args:
            read: see `read`.
            facts: (B, T) for a network that is told them.
        """
        told = [] if not self.config.told else [_told(facts, self.config.told)]
        everything = torch.cat([*read.values(), *told], dim=1)
        hidden, expert_logs, gate, mixture = self._mixed(read, told, everything)
        state = self.state(torch.cat(hidden, dim=1))
        estimates = self.properties(state) if self.properties is not None else state.new_zeros((len(state), 0))
        mean, log_std = estimates.chunk(2, dim=1)
        std = torch.exp(log_std.clamp(-4.0, 2.0)) * self.property_scale * self.property_std
        return FusionOutput(
            log_probabilities=functional.log_softmax(mixture / self.log_temperature.exp(), dim=1),
            expert_log_probabilities=expert_logs,
            gate=gate.exp(),
            property_mean=mean * self.property_std + self.property_mean,
            property_std=std,
            condition_logit=self._conditions(everything),
            novelty_logit=self._novelty(everything, mixture),
            state=state,
        )

    def _mixed(
        self, read: dict[str, Tensor], told: list[Tensor], everything: Tensor
    ) -> tuple[list[Tensor], Tensor, Tensor, Tensor]:
        """Hidden units and (B, E, L) log probabilities of the experts, (B, E) log of the gate, (B, L) the mixture."""
        hidden = [
            expert(torch.cat([*(read[m] for m in names), *told], dim=1))
            for expert, names in zip(self.experts, self.config.experts, strict=True)
        ]
        logs = torch.stack(
            [functional.log_softmax(head(h), dim=1) for head, h in zip(self.heads, hidden, strict=True)], dim=1
        )
        gate = functional.log_softmax(self.gate(everything), dim=1)
        return hidden, logs, gate, torch.logsumexp(gate[..., None] + logs, dim=1)

    def novelty_inputs(self, batch: TokenBatch) -> Tensor:
        """(B, D) what the novelty head reads: everything measured, and the belief that follows from it."""
        read = self.read(batch)
        everything = torch.cat(list(read.values()), dim=1)
        return torch.cat([everything, _damped(self._mixed(read, [], everything)[3])], dim=1)

    def _conditions(self, everything: Tensor) -> Tensor:
        if self.conditions is None:
            return everything.new_zeros((len(everything), 0))
        return self.conditions(everything) / self.condition_temperature

    def _novelty(self, everything: Tensor, mixture: Tensor) -> Tensor:
        """What was measured beside what the belief says it should have been."""
        if self.novelty is None:
            return everything.new_zeros(len(everything))
        logit = self.novelty(torch.cat([everything, _damped(mixture.detach())], dim=1))[:, 0]
        return logit / self.novelty_temperature + self.novelty_bias

    @torch.no_grad()
    def set_normalisation(self, batch: TokenBatch, targets: Tensor | None = None) -> None:
        """Takes feature centres and spreads from training parts, and those of (N, K) property targets (NaN allowed)."""
        for m in self.config.modalities:
            self._pool(m).set_normalisation(batch)
        if targets is not None and len(self.config.properties):
            mean, std = moments(targets)
            rest = torch.where(torch.isfinite(targets), targets - mean, 0.0).square().sum(dim=0)
            rms = (rest / torch.isfinite(targets).sum(dim=0).clamp_min(1)).sqrt()
            self.property_mean.copy_(mean)
            # The share of a blend is 0 in most parts: its middle two thirds have no spread at all.
            self.property_std.copy_(torch.maximum(std, 0.5 * rms))


def _damped(log_probabilities: Tensor) -> Tensor:
    """A belief on the scale of the other inputs of a head."""
    return log_probabilities.clamp_min(-12.0) / 4.0


def _told(facts: Tensor | None, size: int) -> Tensor:
    if facts is None:
        raise ValueError(f"this network has to be told {size} facts of every part")
    return facts


def _head(width_in: int, width: int, out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width_in, width), nn.GELU(), nn.Linear(width, out))


def _mlp(width_in: int, width: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(width_in, width), nn.GELU(), nn.LayerNorm(width), nn.Dropout(dropout),
        nn.Linear(width, width), nn.GELU(), nn.LayerNorm(width), nn.Dropout(dropout),
    )  # fmt: skip
