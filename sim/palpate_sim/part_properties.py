"""Bulk and surface properties of N parts from the values of `randomisation.PART`, with lot, filler, blend and age."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palpate_agents.materials import material
from palpate_sim import randomisation as rand
from palpate_sim.part_batch import BANDS as ALL_BANDS
from palpate_sim.part_tables import (
    AGEING_BANDS,
    BANDS,
    BLEND_NOMINAL,
    BLEND_OF,
    BLEND_SCATTERING,
    FILLER_EFFECT,
    NAMES,
    YIELD_MPA,
    Array,
    tables,
)

AGEING = {"restitution": 0.08, "modulus": 0.15, "modulus_rubber": 0.5, "yield": -0.35, "tarnish": 0.5}
"""At age 1, relative: brittle polymers damp less and crack earlier, rubber hardens, metals cover a share of the way
from their emissivity to the upper end of METAL_EMISSIVITY (logarithmic). Assumed."""

Values = Mapping[str, Array]
Index = NDArray[np.int64]


@lru_cache(maxsize=1)
def _blend_slope() -> dict[str, float]:
    """Change of each property per share of the first polymer of the blend: first minus second."""
    first, second = (material(name) for name in BLEND_OF)
    names = ("density_kg_m3", "youngs_modulus_pa", "indentation_modulus_pa", "poisson", "restitution",
             "conductivity_w_mk", "heat_capacity_j_kgk")  # fmt: skip
    slope = {name: getattr(first, name) - getattr(second, name) for name in names}
    return {**slope, "yield_pa": 1e6 * (YIELD_MPA[first.id][0] - YIELD_MPA[second.id][0])}


def draw_bulk(kind: Index, age: Array, values: Values, rows: Array) -> dict[str, Array]:
    """Mechanical, thermal and electrical properties of N parts, by the names of `Part`.

    Args:
        kind: (N,) material, index into `part_tables.NAMES`.
        age: (N,) 0 to 1.
        values: (N,) values of `randomisation.PART` by name.
        rows: (K, N) the same, in the order of LOT_PROPERTIES.
    """
    table = tables()
    every = np.arange(len(kind))
    blend = table["blend"][kind]
    nominal = table["filler"][kind]
    filler = np.where(nominal > 0.0, np.clip(nominal + values["filler_shift"], 0.0, 0.9), 0.0)
    more = filler - nominal
    fraction = np.where(blend, values["blend_fraction"], 0.0)
    shift = np.where(blend, fraction - BLEND_NOMINAL, 0.0)
    worn = age * table["organic"][kind]
    hardened = 1.0 + worn * np.where(table["rubber"][kind], AGEING["modulus_rubber"], AGEING["modulus"])
    modulus = rows[table["modulus_row"][kind], every] * (1.0 + FILLER_EFFECT["modulus"] * more) * hardened
    slope = _blend_slope()

    def mixed(name: str) -> Array:
        return table[name][kind] + slope[name] * shift

    density = mixed("density_kg_m3") * rows[table["density_row"][kind], every]
    density *= 1.0 + FILLER_EFFECT["density"] * more
    conductivity = mixed("conductivity_w_mk") * values["conductivity_factor"]
    conductivity *= 1.0 + FILLER_EFFECT["conductivity"] * more
    capacity = mixed("heat_capacity_j_kgk") * values["heat_capacity_factor"]
    restitution = (mixed("restitution") + values["restitution_shift"] + FILLER_EFFECT["restitution"] * more) * (
        1.0 + AGEING["restitution"] * worn
    )
    product = conductivity * density * capacity
    return {
        "density_kg_m3": density,
        "youngs_modulus_pa": mixed("youngs_modulus_pa") * modulus,
        "indentation_modulus_pa": mixed("indentation_modulus_pa") * modulus,
        "poisson": np.clip(mixed("poisson") + values["poisson_shift"], 0.0, 0.499),
        "restitution": np.clip(restitution, 0.05, 0.95),
        "yield_pa": mixed("yield_pa") * values["yield_factor"] * (1.0 + AGEING["yield"] * worn),
        "conductivity_w_mk": conductivity,
        "heat_capacity_j_kgk": capacity,
        "effusivity_w_s05_m2k": np.sqrt(product),
        "diffusivity_m2_s": conductivity / (density * capacity),
        "electrical_conductivity_s_m": table["electrical_conductivity_s_m"][kind] * values["electrical_factor"],
        "ferromagnetic": table["ferromagnetic"][kind],
        "metal": table["metal"][kind],
        "ceramic": table["ceramic"][kind],
        "filler": filler,
        "blend_fraction": fraction,
        "clear_absorption_per_mm": values["clear_absorption"],
    }


def draw_surface(kind: Index, age: Array, black: NDArray[np.bool_], values: Values) -> dict[str, Array]:
    """What touches and what is seen of N bare, dry bodies: friction, heat contact, emissivity, NIR, by names of `Part`.

    Args:
        kind: (N,) material, index into `part_tables.NAMES`.
        age: (N,) 0 to 1.
        black: (N,) coloured with carbon black.
        values: (N,) values of `randomisation.PART` and the uniform number `anodised` by name.
    """
    table = tables()
    low, high = table["friction_low"][kind], table["friction_high"][kind]
    anodised = values["anodised"] < _anodised_share()[kind]
    return {
        "friction": low + (high - low) * values["friction_place"],
        "friction_exponent": np.where(table["rubber"][kind], -1.0 / 3.0, 0.0),
        "stribeck_share": values["stribeck_share"],
        "stribeck_speed_m_s": values["stribeck_speed"],
        "ripple": values["ripple"],
        "contact_conductance_w_m2k": values["contact_conductance"],
        "emissivity": np.where(anodised, values["emissivity_anodised"], _bare_emissivity(kind, age, values)),
        "anodised": anodised,
        "nir_bands": _bands(kind, age * table["organic"][kind], values),
        "band_strength": values["band_strength"],
        "base_reflectance": np.clip(
            table["nir_base_reflectance"][kind] * values["base_reflectance_factor"], 0.02, 0.97
        ),
        "carbon_black_q": np.where(black, values["carbon_black_q"], 0.0),
    }


@lru_cache(maxsize=1)
def _anodised_share() -> Array:
    return np.array([rand.ANODISED_SHARE.get(name, 0.0) for name in NAMES])


def _bare_emissivity(kind: Index, age: Array, values: Values) -> Array:
    """(N,) long-wave: of metals after their finish, higher when tarnished."""
    table = tables()
    low, high = table["emissivity_low"][kind], table["emissivity_high"][kind]
    place = values["emissivity_finish"]
    place = place + AGEING["tarnish"] * age * (1.0 - place)
    finished = low * (high / low) ** place
    body = np.clip(table["emissivity"][kind] + values["emissivity_shift"], 0.02, 0.98)
    return np.where(table["metal"][kind], finished, body)


def _bands(kind: Index, worn: Array, values: Values) -> Array:
    """(N, 16, 3) bands of this lot; a blend mixes K and S of its polymers, age adds O-H and C=O."""
    table = tables()
    out = np.empty((len(kind), ALL_BANDS, 3))
    out[:, :BANDS] = table["nir_bands"][kind]
    used = out[:, :BANDS, 1] != 0.0
    out[:, :BANDS, 0] += used * np.stack([values[f"band_shift_{k}"] for k in range(BANDS)], axis=1)
    out[:, :BANDS, 1] *= np.stack([values[f"band_depth_{k}"] for k in range(BANDS)], axis=1)
    blend = table["blend"][kind]
    if blend.any():
        first = values["blend_fraction"][blend] * BLEND_SCATTERING[0]
        share = first / (first + (1.0 - values["blend_fraction"][blend]) * BLEND_SCATTERING[1])
        out[blend, :BANDS, 1] *= np.where(table["nir_first"], share[:, None], 1.0 - share[:, None])
    for k, ((centre, width), name) in enumerate(zip(AGEING_BANDS, ("oh", "carbonyl"), strict=True)):
        band = out[:, BANDS + k]
        band[:, 0] = centre + values[f"{name}_shift"]
        band[:, 1] = worn * values[f"{name}_depth"]
        band[:, 2] = width
    return out


def draw_layers(wet: NDArray[np.bool_], painted: NDArray[np.bool_], values: Values) -> dict[str, Array]:
    """Coat, water film, label and dirt of N parts, by names of `Part`.

    Half of the coats are opaque, the others let 25 to 60 % of the substrate's light through.

    Args:
        wet: (N,).
        painted: (N,).
        values: (N,) values of `randomisation.PART` and the uniform numbers `opaque`, `label` and `dirt` by name.
    """
    opaque = values["opaque"] < rand.OPAQUE_COAT_SHARE
    thickness = np.where(opaque, values["coat_thickness_opaque_um"], values["coat_thickness_thin_um"])
    return {
        "coat_um": np.where(painted, thickness, 0.0),
        "paint_transmission": np.where(painted, np.where(opaque, 0.0, values["coat_transmission"]), 1.0),
        "coat_reflectance": values["coat_reflectance"],
        "coat_band_strength": values["coat_band_strength"],
        "coat_gloss": values["coat_gloss"],
        "coat_emissivity": values["coat_emissivity"],
        "film_um": np.where(wet, values["film_um"], 0.0),
        "wet_friction_factor": values["wet_friction_factor"],
        "wet_conductance_w_m2k": values["wet_conductance"],
        "label_um": np.where(values["label"] < rand.LABEL_SHARE, values["label_um"], 0.0),
        "label_reflectance": values["label_reflectance"],
        "dirt_level": np.where(values["dirt"] < rand.DIRT_SHARE, values["dirt_level"], 0.0),
    }


def constants() -> dict[str, Any]:
    """What is assumed here, for the hash of the randomisation."""
    return {"ageing": AGEING}
