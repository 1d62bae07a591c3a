"""Virtual formulations: what they are made of, that they hold together, and that no named one is their source."""

from __future__ import annotations

import numpy as np
import pytest
from flat_library import flat_library

from palpate_agents.errors import ConfigError
from palpate_agents.materials import MATERIALS, material
from palpate_agents.observation import Modality, Primitive
from palpate_agents.probing.decoder import decode, encode
from palpate_sim import objects, part_properties, virtual_recipes
from palpate_sim import randomisation as rand
from palpate_sim.batch.cell import BatchedCell
from palpate_sim.class_distance import FURTHEST, class_distances, departure
from palpate_sim.formulations import FORMULATIONS, formulation
from palpate_sim.keyed import keys_of
from palpate_sim.micromechanics import FILLERS, Matrix, Texture, filled, halpin_tsai, lewis_nielsen
from palpate_sim.objects import draw_formulations, draw_parts
from palpate_sim.part_batch import BANDS, CONDITIONS
from palpate_sim.part_tables import tables
from palpate_sim.virtual_formulations import (
    BASES,
    KIND_SHARES,
    KINDS,
    draw_virtual_formulations,
    kinds_of,
)

KEYS = keys_of(5, np.arange(6000))
SOLID = ("density_kg_m3", "youngs_modulus_pa", "conductivity_w_mk", "heat_capacity_j_kgk")


@pytest.fixture(scope="module")
def parts():
    return draw_virtual_formulations(KEYS)


@pytest.fixture(scope="module")
def bases(parts):
    return draw_parts(KEYS, parts.material)


def only(kind, count=1500, **given):
    """Parts of one kind, and the ordinary parts of the same keys and bases."""
    drawn = draw_virtual_formulations(KEYS[:count], kinds=(kind,), **given)
    return drawn, draw_parts(KEYS[:count], drawn.material, given.get("conditions"))


def names_of(batch):
    return np.array(MATERIALS)[batch.material]


def depth_near(batch, centre, span=6.0):
    return np.sum(batch.nir_bands[:, :, 1] * (np.abs(batch.nir_bands[:, :, 0] - centre) < span), axis=1)


# --- all kinds -------------------------------------------------------------------------------------------------------


def test_alone_as_among_many_and_the_same_again(parts):
    again = draw_virtual_formulations(KEYS)
    for name, array in parts.arrays.items():
        np.testing.assert_array_equal(array, again.arrays[name], err_msg=name)
    some = [int(np.flatnonzero(kinds_of(KEYS) == k)[0]) for k in range(len(KINDS))]
    for row in some:
        alone = draw_virtual_formulations(KEYS[row : row + 1])
        for name, array in parts.arrays.items():
            np.testing.assert_allclose(alone.arrays[name][0], array[row], rtol=1e-12, err_msg=f"{name} {row}")


def test_other_keys_give_other_recipes(parts):
    other = draw_virtual_formulations(keys_of(6, np.arange(6000)))
    assert np.mean(other.material == parts.material) < 0.15
    assert len(np.unique(parts.density_kg_m3)) > 5990


def test_arguments_reach_the_parts(parts):
    drawn = draw_virtual_formulations(
        KEYS[:500], mix="hard", ambient_c=np.full(500, 30.0), lots=(32, 40), geometry=np.full(500, 3)
    )
    assert drawn.lot.min() == 32
    assert drawn.lot.max() == 39
    assert np.all(drawn.geometry_id == 3)
    assert np.median(drawn.temperature_c) == pytest.approx(29.7, abs=0.4)
    wet = CONDITIONS.index("wet")
    assert np.mean(drawn.condition == wet) == pytest.approx(0.25, abs=0.06)
    assert np.mean(parts.condition == wet) == pytest.approx(0.12, abs=0.02)
    assert np.all(draw_virtual_formulations(KEYS[:500], conditions="painted").words("condition") == "painted")


def test_shares_of_kinds_and_bases(parts):
    kind = kinds_of(KEYS)
    for number, name in enumerate(KINDS):
        own = kind == number
        assert np.mean(own) == pytest.approx(KIND_SHARES[name], abs=0.02)
        assert set(names_of(parts)[own]) == set(BASES[name])
    assert sum(KIND_SHARES.values()) == pytest.approx(1.0)
    pair = kinds_of(KEYS, ("dyed", "blend"))
    assert np.mean(pair == KINDS.index("dyed")) == pytest.approx(0.03 / 0.23, abs=0.015)
    assert set(pair) == {KINDS.index("dyed"), KINDS.index("blend")}


