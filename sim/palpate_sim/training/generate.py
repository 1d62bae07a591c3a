"""Training data for perception: many parts, each probed in every way, through the sensors of the full cell.

Pictures come from the cell's renderer without the arm, everything else from the same physics; windows are cut as the
cell cuts them, goals chosen and features extracted by the agent's own code. What is left out: the arm's dynamics,
parts that move under the tool or slip in the hand, and parts that touch each other.

Parts, their surfaces and their rooms are those that the batched cell draws for the same seed and number (`draw_set`).

    generate(20_000, seed=1, workers=2, out=Path("perception.npz"))
"""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from palpate_agents.encoders.features import FEATURE_VERSION, FeatureConfig, extract
from palpate_agents.errors import ConfigError, DataError
from palpate_agents.observation import Primitive, ProbeExecution, ProbeFeatures, ProbeGoal, ProbeWindows
from palpate_agents.probing.spots import SpotChooser
from palpate_sim.keyed import keys_of, uniform
from palpate_sim.library import placement
from palpate_sim.objects import AMBIENT_C, Part, PartBatch, draw_devices, draw_parts
from palpate_sim.planning import Planner
from palpate_sim.randomisation import CONDITION_MIX, randomisation_hash
from palpate_sim.rendering import PartRenderer
from palpate_sim.training.dwell_windows import dwell_window
from palpate_sim.training.mark_windows import SURFACE_PRIMITIVES, leave_marks, surface_window
from palpate_sim.training.perception_data import PerceptionData
from palpate_sim.training.scene_of_part import Hit, PartScene
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

GENERATOR_VERSION = 4
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
    (Primitive.WIPE, 0),
    (Primitive.LOOK, 0),
    (Primitive.SCRATCH, 0),
    (Primitive.LOOK, 0),
)
"""Primitive and pad, in the order done. The first look takes its spectrum where the part is believed to lie, the others
close to a spot: the best one on the part, then what was wiped, then what was scratched."""

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
    """Parts `first` to `first + count - 1` of a data set.

    Attributes:
        settled: each part lies where its geometry lies in the part library instead of anywhere.
    """

    seed: int
    first: int
    count: int
    mix: str
    path: Path
    settled: bool = False


@dataclass
class ProbedScene:
    """A part after its probes.

    Attributes:
        scene: the part, its place and devices.
        features: of each probe that was done.
        goals, hits: what was wanted, and what was met (None for a look, a lift or a miss), of the same probes.
        numbers: their places in SEQUENCE.
    """

    scene: PartScene
    features: list[ProbeFeatures] = field(default_factory=list)
    goals: list[ProbeGoal] = field(default_factory=list)
    hits: list[Hit | None] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)


def truth_of(part: Part) -> list[float]:
    """Values of `PROPERTY_NAMES`."""
    return [
        float(np.log10(part.effusivity_w_s05_m2k)),
        part.restitution,
        float(np.log10(part.indentation_modulus_pa)),
        float(np.log10(part.density_kg_m3)),
        part.friction * part.friction_factor,
    ]


def draw_set(seed: int, indices: Sequence[int] | range, mix: str = "mix") -> tuple[PartBatch, NDArray[np.float64]]:
    """Parts of a data set and (N,) temperatures of their rooms, as the batched cell draws them.

    Args:
        seed: of the data set.
        indices: numbers of the parts.
        mix: shares of conditions.
    """
    keys = keys_of(seed, np.asarray(indices))
    ambient_c = AMBIENT_C + AMBIENT_SPREAD_K * (2.0 * uniform(keys, "ambient") - 1.0)
    return draw_parts(keys, mix=mix, ambient_c=ambient_c), ambient_c


