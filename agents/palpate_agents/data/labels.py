"""Labels of foreign data sets and what they are called in the catalogue.

A model keeps the label set of the data it was trained on; this table only says which catalogue entry, if any, a foreign
label means, so that properties and bins can be looked up. A label is text: it never becomes a path or a topic.
"""

from __future__ import annotations

import re

# Spellings after ISO 1043-1 / ISO 11469 and common trade names -> catalogue id. Keys are folded (see `_fold`).
_ALIASES = {
    "hdpe": "PE-HD",
    "pehd": "PE-HD",
    "highdensitypolyethylene": "PE-HD",
    "polyethylenehighdensity": "PE-HD",
    "ldpe": "PE-LD",
    "peld": "PE-LD",
    "lowdensitypolyethylene": "PE-LD",
    "polyethylenelowdensity": "PE-LD",
    "pp": "PP",
    "polypropylene": "PP",
    "pet": "PET",
    "pete": "PET",
    "polyethyleneterephthalate": "PET",
    "ps": "PS",
    "polystyrene": "PS",
    "hips": "PS",  # rubber-modified, sorted with PS
    "abs": "ABS",
    "pc": "PC",
    "polycarbonate": "PC",
    "pvc": "PVC",
    "pvcu": "PVC",
    "upvc": "PVC",
    "pa6": "PA6",
    "nylon6": "PA6",
    "pmma": "PMMA",
    "acrylic": "PMMA",
    "pom": "POM",
    "acetal": "POM",
}


def _fold(label: str) -> str:
    return re.sub(r"[^a-z0-9]", "", label.lower())


def catalogue_id(label: str, catalogue: frozenset[str] | set[str] | tuple[str, ...]) -> str | None:
    """The catalogue's name for a data set's label.

    Args:
        label: label as the data set spells it, for example "HDPE".
        catalogue: ids of the catalogue's materials, for example `palpate_agents.materials.MATERIALS`.

    Returns:
        The id, or None where the catalogue has no such material (PLA, PETG, TPU).
    """
    if label in catalogue:
        return label
    folded = _fold(label)
    alias = _ALIASES.get(folded)
    if alias in catalogue:
        return alias
    return next((entry for entry in catalogue if _fold(entry) == folded), None)
