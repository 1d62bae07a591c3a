"""Parts: a material, a condition, a shape, and every physical property drawn from the documented distributions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from palpate_agents.materials import MATERIALS, material
from palpate_sim import randomisation as rand
from palpate_sim.appearance import draw_appearance
from palpate_sim.devices import DeviceDraw, draw_devices
from palpate_sim.part_properties import draw_bulk, draw_geometry, draw_surface, solid_volume_m3

__all__ = [
    "CONDITIONS",
    "SHAPES",
    "DeviceDraw",
    "Part",
    "PartBatch",
    "condition_shares",
    "draw_devices",
    "draw_part",
    "part_from_seed",
]

CONDITIONS = ("clean", "black", "wet", "painted")
SHAPES = ("block", "plate", "cylinder", "tube")
"""Box; low and wide box; upright cylinder; upright hollow cylinder with closed ends. All have a flat top."""

AMBIENT_C = 22.0
"""Room temperature if the caller names none, degrees Celsius."""


@dataclass(frozen=True)
class Part:
    """One part. Units are in the names; what has none is dimensionless.

    Attributes:
        dimensions_m: (3,) full extents x, y, z as it lies.
        wall_thickness_m: inf when solid.
        indentation_modulus_pa resists the ball, youngs_modulus_pa bends walls.
        friction: kinetic, of the dry surface against steel; `friction_factor` multiplies it (water).
        emissivity: long-wave infrared, as seen (coat, anodising).
        contact_conductance_w_m2k: bare contact; coat and film are added by `contact_resistance_m2k_w`.
        nir_bands: (B, 3) centre nm, depth relative to the strongest, full width nm.
        band_strength: K/S of the strongest band; base_reflectance: of the bulk between bands.
        carbon_black_q: K/S that carbon black adds, 0 without.
        coat_*: paint; `paint_transmission` is the share of the substrate's light that returns through it.
        film_um: water film, micrometres.
        friction_exponent: mu ~ N^exponent (rubber -1/3).
    """

    part_id: str
    material: str
    condition: str
    paint_transmission: float
    shape: str
    dimensions_m: tuple[float, float, float]
    wall_thickness_m: float
    mass_kg: float
    temperature_c: float
    rgb: tuple[float, float, float]
    gloss: float
    transparency: float
    texture: str
    texture_contrast: float
    texture_pitch_m: float
    seed: int
    density_kg_m3: float
    youngs_modulus_pa: float
    indentation_modulus_pa: float
    poisson: float
    restitution: float
    friction: float
    friction_factor: float
    friction_exponent: float
    stribeck_share: float
    stribeck_speed_m_s: float
    ripple: float
    conductivity_w_mk: float
    heat_capacity_j_kgk: float
    effusivity_w_s05_m2k: float
    diffusivity_m2_s: float
    emissivity: float
    anodised: bool
    contact_conductance_w_m2k: float
    contact_resistance_m2k_w: float
    metal: bool
    ceramic: bool
    nir_bands: tuple[tuple[float, float, float], ...]
    band_strength: float
    base_reflectance: float
    carbon_black_q: float
    clear_absorption_per_mm: float
    coat_reflectance: float
    coat_band_strength: float
    film_um: float


@dataclass(frozen=True, eq=False)
class PartBatch:
    """The fields of `Part` as arrays over N parts.

    Attributes:
        parts: the parts themselves.
        material, condition, shape, texture: (N,) str.
        dimensions_m: (N, 3); rgb: (N, 3); nir_bands: (N, B, 3) padded with depth 0 and width 1.
        every other name: (N,) float64 or bool.
    """

    parts: tuple[Part, ...]
    arrays: dict[str, NDArray]

    @staticmethod
    def of(parts: Sequence[Part]) -> PartBatch:
        """Stacks parts.

        Raises:
            ValueError: no part was given.
        """
        if not parts:
            raise ValueError("a batch of 0 parts has no shape; give at least 1 part")
        arrays: dict[str, NDArray] = {}
        for field in fields(Part):
            values = [getattr(part, field.name) for part in parts]
            arrays[field.name] = _pad_bands(values) if field.name == "nir_bands" else np.asarray(values)
        return PartBatch(tuple(parts), arrays)

    def __len__(self) -> int:
        return len(self.parts)

    def __getattr__(self, name: str) -> NDArray:
        try:
            return self.__dict__["arrays"][name]
        except KeyError:
            raise AttributeError(f"a batch of parts has no field {name!r}") from None

    def replace(self, **arrays: NDArray) -> PartBatch:
        """A batch with some arrays overridden (`parts` keep their own values): for tests of single causes.

        Raises:
            KeyError: a name is not a field of `Part`.
        """
        unknown = set(arrays) - set(self.arrays)
        if unknown:
            raise KeyError(f"{sorted(unknown)} are not fields of a part; known: {sorted(self.arrays)}")
        return PartBatch(self.parts, {**self.arrays, **arrays})


def _pad_bands(values: list[tuple[tuple[float, float, float], ...]]) -> NDArray[np.float64]:
    width = max(1, *(len(bands) for bands in values)) if len(values) > 1 else max(1, len(values[0]))
    padded = np.tile(np.array([1300.0, 0.0, 1.0]), (len(values), width, 1))
    for row, bands in enumerate(values):
        if bands:
            padded[row, : len(bands)] = bands
    return padded


def condition_shares(material_id: str, mix: str = "mix") -> dict[str, float]:
    """Share of each condition within a material, so that uniformly drawn materials give exactly the mix.

    Wet and painted happen to everything. What is black by nature is never clean; metals, glass, wood, paper and foam
    are never black; the rest shares what is left.

    Args:
        material_id: id in the catalogue.
        mix: `mix` or `hard` (PROTOCOLS of the benchmarks: 55/25/12/8 % or a quarter each).
    """
    shares = rand.CONDITION_MIX[mix]
    dry = shares["clean"] + shares["black"]
    by_nature = len(rand.BLACK_BY_NATURE)
    optional = sum(material(name).family in rand.BLACKABLE_FAMILIES for name in MATERIALS) - by_nature
    if material_id in rand.BLACK_BY_NATURE:
        black = dry
    elif material(material_id).family in rand.BLACKABLE_FAMILIES:
        black = (shares["black"] * len(MATERIALS) - dry * by_nature) / optional
    else:
        black = 0.0
    return {"clean": dry - black, "black": black, "wet": shares["wet"], "painted": shares["painted"]}


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
        ValueError: unknown condition or shape.
    """
    rng = np.random.default_rng(seed)
    entry = material(material_id if material_id is not None else MATERIALS[rng.integers(len(MATERIALS))])
    shares = condition_shares(entry.id, mix)
    drawn = CONDITIONS[int(rng.choice(4, p=[shares[name] for name in CONDITIONS]))]
    condition = drawn if condition is None else condition
    if condition not in CONDITIONS:
        raise ValueError(f"condition {condition!r} is not one of {', '.join(CONDITIONS)}")
    geometry = draw_geometry(rng, entry, shape)
    surface = draw_surface(rng, entry, condition)
    bulk = draw_bulk(rng, entry)
    look = draw_appearance(rng, entry.id, condition)
    volume_m3 = solid_volume_m3(geometry["shape"], geometry["dimensions_m"], geometry["wall_thickness_m"])
    far = rng.random() < rand.OFF_AMBIENT_SHARE
    offset_k = rand.PART["temperature_far" if far else "temperature_near"].draw(rng)
    if condition == "wet":
        offset_k += rand.PART["evaporation"].draw(rng)
    return Part(
        part_id=f"part_{index:06d}",
        material=entry.id,
        seed=seed,
        temperature_c=ambient_c + offset_k,
        mass_kg=float(bulk["density_kg_m3"] * volume_m3),
        metal=entry.family == "metal",
        ceramic=entry.family == "ceramic",
        rgb=look.rgb,
        gloss=look.gloss,
        transparency=look.transparency,
        texture=look.texture,
        texture_contrast=look.texture_contrast,
        texture_pitch_m=look.texture_pitch_m,
        **geometry,
        **bulk,
        **surface,
    )
