"""What of parts and their cameras does not change with the surface: the seen axis, and the grid of the surface map."""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import pi
from typing import Any, NamedTuple

from palpate_sim.backend import Array, namespace


class PictureGrid(NamedTuple):
    """What of `SeenGrid` a picture needs beside `surface_means`."""

    counted: Array
    root: Array
    contrast: Array
    kept: Array
    mottle: Array
    edge: Array
    grey: Array
    seen: Array
    grain: Array
    lattice: Array
    height: Array
    height_noise: Array

    def cells(self, index: Any) -> PictureGrid:
        """Some rows."""
        return PictureGrid(*(values[index] for values in self))


@dataclass(frozen=True, eq=False)
class SeenGrid:
    """What of n parts and their cameras does not change with the surface; F = 4 x 64 fine places, 4 of each cell.

    Attributes:
        index: (n, F) int64, which of the 256 cells of the part's maps lies there.
        x_m, y_m: (n, F) places in the part's frame, m.
        shade, visible: (n, F) of the library there.
        height: (n, 64) mean over what is visible, over the seen height; seen: (n, 64) visible share.
        height_noise: (n, 64) its standard deviation; edge: (n, 64) relative spread of lightness by the outline.
        scale: (n, 64) turns sums over visible fine places into means.
        counted: (n, 64) the camera's pixels in each cell, at least 1; root: 1 over their root, 0 where nothing is seen.
        lattice: (n, 1) relative spread of their number.
        kept: (n, 64) share of the texture's variance that stays in the mean of a cell.
        mottle: (n, 64) relative lightness that the texture gives the cell, the same in every picture.
        layers: (n, 4, 4) colours and gloss, see `look.layer_values`.
        clear: (n, 1) transparency of the body.
        lamp_m: (n, 3) see `look.lamp_place_m`.
        contrast: (n, 1) of the texture, relative.
        camera: (n, 3, 1) factor on each colour, over the table's; limit: (n, 3, 1) white over the table.
        grain: (n, 3, 1) a pixel's noise over the table; grey: (n, 1) variance of its lightness.
    """

    index: Array
    x_m: Array
    y_m: Array
    shade: Array
    visible: Array
    height: Array
    seen: Array
    height_noise: Array
    edge: Array
    scale: Array
    counted: Array
    root: Array
    lattice: Array
    kept: Array
    mottle: Array
    layers: Array
    clear: Array
    lamp_m: Array
    contrast: Array
    camera: Array
    limit: Array
    grain: Array
    grey: Array

    def __len__(self) -> int:
        return int(self.index.shape[0])

    def rows(self, index: Any) -> SeenGrid:
        """Some of them; `index` is an array of numbers or booleans, or a slice."""
        return SeenGrid(*(getattr(self, field.name)[index] for field in fields(self)))

    def cells(self, index: Any) -> PictureGrid:
        """Some of them, with what one picture needs once `surface_means` is known: a tenth of the memory."""
        return PictureGrid(*(getattr(self, name)[index] for name in PictureGrid._fields))

    def assign(self, index: Any, other: SeenGrid) -> None:
        """Overwrite the rows `index` in place."""
        for field in fields(self):
            getattr(self, field.name)[index] = getattr(other, field.name)


def seen_axis(rows: Any) -> Array:
    """(n,) direction of the seen length, the map's first axis, in the part's frame, rad; of n `LibraryRows`.

    The camera tells an axis, not a direction: its turn in the base frame is -pi/2 to pi/2.
    """
    turn = rows.yaw_rad + rows.seen_yaw_rad
    return rows.seen_yaw_rad - pi * namespace(turn).floor(turn / pi + 0.5)
