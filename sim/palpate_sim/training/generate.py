"""Training data for perception: many parts, each probed in every way, through the sensors of the full cell.

Pictures come from the cell's renderer without the arm, everything else from the same physics; windows are cut as the
cell cuts them, goals chosen and features extracted by the agent's own code. What is left out: the arm's dynamics,
parts that move under the tool or slip in the hand, and parts that touch each other.

    generate(20_000, seed=1, workers=2, out=Path("perception.npz"))
"""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from palpate_agents.encoders.features import FEATURE_VERSION, FeatureConfig, extract
from palpate_agents.errors import ConfigError, DataError
from palpate_agents.observation import Primitive, ProbeExecution, ProbeFeatures, ProbeGoal, ProbeWindows
from palpate_agents.probing.spots import SpotChooser
from palpate_sim.objects import AMBIENT_C, Part, draw_devices, draw_part
from palpate_sim.planning import Planner
from palpate_sim.randomisation import CONDITION_MIX, randomisation_hash
from palpate_sim.rendering import PartRenderer
from palpate_sim.training.dwell_windows import dwell_window
from palpate_sim.training.perception_data import PerceptionData
from palpate_sim.training.scene_of_part import PartScene
from palpate_sim.training.still_windows import lift_window, look_window
from palpate_sim.training.touch_windows import (
    Contact,
    ToolGeometry,
    missed,
    press_tracks,
    slide_tracks,
    tap_window,
    taps,
    window_of,
)

GENERATOR_VERSION = 3
"""Raised with every change of what a probe's window contains."""

SEQUENCE: tuple[tuple[Primitive, int], ...] = (
    (Primitive.LOOK, 0),
    (Primitive.TAP, 0),
    (Primitive.PRESS, 0),
    (Primitive.SLIDE, 0),
    (Primitive.DWELL, 1),
    (Primitive.LIFT, 0),
    (Primitive.DWELL, 0),
    (Primitive.LOOK, 0),
)
"""Primitive and pad, in the order done. The last look takes its spectrum close to a spot on the part."""

PROPERTY_NAMES = (
    "log10_effusivity_w_s05_m2_k", "restitution", "log10_stiffness_pa", "log10_density_kg_m3", "friction",
)  # fmt: skip
"""Truth of each part: as `palpate_agents.fusion.PROPERTIES`, without importing torch."""

SHARD_PARTS = 200
PARTS_PER_DEVICE = 4
AMBIENT_SPREAD_K = 3.0
"""Rooms differ: uniform around the cell's 22 degrees."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class ShardJob:
    """Parts `first` to `first + count - 1` of a data set."""

    seed: int
    first: int
    count: int
    mix: str
    path: Path


def truth_of(part: Part) -> list[float]:
    """Values of `PROPERTY_NAMES`."""
    return [
        float(np.log10(part.effusivity_w_s05_m2k)),
        part.restitution,
        float(np.log10(part.indentation_modulus_pa)),
        float(np.log10(part.density_kg_m3)),
        part.friction * part.friction_factor,
    ]


def part_of(seed: int, index: int, mix: str = "mix") -> tuple[Part, float]:
    """Part number `index` of a data set and its room's temperature: any part can be drawn again."""
    rng = np.random.default_rng([seed, 1, index])
    ambient_c = AMBIENT_C + float(rng.uniform(-AMBIENT_SPREAD_K, AMBIENT_SPREAD_K))
    return draw_part(rng, index, mix=mix, ambient_c=ambient_c), ambient_c


