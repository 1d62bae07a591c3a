"""Thermal features: the part before it is touched, the warm pad while it touches, and the warm spot afterwards.

The pad's face falls to `Tc = (es Ts + eo To) / (es + eo)` (two half-spaces, PHYSICS.md): the relative dip
`(Ts - T) / (Ts - To)` is `eo / (es + eo)` up to contact conductance and wall thickness, so its log-odds are the log
of the effusivity ratio. The spot's rise and decay tell the same from the other side, times the emissivity.
"""

from __future__ import annotations

import numpy as np

from palpate_agents.encoders.contact_heat import DIP_TIMES_S, pair_columns, touch_columns, two_half_spaces
from palpate_agents.encoders.context import PartContext
from palpate_agents.encoders.pads import PadTouch, pad_touch
from palpate_agents.encoders.reading import Reading, Unusable, reading
from palpate_agents.encoders.visual import NOT_MEASURED
from palpate_agents.observation import CameraGeometry, FloatArray, Outcome, Primitive, ProbeExecution, ProbeWindows
from palpate_agents.segmentation import project

SPOT_TIMES_S = (0.7, 1.0, 1.4)
"""After the end of the dwell."""

NAMES: tuple[str, ...] = (
    "part_minus_ambient_k", "part_spread_k",
    "pad_index", "pad_step_k",
    *(f"pad_dip_{t:g}s_fraction" for t in DIP_TIMES_S),
    "pad_dip_largest_fraction", "pad_log10_effusivity_ratio", "pad_slope_fraction_s05", "pad_recovery_fraction",
    "heater_extra_j_k", "heater_power_rise_w_k",
    "pair_log10_effusivity_ratio", "pair_part_minus_apparent_k",
    *(f"spot_rise_{t:g}s_fraction" for t in SPOT_TIMES_S),
    "spot_log10_rise_fraction", "spot_decay_fraction", "spot_blur_fraction",
)  # fmt: skip

MIN_STEP_K = 15.0
"""Less between pad and part and the dip drowns in noise (PHYSICS.md)."""
PAD_HALF_M = 0.006
MIN_PAIR_K = 10.0
"""Between two pads; with less the ratio of differences drowns in noise."""
ARM_GONE_S = 0.5
"""After the dwell; before that the arm covers the spot."""
COVERED_K = 2.0
"""Change of the ring around the spot that only the arm in front of it can make."""


def extract_thermal(execution: ProbeExecution, windows: ProbeWindows, context: PartContext) -> Reading:
    """Features of a LOOK (the part's own temperature) or a DWELL (pad and warm spot)."""
    if execution.primitive is Primitive.LOOK:
        return _look(windows, context)
    if execution.primitive is not Primitive.DWELL:
        raise Unusable(NOT_MEASURED)
    if execution.outcome not in (Outcome.SUCCEEDED, Outcome.FORCE_LIMIT) or execution.contact_time_ns == 0:
        raise Unusable(f"the probe ended with {execution.outcome.name.lower()}")
    return _dwell(execution, windows, context)


def _look(windows: ProbeWindows, context: PartContext) -> Reading:
    frames, camera = windows.thermal_c, windows.thermal_camera
    if frames.ndim != 3 or not len(frames) or camera is None:
        raise Unusable("missing: no thermal picture")
    if context.view is None or not context.view.found:
        raise Unusable("no part in the colour picture")
    frame = np.asarray(frames[-1], np.float64)
    part, ambient, spread = part_and_ambient(frame, camera, context)
    if not np.isfinite(part + ambient):
        raise Unusable("NaN: no finite pixel on the part or on the table")
    found = {"part_minus_ambient_k": part - ambient, "part_spread_k": spread}
    share = float(np.isfinite(frame).mean())
    if share < 0.99:
        return reading(NAMES, found, 0.5, f"NaN: {1 - share:.0%} of the thermal picture is not finite")
    if context.view.touching:
        return reading(NAMES, found, 0.3, context.view.reason)
    return reading(NAMES, found, 1.0)


