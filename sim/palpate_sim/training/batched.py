"""Training data for perception from the batched cell: a hundred thousand parts in minutes.

Every part is probed nine times as a curious agent would: an overview, then each primitive once in random order, at
random places and with random settings; a third of the parts is wiped and a third scratched, and looked at again.
Features are those of the full cell (`benchmarks.agreement` says how closely); parts that slip, touch or cannot be
reached give what the batched cell gives for them.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palpate_agents.encoders.features import FEATURE_VERSION
from palpate_agents.errors import ConfigError
from palpate_agents.fusion_config import PROPERTIES
from palpate_agents.observation import Modality, Primitive
from palpate_agents.probing.decoder import LOOK_ABOVE, NO_SLIDE, decode
from palpate_sim.batch.cell import BatchConfig, BatchedCell, ProbeResult
from palpate_sim.class_distance import class_distances, departure
from palpate_sim.keyed import combine, keys_of, uniform
from palpate_sim.library import PartLibrary, Progress
from palpate_sim.objects import CONDITIONS, FORMULATIONS, PartBatch, draw_formulations, draw_parts
from palpate_sim.part_geometry import GEOMETRIES_PER_CLASS, GEOMETRY_LIMIT
from palpate_sim.part_tables import NAMES as ALL_NAMES
from palpate_sim.randomisation import CONDITION_MIX, LOTS, randomisation_hash
from palpate_sim.training.perception_data import PerceptionData
from palpate_sim.virtual_formulations import draw_virtual_formulations

BATCHED_VERSION = 3
"""Raised with every change of what a part's probes are."""

CHUNK = 500
PROBES = 9
LOOKS = 3
"""Looks among them, at most."""
MIN_DEPARTURE = 4.0
"""Virtual formulations nearer to a class than this, in spreads within it, are left out: parts of it lie there too."""
AMBIENT_C = (19.0, 25.0)

_L, _T, _P, _S, _D1, _D0, _G, _W, _C = range(9)
ORDERS = (
    (_L, _T, _P, _S, _D1, _D0, _L, _G),
    (_L, _T, _W, _L, _S, _D1, _P, _G),
    (_L, _C, _L, _T, _D1, _S, _D0, _G),
)
"""Kinds of probes after the overview; all but the first and the last are shuffled, except that a look follows its
wipe or scratch."""

_BANDS = np.array([
    # stand-off or depth   tool              slide          tempo
    [[LOOK_ABOVE + 0.01, 1.0], [-0.5, 0.5], [-0.4, 0.4], [-1.0, 1.0]],
    [[-0.7, 0.1], [0.0, 0.49], [-0.4, 0.4], [0.01, 1.0]],
    [[-0.7, 0.1], [0.0, 0.49], [-0.4, 0.4], [-1.0, -0.01]],
    [[-0.7, 0.1], [0.0, 0.49], [-1.0, 1.0], [-1.0, 1.0]],
    [[-0.7, 0.1], [-0.49, -0.01], [-0.4, 0.4], [-1.0, 1.0]],
    [[-0.7, 0.1], [-0.99, -0.51], [-0.4, 0.4], [-1.0, 1.0]],
    [[-1.0, -0.85], [-1.0, 1.0], [-0.4, 0.4], [-1.0, 1.0]],
    [[-0.7, 0.1], [-0.99, -0.51], [-1.0, 1.0], [-1.0, 1.0]],
    [[-0.7, 0.1], [0.51, 1.0], [-1.0, 1.0], [-1.0, 1.0]],
])  # fmt: skip
"""(kind, number, low and high) of numbers 2 to 5 of an action: look, tap, press, slide, hot and warm pad, grasp, wipe,
scratch."""


@dataclass(frozen=True)
class Draw:
    """Which parts are drawn.

    Attributes:
        mix: shares of conditions; condition: this one for every part instead.
        lots: first lot and the one behind the last.
        outlines: numbers of outlines, None: all.
        shift_nm: wavelength shift of every spectrometer instead of a drawn one.
        inductive: the cell has the eddy-current tip.
        formulations: "" those of the catalogue, "virtual" random ones, "named" those that no model is trained on.
        first: number of the first part.
    """

    mix: str = "mix"
    condition: str | None = None
    lots: tuple[int, int] = (0, LOTS)
    outlines: tuple[int, ...] | None = None
    shift_nm: float | None = None
    inductive: bool = False
    formulations: str = ""
    first: int = 0

    def __post_init__(self) -> None:
        if self.mix not in CONDITION_MIX:
            raise ConfigError(f"mix {self.mix!r} is unknown; known are {', '.join(CONDITION_MIX)}")
        if self.formulations not in ("", "virtual", "named"):
            raise ConfigError(f"formulations is {self.formulations!r}; it is '', 'virtual' or 'named'")


