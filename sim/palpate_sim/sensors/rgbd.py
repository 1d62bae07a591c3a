"""Stereo RGB-D camera (D435 class): what it does to rendered pictures."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, uniform_filter

from palpate_sim.devices import DeviceDraw
from palpate_sim.objects import Part

HOLE_BLOB_PX = 6
GLOSSY_BLACK_LUMINANCE = 0.12
TEXTURE_REFERENCE_PX = 3


def _blobs(shape: tuple[int, ...], rng: np.random.Generator, size: int) -> NDArray[np.float64]:
    """Random field with unit variance and patches of about `size` pixels."""
    rows, columns = shape[0] // size + 2, shape[1] // size + 2
    coarse = rng.standard_normal((rows, columns))
    field = np.repeat(np.repeat(coarse, size, axis=0), size, axis=1)
    top, left = rng.integers(size, size=2)
    return field[top : top + shape[0], left : left + shape[1]]


def hole_share(part: Part) -> float:
    """Expected share of the part's pixels without depth: clear parts, and glossy black ones."""
    luminance = float(np.dot(part.rgb, (0.2126, 0.7152, 0.0722)))
    dark = float(np.clip(1.0 - luminance / GLOSSY_BLACK_LUMINANCE, 0.0, 1.0))
    return float(np.clip(0.85 * part.transparency**2 + 0.7 * dark * part.gloss**2 + 0.002, 0.0, 0.95))


def depth_noise(
    depth_m: NDArray[np.floating],
    segmentation: NDArray[np.bool_],
    part: Part,
    devices: DeviceDraw,
    rng: np.random.Generator,
) -> NDArray[np.uint16]:
    """What the camera reports of a true depth picture.

    Standard deviation `z^2 s / (f B)`, half of it shared by neighbours as block matching does; a shadow without depth
    beside every edge; holes in patches on clear and on glossy black parts, and the ground seen through clear ones.

    Args:
        depth_m: (H, W) true depth along the optical axis, metres; 0 where nothing is.
        segmentation: (H, W) the part.
        part: what it is.
        devices: scale and noise.
        rng: noise.

    Returns:
        (H, W) uint16 millimetres, 0 invalid.
    """
    depth = np.asarray(depth_m, float) * devices.depth_scale
    sigma = devices.depth_noise_per_m * depth**2
    shared = _blobs(depth.shape, rng, 2)
    noisy = depth + sigma * np.sqrt(0.5) * (shared + rng.standard_normal(depth.shape, dtype=np.float32))
    holes = _holes(depth, segmentation, part, rng)
    return np.where(holes | (depth <= 0.0), 0, np.clip(np.rint(noisy * 1e3), 0, 65535)).astype(np.uint16)


def _holes(
    depth: NDArray[np.floating], mask: NDArray[np.bool_], part: Part, rng: np.random.Generator
) -> NDArray[np.bool_]:
    holes = np.zeros(depth.shape, bool)
    step = np.abs(np.diff(depth, axis=1, append=depth[:, -1:])) > 0.02
    holes |= binary_dilation(step, structure=np.ones((1, 2), bool)) & (rng.random(depth.shape) < 0.7)
    if mask.any():
        field = _blobs(depth.shape, rng, HOLE_BLOB_PX)[mask] + 0.5 * rng.standard_normal(int(mask.sum()))
        holes[mask] |= field < np.quantile(field, hole_share(part))
    return holes


def _texture(part: Part, shape: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float64]:
    """(H, W) relative contrast of the surface: grain, fibres, brush marks or weave."""
    noise = rng.standard_normal(shape)
    if part.texture == "fibre":
        return 2.2 * uniform_filter(noise, (1, 5))
    if part.texture == "brush":
        return 2.6 * uniform_filter(noise, (1, 7))
    if part.texture == "weave":
        rows, columns = np.indices(shape) // TEXTURE_REFERENCE_PX
        return np.where((rows + columns) % 2 == 0, 1.0, -1.0) + 0.3 * noise
    return 1.7 * uniform_filter(noise, 2)


def color_noise(
    rgb: NDArray[np.uint8], part_mask: NDArray[np.bool_], part: Part, devices: DeviceDraw, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """What the camera makes of a rendered picture: texture, gloss, clearness, white balance, exposure, noise.

    Args:
        rgb: (H, W, 3) uint8 rendered with the part's base colour.
        part_mask: (H, W) the part.
        part: its look.
        devices: white balance, exposure, noise.
        rng: noise.
    """
    picture = rgb.astype(np.float32)
    if part_mask.any():
        rows, columns = np.nonzero(part_mask)
        window = (slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1))
        mask = part_mask[window]
        patch = picture[window]
        ground = np.median(picture[~part_mask][::7], axis=0) if not part_mask.all() else np.zeros(3)
        still = np.random.default_rng(part.seed)  # texture and mirrored lamp stay from picture to picture
        surface = patch * (1.0 + part.texture_contrast * _texture(part, mask.shape, still))[..., None]
        surface = (1.0 - 0.8 * part.transparency) * surface + 0.8 * part.transparency * ground
        surface += _highlight(mask.shape, part.gloss, still)[..., None]
        picture[window] = np.where(mask[..., None], surface, patch)
    picture *= np.asarray(devices.white_balance, np.float32) * np.float32(devices.exposure)
    picture += np.float32(devices.color_noise) * rng.standard_normal(picture.shape, dtype=np.float32)
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def _highlight(shape: tuple[int, int], gloss: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """(H, W) mirror image of a lamp: small and bright on glossy parts, wide and faint on matt ones."""
    rows, columns = np.indices(shape)
    center = rng.uniform(0.2, 0.8, 2) * np.asarray(shape)
    width = (0.08 + 0.35 * (1.0 - gloss)) * max(shape)
    distance = (rows - center[0]) ** 2 + (columns - center[1]) ** 2
    return 180.0 * gloss**2 * np.exp(-distance / (2.0 * width**2))
