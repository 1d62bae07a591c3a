"""Stereo RGB-D camera (D435 class): what it does to rendered pictures.

The renderer draws parts white: its picture is the shade. What lies on a part's surface is painted in here, pixel by
pixel, from the part's surface maps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, uniform_filter

from palpate_sim.devices import DeviceDraw
from palpate_sim.objects import Part, PartBatch
from palpate_sim.sensors.look import (
    CLEAR_SHARE,
    LUMINANCE,
    highlight,
    hole_share,
    lamp_place_m,
    surface_emissivity,
    surface_look,
    weighted,
)
from palpate_sim.surface_maps import GRID, MAPS, SurfaceMaps

HOLE_BLOB_PX = 6
TEXTURE_REFERENCE_PX = 3
EDGE_STEP_M, EDGE_HOLE_SHARE = 0.02, 0.7
"""A step in depth throws a shadow one pixel wide for one of the two eyes; so many of its pixels have no depth."""


@dataclass(frozen=True)
class PixelLook:
    """Surface of one part behind the pixels that see it.

    Attributes:
        mask: (H, W) bool, the pixels; all other arrays follow their row-major order.
        rgb: (K, 3) diffuse colour 0..1; clear, highlight, hole: (K,) clearness, lamp in it, chance of no depth, 0..1.
        texture: (K,) relative contrast, 0 where the body is covered.
    """

    mask: NDArray[np.bool_]
    rgb: NDArray[np.float64]
    clear: NDArray[np.float64]
    highlight: NDArray[np.float64]
    hole: NDArray[np.float64]
    texture: NDArray[np.float64]


def map_values(maps: SurfaceMaps, dimensions_m: Sequence[float], places_m: NDArray) -> list[NDArray[np.float64]]:
    """Coat, label, film and dirt (1, K) of one part at places (K, 2) of its frame, m; the nearest cell's beyond it."""
    share = places_m / np.asarray(dimensions_m[:2]) + 0.5
    ix, iy = np.clip((share * GRID).astype(np.int64), 0, GRID - 1).T
    return [getattr(maps, name)[:1, ix, iy] for name in MAPS]


def pixel_look(part: Part, maps: SurfaceMaps, mask: NDArray[np.bool_], places_m: NDArray) -> PixelLook:
    """Look of one part's pixels.

    Args:
        part: what it is.
        maps: its surface, N = 1.
        mask: (H, W) pixels of the part.
        places_m: (K, 2) x and y in the part's frame behind each of them, m.
    """
    batch = PartBatch.of([part])
    covers = map_values(maps, part.dimensions_m, places_m)
    look = surface_look(batch, *covers)
    texture = np.zeros(len(places_m))
    if part.texture_contrast > 0.0 and len(places_m):
        rows, columns = np.nonzero(mask)
        shape = int(rows.max() - rows.min()) + 1, int(columns.max() - columns.min()) + 1
        still = np.random.default_rng(part.seed & (2**63 - 1))  # the texture stays from picture to picture
        field = _texture(part, shape, still)[rows - rows.min(), columns - columns.min()]
        texture = part.texture_contrast * field * look.bare[0]
    return PixelLook(
        mask,
        np.stack([np.broadcast_to(colour, look.gloss.shape)[0] for colour in look.rgb], axis=-1),
        look.clear[0],
        highlight(lamp_place_m(batch), places_m[None, :, 0], places_m[None, :, 1], look.gloss)[0],
        hole_share(weighted(look.rgb, LUMINANCE), look.gloss, look.clear)[0],
        texture,
    )


def pixel_emissivity(part: Part, maps: SurfaceMaps, places_m: NDArray) -> NDArray[np.float64]:
    """Long-wave infrared emissivity (K,) at places (K, 2) of a part's frame, m; other arguments as `pixel_look`."""
    return surface_emissivity(PartBatch.of([part]), *map_values(maps, part.dimensions_m, places_m))[0]


def _blobs(shape: tuple[int, ...], rng: np.random.Generator, size: int) -> NDArray[np.float64]:
    """Random field with unit variance and patches of about `size` pixels."""
    rows, columns = shape[0] // size + 2, shape[1] // size + 2
    coarse = rng.standard_normal((rows, columns))
    field = np.repeat(np.repeat(coarse, size, axis=0), size, axis=1)
    top, left = rng.integers(size, size=2)
    return field[top : top + shape[0], left : left + shape[1]]


