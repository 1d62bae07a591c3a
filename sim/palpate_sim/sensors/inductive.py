"""Eddy-current tip: what a small coil on a part says of its metal, whatever paint, water or black lies over it.

A cylindrical air-cored coil over a plate, after Dodd and Deeds (J. Appl. Phys. 39:2829, 1968). Their integral over the
spatial frequency `a` is summed at fixed nodes, so that a reading is a weighted sum of the plate's reflection

    r (1 - E) / (1 - r^2 E),  r = (mu a - a1) / (mu a + a1),  a1 = sqrt(a^2 + i w mu0 mu sigma),  E = exp(-2 a1 d)

times `exp(-2 a h)` for a lift-off `h` (paint and label). The change of impedance over the reactance of the free coil
has two parts: inductance falls on conductors and rises on magnetic iron, resistance rises with the losses. What does
not conduct gives zero. Edges of the part, its curvature and the coil's tilt are left out.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from scipy.special import j1

from palpate_sim.backend import Array, constant, namespace

FREQUENCY_HZ = 50e3
INNER_M, OUTER_M, LENGTH_M = 1.5e-3, 3.0e-3, 1.0e-3
"""Coil of 6 mm outside diameter, flat; assumed."""
FOOTPRINT_M = 4e-3
"""Radius of the surface whose coat and label count: the coil's and its lift-off, rounded up; assumed."""
WEAR_CAP_M = 0.3e-3  # between coil and surface, ceramic, assumed
LIFT_SCATTER_M = 5e-6  # seat of the tip, assumed
NOISE = 1e-3
"""Standard deviation of each part of a balanced reading, assumed (10 bit): the two below, over half a second of air and
half a second of contact, with the approach between them."""
SAMPLE_NOISE = 2e-3  # of each part of one reading of the stream, assumed
DRIFT_SD, DRIFT_TAU_S = 5e-3, 60.0
"""The value in air wanders: what is left when the coil's temperature is compensated by the pad's own thermometer, after
Ornstein and Uhlenbeck; assumed."""
RATE_HZ = 100.0
FULL_SCALE = 1.0
"""Where the device saturates: no plate changes the impedance by more than the free coil's reactance."""
IRON_PERMEABILITY = 100.0
"""Of mild steel in a weak field, relative: quoted 50 to 200; assumed the same for all parts."""
NUMBERS = 3
"""Standard normal numbers of a reading: two parts, lift-off."""
MU0 = 4e-7 * np.pi
MAX_DEPTH_M = 0.05  # of a solid; far beyond the coil's reach
NODES = 24


def _radial(a: np.ndarray) -> np.ndarray:
    """Integral of x J1(x) from a*INNER_M to a*OUTER_M, by Gauss-Legendre."""
    nodes, weights = np.polynomial.legendre.leggauss(40)
    low, high = a * INNER_M, a * OUTER_M
    x = 0.5 * (high - low)[:, None] * nodes + 0.5 * (high + low)[:, None]
    return 0.5 * (high - low) * ((x * j1(x)) @ weights)


@lru_cache(maxsize=4)
def coil_weights(nodes: int = NODES) -> tuple[np.ndarray, np.ndarray]:
    """(K,) spatial frequencies (1/m) and their weights in the change of impedance over the free coil's reactance.

    The integrands fall with `a^-5`; both integrals are taken over `t` in 0..1, `a = t / (1 - t) / radius`, the free
    coil's once and finely.
    """
    radius = 0.5 * (INNER_M + OUTER_M)

    def frequencies(count: int) -> tuple[np.ndarray, np.ndarray]:
        t, w = np.polynomial.legendre.leggauss(count)
        t, w = 0.5 * (t + 1.0), 0.5 * w
        return t / (1.0 - t) / radius, w / (1.0 - t) ** 2 / radius

    a, w = frequencies(2000)
    free = np.sum(w * _radial(a) ** 2 / a**5 * 2.0 * (LENGTH_M + np.expm1(-a * LENGTH_M) / a))
    a, w = frequencies(nodes)
    return a, w * _radial(a) ** 2 / a**6 * np.expm1(-a * LENGTH_M) ** 2 / free


def impedance_change(
    conductivity_s_m: Array, permeability: Array, depth_m: Array, lift_m: Array, nodes: int = NODES
) -> Array:
    """Change of the coil's impedance over the reactance of the free coil.

    Args:
        conductivity_s_m: (N,) of the part, 0 for insulators.
        permeability: (N,) relative.
        depth_m: (N,) thickness of the metal; inf for a half-space.
        lift_m: (N,) from the coil to the metal.
        nodes: of the sum over spatial frequencies; 24 are good to 0.2 %.

    Returns:
        (N, 2) of inductance (negative on conductors) and of resistance (positive).
    """
    xp = namespace(conductivity_s_m)
    a_table, weight_table = coil_weights(nodes)
    a, weight = constant(a_table, conductivity_s_m), constant(weight_table, conductivity_s_m)
    loss = (2.0 * np.pi * FREQUENCY_HZ * MU0) * conductivity_s_m * permeability
    inside = xp.sqrt(a * a + 1j * loss[:, None])
    outside = permeability[:, None] * a
    r = (outside - inside) / (outside + inside)
    through = xp.exp(-2.0 * inside * xp.clip(depth_m, 0.0, MAX_DEPTH_M)[:, None])
    reflected = r * (1.0 - through) / (1.0 - r * r * through)
    # The change of impedance is `i w L` times this: its real part is inductance, minus its imaginary part resistance.
    total = xp.sum(weight * xp.exp(-2.0 * lift_m[:, None] * a) * reflected, axis=1)
    return xp.stack([xp.real(total), -xp.imag(total)], axis=1)


def lift_off(batch: Any) -> Array:
    """(N,) from the coil to the body, m: wear cap, coat and label, as far as they cover the spot."""
    lift = WEAR_CAP_M + 0.0 * batch.electrical_conductivity_s_m
    for thickness, cover, without in (("coat_um", "coat_cover", 1.0), ("label_um", "label_cover", 0.0)):
        if hasattr(batch, thickness):
            lift = lift + 1e-6 * getattr(batch, thickness) * getattr(batch, cover, without)
    return lift


def reading(batch: Any, numbers: Array) -> Array:
    """(N, 2) reading of the tip on each spot, with noise.

    Args:
        batch: N parts or spots.
        numbers: (N, NUMBERS) standard normal.
    """
    return response(batch, LIFT_SCATTER_M * numbers[:, 2]) + NOISE * numbers[:, :2]


def response(batch: Any, gap_m: Array) -> Array:
    """(N, 2) change of the coil's impedance over each spot, without noise.

    Args:
        batch: N parts or spots.
        gap_m: (N,) of air between the cap and what lies on the spot.
    """
    xp = namespace(gap_m)
    magnetic = batch.ferromagnetic > 0
    permeability = xp.where(magnetic, IRON_PERMEABILITY, 1.0) + 0.0 * gap_m
    depth = xp.minimum(batch.wall_thickness_m, batch.dimensions_m[:, 2])
    return impedance_change(batch.electrical_conductivity_s_m, permeability, depth, lift_off(batch) + gap_m)
