import numpy as np
import pytest

from palpate_agents.materials import MATERIALS, SOURCES, MaterialError, material
from palpate_sim import keyed
from palpate_sim import randomisation as rand
from palpate_sim.formulations import FORMULATIONS, formulation
from palpate_sim.objects import draw_formulations, draw_parts
from palpate_sim.part_tables import AGEING_BANDS, BANDS, NAMES, YIELD_MPA, index_of, lot_deviates

KEYS = keyed.keys_of(2, range(4000))


def strength(batch, low, high):
    """(N,) K/S of the bands with centres between low and high, nm."""
    inside = (batch.nir_bands[:, :, 0] > low) & (batch.nir_bands[:, :, 0] < high)
    return batch.band_strength * np.sum(batch.nir_bands[:, :, 1] * inside, axis=1)


def test_scatter_within_a_material_is_that_of_its_distributions():
    parts = draw_parts(KEYS, "ABS", "clean")
    ratio = parts.conductivity_w_mk / material("ABS").conductivity_w_mk
    assert ratio.min() >= 0.75
    assert ratio.max() <= 1.25
    assert np.std(ratio) == pytest.approx(0.5 / np.sqrt(12), rel=0.2)
    assert np.std(np.log(parts.indentation_modulus_pa)) == pytest.approx(0.12, rel=0.25)
    assert np.mean(parts.density_kg_m3) == pytest.approx(1045, rel=0.005)


def test_parts_of_a_lot_are_alike_and_lots_drift():
    every = draw_parts(KEYS, "PP", "clean")
    whole = np.var(np.log(every.indentation_modulus_pa))
    inside = [np.var(np.log(every.indentation_modulus_pa[every.lot == lot])) for lot in range(rand.LOTS)]
    assert np.mean(inside) / whole == pytest.approx(rand.LOT_VARIANCE["part"], abs=0.1)
    early, late = draw_parts(KEYS, lots=(0, 8)), draw_parts(KEYS, lots=(32, 40))
    assert early.lot.max() == 7
    assert late.lot.min() == 32
    drift = [
        np.mean(np.log(late.density_kg_m3[late.material == k]))
        - np.mean(np.log(early.density_kg_m3[early.material == k]))
        for k in range(len(MATERIALS))
    ]
    assert np.median(np.abs(drift)) > 0.005  # of 0.01 in all
    again = draw_parts(keyed.keys_of(77, range(4000)), "PP", "clean")
    for lot in (0, 20, 39):
        ours = np.mean(np.log(every.indentation_modulus_pa[every.lot == lot]))
        theirs = np.mean(np.log(again.indentation_modulus_pa[again.lot == lot]))
        assert ours == pytest.approx(theirs, abs=0.04)  # a lot is the same whoever draws from it


def test_lots_are_of_unit_variance_with_the_part():
    deviates = lot_deviates()
    assert deviates.shape == (len(NAMES), rand.LOTS, len(rand.LOT_PROPERTIES))
    assert np.var(deviates) == pytest.approx(1.0 - rand.LOT_VARIANCE["part"], rel=0.03)
    assert np.mean(deviates) == pytest.approx(0.0, abs=0.02)


def test_filler_makes_heavier_stiffer_and_only_filled_materials_have_it():
    parts = draw_parts(KEYS, "PP-GF30", "clean")
    assert np.mean(parts.filler) == pytest.approx(0.30, abs=0.01)
    assert 0.01 < np.std(parts.filler) < 0.02
    more = parts.filler > 0.31
    less = parts.filler < 0.29
    for name in ("density_kg_m3", "youngs_modulus_pa"):
        assert np.mean(getattr(parts, name)[more]) > np.mean(getattr(parts, name)[less]), name
    assert np.all(draw_parts(KEYS[:50], "PP").filler == 0.0)


def test_a_blend_lies_between_its_polymers():
    parts = draw_parts(KEYS, "PC/ABS", "clean")
    fraction = parts.blend_fraction
    assert fraction.min() >= 0.4
    assert fraction.max() <= 0.8
    assert np.corrcoef(parts.density_kg_m3, fraction)[0, 1] > 0.7
    assert 1045 < parts.density_kg_m3.min() < parts.density_kg_m3.max() < 1210
    # bands: PC near 1659 and 1690 nm, ABS at 1632 and 1675 nm
    share = strength(parts, 1650, 1665) / (strength(parts, 1650, 1665) + strength(parts, 1668, 1682))
    scattering = 0.6 * fraction / (0.6 * fraction + 1.0 - fraction)
    assert share == pytest.approx(scattering, abs=0.1)
    assert np.all(draw_parts(KEYS[:50], "PC").blend_fraction == 0.0)


