"""What lies on a part, as maps over its footprint: coat, label, water film and dirt, drawn by the part's key."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from math import pi
from typing import Any

import numpy as np

from palpate_sim.backend import Array, constant, copied, integers, limited, namespace, some
from palpate_sim.keyed import uniform
from palpate_sim.part_batch import Part, PartBatch
from palpate_sim.shapes import SHAPES, on_footprint

GRID = 16
"""Cells along each extent of a part's footprint."""

WAVES = 4
"""Cosines in one random field."""
WAVELENGTH_M = (0.02, 0.06)
"""Size of patches, puddles and blobs, m; assumed."""
EDGE = 0.5
"""Width of a patch's soft edge in units of the field, whose standard deviation is sqrt(WAVES / 2)."""

BARE_SHARE = (0.0, 0.18)
"""Share of a coat that has flaked off; with the scratches 75 to 100 % stay covered. Assumed."""
SCRATCHES = 2
SCRATCH_WIDTH_M, SCRATCH_LENGTH_M = (0.0, 0.0012), (0.008, 0.04)
LABEL_SIZE = (0.3, 0.6)
"""Sides of a label over the part's extents."""
WET_SHARE = (0.5, 0.95)
"""Share of a wet part's face under water; the rest has run dry."""
DIRT_SHARE = (0.1, 0.5)


MAPS = ("coat", "label", "film_um", "dirt")


@dataclass(frozen=True, eq=False)
class SurfaceMaps:
    """Surface state of N parts on grids over their footprints.

    Cell `[i, j]` has its centre at `((i + 0.5) / 16 - 0.5) * dimensions_m[0]` along x and likewise along y.

    Attributes:
        coat: (N, 16, 16) share of the coat that is left, 1 intact, 0 bare or never coated.
        label: (N, 16, 16) share under a label, 0..1.
        film_um: (N, 16, 16) thickness of water, um.
        dirt: (N, 16, 16) share covered by dirt, 0..1.
    """

    coat: Array
    label: Array
    film_um: Array
    dirt: Array

    def __post_init__(self) -> None:
        wanted = (len(self.coat), GRID, GRID)
        for name in MAPS:
            shape = tuple(getattr(self, name).shape)
            if shape != wanted:
                raise ValueError(f"map {name!r} has shape {shape}; {wanted} is needed")

    def __len__(self) -> int:
        return len(self.coat)

    @staticmethod
    def of_part(part: Part) -> SurfaceMaps:
        """The maps that belong to one part, N = 1."""
        return draw_surface_maps(PartBatch.of([part]))

    def rows(self, index: Any) -> SurfaceMaps:
        """Maps of some parts; `index` is an array of numbers or booleans."""
        return SurfaceMaps(self.coat[index], self.label[index], self.film_um[index], self.dirt[index])

    def with_rows(self, index: Any, other: SurfaceMaps) -> SurfaceMaps:
        """Copy in which the parts `index` have the maps of `other`."""
        maps = self.copy()
        maps.assign(index, other)
        return maps

    def assign(self, index: Any, other: SurfaceMaps) -> None:
        """Overwrite the maps of the parts `index` in place, so that a thousand are not copied for a few."""
        for name in MAPS:
            mine, new = getattr(self, name), getattr(other, name)
            if mine is not new:
                mine[index] = new

    def replace(self, **arrays: Array) -> SurfaceMaps:
        """Maps with some overridden."""
        return replace(self, **arrays)

    def copy(self) -> SurfaceMaps:
        """Independent copy."""
        return SurfaceMaps(self.coat + 0.0, self.label + 0.0, self.film_um + 0.0, self.dirt + 0.0)

    def to(self, xp: Any, device: Any = None) -> SurfaceMaps:
        """A copy in another array library, see `PartBatch.to`."""
        return SurfaceMaps(*(copied(getattr(self, name), xp, device) for name in MAPS))


_CENTERS = (np.arange(GRID) + 0.5) / GRID - 0.5


def unit(values: Array) -> Array:
    """Values cut to 0..1."""
    return limited(values, 0.0, 1.0)


