"""The part on the table: from one RGB-D picture to a mask, size, volume, spots to touch and a grasp.

Depth over the known table plane decides what is part; where depth has holes (clear or glossy black parts) the hole
itself counts when its colour differs from the table's or when it touches measured part. All geometry is in the base
frame, metres. NumPy and OpenCV only; 2 to 5 ms for 320x240.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from palpate_agents.observation import CameraGeometry, FloatArray, ProbeWindows
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


def segment(windows: ProbeWindows, table_height_m: float, region: Region) -> PartView:
    """Finds the part in the picture of a window.

    Args:
        windows: needs `color`, `depth_m` and `camera`.
        table_height_m: z of the table in the base frame.
        region: where a part may lie.

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
    depth_c = np.asarray(depth[rows, cols], np.float64)
    depth_c = np.where(np.isfinite(depth_c) & (depth_c > 0), depth_c, 0.0)
    rays, origin = _rays(camera, rows, cols)
    hole = depth_c == 0
    table_depth = _table_depth(rays, origin, table_height_m)
    on_table = origin + rays * table_depth[..., None]
    points = origin + rays * (depth_c * _depth_scale(depth_c, table_depth))[..., None]
    height = _smooth_height(points[..., 2] - table_height_m, hole)
    place = np.where(hole[..., None], on_table, points)
    inside = (place[..., 0] > region[0]) & (place[..., 0] < region[1])
    inside &= (place[..., 1] > region[2]) & (place[..., 1] < region[3])
    solid = inside & ~hole & (height > MIN_HEIGHT_M) & (height < MAX_HEIGHT_M)
    table = inside & ~hole & (np.abs(height) < MIN_HEIGHT_M)
    pixel_m = float(np.median(np.linalg.norm(on_table - origin, axis=-1))) / camera.fx
    candidate = solid | (inside & hole & _unlike_table(color[rows, cols], table, solid))
    mask, count, solidity = _components(candidate, pixel_m)

    full = np.zeros(depth.shape, bool)
    table_full = full.copy()
    table_full[rows, cols] = table & ~cv2.dilate(candidate.astype(np.uint8), np.ones((7, 7), np.uint8)).astype(bool)
    if count == 0:
        return _nothing(full, "no part on the table", table_full)
    full[rows, cols] = mask
    touching = count > 1 or solidity < MIN_SOLIDITY or two_tops(height, mask, hole)
    return _measure(
        full, table_full, mask, points, height, hole, on_table, origin, pixel_m, table_height_m, touching, count
    )


def _measure(
    full: NDArray[np.bool_], table_full: NDArray[np.bool_], mask: NDArray[np.bool_], points: FloatArray,
    height: FloatArray, hole: NDArray[np.bool_], on_table: FloatArray, origin: FloatArray, pixel_m: float,
    table_height_m: float, touching: bool, count: int,
) -> PartView:  # fmt: skip
    """Size, volume, spots and grasp of the mask (all arrays cropped to the region)."""
    seen = mask & ~hole
    hole_fraction = 1.0 - seen.sum() / mask.sum()
    notes = []
    if touching:
        notes.append(
            f"{count} parts in the region"
            if count > 1
            else "the outline is not convex or holds two heights: parts touch"
        )
    if seen.sum() >= 20:
        high = height[seen]
        top = float(np.median(high[high > 0.6 * np.percentile(high, 98)]))
    else:
        top = GUESSED_HEIGHT_M
        notes.append("depth saw nothing of the part: its height is a guess")
    # A hole is given the height of the surface, its place from the ray there.
    lifted = on_table + (origin - on_table) * (top / (origin[2] - table_height_m))
    surface = np.where(seen[..., None], points, lifted)
    surface[..., 2] = np.where(seen, table_height_m + height, surface[..., 2])
    inner = surface[mask]
    (cx, cy), length, width, yaw = _rectangle(inner[:, :2])
    volume = _volume(surface, mask, table_height_m, pixel_m) if hole_fraction < MAX_HOLES else np.nan
    spots = _spots(surface, mask, pixel_m, np.array([cx, cy]), length)
    if not spots:
        spots = (Spot((cx, cy, table_height_m + top), (0.0, 0.0, 1.0), np.nan, 0.0),)
        notes.append("no flat spot: touching at the centre")
    stride = max(1, len(inner) // 2000)
    angle = (yaw + np.pi / 2 + np.pi / 2) % np.pi - np.pi / 2
    return PartView(
        found=True, reason="; ".join(notes), touching=touching, mask=full, table_mask=table_full,
        centroid_m=(cx, cy, table_height_m + top / 2), extent_m=(length, width, top), yaw_rad=yaw,
        volume_m3=volume, hole_fraction=float(hole_fraction), spots=spots,
        points_m=inner[::stride][:2000], pixels_m=inner, pixel_holes=hole[mask], grasp_width_m=width,
        grasp_angle_rad=float(angle), graspable=bool(width <= HAND_OPENING_M and not touching),
    )  # fmt: skip


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


def _rays(camera: CameraGeometry, rows: slice, cols: slice) -> tuple[FloatArray, FloatArray]:
    """(h, w, 3) rays with unit depth along the optical axis, base frame, and the (3,) camera centre."""
    v, u = np.mgrid[rows, cols].astype(np.float64)
    local = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones_like(u)], axis=-1)
    pose = np.asarray(camera.pose, np.float64)
    return local @ pose[:3, :3].T, pose[:3, 3]