def test_age_oxidises_and_embrittles_organic_materials_only():
    for name, changes in (("ABS", True), ("EPDM", True), ("MDF", True), ("glass", False), ("Cu", False)):
        new, old = draw_parts(KEYS, name, "clean"), draw_parts(KEYS, name, "aged")
        assert np.all(new.age == 0.0)
        assert np.all(old.age >= 0.1)
        ageing = old.nir_bands[:, BANDS:, 1]
        assert np.all(new.nir_bands[:, BANDS:, 1] == 0.0)
        assert np.all((ageing > 0.0) == changes), name
        assert np.all((old.yield_pa < new.yield_pa) == changes), name
        assert np.all((old.restitution > new.restitution) == changes) or name == "EPDM"
        assert np.all((old.youngs_modulus_pa > new.youngs_modulus_pa) == changes), name
    for k, (centre, _) in enumerate(AGEING_BANDS):
        assert np.mean(draw_parts(KEYS, "ABS", "aged").nir_bands[:, BANDS + k, 0]) == pytest.approx(centre, abs=0.5)
    old = draw_parts(KEYS, "ABS", "aged")
    assert np.corrcoef(old.nir_bands[:, BANDS, 1], old.age)[0, 1] > 0.8
    tarnished = draw_parts(KEYS, "brass", "aged").emissivity
    assert np.all(tarnished >= draw_parts(KEYS, "brass", "clean").emissivity)
    assert tarnished.max() <= rand.METAL_EMISSIVITY["brass"][1] + 1e-9


def test_metals_conduct_and_only_mild_steel_is_magnetic():
    parts = draw_parts(KEYS)
    names = parts.words("material")
    assert np.all(parts.electrical_conductivity_s_m[parts.metal] > 1e6)
    assert set(names[parts.ferromagnetic]) == {"mild-steel"}
    copper = parts.electrical_conductivity_s_m[names == "Cu"]
    assert np.mean(copper) == pytest.approx(58e6, rel=0.05)
    assert np.all(parts.electrical_conductivity_s_m[names == "ABS"] == 0.0)


def test_every_material_has_a_yield_stress_with_a_source():
    assert set(YIELD_MPA) == set(MATERIALS)
    assert all(value > 0.0 and source for value, source in YIELD_MPA.values())
    parts = draw_parts(KEYS)
    assert np.all(parts.yield_pa > 0.0)
    assert np.mean(draw_parts(KEYS, "ABS", "clean").yield_pa) == pytest.approx(43e6, rel=0.05)


def test_formulations_are_no_classes_and_differ_from_their_base():
    assert not set(FORMULATIONS) & set(MATERIALS)
    assert len(FORMULATIONS) >= 8
    parts = draw_formulations(KEYS[: len(FORMULATIONS) * 50])
    assert list(parts.words("material")[: len(FORMULATIONS)]) == list(FORMULATIONS)
    assert parts.material.min() >= len(MATERIALS)
    for name in FORMULATIONS:
        row = formulation(name)
        assert row.base in MATERIALS
        assert row.source in SOURCES
        assert index_of(name) == NAMES.index(name)
        drawn = draw_formulations(KEYS[:300], name, conditions="clean")
        base = draw_parts(KEYS[:300], row.base, "clean")
        differs = [
            abs(np.median(getattr(drawn, field)) / np.median(getattr(base, field)) - 1.0)
            for field in ("density_kg_m3", "youngs_modulus_pa", "conductivity_w_mk", "carbon_black_q")
            if np.median(getattr(base, field)) > 0.0
        ]
        assert max(differs) > 0.02 or np.median(drawn.carbon_black_q) > 0.0, name
        assert np.mean(drawn.density_kg_m3) == pytest.approx(row.entry.density_kg_m3, rel=0.03)
    assert np.all(draw_formulations(KEYS[:20], "rPET-black", conditions="clean").carbon_black_q >= 20.0)
    assert not np.any(np.isin(draw_parts(KEYS).material, range(len(MATERIALS), len(NAMES))))
    with pytest.raises(MaterialError, match="'PP-T99' is not one of PP-T40"):
        formulation("PP-T99")


def test_a_recyclate_has_the_bands_of_both_its_polymers():
    mixed, pure = draw_formulations(KEYS[:200], "PE-HD/PP-70/30"), draw_parts(KEYS[:200], "PE-HD")
    assert np.mean(strength(mixed, 1695, 1708)) > 10 * np.mean(strength(pure, 1695, 1708))  # PP's at 1701 nm
    assert np.mean(strength(mixed, 1718, 1727)) < np.mean(strength(pure, 1718, 1727))
    assert 905 < np.mean(mixed.density_kg_m3) < 952
