"""Visual encoder: what one look shows, from summary columns, the map of the surface, and a picture of the part.

Two small residual networks (He et al., CVPR 2016): one over the 8 x 8 surface map, which says what lies where (a bare
patch in a coat, a label, a puddle), one over the 64 x 64 crop, which adds texture and outline. Either may be missing:
the batched cell has no pictures, a picture without a segmented part has neither. No layer mixes rows of a batch.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from palpate_agents.encoders.backbone import PretrainedBackbone
from palpate_agents.encoders.surface_map import CHANNELS
from palpate_agents.errors import ConfigError

SURFACE_DIM, CROP_DIM = 64, 64
CROP_CHANNELS = 4
CROP_DROP = 0.3
"""Share of crops that training leaves out, so that the map alone stays enough."""
SURFACE_CENTRE = (0.5, 1.0, 1.0, 1.0, 0.1, 0.1, 0.1, 0.8)
SURFACE_SCALE = (0.5, 0.7, 0.7, 0.7, 0.15, 0.3, 0.3, 0.4)
"""Usual values of the map's channels, in their order, and how far they vary."""


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut: (B, C, H, W) -> (B, D, H / stride, W / stride)."""

    def __init__(self, width_in: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.first = nn.Conv2d(width_in, width, 3, stride, 1)
        self.second = nn.Conv2d(width, width, 3, 1, 1)
        changes = stride != 1 or width_in != width
        self.shortcut = nn.Conv2d(width_in, width, 1, stride) if changes else nn.Identity()
        # Begins as the shortcut alone: without normalisation layers that keeps deep stacks trainable.
        self.gain = nn.Parameter(torch.full((1, width, 1, 1), 0.1))

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        inner = self.second(functional.gelu(self.first(functional.gelu(x))))
        return self.shortcut(x) + self.gain * inner


class SurfaceEncoder(nn.Module):
    """(T, 8, 8, C) surface maps, `surface_map.CHANNELS`, not finite where unknown -> (T, SURFACE_DIM)."""

    centre: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("centre", torch.tensor(SURFACE_CENTRE), persistent=False)
        self.register_buffer("scale", torch.tensor(SURFACE_SCALE), persistent=False)
        self.layers = nn.Sequential(
            nn.Conv2d(len(CHANNELS), 16, 3, 1, 1), ResidualBlock(16, 16), ResidualBlock(16, 32, 2),
            ResidualBlock(32, 32),
        )  # fmt: skip
        self.out = nn.Linear(64, SURFACE_DIM)

    def forward(self, maps: Tensor) -> Tensor:
        """See the class."""
        x = torch.nan_to_num((maps.float() - self.centre) / self.scale, 0.0, 0.0, 0.0).clamp(-4.0, 4.0)
        return self.out(_pooled(self.layers(x.permute(0, 3, 1, 2))))


class CropEncoder(nn.Module):
    """(T, 64, 64, 4) uint8 crops (colour over the table's, 128 the same; height) -> (T, CROP_DIM)."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(CROP_CHANNELS, 24, 5, 4, 2), ResidualBlock(24, 24), ResidualBlock(24, 48, 2),
            ResidualBlock(48, 96, 2),
        )  # fmt: skip
        self.out = nn.Linear(192, CROP_DIM)

    def forward(self, crops: Tensor) -> Tensor:
        """See the class."""
        x = crops.permute(0, 3, 1, 2).float() * (1.0 / 64.0) - 2.0
        return self.out(_pooled(self.layers(x)))


class BackboneCropEncoder(nn.Module):
    """The same from the embedding of a frozen pretrained model; only the last layer is learnt.

    Args:
        folder: of the model.
        fingerprint: that it must have; empty: any.

    Raises:
        ConfigError: the model cannot be loaded, or is another one.
    """

    def __init__(self, folder: str, fingerprint: str = "") -> None:
        super().__init__()
        self.backbone = PretrainedBackbone(folder)
        if fingerprint and fingerprint != self.backbone.fingerprint:
            raise ConfigError(
                f"backbone {folder!r} has fingerprint {self.backbone.fingerprint}, the network was trained on "
                f"{fingerprint}; give the folder that it was trained with"
            )
        self.out = nn.Sequential(nn.LayerNorm(self.backbone.dim), nn.Linear(self.backbone.dim, CROP_DIM))

    def forward(self, crops: Tensor) -> Tensor:
        """See the class."""
        embedding = torch.from_numpy(self.backbone.crop_embedding(crops.cpu().numpy()))
        return self.out(embedding.to(crops.device))


def _pooled(x: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, 2 C) means and largest values over the picture."""
    x = functional.gelu(x)
    return torch.cat([x.mean(dim=(2, 3)), x.amax(dim=(2, 3))], dim=1)


class PictureEncoder(nn.Module):
    """Surface maps and crops of looks -> (T, OUT) features, zeros where a look has none of them."""

    OUT = SURFACE_DIM + CROP_DIM + 2

    def __init__(self, backbone: str = "", fingerprint: str = "") -> None:
        super().__init__()
        self.surface = SurfaceEncoder()
        self.crop = BackboneCropEncoder(backbone, fingerprint) if backbone else CropEncoder()

    def forward(
        self, count: int, maps: Tensor | None, maps_at: Tensor, crops: Tensor | None, crops_at: Tensor
    ) -> Tensor:
        """Encodes the pictures there are.

        Args:
            count: number of looks T.
            maps: store of surface maps; None without any.
            maps_at: (T,) int64 place of each look's map in the store, -1 without one.
            crops: store of crops; None without any.
            crops_at: (T,) int64, likewise.
        """
        device = maps_at.device
        flips: list[int] = []
        if self.training:  # a part turned by half a turn is the same part
            crops_at = torch.where(torch.rand(count, device=device) < CROP_DROP, -1, crops_at)
            flips = [dim for dim in (1, 2) if bool(torch.rand(()) < 0.5)]
        out = torch.zeros((count, self.OUT), device=device)
        for store, at, encoder, first in (
            (maps, maps_at, self.surface, 0),
            (crops, crops_at, self.crop, SURFACE_DIM + 1),
        ):
            there = at >= 0
            if store is not None and bool(there.any()):
                pictures = store[at[there].to(store.device)].to(device)
                found = encoder(pictures.flip(flips) if flips else pictures)
                out[there, first : first + found.shape[1]] = found.to(out.dtype)
                out[there, first + found.shape[1]] = 1.0
        return out
