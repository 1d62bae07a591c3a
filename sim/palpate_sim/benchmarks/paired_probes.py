"""The probes of the data generator once more through the batched functions: same parts, places, devices and actions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palpate_agents.encoders.contact_change import TOUCHES
from palpate_agents.encoders.visual import features_of_view
from palpate_agents.observation import Modality, Outcome, Primitive
from palpate_sim.batch import heat, light, touch, vision
from palpate_sim.batch.contact_memory import ContactMemory
from palpate_sim.batch.features import Features, TouchResult
from palpate_sim.batch.grids import seen_axis
from palpate_sim.batch.heat import PadMemory
from palpate_sim.batch.sizes import seen_size
from palpate_sim.devices import DeviceBatch
from palpate_sim.keyed import keys_of
from palpate_sim.library import LibraryRows, PartLibrary
from palpate_sim.objects import PartBatch
from palpate_sim.sensors.heat_contact import PAD_RADIUS_M
from palpate_sim.sensors.spectrum import spot_radius_m
from palpate_sim.surface import dent, draw_surface_maps, scrape, spot_batch, whole_part, wipe
from palpate_sim.training.generate import SEQUENCE, ProbedScene
from palpate_sim.training.spectrum_windows import fibre_hit
from palpate_sim.training.touch_windows import BALL_SPOT_M, PRESS_HOLD_S, Contact, ToolGeometry

Array = NDArray[np.floating]

WAY_PLACES = 9
"""Places along a slide at which the surface is looked at."""


@dataclass
class _Places:
    """Where a probe met the parts: (n, 2) uv and end m, (n,) tilt rad, distance m (fibre), there (bool)."""

    uv: Array
    end: Array
    tilt: Array
    distance: Array
    there: NDArray[np.bool_]


@dataclass
class PairedProbes:
    """N parts that were probed by the generator.

    Attributes:
        done: parts with their probes.
        geometry: of the tools.
        batch, devices, ambient_c, rows: the same parts for the batched functions.
        number: (N,) of the parts in their data set.
        seed: of the batched noise.
    """

    done: Sequence[ProbedScene]
    geometry: ToolGeometry
    batch: PartBatch
    devices: DeviceBatch
    ambient_c: Array
    library: PartLibrary
    number: NDArray[np.int64]
    seed: int

    @staticmethod
    def of(
        done: Sequence[ProbedScene], geometry: ToolGeometry, library: PartLibrary, first: int, seed: int
    ) -> PairedProbes:
        """Parts `first` and on of a data set."""
        scenes = [one.scene for one in done]
        return PairedProbes(
            done, geometry, PartBatch.of([scene.part for scene in scenes]),
            DeviceBatch.of([scene.devices for scene in scenes]), np.array([scene.ambient_c for scene in scenes]),
            library, first + np.arange(len(scenes)), seed,
        )  # fmt: skip

    def pairs(self, probes: dict[str, tuple[int, Modality]]) -> dict[str, tuple[Any, ...]]:
        """Of each probe: number of the part, raw, batched and again batched features, both reliabilities.

        Args:
            probes: name -> place in SEQUENCE, modality. Parts that were not probed so are left out.
        """
        batched = [self._batched(repeat) for repeat in range(2)]
        found = {}
        for name, (number, modality) in probes.items():
            there = self._places(number).there
            if modality in (Modality.VISUAL, Modality.THERMAL) and SEQUENCE[number][0] is Primitive.LOOK:
                there = np.array([number in one.numbers for one in self.done])  # wherever the fibre looks
            raw, reliability = [], []
            for one, measured in zip(self.done, there, strict=True):
                if measured:
                    features = one.features[one.numbers.index(number)]
                    raw.append(features.values[modality])
                    reliability.append(features.reliability[modality])
            width = batched[0][number, modality].values.shape[1]
            first, second = (both[number, modality] for both in batched)
            found[name] = (
                self.number[there], np.reshape(np.array(raw, float), (-1, width)), first.values[there],
                second.values[there], np.array(reliability, float), first.reliability[there],
            )  # fmt: skip
        return found

    def _places(self, number: int) -> _Places:
        n = len(self.done)
        found = _Places(np.zeros((n, 2)), np.zeros((n, 2)), np.zeros(n), np.full(n, 0.01), np.zeros(n, bool))
        primitive = SEQUENCE[number][0]
        for row, one in enumerate(self.done):
            if number not in one.numbers:
                continue
            k = one.numbers.index(number)
            scene, goal, hit, execution = one.scene, one.goals[k], one.hits[k], one.features[k].execution
            assert execution is not None
            if primitive is Primitive.LIFT:
                found.there[row] = True
            elif primitive is Primitive.LOOK:
                sight = fibre_hit(scene, goal, self.geometry)
                if sight is None:  # beside the part
                    continue
                met, found.distance[row], found.tilt[row] = sight
                found.uv[row], found.there[row] = scene.place(met.point), True
            elif hit is not None and execution.outcome in (Outcome.SUCCEEDED, Outcome.FORCE_LIMIT):
                contact = Contact(scene, goal, hit)
                found.uv[row], found.there[row] = scene.place(hit.point), True
                found.end[row] = scene.place(hit.point + execution.slide_distance_m * contact.direction)
                found.tilt[row] = np.arccos(np.clip(contact.approach @ hit.normal, -1.0, 1.0))
        return found

    def _goal_values(self, number: int, field: str, default: float) -> Array:
        """(N,) field of the goals, the default where it is 0 or there was none."""
        values = np.full(len(self.done), default)
        for row, one in enumerate(self.done):
            if number in one.numbers:
                values[row] = getattr(one.goals[one.numbers.index(number)], field) or default
        return values

    def _batched(self, repeat: int) -> dict[tuple[int, Modality], Features]:
        """Features of all probes in the order done, the surface changing on the way."""
        limits, n = self.geometry.limits, len(self.done)
        batch, devices, maps = self.batch, self.devices, draw_surface_maps(self.batch)
        rows = self.library.rows_of(batch)
        volume_m3 = rows.seen_volume_m3
        memory, touched_s, contacts = PadMemory.fresh(n), np.full(n, np.nan), ContactMemory(n)
        zeros, found = np.zeros(n), {}
        view, extent_m = np.zeros((n, 8, 8, 8), np.float32), rows.seen_extent_m
        for number, (primitive, pad) in enumerate(SEQUENCE):
            keys = keys_of(self.seed * 1000 + 10 * number + repeat, self.number)
            at = self._places(number)
            ball = spot_batch(batch, maps, at.uv, BALL_SPOT_M)
            force = self._goal_values(number, "force_n", 0.0)
            result: TouchResult | None = None
            if primitive in TOUCHES:
                _remember(contacts, primitive, at, rows, view, extent_m)
            if primitive is Primitive.LOOK:
                extent_m, volume_m3 = seen_size(rows, batch.transparency, keys)
                view = vision.surface_view(batch, maps, rows, devices, keys, None, extent_m[:, 2])
                values = features_of_view(view, extent_m, volume_m3, contacts.change(slice(None), view, extent_m))
                found[number, Modality.VISUAL] = Features(np.asarray(values, float), zeros + 1.0)
                spot = spot_batch(batch, maps, at.uv, spot_radius_m(at.distance))
                found[number, Modality.SPECTRAL] = light.spectrum(spot, devices, at.distance, at.tilt, keys)
                found[number, Modality.THERMAL] = heat.look(whole_part(batch, maps), devices, self.ambient_c, keys)
            elif primitive is Primitive.DWELL:
                start_s, held_s = self._dwell_times(number)
                memory = memory.after(np.where(np.isfinite(start_s - touched_s), start_s - touched_s, 0.0))
                found[number, Modality.THERMAL], memory = heat.dwell(
                    spot_batch(batch, maps, at.uv, PAD_RADIUS_M), devices, np.full(n, pad),
                    self._goal_values(number, "dwell_s", limits.dwell_s), None, self.ambient_c, memory, keys, at.uv,
                )  # fmt: skip
                touched_s = start_s + held_s
            elif primitive is Primitive.LIFT:
                result = touch.lift(batch, devices, volume_m3, np.ones(n, bool), keys)
            elif primitive is Primitive.TAP:
                speed = np.minimum(
                    self._goal_values(number, "speed_m_s", limits.tap_speed_m_s), limits.tap_speed_max_m_s
                )
                result = touch.tap(ball, devices, speed, at.tilt, keys)
            elif primitive is Primitive.PRESS:
                hold = self._goal_values(number, "dwell_s", PRESS_HOLD_S)
                result = touch.press(ball, devices, force, hold, at.tilt, keys)
                dented = np.where(at.there, result.dent_m, 0.0)
                maps, _ = dent(batch, maps, at.uv, dented)
            elif primitive is Primitive.SLIDE:
                way = touch.friction_along(batch, maps, at.uv, at.end, WAY_PLACES)
                speed = self._goal_values(number, "speed_m_s", limits.slide_speed_m_s)
                length = self._goal_values(number, "slide_distance_m", limits.slide_m)
                result = touch.slide(ball, devices, force, speed, length, keys, way)
            else:
                act = wipe if primitive is Primitive.WIPE else scrape
                default = limits.wipe_force_n if primitive is Primitive.WIPE else limits.scratch_force_n
                after, _ = act(batch, maps, at.uv, at.end, force_n=np.where(force > 0.0, force, default))
                maps = maps.with_rows(at.there, after.rows(at.there))
            if result is not None:
                found[number, Modality.TACTILE] = result.features
        return found

    def _dwell_times(self, number: int) -> tuple[Array, Array]:
        """(N,) s when the pad touched on the part's clock, and how long; NaN where it did not."""
        times = np.full((len(self.done), 2), np.nan)
        for row, one in enumerate(self.done):
            if number in one.numbers:
                execution = one.features[one.numbers.index(number)].execution
                if execution is not None and execution.contact_time_ns:
                    times[row] = 1e-9 * execution.contact_time_ns, execution.dwell_s
        return times[:, 0], times[:, 1]


def _remember(
    contacts: ContactMemory, primitive: Primitive, at: _Places, rows: LibraryRows, view: NDArray[np.float32],
    extent_m: Array,
) -> None:  # fmt: skip
    """Where the parts are touched, in the frame of the seen box."""
    met = np.flatnonzero(at.there)
    axis = seen_axis(rows)[met]
    place = _turned(at.uv[met] - rows.seen_center_m[met], axis)
    way = _turned(at.end[met] - at.uv[met], axis) * (primitive not in (Primitive.PRESS, Primitive.TAP))
    contacts.remember(met, place, way, view[met], extent_m[met])


def _turned(vectors: Array, axis_rad: Array) -> Array:
    """(n, 2) vectors of the part's frame along the seen axis (n,) and across it."""
    cos, sin, x, y = np.cos(axis_rad), np.sin(axis_rad), vectors[:, 0], vectors[:, 1]
    return np.stack([cos * x + sin * y, cos * y - sin * x], axis=1)
