"""The surface map of n parts without pictures: what the camera and the segmentation make of them, in closed form.

The part library knows what the camera sees of each geometry and how it is shaded (`library.LibraryRows`); the surface
maps know what lies on it now. Both are looked up on a grid over the seen box, twice as fine as the map; colours are
blended there as for the pixels of a picture (sensors/look.py) and averaged with the noise that a cell's pixels have.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from palpate_agents.encoders.surface_map import CELLS, HIGHLIGHT, LUMA
from palpate_sim.appearance import TEXTURES
from palpate_sim.backend import Array, constant, namespace, ndtri
from palpate_sim.batch.noise import coarse_normals
from palpate_sim.cameras import COLOR_FOV_RAD, COLOR_SIZE
from palpate_sim.sensors.look import CLEAR_SHARE, highlight, hole_share, luma, surface_look
from palpate_sim.surface_maps import GRID, SurfaceMaps

FINE = 2 * CELLS
TABLE_RGB = (72.0 / 255.0, 86.0 / 255.0, 79.0 / 255.0)
"""The table in the renderer's light, 0..1 (its colour in the URDF, shaded); a test compares it."""
CAMERA_HEIGHT_M = 0.70
PIXEL_RAD = 2.0 * float(np.tan(0.5 * COLOR_FOV_RAD)) / COLOR_SIZE[0]
TEXTURE_PATCH_PX = {"none": 1.0, "grain": 4.0, "fibre": 5.0, "brush": 7.0, "weave": 9.0}
"""Pixels that share one value of the texture (sensors/rgbd.py): so much of it stays in the mean of a cell."""
HOLE_BLOB, HOLE_GRAIN = 0.8, 0.78
"""Standard deviation of the field behind holes between cells and within one: patches are a bit larger than cells."""
BETWEEN = 1.25
"""Variance of lightness within a cell over that of its four fine places: 4/3 for a slope, 1 for steps between them."""
LATTICE = 0.4
"""Spread of the number of pixels whose centres lie in a cell, over the square root of that number."""
HEIGHT_PATCH_PX = 2.5
"""Pixels that share their depth noise after the segmentation's median."""
LOGISTIC = 1.702
"""`1 / (1 + exp(-1.702 x))` is the normal distribution's integral to 0.01."""


class SeenGrid(NamedTuple):
    """What of n parts' geometries does not change with their surface.

    Attributes:
        index: (n, FINE * FINE) int64, which of the 256 cells of the part's maps lies there.
        x_m, y_m: places in the part's frame, m.
        shade, visible, height: (n, FINE * FINE) of the library there; height over the seen height.
        pixels: (n,) of the camera in one whole cell.
        scale: (n,) depth noise of one pixel over the seen height, for a noise of 1/m.
    """

    index: Array
    x_m: Array
    y_m: Array
    shade: Array
    visible: Array
    height: Array
    pixels: Array
    scale: Array


@lru_cache(maxsize=1)
def _steps() -> np.ndarray:
    return (np.arange(FINE) + 0.5) / FINE - 0.5


def _single(xp: Any, values: Array) -> Array:
    return values.astype(np.float32) if xp is np else xp.astype(values, xp.float32)


def _whole(xp: Any, values: Array) -> Array:
    return values.astype(np.int64) if xp is np else xp.astype(values, xp.int64)


