"""The plain networks of learnt strategies: normalised inputs, some hidden layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from torch import Tensor, nn

INPUT_CLIP = 5.0
"""Normalised inputs beyond this many spreads say no more than "far out"."""


def normalised(inputs: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Inputs in units of their spread, cut off far out."""
    return ((inputs - mean) / std).clamp(-INPUT_CLIP, INPUT_CLIP)


def hidden_layers(inputs: int, widths: Sequence[int], activation: Callable[[], nn.Module]) -> nn.Sequential:
    """Linear layers, each with an activation behind it."""
    layers: list[nn.Module] = []
    for width_in, width in pairwise((inputs, *widths)):
        layers += [nn.Linear(width_in, width), activation()]
    return nn.Sequential(*layers)
