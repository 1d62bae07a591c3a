"""Reformulations that are not classes of the catalogue: what a supplier sells next year. Models never train on them."""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.resources import files
from typing import Any

from palpate_agents.materials import Material, MaterialError, NirBand, material

SOLID_FAMILY = {"foam": "polymer"}
"""Family of a formulation whose base is a foam: it is not one."""


@dataclass(frozen=True)
class Formulation:
    """One row of `formulations.csv`.

    Attributes:
        entry: as a material; `entry.id` is its name, `entry.note` what it is.
        base: id in the catalogue of what it is derived from.
        yield_pa: yield stress; NaN: mixed from base and second.
        filler: mass share.
        carbon_black: True when it is black by its recipe.
        second, second_share: second polymer of a blend and its mass share, None and 0 without.
        source: key of `materials.SOURCES`.
    """

    entry: Material
    base: str
    yield_pa: float
    filler: float
    carbon_black: bool
    second: str | None
    second_share: float
    source: str


def _bands(text: str) -> tuple[NirBand, ...]:
    parts = [entry.split(":") for entry in text.split(";") if entry.strip()]
    return tuple(NirBand(float(centre), float(depth), float(width)) for centre, depth, width in parts)


def _mixed(base: Material, second: Material | None, share: float) -> Material:
    """Rule of mixtures, by mass; density by volume; bands by mass, equal scattering."""
    if second is None:
        return base
    keep = 1.0 - share
    bands = tuple(replace(b, relative_depth=keep * b.relative_depth) for b in base.nir_bands) + tuple(
        replace(b, relative_depth=share * b.relative_depth) for b in second.nir_bands
    )
    names = ("youngs_modulus_pa", "indentation_modulus_pa", "poisson", "restitution", "conductivity_w_mk",
             "heat_capacity_j_kgk", "nir_base_reflectance")  # fmt: skip
    mixed: dict[str, Any] = {name: keep * getattr(base, name) + share * getattr(second, name) for name in names}
    mixed["density_kg_m3"] = 1.0 / (keep / base.density_kg_m3 + share / second.density_kg_m3)
    return replace(base, nir_bands=bands, **mixed)


def _row(row: dict[str, str]) -> Formulation:
    second, share = row["second"] or None, float(row["second_share"])
    base = material(row["base"])
    entry = _mixed(base, material(second) if second else None, share)
    columns = {
        "density_kg_m3": ("density_kg_m3", 1.0),
        "E_GPa": ("youngs_modulus_pa", 1e9),
        "restitution": ("restitution", 1.0),
        "k_W_mK": ("conductivity_w_mk", 1.0),
        "cp_J_kgK": ("heat_capacity_j_kgk", 1.0),
        "nir_base_reflectance": ("nir_base_reflectance", 1.0),
    }
    changed: dict[str, Any] = {
        field: float(row[column]) * unit for column, (field, unit) in columns.items() if row[column]
    }
    if "youngs_modulus_pa" in changed:
        changed["indentation_modulus_pa"] = changed["youngs_modulus_pa"]
    entry = replace(
        entry,
        id=row["name"],
        name=row["name"],
        family="composite" if float(row["filler"]) else SOLID_FAMILY.get(base.family, base.family),
        nir_bands=entry.nir_bands + _bands(row["extra_bands_nm:reldepth:fwhm"]),
        note=row["note"],
        **changed,
    )
    return Formulation(
        entry, base.id, 1e6 * float(row["yield_MPa"] or "nan"), float(row["filler"]), row["carbon_black"] == "1",
        second, share, row["source"],
    )  # fmt: skip


@lru_cache(maxsize=1)
def _load() -> dict[str, Formulation]:
    text = files(__package__).joinpath("formulations.csv").read_text(encoding="utf-8")
    rows = [_row(row) for row in csv.DictReader(text.splitlines())]
    return {row.entry.id: row for row in rows}


FORMULATIONS: tuple[str, ...] = tuple(_load())
"""Names in the order of the file."""


def formulation(name: str) -> Formulation:
    """One formulation by name.

    Raises:
        MaterialError: no such formulation; the message names the known ones.
    """
    rows = _load()
    if name not in rows:
        raise MaterialError(f"formulation {name!r} is not one of {', '.join(rows)}")
    return rows[name]