def cell_centers_m(batch: PartBatch) -> tuple[Array, Array]:
    """(N, 16) places of the cells' centres along x and along y, m, part's frame."""
    steps = constant(_CENTERS, batch.dimensions_m)
    return batch.dimensions_m[:, 0:1] * steps, batch.dimensions_m[:, 1:2] * steps


@lru_cache(maxsize=1)
def _footprints() -> np.ndarray:
    fine = 8
    place = (np.arange(GRID * fine) + 0.5) / (GRID * fine) - 0.5
    x, y = np.meshgrid(place, place, indexing="ij")
    tables = []
    for shape in SHAPES:
        # a bottle's neck is as wide as half its body here: exactly so for all but the flattest
        inside = on_footprint(shape, (1.0, 1.0, 1.0), x, y).astype(float)
        cells = inside.reshape(GRID, fine, GRID, fine).mean(axis=(1, 3))
        tables.append(cells / cells.sum())
    return np.stack(tables)


def footprint_weights(batch: PartBatch) -> Array:
    """(N, 16, 16) share of the part's footprint in each cell; sums to 1."""
    return constant(_footprints(), batch.dimensions_m)[batch.shape]


def track_cover(batch: PartBatch, start_uv: Array, end_uv: Array, width_m: Array, beyond_m: Array) -> Array:
    """Share of each cell that a tool passes over, moving straight and as wide as it is across the motion.

    Args:
        batch: N parts.
        start_uv: (N, 2) m, part's frame.
        end_uv: (N, 2) m.
        width_m: (N,) across the motion.
        beyond_m: (N,) how far the tool reaches beyond both ends.

    Returns:
        (N, 16, 16), 0..1; its sum times a cell's area is the area of the track.
    """
    xp = namespace(start_uv)
    x, y = cell_centers_m(batch)
    way = end_uv - start_uv
    length = xp.sqrt(way[:, 0] ** 2 + way[:, 1] ** 2)
    still = xp.astype(length < 1e-9, length.dtype)
    cos = way[:, 0] / (length + still) + still  # a tool that stays counts as moving along x
    sin = way[:, 1] / (length + still)
    cell_x, cell_y = batch.dimensions_m[:, 0] / GRID, batch.dimensions_m[:, 1] / GRID
    dx, dy = x - 0.5 * (start_uv + end_uv)[:, 0:1], y - 0.5 * (start_uv + end_uv)[:, 1:2]

    def band(distance: Array, half: Array, cell: Array) -> Array:
        inside = 0.5 + (half[:, None, None] - xp.abs(distance)) / cell[:, None, None]
        return xp.minimum(unit(inside), unit(2.0 * half / cell)[:, None, None])

    along = (dx * cos[:, None])[:, :, None] + (dy * sin[:, None])[:, None, :]
    across = (dy * cos[:, None])[:, None, :] - (dx * sin[:, None])[:, :, None]
    cell_along = xp.sqrt((cell_x * cos) ** 2 + (cell_y * sin) ** 2)
    cell_across = xp.sqrt((cell_x * sin) ** 2 + (cell_y * cos) ** 2)
    return band(along, 0.5 * length + beyond_m, cell_along) * band(across, 0.5 * width_m, cell_across)


def draw_surface_maps(batch: PartBatch) -> SurfaceMaps:
    """The maps of new parts; each depends on the part's key and its own name only.

    A coat flakes in patches and has old scratches, labels are rectangles, water stands in puddles whose mean thickness
    is the part's, dirt lies in blobs.

    Args:
        batch: N parts (`key`, `dimensions_m`, `coat_um`, `label_um`, `film_um`, `dirt_level`).
    """
    return SurfaceMaps(
        _filled(batch, batch.coat_um > 0.0, _coat),
        _filled(batch, batch.label_um > 0.0, _label),
        _filled(batch, batch.film_um > 0.0, _film),
        _filled(batch, batch.dirt_level > 0.0, _dirt),
    )


def _filled(batch: PartBatch, there: Array, draw: Any) -> Array:
    """(N, 16, 16) zeros, with what `draw` gives where `there` is true: most parts are dry, clean and bare."""
    xp = namespace(batch.dimensions_m)
    maps = xp.zeros((len(batch), GRID, GRID), dtype=xp.float64, device=_device(batch.dimensions_m))
    if some(there):
        maps[there] = draw(batch if xp.all(there) else batch.rows(there))
    return maps


