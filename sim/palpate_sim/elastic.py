"""Pressing: Hertz contact of the ball, bending of thin walls, the arm's own give, and yielding; for N parts at once.

The elastic law is Hertz in series with linear springs. Where the largest pressure under the ball reaches 1.6 times the
yield stress (mean pressure 1.1 times) the part flows: from there the force rises linearly with the indentation and
what is more than elastic stays as a dent (Thornton 1997, elastic and perfectly plastic). See `docs/physics.md`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from palpate_sim.backend import Array, constant, interpolate, namespace
from palpate_sim.objects import PartBatch
from palpate_sim.shapes import BOTTLE_NECK_SHARE, SHAPES

BALL_RADIUS_M = 0.005
BALL_MODULUS_PA = 207e9  # hardened steel, the catalogue's mild steel
BALL_POISSON = 0.29
ARM_STIFFNESS_N_M = 5e4

PAD_SIDE_M = 0.012
PAD_STIFFNESS_N_M = 1e4
"""Compliant pad on its gimbal; assumed: 5 N at half a millimetre."""

YIELD_PRESSURE = 1.6
"""Largest Hertz pressure at which flow begins below the surface, over the yield stress (Johnson, for n = 0.3)."""
CLAMPED_PLATE = (0.00560, 0.00647, 0.00691, 0.00712, 0.00720, 0.00722)
"""`w D / (P b^2)` of a clamped rectangle under a central load, for sides of 1, 1.2, .. 2 to 1 (Timoshenko and
Woinowsky-Krieger, table 37); longer ones are like the last. A clamped disc of diameter b: 1/(64 pi) = 0.00497."""
CLAMPED_DISC = 1.0 / (64.0 * math.pi)
SMALLEST_SPAN_M = 2e-3
ROUND, BOTTLE = (SHAPES.index("cylinder"), SHAPES.index("tube")), SHAPES.index("bottle")


class PressLaw(NamedTuple):
    """Force against travel of the ball, (N,) each.

    Attributes:
        hertz: `K` of `F = K d^1.5`, N/m^1.5.
        compliance: of arm and wall, m/N.
        yield_n: force at which flow begins, N; inf: never.
        flow_m_n: give of the flowing contact, m/N.
    """

    hertz: Array
    compliance: Array
    yield_n: Array
    flow_m_n: Array

    def column(self) -> PressLaw:
        """As (N, 1): for forces or travels (N, G)."""
        return PressLaw(*(values[:, None] for values in self))


def effective_modulus_pa(batch: PartBatch) -> Array:
    """(N,) Hertz modulus E* of ball and part, `1/E* = (1-n1^2)/E1 + (1-n2^2)/E2`, Pa."""
    ball = (1.0 - BALL_POISSON**2) / BALL_MODULUS_PA
    return 1.0 / (ball + (1.0 - batch.poisson**2) / batch.indentation_modulus_pa)


def hertz_stiffness(batch: PartBatch) -> Array:
    """(N,) `K` of `F = K d^1.5`, `K = 4/3 E* sqrt(R)`, N/m^1.5."""
    return 4.0 / 3.0 * math.sqrt(BALL_RADIUS_M) * effective_modulus_pa(batch)


def wall_stiffness_n_m(batch: PartBatch) -> Array:
    """(N,) stiffness of a thin wall under a point load where the batch's spot is, N/m; inf for solid parts.

    A plate clamped at the side walls or ribs, `w = a P b^2 / D` with `D = E t^3 / (12 (1-n^2))`; `b` is the smaller
    span of its widest bay. Elsewhere than in the middle of that it gives way less, by the spot's `wall_factor`.
    """
    xp = namespace(batch.wall_thickness_m)
    wall = batch.wall_thickness_m
    hollow = xp.isfinite(wall)
    if not xp.any(hollow):
        return wall + 0.0
    thickness = xp.where(hollow, wall, 0.0)
    along_x = batch.dimensions_m[:, 0] - 2.0 * thickness
    neck = xp.where(batch.shape == BOTTLE, 1.0 - BOTTLE_NECK_SHARE, 1.0)
    along_y = batch.dimensions_m[:, 1] * neck - 2.0 * thickness
    ribs = xp.ceil(along_y / batch.rib_pitch_m) - 1.0  # a pitch apart and symmetrical: one rib halves the wall
    along_y = xp.where(ribs > 1.0, batch.rib_pitch_m, xp.where(ribs > 0.0, 0.5 * along_y, along_y))
    span = xp.maximum(xp.minimum(along_x, along_y), SMALLEST_SPAN_M)
    aspect = xp.maximum(along_x, along_y) / span
    disc = (batch.shape == ROUND[0]) | (batch.shape == ROUND[1])
    plate = interpolate(aspect, 1.0, 0.2, constant(CLAMPED_PLATE, aspect))
    give = xp.where(disc, CLAMPED_DISC, plate) * span**2 * xp.maximum(batch.wall_factor, 1e-4)
    bending = batch.youngs_modulus_pa * thickness**3 / (12.0 * (1.0 - batch.poisson**2))
    return xp.where(hollow, bending / give, math.inf)


def series_force(displacement_m: Array, hertz: Array, linear_compliance: Array) -> Array:
    """Force of a Hertz contact in series with linear springs: solves `d = (F/K)^(2/3) + C F`.

    With `x = F^(1/3)` this is a cubic, monotone and convex, and Newton's method from above converges.

    Args:
        displacement_m: total approach; negative counts as no contact.
        hertz: `K` in N/m^1.5.
        linear_compliance: `C` in m/N.
    """
    xp = namespace(displacement_m)
    d = xp.maximum(displacement_m, 0.0)
    c1 = linear_compliance
    c2 = hertz ** (-2.0 / 3.0)
    x = xp.sqrt(d / c2)
    x = xp.minimum(x, (d / xp.maximum(c1, 1e-30)) ** (1.0 / 3.0))
    for _ in range(4):  # from at most twice the force: to 5e-11 of it
        # error over slope, with a floor that keeps 0 at 0
        ax = c1 * x
        x = x - ((ax + c2) * x * x - d) / ((3.0 * ax + 2.0 * c2) * x + 1e-30)
    return x * x * x


def series_force_scalar(displacement_m: float, hertz: float, linear_compliance: float) -> float:
    """`series_force` for one part: a hundred times faster than arrays of one, for the 1 kHz loop."""
    if displacement_m <= 0.0:
        return 0.0
    c1, c2 = linear_compliance, hertz ** (-2.0 / 3.0)
    x = math.sqrt(displacement_m / c2)
    if c1 > 0.0:
        x = min(x, (displacement_m / c1) ** (1.0 / 3.0))
    for _ in range(8):
        step = ((c1 * x + c2) * x * x - displacement_m) / ((3.0 * c1 * x + 2.0 * c2) * x)
        x -= step
        if abs(step) < 1e-9 * x:
            break
    return x**3


def yield_force_n(batch: PartBatch) -> Array:
    """(N,) force of the ball at which the part begins to flow, `pi^3 R^2 p0^3 / (6 E*^2)` with `p0 = 1.6 yield`, N."""
    scale = math.pi**3 * BALL_RADIUS_M**2 * YIELD_PRESSURE**3 / 6.0
    return scale * batch.yield_pa**3 / effective_modulus_pa(batch) ** 2


def press_law(batch: PartBatch) -> PressLaw:
    """Law of the ball on the batch's spots."""
    flow = 1.0 / (math.pi * BALL_RADIUS_M * YIELD_PRESSURE * batch.yield_pa)
    compliance = 1.0 / ARM_STIFFNESS_N_M + 1.0 / wall_stiffness_n_m(batch)
    return PressLaw(hertz_stiffness(batch), compliance, yield_force_n(batch), flow)


