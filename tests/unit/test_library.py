"""The part library: rows against the geometry, direct rays, the planner and a picture; and the cache."""

from __future__ import annotations

import numpy as np
import pybullet
import pytest

from palpate_agents.errors import ConfigError
from palpate_agents.observation import Frame
from palpate_agents.segmentation import project
from palpate_sim import library
from palpate_sim.geometry import yaw_quaternion
from palpate_sim.kinematics import CELL_URDF, UrdfModel
from palpate_sim.library import GEOMETRY_CLASSES, TOOLS, LibraryRows, PartLibrary, placement
from palpate_sim.objects import draw_parts
from palpate_sim.part_geometry import geometry_ids_of_shape, geometry_of
from palpate_sim.planning import Planner, Unreachable
from palpate_sim.rendering import CellRenderer, PartPose
from palpate_sim.scene import add_part
from palpate_sim.shapes import SHAPES, outside_volume_m3
from palpate_sim.surface_maps import GRID

FEW = [("light", geometry_ids_of_shape("light", shape)[0]) for shape in SHAPES] + [("soft", 3)]
FRAMES = (Frame.BALL_TIP, Frame.WARM_PAD_0, Frame.SCRAPER_TIP, Frame.FIBRE)


@pytest.fixture(scope="module")
def few():
    names, numbers = zip(*FEW, strict=True)
    return PartLibrary.of(names, numbers)


def places(name, number):
    """(16, 16, 3) cell centres in the base frame at height 0, for the place where a geometry lies."""
    x, y, yaw = placement(name, number)
    length, width, _ = geometry_of(name, number).dimensions_m
    steps = (np.arange(GRID) + 0.5) / GRID - 0.5
    u, v = np.meshgrid(steps * length, steps * width, indexing="ij")
    cos, sin = np.cos(yaw), np.sin(yaw)
    return np.stack([x + cos * u - sin * v, y + sin * u + cos * v, np.zeros_like(u)], axis=-1)


@pytest.mark.parametrize(("name", "number"), FEW)
def test_a_row_is_what_rays_of_the_physics_find(few, name, number):
    row, geometry = few.row(name, number), geometry_of(name, number)
    x, y, yaw = placement(name, number)
    np.testing.assert_allclose(row.position_m[0], (x, y), atol=5e-4)
    assert row.yaw_rad[0] == pytest.approx(yaw, abs=2e-3)
    client = pybullet.connect(pybullet.DIRECT)
    height = geometry.dimensions_m[2]
    body = add_part(client, geometry.shape, geometry.dimensions_m, 0.0, (1, 1, 1), (x, y, height / 2),
                    yaw_quaternion(yaw))  # fmt: skip
    top = places(name, number).reshape(-1, 3) + np.array([0.0, 0.0, 0.2])
    hits = pybullet.rayTestBatch(top.tolist(), (top - (0.0, 0.0, 0.25)).tolist(), physicsClientId=client)
    pybullet.disconnect(physicsClientId=client)
    on = np.array([hit[0] == body for hit in hits]).reshape(GRID, GRID)
    known = np.isfinite(row.height_m[0])
    assert np.mean(on != known) < 0.04, "PyBullet's rims are blunt"
    both = on & known
    found = np.array([hit[3][2] for hit in hits]).reshape(GRID, GRID)
    np.testing.assert_allclose(row.height_m[0][both], found[both], atol=1.2e-3)
    lengths = np.linalg.norm(row.normal[0], axis=-1)
    np.testing.assert_allclose(lengths[known], 1.0, atol=1e-5)
    assert np.all(lengths[~known] == 0.0)
    if geometry.shape not in ("bottle",):
        assert np.all(row.normal[0][known][:, 2] > 0.999)
    assert np.nanmax(row.height_m) == pytest.approx(height, abs=1e-4)