@pytest.mark.parametrize("kinds", [(), ("alloy",), "blend"])
def test_unknown_kinds_are_refused(kinds):
    with pytest.raises(ConfigError, match="blend, filled, softened"):
        draw_virtual_formulations(KEYS[:2], kinds=kinds)


def test_what_is_refused_for_parts_is_refused_here():
    with pytest.raises(ValueError, match="keys"):
        draw_virtual_formulations(np.array([0.5]))
    with pytest.raises(ValueError, match="lots"):
        draw_virtual_formulations(KEYS[:2], lots=(3, 3))


def test_derived_fields_follow(parts, bases):
    per_volume = parts.density_kg_m3 * parts.heat_capacity_j_kgk
    np.testing.assert_allclose(parts.effusivity_w_s05_m2k, np.sqrt(parts.conductivity_w_mk * per_volume), rtol=1e-9)
    np.testing.assert_allclose(parts.diffusivity_m2_s, parts.conductivity_w_mk / per_volume, rtol=1e-9)
    np.testing.assert_allclose(parts.mass_kg / parts.density_kg_m3, bases.mass_kg / bases.density_kg_m3, rtol=1e-9)
    stiffer = parts.youngs_modulus_pa / bases.youngs_modulus_pa
    unmixed = ~np.isin(kinds_of(KEYS), [KINDS.index("blend"), KINDS.index("recyclate")])
    ratio = parts.indentation_modulus_pa / bases.indentation_modulus_pa
    np.testing.assert_allclose(ratio[unmixed], stiffer[unmixed], rtol=1e-9)
    for name in ("dimensions_m", "wall_thickness_m", "coat_um", "film_um", "temperature_c", "material", "key"):
        np.testing.assert_array_equal(parts.arrays[name], bases.arrays[name], err_msg=name)


def test_fields_are_physical_and_of_the_right_kind(parts, bases):
    for name, array in parts.arrays.items():
        assert array.dtype == bases.arrays[name].dtype, name
        assert array.shape == bases.arrays[name].shape, name
        if name not in ("wall_thickness_m", "rib_pitch_m"):  # infinite in solid parts
            assert np.all(np.isfinite(array)), name
    for name in (*SOLID, "indentation_modulus_pa", "yield_pa", "mass_kg", "friction", "band_strength"):
        assert np.all(parts.arrays[name] > 0.0), name
    for name in ("restitution", "base_reflectance", "emissivity", "transparency", "gloss", "filler"):
        assert np.all((parts.arrays[name] >= 0.0) & (parts.arrays[name] <= 1.0)), name
    assert parts.poisson.max() < 0.5
    assert parts.nir_bands.shape == (len(KEYS), BANDS, 3)
    assert np.all(parts.nir_bands[:, :, 1] >= 0.0)
    assert np.all(parts.nir_bands[:, :, 2] > 0.0)
    plastic = ~parts.metal
    assert np.all(parts.conductivity_w_mk[plastic] < 6.0)
    assert parts.conductivity_w_mk[plastic].min() > 0.02
    assert parts.density_kg_m3.min() > 10.0


# --- single kinds ----------------------------------------------------------------------------------------------------


def test_a_blend_lies_between_two_polymers():
    drawn, base = only("blend")
    polymers = [material(name) for name in BASES["blend"]]
    low, high = min(p.density_kg_m3 for p in polymers), max(p.density_kg_m3 for p in polymers)
    assert np.all((drawn.density_kg_m3 > 0.95 * low) & (drawn.density_kg_m3 < 1.05 * high))
    assert np.all(drawn.transparency == 0.0)
    assert np.any(base.transparency > 0.0)
    strongest = base.nir_bands[:, :, 1].max(axis=1)
    kept = drawn.nir_bands[:, :, 1].max(axis=1) / strongest
    assert kept.min() > 0.4  # the larger share of the strongest band, or that of the other
    used = np.sum(drawn.nir_bands[:, :, 1] > 0.0, axis=1)
    assert used.max() == BANDS
    assert np.median(used - np.sum(base.nir_bands[:, :, 1] > 0.0, axis=1)) >= 5


