import time
from dataclasses import replace

import numpy as np
import pytest

from palpate_agents.observation import Frame
from palpate_sim.contact import ARM_STIFFNESS_N_M, friction_coefficient, pad_force, press_force, yield_force_n
from palpate_sim.objects import part_from_seed
from palpate_sim.surface import wipe
from palpate_sim.touch import SPOT_RADIUS_M, TIP_SPRING_N_M, TIP_TRAVEL_M, TouchModel

DOWN, UP = np.array([0.0, 0.0, -1.0]), np.array([0.0, 0.0, 1.0])


def model_of(name="ABS", condition="clean", shape="block", **changes):
    part = part_from_seed(3, 0, name, condition, shape)
    plain = {"label_um": 0.0, "dirt_level": 0.0, "wall_thickness_m": float("inf")}
    return TouchModel(replace(part, **{**plain, **changes}), np.random.default_rng(0))


def press_at(model, frame, uv, depth_m, released=False):
    """Normal force of a frame that is so far beyond the top face."""
    inset = 0.5 * model.part.dimensions_m[2] - depth_m
    gap, normal = model.gap(frame, np.array([*uv, inset]), DOWN)
    assert gap == pytest.approx(-depth_m, abs=1e-12)
    assert normal == pytest.approx((0.0, 0.0, 1.0))
    return model.normal_force(frame, -gap, released=released)


def test_forces_are_those_of_the_laws():
    model = model_of("PE-LD", yield_pa=float("inf"))
    for depth in (3e-6, 1e-4, 7e-4):
        spot = model.spot(np.zeros(2), SPOT_RADIUS_M[Frame.BALL_TIP])
        assert press_at(model, Frame.BALL_TIP, (0.0, 0.0), depth) == pytest.approx(
            press_force(spot, depth)[0], rel=1e-6
        )
        assert press_at(model, Frame.WARM_PAD_0, (0.0, 0.0), depth) == pytest.approx(pad_force(spot, depth)[0])
        assert press_at(model, Frame.SCRAPER_TIP, (0.0, 0.0), depth) == pytest.approx(press_force(spot, depth)[0])
    assert press_at(model, Frame.BALL_TIP, (0.0, 0.0), 1e-3, released=True) == pytest.approx(TIP_SPRING_N_M * 1e-3)
    deep = TIP_TRAVEL_M + 1e-4
    spring = TIP_SPRING_N_M * TIP_TRAVEL_M
    assert press_at(model, Frame.BALL_TIP, (0.0, 0.0), deep, released=True) == pytest.approx(
        spring + press_force(spot, 1e-4)[0], rel=1e-6
    )


def test_a_thin_wall_is_softer_in_its_middle_than_at_its_edge():
    model = model_of(wall_thickness_m=1e-3)
    half = 0.5 * model.part.dimensions_m[0]
    middle, edge = (press_at(model, Frame.BALL_TIP, (share * half, 0.0), 1e-4) for share in (0.0, 0.85))
    assert edge > 3.0 * middle
    assert press_at(model, Frame.BALL_TIP, (0.0, 0.0), 1e-4) == pytest.approx(middle)


def test_a_dent_is_not_pressed_twice():
    model = model_of(yield_pa=2e7)
    onset = float(yield_force_n(model.batch)[0])
    depth = 4.0 * onset / ARM_STIFFNESS_N_M + 5e-5
    loaded = press_at(model, Frame.BALL_TIP, (0.0, 0.0), depth)
    assert loaded > 2.0 * onset
    way_back = press_at(model, Frame.BALL_TIP, (0.0, 0.0), 0.7 * depth)
    assert way_back < press_force(model.batch, 0.7 * depth)[0]
    assert press_at(model, Frame.BALL_TIP, (0.0, 0.0), depth) == pytest.approx(loaded, rel=1e-6)
    # beside it the surface is as it was
    assert press_at(model, Frame.BALL_TIP, (2e-3, 0.0), 0.7 * depth) == pytest.approx(
        press_force(model.batch, 0.7 * depth)[0], rel=1e-6
    )


def slid_friction(model, uv, speed_m_s=0.05, periods=400):
    """Mean friction coefficient over a part that is held still under a ball at 2 N."""
    total = 0.0
    for _ in range(periods):
        press_at(model, Frame.BALL_TIP, uv, 1e-5)
        force = model.friction(Frame.BALL_TIP, 2.0, np.array([speed_m_s, 0.0, 0.0]), np.zeros(3), UP, 1e-3)
        assert force[0] < 0.0
        assert abs(force[2]) < 1e-12
        total -= force[0] / 2.0
    return total / periods


def test_friction_follows_what_lies_on_the_surface():
    model = model_of("PE-HD", "wet", film_um=100.0)
    wet = np.argwhere(model.maps.film_um[0] > 60.0)
    uv = ((wet[len(wet) // 2] + 0.5) / 16.0 - 0.5) * np.array(model.part.dimensions_m[:2])
    spot = model.spot(uv, SPOT_RADIUS_M[Frame.BALL_TIP])
    assert spot.friction_factor[0] < 0.75
    before = slid_friction(model, uv)
    assert before == pytest.approx(friction_coefficient(spot, np.array([2.0]), 0.05)[0], rel=0.03)
    ends = uv[None] - [[0.01, 0.0]], uv[None] + [[0.01, 0.0]]
    for _ in range(4):
        model.maps, _ = wipe(model.batch, model.maps, *ends, force_n=6.0)
    assert slid_friction(model, uv) > 1.3 * before


def test_nothing_sticks_out_of_a_touch_that_is_over():
    model = model_of()
    slid_friction(model, (0.0, 0.0), periods=20)
    model.free()
    still = model.friction(Frame.BALL_TIP, 2.0, np.zeros(3), np.zeros(3), UP, 1e-3)
    assert np.all(still == 0.0)


def test_a_period_of_contact_is_cheap():
    model = model_of(wall_thickness_m=2e-3)
    slid_friction(model, (0.0, 0.0), periods=5)
    start = time.process_time()
    slid_friction(model, (0.0, 0.0), periods=400)
    assert (time.process_time() - start) / 400 < 200e-6
