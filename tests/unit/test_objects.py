from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palpate_agents.materials import MATERIALS, material
from palpate_sim import randomisation as rand
from palpate_sim.objects import (
    CONDITIONS,
    SHAPES,
    DeviceDraw,
    Part,
    PartBatch,
    condition_shares,
    draw_devices,
    draw_part,
    part_from_seed,
)


@pytest.fixture(scope="module")
def many():
    rng = np.random.default_rng(11)
    return PartBatch.of([draw_part(rng, index) for index in range(6000)])


@pytest.mark.parametrize("mix", ["mix", "hard"])
def test_condition_shares_give_exactly_the_mix(mix):
    total = {name: np.mean([condition_shares(entry, mix)[name] for entry in MATERIALS]) for name in CONDITIONS}
    assert total == pytest.approx(rand.CONDITION_MIX[mix], abs=1e-12)
    for entry in MATERIALS:
        assert all(share >= -1e-12 for share in condition_shares(entry, mix).values())


def test_drawn_conditions_follow_the_rules(many):
    for condition, share in rand.CONDITION_MIX["mix"].items():
        assert np.mean(many.condition == condition) == pytest.approx(share, abs=0.02)
    for name in MATERIALS:
        chosen = many.condition[many.material == name]
        if name in rand.BLACK_BY_NATURE:
            assert "clean" not in chosen
        elif material(name).family not in rand.BLACKABLE_FAMILIES:
            assert "black" not in chosen


def test_carbon_black_and_coats(many):
    black = (many.condition == "black") | np.isin(many.material, rand.BLACK_BY_NATURE)
    assert np.all((many.carbon_black_q[black] >= 20) & (many.carbon_black_q[black] <= 50))
    assert np.all(many.carbon_black_q[~black] == 0)
    painted = many.condition == "painted"
    assert np.all(many.paint_transmission[~painted] == 1.0)
    opaque = many.paint_transmission[painted] == 0.0
    assert np.mean(opaque) == pytest.approx(0.5, abs=0.08)
    partial = many.paint_transmission[painted][~opaque]
    assert partial.min() >= 0.25
    assert partial.max() <= 0.60
    assert np.all(many.emissivity[painted] >= 0.92)
    assert np.all(many.transparency[black | painted] == 0.0)


def test_water_is_on_wet_parts_only(many):
    wet = many.condition == "wet"
    assert np.all(many.film_um[~wet] == 0)
    assert np.all((many.film_um[wet] >= 10) & (many.film_um[wet] <= 200))
    assert np.all((many.friction_factor[wet] >= 0.5) & (many.friction_factor[wet] <= 0.7))
    assert np.all(many.friction_factor[~wet] == 1)


def test_anodised_aluminium_looks_like_paint_to_the_thermal_camera(many):
    bare = (many.material == "Al6061") & (many.condition == "clean")
    anodised = many.anodised & bare
    assert 0.1 < np.mean(many.anodised[bare]) < 0.45
    assert many.emissivity[anodised].min() > 0.9
    assert many.emissivity[bare & ~anodised].max() < 0.11


def test_parts_can_be_grasped_and_lifted(many):
    assert many.dimensions_m[:, 0].min() >= 0.020
    assert many.dimensions_m[:, 0].max() <= 0.070
    assert many.dimensions_m[:, 2].min() >= 0.010
    assert many.dimensions_m[:, 2].max() <= 0.060
    assert many.mass_kg.max() < 1.0


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 2**62 - 1),
    name=st.sampled_from(MATERIALS),
    condition=st.sampled_from(CONDITIONS),
    shape=st.sampled_from(SHAPES),
)
def test_every_draw_is_physical(seed, name, condition, shape):
    part = part_from_seed(seed, 3, name, condition, shape)
    for field in fields(Part):
        value = getattr(part, field.name)
        if isinstance(value, float) and field.name not in ("wall_thickness_m", "friction_exponent"):
            assert np.isfinite(value), field.name
            assert value >= 0.0, field.name
    assert 0.0 < part.poisson < 0.5
    assert 0.0 < part.restitution < 1.0
    assert 0.0 < part.base_reflectance < 1.0
    product = part.conductivity_w_mk * part.density_kg_m3 * part.heat_capacity_j_kgk
    assert part.effusivity_w_s05_m2k == pytest.approx(np.sqrt(product))
    volume = np.prod(part.dimensions_m)
    assert part.mass_kg <= part.density_kg_m3 * volume * 1.000001
    assert (part.material, part.condition, part.shape) == (name, condition, shape)
    assert part == part_from_seed(seed, 3, name, condition, shape)


