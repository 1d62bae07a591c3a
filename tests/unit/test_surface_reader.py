"""The surface reader: shapes, unknown values, files, and that a short training learns what can be seen."""

import numpy as np
import pytest
import torch

from palpate_agents.errors import ConfigError, ModelError
from palpate_agents.model_io import load_surface_reader, save_surface_reader
from palpate_agents.probing.menu import bare_share
from palpate_agents.probing.surface_reader import LAYERS, SurfaceReader
from palpate_sim.training.surface_reader import ReaderData, ReaderTraining, base_rate, reader_data, train_reader

SHORT = ReaderTraining(seed=2, parts=600, epochs=16)


@pytest.fixture(scope="module")
def data():
    return reader_data(SHORT)


@pytest.fixture(scope="module")
def reader(data):
    return train_reader(data, SHORT)


def brier(said, samples):
    weight = samples.seen.astype(float)
    error = ((said - samples.covers.astype(float)) ** 2 * weight[..., None]).sum(axis=(0, 1, 2)) / weight.sum()
    return dict(zip(LAYERS, error, strict=True))


def test_it_reads_parts_that_it_has_not_seen(data, reader):
    """On other outlines it beats the shares that layers have on the whole."""
    said = reader.covers(data.test.maps, data.test.extent_m)
    constant = brier(np.broadcast_to(base_rate(data.train), said.shape), data.test)
    found = brier(said, data.test)
    assert found["coat"] < 0.9 * constant["coat"]
    assert found["film"] < constant["film"]


def test_the_committed_reader_finds_bare_spots(data):
    """Where it expects most bare ground there is more of it than in the mean cell."""
    test = data.test
    said = bare_share(load_surface_reader().covers(test.maps, test.extent_m))
    seen = test.seen.astype(float) > 0.7
    bare = test.bare.astype(float)
    mixed = ((bare * seen).max(axis=(1, 2)) > 0.8) & (np.where(seen, bare, 1.0).min(axis=(1, 2)) < 0.2)
    best = np.where(seen, said, -1.0).reshape(len(test), -1).argmax(axis=1)
    chosen = np.take_along_axis(bare.reshape(len(test), -1), best[:, None], axis=1)[:, 0]
    mean = (bare * seen).sum(axis=(1, 2)) / seen.sum(axis=(1, 2))
    assert mixed.sum() > 30
    assert chosen[mixed].mean() > mean[mixed].mean() + 0.15


def test_training_is_deterministic(data):
    few = ReaderData(*(part.rows(slice(0, 512)) for part in (data.train, data.validation, data.test)))
    short = ReaderTraining(seed=2, parts=300, epochs=2)
    one, again = train_reader(few, short), train_reader(few, short)
    for name, value in one.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    other = train_reader(few, ReaderTraining(seed=3, parts=300, epochs=2))
    assert not torch.equal(one.out.weight, other.out.weight)


def test_parts_do_not_change_each_other(data, reader):
    maps, extent = data.test.maps[:6].astype(np.float32), data.test.extent_m[:6]
    alone = reader.covers(maps[2:3], extent[2:3])
    assert reader.covers(maps, extent)[2] == pytest.approx(alone[0], abs=1e-5)


def test_unknown_cells_give_numbers(data, reader):
    maps = data.test.maps[:2].astype(np.float32).copy()
    maps[0, 3], maps[1] = np.nan, np.inf
    said = reader.covers(maps, np.array([[np.nan, 0.04, 0.02], [0.05, 0.04, 0.02]]))
    assert np.isfinite(said).all()
    assert said.min() >= 0.0
    assert said.max() <= 1.0


def test_bad_shapes_and_settings_are_refused(reader):
    with pytest.raises(ConfigError, match="needed"):
        reader.covers(np.zeros((2, 4, 4, 8)), np.zeros((2, 3)))
    with pytest.raises(ConfigError, match="width"):
        SurfaceReader(width=0)
    with pytest.raises(ConfigError, match="at least"):
        ReaderTraining(parts=1)


def test_files_are_checked(reader, tmp_path, data):
    save_surface_reader(reader, tmp_path / "r")
    back = load_surface_reader(tmp_path / "r")
    maps, extent = data.test.maps[:3], data.test.extent_m[:3]
    assert np.array_equal(back.covers(maps, extent), reader.covers(maps, extent))
    weights = tmp_path / "r" / "weights.safetensors"
    damaged = bytearray(weights.read_bytes())
    damaged[-1] ^= 1
    weights.write_bytes(bytes(damaged))
    with pytest.raises(ModelError, match="altered"):
        load_surface_reader(tmp_path / "r")
    with pytest.raises(ModelError):
        load_surface_reader("cell29")
