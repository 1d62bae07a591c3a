"""The menu: every item becomes the probe that it names, on the spot that it names."""

import numpy as np
import pytest

from palpate_agents.observation import Primitive
from palpate_agents.probing.decoder import SeenPart, decode
from palpate_agents.probing.menu import MENU, MOST_REPEATS, NAMES, SPOTS, actions, allowed, find_spots
from palpate_agents.probing.part_state import PartStates, ProbeLog
from palpate_agents.probing.policy_input import input_size, policy_input
from palpate_agents.probing.spot_quality import level_ground


def parts(n: int, covers: np.ndarray | None = None, width_m: float = 0.05) -> PartStates:
    maps = np.zeros((n, 8, 8, 8), np.float32)
    maps[..., 0], maps[..., 7] = 1.0, 1.0
    extent = np.tile([0.08, width_m, 0.02], (n, 1))
    labels = 29
    return PartStates(
        np.full((n, labels), -np.log(labels), np.float32), np.zeros((n, 512), np.float32), np.zeros((n, 4), np.float32),
        SeenPart(maps, extent, level_ground(maps, extent)),
        np.zeros((n, 8, 8, 4), np.float32) if covers is None else covers, ProbeLog(n), np.full(n, 0.25), 20.0,
        np.zeros(n, bool),
    )  # fmt: skip


def test_every_item_becomes_its_probe():
    states = parts(len(MENU))
    states.log.add(np.arange(len(MENU)), 17, int(Primitive.SCRATCH), np.zeros(2), True)
    goals = decode(actions(states, find_spots(states), np.arange(len(MENU))), states.part)
    assert goals.primitive.tolist() == [int(item.primitive) for item in MENU]
    for k, item in enumerate(MENU):
        for name, value in item.settings:
            if name == "slide_m" or item.primitive is Primitive.LIFT:
                continue
            assert getattr(goals, name)[k] == pytest.approx(value, rel=0.02), (item.name, name)


def test_bare_spots_lie_on_bare_ground_and_covered_ones_on_paint():
    covers = np.ones((1, 8, 8, 4), np.float32) * [0.95, 0.0, 0.0, 0.0]
    covers[0, 5:7, 2:4, 0] = 0.02
    states = parts(1, covers.astype(np.float32))
    spots = find_spots(states)
    cell = np.floor((spots.place_m[0] / states.part.extent_m[0, :2] + 0.5) * 8).astype(int)
    for name in ("pad_bare", "ball_bare", "fibre_bare"):
        assert tuple(cell[SPOTS.index(name)]) in {(5, 2), (5, 3), (6, 2), (6, 3)}, name
    assert covers[0, *cell[SPOTS.index("covered")], 0] > 0.9
    covers[..., 0], covers[0, 1, 6, 2] = 0.0, 0.9
    wet = find_spots(parts(1, covers.astype(np.float32)))
    assert wet.place_m[0, SPOTS.index("wet_or_dirty"), 0] < 0.0 < wet.place_m[0, SPOTS.index("wet_or_dirty"), 1]


def test_warm_places_are_left_alone():
    states = parts(1)
    first = find_spots(states).place_m[0, SPOTS.index("pad_bare")]
    states.log.add(np.zeros(1, int), NAMES.index("hot"), int(Primitive.DWELL), first, True)
    second = find_spots(states).place_m[0, SPOTS.index("pad_bare")]
    assert np.linalg.norm(second - first) > 0.01


def test_what_makes_no_sense_is_not_allowed():
    states = parts(2)
    can = allowed(states)
    treated = [k for k, item in enumerate(MENU) if item.spot == "treated"]
    assert not can[:, treated].any()
    assert can[:, [k for k in range(len(MENU)) if k not in treated]].all()
    states.log.add(np.zeros(1, int), NAMES.index("wipe"), int(Primitive.WIPE), np.array([0.01, 0.0]), True)
    can = allowed(states)
    assert can[0, treated].all()
    assert not can[1, treated].any()
    assert find_spots(states).place_m[0, SPOTS.index("treated")] == pytest.approx([0.01, 0.0])
    for _ in range(MOST_REPEATS):
        states.log.add(np.zeros(1, int), NAMES.index("tap"), int(Primitive.TAP), np.zeros(2), True)
    assert not allowed(states)[0, NAMES.index("tap")]
    assert not allowed(parts(1, width_m=0.09))[0, NAMES.index("lift")]


def test_a_scratch_that_failed_leaves_no_treated_place():
    states = parts(1)
    states.log.add(np.zeros(1, int), NAMES.index("scratch"), int(Primitive.SCRATCH), np.zeros(2), False)
    assert not allowed(states)[0, NAMES.index("look_treated")]


def test_the_policy_reads_one_row_per_part():
    states = parts(3)
    inputs = policy_input(states, find_spots(states))
    assert inputs.shape == (3, input_size(29, 512, 4))
    assert inputs.dtype == np.float32
    assert np.isfinite(inputs).all()
    states.log.add(np.array([1]), NAMES.index("tap"), int(Primitive.TAP), np.zeros(2), True)
    after = policy_input(states, find_spots(states))
    assert np.array_equal(after[[0, 2]], inputs[[0, 2]])
    assert not np.array_equal(after[1], inputs[1])