def test_polycarbonate_is_never_blended_with_abs():
    table, count = virtual_recipes._partners()
    partners = {name: {MATERIALS[k] for k in table[row, : count[row]]} for row, name in enumerate(MATERIALS)}
    assert "ABS" not in partners["PC"]
    assert "PC" not in partners["ABS"]
    assert partners["PC"] | {"PC", "ABS"} == set(BASES["blend"])
    assert all(name not in partners[name] for name in MATERIALS)


def test_filler_makes_heavier_and_stiffer():
    drawn, base = only("filled")
    more = drawn.filler - base.filler
    for name in ("density_kg_m3", "youngs_modulus_pa", "conductivity_w_mk"):
        ratio = drawn.arrays[name] / base.arrays[name]
        assert np.all((ratio > 1.0) == (more > 0.0)), name
    fresh = tables()["filler"][drawn.material] == 0.0
    assert more[fresh].min() >= 0.05
    assert more[fresh].max() <= 0.45
    assert np.abs(more[~fresh]).min() >= virtual_recipes.OTHER_SHARE
    assert np.any(more[~fresh] < 0.0)
    assert np.all(drawn.restitution <= base.restitution + 0.25 * 0.25 + 1e-12)


def test_talc_brings_its_band_and_only_talc():
    drawn, base = only("filled", 3000)
    names = names_of(drawn)
    sharp = (drawn.nir_bands[:, :, 2] == virtual_recipes.TALC_WIDTH_NM) & (drawn.nir_bands[:, :, 1] > 0.0)
    with_talc = sharp.any(axis=1)
    assert not np.any(with_talc & np.isin(names, ["PP", "PP-GF30", "PA66-GF30"]))
    assert np.all(with_talc[names == "PP-T20"])
    fresh = with_talc & (names != "PP-T20")
    assert np.mean(fresh[np.isin(names, BASES["blend"]) & (names != "PP")]) == pytest.approx(1 / 3, abs=0.05)
    depth = np.sum(drawn.nir_bands[:, :, 1] * sharp, axis=1)
    assert np.median(depth[fresh] / drawn.filler[fresh]) == pytest.approx(1.75, rel=0.05)
    centre = np.sum(drawn.nir_bands[:, :, 0] * sharp, axis=1)[fresh]
    assert np.all(centre == virtual_recipes.TALC_NM)
    own = names == "PP-T20"
    old = (base.nir_bands[:, :, 2] == virtual_recipes.TALC_WIDTH_NM) & (base.nir_bands[:, :, 1] > 0.0)
    ratio = depth[own] / np.sum(base.nir_bands[:, :, 1] * old, axis=1)[own]
    more = (drawn.filler - base.filler)[own]
    assert ratio == pytest.approx(1.0 + more / 0.20, rel=1e-9)


def test_softened_parts_are_far_less_stiff():
    drawn, base = only("softened")
    drop = base.youngs_modulus_pa / drawn.youngs_modulus_pa
    assert drop.min() >= 3.0
    assert drop.max() <= 300.0
    assert np.quantile(drop, 0.5) == pytest.approx(30.0, rel=0.2)
    assert drawn.youngs_modulus_pa.min() >= virtual_recipes.SOFTEST_PA * (1.0 - 1e-12)
    assert np.all(drawn.restitution < base.restitution)
    assert np.all(drawn.yield_pa < base.yield_pa)
    styrene = names_of(drawn) == "PS"  # has little between 1718 and 1750 nm
    assert np.mean(depth_near(drawn, 1726.0)[styrene]) > np.mean(depth_near(base, 1726.0)[styrene]) + 0.1
    rubbery = drawn.youngs_modulus_pa < virtual_recipes.RUBBERY_PA
    assert np.all(drawn.friction_exponent[rubbery] < 0.0)
    assert np.all(drawn.friction_exponent[~rubbery] == base.friction_exponent[~rubbery])


def test_dark_ones_are_dark():
    drawn, base = only("dyed")
    assert np.all(base.carbon_black_q == 0.0)
    assert drawn.carbon_black_q.min() >= rand.PART["carbon_black_q"].a
    assert drawn.rgb.max() < 0.2
    assert "clean" not in drawn.words("condition")
    assert "black" in drawn.words("condition")
    drawn, _ = only("recyclate")
    black = drawn.carbon_black_q > 0.0
    assert 0.7 < np.mean(black) < 0.85  # DARK_SHARE, and those that are black by condition
    assert np.any(drawn.words("condition")[~black] == "clean")
    asked, _ = only("dyed", 200, conditions="clean")
    assert np.all(asked.words("condition") == "clean")  # the caller's word holds, the body is black
    assert np.all(asked.carbon_black_q > 0.0)


