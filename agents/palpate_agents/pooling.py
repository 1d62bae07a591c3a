"""From the tokens of one modality to its encoded features: attention in which an unreliable token loses."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from palpate_agents.encoders.picture import PictureEncoder
from palpate_agents.encoders.reflectance import LEVEL_NAMES
from palpate_agents.encoders.spectral import SpectralEncoder
from palpate_agents.fusion_config import FusionConfig
from palpate_agents.observation import Modality, Primitive
from palpate_agents.tokens import Pictures, TokenBatch

CLIP = 5.0
"""Normalised features beyond this many standard deviations say no more than "far out"."""
TOKEN_LIMIT = 256
"""A token is at most this wide; a modality with wider features reads it with more queries."""


class Looked(NamedTuple):
    """Tokens of one modality of B parts as its queries see them.

    Attributes:
        values: (B, P, D) what a token gives; scores: (B, P, Q) how much each query wants it.
        reliability: (B, P) 0..1; a token of reliability 0 does not exist.
    """

    values: Tensor
    scores: Tensor
    reliability: Tensor


class ModalityPool(nn.Module):
    """Tokens of one modality (B, P, F) with reliabilities (B, P) -> its encoded features (B, dim), and presence (B, 2).

    Attention queries pool the tokens against a learnt null token. The log of a token's reliability is added to its
    logit, so that an unreliable token loses to the null token and one of reliability 0 does not exist.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, modality: str, features: int, config: FusionConfig) -> None:
        super().__init__()
        self.modality, self.dim = modality, config.feature_dims[modality]
        self.token_dim = min(self.dim, TOKEN_LIMIT)
        self.split = self.dim <= TOKEN_LIMIT
        queries = config.queries if self.split else self.dim // self.token_dim
        self.queries = queries
        self.noise = config.noise
        self.scalars = len(LEVEL_NAMES) if modality == Modality.SPECTRAL else features
        self.spectral = SpectralEncoder(config.features.wavelength_nm) if modality == Modality.SPECTRAL else None
        self.picture = None
        if modality == Modality.VISUAL:
            self.picture = PictureEncoder(config.backbone, config.backbone_fingerprint)
        self.register_buffer("mean", torch.zeros(self.scalars))
        self.register_buffer("std", torch.ones(self.scalars))
        self.primitive = nn.Embedding(len(Primitive), 16)
        width = 2 * self.scalars + 16
        if self.spectral is not None:
            width += 256
        if self.picture is not None:
            width += PictureEncoder.OUT
        dim = self.token_dim
        self.token = nn.Sequential(
            nn.Linear(width, 2 * dim), nn.GELU(), nn.LayerNorm(2 * dim), nn.Dropout(config.dropout),
            nn.Linear(2 * dim, dim), nn.GELU(),
        )  # fmt: skip
        self.score = nn.Linear(dim, queries)
        self.value = nn.Linear(dim, dim)
        self.null = nn.Parameter(0.02 * torch.randn(dim))
        self.null_score = nn.Parameter(torch.full((queries,), -2.0))

    def forward(self, batch: TokenBatch) -> tuple[Tensor, Tensor]:
        """See the class; garbage in tokens of reliability 0 changes nothing."""
        return self.pool(self.look_up(batch))

    def look_up(self, batch: TokenBatch) -> Looked:
        """What the queries need of each token; a token's is the same whatever comes before or after it."""
        reliability = torch.nan_to_num(batch.reliability[self.modality], nan=0.0).clamp(0.0, 1.0)
        usable = reliability > 0
        tokens = reliability.new_zeros((*reliability.shape, self.token_dim))
        if bool(usable.any()):
            tokens[usable] = self._encode(batch, usable).to(tokens.dtype)
        return Looked(self.value(tokens), self.score(tokens), reliability)

    def pool(self, looked: Looked) -> tuple[Tensor, Tensor]:
        """(B, dim) encoded features and (B, 2) presence, of any number of tokens."""
        values, score, reliability = looked
        score = score + torch.log(reliability.clamp_min(1e-6))[..., None]
        score = score.masked_fill((reliability <= 0)[..., None], float("-inf"))
        null = self.null_score.expand(len(score), 1, -1)
        weight = torch.softmax(torch.cat([score, null], dim=1), dim=1)  # (B, P + 1, Q)
        if self.split:
            heads = values.unflatten(-1, (self.queries, self.token_dim // self.queries))
            pooled = (weight[:, :-1, :, None] * heads).sum(dim=1)
            pooled = (pooled + weight[:, -1, :, None] * self.null.view(self.queries, -1)).flatten(1)
        else:
            pooled = (weight[:, :-1].transpose(1, 2) @ values + weight[:, -1, :, None] * self.null).flatten(1)
        presence = torch.stack([reliability.amax(dim=1), torch.log1p(reliability.sum(dim=1))], dim=1)
        return pooled, presence

    def _encode(self, batch: TokenBatch, usable: Tensor) -> Tensor:
        """(B, P) usable tokens -> (T, token_dim)."""
        values = batch.values[self.modality][usable]
        scalars = values[:, : self.scalars]
        known = torch.isfinite(scalars)
        normal = ((torch.nan_to_num(scalars, 0.0, 0.0, 0.0) - self.mean) / self.std).clamp(-CLIP, CLIP)
        if self.training and self.noise > 0.0:
            normal = normal + self.noise * torch.randn_like(normal)
        parts = [torch.where(known, normal, 0.0), known.float(), self.primitive(batch.primitive[usable])]
        if self.spectral is not None:
            parts.append(self.spectral(values[:, self.scalars :]))
        if self.picture is not None:
            maps, maps_at = _pictures(batch.surface, usable)
            crops, crops_at = _pictures(batch.crop, usable)
            parts.append(self.picture(len(values), maps, maps_at, crops, crops_at))
        return self.token(torch.cat(parts, dim=1))

    @torch.no_grad()
    def set_normalisation(self, batch: TokenBatch) -> None:
        """Takes the columns' centres and spreads from usable tokens."""
        rows = batch.values[self.modality][batch.reliability[self.modality] > 0][:, : self.scalars]
        mean, std = moments(rows)
        self.mean.copy_(mean)
        self.std.copy_(std)


def _pictures(pictures: Pictures | None, usable: Tensor) -> tuple[Tensor | None, Tensor]:
    if pictures is None:
        return None, torch.full((int(usable.sum()),), -1, device=usable.device)
    return pictures.store, pictures.index[usable]


def moments(rows: Tensor) -> tuple[Tensor, Tensor]:
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