def part_and_ambient(frame: FloatArray, camera: CameraGeometry, context: PartContext) -> tuple[float, float, float]:
    """Median apparent temperature of part and bare table, and spread on the part, degrees Celsius; NaN if unseen."""
    view = context.view
    if view is None or not view.found:
        return np.nan, np.nan, np.nan
    high = view.points_m[:, 2] > context.table_height_m + 0.6 * view.extent_m[2]
    pixels = pixels_of(view.points_m[high], camera, frame.shape)
    on_part = np.zeros(frame.shape, bool)
    on_part[tuple(pixels.T)] = True
    x0, x1, y0, y1 = context.region
    grid = np.stack(np.meshgrid(np.linspace(x0, x1, 32), np.linspace(y0, y1, 32)), axis=-1).reshape(-1, 2)
    centre, size = np.array(view.centroid_m[:2]), view.extent_m[0]
    grid = grid[np.linalg.norm(grid - centre, axis=1) > 0.5 * size + 0.02]
    table = pixels_of(np.column_stack([grid, np.full(len(grid), context.table_height_m)]), camera, frame.shape)
    values, around = frame[on_part], frame[tuple(table.T)]
    values, around = values[np.isfinite(values)], around[np.isfinite(around)]
    if not len(values) or len(around) < 10:
        return np.nan, np.nan, np.nan
    return float(np.median(values)), float(np.median(around)), float(values.std())


def pixels_of(points_m: FloatArray, camera: CameraGeometry, shape: tuple[int, ...]) -> np.ndarray:
    """(K, 2) distinct rows and columns of the pixels that see base-frame points; points out of view are left out."""
    uv, depth = project(points_m, camera)
    cells = np.round(uv[:, ::-1]).astype(np.int64)
    inside = (depth > 0) & (cells >= 0).all(axis=1) & (cells[:, 0] < shape[0]) & (cells[:, 1] < shape[1])
    # One number per pixel: NumPy sorts rows 30 times slower than numbers.
    numbers = np.unique(cells[inside] @ np.array([shape[1], 1]))
    return np.stack(np.divmod(numbers, shape[1]), axis=1)


def _dwell(execution: ProbeExecution, windows: ProbeWindows, context: PartContext) -> Reading:
    part_c = _before(execution, windows, context)
    if not np.isfinite(part_c):
        # Without a picture from before the contact the part is taken to be as warm as its surroundings.
        part_c = _surroundings(windows)
    found: dict[str, float] = {"pad_index": float(execution.pad_index)}
    reliability, reasons, start_c = 0.0, [], np.nan
    try:
        touch = pad_touch(execution, windows)
        start_c = touch.start_c
        found |= touch_columns(touch, part_c) | _pair(touch, context.pads, part_c)
        reliability += 0.6
    except Unusable as unusable:
        reasons.append(str(unusable))
    try:
        found |= _spot(execution, windows, context, start_c)
        reliability += 0.4
    except Unusable as unusable:
        reasons.append(str(unusable))
    if reliability == 0:
        raise Unusable("; ".join(reasons))
    step = found.get("pad_step_k", np.nan)
    if np.isfinite(step) and step < MIN_STEP_K:
        reliability *= max(step, 0.0) / MIN_STEP_K
        reasons.append(f"pad only {step:.0f} K above the part, at least {MIN_STEP_K:.0f} K are needed")
    return reading(NAMES, found, reliability, "; ".join(reasons))


def _before(execution: ProbeExecution, windows: ProbeWindows, context: PartContext) -> float:
    """Apparent temperature at the contact point before anything touched the part, degrees Celsius; NaN if unknown."""
    frame = context.thermal_c if context.thermal_c is not None else windows.thermal_before_c
    camera = context.thermal_camera if context.thermal_camera is not None else windows.thermal_camera
    if frame is None or camera is None:
        return np.nan
    return _patch(np.asarray(frame, np.float64), camera, execution)[0]


def _surroundings(windows: ProbeWindows) -> float:
    frames = windows.thermal_c
    if frames.ndim != 3 or not len(frames) or not np.isfinite(frames[0]).any():
        return np.nan
    return float(np.nanmedian(frames[0]))


def _pair(touch: PadTouch, touches: tuple[PadTouch, ...], part_c: float) -> dict[str, float]:
    """Two pads at two temperatures give the dip without the part's own temperature, and that temperature with it."""
    other = next((t for t in reversed(touches) if abs(t.start_c - touch.start_c) > MIN_PAIR_K), None)
    if other is None:
        return {}
    falls = touch.start_c - touch.level_c, other.start_c - other.level_c
    return pair_columns(two_half_spaces(touch.start_c, falls[0], other.start_c, falls[1]), part_c)


