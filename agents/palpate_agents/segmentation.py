"""The part on the table: from one RGB-D picture to a mask, size, volume, spots to touch and a grasp.

Depth over the known table plane decides what is part; where depth has holes (clear or glossy black parts) the hole
itself counts when its colour differs from the table's or when it touches measured part. All geometry is in the base
frame, metres. NumPy and OpenCV only; 2 to 4 ms for 320x240.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from palpate_agents.medians import median
from palpate_agents.observation import CameraGeometry, FloatArray, ProbeWindows
from palpate_agents.segmentation_color import unlike_table
from palpate_agents.segmentation_rays import TableRays, rays_to_table
from palpate_agents.touching import two_tops

Region = tuple[float, float, float, float]
"""x_min, x_max, y_min, y_max of the table area where a part may lie, metres, base frame."""

HAND_OPENING_M = 0.078
"""The Panda hand opens 80 mm; 2 mm are left for the error of the picture."""
MIN_HEIGHT_M = 0.004
"""Lower than this is table; a D435-class camera has 0.9 mm noise at 0.5 m (PHYSICS: z^2 s / (f B))."""
MAX_HEIGHT_M = 0.15
MAX_SCALE_ERROR = 0.02
MIN_AREA_M2 = 60e-6
"""Smaller blobs are noise: the smallest part is 20 mm wide and 10 mm high."""
SPOT_WINDOW_M = 0.008
SPOT_SPACING_M = 0.008
MAX_SPOTS = 8
MAX_SPOT_TILT_RAD = 0.45
MIN_SOLIDITY = 0.87
"""Area over area of the convex hull; two parts that touch at an angle stay below."""
MAX_HOLES = 0.95
"""With more, no height is known and so no volume."""
GUESSED_HEIGHT_M = 0.03
"""Where depth saw nothing of the part: a guarded descent from here finds the surface."""


@dataclass(frozen=True)
class Spot:
    """A place to touch.

    Attributes:
        point_m: (3,) on the surface, base frame.
        normal: (3,) outward unit normal.
        flatness_m: rms distance of the surface around it from a plane.
        clearance_m: distance to the nearest edge of the flat area.
    """

    point_m: tuple[float, float, float]
    normal: tuple[float, float, float]
    flatness_m: float
    clearance_m: float


@dataclass(frozen=True)
class PartView:
    """What the camera knows of the part.

    Attributes:
        found: a part lies in the region.
        reason: why not found, or what is doubtful; empty when all is well.
        touching: two parts touch, or more than one lies in the region: neither size nor grasp can be trusted.
        mask: (H, W) bool, pixels of the part (all False when not found).
        table_mask: (H, W) bool, pixels of the bare table inside the region.
        centroid_m: (3,) centre of the footprint at half height.
        extent_m: (3,) length, width (length >= width), height over the table.
        yaw_rad: direction of the length about +z of the base, in [-pi/2, pi/2).
        volume_m3: volume between surface and table; NaN when depth saw too little.
        hole_fraction: share of the mask where depth saw nothing.
        spots: places to touch, best first.
        points_m: (N, 3) points of the visible surface, N <= 2000.
        pixels_m: (K, 3) point behind each pixel of the mask, row by row; pixel_holes: (K,) depth saw nothing there.
        grasp_width_m: width between the fingers; grasp_angle_rad: closing direction about +z.
        graspable: the hand can close around it.
    """

    found: bool
    reason: str
    touching: bool
    mask: NDArray[np.bool_]
    table_mask: NDArray[np.bool_]
    centroid_m: tuple[float, float, float] = (np.nan, np.nan, np.nan)
    extent_m: tuple[float, float, float] = (np.nan, np.nan, np.nan)
    yaw_rad: float = np.nan
    volume_m3: float = np.nan
    hole_fraction: float = np.nan
    spots: tuple[Spot, ...] = ()
    points_m: FloatArray = field(default_factory=lambda: np.zeros((0, 3)))
    pixels_m: FloatArray = field(default_factory=lambda: np.zeros((0, 3)))
    pixel_holes: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))
    grasp_width_m: float = np.nan
    grasp_angle_rad: float = np.nan
    graspable: bool = False


def region_around(position_m: tuple[float, float, float] | FloatArray, half_m: float = 0.10) -> Region:
    """Square region of `half_m` to each side of a nominal position."""
    x, y = float(position_m[0]), float(position_m[1])
    return (x - half_m, x + half_m, y - half_m, y + half_m)


def segment(windows: ProbeWindows, table_height_m: float, region: Region, *, full: bool = True) -> PartView:
    """Finds the part in the picture of a window.

    Args:
        windows: needs `color`, `depth_m` and `camera`.
        table_height_m: z of the table in the base frame.
        region: where a part may lie.
        full: also find volume and spots; without, there are none in the view.

    Returns:
        The view; `found` is False with a reason when the picture is missing, or shows no part. Never raises on data.
    """
    color, depth, camera = windows.color, windows.depth_m, windows.camera
    if color is None or depth is None or camera is None:
        return _nothing(np.zeros((1, 1), bool), "no picture")
    if depth.ndim != 2 or color.shape != (*depth.shape, 3) or color.dtype != np.uint8:
        return _nothing(
            np.zeros((1, 1), bool),
            f"colour is {color.shape} {color.dtype} and depth {depth.shape} pixels, not (H, W, 3) uint8 and (H, W)",
        )
    box = _crop(camera, depth.shape, table_height_m, region)
    if box is None:
        return _nothing(np.zeros(depth.shape, bool), "the camera does not see the region")
    rows, cols = box
    measured = np.asarray(depth[rows, cols], np.float64)
    hole = ~((measured > 0) & (measured < np.inf))
    depth_c = np.where(hole, 0.0, measured)
    rays = rays_to_table(camera, rows, cols, table_height_m)
    # Where depth saw nothing, a pixel is taken to show the table.
    along = np.where(hole, rays.table_depth_m, depth_c * _depth_scale(depth_c, rays.table_depth_m))
    points = rays.rays * along
    points += rays.origin_m[:, None, None]
    height = _smooth_height(np.where(hole, 0.0, points[2] - table_height_m), hole)
    inside = (points[0] > region[0]) & (points[0] < region[1]) & (points[1] > region[2]) & (points[1] < region[3])
    seen = inside & ~hole
    solid = seen & (height > MIN_HEIGHT_M) & (height < MAX_HEIGHT_M)
    table = seen & (np.abs(height) < MIN_HEIGHT_M)
    candidate = solid | unlike_table(color[rows, cols], table, solid, inside & hole)
    mask, count, solidity = _components(candidate, rays.pixel_m)

    whole = np.zeros(depth.shape, bool)
    table_whole = whole.copy()
    table_whole[rows, cols] = table & ~cv2.dilate(candidate.view(np.uint8), np.ones((7, 7), np.uint8)).view(bool)
    if count == 0:
        return _nothing(whole, "no part on the table", table_whole)
    whole[rows, cols] = mask
    near = box_of(mask, 1)  # one pixel around the part, where the outline may be eroded
    touching = count > 1 or solidity < MIN_SOLIDITY or two_tops(height[near], mask[near], hole[near])
    at = box_of(mask)
    cropped = (mask[at], points[:, *at], height[at], hole[at], rays.on_table_m[:, *at])
    return _measure(whole, table_whole, *cropped, rays, table_height_m, touching, count, full)


def _measure(
    whole: NDArray[np.bool_], table_whole: NDArray[np.bool_], mask: NDArray[np.bool_], points: FloatArray,
    height: FloatArray, hole: NDArray[np.bool_], on_table: FloatArray, rays: TableRays, table_height_m: float,
    touching: bool, count: int, full: bool,
) -> PartView:  # fmt: skip
    """Size, volume, spots and grasp of the mask (all arrays but the first two cropped to it)."""
    seen = mask & ~hole
    seen_count = np.count_nonzero(seen)
    hole_fraction = 1.0 - seen_count / np.count_nonzero(mask)
    notes = []
    if touching:
        notes.append(
            f"{count} parts in the region"
            if count > 1
            else "the outline is not convex or holds two heights: parts touch"
        )
    if seen_count >= 20:
        high = height[seen]
        top = float(np.median(high[high > 0.6 * np.percentile(high, 98)]))
    else:
        top = GUESSED_HEIGHT_M
        notes.append("depth saw nothing of the part: its height is a guess")
    # A hole is given the height of the surface, its place from the ray there.
    origin = rays.origin_m
    lifted = on_table + (origin[:, None, None] - on_table) * (top / (origin[2] - table_height_m))
    surface = np.where(seen, points, lifted)
    surface[2] = np.where(seen, table_height_m + height, lifted[2])
    inner = np.stack([plane[mask] for plane in surface], axis=1)
    (cx, cy), length, width, yaw = _rectangle(inner[:, :2])
    volume = np.nan
    spots: tuple[Spot, ...] = ()
    if full:
        if hole_fraction < MAX_HOLES:
            volume = _volume(surface, mask, table_height_m, rays.pixel_m)
        offset = np.array([cx, cy, median(inner[:, 2].copy())])
        spots = _spots(surface, mask, rays.pixel_m, offset, length)
        if not spots:
            spots = (Spot((cx, cy, table_height_m + top), (0.0, 0.0, 1.0), np.nan, 0.0),)
            notes.append("no flat spot: touching at the centre")
    stride = max(1, len(inner) // 2000)
    angle = (yaw + np.pi / 2 + np.pi / 2) % np.pi - np.pi / 2
    return PartView(
        found=True, reason="; ".join(notes), touching=touching, mask=whole, table_mask=table_whole,
        centroid_m=(cx, cy, table_height_m + top / 2), extent_m=(length, width, top), yaw_rad=yaw,
        volume_m3=volume, hole_fraction=float(hole_fraction), spots=spots,
        points_m=inner[::stride][:2000], pixels_m=inner, pixel_holes=hole[mask], grasp_width_m=width,
        grasp_angle_rad=float(angle), graspable=bool(width <= HAND_OPENING_M and not touching),
    )  # fmt: skip


def box_of(mask: NDArray[np.bool_], margin: int = 0) -> tuple[slice, slice]:
    """Rows and columns that hold all of a mask, and a margin where the array has one."""
    x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
    return slice(max(y - margin, 0), y + height + margin), slice(max(x - margin, 0), x + width + margin)


def _nothing(mask: NDArray[np.bool_], reason: str, table: NDArray[np.bool_] | None = None) -> PartView:
    return PartView(False, reason, False, mask, np.zeros_like(mask) if table is None else table)


def _crop(
    camera: CameraGeometry, shape: tuple[int, ...], table_height_m: float, region: Region
) -> tuple[slice, slice] | None:
    """Rows and columns that see the region up to 0.15 m over the table; None when it is out of view."""
    heights = (table_height_m, table_height_m + MAX_HEIGHT_M / 2)
    corners = np.array([[x, y, z] for x in region[:2] for y in region[2:] for z in heights])
    uv, depth = project(corners, camera)
    if np.any(depth <= 0):
        return slice(0, shape[0]), slice(0, shape[1])
    u0, v0 = np.floor(uv.min(axis=0)).astype(int) - 2
    u1, v1 = np.ceil(uv.max(axis=0)).astype(int) + 3
    rows, cols = slice(max(v0, 0), min(v1, shape[0])), slice(max(u0, 0), min(u1, shape[1]))
    if rows.stop - rows.start < 8 or cols.stop - cols.start < 8:
        return None
    return rows, cols


def project(points_m: FloatArray, camera: CameraGeometry) -> tuple[FloatArray, FloatArray]:
    """(N, 3) base-frame points -> (N, 2) pixel coordinates (u, v) and (N,) distance along the optical axis, metres."""
    rotation, origin = np.asarray(camera.pose)[:3, :3], np.asarray(camera.pose)[:3, 3]
    local = (np.atleast_2d(points_m) - origin) @ rotation
    z = local[:, 2]
    safe = np.where(np.abs(z) < 1e-9, 1e-9, z)
    u = camera.fx * local[:, 0] / safe + camera.cx
    v = camera.fy * local[:, 1] / safe + camera.cy
    return np.stack([u, v], axis=1), z


def _depth_scale(depth_m: FloatArray, table_depth_m: FloatArray) -> float:
    """Factor that puts the bare table at its known height: at 0.7 m a scale error of 0.5 % is 3.5 mm.

    1 when less than a fifth of the region looks like table, or when the error is beyond any calibrated camera's.
    """
    ratio = depth_m / table_depth_m
    near = np.abs(ratio - 1.0) < MAX_SCALE_ERROR
    if np.count_nonzero(near) / near.size < 0.2:
        return 1.0
    first = median(ratio[near])
    close = np.abs(ratio - first) * table_depth_m < 2 * MIN_HEIGHT_M
    return 1.0 / median(ratio[close])


def _smooth_height(height: FloatArray, hole: NDArray[np.bool_]) -> FloatArray:
    """Median of 3x3 with holes (height 0) filled by the mean of what is near them, so that a hole spoils no neighbour.

    Pixels that are not near any measurement stay 0.
    """
    total = cv2.boxFilter(height, -1, (5, 5), normalize=False)
    count = cv2.boxFilter((~hole).view(np.uint8), cv2.CV_32S, (5, 5), normalize=False)
    filled = np.where(hole, total / np.maximum(count, 1), height)
    return cv2.medianBlur(filled.astype(np.float32), 3).astype(np.float64)


def _components(candidate: NDArray[np.bool_], pixel_m: float) -> tuple[NDArray[np.bool_], int, float]:
    """Largest blob, number of blobs of at least a quarter of its size, and its solidity."""
    kernel = np.ones((3, 3), np.uint8)
    clean = cv2.morphologyEx(candidate.astype(np.uint8), cv2.MORPH_OPEN, kernel)
    clean = cv2.morphologyEx(clean, cv2.MORPH_CLOSE, kernel)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(clean, connectivity=8)
    if count < 2:
        return np.zeros(candidate.shape, bool), 0, 1.0
    areas = stats[1:, cv2.CC_STAT_AREA]
    best = int(np.argmax(areas))
    if areas[best] * pixel_m**2 < MIN_AREA_M2:
        return np.zeros(candidate.shape, bool), 0, 1.0
    mask = labels == best + 1
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    outline = max(contours, key=len)
    filled = np.zeros(candidate.shape, np.uint8)
    cv2.drawContours(filled, [outline], -1, 1, cv2.FILLED)
    hull = np.zeros_like(filled)
    cv2.fillConvexPoly(hull, cv2.convexHull(outline), 1)
    solidity = np.count_nonzero(filled) / np.count_nonzero(hull)
    return filled.view(bool), int(np.sum(areas >= 0.25 * areas[best])), solidity


def _rectangle(xy: FloatArray) -> tuple[tuple[float, float], float, float, float]:
    """Centre, length, width and yaw of the smallest rectangle, extents cut at 1 % against outliers."""
    centre = np.median(xy, axis=0)
    (_, _), (_, _), degrees = cv2.minAreaRect(((xy - centre) * 1e3).astype(np.float32))
    angle = np.deg2rad(degrees)
    axes = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    local = (xy - centre) @ axes.T
    low, high = np.percentile(local, [1.0, 99.0], axis=0)
    sizes = (high - low) / 0.98  # the half pixel beyond the centres is what noise adds at the edges
    middle = centre + ((low + high) / 2) @ axes
    if sizes[0] < sizes[1]:
        sizes, angle = sizes[::-1], angle + np.pi / 2
    yaw = (angle + np.pi / 2) % np.pi - np.pi / 2
    return (float(middle[0]), float(middle[1])), float(sizes[0]), float(sizes[1]), float(yaw)


def _volume(surface: FloatArray, mask: NDArray[np.bool_], table_height_m: float, pixel_m: float) -> float:
    """Volume under the surface: the mesh of pixel centres over the table, grown by half a pixel along the outline.

    Each quad of four neighbours adds its (signed) area seen from above times its mean height, so that upright side
    faces add nothing wherever the camera stands.
    """
    x, y, h = surface[0], surface[1], surface[2] - table_height_m
    corners = mask[:-1, :-1] & mask[1:, :-1] & mask[1:, 1:] & mask[:-1, 1:]
    area = (x[1:, 1:] - x[:-1, :-1]) * (y[1:, :-1] - y[:-1, 1:])
    area -= (x[1:, :-1] - x[:-1, 1:]) * (y[1:, 1:] - y[:-1, :-1])
    mean = (h[:-1, :-1] + h[1:, :-1] + h[1:, 1:] + h[:-1, 1:]) / 4
    total = abs(0.5 * float(np.sum(area[corners])))
    inside = abs(0.5 * float(np.sum((area * mean)[corners])))
    if total <= 0:
        return np.nan
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    outline_m = max(cv2.arcLength(c, closed=True) for c in contours) * pixel_m
    return inside * (1.0 + 0.5 * outline_m * pixel_m / total)


def _spots(
    surface: FloatArray, mask: NDArray[np.bool_], pixel_m: float, offset: FloatArray, length: float
) -> tuple[Spot, ...]:
    """Places where a window of 8 mm is flat and faces upwards, best first; `offset` keeps the numbers small."""
    size = max(3, 2 * round(SPOT_WINDOW_M / pixel_m / 2) + 1)
    weight = mask.astype(np.float64)
    x, y, z = (surface - offset[:, None, None]) * weight
    sums = [cv2.boxFilter(plane, -1, (size, size), normalize=False, borderType=cv2.BORDER_CONSTANT)
            for plane in (weight, x, y, z, x * x, x * y, y * y, x * z, y * z, z * z)]  # fmt: skip
    fits = mask & (sums[0] >= 0.99 * size * size)
    if not fits.any():
        return ()
    parts = [plane[fits] for plane in sums]
    n = np.maximum(parts[0], 1.0)
    mx, my, mz = parts[1] / n, parts[2] / n, parts[3] / n
    cxx, cxy, cyy = parts[4] / n - mx * mx, parts[5] / n - mx * my, parts[6] / n - my * my
    cxz, cyz, czz = parts[7] / n - mx * mz, parts[8] / n - my * mz, parts[9] / n - mz * mz
    determinant = cxx * cyy - cxy * cxy
    with np.errstate(divide="ignore", invalid="ignore"):
        a = (cxz * cyy - cyz * cxy) / determinant
        b = (cyz * cxx - cxz * cxy) / determinant
        residual = np.sqrt(np.maximum(czz - a * cxz - b * cyz, 0.0))
        tilt = np.arctan(np.hypot(a, b))
    level = (determinant > 1e-14) & (tilt < MAX_SPOT_TILT_RAD)
    if not level.any():
        return ()
    flat = np.zeros_like(mask)
    flat[fits] = level
    # `flat` is the area where a whole window fits, so half a window of clearance is already inside it.
    padded = cv2.copyMakeBorder(flat.view(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    inside = cv2.distanceTransform(padded, cv2.DIST_L2, 3)[1:-1, 1:-1]
    clearance = inside[flat] * pixel_m + SPOT_WINDOW_M / 2
    a, b, mx, my, mz, residual, tilt = (values[level] for values in (a, b, mx, my, mz, residual, tilt))
    away = np.hypot(mx, my) / max(length / 2, 1e-3)
    score = np.minimum(clearance, 0.012) / 0.004 - residual / 0.0005 - tilt / 0.15 - 0.5 * away
    chosen: list[Spot] = []
    for _ in range(MAX_SPOTS):
        k = int(np.argmax(score))
        if not np.isfinite(score[k]):
            break
        up = np.array([-a[k], -b[k], 1.0])
        up /= np.linalg.norm(up)
        px, py, pz = (offset + np.array([mx[k], my[k], mz[k]])).tolist()
        nx, ny, nz = up.tolist()
        chosen.append(Spot((px, py, pz), (nx, ny, nz), float(residual[k]), float(clearance[k])))
        score[np.hypot(mx - mx[k], my - my[k]) < SPOT_SPACING_M] = -np.inf
    return tuple(chosen)
