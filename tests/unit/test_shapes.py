"""Shapes as unions: distances, rays, volumes and footprints against brute force; bodies and meshes against them."""

from __future__ import annotations

import math

import numpy as np
import pybullet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palpate_sim import shapes
from palpate_sim.geometry import ray_distance, signed_distance, solid_distance
from palpate_sim.scene import add_part, solid_mesh
from palpate_sim.shapes import SHAPES, solids_of

SIZES = {
    "block": (0.045, 0.06, 0.03), "plate": (0.05, 0.08, 0.012), "cylinder": (0.045, 0.045, 0.03),
    "tube": (0.04, 0.04, 0.05), "bottle": (0.05, 0.09, 0.034), "bracket": (0.04, 0.07, 0.026),
    "housing": (0.06, 0.085, 0.03),
}  # fmt: skip
POINTS = st.tuples(*[st.floats(-0.08, 0.08)] * 3)


def inside(shape, points):
    """(N,) bool by the definition of each solid, without distances."""
    out = np.zeros(len(points), bool)
    for axis, center, half in solids_of(shape, SIZES[shape]):
        local = np.abs(points - center)
        if axis < 0:
            out |= np.all(local <= half, axis=1)
        else:
            across = [k for k in range(3) if k != axis]
            out |= (np.hypot(*local[:, across].T) <= half[across[0]]) & (local[:, axis] <= half[axis])
    return out


def surface_points(shape, count=40_000):
    """Points on the outer surface: on the solids' own surfaces and in no other solid."""
    rng = np.random.default_rng(0)
    found = []
    for axis, center, half in solids_of(shape, SIZES[shape]):
        if axis < 0:
            points = rng.uniform(-1, 1, (count, 3))
            face = rng.integers(3, size=count)
            points[np.arange(count), face] = rng.choice([-1.0, 1.0], count)
        else:
            angle, along = rng.uniform(0, 2 * np.pi, count), rng.uniform(-1, 1, count)
            radius = np.ones(count)
            ends = rng.random(count) < 0.4
            radius[ends], along[ends] = np.sqrt(rng.random(ends.sum())), rng.choice([-1.0, 1.0], ends.sum())
            points = np.roll(np.stack([radius * np.cos(angle), radius * np.sin(angle), along], 1), axis - 2, axis=1)
        points = points * half + center
        others = [other for other in solids_of(shape, SIZES[shape]) if other != (axis, center, half)]
        free = [all(solid_distance(other, *p)[0] > 0 for other in others) for p in points]
        found.append(points[np.array(free)])
    return np.concatenate(found)


@pytest.mark.parametrize("shape", SHAPES)
def test_distances_are_those_to_the_nearest_point_of_the_surface(shape):
    surface = surface_points(shape)
    rng = np.random.default_rng(1)
    points = rng.uniform(-0.7, 0.7, (150, 3)) * np.array(SIZES[shape]) * 1.6
    within = inside(shape, points)
    for point, hidden in zip(points, within, strict=True):
        distance, normal = signed_distance(shape, SIZES[shape], *point)
        nearest = float(np.linalg.norm(surface - point, axis=1).min())
        assert math.hypot(*normal) == pytest.approx(1.0)
        assert (distance < 0.0) == hidden
        if hidden:  # in a union the depth is a lower bound, never too deep
            assert -distance <= nearest + 1e-9
        else:
            assert distance == pytest.approx(nearest, abs=1.2e-3), "the samples are about 1 mm apart"
            assert distance <= nearest + 1e-9


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(SHAPES), POINTS)
def test_the_way_back_along_the_normal_ends_on_the_surface(shape, point):
    distance, normal = signed_distance(shape, SIZES[shape], *point)
    on = np.array(point) - distance * np.array(normal)
    if distance > 0.0:
        assert abs(signed_distance(shape, SIZES[shape], *on)[0]) < 1e-9
    else:
        assert signed_distance(shape, SIZES[shape], *on)[0] < 1e-9


@pytest.mark.parametrize("shape", SHAPES)
def test_rays_end_where_a_march_enters_the_part(shape):
    rng = np.random.default_rng(2)
    hits = 0
    for _ in range(60):
        aim = rng.uniform(-0.6, 0.6, 3) * np.array(SIZES[shape])
        origin = aim + 0.15 * (direction := unit(rng.standard_normal(3)))
        steps = np.linspace(0.0, 0.3, 30_001)
        entered = np.nonzero(inside(shape, origin - steps[:, None] * direction))[0]
        found = ray_distance(shape, SIZES[shape], origin, -direction, 0.3)
        if len(entered):
            hits += 1
            assert found == pytest.approx(steps[entered[0]], abs=5e-5)
        else:
            assert found is None or signed_distance(shape, SIZES[shape], *(origin - found * direction))[0] < 1e-5
    assert hits > 20


def unit(vector):
    return vector / np.linalg.norm(vector)


