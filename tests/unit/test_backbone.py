"""Embeddings by a pretrained backbone of the user's own; with tiny random models, where transformers is installed."""

from __future__ import annotations

import builtins
import json

import numpy as np
import pytest

from palpate_agents.encoders.backbone import BATCH, PretrainedBackbone
from palpate_agents.errors import ConfigError


def test_without_the_package_it_says_what_to_install(tmp_path, monkeypatch):
    real = builtins.__import__

    def without(name, *rest, **named):
        if name == "transformers":
            raise ImportError(name)
        return real(name, *rest, **named)

    (tmp_path / "config.json").write_text("{}")
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match=r"requirements/backbone\.txt"):
        PretrainedBackbone(tmp_path)


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.mkdir(), lambda path: path.write_text("x")])
def test_a_folder_that_is_none_is_refused(tmp_path, make):
    path = tmp_path / "weights"
    make(path)
    with pytest.raises(ConfigError, match=r"config\.json"):
        PretrainedBackbone(path)


@pytest.fixture(scope="module")
def transformers():
    return pytest.importorskip("transformers", reason="transformers is not installed (requirements/backbone.txt)")


@pytest.fixture(scope="module")
def crops():
    rng = np.random.default_rng(0)
    made = np.full((4, 64, 64, 4), 128, np.uint8)
    made[0, 10:50, 20:40, :3] = (200, 60, 40)
    made[1, 10:50, 20:40, :3] = (40, 60, 200)
    made[2:] = rng.integers(0, 255, made[2:].shape)
    return made


def saved(transformers, path, kind):
    import torch

    torch.manual_seed(0)
    small = {"hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    vision = {"image_size": 32, "patch_size": 8, **small}
    t = transformers
    model = {
        "vit": lambda: t.ViTModel(t.ViTConfig(**vision), add_pooling_layer=False),
        "dinov2": lambda: t.Dinov2Model(t.Dinov2Config(**vision)),
        "resnet": lambda: t.ResNetModel(t.ResNetConfig(embedding_size=8, hidden_sizes=[8, 24], depths=[1, 1])),
        "convnext": lambda: t.ConvNextModel(t.ConvNextConfig(hidden_sizes=[8, 24], depths=[1, 1], num_stages=2)),
        "siglip": lambda: t.SiglipModel(t.SiglipConfig(
            text_config={**small, "vocab_size": 50}, vision_config=vision)),
        "clip": lambda: t.CLIPModel(t.CLIPConfig(
            text_config={**small, "vocab_size": 50}, vision_config=vision, projection_dim=16)),
        "bert": lambda: t.BertModel(t.BertConfig(**small, vocab_size=50)),
    }[kind]()  # fmt: skip
    model.save_pretrained(path)
    return path


@pytest.mark.parametrize("kind", ["vit", "dinov2", "convnext", "resnet", "clip", "siglip"])
def test_vision_models_give_one_embedding_per_crop(transformers, crops, tmp_path, kind):
    path = saved(transformers, tmp_path, kind)
    backbone = PretrainedBackbone(path)
    assert backbone.dim == 24
    found = backbone.crop_embedding(crops)
    assert found.shape == (4, 24)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    assert np.abs(found[0] - found[1]).max() > 1e-3
    np.testing.assert_allclose(backbone.crop_embedding(crops[2:3])[0], found[2], atol=1e-5)
    flat = crops.copy()
    flat[..., 3] = 0
    assert np.array_equal(backbone.crop_embedding(flat), found)  # the height is not looked at
    many = backbone.crop_embedding(np.repeat(crops[:1], BATCH + 3, axis=0))
    assert many.shape == (BATCH + 3, 24)
    np.testing.assert_allclose(many, np.broadcast_to(found[:1], many.shape), atol=1e-5)
    assert backbone.crop_embedding(crops[:0]).shape == (0, 24)


def test_the_fingerprint_follows_the_weights(transformers, crops, tmp_path):
    first = PretrainedBackbone(saved(transformers, tmp_path, "vit"))
    again = PretrainedBackbone(tmp_path)
    assert first.fingerprint == again.fingerprint
    assert np.array_equal(first.crop_embedding(crops), again.crop_embedding(crops))
    path = tmp_path / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 0x01
    path.write_bytes(content)
    assert PretrainedBackbone(tmp_path).fingerprint != first.fingerprint


def test_normalisation_comes_from_the_folder(transformers, crops, tmp_path):
    plain = PretrainedBackbone(saved(transformers, tmp_path, "resnet")).crop_embedding(crops)
    path = tmp_path / "preprocessor_config.json"
    path.write_text(json.dumps({"image_mean": [0.1, 0.2, 0.3], "image_std": [0.2, 0.2, 0.2], "size": {"height": 48}}))
    other = PretrainedBackbone(tmp_path).crop_embedding(crops)
    assert np.abs(other - plain).max() > 1e-3
    for wrong, word in (("[", "cannot be read"), ('{"size": 5}', "pixels"), ('{"image_std": [0, 1, 1]}', "spread")):
        path.write_text(wrong)
        with pytest.raises(ConfigError, match=word):
            PretrainedBackbone(tmp_path)


def test_what_is_no_complete_vision_model_is_refused(transformers, tmp_path):
    with pytest.raises(ConfigError, match="takes no pictures"):
        PretrainedBackbone(saved(transformers, tmp_path / "text", "bert"))
    folder = saved(transformers, tmp_path / "vit", "vit")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ConfigError, match="cannot be loaded"):
        PretrainedBackbone(folder)
    folder = saved(transformers, tmp_path / "half", "vit")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 2}))
    with pytest.raises(ConfigError, match="lacks weights"):
        PretrainedBackbone(folder)
    (folder / "config.json").write_text('{"model_type": "unheard_of"}')
    with pytest.raises(ConfigError, match="cannot be loaded"):
        PretrainedBackbone(folder)


def test_crops_of_another_form_are_refused(transformers, crops, tmp_path):
    backbone = PretrainedBackbone(saved(transformers, tmp_path, "vit"))
    for wrong in (crops[..., :3], crops.astype(float), crops[0]):
        with pytest.raises(ConfigError, match="uint8"):
            backbone.crop_embedding(wrong)
