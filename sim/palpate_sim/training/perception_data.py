"""Training data of the fusion model: features of every probe of many parts, in one `.npz`. NumPy only, no torch.

Features are in the columns that `palpate_agents.encoders.features.extract` gives in the cell; `training.batched` makes
them.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from palpate_agents.encoders.features import FEATURE_VERSION, FeatureConfig
from palpate_agents.errors import DataError
from palpate_agents.observation import Modality

LAYOUT_VERSION = 2


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

    def __len__(self) -> int:
        return len(self.part_id)

    def rows(self, index: NDArray[np.integer] | NDArray[np.bool_]) -> PerceptionData:
        """Some of the parts."""
        return PerceptionData(
            self.part_id[index], self.material[index], self.condition[index], self.geometry[index],
            self.primitive[index],
            {m: v[index] for m, v in self.values.items()}, {m: r[index] for m, r in self.reliability.items()},
            self.property_names, self.properties[index], self.config, self.origin,
        )  # fmt: skip

    def save(self, path: Path | str) -> None:
        """Writes one compressed `.npz`."""
        header = {
            "layout_version": LAYOUT_VERSION,
            "feature_version": FEATURE_VERSION,
            "config": self.config.to_dict(),
            "property_names": list(self.property_names),
            "origin": self.origin,
        }
        arrays: dict[str, NDArray] = {
            "header": np.array(json.dumps(header)),
            "part_id": self.part_id, "material": self.material, "condition": self.condition,
            "geometry": self.geometry, "primitive": self.primitive, "properties": self.properties,
        }  # fmt: skip
        for m in Modality:
            arrays[f"values_{m.value}"] = self.values[m]
            arrays[f"reliability_{m.value}"] = self.reliability[m]
        with Path(path).open("wb") as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]

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
                arrays = {name: file[name] for name in file.files if name != "header"}
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise DataError(f"{path} is no training data of palpate: {error}") from error
        if (header["layout_version"], header["feature_version"]) != (LAYOUT_VERSION, FEATURE_VERSION):
            raise DataError(
                f"{path} has layout {header['layout_version']} and feature version {header['feature_version']}, this "
                f"version needs {LAYOUT_VERSION} and {FEATURE_VERSION}; generate it again"
            )
        return cls(
            arrays["part_id"], arrays["material"], arrays["condition"], arrays["geometry"], arrays["primitive"],
            {m: arrays[f"values_{m.value}"] for m in Modality},
            {m: arrays[f"reliability_{m.value}"] for m in Modality},
            tuple(header["property_names"]), arrays["properties"], FeatureConfig.from_dict(header["config"]),
            header["origin"],
        )  # fmt: skip

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
            if not fits or shard.primitive.shape[1] != first.primitive.shape[1]:
                raise DataError("shards of training data differ in configuration, properties or number of probes")

        def join(arrays: Sequence[NDArray]) -> NDArray:
            return np.concatenate(arrays)

        return PerceptionData(
            join([s.part_id for s in shards]), join([s.material for s in shards]),
            join([s.condition for s in shards]), join([s.geometry for s in shards]),
            join([s.primitive for s in shards]),
            {m: join([s.values[m] for s in shards]) for m in Modality},
            {m: join([s.reliability[m] for s in shards]) for m in Modality},
            first.property_names, join([s.properties for s in shards]), first.config, first.origin,
        )  # fmt: skip
