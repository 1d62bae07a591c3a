import time
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palpate_agents.materials import MATERIALS, MaterialError, material
from palpate_sim import keyed
from palpate_sim import randomisation as rand
from palpate_sim.objects import (
    CONDITIONS,
    FORMULATIONS,
    SHAPES,
    Part,
    condition_shares,
    draw_formulations,
    draw_part,
    draw_parts,
    part_from_seed,
)

SIGNED = ("wall_thickness_m", "rib_pitch_m", "friction_exponent")


@pytest.fixture(scope="module")
def many():
    return draw_parts(keyed.keys_of(11, range(12000)))


@pytest.mark.parametrize("mix", ["mix", "hard"])
def test_condition_shares_give_exactly_the_mix(mix):
    total = {name: np.mean([condition_shares(entry, mix)[name] for entry in MATERIALS]) for name in CONDITIONS}
    assert total == pytest.approx(rand.CONDITION_MIX[mix], abs=1e-12)
    for entry in (*MATERIALS, *FORMULATIONS):
        shares = condition_shares(entry, mix)
        assert all(share >= -1e-12 for share in shares.values())
        assert sum(shares.values()) == pytest.approx(1.0)
        assert shares["aged"] == 0.0


def test_drawn_conditions_follow_the_rules(many):
    conditions, names = many.words("condition"), many.words("material")
    for condition, share in rand.CONDITION_MIX["mix"].items():
        assert np.mean(conditions == condition) == pytest.approx(share, abs=0.015)
    for name in MATERIALS:
        chosen = conditions[names == name]
        assert np.mean(names == name) == pytest.approx(1 / 29, abs=0.007)
        expected = condition_shares(name)
        for condition in CONDITIONS:
            assert np.mean(chosen == condition) == pytest.approx(expected[condition], abs=0.11)
        if name in rand.BLACK_BY_NATURE:
            assert "clean" not in chosen
        elif material(name).family not in rand.BLACKABLE_FAMILIES:
            assert "black" not in chosen


def test_carbon_black_and_coats(many):
    names, conditions = many.words("material"), many.words("condition")
    black = (conditions == "black") | np.isin(names, rand.BLACK_BY_NATURE)
    assert np.all((many.carbon_black_q[black] >= 20) & (many.carbon_black_q[black] <= 50))
    assert np.all(many.carbon_black_q[~black] == 0)
    assert np.all(many.transparency[black] == 0.0)
    painted = conditions == "painted"
    assert np.all((many.coat_um > 0) == painted)
    assert np.all(many.paint_transmission[~painted] == 1.0)
    opaque = many.paint_transmission[painted] == 0.0
    assert np.mean(opaque) == pytest.approx(0.5, abs=0.06)
    partial = many.paint_transmission[painted][~opaque]
    assert partial.min() >= 0.25
    assert partial.max() <= 0.60
    assert many.coat_um[painted][opaque].min() >= 80.0
    assert many.coat_um[painted][~opaque].max() <= 60.0


def test_water_is_on_wet_parts_only_and_layers_have_their_shares(many):
    wet = many.words("condition") == "wet"
    assert np.all(many.film_um[~wet] == 0)
    assert np.all((many.film_um[wet] >= 10) & (many.film_um[wet] <= 200))
    assert np.all((many.wet_friction_factor >= 0.5) & (many.wet_friction_factor <= 0.7))
    assert np.mean(many.label_um > 0) == pytest.approx(rand.LABEL_SHARE, abs=0.01)
    assert np.mean(many.dirt_level > 0) == pytest.approx(rand.DIRT_SHARE, abs=0.012)
    for condition in rand.CONDITION_MIX["mix"]:
        if condition != "aged":
            assert np.any(many.label_um[many.words("condition") == condition] > 0)