def _table_depth(rays: FloatArray, origin: FloatArray, table_height_m: float) -> FloatArray:
    """(h, w) depth at which each ray meets the table plane; far away for rays that never do."""
    down = np.where(rays[..., 2] < -1e-6, rays[..., 2], -1e-6)
    return np.clip((table_height_m - origin[2]) / down, 0.0, 100.0)


def _depth_scale(depth_m: FloatArray, table_depth_m: FloatArray) -> float:
    """Factor that puts the bare table at its known height: at 0.7 m a scale error of 0.5 % is 3.5 mm.

    1 when less than a fifth of the region looks like table, or when the error is beyond any calibrated camera's.
    """
    ratio = depth_m / table_depth_m
    near = np.abs(ratio - 1.0) < MAX_SCALE_ERROR
    if near.mean() < 0.2:
        return 1.0
    first = np.median(ratio[near])
    close = np.abs(ratio - first) * table_depth_m < 2 * MIN_HEIGHT_M
    return float(1.0 / np.median(ratio[close]))


def _smooth_height(height: FloatArray, hole: NDArray[np.bool_]) -> FloatArray:
    """Median of 3x3 with holes filled by the mean of what is measured near them, so that a hole spoils no neighbour."""
    valid = (~hole).astype(np.float64)
    near = cv2.boxFilter(height * valid, -1, (5, 5), normalize=False)
    near = near / np.maximum(cv2.boxFilter(valid, -1, (5, 5), normalize=False), 1.0)
    return cv2.medianBlur(np.where(hole, near, height).astype(np.float32), 3).astype(np.float64)


def _unlike_table(color: NDArray[np.uint8], table: NDArray[np.bool_], solid: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels whose colour is not the table's (more than 6 robust deviations in Lab), or that touch measured part."""
    near = cv2.dilate(solid.astype(np.uint8), np.ones((9, 9), np.uint8)).astype(bool)
    if table.sum() < 50:
        return near
    lab = cv2.cvtColor(np.ascontiguousarray(color), cv2.COLOR_RGB2LAB).astype(np.float64)
    reference = np.median(lab[table], axis=0)
    spread = 1.4826 * np.median(np.abs(lab[table] - reference), axis=0) + 2.0
    return near | (np.max(np.abs(lab - reference) / spread, axis=-1) > 6.0)


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
    return filled.astype(bool), int(np.sum(areas >= 0.25 * areas[best])), float(filled.sum() / hull.sum())


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
    x, y, h = surface[..., 0], surface[..., 1], surface[..., 2] - table_height_m
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
    surface: FloatArray, mask: NDArray[np.bool_], pixel_m: float, centre: FloatArray, length: float
) -> tuple[Spot, ...]:
    """Places where a window of 8 mm is flat and faces upwards, best first."""
    size = max(3, 2 * round(SPOT_WINDOW_M / pixel_m / 2) + 1)
    rows, cols = np.nonzero(mask)
    box = (slice(rows.min(), rows.max() + 1), slice(cols.min(), cols.max() + 1))
    weight = mask[box].astype(np.float64)
    offset = np.array([centre[0], centre[1], float(np.median(surface[mask][:, 2]))])
    x, y, z = np.moveaxis((surface[box] - offset) * weight[..., None], -1, 0)
    stack = np.stack([weight, x, y, z, x * x, x * y, y * y, x * z, y * z, z * z], axis=-1)
    parts = [cv2.boxFilter(stack[..., i], -1, (size, size), normalize=False, borderType=cv2.BORDER_CONSTANT)
             for i in range(stack.shape[-1])]  # fmt: skip
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
    flat = mask[box] & (parts[0] >= 0.99 * size * size) & (determinant > 1e-14) & (tilt < MAX_SPOT_TILT_RAD)
    if not flat.any():
        return ()
    # `flat` is the area where a whole window fits, so half a window of clearance is already inside it.
    padded = cv2.copyMakeBorder(flat.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    inside = cv2.distanceTransform(padded, cv2.DIST_L2, 3)[1:-1, 1:-1]
    clearance = inside * pixel_m + SPOT_WINDOW_M / 2
    away = np.hypot(mx, my) / max(length / 2, 1e-3)
    score = np.minimum(clearance, 0.012) / 0.004 - residual / 0.0005 - tilt / 0.15 - 0.5 * away
    score = np.where(flat, score, -np.inf)
    chosen: list[Spot] = []
    for _ in range(MAX_SPOTS):
        i, j = np.unravel_index(int(np.argmax(score)), score.shape)
        if not np.isfinite(score[i, j]):
            break
        up = np.array([-a[i, j], -b[i, j], 1.0])
        up /= np.linalg.norm(up)
        point = offset + np.array([mx[i, j], my[i, j], mz[i, j]])
        chosen.append(
            Spot(
                (float(point[0]), float(point[1]), float(point[2])),
                (float(up[0]), float(up[1]), float(up[2])),
                float(residual[i, j]),
                float(clearance[i, j]),
            )
        )
        score[np.hypot(mx - mx[i, j], my - my[i, j]) < SPOT_SPACING_M] = -np.inf
    return tuple(chosen)
