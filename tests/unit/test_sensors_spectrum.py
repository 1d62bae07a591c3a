from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palpate_agents.materials import MATERIALS
from palpate_sim.devices import DeviceDraw
from palpate_sim.keyed import keys_of, uniform
from palpate_sim.objects import draw_parts
from palpate_sim.part_batch import CONDITIONS
from palpate_sim.sensors import nir_physics as nir
from palpate_sim.sensors import spectrum
from palpate_sim.sensors.spectrum import WAVELENGTH_NM
from palpate_sim.surface import draw_surface_maps, spot_batch

OPTICS = (
    "metal", "ceramic", "nir_bands", "band_strength", "base_reflectance", "carbon_black_q", "clear_absorption_per_mm",
    "coat_reflectance", "coat_band_strength", "coat_gloss", "coat_um", "film_um", "gloss", "transparency",
    "paint_transmission", "dimensions_m", "wall_thickness_m",
)  # fmt: skip


def batch_of(*names, condition="clean", seed=7):
    count = len(names)
    return draw_parts(keys_of(seed, np.zeros(count)), materials=list(names), conditions=[condition] * count)


def opaque(batch, **overrides):
    return batch.replace(transparency=np.zeros(len(batch)), gloss=np.full(len(batch), 0.3), **overrides)


@settings(max_examples=200, deadline=None)
@given(q=st.floats(0.0, 1e6))
def test_kubelka_munk_and_its_inverse(q):
    reflectance = float(nir.kubelka_munk(np.array(q)))
    assert 0.0 < reflectance <= 1.0
    if q < 1e4:
        assert reflectance == pytest.approx(1 + q - np.sqrt(q * q + 2 * q), rel=1e-6, abs=1e-9)
    if q > 1e-6:
        assert float(nir.kubelka_munk_inverse(reflectance)) == pytest.approx(q, rel=1e-3)


def test_kubelka_munk_limits():
    assert nir.kubelka_munk(np.array([0.0])) == 1.0
    # a strong absorber: 1 / (2 q), relative error below 2 % from q = 50 on
    assert nir.kubelka_munk(np.array([100.0])) == pytest.approx(1 / 202, rel=0.02)
    # the notes' figures: a band of 0.3 changes R by 0.003 at q = 6, by 3e-4 to 6e-5 at q = 20 to 50
    change = nir.kubelka_munk(np.array([6.0, 20.0, 50.0])) - nir.kubelka_munk(np.array([6.3, 20.3, 50.3]))
    assert change == pytest.approx([0.003, 3.3e-4, 5.8e-5], rel=0.1)


@settings(max_examples=100, deadline=None)
@given(internal=st.floats(0.0, 1.0))
def test_saunderson_and_its_inverse(internal):
    outside = float(nir.saunderson(np.array(internal)))
    assert 0.0 <= outside <= 0.961
    assert float(nir.saunderson_inverse(np.array(outside))) == pytest.approx(internal, abs=1e-9)


def test_base_reflectance_is_what_is_measured_between_the_bands():
    batch = opaque(batch_of("PE-HD"), base_reflectance=np.array([0.75]))
    between = nir.reflectance(batch, np.array([1000.0, 1080.0]))[0]
    mirror = nir.SURFACE_EXTERNAL * (0.1 + 0.9 * 0.3)
    assert between - mirror == pytest.approx(0.75, rel=0.02)


def test_bands_are_where_the_catalogue_has_them():
    batch = opaque(batch_of("PE-HD", "PS"))
    fine = np.arange(1100.0, 1300.0, 0.5)
    curve = nir.reflectance(batch, fine)
    assert fine[np.argmin(curve[0])] == pytest.approx(1211, abs=5)
    assert fine[np.argmin(curve[1])] == pytest.approx(1143, abs=5)