def law_displacement(law: PressLaw, force_n: Array) -> Array:
    """Travel of the commanded tip at a quasi-static force, m; shapes broadcast."""
    xp = namespace(force_n)
    force = xp.maximum(force_n, 0.0)
    elastic = xp.minimum(force, law.yield_n)
    # where nothing flows, `elastic` is the force itself and the difference is exactly 0
    return law.compliance * force + (elastic / law.hertz) ** (2.0 / 3.0) + law.flow_m_n * (force - elastic)


def law_force(law: PressLaw, displacement_m: Array) -> Array:
    """Inverse of `law_displacement`, N; 0 without contact."""
    xp = namespace(displacement_m)
    limit = law.compliance * law.yield_n + (law.yield_n / law.hertz) ** (2.0 / 3.0)
    beyond = xp.maximum(displacement_m - limit, 0.0)
    elastic = series_force(xp.minimum(displacement_m, limit), law.hertz, law.compliance)
    return elastic + beyond / (law.compliance + law.flow_m_n)


def law_dent(law: PressLaw, force_n: Array) -> Array:
    """Depth of the mark that a force leaves, m: how much deeper the ball went than an elastic part lets it."""
    xp = namespace(force_n)
    elastic = xp.minimum(force_n, law.yield_n)
    flowed = (elastic / law.hertz) ** (2.0 / 3.0) + law.flow_m_n * (force_n - elastic)
    return xp.maximum(flowed - (force_n / law.hertz) ** (2.0 / 3.0), 0.0)


def _over(batch: PartBatch, values: Array | float) -> Array:
    """(N,) of the batch's library from one number or (N,)."""
    xp = namespace(batch.poisson)
    if isinstance(values, np.ndarray) and xp is np:
        return np.broadcast_to(values, (len(batch),))
    return values + xp.zeros_like(batch.poisson)


def press_force(batch: PartBatch, displacement_m: Array | float) -> Array:
    """Quasi-static force of the ball.

    Args:
        batch: N spots.
        displacement_m: (N,) travel of the commanded tip beyond the free surface, m; arm, ball and wall share it.

    Returns:
        (N,) N, 0 without contact.
    """
    return law_force(press_law(batch), _over(batch, displacement_m))


def press_displacement(batch: PartBatch, force_n: Array | float) -> Array:
    """(N,) inverse of `press_force`: travel of the commanded tip at a quasi-static force, m."""
    return law_displacement(press_law(batch), _over(batch, force_n))


def dent_depth_m(batch: PartBatch, force_n: Array | float) -> Array:
    """(N,) depth of the mark that a press leaves, m; 0 below the yield force."""
    return law_dent(press_law(batch), _over(batch, force_n))


def pad_stiffness_n_m(batch: PartBatch) -> Array:
    """(N,) of the compliant flat pad: pad, arm, wall and a flat punch on the part in series, N/m."""
    radius = PAD_SIDE_M / math.sqrt(math.pi)
    punch = 2.0 * radius * batch.indentation_modulus_pa / (1.0 - batch.poisson**2)
    arm = 1.0 / ARM_STIFFNESS_N_M + 1.0 / PAD_STIFFNESS_N_M
    return 1.0 / (arm + 1.0 / wall_stiffness_n_m(batch) + 1.0 / punch)


def pad_force(batch: PartBatch, displacement_m: Array | float) -> Array:
    """Quasi-static force of the pad, N.

    Args:
        batch: N spots.
        displacement_m: (N,) travel of the commanded pad beyond the free surface, m.

    Returns:
        (N,) N, 0 without contact.
    """
    xp = namespace(batch.poisson)
    return xp.maximum(_over(batch, displacement_m), 0.0) * pad_stiffness_n_m(batch)
