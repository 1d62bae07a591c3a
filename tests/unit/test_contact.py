import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palpate_agents.materials import MATERIALS
from palpate_sim import contact
from palpate_sim.backend import to_numpy
from palpate_sim.keyed import keys_of
from palpate_sim.objects import DeviceDraw, PartBatch, draw_parts, part_from_seed
from palpate_sim.shapes import SHAPES
from palpate_sim.surface import draw_surface_maps, spot_batch

MECHANICS = (
    "indentation_modulus_pa", "youngs_modulus_pa", "poisson", "restitution", "friction", "friction_exponent", "mass_kg",
    "dimensions_m", "wall_thickness_m", "rib_pitch_m", "shape", "yield_pa", "texture_pitch_m", "ripple",
    "stribeck_share", "stribeck_speed_m_s",
)  # fmt: skip


def spots(count, seed=3, uv=0.1):
    batch = draw_parts(keys_of(seed, np.arange(count)))
    return spot_batch(batch, draw_surface_maps(batch), uv * batch.dimensions_m[:, :2], 5e-4)


def batch_of(*names, condition="clean", **overrides):
    batch = PartBatch.of([part_from_seed(5, 0, name, condition, "block") for name in names])
    solid = {"wall_thickness_m": np.full(len(names), np.inf), "mass_kg": np.full(len(names), 1e9)}
    return batch.replace(**{**solid, **overrides})


def nominal(*names):
    moduli = {"mild-steel": 207e9, "ABS": 2.3e9, "PE-HD": 1.08e9, "PE-LD": 0.22e9, "EPDM": 6.5e6}
    poisson = {"mild-steel": 0.29, "ABS": 0.39, "PE-HD": 0.42, "PE-LD": 0.44, "EPDM": 0.495}
    return batch_of(
        *names,
        indentation_modulus_pa=np.array([moduli[name] for name in names]),
        yield_pa=np.full(len(names), np.inf),
        poisson=np.array([poisson[name] for name in names]),
    )


def test_hertz_force_of_the_ball_alone():
    batch = nominal("ABS", "mild-steel")
    depth = np.array([12e-6, 1.2e-6])
    force = contact.series_force(depth, contact.hertz_stiffness(batch), np.zeros(2))
    star = 1 / ((1 - 0.29**2) / 207e9 + (1 - batch.poisson**2) / batch.indentation_modulus_pa)
    assert force == pytest.approx(4 / 3 * star * np.sqrt(0.005) * depth**1.5, rel=1e-9)
    # 10 N: 12 um into ABS and about 1 um into steel
    assert force[0] == pytest.approx(10.0, rel=0.2)
    assert force[1] == pytest.approx(14.0, rel=0.2)


@settings(max_examples=100, deadline=None)
@given(force=st.floats(1e-3, 1e3), hertz=st.floats(1e3, 1e11), compliance=st.floats(0.0, 1e-3))
def test_series_force_inverts_its_definition(force, hertz, compliance):
    displacement = (force / hertz) ** (2 / 3) + compliance * force
    found = contact.series_force(np.array([displacement]), np.array([hertz]), np.array([compliance]))
    assert found[0] == pytest.approx(force, rel=1e-6)


def test_one_part_is_as_in_a_batch_and_displacement_inverts_force():
    both = PartBatch.of([part_from_seed(seed, 0, name) for seed, name in ((1, "PUR-foam"), (2, "PP"), (3, "Cu"))])
    travel = np.array([3e-3, 2e-4, 1e-4])
    force = contact.press_force(both, travel)
    for index, part in enumerate(both.parts()):
        assert contact.press_force(PartBatch.of([part]), travel[index])[0] == pytest.approx(force[index], rel=1e-9)
    assert contact.press_displacement(both, force) == pytest.approx(travel, rel=1e-9)


def test_no_force_without_contact():
    batch = nominal("ABS", "EPDM")
    assert np.all(contact.press_force(batch, np.array([0.0, -1e-3])) == 0)
    assert np.all(contact.pad_force(batch, -1e-4) == 0)


