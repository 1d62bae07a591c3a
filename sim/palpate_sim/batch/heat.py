"""Thermal features of n probes at once: a look at parts before they are touched, and warm touches.

The same curves of pad and spot as the full cell's, read as its heater (10 Hz) and its thermal camera (5 Hz) would, and
reduced to the columns of `palpate_agents.encoders.thermal` as that does it.
"""

from __future__ import annotations

from typing import Any

from palpate_agents.encoders import thermal as encoder
from palpate_sim.backend import Array, limited, namespace
from palpate_sim.batch.dwell_columns import (
    COLUMN,
    NAMES,
    Chance,
    SpotView,
    around,
    pad_columns,
    pair_columns,
    read_pads,
    spot_columns,
)
from palpate_sim.batch.features import Features
from palpate_sim.batch.heat_curves import touch_curves
from palpate_sim.batch.pad_memory import READING_PERIOD_S, PadMemory, of_pad
from palpate_sim.keyed import normal
from palpate_sim.sensors.heated_tip import BLOCK_LOSS_W_K, PAD_SETPOINTS_C, RELEASE_S, TOUCH_DELAY_S
from palpate_sim.sensors.spot_optics import PATCH_PIXELS, PIXEL_M

__all__ = ["NAMES", "PadMemory", "dwell", "look"]

_EDGE_SHARE, _EDGE_PER_M = 0.114, 3.35
"""Mean square of the table's share in the pixels along a part's edge, and more per height; fitted to windows."""
_SPREAD_SCATTER = 0.15
_PULL, _PULL_SCALE = 0.46, 5.0
"""Pixels along the edge pull the part's median towards the table, by this share of the noise at most; fitted too."""


def look(whole: Any, devices: Any, ambient_c: Array | float, keys: Array, memory: PadMemory | None = None) -> Features:
    """A thermal picture of parts with the arm away.

    Args:
        whole: n parts as seen in the mean; `emissivity_spread` (n,), if there, is the deviation over the surface.
        devices: n sets.
        ambient_c: of the rooms, one or (n,), degrees Celsius.
        keys: (n,) of seed, part and probe.
        memory: of the warm touches so far, whose spots are in the picture; none if None.

    Returns:
        columns of `palpate_agents.encoders.thermal.NAMES`.
    """
    xp = namespace(whole.temperature_c)
    noise = xp.asarray(normal(keys, "thermal look", (3,)), dtype=whole.temperature_c.dtype)
    warmer = whole.temperature_c - ambient_c
    length, width = whole.dimensions_m[:, 0], whole.dimensions_m[:, 1]
    pixels = length * width / PIXEL_M**2
    edge = 2.0 * (length + width) * PIXEL_M / (length * width)
    mixed = edge * (_EDGE_SHARE + _EDGE_PER_M * whole.dimensions_m[:, 2])
    apparent = whole.emissivity * warmer
    uneven = getattr(whole, "emissivity_spread", 0.0) * warmer
    netd = devices.netd_k + 0.0 * warmer
    pull = _PULL * netd * apparent / (xp.abs(apparent) + _PULL_SCALE * netd + 1e-9)
    error = noise[:, 0] * (0.1 * netd + 0.002 * xp.abs(apparent))
    warm = 0.0 if memory is None else whole.emissivity * memory.unevenness_k(whole)
    over = xp.sqrt(mixed * apparent**2 + uneven**2 + warm**2) * (1.0 + _SPREAD_SCATTER * noise[:, 1])
    grain = netd * (1.0 + noise[:, 2] * xp.sqrt(0.5 / pixels))
    values = xp.full((warmer.shape[0], len(NAMES)), xp.nan, dtype=warmer.dtype, device=warmer.device)
    values[:, COLUMN["part_minus_ambient_k"]] = apparent - pull + error
    values[:, COLUMN["part_spread_k"]] = xp.sqrt(grain**2 + over**2)
    return Features(values, 1.0 + 0.0 * warmer)


