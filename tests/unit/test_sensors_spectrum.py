import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palpate_agents.materials import MATERIALS
from palpate_sim.objects import DeviceDraw, PartBatch, part_from_seed
from palpate_sim.sensors import spectrum
from palpate_sim.sensors.spectrum import WAVELENGTH_NM

OPTICS = (
    "metal", "ceramic", "nir_bands", "band_strength", "base_reflectance", "carbon_black_q", "clear_absorption_per_mm",
    "coat_reflectance", "coat_band_strength", "film_um", "gloss", "transparency", "paint_transmission",
    "dimensions_m", "wall_thickness_m",
)  # fmt: skip


def batch_of(*names, condition="clean", seed=7):
    return PartBatch.of([part_from_seed(seed, 0, name, condition, "block") for name in names])


def opaque(batch, **overrides):
    return batch.replace(transparency=np.zeros(len(batch)), gloss=np.full(len(batch), 0.3), **overrides)


@settings(max_examples=200, deadline=None)
@given(q=st.floats(0.0, 1e6))
def test_kubelka_munk_and_its_inverse(q):
    reflectance = float(spectrum.kubelka_munk(np.array(q)))
    assert 0.0 < reflectance <= 1.0
    if q < 1e4:
        assert reflectance == pytest.approx(1 + q - np.sqrt(q * q + 2 * q), rel=1e-6, abs=1e-9)
    if q > 1e-6:
        assert float(spectrum.kubelka_munk_inverse(reflectance)) == pytest.approx(q, rel=1e-3)


def test_kubelka_munk_limits():
    assert spectrum.kubelka_munk(np.array([0.0])) == 1.0
    # a strong absorber: 1 / (2 q), relative error below 2 % from q = 50 on
    assert spectrum.kubelka_munk(np.array([100.0])) == pytest.approx(1 / 202, rel=0.02)
    # the notes' figures: a band of 0.3 changes R by 0.003 at q = 6, by 3e-4 to 6e-5 at q = 20 to 50
    change = spectrum.kubelka_munk(np.array([6.0, 20.0, 50.0])) - spectrum.kubelka_munk(np.array([6.3, 20.3, 50.3]))
    assert change == pytest.approx([0.003, 3.3e-4, 5.8e-5], rel=0.1)


@settings(max_examples=100, deadline=None)
@given(internal=st.floats(0.0, 1.0))
def test_saunderson_and_its_inverse(internal):
    outside = float(spectrum.saunderson(np.array(internal)))
    assert 0.0 <= outside <= 0.961
    assert float(spectrum.saunderson_inverse(np.array(outside))) == pytest.approx(internal, abs=1e-9)


def test_base_reflectance_is_what_is_measured_between_the_bands():
    batch = opaque(batch_of("PE-HD"), base_reflectance=np.array([0.75]))
    between = spectrum.reflectance(batch, np.array([1000.0, 1080.0]))[0]
    mirror = spectrum.SURFACE_EXTERNAL * (0.1 + 0.9 * 0.3)
    assert between - mirror == pytest.approx(0.75, rel=0.02)


def test_bands_are_where_the_catalogue_has_them():
    batch = opaque(batch_of("PE-HD", "PS"))
    fine = np.arange(1100.0, 1300.0, 0.5)
    curve = spectrum.reflectance(batch, fine)
    assert fine[np.argmin(curve[0])] == pytest.approx(1211, abs=5)
    assert fine[np.argmin(curve[1])] == pytest.approx(1143, abs=5)


def test_slit_keeps_the_area_of_a_narrow_band():
    fine = np.arange(1300.0, 1500.0, 0.05)
    talc = np.array([[1392.0, 0.35, 8.0]])
    seen = spectrum.band_sum(talc, fine)
    true_area = 0.35 * 8.0 * np.sqrt(np.pi / (4 * np.log(2)))
    assert np.trapezoid(seen, fine) == pytest.approx(true_area, rel=0.001)
    assert seen.max() == pytest.approx(0.35 * 8 / np.hypot(8, spectrum.RESOLUTION_NM), rel=1e-6)


