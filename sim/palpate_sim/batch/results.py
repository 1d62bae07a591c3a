"""What a probe of many cells gives."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from palpate_agents.observation import Modality
from palpate_sim.batch.features import Features

Floats = NDArray[np.float64]


class ProbeResult(NamedTuple):
    """What a probe of n cells gave.

    Attributes:
        primitive: (n,) int64.
        features: modality -> columns of `feature_names`, NaN where not measured, and reliability.
        seconds: (n,) that it took; damage: (n,) 1 is a full scratch; max_force_n: (n,).
        outcome: (n,) int64 of `Outcome`.
        block: (n, F) all features side by side, trust: (modalities, n) all reliabilities: the same memory.
    """

    primitive: NDArray[np.int64]
    features: dict[Modality, Features]
    seconds: Floats
    damage: Floats
    max_force_n: Floats
    outcome: NDArray[np.int64]
    block: Floats
    trust: Floats

    @staticmethod
    def empty(primitive: NDArray[np.int64], widths: dict[Modality, int]) -> ProbeResult:
        """Nothing measured yet.

        Args:
            primitive: (n,).
            widths: numbers of columns.
        """
        n, place, features = len(primitive), 0, {}
        blank = np.full((n, sum(widths.values())), np.nan)  # one piece of memory, for the sake of a single cell
        numbers = np.zeros((len(widths) + 3, n))
        for k, (modality, width) in enumerate(widths.items()):
            features[modality] = Features(blank[:, place : place + width], numbers[k])
            place += width
        seconds, damage, force = numbers[-3:]
        trust = numbers[: len(widths)]
        return ProbeResult(primitive, features, seconds, damage, force, np.zeros(n, np.int64), blank, trust)

    def store(self, modality: Modality, index: Any, features: Features) -> None:
        """Take in what some cells measured.

        Args:
            modality: of what.
            index: which cells.
            features: theirs.
        """
        mine = self.features[modality]
        mine.values[index], mine.reliability[index] = features.values, features.reliability
