"""Training data in shards: made by several processes at once, and kept, so that an interrupted run goes on.

The parts of a training set are of three kinds: known ones by the mix of conditions, aged ones beside them, and virtual
formulations, from which a network learns what is none of its labels.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from palpate_agents.encoders.features import FEATURE_VERSION
from palpate_agents.errors import ConfigError, DataError
from palpate_sim.library import PartLibrary
from palpate_sim.randomisation import randomisation_hash
from palpate_sim.training.batched import BATCHED_VERSION, Draw, generate_batched
from palpate_sim.training.perception_data import PerceptionData

SHARD_PARTS = 2500
AGED_SHARE, NOVEL_SHARE = 0.06, 0.6
"""Of the known parts, beside them."""
KIND_STRIDE = 100_000_000
"""Numbers of parts of different kinds are this far apart."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Shard:
    """One piece of work: `count` parts of a draw."""

    seed: int
    count: int
    draw: Draw

    @property
    def header(self) -> dict[str, object]:
        """What a stored shard must have been made of."""
        return {
            "seed": self.seed, "count": self.count, "draw": asdict(self.draw), "generator_version": BATCHED_VERSION,
            "feature_version": FEATURE_VERSION, "randomisation_hash": randomisation_hash(),
        }  # fmt: skip

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
    kinds = [
        (parts, base),
        (round(AGED_SHARE * parts), replace(base, condition="aged", first=KIND_STRIDE)),
        (
            round(NOVEL_SHARE * parts) if novel is None else novel,
            replace(base, formulations="virtual", first=2 * KIND_STRIDE),
        ),
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
        library: geometry; other processes read it from the cache.
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
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    total, done = sum(shard.count for shard in shards), 0
    found: dict[int, PerceptionData] = {}
    for number, data in _made(shards, library, folder, jobs):
        found[number] = data if keep is None else data.rows(keep(data))
        done += shards[number].count
        if progress is not None:
            progress(done, total)
    return PerceptionData.concatenate([found.pop(number) for number in range(len(shards)) if len(found[number])])


def _made(
    shards: list[Shard], library: PartLibrary, folder: Path | None, jobs: int
) -> Iterator[tuple[int, PerceptionData]]:
    if jobs == 1:
        for number, shard in enumerate(shards):
            yield number, _shard(shard, folder, library)
        return
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        numbers = {pool.submit(_shard, shard, folder): number for number, shard in enumerate(shards)}
        try:
            for future in as_completed(numbers):
                yield numbers.pop(future), future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _shard(shard: Shard, folder: Path | None, library: PartLibrary | None = None) -> PerceptionData:
    path = None if folder is None else folder / shard.file
    if path is not None and path.is_file():
        try:
            data = PerceptionData.load(path)
        except DataError:
            data = None  # damaged, or of another version: made again
        if data is not None and data.origin.get("shard") == json.loads(json.dumps(shard.header)):
            return data
    data = generate_batched(shard.count, shard.seed, library or PartLibrary.load_or_build(), shard.draw)
    data = replace(data, origin=data.origin | {"shard": json.loads(json.dumps(shard.header))})
    if path is not None:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".shard-", suffix=".npz", delete=False) as scratch:
            pass
        data.save(scratch.name)
        os.replace(scratch.name, path)
    return data


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
