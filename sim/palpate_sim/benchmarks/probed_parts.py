"""Parts that were probed once with every sensor at an ordinary place, for benchmarks that look at sensors alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from palpate_agents.encoders.visual import features_of_view
from palpate_sim.batch import heat, light, touch, vision
from palpate_sim.batch.heat import PadMemory
from palpate_sim.batch.sizes import seen_size
from palpate_sim.devices import draw_device_batch
from palpate_sim.keyed import combine, keys_of, uniform
from palpate_sim.library import PartLibrary
from palpate_sim.objects import PartBatch, draw_parts
from palpate_sim.sensors.spectrum import spot_radius_m
from palpate_sim.surface import draw_surface_maps, spot_batch, whole_part

Array = NDArray[np.floating]

AMBIENT_SPREAD_K = 3.0
PLACE_SHARE = 0.5
"""Places are drawn from the middle half of the part."""
PRESS_N, PRESS_HOLD_S, TAP_M_S, SLIDE_N, SLIDE_M_S, SLIDE_M, DWELL_S = 3.0, 0.3, 0.04, 2.0, 0.02, 0.015, 2.0
STANDOFF_M = 0.01
PAD_C = (45.0, 70.0)
SAME_SHAPES = "light"
CHUNK = 512
OLD_LOTS, NEW_LOTS = (0, 30), (30, 40)
"""Lots drift: those of the training parts, and later ones."""


@dataclass(frozen=True)
class ProbedParts:
    """N parts.

    Attributes:
        material, condition: (N,) indices.
        features: probe -> (N, F), NaN where not measured.
    """

    material: NDArray[np.int64]
    condition: NDArray[np.int64]
    features: dict[str, Array]

    def __len__(self) -> int:
        return len(self.material)

    def rows(self, index: NDArray) -> ProbedParts:
        """Some of the parts."""
        return ProbedParts(
            self.material[index], self.condition[index], {name: v[index] for name, v in self.features.items()}
        )


def probe_parts(
    library: PartLibrary, seed: int, indices: range, condition: str | None = None, shift_nm: float | None = None,
    intact_paint: bool = False, lots: tuple[int, int] = OLD_LOTS, alike: Sequence[str] = (),
) -> ProbedParts:  # fmt: skip
    """Draws parts and probes each in every way, each probe at a place of its own.

    Args:
        library: geometry.
        seed: of the parts.
        indices: which of them.
        condition: this one instead of the mix.
        shift_nm: wavelength shift of every spectrometer instead of a drawn one.
        intact_paint: opaque paint without a bare patch, and the same shapes for every material.
        lots: first lot and the one behind the last.
        alike: fields in which every part is as one reference part, and the same shapes for every material: what a
            sensor still tells then, it cannot have from physics.
    """
    how = _Drawing(condition, shift_nm, intact_paint, lots, tuple(alike))
    done = [
        _probe_chunk(library, seed, np.asarray(indices[start : start + CHUNK]), how)
        for start in range(0, len(indices), CHUNK)
    ]
    features = {name: np.concatenate([d.features[name] for d in done]) for name in done[0].features}
    return ProbedParts(
        np.concatenate([d.material for d in done]), np.concatenate([d.condition for d in done]), features
    )


class _Drawing(NamedTuple):
    condition: str | None
    shift_nm: float | None
    intact_paint: bool
    lots: tuple[int, int]
    alike: tuple[str, ...]


def _drawn(keys: NDArray[np.int64], ambient_c: NDArray[np.float64], how: _Drawing) -> PartBatch:
    same = SAME_SHAPES if how.intact_paint or how.alike else None
    batch = draw_parts(keys, conditions=how.condition, ambient_c=ambient_c, lots=how.lots, geometry_class=same)
    count = len(batch)
    if how.alike:
        one = draw_parts(keys_of(0, 0), "ABS", "clean")
        batch = batch.replace(**{name: np.repeat(one.arrays[name], count, axis=0) for name in how.alike})
    if how.intact_paint:
        none = np.zeros(count)
        batch = batch.replace(paint_transmission=none, label_um=none, dirt_level=none)
    return batch


def _probe_chunk(library: PartLibrary, seed: int, index: NDArray, how: _Drawing) -> ProbedParts:
    keys = keys_of(seed, index)
    count = len(keys)
    ambient = 22.0 + AMBIENT_SPREAD_K * (2.0 * uniform(keys, "ambient") - 1.0)
    batch = _drawn(keys, ambient, how)
    rows = library.rows_of(batch)
    maps = draw_surface_maps(batch)
    if how.intact_paint:
        maps = maps.replace(coat=np.ones_like(maps.coat))
    devices = draw_device_batch(combine(keys, "devices"))
    if how.shift_nm is not None:
        devices = devices.replace(wavelength_shift_nm=np.full(count, how.shift_nm))
    zeros = np.zeros(count)

    def at(name: str, radius_m: float) -> PartBatch:
        places = (uniform(keys, f"place {name}", (2,)) - 0.5) * PLACE_SHARE * batch.dimensions_m[:, :2]
        return spot_batch(batch, maps, places, radius_m)

    extent_m, volume_m3 = seen_size(rows, batch.transparency, combine(keys, "look"))
    view = vision.surface_view(batch, maps, rows, devices, combine(keys, "look"), None, extent_m[:, 2])
    found = {
        "press": touch.press(
            at("press", 5e-4), devices, zeros + PRESS_N, zeros + PRESS_HOLD_S, zeros, combine(keys, "press")
        ).features,
        "tap": touch.tap(at("tap", 5e-4), devices, zeros + TAP_M_S, zeros, combine(keys, "tap")).features,
        "slide": touch.slide(
            at("slide", 5e-4), devices, zeros + SLIDE_N, zeros + SLIDE_M_S, zeros + SLIDE_M, combine(keys, "slide")
        ).features,
        "lift": touch.lift(batch, devices, volume_m3, np.ones(count, bool), combine(keys, "lift")).features,
        "nir": light.spectrum(
            at("nir", spot_radius_m(STANDOFF_M)), devices, zeros + STANDOFF_M, zeros, combine(keys, "nir")
        ),
    }
    memory = PadMemory.fresh(count)
    for name, pad in (("dwell_hot", 1), ("dwell_warm", 0)):
        found[name], memory = heat.dwell(
            at(name, 0.006), devices, np.full(count, pad), zeros + DWELL_S, zeros + PAD_C[pad], ambient, memory,
            combine(keys, name),
        )  # fmt: skip
    features = {name: np.asarray(one.values, float) for name, one in found.items()}
    look = heat.look(whole_part(batch, maps), devices, ambient, combine(keys, "thermal look"))
    features["thermal_look"] = np.asarray(look.values, float)
    features["vision"] = np.asarray(features_of_view(view, extent_m, volume_m3), float)
    features["inductive"] = np.asarray(light.inductive(at("inductive", 0.004), devices, combine(keys, "inductive")))
    return ProbedParts(batch.material, batch.condition, features)
