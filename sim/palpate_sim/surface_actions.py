"""What tools do to a surface: wiping dries and cleans, scraping bares, pressing dents. Pure: new maps come back."""

from __future__ import annotations

from math import inf, isfinite, pi
from typing import Any

from palpate_sim.backend import Array, constant, limited, namespace
from palpate_sim.elastic import BALL_RADIUS_M
from palpate_sim.part_batch import PartBatch
from palpate_sim.surface_maps import SurfaceMaps, track_cover

WIPE_WIDTH_M = 0.012
"""Of the pad that wipes."""
BLADE_WIDTH_M = 0.006
WIPE_WATER_N, WIPE_DIRT_N = 1.0, 2.0
"""Force on a pad of 12 mm at which one pass takes 63 % of the water, of the dirt; assumed."""
SCRAPE_UM_PER_N = 46.0
"""A blade takes the share `1 - exp(-46 um/N * force / thickness)` in one pass: 90 % of a 60 um coat at 3 N; assumed."""
SCRAPE_DIRT_N = 0.5
BLADE_EDGE_M = 50e-6
"""Radius of the blade's edge."""
HARDNESS_OVER_YIELD = 3.0
"""Indentation hardness over yield stress (Tabor 1951)."""
DEEPEST_MARK_M = 0.5e-3
"""A guarded blade rides up before it cuts deeper."""


def points_uv(batch: PartBatch, uv_m: Any, name: str) -> Array:
    """(N, 2) points on the footprint, m, checked.

    Raises:
        ValueError: wrong shape, or not finite.
    """
    uv = constant(uv_m, batch.dimensions_m) if isinstance(uv_m, list | tuple) else uv_m
    if tuple(uv.shape) != (len(batch), 2):
        raise ValueError(f"{name} has shape {tuple(uv.shape)}; ({len(batch)}, 2) is needed: x and y in metres per part")
    if not isfinite(float(uv.sum())):
        raise ValueError(f"{name} holds a value that is not finite; give metres in the part's frame")
    return uv


def amounts(batch: PartBatch, value: Any, name: str, unit: str) -> Array:
    """(N,) amounts >= 0 from one number or (N,), checked.

    Raises:
        ValueError: wrong shape, negative or not finite.
    """
    xp = namespace(batch.dimensions_m)
    if isinstance(value, float | int):
        if not 0.0 <= value < inf:
            raise ValueError(f"{name} holds a value that is negative or not finite; give {unit}, 0 or more")
        return xp.zeros_like(batch.dimensions_m[:, 0]) + float(value)
    if tuple(value.shape) != (len(batch),):
        raise ValueError(f"{name} has shape {tuple(value.shape)}; ({len(batch)},) or one number of {unit} is needed")
    if not (float(value.min()) >= 0.0 and isfinite(float(value.sum()))):
        raise ValueError(f"{name} holds a value that is negative or not finite; give {unit}, 0 or more")
    return value


def same_length(batch: PartBatch, maps: SurfaceMaps) -> None:
    """Raises ValueError unless there is one map per part."""
    if len(batch) != len(maps):
        raise ValueError(f"{len(batch)} parts came with the surface maps of {len(maps)}; one per part is needed")


def _stroke(
    batch: PartBatch, maps: SurfaceMaps, start_uv: Any, end_uv: Any, width_m: Any, force_n: Any
) -> tuple[Array, Array, Array, Array]:
    """Start (N, 2), end (N, 2), width (N,) and force (N,) of a tool that is drawn straight, checked as in `wipe`."""
    same_length(batch, maps)
    start, end = points_uv(batch, start_uv, "start_uv"), points_uv(batch, end_uv, "end_uv")
    return start, end, amounts(batch, width_m, "width_m", "m"), amounts(batch, force_n, "force_n", "N")