def test_anodised_aluminium_looks_like_paint_to_the_thermal_camera(many):
    bare = (many.words("material") == "Al6061") & (many.words("condition") == "clean")
    anodised = many.anodised & bare
    assert 0.15 < np.mean(many.anodised[bare]) < 0.35
    assert many.emissivity[anodised].min() > 0.9
    assert many.emissivity[bare & ~anodised].max() < 0.11


def test_parts_can_be_grasped_and_lifted(many):
    narrow = np.minimum(many.dimensions_m[:, 0], many.dimensions_m[:, 1])
    assert narrow.min() >= 0.024
    assert narrow.max() <= 0.068
    assert many.dimensions_m[:, 2].min() >= 0.010
    assert many.dimensions_m[:, 2].max() <= 0.055
    assert many.mass_kg.max() < 1.0
    assert set(many.words("shape")) == set(SHAPES)


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 2**62 - 1),
    name=st.sampled_from(MATERIALS + FORMULATIONS),
    condition=st.sampled_from(CONDITIONS),
    shape=st.sampled_from(SHAPES),
)
def test_every_draw_is_physical(seed, name, condition, shape):
    part = part_from_seed(seed, 3, name, condition, shape)
    for field in fields(Part):
        value = getattr(part, field.name)
        if isinstance(value, float) and field.name not in SIGNED:
            assert np.isfinite(value), field.name
            assert value >= 0.0, field.name
    assert 0.0 < part.poisson < 0.5
    assert 0.0 < part.restitution < 1.0
    assert 0.0 < part.base_reflectance < 1.0
    assert 0.0 < part.emissivity < 1.0
    assert all(0.0 < value < 1.0 for value in (*part.rgb, *part.coat_rgb, *part.label_rgb, *part.dirt_rgb))
    product = part.conductivity_w_mk * part.density_kg_m3 * part.heat_capacity_j_kgk
    assert part.effusivity_w_s05_m2k == pytest.approx(np.sqrt(product))
    volume = np.prod(part.dimensions_m)
    assert 0.0 < part.mass_kg <= part.density_kg_m3 * volume * 1.000001
    assert (part.material, part.condition, part.shape) == (name, condition, shape)
    assert part == part_from_seed(seed, 3, name, condition, shape)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(-(2**40), 2**40), count=st.integers(1, 40), row=st.integers(0, 39))
def test_a_part_alone_is_the_part_among_many(seed, count, row):
    keys = keyed.keys_of(seed, range(count))
    row %= count
    together, alone = draw_parts(keys), draw_parts(keys[row : row + 1])
    for name, array in together.arrays.items():
        assert np.array_equal(array[row], alone.arrays[name][0]), name
    assert together.part(row, 7) == part_from_seed(int(keys[row]), 7)
    backwards = draw_parts(keys[::-1])
    for name, array in together.arrays.items():
        assert np.array_equal(array, backwards.arrays[name][::-1]), name


def test_asking_for_one_thing_leaves_the_others_as_they_were():
    keys = keyed.keys_of(5, range(200))
    drawn = draw_parts(keys)
    same = draw_parts(keys, drawn.material, drawn.condition, drawn.geometry_id)
    for name, array in drawn.arrays.items():
        assert np.array_equal(array, same.arrays[name]), name
    wet = draw_parts(keys, drawn.words("material"), "wet")
    for name in ("density_kg_m3", "friction", "mass_kg", "band_strength", "nir_bands", "label_um", "shape"):
        assert np.array_equal(getattr(drawn, name), getattr(wet, name)), name
    warm = draw_parts(keys, ambient_c=30.0)
    assert np.allclose(warm.temperature_c - drawn.temperature_c, 8.0)
    one = draw_parts(keys, geometry_class="light")
    assert np.all(one.words("geometry_class") == "light")
    assert np.array_equal(one.friction, drawn.friction)