def seen_grid(batch: Any, rows: Any) -> SeenGrid:
    """Library rows looked up over the seen boxes; valid as long as the parts lie where they lie.

    Args:
        batch: n parts (`dimensions_m`).
        rows: `LibraryRows` of n.
    """
    xp = namespace(batch.dimensions_m)
    n = batch.dimensions_m.shape[0]
    steps = constant(_steps(), batch.dimensions_m)
    size = rows.seen_extent_m
    a, b = size[:, 0:1] * steps, size[:, 1:2] * steps
    # The camera tells an axis, not a direction: as in the picture, its turn in the base frame is -pi/2 to pi/2.
    turns = xp.floor((rows.yaw_rad + rows.seen_yaw_rad) / np.pi + 0.5)
    yaw = rows.seen_yaw_rad - np.pi * turns
    cos, sin = xp.cos(yaw)[:, None], xp.sin(yaw)[:, None]
    x = (rows.seen_center_m[:, 0:1] + cos * a)[:, :, None] - (sin * b)[:, None, :]
    y = (rows.seen_center_m[:, 1:2] + sin * a)[:, :, None] + (cos * b)[:, None, :]
    ix = xp.clip((x / batch.dimensions_m[:, 0, None, None] + 0.5) * GRID, 0.0, GRID - 1.0)
    iy = xp.clip((y / batch.dimensions_m[:, 1, None, None] + 0.5) * GRID, 0.0, GRID - 1.0)
    index = xp.reshape(_whole(xp, ix) * GRID + _whole(xp, iy), (n, -1))
    flat = _flat(xp, index)

    def look_up(values: Array) -> Array:
        return _single(xp, xp.reshape(values, (-1,))[flat])

    visible = look_up(_single(xp, rows.visible))
    height = look_up(rows.height_m)
    there = ~xp.isnan(height)
    visible = xp.where(there, visible, 0.0 * visible)
    height = xp.where(there, height, 0.0 * visible) / _single(xp, size[:, 2:3])
    distance = CAMERA_HEIGHT_M - size[:, 2]
    pixels = size[:, 0] * size[:, 1] / (CELLS * CELLS) / (distance * PIXEL_RAD) ** 2
    return SeenGrid(
        index, _single(xp, xp.reshape(x, (n, -1))), _single(xp, xp.reshape(y, (n, -1))),
        look_up(rows.shade), visible, height, _single(xp, pixels), _single(xp, distance**2 / size[:, 2]),
    )  # fmt: skip


def _flat(xp: Any, index: Array) -> Array:
    n = index.shape[0]
    if xp is np:
        return index + (np.arange(n) * (GRID * GRID))[:, None]
    return index + (xp.arange(n, device=index.device) * (GRID * GRID))[:, None]


def surface_view(
    batch: Any, maps: SurfaceMaps, rows: Any, devices: Any, keys: Array, grid: SeenGrid | None = None
) -> Array:
    """Surface maps of n parts as one picture of each would give them.

    Args:
        batch: n parts.
        maps: their surfaces now.
        rows: `LibraryRows` of n.
        devices: `DeviceBatch` of n: white balance, exposure and noise of the camera.
        keys: (n,) int64 of part and probe, for the noise.
        grid: `seen_grid(batch, rows)`, if known.

    Returns:
        (n, 8, 8, C) float32 in the order of `surface_map.CHANNELS`.
    """
    xp = namespace(batch.dimensions_m)
    grid = seen_grid(batch, rows) if grid is None else grid
    flat = _flat(xp, grid.index)
    covers = [_single(xp, xp.reshape(values, (-1,))[flat]) for values in (maps.coat, maps.label, maps.film_um, maps.dirt)]
    look = surface_look(batch, *covers)
    lamp = highlight(batch, grid.x_m, grid.y_m, look.gloss)
    through = CLEAR_SHARE * look.clear
    noise = _single(xp, devices.color_noise)[:, None] * (1.0 / 255.0)
    colours, noises = [], []
    for k in range(3):
        factor = _single(xp, devices.white_balance[:, k] * devices.exposure)[:, None]
        table = xp.clip(xp.round(factor * (255.0 * TABLE_RGB[k])), 5.0, 255.0) * (1.0 / 255.0)
        diffuse = grid.shade * look.rgb[k]
        seen = diffuse + through * (TABLE_RGB[k] - diffuse) + lamp
        colours.append(xp.clip(seen * factor, 0.0, 1.0) / table)
        noises.append(xp.sqrt(noise**2 + 1.0 / (12.0 * 255.0**2)) / table)
    return _cells(xp, batch, devices, keys, grid, look, (colours[0], colours[1], colours[2]), noises)


