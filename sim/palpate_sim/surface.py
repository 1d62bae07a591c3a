"""What a sensor meets where it touches or looks: the surface state under its footprint, mixed into one part.

Sensors take the batches that `spot_batch` and `whole_part` give. Layers lie on each other in the order body, coat,
label, dirt, water.
"""

from __future__ import annotations

from typing import Any

from palpate_sim.backend import Array, namespace, some
from palpate_sim.keyed import uniform
from palpate_sim.layers import felt_through
from palpate_sim.part_batch import COAT_CONDUCTIVITY_W_MK, PartBatch
from palpate_sim.sensors.look import (
    FILM_UM,
    WATER_EMISSIVITY,
    WATER_LWIR_ABSORPTION_PER_UM,
    surface_emissivity,
    surface_look,
)
from palpate_sim.shapes import BOTTLE_NECK_SHARE, SHAPES
from palpate_sim.surface_actions import amounts, dent, points_uv, same_length, scrape, wipe
from palpate_sim.surface_maps import (
    GRID,
    SurfaceMaps,
    cell_centers_m,
    draw_surface_maps,
    footprint_weights,
    unit,
)

__all__ = [
    "GRID",
    "SurfaceMaps",
    "dent",
    "draw_surface_maps",
    "scrape",
    "spot_batch",
    "wall_factor",
    "whole_emissivity",
    "whole_part",
    "wipe",
]

LABEL_CONDUCTIVITY_W_MK = 0.06
"""Paper with its adhesive, assumed."""
COAT_FRICTION, LABEL_FRICTION = (0.25, 0.45), 0.3
"""Kinetic, against steel: cured paint (each part its own), coated paper; assumed."""
WET_UM = 8.0
"""A film covers the share `film / 8 um` of a surface, at most all of it: thinner ones stand in beads. Assumed."""
DISC_TO_HAT = 1.2247
"""sqrt(6)/2: a hat of this half-width over a disc's radius has the disc's second moment along each axis."""
NECK_FACTOR = 0.05
"""Compliance of a bottle's neck, a narrow tube, against the middle of its broad side; assumed."""

_BOTTLE, _CYLINDER, _TUBE = (SHAPES.index(name) for name in ("bottle", "cylinder", "tube"))


def spot_batch(
    batch: PartBatch, maps: SurfaceMaps, uv_m: Any, radius_m: Any, *, optics: bool = True,
    radiation: bool | None = None, stiffness: bool = True,
) -> PartBatch:  # fmt: skip
    """The parts as a sensor with a round footprint meets them.

    Adds (all (N,)): `coat_cover`, `label_cover`, `dirt_cover`, `film_cover` (shares 0..1 of the footprint, each by
    itself: `look.layer_shares` gives what is on top), `wall_factor`, `friction_factor`, `contact_resistance_m2k_w`.
    Overrides: `film_um` (mean thickness where the footprint is wet), `contact_conductance_w_m2k`, `emissivity`,
    `gloss`, `transparency`, `rgb`, and what a ball feels through the layers: `indentation_modulus_pa`, `restitution`.
    What a part has not (`coat_um` 0, ...) is not met, whatever the maps say.

    Args:
        batch: N parts, bare as drawn.
        maps: their surfaces.
        uv_m: (N, 2) middle of the footprint, m, part's frame; what lies beside the part is moved to its edge.
        radius_m: one or (N,), m; below a cell's size the maps are interpolated.
        optics: False leaves `gloss`, `transparency` and `rgb` as of the bare body, for what asks for the covers or only
            feels: a third of the time for a single part.
        radiation: False leaves `emissivity` likewise; None: as `optics`.
        stiffness: False leaves `indentation_modulus_pa` and `restitution` likewise.

    Raises:
        ValueError: wrong shapes, or values that are negative or not finite.
    """
    same_length(batch, maps)
    uv, radius = points_uv(batch, uv_m, "uv_m"), amounts(batch, radius_m, "radius_m", "m")
    weights: list[Array] = []

    def mean(values: Array) -> Array:
        if not weights:
            weights.extend(_hats(batch, uv, radius))
        along, across = weights
        return namespace(uv).matmul(namespace(uv).matmul(along, values), across)[:, 0, 0]

    return _met(
        batch, maps, mean, wall_factor(batch, uv), optics, optics if radiation is None else radiation, stiffness
    )


def whole_part(batch: PartBatch, maps: SurfaceMaps) -> PartBatch:
    """The parts as a sensor that sees them whole meets them: means over the footprint; fields as for `spot_batch`.

    Raises:
        ValueError: not one map per part.
    """
    same_length(batch, maps)
    xp = namespace(batch.dimensions_m)
    weights = footprint_weights(batch)
    return _met(
        batch, maps, lambda values: xp.sum(values * weights, axis=(1, 2)), xp.ones_like(batch.dimensions_m[:, 0])
    )


