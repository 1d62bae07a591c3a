import csv
import re
import subprocess
import sys
from importlib.resources import files

import numpy as np
import pytest

from palpate_agents.errors import PalpateError
from palpate_agents.materials import ABSTAIN_BIN, BINS, FAMILIES, MATERIALS, SOURCES, bin_of, catalogue, material


def test_catalogue_has_29_materials_in_file_order():
    text = files("palpate_agents.materials").joinpath("materials.csv").read_text(encoding="utf-8")
    ids = tuple(row["id"] for row in csv.DictReader(text.splitlines()))
    assert ids == MATERIALS == tuple(catalogue())
    assert len(MATERIALS) == 29


@pytest.mark.parametrize("name", MATERIALS)
def test_units_agree_between_columns(name):
    entry = material(name)
    product = entry.conductivity_w_mk * entry.density_kg_m3 * entry.heat_capacity_j_kgk
    assert entry.effusivity_w_s05_m2k == pytest.approx(np.sqrt(product), rel=0.02)
    diffusivity = entry.conductivity_w_mk / (entry.density_kg_m3 * entry.heat_capacity_j_kgk)
    assert entry.diffusivity_m2_s == pytest.approx(diffusivity, rel=0.02)
    assert 0.0 < entry.poisson < 0.5
    assert 0.0 < entry.restitution < 1.0
    assert 0.0 < entry.emissivity <= 1.0
    assert entry.friction_range[0] <= entry.friction_nominal <= entry.friction_range[1]
    assert entry.indentation_modulus_pa <= entry.youngs_modulus_pa
    assert all(900 < band.centre_nm < 1800 and band.fwhm_nm > 0 for band in entry.nir_bands)


def test_known_values_with_their_units():
    steel = material("mild-steel")
    assert steel.youngs_modulus_pa == 207e9
    assert steel.electrical_conductivity_s_m == pytest.approx(6.5e6)
    assert steel.ferromagnetic
    assert not material("SS304").ferromagnetic
    assert len(material("PE-HD").nir_bands) == 7
    assert material("Al6061").nir_bands == ()


def test_every_source_key_is_explained():
    for entry in catalogue().values():
        for text in (entry.mechanical_source, entry.thermal_source, entry.emissivity_source):
            outside_brackets = re.sub(r"\([^)]*\)", "", text.split(":")[0])
            for key in re.findall(r"[A-Z][A-Za-z-]+|\bC\b|\bmem\b", outside_brackets):
                assert key in SOURCES, f"{entry.id}: {key}"


def test_unknown_material_names_the_close_ones():
    with pytest.raises(PalpateError, match=r"PP-GF30") as caught:
        material("PP-GF3")
    assert caught.value.exit_code == 2
    assert "29" in str(caught.value)
    with pytest.raises(PalpateError, match="known: PE-HD"):
        material("§§§")


def test_case_does_not_matter():
    assert material("pe-hd") is material("PE-HD")


def test_catalogue_is_a_copy():
    catalogue().pop("PP")
    assert "PP" in catalogue()


def test_every_material_has_a_bin_and_abstention_has_its_own():
    assert {bin_of(name) for name in MATERIALS} == set(BINS) - {ABSTAIN_BIN}
    assert bin_of("PE-LD") == bin_of("PP") != bin_of("ABS")
    assert bin_of("Cu") == "metal"
    with pytest.raises(PalpateError):
        bin_of("cheese")


def test_families_are_those_of_the_table():
    assert {material(name).family for name in MATERIALS} == set(FAMILIES)
    assert FAMILIES[0] == "polymer"


def test_import_stays_light():
    code = (
        "import sys, palpate_agents.materials as m; print([n for n in ('torch','pandas','scipy') if n in sys.modules])"
    )
    path = [str(files("palpate_agents").joinpath(".."))]
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": path[0]}
    )
    assert done.stdout.strip() == "[]"
