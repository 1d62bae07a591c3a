import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import erfcx, j1

from palpate_agents.materials import MATERIALS
from palpate_sim.contact import PAD_SIDE_M
from palpate_sim.devices import DeviceDraw, draw_device_batch
from palpate_sim.keyed import keys_of
from palpate_sim.objects import PartBatch, draw_parts, part_from_seed
from palpate_sim.sensors import heat_contact, thermal
from palpate_sim.sensors.heated_tip import (
    CUT_OFF_C,
    HEATER_LIMIT_W,
    PAD_SETPOINTS_C,
    THERMISTOR_NOISE_K,
    HeatedTip,
)
from palpate_sim.sensors.thermal import WarmSpot

HEAT = (
    "conductivity_w_mk", "diffusivity_m2_s", "effusivity_w_s05_m2k", "contact_conductance_w_m2k",
    "contact_resistance_m2k_w", "temperature_c", "wall_thickness_m", "dimensions_m", "emissivity",
)  # fmt: skip
NOMINAL = DeviceDraw.nominal()  # pads of 1000 W s0.5/(m2 K)


def batch_of(*names, **overrides):
    batch = PartBatch.of([part_from_seed(9, 0, name, "clean", "block") for name in names])
    plain = {"wall_thickness_m": np.full(len(names), np.inf), "temperature_c": np.full(len(names), 20.0)}
    return batch.replace(**{**plain, **overrides})


@pytest.fixture
def one_dimensional(monkeypatch):
    """Switches the lateral spread off, so that the textbook's one-dimensional solutions can be compared."""
    monkeypatch.setattr(heat_contact, "_spreading_ratio", lambda x, thickness: np.ones_like(x))


def test_half_spaces_with_contact_conductance(one_dimensional):
    batch = batch_of("ABS", "PP", "EPDM", "MDF", "PUR-foam")
    time = np.array([0.01, 0.1, 0.5, 1.0, 2.0])
    es, eo = 1000.0, batch.effusivity_w_s05_m2k[:, None]
    h = 1.0 / heat_contact.contact_resistance(batch)[:, None]
    u = h * np.sqrt(time) * (1 / es + 1 / eo)
    flux = heat_contact.pad_flux_w_m2(batch, NOMINAL, time, 60.0)
    assert flux == pytest.approx(h * 40.0 * erfcx(u), rel=0.02)
    pad = heat_contact.pad_face_temperature(batch, NOMINAL, time, 60.0)
    fall = 40.0 * eo / (es + eo) * (1 - erfcx(u))
    assert 60.0 - pad == pytest.approx(fall, rel=0.02)
    surface = heat_contact.surface_temperature(batch, time, 5.0, 60.0)
    assert surface - 20.0 == pytest.approx(40.0 * es / (es + eo) * (1 - erfcx(u)), rel=0.02)


def test_contact_temperature_limit_with_perfect_contact(one_dimensional):
    batch = batch_of("ABS", "glass", contact_conductance_w_m2k=np.full(2, 1e8))
    eo = batch.effusivity_w_s05_m2k
    expected = (1000 * 60 + eo * 20) / (1000 + eo)
    for face in (
        heat_contact.pad_face_temperature(batch, NOMINAL, [0.05], 60.0)[:, 0],
        heat_contact.surface_temperature(batch, [0.05], 1.0, 60.0)[:, 0],
    ):
        assert face == pytest.approx(expected, rel=0.002)
    flux = heat_contact.pad_flux_w_m2(batch, NOMINAL, [0.05], 60.0)[:, 0]
    assert flux == pytest.approx(40 * 1000 * eo / ((1000 + eo) * np.sqrt(np.pi * 0.05)), rel=0.02)


