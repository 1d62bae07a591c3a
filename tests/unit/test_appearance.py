import numpy as np
import pytest

from palpate_agents.materials import MATERIALS
from palpate_sim import keyed
from palpate_sim.appearance import BLACK, LABELS, LOOKS, TEXTURE_PITCH_M, TEXTURES, look_of
from palpate_sim.objects import FORMULATIONS, draw_parts

KEYS = keyed.keys_of(1, range(400))


def test_every_material_has_a_look_and_every_texture_a_pitch():
    assert set(LOOKS) == set(MATERIALS)
    assert {look.texture[0] for look in LOOKS.values()} <= set(TEXTURE_PITCH_M)
    for look in LOOKS.values():
        assert 0.0 <= look.gloss[0] <= look.gloss[1] <= 1.0
        assert 0.0 <= look.clear_share <= 1.0


@pytest.mark.parametrize("material", MATERIALS + FORMULATIONS)
@pytest.mark.parametrize("condition", ["clean", "painted", "aged"])
def test_values_stay_in_their_ranges(material, condition):
    seen = draw_parts(KEYS[:40], material, condition)
    for colour in (seen.rgb, seen.coat_rgb, seen.label_rgb, seen.dirt_rgb):
        assert np.all((colour > 0.0) & (colour < 1.0))
    for share in (seen.gloss, seen.coat_gloss, seen.texture_contrast):
        assert np.all((share >= 0.0) & (share <= 1.0))
    assert np.all((seen.transparency >= 0.0) & (seen.transparency < 1.0))
    low, high = TEXTURE_PITCH_M[look_of(material).texture[0]]
    assert np.all((seen.texture_pitch_m >= low * 0.999) & (seen.texture_pitch_m <= high * 1.001))
    assert {TEXTURES[k] for k in seen.texture} == {look_of(material).texture[0]}


def test_black_hides_the_colour():
    black = draw_parts(KEYS, "PE-HD", "black")
    assert black.rgb.max() < 0.15
    assert np.mean(black.rgb, axis=0) == pytest.approx(BLACK, abs=0.01)
    assert np.all(draw_parts(KEYS, "PMMA", "black").transparency == 0.0)
    assert draw_parts(KEYS, "rPET-black", "clean").rgb.max() < 0.15


def test_paint_and_labels_tell_nothing_about_the_material():
    one, other = draw_parts(KEYS, "CFRP", "painted"), draw_parts(KEYS, "Cu", "painted")
    for name in ("coat_rgb", "coat_gloss", "coat_emissivity", "coat_reflectance", "coat_um", "label_rgb", "dirt_rgb"):
        assert np.array_equal(getattr(one, name), getattr(other, name)), name
    assert {tuple(colour) for colour in one.label_rgb} == set(LABELS)
    # the body below keeps its look
    assert np.array_equal(one.rgb, draw_parts(KEYS, "CFRP", "clean").rgb)


def test_clear_shares_and_copper_is_red():
    assert np.mean(draw_parts(KEYS, "PET", "clean").transparency > 0.5) == pytest.approx(0.6, abs=0.06)
    assert draw_parts(KEYS, "glass", "clean").transparency.min() > 0.8
    assert np.all(draw_parts(KEYS, "ABS", "clean").transparency == 0.0)
    copper = draw_parts(KEYS, "Cu", "clean").rgb
    assert np.all(copper[:, 0] > copper[:, 2])


def test_age_turns_yellow_and_matt():
    new, old = draw_parts(KEYS, "ABS", "clean"), draw_parts(KEYS, "ABS", "aged")
    blue_over_red = old.rgb[:, 2] / old.rgb[:, 0]
    assert np.all(blue_over_red < new.rgb[:, 2] / new.rgb[:, 0] + 1e-9)
    assert np.corrcoef(blue_over_red / (new.rgb[:, 2] / new.rgb[:, 0]), old.age)[0, 1] < -0.6
    assert np.all(old.gloss < new.gloss)
    assert np.array_equal(draw_parts(KEYS, "glass", "aged").rgb, draw_parts(KEYS, "glass", "clean").rgb)


def test_no_property_names_a_material_by_a_fixed_number():
    """What is drawn without scatter, but differs between materials, would be a fingerprint."""
    keys = keyed.keys_of(3, range(40))
    batches = [draw_parts(keys, name, "clean", geometry_class="light") for name in MATERIALS]
    kinds = {"material", "texture", "metal", "ceramic", "ferromagnetic", "anodised", "friction_exponent"}
    for name in sorted(set(batches[0].arrays) - kinds):
        fixed = {
            batch.arrays[name].ravel()[0].item()
            for batch in batches
            if batch.arrays[name].ndim == 1 and np.all(batch.arrays[name] == batch.arrays[name][0])
        }
        assert len(fixed - {0.0, np.inf}) <= 1, name