def test_carbon_black_blinds():
    """The same device that tells PE from PS by hundreds of its noise sees nothing on black ones."""
    devices = DeviceDraw.nominal()
    noise = spectrum.noise_shape(WAVELENGTH_NM) / devices.spectral_snr
    results = {}
    for name, q in (("clean", 0.0), ("black", 35.0)):
        batch = opaque(batch_of("PE-HD", "PS"), carbon_black_q=np.full(2, q), base_reflectance=np.full(2, 0.72))
        batch = batch.replace(band_strength=np.full(2, 0.3))
        first, second = spectrum.reflectance(batch, WAVELENGTH_NM)
        shape = first - first.mean() - (second - second.mean())
        results[name] = np.max(np.abs(shape) / noise)
    assert results["clean"] > 100
    assert results["black"] < 0.5


def test_opaque_coat_hides_the_substrate_and_a_thin_one_lets_its_share_through():
    batch = batch_of("PE-HD", "Cu", "EPDM", condition="painted")
    same_coat = opaque(batch, coat_reflectance=np.full(3, 0.6), coat_band_strength=np.full(3, 0.1))
    hidden = spectrum.reflectance(same_coat.replace(paint_transmission=np.zeros(3)), WAVELENGTH_NM)
    assert np.ptp(hidden, axis=0).max() < 1e-12
    substrate = np.array([[0.0], [0.5]])
    pair = opaque(batch_of("PP", "PP", condition="painted"), paint_transmission=np.full(2, 0.36))
    seen = spectrum.coated_reflectance(pair, substrate, np.array([1000.0]))[:, 0]
    coat = seen[0]
    assert seen[1] - coat == pytest.approx(0.36 * 0.5 / (1 - coat * 0.5), rel=1e-9)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6), name=st.sampled_from(MATERIALS), condition=st.sampled_from(["clean", "wet", "painted"])
)
def test_no_part_reflects_more_than_it_gets(seed, name, condition):
    batch = PartBatch.of([part_from_seed(seed, 0, name, condition)])
    seen = spectrum.reflectance(batch, WAVELENGTH_NM, 0.0)
    assert seen.min() >= 0.0
    assert seen.max() <= 1.0


def test_water_film_has_waters_bands_and_grows_with_its_thickness():
    dry = np.arange(900.0, 1700.0, 2.0)
    through = spectrum.water_transmission(np.array([50.0, 200.0]), dry)
    assert dry[np.argmin(through[0])] == pytest.approx(1450, abs=10)
    local = (dry > 930) & (dry < 1020)
    assert dry[local][np.argmin(through[1][local])] == pytest.approx(972, abs=10)
    assert np.log(through[1]) == pytest.approx(4 * np.log(through[0]), rel=1e-9)
    depth = -np.log(through[1][np.argmin(np.abs(dry - 1450))])
    assert depth == pytest.approx(2.2 * 0.02 * 28.6, rel=0.02)


def test_clear_part_absorbs_twice_through_its_thickness():
    batch = batch_of("PMMA", "PMMA").replace(
        transparency=np.ones(2), wall_thickness_m=np.array([1e-3, 2e-3]), dimensions_m=np.full((2, 3), 0.04)
    )
    clear = spectrum.substrate_reflectance(batch, np.array([1668.0])) / spectrum.TABLE_REFLECTANCE
    # two walls of 1 mm passed twice are 4 mm of material, of 2 mm 8 mm
    assert np.log(clear[1]) == pytest.approx(2 * np.log(clear[0]), rel=1e-9)
    absorption = spectrum.CLEAR_BASE_PER_MM + batch.clear_absorption_per_mm[0] * spectrum.band_sum(
        batch.nir_bands[0], np.array([1668.0])
    )
    assert -np.log(clear[0]) == pytest.approx(4 * absorption, rel=1e-9)