def finite_difference(batch, wall_m, time_s, pad_start_c, effusivity):
    """Explicit reference: half-space pad (5 mm of it), contact resistance, slab with an insulated back."""
    k, a = batch.conductivity_w_mk[0], batch.diffusivity_m2_s[0]
    pad_a = 1.2e-7
    pad_k = effusivity * np.sqrt(pad_a)
    dx, pad_dx = wall_m / 60, 5e-3 / 200
    part, pad = np.full(60, 20.0), np.full(200, pad_start_c)
    dt = 0.4 * min(dx**2 / a, pad_dx**2 / pad_a)
    resistance = heat_contact.contact_resistance(batch)[0] + 0.5 * dx / k + 0.5 * pad_dx / pad_k
    for _ in range(round(time_s / dt)):
        flux = (pad[0] - part[0]) / resistance
        inner, pad_inner = k * np.diff(part) / dx, pad_k * np.diff(pad) / pad_dx
        part += dt * a / k / dx * (np.concatenate([inner, [0.0]]) - np.concatenate([[-flux], inner]))
        pad += dt * pad_a / pad_k / pad_dx * (np.concatenate([pad_inner, [0.0]]) - np.concatenate([[flux], pad_inner]))
    flux = (pad[0] - part[0]) / resistance
    return part[0] + flux * 0.5 * dx / k, pad[0] - flux * 0.5 * pad_dx / pad_k


@pytest.mark.parametrize(
    ("name", "wall_m", "time_s"), [("ABS", 0.5e-3, 2.0), ("ABS", 1.5e-3, 2.0), ("glass", 1e-3, 1.0)]
)
def test_finite_wall_against_finite_differences(one_dimensional, name, wall_m, time_s):
    batch = batch_of(name, wall_thickness_m=np.array([wall_m]))
    surface, face = finite_difference(batch, wall_m, time_s, 60.0, 1000.0)
    assert heat_contact.pad_face_temperature(batch, NOMINAL, [time_s], 60.0)[0, 0] - 20 == pytest.approx(
        face - 20, rel=0.02
    )
    assert heat_contact.surface_temperature(batch, [time_s], 9.0, 60.0)[0, 0] - 20 == pytest.approx(
        surface - 20, rel=0.02
    )


def test_thin_wall_warms_more_and_a_wall_beyond_two_diffusion_lengths_does_not_matter():
    walls = np.array([0.4e-3, 1e-3, 3e-3, 30e-3])
    batch = batch_of(*["ABS"] * 4, wall_thickness_m=walls)
    warm = heat_contact.surface_temperature(batch, [2.0], 3.0, 60.0)[:, 0]
    assert warm[0] > warm[1] + 1.0
    assert warm[2] == pytest.approx(warm[3], rel=0.005)


def test_spreading_of_a_disc():
    # steady state on a half-space: mean rise 8 q b / (3 pi k); early: one-dimensional
    x = np.array([0.03, 1000.0])
    ratio = heat_contact._spreading_ratio(x[None], np.full(1, 29.0))[0]
    one_dimensional = 1.0 / (x * np.tanh(x * 29.0))
    assert (ratio * one_dimensional)[0] == pytest.approx(8 / (3 * np.pi), rel=0.05)
    assert ratio[1] == pytest.approx(1.0, abs=2e-3)


def test_spline_of_the_disc_agrees_with_the_integral():
    """Against the integral itself, between the nodes."""
    log_x, log_l = np.linspace(np.log(0.05), np.log(1000.0), 40), np.linspace(np.log(0.05), np.log(20.0), 9)
    coarse = np.array([heat_contact._spreading_ratio(np.exp(log_x)[None], np.exp([v]))[0] for v in log_l])
    u = (np.arange(20000) + 0.5) / 20000
    y = 150.0 * u**2
    kernel = 2.0 * j1(y) ** 2 / y * (2.0 * 150.0 * u / 20000)
    for row, thick in enumerate(np.exp(log_l)):
        x = np.exp(log_x)[:, None]
        w = np.sqrt(y**2 + x**2)
        tail = 2.0 / np.pi * (np.sqrt(150.0**2 + x[:, 0] ** 2) / 150.0 - 1.0) / x[:, 0] ** 2
        mean = (kernel / (w * np.tanh(w * thick))).sum(axis=1) + tail
        assert coarse[row] == pytest.approx(mean * x[:, 0] * np.tanh(x[:, 0] * thick), rel=3e-5)


