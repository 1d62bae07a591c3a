"""A fusion network whose crops are read by a user's pretrained model; the model itself is stood in for."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from palpate_agents.encoders import picture
from palpate_agents.encoders.picture import CROP_DIM, SURFACE_DIM, PictureEncoder
from palpate_agents.errors import ConfigError, ModelError
from palpate_agents.fusion import FusionConfig, MultimodalFusionNetwork
from palpate_agents.model_io import load_model, save_model

LABELS = ("a", "b")


class Stand:
    """Embeds a crop as the means of its channels."""

    dim, fingerprint = 4, "00112233"

    def __init__(self, folder: str) -> None:
        if "missing" in folder:
            raise ConfigError(f"backbone {folder!r} is no folder with a config.json")

    def crop_embedding(self, crops: np.ndarray) -> np.ndarray:
        return crops.astype(np.float32).mean(axis=(1, 2)) / 255.0


@pytest.fixture(autouse=True)
def stand(monkeypatch):
    monkeypatch.setattr(picture, "PretrainedBackbone", Stand)


def test_crops_go_through_the_backbone_and_only_its_last_layer_is_learnt():
    torch.manual_seed(0)
    encoder = PictureEncoder("weights").eval()
    learnt = {name for name, _ in encoder.crop.named_parameters()}
    assert learnt == {"out.0.weight", "out.0.bias", "out.1.weight", "out.1.bias"}
    crops = torch.randint(0, 256, (3, 64, 64, 4), dtype=torch.uint8)
    at = torch.tensor([0, -1, 2])
    found = encoder(3, None, torch.full((3,), -1), crops, at)
    there = found[:, SURFACE_DIM + 1 : SURFACE_DIM + 1 + CROP_DIM]
    assert there[1].abs().sum() == 0
    assert (there[0] - there[2]).abs().max() > 1e-4


def test_a_model_remembers_its_backbone_and_refuses_another(tmp_path, monkeypatch):
    config = FusionConfig(LABELS, backbone="weights", backbone_fingerprint=Stand.fingerprint)
    torch.manual_seed(0)
    save_model(MultimodalFusionNetwork(config), tmp_path / "m", "m")
    assert load_model(tmp_path / "m").config.backbone == "weights"
    monkeypatch.setattr(Stand, "fingerprint", "ffff")
    with pytest.raises(ModelError, match="trained on 00112233"):
        load_model(tmp_path / "m")


def test_a_model_without_its_backbone_says_so(tmp_path, monkeypatch):
    torch.manual_seed(0)
    save_model(MultimodalFusionNetwork(FusionConfig(LABELS, backbone="weights")), tmp_path / "m", "m")

    def gone(_folder: str) -> None:
        raise ConfigError("backbone 'weights' is no folder with a config.json")

    monkeypatch.setattr(picture, "PretrainedBackbone", gone)
    with pytest.raises(ModelError, match="no folder"):
        load_model(tmp_path / "m")
