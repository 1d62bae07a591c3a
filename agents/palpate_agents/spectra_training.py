"""Training of the fusion network on measured spectra alone: one modality, the data set's own labels, few objects.

Measured sets hold many spectra of few objects, so what has to be learnt is what stays the same from object to object.
Every batch therefore draws class, then object, then spectrum with equal chance, and disturbs it by what differs between
objects of one polymer: a mixture with another object of its class, the difference of two objects of any class (colour,
filler, thickness), slope and curvature of the background, an error of the wavelength axis, noise.
The hyper-parameters are fixed; how they were chosen without the objects to be recognised is in `docs/data.md`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from palpate_agents.data.layout import SpectraDataset
from palpate_agents.encoders.features import FeatureConfig, PartContext, extract
from palpate_agents.encoders.reflectance import LEVEL_NAMES
from palpate_agents.errors import DataError
from palpate_agents.fusion import FusionConfig, ModalityPool, MultimodalFusionNetwork, TokenBatch
from palpate_agents.observation import Modality, Outcome, Primitive, ProbeExecution, ProbeFeatures, ProbeWindows
from palpate_agents.one_cycle import repeatable, smoothed_loss, train_one_cycle

MAX_CHANNELS = 256
"""A model's grid has at most this many channels: 2 nm over 500 nm, and bands of solids are 15 nm wide and more."""

LEVELS_OFF = 1e12
"""Spread that switches level features off: counts that an instrument stretched have no level worth learning."""


@dataclass(frozen=True)
class SpectraTraining:
    """Hyper-parameters; strengths of disturbances are in units of a spectrum's own standard deviation.

    Attributes:
        steps, batch: optimiser steps and spectra per step.
        learning_rate, weight_decay: of AdamW; the rate rises over the first tenth and falls to zero (one cycle).
        label_smoothing: share of the target that is spread over all labels.
        mix: chance that a spectrum is mixed with one of another object of its class.
        transfer: strength of the added difference of two objects of one class, any class.
        background: strength of slope and curvature.
        axis_nm: largest error of the wavelength axis, nm.
        noise: white noise per channel.
        width: size of the token and width of the expert.
        dropout: share of hidden units dropped while training.
    """

    steps: int = 600
    batch: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    label_smoothing: float = 0.1
    mix: float = 0.5
    transfer: float = 1.0
    background: float = 0.15
    axis_nm: float = 4.0
    noise: float = 0.01
    width: int = 64
    dropout: float = 0.1


DEFAULT_TRAINING = SpectraTraining()


def feature_config(dataset: SpectraDataset) -> FeatureConfig:
    """The model's wavelength grid for a data set: its own range in even steps, at most `MAX_CHANNELS` channels."""
    low, high = float(dataset.wavelength_nm[0]), float(dataset.wavelength_nm[-1])
    channels = min(len(dataset.wavelength_nm), MAX_CHANNELS)
    return FeatureConfig(low, high, (high - low) / (channels - 1), accept_counts=not dataset.is_reflectance)


def probe_features(dataset: SpectraDataset, row: int, config: FeatureConfig) -> ProbeFeatures:
    """Features of one spectrum as one look, by the same function as in the running stack.

    Raises:
        DataError: the spectrum carries no features (the reason is named).
    """
    execution = ProbeExecution(Primitive.LOOK, Outcome.SUCCEEDED, 0, 0)
    features = extract(execution, ProbeWindows(spectra=[dataset.spectrum(row)]), PartContext(config=config))
    if not features.reliability[Modality.SPECTRAL] > 0:
        reason = features.reasons[Modality.SPECTRAL]
        raise DataError(f"{dataset.name}: row {row} cannot be used for training: {reason}; remove it")
    return features


class _Objects(NamedTuple):
    """Physical objects of the training set, one entry each; rows of an object are contiguous."""

    first: NDArray[np.int64]  # first row
    rows: NDArray[np.int64]  # number of rows
    label: NDArray[np.int64]  # class index
    chance: NDArray[np.float64]  # of being drawn: equal for classes, then for objects of a class
    class_first: NDArray[np.int64]  # first object of the object's class; objects of a class are contiguous too
    class_count: NDArray[np.int64]  # number of objects in its class


