"""Draws parts: material, condition, geometry, and every physical property from the documented distributions.

Every number belongs to the part's key and to its own name: a part drawn alone is the part drawn among a thousand, and a
new property leaves all others as they were.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palpate_agents.materials import MATERIALS, material
from palpate_sim import keyed
from palpate_sim import randomisation as rand
from palpate_sim.appearance import CHOICES, TEXTURES, draw_appearance
from palpate_sim.backend import erf, ndtri
from palpate_sim.devices import DeviceBatch, DeviceDraw, draw_device_batch, draw_devices
from palpate_sim.formulations import FORMULATIONS, formulation
from palpate_sim.part_batch import CONDITIONS, Part, PartBatch, ageing_stage, word_index
from palpate_sim.part_geometry import (
    GEOMETRIES_PER_CLASS,
    GEOMETRY_CLASSES,
    GEOMETRY_LIMIT,
    WALLS,
    geometry_ids_of_shape,
    geometry_table,
)
from palpate_sim.part_properties import draw_bulk, draw_layers, draw_surface
from palpate_sim.part_tables import NAMES, lot_deviates, tables
from palpate_sim.shapes import SHAPES

__all__ = [
    "AMBIENT_C",
    "CONDITIONS",
    "FORMULATIONS",
    "SHAPES",
    "TEXTURES",
    "DeviceBatch",
    "DeviceDraw",
    "Part",
    "PartBatch",
    "ageing_stage",
    "condition_shares",
    "draw_device_batch",
    "draw_devices",
    "draw_formulations",
    "draw_part",
    "draw_parts",
    "part_from_seed",
]

AMBIENT_C = 22.0
"""Room temperature if the caller names none, degrees Celsius."""
COLDEST_C, HOTTEST_C = -20.0, 45.0
"""Rooms in which the catalogue's properties hold; assumed."""

_SINGLE = (
    "material",
    "condition",
    "geometry",
    "wall",
    "lot",
    "anodised",
    "opaque",
    "label",
    "dirt",
    "far",
    "shared",
    *CHOICES,
)
_PURPOSES = tuple(f"part.{name}" for name in (*rand.PART, *_SINGLE))
_DISTRIBUTIONS = rand.Table(rand.PART)
_LOT_ROWS = len(rand.LOT_PROPERTIES)


def condition_shares(material_id: str, mix: str = "mix") -> dict[str, float]:
    """Share of each condition within a material, so that uniformly drawn materials give exactly the mix.

    Wet and painted happen to everything. What is black by nature is never clean; metals, glass, wood, paper and foam
    are never black; the rest shares what is left. Formulations follow the rules of their family.

    Args:
        material_id: id in the catalogue, or name of a formulation.
        mix: `mix` or `hard` (PROTOCOLS of the benchmarks: 55/25/12/8 % or a quarter each).

    Raises:
        ValueError: unknown mix.
    """
    if mix not in rand.CONDITION_MIX:
        raise ValueError(f"mix {mix!r} is not one of {', '.join(rand.CONDITION_MIX)}")
    shares = rand.CONDITION_MIX[mix]
    dry = shares["clean"] + shares["black"]
    by_nature = len(rand.BLACK_BY_NATURE)
    optional = sum(material(name).family in rand.BLACKABLE_FAMILIES for name in MATERIALS) - by_nature
    black_can_be = tables()["black"][NAMES.index(material_id)]
    if black_can_be == 2:
        black = dry
    elif black_can_be == 1:
        black = (shares["black"] * len(MATERIALS) - dry * by_nature) / optional
    else:
        black = 0.0
    rest = {name: share for name, share in shares.items() if name not in ("clean", "black")}
    return {"clean": dry - black, "black": black, **rest}


@lru_cache(maxsize=4)
def _condition_limits(mix: str) -> NDArray[np.float64]:
    """(M, 4) cumulative shares of CONDITIONS without the last."""
    shares = [condition_shares(name, mix) for name in NAMES]
    return np.cumsum([[row[name] for name in CONDITIONS] for row in shares], axis=1)[:, :-1]


