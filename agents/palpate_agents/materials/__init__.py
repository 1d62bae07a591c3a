"""The catalogue of 29 recycling-relevant materials: names, families, bins, properties with units and sources."""

from palpate_agents.materials.bins import ABSTAIN_BIN, BINS, bin_of
from palpate_agents.materials.catalogue import (
    FAMILIES,
    MATERIALS,
    Material,
    MaterialError,
    NirBand,
    catalogue,
    material,
)
from palpate_agents.materials.sources import SOURCES

__all__ = [
    "ABSTAIN_BIN",
    "BINS",
    "FAMILIES",
    "MATERIALS",
    "SOURCES",
    "Material",
    "MaterialError",
    "NirBand",
    "bin_of",
    "catalogue",
    "material",
]
