"""The learnt policy: which item of the menu comes next, from what is believed, was done and can be reached."""

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


@dataclass(frozen=True)
class PolicyConfig:
    """Shape and meaning of a policy: stored in its card, read back with it.

    Attributes:
        inputs: length of `policy_input`.
        hidden: widths of its layers.
        items: of the menu, in the order of the logits.
        input_version: of `policy_input`.
        fusion_sha256: of the fusion model whose beliefs it was trained on.
        reader_sha256: of the surface reader.
        sure, deadline_s: stop rule that it was trained under.
    """

    inputs: int
    hidden: tuple[int, ...] = (128, 128)
    items: tuple[str, ...] = NAMES
    input_version: str = INPUT_VERSION
    fusion_sha256: str = ""
    reader_sha256: str = ""
    sure: float = 0.9
    deadline_s: float = 20.0

    def __post_init__(self) -> None:
        if self.inputs < 1 or not self.hidden or min(self.hidden) < 1:
            raise ConfigError(f"a policy has at least 1 input and 1 unit, got {self.inputs} and {self.hidden}")

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> PolicyConfig:
        """From `to_dict` (lists where JSON has no tuples)."""
        return cls(**{**values, "hidden": tuple(values["hidden"]), "items": tuple(values["items"])})


class ProbingPolicy(nn.Module):
    """Logits over the menu; `choose` takes the best allowed item. Deterministic."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: PolicyConfig) -> None:
        """Random weights.

        Raises:
            ModelError: the configuration is of another menu or another input.
        """
        super().__init__()
        if config.items != NAMES or config.input_version != INPUT_VERSION:
            raise ModelError(
                f"the policy was trained on input version {config.input_version} and {len(config.items)} probes, this "
                f"palpate has version {INPUT_VERSION} and {len(NAMES)}; train it anew with `palpate train policy`"
            )
        self.config = config
        self.card: dict[str, Any] = {}
        self.register_buffer("mean", torch.zeros(config.inputs))
        self.register_buffer("std", torch.ones(config.inputs))
        self.body = hidden_layers(config.inputs, config.hidden, nn.Tanh)
        self.head = nn.Linear(config.hidden[-1], len(NAMES))

    def forward(self, inputs: Tensor) -> Tensor:
        """(n, D) inputs -> (n, K) logits."""
        logits: Tensor = self.head(self.body(normalised(inputs, self.mean, self.std)))
        return logits

    def choose(self, options: Options) -> NDArray[np.int64]:
        """(n,) best allowed items.

        Raises:
            ModelError: the inputs have another length, or the policy gives what is no number.
        """
        if options.inputs.shape[1] != self.config.inputs:
            raise ModelError(
                f"the policy reads {self.config.inputs} numbers, this belief gives {options.inputs.shape[1]}; use the "
                "fusion model that it was trained with"
            )
        with torch.inference_mode():
            logits = self(torch.from_numpy(options.inputs)).numpy()
        if not np.isfinite(logits).all():
            raise ModelError("the policy gave a value that is not finite; its inputs or its weights are damaged")
        return np.asarray(np.where(options.allowed, logits, -np.inf).argmax(axis=1), np.int64)
