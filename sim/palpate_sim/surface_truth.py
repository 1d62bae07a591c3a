"""What really lies on the spots that strategies choose among: only the simulation knows, for a reference."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from palpate_agents.probing.menu import SPOTS, Spots
from palpate_sim.batch.cell import BatchedCell
from palpate_sim.batch.targets import part_frame
from palpate_sim.surface import spot_batch

COVERS = ("coat_cover", "label_cover", "film_cover", "dirt_cover")
SPOT_M = {"pad_bare": 0.006, "ball_bare": 5e-4, "fibre_bare": 0.002, "treated": 0.002, "covered": 0.003,
          "wet_or_dirty": 0.006}  # fmt: skip
"""Radius of what the tool covers there."""
TRUTH_SIZE = len(SPOTS) * len(COVERS)


def true_spots(cell: BatchedCell, spots: Spots) -> NDArray[np.float32]:
    """(n, S * 4) shares of each spot under coat, label, water and dirt.

    Args:
        cell: that the parts lie in.
        spots: on all of them.
    """
    shares = np.zeros((cell.cells, len(SPOTS), len(COVERS)), np.float32)
    for k, name in enumerate(SPOTS):
        uv = part_frame(cell.rows, cell._axis, np.asarray(spots.place_m[:, k], np.float64))
        met = spot_batch(cell.parts, cell.maps, uv, SPOT_M[name], optics=False, radiation=False, stiffness=False)
        for m, cover in enumerate(COVERS):
            shares[:, k, m] = getattr(met, cover)
    return shares.reshape(cell.cells, TRUTH_SIZE)
