import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palpate_agents.materials import MATERIALS
from palpate_sim import contact
from palpate_sim.objects import DeviceDraw, PartBatch, part_from_seed

MECHANICS = (
    "indentation_modulus_pa", "youngs_modulus_pa", "poisson", "restitution", "friction", "friction_exponent", "mass_kg",
    "dimensions_m", "wall_thickness_m", "texture_pitch_m", "ripple", "stribeck_share", "stribeck_speed_m_s",
)  # fmt: skip


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
    for index, part in enumerate(both.parts):
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


def test_thin_wall_bends_with_its_thickness_cubed():
    batch = nominal("ABS", "ABS")
    batch = batch.replace(wall_thickness_m=np.array([1e-3, 2e-3]), dimensions_m=np.full((2, 3), 0.04))
    radius = 0.02 - np.array([1e-3, 2e-3])
    stiffness = contact.wall_stiffness_n_m(batch) * radius**2
    assert stiffness[1] / stiffness[0] == pytest.approx(8.0, rel=1e-9)
    assert np.isinf(contact.wall_stiffness_n_m(nominal("ABS")))


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
    lost = 1.0 - (leaving / speed) ** 2
    assert lost == pytest.approx(1.0 - restitution**2, rel=0.02)


def test_peak_force_of_an_elastic_tap():
    batch = nominal("mild-steel", "ABS").replace(restitution=np.full(2, 0.999))
    times, impulse = contact.impact(batch, 0.1)
    peak = np.max(np.gradient(impulse, axis=1) / np.gradient(times, axis=1), axis=1)
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
