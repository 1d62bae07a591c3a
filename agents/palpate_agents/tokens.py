"""Probes of many parts as tensors: one token per probe and modality, and the pictures that go with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from palpate_agents.encoders.features import feature_names
from palpate_agents.errors import ConfigError
from palpate_agents.fusion_config import FusionConfig
from palpate_agents.observation import Modality, ProbeFeatures


@dataclass
class Pictures:
    """Pictures of some probes; many parts may share one store.

    Attributes:
        store: (K, H, W, C) of all.
        index: (B, P) int64 place of each probe's picture in the store, -1 without one.
    """

    store: Tensor
    index: Tensor

    @classmethod
    def of(cls, rows: Sequence[Sequence[np.ndarray | None]], probes: int) -> Pictures | None:
        """From one list per part; None when no probe has a picture."""
        found = [picture for row in rows for picture in row if picture is not None]
        if not found:
            return None
        index = torch.full((len(rows), probes), -1)
        place = 0
        for b, row in enumerate(rows):
            for p, picture in enumerate(row):
                if picture is not None:
                    index[b, p], place = place, place + 1
        return cls(torch.from_numpy(np.stack(found)), index)

    def rows(self, index: Tensor) -> Pictures:
        """Those of some parts."""
        return Pictures(self.store, self.index[index])

    @staticmethod
    def joined(pieces: Sequence[Pictures | None]) -> Pictures | None:
        """Of batches one after the other that share a store, or of which none has pictures."""
        known = [piece for piece in pieces if piece is not None]
        if not known:
            return None
        assert len(known) == len(pieces)
        assert all(piece.store is known[0].store for piece in known)
        return Pictures(known[0].store, torch.cat([piece.index for piece in known]))


@dataclass
class TokenBatch:
    """Probes of B parts, padded to P.

    Attributes:
        primitive: (B, P) int64, values of `Primitive`; any value where every reliability is 0.
        values: modality -> (B, P, F) float32 features, NaN where not measured.
        reliability: modality -> (B, P) float32 in 0..1; 0 masks the token out.
        surface: surface maps (8, 8, C) of the looks; None without any.
        crop: pictures (64, 64, 4) uint8 of the looks; None without any.
        told: (B, T) facts for a network that is told them.
    """

    primitive: Tensor
    values: dict[str, Tensor]
    reliability: dict[str, Tensor]
    surface: Pictures | None = None
    crop: Pictures | None = None
    told: Tensor | None = None

    @classmethod
    def of(cls, parts: Sequence[Sequence[ProbeFeatures]], config: FusionConfig) -> TokenBatch:
        """From lists of probes, one list per part (empty lists allowed).

        Raises:
            ConfigError: features of another length than the model's.
        """
        names = feature_names(config.features)
        size = (len(parts), max(1, *(len(p) for p in parts)) if parts else 1)
        primitive = np.zeros(size, np.int64)
        values = {m: np.full((*size, len(names[Modality(m)])), np.nan, np.float32) for m in config.modalities}
        reliability = {m: np.zeros(size, np.float32) for m in config.modalities}
        for b, probes in enumerate(parts):
            for p, probe in enumerate(probes):
                primitive[b, p] = int(probe.primitive)
                for m in config.modalities:
                    found = probe.values.get(Modality(m))
                    trust = float(probe.reliability.get(Modality(m), 0.0))
                    if found is None or not trust > 0:
                        continue
                    if np.shape(found) != values[m].shape[2:]:
                        raise ConfigError(
                            f"{m} features have shape {np.shape(found)}, the model needs {values[m].shape[2:]}; "
                            "extract them with the model's feature configuration"
                        )
                    values[m][b, p] = found
                    reliability[m][b, p] = min(trust, 1.0)
        sees = "visual" in config.modalities
        return cls(
            torch.from_numpy(primitive),
            {m: torch.from_numpy(v) for m, v in values.items()},
            {m: torch.from_numpy(r) for m, r in reliability.items()},
            Pictures.of([[probe.surface for probe in probes] for probes in parts], size[1]) if sees else None,
            Pictures.of([[probe.crop for probe in probes] for probes in parts], size[1]) if sees else None,
        )

    def __len__(self) -> int:
        return len(self.primitive)

    def rows(self, index: Tensor) -> TokenBatch:
        """Some of the parts."""
        return TokenBatch(
            self.primitive[index],
            {m: v[index] for m, v in self.values.items()},
            {m: r[index] for m, r in self.reliability.items()},
            None if self.surface is None else self.surface.rows(index),
            None if self.crop is None else self.crop.rows(index),
            None if self.told is None else self.told[index],
        )

    def to(self, device: torch.device) -> TokenBatch:
        """On a device; stores of pictures stay where they are, and give what is asked for."""
        if self.primitive.device == device:
            return self
        return TokenBatch(
            self.primitive.to(device),
            {m: v.to(device) for m, v in self.values.items()},
            {m: r.to(device) for m, r in self.reliability.items()},
            None if self.surface is None else Pictures(self.surface.store, self.surface.index.to(device)),
            None if self.crop is None else Pictures(self.crop.store, self.crop.index.to(device)),
            None if self.told is None else self.told.to(device),
        )

    def masked(self, keep: Tensor | dict[str, Tensor]) -> TokenBatch:
        """With reliabilities multiplied by (B, P) `keep`, the same for all modalities or one per modality."""
        factor = keep if isinstance(keep, dict) else dict.fromkeys(self.reliability, keep)
        return replace(self, reliability={m: r * factor[m] for m, r in self.reliability.items()})

    def only(self, modalities: Sequence[str]) -> TokenBatch:
        """With every other modality dead."""
        size = self.primitive.shape
        return self.masked({m: torch.full(size, float(m in modalities)) for m in self.reliability})

    @staticmethod
    def joined(batches: Sequence[TokenBatch]) -> TokenBatch:
        """Views of the same parts, one after the other; pictures must come from one store."""
        first = batches[0]
        return TokenBatch(
            torch.cat([b.primitive for b in batches]),
            {m: torch.cat([b.values[m] for b in batches]) for m in first.values},
            {m: torch.cat([b.reliability[m] for b in batches]) for m in first.reliability},
            Pictures.joined([b.surface for b in batches]),
            Pictures.joined([b.crop for b in batches]),
            None if first.told is None else torch.cat([b.told for b in batches if b.told is not None]),
        )
