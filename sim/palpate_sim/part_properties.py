"""Draws a part's geometry, bulk and surface properties from `randomisation.PART`."""

from __future__ import annotations

from typing import Any

import numpy as np

from palpate_agents.materials import Material
from palpate_sim import randomisation as rand

SOFT_FAMILIES = ("foam", "rubber")
FIBRE_FAMILIES = ("wood", "paper")
SHEET_MATERIALS = ("FR4", "CFRP", "cardboard", "MDF")
HEAVY_KG_M3 = 2000.0
"""Denser parts are drawn smaller: the arm lifts about 1 kg beside its tool."""

WATER_LWIR_ABSORPTION_PER_UM = 0.064
"""Napierian absorption of water at 10 um: 640 /cm (Hale and Querry 1973)."""
WATER_EMISSIVITY = 0.96  # TESTO
COAT_CONDUCTIVITY_W_MK = 0.25  # polymer binder with pigment, assumed


def draw_geometry(rng: np.random.Generator, entry: Material, shape: str | None) -> dict[str, Any]:
    """Shape, full extents (m) and wall thickness (m, inf when solid).

    Between 24 and 68 mm along x and 10 to 55 mm high, so that a hand of 80 mm opening takes every part.

    Raises:
        ValueError: unknown shape.
    """
    if shape is None:
        weights = (0.2, 0.8, 0.0, 0.0) if entry.id in SHEET_MATERIALS else (0.45, 0.2, 0.15, 0.2)
        if entry.family in SOFT_FAMILIES:
            weights = (0.7, 0.0, 0.3, 0.0)
        shape = ("block", "plate", "cylinder", "tube")[int(rng.choice(4, p=weights))]
    heavy = entry.density_kg_m3 > HEAVY_KG_M3
    if shape == "block":
        low, high = ((28, 30, 12), (45, 60, 32)) if heavy else ((30, 32, 16), (66, 95, 55))
    elif shape == "plate":
        low, high = ((32, 45, 10), (50, 75, 14)) if heavy else ((36, 50, 10), (68, 100, 16))
    elif shape in ("cylinder", "tube"):
        low, high = ((30, 30, 20), (46, 46, 36)) if heavy else ((32, 32, 20), (62, 62, 55))
    else:
        raise ValueError(f"shape {shape!r} is not one of block, plate, cylinder, tube")
    x, y, z = (1e-3 * float(value) for value in rng.uniform(low, high))
    if shape in ("cylinder", "tube"):
        y = x
    hollow_share = rand.HOLLOW_SHARE.get(entry.family, 0.0)
    hollow = shape == "tube" or (shape == "block" and rng.random() < hollow_share)
    wall = rand.PART["wall_m"].draw(rng) if hollow else float("inf")
    return {"shape": shape, "dimensions_m": (x, y, z), "wall_thickness_m": wall}


def solid_volume_m3(shape: str, dimensions_m: tuple[float, float, float], wall_thickness_m: float) -> float:
    """Volume of material: all of it, or a closed shell of the wall's thickness, m3."""

    def volume(extents: np.ndarray) -> float:
        round_share = np.pi / 4 if shape in ("cylinder", "tube") else 1.0
        return float(round_share * np.prod(np.maximum(extents, 0.0)))

    outer = np.asarray(dimensions_m)
    if np.isinf(wall_thickness_m):
        return volume(outer)
    return volume(outer) - volume(outer - 2.0 * wall_thickness_m)


def draw_bulk(rng: np.random.Generator, entry: Material) -> dict[str, Any]:
    """Mechanical and thermal properties of the lot that the part was made from."""
    part = rand.PART
    if entry.family == "foam":
        density = part["density_factor_foam"].draw(rng)
    else:
        density = part["density_factor_fibre" if entry.family in FIBRE_FAMILIES else "density_factor"].draw(rng)
    kind = {"metal": "_metal", "ceramic": "_metal"}.get(entry.family, "_soft" if entry.family in SOFT_FAMILIES else "")
    modulus = part["modulus_factor_PA6" if entry.id == "PA6" else f"modulus_factor{kind}"].draw(rng)
    density *= entry.density_kg_m3
    conductivity = entry.conductivity_w_mk * part["conductivity_factor"].draw(rng)
    capacity = entry.heat_capacity_j_kgk * part["heat_capacity_factor"].draw(rng)
    return {
        "density_kg_m3": density,
        "youngs_modulus_pa": entry.youngs_modulus_pa * modulus,
        "indentation_modulus_pa": entry.indentation_modulus_pa * modulus,
        "poisson": float(np.clip(entry.poisson + part["poisson_shift"].draw(rng), 0.0, 0.499)),
        "restitution": float(np.clip(entry.restitution + part["restitution_shift"].draw(rng), 0.05, 0.95)),
        "conductivity_w_mk": conductivity,
        "heat_capacity_j_kgk": capacity,
        "effusivity_w_s05_m2k": float(np.sqrt(conductivity * density * capacity)),
        "diffusivity_m2_s": float(conductivity / (density * capacity)),
    }