def test_slit_keeps_the_area_of_a_narrow_band():
    fine = np.arange(1300.0, 1500.0, 0.05)
    talc = np.array([[1392.0, 0.35, 8.0]])
    seen = nir.band_sum(talc, fine)
    true_area = 0.35 * 8.0 * np.sqrt(np.pi / (4 * np.log(2)))
    assert np.trapezoid(seen, fine) == pytest.approx(true_area, rel=0.001)
    assert seen.max() == pytest.approx(0.35 * 8 / np.hypot(8, nir.RESOLUTION_NM), rel=1e-6)


def test_bands_are_the_same_for_few_parts_and_for_many():
    batch = draw_parts(keys_of(3, np.arange(40)))
    many = nir.substrate_reflectance(batch, WAVELENGTH_NM)
    for row in (0, 7, 23):
        one = nir.substrate_reflectance(batch.rows(slice(row, row + 1)), WAVELENGTH_NM)[0]
        assert one == pytest.approx(many[row], rel=1e-12)


def test_a_blend_mixes_absorption_and_scattering_not_reflectance():
    shares = np.array([0.0, 0.3, 0.6, 1.0])
    key = keys_of(5, 0)[0]
    blend = draw_parts(np.full(200, key) + np.arange(200), materials=["PC/ABS"] * 200, conditions=["clean"] * 200)
    blend = opaque(blend, band_strength=np.full(200, 0.4), base_reflectance=np.full(200, 0.7))
    q = nir.band_sum(blend.nir_bands, np.array([1659.0, 1675.0]))  # bands of PC and of ABS
    order = np.argsort(blend.blend_fraction)
    poor, rich = order[:40], order[-40:]
    assert np.median(q[rich, 0] / q[rich, 1]) > 1.1 * np.median(q[poor, 0] / q[poor, 1])
    pure_pc, pure_abs = 0.5, 0.02  # K/S at a band of the first polymer alone
    mixed = nir.kubelka_munk(shares * pure_pc + (1.0 - shares) * pure_abs)
    ends = nir.kubelka_munk(np.array([pure_abs, pure_pc]))
    assert mixed[0] == pytest.approx(ends[0])
    assert mixed[-1] == pytest.approx(ends[1])
    assert np.all(mixed[1:-1] < (1.0 - shares[1:-1]) * ends[0] + shares[1:-1] * ends[1])
    seen = nir.reflectance(blend, np.array([1659.0]))[:, 0]
    assert np.corrcoef(seen, blend.blend_fraction)[0, 1] < -0.4  # PC absorbs there


def test_carbon_black_blinds():
    """The same device that tells PE from PS by hundreds of its noise sees nothing on black ones."""
    noise = spectrum.noise_shape(WAVELENGTH_NM) / DeviceDraw.nominal().spectral_snr
    results = {}
    for name, q in (("clean", 0.0), ("black", 35.0)):
        batch = opaque(batch_of("PE-HD", "PS"), carbon_black_q=np.full(2, q), base_reflectance=np.full(2, 0.72))
        batch = batch.replace(band_strength=np.full(2, 0.3))
        first, second = nir.reflectance(batch, WAVELENGTH_NM)
        shape = first - first.mean() - (second - second.mean())
        results[name] = np.max(np.abs(shape) / noise)
    assert results["clean"] > 100
    assert results["black"] < 0.5


def test_opaque_coat_hides_the_substrate_and_a_thin_one_lets_its_share_through():
    batch = batch_of("PE-HD", "Cu", "EPDM", condition="painted")
    same_coat = opaque(
        batch, coat_reflectance=np.full(3, 0.6), coat_band_strength=np.full(3, 0.1), coat_gloss=np.full(3, 0.4)
    )
    hidden = nir.reflectance(same_coat.replace(paint_transmission=np.zeros(3)), WAVELENGTH_NM)
    assert np.ptp(hidden, axis=0).max() < 1e-12
    substrate = np.array([[0.0], [0.5]])
    pair = batch_of("PP", "PP", condition="painted")
    seen = nir.coated_reflectance(
        np.full(2, 0.36), pair.coat_reflectance, pair.coat_band_strength, substrate, np.array([1000.0])
    )[:, 0]
    coat = seen[0]
    assert seen[1] - coat == pytest.approx(0.36 * 0.5 / (1 - coat * 0.5), rel=1e-9)