def _device(array: Array) -> Any:
    return "cpu" if isinstance(array, np.ndarray) else array.device


def _between(values: Array, limits: tuple[float, float]) -> Array:
    return limits[0] + (limits[1] - limits[0]) * values


def random_field(batch: PartBatch, name: str) -> Array:
    """(N, 16, 16) smooth random field of mean about 0 and standard deviation sqrt(WAVES / 2): a few cosines.

    `cos(a + b) = cos a cos b - sin a sin b` keeps each wave separable: 16 cosines along each side instead of 256.
    """
    xp = namespace(batch.key)
    draws = uniform(batch.key, name, (3, WAVES))
    number = (2.0 * pi / WAVELENGTH_M[0]) * (WAVELENGTH_M[0] / WAVELENGTH_M[1]) ** draws[:, 1]
    angle = 2.0 * pi * draws[:, 0]
    x, y = cell_centers_m(batch)
    along = (number * xp.cos(angle))[:, :, None] * x[:, None, :] + (2.0 * pi * draws[:, 2])[:, :, None]
    across = (number * xp.sin(angle))[:, :, None] * y[:, None, :]
    left = xp.concat((xp.cos(along), -xp.sin(along)), axis=1)
    right = xp.concat((xp.cos(across), xp.sin(across)), axis=1)
    return xp.matmul(xp.permute_dims(left, (0, 2, 1)), right)


def _patches(field: Array, share: Array) -> Array:
    """(N, 16, 16) 0..1: the highest `share` (N,) of each field, with soft edges."""
    xp = namespace(field)
    count = len(field)
    ordered = xp.sort(xp.reshape(field, (count, GRID * GRID)), axis=1)
    place = integers(limited((1.0 - share) * (GRID * GRID), 0.0, GRID * GRID - 1.0))
    rows = xp.arange(count, device=_device(field))
    return unit(0.5 + (field - ordered[rows, place][:, None, None]) * (1.0 / EDGE))


def _coat(batch: PartBatch) -> Array:
    xp = namespace(batch.key)
    flaked = _between(uniform(batch.key, "coat_flaked"), BARE_SHARE)
    coat = 1.0 - _patches(random_field(batch, "coat_field"), flaked)
    draws = uniform(batch.key, "coat_scratches", (SCRATCHES, 5))
    for k in range(SCRATCHES):
        middle = (draws[:, k, 0:2] - 0.5) * batch.dimensions_m[:, :2]
        half = 0.5 * _between(draws[:, k, 2], SCRATCH_LENGTH_M)
        angle = 2.0 * pi * draws[:, k, 3]
        way = xp.stack((half * xp.cos(angle), half * xp.sin(angle)), axis=1)
        width = _between(draws[:, k, 4], SCRATCH_WIDTH_M)
        coat = coat * (1.0 - track_cover(batch, middle - way, middle + way, width, 0.0 * width))
    return coat


def _label(batch: PartBatch) -> Array:
    xp = namespace(batch.key)
    draws = uniform(batch.key, "label_place", (2, 2))
    size = _between(draws[:, 0], LABEL_SIZE)
    start = draws[:, 1] * (1.0 - size)
    edges = constant(np.arange(GRID) / GRID, size)
    low = xp.maximum(start[:, :, None], edges)
    high = xp.minimum((start + size)[:, :, None], edges + 1.0 / GRID)
    share = unit((high - low) * GRID)
    return share[:, 0, :, None] * share[:, 1, None, :]


def _film(batch: PartBatch) -> Array:
    xp = namespace(batch.key)
    field = random_field(batch, "film_field")
    wet = _patches(field, _between(uniform(batch.key, "film_share"), WET_SHARE))
    depth = wet * (1.0 + 0.4 * xp.sin(field))
    mean = xp.sum(depth, axis=(1, 2)) / xp.sum(wet, axis=(1, 2))
    return depth * (batch.film_um / mean)[:, None, None]


def _dirt(batch: PartBatch) -> Array:
    blobs = _patches(random_field(batch, "dirt_field"), _between(uniform(batch.key, "dirt_share"), DIRT_SHARE))
    return blobs * batch.dirt_level[:, None, None]
