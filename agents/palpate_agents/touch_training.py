"""Training of the fusion network on measured contact heat alone: two thermometers at two temperatures, own labels.

Everything is learnt from parts at room temperature: the calibration of the two sensors (`encoders.thermistors`) and the
network, which reads the cell's thermal columns. No column holds a temperature, so that a cold part is not recognised by
being cold, but by how much heat it takes. Hyper-parameters are fixed.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from palpate_agents.data.layout import TouchDataset
from palpate_agents.encoders.reading import Reading
from palpate_agents.encoders.thermistors import (
    PERIOD_S,
    PairTraces,
    ThermistorPair,
    calibrate,
    thermal_columns,
)
from palpate_agents.errors import DataError, ModelError
from palpate_agents.fusion import FusionConfig, MultimodalFusionNetwork, TokenBatch
from palpate_agents.observation import Modality, Outcome, Primitive, ProbeExecution, ProbeFeatures
from palpate_agents.one_cycle import repeatable, smoothed_loss, train_one_cycle

MIN_APART_K = 2.0
"""Between the two sensors before contact, in the middle of all touches."""
MIN_BEFORE_S, MIN_CONTACT_S = 0.2, 1.0
_UNITS = {"degc": 0.0, "°c": 0.0, "c": 0.0, "celsius": 0.0, "k": 273.15, "kelvin": 273.15}
"""Unit of a temperature channel -> what is subtracted to get degrees Celsius."""


@dataclass(frozen=True)
class TouchTraining:
    """Hyper-parameters.

    Attributes:
        steps, batch: optimiser steps and touches per step.
        learning_rate, weight_decay: of AdamW; one cycle.
        label_smoothing: share of the target that is spread over all labels.
        noise: of the columns, in spreads of each: what other specimens of a material may differ by.
        hidden: width of the expert and of the state; encoded thermal features have the network's usual size, 64.
        dropout: share of hidden units dropped while training.
    """

    steps: int = 300
    batch: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    label_smoothing: float = 0.05
    noise: float = 0.3
    hidden: int = 64
    dropout: float = 0.1


DEFAULT_TRAINING = TouchTraining()


@dataclass(frozen=True)
class ThermalModel:
    """A network and the calibration of the two sensors whose columns it reads."""

    network: MultimodalFusionNetwork
    sensors: ThermistorPair

    @property
    def labels(self) -> tuple[str, ...]:
        """In the order of the beliefs."""
        return self.network.config.labels

    @classmethod
    def of_loaded(cls, network: MultimodalFusionNetwork) -> ThermalModel:
        """From a network that `model_io.load_model` read, whose card has a `training_record`.

        Raises:
            ModelError: the card holds no calibration.
        """
        try:
            return cls(network, ThermistorPair.from_dict(network.card["training"]["sensors"]))
        except (KeyError, TypeError) as error:
            raise ModelError(
                f"model '{network.name}' has no calibration of its temperature sensors in its card; train it with "
                "train_thermal_model and save it with its training_record"
            ) from error


def two_temperatures(dataset: TouchDataset) -> PairTraces:
    """The heated and the unheated temperature channel of a data set, in degrees Celsius.

    Raises:
        DataError: sampled too slowly, or with gaps; too short before or in contact; or see `temperature_channels`.
    """
    time = dataset.time_s
    slowest = float(np.diff(time).max())
    if slowest > PERIOD_S * 1.01:
        raise DataError(
            f"{dataset.name}: up to {slowest:.3g} s between readings ({1 / slowest:.3g} Hz); contact heat needs at "
            f"least {1 / PERIOD_S:.0f} Hz: record faster"
        )
    if -time[0] < MIN_BEFORE_S or time[-1] < MIN_CONTACT_S:
        raise DataError(
            f"{dataset.name}: touches run from {time[0]:g} to {time[-1]:g} s around the contact at 0; at least "
            f"{MIN_BEFORE_S:g} s before and {MIN_CONTACT_S:g} s of contact are needed"
        )
    heated, unheated = temperature_channels(dataset)
    return PairTraces(np.asarray(time, np.float64), _celsius(dataset, heated), _celsius(dataset, unheated))


def temperature_channels(dataset: TouchDataset) -> tuple[int, int]:
    """Places of the heated and of the unheated temperature channel.

    Temperature channels have a unit (degC or K) in their name, as in `active [degC]`. Of several, the warmest and the
    coldest before contact are taken.

    Raises:
        DataError: fewer than two temperature channels, or both equally warm.
    """
    found = [place for place, name in enumerate(dataset.channels) if _kelvin_offset(str(name)) is not None]
    if len(found) < 2:
        raise DataError(
            f"{dataset.name}: {len(found)} temperature channels among {', '.join(map(str, dataset.channels))}; two "
            "sensors at two temperatures are needed. Write the unit into the name, as in 'active [degC]'"
        )
    before = dataset.time_s < 0.0
    start = [float(np.median(_celsius(dataset, place)[:, before])) for place in found]
    hot, cold = int(np.argmax(start)), int(np.argmin(start))
    if start[hot] - start[cold] < MIN_APART_K:
        raise DataError(
            f"{dataset.name}: the temperature channels are {start[hot] - start[cold]:.1f} K apart before contact, at "
            f"least {MIN_APART_K:g} K are needed: heat one of the sensors"
        )
    return found[hot], found[cold]


def _celsius(dataset: TouchDataset, place: int) -> NDArray[np.float64]:
    offset = _kelvin_offset(str(dataset.channels[place]))
    assert offset is not None
    return dataset.signals[:, :, place] - offset


def _kelvin_offset(channel: str) -> float | None:
    unit = re.search(r"\[([^\]]*)\]\s*$", channel)
    return _UNITS.get(unit.group(1).strip().lower()) if unit else None


def train_thermal_model(
    dataset: TouchDataset, seed: int, options: TouchTraining = DEFAULT_TRAINING, labels: tuple[str, ...] = ()
) -> ThermalModel:
    """Calibrates the sensors and trains a network that reads thermal columns only, on every touch of `dataset`.

    Args:
        dataset: touches of parts that all have the room's temperature; leave out what is to be recognised.
        seed: of weights and noise; the same seed and machine give the same model.
        options: hyper-parameters.
        labels: label set in the order of the logits; by default the labels of `dataset`.

    Returns:
        The model, its network in evaluation mode.

    Raises:
        DataError: see `two_temperatures` and `calibrate`; or a label is not in `labels`.
        ConfigError: fewer than two labels.
    """
    labels = labels or dataset.labels
    if missing := set(dataset.labels) - set(labels):
        raise DataError(f"{dataset.name}: label {min(missing)!r} is not in the label set {', '.join(labels)}")
    config = FusionConfig.single(
        Modality.THERMAL, labels, dataset.name, hidden=options.hidden, state_dim=options.hidden, dropout=options.dropout
    )
    traces = two_temperatures(dataset)
    sensors = calibrate(traces, dataset.label, dataset.group)
    batch = _tokens(thermal_columns(traces, sensors), config)
    target = torch.tensor([labels.index(str(label)) for label in dataset.label])
    with repeatable(seed):
        network = MultimodalFusionNetwork(config)
        network.set_normalisation(batch)
        _fit(network, batch, target, options, np.random.default_rng(seed))
    return ThermalModel(network.eval(), sensors)


def training_record(
    dataset: TouchDataset, model: ThermalModel, seed: int, options: TouchTraining = DEFAULT_TRAINING
) -> dict:
    """What a model's card should say of its training, calibration included (`save_model(..., training=...)`)."""
    return {
        "data": dataset.name,
        "touches": len(dataset),
        "groups": list(dataset.groups),
        "seed": seed,
        "options": asdict(options),
        "sensors": model.sensors.to_dict(),
    }


