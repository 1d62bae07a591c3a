"""The surface map of n parts without pictures: what the camera and the segmentation make of them, in closed form.

The part library knows what the camera sees of each geometry and how it is shaded (`library.LibraryRows`); the surface
maps know what lies on it now. Both are looked up on a grid over the seen box, twice as fine as the map; colours are
blended there as for the pixels of a picture (sensors/look.py) and averaged with the noise that a cell's pixels have.
"""

from __future__ import annotations

import math
from dataclasses import fields
from functools import lru_cache
from typing import Any

import numpy as np

from palpate_agents.encoders.surface_map import CELLS, CHANNELS, HIGHLIGHT
from palpate_sim.appearance import TEXTURES
from palpate_sim.backend import Array, constant, integers, limited, namespace, some
from palpate_sim.batch.grids import PictureGrid, SeenGrid, seen_axis
from palpate_sim.batch.noise import coarse_normals, coarse_quantile
from palpate_sim.batch.sizes import mean_size
from palpate_sim.cameras import COLOR_FOV_RAD, COLOR_SIZE
from palpate_sim.sensors.look import (
    CLEAR_SHARE,
    LUMA,
    LUMINANCE,
    highlight,
    hole_share,
    lamp_place_m,
    layer_shares,
    layer_values,
    wet_look,
)
from palpate_sim.shapes import BRACKET_THICKNESS_M, BRACKET_THICKNESS_SHARE, FLANGE_SHARE, SHAPES
from palpate_sim.surface_maps import GRID, SurfaceMaps

SUB = 2
"""Fine places along each side of a cell of the map."""
SUBS, COUNT = SUB * SUB, CELLS * CELLS
BLOCK = 128
"""Parts at a time: more would not stay in the processor's second cache."""
TABLE_RGB = (72.0 / 255.0, 86.0 / 255.0, 79.0 / 255.0)
"""The table in the renderer's light, 0..1 (its colour in the URDF, shaded); a test compares it."""
CAMERA_HEIGHT_M = 0.70
PIXEL_RAD = 2.0 * float(np.tan(0.5 * COLOR_FOV_RAD)) / COLOR_SIZE[0]
TEXTURE_PATCH_PX = {"none": 1.0, "grain": 4.0, "fibre": 5.0, "brush": 7.0, "weave": 9.0}
"""Pixels that share one value of the texture (sensors/rgbd.py): so much of it stays in the mean of a cell."""
_PATCHES = np.array([TEXTURE_PATCH_PX[name] for name in TEXTURES])
HOLE_BLOB, HOLE_GRAIN = 0.8, 0.78
"""Standard deviation of the field behind holes between cells and within one: patches are a bit larger than cells."""
BETWEEN = 1.25
"""Variance of lightness within a cell over that of its four fine places: 4/3 for a slope, 1 for steps between them."""
LATTICE = 0.26
"""Spread of the number of pixels whose centres lie in a cell, over the square root of that number."""
HEIGHT_PATCH_PX = 1.7
"""Pixels that share their depth noise after the segmentation's median."""
RIM_LOSS, RIM_SPREAD = 0.18, 0.2
"""The outline is rough by a pixel: cells at the rim look lower by this over the pixels along their side, and vary."""
COMMON_HEIGHT = 0.55
"""Share of the seen height's error that is not in the heights of the cells as well."""
RIM_TEXTURE = 0.09
"""Relative spread of lightness that sides and the table bring into cells at the rim, over the same pixels."""
RIM_FILL = 0.04
"""Of part from part, how much of the cells at the rim is filled."""
SMEAR_M = 1e-3
"""What lies so little outside of the part's own box still shows it: the outline is rough by a pixel."""


@lru_cache(maxsize=1)
def _steps() -> tuple[np.ndarray, np.ndarray]:
    """(F,) places along the length and along the width of the seen box, -0.5..0.5: fine places of all cells in turn."""
    fine = (np.arange(CELLS * SUB) + 0.5) / (CELLS * SUB) - 0.5
    along, across = np.meshgrid(fine, fine, indexing="ij")
    order = [grid.reshape(CELLS, SUB, CELLS, SUB).transpose(1, 3, 0, 2).ravel() for grid in (along, across)]
    return order[0], order[1]


@lru_cache(maxsize=1)
def _rim() -> np.ndarray:
    """(1, 64) 1 for the outermost cells."""
    rim = np.ones((CELLS, CELLS), np.float32)
    rim[1:-1, 1:-1] = 0.0
    return rim.reshape(1, COUNT)