@pytest.mark.parametrize(("name", "number"), FEW)
def test_the_camera_sees_the_size(few, name, number):
    row, geometry = few.row(name, number), geometry_of(name, number)
    length, width = sorted(geometry.dimensions_m[:2], reverse=True)
    round_part = geometry.shape in ("cylinder", "tube")
    slack = 0.06 * length + 1e-3 if round_part else 1.5e-3
    np.testing.assert_allclose(row.seen_extent_m[0], (length, width, geometry.dimensions_m[2]), atol=slack)
    if not round_part and length > 1.1 * width:
        along_y = geometry.dimensions_m[1] > geometry.dimensions_m[0]
        turn = row.seen_yaw_rad[0] - (np.pi / 2 if along_y else 0.0)
        assert abs(np.sin(turn)) < 0.03
    in_the_picture = row.yaw_rad[0] + row.seen_yaw_rad[0]
    assert np.cos(in_the_picture) > -1e-6, "segmentation gives directions from -pi/2 to pi/2"
    np.testing.assert_allclose(row.seen_center_m[0], 0.0, atol=1.2e-3)
    volume = outside_volume_m3(geometry.shape, geometry.dimensions_m)
    assert row.seen_volume_m3[0] == pytest.approx(volume, rel=0.07)
    assert row.graspable[0]


def test_flat_tops_are_seen_whole_and_evenly_lit(few):
    row = few.row(*FEW[0])
    assert row.visible.all()
    assert row.shade.min() > 0.8 * row.shade.max()
    assert 0.5 < row.shade.max() <= 1.0


def test_a_flange_hides_what_is_behind_it():
    """Against the depth picture: what the camera sees nearer than the place hides it."""
    name, number = "light", geometry_ids_of_shape("light", "bracket")[5]
    row = PartLibrary.of([name], [number]).row(name, number)
    geometry = geometry_of(name, number)
    renderer = CellRenderer(UrdfModel(), arm=False)
    renderer.set_parts([geometry])
    x, y, yaw = placement(name, number)
    pose = PartPose((x, y, geometry.dimensions_m[2] / 2), yaw_quaternion(yaw))
    picture = renderer.picture(renderer.color_camera, [pose], None)
    points = places(name, number)
    points[..., 2] = row.height_m[0]
    pixels, depth = project(points.reshape(-1, 3), renderer.color_camera.geometry)
    renderer.close()
    columns, lines = np.rint(pixels).astype(int).T
    hidden = picture.depth_m[lines, columns] < depth - 3e-3
    assert np.mean(hidden == ~row.visible.ravel()) > 0.95


def test_reach_agrees_with_the_planner(few):
    """At cells between the points where the builder asked."""
    planner = Planner()
    agree = []
    rng = np.random.default_rng(0)
    for name, number in FEW:
        row, at = few.row(name, number), places(name, number)
        cells = np.argwhere(np.isfinite(row.height_m[0]) & (row.normal[0, ..., 2] > 0.999))
        for i, j in rng.permutation(cells)[:3]:
            point = np.array([*at[i, j, :2], row.height_m[0, i, j]])
            for k, frame in enumerate(FRAMES):
                try:
                    planner.tool_line(frame, point, np.array([0.0, 0.0, 1.0]), 0.1, 0.005)
                except Unreachable:
                    free = False
                else:
                    free = True
                if geometry_of(name, number).shape not in ("bracket", "bottle"):  # the planner knows of no part
                    agree.append(free == row.reach[0, i, j, k])
    assert np.mean(agree) > 0.95
    assert few.table.reach[np.isfinite(few.table.height_m)].mean() > 0.9


def test_tools_keep_off_a_flange(few):
    name, number = FEW[SHAPES.index("bracket")]
    row = few.row(name, number)
    ball = row.reach[0, ..., TOOLS.index("ball")]
    plate = row.height_m[0] < 0.5 * np.nanmax(row.height_m)
    first = int(np.argmax(plate.any(axis=0)))
    assert ball[:, first + 1].mean() < 0.5, "the tool's body would stand in the flange"
    assert ball[:, 10:].all()


