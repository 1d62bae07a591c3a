"""The probes that strategies choose among: kind, settings and what kind of spot; the decoder does the rest.

Raw coordinates teach a policy little, and a spot has a reason: bare ground to measure on, a covered one to scratch or
to wipe, the place that was just treated. An item names both; `actions` gives its seven numbers for each part.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from palpate_agents.encoders.surface_map import CELLS
from palpate_agents.observation import Primitive
from palpate_agents.probing.decoder import HALF_WIDTH_M, encode
from palpate_agents.probing.part_state import TREATMENTS, PartStates
from palpate_agents.probing.spot_quality import spot_quality

Floats = NDArray[np.floating]

SPOTS = ("pad_bare", "ball_bare", "fibre_bare", "treated", "covered", "wet_or_dirty")
"""Bare ground for each tool; where the last wipe or scratch was; most coat or label; most water or dirt."""
_PAD, _BALL, _SCRAPER, _FIBRE = (HALF_WIDTH_M[k] for k in (0, 2, 3, 4))
WARM_M = 0.014
"""Half a pad's diagonal and the way that heat spreads in the seconds between two probes."""
USED_M = 0.006
WARM_COST, USED_COST, EDGE_COST = 0.6, 0.15, 0.05
GRASP_LIMIT_M = 0.078
"""The hand opens to 80 mm."""
MOST_REPEATS = 3


@dataclass(frozen=True)
class Item:
    """One probe of the menu.

    Attributes:
        name: of it.
        primitive: kind.
        spot: one of SPOTS.
        settings: of `decoder.encode`.
    """

    name: str
    primitive: Primitive
    spot: str
    settings: tuple[tuple[str, float], ...] = ()


def _item(name: str, primitive: Primitive, spot: str, **settings: float) -> Item:
    return Item(name, primitive, spot, tuple(sorted(settings.items())))


MENU: tuple[Item, ...] = (
    _item("look", Primitive.LOOK, "fibre_bare", standoff_m=0.010),
    _item("look_far", Primitive.LOOK, "fibre_bare", standoff_m=0.100),
    _item("look_treated", Primitive.LOOK, "treated", standoff_m=0.010),
    _item("tap", Primitive.TAP, "ball_bare", speed_m_s=0.045),
    _item("tap_gentle", Primitive.TAP, "ball_bare", speed_m_s=0.025),
    _item("tap_treated", Primitive.TAP, "treated", speed_m_s=0.045),
    _item("press", Primitive.PRESS, "ball_bare", force_n=4.0, dwell_s=0.1),
    _item("press_treated", Primitive.PRESS, "treated", force_n=4.0, dwell_s=0.1),
    _item("slide", Primitive.SLIDE, "ball_bare", force_n=2.5, slide_m=0.012, speed_m_s=0.030),
    _item("slide_treated", Primitive.SLIDE, "treated", force_n=2.5, slide_m=0.008, speed_m_s=0.030),
    _item("hot", Primitive.DWELL, "pad_bare", pad_index=1, dwell_s=1.0),
    _item("hot_long", Primitive.DWELL, "pad_bare", pad_index=1, dwell_s=2.5),
    _item("hot_treated", Primitive.DWELL, "treated", pad_index=1, dwell_s=1.0),
    _item("warm", Primitive.DWELL, "pad_bare", pad_index=0, dwell_s=1.0),
    _item("warm_long", Primitive.DWELL, "pad_bare", pad_index=0, dwell_s=2.5),
    _item("lift", Primitive.LIFT, "ball_bare"),
    _item("wipe", Primitive.WIPE, "wet_or_dirty", force_n=5.0, slide_m=0.014, speed_m_s=0.040),
    _item("scratch", Primitive.SCRATCH, "covered", force_n=5.0, slide_m=0.008, speed_m_s=0.030),
    _item("scratch_long", Primitive.SCRATCH, "covered", force_n=5.0, slide_m=0.015, speed_m_s=0.030),
)
NAMES = tuple(item.name for item in MENU)
_DEFAULTS = {
    "standoff_m": 0.010, "slide_m": 0.0, "speed_m_s": 0.020, "dwell_s": 0.2, "force_n": 3.0, "pad_index": 0,
}  # fmt: skip
_PRIMITIVE = np.array([int(item.primitive) for item in MENU])
_SPOT = np.array([SPOTS.index(item.spot) for item in MENU])
_ON_TREATED = np.array([item.spot == "treated" for item in MENU])
_LIFTS = np.array([item.primitive is Primitive.LIFT for item in MENU])
_SETTINGS = {
    name: np.array([dict(item.settings).get(name, default) for item in MENU]) for name, default in _DEFAULTS.items()
}
_MIDDLES = (np.arange(CELLS) + 0.5) / CELLS - 0.5
"""Of cells, over the extent."""


