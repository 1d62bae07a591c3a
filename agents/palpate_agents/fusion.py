"""Fusion of every probe so far into a belief over materials, physical properties and a state for the policy.

One probe gives one token per modality. Tokens of a modality are pooled by attention whose logits carry the log of the
token's reliability, against a learnt null token: an unreliable token loses to the null token, a token of reliability 0
is masked out exactly, and with no token at all the null token, a learnt prior, is what remains. Experts read different
sets of modalities (without the spectrum, which is blind on black parts; without vision, which paint fools; touch and
heat alone), and a gate that sees everything mixes their probabilities. No layer mixes rows of a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from palpate_agents.encoders.features import FeatureConfig, feature_names
from palpate_agents.encoders.reflectance import LEVEL_NAMES
from palpate_agents.encoders.spectral import SpectralEncoder
from palpate_agents.errors import ConfigError
from palpate_agents.observation import Modality, Primitive, ProbeFeatures

PROPERTIES = (
    "log10_effusivity_w_s05_m2_k", "restitution", "log10_stiffness_pa", "log10_density_kg_m3", "friction",
)  # fmt: skip
"""Physical properties that a part is given beside its name; friction and restitution are dimensionless."""

TOKEN_DIMS = {"visual": 128, "tactile": 128, "spectral": 256, "thermal": 64}
CLIP = 5.0
"""Normalised features beyond this many standard deviations say no more than "far out"."""


@dataclass(frozen=True)
class FusionConfig:
    """Everything that fixes a network's shape and meaning; stored in the model's card.

    Attributes:
        labels: class names in the order of the logits.
        label_set: name of that set.
        modalities: what the network reads; others are ignored.
        experts: sets of modalities, one expert each; every one a subset of `modalities`.
        properties: names of the estimated properties.
        features: feature configuration (spectral grid).
        token_dims: size of a token per modality.
        queries: attention queries per modality: how many different probes can be told apart after pooling.
        hidden: width of the experts; state_dim: size of the fused state.
        dropout: share of hidden units dropped in training.
    """

    labels: tuple[str, ...]
    label_set: str = "catalogue"
    modalities: tuple[str, ...] = tuple(m.value for m in Modality)
    experts: tuple[tuple[str, ...], ...] = (
        ("visual", "tactile", "spectral", "thermal"),
        ("visual", "tactile", "thermal"),
        ("tactile", "spectral", "thermal"),
        ("tactile", "thermal"),
    )
    properties: tuple[str, ...] = PROPERTIES
    features: FeatureConfig = field(default_factory=FeatureConfig)
    token_dims: dict[str, int] = field(default_factory=lambda: dict(TOKEN_DIMS))
    queries: int = 4
    hidden: int = 256
    state_dim: int = 512
    dropout: float = 0.1

    def __post_init__(self) -> None:
        if len(self.labels) < 2 or len(set(self.labels)) != len(self.labels):
            raise ConfigError(f"a model needs at least 2 different labels, got {list(self.labels)}")
        known = {m.value for m in Modality}
        if not self.modalities or not set(self.modalities) <= known:
            raise ConfigError(f"modalities are {list(self.modalities)}, known are {sorted(known)}")
        for expert in self.experts:
            if not expert or not set(expert) <= set(self.modalities):
                raise ConfigError(f"expert {list(expert)} must read some of the modalities {list(self.modalities)}")

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self) | {"features": self.features.to_dict()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> FusionConfig:
        """From `to_dict` (lists where JSON has no tuples)."""
        plain = dict(values)
        plain["features"] = FeatureConfig.from_dict(plain["features"])
        for name in ("labels", "modalities", "properties"):
            plain[name] = tuple(plain[name])
        plain["experts"] = tuple(tuple(e) for e in plain["experts"])
        return cls(**plain)

    @classmethod
    def single(cls, modality: Modality, labels: Sequence[str], label_set: str, **options: Any) -> FusionConfig:
        """For a data set of one modality with labels of its own, without properties."""
        options = {"properties": ()} | options
        name = modality.value
        return cls(tuple(labels), label_set, (name,), ((name,),), **options)


@dataclass
class TokenBatch:
    """Probes of B parts, padded to P.

    Attributes:
        primitive: (B, P) int64, values of `Primitive`; any value where every reliability is 0.
        values: modality -> (B, P, F) float32 features, NaN where not measured.
        reliability: modality -> (B, P) float32 in 0..1; 0 masks the token out.
    """

    primitive: Tensor
    values: dict[str, Tensor]
    reliability: dict[str, Tensor]

    @classmethod
    def of(cls, parts: Sequence[Sequence[ProbeFeatures]], config: FusionConfig) -> TokenBatch:
        """From lists of probes, one list per part (empty lists allowed).

        Raises:
            ConfigError: features of another length than the model's.
        """
        names = feature_names(config.features)
        size = (len(parts), max(1, *(len(p) for p in parts)) if parts else 1)
        primitive = np.zeros(size, np.int64)
        values = {m: np.full((*size, len(names[Modality(m)])), np.nan, np.float32) for m in config.modalities}
        reliability = {m: np.zeros(size, np.float32) for m in config.modalities}
        for b, probes in enumerate(parts):
            for p, probe in enumerate(probes):
                primitive[b, p] = int(probe.primitive)
                for m in config.modalities:
                    found = probe.values.get(Modality(m))
                    trust = float(probe.reliability.get(Modality(m), 0.0))
                    if found is None or not trust > 0:
                        continue
                    if np.shape(found) != values[m].shape[2:]:
                        raise ConfigError(
                            f"{m} features have shape {np.shape(found)}, the model needs {values[m].shape[2:]}; "
                            "extract them with the model's feature configuration"
                        )
                    values[m][b, p] = found
                    reliability[m][b, p] = min(trust, 1.0)
        return cls(
            torch.from_numpy(primitive),
            {m: torch.from_numpy(v) for m, v in values.items()},
            {m: torch.from_numpy(r) for m, r in reliability.items()},
        )

    def __len__(self) -> int:
        return len(self.primitive)

    def rows(self, index: Tensor) -> TokenBatch:
        """Some of the parts."""
        return TokenBatch(
            self.primitive[index],
            {m: v[index] for m, v in self.values.items()},
            {m: r[index] for m, r in self.reliability.items()},
        )

    def masked(self, keep: Tensor | dict[str, Tensor]) -> TokenBatch:
        """With reliabilities multiplied by (B, P) `keep`, the same for all modalities or one per modality."""
        factor = keep if isinstance(keep, dict) else dict.fromkeys(self.reliability, keep)
        return replace(self, reliability={m: r * factor[m] for m, r in self.reliability.items()})


@dataclass
class FusionOutput:
    """What the network says of B parts.

    Attributes:
        log_probabilities: (B, L) calibrated by temperature.
        expert_log_probabilities: (B, E, L) of each expert, not calibrated.
        gate: (B, E) weight of each expert.
        property_mean, property_std: (B, K) in the units of the properties' names.
        state: (B, state_dim).
    """

    log_probabilities: Tensor
    expert_log_probabilities: Tensor
    gate: Tensor
    property_mean: Tensor
    property_std: Tensor
    state: Tensor


class ModalityPool(nn.Module):
    """Tokens of one modality (B, P, F) with reliabilities (B, P) -> one vector (B, dim + 2)."""

    mean: Tensor
    std: Tensor

    def __init__(self, modality: str, features: int, config: FusionConfig) -> None:
        super().__init__()
        dim = config.token_dims[modality]
        self.queries, self.dim = config.queries, dim
        self.scalars = len(LEVEL_NAMES) if modality == Modality.SPECTRAL else features
        self.spectral = SpectralEncoder(config.features.wavelength_nm) if modality == Modality.SPECTRAL else None
        self.register_buffer("mean", torch.zeros(self.scalars))
        self.register_buffer("std", torch.ones(self.scalars))
        self.primitive = nn.Embedding(len(Primitive), 16)
        width = 2 * self.scalars + 16 + (256 if self.spectral is not None else 0)
        self.token = nn.Sequential(
            nn.Linear(width, 2 * dim), nn.GELU(), nn.LayerNorm(2 * dim), nn.Dropout(config.dropout),
            nn.Linear(2 * dim, dim), nn.GELU(),
        )  # fmt: skip
        self.score = nn.Linear(dim, config.queries)
        self.value = nn.Linear(dim, dim)
        self.null = nn.Parameter(0.02 * torch.randn(dim))
        self.null_score = nn.Parameter(torch.full((config.queries,), -2.0))

    def forward(self, primitive: Tensor, values: Tensor, reliability: Tensor) -> Tensor:
        """See the class; garbage in tokens of reliability 0 changes nothing."""
        reliability = torch.nan_to_num(reliability, nan=0.0).clamp(0.0, 1.0)
        usable = reliability > 0
        tokens = values.new_zeros((*reliability.shape, self.dim))
        if bool(usable.any()):
            tokens[usable] = self._encode(primitive[usable], values[usable])
        score = self.score(tokens) + torch.log(reliability.clamp_min(1e-6))[..., None]
        score = score.masked_fill(~usable[..., None], float("-inf"))
        null = self.null_score.expand(len(score), 1, -1)
        weight = torch.softmax(torch.cat([score, null], dim=1), dim=1)  # (B, P + 1, Q)
        vectors = torch.cat([self.value(tokens), self.null.expand(len(score), 1, -1)], dim=1)
        heads = vectors.unflatten(-1, (self.queries, self.dim // self.queries))
        pooled = (weight[..., None] * heads).sum(dim=1).flatten(1)
        presence = torch.stack([reliability.amax(dim=1), torch.log1p(reliability.sum(dim=1))], dim=1)
        return torch.cat([pooled, presence], dim=1)

    def _encode(self, primitive: Tensor, values: Tensor) -> Tensor:
        """(T,) primitives and (T, F) features of usable tokens -> (T, dim)."""
        scalars = values[:, : self.scalars]
        known = torch.isfinite(scalars)
        normal = ((torch.nan_to_num(scalars, 0.0, 0.0, 0.0) - self.mean) / self.std).clamp(-CLIP, CLIP)
        parts = [torch.where(known, normal, 0.0), known.float(), self.primitive(primitive)]
        if self.spectral is not None:
            parts.append(self.spectral(values[:, self.scalars :]))
        return self.token(torch.cat(parts, dim=1))


class MultimodalFusionNetwork(nn.Module):
    """Fuses any number of probes with any modality missing; see the module's docstring."""

    log_temperature: Tensor
    property_mean: Tensor
    property_std: Tensor
    property_scale: Tensor

    def __init__(self, config: FusionConfig) -> None:
        super().__init__()
        self.config = config
        self.card: dict[str, Any] = {}
        names = feature_names(config.features)
        self.pools = nn.ModuleDict({m: ModalityPool(m, len(names[Modality(m)]), config) for m in config.modalities})
        size = {m: config.token_dims[m] + 2 for m in config.modalities}
        width, labels, properties = config.hidden, len(config.labels), len(config.properties)
        self.experts = nn.ModuleList(_mlp(sum(size[m] for m in e), width, config.dropout) for e in config.experts)
        self.heads = nn.ModuleList(nn.Linear(width, labels) for _ in config.experts)
        self.gate = nn.Sequential(
            nn.Linear(sum(size.values()), width // 2), nn.GELU(), nn.Linear(width // 2, len(config.experts))
        )
        self.state = nn.Sequential(
            nn.Linear(width * len(config.experts), config.state_dim), nn.LayerNorm(config.state_dim)
        )
        self.properties = nn.Sequential(nn.GELU(), nn.Linear(config.state_dim, 2 * properties)) if properties else None
        self.register_buffer("log_temperature", torch.zeros(()))
        self.register_buffer("property_mean", torch.zeros(properties))
        self.register_buffer("property_std", torch.ones(properties))
        self.register_buffer("property_scale", torch.ones(properties))

    @property
    def name(self) -> str:
        """Name in the card; "untrained" for a network that was not loaded."""
        return str(self.card.get("name", "untrained"))

    @property
    def hash(self) -> str:
        """sha256 of the weights that were loaded, hex; empty for a network that was not loaded."""
        return str(self.card.get("sha256", ""))

    def forward(self, batch: TokenBatch) -> FusionOutput:
        """Belief, properties and state of every part of the batch."""
        pooled = {
            m: self.pools[m](batch.primitive, batch.values[m], batch.reliability[m]) for m in self.config.modalities
        }
        hidden = [
            expert(torch.cat([pooled[m] for m in names], dim=1))
            for expert, names in zip(self.experts, self.config.experts, strict=True)
        ]
        expert_logs = torch.stack(
            [functional.log_softmax(head(h), dim=1) for head, h in zip(self.heads, hidden, strict=True)], dim=1
        )
        gate = functional.log_softmax(self.gate(torch.cat(list(pooled.values()), dim=1)), dim=1)
        mixture = torch.logsumexp(gate[..., None] + expert_logs, dim=1)
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
            state=state,
        )

    @torch.no_grad()
    def set_normalisation(self, batch: TokenBatch, targets: Tensor | None = None) -> None:
        """Takes feature means and spreads from training parts, and those of (N, K) property targets (NaN allowed)."""
        for m in self.config.modalities:
            pool = self.pools[m]
            assert isinstance(pool, ModalityPool)
            rows = batch.values[m][batch.reliability[m] > 0][:, : pool.scalars]
            mean, std = _moments(rows)
            pool.mean.copy_(mean)
            pool.std.copy_(std)
        if targets is not None and len(self.config.properties):
            mean, std = _moments(targets)
            self.property_mean.copy_(mean)
            self.property_std.copy_(std)


def _mlp(width_in: int, width: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(width_in, width), nn.GELU(), nn.LayerNorm(width), nn.Dropout(dropout),
        nn.Linear(width, width), nn.GELU(), nn.LayerNorm(width), nn.Dropout(dropout),
    )  # fmt: skip


def _moments(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Robust centre and spread of each column without NaN: median, and half the range of the middle 68 %.

    The spread is at least 2 % of the centre, so that a column that hardly varied in training (the arm's settings) does
    not shout when it does.
    """
    mean, std = torch.zeros(rows.shape[1]), torch.ones(rows.shape[1])
    for column in range(rows.shape[1]):
        values = rows[:, column]
        values = values[torch.isfinite(values)]
        if len(values) >= 2:
            low, mid, high = np.percentile(values.numpy(), [16.0, 50.0, 84.0])
            spread = max((high - low) / 2, 0.2 * float(values.std()), 0.02 * abs(mid), 1e-6)
            mean[column], std[column] = float(mid), float(spread)
    return mean, std