def _pooled(xp: Any, values: Array) -> Array:
    """(n, 64) sums over the four fine places of each cell."""
    fine = xp.reshape(values, (values.shape[0], CELLS, 2, CELLS, 2))
    return xp.reshape(fine[:, :, 0, :, 0] + fine[:, :, 0, :, 1] + fine[:, :, 1, :, 0] + fine[:, :, 1, :, 1],
                      (values.shape[0], CELLS * CELLS))  # fmt: skip


def _cells(
    xp: Any, batch: Any, devices: Any, keys: Array, grid: SeenGrid, look: Any, colours: tuple[Array, Array, Array],
    noises: list[Array],
) -> Array:  # fmt: skip
    weight = grid.visible
    total = _pooled(xp, weight)
    some = 1.0 / xp.clip(total, 1e-3, 4.0)

    def mean(values: Array) -> Array:
        return _pooled(xp, weight * values) * some

    random = coarse_normals(keys, "vision", 9, CELLS * CELLS)
    light = luma(colours)
    light_mean = mean(light)
    variance = mean(light * light) - light_mean**2
    pixels = grid.pixels[:, None]
    counted = xp.clip(0.25 * total * pixels, 1.0, 1e6)
    contrast = _single(xp, batch.texture_contrast)[:, None] * mean(look.bare)
    patch = constant([TEXTURE_PATCH_PX[name] for name in TEXTURES], batch.dimensions_m)[batch.texture]
    kept = xp.clip(_single(xp, patch)[:, None] / counted, 0.0, 1.0)
    grain = contrast * xp.sqrt(kept) * random[0]
    pixel_variance = sum((weight_k * sigma) ** 2 for weight_k, sigma in zip(LUMA, noises, strict=True))
    rough = (contrast * light_mean) ** 2
    spread = xp.sqrt(xp.clip((BETWEEN * variance + rough * (1.0 - kept) + pixel_variance) * (1.0 - 1.0 / counted), 0.0, 1e9))
    root = 1.0 / xp.sqrt(counted)
    usual = xp.sum(weight * light, axis=1) / xp.clip(xp.sum(weight, axis=1), 1e-3, 1e9)
    softness = LOGISTIC / xp.sqrt(xp.mean(rough, axis=1) + pixel_variance[:, 0] + 1e-6)
    above = xp.clip((light - usual[:, None] - HIGHLIGHT) * softness[:, None], -30.0, 30.0)
    lit = mean(1.0 / (1.0 + xp.exp(-above)))
    chance = xp.clip(mean(hole_share(look)), 1e-4, 0.95)
    field = ndtri(chance) * float(np.hypot(HOLE_BLOB, HOLE_GRAIN)) - HOLE_BLOB * random[1]
    share = 1.0 / (1.0 + xp.exp(xp.clip(field * (-LOGISTIC / HOLE_GRAIN), -30.0, 30.0)))
    dither = 1.0 / (1.0 + xp.exp(-LOGISTIC * random[2]))
    holes = xp.clip(xp.floor(share * counted + dither) / counted, 0.0, 1.0)
    depth_noise = _single(xp, devices.depth_noise_per_m)[:, None] * grid.scale[:, None]
    values = [
        xp.clip(0.25 * total * (1.0 + LATTICE / xp.sqrt(pixels) * random[3]), 0.0, 1.0),
        *(
            mean(colour) * (1.0 + grain) + sigma * root * random[4 + k]
            for k, (colour, sigma) in enumerate(zip(colours, noises, strict=True))
        ),
        spread * (1.0 + random[7] * root * 0.7071),
        lit,
        holes,
        mean(grid.height) + depth_noise * xp.sqrt(HEIGHT_PATCH_PX / (counted + HEIGHT_PATCH_PX)) * random[8],
    ]
    present = total > 0.0
    stacked = xp.stack([xp.where(present, channel, 0.0 * total) for channel in values], axis=-1)
    return xp.reshape(stacked, (stacked.shape[0], CELLS, CELLS, len(values)))
