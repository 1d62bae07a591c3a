"""Estimated properties in words: logarithms undone, units spelt, the catalogue's value beside them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from palpate_agents.materials import MATERIALS, Material, material


@dataclass(frozen=True)
class PropertyRow:
    """One property as shown; `unit` and `catalogue` may be empty."""

    name: str
    unit: str
    value: str
    uncertainty: str
    catalogue: str


@dataclass(frozen=True)
class _Kind:
    name: str
    unit: str
    scale: float
    of: Callable[[Material], float]


_KINDS = {
    "log10_effusivity_w_s05_m2_k": _Kind(
        "Thermal effusivity", "W s½ m⁻² K⁻¹", 1.0, lambda entry: entry.effusivity_w_s05_m2k
    ),
    "log10_stiffness_pa": _Kind("Modulus", "GPa", 1e-9, lambda entry: entry.indentation_modulus_pa),
    "log10_density_kg_m3": _Kind("Density", "kg/m³", 1.0, lambda entry: entry.density_kg_m3),
    "blend_fraction": _Kind("Share of the second polymer", "%", 100.0, lambda _: math.nan),
    "restitution": _Kind("Restitution", "", 1.0, lambda entry: entry.restitution),
    "friction": _Kind("Friction against steel", "", 1.0, lambda entry: entry.friction_nominal),
}


def property_rows(properties: Sequence[tuple[str, float, float]], reference: str) -> list[PropertyRow]:
    """Rows for (name, value, standard deviation); `reference` is the material whose catalogue values are shown."""
    entry = material(reference) if reference in MATERIALS else None
    rows = []
    for name, estimate, std in properties:
        if not math.isfinite(estimate):
            continue
        # The estimate of a share may miss its range by its error.
        value = min(1.0, max(0.0, estimate)) if name.endswith("_fraction") else estimate
        kind = _KINDS.get(name)
        scale = kind.scale if kind else 1.0
        if name.startswith("log10_"):
            shown = significant(scale * 10.0**value)
            spread = f"×/÷ {10.0**std:.2f}" if math.isfinite(std) and std < 6 else ""
        else:
            shown, spread = significant(scale * value), f"± {significant(scale * std)}" if math.isfinite(std) else ""
        nominal = kind.of(entry) if kind and entry else math.nan
        known = significant(scale * nominal) if math.isfinite(nominal) else ""
        title = kind.name if kind else name.removeprefix("log10_").replace("_", " ")
        rows.append(PropertyRow(title, kind.unit if kind else "", shown, spread, known))
    return rows


def significant(value: float) -> str:
    """Three significant digits, without exponent where that can be read."""
    if value == 0.0:
        return "0"
    if not 1e-3 <= abs(value) < 1e6:
        return f"{value:.2e}"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
