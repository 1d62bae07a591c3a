"""Models on disk: what is written comes back; what is missing, altered or foreign is refused with a clear sentence."""

from __future__ import annotations

import hashlib
import json
import pickle
from types import SimpleNamespace

import pytest
import torch

from palpate_agents import model_io
from palpate_agents.encoders.features import FeatureConfig
from palpate_agents.errors import ModelError
from palpate_agents.fusion import FusionConfig, MultimodalFusionNetwork, TokenBatch
from palpate_agents.materials import MATERIALS
from palpate_agents.model_io import CARD_FILE, WEIGHTS_FILE, check_model, load_model, model_path, read_card, save_model


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    config = FusionConfig(("a", "b"), hidden=16, state_dim=16, features=FeatureConfig(wavelength_step_nm=20.0))
    network = MultimodalFusionNetwork(config).eval()
    network.log_temperature.fill_(0.3)
    return network


@pytest.fixture
def folder(network, tmp_path):
    save_model(network, tmp_path / "model", "test", {"accuracy": 0.5})
    return tmp_path / "model"


def change_card(folder, **changes):
    card = json.loads((folder / CARD_FILE).read_text())
    (folder / CARD_FILE).write_text(json.dumps(card | changes))


def test_a_model_comes_back_as_it_was(network, folder):
    again = load_model(folder)
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name
    assert again.config == network.config
    assert not again.training
    assert again.name == "test"
    assert again.hash == hashlib.sha256((folder / WEIGHTS_FILE).read_bytes()).hexdigest()
    assert again.card["training"] == {"accuracy": 0.5}
    empty = TokenBatch.of([[]], network.config)
    assert torch.equal(network(empty).log_probabilities, again(empty).log_probabilities)


def test_saving_twice_gives_the_same_bytes(network, folder, tmp_path):
    save_model(network, tmp_path / "second", "test", {"accuracy": 0.5})
    for name in (WEIGHTS_FILE, CARD_FILE):
        assert (folder / name).read_bytes() == (tmp_path / "second" / name).read_bytes()


def test_half_precision_halves_the_file_and_hardly_moves_the_weights(network, folder, tmp_path):
    save_model(network, tmp_path / "half", "half", half_precision=True)
    assert (tmp_path / "half" / WEIGHTS_FILE).stat().st_size < 0.6 * (folder / WEIGHTS_FILE).stat().st_size
    again = load_model(tmp_path / "half")
    for name, tensor in network.state_dict().items():
        assert again.state_dict()[name].dtype == tensor.dtype
        assert torch.allclose(tensor, again.state_dict()[name], rtol=1e-3, atol=1e-4), name


def test_a_missing_model_says_what_to_do(tmp_path):
    with pytest.raises(ModelError, match="palpate train perception"):
        load_model("no-such-model")
    with pytest.raises(ModelError, match="no model"):
        model_path(tmp_path / "absent" / "folder")
    with pytest.raises(ModelError, match=r"card\.json is missing"):
        load_model(tmp_path)


def test_a_name_never_leaves_the_folder_of_models(tmp_path, monkeypatch):
    monkeypatch.setattr(model_io, "MODELS_FOLDER", tmp_path / "models")
    (tmp_path / "models" / "good").mkdir(parents=True)
    (tmp_path / "secret").mkdir()
    monkeypatch.chdir(tmp_path / "models")
    assert model_path("good").name == "good"
    with pytest.raises(ModelError):
        model_path("secret")


def test_missing_weights_are_said(folder):
    (folder / WEIGHTS_FILE).unlink()
    with pytest.raises(ModelError, match=r"weights\.safetensors is missing"):
        load_model(folder)


@pytest.mark.parametrize("position", [0, 200, -1])
def test_one_altered_byte_is_noticed(folder, position):
    data = bytearray((folder / WEIGHTS_FILE).read_bytes())
    data[position] ^= 1
    (folder / WEIGHTS_FILE).write_bytes(bytes(data))
    with pytest.raises(ModelError, match="altered or is incomplete"):
        load_model(folder)


def test_a_truncated_file_is_noticed(folder):
    data = (folder / WEIGHTS_FILE).read_bytes()
    (folder / WEIGHTS_FILE).write_bytes(data[: len(data) // 2])
    with pytest.raises(ModelError, match="altered or is incomplete"):
        load_model(folder)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"format_version": 99}, "format_version 99"),
        ({"feature_version": "0"}, "feature_version '0'"),
        ({"network": "Other"}, "network 'Other'"),
        ({"feature_layout": "0" * 64}, "feature layout"),
        ({"config": {}}, "configuration"),
    ],
)
def test_another_version_is_refused(folder, change, word):
    change_card(folder, **change)
    with pytest.raises(ModelError, match=word):
        load_model(folder)


def test_a_changed_configuration_does_not_fit_the_weights(folder):
    config = json.loads((folder / CARD_FILE).read_text())["config"]
    change_card(folder, config=config | {"hidden": 32})
    with pytest.raises(ModelError, match=r"does not fit .*: \d+ tensors .* the first is conditions\.") as raised:
        load_model(folder)
    assert "\n" not in str(raised.value)


def test_a_model_is_checked_without_being_built(folder, monkeypatch):
    monkeypatch.setattr(model_io, "MultimodalFusionNetwork", SimpleNamespace(__name__="MultimodalFusionNetwork"))
    assert check_model(folder)["name"] == "test"
    data = (folder / WEIGHTS_FILE).read_bytes()
    (folder / WEIGHTS_FILE).write_bytes(data[:-1])
    with pytest.raises(ModelError, match="altered or is incomplete"):
        check_model(folder)


def test_a_changed_spectral_grid_changes_the_layout(folder):
    config = json.loads((folder / CARD_FILE).read_text())["config"]
    change_card(folder, config=config | {"features": config["features"] | {"wavelength_step_nm": 25.0}})
    with pytest.raises(ModelError, match="layout"):
        load_model(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"name": "x"}', "\x00\xff"])
def test_a_broken_card_is_refused(folder, text):
    (folder / CARD_FILE).write_text(text)
    with pytest.raises(ModelError):
        read_card(folder)


def test_a_pickle_is_never_opened(folder):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("the pickle was opened",))

    data = pickle.dumps(Bomb())
    (folder / WEIGHTS_FILE).write_bytes(data)
    change_card(folder, sha256=hashlib.sha256(data).hexdigest())
    with pytest.raises(ModelError, match="does not fit"):
        load_model(folder)


def test_weights_that_are_not_finite_are_refused(network, tmp_path):
    broken = MultimodalFusionNetwork(network.config)
    with torch.no_grad():
        next(broken.parameters())[0] = float("nan")
    save_model(broken, tmp_path / "nan", "nan")
    with pytest.raises(ModelError, match="not finite"):
        load_model(tmp_path / "nan")


def test_the_committed_model_loads_and_knows_the_catalogue():
    network = load_model()
    assert network.config.labels == MATERIALS
    assert network.name == model_io.DEFAULT_MODEL
    sizes = [path.stat().st_size for path in model_io.MODELS_FOLDER.rglob(WEIGHTS_FILE)]
    assert sum(sizes) < 25_000_000
    figures = network.card["training"]["figures"]
    assert figures["mix"]["value"] > 0.93
    with torch.inference_mode():
        prior = network(TokenBatch.of([[]], network.config)).log_probabilities.exp()
    assert float(prior.max()) < 0.15, "without a probe no material is likely"
