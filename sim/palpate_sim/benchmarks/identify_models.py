"""The networks that `bench identify` compares, all trained on the same parts; trained ones are kept in a folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from palpate_agents.encoders.features import feature_names
from palpate_agents.errors import ConfigError
from palpate_agents.fusion import FusionConfig, MultimodalFusionNetwork, TokenBatch
from palpate_agents.fusion_config import SENSES
from palpate_agents.materials import MATERIALS
from palpate_agents.model_io import load_model
from palpate_agents.observation import Modality
from palpate_sim.benchmarks.concatenation import ConcatenationNetwork
from palpate_sim.library import PartLibrary
from palpate_sim.part_geometry import GEOMETRY_LIMIT
from palpate_sim.randomisation import randomisation_hash
from palpate_sim.training.batched import Draw
from palpate_sim.training.learner import PerceptionTraining, Targets
from palpate_sim.training.perception import (
    LATER_LOTS,
    network_config,
    outline_split,
    targets_of,
    tokens,
    train_in_stages,
    train_network,
)
from palpate_sim.training.perception_data import PerceptionData
from palpate_sim.training.shards import (
    AGED_SHARE,
    KIND_STRIDE,
    NOVEL_SHARE,
    RESERVED,
    RESERVED_SHARE,
    generate_training_data,
    kinds_of,
)

CEILING_TIMES = 2
"""The ceiling has so many times the training parts."""
EVERYTHING = (*SENSES, "inductive")
TUNED: dict[str, Any] = {"epochs": 2, "learning_rate": 5e-4}
"""How a trained network is trained on, for a cell that lacks a sensor or has one more."""
HEADLESS: dict[str, Any] = {"properties": (), "conditions": (), "novelty": False}

Say = Callable[[str], None]


@dataclass(frozen=True)
class Spec:
    """One network.

    Attributes:
        name: of it.
        modalities: what it reads.
        options: of `FusionConfig`.
        told: it is told the true condition.
        times: so many times the training parts of the others.
        dead: sensors that are dead in training and later.
        start: network whose weights it begins with.
        concat: one network over concatenated columns.
    """

    name: str
    modalities: tuple[str, ...] = SENSES
    options: dict[str, Any] = field(default_factory=dict)
    told: bool = False
    times: int = 1
    dead: tuple[str, ...] = ()
    start: str = ""
    concat: bool = False


SPECS: tuple[Spec, ...] = (
    Spec("palpate"),
    Spec("concat", options=HEADLESS, concat=True),
    Spec("ceiling", options=HEADLESS, told=True, times=CEILING_TIMES),
    Spec("gated_late", options={**HEADLESS, "experts": tuple((m,) for m in SENSES)}),
    *(Spec(f"{m}_alone", (m,), HEADLESS) for m in SENSES),
    *(Spec(f"without_{m}", options=HEADLESS, dead=(m,), start="palpate") for m in SENSES),
    Spec("tuned", options=HEADLESS, start="palpate"),
    Spec("palpate_inductive", EVERYTHING, HEADLESS, start="palpate"),
)
"""A network that begins with another's weights comes after it. `tuned` was trained on as long as `palpate_inductive`,
but without the coil: the difference of the two is the coil's."""


@dataclass(frozen=True)
class TrainingSet:
    """Parts to train and validate on.

    Attributes:
        data: of the ceiling, with the inductive tip; the others have the first of them.
        ours: (N,) bool, which these are.
        validation: (N,) bool.
        test_outlines: numbers of outlines that are in neither.
    """

    data: PerceptionData
    ours: NDArray[np.bool_]
    validation: NDArray[np.bool_]
    test_outlines: tuple[int, ...]


