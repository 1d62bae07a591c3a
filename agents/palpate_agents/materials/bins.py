"""Which bin a material goes to. Fewer bins than materials: a cell has room for a handful."""

from __future__ import annotations

from palpate_agents.materials.catalogue import material

ABSTAIN_BIN = "abstain"
"""Where parts go whose material stayed unclear."""

BINS: tuple[str, ...] = ("polyolefin", "plastic", "composite", "metal", "other", ABSTAIN_BIN)
"""Every bin of the cell, in the order in which they stand."""

_POLYOLEFINS = ("PE-HD", "PE-LD", "PP")
_BY_FAMILY = {"polymer": "plastic", "blend": "plastic", "composite": "composite", "metal": "metal"}


def bin_of(name: str) -> str:
    """Bin of a material id: polyolefins float and are recycled together; foam, rubber, glass and fibre go to `other`.

    Raises:
        MaterialError: no such material.
    """
    entry = material(name)
    return "polyolefin" if entry.id in _POLYOLEFINS else _BY_FAMILY.get(entry.family, "other")
