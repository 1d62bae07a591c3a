"""The plain rival of the fusion network: all features side by side into a perceptron of the same width."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from palpate_agents.encoders.features import feature_names
from palpate_agents.fusion import FusionConfig, TokenBatch
from palpate_agents.observation import Modality, ProbeFeatures


class ConcatBelief:
    """Means of each modality's columns over the probes, one beside the other, through two hidden layers.

    It is there for its speed alone: its weights are random.
    """

    def __init__(self, config: FusionConfig, seed: int = 0) -> None:
        """Make one.

        Args:
            config: of the network that it stands beside.
            seed: of the weights.
        """
        self.config = config
        names = feature_names(config.features)
        columns = sum(len(names[Modality(m)]) for m in config.modalities)
        width = config.hidden
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._hidden = nn.Sequential(
                nn.Linear(2 * columns, width), nn.GELU(), nn.Linear(width, width), nn.GELU(),
                nn.Linear(width, config.state_dim),
            ).eval()  # fmt: skip
            self._head = nn.Linear(config.state_dim, len(config.labels)).eval()

    def __call__(self, probes: Sequence[ProbeFeatures]) -> Tensor:
        """(L,) probabilities after some probes."""
        batch = TokenBatch.of([list(probes)], self.config)
        return torch.softmax(self._head(self.state(batch)), dim=1)[0]

    def state(self, batch: TokenBatch) -> Tensor:
        """(B, state_dim)."""
        columns = []
        for m in self.config.modalities:
            values = batch.values[m]
            known = torch.isfinite(values)
            count = known.sum(dim=1)
            mean = torch.where(known, values, 0.0).sum(dim=1) / count.clamp_min(1)
            columns += [mean, (count > 0).float()]
        return self._hidden(torch.cat(columns, dim=1))