def part_of(seed: int, index: int, mix: str = "mix") -> tuple[Part, float]:
    """Part number `index` of a data set and its room's temperature: any part can be drawn again."""
    batch, ambient_c = draw_set(seed, [index], mix)
    return batch.part(0, index), float(ambient_c[0])


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
        done = self.probe(job)
        scenes, features = [one.scene for one in done], [one.features for one in done]
        origin = origin_of(job.seed, job.mix)
        labels = [(f"{job.seed}_{scene.part.part_id}", scene.part.material, scene.part.condition) for scene in scenes]
        properties = np.array([truth_of(scene.part) for scene in scenes])
        data = PerceptionData.of(labels, features, PROPERTY_NAMES, properties, self.config, origin)
        return _padded(data, len(SEQUENCE))

    def probe(self, job: ShardJob) -> list[ProbedScene]:
        """Does all probes on the shard's parts."""
        rng = np.random.default_rng([job.seed, 2, job.first])
        done = [ProbedScene(self._scene(job, job.first + k)) for k in range(job.count)]
        for number, (primitive, pad) in enumerate(SEQUENCE):
            goals = [self._goal(one.scene, primitive, pad, number) for one in done]
            for index, hit, execution, windows in self._probe([one.scene for one in done], goals, primitive, rng):
                scene, goal = done[index].scene, goals[index]
                assert goal is not None
                if hit is not None:
                    leave_marks(Contact(scene, goal, hit), execution)
                scene.context = scene.context.after(execution, windows)
                done[index].features.append(extract(execution, windows, scene.context))
                scene.history.append(execution)
                done[index].goals.append(goal)
                done[index].hits.append(hit)
                done[index].numbers.append(number)
        return done

    def _scene(self, job: ShardJob, index: int) -> PartScene:
        part, ambient_c = part_of(job.seed, index, job.mix)
        devices = draw_devices(np.random.default_rng([job.seed, 3, index // PARTS_PER_DEVICE]))
        rng = np.random.default_rng([job.seed, 4, index])
        place = placement(part.geometry_class, part.geometry_id) if job.settled else None
        return PartScene.of(part, devices, ambient_c, self.renderer, rng, self.config, place)

    def _probe(
        self, scenes: list[PartScene], goals: list[ProbeGoal | None], primitive: Primitive, rng: np.random.Generator
    ) -> Iterator[tuple[int, Hit | None, ProbeExecution, ProbeWindows]]:
        """Windows of one probe on every part that offers a place for it."""
        if primitive in (Primitive.LOOK, Primitive.LIFT):
            make = look_window if primitive is Primitive.LOOK else lift_window
            for index, goal in enumerate(goals):
                if goal is not None:
                    yield index, None, *make(scenes[index], goal, self.geometry)
            return
        contacts: list[tuple[int, Contact]] = []
        for index, goal in enumerate(goals):
            if goal is None:
                continue
            hit = scenes[index].meet(goal)
            if hit is None:
                yield index, None, *missed(scenes[index], goal)
            else:
                contacts.append((index, Contact(scenes[index], goal, hit)))
        windows = self._touch(primitive, [contact for _, contact in contacts], rng) if contacts else iter(())
        for (index, contact), (execution, window) in zip(contacts, windows, strict=True):
            yield index, contact.hit if execution.contact_time_ns else None, execution, window

    def _touch(
        self, primitive: Primitive, contacts: list[Contact], rng: np.random.Generator
    ) -> Iterator[tuple[ProbeExecution, ProbeWindows]]:
        if primitive is Primitive.DWELL or primitive in SURFACE_PRIMITIVES:
            one = dwell_window if primitive is Primitive.DWELL else surface_window
            for contact in contacts:
                yield one(contact, self.geometry)
        elif primitive is Primitive.TAP:
            for contact, burst in zip(contacts, taps(contacts, self.geometry, rng), strict=True):
                yield tap_window(contact, burst, self.geometry)
        else:
            tracks = press_tracks if primitive is Primitive.PRESS else slide_tracks
            track = tracks(contacts, self.geometry, rng)
            for k, contact in enumerate(contacts):
                yield window_of(contact, track, k, self.geometry)

    def _goal(self, scene: PartScene, primitive: Primitive, pad: int, number: int) -> ProbeGoal | None:
        """As the agent's: a first look at the nominal place, then spots on the part that was seen."""
        view = scene.context.view
        if number == 0:
            return ProbeGoal(Primitive.LOOK, scene.nominal_m)
        if view is None or not view.found or view.touching:
            return None
        chooser = SpotChooser(view, scene.history)
        if primitive in SURFACE_PRIMITIVES:
            slide = chooser.goal(Primitive.SLIDE)
            return None if slide is None else replace(slide, primitive=primitive)
        last = scene.history[-1]
        if primitive is Primitive.LOOK and last.primitive in SURFACE_PRIMITIVES and last.contact_time_ns:
            return _along(last, chooser.goal(Primitive.SLIDE))
        return chooser.goal(primitive, pad)


def _along(last: ProbeExecution, slide: ProbeGoal | None) -> ProbeGoal:
    """A look at the middle of what was wiped or scratched; `slide` is the goal that it followed."""
    angle = 0.0 if slide is None else slide.slide_angle_rad
    x, y, z = last.contact_point_m
    half, normal = 0.5 * last.slide_distance_m, last.contact_normal
    across, along = half * float(np.cos(angle)), half * float(np.sin(angle))
    height = z - (across * normal[0] + along * normal[1]) / normal[2]
    return ProbeGoal(Primitive.LOOK, (x + across, y + along, height), normal)


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
