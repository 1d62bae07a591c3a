import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from palpate_agents.encoders.context import FeatureConfig, PartContext
from palpate_agents.encoders.features import FEATURE_NAMES, extract
from palpate_agents.encoders.reflectance import LEVEL_NAMES, spectral_levels
from palpate_agents.materials import MATERIALS
from palpate_agents.observation import Modality, Outcome, Primitive, ProbeExecution, ProbeWindows, SpectrumSample
from palpate_sim.batch import light
from palpate_sim.devices import DeviceBatch, draw_device_batch
from palpate_sim.keyed import combine, keys_of, uniform
from palpate_sim.objects import draw_parts
from palpate_sim.sensors.spectrum import WAVELENGTH_NM, measure, spot_radius_m
from palpate_sim.surface import draw_surface_maps, spot_batch

LEVELS = len(LEVEL_NAMES)
GRID = FeatureConfig().wavelength_nm


def probes(count, seed=1, mix="hard", **given_parts):
    """Spots, devices, stand-offs, tilts and keys of as many parts."""
    keys = keys_of(seed, np.arange(count))
    parts = draw_parts(keys, mix=mix, **given_parts)
    standoff = 0.01 + 0.03 * uniform(keys, "standoff")
    place = (uniform(keys, "place", (2,)) - 0.5) * 0.5 * parts.dimensions_m[:, :2]
    spot = spot_batch(parts, draw_surface_maps(parts), place, spot_radius_m(standoff))
    return spot, draw_device_batch(keys), standoff, 0.2 * uniform(keys, "tilt"), combine(keys, "probe")


def some(arguments, rows):
    spot, devices, *arrays = arguments
    return spot.rows(rows), devices.rows(rows), *(array[rows] for array in arrays)


def test_columns_are_those_of_the_features():
    found = light.spectrum(*probes(300))
    assert found.values.shape == (300, len(FEATURE_NAMES[Modality.SPECTRAL]))
    assert np.isfinite(found.values).all()
    assert found.reliability.shape == (300,)
    assert 0.0 < found.reliability.min() <= found.reliability.max() <= 1.0


def test_one_part_has_what_it_has_among_many():
    arguments = probes(light.ROWS + 30)
    many = light.spectrum(*arguments)
    for row in (0, 5, light.ROWS, light.ROWS + 29):
        one = light.spectrum(*some(arguments, slice(row, row + 1)))
        assert one.values[0] == pytest.approx(many.values[row], rel=1e-9)
        assert one.reliability[0] == pytest.approx(many.reliability[row], rel=1e-9)
        assert light.inductive(*some(arguments[:2] + arguments[4:], [row]))[0] == pytest.approx(
            light.inductive(arguments[0], arguments[1], arguments[4])[row], rel=1e-9
        )


def test_torch_gives_the_same():
    spot, devices, *arrays = probes(60)
    numpy_values = light.spectrum(spot, devices, *arrays)
    tensors = [torch.as_tensor(array) for array in arrays]
    torch_spot, torch_devices = spot.to(torch), devices.to(torch)
    torch_values = light.spectrum(torch_spot, torch_devices, *tensors)
    assert torch_values.values.numpy() == pytest.approx(numpy_values.values, rel=1e-6, abs=1e-9)
    assert torch_values.reliability.numpy() == pytest.approx(numpy_values.reliability, rel=1e-6)
    assert light.inductive(torch_spot, torch_devices, tensors[-1]).numpy() == pytest.approx(
        light.inductive(spot, devices, arrays[-1]), rel=1e-6, abs=1e-12
    )


def test_batched_features_are_those_of_raw_spectra():
    """40 parts, each with its device: mean and spread over repeated scans, by the extractor that the cell uses."""
    count, scans = 40, 16
    spot, devices, standoff, tilt, _ = arguments = probes(count, seed=4)
    rng = np.random.default_rng(0)
    look = ProbeExecution(Primitive.LOOK, Outcome.SUCCEEDED, 0, 1, contact_point_m=(0.5, 0.0, 0.05))
    gaps, spreads = [], []
    for row in range(count):
        part, device = spot.rows([row] * scans), devices.draw(row)
        raw = []
        for values in measure(part, device, float(standoff[row]), float(tilt[row]), rng):
            windows = ProbeWindows(spectra=[SpectrumSample(WAVELENGTH_NM, values)])
            features = extract(look, windows, PartContext())
            raw.append(
                np.concatenate([features.values[Modality.SPECTRAL], [features.reliability[Modality.SPECTRAL]]])
            )  # fmt: skip
        many = light.spectrum(*some(arguments[:4], [row] * 64), keys_of(row, np.arange(64)))
        batched = np.concatenate([many.values, many.reliability[:, None]], axis=1)
        raw = np.array(raw)
        error = np.sqrt(raw.var(axis=0, ddof=1) / scans + batched.var(axis=0, ddof=1) / 64) + 1e-7
        gaps.append((raw.mean(axis=0) - batched.mean(axis=0)) / error)
        spreads.append(np.log((raw.std(axis=0) + 1e-6) / (batched.std(axis=0) + 1e-6)))
    gaps = np.array(gaps)
    assert np.abs(gaps).max() < 6.0
    assert np.sqrt((gaps**2).mean()) == pytest.approx(1.05, abs=0.15)
    assert np.abs(np.median(spreads, axis=0)).max() < 0.25


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), row=st.integers(0, 3))
def test_levels_and_reliability_stay_in_bounds(seed, row):
    found = light.spectrum(*probes(4, seed=seed))
    levels, grid = found.values[row, :LEVELS], found.values[row, LEVELS:]
    assert np.isfinite(found.values).all()
    assert -4.0 <= levels[0] <= 0.5
    assert -0.01 < grid.min() <= grid.max() < 2.0
    assert 0.2 - 1e-9 <= found.reliability[row] <= 1.0