def truth_of(parts: PartBatch) -> NDArray[np.float32]:
    """(n, 6) values of `fusion.PROPERTIES`: of the body and its dry surface, whatever lies on it."""
    return np.stack(
        [
            np.log10(parts.effusivity_w_s05_m2k), parts.restitution, np.log10(parts.indentation_modulus_pa),
            np.log10(parts.density_kg_m3), parts.friction, parts.blend_fraction,
        ],
        axis=1,
    ).astype(np.float32)  # fmt: skip


def states_of(parts: PartBatch) -> NDArray[np.float32]:
    """(n, 4) 1 where a part is black (of carbon), painted, wet, aged; several can hold."""
    facts = (parts.carbon_black_q > 0.0, parts.coat_um > 0.0, parts.film_um > 0.0, parts.age > 0.0)
    return np.stack(facts, axis=1).astype(np.float32)


def generate_batched(
    n_parts: int, seed: int, library: PartLibrary | None = None, draw: Draw | None = None,
    progress: Progress | None = None,
) -> PerceptionData:  # fmt: skip
    """Draws parts and devices and probes every part nine times.

    Args:
        n_parts: number of parts; part `i` does not depend on it.
        seed: of everything.
        library: None: the cached one.
        draw: which parts.
        progress: called with parts done and parts in all.

    Returns:
        the parts; of virtual formulations only those that neither a class nor a named one has, see MIN_DEPARTURE.

    Raises:
        ConfigError: no part.
    """
    if n_parts < 1:
        raise ConfigError(f"{n_parts} parts: at least 1 is needed")
    draw = draw or Draw()
    library = library or PartLibrary.load_or_build()
    chunks = []
    for first in range(0, n_parts, CHUNK):
        count = min(CHUNK, n_parts - first)
        chunks.append(_chunk(draw.first + first, count, seed, library, draw))
        if progress is not None:
            progress(first + count, n_parts)
    return PerceptionData.concatenate(chunks)


def _chunk(first: int, count: int, seed: int, library: PartLibrary, draw: Draw) -> PerceptionData:
    keys = keys_of(seed, np.arange(first, first + count))
    cell = cell_of(first, count, seed, library, draw)
    kinds = _kinds(keys)
    results, views = [cell.overview], [cell.view.astype(np.float16)]
    for number in range(PROBES - 1):
        results.append(cell.probe(decode(_actions(keys, kinds[:, number], number), cell.seen)))
        views.append(cell.view.astype(np.float16))
    data = _with_surfaces(_data(cell, results, seed, draw), np.stack(views, axis=1))
    return data.rows(_unheard_of(cell.parts)) if draw.formulations == "virtual" else data


def _unheard_of(parts: PartBatch) -> NDArray[np.bool_]:
    """(n,) of no class, and of none of the named formulations that are kept to test on."""
    far = (departure(parts) > MIN_DEPARTURE) & (class_distances(parts, FORMULATIONS).min(axis=1) > MIN_DEPARTURE)
    return np.asarray(far)


def cell_of(first: int, count: int, seed: int, library: PartLibrary | None, draw: Draw) -> BatchedCell:
    """A cell with the parts `first` to `first + count - 1` of a draw laid in; `draw.first` does not count here.

    Args:
        first: number of the first part.
        count: number of parts.
        seed: of everything.
        library: None: the cached one.
        draw: which parts.
    """
    config = BatchConfig(
        condition=draw.condition, mix=draw.mix, lots=draw.lots, ambient_c=AMBIENT_C, first_cell=first,
        inductive=draw.inductive,
    )  # fmt: skip
    if draw.outlines is None and draw.shift_nm is None and not draw.formulations:
        return BatchedCell(count, seed, config, library)
    numbers = np.arange(first, first + count)
    keys = combine(keys_of(seed, numbers), np.zeros_like(numbers))  # of the cell's first parts
    outlines = np.arange(GEOMETRIES_PER_CLASS) if draw.outlines is None else np.asarray(draw.outlines)
    geometry = outlines[(uniform(keys, "outline") * len(outlines)).astype(np.int64)]
    given: dict[str, Any] = {
        "conditions": draw.condition, "geometry": geometry, "mix": draw.mix, "ambient_c": config.draw_rooms(keys),
        "lots": draw.lots,
    }  # fmt: skip
    if draw.formulations == "virtual":
        parts = draw_virtual_formulations(keys, **given)
    elif draw.formulations == "named":
        names = [FORMULATIONS[k] for k in (uniform(keys, "named") * len(FORMULATIONS)).astype(int)]
        parts = draw_formulations(keys, names, **given)
    else:
        parts = draw_parts(keys, **given)
    devices = config.draw_devices(keys)
    if draw.shift_nm is not None:
        devices = devices.replace(wavelength_shift_nm=np.full(count, draw.shift_nm))
    return BatchedCell(count, seed, config, library, parts, devices)