def test_metals_are_flat():
    batch = batch_of("Al6061", "Cu", "SS304")
    seen = spectrum.reflectance(batch, WAVELENGTH_NM)
    assert np.ptp(seen, axis=1).max() < 1e-12


def test_noise_is_one_over_the_signal_to_noise_of_the_device():
    batch = PartBatch.of([part_from_seed(1, 0, "PE-HD", "black", "block")] * 4000)
    devices = DeviceDraw(spectral_snr=1200.0)
    seen = spectrum.measure(batch, devices, 0.01, 0.3, np.random.default_rng(0))
    middle = np.abs(WAVELENGTH_NM - 1300) < 200
    # neighbours differ by noise alone, level and slope are common to a spectrum
    differences = np.diff(seen[:, middle], axis=1)
    assert np.std(differences - differences.mean(axis=0)) == pytest.approx(np.sqrt(2) / 1200, rel=0.02)


def test_devices_shift_the_axis_and_the_gain():
    batch = opaque(batch_of("PS"))
    fine = {
        shift: spectrum.measure(
            batch, DeviceDraw(wavelength_shift_nm=shift, spectral_snr=1e9), 0.01, 0.0, np.random.default_rng(0)
        )[0]
        for shift in (0.0, 8.0)
    }
    inner = slice(5, -5)
    expected = np.interp(WAVELENGTH_NM + 8.0, WAVELENGTH_NM, fine[0.0])
    assert fine[8.0][inner] == pytest.approx(expected[inner], abs=0.01)
    assert np.abs(fine[8.0] - fine[0.0]).max() > 0.02
    double = spectrum.measure(
        batch, DeviceDraw(spectral_gain=1.5, spectral_snr=1e9), 0.01, 0.0, np.random.default_rng(0)
    )
    assert double[0] == pytest.approx(1.5 * fine[0.0], rel=1e-6)


def test_light_falls_off_with_distance_and_tilt():
    batch = opaque(batch_of("PP"))
    quiet = DeviceDraw(spectral_snr=1e9)
    near, far, tilted = (
        spectrum.measure(batch, quiet, standoff, angle, np.random.default_rng(0)).mean()
        for standoff, angle in ((0.01, 0.5), (0.06, 0.5), (0.01, 1.0))
    )
    assert far / near == pytest.approx((1 + 1 / 36) / 2, rel=0.01)
    assert tilted / near == pytest.approx(np.cos(1.0) / np.cos(0.5), rel=0.01)


def test_table_is_flat_and_falls_off_alike():
    quiet = DeviceDraw(spectral_snr=1e9)
    near, far = (spectrum.measure_table(quiet, distance, 0.0, np.random.default_rng(0)) for distance in (0.01, 0.06))
    assert far / near == pytest.approx((1 + 1 / 36) / 2, rel=1e-6)
    assert near.mean() == pytest.approx(float(spectrum.saunderson(np.array(spectrum.TABLE_REFLECTANCE))), rel=0.06)
    assert np.ptp(near) / near.mean() < 0.06


def test_nothing_but_optics_is_seen():
    """All materials with equal optical properties: the spectrum must not know which is which."""
    batch = batch_of(*MATERIALS)
    same = batch.replace(**{name: np.repeat(getattr(batch, name)[:1], len(batch), axis=0) for name in OPTICS})
    assert np.ptp(spectrum.reflectance(same, WAVELENGTH_NM, 0.1), axis=0).max() == 0.0
    # and the properties of the other senses change nothing
    other = batch.replace(
        conductivity_w_mk=batch.conductivity_w_mk * 3, emissivity=batch.emissivity * 0.5, friction=batch.friction * 2
    )
    assert np.array_equal(spectrum.reflectance(other, WAVELENGTH_NM), spectrum.reflectance(batch, WAVELENGTH_NM))