def test_perturbed_parts_move_by_several_deviations():
    drawn, base = only("perturbed", 4000)
    kind, table = drawn.material, tables()
    deviation = np.array([virtual_recipes._deviation(entry) for entry in rand.LOT_PROPERTIES.values()])
    names = tuple(rand.LOT_PROPERTIES)
    z = np.stack(
        [
            np.log(drawn.density_kg_m3 / base.density_kg_m3) / deviation[table["density_row"][kind]],
            np.log(drawn.youngs_modulus_pa / base.youngs_modulus_pa) / deviation[table["modulus_row"][kind]],
            np.log(drawn.conductivity_w_mk / base.conductivity_w_mk) / deviation[names.index("conductivity_factor")],
            (drawn.nir_bands[:, 0, 0] - base.nir_bands[:, 0, 0]) / deviation[names.index("band_shift_0")],
            np.log(np.maximum(drawn.nir_bands[:, 0, 1], 1e-9) / np.maximum(base.nir_bands[:, 0, 1], 1e-9))
            / deviation[names.index("band_depth_0")],
        ],
        axis=1,
    )
    still = np.abs(z) < 1e-9
    assert np.all((np.abs(z) >= 2.0 - 1e-9) | still)
    assert np.abs(z).max() <= 8.0 + 1e-9
    assert np.all(~still.all(axis=1) | (drawn.restitution != base.restitution))  # something moves in each
    assert np.mean(~still[:, :3], axis=0) == pytest.approx(0.45, abs=0.05)
    opaque = np.isin(names_of(drawn), ["EPDM", "CFRP", "Cu", "glass"])
    np.testing.assert_array_equal(drawn.nir_bands[opaque], base.nir_bands[opaque])
    metal = drawn.metal
    lorenz = drawn.conductivity_w_mk / base.conductivity_w_mk
    current = drawn.electrical_conductivity_s_m[metal] / base.electrical_conductivity_s_m[metal]
    np.testing.assert_allclose(current, lorenz[metal], rtol=1e-12)
    beyond = drawn.conductivity_w_mk > virtual_recipes.CONDUCTING_W_MK
    np.testing.assert_array_equal(drawn.conductivity_w_mk[beyond], base.conductivity_w_mk[beyond])


# --- micromechanics --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("polymer", "filler", "share", "composite"),
    [("PP", "glass", 0.30, "PP-GF30"), ("PP", "talc", 0.20, "PP-T20"), ("PA6", "glass", 0.30, "PA66-GF30")],
)
def test_the_model_finds_the_filled_classes_of_the_catalogue(polymer, filler, share, composite):
    base, known, kind = material(polymer), material(composite), FILLERS[filler]
    ends = np.array([0.0, 1.0])

    def between(pair):
        return pair[0] + (pair[1] - pair[0]) * ends

    texture = Texture(between(kind.aspect), between((0.4, 1.0)), between(kind.heat_shape))
    matrix = Matrix(*(np.full(2, getattr(base, name)) for name in SOLID))
    found = filled(matrix, np.full(2, list(FILLERS).index(filler)), np.full(2, share), texture)
    assert found.density_kg_m3 == pytest.approx(np.full(2, known.density_kg_m3), rel=0.03)
    assert found.heat_capacity_j_kgk == pytest.approx(np.full(2, known.heat_capacity_j_kgk), rel=0.07)
    assert found.youngs_modulus_pa[0] < known.youngs_modulus_pa < found.youngs_modulus_pa[1]
    assert found.conductivity_w_mk[0] < 1.02 * known.conductivity_w_mk < 1.1 * found.conductivity_w_mk[1]


def test_bounds_of_the_model():
    volume = np.linspace(0.0, 0.4, 9)
    ratio = np.full(9, 30.0)
    np.testing.assert_allclose(halpin_tsai(ratio, volume, 0.0), 1.0 / (1.0 - volume + volume / 30.0))  # Reuss
    np.testing.assert_allclose(halpin_tsai(ratio, volume, 1e9), 1.0 - volume + 30.0 * volume, rtol=1e-6)  # Voigt
    assert np.all(np.diff(lewis_nielsen(ratio, volume, np.full(9, 1.5))) > 0.0)
    assert lewis_nielsen(ratio, volume, np.full(9, 1.5))[0] == 1.0
    unfilled = Matrix(*(np.full(1, getattr(material("PP"), name)) for name in SOLID))
    same = filled(unfilled, np.zeros(1, int), np.zeros(1), Texture(*np.full((3, 1), 2.0)))
    for before, after in zip(unfilled, same, strict=True):
        np.testing.assert_allclose(after, before)


