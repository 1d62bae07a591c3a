"""Hundreds of sorting cells at once, one part in each: a probe of all of them gives features, seconds and damage.

No streams and no time steps: the features come from the physics of the full cell in closed form. Surfaces, warm pads
and arms have a memory. Everything follows from the seed, the number of the cell and the number of the episode; a cell
alone gives the same as among a thousand.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from palpate_agents.encoders.features import feature_names
from palpate_agents.encoders.visual import features_of_view
from palpate_agents.observation import Modality, Outcome, Primitive
from palpate_agents.probing.decoder import GoalArrays, SeenPart
from palpate_agents.probing.spot_quality import level_ground
from palpate_sim.backend import some
from palpate_sim.batch import heat, light, touch
from palpate_sim.batch.checks import check_given, check_goals, check_mask, seeds_of, whole_number
from palpate_sim.batch.config import BatchConfig
from palpate_sim.batch.contact_memory import ContactMemory
from palpate_sim.batch.features import Features, TouchResult
from palpate_sim.batch.grids import SeenGrid, seen_axis
from palpate_sim.batch.pad_memory import PadMemory
from palpate_sim.batch.results import ProbeResult
from palpate_sim.batch.sizes import seen_size
from palpate_sim.batch.targets import base_places, part_frame, targets, way_of
from palpate_sim.batch.timing import LOOK_STILL_S, ArmState, Spent, probe_seconds
from palpate_sim.batch.vision import seen_grid, surface_means, surface_view
from palpate_sim.batch.whole import Size, ThermalCamera, Warm, emissivity_of
from palpate_sim.devices import DeviceBatch
from palpate_sim.keyed import combine, keys_of
from palpate_sim.library import LibraryRows, PartLibrary
from palpate_sim.motion import MotionLimits
from palpate_sim.objects import PartBatch
from palpate_sim.sensors.spectrum import spot_radius_m
from palpate_sim.surface import GRID, SurfaceMaps, dent, draw_surface_maps, scrape, spot_batch, wipe
from palpate_sim.surface_actions import BLADE_WIDTH_M

__all__ = ["BatchConfig", "BatchedCell", "ProbeResult"]

Floats = NDArray[np.float64]
Rows = Any
"""(k,) numbers of cells, or `slice(None)` for all."""

LIMITS = MotionLimits()
_LOOK, _DWELL, _LIFT = int(Primitive.LOOK), int(Primitive.DWELL), int(Primitive.LIFT)
"""Whole numbers: an array compares with them in a fifth of the time."""
_FELT = np.array([int(p) for p in (Primitive.PRESS, Primitive.TAP, Primitive.SLIDE)])
SPOT_RADIUS_M = np.array([0.002, 5e-4, 5e-4, 5e-4, 0.006, 0.0, 0.0, 0.0, 0.0])
"""What a sensor covers, by primitive, 0: nothing; the fibre's spot grows with its distance."""
WAY_PLACES = 5
"""Along a slide at which the surface is looked at."""
DRAWN_ON = ("dimensions_m", "coat_um", "label_um", "yield_pa")
LAYERS = ("coat_um", "label_um", "film_um", "dirt_level")
RADIATING = ("dimensions_m", "shape", "emissivity", "coat_emissivity", *LAYERS)
"""What of parts a wipe or a scratch needs, and their mean emissivity."""
MARK_M, MARK_M2 = 50e-6, 90e-6
"""Damage 1: a mark so deep, or so much coat or label taken off (a scratch of 15 mm)."""


