"""Compares the signatures of two bags of the same parts, number by number."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rclpy.serialization import deserialize_message

from palpate_interfaces.msg import MaterialSignature
from palpate_nodes import topics
from palpate_nodes.bag.timeline import BagTimeline

NUMBERS = (
    "confidence", "probabilities", "property_values", "property_std", "condition_probabilities", "novelty",
    "novelty_limit", "modality_reliabilities", "modality_contributions", "embedding",
)  # fmt: skip


@dataclass(frozen=True)
class SignatureDifference:
    """One part in both bags.

    Attributes:
        recorded: material in the first bag, empty when it abstained, None when the bag holds no signature of the part.
        replayed: material in the second bag, likewise.
        difference: largest absolute difference of any number; inf where sizes differ or one is missing.
        same_material: both say the same.
    """

    part_id: str
    recorded: str | None
    replayed: str | None
    difference: float
    same_material: bool

    def as_dict(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def signatures(bag: Path) -> dict[str, MaterialSignature]:
    """Last signature of every part of a bag; empty when the topic is not there."""
    timeline = BagTimeline(bag, wanted=(topics.SIGNATURE,), required=()) if _has_signatures(bag) else ()
    found = {}
    for _, _, data in timeline:
        message = deserialize_message(data, MaterialSignature)
        found[message.part_id] = message
    return found


def _has_signatures(bag: Path) -> bool:
    reader = BagTimeline(bag).reader
    return any(name.endswith("/" + topics.SIGNATURE.name) and count for name, count in reader.counts.items())


def compare_signatures(first: Path, second: Path) -> list[SignatureDifference]:
    """Compare part by part.

    A bag whose signatures were deleted can still be replayed: its parts then count as equal to whatever came out, and
    `recorded` is None.
    """
    recorded, replayed = signatures(first), signatures(second)
    rows = []
    for part_id in sorted({*recorded, *replayed}):
        a, b = recorded.get(part_id), replayed.get(part_id)
        difference = float("inf") if b is None else 0.0 if a is None else largest_difference(a, b)
        rows.append(
            SignatureDifference(
                part_id=part_id,
                recorded=None if a is None else a.material,
                replayed=None if b is None else b.material,
                difference=difference,
                same_material=b is not None and (a is None or a.material == b.material),
            )
        )
    return rows


def largest_difference(a: MaterialSignature, b: MaterialSignature) -> float:
    """Largest absolute difference of any number of two signatures; inf where their sizes differ."""
    worst = 0.0
    for name in NUMBERS:
        x, y = np.atleast_1d(np.asarray(getattr(a, name))), np.atleast_1d(np.asarray(getattr(b, name)))
        if x.shape != y.shape:
            return float("inf")
        if x.size:
            worst = max(worst, float(np.max(np.abs(x - y))))
    return worst