def depth_picture(
    depth_m: NDArray[np.floating], looks: Sequence[PixelLook], devices: DeviceDraw, rng: np.random.Generator
) -> NDArray[np.uint16]:
    """What the camera reports of a true depth picture.

    Standard deviation `z^2 s / (f B)`, half of it shared by neighbours as block matching does; a shadow without depth
    beside every edge; holes in patches where a surface is clear or glossy and black.

    Args:
        depth_m: (H, W) true depth along the optical axis, metres; 0 where nothing is.
        looks: the parts.
        devices: scale and noise.
        rng: noise.

    Returns:
        (H, W) uint16 millimetres, 0 invalid.
    """
    depth = np.asarray(depth_m, float) * devices.depth_scale
    sigma = devices.depth_noise_per_m * depth**2
    shared = _blobs(depth.shape, rng, 2)
    noisy = depth + sigma * np.sqrt(0.5) * (shared + rng.standard_normal(depth.shape, dtype=np.float32))
    step = np.abs(np.diff(depth, axis=1, append=depth[:, -1:])) > EDGE_STEP_M
    holes = binary_dilation(step, structure=np.ones((1, 2), bool)) & (rng.random(depth.shape) < EDGE_HOLE_SHARE)
    for look in looks:
        count = len(look.hole)
        if count:
            field = _blobs(depth.shape, rng, HOLE_BLOB_PX)[look.mask] + 0.5 * rng.standard_normal(count)
            rank = (np.argsort(np.argsort(field)) + 0.5) / count  # evenly spread, so that the share is met on any part
            holes[look.mask] |= rank < look.hole
    return np.where(holes | (depth <= 0.0), 0, np.clip(np.rint(noisy * 1e3), 0, 65535)).astype(np.uint16)


def _texture(part: Part, shape: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float64]:
    """(H, W) unit contrast of the body's surface: grain, fibres, brush marks or weave."""
    noise = rng.standard_normal(shape)
    if part.texture == "fibre":
        return 2.2 * uniform_filter(noise, (1, 5))
    if part.texture == "brush":
        return 2.6 * uniform_filter(noise, (1, 7))
    if part.texture == "weave":
        rows, columns = np.indices(shape) // TEXTURE_REFERENCE_PX
        return np.where((rows + columns) % 2 == 0, 1.0, -1.0) + 0.3 * noise
    return 1.7 * uniform_filter(noise, 2)


def dress(shade: NDArray[np.uint8], looks: Sequence[PixelLook]) -> NDArray[np.float32]:
    """Paints the parts into a rendered picture: colours, texture, what shines through, and the lamp.

    Args:
        shade: (H, W, 3) rendered with white parts.
        looks: the parts.

    Returns:
        (H, W, 3) grey levels, not yet cut at 255.
    """
    picture = shade.astype(np.float32)
    covered = np.zeros(shade.shape[:2], bool)
    for look in looks:
        covered |= look.mask
    few = picture.reshape(-1, 3)[::7][~covered.ravel()[::7]]
    ground = np.median(few, axis=0) if len(few) else np.zeros(3)
    for look in looks:
        surface = picture[look.mask] * look.rgb * (1.0 + look.texture)[:, None]
        surface += CLEAR_SHARE * look.clear[:, None] * (ground - surface)
        picture[look.mask] = surface + 255.0 * look.highlight[:, None]
    return picture


def color_picture(
    dressed: NDArray[np.float32], devices: DeviceDraw, rng: np.random.Generator
) -> NDArray[np.uint8]:  # fmt: skip
    """What the camera makes of a painted picture: white balance, exposure, noise.

    Args:
        dressed: (H, W, 3) from `dress`.
        devices: of the camera.
        rng: noise.
    """
    picture = dressed * (np.asarray(devices.white_balance, np.float32) * np.float32(devices.exposure))
    picture += np.float32(devices.color_noise) * rng.standard_normal(picture.shape, dtype=np.float32)
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)