def _kinds(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n, PROBES - 1) kinds of probes in the order done."""
    orders = np.array(ORDERS)[np.minimum((uniform(keys, "order") * len(ORDERS)).astype(int), len(ORDERS) - 1)]
    rank = uniform(keys, "shuffle", (PROBES - 1,))
    rank[:, 0], rank[:, -1] = -1.0, 2.0
    for number in range(1, PROBES - 2):
        follows = (orders[:, number + 1] == _L) & np.isin(orders[:, number], (_W, _C))
        rank[follows, number + 1] = rank[follows, number] + 1e-6
    # A scratch right at the start keeps its place before its look.
    return np.take_along_axis(orders, np.argsort(rank, axis=1), axis=1)


def _actions(keys: NDArray[np.int64], kind: NDArray[np.int64], number: int) -> NDArray[np.float64]:
    drawn = uniform(combine(keys, "action", number), "numbers", (7,))
    actions = 2.0 * drawn - 1.0
    low, high = _BANDS[kind, :, 0], _BANDS[kind, :, 1]
    actions[:, 2:6] = low + (high - low) * drawn[:, 2:6]
    # The place: half of the touches near the middle, where a plain strategy goes.
    actions[:, :2] *= np.where(uniform(keys, f"middle {number}") < 0.5, 0.4, 1.0)[:, None]
    slides = np.isin(kind, (_S, _W, _C))
    way = actions[slides, 4]
    actions[slides, 4] = np.copysign(NO_SLIDE + (1.0 - NO_SLIDE) * np.abs(way), way)
    return actions


def _data(cell: BatchedCell, results: list[ProbeResult], seed: int, draw: Draw) -> PerceptionData:
    parts = cell.parts
    values = {m: np.stack([r.features[m].values for r in results], axis=1).astype(np.float32) for m in Modality}
    reliability = {
        m: np.stack([r.features[m].reliability for r in results], axis=1).astype(np.float32) for m in Modality
    }
    primitive = np.stack([r.primitive for r in results], axis=1).astype(np.int8)
    assert primitive[0, 0] == int(Primitive.LOOK)
    origin = {
        "generator": "palpate_sim.training.batched",
        "generator_version": BATCHED_VERSION,
        "feature_version": FEATURE_VERSION,
        "randomisation_hash": randomisation_hash(),
        "seed": seed,
        "draw": {k: v for k, v in asdict(draw).items() if k != "first"},
    }
    first = cell.config.first_cell
    ids = np.array([f"{seed}_{first + k:08d}" for k in range(cell.cells)])
    return PerceptionData(
        ids, np.array(ALL_NAMES)[parts.material], np.array(CONDITIONS)[parts.condition],
        parts.geometry_class * GEOMETRY_LIMIT + parts.geometry_id, primitive, values, reliability,
        PROPERTIES, truth_of(parts), cell.config.features, origin, states_of(parts),
        np.full(cell.cells, bool(draw.formulations)), parts.lot,
        (parts.coat_um > 0.0) & (parts.paint_transmission <= 0.0),
    )  # fmt: skip


def _with_surfaces(data: PerceptionData, views: NDArray[np.float16]) -> PerceptionData:
    """Keeps the (n, P, 8, 8, C) maps of looks that saw the part, in LOOKS slots."""
    seen = (data.primitive == int(Primitive.LOOK)) & (data.reliability[Modality.VISUAL] > 0.0)
    slot = np.where(seen, np.cumsum(seen, axis=1) - 1, -1)
    surface = np.zeros((len(data), LOOKS, *views.shape[2:]), np.float16)
    part, probe = np.nonzero(seen)
    surface[part, slot[part, probe]] = views[part, probe]
    return replace(data, surface=surface, surface_slot=slot.astype(np.int8))
