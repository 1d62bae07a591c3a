"""Training on measured tables: a network over `TabularEncoder`, and a stack of it with two kinds of trees.

Tables of a production hold about a thousand rows, where trees are hard to beat and a network errs elsewhere: it is
smooth across columns, trees cut each column on its own. The stack mixes their beliefs; its weights are those under
which the labels of inner folds, which no part had seen, are most likely. Nothing is chosen on the rows to be judged.
The hyper-parameters are fixed; how they were chosen is in `docs/data.md`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from palpate_agents.encoders.tabular import TabularEncoder
from palpate_agents.errors import ConfigError, DataError
from palpate_agents.one_cycle import repeatable, train_one_cycle

INNER_FOLDS = 3
"""Folds of the training part in which the weights of the stack are chosen."""

WEIGHT_ITERATIONS = 100
"""Steps of expectation maximisation for three or four weights; far more than they need."""

Matrix = NDArray[np.floating]
Labels = NDArray[np.integer]
Groups = NDArray[np.str_]
Folds = list[tuple[NDArray[np.intp], NDArray[np.intp]]]


@dataclass(frozen=True)
class TableTraining:
    """Hyper-parameters of the network.

    Attributes:
        steps, epochs, batch: at least so many optimiser steps, and passes over the rows; rows per step.
        learning_rate, weight_decay: of AdamW; the rate rises over the first tenth and falls to zero (one cycle).
        noise: white noise added to every number while training, in interquartile ranges of its column.
        members: networks that share their weights.
        width, out_dim, blocks, bins, embedding, dropout: sizes of the encoder.
    """

    steps: int = 150
    epochs: int = 44
    batch: int = 128
    learning_rate: float = 3e-3
    weight_decay: float = 1e-2
    noise: float = 0.05
    members: int = 8
    width: int = 64
    out_dim: int = 64
    blocks: int = 1
    bins: int = 8
    embedding: int = 8
    dropout: float = 0.2


DEFAULT_TRAINING = TableTraining()


class TableNetwork(nn.Module):
    """Names the class of a row: the encoder and one linear head per member.

    Args:
        columns: numeric columns F.
        labels: classes L, two or more.
        options: sizes.

    Raises:
        ConfigError: fewer than two classes.
    """

    def __init__(self, columns: int, labels: int, options: TableTraining = DEFAULT_TRAINING) -> None:
        super().__init__()
        if labels < 2:
            raise ConfigError(f"a table network tells two or more classes apart, got {labels}")
        self.encoder = TabularEncoder(
            columns, options.out_dim, options.width, options.blocks, options.bins, options.embedding, options.members,
            options.dropout,
        )  # fmt: skip
        self.head = nn.Parameter(torch.randn(options.members, options.out_dim, labels) * 0.5 / options.out_dim**0.5)
        self.bias = nn.Parameter(torch.zeros(options.members, labels))

    def member_logits(self, values: Tensor) -> Tensor:
        """(N, F) raw values, NaN where missing -> (N, members, L)."""
        return torch.einsum("nko,kol->nkl", self.encoder.members_features(values), self.head) + self.bias

    def forward(self, values: Tensor) -> Tensor:
        """(N, F) raw values, NaN where missing -> (N, L) log belief: the logarithm of the members' mean belief."""
        log_belief = self.member_logits(values).log_softmax(dim=-1)
        return log_belief.logsumexp(dim=1) - np.log(log_belief.shape[1])


def train_table_network(
    values: Matrix, target: Labels, labels: int, seed: int, options: TableTraining = DEFAULT_TRAINING
) -> TableNetwork:
    """Trains a network on all rows that are given.

    Args:
        values: (N, F), NaN where missing; leave out beforehand what is to be recognised.
        target: (N,) class index below `labels`.
        labels: number of classes.
        seed: of weights, order and noise; the same seed and machine give the same model.
        options: hyper-parameters.

    Returns:
        The network in evaluation mode.

    Raises:
        DataError: no rows, or a class index that is not below `labels`.
        ConfigError: fewer than two classes.
    """
    values, target = np.asarray(values, np.float64), np.asarray(target, np.int64)
    if values.ndim != 2 or target.shape != (len(values),):
        raise DataError(f"a table needs (rows, columns) numbers and one class per row, got {values.shape}")
    if len(target) and not 0 <= target.min() <= target.max() < labels:
        raise DataError(f"class indices must be 0 to {labels - 1}, got {target.min()} to {target.max()}")
    with repeatable(seed):
        network = TableNetwork(values.shape[1], labels, options)
        network.encoder.fit(values)
        _fit(network, torch.from_numpy(values), torch.from_numpy(target), options)
    return network.eval()


def network_belief(network: TableNetwork, values: Matrix) -> NDArray[np.float64]:
    """(N, L) belief over the classes, every row on its own."""
    with torch.inference_mode():
        return network(torch.from_numpy(np.asarray(values, np.float64))).double().exp().numpy()


