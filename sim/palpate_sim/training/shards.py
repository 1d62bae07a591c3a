"""Training data in shards: made by several processes at once, and kept, so that an interrupted run goes on.

The parts of a training set are of four kinds: known ones by the mix of conditions, aged ones beside them, virtual
formulations, from which a network learns what is none of its labels, and more of those that are kept back until the
rest of the network is trained (`novelty_head`).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from palpate_agents.encoders.features import FEATURE_VERSION
from palpate_agents.errors import ConfigError, DataError
from palpate_sim.library import PartLibrary, Progress
from palpate_sim.randomisation import randomisation_hash
from palpate_sim.training.batched import BATCHED_VERSION, Draw, generate_batched
from palpate_sim.training.perception_data import PerceptionData
from palpate_sim.training.pieces import all_pieces

SHARD_PARTS = 2500
AGED_SHARE, NOVEL_SHARE = 0.06, 0.6
"""Of the known parts, beside them."""
RESERVED_SHARE = 0.25
"""Of the number of virtual parts, beside them."""
RESERVED = 3
"""Kind of the parts that are kept back."""
KIND_STRIDE = 100_000_000
"""Numbers of parts of different kinds are this far apart."""


@dataclass(frozen=True)
class Shard:
    """One piece of work: `count` parts of a draw."""

    seed: int
    count: int
    draw: Draw

    @property
    def header(self) -> dict[str, object]:
        """What a stored shard must have been made of, as JSON values."""
        made_of = {
            "seed": self.seed, "count": self.count, "draw": asdict(self.draw), "generator_version": BATCHED_VERSION,
            "feature_version": FEATURE_VERSION, "randomisation_hash": randomisation_hash(),
        }  # fmt: skip
        plain: dict[str, object] = json.loads(json.dumps(made_of))
        return plain

    @property
    def file(self) -> str:
        """Its name in the folder."""
        return f"seed{self.seed}_part{self.draw.first:09d}_{self.count}.npz"


def shards_of(parts: int, seed: int, draw: Draw | None = None, novel: int | None = None) -> list[Shard]:
    """The shards of a training set.

    Args:
        parts: number of known parts; aged and virtual ones come on top.
        seed: of everything.
        draw: devices, lots and outlines of all of them.
        novel: number of parts of virtual formulations that are drawn; None: NOVEL_SHARE of the known ones.

    Raises:
        ConfigError: no part, or more than there are numbers.
    """
    if not 1 <= parts < KIND_STRIDE:
        raise ConfigError(f"{parts} parts: 1 to {KIND_STRIDE - 1} can be drawn")
    base = draw or Draw()
    novel = round(NOVEL_SHARE * parts) if novel is None else novel
    kinds = [
        (parts, base),
        (round(AGED_SHARE * parts), replace(base, condition="aged", first=KIND_STRIDE)),
        (novel, replace(base, formulations="virtual", first=2 * KIND_STRIDE)),
        (round(RESERVED_SHARE * novel), replace(base, formulations="virtual", first=RESERVED * KIND_STRIDE)),
    ]
    return [
        Shard(seed, min(SHARD_PARTS, count - first), replace(kind, first=kind.first + first))
        for count, kind in kinds
        for first in range(0, count, SHARD_PARTS)
    ]


def generate_training_data(
    parts: int, seed: int, library: PartLibrary, draw: Draw | None = None, folder: Path | None = None, jobs: int = 1,
    progress: Progress | None = None, keep: Callable[[PerceptionData], NDArray[np.bool_]] | None = None,
    novel: int | None = None,
) -> PerceptionData:  # fmt: skip
    """Makes a training set, or reads what an earlier run has made of it.

    Args:
        parts: number of known parts.
        seed: of everything.
        library: geometry.
        draw: devices, lots and outlines.
        folder: where shards are kept; None: nowhere.
        jobs: processes.
        progress: called with parts done and parts in all.
        keep: says which parts of a shard are wanted; None: all.
        novel: see `shards_of`.

    Raises:
        ConfigError: no part, or no process.
    """
    if jobs < 1:
        raise ConfigError(f"{jobs} processes: at least 1 is needed")
    shards = shards_of(parts, seed, draw, novel)
    found: dict[int, PerceptionData] = {}
    for number, data in all_pieces(shards, folder, _read, _make, library, jobs, progress):
        found[number] = data if keep is None else data.rows(keep(data))
    return PerceptionData.concatenate([found.pop(number) for number in range(len(shards)) if len(found[number])])


def _read(path: Path, shard: Shard) -> PerceptionData | None:
    try:
        data = PerceptionData.load(path)
    except DataError:
        return None  # not there, damaged, or of another version
    return data if data.origin.get("shard") == shard.header else None


def _make(shard: Shard, path: Path | None, library: PartLibrary | None) -> PerceptionData:
    data = generate_batched(shard.count, shard.seed, library, shard.draw)
    data = replace(data, origin=data.origin | {"shard": shard.header})
    if path is not None:
        data.save(path)
    return data


def kinds_of(data: PerceptionData) -> NDArray[np.int64]:
    """(N,) kind of each part of a set: 0 known, 1 aged, 2 virtual, RESERVED; 0 for parts without a number."""
    ends = [str(name).rpartition("_")[2] for name in data.part_id]
    return np.array([int(end) if end.isdecimal() else 0 for end in ends]) // KIND_STRIDE


def with_crops(data: PerceptionData, crops: NDArray[np.uint8], found: NDArray[np.bool_]) -> PerceptionData:
    """Adds pictures of the overviews of the first known parts of a set.

    Args:
        data: parts, perhaps not all of the set.
        crops: (K, 64, 64, 4) uint8 of parts 0 to K - 1.
        found: (K,) bool, the part was seen in the picture.
    """
    number = np.array([int(name.rsplit("_", 1)[1]) for name in data.part_id])
    has = (number < len(crops)) & found[np.minimum(number, len(crops) - 1)]
    crop_at = np.full(data.primitive.shape, -1, np.int32)
    crop_at[has, 0] = number[has]
    return replace(data, crop=crops, crop_at=crop_at)