def test_a_new_property_leaves_the_others_as_they_were(monkeypatch):
    keys = keyed.keys_of(5, range(30))
    names = tuple(f"part.{name}" for name in rand.PART)
    before = keyed.uniforms(keys, names)
    after = keyed.uniforms(keys, ("part.new", *names[::-1]))
    assert np.array_equal(before, after[1:][::-1])
    assert np.array_equal(before[3], keyed.uniform(keys, names[3]))


def test_draw_part_takes_one_number_from_the_generator():
    rng = np.random.default_rng(3)
    part = draw_part(rng, 4, "ABS")
    assert part.part_id == "part_000004"
    assert part.seed == int(np.random.default_rng(3).integers(2**62))
    assert draw_part(rng, 4, "ABS") != part


def test_wrong_words_and_numbers_are_refused():
    keys = keyed.keys_of(1, range(3))
    with pytest.raises(ValueError, match=r"'dusty' is not one of clean, black, wet, painted, aged"):
        part_from_seed(1, 0, "PP", "dusty")
    with pytest.raises(ValueError, match=r"'sphere' is not one of block, plate"):
        part_from_seed(1, 0, "PP", "clean", "sphere")
    with pytest.raises(MaterialError, match=r"'unobtainium'.*Formulations: PP-T40"):
        part_from_seed(1, 0, "unobtainium")
    with pytest.raises(ValueError, match=r"mix 'soft' is not one of mix, hard"):
        draw_parts(keys, mix="soft")
    with pytest.raises(ValueError, match=r"geometry: 999 to 999 given, 0 to"):
        draw_parts(keys, geometry=999)
    with pytest.raises(ValueError, match=r"\(2,\) given for 3 parts"):
        draw_parts(keys, materials=np.array([0, 1]))
    with pytest.raises(ValueError, match="whole numbers wanted"):
        draw_parts(keys, conditions=np.array([0.0, 1.0, 2.0]))
    with pytest.raises(ValueError, match=r"lots \(30, 50\)"):
        draw_parts(keys, lots=(30, 50))
    with pytest.raises(MaterialError, match="'PP' is not one of PP-T40"):
        draw_formulations(keys, "PP")
    with pytest.raises(ValueError, match=r"lots \(0.5, 1.5\) are not two whole numbers"):
        draw_parts(keys, lots=(0.5, 1.5))
    for room in (float("nan"), -400.0, 1e9, np.array([20.0, 21.0, np.nan])):
        with pytest.raises(ValueError, match="room of"):
            draw_parts(keys, ambient_c=room)
    for strange in (np.array([0.5, 1.5]), np.zeros((2, 2), int), 3):
        with pytest.raises(ValueError, match=r"keys are .* \(N,\) int64 is needed"):
            draw_parts(strange)
    for seed in (2**70, 1.5):
        with pytest.raises(ValueError, match="not a whole number of 64 bits"):
            part_from_seed(seed, 0)


def test_hash_covers_every_table(monkeypatch):
    before = rand.randomisation_hash()
    assert before == rand.randomisation_hash()
    for name, key, changed in (
        ("PART", "film_um", replace(rand.PART["film_um"], b=100.0)),
        ("GEOMETRY", "wall_m", replace(rand.GEOMETRY["wall_m"], b=5e-3)),
        ("DEVICE", "exposure", replace(rand.DEVICE["exposure"], b=0.1)),
        ("LOT_VARIANCE", "lot", 0.6),
        ("HOLLOW_SHARE", "light", 0.5),
    ):
        with monkeypatch.context() as patch:
            patch.setitem(getattr(rand, name), key, changed)
            assert rand.randomisation_hash() != before, name
    assert rand.randomisation_hash() == before


@pytest.mark.parametrize(("count", "limit_s"), [(512, 512 * 40e-6), (1, 1e-3)])
def test_drawing_is_fast(count, limit_s):
    keys = keyed.keys_of(1, range(count))
    taken = []
    for _ in range(20):
        start = time.perf_counter()
        draw_parts(keys)
        taken.append(time.perf_counter() - start)
    assert min(taken) < limit_s  # the best of 20: other processes may run
