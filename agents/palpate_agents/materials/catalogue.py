"""Reads `materials.csv` without pandas or torch. Every value has its unit in its name and its source key beside it."""

from __future__ import annotations

import csv
import difflib
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from palpate_agents.errors import PalpateError


class MaterialError(PalpateError):
    """A material's name is not in the catalogue, or the table is malformed."""


@dataclass(frozen=True)
class NirBand:
    """One near-infrared absorption band.

    Attributes:
        centre_nm: centre, nanometres.
        relative_depth: depth relative to the material's strongest band (metals, glass: share of reflectance lost).
        fwhm_nm: full width at half maximum, nanometres.
    """

    centre_nm: float
    relative_depth: float
    fwhm_nm: float


@dataclass(frozen=True)
class Material:
    """One row of the catalogue. `*_source` hold keys of `SOURCES`; `appearance` and `note` are free text.

    `youngs_modulus_pa` bends plates; `indentation_modulus_pa` resists a ball (lower for fibrous and laminated
    materials). `friction_range` is against steel, `friction_silicone` against a silicone finger. `emissivity` is
    long-wave infrared, of the bare surface.
    """

    id: str
    name: str
    family: str
    density_kg_m3: float
    youngs_modulus_pa: float
    indentation_modulus_pa: float
    poisson: float
    hardness: str
    friction_range: tuple[float, float]
    friction_nominal: float
    friction_silicone: float
    restitution: float
    conductivity_w_mk: float
    heat_capacity_j_kgk: float
    effusivity_w_s05_m2k: float
    diffusivity_m2_s: float
    emissivity: float
    nir_base_reflectance: float
    nir_bands: tuple[NirBand, ...]
    nir_source: str
    electrical_conductivity_s_m: float
    ferromagnetic: bool
    appearance: str
    mechanical_source: str
    thermal_source: str
    emissivity_source: str
    note: str


def _bands(text: str) -> tuple[NirBand, ...]:
    """Parses `centre:depth:width;...`; an empty text means no band."""
    parts = [entry.split(":") for entry in text.split(";") if entry.strip()]
    return tuple(NirBand(float(centre), float(depth), float(width)) for centre, depth, width in parts)


def _row(row: dict[str, str]) -> Material:
    low, high = (float(value) for value in row["mu_steel_range"].split("-"))
    return Material(
        id=row["id"],
        name=row["name"],
        family=row["family"],
        density_kg_m3=float(row["density_kg_m3"]),
        youngs_modulus_pa=1e9 * float(row["E_GPa"]),
        indentation_modulus_pa=1e9 * float(row["E_indent_GPa"]),
        poisson=float(row["poisson"]),
        hardness=row["hardness"],
        friction_range=(low, high),
        friction_nominal=float(row["mu_steel_nominal"]),
        friction_silicone=float(row["mu_silicone_est"]),
        restitution=float(row["restitution_est"]),
        conductivity_w_mk=float(row["k_W_mK"]),
        heat_capacity_j_kgk=float(row["cp_J_kgK"]),
        effusivity_w_s05_m2k=float(row["effusivity_Ws05_m2K"]),
        diffusivity_m2_s=1e-6 * float(row["diffusivity_mm2_s"]),
        emissivity=float(row["emissivity_LWIR"]),
        nir_base_reflectance=float(row["nir_base_reflectance"]),
        nir_bands=_bands(row["nir_bands_nm:reldepth:fwhm"]),
        nir_source=row["nir_source"],
        electrical_conductivity_s_m=1e6 * float(row["elec_cond_MS_m"]),
        ferromagnetic=row["ferromagnetic"] == "1",
        appearance=row["appearance"],
        mechanical_source=row["src_mech"],
        thermal_source=row["src_thermal"],
        emissivity_source=row["src_emissivity"],
        note=row["note"],
    )


@lru_cache(maxsize=1)
def _load() -> dict[str, Material]:
    text = files(__package__).joinpath("materials.csv").read_text(encoding="utf-8")
    rows = [_row(row) for row in csv.DictReader(text.splitlines())]
    return {entry.id: entry for entry in rows}


def catalogue() -> dict[str, Material]:
    """All materials by id, in the order of the file (a copy: changing it changes nothing else)."""
    return dict(_load())


MATERIALS: tuple[str, ...] = tuple(_load())
"""Ids in the order of the file, which is the order of every label vector."""

FAMILIES: tuple[str, ...] = tuple(dict.fromkeys(entry.family for entry in _load().values()))
"""Families in the order of their first appearance."""


def material(name: str) -> Material:
    """One material by id; upper and lower case do not matter.

    Raises:
        MaterialError: no such material; the message names the closest ids.
    """
    entries = _load()
    if name in entries:
        return entries[name]
    by_fold = {key.casefold(): key for key in entries}
    if name.casefold() in by_fold:
        return entries[by_fold[name.casefold()]]
    close = [by_fold[key] for key in difflib.get_close_matches(name.casefold(), by_fold, n=3, cutoff=0.4)]
    hint = f"did you mean {', '.join(close)}?" if close else f"known: {', '.join(entries)}."
    raise MaterialError(f"material {name!r} is not among the {len(entries)} of the catalogue; {hint}")
