"""A part and its truth, and many parts as arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from palpate_sim.appearance import TEXTURES
from palpate_sim.backend import Array, copied, integers, namespace, to_numpy
from palpate_sim.part_geometry import GEOMETRY_CLASSES
from palpate_sim.part_tables import NAMES, index_of
from palpate_sim.shapes import SHAPES

CONDITIONS = ("clean", "black", "wet", "painted", "aged")
BANDS = 16
"""Bands of a part in a batch: those of its body and two of ageing, unused ones of depth 0."""
COAT_CONDUCTIVITY_W_MK = 0.25  # polymer binder with pigment, assumed


@dataclass(frozen=True)
class Part:
    """One part. Units are in the names; what has none is dimensionless.

    Attributes:
        seed: everything else is drawn from it.
        geometry_class, geometry_id: which geometry it has, see `part_geometry`.
        material: id in the catalogue or name of a formulation.
        dimensions_m: (3,) full extents x, y, z as it lies.
        wall_thickness_m: inf when solid; rib_pitch_m: between ribs, inf without.
        indentation_modulus_pa resists the ball, youngs_modulus_pa bends walls; yield_pa: where a press leaves a mark.
        friction: kinetic, of the dry surface against steel; friction_exponent: mu ~ N^exponent (rubber -1/3).
        ripple: relative height of the texture's friction peak.
        lot: number of the lot, counts up with time; filler: mass share of fibre, mineral or black.
        blend_fraction: share of PC in PC/ABS, 0 otherwise; age: 0 new to 1 end of use, see `ageing_stage`.
        rgb, gloss, transparency, texture, texture_contrast, texture_pitch_m: of the bare body.
        emissivity: long-wave infrared, of the bare, dry body; anodised: clear oxide on aluminium.
        contact_conductance_w_m2k: of the bare, dry body.
        nir_bands: (16, 3) centre nm, depth relative to the strongest (0: unused), full width nm.
        band_strength: K/S of the strongest band; base_reflectance: of the bulk between bands.
        carbon_black_q: K/S that carbon black adds, 0 without.
        coat_um: thickness of a paint, 0 without; paint_transmission: share of the substrate's light that returns
            through the intact coat (both ways), 1 without coat.
        film_um: mean thickness of water where it is wet, 0 when dry; wet_*: what the film does to friction and to
            contact conductance (added).
        label_um: thickness of a label, 0 without; dirt_level: share of the area covered where dirty, 0 when clean.
    """

    part_id: str
    seed: int
    geometry_class: str
    geometry_id: int
    material: str
    condition: str
    shape: str
    dimensions_m: tuple[float, float, float]
    wall_thickness_m: float
    rib_pitch_m: float
    mass_kg: float
    temperature_c: float
    density_kg_m3: float
    youngs_modulus_pa: float
    indentation_modulus_pa: float
    poisson: float
    restitution: float
    yield_pa: float
    friction: float
    friction_exponent: float
    stribeck_share: float
    stribeck_speed_m_s: float
    ripple: float
    conductivity_w_mk: float
    heat_capacity_j_kgk: float
    effusivity_w_s05_m2k: float
    diffusivity_m2_s: float
    metal: bool
    ceramic: bool
    electrical_conductivity_s_m: float
    ferromagnetic: bool
    lot: int
    filler: float
    blend_fraction: float
    age: float
    rgb: tuple[float, float, float]
    gloss: float
    transparency: float
    texture: str
    texture_contrast: float
    texture_pitch_m: float
    emissivity: float
    anodised: bool
    contact_conductance_w_m2k: float
    nir_bands: tuple[tuple[float, float, float], ...]
    band_strength: float
    base_reflectance: float
    carbon_black_q: float
    clear_absorption_per_mm: float
    coat_um: float
    paint_transmission: float
    coat_reflectance: float
    coat_band_strength: float
    coat_rgb: tuple[float, float, float]
    coat_gloss: float
    coat_emissivity: float
    film_um: float
    wet_friction_factor: float
    wet_conductance_w_m2k: float
    label_um: float
    label_rgb: tuple[float, float, float]
    label_reflectance: float
    dirt_level: float
    dirt_rgb: tuple[float, float, float]

    @property
    def friction_factor(self) -> float:
        """Factor on friction where the part is wet, 1 when it is dry."""
        return self.wet_friction_factor if self.film_um > 0.0 else 1.0


WORDS: dict[str, tuple[str, ...]] = {
    "geometry_class": GEOMETRY_CLASSES,
    "material": NAMES,
    "condition": CONDITIONS,
    "shape": SHAPES,
    "texture": TEXTURES,
}
"""What the numbers of a batch stand for."""

PART_FIELDS: tuple[str, ...] = tuple(f.name for f in fields(Part) if f.name not in ("part_id", "seed"))
_TUPLES = ("dimensions_m", "rgb", "coat_rgb", "label_rgb", "dirt_rgb")


def _everywhere(value: float) -> Callable[[PartBatch], Array]:
    return lambda batch: batch.film_um * 0.0 + value


def _factor(batch: PartBatch) -> Array:
    return namespace(batch.film_um).where(batch.film_um > 0.0, batch.wet_friction_factor, _everywhere(1.0)(batch))


SPOT_FIELDS: dict[str, Callable[[PartBatch], Array]] = {
    "coat_cover": lambda batch: 1.0 * (batch.coat_um > 0.0),
    "label_cover": _everywhere(0.0),
    "dirt_cover": _everywhere(0.0),
    "film_cover": lambda batch: 1.0 * (batch.film_um > 0.0),
    "wall_factor": _everywhere(1.0),
    "bare_gloss": lambda batch: batch.gloss,
    "bare_transparency": lambda batch: batch.transparency,
    "friction_factor": _factor,
    "contact_resistance_m2k_w": lambda batch: batch.coat_um * (1e-6 / COAT_CONDUCTIVITY_W_MK),
}
"""What `surface.spot_batch` adds to a batch; a batch without spots answers with an intact coat and an even film."""


@dataclass(frozen=True, eq=False)
class PartBatch:
    """The fields of `Part` as arrays over N parts, of NumPy or torch.

    Attributes:
        key: (N,) int64, `Part.seed`.
        material, condition, shape, texture, geometry_class: (N,) int64, numbers into WORDS.
        geometry_id, lot: (N,) int64; metal, ceramic, ferromagnetic, anodised: (N,) bool.
        dimensions_m, *rgb: (N, 3); nir_bands: (N, 16, 3), unused ones of depth 0 and width 1.
        every other name: (N,) float64.
    """

    arrays: dict[str, Array]

    def __post_init__(self) -> None:
        # plain attributes: a probe of one part looks up forty, and `__getattr__` takes ten times as long
        self.__dict__.update(self.arrays)

    @staticmethod
    def of(parts: Sequence[Part]) -> PartBatch:
        """Stacks parts.

        Raises:
            ValueError: no part was given, or a condition, shape or texture is unknown.
            MaterialError: unknown material.
        """
        if not parts:
            raise ValueError("a batch of 0 parts has no shape; give at least 1 part")
        arrays: dict[str, Array] = {"key": np.array([part.seed for part in parts], np.int64)}
        for name in PART_FIELDS:
            values = [getattr(part, name) for part in parts]
            if name == "nir_bands":
                arrays[name] = _padded(values)
            elif name in WORDS:
                arrays[name] = np.array([word_index(name, value) for value in values], np.int64)
            else:
                arrays[name] = np.asarray(values)
        return PartBatch(arrays)

    def __len__(self) -> int:
        return int(self.arrays["key"].shape[0])

    def __getattr__(self, name: str) -> Any:
        if name in SPOT_FIELDS:
            return SPOT_FIELDS[name](self)
        raise AttributeError(f"a batch of parts has no field {name!r}")

    def words(self, name: str) -> Array:
        """(N,) str of a field of WORDS."""
        return np.array(WORDS[name])[to_numpy(self.arrays[name])]

    def replace(self, **arrays: Array) -> PartBatch:
        """A batch with some arrays overridden, or those of a spot added.

        Raises:
            KeyError: a name is neither a field of a part nor of a spot.
        """
        if any(name not in self.arrays and name not in SPOT_FIELDS for name in arrays):
            unknown = set(arrays) - set(self.arrays) - set(SPOT_FIELDS)
            raise KeyError(f"{sorted(unknown)} are not fields of a part; known: {sorted({*self.arrays, *SPOT_FIELDS})}")
        return PartBatch({**self.arrays, **arrays})

    def rows(self, index: Any, names: tuple[str, ...] = ()) -> PartBatch:
        """The parts at an index array, a boolean mask or a slice.

        Args:
            index: which.
            names: fields that are needed beside the key, so that the others are not copied; none: all.
        """
        if names:
            return PartBatch({name: self.arrays[name][index] for name in ("key", *names) if name in self.arrays})
        return PartBatch({name: array[index] for name, array in self.arrays.items()})

    def to(self, xp: Any, device: Any = None) -> PartBatch:
        """A copy in another array library.

        Args:
            xp: `numpy` or `torch`.
            device: of torch.
        """
        return PartBatch({name: copied(array, xp, device) for name, array in self.arrays.items()})

    def part(self, row: int, number: int | None = None) -> Part:
        """One part.

        Args:
            row: which.
            number: for its id, `row` unless given.
        """
        values: dict[str, Any] = {}
        for name in PART_FIELDS:
            value = self.arrays[name][row].tolist()
            if name == "nir_bands":
                value = tuple(tuple(band) for band in value)
            elif name in WORDS:
                value = WORDS[name][value]
            values[name] = tuple(value) if name in _TUPLES else value
        number = row if number is None else number
        return Part(part_id=f"part_{number:06d}", seed=int(self.arrays["key"][row]), **values)

    def parts(self) -> list[Part]:
        """All parts."""
        return [self.part(row) for row in range(len(self))]


def word_index(name: str, value: str) -> int:
    """Number of a word in WORDS.

    Raises:
        MaterialError: unknown material or formulation.
        ValueError: unknown condition, shape or texture.
    """
    if name == "material":
        return index_of(value)
    if value not in WORDS[name]:
        raise ValueError(f"{name} {value!r} is not one of {', '.join(WORDS[name])}")
    return WORDS[name].index(value)


def _padded(values: list[tuple[tuple[float, float, float], ...]]) -> Array:
    padded = np.tile(np.array([1300.0, 0.0, 1.0]), (len(values), max(BANDS, *(len(bands) for bands in values)), 1))
    for row, bands in enumerate(values):
        if bands:
            padded[row, : len(bands)] = bands
    return padded


def ageing_stage(age: Array) -> Array:
    """(N,) int64 stage: 0 new, 1 worn (age below 0.5), 2 spent."""
    return integers(1 * (age > 0.0) + 1 * (age >= 0.5))