def test_torch_gives_the_same_as_numpy():
    batch = draw_parts(keys_of(3, np.arange(24)))
    devices = draw_device_batch(keys_of(4, np.arange(24)))
    time = np.array([0.0, 0.05, 1.0, 1.9, 2.5, 4.0])
    tensors, tools = batch.to(torch), devices.to(torch)
    for plain, there in (
        (
            heat_contact.surface_temperature(batch, time, 2.0, 70.0, devices, 1),
            heat_contact.surface_temperature(tensors, time, 2.0, 70.0, tools, 1),
        ),
        (
            heat_contact.pad_face_temperature(batch, devices, time, 45.0),
            heat_contact.pad_face_temperature(tensors, tools, time, 45.0),
        ),
        (
            heat_contact.pad_heat_j_m2(batch, devices, time, 45.0),
            heat_contact.pad_heat_j_m2(tensors, tools, time, 45.0),
        ),
    ):
        assert np.asarray(there) == pytest.approx(plain, rel=1e-6, abs=1e-9)


def test_heat_is_the_integral_of_the_flux():
    batch = batch_of("ABS", "Cu")
    time = 2.0 * np.linspace(0.0, 1.0, 4000)[1:] ** 2
    flux = heat_contact.pad_flux_w_m2(batch, NOMINAL, time, 60.0)
    heat = heat_contact.pad_heat_j_m2(batch, NOMINAL, time, 60.0)
    assert np.trapezoid(flux, time, axis=1) == pytest.approx(heat[:, -1] - heat[:, 0], rel=2e-3)


def test_devices_of_one_and_of_many_agree():
    batch = batch_of("ABS", "SS304", "PP")
    devices = draw_device_batch(keys_of(4, np.arange(3)))
    pads = np.array([0, 1, 1])
    together = heat_contact.pad_face_temperature(batch, devices, [1.0], 60.0, pads)
    for row, pad in enumerate(pads):
        alone = heat_contact.pad_face_temperature(batch.rows([row]), devices.draw(row), [1.0], 60.0, int(pad))
        assert together[row] == pytest.approx(alone[0], rel=1e-12)


def test_pad_sees_the_spread_in_copper_but_not_in_plastic(monkeypatch):
    batch = batch_of("Cu", "ABS", contact_conductance_w_m2k=np.full(2, 5000.0), dimensions_m=np.full((2, 3), 0.03))
    spread = heat_contact.surface_temperature(batch, [2.0], 3.0, 60.0)[:, 0] - 20
    monkeypatch.setattr(heat_contact, "_spreading_ratio", lambda x, thickness: np.ones_like(x))
    flat = heat_contact.surface_temperature(batch, [2.0], 3.0, 60.0)[:, 0] - 20
    assert spread[0] < 0.6 * flat[0]
    assert spread[1] == pytest.approx(flat[1], rel=0.03)


def test_spot_is_continuous_and_decays_like_the_square_root(one_dimensional):
    batch = batch_of("ABS", "EPDM")
    edge = heat_contact.surface_temperature(batch, [1.999, 2.002], 2.0, 60.0)
    assert edge[:, 1] == pytest.approx(edge[:, 0], rel=0.03)
    late = heat_contact.surface_temperature(batch, [10.0], 2.0, 60.0)[:, 0] - 20
    # energy that went in, spread as an instant source: Q / (e sqrt(pi t)), less the surface's loss
    grid = 2.0 * (np.linspace(0, 1, 400) ** 2)[1:]
    flux = heat_contact.pad_flux_w_m2(batch, NOMINAL, grid, 60.0)
    energy = np.trapezoid(flux, grid, axis=1)
    loss = erfcx(heat_contact.SURFACE_LOSS_W_M2K * np.sqrt(8.0) / batch.effusivity_w_s05_m2k)
    assert late == pytest.approx(energy / batch.effusivity_w_s05_m2k / np.sqrt(np.pi * 9.1) * loss, rel=0.05)


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    name=st.sampled_from(MATERIALS),
    pad=st.floats(45.0, 80.0),
    dwell=st.floats(0.5, 4.0),
)
def test_temperatures_stay_between_part_and_pad(seed, name, pad, dwell):
    batch = PartBatch.of([part_from_seed(seed, 0, name)])
    start = batch.temperature_c[0]
    time = np.array([0.0, 0.05, 0.5 * dwell, dwell, dwell + 0.2, dwell + 2.0])
    surface = heat_contact.surface_temperature(batch, time, dwell, pad)[0]
    face = heat_contact.pad_face_temperature(batch, NOMINAL, time[:4], pad)[0]
    assert np.all(surface >= start - 0.05)
    assert np.all(surface <= pad + 0.05)
    assert np.all(face >= start - 0.05)
    assert np.all(face <= pad + 0.05)
    assert surface[0] == pytest.approx(start)
    assert face[0] == pytest.approx(pad)
    assert surface[5] <= surface[4] + 0.02