def training_set(library: PartLibrary, seed: int, parts: int, folder: Path | None, jobs: int, say: Say) -> TrainingSet:
    """Draws and probes them.

    Args:
        library: geometry.
        seed: of parts and split.
        parts: known parts before the split, of all but the ceiling.
        folder: where they are kept.
        jobs: processes.
        say: told how far it is.
    """
    settings = PerceptionTraining(seed=seed)
    train, validation, test = outline_split(np.arange(64), settings)

    def keep(data: PerceptionData) -> NDArray[np.bool_]:
        number = data.geometry % GEOMETRY_LIMIT
        return np.asarray(np.isin(number, [*train, *validation]) & (data.lot < LATER_LOTS))

    def progress(done: int, total: int) -> None:
        if done % 50_000 < 2_500:
            say(f"{done} of {total} parts probed")

    novel = round(NOVEL_SHARE * parts)
    data = generate_training_data(
        CEILING_TIMES * parts, seed, library, Draw(inductive=True), folder, jobs, progress, keep, novel
    )
    number = np.array([int(name.rsplit("_", 1)[1]) for name in data.part_id])
    kind, place = number // KIND_STRIDE, number % KIND_STRIDE
    limits = np.array([parts, round(AGED_SHARE * parts), novel, round(RESERVED_SHARE * novel)])
    ours = place < limits[kind]
    return TrainingSet(
        data, ours, np.isin(data.geometry % GEOMETRY_LIMIT, validation), tuple(int(k) for k in np.sort(test))
    )


