"""The fusion network's belief about the parts of many batched cells, probe by probe."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from palpate_agents.fusion import FusionOutput, MultimodalFusionNetwork
from palpate_agents.fusion_memory import FusionMemory
from palpate_agents.model_io import load_model
from palpate_agents.observation import Modality, Primitive
from palpate_agents.tokens import Pictures, TokenBatch
from palpate_sim.batch.cell import BatchedCell, ProbeResult
from palpate_sim.part_tables import NAMES


class FusionBelief:
    """What a fusion network believes of the part in each of N cells.

    Attributes:
        log_probabilities: (N, L) float32; state: (N, 512) float32; conditions: (N, C) float32 probabilities.
        label: (N,) int64 true label of each part, of the network's; -1 where it has none.
    """

    def __init__(self, cells: int, network: MultimodalFusionNetwork | str = "cell29") -> None:
        """Loads the network.

        Args:
            cells: N.
            network: a network in evaluation mode, or the name or folder of a model.
        """
        self.network = load_model(network) if isinstance(network, str) else network
        config = self.network.config
        self._memory = FusionMemory(self.network, cells)
        self._places = torch.arange(cells)
        known = {name: k for k, name in enumerate(config.labels)}
        self._label_of = np.array([known.get(name, -1) for name in NAMES])
        self.label = np.full(cells, -1)
        self.log_probabilities = np.zeros((cells, len(config.labels)), np.float32)
        self.state = np.zeros((cells, config.state_dim), np.float32)
        self.conditions = np.zeros((cells, len(config.conditions)), np.float32)

    def take(self, cell: BatchedCell, result: ProbeResult, rows: NDArray[np.int64], *, fresh: bool = False) -> None:
        """Take in the newest probe of some cells.

        Args:
            cell: all N.
            result: of all of them.
            rows: (K,) which cells' results count.
            fresh: their parts are new, and the probe is the first look at them.

        Raises:
            ValueError: a part has its most probes already.
        """
        if not len(rows):
            return
        chosen = torch.from_numpy(rows)
        if fresh:
            self._memory.forget(chosen)
            self.label[rows] = self._label_of[cell.parts.material[rows]]
        self._memory.add(self._tokens(cell, result, rows), chosen)
        with torch.inference_mode():
            self._keep(self.network.decide(self._memory.read(chosen)), rows)

    def _keep(self, out: FusionOutput, rows: NDArray[np.int64]) -> None:
        self.log_probabilities[rows] = out.log_probabilities.numpy()
        self.state[rows] = out.state.numpy()
        self.conditions[rows] = torch.sigmoid(out.condition_logit).numpy()

    def _tokens(self, cell: BatchedCell, result: ProbeResult, rows: NDArray[np.int64]) -> TokenBatch:
        values, reliability = {}, {}
        for name in self.network.config.modalities:
            found = result.features[Modality(name)]
            values[name] = torch.from_numpy(found.values[rows].astype(np.float32))[:, None]
            reliability[name] = torch.from_numpy(found.reliability[rows].astype(np.float32))[:, None]
        looked = (result.primitive[rows] == int(Primitive.LOOK)) & (
            result.features[Modality.VISUAL].reliability[rows] > 0.0
        )
        index = np.where(looked, np.cumsum(looked) - 1, -1)
        surface = None
        if looked.any():
            # Half precision, as the network was trained on.
            surface = Pictures(torch.from_numpy(cell.view[rows[looked]].astype(np.float16)), _column(index))
        return TokenBatch(_column(result.primitive[rows]), values, reliability, surface)

    @property
    def confidence(self) -> NDArray[Any]:
        """(N,) probability of the most probable label."""
        return np.exp(self.log_probabilities.max(axis=1))

    @property
    def loss_nats(self) -> NDArray[Any]:
        """(N,) cross-entropy of the true label."""
        return -self.log_probabilities[np.arange(len(self.label)), self.label]


def _column(values: NDArray[np.int64]) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, np.int64))[:, None]
