"""Laying parts: drawn ones as before, given ones where they are wanted, refused places."""

from __future__ import annotations

import math

import numpy as np
import pytest

from palpate_agents.errors import ConfigError
from palpate_sim.feeder import NOMINAL_ERROR_M, Feeder
from palpate_sim.fixtures import PLACE_X_M, PLACE_Y_M
from palpate_sim.kinematics import UrdfModel
from palpate_sim.library import placement
from palpate_sim.motion import ArmCommand
from palpate_sim.objects import part_from_seed
from palpate_sim.planning import HOME
from palpate_sim.shapes import SHAPES
from palpate_sim.world import World


@pytest.fixture(scope="module")
def world():
    world = World(UrdfModel())
    yield world
    world.close()


def test_drawn_parts_follow_seed_and_number_in_any_order(world):
    feeder = Feeder(3, 0.0, 22.0)
    first = [feeder.present(world, index, None) for index in (0, 1, 2)]
    again = [Feeder(3, 0.0, 22.0).present(world, index, None) for index in (2, 0, 1)]
    for one, index in zip(again, (2, 0, 1), strict=True):
        assert one == first[index]
    x, y, _ = first[0].pose
    assert PLACE_X_M[0] <= x <= PLACE_X_M[1]
    assert PLACE_Y_M[0] <= y <= PLACE_Y_M[1]
    np.testing.assert_allclose(first[0].position_m[:2], (x, y), atol=NOMINAL_ERROR_M)


def test_a_given_part_lies_in_the_given_place(world):
    part = part_from_seed(77, 5, "PP", "painted")
    pose = placement(part.geometry_class, part.geometry_id)
    presented = Feeder(0, 0.0, 22.0).present(world, 4, None, part=part, pose=pose)
    assert presented.part is part
    assert presented.part_id == part.part_id
    assert presented.pose == pose
    body = world.parts[0]
    np.testing.assert_allclose(body.position[:2], pose[:2])
    yaw = 2.0 * math.atan2(body.orientation[2], body.orientation[3])
    assert math.cos(yaw - pose[2]) == pytest.approx(1.0)
    np.testing.assert_allclose(presented.position_m[:2], pose[:2], atol=NOMINAL_ERROR_M)
    drawn = Feeder(0, 0.0, 22.0).present(world, 4, None, part=part)
    assert drawn.pose == Feeder(0, 0.0, 22.0).present(world, 4, None).pose


@pytest.mark.parametrize("pose", [(0.2, 0.0, 0.0), (0.5, 0.3, 0.0), (0.5, 0.0, math.nan), (math.nan, 0.0, 0.0)])
def test_places_off_the_table_are_refused(world, pose):
    with pytest.raises(ConfigError, match=r"x is 0\.44 to 0\.56 m"):
        Feeder(0, 0.0, 22.0).present(world, 0, None, pose=pose)


@pytest.mark.parametrize("shape", SHAPES)
def test_parts_of_every_shape_lie_still(world, shape):
    """The pose is that of the part's frame, not of its centre of mass, and stays."""
    part = part_from_seed(9, 0, "PP", "clean", shape)
    Feeder(0, 0.0, 22.0).present(world, 0, None, part=part, pose=(0.5, 0.02, 0.7))
    for _ in range(300):
        world.step(ArmCommand(HOME, 0.08, 20.0))
    body = world.parts[0]
    np.testing.assert_allclose(body.position, (0.5, 0.02, 0.5 * part.dimensions_m[2]), atol=5e-4)
    assert abs(body.orientation[0]) + abs(body.orientation[1]) < 2e-3