def test_two_temperatures_separate_effusivity_from_the_parts_own():
    """One pad reads a warm polymer as another material; the difference of two pads does not depend on its warmth."""
    batch = batch_of("ABS", "ABS", temperature_c=np.array([20.0, 30.0]))
    low, high = (heat_contact.pad_face_temperature(batch, NOMINAL, [1.0], pad)[:, 0] for pad in (45.0, 70.0))
    assert abs(low[1] - low[0]) > 2.0
    share = (70.0 - 45.0 - (high - low)) / 25.0
    assert share[1] == pytest.approx(share[0], rel=1e-6)


def test_apparent_temperature_mixes_with_the_surroundings():
    assert thermal.apparent_temperature(np.array([60.0]), 0.05, 20.0) == pytest.approx(22.0)
    assert thermal.apparent_temperature(np.array([60.0]), 0.95, 20.0) == pytest.approx(58.0)


def scene(height=120, width=160, pixel_m=1e-3):
    points = np.zeros((height, width, 3))
    points[..., 0] = (np.arange(width) - width / 2) * pixel_m
    points[..., 1] = ((np.arange(height) - height / 2) * pixel_m)[:, None]
    part = (np.abs(points[..., 0]) < 0.03) & (np.abs(points[..., 1]) < 0.03)
    return points, part, np.zeros_like(part)


def test_frame_shows_emissivity_offset_and_noise():
    points, part, arm = scene()
    arm[:20] = True
    batch = batch_of("PP", temperature_c=np.array([32.0]), emissivity=np.array([0.5]))
    devices = DeviceDraw(thermal_offset_k=-3.0)
    picture = thermal.frame(points, part, arm, batch, [], 0.0, devices, 22.0, np.random.default_rng(0), tool_c=40.0)
    assert picture.dtype == np.float32
    inner = np.abs(points).max(axis=-1) < 0.025
    assert picture[inner].mean() == pytest.approx(22.0 + 0.5 * 10.0 - 3.0, abs=0.01)
    table = ~part & ~arm & (np.abs(points[..., 0]) > 0.04) & (np.arange(120)[:, None] > 25)
    assert picture[table].mean() == pytest.approx(19.0, abs=0.01)
    assert np.std(picture[table]) == pytest.approx(0.05, rel=0.03)
    assert picture[:18].mean() == pytest.approx(22.0 + thermal.ARM_EMISSIVITY * 18.0 - 3.0, abs=0.02)


def test_frame_shows_the_emissivity_of_each_place():
    """Bare patches of a painted metal reflect the room, the paint shows the part."""
    points, part, arm = scene()
    batch = batch_of("SS304", temperature_c=np.array([40.0]), emissivity=np.array([0.5]))
    bare = points[part][:, 0] > 0.0
    picture = thermal.frame(
        points, part, arm, batch, [], 0.0, DeviceDraw(netd_k=0.0), 20.0, np.random.default_rng(0),
        emissivity=np.where(bare, 0.1, 0.95),
    )  # fmt: skip
    inner = np.abs(points).max(axis=-1) < 0.025
    assert picture[inner & (points[..., 0] > 0.003)] == pytest.approx(22.0, abs=1e-4)
    assert picture[inner & (points[..., 0] < -0.003)] == pytest.approx(39.0, abs=1e-4)