def test_pressing_with_an_arm_cannot_tell_hard_plastics_apart():
    batch = nominal("ABS", "PE-HD", "mild-steel")
    travel = np.array([travel_at(batch, index, 3.0) for index in range(3)])
    # the arm gives way by 60 um at 3 N; plastics differ by less than the 8 um noise of its position
    assert abs(travel[0] - travel[1]) < 8e-6
    assert abs(travel[0] - travel[2]) < 8e-6
    soft = nominal("EPDM")
    assert travel_at(soft, 0, 3.0) - travel[0] > 25 * 8e-6


def travel_at(batch, index, force):
    low, high = 0.0, 0.02
    for _ in range(60):
        middle = 0.5 * (low + high)
        if contact.press_force(batch, middle)[index] < force:
            low = middle
        else:
            high = middle
    return low


def wall_of(*thickness_m, side_m=(0.04, 0.04), **overrides):
    count = len(thickness_m)
    batch = nominal(*["ABS"] * count)
    dimensions = np.tile([*side_m, 0.03], (count, 1))
    return batch.replace(wall_thickness_m=np.array(thickness_m), dimensions_m=dimensions, **overrides)


def test_thin_wall_bends_with_its_thickness_cubed():
    thickness = np.array([1e-3, 2e-3])
    stiffness = contact.wall_stiffness_n_m(wall_of(*thickness)) * (0.04 - 2.0 * thickness) ** 2
    assert stiffness[1] / stiffness[0] == pytest.approx(8.0, rel=1e-9)
    assert np.isinf(contact.wall_stiffness_n_m(nominal("ABS")))


