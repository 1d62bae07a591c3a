import numpy as np
import pytest

from palpate_agents.materials import MATERIALS
from palpate_sim.appearance import LOOKS, TEXTURE_PITCH_M, draw_appearance


def draws(material, condition, count=300):
    rng = np.random.default_rng(1)
    return [draw_appearance(rng, material, condition) for _ in range(count)]


def test_every_material_has_a_look_and_every_texture_a_pitch():
    assert set(LOOKS) == set(MATERIALS)
    assert {look.texture[0] for look in LOOKS.values()} <= set(TEXTURE_PITCH_M)
    for look in LOOKS.values():
        assert 0.0 <= look.gloss[0] <= look.gloss[1] <= 1.0
        assert 0.0 <= look.clear_share <= 1.0


@pytest.mark.parametrize("material", MATERIALS)
def test_values_stay_in_their_ranges(material):
    for condition in ("clean", "wet", "painted"):
        for seen in draws(material, condition, 40):
            assert all(0.0 < channel < 1.0 for channel in seen.rgb)
            assert 0.0 <= seen.gloss <= 1.0
            assert 0.0 <= seen.transparency < 1.0
            low, high = TEXTURE_PITCH_M[LOOKS[material].texture[0]]
            assert low * 0.999 <= seen.texture_pitch_m <= high * 1.001


def test_black_hides_the_colour_and_paint_the_surface():
    assert max(max(seen.rgb) for seen in draws("PE-HD", "black")) < 0.15
    assert all(seen.transparency == 0.0 for seen in draws("PMMA", "black"))
    painted = draws("CFRP", "painted")
    assert all(seen.texture == "none" and seen.transparency == 0.0 for seen in painted)
    # a painted part can have any paint, whatever it is made of
    for channel in range(3):
        ours = sorted(seen.rgb[channel] for seen in painted)
        other = sorted(seen.rgb[channel] for seen in draws("Cu", "painted"))
        assert np.median(ours) == pytest.approx(np.median(other), abs=0.08)


def test_clear_shares_and_copper_is_red():
    clear = np.mean([seen.transparency > 0.5 for seen in draws("PET", "clean")])
    assert clear == pytest.approx(0.6, abs=0.08)
    assert all(seen.transparency > 0.8 for seen in draws("glass", "clean", 40))
    assert all(seen.transparency == 0.0 for seen in draws("ABS", "clean"))
    assert all(seen.rgb[0] > seen.rgb[2] for seen in draws("Cu", "clean"))


def test_water_makes_glossy():
    dry = np.mean([seen.gloss for seen in draws("MDF", "clean")])
    wet = np.mean([seen.gloss for seen in draws("MDF", "wet")])
    assert wet > dry + 0.3
