"""What cells remember of the newest touch until the camera sees its place again."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from palpate_agents.encoders.contact_change import NAMES, TOUCHES, look_under
from palpate_agents.observation import Primitive
from palpate_agents.probing.decoder import GoalArrays
from palpate_agents.probing.spot_quality import pairs
from palpate_sim.backend import some

Array = NDArray[np.floating]
Floats = NDArray[np.float64]


class ContactMemory:
    """The newest touch of N cells since their last LOOK.

    Attributes:
        touched: (N,) bool, there was one.
    """

    def __init__(self, cells: int) -> None:
        self.touched = np.zeros(cells, bool)
        self._before = np.zeros((cells, 8, 8, 8), np.float32)
        self._height_m = np.zeros(cells)
        self._place, self._way = np.zeros((cells, 2)), np.zeros((cells, 2))

    def touch(
        self, kind: Primitive, index: Any, goals: GoalArrays, view: NDArray[np.float32], extent_m: Floats
    ) -> None:
        """Remember a touch, before anything changes.

        Args:
            kind: of the probes; warm pads and the hand leave nothing to see.
            index: k of the cells.
            goals: (k,) probes, with the ways that they really go.
            view: (N, 8, 8, C) surface of all cells as known now.
            extent_m: (N, 3) of their seen boxes.
        """
        if kind in TOUCHES:
            length, angle = goals.slide_m, goals.slide_angle_rad
            way = pairs(length * np.cos(angle), length * np.sin(angle))
            self.remember(index, goals.point_m, way, view[index], extent_m[index])

    def remember(self, index: Any, place_m: Array, way_m: Array, view: NDArray[np.float32], extent_m: Array) -> None:
        """Remember touches of k cells.

        Args:
            index: of the cells.
            place_m: (k, 2) where the tools touched down, seen frame.
            way_m: (k, 2) from there to their end.
            view: (k, 8, 8, C) surface before.
            extent_m: (k, 3) seen box.
        """
        self.touched[index] = True
        self._before[index], self._height_m[index] = view, extent_m[:, 2]
        self._place[index], self._way[index] = place_m / extent_m[:, :2], way_m / extent_m[:, :2]

    def change(self, index: Any, view: NDArray[np.float32], extent_m: Floats) -> Floats | None:
        """What the newest touches changed, and forget them.

        Args:
            index: k of the cells, which look.
            view: (k, 8, 8, C) surface as seen now.
            extent_m: (k, 3) of the seen box.

        Returns:
            (k, 4) in the order of `contact_change.NAMES`, NaN without a touch; None if there was none at all.
        """
        touched = self.touched[index]
        if not some(touched):
            return None
        rows, count = touched.nonzero()[0], len(touched)
        self.touched[index] = False  # `touched` itself where the index is a slice
        cells = rows if isinstance(index, slice) else index[rows]
        k = len(rows)
        views = np.concatenate([self._before[cells], view[rows]]).astype(np.float64)
        heights = np.concatenate([self._height_m[cells], extent_m[rows, 2]])
        twice = np.concatenate([cells, cells])
        looks = look_under(views, heights, self._place[twice], self._way[twice])
        change = np.full((count, len(NAMES)), np.nan)
        change[rows] = looks[k:] - looks[:k]
        return change
