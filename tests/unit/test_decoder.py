"""From actions to goals: bounds, good spots, the way back, the real cell's goal, and refusals."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from palpate_agents.encoders.surface_map import CHANNELS
from palpate_agents.errors import ConfigError
from palpate_agents.observation import Primitive
from palpate_agents.probing import decoder
from palpate_agents.probing.decoder import SeenPart, decode, encode, goal_of, spot_quality
from palpate_agents.segmentation import PartView

EXTENT = np.array([0.064, 0.048, 0.02])
VALID, HEIGHT = CHANNELS.index("valid_share"), CHANNELS.index("height_fraction")


def flat(n: int = 1) -> SeenPart:
    surface = np.zeros((n, 8, 8, len(CHANNELS)), np.float32)
    surface[..., VALID] = surface[..., HEIGHT] = 1.0
    return SeenPart(surface, np.repeat(EXTENT[None], n, axis=0))


def test_import_is_light():
    code = "import palpate_agents.probing.decoder, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_random_actions_stay_within_bounds():
    rng = np.random.default_rng(0)
    n = 5000
    part = SeenPart(rng.uniform(0, 1, (n, 8, 8, len(CHANNELS))), rng.uniform(0.015, 0.12, (n, 3)))
    goals = decode(rng.uniform(-1, 1, (n, 7)), part)
    half = 0.5 * part.extent_m[:, :2]
    way = goals.slide_m[:, None] * np.stack([np.cos(goals.slide_angle_rad), np.sin(goals.slide_angle_rad)], 1)
    assert (np.abs(goals.point_m) <= half + 1e-9).all()
    assert (np.abs(goals.point_m + way) <= half + 1e-9).all()
    assert (np.abs(goals.tilt_rad) <= np.radians(15) + 1e-9).all()
    assert goals.slide_m.max() <= 0.020 + 1e-12
    assert goals.force_n.max() <= 6.0
    look = goals.primitive == Primitive.LOOK
    assert (goals.standoff_m[look] >= 0.01).all()
    assert goals.standoff_m.max() <= 0.1
    assert set(goals.primitive.tolist()) == {int(p) for p in Primitive} - {int(Primitive.PLACE)}
    wiped = goals.primitive == Primitive.WIPE
    assert (goals.pad_index[wiped] == 0).all()


def test_random_actions_meet_every_primitive():
    n = 50_000
    actions = np.random.default_rng(1).uniform(-1, 1, (n, 7))
    part = SeenPart(np.repeat(flat().surface, n, axis=0), np.repeat(EXTENT[None], n, axis=0))
    share = np.bincount(decode(actions, part).primitive, minlength=9) / n
    assert share[Primitive.LOOK] == pytest.approx(0.25, abs=0.01)
    for primitive in (Primitive.PRESS, Primitive.TAP, Primitive.SLIDE, Primitive.LIFT):
        assert share[primitive] > 0.035
    assert share[[Primitive.DWELL, Primitive.WIPE, Primitive.SCRATCH]].min() > 0.1


@pytest.mark.parametrize("primitive", [p for p in Primitive if p is not Primitive.PLACE])
def test_encode_is_the_inverse(primitive):
    n = 7
    point = np.linspace(-0.6, 0.6, n)[:, None] * 0.5 * (EXTENT[:2] - 0.036)
    wanted = {
        "standoff_m": 0.05, "tilt_rad": 0.1, "slide_m": 0.012, "across": True, "speed_m_s": 0.03,
        "dwell_s": 2.0 if primitive is Primitive.DWELL else 0.4, "force_n": 4.0, "pad_index": 1,
    }  # fmt: skip
    goals = decode(encode(primitive, point, EXTENT, **wanted), flat(n))
    assert (goals.primitive == primitive).all()
    middle = goals.point_m + np.array([0.0, 0.5]) * goals.slide_m[:, None]
    assert np.abs(middle - point).max() <= 0.2 * EXTENT[0] / 8 + 1e-9  # moved towards a cell's middle at most
    slides = primitive in (Primitive.SLIDE, Primitive.WIPE, Primitive.SCRATCH)
    assert goals.slide_m == pytest.approx(np.full(n, 0.012 if slides else 0.0))
    if slides:
        assert goals.slide_angle_rad == pytest.approx(np.full(n, 0.5 * np.pi))
    if slides or primitive is Primitive.TAP:
        assert goals.speed_m_s == pytest.approx(np.full(n, 0.03))
    if primitive in (Primitive.LOOK, Primitive.PRESS, Primitive.TAP, Primitive.SLIDE):
        assert goals.tilt_rad == pytest.approx(np.full(n, 0.1), abs=1e-3)
    if primitive is Primitive.LOOK:
        assert goals.standoff_m == pytest.approx(np.full(n, 0.05), abs=1e-6)
    if primitive in (Primitive.PRESS, Primitive.DWELL):
        assert goals.dwell_s == pytest.approx(np.full(n, wanted["dwell_s"]))
    assert goals.pad_index.tolist() == [1 if primitive is Primitive.DWELL else 0] * n


def test_snaps_away_from_unseen_cells_steps_and_edges():
    part = flat()
    part.surface[0, 3:5, :, VALID] = 0.0  # nothing seen in the middle
    part.surface[0, :, 6:, HEIGHT] = 0.4  # a step of 12 mm
    goals = decode(encode(Primitive.TAP, (0.002, 0.0), EXTENT), part)
    assert abs(goals.point_m[0, 0]) > 0.008
    quality = spot_quality(part, np.array([0.002]))[0]
    assert quality[3:5].max() == 0.0
    assert quality[1, 5] < 0.5 < quality[1, 3]
    room = spot_quality(flat(), np.array([0.006]))[0]
    assert room[0, 0] < 0.8 < room[3, 3]
    pad = decode(encode(Primitive.DWELL, (0.03, 0.022), EXTENT), flat())
    ball = decode(encode(Primitive.TAP, (0.03, 0.022), EXTENT), flat())
    assert (np.abs(pad.point_m) <= np.abs(ball.point_m)).all()
    assert pad.point_m[0, 0] < ball.point_m[0, 0]


def test_short_part_shortens_the_slide():
    part = SeenPart(flat().surface, np.array([[0.02, 0.01, 0.01]]))
    goals = decode(encode(Primitive.SLIDE, (0.0, 0.0), (0.02, 0.01, 0.01), slide_m=0.02, across=True), part)
    assert 0.0 < goals.slide_m[0] <= 0.01 - 2 * 0.003 + 1e-12


def test_one_alone_equals_one_among_many():
    rng = np.random.default_rng(3)
    part = SeenPart(rng.uniform(0, 1, (50, 8, 8, len(CHANNELS))), rng.uniform(0.02, 0.1, (50, 3)))
    actions = rng.uniform(-1, 1, (50, 7))
    many = decode(actions, part)
    for k in (0, 17, 49):
        one = decode(actions[k : k + 1], SeenPart(part.surface[k : k + 1], part.extent_m[k : k + 1]))
        for mine, theirs in zip(one, many.rows(slice(k, k + 1)), strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-12, atol=1e-15)


def test_torch_gives_the_same():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(4)
    part = SeenPart(rng.uniform(0, 1, (200, 8, 8, len(CHANNELS))), rng.uniform(0.02, 0.1, (200, 3)))
    actions = rng.uniform(-1, 1, (200, 7))
    there = decode(torch.asarray(actions), SeenPart(*(torch.asarray(a) for a in part[:2])))
    for mine, theirs in zip(decode(actions, part), there, strict=True):
        np.testing.assert_allclose(mine, theirs.numpy(), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("actions", "word"),
    [
        (np.zeros((2, 7)), r"shape \(2, 7\)"),
        (np.zeros(7), "shape"),
        (np.array([[0, 0, np.nan, 0, 0, 0, 0]]), "number 2 of action 0 is nan.*stop the policy"),
        (np.array([[0, 0, 0, 0, 0, -np.inf, 0]]), "number 5"),
        (np.array([[0, 1.2, 0, 0, 0, 0, 0]]), "is 1.2, allowed are -1 to 1; clip it"),
        (np.zeros((1, 7), complex), "type complex128"),
        (np.zeros((1, 7), bool), "type bool"),
        (np.full((1, 7), "0"), "give real numbers"),
        (np.full((1, 7), None), "type object"),
        (np.full((1, 7), -128, np.int8), "is -128"),
    ],
)
def test_refuses_what_is_no_action(actions, word):
    with pytest.raises(ConfigError, match=word):
        decode(actions, flat())


def test_no_action_places():
    with pytest.raises(ConfigError, match="no action stands for primitive 6"):
        encode(Primitive.PLACE, (0, 0), EXTENT)


def view(**changes) -> PartView:
    x, y = np.meshgrid(np.linspace(-0.03, 0.03, 61), np.linspace(-0.02, 0.02, 41))
    points = np.stack([0.5 + x.ravel(), 0.1 + y.ravel(), np.full(x.size, 0.02)], 1)
    mask = np.zeros((2, 2), bool)
    known = {
        "found": True, "reason": "", "touching": False, "mask": mask, "table_mask": mask,
        "centroid_m": (0.5, 0.1, 0.01), "extent_m": tuple(EXTENT), "yaw_rad": 0.3, "pixels_m": points,
        "grasp_width_m": 0.048, "grasp_angle_rad": 1.2, "graspable": True,
    }  # fmt: skip
    return PartView(**{**known, **changes})


def test_goal_of_the_real_cell():
    goals = decode(encode([Primitive.SLIDE, Primitive.LIFT], (0.004, 0.003), EXTENT, tilt_rad=0.2), flat(2))
    goal = goal_of(goals, 0, view())
    along = goals.point_m[0]
    assert goal.target_m[0] == pytest.approx(0.5 + np.cos(0.3) * along[0] - np.sin(0.3) * along[1])
    assert goal.target_m[2] == pytest.approx(0.02)
    assert np.degrees(np.arccos(goal.normal[2])) == pytest.approx(np.degrees(0.2), abs=0.1)
    assert goal.normal[0] > 0.0
    assert goal.slide_angle_rad == pytest.approx(0.3)
    assert goal.slide_distance_m == pytest.approx(0.008)
    assert goal.force_n == pytest.approx(3.0)
    lift = goal_of(goals, 1, view())
    assert lift.primitive is Primitive.LIFT
    assert lift.grasp_width_m == 0.048
    with pytest.raises(ConfigError, match="no part to probe: dark"):
        goal_of(goals, 0, view(found=False, reason="dark"))


def test_slanted_surface_gives_its_normal():
    points = np.array(view().pixels_m)
    points[:, 2] += 0.3 * (points[:, 0] - 0.5)
    goals = decode(encode(Primitive.TAP, (0.0, 0.0), EXTENT), flat())
    normal = np.array(goal_of(goals, 0, view(pixels_m=points)).normal)
    np.testing.assert_allclose(normal, np.array([-0.3, 0.0, 1.0]) / np.hypot(0.3, 1.0), atol=1e-3)
    assert decoder.ACTION_SIZE == 7
