"""Values of all materials and formulations as arrays, and how the lots of each differ."""

from __future__ import annotations

import math
from dataclasses import asdict
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palpate_agents.materials import MATERIALS, Material, MaterialError, material
from palpate_sim import keyed
from palpate_sim import randomisation as rand
from palpate_sim.backend import ndtri
from palpate_sim.formulations import FORMULATIONS, formulation
from palpate_sim.part_geometry import GEOMETRY_CLASSES, SOFT_FAMILIES, geometry_class

Array = NDArray[np.float64]

NAMES: tuple[str, ...] = MATERIALS + FORMULATIONS
"""What the number in `PartBatch.material` stands for: the catalogue, then the formulations."""

FIBRE_FAMILIES = ("wood", "paper")
ORGANIC_FAMILIES = ("polymer", "blend", "composite", "foam", "rubber", "wood", "paper")
"""Families that oxidise and turn yellow."""

YIELD_MPA: dict[str, tuple[float, str]] = {
    "PE-HD": (27.0, "mem"),
    "PE-LD": (10.0, "mem"),
    "PP": (33.0, "mem"),
    "PET": (60.0, "mem"),
    "PVC": (52.0, "mem"),
    "PS": (90.0, "UP: compression 79-110; crazes at 45 in tension"),
    "ABS": (43.0, "DOW 34-50; OMN 30-48"),
    "PC": (62.0, "mem; UP: compression 86"),
    "PC/ABS": (50.0, "OMN 45-55"),
    "PA6": (50.0, "mem: conditioned"),
    "PA66-GF30": (130.0, "mem: conditioned, breaks first"),
    "PP-GF30": (80.0, "mem: breaks first"),
    "PP-T20": (33.0, "mem"),
    "PMMA": (100.0, "mem: compression; DOW 54-73 in tension"),
    "POM": (67.0, "mem"),
    "PUR-foam": (0.005, "mem: plateau of the cells"),
    "EPDM": (30.0, "mem: elastic to high strain, nothing yields below"),
    "Al6061": (276.0, "mem: T6"),
    "AlSi-cast": (160.0, "mem"),
    "mild-steel": (250.0, "mem"),
    "SS304": (230.0, "mem"),
    "Cu": (110.0, "mem: half hard"),
    "brass": (200.0, "mem"),
    "Zn-diecast": (220.0, "mem"),
    "glass": (2000.0, "mem: hardness over 2.8"),
    "MDF": (10.0, "mem: across the board"),
    "CFRP": (200.0, "mem: matrix, across the plies"),
    "FR4": (350.0, "mem: compression, flatwise"),
    "cardboard": (1.5, "mem: flat crush"),
}
"""Stress at which a press leaves a mark, MPa, and its source. `mem`: a typical value that was not looked up; DOW:
N. E. Dowling, Mechanical Behavior of Materials, table 4.3; OMN: SpecialChem Omnexus, strength at yield (tensile); UP:
e-uparts machine handbook, plastics, 1 kg/mm2 = 9.8 MPa."""

FILLER: dict[str, float] = {
    "PA66-GF30": 0.30, "PP-GF30": 0.30, "PP-T20": 0.20, "EPDM": 0.35, "CFRP": 0.60, "FR4": 0.55,
}  # fmt: skip
"""Mass share of fibre, mineral or black in the catalogue's materials: by their names; EPDM, CFRP, FR4 assumed."""

FILLER_EFFECT = {"density": 0.65, "modulus": 2.5, "conductivity": 1.1, "restitution": -0.08}
"""Relative change per mass share (restitution: absolute), from PP against PP-GF30 and PP-T20 of the catalogue."""

BLEND, BLEND_OF, BLEND_NOMINAL = "PC/ABS", ("PC", "ABS"), 0.6
"""The blend whose fraction is drawn, its two polymers, and the share of the first that the catalogue's row stands for
(density 1140 kg/m3 lies at 0.61)."""
BLEND_SCATTERING = (0.6, 1.0)
"""Scattering S of the two in Kubelka-Munk: PC is clear, the rubber in ABS scatters; assumed."""
BANDS = 14
"""Bands of the body; ageing adds two, see AGEING_BANDS."""
AGEING_BANDS = ((1420.0, 80.0), (1160.0, 45.0))
"""Centre and full width, nm: first overtone of O-H stretching, fourth overtone of C=O stretching; widths assumed."""


@lru_cache(maxsize=1)
def entries() -> tuple[Material, ...]:
    """The rows behind NAMES."""
    return tuple(material(name) for name in MATERIALS) + tuple(formulation(name).entry for name in FORMULATIONS)


def index_of(name: str) -> int:
    """Number of a material or formulation.

    Raises:
        MaterialError: neither knows the name.
    """
    if name in NAMES:
        return NAMES.index(name)
    try:
        return MATERIALS.index(material(name).id)
    except MaterialError as error:
        raise MaterialError(f"{error} Formulations: {', '.join(FORMULATIONS)}.") from None