@pytest.mark.parametrize("shape", SHAPES)
def test_volume_and_centre_of_mass_are_those_of_the_points_inside(shape):
    rng = np.random.default_rng(3)
    size = np.array(SIZES[shape])
    points = rng.uniform(-0.5, 0.5, (400_000, 3)) * size
    within = inside(shape, points)
    volume = shapes.outside_volume_m3(shape, SIZES[shape])
    assert volume == pytest.approx(within.mean() * np.prod(size), rel=0.01)
    assert shapes.solid_volume_m3(shape, SIZES[shape]) == volume
    center = points[within].mean(axis=0)
    np.testing.assert_allclose(shapes.center_of_mass_m(shape, SIZES[shape]), center, atol=2e-4)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_top_is_what_a_ray_from_above_meets(shape):
    x, y, z = SIZES[shape]
    u, v = (axis.ravel() for axis in np.meshgrid(np.linspace(-0.56, 0.55, 23) * x, np.linspace(-0.56, 0.55, 23) * y))
    top = shapes.top_height_m(shape, SIZES[shape], u, v)
    on = shapes.on_footprint(shape, SIZES[shape], u, v)
    down = np.array([0.0, 0.0, -1.0])
    for k in range(len(u)):
        found = ray_distance(shape, SIZES[shape], np.array([u[k], v[k], 0.1]), down, 0.1 + 0.5 * z)
        assert on[k] == (found is not None)
        if found is not None:
            assert top[k] == pytest.approx(0.1 - found + 0.5 * z, abs=2e-5)
    assert np.nanmax(top) == pytest.approx(z)
    assert shapes.on_footprint(shape, SIZES[shape], 0.0, 0.0)


def test_walls_and_ribs_weigh_what_they_fill():
    wall = 0.002
    x, y, z = SIZES["block"]
    shell = x * y * z - (x - 2 * wall) * (y - 2 * wall) * (z - 2 * wall)
    assert shapes.solid_volume_m3("block", (x, y, z), wall) == pytest.approx(shell)
    x, y, z = SIZES["housing"]
    tray = x * y * z - (x - 2 * wall) * (y - 2 * wall) * (z - wall)
    assert shapes.solid_volume_m3("housing", (x, y, z), wall) == pytest.approx(tray)
    places = shapes.rib_places_m((x, y, z), wall, 0.02)
    rib = 0.6 * wall * (x - 2 * wall) * 0.5 * (z - wall)
    assert shapes.solid_volume_m3("housing", (x, y, z), wall, 0.02) == pytest.approx(tray + len(places) * rib)
    assert len(places) == 4
    assert np.allclose(np.diff(places), 0.02)
    assert sum(places) == pytest.approx(0.0)
    assert max(places) + 0.01 <= 0.5 * y
    solid = shapes.solid_volume_m3("bracket", SIZES["bracket"])
    assert shapes.solid_volume_m3("bracket", SIZES["bracket"], wall) == solid
    thin = shapes.solid_volume_m3("bottle", SIZES["bottle"], 1e-3)
    area = 2 * (0.05 * 0.07 + 0.05 * 0.034 + 0.07 * 0.034) + 2 * math.pi * 0.0125 * 0.02
    assert thin == pytest.approx(1e-3 * area, rel=0.08)
    assert shapes.solid_volume_m3("tube", SIZES["tube"], 1.0) == shapes.solid_volume_m3("tube", SIZES["tube"])


def test_what_is_no_shape_is_refused():
    with pytest.raises(ValueError, match="shape 'sphere' is not one of block"):
        solids_of("sphere", (0.1, 0.1, 0.1))
    for size in ((0.1, 0.0, 0.1), (0.1, math.nan, 0.1), (0.1, math.inf, 0.1)):
        with pytest.raises(ValueError, match="finite and above 0 m"):
            solids_of("block", size)


@pytest.fixture
def client():
    client = pybullet.connect(pybullet.DIRECT)
    yield client
    pybullet.disconnect(physicsClientId=client)


@pytest.mark.parametrize("shape", SHAPES)
def test_bodies_in_pybullet_have_the_same_surface(client, shape):
    body = add_part(client, shape, SIZES[shape], 0.1, (1, 1, 1), (0.0, 0.0, 0.0), (0, 0, 0, 1))
    rng = np.random.default_rng(4)
    tolerance = 2e-4 if all(solid.axis < 0 for solid in solids_of(shape, SIZES[shape])) else 1.2e-3
    for k in range(60):  # along the axes: PyBullet's rays end up to 1 mm early where they meet a face at an angle
        direction = (-1.0) ** k * np.eye(3)[k % 3]
        aim = rng.uniform(-0.22, 0.22, 3) * np.array(SIZES[shape])
        start, end = aim + 0.15 * direction, aim - 0.15 * direction
        hit = pybullet.rayTest(start.tolist(), end.tolist(), physicsClientId=client)[0]
        found = ray_distance(shape, SIZES[shape], start, -direction, 0.3)
        assert (hit[0] == body) == (found is not None)
        if found is not None:
            assert 0.3 * hit[2] == pytest.approx(found, abs=tolerance)
    assert pybullet.getNumBodies(physicsClientId=client) == 1


@pytest.mark.parametrize("shape", ["cylinder", "bottle", "bracket"])
def test_meshes_lie_on_the_surface_and_face_outwards(shape):
    solids = solids_of(shape, SIZES[shape])
    vertices, normals, indices = solid_mesh(solids)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1.0)
    for vertex in vertices:
        assert min(abs(solid_distance(solid, *vertex)[0]) for solid in solids) < 1e-9
    triangles = vertices[indices.reshape(-1, 3)]
    facing = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    mean = normals[indices.reshape(-1, 3)].mean(axis=1)
    assert np.all(np.sum(facing * mean, axis=1) > 0.0)
    # the divergence theorem: the signed volume below the triangles is that of the solids, overlaps counted twice
    volume = np.sum(facing * triangles.mean(axis=1)) / 6.0
    parts = [8.0 * np.prod(half) * (1.0 if axis < 0 else math.pi / 4) for axis, _, half in solids]
    assert volume == pytest.approx(sum(parts), rel=4e-3)