def dwell(
    spot: Any,
    devices: Any,
    pad_index: Array,
    dwell_s: Array,
    pad_start_c: Array | None,
    ambient_c: Array | float,
    memory: PadMemory,
    keys: Array,
    uv_m: Array | None = None,
) -> tuple[Features, PadMemory]:
    """A warm pad on parts, and the spots that it leaves.

    Args:
        spot: n parts as met under the pads.
        devices: n sets.
        pad_index: (n,) int, 0 or 1.
        dwell_s: (n,) wanted.
        pad_start_c: (n,) true temperature of the faces before; from the memory if None, degrees Celsius.
        ambient_c: of the rooms, one or (n,).
        memory: of the touches so far, with the time since then (`PadMemory.after`).
        keys: (n,) of seed, part and probe.
        uv_m: (n, 2) where on the parts, m: spots near earlier ones are warm already; if None they are not.

    Returns:
        columns of `palpate_agents.encoders.thermal.NAMES`, and the memory after the touch.
    """
    part_c = spot.temperature_c
    xp = namespace(part_c)
    start_c = memory.pad_start_c(pad_index) if pad_start_c is None else pad_start_c
    readings = int(float(dwell_s.max()) / READING_PERIOD_S) + 3
    draw = Chance.of(keys, readings, part_c)
    held_s = draw.between(0, RELEASE_S) + dwell_s
    warmth, later = 0.0 * part_c, None
    if uv_m is not None and bool((memory.heat_j_m2 > 0.0).any()):
        warmth = memory.warmth_k(spot, uv_m[:, 0:1], uv_m[:, 1:2])[:, 0, 0]
        later = memory.warmth_k(spot, *around(uv_m), held_s + 1.0)
    step = start_c - part_c - warmth
    curves = touch_curves(spot, devices, pad_index, held_s + TOUCH_DELAY_S)
    offset = of_pad(devices.pad_offset_k, pad_index) if devices.pad_offset_k.ndim == 2 else 0.0
    setpoint = (PAD_SETPOINTS_C[1] - PAD_SETPOINTS_C[0]) * pad_index + PAD_SETPOINTS_C[0]
    rest_w = BLOCK_LOSS_W_K * (setpoint - ambient_c)
    touch = read_pads(curves, step, start_c + offset, draw, memory.block_short_k(pad_index))
    netd = devices.netd_k + 0.0 * part_c
    base = spot.emissivity * (part_c - ambient_c) + ambient_c + devices.thermal_offset_k
    base = base + netd * draw.base / PATCH_PIXELS**0.5
    asked = touch.start_c - base
    values = xp.full((part_c.shape[0], len(NAMES)), xp.nan, dtype=part_c.dtype, device=part_c.device)
    values[:, COLUMN["pad_index"]] = 1.0 * pad_index
    pad_columns(values, touch, asked, rest_w)
    pair_columns(values, touch, base, memory, pad_index)
    spot_columns(values, curves, SpotView(spot, step, later, netd, asked), draw)
    reliability = limited(asked / encoder.MIN_STEP_K, 0.0, 1.0) * touch.usable
    start, level = touch.start_c, touch.level_c
    if not bool(touch.usable.all()):
        values = xp.where(touch.usable[:, None], values, xp.nan)
        start, level = xp.where(touch.usable, start, xp.nan), xp.where(touch.usable, level, xp.nan)
    after = memory.after(held_s).touched(
        pad_index, start_c=start, level_c=level, face_drop_k=setpoint - start_c + step * touch.last_fall,
        block_drop_k=touch.last_short_k, dwell_s=held_s, heat_j_m2=step * touch.last_heat,
        uv_m=uv_m if uv_m is not None else xp.full_like(memory.uv_m[:, 0], xp.nan),
    )  # fmt: skip
    return Features(values, reliability), after
