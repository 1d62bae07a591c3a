"""A ball feels the layer that lies on a body: much on metal, little on a polymer."""

import numpy as np
import pytest

from palpate_sim.contact import hertz_contact_time_s
from palpate_sim.keyed import keys_of
from palpate_sim.layers import COAT_MODULUS_PA, felt_through
from palpate_sim.objects import draw_parts
from palpate_sim.surface import SurfaceMaps, spot_batch


def part(material, coat_um):
    batch = draw_parts(keys_of(1, 0), material, "painted")
    return batch.replace(coat_um=np.array([coat_um]), label_um=np.zeros(1), dirt_level=np.zeros(1))


def felt(material, coat_um, share=1.0):
    batch = part(material, coat_um)
    return batch.replace(**felt_through(batch, np.array([share]), np.zeros(1)))


def test_no_layer_changes_nothing():
    for bare in (felt("SS304", 0.0), felt("SS304", 100.0, share=0.0)):
        assert bare.indentation_modulus_pa == pytest.approx(part("SS304", 0.0).indentation_modulus_pa)
        assert bare.restitution == pytest.approx(part("SS304", 0.0).restitution)


def test_a_thick_layer_is_all_that_is_felt():
    assert felt("SS304", 5000.0).indentation_modulus_pa == pytest.approx(COAT_MODULUS_PA, rel=1e-3)


def test_paint_softens_a_tap_on_steel_and_hardly_one_on_abs():
    def longer(material):
        times = [hertz_contact_time_s(felt(material, um), 0.04)[0] for um in (0.0, 60.0)]
        return times[1] / times[0]

    assert longer("SS304") > 2.0
    assert 0.9 < longer("ABS") < 1.15


def test_more_paint_is_softer_on_steel():
    moduli = [float(felt("SS304", um).indentation_modulus_pa[0]) for um in (0.0, 10.0, 50.0, 200.0)]
    assert moduli == sorted(moduli, reverse=True)


def test_a_spot_feels_what_lies_on_it():
    batch = part("SS304", 80.0)
    maps = SurfaceMaps.of_part(batch.part(0)).replace(coat=np.zeros((1, 16, 16)))
    bare = spot_batch(batch, maps, np.zeros((1, 2)), np.array([5e-4]))
    coated = spot_batch(batch, maps.replace(coat=np.ones((1, 16, 16))), np.zeros((1, 2)), np.array([5e-4]))
    assert bare.indentation_modulus_pa == pytest.approx(batch.indentation_modulus_pa)
    assert coated.indentation_modulus_pa < 0.2 * bare.indentation_modulus_pa
