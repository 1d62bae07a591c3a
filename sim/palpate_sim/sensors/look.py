"""How a surface looks at a place: body, coat, label, dirt and water film blended into colour, gloss and clearness.

Pure functions over arrays: the pixels of one part in pictures, the cells of thousands in the batched environment.
Layers lie on each other in the order body, coat, label, dirt, film; each share comes from the part's surface maps.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from palpate_sim.backend import Array, namespace
from palpate_sim.keyed import uniform

LABEL_GLOSS, DIRT_GLOSS = 0.35, 0.05
LABEL_EMISSIVITY, DIRT_EMISSIVITY, WATER_EMISSIVITY = 0.93, 0.93, 0.96
FILM_UM = 15.0
"""Where a film is this thick, 63 % of its effect on looks is there; below, a rough surface shows through. Assumed."""
WET_DARKENING, WET_SMOOTHING = 0.25, 0.6
"""Share of light that a film keeps inside a rough surface (Lekner and Dorf 1988), and of roughness that it fills."""
OPAQUE_WATER_UM = 20.0
"""Water absorbs long-wave infrared within 10 to 20 um."""
LUMA = (0.299, 0.587, 0.114)
GLOSSY_BLACK_LUMINANCE = 0.12
LUMINANCE = (0.2126, 0.7152, 0.0722)
CLEAR_SHARE = 0.8
"""Of the ground that is seen through a part of transparency 1; the rest is its surfaces' reflections."""
LAMP_GREY, LAMP_PLACE = 180.0 / 255.0, 0.3
LAMP_WIDTH, LAMP_SPREAD = 0.08, 0.35
"""Radius of the lamp's mirror image over the part's longer side: on a mirror, and added on a matt surface."""


class Look(NamedTuple):
    """What a place looks like; arrays (N, ...) as the maps that it was made from.

    Attributes:
        rgb: three arrays, 0..1, the diffuse colour.
        gloss, clear: 0..1.
        bare: share of the place where the texture of the body shows.
    """

    rgb: tuple[Array, Array, Array]
    gloss: Array
    clear: Array
    bare: Array


def _wide(values: Array, like: Array) -> Array:
    """(N,) values with as many axes as `like`, in its floating type."""
    xp = namespace(like)
    shaped = xp.reshape(values, (values.shape[0],) + (1,) * (like.ndim - 1))
    return shaped.astype(like.dtype, copy=False) if xp is np else xp.astype(shaped, like.dtype)


def surface_look(batch: Any, coat: Array, label: Array, film_um: Array, dirt: Array) -> Look:
    """Look of places.

    Args:
        batch: N parts (`PartBatch`).
        coat, label, dirt: (N, ...) shares 0..1 of each place that they cover.
        film_um: (N, ...) thickness of water.
    """
    xp = namespace(coat)
    bare = (1.0 - coat) * (1.0 - label)
    coated = coat * (1.0 - label)
    open_share = 1.0 - dirt
    wet = 1.0 - xp.exp(film_um * (-1.0 / FILM_UM))

    def blend(body: Array, paint: Array, paper: Array | float, soil: Array | float) -> Array:
        return (bare * body + coated * paint + label * paper) * open_share + dirt * soil

    gloss = blend(_wide(batch.gloss, coat), _wide(batch.coat_gloss, coat), LABEL_GLOSS, DIRT_GLOSS)
    dark = 1.0 - WET_DARKENING * wet * (1.0 - gloss)
    colours = [
        blend(
            _wide(batch.rgb[:, k], coat), _wide(batch.coat_rgb[:, k], coat), _wide(batch.label_rgb[:, k], coat),
            _wide(batch.dirt_rgb[:, k], coat),
        ) * dark
        for k in range(3)
    ]  # fmt: skip
    bare = bare * open_share
    return Look(
        (colours[0], colours[1], colours[2]),
        1.0 - (1.0 - gloss) * (1.0 - WET_SMOOTHING * wet),
        _wide(batch.transparency, coat) * bare,
        bare,
    )


def surface_emissivity(batch: Any, coat: Array, label: Array, film_um: Array, dirt: Array) -> Array:
    """Long-wave infrared emissivity of places, (N, ...); arguments as for `surface_look`."""
    xp = namespace(coat)
    covered = (1.0 - coat) * _wide(batch.emissivity, coat) + coat * _wide(batch.coat_emissivity, coat)
    covered = covered * (1.0 - label) + label * LABEL_EMISSIVITY
    covered = covered * (1.0 - dirt) + dirt * DIRT_EMISSIVITY
    return covered + (WATER_EMISSIVITY - covered) * (1.0 - xp.exp(film_um * (-1.0 / OPAQUE_WATER_UM)))


def hole_share(look: Look) -> Array:
    """Expected share of pixels without depth, (N, ...): clear places, and glossy black ones."""
    xp = namespace(look.gloss)
    luminance = sum(weight * colour for weight, colour in zip(LUMINANCE, look.rgb, strict=True))
    dark = xp.clip(1.0 - luminance * (1.0 / GLOSSY_BLACK_LUMINANCE), 0.0, 1.0)
    return xp.clip(0.85 * look.clear**2 + 0.7 * dark * look.gloss**2 + 0.002, 0.0, 0.95)


def highlight(batch: Any, x_m: Array, y_m: Array, gloss: Array) -> Array:
    """What the mirror image of a lamp adds, 0..1 of full scale: small and bright on gloss, wide and faint on matt.

    Args:
        batch: N parts; where on a part the lamp is mirrored belongs to its key.
        x_m, y_m: (N, ...) places in the part's frame, m.
        gloss: (N, ...) there.
    """
    xp = namespace(gloss)
    size = batch.dimensions_m
    place = uniform(batch.key, "lamp", (2,)) * (2.0 * LAMP_PLACE) - LAMP_PLACE
    longer = xp.maximum(size[:, 0], size[:, 1])
    dx = x_m - _wide(place[:, 0] * size[:, 0], gloss)
    dy = y_m - _wide(place[:, 1] * size[:, 1], gloss)
    width = (LAMP_WIDTH + LAMP_SPREAD * (1.0 - gloss)) * _wide(longer, gloss)
    return LAMP_GREY * gloss**2 * xp.exp(-0.5 * (dx * dx + dy * dy) / (width * width))


def luma(rgb: tuple[Array, Array, Array]) -> Array:
    """Lightness of a colour, 0..1, on the scale of the picture's grey levels."""
    return LUMA[0] * rgb[0] + LUMA[1] * rgb[1] + LUMA[2] * rgb[2]

