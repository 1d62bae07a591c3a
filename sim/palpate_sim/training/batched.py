"""Training data for perception from the batched cell: a hundred thousand parts in minutes.

Every part is probed nine times as a curious agent would: an overview, then each primitive once in random order, at
random places and with random settings; a third of the parts is wiped and a third scratched, and looked at again.
Features are those of the full cell (`benchmarks.agreement` says how closely); parts that slip, touch or cannot be
reached give what the batched cell gives for them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from palpate_agents.encoders.features import FEATURE_VERSION, FeatureConfig
from palpate_agents.errors import ConfigError
from palpate_agents.observation import Modality, Primitive
from palpate_agents.probing.decoder import LOOK_ABOVE, NO_SLIDE, decode
from palpate_sim.batch.cell import BatchConfig, BatchedCell, ProbeResult
from palpate_sim.keyed import combine, keys_of, uniform
from palpate_sim.library import PartLibrary
from palpate_sim.objects import CONDITIONS, PartBatch
from palpate_sim.part_geometry import GEOMETRY_LIMIT
from palpate_sim.part_tables import NAMES
from palpate_sim.randomisation import CONDITION_MIX, randomisation_hash
from palpate_sim.training.perception_data import PerceptionData

BATCHED_VERSION = 2
"""Raised with every change of what a part's probes are."""

CHUNK = 500
PROBES = 9
AMBIENT_C = (19.0, 25.0)
PROPERTY_NAMES = (
    "log10_effusivity_w_s05_m2_k", "restitution", "log10_stiffness_pa", "log10_density_kg_m3", "friction",
)  # fmt: skip

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

Progress = Callable[[int, int], None]


def truth_of(parts: PartBatch) -> NDArray[np.float32]:
    """(n, 5) values of `PROPERTY_NAMES`: of the body and its dry surface, whatever lies on it."""
    return np.stack(
        [
            np.log10(parts.effusivity_w_s05_m2k), parts.restitution, np.log10(parts.indentation_modulus_pa),
            np.log10(parts.density_kg_m3), parts.friction,
        ],
        axis=1,
    ).astype(np.float32)  # fmt: skip


def generate_batched(
    n_parts: int, seed: int, library: PartLibrary | None = None, mix: str = "mix", condition: str | None = None,
    lots: tuple[int, int] = (0, 40), progress: Progress | None = None,
) -> PerceptionData:  # fmt: skip
    """Draws parts and devices and probes every part nine times.

    Args:
        n_parts: number of parts; part `i` does not depend on it.
        seed: of everything.
        library: None: the cached one.
        mix: shares of conditions.
        condition: this one for every part instead of the mix.
        lots: first lot and the one behind the last.
        progress: called with parts done and parts in all.

    Raises:
        ConfigError: no part, or an unknown mix.
    """
    if n_parts < 1:
        raise ConfigError(f"{n_parts} parts: at least 1 is needed")
    if mix not in CONDITION_MIX:
        raise ConfigError(f"mix {mix!r} is unknown; known are {', '.join(CONDITION_MIX)}")
    library = library or PartLibrary.load_or_build()
    chunks = []
    for first in range(0, n_parts, CHUNK):
        count = min(CHUNK, n_parts - first)
        chunks.append(_chunk(first, count, seed, library, mix, condition, lots))
        if progress is not None:
            progress(first + count, n_parts)
    return PerceptionData.concatenate(chunks)


def _chunk(
    first: int, count: int, seed: int, library: PartLibrary, mix: str, condition: str | None, lots: tuple[int, int]
) -> PerceptionData:
    keys = keys_of(seed, np.arange(first, first + count))
    config = BatchConfig(condition=condition, mix=mix, lots=lots, ambient_c=AMBIENT_C, first_cell=first)
    cell = BatchedCell(count, seed, config, library)
    kinds = _kinds(keys)
    results = [cell.overview]
    for number in range(PROBES - 1):
        results.append(cell.probe(decode(_actions(keys, kinds[:, number], number), cell.seen)))
    return _data(cell, results, seed, mix, config.features)


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


def _data(cell: BatchedCell, results: list[ProbeResult], seed: int, mix: str, config: FeatureConfig) -> PerceptionData:
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
        "mix": mix,
    }
    first = cell.config.first_cell
    ids = np.array([f"{seed}_{first + k:07d}" for k in range(cell.cells)])
    return PerceptionData(
        ids, np.array(NAMES)[parts.material], np.array(CONDITIONS)[parts.condition],
        parts.geometry_class * GEOMETRY_LIMIT + parts.geometry_id, primitive, values, reliability,
        PROPERTY_NAMES, truth_of(parts), config, origin,
    )  # fmt: skip
