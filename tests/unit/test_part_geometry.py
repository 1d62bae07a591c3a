import math

import numpy as np
import pytest

from palpate_agents.materials import MATERIALS, material
from palpate_sim import keyed
from palpate_sim.objects import SHAPES, draw_parts, part_from_seed
from palpate_sim.part_geometry import (
    GEOMETRIES_PER_CLASS,
    GEOMETRY_CLASSES,
    GEOMETRY_LIMIT,
    SHAPE_SHARES,
    WALLS,
    geometry_class,
    geometry_ids_of_shape,
    geometry_of,
    geometry_table,
)
from palpate_sim.shapes import bracket_thickness_m, solid_volume_m3


def test_classes_of_materials():
    assert {name: geometry_class(material(name)) for name in ("PP", "Cu", "glass", "FR4", "EPDM", "PUR-foam")} == {
        "PP": "light", "Cu": "heavy", "glass": "heavy", "FR4": "sheet", "EPDM": "soft", "PUR-foam": "soft",
    }  # fmt: skip
    assert {geometry_class(material(name)) for name in MATERIALS} == set(GEOMETRY_CLASSES)


@pytest.mark.parametrize("name", GEOMETRY_CLASSES)
def test_shapes_have_their_shares_among_the_numbers_of_a_class(name):
    assert sum(SHAPE_SHARES[name].values()) == 1.0
    drawn = [geometry_of(name, k).shape for k in range(GEOMETRIES_PER_CLASS)]
    for shape, share in SHAPE_SHARES[name].items():
        assert drawn.count(shape) == share * GEOMETRIES_PER_CLASS


@pytest.mark.parametrize("name", GEOMETRY_CLASSES)
def test_every_geometry_fits_the_hand(name):
    for number in range(GEOMETRY_LIMIT):
        shape, (x, y, z), wall, pitch = geometry_of(name, number)
        assert 0.024 <= min(x, y) <= 0.068
        assert max(x, y) <= 0.100
        assert 0.010 <= z <= 0.055
        assert geometry_of(name, number) == geometry_of(name, number)
        if shape in ("bottle", "tube", "housing"):
            assert math.isfinite(wall)
        if shape == "bottle":
            assert y > x
            assert z < x + 0.01
        if shape == "bracket":
            assert math.isinf(wall)
            assert 0.018 <= z <= 0.030
            assert bracket_thickness_m((x, y, z))[0] >= 0.006
        if math.isfinite(wall):
            assert 2.5 * wall < min(x, y, z)
        assert math.isinf(pitch) or (shape == "housing" and 0.012 <= pitch <= 0.030)


def test_some_blocks_are_shells_and_most_housings_have_ribs():
    light = [geometry_of("light", k) for k in range(GEOMETRIES_PER_CLASS)]
    shells = [math.isfinite(g.wall_thickness_m) for g in light if g.shape == "block"]
    assert set(shells) == {True, False}
    ribs = [math.isfinite(g.rib_pitch_m) for g in light if g.shape == "housing"]
    assert np.mean(ribs) >= 0.5
    assert not any(math.isfinite(geometry_of("sheet", k).wall_thickness_m) for k in range(GEOMETRIES_PER_CLASS))


def test_numbers_for_a_shape_that_is_asked_for():
    for name in GEOMETRY_CLASSES:
        for shape in SHAPES:
            ids = geometry_ids_of_shape(name, shape)
            assert {geometry_of(name, k).shape for k in ids} == {shape}
            assert (max(ids) < GEOMETRIES_PER_CLASS) == (shape in SHAPE_SHARES[name])
    assert part_from_seed(4, 0, "PUR-foam", "clean", "bottle").geometry_id >= GEOMETRIES_PER_CLASS


def test_wrong_geometries_are_refused():
    with pytest.raises(ValueError, match="'huge' is not one of light, heavy, sheet, soft"):
        geometry_of("huge", 0)
    for number in (-1, GEOMETRY_LIMIT):
        with pytest.raises(ValueError, match=f"geometry {number} is not from 0 to"):
            geometry_of("light", number)
    with pytest.raises(ValueError, match="'torus' is not one of"):
        geometry_ids_of_shape("light", "torus")


def test_a_part_has_its_geometry_and_its_mass():
    batch = draw_parts(keyed.keys_of(1, range(400)))
    table = geometry_table()
    for row in range(0, 400, 7):
        part = batch.part(row)
        walls = [geometry_of(part.geometry_class, part.geometry_id, number) for number in range(WALLS)]
        expected = next(wall for wall in walls if wall.wall_thickness_m == part.wall_thickness_m)
        assert part.geometry_class in ("heavy", geometry_class(material(part.material)))
        assert (part.shape, part.dimensions_m, part.wall_thickness_m, part.rib_pitch_m) == tuple(expected)
        assert part.mass_kg == pytest.approx(part.density_kg_m3 * solid_volume_m3(*expected))
    assert table.volume_m3.shape == (len(GEOMETRY_CLASSES), GEOMETRY_LIMIT, WALLS)


def test_the_wall_cannot_be_told_from_outside():
    outside = [geometry_of("light", 3, number) for number in range(WALLS)]
    assert len({(g.shape, g.dimensions_m, g.rib_pitch_m) for g in outside}) == 1
    batch = draw_parts(keyed.keys_of(2, range(600)), geometry=np.full(600, 40), geometry_class="light")
    assert len(np.unique(batch.wall_thickness_m)) > 0.7 * WALLS
    with pytest.raises(ValueError, match="wall 99 is not from 0"):
        geometry_of("light", 3, 99)


def test_mass_of_a_solid_block_and_of_a_thin_shell():
    parts = [part_from_seed(seed, 0, "PP", "clean", "block") for seed in range(60)]
    for part in parts:
        x, y, z = part.dimensions_m
        if np.isinf(part.wall_thickness_m):
            assert part.mass_kg == pytest.approx(part.density_kg_m3 * x * y * z)
        else:
            area = 2 * (x * y + y * z + z * x)
            shell = part.density_kg_m3 * area * part.wall_thickness_m
            assert part.mass_kg == pytest.approx(shell, rel=0.35)
            assert part.mass_kg < shell
    assert {np.isinf(part.wall_thickness_m) for part in parts} == {True, False}