def draw_parts(
    keys: NDArray[np.int64],
    materials: str | Sequence[str] | NDArray[np.int64] | None = None,
    conditions: str | Sequence[str] | NDArray[np.int64] | None = None,
    geometry: int | NDArray[np.int64] | None = None,
    mix: str = "mix",
    ambient_c: float | NDArray[np.float64] = AMBIENT_C,
    lots: tuple[int, int] = (0, rand.LOTS),
    geometry_class: str | Sequence[str] | NDArray[np.int64] | None = None,
) -> PartBatch:
    """Draws N parts.

    Args:
        keys: (N,) int64, one each, e.g. of `keyed.keys_of`.
        materials: drawn uniformly from the catalogue unless given: one name, N names, or (N,) numbers into
            `part_tables.NAMES`.
        conditions: drawn by `condition_shares` unless given: one name, N names, or (N,) numbers into CONDITIONS.
        geometry: (N,) numbers of geometries; drawn from 0 to 63 unless given.
        mix: `mix` or `hard`.
        ambient_c: room temperature, one or (N,).
        lots: first lot and the one behind the last, within 0 and 40; the number counts up with time.
        geometry_class: that of the material, or of the small ones that all share, unless given.

    Raises:
        MaterialError: unknown material.
        ValueError: unknown condition or mix, a number out of range, or arrays of other lengths than N.
    """
    keys = _checked_keys(keys)
    if not all(isinstance(lot, int | np.integer) for lot in lots) or not 0 <= lots[0] < lots[1] <= rand.LOTS:
        raise ValueError(f"lots {lots} are not two whole numbers within 0 and {rand.LOTS}")
    if not np.all((np.asarray(ambient_c) >= COLDEST_C) & (np.asarray(ambient_c) <= HOTTEST_C)):
        raise ValueError(f"a room of {ambient_c} C is not between {COLDEST_C:g} and {HOTTEST_C:g} C")
    u = keyed.uniforms(keys, _PURPOSES)
    single = dict(zip(_SINGLE, u[len(rand.PART) :], strict=True))
    kind = _numbers("material", materials, len(keys), len(NAMES))
    if kind is None:
        kind = (single["material"] * len(MATERIALS)).astype(np.int64)
    condition = _numbers("condition", conditions, len(keys), len(CONDITIONS))
    if condition is None:
        condition = np.sum(single["condition"][:, None] > _condition_limits(mix)[kind], axis=1)
    geometry_id = _numbers("geometry", geometry, len(keys), GEOMETRY_LIMIT)
    if geometry_id is None:
        geometry_id = (single["geometry"] * GEOMETRIES_PER_CLASS).astype(np.int64)
    lot = lots[0] + (single["lot"] * (lots[1] - lots[0])).astype(np.int64)
    rows = _values(u[: len(rand.PART)], kind, lot)
    values = {**dict(zip(rand.PART, rows, strict=True)), **single}

    painted, wet = condition == CONDITIONS.index("painted"), condition == CONDITIONS.index("wet")
    aged = condition == CONDITIONS.index("aged")
    age = np.where(aged, values["age"], 0.0)
    table = tables()
    black = (condition == CONDITIONS.index("black")) | (table["black"][kind] == 2)
    bulk = draw_bulk(kind, age, values, rows)
    shapes, group = geometry_table(), _numbers("geometry_class", geometry_class, len(keys), len(GEOMETRY_CLASSES))
    if group is None:
        shared = single["shared"] < rand.SHARED_GEOMETRY_SHARE
        group = np.where(shared, GEOMETRY_CLASSES.index("heavy"), table["geometry_class"][kind])
    wall = (single["wall"] * WALLS).astype(np.int64)
    offset_k = np.where(single["far"] < rand.OFF_AMBIENT_SHARE, values["temperature_far"], values["temperature_near"])
    return PartBatch(
        {
            "key": keys,
            "geometry_class": group,
            "geometry_id": geometry_id,
            "material": kind,
            "condition": condition,
            "shape": shapes.shape[group, geometry_id],
            "dimensions_m": shapes.dimensions_m[group, geometry_id],
            "wall_thickness_m": shapes.wall_thickness_m[group, geometry_id, wall],
            "rib_pitch_m": shapes.rib_pitch_m[group, geometry_id],
            "mass_kg": bulk["density_kg_m3"] * shapes.volume_m3[group, geometry_id, wall],
            "temperature_c": ambient_c + offset_k + np.where(wet, values["evaporation"], 0.0),
            "lot": lot,
            "age": age,
            **bulk,
            **draw_surface(kind, age, black, values),
            **draw_layers(wet, painted, values),
            **draw_appearance(kind, black, age * table["organic"][kind], values),
        }
    )


def _checked_keys(keys: Any) -> NDArray[np.int64]:
    """(N,) int64.

    Raises:
        ValueError: another shape, no whole numbers, or numbers beyond 64 bits.
    """
    array = np.asarray(keys)
    if array.ndim != 1 or (array.size and (array.dtype.kind not in "iu" or not np.can_cast(array.dtype, np.int64))):
        raise ValueError(f"keys are {array.dtype} of shape {array.shape}; (N,) int64 is needed, see keyed.keys_of")
    return array.astype(np.int64)


