"""Raw windows of parts that are each probed in every way: the reference for the batched cell's features.

Pictures come from the cell's renderer without the arm, everything else from the same physics; windows are cut as the
cell cuts them, goals chosen and features extracted by the agent's own code. What is left out: the arm's dynamics,
parts that move under the tool or slip in the hand, and parts that touch each other. Parts, surfaces, rooms and devices
are those that the batched cell has for the same keys (`draw_set`).

    with WindowMaker() as maker:
        done = maker.probe(seed=1, first=0, count=50)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from palpate_agents.encoders.features import FeatureConfig, extract
from palpate_agents.observation import Primitive, ProbeExecution, ProbeFeatures, ProbeGoal, ProbeWindows
from palpate_agents.probing.spots import SpotChooser
from palpate_sim.devices import DeviceBatch, draw_device_batch
from palpate_sim.keyed import combine, keys_of, uniform
from palpate_sim.library import placement
from palpate_sim.objects import AMBIENT_C, PartBatch, draw_parts
from palpate_sim.planning import Planner
from palpate_sim.rendering import PartRenderer
from palpate_sim.training.dwell_windows import dwell_window
from palpate_sim.training.mark_windows import SURFACE_PRIMITIVES, leave_marks, surface_window
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

AMBIENT_SPREAD_K = 3.0
"""Rooms differ: uniform around the cell's 22 degrees."""


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


def draw_set(
    seed: int, indices: Sequence[int] | range, mix: str = "mix"
) -> tuple[PartBatch, DeviceBatch, NDArray[np.float64]]:
    """Some parts of a data set, their sets of devices, and (N,) temperatures of their rooms.

    Args:
        seed: of the data set.
        indices: numbers of the parts.
        mix: shares of conditions.
    """
    keys = keys_of(seed, np.asarray(indices))
    ambient_c = AMBIENT_C + AMBIENT_SPREAD_K * (2.0 * uniform(keys, "ambient") - 1.0)
    return draw_parts(keys, mix=mix, ambient_c=ambient_c), draw_device_batch(combine(keys, "devices")), ambient_c


class WindowMaker:
    """Probes parts; holds what is costly to set up. Close it."""

    def __init__(self, config: FeatureConfig | None = None) -> None:
        planner = Planner()
        self.geometry = ToolGeometry.of(planner)
        self.renderer = PartRenderer(planner.model)
        self.config = config or FeatureConfig()

    def __enter__(self) -> WindowMaker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the renderer."""
        self.renderer.close()

    def probe(self, seed: int, first: int, count: int, mix: str = "mix", *, settled: bool = False) -> list[ProbedScene]:
        """Does all probes of SEQUENCE on parts `first` to `first + count - 1` of a data set.

        Args:
            seed: of the data set.
            first: number of the first part.
            count: of parts.
            mix: shares of conditions.
            settled: each part lies where its geometry lies in the part library, instead of anywhere.
        """
        rng = np.random.default_rng([seed, 2, first])
        done = [ProbedScene(scene) for scene in self._scenes(seed, first, count, mix, settled)]
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

    def _scenes(self, seed: int, first: int, count: int, mix: str, settled: bool) -> Iterator[PartScene]:
        batch, devices, ambient_c = draw_set(seed, range(first, first + count), mix)
        for row in range(count):
            part = batch.part(row, first + row)
            place = placement(part.geometry_class, part.geometry_id) if settled else None
            rng = np.random.default_rng([seed, 4, first + row])
            yield PartScene.of(part, devices.draw(row), float(ambient_c[row]), self.renderer, rng, self.config, place)

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
