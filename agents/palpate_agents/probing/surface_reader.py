"""What lies on each cell of a seen surface: shares under coat, label, water and dirt, from the camera's map of it.

A small U-shaped convolutional network (Ronneberger et al., MICCAI 2015) over the 8 x 8 map. What is a patch and what
the body can be told only from the whole part, so means and largest values over the map are added to every cell.
No layer mixes rows of a batch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from palpate_agents.encoders.picture import SURFACE_CENTRE, SURFACE_SCALE
from palpate_agents.encoders.surface_map import CELLS, CHANNELS
from palpate_agents.errors import ConfigError

LAYERS: tuple[str, ...] = ("coat", "label", "film", "dirt")
"""In the order of the outputs: paint, label, water film, dirt."""
EXTENT_M = (0.06, 0.045, 0.03)
"""Usual length, width and height of a seen part; the network reads the logarithms of the extents over these."""
ROWS = 256
"""Maps at a time in `covers`."""


class SurfaceReader(nn.Module):
    """Surface maps -> how much of each cell lies under each layer.

    A share is that of the cell's seen area under the layer, whether or not another layer lies over it: what a tool
    meets there. A film counts with the share that it wets.

    Attributes:
        card: of the model file; empty for a network that was not loaded.
    """

    centre: Tensor
    scale: Tensor
    usual_m: Tensor

    def __init__(self, width: int = 16, deep: int = 32, blocks: int = 2) -> None:
        """Random weights.

        Args:
            width: channels of the 8 x 8 stages.
            deep: channels of the 4 x 4 stage.
            blocks: residual blocks of the 4 x 4 stage.

        Raises:
            ConfigError: one of them is no whole number from 1.
        """
        super().__init__()
        self.config: dict[str, Any] = {"width": width, "deep": deep, "blocks": blocks}
        for name, value in self.config.items():
            if not isinstance(value, int) or value < 1:
                raise ConfigError(f"surface reader: {name} is {value!r}; give a whole number from 1")
        self.card: dict[str, Any] = {}
        self.register_buffer("centre", torch.tensor(SURFACE_CENTRE), persistent=False)
        self.register_buffer("scale", torch.tensor(SURFACE_SCALE), persistent=False)
        self.register_buffer("usual_m", torch.tensor(EXTENT_M), persistent=False)
        self.stem = nn.Conv2d(len(CHANNELS), width, 3, padding=1)
        self.size = nn.Linear(3, width)
        self.down = nn.Conv2d(width, deep, 2, stride=2)
        self.blocks = nn.ModuleList(_Block(deep) for _ in range(blocks))
        self.up = nn.ConvTranspose2d(deep, width, 2, stride=2)
        self.join = nn.Conv2d(width, 2 * width, 3, padding=1)
        self.out = nn.Conv2d(2 * width, len(LAYERS), 1)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # as the maps come

    @property
    def name(self) -> str:
        """Name in the card; "untrained" for a network that was not loaded."""
        return str(self.card.get("name", "untrained"))

    @property
    def hash(self) -> str:
        """sha256 of the weights' file; empty for a network that was not loaded."""
        return str(self.card.get("sha256", ""))

    def forward(self, maps: Tensor, extent_m: Tensor) -> Tensor:
        """Logits of the shares.

        Args:
            maps: (n, 8, 8, C) float32 in the order of `surface_map.CHANNELS`, not finite where unknown.
            extent_m: (n, 3) float32 length, width, height of the seen box, m; not finite where unknown.

        Returns:
            (n, 8, 8, 4) in the order of LAYERS.
        """
        x = torch.nan_to_num((maps - self.centre) / self.scale, 0.0, 0.0, 0.0).clamp(-4.0, 4.0)
        size = torch.nan_to_num(torch.log(extent_m.clamp(min=1e-3) / self.usual_m), 0.0, 0.0, 0.0).clamp(-4.0, 4.0)
        fine = functional.relu(self.stem(x.permute(0, 3, 1, 2)) + self.size(size)[:, :, None, None])
        coarse = self.down(fine)
        for block in self.blocks:
            coarse = block(coarse)
        both = functional.relu(self.join(functional.relu(fine + self.up(functional.relu(coarse)))))
        logits: Tensor = self.out(both).permute(0, 2, 3, 1)
        return logits

    @torch.inference_mode()
    def covers(self, maps: NDArray[np.floating], extent_m: NDArray[np.floating]) -> NDArray[np.float32]:
        """Expected shares, calibrated when the network was trained.

        Args:
            maps: (n, 8, 8, C), see `forward`.
            extent_m: (n, 3) m.

        Returns:
            (n, 8, 8, 4) float32, 0..1, in the order of LAYERS.

        Raises:
            ConfigError: another shape.
        """
        wanted = (CELLS, CELLS, len(CHANNELS))
        if maps.ndim != 4 or maps.shape[1:] != wanted or extent_m.shape != (len(maps), 3):
            raise ConfigError(
                f"maps have shape {maps.shape} and extents {extent_m.shape}; (n, {CELLS}, {CELLS}, {len(CHANNELS)}) "
                f"and (n, 3) m are needed, of the same n parts"
            )
        shares = np.empty((len(maps), CELLS, CELLS, len(LAYERS)), np.float32)
        for first in range(0, len(maps), ROWS):
            rows = slice(first, first + ROWS)
            some, extents = (torch.from_numpy(np.ascontiguousarray(a[rows], np.float32)) for a in (maps, extent_m))
            shares[rows] = torch.sigmoid(self.forward(some, extents)).numpy()
        return shares


class _Block(nn.Module):
    """Two 3 x 3 convolutions and what the whole map is like, beside a shortcut: (n, W, H, H) -> the same."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.context = nn.Linear(2 * width, width)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        # Begins near the shortcut alone: without normalisation layers that keeps stacks trainable.
        self.gain = nn.Parameter(torch.full((1, width, 1, 1), 0.2))

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        inner = self.first(functional.relu(x))
        inner = functional.relu(inner + self.context(_pooled(inner))[:, :, None, None])
        return x + self.gain * self.second(inner)


def _pooled(x: Tensor) -> Tensor:
    """(n, W, H, H) -> (n, 2 W) means and largest values over the map."""
    return torch.cat((x.mean(dim=(2, 3)), x.amax(dim=(2, 3))), dim=1)
