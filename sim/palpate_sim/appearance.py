"""How parts look: colour, gloss, clearness and surface texture per material, after the catalogue's `appearance` column.

Many plastics share their colours, so that looking alone does not identify them. All numbers are assumed unless noted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

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


@dataclass(frozen=True)
class Look:
    """What a material can look like when it is neither black nor painted.

    Attributes:
        colours: base colours, equally likely.
        gloss: lowest and highest gloss, 0 matt to 1 mirror.
        clear_share: share of parts that are clear.
        clearness: transparency of those, 0..1.
        texture: (kind, relative contrast); kinds: none, grain, fibre, brush, weave.
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


@dataclass(frozen=True)
class Appearance:
    """One part's look: base colour 0..1, gloss 0..1, transparency 0..1, texture kind, its contrast and pitch (m)."""

    rgb: Rgb
    gloss: float
    transparency: float
    texture: str
    texture_contrast: float
    texture_pitch_m: float


def draw_appearance(rng: np.random.Generator, material: str, condition: str) -> Appearance:
    """Draws a look; carbon black and paint hide colour and clearness, water adds gloss.

    Args:
        rng: random generator.
        material: id in the catalogue.
        condition: clean, black, wet or painted.
    """
    look = LOOKS[material]
    colour = look.colours[rng.integers(len(look.colours))]
    clear = rng.random() < look.clear_share
    transparency = float(rng.uniform(*look.clearness)) if clear else 0.0
    gloss = float(rng.uniform(*look.gloss))
    kind, contrast = look.texture
    pitch = float(np.exp(rng.uniform(*np.log(TEXTURE_PITCH_M[kind]))))
    paint = PAINTS[rng.integers(len(PAINTS))]
    if clear and material != "glass":
        colour = CLEAR
    if condition == "black":
        colour, transparency = BLACK, 0.0
    elif condition == "painted":
        colour, transparency, kind, contrast = paint, 0.0, "none", 0.0
        gloss = float(rng.uniform(0.2, 0.9))
    elif condition == "wet":
        gloss = 1.0 - 0.4 * (1.0 - gloss)
    jitter = np.clip(np.asarray(colour) * rng.normal(1.0, 0.06) + rng.normal(0.0, 0.015, 3), 0.02, 0.97)
    return Appearance(
        (float(jitter[0]), float(jitter[1]), float(jitter[2])), gloss, transparency, kind, contrast, pitch
    )