def test_rows_come_by_class_and_number(few):
    kinds = np.array([GEOMETRY_CLASSES.index(name) for name, _ in FEW])
    numbers = np.array([number for _, number in FEW])
    index = few.index(kinds[::-1], numbers[::-1])
    np.testing.assert_array_equal(index, np.arange(len(FEW))[::-1])
    rows = few.table.rows(index)
    np.testing.assert_array_equal(rows.yaw_rad, few.table.yaw_rad[::-1])
    copy = rows.to(np)
    copy.assign(np.array([0]), few.table.rows(np.array([3])))
    assert copy.yaw_rad[0] == few.table.yaw_rad[3]
    with pytest.raises(ConfigError, match="geometry 63 of class 1 is not among the 8"):
        few.index(np.array([0, 1]), np.array([numbers[0], 63]))
    with pytest.raises(ConfigError, match="not in the part library"):
        few.row("heavy", 0)


def test_parts_find_their_row():
    batch = draw_parts(np.arange(1, 6), materials=["PUR-foam"] * 5, geometry_class="soft")
    some = PartLibrary.of(["soft"] * 5, batch.geometry_id.tolist())
    rows = some.rows_of(batch)
    assert len(rows) == 5
    for k in range(5):
        wanted = placement("soft", int(batch.geometry_id[k]))
        np.testing.assert_allclose(rows.position_m[k], wanted[:2], atol=5e-4)


def test_places_are_where_parts_may_lie():
    every = np.array([placement(name, k) for name in GEOMETRY_CLASSES for k in range(64)])
    assert every[:, 0].min() > 0.44
    assert every[:, 0].max() < 0.56
    assert np.abs(every[:, 1]).max() < 0.08
    assert len(np.unique(every[:, 2])) == len(every)


# The cache


@pytest.fixture
def small(monkeypatch):
    """A library of one geometry per class, so that it is quickly built; counts builds."""
    monkeypatch.setattr(library, "GEOMETRIES_PER_CLASS", 1)
    built = []
    real = library._build

    def build(names, progress):
        built.append(len(names))
        return real(names[:1], progress).rows(np.zeros(len(names), int))

    monkeypatch.setattr(library, "_build", build)
    return built


def test_a_second_start_loads_what_the_first_built(small, tmp_path):
    steps = []
    first = PartLibrary.load_or_build(tmp_path, lambda done, total: steps.append((done, total)))
    second = PartLibrary.load_or_build(tmp_path)
    assert small == [4]
    assert steps == [(1, 1)]
    for name in ("height_m", "reach", "seen_extent_m", "yaw_rad"):
        np.testing.assert_array_equal(getattr(first.table, name), getattr(second.table, name))
    assert len(list(tmp_path.iterdir())) == 1


def test_a_changed_cell_or_geometry_is_built_anew(small, tmp_path, monkeypatch):
    PartLibrary.load_or_build(tmp_path)
    changed = tmp_path / "cell.urdf"
    changed.write_bytes(CELL_URDF.read_bytes() + b"<!-- moved -->")
    with monkeypatch.context() as patch:
        patch.setattr(library, "CELL_URDF", changed)
        PartLibrary.load_or_build(tmp_path)
    real = library.geometry_of
    with monkeypatch.context() as patch:
        patch.setattr(library, "geometry_of", lambda name, k: real(name, k)._replace(dimensions_m=(0.03, 0.04, 0.02)))
        PartLibrary.load_or_build(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(library, "PHYSICS_VERSION", library.PHYSICS_VERSION + 1)
        PartLibrary.load_or_build(tmp_path)
    PartLibrary.load_or_build(tmp_path)
    assert small == [4] * 4


def test_a_damaged_or_locked_cache_is_no_harm(small, tmp_path):
    PartLibrary.load_or_build(tmp_path)
    (path,) = tmp_path.glob("*.npz")
    path.write_bytes(path.read_bytes()[:1000])
    PartLibrary.load_or_build(tmp_path)
    assert len(small) == 2
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    assert len(PartLibrary.load_or_build(in_the_way)) == 4


def test_the_cache_is_the_users(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert library.user_cache_dir() == tmp_path / "palpate"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert library.user_cache_dir().parts[-2:] == (".cache", "palpate")


def test_the_same_geometry_gives_the_same_row(few):
    again = PartLibrary.of([FEW[0][0]], [FEW[0][1]])
    first, second = few.row(*FEW[0]), again.row(*FEW[0])
    for name in LibraryRows.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
