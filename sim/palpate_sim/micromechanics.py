"""What a filler does to stiffness, density and heat of a polymer: Halpin-Tsai, Lewis-Nielsen, rule of mixtures.

Stiffness after Halpin and Kardos (Polym. Eng. Sci. 16:344, 1976); conductivity after Lewis and Nielsen, which fits
filled polymers best in the review of Progelhof, Throne and Ruetsch (Polym. Eng. Sci. 16:615, 1976); heat capacity by
mass, density by volume. With the numbers of FILLERS, PP with 30 % of glass and with 20 % of talc come out near the
catalogue's PP-GF30 and PP-T20 (a test holds them to it).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

DENSEST_PACKING = 0.6
"""Volume fraction at which particles touch (Lewis-Nielsen); random packing, rounded."""


@dataclass(frozen=True)
class Filler:
    """A filler, from memory unless noted; ranges are from lowest to highest.

    Attributes:
        density_kg_m3, modulus_pa, conductivity_w_mk, heat_capacity_j_kgk: of the filler itself.
        aspect: length over diameter or diameter over thickness that is left after moulding; 1 is a grain.
        heat_shape: A of Lewis-Nielsen; 1.5 for spheres.
        reflectance_loss: of the base reflectance per mass share: from PP, PP-GF30 and PP-T20 of the catalogue.
        yield_gain: of the yield stress per mass share, from the same.
    """

    density_kg_m3: float
    modulus_pa: float
    conductivity_w_mk: float
    heat_capacity_j_kgk: float
    aspect: tuple[float, float]
    heat_shape: tuple[float, float]
    reflectance_loss: float
    yield_gain: float


FILLERS: dict[str, Filler] = {
    "glass": Filler(2550.0, 72e9, 1.0, 840.0, (15.0, 40.0), (1.5, 8.0), 1.25, 4.5),
    "talc": Filler(2780.0, 150e9, 6.0, 870.0, (3.0, 10.0), (2.0, 6.0), 0.83, 0.0),
    "mineral": Filler(2710.0, 35e9, 2.7, 860.0, (1.0, 2.0), (1.5, 2.5), 0.3, -0.3),
}
"""Short glass fibre (E-glass), talc, calcium carbonate."""


class Matrix(NamedTuple):
    """(N,) of a polymer, or of what is made of it."""

    density_kg_m3: Array
    youngs_modulus_pa: Array
    conductivity_w_mk: Array
    heat_capacity_j_kgk: Array


class Texture(NamedTuple):
    """(N,) how the filler lies in the matrix.

    Attributes:
        aspect: see `Filler`.
        alignment: share of the stiffness that is along the filler, 0 across to 1 along.
        heat_shape: see `Filler`.
    """

    aspect: Array
    alignment: Array
    heat_shape: Array


@lru_cache(maxsize=1)
def filler_table() -> dict[str, Array]:
    """Fields of `Filler` as arrays over FILLERS, (F,) or (F, 2)."""
    rows = FILLERS.values()
    return {field.name: np.array([getattr(row, field.name) for row in rows]) for field in fields(Filler)}


def halpin_tsai(ratio: Array, volume: Array, shape: Array | float) -> Array:
    """Property of a composite over that of its matrix.

    Args:
        ratio: filler over matrix.
        volume: volume fraction of the filler.
        shape: 0 for layers in series (Reuss), infinite for layers side by side (Voigt).
    """
    eta = (ratio - 1.0) / (ratio + shape)
    return (1.0 + shape * eta * volume) / (1.0 - eta * volume)


def lewis_nielsen(ratio: Array, volume: Array, shape: Array) -> Array:
    """Conductivity of a composite over that of its matrix; arguments as for `halpin_tsai`."""
    eta = (ratio - 1.0) / (ratio + shape)
    crowding = 1.0 + (1.0 - DENSEST_PACKING) / DENSEST_PACKING**2 * volume
    return (1.0 + shape * eta * volume) / (1.0 - eta * crowding * volume)


def filled(matrix: Matrix, filler: NDArray[np.int64], share: Array, texture: Texture) -> Matrix:
    """Properties of filled polymers.

    Args:
        matrix: of N polymers.
        filler: (N,) numbers into FILLERS.
        share: (N,) of the filler, by mass, 0 to 0.6.
        texture: of the N.
    """
    table = filler_table()
    density = 1.0 / (share / table["density_kg_m3"][filler] + (1.0 - share) / matrix.density_kg_m3)
    volume = share * density / table["density_kg_m3"][filler]
    stiffer = table["modulus_pa"][filler] / matrix.youngs_modulus_pa
    along = halpin_tsai(stiffer, volume, 2.0 * texture.aspect)
    across = halpin_tsai(stiffer, volume, 2.0)
    modulus = matrix.youngs_modulus_pa * (texture.alignment * along + (1.0 - texture.alignment) * across)
    ratio = table["conductivity_w_mk"][filler] / matrix.conductivity_w_mk
    conductivity = matrix.conductivity_w_mk * lewis_nielsen(ratio, volume, texture.heat_shape)
    capacity = share * table["heat_capacity_j_kgk"][filler] + (1.0 - share) * matrix.heat_capacity_j_kgk
    return Matrix(density, modulus, conductivity, capacity)