class ShardMaker:
    """Probes parts by the shard; holds what is costly to set up. Close it."""

    def __init__(self, config: FeatureConfig | None = None) -> None:
        planner = Planner()
        self.geometry = ToolGeometry.of(planner)
        self.renderer = PartRenderer(planner.model)
        self.config = config or FeatureConfig()

    def close(self) -> None:
        """Release the renderer."""
        self.renderer.close()

    def make(self, job: ShardJob) -> PerceptionData:
        """Features of every probe of the shard's parts."""
        rng = np.random.default_rng([job.seed, 2, job.first])
        scenes = [self._scene(job, job.first + k) for k in range(job.count)]
        features: list[list[ProbeFeatures]] = [[] for _ in scenes]
        for number, (primitive, pad) in enumerate(SEQUENCE):
            for index, execution, windows in self._probe(scenes, primitive, pad, number, rng):
                scene = scenes[index]
                scene.context = scene.context.after(execution, windows)
                features[index].append(extract(execution, windows, scene.context))
                scene.history.append(execution)
        origin = origin_of(job.seed, job.mix)
        labels = [(f"{job.seed}_{scene.part.part_id}", scene.part.material, scene.part.condition) for scene in scenes]
        properties = np.array([truth_of(scene.part) for scene in scenes])
        data = PerceptionData.of(labels, features, PROPERTY_NAMES, properties, self.config, origin)
        return _padded(data, len(SEQUENCE))

    def _scene(self, job: ShardJob, index: int) -> PartScene:
        part, ambient_c = part_of(job.seed, index, job.mix)
        devices = draw_devices(np.random.default_rng([job.seed, 3, index // PARTS_PER_DEVICE]))
        rng = np.random.default_rng([job.seed, 4, index])
        return PartScene.of(part, devices, ambient_c, self.renderer, rng, self.config)

    def _probe(
        self, scenes: list[PartScene], primitive: Primitive, pad: int, number: int, rng: np.random.Generator
    ) -> Iterator[tuple[int, ProbeExecution, ProbeWindows]]:
        """Windows of one probe on every part that offers a place for it."""
        goals = [self._goal(scene, primitive, pad, number) for scene in scenes]
        if primitive in (Primitive.LOOK, Primitive.LIFT):
            make = look_window if primitive is Primitive.LOOK else lift_window
            for index, goal in enumerate(goals):
                if goal is not None:
                    yield index, *make(scenes[index], goal, self.geometry)
            return
        contacts: list[tuple[int, Contact]] = []
        for index, goal in enumerate(goals):
            if goal is None:
                continue
            hit = scenes[index].meet(goal)
            if hit is None:
                yield index, *missed(scenes[index], goal)
            else:
                contacts.append((index, Contact(scenes[index], goal, hit)))
        if contacts:
            yield from self._touch(primitive, contacts, rng)

    def _touch(
        self, primitive: Primitive, contacts: list[tuple[int, Contact]], rng: np.random.Generator
    ) -> Iterator[tuple[int, ProbeExecution, ProbeWindows]]:
        only = [contact for _, contact in contacts]
        if primitive is Primitive.DWELL:
            for index, contact in contacts:
                yield index, *dwell_window(contact, self.geometry)
        elif primitive is Primitive.TAP:
            for (index, contact), burst in zip(contacts, taps(only, self.geometry, rng), strict=True):
                yield index, *tap_window(contact, burst, self.geometry)
        else:
            tracks = press_tracks if primitive is Primitive.PRESS else slide_tracks
            track = tracks(only, self.geometry, rng)
            for k, (index, contact) in enumerate(contacts):
                yield index, *window_of(contact, track, k, self.geometry)

    def _goal(self, scene: PartScene, primitive: Primitive, pad: int, number: int) -> ProbeGoal | None:
        """As the agent's: a first look at the nominal place, then spots on the part that was seen."""
        view = scene.context.view
        if number == 0:
            return ProbeGoal(Primitive.LOOK, scene.nominal_m)
        if view is None or not view.found or view.touching:
            return None
        return SpotChooser(view, scene.history).goal(primitive, pad)


def _padded(data: PerceptionData, probes: int) -> PerceptionData:
    """The same with room for all probes, so that shards fit together."""
    missing = probes - data.primitive.shape[1]
    if missing:
        data.primitive = np.pad(data.primitive, ((0, 0), (0, missing)), constant_values=-1)
        data.values = {
            m: np.pad(v, ((0, 0), (0, missing), (0, 0)), constant_values=np.nan) for m, v in data.values.items()
        }
        data.reliability = {m: np.pad(r, ((0, 0), (0, missing))) for m, r in data.reliability.items()}
    return data


def origin_of(seed: int, mix: str) -> dict[str, object]:
    """What a data set depends on; part `i` is `part_of(seed, i, mix)`."""
    return {
        "generator": "palpate_sim.training.generate",
        "generator_version": GENERATOR_VERSION,
        "feature_version": FEATURE_VERSION,
        "randomisation_hash": randomisation_hash(),
        "seed": seed,
        "mix": mix,
        "sequence": [f"{primitive.name.lower()}{pad}" for primitive, pad in SEQUENCE],
        "parts_per_device": PARTS_PER_DEVICE,
    }


_maker: ShardMaker | None = None


def _work(job: ShardJob) -> int:
    """Makes one shard in a worker; its file appears only when it is complete."""
    global _maker  # noqa: PLW0603 - one renderer per process
    if _maker is None:
        import cv2

        cv2.setNumThreads(1)
        _maker = ShardMaker()
    data = _maker.make(job)
    partial = job.path.with_suffix(f".{os.getpid()}.part")
    data.save(partial)
    partial.replace(job.path)
    return job.count


def _complete(job: ShardJob) -> bool:
    """A shard of the same origin is there already."""
    if not job.path.is_file():
        return False
    try:
        data = PerceptionData.load(job.path)
    except DataError:
        return False
    same = json.loads(json.dumps(origin_of(job.seed, job.mix)))
    return len(data) == job.count and data.origin == same


def generate(
    n_parts: int, seed: int, workers: int = 2, out: Path | str = "perception.npz",
    progress: Progress | bool = True, mix: str = "mix",
) -> PerceptionData:  # fmt: skip
    """Draws parts and devices, probes every part, and writes the features of all probes.

    Shards are kept in a folder beside `out` until it is written; a run that was stopped goes on where it was.

    Args:
        n_parts: number of parts.
        seed: of everything; parts do not depend on the number of parts or workers.
        workers: processes.
        out: `.npz` in the layout of `PerceptionData`.
        progress: a bar on the terminal, or a function of parts done and parts in all.
        mix: shares of conditions, `mix` or `hard`.

    Returns:
        what was written.

    Raises:
        ConfigError: no parts, no workers, or an unknown mix.
    """
    if n_parts < 1 or workers < 1:
        raise ConfigError(f"{n_parts} parts with {workers} workers: at least 1 of each is needed")
    if mix not in CONDITION_MIX:
        raise ConfigError(f"mix {mix!r} is unknown; known are {', '.join(CONDITION_MIX)}")
    out = Path(out)
    folder = out.with_name(f"{out.stem}_shards")
    folder.mkdir(parents=True, exist_ok=True)
    jobs = [
        ShardJob(seed, first, min(SHARD_PARTS, n_parts - first), mix, folder / f"shard_{first:07d}.npz")
        for first in range(0, n_parts, SHARD_PARTS)
    ]
    waiting = [job for job in jobs if not _complete(job)]
    done = n_parts - sum(job.count for job in waiting)
    with _reporter(progress) as report:
        report(done, n_parts)
        for count in _run(waiting, min(workers, max(len(waiting), 1))):
            done += count
            report(done, n_parts)
    data = PerceptionData.concatenate([PerceptionData.load(job.path) for job in jobs])
    partial = out.with_suffix(".part")
    data.save(partial)
    partial.replace(out)
    for job in jobs:
        job.path.unlink()
    if not any(folder.iterdir()):
        folder.rmdir()
    return data


def _run(jobs: list[ShardJob], workers: int) -> Iterator[int]:
    if workers == 1:
        yield from map(_work, jobs)
        return
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        yield from pool.imap_unordered(_work, jobs)


class _reporter:  # noqa: N801 - a context manager used like a function
    """Calls a function, shows a bar, or does nothing."""

    def __init__(self, progress: Progress | bool) -> None:
        self._progress = progress

    def __enter__(self) -> Progress:
        if callable(self._progress):
            return self._progress
        if not self._progress:
            return lambda done, total: None
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn, TimeRemainingColumn

        self._bar = Progress(
            "generating parts", BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn()
        )
        self._bar.start()
        task = self._bar.add_task("parts")
        return lambda done, total: self._bar.update(task, completed=done, total=total)

    def __exit__(self, *_: object) -> None:
        if hasattr(self, "_bar"):
            self._bar.stop()
