import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palpate_agents.materials import MATERIALS, material
from palpate_sim.batch import light
from palpate_sim.devices import draw_device_batch
from palpate_sim.keyed import keys_of
from palpate_sim.objects import draw_parts
from palpate_sim.sensors import inductive


def change(conductivity=25e6, permeability=1.0, depth=np.inf, lift=inductive.WEAR_CAP_M, **options):
    values = np.broadcast_arrays(*np.atleast_1d(conductivity, permeability, depth, lift))
    return inductive.impedance_change(*(np.array(value, float) for value in values), **options)


def separation(first, second, count=400):
    """Distance of two materials' readings over their spread, along the direction that tells them best."""
    keys = keys_of(2, np.arange(count))
    readings = []
    for name in (first, second):
        parts = draw_parts(keys, materials=[name] * count, conditions=["clean"] * count)
        parts = parts.replace(label_um=np.zeros(count), wall_thickness_m=np.full(count, np.inf))
        readings.append(light.inductive(parts, draw_device_batch(keys), keys))
    gap = readings[0].mean(axis=0) - readings[1].mean(axis=0)
    spread = 0.5 * (np.cov(readings[0].T) + np.cov(readings[1].T))
    return float(np.sqrt(gap @ np.linalg.solve(spread, gap)))


def test_nodes_are_enough():
    metals = [58e6, 25e6, 14e6, 1.4e6, 1e4]
    assert change(metals) == pytest.approx(change(metals, nodes=400), rel=5e-3, abs=1e-6)
    iron = change([6.5e6], 100.0)
    assert iron == pytest.approx(change([6.5e6], 100.0, nodes=400), rel=5e-3)


def test_limits():
    nothing = change([0.0])
    assert np.abs(nothing).max() < 1e-12
    perfect = change([1e13])[0]
    frequencies, weights = inductive.coil_weights()
    mirror = -np.sum(weights * np.exp(-2.0 * frequencies * inductive.WEAR_CAP_M))  # an image coil of opposite current
    assert perfect[0] == pytest.approx(mirror, rel=2e-3)
    assert abs(perfect[1]) < 2e-3
    weak = change([2e3, 4e3], depth=1e-3)  # far below the skin depth losses grow with conductivity
    assert weak[1, 1] == pytest.approx(2 * weak[0, 1], rel=0.02)
    far = change(lift=[1e-3, 50e-3])
    assert np.abs(far[1]).max() < 1e-3 * np.abs(far[0]).max()
    insulating_iron = change([0.0], 100.0)[0]
    assert insulating_iron[0] == pytest.approx(-99.0 / 101.0 * mirror, rel=2e-3)
    assert abs(insulating_iron[1]) < 1e-12


def test_a_wall_thicker_than_the_skin_is_a_half_space():
    conductivity = 25e6
    skin = np.sqrt(1.0 / (np.pi * inductive.FREQUENCY_HZ * inductive.MU0 * conductivity))
    thin, thick, solid = change(conductivity, depth=[0.3 * skin, 5.0 * skin, np.inf])
    assert thick == pytest.approx(solid, rel=1e-3)
    assert np.abs(thin - solid).max() > 0.02


@settings(max_examples=100, deadline=None)
@given(
    conductivity=st.floats(0.0, 6e7), permeability=st.floats(1.0, 200.0), depth=st.floats(1e-4, 0.05),
    lift=st.floats(0.0, 0.01),
)  # fmt: skip
def test_losses_are_never_negative_and_nothing_exceeds_the_free_coil(conductivity, permeability, depth, lift):
    inductance, resistance = change([conductivity], permeability, depth, lift)[0]
    assert np.hypot(inductance, resistance) < 1.0
    assert resistance > -1e-9


def test_metals_that_other_senses_confuse_are_told_apart():
    assert separation("Cu", "brass") > 15.0
    assert separation("SS304", "mild-steel") > 50.0
    assert separation("AlSi-cast", "Al6061") > 6.0


def test_plastics_read_zero_and_carbon_fibre_little():
    keys = keys_of(1, np.arange(len(MATERIALS)))
    batch = draw_parts(keys, materials=list(MATERIALS), conditions=["clean"] * len(MATERIALS))
    seen = np.linalg.norm(light.inductive(batch, draw_device_batch(keys), keys), axis=1)
    for name, value in zip(MATERIALS, seen, strict=True):
        if name == "CFRP":
            assert value < 0.02
        elif material(name).family == "metal":
            assert value > 0.05
        else:
            assert value < 6 * inductive.NOISE
    parts = draw_parts(keys_of(3, np.zeros(400)), materials=["CFRP"] * 400, conditions=["black"] * 400)
    parts = parts.replace(wall_thickness_m=np.full(400, np.inf))
    carbon = light.inductive(parts, draw_device_batch(keys_of(3, np.arange(400))), keys_of(3, np.arange(400)))
    assert carbon[:, 1].mean() > 3 * inductive.NOISE / np.sqrt(400)
    assert np.std(carbon[:, 1]) == pytest.approx(inductive.NOISE, rel=0.15)


def test_a_coat_is_lift_off():
    keys = keys_of(1, np.arange(2))
    batch = draw_parts(keys, materials=["Al6061"] * 2, conditions=["painted"] * 2)
    batch = batch.replace(coat_um=np.array([0.0, 200.0]), label_um=np.zeros(2))
    assert np.diff(inductive.lift_off(batch)) == pytest.approx(200e-6, rel=1e-9)
    half = batch.replace(coat_cover=np.array([0.0, 0.5]))
    assert np.diff(inductive.lift_off(half)) == pytest.approx(100e-6, rel=1e-9)