def test_levels_agree_with_their_definitions():
    rng = np.random.default_rng(0)
    spectra = 0.4 + 0.1 * np.sin(np.linspace(0, 9, 201)) * rng.uniform(0, 1, (5, 1)) + 1e-3 * rng.normal(size=(5, 201))
    levels, ratio = spectral_levels(spectra)
    place = np.linspace(-1, 1, 201)
    for y, found, over in zip(spectra, levels, ratio, strict=True):
        noise = np.median(np.abs(np.diff(y, n=3))) / 0.6745 / np.sqrt(20.0)
        line = np.polyfit(place, y, 1)
        smooth = np.convolve(y - np.polyval(line, place), np.ones(5) / 5, mode="valid")
        structure = np.sqrt(max(smooth.var() - noise**2 / 5, 0.0))
        expected = [
            np.log10(y.mean()), np.log10(np.percentile(y, 95)), line[0] / y.mean(), structure / y.mean(),
            np.log10(noise), np.log10(structure / noise),
        ]  # fmt: skip
        assert found == pytest.approx(expected, rel=1e-6)
        assert over == pytest.approx(structure / noise, rel=1e-6)
    gappy = spectra.copy()
    gappy[2, 40:60] = np.nan
    some_levels, _ = spectral_levels(gappy)
    assert some_levels[[0, 1, 3, 4]] == pytest.approx(levels[[0, 1, 3, 4]], rel=1e-12)
    assert np.isfinite(some_levels[2]).all()


def test_black_parts_are_blind_and_say_so():
    arguments = probes(200, mix="mix", materials=["PE-HD"] * 200, conditions=["clean", "black"] * 100)
    found = light.spectrum(*arguments)
    bare = (arguments[0].dirt_cover + arguments[0].label_cover) < 1e-3
    clean, black = np.arange(200) % 2 == 0, np.arange(200) % 2 == 1
    assert np.median(found.reliability[clean & bare]) > 0.95
    assert np.median(found.reliability[black & bare]) < 0.35


def test_a_shifted_axis_moves_bands():
    spot, _, standoff, tilt, keys = probes(40, materials=["PS"] * 40, conditions=["clean"] * 40)
    quiet = DeviceBatch.nominal(40).replace(spectral_snr=np.full(40, 1e9))
    shifted = quiet.replace(wavelength_shift_nm=np.full(40, 8.0))
    still, moved = (light.spectrum(spot, d, standoff, tilt, keys).values[:, LEVELS:] for d in (quiet, shifted))
    step = 8.0 / (GRID[1] - GRID[0])
    assert moved[:, 10:-10] == pytest.approx(still[:, 10 + int(step) : -10 + int(step)], abs=0.01)


def test_a_longer_grid_needs_a_longer_device():
    config = FeatureConfig(wavelength_stop_nm=2100.0)
    arguments = probes(12)
    far = arguments[1].replace(axis_end_nm=np.where(np.arange(12) % 2 == 0, 2150.0, 1700.0))
    found = light.spectrum(arguments[0], far, *arguments[2:], config)
    assert found.values.shape == (12, LEVELS + 301)
    assert np.isfinite(found.values[::2]).all()
    assert np.isnan(found.values[1::2]).all()  # two thirds of the grid: too little, as for a raw spectrum
    assert (found.reliability[1::2] == 0.0).all()


def test_equal_optics_make_materials_equal():
    """No leak: with the optical properties of one part, all materials give the same features."""
    count = len(MATERIALS)
    spot, devices, standoff, tilt, keys = probes(count, materials=list(MATERIALS), conditions=["clean"] * count)

    def first(array):
        return np.repeat(array[:1], count, axis=0)

    optics = {
        name: first(getattr(spot, name))
        for name in (*light.OPTICS, *light.COVERS)
        if getattr(spot, name, None) is not None
    }
    same = light.spectrum(
        spot.replace(**optics), devices.rows(np.zeros(count, int)), first(standoff), first(tilt), first(keys)
    )  # fmt: skip
    assert np.ptp(same.values, axis=0).max() < 1e-9
    metal = {"electrical_conductivity_s_m": first(spot.electrical_conductivity_s_m), "ferromagnetic": first(spot.metal)}
    bare = spot.replace(**optics, **metal, coat_um=np.zeros(count), label_um=np.zeros(count))
    assert np.ptp(light.inductive(bare, devices, first(keys)), axis=0).max() < 1e-12


def test_the_same_in_another_process():
    code = (
        "import numpy as np, zlib\n"
        "from test_batch_light import light, probes\n"
        "print(zlib.crc32(light.spectrum(*probes(20)).values.tobytes()))"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parent
        ).stdout.split()[-1]
        for _ in range(2)
    ]
    assert runs[0] == runs[1]


def test_speed():
    many = probes(512, mix="mix")
    one = some(many, slice(0, 1))

    def best(arguments, repeats):
        took = []
        for _ in range(repeats):
            start = time.process_time()
            light.spectrum(*arguments)
            took.append(time.process_time() - start)
        return min(took)

    assert best(many, 8) / 512 < 50e-6  # 22 us when nothing else runs
    assert best(one, 200) < 500e-6  # 0.23 ms
