"""What every strategy decides on, of n parts at once: nothing that the real cell does not know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from palpate_agents.observation import MAX_PROBES, Primitive
from palpate_agents.probing.decoder import SeenPart

Floats = NDArray[np.floating]
TREATMENTS = (int(Primitive.WIPE), int(Primitive.SCRATCH))


class Reader(Protocol):
    """Tells what lies on the cells of a seen surface; `surface_reader.SurfaceReader` is one."""

    def covers(self, maps: Floats, extent_m: Floats) -> NDArray[np.float32]:
        """(n, 8, 8, C) maps and (n, 3) extents, m -> (n, 8, 8, 4) shares under `surface_reader.LAYERS`."""
        ...


class ProbeLog:
    """Probes of N parts so far, the first look not among them.

    Attributes:
        count: (N,) int64.
        item: (N, P) int64 number in the menu, -1 for none or one that no item stands for.
        primitive: (N, P) int64 of `Primitive`, -1 for none.
        place_m: (N, P, 2) middle of the touch or its way, seen frame.
        worked: (N, P) bool, it was carried out.
    """

    def __init__(self, parts: int, probes: int = MAX_PROBES) -> None:
        self.count = np.zeros(parts, np.int64)
        self.item = np.full((parts, probes), -1)
        self.primitive = np.full((parts, probes), -1)
        self.place_m = np.zeros((parts, probes, 2))
        self.worked = np.zeros((parts, probes), bool)

    def forget(self, rows: Any) -> None:
        """New parts in some places."""
        self.count[rows], self.item[rows], self.primitive[rows], self.worked[rows] = 0, -1, -1, False

    def add(self, rows: Any, item: Any, primitive: Any, place_m: Any, worked: Any) -> None:
        """One more probe of the parts `rows` (k,); beyond the length of the log the last place is used again."""
        at = np.minimum(self.count[rows], self.item.shape[1] - 1)
        self.item[rows, at], self.primitive[rows, at] = item, primitive
        self.place_m[rows, at], self.worked[rows, at] = place_m, worked
        self.count[rows] += 1

    def rows(self, index: Any) -> ProbeLog:
        """Copy of some parts."""
        some = ProbeLog(0, self.item.shape[1])
        for name in ("count", "item", "primitive", "place_m", "worked"):
            setattr(some, name, getattr(self, name)[index])
        return some

    def newest(self, kinds: tuple[int, ...]) -> tuple[NDArray[np.bool_], Floats, NDArray[np.int64]]:
        """The newest probe of some kinds that worked.

        Returns:
            (N,) whether there is one, (N, 2) its place, and (N,) how many probes ago it was (0: the last).
        """
        there = np.isin(self.primitive, kinds) & self.worked
        last = there.shape[1] - 1 - np.argmax(there[:, ::-1], axis=1)
        known: NDArray[np.bool_] = np.logical_or.reduce(there, axis=1)
        place = np.take_along_axis(self.place_m, last[:, None, None], axis=1)[:, 0]
        return known, np.where(known[:, None], place, 0.0), np.where(known, self.count - 1 - last, 99)


@dataclass(frozen=True)
class PartStates:
    """State of the characterisation of n parts.

    Attributes:
        log_probabilities: (n, L) belief; state: (n, S) fused state; conditions: (n, C) probabilities.
        part: as seen last.
        covers: (n, 8, 8, 4) share of each cell under `surface_reader.LAYERS`, as read from the picture.
        log: what was done.
        elapsed_s: (n,) since the part was presented.
        deadline_s: when the part is given up.
        held: (n,) bool, the hand holds the part: nothing can be measured any more.
    """

    log_probabilities: Floats
    state: Floats
    conditions: Floats
    part: SeenPart
    covers: Floats
    log: ProbeLog
    elapsed_s: Floats
    deadline_s: float
    held: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.elapsed_s)

    def rows(self, index: Any) -> PartStates:
        """Some of the parts."""
        part = SeenPart(*(None if a is None else a[index] for a in self.part))
        return PartStates(
            self.log_probabilities[index], self.state[index], self.conditions[index], part, self.covers[index],
            self.log.rows(index), self.elapsed_s[index], self.deadline_s, self.held[index],
        )  # fmt: skip