def test_mass_of_a_solid_block_and_of_a_thin_shell():
    seeds = [part_from_seed(seed, 0, "PP", "clean", "block") for seed in range(60)]
    for part in seeds:
        x, y, z = part.dimensions_m
        if np.isinf(part.wall_thickness_m):
            assert part.mass_kg == pytest.approx(part.density_kg_m3 * x * y * z)
        else:
            area = 2 * (x * y + y * z + z * x)
            shell = part.density_kg_m3 * area * part.wall_thickness_m
            assert part.mass_kg == pytest.approx(shell, rel=0.35)
            assert part.mass_kg < shell
    assert {np.isinf(part.wall_thickness_m) for part in seeds} == {True, False}


def test_property_scatter_within_a_material():
    parts = PartBatch.of([part_from_seed(seed, 0, "ABS", "clean", "block") for seed in range(400)])
    ratio = parts.conductivity_w_mk / material("ABS").conductivity_w_mk
    assert ratio.min() >= 0.75
    assert ratio.max() <= 1.25
    assert np.std(ratio) == pytest.approx(0.5 / np.sqrt(12), rel=0.1)
    assert np.std(np.log(parts.indentation_modulus_pa)) == pytest.approx(0.12, rel=0.15)


def test_wrong_words_are_refused():
    with pytest.raises(ValueError, match="clean, black, wet, painted"):
        part_from_seed(1, 0, "PP", "dusty")
    with pytest.raises(ValueError, match="block, plate"):
        part_from_seed(1, 0, "PP", "clean", "sphere")
    with pytest.raises(ValueError, match="at least 1"):
        PartBatch.of([])


def test_batch_replaces_one_cause(many):
    flat = many.replace(emissivity=np.full(len(many), 0.5))
    assert np.all(flat.emissivity == 0.5)
    assert np.all(many.friction == flat.friction)
    with pytest.raises(KeyError, match="colour"):
        many.replace(colour=np.zeros(3))
    with pytest.raises(AttributeError):
        many.no_such_field  # noqa: B018


def test_devices_differ_within_their_limits():
    rng = np.random.default_rng(3)
    drawn = [draw_devices(rng) for _ in range(500)]
    shift = np.array([device.wavelength_shift_nm for device in drawn])
    assert np.abs(shift).max() <= 10.0
    assert np.std(shift) == pytest.approx(20 / np.sqrt(12), rel=0.1)
    gain = np.array([device.spectral_gain for device in drawn])
    assert gain.min() >= 0.43
    assert gain.max() <= 1.58
    pads = np.array([device.pad_effusivity for device in drawn])
    assert pads.min() >= 600
    assert pads.max() <= 1500
    assert DeviceDraw.nominal().wavelength_shift_nm == 0.0


def test_hash_covers_every_distribution(monkeypatch):
    before = rand.randomisation_hash()
    assert before == rand.randomisation_hash()
    changed = dict(rand.PART)
    changed["film_um"] = replace(changed["film_um"], b=100.0)
    monkeypatch.setattr(rand, "PART", changed)
    assert rand.randomisation_hash() != before


def test_unknown_distribution_is_an_error():
    with pytest.raises(ValueError, match="triangular"):
        rand.Distribution("triangular", 0.0, 1.0, "1", "test").draw(np.random.default_rng(0))