class Disturbance:
    """Draws balanced, disturbed batches from training spectra on the model's grid.

    Args:
        spectra: (N, C) on the grid, any scale, finite.
        label: (N,) class index.
        group: (N,) physical object.
        step_nm: grid step.
        options: strengths.
        rng: source of chance.
    """

    def __init__(
        self, spectra: NDArray[np.floating], label: NDArray[np.integer], group: NDArray[np.str_], step_nm: float,
        options: SpectraTraining, rng: np.random.Generator,
    ) -> None:  # fmt: skip
        self.options, self.step_nm, self.rng = options, step_nm, rng
        order = np.lexsort((group, label))
        self.spectra = _standardise(np.asarray(spectra, np.float64)[order])
        sorted_group, sorted_label = np.asarray(group)[order], np.asarray(label)[order]
        new_object = np.r_[True, (sorted_group[1:] != sorted_group[:-1]) | (sorted_label[1:] != sorted_label[:-1])]
        first = np.flatnonzero(new_object)
        owner = sorted_label[first]
        class_count = np.bincount(owner)[owner]
        class_first = np.searchsorted(owner, owner)
        chance = 1.0 / class_count
        count = np.diff(np.r_[first, len(order)])
        self.objects = _Objects(first, count, owner, chance / chance.sum(), class_first, class_count)
        self.with_siblings = np.flatnonzero(class_count > 1)
        self.axis = np.linspace(-1.0, 1.0, self.spectra.shape[1])

    def batch(self, size: int) -> tuple[Tensor, Tensor]:
        """(size, C) float32 spectra and (size,) class indices."""
        rng, options = self.rng, self.options
        chosen = rng.choice(len(self.objects.first), size, p=self.objects.chance)
        x = self._rows(chosen)
        share = np.where(rng.random(size) < options.mix, rng.random(size), 0.0)[:, None]
        x = _standardise(x + share * (self._rows(self._sibling(chosen)) - x))
        if len(self.with_siblings):
            one = rng.choice(self.with_siblings, size)
            difference = self._rows(one) - self._rows(self._sibling(one))
            x += options.transfer * rng.standard_normal((size, 1)) * difference
        x = self._shift(x)
        for power, weight in ((1, 1.0), (2, 0.7), (3, 0.5)):
            x += options.background * weight * rng.standard_normal((size, 1)) * self.axis**power
        x += options.noise * rng.standard_normal(x.shape)
        return torch.from_numpy(x.astype(np.float32)), torch.from_numpy(self.objects.label[chosen])

    def _rows(self, objects: NDArray[np.integer]) -> NDArray[np.floating]:
        """A random spectrum of each object."""
        first, count = self.objects.first[objects], self.objects.rows[objects]
        return self.spectra[first + self.rng.integers(count)]

    def _sibling(self, objects: NDArray[np.integer]) -> NDArray[np.integer]:
        """Another object of the same class; the object itself where it has none."""
        start, count = self.objects.class_first[objects], self.objects.class_count[objects]
        step = 1 + self.rng.integers(np.maximum(count - 1, 1))
        return start + (objects - start + step) % count

    def _shift(self, x: NDArray[np.floating]) -> NDArray[np.floating]:
        """Each spectrum on an axis that is off by up to `axis_nm`, interpolated linearly."""
        channels = x.shape[1]
        shift = self.rng.uniform(-self.options.axis_nm, self.options.axis_nm, (len(x), 1)) / self.step_nm
        place = np.clip(np.arange(channels) + shift, 0, channels - 1)
        low = np.minimum(place.astype(int), channels - 2)
        left, right = np.take_along_axis(x, low, 1), np.take_along_axis(x, low + 1, 1)
        return left + (place - low) * (right - left)


