"""Formulations that nobody has named: training parts from which a network learns how an unknown recipe looks and feels.

Outlier exposure (Hendrycks, Mazeika and Dietterich, ICLR 2019): a score of novelty generalises better when the network
has met other unknowns. Every part has a recipe of its own, drawn by its key from the catalogue alone; the named
formulations, on which that score is tested, are no source of anything here. A recipe can come out like a class of the
catalogue: `class_distance.departure` tells how far a part lies from the nearest.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from palpate_agents.errors import ConfigError
from palpate_agents.materials import MATERIALS
from palpate_sim import keyed
from palpate_sim import randomisation as rand
from palpate_sim import virtual_recipes as recipes
from palpate_sim.objects import AMBIENT_C, draw_parts
from palpate_sim.part_batch import PartBatch

Array = NDArray[np.float64]
Index = NDArray[np.int64]

KIND_SHARES = {"blend": 0.20, "filled": 0.25, "softened": 0.15, "recyclate": 0.10, "dyed": 0.03, "perturbed": 0.27}
"""Blend of two polymers; filler added, or another share of it; plasticised or toughened; mixed and dark; dyed black
where the class never is; the base with some properties out of its class. Assumed."""
KINDS = tuple(KIND_SHARES)

DYED = ("PUR-foam", "MDF", "cardboard")
"""Never black in the catalogue, and dyed black in practice."""
BASES: dict[str, tuple[str, ...]] = {
    "blend": recipes.POLYMERS,
    "filled": (*recipes.POLYMERS, "PC/ABS", *recipes.FILLED_OF),
    "softened": (*recipes.POLYMERS, "PC/ABS", *recipes.FILLED_OF),
    "recyclate": recipes.POLYMERS,
    "dyed": DYED,
    "perturbed": MATERIALS,
}
"""What each kind is derived from; equally likely."""
RESTITUTION = (0.05, 0.95)
"""As for ordinary parts."""


def draw_virtual_formulations(
    keys: Index,
    *,
    mix: str = "mix",
    conditions: str | Sequence[str] | Index | None = None,
    ambient_c: float | Array = AMBIENT_C,
    lots: tuple[int, int] = (0, rand.LOTS),
    geometry: int | Index | None = None,
    kinds: Sequence[str] = KINDS,
) -> PartBatch:
    """Draws N parts, each of a formulation of its own.

    A part is what `draw_parts` gives for its key and its base, with the recipe's changes: geometry, surface and
    scatter are those of an ordinary part. `material` keeps the number of the base, whose rules of condition hold.

    Args:
        keys: (N,) int64.
        mix: as for `draw_parts`.
        conditions: as for `draw_parts`; when they are drawn, a clean part that its recipe makes dark is `black`.
        ambient_c: as for `draw_parts`.
        lots: as for `draw_parts`.
        geometry: as for `draw_parts`.
        kinds: some of KINDS, drawn in proportion to KIND_SHARES.

    Raises:
        ConfigError: no kind, or an unknown one.
        ValueError: as for `draw_parts`.
    """
    numbers = kinds_of(keys, kinds)
    base = _bases(numbers, keyed.uniform(np.asarray(keys, np.int64), "virtual.base"))
    parts = draw_parts(keys, base, conditions, geometry, mix, ambient_c, lots)
    arrays = {name: np.array(array) for name, array in parts.arrays.items()}
    asked = recipes.Asked(lots, conditions is not None)
    for number, kind in enumerate(KINDS):
        rows = np.flatnonzero(numbers == number)
        if len(rows):
            for name, array in recipes.RECIPES[kind](parts.rows(rows), asked).arrays.items():
                arrays[name][rows] = array
    return _derived(parts, PartBatch(arrays))


def kinds_of(keys: Index, kinds: Sequence[str] = KINDS) -> Index:
    """(N,) numbers into KINDS of what `draw_virtual_formulations` draws; arguments and errors as there."""
    strange = [name for name in kinds if name not in KINDS]
    if strange or not len(kinds) or isinstance(kinds, str):
        raise ConfigError(f"kinds is {kinds!r}; give at least one of {', '.join(KINDS)}")
    chosen = np.array([KINDS.index(name) for name in kinds])
    limits = np.cumsum([KIND_SHARES[name] for name in kinds])
    u = keyed.uniform(np.asarray(keys, np.int64), "virtual.kind") * limits[-1]
    return chosen[np.sum(u[:, None] > limits[:-1], axis=1)]


def _bases(kind: Index, u: Array) -> Index:
    out = np.zeros(len(kind), np.int64)
    for number, name in enumerate(KINDS):
        own = kind == number
        choice = np.array([MATERIALS.index(base) for base in BASES[name]])
        out[own] = choice[(u[own] * len(choice)).astype(np.int64)]
    return out


def _derived(base: PartBatch, parts: PartBatch) -> PartBatch:
    """What follows from density, conductivity and heat capacity; the volume is that of the base."""
    per_volume = parts.density_kg_m3 * parts.heat_capacity_j_kgk
    return parts.replace(
        mass_kg=parts.density_kg_m3 * (base.mass_kg / base.density_kg_m3),
        effusivity_w_s05_m2k=np.sqrt(parts.conductivity_w_mk * per_volume),
        diffusivity_m2_s=parts.conductivity_w_mk / per_volume,
        restitution=np.clip(parts.restitution, *RESTITUTION),
        poisson=np.clip(parts.poisson, 0.0, 0.499),
    )
