"""Tabular encoder: one row of numbers -> 512 features; any scale, heavy tails, ties and gaps in the columns.

Process tables mix degrees, seconds and bars, and a single outlier (a melt temperature of 155 among 106) would squeeze
a column that is standardised. So each number first becomes its level: the share of training rows below it. Levels are
cut into pieces (piecewise linear encoding with bins at quantiles) and every column learns its own embedding of them,
which lets a network bend within a column as trees do (Gorishniy et al., "On embeddings for numerical features in
tabular deep learning", NeurIPS 2022). A residual network over all columns follows. It can hold several members that
share all weights but a scaling of the embeddings, an ensemble for the price of one ("TabM", Gorishniy et al. 2024).

Rows never mix: there is no batch statistic, and levels come from the training rows, which travel as knots with the
weights. A number that is missing (NaN, infinite) is replaced by an embedding that its column learns.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.nn import functional

from palpate_agents.errors import ConfigError, DataError, ModelError

KNOTS = 128
"""Quantiles kept per column: a level is exact to 1/127, finer than the bins."""


class TabularEncoder(nn.Module):
    """Encodes rows of a table; `fit` it to training rows before use.

    Args:
        columns: number of numeric columns F.
        out_dim: number of features.
        width: of the residual network.
        blocks: residual blocks.
        bins: pieces of the encoding of a column.
        embedding: size of a column's embedding.
        members: networks that share their weights.
        dropout: share of hidden units dropped while training.

    Raises:
        ConfigError: a size is not positive.
    """

    knots: Tensor

    def __init__(
        self, columns: int, out_dim: int = 512, width: int = 128, blocks: int = 2, bins: int = 16, embedding: int = 8,
        members: int = 1, dropout: float = 0.1,
    ) -> None:  # fmt: skip
        super().__init__()
        sizes = {
            "columns": columns, "out_dim": out_dim, "width": width, "bins": bins, "embedding": embedding,
            "members": members,
        }  # fmt: skip
        if wrong := [f"{name} = {size}" for name, size in sizes.items() if size < 1]:
            raise ConfigError(f"sizes of the tabular encoder must be 1 or more, got {', '.join(wrong)}")
        self.columns, self.bins, self.out_dim, self.members = columns, bins, out_dim, members
        # Quantiles in double precision: serial numbers and times since 1970 differ in their last digits.
        self.register_buffer("knots", torch.full((columns, KNOTS), torch.nan, dtype=torch.float64))
        self.embed = nn.Parameter(torch.randn(columns, bins, embedding) / bins**0.5)
        self.offset = nn.Parameter(torch.zeros(columns, embedding))
        self.missing = nn.Parameter(0.1 * torch.randn(columns, embedding))
        signs = torch.randint(0, 2, (members, columns * embedding)) * 2.0 - 1.0
        self.scale = nn.Parameter(signs if members > 1 else torch.ones_like(signs))
        self.first = nn.Linear(columns * embedding, width)
        self.blocks = nn.ModuleList(_ResidualBlock(width, dropout) for _ in range(blocks))
        self.last = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, out_dim), nn.GELU(), nn.LayerNorm(out_dim))

    def fit(self, values: ArrayLike) -> TabularEncoder:
        """Takes the quantiles of the training rows.

        Args:
            values: (N, F), NaN or infinite where missing; a column without any number becomes constant.

        Raises:
            DataError: another number of columns, or no row.
        """
        array = np.asarray(values, np.float64)
        if array.ndim != 2 or array.shape[1] != self.columns or not len(array):
            raise DataError(f"the encoder is fitted to (rows, {self.columns}) numbers, got shape {array.shape}")
        knots = np.stack([_quantiles(array[:, column]) for column in range(self.columns)])
        self.knots.copy_(torch.from_numpy(knots))
        return self

    def levels(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """(N, F) raw values -> (N, F) levels from 0 to 1, and where they are known; 0 where missing.

        A number that many training rows share has the middle of their levels; beyond the training rows it is 0 or 1.

        Raises:
            DataError: another number of columns.
            ModelError: the encoder was not fitted.
        """
        if values.ndim != 2 or values.shape[1] != self.columns:
            raise DataError(
                f"the encoder takes (rows, {self.columns}) numbers, got shape {tuple(values.shape)}; "
                "give the columns that the model was trained on, in their order"
            )
        if bool(torch.isnan(self.knots).any()):
            raise ModelError(
                "the tabular encoder has no quantiles yet: call fit with the training rows or load a model"
            )
        known = torch.isfinite(values)
        clean = torch.where(known, values, 0.0).double().T.contiguous()
        level = 0.5 * (_level(self.knots, clean, right=True) + _level(self.knots, clean, right=False))
        return torch.where(known, level.T, 0.0).float(), known

    def embeddings(self, values: Tensor) -> Tensor:
        """(N, F) raw values -> (N, F * embedding), every column on its own."""
        level, known = self.levels(values)
        start = torch.arange(self.bins, device=level.device)
        pieces = (level[..., None] * self.bins - start).clamp(0.0, 1.0)
        embedded = functional.relu(torch.einsum("nfb,fbe->nfe", pieces - 0.5, self.embed) + self.offset)
        return torch.where(known[..., None], embedded, self.missing).flatten(1)

    def members_features(self, values: Tensor) -> Tensor:
        """(N, F) raw values -> (N, members, out_dim)."""
        hidden = self.first(self.embeddings(values)[:, None, :] * self.scale)
        for block in self.blocks:
            hidden = block(hidden)
        return self.last(hidden)

    def forward(self, values: Tensor) -> Tensor:
        """(N, F) raw values, NaN where missing -> (N, out_dim), the mean over the members."""
        return self.members_features(values).mean(dim=1)


class _ResidualBlock(nn.Module):
    """(..., width) -> the same, a small change added."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.change = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.Dropout(dropout), nn.Linear(width, width)
        )

    def forward(self, hidden: Tensor) -> Tensor:
        return hidden + self.change(hidden)


def _quantiles(column: NDArray[np.float64]) -> NDArray[np.float64]:
    finite = column[np.isfinite(column)]
    if not len(finite):
        return np.zeros(KNOTS)
    return np.quantile(finite, np.linspace(0.0, 1.0, KNOTS))


def _level(knots: Tensor, values: Tensor, right: bool) -> Tensor:
    """(F, K) ascending knots, (F, N) values -> (F, N) level; a tie counts as all below (right) or none (left)."""
    last = knots.shape[1] - 1
    above = torch.searchsorted(knots, values, right=right)
    low = (above - 1).clamp(0, last - 1)
    left, right_end = knots.gather(1, low), knots.gather(1, low + 1)
    share = (values - left) / (right_end - left).clamp_min(torch.finfo(knots.dtype).tiny)
    level = (low + share.clamp(0.0, 1.0)) / last
    return torch.where(above == 0, 0.0, torch.where(above > last, 1.0, level))
