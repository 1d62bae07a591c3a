"""No leak: with a sensor's physical properties made equal for all materials, it tells no more than chance."""

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesClassifier

from palpate_agents.materials import MATERIALS
from palpate_sim.benchmarks.modalities import Sensor, columns_of
from palpate_sim.benchmarks.probed_parts import probe_parts
from palpate_sim.library import PartLibrary
from palpate_sim.part_geometry import GEOMETRIES_PER_CLASS

ELASTIC = ("youngs_modulus_pa", "indentation_modulus_pa", "poisson", "yield_pa", "wall_thickness_m")
MASS = ("density_kg_m3", "mass_kg")
SLIDING = ("friction", "friction_exponent", "stribeck_share", "stribeck_speed_m_s", "ripple", "texture_pitch_m")
HEAT = (
    "conductivity_w_mk", "heat_capacity_j_kgk", "effusivity_w_s05_m2k", "diffusivity_m2_s", "emissivity", "anodised",
    "contact_conductance_w_m2k", *MASS,
)  # fmt: skip
LIGHT = (
    "nir_bands", "band_strength", "base_reflectance", "carbon_black_q", "clear_absorption_per_mm", "metal", "ceramic",
    "blend_fraction", "filler", "wall_thickness_m",
)  # fmt: skip
LOOK = ("rgb", "gloss", "transparency", "texture", "texture_contrast", "texture_pitch_m")
SENSORS = {
    "press": (("press",), ELASTIC),
    "tap": (("tap",), (*ELASTIC, *MASS, "restitution")),
    "slide": (("slide",), (*ELASTIC, *SLIDING)),
    "lift": (("lift",), MASS),
    "heat": (("dwell_hot", "dwell_warm"), (*HEAT, *ELASTIC)),
    "thermal_look": (("thermal_look",), HEAT),
    "nir": (("nir",), (*LIGHT, *LOOK)),
    "vision": (("vision",), LOOK),
    "inductive": (("inductive",), ("electrical_conductivity_s_m", "ferromagnetic", "wall_thickness_m")),
}
TRAIN, NEW = 1536, 1024


@pytest.fixture(scope="module")
def library():
    return PartLibrary.of(["light"] * GEOMETRIES_PER_CLASS, list(range(GEOMETRIES_PER_CLASS)))


def accuracy(library, probes, alike):
    sensor = Sensor(probes)
    old = probe_parts(library, 5, range(TRAIN), alike=alike)
    new = probe_parts(library, 5, range(TRAIN, TRAIN + NEW), alike=alike)
    forest = ExtraTreesClassifier(60, min_samples_leaf=2, random_state=0)
    forest.fit(np.nan_to_num(columns_of(old, sensor), nan=-1e3), old.material)
    return float(np.mean(forest.predict(np.nan_to_num(columns_of(new, sensor), nan=-1e3)) == new.material))


@pytest.mark.parametrize("name", sorted(SENSORS))
def test_a_sensor_without_its_physics_tells_nothing(library, name):
    probes, alike = SENSORS[name]
    chance = 1.0 / len(MATERIALS)
    limit = chance + 4.0 * np.sqrt(chance * (1.0 - chance) / NEW)
    assert accuracy(library, probes, alike) < limit


def test_the_same_measure_finds_what_a_sensor_does_tell(library):
    """Otherwise the test above could not fail: one property given back is found at once."""
    assert accuracy(library, ("tap",), ELASTIC) > 0.10
    assert accuracy(library, ("vision",), ("gloss",)) > 0.20