def clamped_plate_deflection(aspect, cells=24):
    """`w D / (P b^2)` under a central load, by finite differences of the biharmonic equation; `b` is the short side."""
    nx, ny = round(cells * aspect) // 2 * 2, cells
    h = 1.0 / ny

    def second(count):
        matrix = np.zeros((count - 1, count - 1))
        matrix += np.diag(np.full(count - 1, -2.0)) + np.diag(np.ones(count - 2), 1) + np.diag(np.ones(count - 2), -1)
        return matrix / h**2

    def fourth(count):  # clamped: the mirror image beyond the edge
        matrix = second(count) @ second(count)
        matrix[0, 0] += 2.0 / h**4
        matrix[-1, -1] += 2.0 / h**4
        return matrix

    eye_x, eye_y = np.eye(nx - 1), np.eye(ny - 1)
    # the ends of second @ second stand for w = 0 and w'' = 0; a clamped edge adds 2 w / h^4
    system = np.kron(fourth(nx), eye_y) + 2.0 * np.kron(second(nx), second(ny)) + np.kron(eye_x, fourth(ny))
    load = np.zeros((nx - 1, ny - 1))
    load[nx // 2 - 1, ny // 2 - 1] = 1.0 / h**2
    return np.linalg.solve(system, load.ravel()).reshape(load.shape)[nx // 2 - 1, ny // 2 - 1]


@pytest.mark.parametrize("aspect", [1.0, 1.5, 2.0])
def test_walls_bend_as_a_clamped_plate_by_finite_differences(aspect):
    # the error falls with the square of the cell: extrapolated from two grids
    coarse, fine = (clamped_plate_deflection(aspect, cells) for cells in (12, 24))
    expected = fine + (fine - coarse) / 3.0
    wall = 1.5e-3
    batch = wall_of(wall, side_m=(0.03 + 2 * wall, 0.03 * aspect + 2 * wall))
    bending = batch.youngs_modulus_pa * wall**3 / (12.0 * (1.0 - batch.poisson**2))
    assert contact.wall_stiffness_n_m(batch)[0] == pytest.approx(bending[0] / (expected * 0.03**2), rel=0.02)


def test_ribs_shorten_the_span_and_round_walls_are_discs():
    wall, pitch = 1.5e-3, 0.02
    sides = (0.06, 0.09)
    plain, ribbed = (wall_of(wall, side_m=sides, rib_pitch_m=np.array([p])) for p in (np.inf, pitch))
    ratio = contact.wall_stiffness_n_m(ribbed)[0] / contact.wall_stiffness_n_m(plain)[0]
    # 1.5 to 1 against 2.9 to 1: long plates give way a little more
    assert ratio == pytest.approx(0.975 * ((0.06 - 2 * wall) / pitch) ** 2, rel=0.01)
    tube = wall_of(wall, shape=np.array([SHAPES.index("tube")]))
    bending = tube.youngs_modulus_pa * wall**3 / (12.0 * (1.0 - tube.poisson**2))
    disc = 16.0 * np.pi * bending / (0.5 * (0.04 - 2 * wall)) ** 2
    assert contact.wall_stiffness_n_m(tube) == pytest.approx(disc, rel=1e-9)


def test_a_wall_gives_way_less_beside_its_middle():
    batch = wall_of(1e-3, 1e-3).replace(wall_factor=np.array([1.0, 0.5]))
    stiffness = contact.wall_stiffness_n_m(batch)
    assert stiffness[1] == pytest.approx(2.0 * stiffness[0])


def test_a_press_beyond_the_yield_force_leaves_a_dent():
    batch = nominal("ABS", "ABS", "mild-steel").replace(yield_pa=np.array([np.inf, 45e6, 250e6]))
    onset = contact.yield_force_n(batch)
    star = contact.effective_modulus_pa(batch)
    pressure = (6.0 * onset * star**2 / (np.pi**3 * 0.005**2)) ** (1.0 / 3.0)
    assert pressure[1:] == pytest.approx(1.6 * batch.yield_pa[1:], rel=1e-9)
    assert np.all(contact.dent_depth_m(batch, 0.999 * np.minimum(onset, 5.0)) == 0.0)
    forces = np.linspace(1.0, 40.0, 40)
    marks = np.array([contact.dent_depth_m(batch, force) for force in forces])
    assert np.all(marks[:, 0] == 0.0)
    assert np.all(np.diff(marks, axis=0) >= 0.0)
    assert np.all(marks[-1, 1:] > 1e-6)
    # force against travel has no step at the onset, and its inverse is exact beyond
    travel = contact.press_displacement(batch, 1.5 * np.minimum(onset, 10.0))
    assert contact.press_force(batch, travel) == pytest.approx(1.5 * np.minimum(onset, 10.0), rel=1e-9)
    weak = batch.rows(slice(1, 3))
    at = contact.press_displacement(weak, onset[1:])
    around = [contact.press_force(weak, share * at) for share in (1.0 - 1e-6, 1.0 + 1e-6)]
    assert around[1] == pytest.approx(around[0], rel=1e-5)


def test_contact_times_of_the_literature():
    batch = nominal("mild-steel", "ABS", "PE-HD", "PE-LD", "EPDM")
    formula = contact.hertz_contact_time_s(batch, 0.1)
    assert formula * 1e6 == pytest.approx([150, 670, 890, 1700, 6700], rel=0.05)
    elastic = batch.replace(restitution=np.full(5, 0.999))
    times, impulse = contact.impact(elastic, 0.1)
    ended = np.array([np.interp(0.9999, i / i[-1], t) for t, i in zip(times, impulse, strict=True)])
    assert ended == pytest.approx(formula, rel=0.02)


@settings(max_examples=40, deadline=None)
@given(restitution=st.floats(0.1, 0.98), speed=st.floats(0.01, 0.2), wall=st.sampled_from([1e-3, 3e-3, np.inf]))
def test_energy_lost_in_a_tap_is_one_minus_e_squared(restitution, speed, wall):
    batch = nominal("ABS").replace(restitution=np.array([restitution]), wall_thickness_m=np.array([wall]))
    _, impulse = contact.impact(batch, speed)
    mass = contact.reduced_mass_kg(batch)[0]
    leaving = impulse[0, -1] / mass - speed
    assert np.all(np.diff(impulse) > -1e-9)
    lost = 1.0 - (leaving / speed) ** 2
    assert lost == pytest.approx(1.0 - restitution**2, rel=0.02)


def reference(batch, speed):
    """Taps by Runge-Kutta: times (N, M), impulse (N, M), contact time (N,), peak force (N,)."""
    mass, hertz = contact.reduced_mass_kg(batch), contact.hertz_stiffness(batch)
    compliance = 1.0 / contact.wall_stiffness_n_m(batch)
    damping = contact.damping_number(batch.restitution)
    times, travel, velocity = contact.integrate_impact(mass, hertz, compliance, damping, speed, 4.0)
    rows, after = np.arange(len(batch)), np.argmax(travel[:, 1:] <= 0.0, axis=1) + 1
    share = travel[rows, after - 1] / (travel[rows, after - 1] - travel[rows, after])
    ended = times[rows, after - 1] + share * (times[rows, after] - times[rows, after - 1])
    force = contact.series_force(travel, hertz[:, None], compliance[:, None])
    force = force * np.maximum(1.0 + (damping / speed)[:, None] * velocity, 0.0)
    return times, mass[:, None] * (speed[:, None] - velocity), ended, force.max(axis=1)


def test_taps_from_the_table_are_those_of_the_integration():
    batch = spots(400)
    speed = np.linspace(0.02, 0.06, 400)
    times, impulse, ended, peak = reference(batch, speed)
    found = contact.pulses(batch, speed)
    assert found.duration_s == pytest.approx(ended, rel=5e-3)
    # the peak between two places of the table
    fine = np.linspace(0.0, 1.0, 2001) * np.ones((400, 1))
    received = contact.received_until(found, fine)
    steepest = np.diff(received, axis=1).max(axis=1) * 2000.0 * found.impulse_n_s / found.duration_s
    assert steepest == pytest.approx(peak, rel=5e-3)
    ours = contact.received_until(found, times / found.duration_s[:, None]) * found.impulse_n_s[:, None]
    inside = times < ended[:, None]
    assert np.abs((ours - impulse) / found.impulse_n_s[:, None])[inside].max() < 5e-3


def test_peak_force_of_an_elastic_tap():
    batch = nominal("mild-steel", "ABS").replace(restitution=np.full(2, 0.999))
    times, impulse = contact.impact(batch, 0.1)
    peak = np.max(np.gradient(impulse, axis=1) / np.gradient(times, axis=1), axis=1)
    assert contact.pulses(batch, 0.1).peak_force_n == pytest.approx(peak, rel=0.01)
    assert peak == pytest.approx(contact.hertz_peak_force_n(0.05, contact.hertz_stiffness(batch), 0.1), rel=0.02)
    assert peak == pytest.approx([123, 27], rel=0.03)


def test_tap_speed_is_limited_beforehand():
    speed = contact.max_tap_speed(10.0, 2.3e9, 0.39)
    assert speed == pytest.approx(0.043, rel=0.03)
    hertz = contact.hertz_stiffness(nominal("ABS"))
    assert contact.hertz_peak_force_n(0.05, hertz, speed)[0] == pytest.approx(10.0, rel=1e-6)


def test_burst_conserves_the_impulse_and_is_quiet_before():
    batch = nominal("mild-steel", "ABS", "EPDM")
    quiet = DeviceDraw(burst_noise_m_s2=0.0)
    burst = contact.tap_burst(batch, 0.1, np.random.default_rng(1), quiet)
    assert burst.shape == (3, round(0.05 * 50_000))
    assert np.all(burst[:, :50] == 0.0)
    mass = contact.reduced_mass_kg(batch)
    expected = mass * 0.1 * (1 + batch.restitution) / contact.TIP_MASS_KG
    assert burst.sum(axis=1) / contact.BURST_RATE_HZ == pytest.approx(expected, rel=0.005)
    noisy = contact.tap_burst(batch, 0.1, np.random.default_rng(1))
    assert np.std(noisy[:, :50]) == pytest.approx(0.3, rel=0.15)


def test_burst_is_clipped_at_the_range_of_the_accelerometer():
    burst = contact.tap_burst(nominal("mild-steel"), 1.0, np.random.default_rng(1))
    assert burst.max() == contact.BURST_RANGE_M_S2


def test_reduced_mass_of_a_light_part_lengthens_nothing_beyond_its_support():
    light = nominal("ABS").replace(mass_kg=np.array([0.02]))
    heavy = nominal("ABS")
    assert contact.reduced_mass_kg(light)[0] == pytest.approx(0.05 * 0.52 / 0.57, rel=1e-9)
    assert contact.reduced_mass_kg(heavy)[0] == pytest.approx(0.05, rel=1e-6)


def test_rubber_slides_less_readily_under_light_load():
    batch = nominal("EPDM", "ABS")
    ratio = contact.friction_coefficient(batch, np.full(2, 8.0), 0.05) / contact.friction_coefficient(
        batch, np.full(2, 1.0), 0.05
    )
    assert ratio == pytest.approx([0.5, 1.0], rel=1e-9)


def test_water_lowers_friction_and_low_speed_raises_it():
    dry, wet = nominal("ABS"), nominal("ABS").replace(friction_factor=np.array([0.6]))
    normal = np.array([3.0])
    fast = contact.friction_coefficient(dry, normal, 0.1)
    assert contact.friction_coefficient(wet, normal, 0.1) / fast == pytest.approx(0.6)
    slow = contact.friction_coefficient(dry, normal, 1e-5)
    assert slow / fast == pytest.approx(1 + dry.stribeck_share, rel=1e-3)


def test_slide_has_a_peak_at_speed_over_pitch():
    batch = nominal("ABS").replace(texture_pitch_m=np.array([1e-3]), ripple=np.array([0.08]))
    rng, speed = np.random.default_rng(2), 0.05
    force = np.array([contact.slide_force(batch, 3.0, speed, t, rng)[0] for t in np.arange(0, 1, 1e-3)])
    spectrum = np.abs(np.fft.rfft(force - force.mean()))
    assert np.argmax(spectrum) == pytest.approx(50, abs=1)
    mean = contact.friction_coefficient(batch, np.array([3.0]), speed)[0] * 3.0
    assert force.mean() == pytest.approx(mean, rel=0.02)
    assert np.all(contact.slide_force(batch, 3.0, 0.0, 0.1, rng) == 0.0)


def test_a_slide_as_plain_numbers_is_a_slide_of_arrays():
    batch = spots(6).replace(ripple=np.full(6, 0.05))
    for index in range(6):
        one = batch.rows([index])
        law, noise = contact.FrictionLaw.of(one), np.random.default_rng(index).standard_normal()
        for normal, speed, time_s in ((2.0, 0.02, 0.1234), (5.0, 0.001, 0.5)):
            array = contact.slide_force(one, normal, speed, time_s, np.random.default_rng(index))
            plain = law.force(normal, speed, time_s, float(one.friction_factor[0]), float(noise))
            assert plain == pytest.approx(array[0], rel=1e-9)


def test_torch_gives_what_numpy_gives():
    torch = pytest.importorskip("torch")
    batch = spots(64)
    copy = batch.to(torch)
    travel, force = np.geomspace(1e-6, 5e-3, 64), np.linspace(0.1, 8.0, 64)
    pairs = [
        (contact.press_force(batch, travel), contact.press_force(copy, torch.asarray(travel))),
        (contact.press_displacement(batch, force), contact.press_displacement(copy, torch.asarray(force))),
        (contact.pad_force(batch, travel), contact.pad_force(copy, torch.asarray(travel))),
        (contact.dent_depth_m(batch, force), contact.dent_depth_m(copy, torch.asarray(force))),
        (
            contact.friction_coefficient(batch, force, 0.01),
            contact.friction_coefficient(copy, torch.asarray(force), 0.01),
        ),
        *zip(contact.pulses(batch, 0.04), contact.pulses(copy, 0.04), strict=True),
    ]
    for ours, theirs in pairs:
        np.testing.assert_allclose(to_numpy(theirs), ours, rtol=1e-6, atol=1e-15)


def test_pad_is_compliant_and_feels_foam():
    batch = batch_of("mild-steel", "PUR-foam")
    force = contact.pad_force(batch, 5e-4)
    assert force[0] == pytest.approx(5e-4 / (1e-4 + 2e-5), rel=0.01)
    assert force[1] < 0.3 * force[0]


def test_nothing_but_mechanics_is_felt():
    """All materials with equal mechanical properties: press, pad, slide and tap must not know which is which."""
    batch = batch_of(*MATERIALS)
    same = batch.replace(**{name: np.repeat(getattr(batch, name)[:1], len(batch), axis=0) for name in MECHANICS})
    for force in (contact.press_force(same, 2e-4), contact.pad_force(same, 3e-4)):
        assert np.ptp(force) == 0.0
    friction = contact.friction_coefficient(same, np.full(len(same), 3.0), 0.05)
    assert np.ptp(friction) == 0.0
    _, impulse = contact.impact(same, 0.05)
    assert np.ptp(impulse[:, -1]) == 0.0