def wipe(
    batch: PartBatch, maps: SurfaceMaps, start_uv: Any, end_uv: Any, width_m: Any = WIPE_WIDTH_M, force_n: Any = 3.0
) -> tuple[SurfaceMaps, Array]:
    """A soft pad slides: it takes up water and dirt along its track, more under more force per width.

    Args:
        batch: N parts.
        maps: their surfaces.
        start_uv: (N, 2) middle of the square pad at first, m, part's frame.
        end_uv: (N, 2) at last.
        width_m: side of the pad, one or (N,).
        force_n: normal force, one or (N,).

    Returns:
        New maps, and the depth of the mark on the body, (N,) m: 0.

    Raises:
        ValueError: wrong shapes, negative or not finite values.
    """
    start, end, width, force = _stroke(batch, maps, start_uv, end_uv, width_m, force_n)
    xp = namespace(start)
    cover = track_cover(batch, start, end, width, 0.5 * width)
    pressed = force * (WIPE_WIDTH_M / (width + 1e-9))
    water = 1.0 - xp.exp(pressed * (-1.0 / WIPE_WATER_N))
    dirt = 1.0 - xp.exp(pressed * (-1.0 / WIPE_DIRT_N))
    return SurfaceMaps(
        maps.coat,
        maps.label,
        maps.film_um * (1.0 - cover * water[:, None, None]),
        maps.dirt * (1.0 - cover * dirt[:, None, None]),
    ), 0.0 * force


def scrape(
    batch: PartBatch, maps: SurfaceMaps, start_uv: Any, end_uv: Any, width_m: Any = BLADE_WIDTH_M, force_n: Any = 3.0
) -> tuple[SurfaceMaps, Array]:
    """A steel blade is drawn: coat, label and dirt go under it, and the bared body is marked.

    The mark is a groove of the blade's edge, whose contact area times the hardness carries the force; what is left of
    coat and label protects the body.

    Args:
        batch: N parts.
        maps: their surfaces.
        start_uv: (N, 2) middle of the blade at first, m, part's frame.
        end_uv: (N, 2) at last.
        width_m: of the blade, one or (N,).
        force_n: normal force, one or (N,).

    Returns:
        New maps, and the depth of the mark on the body, (N,) m.

    Raises:
        ValueError: wrong shapes, negative or not finite values.
    """
    start, end, width, force = _stroke(batch, maps, start_uv, end_uv, width_m, force_n)
    xp = namespace(start)
    cover = track_cover(batch, start, end, width, 0.0 * width)
    coat = 1.0 - xp.exp(-SCRAPE_UM_PER_N * force / (batch.coat_um + 1e-9))
    label = 1.0 - xp.exp(-SCRAPE_UM_PER_N * force / (batch.label_um + 1e-9))
    dirt = 1.0 - xp.exp(force * (-1.0 / SCRAPE_DIRT_N))
    after = SurfaceMaps(
        maps.coat * (1.0 - cover * coat[:, None, None]),
        maps.label * (1.0 - cover * label[:, None, None]),
        maps.film_um,
        maps.dirt * (1.0 - cover * dirt[:, None, None]),
    )
    protected = after.coat + after.label - after.coat * after.label
    bare = xp.sum(cover * (1.0 - protected), axis=(1, 2)) / (xp.sum(cover, axis=(1, 2)) + 1e-12)
    reach = force / (HARDNESS_OVER_YIELD * batch.yield_pa * (width + 1e-9))
    depth = limited(reach * reach / (2.0 * BLADE_EDGE_M), 0.0, DEEPEST_MARK_M)
    return after, depth * bare


def dent(batch: PartBatch, maps: SurfaceMaps, uv_m: Any, depth_m: Any) -> tuple[SurfaceMaps, Array]:
    """The ball leaves a dent: the coat over it breaks off.

    Args:
        batch: N parts.
        maps: their surfaces.
        uv_m: (N, 2) middle of the dent, m, part's frame.
        depth_m: one or (N,), depth of the plastic mark; 0 where nothing yielded.

    Returns:
        New maps, and the depth of the mark, (N,) m.

    Raises:
        ValueError: wrong shapes, negative or not finite values.
    """
    same_length(batch, maps)
    uv, depth = points_uv(batch, uv_m, "uv_m"), amounts(batch, depth_m, "depth_m", "m")
    xp = namespace(uv)
    # a square of the cap's area, pi (2 R depth): far below one cell, so that its outline does not matter
    side = xp.sqrt(2.0 * pi * BALL_RADIUS_M * depth)
    half = xp.stack((0.5 * side, 0.0 * side), axis=1)
    cover = track_cover(batch, uv - half, uv + half, side, 0.0 * side)
    return SurfaceMaps(maps.coat * (1.0 - cover), maps.label, maps.film_um, maps.dirt), depth