def test_covers_mix_by_area():
    """Half a coat is the mean of none and all of it; so are label and dirt, which lie over the coat."""
    batch = opaque(batch_of("PE-HD", condition="painted")).replace(film_um=np.zeros(1), label_um=np.array([80.0]))

    def seen(**covers):
        shares = {f"{name}_cover": np.array([covers.get(name, 0.0)]) for name in ("coat", "label", "dirt", "film")}
        return nir.reflectance(batch.replace(**shares), WAVELENGTH_NM, 0.2)[0]

    bare, coated, label, dirt = seen(), seen(coat=1.0), seen(label=1.0), seen(dirt=1.0)
    assert seen(coat=0.3) == pytest.approx(0.7 * bare + 0.3 * coated, rel=1e-12)
    assert seen(coat=0.5, label=0.4) == pytest.approx(0.6 * (0.5 * bare + 0.5 * coated) + 0.4 * label, rel=1e-12)
    assert seen(coat=1.0, dirt=0.2) == pytest.approx(0.8 * coated + 0.2 * dirt, rel=1e-12)
    assert np.abs(bare - coated).max() > 0.02
    assert label == pytest.approx(nir.label_reflectance(batch.label_reflectance, WAVELENGTH_NM)[0], rel=1e-12)
    assert WAVELENGTH_NM[np.argmin(label)] == pytest.approx(1475, abs=30)  # cellulose


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6), name=st.sampled_from(MATERIALS), condition=st.sampled_from(CONDITIONS),
    angle=st.floats(0.0, 0.5),
)  # fmt: skip
def test_no_part_reflects_more_than_it_gets(seed, name, condition, angle):
    batch = batch_of(name, condition=condition, seed=seed)
    spot = spot_batch(batch, draw_surface_maps(batch), np.zeros((1, 2)), 0.004)
    for part in (batch, spot):
        seen = nir.reflectance(part, spectrum.EXTENDED_NM, angle)
        assert np.isfinite(seen).all()
        assert seen.min() >= 0.0
        assert seen.max() <= 1.0


def test_water_film_has_waters_bands_and_grows_with_its_thickness():
    dry = np.arange(900.0, 2140.0, 2.0)
    through = nir.water_transmission(np.array([50.0, 200.0]), dry)
    assert dry[np.argmin(through[0])] == pytest.approx(1940, abs=10)
    for band, low, high in ((972, 930, 1020), (1190, 1150, 1240), (1450, 1350, 1600)):
        local = (dry > low) & (dry < high)
        assert dry[local][np.argmin(through[1][local])] == pytest.approx(band, abs=10)
    assert np.log(through[1]) == pytest.approx(4 * np.log(through[0]), rel=1e-9)
    depth = -np.log(through[1][np.argmin(np.abs(dry - 1450))])
    assert depth == pytest.approx(2.2 * 0.02 * 28.6, rel=0.02)


def test_a_film_darkens_the_share_that_it_covers():
    batch = opaque(batch_of("PP")).replace(film_um=np.array([120.0]))
    dry = nir.reflectance(batch.replace(film_cover=np.zeros(1)), WAVELENGTH_NM)
    half = nir.reflectance(batch.replace(film_cover=np.full(1, 0.5)), WAVELENGTH_NM)
    wet = nir.reflectance(batch.replace(film_cover=np.ones(1)), WAVELENGTH_NM)
    assert wet / dry == pytest.approx(nir.water_transmission(np.array([120.0]), WAVELENGTH_NM), rel=1e-9)
    assert half == pytest.approx(0.5 * (dry + wet), rel=1e-12)