def whole_emissivity(batch: PartBatch, maps: SurfaceMaps) -> Array:
    """(N,) `emissivity` of `whole_part` alone."""
    if not _anything(batch):
        return batch.emissivity
    xp, weights = namespace(batch.dimensions_m), footprint_weights(batch)
    covers = _covers(batch, maps, lambda values: xp.sum(values * weights, axis=(1, 2)), 0.0 * batch.emissivity)
    return _emissivity(batch, *covers)


def wall_factor(batch: PartBatch, uv_m: Array) -> Array:
    """(N,) compliance of a thin wall at a place over that at its middle; 1 on solid parts.

    Clamped plate under a point load: `(1 - (r/a)^2)^2` on a round one (exact), on a long one the same along both sides
    with r counted from half its width inside the edge. Ribs divide a housing's wall: the middle of a bay
    as wide as their pitch has 1, narrower bays at the ends give way less by the square of their width.

    Args:
        batch: N parts.
        uv_m: (N, 2) m, part's frame.
    """
    xp = namespace(uv_m)
    factor = xp.ones_like(uv_m[:, 0])
    hollow = xp.isfinite(batch.wall_thickness_m)
    if not some(~hollow):
        return _wall_factor(batch.shape, batch.dimensions_m, batch.wall_thickness_m, batch.rib_pitch_m, uv_m)
    if some(hollow):
        factor[hollow] = _wall_factor(
            batch.shape[hollow], batch.dimensions_m[hollow], batch.wall_thickness_m[hollow], batch.rib_pitch_m[hollow],
            uv_m[hollow],
        )  # fmt: skip
    return factor


def _wall_factor(shape: Array, size: Array, wall: Array, pitch: Array, uv: Array) -> Array:
    xp = namespace(uv)
    half_x = xp.maximum(0.5 * size[:, 0] - wall, 0.1 * size[:, 0])
    bottle = shape == _BOTTLE
    neck = bottle * BOTTLE_NECK_SHARE * size[:, 1]
    half_y = xp.maximum(0.5 * (size[:, 1] - neck) - wall, 0.1 * size[:, 1])
    x, y = uv[:, 0], uv[:, 1] + 0.5 * neck
    beyond = bottle & (y > half_y)
    widest = half_y
    ribbed = xp.isfinite(pitch) & (pitch < 2.0 * half_y)
    if some(ribbed):
        y, half_y, widest = _bay(y, half_y, xp.where(ribbed, pitch, 4.0 * half_y), ribbed)
    span = xp.minimum(half_x, widest)
    factor = _clamped(x, half_x, span) * _clamped(y, half_y, xp.minimum(span, half_y)) * unit(half_y / span) ** 2
    disc = (shape == _CYLINDER) | (shape == _TUBE)
    if some(disc):
        factor = xp.where(disc, unit(1.0 - (x * x + uv[:, 1] ** 2) / half_x**2) ** 2, factor)
    return xp.where(beyond, 0.0 * factor + NECK_FACTOR, factor) if some(beyond) else factor


def _bay(y: Array, inner: Array, pitch: Array, ribbed: Array) -> tuple[Array, Array, Array]:
    """Place in the bay between two ribs, or rib and wall; its half width; half the pitch (or the wall's width); m."""
    xp = namespace(y)
    count = xp.ceil(2.0 * inner / pitch) - 1.0  # ribs lie as in `shapes.rib_places_m`
    last = 0.5 * (count - 1.0) * pitch
    outside = ribbed & (xp.abs(y) > last)
    number = xp.floor(y / pitch + 0.5 * (count - 1.0))
    center = xp.where(outside, xp.sign(y) * 0.5 * (last + inner), ribbed * (number - 0.5 * (count - 2.0)) * pitch)
    half = xp.where(outside, 0.5 * (inner - last), xp.where(ribbed, 0.5 * pitch, inner))
    return y - center, half, xp.where(ribbed, 0.5 * pitch, inner)


def _clamped(place: Array, half: Array, span: Array) -> Array:
    xp = namespace(place)
    return (1.0 - (1.0 - unit((half - xp.abs(place)) / span)) ** 2) ** 2


def _hats(batch: PartBatch, uv: Array, radius: Array) -> tuple[Array, Array]:
    """(N, 1, 16) and (N, 16, 1) weights of the cells under a footprint along x and along y."""
    xp = namespace(uv)
    half = (0.5 - 0.5 / GRID) * batch.dimensions_m[:, :2]
    at = xp.minimum(xp.maximum(uv, -half), half)
    x, y = cell_centers_m(batch)
    widest = xp.maximum((DISC_TO_HAT * radius)[:, None], batch.dimensions_m[:, :2] / GRID)
    along, across = _hat(x - at[:, 0:1], widest[:, 0:1]), _hat(y - at[:, 1:2], widest[:, 1:2])
    return along[:, None, :], across[:, :, None]


def _hat(distance: Array, half: Array) -> Array:
    """Weights of cells at a distance, (N, 16), normalised; a hat as wide as one cell to each side interpolates."""
    xp = namespace(distance)
    weights = unit(1.0 - xp.abs(distance) / half)
    return weights / weights.sum(axis=1)[:, None]