# --- distance from the classes, and from what is tested --------------------------------------------------------------


def test_ordinary_parts_lie_within_their_class():
    ordinary = draw_parts(keys_of(9, np.arange(6000)))
    distance = class_distances(ordinary)
    own = distance[np.arange(len(ordinary)), ordinary.material]
    assert np.quantile(own, 0.99) < 4.0
    assert np.median(own) > 1.0
    assert np.mean(np.argmin(distance, axis=1) == ordinary.material) > 0.998
    np.testing.assert_allclose(departure(ordinary), distance.min(axis=1))
    np.testing.assert_allclose(departure(ordinary.rows(slice(40, 50))), distance.min(axis=1)[40:50], rtol=1e-5)


def test_most_virtual_parts_are_outside_every_class(parts):
    away = departure(parts)
    assert np.mean(away > 4.0) > 0.85
    assert np.min(away[kinds_of(KEYS) == KINDS.index("dyed")]) >= FURTHEST
    few = [class_distances(only(kind, 400)[0]) for kind in KINDS]
    assert all(np.mean(d.min(axis=1) > 4.0) > 0.8 for d in few)


def test_named_formulations_are_no_source(parts, monkeypatch):
    """With the rows of all named formulations spoilt, the very same parts come out."""
    spoilt = {name: np.array(array) for name, array in tables().items()}
    for array in spoilt.values():
        if array.dtype.kind == "f" and len(array) == len(MATERIALS) + len(FORMULATIONS):
            array[len(MATERIALS) :] = np.nan
    for module in (objects, part_properties, virtual_recipes):
        monkeypatch.setattr(module, "tables", lambda: spoilt)
    assert np.isnan(draw_formulations(KEYS[:12]).density_kg_m3).all()
    again = draw_virtual_formulations(KEYS)
    for name, array in parts.arrays.items():
        np.testing.assert_array_equal(array, again.arrays[name], err_msg=name)
    assert parts.material.max() < len(MATERIALS)


def test_no_named_formulation_is_drawn(parts):
    values = np.stack([*(parts.arrays[name] for name in SOLID), parts.restitution], axis=1)
    for name in FORMULATIONS:
        entry = formulation(name).entry
        named = np.array([*(getattr(entry, field) for field in SOLID), entry.restitution])
        assert np.min(np.max(np.abs(values / named - 1.0), axis=1)) > 1e-3, name
    near = class_distances(parts, FORMULATIONS) < 4.0
    assert np.mean(near.any(axis=1)) < 0.08  # not aimed at them
    assert np.max(np.mean(near, axis=0)) < 0.03


# --- in the cell ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("primitive", "modality"),
    [
        (Primitive.LOOK, Modality.SPECTRAL),
        (Primitive.LOOK, Modality.VISUAL),
        (Primitive.PRESS, Modality.TACTILE),
        (Primitive.TAP, Modality.TACTILE),
        (Primitive.SLIDE, Modality.TACTILE),
        (Primitive.DWELL, Modality.THERMAL),
    ],
)
def test_the_batched_cell_probes_them_like_others(primitive, modality):
    count = 300
    finite = []
    for laid_in in (draw_virtual_formulations(KEYS[:count]), draw_parts(KEYS[:count])):
        cell = BatchedCell(count, 3, library=flat_library(), parts=laid_in)
        cell.reset(parts=laid_in)
        np.testing.assert_array_equal(cell.parts.density_kg_m3, laid_in.density_kg_m3)
        result = cell.probe(
            decode(encode(np.full(count, primitive), (0.0, 0.0), cell.extent_m, dwell_s=1.5), cell.seen)
        )
        features, worked = result.features[modality], result.outcome == 0
        assert not np.isinf(features.values).any()
        assert np.all((features.reliability >= 0.0) & (features.reliability <= 1.0))
        finite.append([np.mean(np.isfinite(features.values[worked])), np.mean(worked)])
    assert finite[0] == pytest.approx(finite[1], abs=0.05)
    assert finite[0][1] > 0.9
