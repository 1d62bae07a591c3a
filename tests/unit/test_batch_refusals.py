"""What the batched cell refuses, and that nothing has changed then."""

from __future__ import annotations

import numpy as np
import pytest
from flat_library import flat_library, goals_at

from palpate_agents.errors import ConfigError
from palpate_agents.observation import Primitive
from palpate_sim.batch.cell import BatchConfig, BatchedCell


@pytest.fixture(scope="module")
def library():
    return flat_library()


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"materials": ()}, "materials is"),
        ({"materials": "ABS"}, "in a tuple"),
        ({"materials": ("ABS", "adamant")}, "'adamant' is unknown"),
        ({"condition": "shiny"}, "'shiny' is unknown"),
        ({"mix": "soft"}, "'soft' is unknown"),
        ({"lots": (0, 41)}, "lots"),
        ({"lots": (5, 5)}, "holds none"),
        ({"geometries": (0, 65)}, "geometries"),
        ({"geometries": (0.0, 64)}, "whole number"),
        ({"geometries": 64}, "two numbers"),
        ({"ambient_c": float("nan")}, "ambient_c"),
        ({"ambient_c": 1e9}, "ambient_c"),
        ({"ambient_c": (25.0, 15.0)}, "warmer"),
        ({"ambient_c": "warm"}, "a number is needed"),
        ({"first_cell": -1}, "first_cell"),
    ],
)
def test_configuration_refuses_nonsense(wrong, word):
    with pytest.raises(ConfigError, match=word):
        BatchConfig(**wrong)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"force_n": np.nan}, "force_n of goal 0 is nan"),
        ({"force_n": -5.0}, "force_n of goal 0 is -5"),
        ({"speed_m_s": np.inf}, "speed_m_s of goal 0 is inf"),
        ({"tilt_rad": np.nan}, "tilt_rad of goal 0 is nan"),
        ({"primitive": -1}, "no primitive -1"),
        ({"primitive": 9}, "no primitive 9"),
        ({"pad_index": 2}, "pad_index"),
        ({"point": [np.nan, 0.0]}, "point_m of goal 0 is nan"),
    ],
)
def test_goals_that_mean_nothing(library, changes, word):
    cell = BatchedCell(3, 1, library=library)
    changes = {"primitive": Primitive.TAP, "point": (0.0, 0.0), **changes}
    goals = goals_at(cell, **changes)
    with pytest.raises(ConfigError, match=word):
        cell.probe(goals)
    assert (cell.probes == 0).all()


def test_masks_and_parts_of_another_length(library):
    cell = BatchedCell(4, 1, library=library)
    keys, given = cell.key.copy(), BatchedCell(3, 1, library=library)
    for mask in (np.ones(3, bool), np.ones(4), np.ones((4, 1), bool)):
        with pytest.raises(ConfigError, match="mask"):
            cell.reset(mask)
    with pytest.raises(ConfigError, match="3 parts came for 4 cells"):
        cell.reset(parts=given.parts)
    with pytest.raises(ConfigError, match="3 devices came for 2 cells"):
        cell.reset(np.arange(4) < 2, devices=given.devices)
    with pytest.raises(ConfigError, match="3 parts came for 4 cells"):
        BatchedCell(4, 1, library=library, parts=given.parts)
    np.testing.assert_array_equal(cell.key, keys)
    assert (cell.episode == 0).all()


def test_refusals(library):
    for cells, seed, word in ((0, 1, "is 0"), (1.5, 1, "whole number"), (2, "x", "seed"), (2, [1, 2, 3], "3 seeds")):
        with pytest.raises(ConfigError, match=word):
            BatchedCell(cells, seed, library=library)
    cell = BatchedCell(2, 1, library=library)
    with pytest.raises(ConfigError, match="give one per cell"):
        cell.probe(goals_at(BatchedCell(3, 1, library=library), Primitive.TAP, (0, 0)))
    with pytest.raises(ConfigError, match="does not place"):
        cell.probe(goals_at(cell, Primitive.PLACE, (0, 0)))
