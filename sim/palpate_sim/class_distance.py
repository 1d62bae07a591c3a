"""How far parts lie from the classes of the catalogue, in units of the scatter within each class.

A reformulation that lies inside the scatter of a class is, physically, that class: nothing can tell it apart, and a
network must not be taught to. The scatter is measured on parts that are drawn as all others are.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from palpate_agents.materials import MATERIALS
from palpate_sim.keyed import keys_of
from palpate_sim.objects import draw_parts
from palpate_sim.part_batch import PartBatch
from palpate_sim.part_tables import index_of, tables
from palpate_sim.sensors.nir_physics import band_sum

Array = NDArray[np.float64]

PARTS_PER_CLASS = 400
"""Ordinary parts that a class's scatter is measured on."""
FURTHEST = 10.0
"""Distance from which on spectra are not compared, and that of a black part from a class that never is black."""
WAVELENGTH_NM = np.arange(900.0, 1801.0, 8.0)
SPECTRUM_FLOOR = 0.02
"""Least scatter of a spectrum of K over its peak, where a class does not absorb; assumed."""
LEAST_CURRENT = 0.06
"""Least scatter of the logarithm of the electrical conductivity: that of metals."""
CURRENT_FLOOR_S_M = 1e3
"""What conducts less tells an eddy-current tip nothing."""
_ROWS = 2048


class _Scatter(NamedTuple):
    """Means and standard deviations of M classes, (M, P) of properties and (M, C) of spectra; black: (M,) as tables."""

    mean: Array
    deviation: Array
    spectrum: NDArray[np.float32]
    spectrum_deviation: NDArray[np.float32]
    black: NDArray[np.int64]


def class_distances(parts: PartBatch, classes: Sequence[str] = MATERIALS) -> Array:
    """Distance of N parts from M classes: the largest deviation of any property from the class's mean.

    Properties are density, Young's modulus, conductivity, heat capacity, restitution, electrical conductivity, and
    the absorption spectrum of the body over its peak, 900 to 1800 nm. Parts of a class lie within about 4 of it (a
    test says how many). Age is part of it: aged parts lie further away.

    Args:
        parts: N, as NumPy arrays.
        classes: names of materials or formulations.

    Returns:
        (N, M) in standard deviations within the class; from FURTHEST on a lower bound.

    Raises:
        MaterialError: unknown class.
    """
    scatter = _scatter_of(tuple(classes))
    out = np.empty((len(parts), len(classes)))
    for start in range(0, len(parts), _ROWS):
        rows = slice(start, start + _ROWS)
        out[rows] = _distances(parts.rows(rows), scatter)
    return out


def departure(parts: PartBatch) -> Array:
    """(N,) distance of parts from the nearest class of the catalogue, see `class_distances`."""
    return np.min(class_distances(parts), axis=1)


def _distances(parts: PartBatch, scatter: _Scatter) -> Array:
    values = _properties(parts)
    far = np.zeros((len(parts), len(scatter.mean)))
    for place in range(values.shape[1]):  # one property at a time: half of the time that (N, M, P) takes
        z = np.abs(values[:, place, None] - scatter.mean[:, place]) / scatter.deviation[:, place]
        np.maximum(far, z, out=far)
    far[(parts.carbon_black_q > 0.0)[:, None] & (scatter.black == 0)] = FURTHEST
    row, column = np.nonzero(far < FURTHEST)
    spectra = _spectra(parts.nir_bands)
    z = np.abs(spectra[row] - scatter.spectrum[column]) / scatter.spectrum_deviation[column]
    far[row, column] = np.maximum(far[row, column], z.max(axis=1, initial=0.0))
    return far


def _properties(parts: PartBatch) -> Array:
    """(N, P) logarithms, and restitution as it is; the last is the electrical conductivity."""
    names = ("density_kg_m3", "youngs_modulus_pa", "conductivity_w_mk", "heat_capacity_j_kgk")
    current = np.maximum(parts.electrical_conductivity_s_m, CURRENT_FLOOR_S_M)
    return np.stack([*(np.log(parts.arrays[n]) for n in names), parts.restitution, np.log(current)], axis=1)


def _spectra(bands: Array) -> NDArray[np.float32]:
    """(N, C) K over its peak, 0 without bands."""
    spectra = band_sum(bands.astype(np.float32), WAVELENGTH_NM.astype(np.float32))
    peak = spectra.max(axis=1, keepdims=True)
    shape: NDArray[np.float32] = spectra / np.where(peak > 0.0, peak, 1.0)
    return shape


@lru_cache(maxsize=4)
def _scatter_of(classes: tuple[str, ...]) -> _Scatter:
    numbers = np.array([index_of(name) for name in classes])
    keys = keys_of(0, np.arange(PARTS_PER_CLASS * len(classes)))
    parts = draw_parts(keys, np.repeat(numbers, PARTS_PER_CLASS), "clean")
    shape = (len(classes), PARTS_PER_CLASS, -1)
    values, spectra = _properties(parts).reshape(shape), _spectra(parts.nir_bands).reshape(shape)
    deviation = values.std(axis=1)
    deviation[:, -1] = np.maximum(deviation[:, -1], LEAST_CURRENT)
    return _Scatter(
        values.mean(axis=1),
        deviation,
        spectra.mean(axis=1),
        np.maximum(spectra.std(axis=1), np.float32(SPECTRUM_FLOOR)),
        tables()["black"][numbers],
    )