def _single(xp: Any, values: Array) -> Array:
    return values.astype(np.float32) if xp is np else xp.astype(values, xp.float32)


@lru_cache(maxsize=8)
def _numpy_row(values: tuple[float, ...]) -> np.ndarray:
    return np.array([values], np.float32)


def _row(xp: Any, values: tuple[float, ...], like: Array) -> Array:
    return _numpy_row(values) if xp is np else xp.asarray([values], dtype=xp.float32, device=like.device)


@lru_cache(maxsize=8)
def _offsets(n: int) -> np.ndarray:
    return (np.arange(n) * (GRID * GRID))[:, None]


def _flat(xp: Any, index: Array) -> Array:
    """The same cells in maps that are laid end to end."""
    n = index.shape[0]
    return index + (_offsets(n) if xp is np else xp.asarray(_offsets(n), device=index.device))


def _pooled(xp: Any, values: Array) -> Array:
    """(..., 64) sums over the fine places (..., F) of each cell."""
    fine = xp.reshape(values, (*values.shape[:-1], SUBS, COUNT))
    return fine[..., 0, :] + fine[..., 1, :] + fine[..., 2, :] + fine[..., 3, :]


def seen_grid(batch: Any, rows: Any, devices: Any) -> SeenGrid:
    """What `surface_view` needs and no touch changes: to be kept as long as the parts lie where they lie.

    Args:
        batch: n parts.
        rows: `LibraryRows` of n.
        devices: `DeviceBatch` of n.
    """
    n = rows.yaw_rad.shape[0]
    if n > BLOCK:
        grids = [seen_grid(batch.rows(k), rows.rows(k), devices.rows(k)) for k in _blocks(n)]
        join = namespace(batch.dimensions_m).concat
        return SeenGrid(*(join([getattr(grid, field.name) for grid in grids], axis=0) for field in fields(SeenGrid)))
    xp = namespace(batch.dimensions_m)
    size, extent = mean_size(rows), batch.dimensions_m
    along, across = _steps()
    a, b = size[:, 0:1] * constant(along, extent), size[:, 1:2] * constant(across, extent)
    yaw = seen_axis(rows)
    cos, sin = xp.cos(yaw)[:, None], xp.sin(yaw)[:, None]
    x = rows.seen_center_m[:, 0:1] + cos * a - sin * b
    y = rows.seen_center_m[:, 1:2] + sin * a + cos * b
    ix = limited((x / extent[:, 0:1] + 0.5) * GRID, 0.0, GRID - 1.0)
    iy = limited((y / extent[:, 1:2] + 0.5) * GRID, 0.0, GRID - 1.0)
    index = integers(ix) * GRID + integers(iy)
    flat = _flat(xp, index)

    def look_up(values: Array) -> Array:
        return _single(xp, xp.reshape(values, (-1,))[flat])

    height = look_up(rows.height_m)
    # The camera looks down: what is on top is seen. Beyond the part's own box there is table.
    there = (
        ~xp.isnan(height) & (xp.abs(x) < 0.5 * extent[:, 0:1] + SMEAR_M) & (xp.abs(y) < 0.5 * extent[:, 1:2] + SMEAR_M)
    )
    visible = _single(xp, there)
    shade, lit = look_up(rows.shade), look_up(rows.visible)
    usual = (shade * lit).sum(axis=1) / limited(lit.sum(axis=1), 1.0, 1e9)
    shade = xp.where(lit > 0.0, shade, usual[:, None])
    bracket = batch.shape == SHAPES.index("bracket")
    if some(bracket):
        step = (xp.abs(sin) * size[:, 0:1] + xp.abs(cos) * size[:, 1:2]) / (CELLS * SUB)
        height = xp.where(bracket[:, None], _single(xp, _bracket_m(extent, y, step)), height)
    height = xp.where(there, height, xp.zeros_like(height)) / _single(xp, size[:, 2:3])
    seen = _pooled(xp, visible)
    distance = CAMERA_HEIGHT_M - size[:, 2:3]
    patch = constant(_PATCHES, extent)[batch.texture]
    camera = _single(xp, devices.white_balance * devices.exposure[:, None])
    shine = camera * _row(xp, TABLE_RGB, camera)
    table = limited(xp.round(shine * 255.0), 5.0, 255.0) * (1.0 / 255.0)
    pixel_noise = _single(xp, xp.sqrt(devices.color_noise**2 + 1.0 / 12.0) * (1.0 / 255.0))
    pixels = _single(xp, size[:, 0:1] * size[:, 1:2] / COUNT / (distance * PIXEL_RAD) ** 2)
    share = seen * (1.0 / SUBS)
    counted = limited(share * pixels, 1.0, 1e6)
    kept = limited(_single(xp, patch)[:, None] / counted, 0.0, 1.0)
    contrast = _single(xp, batch.texture_contrast)[:, None]
    depth_noise = _single(xp, devices.depth_noise_per_m[:, None] * distance**2 / size[:, 2:3])
    shared = HEIGHT_PATCH_PX / (share * pixels + HEIGHT_PATCH_PX)
    # cells that are partly filled are mostly edge
    rim = constant(_rim(), pixels) / xp.sqrt(pixels) / limited(share, 0.25, 1.0)
    scale = 1.0 / limited(seen, 1e-3, float(SUBS))
    grain = pixel_noise[:, None] / table
    return SeenGrid(
        index=index,
        x_m=_single(xp, x),
        y_m=_single(xp, y),
        shade=shade,
        visible=visible,
        height=_pooled(xp, visible * height) * scale * (1.0 - RIM_LOSS * rim),
        seen=share,
        edge=RIM_TEXTURE * rim,
        height_noise=xp.sqrt(depth_noise**2 * shared + (RIM_SPREAD * rim) ** 2),
        scale=scale,
        counted=counted,
        root=_single(xp, seen > 0.0) / xp.sqrt(counted),
        lattice=LATTICE / xp.sqrt(pixels),
        kept=kept,
        mottle=contrast * xp.sqrt(kept) * coarse_normals(batch.key, "texture", COUNT)[0],
        layers=layer_values(batch),
        clear=_single(xp, batch.transparency)[:, None],
        lamp_m=_single(xp, lamp_place_m(batch)),
        contrast=contrast,
        camera=(camera / table)[..., None],
        limit=(1.0 / table)[..., None],
        grain=grain[..., None],
        grey=((grain * _row(xp, LUMA, grain)) ** 2).sum(axis=1)[:, None],
    )


