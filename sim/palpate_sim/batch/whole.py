"""Parts as the cameras see them whole: their size, and how evenly they radiate."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from palpate_sim.library import LibraryRows
from palpate_sim.objects import PartBatch
from palpate_sim.sensors.look import surface_emissivity
from palpate_sim.surface import SurfaceMaps, whole_emissivity
from palpate_sim.surface_maps import footprint_weights

Floats = NDArray[np.float64]


class Size(NamedTuple):
    """What the size in a picture follows from, see `library.LibraryRows`."""

    seen_extent_m: Floats
    seen_volume_m3: Floats

    @staticmethod
    def of(rows: LibraryRows, index: Any) -> Size:
        """Of some library rows."""
        return Size(rows.seen_extent_m[index], rows.seen_volume_m3[index])


class Warm(NamedTuple):
    """What the thermal camera's picture follows from, (n,) each; `heat.look`."""

    temperature_c: Floats
    emissivity: Floats
    emissivity_spread: Floats
    dimensions_m: Floats
    effusivity_w_s05_m2k: Floats
    diffusivity_m2_s: Floats
    wall_thickness_m: Floats

    @staticmethod
    def of(parts: PartBatch, emissivity: Floats, spread: Floats, index: Any) -> Warm:
        """Of some parts; (n,) `emissivity` and its `spread` are of all, see `emissivity_of`."""
        return Warm(
            parts.temperature_c[index], emissivity[index], spread[index], parts.dimensions_m[index],
            parts.effusivity_w_s05_m2k[index], parts.diffusivity_m2_s[index], parts.wall_thickness_m[index],
        )  # fmt: skip


class ThermalCamera(NamedTuple):
    """What of the devices a thermal picture needs."""

    netd_k: Floats


def emissivity_of(parts: PartBatch, maps: SurfaceMaps) -> tuple[Floats, Floats]:
    """(n,) emissivity of the parts in the mean, and its deviation over their surfaces.

    Args:
        parts: n parts.
        maps: of their surfaces.
    """
    mean: Floats = whole_emissivity(parts, maps)
    spread = np.zeros(len(mean))
    patchy = (parts.coat_um > 0.0) | (parts.label_um > 0.0) | (parts.film_um > 0.0) | (parts.dirt_level > 0.0)
    rows = np.flatnonzero(patchy)
    if len(rows):
        chosen, there = (parts, maps) if len(rows) == len(mean) else (parts.rows(rows), maps.rows(rows))
        coat = there.coat * (chosen.coat_um > 0.0)[:, None, None]
        label = there.label * (chosen.label_um > 0.0)[:, None, None]
        film = there.film_um * (chosen.film_um > 0.0)[:, None, None]
        dirt = there.dirt * (chosen.dirt_level > 0.0)[:, None, None]
        each = surface_emissivity(chosen, coat, label, film, dirt)
        weights = footprint_weights(chosen)
        middle = np.sum(each * weights, axis=(1, 2))
        spread[rows] = np.sqrt(np.sum((each - middle[:, None, None]) ** 2 * weights, axis=(1, 2)))
    return mean, spread