def widened(weights: dict[str, torch.Tensor], template: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights for a network with the same modalities and perhaps more after them: new inputs count nothing at first.

    Args:
        weights: of the trained network.
        template: fresh weights of the other one.

    Returns:
        those that both have.
    """
    found = {}
    for name, fresh in template.items():
        if name not in weights or 0 in fresh.shape:  # of a head that one of the two has not
            continue
        value = weights[name].clone()
        if value.shape != fresh.shape:
            value = torch.nn.functional.pad(value, (0, fresh.shape[1] - value.shape[1]))
        found[name] = value
    return found


class Models:
    """Trains what is asked for, or takes it from the folder.

    Args:
        training: parts.
        settings: of all networks.
        folder: where trained networks are kept; None: nowhere.
        committed: the model that counts as `palpate`, see `committed_model`; None: it is trained here.
        say: told what happens.

    Raises:
        ConfigError: the committed model was trained on another number of parts.
    """

    def __init__(
        self, training: TrainingSet, settings: PerceptionTraining, folder: Path | None,
        committed: MultimodalFusionNetwork | None, say: Say,
    ) -> None:  # fmt: skip
        self.training, self.settings, self.folder, self.say = training, settings, folder, say
        self._truth = targets_of(training.data, MATERIALS)
        self._made: dict[str, Any] = {}
        if committed is not None:
            ours, theirs = len(self.rows(SPECS[0])[0]), committed.card["training"].get("training_parts")
            if ours != theirs:
                raise ConfigError(
                    f"model {committed.name} was trained on {theirs} parts, this run has {ours}; train one here with "
                    '--model "", or give its --parts'
                )
            self._made["palpate"] = committed

    def get(self, spec: Spec) -> Any:
        """The network, in evaluation mode."""
        if spec.name not in self._made:
            self._made[spec.name] = self._from_folder(spec) or self._train(spec)
        return self._made[spec.name]

    def view(self, spec: Spec, data: PerceptionData) -> TokenBatch:
        """Parts as a network of a specification is shown them."""
        batch = tokens(data, spec.modalities)
        if spec.told:
            batch = replace(batch, told=torch.from_numpy(data.states))
        return batch.only([m for m in spec.modalities if m not in spec.dead]) if spec.dead else batch

    def rows(self, spec: Spec) -> tuple[torch.Tensor, torch.Tensor]:
        """Indices of its training and validation parts."""
        training = self.training
        mine = training.ours if spec.times == 1 else np.ones_like(training.ours)
        if spec.options.get("novelty") is False:
            mine = mine & ~training.data.novel
        train, validation = (np.flatnonzero(mine & part) for part in (~training.validation, training.validation))
        return torch.from_numpy(train), torch.from_numpy(validation)

    def _config(self, spec: Spec) -> tuple[FusionConfig, Callable[[FusionConfig], Any]]:
        options = {**spec.options, "modalities": spec.modalities}
        if spec.told:
            options["told"] = self.training.data.states.shape[1]
        config = network_config(self.training.data, self.settings, MATERIALS, **options)
        if not spec.concat:
            return config, MultimodalFusionNetwork
        names = feature_names(config.features)
        return config, partial(ConcatenationNetwork, columns=sum(len(names[Modality(m)]) for m in spec.modalities))

    def _train(self, spec: Spec) -> Any:
        config, make = self._config(spec)
        settings, start = self.settings, None
        if spec.start:
            start = self._start(spec)
            settings = replace(settings, **TUNED)
        train, validation = self.rows(spec)
        self.say(f"{spec.name}: {len(train)} training parts")

        def show(row: dict[str, float]) -> None:
            self.say(f"{spec.name}: " + "  ".join(f"{k} {v:.4g}" for k, v in row.items()))

        batch = self.view(spec, self.training.data)
        if spec.name == "palpate":
            reserved = torch.from_numpy(np.flatnonzero(kinds_of(self.training.data) == RESERVED))
            network, _ = train_in_stages(config, batch, self._truth, train, validation, settings, show, reserved)
        else:
            truth = _known_only(self._truth, spec)
            network, _ = train_network(config, batch, truth, train, validation, settings, show, make, start)
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            save_file({k: v.contiguous() for k, v in network.state_dict().items()}, self._file(spec))
        return network

    def _start(self, spec: Spec) -> dict[str, torch.Tensor]:
        """Weights that a network begins with, of those that it has."""
        config, make = self._config(spec)
        begin = next(s for s in SPECS if s.name == spec.start)
        found = widened(self.get(begin).state_dict(), make(config).state_dict())
        # What novelty was calibrated to is nothing to a network without that head.
        return {k: v for k, v in found.items() if config.novelty or not k.startswith("novelty")}

    def _from_folder(self, spec: Spec) -> Any:
        if self.folder is None or not self._file(spec).is_file():
            return None
        config, make = self._config(spec)
        network = make(config)
        network.load_state_dict(load_file(self._file(spec)))
        self.say(f"{spec.name}: trained before")
        return network.eval()

    def _file(self, spec: Spec) -> Path:
        """Named by everything that the network depends on, so that no other is taken for it."""
        assert self.folder is not None
        facts = {
            "spec": asdict(spec), "settings": asdict(self.settings), "tuned": TUNED if spec.start else {},
            "origin": {k: v for k, v in self.training.data.origin.items() if k != "shard"},
            "parts": [len(rows) for rows in self.rows(spec)],
            "start": _digest(self._start(spec)) if spec.start else "",
        }  # fmt: skip
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
        return self.folder / f"{spec.name}_{digest[:16]}.safetensors"


def _digest(weights: dict[str, torch.Tensor]) -> str:
    """sha256 over tensors in the order of their names."""
    sha = hashlib.sha256()
    for name in sorted(weights):
        sha.update(name.encode())
        sha.update(weights[name].contiguous().numpy().tobytes())
    return sha.hexdigest()


def _known_only(truth: Targets, spec: Spec) -> Targets:
    """Baselines are not told of novelty."""
    return replace(truth, known=torch.ones_like(truth.known)) if spec.options.get("novelty") is False else truth


def committed_model(name: str | Path, seed: int) -> MultimodalFusionNetwork:
    """A trained model, if its parts were drawn and split as this run's.

    Raises:
        ConfigError: another seed or randomisation.
        ModelError: it cannot be loaded.
    """
    network = load_model(name)
    card = network.card["training"]
    ours, theirs = randomisation_hash(), card.get("data", {}).get("randomisation_hash")
    trained = card.get("settings", {}).get("seed")
    if ours != theirs or trained != seed:
        raise ConfigError(
            f"model {network.name} was trained with seed {trained} and randomisation {theirs}, this run has seed "
            f'{seed} and {ours}; train one here with --model "", or give its seed'
        )
    return network
