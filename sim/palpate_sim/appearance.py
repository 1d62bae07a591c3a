"""How parts look: colour, gloss, clearness and surface texture per material, after the catalogue's `appearance` column.

Many plastics share their colours, so that looking alone does not identify them. All numbers are assumed unless noted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palpate_sim.formulations import formulation
from palpate_sim.part_tables import NAMES

Array = NDArray[np.float64]
Rgb = tuple[float, float, float]

WHITE: Rgb = (0.86, 0.85, 0.82)
IVORY: Rgb = (0.80, 0.76, 0.64)
GREY: Rgb = (0.48, 0.49, 0.50)
BLACK: Rgb = (0.05, 0.05, 0.055)
BLUE: Rgb = (0.15, 0.28, 0.60)
RED: Rgb = (0.65, 0.14, 0.12)
GREEN: Rgb = (0.14, 0.42, 0.20)
YELLOW: Rgb = (0.80, 0.66, 0.16)
CLEAR: Rgb = (0.72, 0.75, 0.76)
COLOURED = (BLUE, RED, GREEN, YELLOW)
PAINTS = (WHITE, GREY, (0.10, 0.11, 0.12), *COLOURED)
FADING = (0.1, 0.25, 1.0)
"""Loss of red, green and blue when a polymer turns yellow, relative to that of blue."""
CHALKING = 0.6
"""Share of the gloss that is lost at age 1."""


@dataclass(frozen=True)
class Look:
    """What a material can look like when it is neither black nor painted.

    Attributes:
        colours: base colours, equally likely.
        gloss: lowest and highest gloss, 0 matt to 1 mirror.
        clear_share: share of parts that are clear.
        clearness: transparency of those, 0..1.
        texture: (kind, median of the relative contrast); kinds: none, grain, fibre, brush, weave.
    """

    colours: tuple[Rgb, ...]
    gloss: tuple[float, float]
    clear_share: float = 0.0
    clearness: tuple[float, float] = (0.0, 0.0)
    texture: tuple[str, float] = ("none", 0.0)


LOOKS: dict[str, Look] = {
    "PE-HD": Look((WHITE, WHITE, GREY, *COLOURED), (0.15, 0.4)),
    "PE-LD": Look((WHITE, WHITE, IVORY, *COLOURED), (0.15, 0.4), 0.5, (0.2, 0.4)),
    "PP": Look((WHITE, WHITE, GREY, *COLOURED), (0.25, 0.55), 0.2, (0.2, 0.4)),
    "PET": Look((WHITE, GREY, BLUE, GREEN), (0.5, 0.85), 0.6, (0.75, 0.95)),
    "PVC": Look((GREY, GREY, WHITE, *COLOURED), (0.4, 0.75)),
    "PS": Look((WHITE, WHITE, GREY, *COLOURED), (0.5, 0.85), 0.35, (0.75, 0.95)),
    "ABS": Look((GREY, WHITE, IVORY, *COLOURED), (0.15, 0.6)),
    "PC": Look((WHITE, GREY, *COLOURED), (0.5, 0.85), 0.5, (0.75, 0.95)),
    "PC/ABS": Look((GREY, WHITE, GREY), (0.1, 0.35), texture=("grain", 0.03)),
    "PA6": Look((IVORY, IVORY, GREY, *COLOURED), (0.2, 0.5)),
    "PA66-GF30": Look((GREY, IVORY, GREY), (0.05, 0.25), texture=("fibre", 0.05)),
    "PP-GF30": Look((GREY, GREY, IVORY), (0.05, 0.25), texture=("fibre", 0.05)),
    "PP-T20": Look((GREY, GREY, IVORY), (0.1, 0.35), texture=("grain", 0.03)),
    "PMMA": Look((WHITE, RED, YELLOW), (0.65, 0.95), 0.7, (0.8, 0.97)),
    "POM": Look((WHITE, WHITE, IVORY), (0.3, 0.6)),
    "PUR-foam": Look((YELLOW, WHITE, GREY), (0.0, 0.05), texture=("grain", 0.15)),
    "EPDM": Look((BLACK,), (0.02, 0.2)),
    "Al6061": Look(((0.74, 0.75, 0.77),), (0.5, 0.9), texture=("brush", 0.06)),
    "AlSi-cast": Look(((0.58, 0.59, 0.60),), (0.2, 0.5), texture=("grain", 0.06)),
    "mild-steel": Look(((0.45, 0.45, 0.46), (0.36, 0.30, 0.26)), (0.1, 0.6), texture=("grain", 0.08)),
    "SS304": Look(((0.66, 0.66, 0.66),), (0.5, 0.9), texture=("brush", 0.06)),
    "Cu": Look(((0.72, 0.45, 0.30), (0.50, 0.33, 0.24)), (0.3, 0.9), texture=("brush", 0.05)),
    "brass": Look(((0.75, 0.64, 0.35), (0.60, 0.50, 0.28)), (0.3, 0.9), texture=("brush", 0.05)),
    "Zn-diecast": Look(((0.55, 0.56, 0.58), (0.72, 0.73, 0.75)), (0.2, 0.8), texture=("grain", 0.04)),
    "glass": Look(((0.70, 0.76, 0.73), (0.35, 0.50, 0.35), (0.45, 0.30, 0.15)), (0.8, 0.98), 1.0, (0.85, 0.97)),
    "MDF": Look(((0.58, 0.45, 0.31),), (0.0, 0.1), texture=("fibre", 0.10)),
    "CFRP": Look((BLACK,), (0.3, 0.8), texture=("weave", 0.25)),
    "FR4": Look(((0.10, 0.38, 0.20), (0.10, 0.38, 0.20), (0.12, 0.22, 0.48)), (0.4, 0.7), texture=("weave", 0.04)),
    "cardboard": Look(((0.62, 0.49, 0.34),), (0.0, 0.05), texture=("fibre", 0.08)),
}

TEXTURE_PITCH_M = {"none": (0.15e-3, 0.5e-3), "grain": (0.3e-3, 1.0e-3), "fibre": (0.3e-3, 1.2e-3),
                   "brush": (0.08e-3, 0.3e-3), "weave": (1.5e-3, 2.5e-3)}  # fmt: skip
"""Pitch of the surface in metres, felt by a slide: machining marks, mould texture, fibres, rovings."""


TEXTURES = tuple(TEXTURE_PITCH_M)
"""What the number in `PartBatch.texture` stands for."""
LABELS = (WHITE, WHITE, YELLOW, (0.55, 0.70, 0.85), (0.85, 0.60, 0.55))
DIRTS: tuple[Rgb, ...] = ((0.25, 0.20, 0.15), (0.32, 0.27, 0.21), (0.12, 0.11, 0.10), (0.42, 0.36, 0.28))
"""Soil, dust, grease, clay."""

CHOICES = ("colour", "clear", "coat_colour", "label_colour", "dirt_colour")
"""Uniform numbers that `draw_appearance` needs beside the distributions."""


@lru_cache(maxsize=1)
def _tables() -> dict[str, NDArray]:
    """Arrays over `part_tables.NAMES`."""
    looks = [look_of(name) for name in NAMES]
    most = max(len(look.colours) for look in looks)
    return {
        "colours": np.array([(look.colours * most)[:most] for look in looks]),
        "count": np.array([len(look.colours) for look in looks]),
        "gloss": np.array([look.gloss for look in looks]).T,
        "clear_share": np.array([look.clear_share for look in looks]),
        "clearness": np.array([look.clearness for look in looks]).T,
        "texture": np.array([TEXTURES.index(look.texture[0]) for look in looks]),
        "contrast": np.array([look.texture[1] for look in looks]),
        "keeps_colour": np.array([name == "glass" for name in NAMES]),
        "pitch": np.log(np.array([TEXTURE_PITCH_M[look.texture[0]] for look in looks])).T,
    }


def look_of(name: str) -> Look:
    """Look of a material, or of a formulation: filled ones look like the filled of the catalogue."""
    if name in LOOKS:
        return LOOKS[name]
    row = formulation(name)
    if row.carbon_black:
        return LOOKS["EPDM"]
    if row.filler and row.base not in FILLED:
        return LOOKS["PA66-GF30"]
    return LOOKS["PVC"] if row.base == "PUR-foam" else LOOKS[row.base]


FILLED = ("PP-T20", "PP-GF30")


def draw_appearance(
    material: NDArray[np.int64], black: NDArray[np.bool_], age: Array, values: Mapping[str, Array]
) -> dict[str, NDArray]:
    """Looks of N bare bodies, of their paints, labels and dirt, by the names of `Part`.

    Carbon black hides colour and clearness, age turns to yellow and takes gloss.

    Args:
        material: (N,) index into `part_tables.NAMES`.
        black: (N,) coloured with carbon black.
        age: (N,) 0 to 1, of what can turn yellow.
        values: (N,) values of `randomisation.PART` and uniform numbers of CHOICES by name.
    """
    table = _tables()
    number = (values["colour"] * table["count"][material]).astype(np.int64)
    clear = values["clear"] < table["clear_share"][material]
    low, high = table["clearness"][:, material]
    transparency = np.where(clear & ~black, low + (high - low) * values["clearness_place"], 0.0)
    low, high = table["gloss"][:, material]
    gloss = low + (high - low) * values["gloss_place"]
    low, high = table["pitch"][:, material]
    colour = table["colours"][material, number]
    colour = np.where((clear & ~table["keeps_colour"][material])[:, None], CLEAR, colour)
    colour = np.where(black[:, None], BLACK, colour)
    jitter = np.stack([values["colour_r"], values["colour_g"], values["colour_b"]], axis=1)
    yellowed = age * values["yellowing"]
    fade = 1.0 - yellowed[:, None] * FADING
    rgb = np.clip((colour * values["colour_scale"][:, None] + jitter) * fade, 0.02, 0.97)
    return {
        "rgb": rgb,
        "gloss": gloss * (1.0 - CHALKING * age),
        "transparency": transparency * (1.0 - yellowed),
        "texture": table["texture"][material],
        "texture_contrast": table["contrast"][material] * values["texture_factor"],
        "texture_pitch_m": np.exp(low + (high - low) * values["pitch_place"]),
        "coat_rgb": np.clip(_chosen(PAINTS, values["coat_colour"]) * values["coat_colour_scale"][:, None], 0.02, 0.97),
        "label_rgb": _chosen(LABELS, values["label_colour"]),
        "dirt_rgb": _chosen(DIRTS, values["dirt_colour"]),
    }


def _chosen(colours: tuple[Rgb, ...], u: Array) -> Array:
    return np.array(colours)[(u * len(colours)).astype(np.int64)]


def constants() -> dict[str, Any]:
    """What looks are drawn from, for the hash of the randomisation."""
    return {
        "looks": {name: asdict(look) for name, look in LOOKS.items()}, "pitch": TEXTURE_PITCH_M, "paints": PAINTS,
        "labels": LABELS, "dirts": DIRTS, "ageing": [FADING, CHALKING],
    }  # fmt: skip
