"""Trains all rivals of the policy and writes them: sequences, rule, and two observation models."""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from palpate_agents.model_io import load_surface_reader
from palpate_agents.probing.observation_io import save_observation_model
from palpate_sim.files import replacing
from palpate_sim.library import PartLibrary
from palpate_sim.probing_runs import Ground
from palpate_sim.training.observation_model import ObservationTraining, Say, train_observation_model
from palpate_sim.training.rivals import RivalTuning, tune_rivals

RIVALS, OBSERVATION, REFERENCE = "rivals.json", "observation", "observation_map"
JOBS = (RIVALS, OBSERVATION, REFERENCE)


def train_rivals_to(
    folder: Path, seed: int = 1, probes: int = 1_000_000, model: str = "cell29", jobs: int = 1,
    progress: Say | None = None, library: PartLibrary | None = None,
) -> None:  # fmt: skip
    """Writes JOBS into a folder.

    Args:
        folder: made if need be.
        seed: of parts, choices and weights.
        probes: budget of each search and of each model.
        model: fusion model.
        jobs: processes.
        progress: called now and then with a line; with several processes once for each that is done.
        library: of geometries; None: the cached one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    library = library or PartLibrary.load_or_build()
    say = progress or (lambda _line: None)
    given = [(name, folder, seed, probes, model, library) for name in JOBS]
    if jobs == 1:
        for one in given:
            _train(*one, say)
        return
    with ProcessPoolExecutor(min(jobs, len(given)), get_context("spawn")) as pool:
        running = {pool.submit(_train, *one): one[0] for one in given}
        for done in as_completed(running):
            done.result()
            say(f"{running[done]} is done")


def _train(
    name: str, folder: Path, seed: int, probes: int, model: str, library: PartLibrary, say: Say | None = None
) -> None:
    torch.set_num_threads(1)
    ground = Ground.of(library, load_surface_reader(), model)
    command = f"palpate train rivals --probes {probes} --seed {seed}"
    if name == RIVALS:
        found: dict[str, Any] = tune_rivals(ground, RivalTuning(seed=seed, budget=probes), say)
        found["training"]["command"] = command
        with replacing(folder / name) as file:
            file.write((json.dumps(found, indent=1) + "\n").encode())
        return
    settings = ObservationTraining(seed=seed, probes=probes)
    network, how = train_observation_model(ground, settings, say, truth=name == REFERENCE)
    save_observation_model(network, folder / name, name, {"command": command, **how})