def _spot(
    execution: ProbeExecution, windows: ProbeWindows, context: PartContext, pad_start_c: float
) -> dict[str, float]:
    """Rise of the touched spot over the same spot before, as a fraction of the pad's step, while it decays."""
    frames, camera = windows.thermal_c, windows.thermal_camera
    if frames.ndim != 3 or not len(frames) or camera is None or len(frames) != len(windows.thermal_times_s):
        raise Unusable("missing: no thermal pictures after the dwell")
    frame = context.thermal_c if context.thermal_c is not None else windows.thermal_before_c
    if frame is None or np.shape(frame) != frames.shape[1:]:
        raise Unusable("missing: no thermal picture from before the contact")
    if not np.isfinite(pad_start_c):
        raise Unusable("the pad's temperature before contact is unknown")
    base, base_ring = _patch(np.asarray(frame, np.float64), camera, execution)
    after = np.asarray(windows.thermal_times_s, np.float64) - execution.dwell_s
    late = np.nonzero(after > ARM_GONE_S)[0]
    patches = np.array([_patch(np.asarray(frames[i], np.float64), camera, execution) for i in late]).reshape(-1, 2)
    # The arm on its way out is warmer or colder than the part all around the spot, not only in it.
    covered = np.abs(patches[:, 1] - base_ring) > COVERED_K
    late, patches = late[~covered], patches[~covered]
    if len(late) < 2:
        raise Unusable(f"{len(late)} thermal pictures of the spot after the pad left, 2 are needed")
    if not np.isfinite(patches[:, 0]).all() or not np.isfinite(base):
        raise Unusable("NaN: the warm spot has no finite pixel, or lies outside the thermal picture")
    if np.ptp(patches[:, 0]) == 0.0:
        raise Unusable("stale: the thermal picture never changed after the dwell")
    # Differences to the first picture cancel the camera's offset, and emissivity is left as a factor.
    rise, ring = patches[:, 0] - base, patches[:, 1] - base_ring
    step = max(pad_start_c - base, 1.0)
    found = {}
    for t in SPOT_TIMES_S:
        if after[late[0]] - 0.1 <= t <= after[late[-1]] + 0.12:
            found[f"spot_rise_{t:g}s_fraction"] = float(np.interp(t, after[late], rise)) / step
    mean = float(rise.mean())
    found["spot_log10_rise_fraction"] = np.log10(max(mean / step, 1e-3))
    third = max(1, len(rise) // 3)
    early, end = float(rise[:third].mean()), float(rise[-third:].mean())
    found["spot_decay_fraction"] = float(np.clip(1.0 - end / max(early, 0.05), -1.0, 2.0))
    if np.isfinite(ring).all():
        found["spot_blur_fraction"] = float(np.clip(ring.mean() / max(mean, 0.05), -1.0, 2.0))
    return found


def _patch(frame: FloatArray, camera: CameraGeometry, execution: ProbeExecution) -> tuple[float, float]:
    """Mean temperature of the pad's footprint around the contact point, and of a ring just outside; NaN if unseen."""
    point = np.asarray(execution.contact_point_m, np.float64)
    uv, depth = project(point[None], camera)
    if depth[0] <= 0:
        return np.nan, np.nan
    radius = 0.8 * PAD_HALF_M * camera.fx / depth[0]
    reach = int(np.ceil(3.0 * radius)) + 1
    u, v = uv[0]
    row, col = round(float(v)), round(float(u))
    if not (0 <= row < frame.shape[0] and 0 <= col < frame.shape[1]):
        return np.nan, np.nan
    rows, cols = slice(max(row - reach, 0), row + reach + 1), slice(max(col - reach, 0), col + reach + 1)
    values = frame[rows, cols]
    i, j = np.indices(values.shape)
    distance = np.hypot(i + rows.start - v, j + cols.start - u)
    spot = values[(distance <= max(radius, 0.71)) & np.isfinite(values)]
    ring = values[(distance > 1.6 * radius) & (distance <= 2.4 * radius + 0.71) & np.isfinite(values)]
    return (float(spot.mean()) if len(spot) else np.nan), (float(np.median(ring)) if len(ring) else np.nan)