def test_clear_part_absorbs_twice_through_its_thickness():
    batch = batch_of("PMMA", "PMMA").replace(
        transparency=np.ones(2), wall_thickness_m=np.array([1e-3, 2e-3]), dimensions_m=np.full((2, 3), 0.04)
    )
    clear = nir.substrate_reflectance(batch, np.array([1668.0])) / nir.TABLE_REFLECTANCE
    # two walls of 1 mm passed twice are 4 mm of material, of 2 mm 8 mm
    assert np.log(clear[1]) == pytest.approx(2 * np.log(clear[0]), rel=1e-9)
    absorption = nir.CLEAR_BASE_PER_MM + batch.clear_absorption_per_mm[0] * nir.band_sum(
        batch.nir_bands[0], np.array([1668.0])
    )
    assert -np.log(clear[0]) == pytest.approx(4 * absorption, rel=1e-9)


def test_metals_are_flat():
    seen = nir.reflectance(batch_of("Al6061", "Cu", "SS304"), WAVELENGTH_NM)
    assert np.ptp(seen, axis=1).max() < 1e-12


def test_noise_is_one_over_the_signal_to_noise_of_the_device():
    batch = opaque(batch_of(*["PE-HD"] * 4000, condition="black"))
    seen = spectrum.measure(batch, DeviceDraw(spectral_snr=1200.0), 0.01, 0.3, np.random.default_rng(0))
    middle = np.abs(WAVELENGTH_NM - 1300) < 200
    # neighbours differ by noise alone, level and slope are common to a spectrum, the references to all spectra
    differences = np.diff(seen[:, middle], axis=1)
    assert np.std(differences - differences.mean(axis=0)) == pytest.approx(np.sqrt(2) / 1200, rel=0.02)
    edge = np.diff(seen[:, -3:], axis=1)
    assert np.std(edge - edge.mean(axis=0)) == pytest.approx(2.5 * np.sqrt(2) / 1200, rel=0.05)


def test_reflectance_is_counts_over_the_references():
    """Without noise dark level and lamp cancel; with noise the references carry a quarter of that of a scan."""
    seen = np.tile(np.linspace(0.1, 0.9, len(WAVELENGTH_NM)), (300, 1))
    numbers = np.zeros((300, len(WAVELENGTH_NM) + spectrum.SCAN_NUMBERS))
    quiet = spectrum.scan(seen, DeviceDraw(spectral_snr=1e12), 0.01, 0.0, numbers)
    assert quiet.reflectance == pytest.approx(seen, rel=1e-8)
    assert quiet.dark.max() == pytest.approx(spectrum.DARK_SHARE * spectrum.FULL_SCALE, rel=1e-6)
    assert np.ptp(quiet.white) > 0.3 * spectrum.FULL_SCALE  # the lamp and the detector fade at the ends
    noisy = [
        spectrum.scan(seen[:1], DeviceDraw(spectral_snr=1000.0, reference_place=place), 0.01, 0.0, numbers[:1])
        for place in uniform(keys_of(1, np.arange(400)), "place").tolist()
    ]
    peak = spectrum.WHITE_SHARE * spectrum.FULL_SCALE
    dark = np.array([scan.dark for scan in noisy])
    assert dark.std() == pytest.approx(peak / 1000.0 / 4.0, rel=0.02)
    again = spectrum.scan(seen[:1], DeviceDraw(spectral_snr=1000.0, reference_place=0.3), 0.01, 0.0, numbers[:1])
    same = spectrum.scan(seen[:1], DeviceDraw(spectral_snr=1000.0, reference_place=0.3), 0.01, 0.0, numbers[:1])
    assert np.array_equal(again.white, same.white)