def _anything(batch: PartBatch) -> bool:
    """Whether anything lies on any of the parts."""
    return some(batch.coat_um) or some(batch.label_um) or some(batch.film_um) or some(batch.dirt_level)


def _met(
    batch: PartBatch, maps: SurfaceMaps, mean: Any, wall: Array, optics: bool = True, radiation: bool = True,
    stiffness: bool = True,
) -> PartBatch:  # fmt: skip
    none = 0.0 * wall
    if not _anything(batch):
        return batch.replace(
            coat_cover=none, label_cover=none, dirt_cover=none, film_cover=none, wall_factor=wall, film_um=none,
            friction_factor=none + 1.0, contact_resistance_m2k_w=none,
        )  # fmt: skip
    coat, label, dirt, wet, deep = _covers(batch, maps, mean, none)
    conductance = batch.contact_conductance_w_m2k + wet * batch.wet_conductance_w_m2k
    seen = _optics(batch, coat, label, dirt, wet, deep) if optics else {}
    if radiation:
        seen["emissivity"] = _emissivity(batch, coat, label, dirt, wet, deep)
    if stiffness and (some(coat) or some(label)):
        seen |= felt_through(batch, coat, label)
    return batch.replace(
        coat_cover=coat,
        label_cover=label,
        dirt_cover=dirt,
        film_cover=wet,
        wall_factor=wall,
        film_um=deep,
        friction_factor=_friction_factor(batch, coat, label) * (1.0 - wet * (1.0 - batch.wet_friction_factor)),
        contact_conductance_w_m2k=conductance,
        contact_resistance_m2k_w=_resistance(batch, coat, label, conductance),
        bare_gloss=batch.gloss,
        bare_transparency=batch.transparency,
        **seen,
    )


def _covers(batch: PartBatch, maps: SurfaceMaps, mean: Any, none: Array) -> tuple[Array, Array, Array, Array, Array]:
    """(N,) shares under coat, label, dirt and water, and the water's mean thickness there, um."""

    def cover(values: Array, amount: Array) -> Array:
        return unit(mean(values)) * (amount > 0.0) if some(amount) else none

    coat, label = cover(maps.coat, batch.coat_um), cover(maps.label, batch.label_um)
    dirt, wet, deep = cover(maps.dirt, batch.dirt_level), none, none
    if some(batch.film_um):
        wet = cover(unit(maps.film_um * (1.0 / WET_UM)), batch.film_um)
        deep = (batch.film_um > 0.0) * mean(maps.film_um) / (wet + 1e-12)
    return coat, label, dirt, wet, deep


def _optics(batch: PartBatch, coat: Array, label: Array, dirt: Array, wet: Array, deep: Array) -> dict[str, Array]:
    xp = namespace(coat)
    # looks are linear in the film's effect: an even film with the mean effect of the puddles gives their mean
    even = -FILM_UM * xp.log(1.0 - wet * (1.0 - xp.exp(deep * (-1.0 / FILM_UM))))
    look = surface_look(batch, coat, label, even, dirt)
    return {"gloss": look.gloss, "transparency": look.clear, "rgb": xp.stack(look.rgb, axis=1)}


def _emissivity(batch: PartBatch, coat: Array, label: Array, dirt: Array, wet: Array, deep: Array) -> Array:
    dry = surface_emissivity(batch, coat, label, 0.0 * wet, dirt)
    absorbed = wet * (1.0 - namespace(wet).exp(deep * (-2.0 * WATER_LWIR_ABSORPTION_PER_UM)))
    return dry + absorbed * (WATER_EMISSIVITY - dry)


def _friction_factor(batch: PartBatch, coat: Array, label: Array) -> Array:
    """What slides on paint or paper feels those, not the body."""
    xp = namespace(coat)
    if not (some(coat) or some(label)):
        return xp.ones_like(coat)
    low, high = COAT_FRICTION
    paint = low + (high - low) * uniform(batch.key, "coat_friction")
    covered = (1.0 - coat) * batch.friction + coat * paint
    return (covered + label * (LABEL_FRICTION - covered)) / batch.friction


def _resistance(batch: PartBatch, coat: Array, label: Array, conductance: Array) -> Array:
    """(N,) m2 K/W that the layers add to the contact: series within each share of area, shares in parallel."""
    if not (some(coat) or some(label)):
        return 0.0 * conductance
    contact = 1.0 / conductance
    paint = batch.coat_um * (1e-6 / COAT_CONDUCTIVITY_W_MK)
    paper = batch.label_um * (1e-6 / LABEL_CONDUCTIVITY_W_MK)
    bare = (1.0 - coat) / contact + coat / (contact + paint)
    papered = (1.0 - coat) / (contact + paper) + coat / (contact + paint + paper)
    return 1.0 / ((1.0 - label) * bare + label * papered) - contact