class BatchedCell:
    """N cells. `reset` lays in parts, `probe` probes all of them.

    Attributes:
        parts, devices, maps: truth of each cell.
        view: (N, 8, 8, C) float32, surface as last seen; extent_m: (N, 3) of the seen box.
        episode, probes: (N,) int64, parts so far, and probes on this part.
        elapsed_s: (N,) since the part was laid in.
        held: (N,) bool, the hand holds the part.
        ambient_c: (N,) of the rooms.
    """

    def __init__(
        self, cells: int, seed: int | list[int], config: BatchConfig | None = None, library: PartLibrary | None = None,
        parts: PartBatch | None = None, devices: DeviceBatch | None = None,
    ) -> None:  # fmt: skip
        """Lays in the first parts.

        Args:
            cells: N, at least 1.
            seed: of everything, or one for each cell: then each has the parts that it has alone with its seed.
            config: which parts.
            library: None: the cached one, built if need be.
            parts: these instead of drawn ones, one for each cell.
            devices: likewise.

        Raises:
            ConfigError: no cell, no whole seed, or not one part or set of devices for each cell.
        """
        self.cells = whole_number("the number of cells", cells, 1)
        check_given("parts", parts, cells)
        check_given("devices", devices, cells)
        self.config = config or BatchConfig()
        self.library = library or PartLibrary.load_or_build()
        self.names = feature_names(self.config.features)
        self._widths = {modality: len(names) for modality, names in self.names.items()}
        self._all = np.arange(cells)
        self.episode = np.zeros(cells, np.int64)
        self.reseed(seed)
        self.episode[:] = 0
        self.probes = np.zeros(cells, np.int64)
        self.elapsed_s = np.zeros(cells)
        self.held = np.zeros(cells, bool)
        self.key = self._cell_keys.copy()
        self._stale, self._covered = np.ones(cells, bool), np.zeros(cells, bool)
        self._means = np.zeros((cells, 6, 64), np.float32)
        self._lit, self._body = np.zeros(cells, bool), np.zeros((cells, 0))  # spectra of bodies that are known
        self._emissivity, self._spread = np.ones(cells), np.zeros(cells)
        self.ambient_c = np.zeros(cells)
        self._memory, self._contacts = PadMemory.fresh(cells), ContactMemory(cells)
        self._arm = ArmState.home(cells)
        drawn = self._drawn(self._all, parts, devices)
        self.parts, self.devices, self.maps, self.rows, self._grid, self._axis = drawn
        self.extent_m = self.rows.seen_extent_m.copy()
        self.volume_m3 = self.rows.seen_volume_m3.copy()
        self.view = np.zeros((cells, 8, 8, 8), np.float32)
        self._ground = np.zeros((cells, 8, 8))
        self.overview = self._fresh(slice(None))

    @property
    def seen(self) -> SeenPart:
        """What the decoder needs."""
        return SeenPart(self.view, self.extent_m, self._ground)

    def reseed(self, seed: int | list[int]) -> None:
        """Begin anew with another seed, or one for each cell; `reset` lays in its first parts.

        Raises:
            ConfigError: no whole number, or not one for each.
        """
        self.seed = seeds_of(seed, self.cells)
        if isinstance(self.seed, list):
            self._cell_keys = np.concatenate([keys_of(own, 0) for own in self.seed])
        else:
            self._cell_keys = keys_of(self.seed, self.config.first_cell + self._all)
        self.episode[:] = -1

    def reset(
        self, mask: NDArray[np.bool_] | None = None, parts: PartBatch | None = None, devices: DeviceBatch | None = None
    ) -> ProbeResult:
        """New parts, and a first picture of them from the camera.

        Args:
            mask: (N,) bool, in these cells; None: in all.
            parts: these instead of drawn ones, one for each cell of the mask.
            devices: likewise.

        Returns:
            that look (no spectrum), in rows of all cells; those of the others are empty.

        Raises:
            ConfigError: the mask is not (N,) bool, or not one part or set of devices for each of its cells.
        """
        index: Rows = slice(None)
        if mask is not None and not check_mask(mask, self.cells).all():
            index = np.flatnonzero(mask)
        places = self._all[index]
        check_given("parts", parts, len(places))
        check_given("devices", devices, len(places))
        if len(places) == 0:
            return ProbeResult.empty(np.full(self.cells, _LOOK), self._widths)
        self.episode[index] += 1
        drawn = self._drawn(places, parts, devices)
        if isinstance(index, slice):
            self.parts, self.devices, self.maps, self.rows, self._grid, self._axis = drawn
        else:
            for name, array in self.parts.arrays.items():
                array[index] = drawn[0].arrays[name]
            for name, array in self.devices.arrays.items():
                array[index] = drawn[1].arrays[name]
            self.maps.assign(index, drawn[2])
            self.rows.assign(index, drawn[3])
            self._grid.assign(index, drawn[4])
            self._axis[index] = drawn[5]
        return self._fresh(index)

    def _drawn(
        self, places: NDArray[np.int64], parts: PartBatch | None, devices: DeviceBatch | None
    ) -> tuple[PartBatch, DeviceBatch, SurfaceMaps, LibraryRows, SeenGrid, Floats]:
        self.key[places] = keys = combine(self._cell_keys[places], self.episode[places])
        self.ambient_c[places] = rooms = self.config.draw_rooms(keys)
        parts = self.config.draw_parts(keys, rooms) if parts is None else parts
        devices = self.config.draw_devices(keys) if devices is None else devices
        parts = PartBatch({name: np.array(array) for name, array in parts.arrays.items()})
        maps, rows = draw_surface_maps(parts), self.library.rows_of(parts)
        return parts, devices, maps, rows, seen_grid(parts, rows, devices), seen_axis(rows)

    def _fresh(self, index: Rows) -> ProbeResult:
        """State of new parts, and the overview of them."""
        count = len(self._all[index])
        self.probes[index] = 0
        self.held[index] = False
        self._stale[index], self._lit[index], self._contacts.touched[index] = True, False, False
        self._covered[index] = sum(self.parts.arrays[name][index] for name in LAYERS) > 0.0
        for mine, fresh in zip(self._memory, PadMemory.fresh(count), strict=True):
            mine[index] = fresh
        for own, home in zip(self._arm, ArmState.home(count), strict=True):
            own[index] = home
        result = ProbeResult.empty(np.full(self.cells, _LOOK), self._widths)
        keys = combine(self.key[index], "overview")
        self._pictures(result, index, keys)
        result.seconds[index] = self.elapsed_s[index] = LOOK_STILL_S
        return result

    def probe(self, goals: GoalArrays, decoded: bool = False) -> ProbeResult:
        """Probe the part of every cell.

        Args:
            goals: one for each cell, e.g. of `decoder.decode(actions, cell.seen)`.
            decoded: they are, and need no check.

        Raises:
            ConfigError: not one goal per cell, a primitive that a batched cell does not have, or senseless numbers.
        """
        kind, counts = goals.primitive, check_goals(goals, self.cells, decoded)
        result = ProbeResult.empty(kind, self._widths)
        keys = combine(self.key, self.probes)
        uv = part_frame(self.rows, self._axis, goals.point_m)
        goals, target = targets(goals, uv, self._axis, self.rows, self.parts.dimensions_m)
        ok, outcome = target.reached, target.outcome  # a hand that holds a part can still look, at an empty table
        if some(self.held):
            refused = self.held & (kind != _LOOK)
            ok, outcome = ok & ~refused, np.where(refused, int(Outcome.ABORTED), outcome)
        result.outcome[:] = outcome
        places = base_places(self.rows, self._axis, uv, target.height_m, self.extent_m[:, 1])
        spent = probe_seconds(goals, places, self._arm, ok)
        self._arm = spent.arm
        result.seconds[:] = spent.total_s
        measured = ok & (outcome == 0)
        spot = self.parts
        radius = SPOT_RADIUS_M[kind]
        if some(radius):
            radius = np.where(kind == _LOOK, spot_radius_m(goals.standoff_m), radius) if counts[_LOOK] else radius
            spot = spot_batch(
                spot, self.maps, uv, radius, optics=False, radiation=bool(counts[_DWELL]), stiffness=some(counts[_FELT])
            )
        waited = np.where(kind == _DWELL, spent.before_s, spent.total_s) if counts[_DWELL] else spent.total_s
        self._memory = self._memory.after(waited)
        for number in counts.nonzero()[0].tolist():
            chosen = measured & (kind == number)
            count = np.count_nonzero(chosen)
            if count:
                index: Rows = slice(None) if count == self.cells else np.flatnonzero(chosen)
                if number == _LOOK:
                    self._look(index, goals, spot, ~target.there, keys, result)
                else:
                    self._one(Primitive(number), index, goals, spot, uv, spent, keys, result)
        if counts[_LIFT]:
            self.held |= measured & (kind == _LIFT)
        self.probes += 1
        self.elapsed_s += result.seconds
        return result

    def _look(
        self, index: Rows, goals: GoalArrays, spots: PartBatch, beside: NDArray[np.bool_], keys: NDArray[np.int64],
        result: ProbeResult,
    ) -> None:  # fmt: skip
        """Pictures, and a spectrum of the part, or of the table beside it or where it lay before it was lifted."""
        rows = self._all[index]
        held = self.held[rows]
        if not some(held):
            self._pictures(result, index, combine(keys[index], "look"))
        elif not held.all():
            self._pictures(result, rows[~held], combine(keys[rows[~held]], "look"))
        table, standoff = beside[index] | held, goals.standoff_m[index]
        if some(table):
            standoff = standoff + self.extent_m[index, 2] * table
        spot = spots if isinstance(index, slice) else spots.rows(index, (*light.OPTICS, *light.COVERS))
        devices = self.devices if isinstance(index, slice) else self.devices.rows(index)
        tilt = np.abs(goals.tilt_rad[index])
        unlit = rows[~self._lit[rows]]
        if len(unlit):
            body = light.body_spectrum(
                self.parts.rows(unlit, light.OPTICS), self.devices.rows(unlit), self.config.features
            )
            if self._body.shape[1] != body.shape[1]:
                self._body = np.zeros((self.cells, body.shape[1]))
            self._body[unlit], self._lit[unlit] = body, True
        seen = light.spectrum(
            spot, devices, standoff, tilt, keys[index], self.config.features, table, self._body[index]
        )
        result.store(Modality.SPECTRAL, index, seen)

    def _one(
        self, kind: Primitive, index: Rows, goals: GoalArrays, spots: PartBatch, uv: Floats, spent: Spent,
        keys: NDArray[np.int64], result: ProbeResult,
    ) -> None:  # fmt: skip
        """One touch in the cells that do it."""
        whole = isinstance(index, slice)
        if not whole:
            goals, keys = goals.rows(index), keys[index]
        self._contacts.touch(kind, index, goals, self.view, self.extent_m)
        if kind in (Primitive.WIPE, Primitive.SCRATCH):
            self._draw_tool(kind, index, goals, uv[index], result)
            return
        spot = spots if whole else spots.rows(index)
        devices = self.devices if whole else self.devices.rows(index)
        if kind is Primitive.DWELL:
            memory, ambient_c = self._memory.rows(index), self.ambient_c[index]
            felt, memory = heat.dwell(
                spot, devices, goals.pad_index, goals.dwell_s, None, ambient_c, memory, keys, uv[index]
            )
            after = np.maximum(spent.total_s[index] - spent.before_s[index] - goals.dwell_s, 0.0)
            for mine, new in zip(self._memory, memory.after(after), strict=True):
                mine[index] = new
            result.store(Modality.THERMAL, index, felt)
            if self.config.inductive:
                eddy = light.inductive_touch(*self._bare(index), uv[index], devices, keys)
                result.store(Modality.INDUCTIVE, index, eddy)
            result.max_force_n[index] = goals.force_n
            # The arm has gone home: the last picture shows the part again, in the box that is known.
            view = self._surface(index, self.extent_m[index, 2], combine(keys, "after"))
            self.view[index], self._ground[index] = view, level_ground(view, self.extent_m[index])
        else:
            self._felt(result, index, self._touch(kind, spot, devices, goals, keys, index, uv[index]), uv)

    def _touch(
        self, kind: Primitive, spot: PartBatch, devices: DeviceBatch, goals: GoalArrays, keys: NDArray[np.int64],
        index: Rows, start: Floats,
    ) -> TouchResult:  # fmt: skip
        tilt = np.abs(goals.tilt_rad)
        if kind is Primitive.PRESS:
            return touch.press(spot, devices, goals.force_n, goals.dwell_s, tilt, keys)
        if kind is Primitive.TAP:
            return touch.tap(spot, devices, goals.speed_m_s, tilt, keys)
        if kind is Primitive.SLIDE:
            end = start + way_of(goals, self._axis[index])
            way = touch.friction_along(*self._bare(index), start, end, WAY_PLACES)
            return touch.slide(spot, devices, goals.force_n, goals.speed_m_s, goals.slide_m, keys, way)
        known = np.ones(len(keys), bool)
        return touch.lift(spot, devices, self.volume_m3[index], known, keys)

    def _bare(self, index: Rows, names: tuple[str, ...] = ()) -> tuple[PartBatch, SurfaceMaps]:
        """Parts of some cells, or some of their fields, and their surfaces; all cells as they are, without copies."""
        if isinstance(index, slice) or len(index) == self.cells:
            return self.parts, self.maps
        return self.parts.rows(index, names), self.maps.rows(index)

    def _felt(self, result: ProbeResult, index: Rows, felt: TouchResult, uv: Floats) -> None:
        result.store(Modality.TACTILE, index, felt.features)
        result.max_force_n[index] = felt.max_force_n
        result.outcome[index] = felt.outcome
        depth = felt.dent_m
        if some(depth > 0.0):
            rows = self._all[index][depth > 0.0]
            maps, mark = dent(*self._bare(rows), uv[rows], depth[depth > 0.0])
            self._changed(rows, maps, mark, result)

    def _draw_tool(self, kind: Primitive, index: Rows, goals: GoalArrays, start: Floats, result: ProbeResult) -> None:
        """A wipe or a scratch."""
        parts, maps = self._bare(index, DRAWN_ON)
        end = start + way_of(goals, self._axis[index])
        force = np.minimum(goals.force_n, LIMITS.slide_share * LIMITS.force_limit_n)
        if kind is Primitive.WIPE:
            after, mark = wipe(parts, maps, start, end, force_n=force)
        else:
            after, mark = scrape(parts, maps, start, end, BLADE_WIDTH_M, force)
        result.max_force_n[index] = force
        self._changed(index, after, mark, result)

    def _changed(self, index: Rows, after: SurfaceMaps, mark_m: Floats, result: ProbeResult) -> None:
        size = self.parts.dimensions_m[index]
        cell = size[:, 0] * size[:, 1] / GRID**2
        before = self.maps.coat[index] + self.maps.label[index]
        lost = np.add.reduce(before - after.coat - after.label, axis=(1, 2)) * cell
        result.damage[index] += np.minimum(mark_m / MARK_M, 1.0) + np.maximum(lost, 0.0) / MARK_M2
        self.maps.assign(index, after)
        self._stale[index] |= self._covered[index]

    def _pictures(self, result: ProbeResult, index: Rows, keys: NDArray[np.int64]) -> None:
        """Camera and thermal camera."""
        extent, volume = seen_size(Size.of(self.rows, index), self.parts.transparency[index], keys)
        view = self._surface(index, extent[:, 2], keys)
        self.view[index], self.extent_m[index], self.volume_m3[index] = view, extent, volume
        self._ground[index] = level_ground(view, extent)
        looks = features_of_view(view.astype(np.float64), extent, volume, self._contacts.change(index, view, extent))
        result.store(Modality.VISUAL, index, Features(looks, np.ones(len(keys))))
        parts = Warm.of(self.parts, self._emissivity, self._spread, index)
        memory = self._memory.rows(index) if some(self._memory.heat_j_m2) else None
        warmth = heat.look(parts, ThermalCamera(self.devices.netd_k[index]), self.ambient_c[index], keys, memory)
        result.store(Modality.THERMAL, index, warmth)

    def _surface(self, index: Rows, height_m: Floats, keys: NDArray[np.int64]) -> NDArray[np.float32]:
        """(n, 8, 8, C) surface as a picture shows it."""
        stale = self._all[index][self._stale[index]]
        if len(stale):
            parts, maps = self._bare(stale, RADIATING)
            grid = self._grid if len(stale) == self.cells else self._grid.rows(stale)
            self._means[stale] = surface_means(maps, grid)
            (self._emissivity[stale], self._spread[stale]), self._stale[stale] = emissivity_of(parts, maps), False
        cells = self._grid if isinstance(index, slice) else self._grid.cells(index)
        size, means = Size.of(self.rows, index), self._means[index]
        view: NDArray[np.float32]
        view = surface_view(self.parts, self.maps, size, self.devices, keys, cells, height_m, means)
        return view
