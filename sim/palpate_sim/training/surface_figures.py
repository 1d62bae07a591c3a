"""Figures of a surface reader on maps of outlines that it was not trained on."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from palpate_agents.encoders.surface_map import CHANNELS
from palpate_agents.probing.menu import bare_share
from palpate_agents.probing.spot_quality import SEEN
from palpate_agents.probing.surface_reader import LAYERS, SurfaceReader
from palpate_sim.training.perception_figures import auroc, bootstrap
from palpate_sim.training.surface_samples import ROUNDS, SurfaceSamples

COVERED, CLEAR = 0.5, 0.1
"""Cells with more and with less of a layer are told apart; those between count for the Brier score alone."""
BARE, NOT_BARE = 0.8, 0.5
"""A cell is bare with more than the first; a part is partly covered that has such a cell and one below the second."""

_VALID, _COLOURS = CHANNELS.index("valid_share"), slice(CHANNELS.index("red_over_table"), 4)


def reader_figures(reader: SurfaceReader, samples: SurfaceSamples, base: NDArray[np.float64]) -> dict[str, Any]:
    """All figures.

    Args:
        reader: calibrated.
        samples: maps of test outlines, those of a part behind each other.
        base: (4,) constant shares to compare with.

    Returns:
        per layer AUROC of covered against clear cells, Brier score and that of the constant, mean said and true share;
        and how often the barest cell is bare, against other ways to choose one.
    """
    covers = reader.covers(samples.maps, samples.extent_m)
    truth, weight = samples.covers.astype(np.float64), samples.seen.astype(np.float64)
    cells = weight > SEEN[0]
    layers = {}
    for k, layer in enumerate(LAYERS):
        said, true = covers[..., k], truth[..., k]
        over, under = said[cells & (true > COVERED)], said[cells & (true < CLEAR)]
        layers[layer] = {
            "auroc": round(auroc(under, over), 4) if len(over) and len(under) else None,
            "brier": _mean((said - true) ** 2, weight),
            "brier_constant": _mean((base[k] - true) ** 2, weight),
            "said_share": _mean(said, weight),
            "true_share": _mean(true, weight),
        }
    return {"maps": len(samples), "layers": layers, "bare_spot": bare_spot(covers, samples)}


def _mean(values: NDArray[np.floating], weight: NDArray[np.float64]) -> float:
    return round(float((values * weight).sum() / weight.sum()), 5)


def bare_spot(covers: NDArray[np.floating], samples: SurfaceSamples) -> dict[str, Any]:
    """Share of partly covered parts on which a chosen cell is bare, by way of choosing, before and after touches.

    The ways: the barest cell by the covers; a random seen cell; the seen cell nearest to the median colour, which is
    the most common one on nearly all parts.

    Args:
        covers: (n, 8, 8, 4) as read.
        samples: their truth; parts whose cells are all bare, or none of them, do not count.
    """
    n = len(samples)
    seen = samples.maps[..., _VALID].reshape(n, -1) > SEEN[0]
    truth, said = samples.bare.reshape(n, -1).astype(np.float64), bare_share(covers).reshape(n, -1)
    partly = ((truth > BARE) & seen).any(axis=1) & ((truth < NOT_BARE) & seen).any(axis=1)
    colours = samples.maps[..., _COLOURS].reshape(n, -1, 3).astype(np.float64)
    usual = np.nanmedian(np.where(seen[..., None], colours, np.nan)[partly], axis=1)
    far = np.abs(colours[partly] - usual[:, None]).sum(axis=-1)
    seen, truth, said = seen[partly], truth[partly], said[partly]
    bare, rows = truth > BARE, np.arange(len(truth))
    ways = {
        "reader": bare[rows, np.where(seen, said, -1.0).argmax(axis=1)],
        "random": (bare & seen).sum(axis=1) / seen.sum(axis=1),
        "common_colour": bare[rows, np.where(seen, far, np.inf).argmin(axis=1)],
    }
    touched = samples.touches[partly]
    groups = {"untouched": touched == 0, f"touched_{ROUNDS}_times": touched == ROUNDS}
    return {
        group: {way: bootstrap(right[among]) for way, right in ways.items()}
        for group, among in groups.items()
        if among.any()
    }
