"""Lays parts on the table: which part, where, and sometimes a second one that touches it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from palpate_agents.errors import ConfigError
from palpate_sim.fixtures import PLACE_X_M, PLACE_Y_M
from palpate_sim.objects import Part, draw_part
from palpate_sim.world import World

Pose = tuple[float, float, float]
"""Where a part lies: x, y in m and yaw in rad, base frame."""
NOMINAL_ERROR_M = 0.010
"""How well the feeder knows that place."""
TOUCHING_GAP_M = 2e-4


@dataclass(frozen=True)
class PresentedPart:
    """What was laid on the table.

    Attributes:
        part: the part, with its truth.
        part_id: its name.
        position_m: (3,) where the feeder believes it to lie, on the table, base frame.
        pose: where it really lies.
        neighbour: a second part that touches it, if any.
    """

    part: Part
    part_id: str
    position_m: tuple[float, float, float]
    pose: Pose
    neighbour: Part | None = None


class Feeder:
    """Draws parts and places; the same seed and index give the same, in any order of calls."""

    def __init__(self, seed: int, touching_probability: float, ambient_c: float):
        self._seed, self._touching, self._ambient_c = seed, touching_probability, ambient_c

    def present(
        self, world: World, index: int, material: str | None, *, part: Part | None = None, pose: Pose | None = None
    ) -> PresentedPart:
        """Exchange the parts in the world.

        Args:
            world: where to.
            index: number of the part.
            material: this one instead of a drawn one.
            part: this very part instead of a drawn one.
            pose: this place instead of a drawn one.

        Raises:
            MaterialError: unknown material.
            ConfigError: the place is not on the table before the arm.
        """
        rng = np.random.default_rng([self._seed, 4, index])
        drawn = draw_part(rng, index, material, ambient_c=self._ambient_c)
        x, y = rng.uniform(*PLACE_X_M), rng.uniform(*PLACE_Y_M)
        yaw, error = rng.uniform(-math.pi, math.pi), rng.uniform(-NOMINAL_ERROR_M, NOMINAL_ERROR_M, 2)
        touch_rng = np.random.default_rng([self._seed, 5, index])
        part = drawn if part is None else part
        x, y, yaw = (x, y, yaw) if pose is None else _checked(pose)
        world.clear()
        world.add(part, x, y, yaw, touch_rng)
        neighbour = None
        if rng.random() < self._touching:
            neighbour = draw_part(rng, index, ambient_c=self._ambient_c)
            side = int(rng.integers(4))
            along = 0.5 * (part.dimensions_m[side % 2] + neighbour.dimensions_m[side % 2]) + TOUCHING_GAP_M
            angle = yaw + 0.5 * math.pi * side
            world.add(neighbour, x + along * math.cos(angle), y + along * math.sin(angle), yaw, touch_rng)
        return PresentedPart(part, part.part_id, (x + error[0], y + error[1], 0.0), (x, y, yaw), neighbour)


def _checked(pose: Pose) -> Pose:
    """Raises ConfigError unless a part may lie there."""
    x, y, yaw = (float(value) for value in pose)
    (x0, x1), (y0, y1) = PLACE_X_M, PLACE_Y_M
    if not (math.isfinite(yaw) and x0 - 1e-6 <= x <= x1 + 1e-6 and y0 - 1e-6 <= y <= y1 + 1e-6):
        raise ConfigError(f"a part at ({x:g}, {y:g}) m, {yaw:g} rad; x is {x0} to {x1} m, y {y0} to {y1} m")
    return x, y, yaw
