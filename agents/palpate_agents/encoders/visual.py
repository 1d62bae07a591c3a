"""Visual features of a part: colour, gloss, texture, holes in depth, and size.

Colours are also given relative to the bare table beside the part, which cancels exposure and white balance.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from palpate_agents.encoders.context import PartContext
from palpate_agents.encoders.reading import Reading, Unusable, reading
from palpate_agents.observation import Primitive, ProbeExecution, ProbeWindows

NAMES: tuple[str, ...] = (
    "red_fraction", "green_fraction", "blue_fraction",
    "red_over_table", "green_over_table", "blue_over_table",
    "lightness_p05_fraction", "lightness_p50_fraction", "lightness_p95_fraction",
    "lab_a_mean", "lab_b_mean", "lab_a_std", "lab_b_std", "chroma_mean",
    "saturation_fraction", "lightness_std_fraction", "texture_fine_fraction", "texture_coarse_fraction",
    "gradient_anisotropy_fraction", "highlight_share_fraction", "highlight_excess_fraction", "dark_share_fraction",
    "table_difference_lab", "depth_hole_fraction", "depth_roughness_mm",
    "length_mm", "width_mm", "height_mm", "log10_volume_mm3", "fill_fraction",
)  # fmt: skip
"""In this order; fractions are dimensionless 0..1."""

MIN_PIXELS = 30
NOT_MEASURED = "not measured by this primitive"


def extract_visual(execution: ProbeExecution, windows: ProbeWindows, context: PartContext) -> Reading:
    """Features of the newest picture; only a LOOK is read, since the arm or hand covers the part in other windows."""
    if execution.primitive is not Primitive.LOOK:
        raise Unusable(NOT_MEASURED)
    view = context.view
    if windows.color is None:
        raise Unusable("missing: no colour picture")
    if view is None or not view.found:
        raise Unusable(view.reason if view is not None else "no segmentation")
    color = np.ascontiguousarray(windows.color)
    if color.shape != (*view.mask.shape, 3):
        raise Unusable(f"wrong size: picture {color.shape}, segmentation {view.mask.shape}")
    if color.min() == color.max():
        raise Unusable("every pixel of the colour picture is the same")
    rows, cols = np.nonzero(view.mask)
    box = (slice(max(rows.min() - 4, 0), rows.max() + 5), slice(max(cols.min() - 4, 0), cols.max() + 5))
    mask = view.mask[box]
    inner = cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=0).astype(bool)
    if inner.sum() < MIN_PIXELS:
        inner = mask
    found = _colour(color, color[box], inner, view.table_mask)
    length, width, height = view.extent_m
    found |= {
        "depth_hole_fraction": view.hole_fraction,
        "depth_roughness_mm": view.roughness_m * 1e3,
        "length_mm": length * 1e3,
        "width_mm": width * 1e3,
        "height_mm": height * 1e3,
        "log10_volume_mm3": np.log10(max(view.volume_m3 * 1e9, 1.0)) if np.isfinite(view.volume_m3) else np.nan,
        "fill_fraction": view.volume_m3 / max(length * width * height, 1e-9),
    }
    if view.touching:
        return reading(NAMES, found, 0.3, view.reason)
    return reading(NAMES, found, 1.0 if mask.sum() >= 4 * MIN_PIXELS else 0.6)


def _colour(
    picture: NDArray[np.uint8], crop: NDArray[np.uint8], inner: NDArray[np.bool_], table_mask: NDArray[np.bool_]
) -> dict[str, float]:
    """Colour, texture and gloss of the part's inner pixels (`crop` and `inner` around the part)."""
    lab = cv2.cvtColor(np.ascontiguousarray(crop), cv2.COLOR_RGB2LAB).astype(np.float64)
    lightness, a, b = lab[..., 0] / 255.0, lab[..., 1] - 128.0, lab[..., 2] - 128.0
    rgb = crop[inner].astype(np.float64) / 255.0
    mean = rgb.mean(axis=0)
    light = lightness[inner]
    p05, p50, p95 = (float(p) for p in np.percentile(light, [5, 50, 95]))
    peak, low = rgb.max(axis=1), rgb.min(axis=1)
    fine = lightness - cv2.GaussianBlur(lightness, (0, 0), 1.0)
    coarse = cv2.GaussianBlur(lightness, (0, 0), 1.0) - cv2.GaussianBlur(lightness, (0, 0), 4.0)
    gy, gx = (np.asarray(g)[inner] for g in np.gradient(lightness))
    xx, yy, xy = np.mean(gx**2), np.mean(gy**2), np.mean(gx * gy)
    found = {
        "red_fraction": mean[0],
        "green_fraction": mean[1],
        "blue_fraction": mean[2],
        "lightness_p05_fraction": p05,
        "lightness_p50_fraction": p50,
        "lightness_p95_fraction": p95,
        "lab_a_mean": a[inner].mean(),
        "lab_b_mean": b[inner].mean(),
        "lab_a_std": a[inner].std(),
        "lab_b_std": b[inner].std(),
        "chroma_mean": np.hypot(a[inner], b[inner]).mean(),
        "saturation_fraction": float(np.mean((peak - low) / np.maximum(peak, 0.02))),
        "lightness_std_fraction": light.std(),
        "texture_fine_fraction": fine[inner].std(),
        "texture_coarse_fraction": coarse[inner].std(),
        "gradient_anisotropy_fraction": np.hypot(xx - yy, 2 * xy) / max(xx + yy, 1e-9),
        "highlight_share_fraction": float(np.mean(light > p50 + 0.15)),
        "highlight_excess_fraction": float(light.max() - p50),
        "dark_share_fraction": float(np.mean(light < 0.15)),
    }
    if table_mask.sum() >= MIN_PIXELS:
        table = np.median(picture[table_mask].astype(np.float64) / 255.0, axis=0)
        ratio = mean / np.maximum(table, 0.02)
        found |= {"red_over_table": ratio[0], "green_over_table": ratio[1], "blue_over_table": ratio[2]}
        pixel = np.round(table * 255.0).astype(np.uint8).reshape(1, 1, 3)
        reference = np.asarray(cv2.cvtColor(pixel, cv2.COLOR_RGB2LAB), np.float64).ravel()
        found["table_difference_lab"] = float(np.linalg.norm(lab[inner].mean(axis=0) - reference))
    return found
