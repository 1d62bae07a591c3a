"""What the gallery shows of each material: one part in every condition, as seen, lit, touched and warmed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from palpate_agents.materials import MATERIALS, material
from palpate_sim import randomisation as rand
from palpate_sim.contact import press_displacement, pulses
from palpate_sim.devices import DeviceDraw
from palpate_sim.keyed import keys_of
from palpate_sim.objects import AMBIENT_C, SHAPES, Part, PartBatch, condition_shares, draw_parts
from palpate_sim.part_geometry import geometry_class
from palpate_sim.part_tables import NAMES, tables
from palpate_sim.sensors.heat_contact import pad_face_temperature, surface_temperature
from palpate_sim.sensors.heated_tip import PAD_SETPOINTS_C
from palpate_sim.sensors.nir_physics import reflectance
from palpate_sim.surface import SurfaceMaps, draw_surface_maps, spot_batch
from palpate_sim.surface_maps import GRID

Array = NDArray[np.float64]

SEED = 20
MARKED = "labelled"
"""Beside the conditions: the first of them with a label and dirt."""
LABEL_UM, DIRT_LEVEL, LEAST_AGE = 110.0, 0.8, 0.7
THIN_WALL_M = 1.0e-3

WAVELENGTH_NM = np.arange(900.0, 1701.0, 4.0)
FORCE_N = np.linspace(0.0, 6.0, 41)
TAP_M_S = 0.04
TOUCH_S = np.concatenate((np.geomspace(0.01, 0.2, 10), np.linspace(0.3, 4.0, 28)))
DWELL_S = 2.0
SPOT_S = np.concatenate((np.linspace(0.02, DWELL_S, 20), DWELL_S + np.geomspace(0.05, 8.0, 30)))
HOT_PAD = 1
FIBRE_RADIUS_M, PAD_RADIUS_M, BALL_SPOT_M = 0.004, 0.0068, 0.0005


@dataclass(frozen=True)
class Curve:
    """One line of a chart: a name for its colour and key, and (K,) places and values in the units of the chart."""

    name: str
    x: Array
    y: Array


@dataclass(frozen=True)
class Sample:
    """The part in one condition.

    Attributes:
        condition: one of the conditions that its material can be in, or MARKED.
        batch: the part, N = 1.
        maps: its surface.
        note: in a few words what is special.
    """

    condition: str
    batch: PartBatch
    maps: SurfaceMaps
    note: str


@dataclass(frozen=True)
class Sheet:
    """Everything about one material.

    Attributes:
        material: id in the catalogue.
        samples: the same part in each condition.
        spectra: reflectance over nm, one per sample.
        press: force in N over travel in um; tap: force on the ball in N over ms.
        pad: temperature of the hot pad's face over s; spot: rise of the surface under it, K over s.
    """

    material: str
    samples: tuple[Sample, ...]
    spectra: tuple[Curve, ...]
    press: tuple[Curve, ...]
    tap: tuple[Curve, ...]
    pad: tuple[Curve, ...]
    spot: tuple[Curve, ...]


def conditions_of(material_id: str) -> tuple[str, ...]:
    """The conditions in which parts of a material occur, the plain one first.

    Raises:
        MaterialError: unknown material.
    """
    shares = condition_shares(material(material_id).id)
    found = [name for name in ("clean", "black") if shares[name] > 0.0] + ["wet", "painted"]
    if tables()["organic"][NAMES.index(material_id)]:
        found.append("aged")
    return tuple(found)


def sheets(materials: Sequence[str] = MATERIALS) -> Iterator[Sheet]:
    """The sheets of some materials, one by one.

    Args:
        materials: ids in the catalogue.

    Raises:
        MaterialError: unknown material.
    """
    for name in materials:
        conditions_of(name)
    for name in materials:
        yield sheet(name)


def sheet(material_id: str) -> Sheet:
    """The sheet of one material: the same part (key, geometry, lot) in every condition.

    Raises:
        MaterialError: unknown material.
    """
    conditions = conditions_of(material_id)
    count = len(conditions)
    batch = draw_parts(np.full(count, _key_of(material_id)), material_id, list(conditions))
    batch = batch.replace(label_um=np.zeros(count), dirt_level=np.zeros(count))
    marked = batch.rows(slice(0, 1)).replace(label_um=np.full(1, LABEL_UM), dirt_level=np.full(1, DIRT_LEVEL))
    batch = PartBatch({name: np.concatenate((array, marked.arrays[name])) for name, array in batch.arrays.items()})
    batch = batch.replace(temperature_c=np.full(count + 1, AMBIENT_C))
    maps = draw_surface_maps(batch)
    names = (*conditions, MARKED)
    samples = tuple(
        Sample(name, batch.rows(slice(k, k + 1)), maps.rows(slice(k, k + 1)), _note(name, batch.part(k)))
        for k, name in enumerate(names)
    )
    return Sheet(
        material_id,
        samples,
        _spectra(names, batch),
        *_contact(batch.rows(slice(0, 1))),
        *_heat(names, batch),
    )


def _key_of(material_id: str) -> int:
    """Key of a part that shows much: of another shape than its neighbour in the catalogue, worn when it ages."""
    index = NAMES.index(material_id)
    candidates = draw_parts(keys_of(SEED, 1000 * index + np.arange(200)), material_id, "aged")
    wanted = (candidates.age > LEAST_AGE) | ~tables()["organic"][index]
    turned = (candidates.shape - index) % len(SHAPES)
    return int(candidates.key[np.argmin(np.where(wanted, turned, len(SHAPES)))])


def _note(condition: str, part: Part) -> str:
    notes = {
        "wet": "{film_um:.0f} µm of water",
        "painted": "{coat_um:.0f} µm of paint, "
        + ("lets {paint_transmission:.0%} through" if part.paint_transmission > 0.0 else "opaque"),
        "aged": "{age:.0%} of its life",
        MARKED: "{label_um:.0f} µm label, dirt",
    }
    return notes.get(condition, "").format(**asdict(part))


def _even(batch: PartBatch, label: float = 0.0) -> SurfaceMaps:
    one = np.ones((len(batch), GRID, GRID))
    return SurfaceMaps(0.0 * one, label * one, 0.0 * one, 0.0 * one)


def _middle(batch: PartBatch) -> Array:
    return np.zeros((len(batch), 2))


def _spectra(names: Sequence[str], batch: PartBatch) -> tuple[Curve, ...]:
    """Noiseless, through the fibre, under whole coats and even films, so that the conditions can be compared."""
    on = {"painted": ("coat", 1.0), "wet": ("film_um", float(batch.film_um.max()))}
    shown = _even(batch)
    for k, name in enumerate(names):
        if name in on:
            kind, value = on[name]
            getattr(shown, kind)[k] = value
    kept = [k for k, name in enumerate(names) if name != MARKED]
    spots = spot_batch(batch.rows(kept), shown.rows(kept), _middle(batch.rows(kept)), FIBRE_RADIUS_M)
    seen = reflectance(spots, WAVELENGTH_NM)
    marked = batch.rows([-1])
    label = spot_batch(marked, _even(marked, label=1.0), _middle(marked), FIBRE_RADIUS_M)
    rows = [*seen, reflectance(label, WAVELENGTH_NM)[0]]
    return tuple(Curve(name, WAVELENGTH_NM, row) for name, row in zip(names, rows, strict=True))


def _contact(one: PartBatch) -> tuple[tuple[Curve, ...], tuple[Curve, ...]]:
    """Press and tap of a solid block of the part's size, and of a box with a thin wall."""
    shells = rand.HOLLOW_SHARE[geometry_class(material(NAMES[int(one.material[0])]))] > 0.0
    walls = {"solid": np.inf, **({"thin wall": THIN_WALL_M} if shells else {})}
    press, tap = [], []
    for name, wall in walls.items():
        block = one.replace(
            shape=np.zeros(1, np.int64), wall_thickness_m=np.full(1, wall), rib_pitch_m=np.full(1, np.inf)
        )
        spot = spot_batch(block, _even(block), _middle(block), BALL_SPOT_M)
        travel = np.concatenate([press_displacement(spot, force) for force in FORCE_N])
        press.append(Curve(name, 1e6 * travel, FORCE_N))
        pulse = pulses(spot, TAP_M_S)
        time = np.linspace(0.0, 1.0, pulse.slope.shape[1]) * pulse.duration_s[0]
        force = pulse.slope[0] * pulse.impulse_n_s[0] / pulse.duration_s[0]
        tap.append(Curve(name, np.append(1e3 * time, 1e3 * time[-1]), np.append(force, 0.0)))
    return tuple(press), tuple(tap)


def _heat(names: Sequence[str], batch: PartBatch) -> tuple[tuple[Curve, ...], tuple[Curve, ...]]:
    """The hot pad on the plain body, under paint and under water."""
    wet, painted = names.index("wet"), names.index("painted")
    rows = batch.rows([0, wet, painted])
    shown = _even(rows)
    shown.film_um[1], shown.coat[2] = rows.film_um[1], 1.0
    spots = spot_batch(rows, shown, _middle(rows), PAD_RADIUS_M)
    start, devices = PAD_SETPOINTS_C[HOT_PAD], DeviceDraw.nominal()
    face = pad_face_temperature(spots, devices, TOUCH_S, start, HOT_PAD)
    rise = surface_temperature(spots, SPOT_S, DWELL_S, start, devices, HOT_PAD) - AMBIENT_C
    shown_names = (names[0], "wet", "painted")
    return (
        tuple(Curve(name, TOUCH_S, row) for name, row in zip(shown_names, face, strict=True)),
        tuple(Curve(name, SPOT_S, row) for name, row in zip(shown_names, rise, strict=True)),
    )
