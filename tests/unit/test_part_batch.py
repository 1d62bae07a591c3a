import pickle
from dataclasses import fields, replace

import numpy as np
import pytest

from palpate_agents.materials import MATERIALS, MaterialError
from palpate_sim import keyed
from palpate_sim.devices import DEVICE_FIELDS, DeviceBatch, DeviceDraw, draw_device_batch, draw_devices
from palpate_sim.objects import CONDITIONS, Part, PartBatch, ageing_stage, draw_parts
from palpate_sim.part_batch import PART_FIELDS, SPOT_FIELDS


@pytest.fixture(scope="module")
def batch():
    return draw_parts(keyed.keys_of(3, range(64)), conditions=np.arange(64) % len(CONDITIONS))


def test_a_batch_has_every_field_of_a_part(batch):
    assert set(batch.arrays) == {"key", *PART_FIELDS}
    for name, array in batch.arrays.items():
        assert array.dtype in (np.int64, np.float64, np.bool_), name
        assert len(array) == 64, name
    assert batch.nir_bands.shape == (64, 16, 3)
    for name in ("dimensions_m", "rgb", "coat_rgb", "label_rgb", "dirt_rgb"):
        assert getattr(batch, name).shape == (64, 3)


def test_parts_and_batches_turn_into_each_other_to_the_byte(batch):
    again = PartBatch.of(batch.parts())
    for name, array in batch.arrays.items():
        assert again.arrays[name].dtype == array.dtype, name
        assert np.array_equal(array, again.arrays[name]), name
    part = batch.part(5, 12)
    assert part.part_id == "part_000012"
    assert part.seed == batch.key[5]
    assert part.material in MATERIALS
    for field in fields(Part):
        assert not isinstance(getattr(part, field.name), np.generic | np.ndarray), field.name
    assert pickle.loads(pickle.dumps(part)) == part
    assert np.array_equal(pickle.loads(pickle.dumps(batch)).mass_kg, batch.mass_kg)


def test_rows_replace_and_words(batch):
    some = batch.rows(np.array([4, 1]))
    assert len(some) == 2
    assert some.mass_kg[0] == batch.mass_kg[4]
    assert len(batch.rows(batch.metal)) == np.sum(batch.metal)
    flat = batch.replace(emissivity=np.full(64, 0.5))
    assert np.all(flat.emissivity == 0.5)
    assert np.all(flat.friction == batch.friction)
    assert list(batch.words("condition")[:3]) == ["clean", "black", "wet"]
    with pytest.raises(KeyError, match="colour"):
        batch.replace(colour=np.zeros(3))
    with pytest.raises(AttributeError, match="no_such_field"):
        batch.no_such_field  # noqa: B018


def test_a_batch_without_spots_answers_for_an_intact_surface(batch):
    painted, wet = batch.words("condition") == "painted", batch.words("condition") == "wet"
    assert np.array_equal(batch.coat_cover, 1.0 * painted)
    assert np.array_equal(batch.friction_factor == 1.0, ~wet)
    assert np.array_equal(batch.contact_resistance_m2k_w > 0.0, painted)
    assert np.all(batch.wall_factor == 1.0)
    spot = batch.replace(coat_cover=np.full(64, 0.3))
    assert np.all(spot.rows(slice(0, 7)).coat_cover == 0.3)
    assert batch.part(int(np.argmax(wet))).friction_factor == batch.friction_factor[wet][0]


def test_unknown_words_in_a_part_are_refused(batch):
    part = batch.part(0)
    with pytest.raises(ValueError, match="at least 1"):
        PartBatch.of([])
    with pytest.raises(MaterialError, match="'adamant'"):
        PartBatch.of([replace(part, material="adamant")])
    for name in ("condition", "shape", "texture", "geometry_class"):
        with pytest.raises(ValueError, match=f"{name} 'odd' is not one of"):
            PartBatch.of([replace(part, **{name: "odd"})])


def test_torch_copies_hold_the_same_numbers(batch):
    torch = pytest.importorskip("torch")
    copy = batch.to(torch)
    for name, array in batch.arrays.items():
        assert np.array_equal(copy.arrays[name].numpy(), array), name
        assert str(copy.arrays[name].dtype).removeprefix("torch.") == array.dtype.name, name
    for name in SPOT_FIELDS:
        assert np.array_equal(getattr(copy, name).numpy(), getattr(batch, name)), name
    copy.mass_kg[0] = -1.0
    assert batch.mass_kg[0] > 0.0
    assert len(copy.rows(copy.metal)) == np.sum(batch.metal)
    assert np.array_equal(ageing_stage(copy.age).numpy(), ageing_stage(batch.age))
    back = copy.rows(torch.arange(1, 64)).to(np)
    assert np.array_equal(back.mass_kg, batch.mass_kg[1:])
    assert copy.part(3) == batch.part(3)
    devices = draw_device_batch(batch.key)
    for name, tensor in devices.to(torch).arrays.items():
        assert np.array_equal(tensor.numpy(), devices.arrays[name]), name


def test_stages_of_ageing():
    assert list(ageing_stage(np.array([0.0, 0.1, 0.49, 0.5, 1.0]))) == [0, 1, 1, 2, 2]


def test_devices_differ_within_their_limits():
    drawn = draw_device_batch(keyed.keys_of(3, range(2000)))
    assert set(drawn.arrays) == set(DEVICE_FIELDS)
    assert np.abs(drawn.wavelength_shift_nm).max() <= 10.0
    assert np.std(drawn.wavelength_shift_nm) == pytest.approx(20 / np.sqrt(12), rel=0.05)
    assert drawn.spectral_gain.min() >= 0.43
    assert drawn.spectral_gain.max() <= 1.58
    assert drawn.pad_effusivity.shape == (2000, 2)
    assert drawn.pad_effusivity.min() >= 600
    assert drawn.pad_effusivity.max() <= 1500
    assert np.all(drawn.white_balance[:, 1] == 1.0)
    assert np.abs(drawn.wrench_bias[:, :3]).max() > 0.4
    assert np.abs(drawn.wrench_bias[:, 3:]).max() <= 0.02
    assert DeviceDraw.nominal().wavelength_shift_nm == 0.0


def test_devices_one_and_many():
    keys = keyed.keys_of(3, range(9))
    many, one = draw_device_batch(keys), draw_device_batch(keys[4:5])
    for name in DEVICE_FIELDS:
        assert np.array_equal(many.arrays[name][4], one.arrays[name][0]), name
    draw = many.draw(4)
    assert draw.batch.draw(0) == draw
    assert many.rows(slice(4, 5)).draw(0) == one.draw(0) == draw
    assert DeviceBatch.of([draw, DeviceDraw.nominal()]).draw(1) == DeviceDraw()
    assert DeviceBatch.nominal(3).draw(2) == DeviceDraw()
    rng = np.random.default_rng(4)
    assert draw_devices(rng) != draw_devices(rng)
    assert np.all(many.replace(exposure=np.ones(9)).exposure == 1.0)
    with pytest.raises(KeyError, match="zoom"):
        many.replace(zoom=np.ones(9))
    with pytest.raises(AttributeError, match="zoom"):
        many.zoom  # noqa: B018
    with pytest.raises(ValueError, match="at least 1"):
        DeviceBatch.of([])
