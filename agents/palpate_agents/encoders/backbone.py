"""A pretrained vision model of the user's own, for embeddings of crops. Optional: needs `transformers` and its weights.

The weights are a local folder as `save_pretrained` of transformers writes it (`config.json`, `model.safetensors`, and
`preprocessor_config.json` if there is one). Nothing is ever downloaded, no pickle is read, and no code of the folder
runs. ViT, DINOv2, ConvNeXt, ResNet, and the vision side of CLIP and SigLIP fit.

    backbone = PretrainedBackbone("weights/dinov2-small")
    embedding = backbone.crop_embedding(crops)          # (B, 64, 64, 4) uint8 -> (B, backbone.dim) float32
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import interpolate

from palpate_agents.encoders.crop import SIZE, TABLE_GREY
from palpate_agents.errors import ConfigError

BATCH = 64
"""Crops at a time."""
DEFAULT_SIDE = 224
"""Pixels along each side of a model's input, if its folder does not say."""
LARGEST_SIDE = 1024
TABLE_LIGHT = 0.32
"""Of the table in the photograph that a crop is turned back into, 0..1: then a white part is just not cut."""
MEAN, STD = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
"""Of colours 0..1, if the folder does not say."""


class PretrainedBackbone:
    """A frozen vision model.

    Attributes:
        dim: length of an embedding.
        fingerprint: 16 hexadecimal digits over configurations and weights, to be stored with whatever was trained on
            the embeddings.
    """

    def __init__(self, path: Path | str) -> None:
        """Loads a model on the CPU.

        Args:
            path: local folder.

        Raises:
            ConfigError: transformers is not installed, or the folder is missing or holds no complete vision model.
        """
        folder = Path(path)
        if not folder.is_dir() or not (folder / "config.json").is_file():
            raise ConfigError(f"backbone {str(path)!r} is no folder with a config.json; give one of `save_pretrained`")
        whole = _loaded(folder)
        model = getattr(whole, "vision_model", whole)
        if getattr(model, "main_input_name", "") != "pixel_values":
            raise ConfigError(f"backbone {str(path)!r} is a {type(whole).__name__}, which takes no pictures")
        self._model = model.eval().requires_grad_(False)
        self._has_class_token = any(
            name.endswith(("cls_token", "class_embedding")) for name, _ in model.named_parameters()
        )
        self._side, mean, std = _input_of(folder, getattr(model.config, "image_size", None))
        self._mean, self._std = (torch.tensor(values).reshape(1, 3, 1, 1) for values in (mean, std))
        self.fingerprint = _fingerprint(folder)
        try:
            self.dim = int(self._embed(torch.zeros(1, SIZE, SIZE, 4, dtype=torch.uint8)).shape[1])
        except (RuntimeError, ValueError, AttributeError, IndexError, TypeError) as error:
            raise ConfigError(f"backbone {str(path)!r} cannot read a {self._side} pixel picture: {error}") from error

    def crop_embedding(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embeddings of crops; the height channel is not looked at.

        Args:
            crops: (B, 64, 64, 4) uint8 of `crop.crop_of`.

        Returns:
            (B, dim): the class token's state, or the mean over places where the model has none.

        Raises:
            ConfigError: crops of another shape or type.
        """
        if crops.ndim != 4 or crops.shape[1:] != (SIZE, SIZE, 4) or crops.dtype != np.uint8:
            raise ConfigError(f"crops are {crops.shape} {crops.dtype}, not (B, {SIZE}, {SIZE}, 4) uint8")
        found = [self._embed(torch.from_numpy(crops[k : k + BATCH])) for k in range(0, len(crops), BATCH)]
        return np.concatenate([part.numpy() for part in found] or [np.zeros((0, self.dim), np.float32)])

    @torch.no_grad()
    def _embed(self, crops: torch.Tensor) -> torch.Tensor:
        values = crops[..., :3].permute(0, 3, 1, 2).float()
        colours = (TABLE_LIGHT * values / (2.0 * TABLE_GREY - values)).clamp(max=1.0)
        pictures = interpolate(colours, (self._side, self._side), mode="bilinear", antialias=True)
        # Not `pooler_output`: checkpoints often come without that layer, which then is random.
        state = self._model(pixel_values=(pictures - self._mean) / self._std).last_hidden_state
        if state.ndim == 4:
            return state.mean(dim=(2, 3)).float()
        return (state[:, 0] if self._has_class_token else state.mean(dim=1)).float()


def _loaded(folder: Path) -> Any:
    try:
        import transformers
    except ImportError as error:
        raise ConfigError(
            "a pretrained backbone needs the package transformers: pip install -r requirements/backbone.txt"
        ) from error
    try:
        model, report = transformers.AutoModel.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, use_safetensors=True, dtype=torch.float32,
            output_loading_info=True,
        )  # fmt: skip
    except Exception as error:  # whatever the package makes of a folder that is none of its own
        raise ConfigError(f"backbone {str(folder)!r} cannot be loaded: {str(error).splitlines()[0]}") from error
    missing = [name for name in report["missing_keys"] if "pooler" not in name]
    if missing or report["mismatched_keys"]:
        strange = (missing or [str(key) for key in report["mismatched_keys"]])[0]
        raise ConfigError(f"backbone {str(folder)!r} lacks weights that fit, such as {strange}; it would be random")
    return model


def _input_of(folder: Path, image_size: Any) -> tuple[int, tuple[float, ...], tuple[float, ...]]:
    """Side of the input in pixels, and (3,) mean and spread of its colours."""
    path = folder / "preprocessor_config.json"
    try:
        given = json.loads(path.read_text()) if path.is_file() else {}
        size = given.get("crop_size") or given.get("size") or {}
        side = size if isinstance(size, int) else size.get("height") or size.get("shortest_edge")
        side = int(image_size or side or DEFAULT_SIDE)
        mean, std = (
            tuple(float(v) for v in given.get(name) or default)
            for name, default in (("image_mean", MEAN), ("image_std", STD))
        )
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    if not 16 <= side <= LARGEST_SIDE or len(mean) != 3 or len(std) != 3 or min(std) <= 0.0:
        raise ConfigError(
            f"{path} asks for {side} pixels, mean {mean} and spread {std}; 16 to {LARGEST_SIDE} and 3 each"
        )
    return side, mean, std


def _fingerprint(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted((*folder.glob("*config.json"), *folder.glob("*.safetensors"))):
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()[:16]