def _bracket_m(extent: Array, y: Array, step: Array) -> Array:
    """(n, F) mean height of brackets, m: the flange is thinner than the places are apart."""
    xp = namespace(y)
    low, high = BRACKET_THICKNESS_M
    plate = xp.minimum(limited(BRACKET_THICKNESS_SHARE * extent[:, 2:3], low, high), 0.5 * extent[:, 2:3])
    flange = xp.minimum(plate, FLANGE_SHARE * extent[:, 1:2])
    covered = limited((flange - 0.5 * extent[:, 1:2] - y) / step + 0.5, 0.0, 1.0)
    return plate + (extent[:, 2:3] - plate) * covered


def surface_view(
    batch: Any, maps: SurfaceMaps, rows: Any, devices: Any, keys: Array,
    grid: SeenGrid | PictureGrid | None = None, seen_height_m: Array | None = None, means: Array | None = None,
) -> Array:  # fmt: skip
    """Surface maps of n parts as one picture of each would give them.

    Args:
        batch: n parts.
        maps: their surfaces now.
        rows: `LibraryRows` of n.
        devices: `DeviceBatch` of n: white balance, exposure and noise of the camera.
        keys: (n,) int64 of part and probe, for the noise.
        grid: `seen_grid(batch, rows, devices)`, if it is known; of the other arguments only `maps` is then looked at.
        seen_height_m: (n,) height of the seen box in this look (`sizes.seen_size`), with which heights are compared;
            None: without error. Needs `rows`.
        means: (n, 6, 64) `surface_means(maps, grid)`, if they are known; needs `grid`, and only `rows` then.

    Returns:
        (n, 8, 8, C) float32 in the order of `surface_map.CHANNELS`.
    """
    n = keys.shape[0]
    if grid is None:
        grid = seen_grid(batch, rows, devices)
    if means is None:
        assert isinstance(grid, SeenGrid)
        means = surface_means(maps, grid)
    if n > BLOCK:
        views = [_with_noise(grid.cells(k), means[k], keys[k]) for k in _blocks(n)]
        view = namespace(keys).concat(views, axis=0)
    else:
        view = _with_noise(grid, means, keys)
    if seen_height_m is not None:
        error = COMMON_HEIGHT * (mean_size(rows)[:, 2] / seen_height_m - 1.0)
        view[..., -1] *= 1.0 + _single(namespace(keys), error)[:, None, None]
    return view


def _blocks(n: int) -> list[slice]:
    return [slice(start, min(start + BLOCK, n)) for start in range(0, n, BLOCK)]