def stratified_folds(target: Labels, group: Groups, count: int, seed: int) -> Folds:
    """Training and test rows of folds with the classes in equal shares; a group is never split.

    Args:
        target: (N,) class index.
        group: (N,) physical object; when every row has its own, rows are split freely.
        count: number of folds.
        seed: of the shuffle.

    Raises:
        DataError: fewer rows or groups than folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    groups = len(np.unique(group))
    if groups < count:
        raise DataError(f"{count} folds need at least {count} rows or groups, got {groups}; add measurements")
    rows = np.zeros(len(target))
    if groups == len(group):
        return list(StratifiedKFold(count, shuffle=True, random_state=seed).split(rows, target))
    return list(StratifiedGroupKFold(count, shuffle=True, random_state=seed).split(rows, target, group))


Part = Callable[[Matrix, Labels, int, int], Callable[[Matrix], NDArray[np.float64]]]
"""Trains on (values, target, labels, seed) and returns values -> (N, L) belief."""


def network_part(options: TableTraining = DEFAULT_TRAINING) -> Part:
    """The network as a part of a stack."""

    def train(values: Matrix, target: Labels, labels: int, seed: int) -> Callable[[Matrix], NDArray[np.float64]]:
        network = train_table_network(values, target, labels, seed, options)
        return lambda rows: network_belief(network, rows)

    return train


def trees_part(make: Callable[[int], Any]) -> Part:
    """A scikit-learn classifier as a part of a stack; `make` builds it from a seed."""

    def train(values: Matrix, target: Labels, labels: int, seed: int) -> Callable[[Matrix], NDArray[np.float64]]:
        model = make(seed).fit(values, target)

        def belief(rows: Matrix) -> NDArray[np.float64]:
            full = np.zeros((len(rows), labels))
            full[:, model.classes_] = model.predict_proba(rows)  # a small training part may lack a class
            return full

        return belief

    return train


def extra_trees(seed: int) -> Any:
    """Extremely randomised trees (Geurts et al., Machine Learning 63:3, 2006): random cuts, smoother than a forest."""
    from sklearn.ensemble import ExtraTreesClassifier

    return ExtraTreesClassifier(300, max_features=0.8, random_state=seed)


def gradient_boosting(seed: int) -> Any:
    """Stochastic gradient boosting (Friedman 2002): deep trees, each from half the rows and a third of the columns."""
    from sklearn.ensemble import GradientBoostingClassifier

    return GradientBoostingClassifier(
        n_estimators=100, max_depth=6, learning_rate=0.06, subsample=0.5, max_features=0.3, random_state=seed
    )


def default_parts(options: TableTraining = DEFAULT_TRAINING) -> dict[str, Part]:
    """Network, extra trees, gradient boosting."""
    return {
        "network": network_part(options),
        "extra_trees": trees_part(extra_trees),
        "gradient_boosting": trees_part(gradient_boosting),
    }


@dataclass
class TableStack:
    """A mixture of the beliefs of several parts, weighted by inner folds of its training rows.

    Attributes:
        parts: name -> how it is trained.
        weights: name -> share of the belief; filled by `fit`.
    """

    parts: dict[str, Part] = field(default_factory=default_parts)
    weights: dict[str, float] = field(default_factory=dict)
    _trained: dict[str, Callable[[Matrix], NDArray[np.float64]]] = field(default_factory=dict, repr=False)

    def fit(self, values: Matrix, target: Labels, group: Groups, labels: int, seed: int) -> TableStack:
        """Chooses the weights in inner folds, then trains every part on all rows.

        Args:
            values: (N, F).
            target: (N,) class index.
            group: (N,) physical object, never split between inner folds.
            labels: number of classes L.
            seed: of inner folds and parts.

        Raises:
            DataError: too few rows or groups for the inner folds.
        """
        unseen = {name: np.zeros((len(target), labels)) for name in self.parts}
        for train, test in stratified_folds(target, group, INNER_FOLDS, seed):
            for name, part in self.parts.items():
                unseen[name][test] = part(values[train], target[train], labels, seed)(values[test])
        rows = np.arange(len(target))
        self.weights = dict(
            zip(self.parts, mixture_weights(np.stack([b[rows, target] for b in unseen.values()])), strict=True)
        )
        self._trained = {name: part(values, target, labels, seed) for name, part in self.parts.items()}
        return self

    def part_beliefs(self, values: Matrix) -> dict[str, NDArray[np.float64]]:
        """Name -> (N, L) belief of each part alone."""
        return {name: belief(values) for name, belief in self._trained.items()}

    def mix(self, beliefs: dict[str, NDArray[np.float64]]) -> NDArray[np.float64]:
        """(N, L) weighted mean of the parts' beliefs."""
        return np.sum([self.weights[name] * belief for name, belief in beliefs.items()], axis=0)


def mixture_weights(likelihood: Matrix) -> list[float]:
    """Weights (P,) under which P parts together find the true labels most likely.

    Args:
        likelihood: (P, N) belief of each part in the true label of each row.

    Maximum likelihood of a mixture's weights by expectation maximisation; concave, so there is one optimum.
    """
    floor = np.maximum(np.asarray(likelihood, np.float64), 1e-3)  # a forest says 0 where few trees saw a class
    weights = np.full(len(floor), 1 / len(floor))
    for _ in range(WEIGHT_ITERATIONS):
        share = weights[:, None] * floor
        weights = (share / share.sum(axis=0)).mean(axis=1)
    return [float(weight) for weight in weights]


def _fit(network: TableNetwork, values: Tensor, target: Tensor, options: TableTraining) -> None:
    rows, batch = len(target), min(options.batch, len(target))
    steps = max(options.steps, options.epochs * rows // batch)
    quartiles = torch.nanquantile(values.where(torch.isfinite(values), torch.nan), values.new_tensor([0.25, 0.75]), 0)
    spread = torch.nan_to_num(quartiles[1] - quartiles[0])
    order = torch.randperm(rows)

    def loss() -> Tensor:
        nonlocal order
        if len(order) < batch:
            order = torch.randperm(rows)
        chosen, order = order[:batch], order[batch:]
        noisy = values[chosen] + options.noise * spread * torch.randn(batch, len(spread), dtype=values.dtype)
        logits = network.member_logits(noisy)
        return functional.cross_entropy(logits.flatten(0, 1), target[chosen].repeat_interleave(logits.shape[1]))

    train_one_cycle(network, loss, steps, options.learning_rate, options.weight_decay)