@lru_cache(maxsize=1)
def tables() -> MappingProxyType[str, Any]:
    """Arrays over NAMES (M,).

    The catalogue's numbers by their names, and `yield_pa`, `filler`; `metal`, `ceramic`, `rubber`, `organic`, `blend`
    (bool); `black` (0: never, 1: can be, 2: always); `geometry_class`; `friction_low`, `friction_high`;
    `emissivity_low`, `emissivity_high` (of bare metal, 1 otherwise); `density_row`, `modulus_row` (of LOT_PROPERTIES);
    `nir_bands` (M, 14, 3), of the blend those of both its polymers, `nir_first` (14,) True for those of the first.
    """
    rows = entries()
    out: dict[str, Any] = {}
    for name in ("density_kg_m3", "youngs_modulus_pa", "indentation_modulus_pa", "poisson", "restitution",
                 "conductivity_w_mk", "heat_capacity_j_kgk", "emissivity", "nir_base_reflectance",
                 "electrical_conductivity_s_m", "ferromagnetic"):  # fmt: skip
        out[name] = np.array([getattr(row, name) for row in rows])
    family = np.array([row.family for row in rows])
    ids = np.array([row.id for row in rows])
    for name in ("metal", "ceramic", "rubber"):
        out[name] = family == name
    out["organic"] = np.isin(family, ORGANIC_FAMILIES)
    out["blend"] = ids == BLEND
    out["yield_pa"] = np.array([_yield_pa(row.id) for row in rows])
    out["filler"] = np.array([_filler(row.id) for row in rows])
    out["black"] = np.array([_black(row) for row in rows])
    out["geometry_class"] = np.array([GEOMETRY_CLASSES.index(geometry_class(row)) for row in rows])
    out["friction_low"], out["friction_high"] = np.array([row.friction_range for row in rows]).T
    finish = [rand.METAL_EMISSIVITY.get(row.id, (1.0, 1.0, ""))[:2] for row in rows]
    out["emissivity_low"], out["emissivity_high"] = np.array(finish).T
    names = list(rand.LOT_PROPERTIES)
    out["density_row"] = np.array([names.index(_density(row)) for row in rows])
    out["modulus_row"] = np.array([names.index(_modulus(row)) for row in rows])
    out["nir_bands"] = np.array([_padded(row) for row in rows])
    out["nir_first"] = np.arange(BANDS) < len(material(BLEND_OF[0]).nir_bands)
    return MappingProxyType(out)


def _yield_pa(name: str) -> float:
    if name in YIELD_MPA:
        return 1e6 * YIELD_MPA[name][0]
    row = formulation(name)
    if not math.isnan(row.yield_pa):
        return row.yield_pa
    base = YIELD_MPA[row.base][0]
    second = YIELD_MPA[row.second][0] if row.second else base
    return 0.85e6 * ((1.0 - row.second_share) * base + row.second_share * second)  # phases do not bond, assumed


def _filler(name: str) -> float:
    return formulation(name).filler if name in FORMULATIONS else FILLER.get(name, 0.0)


def _black(row: Material) -> int:
    if row.id in FORMULATIONS and formulation(row.id).carbon_black:
        return 2
    return 2 if row.id in rand.BLACK_BY_NATURE else int(row.family in rand.BLACKABLE_FAMILIES)


def _density(row: Material) -> str:
    if row.family == "foam":
        return "density_factor_foam"
    return "density_factor_fibre" if row.family in FIBRE_FAMILIES else "density_factor"


def _modulus(row: Material) -> str:
    if row.id == "PA6":
        return "modulus_factor_PA6"
    if row.family in SOFT_FAMILIES:
        return "modulus_factor_soft"
    return "modulus_factor_metal" if row.family in ("metal", "ceramic") else "modulus_factor"


def _padded(row: Material) -> Array:
    """(14, 3) bands, the strongest if there are more; of depth 0 where there is none."""
    weakest = sorted(row.nir_bands, key=lambda band: band.relative_depth * band.fwhm_nm)[:-BANDS]
    bands = [band for band in row.nir_bands if band not in weakest]
    if row.id == BLEND:
        bands = [band for name in BLEND_OF for band in material(name).nir_bands]
    out = np.tile(np.array([1300.0, 0.0, 1.0]), (BANDS, 1))
    for k, band in enumerate(bands):
        out[k] = band.centre_nm, band.relative_depth, band.fwhm_nm
    return out


@lru_cache(maxsize=1)
def lot_deviates() -> Array:
    """(M, LOTS, K) standard normal share of lot and drift in each property of LOT_PROPERTIES.

    Keyed by the names of material and property and by the lot's number, so that adding a material or a property
    leaves the lots of the others as they were.
    """
    names = tuple(rand.LOT_PROPERTIES)
    keys = keyed.keys_of(0, [keyed.purpose(name) for name in NAMES])
    lots = np.arange(rand.LOTS)
    each = keyed.combine(np.repeat(keys, rand.LOTS), "lot", np.tile(lots, len(keys)))
    between = ndtri(keyed.uniforms(each, names)).T.reshape(len(keys), rand.LOTS, len(names))
    direction = np.where(keyed.uniforms(keyed.combine(keys, "drift"), names) < 0.5, -1.0, 1.0).T
    time = np.linspace(-math.sqrt(3.0), math.sqrt(3.0), rand.LOTS)  # of variance 1
    drift = direction[:, None, :] * time[None, :, None]
    shares = rand.LOT_VARIANCE
    return math.sqrt(shares["lot"]) * between + math.sqrt(shares["drift"]) * drift


def constants() -> dict[str, Any]:
    """What bulk properties are drawn from, for the hash of the randomisation."""
    return {
        "yield": YIELD_MPA, "filler": FILLER, "effect": FILLER_EFFECT, "organic": ORGANIC_FAMILIES,
        "blend": [BLEND, BLEND_OF, BLEND_NOMINAL, BLEND_SCATTERING], "ageing": AGEING_BANDS,
        "formulations": [asdict(formulation(name)) for name in FORMULATIONS],
    }  # fmt: skip
