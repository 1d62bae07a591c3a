"""Surface maps with what truly lies on each of their cells, from the batched cell, to train `SurfaceReader` on.

Every part is looked at, then wiped, scratched or pressed at a random place and looked at again, three times over: so
there are tracks in coats, puddles and dirt beside what parts come with.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palpate_agents.encoders.surface_map import CELLS
from palpate_agents.observation import Primitive
from palpate_agents.probing.decoder import SLIDE_M, STANDOFF_M, decode, encode
from palpate_sim.batch.cell import BatchedCell
from palpate_sim.batch.grids import SeenGrid
from palpate_sim.batch.vision import COUNT, SUBS, seen_grid
from palpate_sim.keyed import combine, keys_of, uniform
from palpate_sim.library import PartLibrary, Progress
from palpate_sim.randomisation import LOTS
from palpate_sim.surface import WET_UM, SurfaceMaps
from palpate_sim.training.batched import Draw, cell_of

ROUNDS = 3
"""Touches of each part, with a look after each."""
CHUNK = 500
_TOOLS = np.array([int(p) for p in (Primitive.WIPE, Primitive.WIPE, Primitive.SCRATCH, Primitive.SCRATCH,
                                    Primitive.PRESS)])  # fmt: skip
FORCE_N = (2.0, 6.0)


@dataclass(frozen=True, eq=False)
class SurfaceSamples:
    """Maps and their truth; ROUNDS + 1 maps of each part follow each other.

    Attributes:
        maps: (n, 8, 8, C) float16, `surface_map.CHANNELS`.
        extent_m: (n, 3) float32 of the seen box.
        covers: (n, 8, 8, 4) float16 true shares under LAYERS.
        bare: (n, 8, 8) float16 true share on which nothing lies.
        seen: (n, 8, 8) float16 share of each cell that can be seen.
        touches: (n,) int64 touches before the picture.
    """

    maps: NDArray[np.float16]
    extent_m: NDArray[np.float32]
    covers: NDArray[np.float16]
    bare: NDArray[np.float16]
    seen: NDArray[np.float16]
    touches: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.maps)

    def rows(self, index: Any) -> SurfaceSamples:
        """Some of them; `index` is an array of numbers or booleans, or a slice."""
        return SurfaceSamples(*(getattr(self, field.name)[index] for field in fields(self)))

    @staticmethod
    def joined(pieces: list[SurfaceSamples]) -> SurfaceSamples:
        """All rows of several."""
        return SurfaceSamples(*(np.concatenate([getattr(p, f.name) for p in pieces]) for f in fields(SurfaceSamples)))


def true_covers(maps: SurfaceMaps, grid: SeenGrid) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What lies on the cells of n seen surfaces, averaged as `vision.surface_means` averages looks.

    Each layer counts by itself, under whatever lies over it: a coat below a label is still a coat that the blade or
    the fibre meets. A film counts with the share that it wets, as for the sensors (`surface.WET_UM`).

    Args:
        maps: surfaces of n parts.
        grid: of the same parts.

    Returns:
        (n, 8, 8, 4) shares under LAYERS and (n, 8, 8) share on which nothing lies; 0 in cells that cannot be seen.
    """
    n = len(maps)
    wet = np.minimum(maps.film_um * (1.0 / WET_UM), 1.0)
    fine = np.stack([
        np.take_along_axis(cover.reshape(n, -1).astype(np.float32), grid.index, axis=1)
        for cover in (maps.coat, maps.label, wet, maps.dirt)
    ])  # fmt: skip

    def pooled(values: NDArray[np.float32]) -> NDArray[np.float32]:
        seen = (values * grid.visible).reshape(*values.shape[:-1], SUBS, COUNT)
        return (seen.sum(axis=-2) * grid.scale).reshape(*values.shape[:-1], CELLS, CELLS)

    return np.moveaxis(pooled(fine), 0, -1), pooled(np.prod(1.0 - fine, axis=0))


def surface_samples(
    parts: int, seed: int, outlines: tuple[int, ...], mix: str, library: PartLibrary | None = None,
    lots: tuple[int, int] | None = None, progress: Progress | None = None,
) -> SurfaceSamples:  # fmt: skip
    """ROUNDS + 1 maps of each of some parts, with devices of their own.

    Args:
        parts: how many; part `i` does not depend on it.
        seed: of parts, devices and touches.
        outlines: numbers of the outlines that parts have.
        mix: of the conditions, see `randomisation.CONDITION_MIX`.
        library: None: the cached one.
        lots: first lot and the one behind the last; None: all.
        progress: called with parts done and parts in all.
    """
    library = library or PartLibrary.load_or_build()
    draw = Draw(mix=mix, outlines=outlines, lots=(0, LOTS) if lots is None else lots)
    pieces = []
    for first in range(0, parts, CHUNK):
        count = min(CHUNK, parts - first)
        pieces.append(_touched(cell_of(first, count, seed, library, draw), keys_of(seed, first + np.arange(count))))
        if progress is not None:
            progress(first + count, parts)
    return SurfaceSamples.joined(pieces)


def _touched(cell: BatchedCell, keys: NDArray[np.int64]) -> SurfaceSamples:
    """All maps of the parts in a cell, those of a part behind each other."""
    grid = seen_grid(cell.parts, cell.rows, cell.devices)
    pieces = [_now(cell, grid, 0)]
    for number in range(ROUNDS):
        draws = uniform(combine(keys, "surface touch", number), "numbers", (7,))
        kind = _TOOLS[(draws[:, 0] * len(_TOOLS)).astype(np.int64)]
        extent = cell.extent_m
        places = (draws[:, 1:3] - 0.5) * extent[:, :2]
        touch = encode(
            kind, places, extent, slide_m=SLIDE_M[0] + draws[:, 3] * (SLIDE_M[1] - SLIDE_M[0]),
            across=draws[:, 4] < 0.5, force_n=FORCE_N[0] + draws[:, 5] * (FORCE_N[1] - FORCE_N[0]),
        )  # fmt: skip
        cell.probe(decode(touch, cell.seen))
        look = encode(int(Primitive.LOOK), np.zeros((cell.cells, 2)), extent, standoff_m=STANDOFF_M[1])
        cell.probe(decode(look, cell.seen))
        pieces.append(_now(cell, grid, number + 1))
    joined, order = SurfaceSamples.joined(pieces), np.arange(len(pieces) * cell.cells)
    return joined.rows(order.reshape(len(pieces), cell.cells).T.ravel())


def _now(cell: BatchedCell, grid: SeenGrid, touches: int) -> SurfaceSamples:
    covers, bare = true_covers(cell.maps, grid)
    return SurfaceSamples(
        cell.view.astype(np.float16), cell.extent_m.astype(np.float32), covers.astype(np.float16),
        bare.astype(np.float16), grid.seen.reshape(-1, CELLS, CELLS).astype(np.float16),
        np.full(cell.cells, touches),
    )  # fmt: skip