def _values(u: NDArray[np.float64], kind: NDArray[np.int64], lot: NDArray[np.int64]) -> NDArray[np.float64]:
    """(K, N) values of `randomisation.PART`; those of LOT_PROPERTIES lie around those of the lot."""
    own = math.sqrt(rand.LOT_VARIANCE["part"]) * ndtri(u[:_LOT_ROWS])
    u[:_LOT_ROWS] = 0.5 * (1.0 + erf(math.sqrt(0.5) * (own + lot_deviates()[kind, lot].T)))
    return _DISTRIBUTIONS.at(u)


def _numbers(name: str, given: Any, count: int, limit: int) -> NDArray[np.int64] | None:
    """(N,) numbers of what the caller asks for, None where it is to be drawn."""
    if given is None:
        return None
    if isinstance(given, str):
        return np.full(count, word_index(name, given), np.int64)
    array = np.asarray(given)
    if array.dtype.kind in "UO":
        array = np.array([word_index(name, str(word)) for word in array.ravel()], np.int64)
    if array.dtype.kind not in "iu":
        raise ValueError(f"{name}: {array.dtype} given, words or whole numbers wanted")
    if array.shape not in ((), (1,), (count,)):
        raise ValueError(f"{name}: {array.shape} given for {count} parts")
    if array.size and not (array.min() >= 0 and array.max() < limit):
        raise ValueError(f"{name}: {array.min()} to {array.max()} given, 0 to {limit - 1} known")
    return np.broadcast_to(array, (count,)).astype(np.int64)


def draw_formulations(keys: NDArray[np.int64], names: str | Sequence[str] | None = None, **given: Any) -> PartBatch:
    """Draws N parts of formulations that are no classes of the catalogue.

    Args:
        keys: (N,) int64.
        names: one, or N; in turn through FORMULATIONS unless given.
        given: further arguments of `draw_parts`.

    Raises:
        MaterialError: a name is none of a formulation.
    """
    if names is None:
        names = [FORMULATIONS[k % len(FORMULATIONS)] for k in range(len(keys))]
    chosen = [names] * len(keys) if isinstance(names, str) else list(names)
    for name in set(chosen):
        formulation(name)
    return draw_parts(keys, chosen, **given)


def draw_part(
    rng: np.random.Generator,
    index: int,
    material: str | None = None,
    condition: str | None = None,
    shape: str | None = None,
    *,
    mix: str = "mix",
    ambient_c: float = AMBIENT_C,
) -> Part:
    """Draws one part; only a seed is taken from `rng`, so that the part can be drawn again from `Part.seed`.

    Args:
        rng: generator of the session or data set.
        index: number of the part, for its id.
        material: drawn uniformly unless given.
        condition: drawn by `condition_shares` unless given.
        shape: drawn unless given.
        mix: `mix` or `hard`.
        ambient_c: room temperature.
    """
    return part_from_seed(int(rng.integers(2**62)), index, material, condition, shape, mix=mix, ambient_c=ambient_c)


def part_from_seed(
    seed: int,
    index: int,
    material_id: str | None = None,
    condition: str | None = None,
    shape: str | None = None,
    *,
    mix: str = "mix",
    ambient_c: float = AMBIENT_C,
) -> Part:
    """The part that belongs to a seed; arguments as for `draw_part`.

    Raises:
        MaterialError: unknown material.
        ValueError: unknown condition or shape, or a seed that is no whole number of 64 bits.
    """
    if not isinstance(seed, int | np.integer) or not -(2**63) <= seed < 2**63:
        raise ValueError(f"seed {seed!r} of a part is not a whole number of 64 bits")
    keys = np.array([seed], np.int64)
    if shape is None:
        return draw_parts(keys, material_id, condition, None, mix, ambient_c).part(0, index)
    u = keyed.uniforms(keys, ("part.material", "part.geometry"))[:, 0]
    kind = int(u[0] * len(MATERIALS)) if material_id is None else word_index("material", material_id)
    own = GEOMETRY_CLASSES[tables()["geometry_class"][kind]]
    ids = geometry_ids_of_shape(own, shape)
    number = ids[int(u[1] * len(ids))]
    return draw_parts(keys, [NAMES[kind]], condition, number, mix, ambient_c, geometry_class=own).part(0, index)
