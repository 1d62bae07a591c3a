"""What earlier warm touches of n parts left: in the pads, in the parts, and in what the agent knows."""

from __future__ import annotations

from math import exp, log
from typing import Any, NamedTuple

import numpy as np

from palpate_sim.backend import Array, constant, erf, erfcx, is_torch, namespace
from palpate_sim.contact import PAD_SIDE_M
from palpate_sim.sensors.heat_contact import SURFACE_LOSS_W_M2K, wall_m
from palpate_sim.sensors.heated_tip import (
    BLOCK_CAPACITY_J_K,
    BLOCK_LOSS_W_K,
    HEATER_GAIN_W_K,
    PAD_SETPOINTS_C,
    RECOVERY_S,
)

READING_PERIOD_S = 0.1
BLOCK_KEPT = 1.0 - READING_PERIOD_S * (HEATER_GAIN_W_K + BLOCK_LOSS_W_K) / BLOCK_CAPACITY_J_K
"""Share of a block's error that its controller leaves after one period."""
_BLOCK_TIME_S = -READING_PERIOD_S / log(BLOCK_KEPT)


def square_share(offset_m: Array, spread_m: Array) -> Array:
    """What is left of a pad's flat square, blurred by a spread, at an offset along one of its sides."""
    half, scale = 0.5 * PAD_SIDE_M, 1.0 / spread_m
    return 0.5 * (erf((offset_m + half) * scale) - erf((offset_m - half) * scale))


