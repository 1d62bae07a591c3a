"""What a probe is likely to tell and to cost, before it is made; and the greedy strategy that follows from it.

It reads what the real cell knows, nothing else. A macro is a treatment with the probe that it is made for: the gain of
a wipe or a scratch comes one probe later, and whoever looks one probe ahead never pays for it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from palpate_agents.errors import ConfigError, ModelError
from palpate_agents.probing.items import Options
from palpate_agents.probing.menu import NAMES
from palpate_agents.probing.perceptron import hidden_layers, normalised
from palpate_agents.probing.policy_input import INPUT_VERSION

MACROS: tuple[tuple[str, str], ...] = (
    ("wipe", "look_treated"),
    ("scratch", "look_treated"),
    ("scratch", "tap_treated"),
    ("scratch", "hot_treated"),
)
CANDIDATES = len(NAMES) + len(MACROS)
FIRST_ITEM = np.array([*range(len(NAMES)), *(NAMES.index(first) for first, _ in MACROS)])
"""(K + M,) what is done first for each candidate."""
LEAST_SECONDS = 0.3
"""No probe is shorter, whatever the network says."""


@dataclass(frozen=True)
class ObservationConfig:
    """Shape and meaning, stored in the card.

    Attributes:
        inputs: length of what it reads: `policy_input`, and whatever else it was trained with.
        hidden: widths of its layers.
        items: of the menu; macros: of two items each.
        input_version: of `policy_input`.
        fusion_sha256: of the fusion model whose beliefs it was trained on.
        reader_sha256: of the surface reader.
    """

    inputs: int
    hidden: tuple[int, ...] = (256, 256)
    items: tuple[str, ...] = NAMES
    macros: tuple[tuple[str, str], ...] = MACROS
    input_version: str = INPUT_VERSION
    fusion_sha256: str = ""
    reader_sha256: str = ""

    def __post_init__(self) -> None:
        if self.inputs < 1 or not self.hidden or min(self.hidden) < 1:
            raise ConfigError(
                f"an observation model has at least 1 input and 1 unit, got {self.inputs} and {self.hidden}"
            )

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ObservationConfig:
        """From `to_dict` (lists where JSON has no tuples)."""
        lists = {name: tuple(values[name]) for name in ("hidden", "items")}
        return cls(**{**values, **lists, "macros": tuple(tuple(pair) for pair in values["macros"])})


class ObservationModel(nn.Module):
    """`policy_input` -> expected fall of the belief's entropy, and seconds, of every item and every macro."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: ObservationConfig) -> None:
        """Random weights.

        Raises:
            ModelError: the configuration is of another menu or another input.
        """
        super().__init__()
        if (config.items, config.macros, config.input_version) != (NAMES, MACROS, INPUT_VERSION):
            raise ModelError(
                f"the observation model was trained on input version {config.input_version}, {len(config.items)} "
                f"probes and {len(config.macros)} macros, this palpate has version {INPUT_VERSION}, {len(NAMES)} and "
                f"{len(MACROS)}; train it anew with `palpate train rivals`"
            )
        self.config = config
        self.card: dict[str, Any] = {}
        self.register_buffer("mean", torch.zeros(config.inputs))
        self.register_buffer("std", torch.ones(config.inputs))
        self.body = hidden_layers(config.inputs, config.hidden, nn.ReLU)
        self.head = nn.Linear(config.hidden[-1], 2 * CANDIDATES)

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """(n, D) inputs -> (n, K + M) gain, nats, and (n, K + M) seconds, of items and then macros."""
        out = self.head(self.body(normalised(inputs, self.mean, self.std)))
        return out[:, :CANDIDATES], LEAST_SECONDS + nn.functional.softplus(out[:, CANDIDATES:])

    def rate(self, inputs: NDArray[np.float32], allowed: NDArray[np.bool_], *, macros: bool) -> NDArray[np.float32]:
        """Expected gain per second of each candidate.

        Args:
            inputs: (n, D).
            allowed: (n, K) items.
            macros: False leaves them out.

        Returns:
            (n, K + M) nats per second, minus infinity for what is not allowed.

        Raises:
            ModelError: the inputs have another length, or the model gives what is no number.
        """
        if inputs.shape[1] != self.config.inputs:
            raise ModelError(
                f"the observation model reads {self.config.inputs} numbers, this belief gives {inputs.shape[1]}; use "
                "the fusion model that it was trained with"
            )
        with torch.inference_mode():
            gain, seconds = self(torch.from_numpy(inputs))
            rate = (gain / seconds).numpy()
        if not np.isfinite(rate).all():
            raise ModelError(
                "the observation model gave a value that is not finite; its inputs or its weights are damaged"
            )
        can = allowed[:, FIRST_ITEM]
        if not macros:
            can[:, len(NAMES) :] = False
        return np.where(can, rate, np.float32(-np.inf))


class GreedyItems:
    """The best expected gain per second; of a macro the first item. Stateless: it may change its mind in between."""

    def __init__(self, model: ObservationModel, *, macros: bool) -> None:
        """Args: model: in evaluation mode; macros: they are candidates too."""
        self.model, self.macros = model, macros

    def choose(self, options: Options) -> NDArray[np.int64]:
        """(n,) best allowed items."""
        rate = self.model.rate(options.inputs, options.allowed, macros=self.macros)
        return np.asarray(FIRST_ITEM[rate.argmax(axis=1)], np.int64)