def train_spectral_model(
    dataset: SpectraDataset, seed: int, options: SpectraTraining = DEFAULT_TRAINING, labels: tuple[str, ...] = ()
) -> MultimodalFusionNetwork:
    """Trains a network that reads spectra only, on every spectrum of `dataset`.

    Args:
        dataset: training spectra only; leave out beforehand what is to be recognised.
        seed: of weights and disturbances; the same seed and machine give the same model.
        options: hyper-parameters.
        labels: label set in the order of the logits; by default the labels of `dataset`.

    Returns:
        The network in evaluation mode; save it with `model_io.save_model`.

    Raises:
        DataError: a spectrum cannot be used, or a label is not in `labels`.
        ConfigError: fewer than two labels.
    """
    labels = labels or dataset.labels
    if missing := set(dataset.labels) - set(labels):
        raise DataError(f"{dataset.name}: label {min(missing)!r} is not in the label set {', '.join(labels)}")
    features = feature_config(dataset)
    config = FusionConfig(
        labels, dataset.name, ("spectral",), (("spectral",),), properties=(), conditions=(), novelty=False,
        features=features, feature_dims={"spectral": options.width}, hidden=options.width, dropout=options.dropout,
    )  # fmt: skip
    rows = [probe_features(dataset, row, features).values[Modality.SPECTRAL] for row in range(len(dataset))]
    spectra = np.stack(rows)[:, len(LEVEL_NAMES) :]
    index = np.array([labels.index(str(label)) for label in dataset.label])
    rng = np.random.default_rng(seed)
    draws = Disturbance(spectra, index, dataset.group, features.wavelength_step_nm, options, rng)
    with repeatable(seed):
        network = MultimodalFusionNetwork(config)
        _fit(network, draws, options)
    return network.eval()


def training_record(dataset: SpectraDataset, seed: int, options: SpectraTraining = DEFAULT_TRAINING) -> dict:
    """What a model's card should say of its training, as JSON values (`save_model(..., training=...)`)."""
    return {
        "data": dataset.name,
        "spectra": len(dataset),
        "groups": list(dataset.groups),
        "seed": seed,
        "options": asdict(options),
    }


def predict(network: MultimodalFusionNetwork, dataset: SpectraDataset) -> NDArray[np.float64]:
    """(N, L) log belief of every spectrum on its own, by the features and the network of the running stack."""
    features = [[probe_features(dataset, row, network.config.features)] for row in range(len(dataset))]
    with torch.inference_mode():
        return network(TokenBatch.of(features, network.config)).log_probabilities.double().numpy()


def item_belief(log_belief: NDArray[np.floating]) -> NDArray[np.float64]:
    """(L,) belief over one object from the (n, L) log beliefs of its spectra: their normalised geometric mean.

    A product would count repeated scans of one spot as independent evidence, which they are not.
    """
    mean = np.mean(np.asarray(log_belief, np.float64), axis=0)
    belief = np.exp(mean - mean.max())
    return belief / belief.sum()


def leave_item_out(
    dataset: SpectraDataset,
    seed: int,
    options: SpectraTraining = DEFAULT_TRAINING,
    progress: Callable[[str], None] | None = None,
) -> NDArray[np.float64]:
    """Recognises every object with a model that was trained on all others.

    Args:
        dataset: at least two objects per label.
        seed: the model without the k-th object (sorted by name) is trained with `seed`, too.
        options: hyper-parameters.
        progress: called with each object's name when it was recognised.

    Returns:
        (N, L) log beliefs in the order of `dataset` and `dataset.labels`.

    Raises:
        DataError: a label has one object only.
    """
    dataset.require_groups_per_label(2)
    log_belief = np.empty((len(dataset), len(dataset.labels)))
    for group in dataset.groups:
        network = train_spectral_model(dataset.without_group(group), seed, options, dataset.labels)
        log_belief[dataset.group == group] = predict(network, dataset.only_group(group))
        if progress is not None:
            progress(group)
    return log_belief


def _fit(network: MultimodalFusionNetwork, draws: Disturbance, options: SpectraTraining) -> None:
    pool = network.pools["spectral"]
    assert isinstance(pool, ModalityPool)
    pool.std.fill_(LEVELS_OFF)

    def loss() -> Tensor:
        spectra, target = draws.batch(options.batch)
        return smoothed_loss(network(_tokens(spectra)).log_probabilities, target, options.label_smoothing)

    train_one_cycle(network, loss, options.steps, options.learning_rate, options.weight_decay)


def _tokens(spectra: Tensor) -> TokenBatch:
    """(B, C) spectra as one probe per part; level features are zero, as the model ignores them."""
    size = (len(spectra), 1)
    values = torch.cat([spectra.new_zeros(len(spectra), len(LEVEL_NAMES)), spectra], dim=1)[:, None]
    primitive = torch.full(size, int(Primitive.LOOK), dtype=torch.int64)
    return TokenBatch(primitive, {"spectral": values}, {"spectral": torch.ones(size)})


def _standardise(x: NDArray[np.floating]) -> NDArray[np.floating]:
    return (x - x.mean(axis=1, keepdims=True)) / np.maximum(x.std(axis=1, keepdims=True), 1e-12)
