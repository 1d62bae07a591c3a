"""Training data in shards: the same whoever makes it, kept, and made again when it is not what it should be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from flat_library import flat_library

from palpate_agents.encoders.surface_map import CELLS, CHANNELS
from palpate_agents.errors import ConfigError, DataError
from palpate_agents.observation import Modality
from palpate_sim.part_geometry import GEOMETRY_LIMIT
from palpate_sim.training import shards
from palpate_sim.training.batched import Draw, generate_batched
from palpate_sim.training.perception import LATER_LOTS
from palpate_sim.training.perception_data import PER_PART, PerceptionData
from palpate_sim.training.shards import KIND_STRIDE, RESERVED, generate_training_data, shards_of, with_crops

PARTS = 60


@pytest.fixture(scope="module")
def library():
    return flat_library()


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    monkeypatch.setattr(shards, "SHARD_PARTS", 25)


@pytest.fixture(scope="module")
def whole(library):
    patch = pytest.MonkeyPatch()
    patch.setattr(shards, "SHARD_PARTS", 25)
    data = generate_training_data(PARTS, 3, library)
    patch.undo()
    return data


def same(one: PerceptionData, other: PerceptionData) -> bool:
    arrays = all(np.array_equal(getattr(one, name), getattr(other, name)) for name in PER_PART)
    probes = all(
        np.array_equal(one.values[m], other.values[m], equal_nan=True)
        and np.array_equal(one.reliability[m], other.reliability[m])
        for m in Modality
    )
    return arrays and probes and np.array_equal(one.crop, other.crop)


def numbers(data: PerceptionData) -> np.ndarray:
    return np.array([int(name.split("_")[1]) for name in data.part_id])


class Counted:
    """Counts the parts that are probed."""

    def __init__(self, monkeypatch, stop_after: int = 10**9):
        self.calls: list[int] = []

        def counted(count, seed, library, draw):
            if len(self.calls) == stop_after:
                raise KeyboardInterrupt
            self.calls.append(draw.first)
            return generate_batched(count, seed, library, draw)

        monkeypatch.setattr(shards, "generate_batched", counted)


def test_known_aged_and_virtual_parts_are_in_a_set(whole):
    kind = numbers(whole) // KIND_STRIDE
    assert np.sum(kind == 0) == PARTS
    assert np.all(whole.condition[kind == 1] == "aged")
    assert np.sum(kind == 1) == round(shards.AGED_SHARE * PARTS)
    assert 0 < np.sum(kind == 2) <= round(shards.NOVEL_SHARE * PARTS)
    assert 0 < np.sum(kind == RESERVED) <= round(shards.RESERVED_SHARE * shards.NOVEL_SHARE * PARTS)
    np.testing.assert_array_equal(whole.novel, kind >= 2)
    assert len(set(whole.part_id)) == len(whole)


def test_a_second_time_everything_is_read(whole, library, tmp_path, monkeypatch):
    counted = Counted(monkeypatch)
    assert same(generate_training_data(PARTS, 3, library, folder=tmp_path / "new"), whole)
    assert len(counted.calls) == len(list((tmp_path / "new").iterdir())) == len(shards_of(PARTS, 3))
    assert same(generate_training_data(PARTS, 3, library, folder=tmp_path / "new"), whole)
    assert len(counted.calls) == len(shards_of(PARTS, 3))


def test_an_interrupted_run_goes_on(whole, library, tmp_path, monkeypatch):
    counted = Counted(monkeypatch, stop_after=2)
    with pytest.raises(KeyboardInterrupt):
        generate_training_data(PARTS, 3, library, folder=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    counted = Counted(monkeypatch)
    assert same(generate_training_data(PARTS, 3, library, folder=tmp_path), whole)
    assert counted.calls == [shard.draw.first for shard in shards_of(PARTS, 3)[2:]]


@pytest.mark.parametrize("damage", ["empty", "half", "flipped", "text", "foreign", "no parts"])
def test_a_damaged_or_foreign_shard_is_made_again(damage, whole, library, tmp_path, monkeypatch):
    generate_training_data(PARTS, 3, library, folder=tmp_path)
    first, second = sorted(tmp_path.iterdir())[:2]
    content = first.read_bytes()
    if damage == "foreign":  # of other parts, under this name
        first.write_bytes(second.read_bytes())
    elif damage == "no parts":
        np.savez(first, header=np.array("{}"))
    else:
        middle = len(content) // 2
        first.write_bytes({
            "empty": b"", "half": content[:middle], "text": b"no shard",
            "flipped": content[:middle] + bytes(255 - b for b in content[middle:][:64]) + content[middle + 64 :],
        }[damage])  # fmt: skip
    counted = Counted(monkeypatch)
    assert same(generate_training_data(PARTS, 3, library, folder=tmp_path), whole)
    assert counted.calls == [0]
    assert first.stat().st_size == len(content)


def test_shards_of_another_version_or_draw_are_not_taken(library, tmp_path, monkeypatch):
    generate_training_data(25, 3, library, folder=tmp_path)
    monkeypatch.setattr(shards, "BATCHED_VERSION", -1)
    counted = Counted(monkeypatch)
    generate_training_data(25, 3, library, folder=tmp_path)
    assert len(counted.calls) == 4
    generate_training_data(25, 3, library, Draw(lots=(0, 8)), tmp_path)
    assert len(counted.calls) == 8
    generate_training_data(25, 4, library, folder=tmp_path)
    assert len(counted.calls) == 12


def test_two_processes_make_what_one_makes(tmp_path, library, whole):
    steps = []
    made = generate_training_data(
        PARTS, 3, library, folder=tmp_path / "data", jobs=2, progress=lambda done, total: steps.append((done, total))
    )
    assert same(made, whole)
    total = sum(shard.count for shard in shards_of(PARTS, 3))
    assert len(steps) == len(shards_of(PARTS, 3))
    assert steps[-1] == (total, total)
    assert steps == sorted(steps)


def test_parts_do_not_depend_on_how_many_there_are(library, whole):
    more = generate_training_data(90, 3, library)
    for kind in range(3):
        few, many = (data.rows(numbers(data) // KIND_STRIDE == kind) for data in (whole, more))
        assert len(many) >= len(few) > 0
        assert same(many.rows(np.isin(many.part_id, few.part_id)), few)


def test_only_what_is_wanted_is_kept(library, whole):
    def early(data):
        return (data.lot < LATER_LOTS) & (data.geometry % GEOMETRY_LIMIT < 32)

    kept = generate_training_data(PARTS, 3, library, keep=early)
    assert 0 < len(kept) < len(whole)
    assert same(kept, whole.rows(early(whole)))
    with pytest.raises(DataError, match="no shards"):
        generate_training_data(PARTS, 3, library, keep=lambda data: np.zeros(len(data), bool))


def test_another_number_of_virtual_parts_changes_no_other(library, whole):
    fewer = generate_training_data(PARTS, 3, library, novel=20)
    kind = numbers(fewer) // KIND_STRIDE
    assert same(fewer.rows(kind < 2), whole.rows(numbers(whole) // KIND_STRIDE < 2))
    assert numbers(fewer)[kind == 2].max() < 2 * KIND_STRIDE + 20
    assert set(fewer.part_id[kind >= 2]) <= set(whole.part_id)
    assert not generate_training_data(PARTS, 3, library, novel=0).novel.any()


@pytest.mark.parametrize("parts", [0, -1, KIND_STRIDE])
def test_impossible_numbers_are_refused(parts):
    with pytest.raises(ConfigError, match=f"{parts} parts"):
        shards_of(parts, 0)


def test_no_process_is_refused(library):
    with pytest.raises(ConfigError, match="0 processes"):
        generate_training_data(PARTS, 3, library, jobs=0)


@pytest.mark.parametrize(("options", "word"), [({"mix": "all"}, "mix 'all'"), ({"formulations": "new"}, "'new'")])
def test_impossible_draws_are_refused(options, word):
    with pytest.raises(ConfigError, match=word):
        Draw(**options)


def test_a_draw_decides_what_is_drawn(library):
    draw = Draw(condition="aged", lots=(36, 40), outlines=(3, 60), shift_nm=9.0, first=700)
    data = generate_batched(40, 2, library, draw)
    assert set(data.condition) == {"aged"}
    assert set(data.geometry % GEOMETRY_LIMIT) == {3, 60}
    assert data.lot.min() >= 36
    assert data.lot.max() < 40
    assert numbers(data)[0] == 700
    assert not data.novel.any()
    here = generate_batched(10, 2, library, replace(draw, first=720))
    assert same(here, data.rows(np.arange(20, 30)))
    straight = generate_batched(40, 2, library, replace(draw, shift_nm=0.0))
    assert not np.array_equal(straight.values[Modality.SPECTRAL], data.values[Modality.SPECTRAL], equal_nan=True)
    assert np.array_equal(straight.values[Modality.TACTILE], data.values[Modality.TACTILE], equal_nan=True)


def test_the_inductive_tip_changes_nothing_else(library, whole):
    tip = generate_training_data(PARTS, 3, library, Draw(inductive=True))
    assert np.isfinite(tip.values[Modality.INDUCTIVE]).any()
    assert not np.isfinite(whole.values[Modality.INDUCTIVE]).any()
    for m in set(Modality) - {Modality.INDUCTIVE}:
        np.testing.assert_array_equal(tip.values[m], whole.values[m])
    np.testing.assert_array_equal(tip.surface, whole.surface)


def test_pictures_go_to_the_overviews_of_their_parts(whole):
    crops = np.random.default_rng(0).integers(0, 255, (20, 64, 64, 4), np.uint8)
    found = np.arange(20) % 4 > 0
    some = whole.rows(numbers(whole) % 2 == 0)
    data = with_crops(some, crops, found)
    for k, number in enumerate(numbers(data)):
        seen = number < 20 and number % 4 > 0
        assert data.crop_at[k, 0] == (number if seen else -1)
    assert np.all(data.crop_at[:, 1:] == -1)
    assert (data.crop_at[:, 0] >= 0).sum() == 5
    assert np.all(some.crop_at == -1)


def test_everything_survives_a_file(whole, tmp_path):
    crops = np.random.default_rng(0).integers(0, 255, (9, 64, 64, 4), np.uint8)
    data = with_crops(whole, crops, np.ones(9, bool))
    data.save(tmp_path / "parts.npz")
    read = PerceptionData.load(tmp_path / "parts.npz")
    assert same(read, data)
    assert read.config == data.config
    assert read.property_names == data.property_names
    assert read.surface.shape[2:] == (CELLS, CELLS, len(CHANNELS))
    assert read.states.any()
    assert read.novel.any()
    assert read.opaque.any()
    for name in PER_PART:
        assert getattr(read, name).dtype == getattr(data, name).dtype


def test_a_file_that_cannot_be_finished_leaves_the_old_one_alone(whole, tmp_path, monkeypatch):
    path = tmp_path / "parts.npz"
    path.write_bytes(b"old")

    def full(file, **arrays):
        file.write(b"begun")
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="full"):
        whole.save(path)
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == b"old"


def test_joined_shards_keep_their_own_pictures(whole):
    pieces = []
    for k in range(2):
        crops = np.full((6, 64, 64, 4), 10 * k, np.uint8) + np.arange(6, dtype=np.uint8)[:, None, None, None]
        pieces.append(with_crops(whole.rows(numbers(whole) < 9), crops, np.ones(6, bool)))
    joined = PerceptionData.concatenate(pieces)
    assert len(joined.crop) == 12
    for k, piece in enumerate(pieces):
        part = joined.rows(np.arange(9) + 9 * k)
        has = part.crop_at[:, 0] >= 0
        assert has.sum() == 6
        np.testing.assert_array_equal(part.crop[part.crop_at[has, 0]], piece.crop[piece.crop_at[has, 0]])
    with pytest.raises(DataError, match="differ"):
        PerceptionData.concatenate([whole, replace(whole, property_names=("mass",))])


def test_surfaces_belong_to_looks_that_saw_the_part(whole):
    part, probe = np.nonzero(whole.surface_slot >= 0)
    assert np.all(whole.reliability[Modality.VISUAL][part, probe] > 0.0)
    assert np.all(whole.primitive[part, probe] == 0)
    slots = whole.surface[part, whole.surface_slot[part, probe]]
    assert np.isfinite(slots[..., 0]).all()
    assert (np.abs(np.nan_to_num(slots.astype(np.float32))).sum(axis=(1, 2, 3)) > 0.0).all()