class PadMemory(NamedTuple):
    """Of the last touch of each pad; arrays (n, 2) over the pads, NaN where a pad has not touched the part.

    Attributes:
        start_c, level_c: as published: the face before, and once its first fall was over.
        face_drop_k, block_drop_k: what face and block lacked to their set temperature when the touch ended; 0 at rest.
        since_s: since the touch ended.
        dwell_s: how long it lasted.
        heat_j_m2: heat that went into the part.
        uv_m: (n, 2, 2) where on the part.
    """

    start_c: Array
    level_c: Array
    face_drop_k: Array
    block_drop_k: Array
    since_s: Array
    dwell_s: Array
    heat_j_m2: Array
    uv_m: Array

    @staticmethod
    def fresh(n: int, like: Array | None = None) -> PadMemory:
        """Pads at rest and n untouched parts; tensors of the type and place of `like` if that is one."""
        nothing, zero = np.full((n, 2), np.nan), np.zeros((n, 2))
        rows = (nothing, nothing, zero, zero, zero, nothing, zero, np.full((n, 2, 2), np.nan))
        return PadMemory(*(constant(row, like) if is_torch(like) else row.copy() for row in rows))

    def after(self, elapsed_s: Array | float) -> PadMemory:
        """The same when (n,) seconds have passed: call it for everything that happens between two touches."""
        elapsed = elapsed_s if isinstance(elapsed_s, float | int) else elapsed_s[:, None]
        return self._replace(since_s=self.since_s + elapsed)

    def rows(self, index: Any) -> PadMemory:
        """Of some parts; `index` is an array of numbers, or a slice."""
        return PadMemory(*(array[index] for array in self))

    def pad_start_c(self, pad_index: Array) -> Array:
        """(n,) true temperature of the faces now: set temperature less what has not come back yet, degrees Celsius.

        Block and face relax with times so alike that the face follows the product of both.
        """
        xp = namespace(self.start_c)
        face, block = of_pad(self.face_drop_k, pad_index), of_pad(self.block_drop_k, pad_index)
        since = of_pad(self.since_s, pad_index)
        drop = (face + block * since / RECOVERY_S) * xp.exp(-since / RECOVERY_S)
        setpoint = xp.where(pad_index == 0, PAD_SETPOINTS_C[0], PAD_SETPOINTS_C[1])
        return setpoint - drop

    def block_short_k(self, pad_index: Array) -> Array:
        """(n,) what the block of a pad lacks now to its set temperature, K."""
        xp = namespace(self.start_c)
        return of_pad(self.block_drop_k, pad_index) * xp.exp(-of_pad(self.since_s, pad_index) / _BLOCK_TIME_S)

    def warmth_k(self, spot: Any, x_m: Array, y_m: Array, later_s: Array | float = 0.0) -> Array:
        """(n, K, L) rise that the touches so far have left on a grid of places, K.

        Args:
            spot: n parts.
            x_m: (n, K) rows of the grid on the part, m.
            y_m: (n, L) columns of the grid.
            later_s: so long from now, one or (n,).

        Each is a square of heat in a half-space, all at once in the middle of its dwell; a thin wall keeps its heat.
        """
        xp = namespace(x_m)
        rise, spread = self._spots(spot, later_s)
        center = xp.where(xp.isnan(self.uv_m), 1.0, self.uv_m)
        along = square_share(x_m[:, None, :] - center[:, :, None, 0], spread[:, :, None])
        across = square_share(y_m[:, None, :] - center[:, :, None, 1], spread[:, :, None])
        return xp.matmul(xp.permute_dims(rise[:, :, None] * along, (0, 2, 1)), across)

    def unevenness_k(self, parts: Any) -> Array:
        """(n,) standard deviation over the parts' tops that the spots left so far make, K."""
        xp = namespace(self.since_s)
        rise, spread = self._spots(parts, 0.0)
        sigma = (0.5 * spread**2) ** 0.5
        # the integral over the square of a blurred side
        ratio = 0.5 * PAD_SIDE_M / sigma
        side = PAD_SIDE_M * erf(ratio) - 2.0 / np.pi**0.5 * sigma * (1.0 - xp.exp(-ratio * ratio))
        area = (parts.dimensions_m[:, 0] * parts.dimensions_m[:, 1])[:, None]
        mean = rise * xp.clip(PAD_SIDE_M**2 / area, 0.0, 1.0)
        return xp.sqrt(xp.clip(xp.sum(rise**2 * side**2 / area - mean**2, axis=1), 0.0, 1e9))

    def _spots(self, spot: Any, later_s: Array | float) -> tuple[Array, Array]:
        """(n, 2) rise in the middle of each pad's last spot before it spreads sideways, K, and how far it has, m."""
        xp = namespace(self.since_s)
        later = later_s if isinstance(later_s, float) else later_s[:, None]
        since = self.since_s + later + 0.5 * xp.where(xp.isnan(self.dwell_s), 1.0, self.dwell_s)
        effusivity, diffusivity = spot.effusivity_w_s05_m2k[:, None], spot.diffusivity_m2_s[:, None]
        deep = 1.0 / (effusivity * xp.sqrt(xp.pi * since))
        through = xp.sqrt(diffusivity) / (effusivity * wall_m(spot)[:, None])
        loss = erfcx(SURFACE_LOSS_W_M2K * xp.sqrt(since) / effusivity)
        return self.heat_j_m2 * xp.maximum(deep, through) * loss, xp.sqrt(4.0 * diffusivity * since)

    def touched(self, pad_index: Array, **values: Array) -> PadMemory:
        """With the fields of the pads that touched just now set to (n,) values ((n, 2) for `uv_m`)."""
        xp = namespace(self.start_c)
        places = pad_index[:, None] == xp.arange(2) if xp is np else pad_index[:, None] == _two(pad_index)
        changed = {}
        for name, value in values.items():
            mask, new = (places[..., None], value[:, None, :]) if name == "uv_m" else (places, value[:, None])
            changed[name] = xp.where(mask, new, getattr(self, name))
        return self._replace(since_s=xp.where(places, 0.0, self.since_s), **changed)


def _two(like: Array) -> Array:
    xp = namespace(like)
    return xp.arange(2, device=like.device)


def of_pad(values: Array, pad_index: Array) -> Array:
    """(n,) column `pad_index` (n,) of values (n, 2)."""
    return namespace(values).where(pad_index == 0, values[:, 0], values[:, 1])


FACE_KEPT = exp(-READING_PERIOD_S / RECOVERY_S)
"""Share of a face's distance to its block that is left after one period without contact."""