def test_an_earlier_touch_leaves_warmth_that_fades_with_time_and_place():
    batch = batch_of("ABS")
    spot = WarmSpot((0.0, 0.0, 0.0), 0.0, 2.0, 70.0)
    at = [thermal.warmth_at(np.zeros(3), batch, [spot], time, NOMINAL) for time in (-1.0, 2.5, 10.0, 60.0)]
    assert at[0] == 0.0
    assert at[1] > at[2] > at[3] > 0.3
    aside = thermal.warmth_at(np.array([0.02, 0.0, 0.0]), batch, [spot], 10.0, NOMINAL)
    assert aside < 0.01
    twice = thermal.warmth_at(np.zeros(3), batch, [spot, spot], 10.0, NOMINAL)
    assert twice == pytest.approx(2.0 * at[2])


def test_a_layer_between_pad_and_part_slows_the_heat():
    batch = batch_of("ABS")
    thin, thick = (
        heat_contact.surface_temperature(batch, [1.0, 3.0], 2.0, 60.0, NOMINAL, 0, resistance)[0]
        for resistance in (2e-4, 2e-3)
    )
    assert np.all(thick < thin - 1.0)


def test_bare_metal_hides_its_warm_spot_and_anodising_shows_it():
    points, part, arm = scene()
    spot = WarmSpot((0.0, 0.0, 0.0), 0.0, 2.0, 70.0)
    quiet = DeviceDraw(netd_k=0.0)
    rise = []
    for emissivity in (0.05, 0.95):
        batch = batch_of("SS304", emissivity=np.array([emissivity]), contact_conductance_w_m2k=np.array([5000.0]))
        picture = thermal.frame(points, part, arm, batch, [spot], 2.1, quiet, 20.0, np.random.default_rng(0))
        rise.append(float(picture.max()) - 20.0)
    assert rise[0] == pytest.approx(rise[1] * 0.05 / 0.95, rel=0.05)
    assert rise[1] > 1.0


def test_spot_lies_under_the_pad_on_its_face_only():
    points, part, arm = scene(240, 320, 0.5e-3)
    batch = batch_of("ABS", emissivity=np.array([1.0]))
    spot = WarmSpot((0.01, -0.005, 0.0), 0.0, 2.0, 70.0)
    quiet = DeviceDraw(netd_k=0.0)
    picture = thermal.frame(points, part, arm, batch, [spot], 2.2, quiet, 20.0, np.random.default_rng(0))
    warm = picture > 0.5 * (picture.max() + 20.0)
    assert points[warm].mean(axis=0)[:2] == pytest.approx([0.01, -0.005], abs=1e-3)
    assert np.count_nonzero(warm) * 0.25e-6 == pytest.approx(PAD_SIDE_M**2, rel=0.15)
    points[..., 2] = -0.02  # another face, 20 mm below
    cold = thermal.frame(points, part, arm, batch, [spot], 2.2, quiet, 20.0, np.random.default_rng(0))
    assert cold.max() == pytest.approx(20.0, abs=1e-6)


@pytest.mark.parametrize("diffusivity", [1.3e-7, 4e-6, 1.1e-4])
def test_spot_shape_spreads_and_keeps_its_mean_under_the_pad(diffusivity):
    spot = WarmSpot((0.0, 0.0, 0.0), 0.0, 2.0, 70.0, angle_rad=0.4)
    grid = (np.arange(24) + 0.5) / 24 * PAD_SIDE_M - PAD_SIDE_M / 2
    turn = np.array([[np.cos(0.4), -np.sin(0.4)], [np.sin(0.4), np.cos(0.4)]])
    xy = np.stack(np.meshgrid(grid, grid), axis=-1) @ turn.T
    points = np.concatenate([xy, np.zeros((24, 24, 1))], axis=-1)
    assert thermal.spot_shape(points, spot, diffusivity, 2.5).mean() == pytest.approx(1.0, rel=0.02)
    outside = thermal.spot_shape(np.array([[0.012, 0.0, 0.0]]), spot, diffusivity, 2.5)[0]
    assert (outside < 1e-3) == (diffusivity < 1e-6)