def surface_means(maps: SurfaceMaps, grid: SeenGrid) -> Array:
    """(n, 6, 64) means over the cells of red, green, blue, squared lightness, chance of holes and share of bare body.

    They belong to the surface: pictures of the same one differ by their noise alone.

    Args:
        maps: surfaces of n parts.
        grid: of the same parts.
    """
    xp = namespace(grid.shade)
    if len(grid) > BLOCK:
        return xp.concat([surface_means(maps.rows(k), grid.rows(k)) for k in _blocks(len(grid))], axis=0)
    covers = (maps.coat, maps.label, maps.film_um, maps.dirt)
    flat = _flat(xp, grid.index)
    coat, label, film_um, dirt = (_single(xp, xp.reshape(cover, (-1,))[flat]) for cover in covers)
    shares = layer_shares(coat, label, dirt)
    dry = xp.matmul(grid.layers, xp.stack(shares, axis=1))
    factor, gloss = wet_look(film_um, 1.0, dry[:, 3])
    colours = dry[:, :3] * factor[:, None, :]
    clear = grid.clear * shares[0]
    luminance = xp.matmul(_row(xp, LUMINANCE, colours), colours)[:, 0]
    chance = hole_share(luminance, gloss, clear)
    colours = colours * grid.shade[:, None, :]
    if some(grid.clear):
        colours = colours + (CLEAR_SHARE * clear)[:, None, :] * (_row(xp, TABLE_RGB, colours)[..., None] - colours)
    colours = (colours + highlight(grid.lamp_m, grid.x_m, grid.y_m, gloss)[:, None, :]) * grid.camera
    colours = xp.minimum(colours, grid.limit)
    light = xp.matmul(_row(xp, LUMA, colours), colours)
    stacked = xp.concat((colours, light * light, chance[:, None, :], shares[0][:, None, :]), axis=1)
    return _pooled(xp, stacked * grid.visible[:, None, :]) * grid.scale[:, None, :]


def _below(x: Array) -> Array:
    """The normal distribution's integral, within 2e-4 (Page 1977): right in the tails, where most cells are."""
    xp = namespace(x)
    bounded = limited(x, -6.0, 6.0)
    return 1.0 / (1.0 + xp.exp(bounded * (-1.5976 - 0.07056 * bounded * bounded)))


def _with_noise(grid: SeenGrid | PictureGrid, pooled: Array, keys: Array) -> Array:
    """The map from its cells' means (n, 6, 64)."""
    xp, noise = namespace(keys), coarse_normals(keys, "vision", COUNT)
    colours, counted, root = pooled[:, :3], grid.counted, grid.root
    present = root > 0.0
    light = xp.matmul(_row(xp, LUMA, colours), colours)[:, 0]
    mottle, contrast = 1.0 + grid.mottle * pooled[:, 5], grid.contrast * pooled[:, 5]
    between = limited(pooled[:, 3] - light * light, 0.0, 1e9)
    rough = (contrast * light) ** 2 * (1.0 - grid.kept) + (grid.edge * light) ** 2
    spread = xp.sqrt((BETWEEN * between + rough + grid.grey) * (counted / (1.0 + counted)))
    usual = ((grid.seen * light).sum(axis=1) / (grid.seen.sum(axis=1) + 1e-6))[:, None]
    above = (light - usual - HIGHLIGHT) / (spread + 0.02)
    field = coarse_quantile(pooled[:, 4]) * math.hypot(HOLE_BLOB, HOLE_GRAIN) - HOLE_BLOB * noise[5]
    share = _below(field * (1.0 / HOLE_GRAIN))
    holes = xp.floor(share * counted + (0.5 + 0.29 * limited(noise[1], -1.7, 1.65))) / counted
    # nearly independent of the noise of single cells: a 64th of its variance
    rough_rim = (RIM_FILL * 0.125) * noise[5].sum(axis=1)[:, None] * constant(_rim(), light)
    colours = colours * mottle[:, None, :] + grid.grain * root[:, None, :] * xp.permute_dims(noise[1:4], (1, 0, 2))
    values = xp.concat(
        [channel[:, :, None] for channel in (
            limited(grid.seen * (1.0 + grid.lattice * noise[0] + rough_rim), 0.0, 1.0),
            colours[:, 0],
            colours[:, 1],
            colours[:, 2],
            present * spread * (1.0 + 0.7071 * root * limited(noise[4], -1.0, 3.0)),
            present * xp.floor(_below(above) * counted + 0.5) / counted,
            present * limited(holes, 0.0, 1.0),
            present * (grid.height + grid.height_noise * noise[4]),
        )],
        axis=2,
    )  # fmt: skip
    return xp.reshape(values, (-1, CELLS, CELLS, len(CHANNELS)))