def draw_surface(rng: np.random.Generator, entry: Material, condition: str) -> dict[str, Any]:
    """What touches and what is seen: friction, heat contact, emissivity, NIR, coat, water film."""
    part = rand.PART
    wet = condition == "wet"
    film_um = part["film_um"].draw(rng) if wet else 0.0
    coat = _draw_coat(rng, condition == "painted")
    anodised = not wet and condition != "painted" and rng.random() < rand.ANODISED_SHARE.get(entry.id, 0.0)
    dry_conductance = part["contact_conductance"].draw(rng)
    low, high = entry.friction_range
    carbon = condition == "black" or entry.id in rand.BLACK_BY_NATURE
    base = entry.nir_base_reflectance * part["base_reflectance_factor"].draw(rng)
    return {
        "condition": condition,
        "friction": float(rng.uniform(low, high)),
        "friction_factor": part["wet_friction_factor"].draw(rng) if wet else 1.0,
        "friction_exponent": -1.0 / 3.0 if entry.family == "rubber" else 0.0,
        "stribeck_share": part["stribeck_share"].draw(rng),
        "stribeck_speed_m_s": part["stribeck_speed"].draw(rng),
        "ripple": part["ripple"].draw(rng),
        "contact_conductance_w_m2k": dry_conductance + (part["wet_conductance"].draw(rng) if wet else 0.0),
        "contact_resistance_m2k_w": coat.pop("coat_um") * 1e-6 / COAT_CONDUCTIVITY_W_MK,
        "emissivity": _draw_emissivity(rng, entry, coated=anodised or condition == "painted", film_um=film_um),
        "anodised": anodised,
        "nir_bands": _draw_bands(rng, entry),
        "band_strength": part["band_strength"].draw(rng),
        "base_reflectance": float(np.clip(base, 0.02, 0.97)),
        "carbon_black_q": part["carbon_black_q"].draw(rng) if carbon else 0.0,
        "clear_absorption_per_mm": part["clear_absorption"].draw(rng),
        "film_um": film_um,
        **coat,
    }


def _draw_coat(rng: np.random.Generator, painted: bool) -> dict[str, float]:
    """Half of the coats are opaque, the others let 25 to 60 % of the substrate's light through."""
    part = rand.PART
    opaque = rng.random() < rand.OPAQUE_COAT_SHARE
    transmission = 0.0 if opaque else part["coat_transmission"].draw(rng)
    thickness = part["coat_thickness_opaque_um" if opaque else "coat_thickness_thin_um"].draw(rng)
    return {
        "paint_transmission": transmission if painted else 1.0,
        "coat_um": thickness if painted else 0.0,
        "coat_reflectance": part["coat_reflectance"].draw(rng),
        "coat_band_strength": part["coat_band_strength"].draw(rng),
    }


def _draw_bands(rng: np.random.Generator, entry: Material) -> tuple[tuple[float, float, float], ...]:
    """Bands of this grade: centre nm, relative depth, full width nm."""
    part = rand.PART
    return tuple(
        (
            band.centre_nm + part["band_shift"].draw(rng),
            band.relative_depth * part["band_depth_factor"].draw(rng),
            band.fwhm_nm,
        )
        for band in entry.nir_bands
    )


def _draw_emissivity(rng: np.random.Generator, entry: Material, *, coated: bool, film_um: float) -> float:
    """Long-wave emissivity as seen: a coat hides the finish, a water film mixes with it after Beer-Lambert."""
    part = rand.PART
    shift = part["emissivity_shift"].draw(rng)
    coat = part["emissivity_coat"].draw(rng)
    if entry.id in rand.METAL_EMISSIVITY:
        low, high, _ = rand.METAL_EMISSIVITY[entry.id]
        bare = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    else:
        bare = entry.emissivity + shift
    if coated:
        return coat
    covered = 1.0 - np.exp(-2.0 * WATER_LWIR_ABSORPTION_PER_UM * film_um)
    return float(np.clip(bare + covered * (WATER_EMISSIVITY - bare), 0.02, 0.98))