def test_shutter_freezes_every_three_minutes():
    closed = [time for time in np.arange(0.0, 400.0, 0.1) if thermal.shutter_closed(time)]
    assert len(closed) == 10
    assert not thermal.shutter_closed(0.0)


def test_heating_a_pad_takes_tens_of_seconds_and_holds():
    tip = HeatedTip(block_c=np.full(2, 22.0), face_c=np.full(2, 22.0))
    reached = None
    for step in range(1200):
        tip.advance(0.1, 22.0)
        assert np.all(tip.power_w <= HEATER_LIMIT_W)
        if reached is None and tip.block_c[1] > PAD_SETPOINTS_C[1] - 1.0:
            reached = step * 0.1
    assert 20.0 < reached < 90.0
    assert tip.block_c == pytest.approx(PAD_SETPOINTS_C, abs=0.3)
    assert tip.face_c == pytest.approx(tip.block_c, abs=0.3)


def test_touch_cools_the_face_and_asks_for_power():
    tip = HeatedTip()
    for _ in range(20):
        tip.advance(0.1, 22.0)
    rest = tip.power_w.copy()
    tip.advance(0.1, 22.0, contact_c=np.array([np.nan, 50.0]), drawn_w=np.array([0.0, 3.0]))
    for _ in range(10):
        tip.advance(0.1, 22.0, contact_c=np.array([np.nan, 50.0]), drawn_w=np.array([0.0, 3.0]))
    assert tip.face_c[1] == 50.0
    assert tip.face_c[0] == pytest.approx(45.0, abs=0.3)
    assert tip.power_w[1] > rest[1] + 1.0
    for _ in range(100):
        tip.advance(0.1, 22.0)
    assert tip.face_c[1] == pytest.approx(70.0, abs=0.5)


def test_cut_off_trips_and_recovers_with_hysteresis():
    tip = HeatedTip(setpoint_c=np.array([45.0, 95.0]))
    for _ in range(900):
        tip.advance(0.1, 22.0)
    assert tip.block_c[1] < CUT_OFF_C + 2.0
    assert not tip.cut_off[0]
    tip.block_c = np.array([45.0, CUT_OFF_C + 1.0])
    tip.advance(0.1, 22.0)
    assert tip.cut_off[1]
    assert tip.power_w[1] == 0.0
    tip.block_c = np.array([45.0, CUT_OFF_C - 5.0])
    tip.advance(0.1, 22.0)
    assert tip.cut_off[1]
    tip.block_c = np.array([45.0, CUT_OFF_C - 11.0])
    tip.advance(0.1, 22.0)
    assert not tip.cut_off[1]


def test_published_temperature_has_offset_and_noise():
    tip, rng = HeatedTip(), np.random.default_rng(0)
    read = np.array([tip.read(DeviceDraw(pad_offset_k=(0.2, -0.1)), rng) for _ in range(3000)])
    assert read.mean(axis=0) - tip.face_c == pytest.approx([0.2, -0.1], abs=0.003)
    assert read.std(axis=0) == pytest.approx(THERMISTOR_NOISE_K, rel=0.05)


def test_nothing_but_heat_is_felt():
    """All materials with equal thermal properties: pad and spot must not know which is which."""
    batch = batch_of(*MATERIALS)
    same = batch.replace(**{name: np.repeat(getattr(batch, name)[:1], len(batch), axis=0) for name in HEAT})
    time = np.array([0.1, 1.0, 2.5])
    assert np.ptp(heat_contact.surface_temperature(same, time, 2.0, 60.0), axis=0).max() < 1e-9
    assert np.ptp(heat_contact.pad_face_temperature(same, NOMINAL, time, 60.0), axis=0).max() < 1e-9
