"""How a surface looks at a place: body, coat, label, dirt and water film blended into colour, gloss and clearness.

Pure functions over arrays: the pixels of one part in pictures, the cells of thousands in the batched environment.
Layers lie on each other in the order body, coat, label, dirt, film; each share comes from the part's surface maps.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from palpate_sim.backend import Array, limited, namespace
from palpate_sim.keyed import uniform

LABEL_GLOSS, DIRT_GLOSS = 0.35, 0.05
LABEL_EMISSIVITY, DIRT_EMISSIVITY, WATER_EMISSIVITY = 0.93, 0.93, 0.96
FILM_UM = 15.0
"""Where a film is this thick, 63 % of its effect on looks is there; below, a rough surface shows through. Assumed."""
WET_DARKENING, WET_SMOOTHING = 0.25, 0.6
"""Share of light that a film keeps inside a rough surface (Lekner and Dorf 1988), and of roughness that it fills."""
WATER_LWIR_ABSORPTION_PER_UM = 0.064
"""Napierian absorption of water at 10 um: 640 /cm (Hale and Querry 1973); a film is passed twice."""
OPAQUE_WATER_UM = 1.0 / (2.0 * WATER_LWIR_ABSORPTION_PER_UM)
"""Film that absorbs all but 1/e of long-wave infrared on its way in and out, um."""
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


def layer_shares(coat: Array, label: Array, dirt: Array) -> tuple[Array, Array, Array, Array]:
    """Shares of places (N, ...) on which body, coat, label and dirt are on top; arguments as for `surface_look`."""
    under = 1.0 - dirt
    paper = label * under
    open_share = under - paper
    coated = coat * open_share
    return open_share - coated, coated, paper, dirt


def layer_values(batch: Any) -> Array:
    """(N, 4, 4) red, green, blue and gloss of body, coat, label and dirt, float32."""
    xp = namespace(batch.gloss)
    one = xp.ones_like(batch.gloss)
    gloss = (batch.gloss, batch.coat_gloss, LABEL_GLOSS * one, DIRT_GLOSS * one)
    layers = (batch.rgb, batch.coat_rgb, batch.label_rgb, batch.dirt_rgb)
    values = [*(colour[:, k] for k in range(3) for colour in layers), *gloss]
    stacked = xp.reshape(xp.stack(values, axis=1), (-1, 4, 4))
    return stacked.astype(np.float32) if xp is np else xp.astype(stacked, xp.float32)


def wet_look(film_um: Array, rgb: Any, gloss: Array) -> tuple[Any, Array]:
    """Colours and gloss under a film of water; `rgb` is whatever the (N, ...) factor can multiply."""
    wet = 1.0 - namespace(gloss).exp(film_um * (-1.0 / FILM_UM))
    rough = 1.0 - gloss
    return rgb * (1.0 - WET_DARKENING * wet * rough), 1.0 - rough * (1.0 - WET_SMOOTHING * wet)


def surface_look(batch: Any, coat: Array, label: Array, film_um: Array, dirt: Array) -> Look:
    """Look of places.

    Args:
        batch: N parts (`PartBatch`).
        coat: (N, ...) share 0..1 of each place that it covers.
        label: as coat.
        film_um: (N, ...) thickness of water.
        dirt: as coat.
    """
    shares = layer_shares(coat, label, dirt)

    def blend(*layers: Array | float) -> Array:
        return sum(
            share * (value if isinstance(value, float) else _wide(value, coat))
            for share, value in zip(shares, layers, strict=True)
        )

    dry = blend(batch.gloss, batch.coat_gloss, LABEL_GLOSS, DIRT_GLOSS)
    darkened, gloss = wet_look(film_um, 1.0, dry)
    red, green, blue = (
        blend(batch.rgb[:, k], batch.coat_rgb[:, k], batch.label_rgb[:, k], batch.dirt_rgb[:, k]) * darkened
        for k in range(3)
    )
    return Look((red, green, blue), gloss, _wide(batch.transparency, coat) * shares[0], shares[0])


def surface_emissivity(batch: Any, coat: Array, label: Array, film_um: Array, dirt: Array) -> Array:
    """Long-wave infrared emissivity of places, (N, ...); arguments as for `surface_look`."""
    xp = namespace(coat)
    covered = (1.0 - coat) * _wide(batch.emissivity, coat) + coat * _wide(batch.coat_emissivity, coat)
    covered = covered * (1.0 - label) + label * LABEL_EMISSIVITY
    covered = covered * (1.0 - dirt) + dirt * DIRT_EMISSIVITY
    return covered + (WATER_EMISSIVITY - covered) * (1.0 - xp.exp(film_um * (-1.0 / OPAQUE_WATER_UM)))


def hole_share(luminance: Array, gloss: Array, clear: Array) -> Array:
    """Expected share of pixels without depth, (N, ...): clear places, and glossy black ones; all arguments 0..1."""
    dark = limited(1.0 - luminance * (1.0 / GLOSSY_BLACK_LUMINANCE), 0.0, 1.0)
    return limited(0.85 * clear * clear + 0.7 * dark * gloss * gloss + 0.002, 0.0, 0.95)


def lamp_place_m(batch: Any) -> Array:
    """(N, 3) where on each part a lamp is mirrored, x and y in its frame, and the part's longer side, m."""
    xp = namespace(batch.dimensions_m)
    size = batch.dimensions_m[:, :2]
    place = (uniform(batch.key, "lamp", (2,)) * (2.0 * LAMP_PLACE) - LAMP_PLACE) * size
    return xp.concat((place, xp.max(size, axis=1)[:, None]), axis=1)


def highlight(lamp_m: Array, x_m: Array, y_m: Array, gloss: Array) -> Array:
    """What the mirror image of a lamp adds, 0..1 of full scale: small and bright on gloss, wide and faint on matt.

    Args:
        lamp_m: (N, 3) from `lamp_place_m`.
        x_m: (N, ...) places in the part's frame, m.
        y_m: as x.
        gloss: (N, ...) there.
    """
    dx, dy = x_m - _wide(lamp_m[:, 0], gloss), y_m - _wide(lamp_m[:, 1], gloss)
    width = ((LAMP_WIDTH + LAMP_SPREAD) - LAMP_SPREAD * gloss) * _wide(lamp_m[:, 2], gloss)
    return (LAMP_GREY * gloss * gloss) * namespace(gloss).exp(-0.5 * (dx * dx + dy * dy) / (width * width))


def weighted(rgb: tuple[Array, Array, Array], weights: tuple[float, float, float]) -> Array:
    """Weighted sum of three colours: LUMA (lightness in grey levels) or LUMINANCE."""
    return weights[0] * rgb[0] + weights[1] * rgb[1] + weights[2] * rgb[2]
