"""The baseline that fusion has to beat: all columns of all sensors side by side into one network, nothing gated."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from palpate_agents.fusion import FusionConfig, FusionOutput, TokenBatch
from palpate_agents.pooling import CLIP, moments

WIDTH = 512


def concatenated(batch: TokenBatch, modalities: tuple[str, ...]) -> Tensor:
    """(B, F) mean of every column over the probes that measured it, NaN where none did."""
    columns = []
    for m in modalities:
        values = batch.values[m]
        there = torch.isfinite(values) & (batch.reliability[m] > 0.0)[..., None]
        count = there.sum(dim=1)
        mean = torch.where(there, values, 0.0).sum(dim=1) / count.clamp_min(1)
        columns.append(torch.where(count > 0, mean, torch.nan))
    return torch.cat(columns, dim=1)


class ConcatenationNetwork(nn.Module):
    """One network over the concatenated columns, 0 for what was not measured, and which those are."""

    mean: Tensor
    std: Tensor
    log_temperature: Tensor

    def __init__(self, config: FusionConfig, columns: int) -> None:
        super().__init__()
        self.config = config
        self.novelty = None
        self.register_buffer("mean", torch.zeros(columns))
        self.register_buffer("std", torch.ones(columns))
        self.register_buffer("log_temperature", torch.zeros(()))
        width, drop = WIDTH, config.dropout
        self.layers = nn.Sequential(
            nn.Linear(2 * columns, width), nn.GELU(), nn.LayerNorm(width), nn.Dropout(drop),
            nn.Linear(width, width), nn.GELU(), nn.LayerNorm(width), nn.Dropout(drop),
            nn.Linear(width, width), nn.GELU(), nn.LayerNorm(width),
        )  # fmt: skip
        self.head = nn.Linear(width, len(config.labels))

    def forward(self, batch: TokenBatch) -> FusionOutput:
        """See `MultimodalFusionNetwork.forward`; without properties, conditions and novelty."""
        values = concatenated(batch, self.config.modalities)
        known = torch.isfinite(values)
        normal = ((torch.nan_to_num(values, 0.0, 0.0, 0.0) - self.mean) / self.std).clamp(-CLIP, CLIP)
        if self.training and self.config.noise > 0.0:
            normal = normal + self.config.noise * torch.randn_like(normal)
        state = self.layers(torch.cat([torch.where(known, normal, 0.0), known.float()], dim=1))
        logs = functional.log_softmax(self.head(state), dim=1)
        none = state.new_zeros((len(state), 0))
        return FusionOutput(
            functional.log_softmax(logs / self.log_temperature.exp(), dim=1), logs[:, None],
            torch.ones_like(state[:, :1]), none, none, none, state[:, 0] * 0.0, state,
        )  # fmt: skip

    @torch.no_grad()
    def set_normalisation(self, batch: TokenBatch, targets: Any = None) -> None:
        """Centre and spread of the columns over training parts."""
        del targets
        mean, std = moments(concatenated(batch, self.config.modalities))
        self.mean.copy_(mean)
        self.std.copy_(std)