class Spots(NamedTuple):
    """Where each kind of spot is on n parts.

    Attributes:
        place_m: (n, S, 2) seen frame; score: (n, S) how good it is, 0..1.
    """

    place_m: Floats
    score: Floats


def find_spots(states: PartStates) -> Spots:
    """The best place of each kind of SPOTS on every part."""
    n, part = len(states), states.part
    half = {w: np.full(n, w) for w in (_PAD, _BALL, _SCRAPER, _FIBRE)}
    bare = bare_share(states.covers)
    coat, label, film, dirt = (states.covers[..., k] for k in range(4))
    middle = np.abs(_MIDDLES[:, None]) + np.abs(_MIDDLES[None, :])
    ground = {w: spot_quality(part, half[w]) - EDGE_COST * middle for w in half}
    used, warm = _nearness(states)
    maps = (
        ground[_PAD] * (0.1 + bare) - WARM_COST * warm,
        ground[_BALL] * (0.1 + bare) - USED_COST * used,
        ground[_FIBRE] * (0.1 + bare),
        np.zeros((n, CELLS, CELLS)),
        ground[_SCRAPER] * (0.02 + 1.0 - (1.0 - coat) * (1.0 - label)),
        ground[_PAD] * (0.02 + 1.0 - (1.0 - film) * (1.0 - dirt)),
    )
    flat = np.stack(maps, axis=1).reshape(n, len(SPOTS), -1)
    best = flat.argmax(axis=2)
    score = np.take_along_axis(flat, best[..., None], axis=2)[..., 0]
    place = np.stack((_MIDDLES[best // CELLS], _MIDDLES[best % CELLS]), axis=-1) * part.extent_m[:, None, :2]
    known, treated, _ = states.log.newest(TREATMENTS)
    place[:, SPOTS.index("treated")], score[:, SPOTS.index("treated")] = treated, known
    return Spots(place, score)


def bare_share(covers: Floats) -> Floats:
    """(n, 8, 8) expected share of each cell on which nothing lies, if layers (n, 8, 8, 4) lie independently."""
    return np.asarray(np.prod(1.0 - covers, axis=-1))


def _nearness(states: PartStates) -> tuple[Floats, Floats]:
    """(n, 8, 8) how near each cell is to touched places, and to warm ones, 0..1."""
    log, extent = states.log, states.part.extent_m
    n = len(states)
    used, warm = np.zeros((n, CELLS, CELLS)), np.zeros((n, CELLS, CELLS))
    longest = int(log.count.max(initial=0))
    for k in range(min(longest, log.item.shape[1])):
        kind = log.primitive[:, k]
        felt = np.isin(kind, (int(Primitive.PRESS), int(Primitive.TAP))) & log.worked[:, k]
        heated = kind == int(Primitive.DWELL)
        rows = np.flatnonzero(felt | heated)
        if not len(rows):
            continue
        x = _MIDDLES[None, :] * extent[rows, :1] - log.place_m[rows, k, :1]
        y = _MIDDLES[None, :] * extent[rows, 1:2] - log.place_m[rows, k, 1:]
        away = np.sqrt(x[:, :, None] ** 2 + y[:, None, :] ** 2)
        used[rows] = np.maximum(used[rows], np.maximum(1.0 - away / USED_M, 0.0) * felt[rows, None, None])
        warm[rows] = np.maximum(warm[rows], np.maximum(1.0 - away / WARM_M, 0.0) * heated[rows, None, None])
    return used, warm


def allowed(states: PartStates) -> NDArray[np.bool_]:
    """(n, K) which items make sense: nothing on an untreated place, no grasp that cannot close, no endless repeats."""
    n, log = len(states), states.log
    treated, _, _ = log.newest(TREATMENTS)
    can = np.ones((n, len(MENU)), bool)
    can[:, _ON_TREATED] = treated[:, None]
    width = states.part.extent_m[:, 1]
    lifted = (log.primitive == int(Primitive.LIFT)).any(axis=1)
    can[:, _LIFTS] = ((width < GRASP_LIMIT_M) & ~lifted)[:, None]
    counts = (log.item[:, :, None] == np.arange(len(MENU))).sum(axis=1)
    can &= counts < MOST_REPEATS
    can[:, 0] |= ~can.any(axis=1)
    return can


def actions(states: PartStates, spots: Spots, choice: NDArray[np.int64]) -> Floats:
    """Seven numbers for `decoder.decode`.

    Args:
        states: of n parts.
        spots: of them.
        choice: (n,) items.

    Returns:
        (n, 7) float64, -1..1.
    """
    place = spots.place_m[np.arange(len(choice)), _SPOT[choice]]
    settings: dict[str, Any] = {name: values[choice] for name, values in _SETTINGS.items()}
    return encode(_PRIMITIVE[choice], place, states.part.extent_m, **settings)