def predict(model: ThermalModel, traces: PairTraces) -> NDArray[np.float64]:
    """(N, L) log belief of every touch on its own.

    Raises:
        DataError: touches of another time axis than the calibration's.
    """
    batch = _tokens(thermal_columns(traces, model.sensors), model.network.config)
    with torch.inference_mode():
        return model.network(batch).log_probabilities.double().numpy()


def _tokens(columns: list[Reading], config: FusionConfig) -> TokenBatch:
    """One DWELL per part, as the running stack would see it."""
    execution = ProbeExecution(Primitive.DWELL, Outcome.SUCCEEDED, 0, 0)
    return TokenBatch.of(
        [
            [
                ProbeFeatures(
                    Primitive.DWELL,
                    {Modality.THERMAL: found.values},
                    {Modality.THERMAL: found.reliability},
                    {Modality.THERMAL: found.reason},
                    execution,
                )
            ]
            for found in columns
        ],
        config,
    )


def _fit(
    network: MultimodalFusionNetwork, data: TokenBatch, target: Tensor, options: TouchTraining, rng: np.random.Generator
) -> None:
    thermal = Modality.THERMAL.value
    chance = 1.0 / np.bincount(target.numpy())[target.numpy()]
    spread = network.pools[thermal].std
    assert isinstance(spread, Tensor)

    def loss() -> Tensor:
        rows = torch.from_numpy(rng.choice(len(target), options.batch, p=chance / chance.sum()))
        batch = data.rows(rows)
        values = batch.values[thermal]
        batch.values[thermal] = values + options.noise * spread * torch.randn(values.shape)
        return smoothed_loss(network(batch).log_probabilities, target[rows], options.label_smoothing)

    train_one_cycle(network, loss, options.steps, options.learning_rate, options.weight_decay)
