"""Blocks with what is asked for on them, and even surface maps."""

from __future__ import annotations

import numpy as np

from palpate_sim.keyed import keys_of
from palpate_sim.objects import PartBatch, draw_parts
from palpate_sim.surface import SurfaceMaps
from palpate_sim.surface_maps import GRID, MAPS


def parts(count: int = 64, seed: int = 5, **arrays: float) -> PartBatch:
    """Blocks of 48 x 64 mm without anything on them, unless asked for."""
    clean = {"coat_um": 0.0, "label_um": 0.0, "film_um": 0.0, "dirt_level": 0.0, "wall_thickness_m": np.inf}
    batch = draw_parts(keys_of(seed, np.arange(count)))
    size = np.tile([0.048, 0.064, 0.03], (count, 1))
    filled = {name: np.full(count, float(value)) for name, value in {**clean, **arrays}.items()}
    return batch.replace(dimensions_m=size, shape=np.zeros(count, np.int64), **filled)


def everything(count: int = 64, seed: int = 5) -> PartBatch:
    return parts(count, seed, coat_um=60.0, label_um=100.0, film_um=80.0, dirt_level=0.7)


def maps(count: int, **values: float) -> SurfaceMaps:
    """Even maps."""
    return SurfaceMaps(*(np.full((count, GRID, GRID), values.get(name, 0.0)) for name in MAPS))


def at(batch: PartBatch, u: float = 0.0, v: float = 0.0) -> np.ndarray:
    return np.tile([u, v], (len(batch), 1))
