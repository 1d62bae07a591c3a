"""Encoded probes of parts in work: every probe is encoded once, however many beliefs follow from it."""

from __future__ import annotations

import torch
from torch import Tensor

from palpate_agents.fusion import MultimodalFusionNetwork
from palpate_agents.observation import MAX_PROBES
from palpate_agents.pooling import Looked
from palpate_agents.tokens import TokenBatch


class FusionMemory:
    """What a fusion network keeps of N parts; fusing from it gives what fusing all their probes anew would.

    Args:
        network: in evaluation mode.
        parts: N.
        probes: at most, of each part.

    Attributes:
        nothing: what the experts read of a part without probes, (1, D) each.
    """

    def __init__(self, network: MultimodalFusionNetwork, parts: int, probes: int = MAX_PROBES) -> None:
        self.network, self.probes = network, probes
        self.count = torch.zeros(parts, dtype=torch.int64)
        with torch.inference_mode():
            nothing = network.look_up(TokenBatch.of([[]], network.config))
            self.nothing = network.read_looked(nothing)
        self._looked = {
            m: Looked(*(torch.zeros((parts, probes, *kept.shape[2:])) for kept in one)) for m, one in nothing.items()
        }

    def forget(self, rows: Tensor) -> None:
        """New parts in some places, (K,) int64."""
        self.count[rows] = 0
        for one in self._looked.values():
            one.reliability[rows] = 0.0

    def add(self, batch: TokenBatch, rows: Tensor) -> None:
        """One more probe of K parts.

        Args:
            batch: K parts with one probe each.
            rows: (K,) int64, where they are kept.

        Raises:
            ValueError: a part has its most probes already.
        """
        if bool((self.count[rows] >= self.probes).any()):
            raise ValueError(f"a part already has {self.probes} probes, no more are kept")
        with torch.inference_mode():
            for m, new in self.network.look_up(batch).items():
                for kept, value in zip(self._looked[m], new, strict=True):
                    kept[rows, self.count[rows]] = value[:, 0]
        self.count[rows] += 1

    def read(self, rows: Tensor) -> dict[str, Tensor]:
        """What the experts read of K parts, see `MultimodalFusionNetwork.read`."""
        longest = max(1, int(self.count[rows].max()))
        with torch.inference_mode():
            chosen = {m: Looked(*(kept[rows, :longest] for kept in one)) for m, one in self._looked.items()}
            return self.network.read_looked(chosen)