def test_detector_saturates_on_a_mirror_before_the_fibre():
    numbers = np.zeros((1, len(WAVELENGTH_NM) + spectrum.SCAN_NUMBERS))
    bright = spectrum.scan(np.full((1, len(WAVELENGTH_NM)), 2.5), DeviceDraw(), 0.01, 0.0, numbers)
    assert bright.counts.max() == spectrum.FULL_SCALE
    most = (spectrum.FULL_SCALE * (1 - spectrum.DARK_SHARE)) / (spectrum.WHITE_SHARE * spectrum.FULL_SCALE)
    assert bright.reflectance[0, 114] == pytest.approx(most, rel=0.01)


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
    local = (WAVELENGTH_NM > 1100) & (WAVELENGTH_NM < 1180)
    bands = [np.polyfit(WAVELENGTH_NM[local], fine[shift][local], 4) for shift in (0.0, 8.0)]
    grid = np.arange(1115.0, 1165.0, 0.1)
    minima = [grid[np.argmin(np.polyval(band, grid))] for band in bands]
    assert minima[0] - minima[1] == pytest.approx(8.0, abs=1.0)  # the band of PS at 1143 nm
    double = spectrum.measure(
        batch, DeviceDraw(spectral_gain=1.5, spectral_snr=1e9), 0.01, 0.0, np.random.default_rng(0)
    )
    drift = 4.0 * spectrum.DARK_DRIFT
    assert double[0] == pytest.approx(1.5 * fine[0.0], rel=1e-6, abs=drift)


def test_an_extended_device_has_the_same_channels_and_more():
    batch = opaque(batch_of("PE-HD"), film_um=np.array([100.0]))
    short, long = DeviceDraw(spectral_snr=1e9), DeviceDraw(spectral_snr=1e9, axis_end_nm=2150.0)
    assert spectrum.axis_of(2150.0)[:228] == pytest.approx(WAVELENGTH_NM, abs=1e-9)
    assert spectrum.axis_of(2150.0)[-1] == pytest.approx(2150.0, abs=4.0)
    first = spectrum.measure(batch, short, 0.01, 0.0, np.random.default_rng(0))
    second = spectrum.measure(batch, long, 0.01, 0.0, np.random.default_rng(0))
    assert second.shape == (1, 356)
    shape = second[0, :228] / first[0]
    assert np.ptp(shape / np.poly1d(np.polyfit(WAVELENGTH_NM, shape, 1))(WAVELENGTH_NM)) < 2e-3
    beyond = spectrum.EXTENDED_NM > 1750
    assert spectrum.EXTENDED_NM[beyond][np.argmin(second[0, beyond])] == pytest.approx(1940, abs=10)


def test_light_falls_off_with_distance_and_tilt():
    batch = opaque(batch_of("PP"))
    quiet = DeviceDraw(spectral_snr=1e9)
    near, far, tilted = (
        spectrum.measure(batch, quiet, standoff, angle, np.random.default_rng(0)).mean()
        for standoff, angle in ((0.01, 0.5), (0.06, 0.5), (0.01, 1.0))
    )
    assert far / near == pytest.approx((1 + 1 / 36) / 2, rel=0.01)
    assert tilted / near == pytest.approx(np.cos(1.0) / np.cos(0.5), rel=0.01)
    assert spectrum.spot_radius_m(0.1) > spectrum.spot_radius_m(0.01)


def test_table_is_flat_and_falls_off_alike():
    quiet = DeviceDraw(spectral_snr=1e9)
    near, far = (spectrum.measure_table(quiet, distance, 0.0, np.random.default_rng(0)) for distance in (0.01, 0.06))
    assert far / near == pytest.approx((1 + 1 / 36) / 2, rel=2e-3)
    assert near.mean() == pytest.approx(float(nir.saunderson(np.array(nir.TABLE_REFLECTANCE))), rel=0.06)
    assert np.ptp(near) / near.mean() < 0.06


def test_nothing_but_optics_is_seen():
    """All materials with equal optical properties: the spectrum must not know which is which."""
    batch = batch_of(*MATERIALS)
    same = batch.replace(**{name: np.repeat(getattr(batch, name)[:1], len(batch), axis=0) for name in OPTICS})
    assert np.ptp(nir.reflectance(same, WAVELENGTH_NM, 0.1), axis=0).max() < 1e-14
    # a body of nothing but its optics is enough
    alone = SimpleNamespace(**{name: getattr(batch, name) for name in OPTICS})
    assert np.array_equal(nir.reflectance(alone, WAVELENGTH_NM), nir.reflectance(batch, WAVELENGTH_NM))
