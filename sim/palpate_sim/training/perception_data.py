"""Training data of the fusion model: features and pictures of every probe of many parts, in one `.npz`. No torch.

Features are in the columns that `palpate_agents.encoders.features.extract` gives in the cell; `training.batched` makes
them.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palpate_agents.encoders.features import FEATURE_VERSION, FeatureConfig
from palpate_agents.encoders.surface_map import CELLS, CHANNELS
from palpate_agents.errors import DataError
from palpate_agents.fusion_config import CONDITIONS
from palpate_agents.observation import Modality
from palpate_sim.files import replacing

LAYOUT_VERSION = 3
_NOTHING: NDArray = np.zeros(0)


@dataclass
class PerceptionData:
    """N parts with up to P probes each.

    Attributes:
        part_id, material, condition: (N,) str; a part is the unit of every split.
        geometry: (N,) int64, parts of the same number have the same outline; splits keep them together.
        primitive: (N, P) int8, values of `Primitive`, -1 where there is no probe.
        values: modality -> (N, P, F) float32, NaN where not measured.
        reliability: modality -> (N, P) float32, 0..1.
        property_names: (K,) with units; properties: (N, K) float32 true values of the part, NaN if unknown.
        config: feature configuration.
        origin: JSON values that say how the data was made (seed, randomisation hash, ...).
        states: (N, len(CONDITIONS)) float32, 1 where a part is black, painted, wet, aged.
        novel: (N,) bool, of a formulation that is none of the labels; `material` is then what it was derived from.
        lot: (N,) int64, counts up with time.
        opaque: (N,) bool, painted so that no light of the body returns.
        surface: (N, S, 8, 8, C) float16 surface maps of the looks; surface_slot: (N, P) int8 which of the S, -1 none.
        crop: (K, 64, 64, 4) uint8 pictures; crop_at: (N, P) int32 place in `crop`, -1 none.
    """

    part_id: NDArray[np.str_]
    material: NDArray[np.str_]
    condition: NDArray[np.str_]
    geometry: NDArray[np.int64]
    primitive: NDArray[np.int8]
    values: dict[Modality, NDArray[np.float32]]
    reliability: dict[Modality, NDArray[np.float32]]
    property_names: tuple[str, ...]
    properties: NDArray[np.float32]
    config: FeatureConfig
    origin: dict[str, object]
    states: NDArray[np.float32] = field(default_factory=lambda: _NOTHING)
    novel: NDArray[np.bool_] = field(default_factory=lambda: _NOTHING)
    lot: NDArray[np.int64] = field(default_factory=lambda: _NOTHING)
    opaque: NDArray[np.bool_] = field(default_factory=lambda: _NOTHING)
    surface: NDArray[np.float16] = field(default_factory=lambda: _NOTHING)
    surface_slot: NDArray[np.int8] = field(default_factory=lambda: _NOTHING)
    crop: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((0, 64, 64, 4), np.uint8))
    crop_at: NDArray[np.int32] = field(default_factory=lambda: _NOTHING)

    def __post_init__(self) -> None:
        count = len(self.part_id)
        blank = {
            "states": np.zeros((count, len(CONDITIONS)), np.float32),
            "novel": np.zeros(count, bool),
            "lot": np.zeros(count, np.int64),
            "opaque": np.zeros(count, bool),
            "surface": np.zeros((count, 0, CELLS, CELLS, len(CHANNELS)), np.float16),
            "surface_slot": np.full(self.primitive.shape, -1, np.int8),
            "crop_at": np.full(self.primitive.shape, -1, np.int32),
        }
        for name, array in blank.items():
            if getattr(self, name) is _NOTHING:
                setattr(self, name, array)

    def __len__(self) -> int:
        return len(self.part_id)

    def rows(self, index: NDArray[np.integer] | NDArray[np.bool_]) -> PerceptionData:
        """Some of the parts; the store of crops is shared."""
        changed = {name: getattr(self, name)[index] for name in PER_PART}
        return replace(
            self, **changed, values={m: v[index] for m, v in self.values.items()},
            reliability={m: r[index] for m, r in self.reliability.items()},
        )  # fmt: skip

    def save(self, path: Path | str) -> None:
        """Writes one `.npz`, whole or not at all; uncompressed: compressing takes longer than making the data again."""
        header = {
            "layout_version": LAYOUT_VERSION,
            "feature_version": FEATURE_VERSION,
            "config": self.config.to_dict(),
            "property_names": list(self.property_names),
            "origin": self.origin,
        }
        arrays: dict[str, NDArray] = {"header": np.array(json.dumps(header)), "crop": self.crop}
        arrays |= {name: getattr(self, name) for name in PER_PART}
        for m in Modality:
            arrays[f"values_{m.value}"] = self.values[m]
            arrays[f"reliability_{m.value}"] = self.reliability[m]
        with replacing(Path(path)) as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: Path | str) -> PerceptionData:
        """Reads what `save` wrote, without unpickling.

        Raises:
            DataError: missing, no such file, or of another version.
        """
        path = Path(path)
        if not path.is_file():
            raise DataError(f"{path} does not exist; generate it with 'palpate train perception'")
        try:
            with np.load(path, allow_pickle=False) as file:
                header = json.loads(str(file["header"]))
                versions = header["layout_version"], header["feature_version"]
                arrays = {name: file[name] for name in file.files if name != "header"}
        except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile, zlib.error) as error:
            raise DataError(f"{path} is no training data of palpate: {error}") from error
        if versions != (LAYOUT_VERSION, FEATURE_VERSION):
            raise DataError(
                f"{path} has layout {versions[0]} and feature version {versions[1]}, this "
                f"version needs {LAYOUT_VERSION} and {FEATURE_VERSION}; generate it again"
            )
        return cls(
            **{name: arrays[name] for name in (*PER_PART, "crop")},
            values={m: arrays[f"values_{m.value}"] for m in Modality},
            reliability={m: arrays[f"reliability_{m.value}"] for m in Modality},
            property_names=tuple(header["property_names"]),
            config=FeatureConfig.from_dict(header["config"]),
            origin=header["origin"],
        )

    @staticmethod
    def concatenate(shards: Sequence[PerceptionData]) -> PerceptionData:
        """Shards of one configuration with the same number of probes, one after the other.

        Raises:
            DataError: none, or shards that do not fit together.
        """
        if not shards:
            raise DataError("no shards of training data")
        first = shards[0]
        for shard in shards[1:]:
            fits = shard.config == first.config and shard.property_names == first.property_names
            if not fits or shard.primitive.shape[1:] != first.primitive.shape[1:]:
                raise DataError("shards of training data differ in configuration, properties or number of probes")

        joined: dict[str, Any] = {name: np.concatenate([getattr(s, name) for s in shards]) for name in PER_PART}
        first_crop = np.cumsum([0, *(len(s.crop) for s in shards)])
        places = [np.where(s.crop_at >= 0, s.crop_at + k, -1) for s, k in zip(shards, first_crop, strict=False)]
        joined["crop_at"] = np.concatenate(places).astype(np.int32)
        return replace(
            first, **joined, crop=np.concatenate([s.crop for s in shards]),
            values={m: np.concatenate([s.values[m] for s in shards]) for m in Modality},
            reliability={m: np.concatenate([s.reliability[m] for s in shards]) for m in Modality},
        )  # fmt: skip


_OTHER = ("values", "reliability", "property_names", "config", "origin", "crop")
PER_PART = tuple(f.name for f in fields(PerceptionData) if f.name not in _OTHER)
"""Arrays with one row per part."""
