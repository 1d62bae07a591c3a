"""Which parts, devices and rooms batched cells have, and how they are drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palpate_agents.encoders.context import FeatureConfig
from palpate_agents.errors import ConfigError
from palpate_sim.batch.checks import number_range, real_number, whole_number
from palpate_sim.devices import DeviceBatch, draw_device_batch
from palpate_sim.keyed import combine, uniform
from palpate_sim.objects import COLDEST_C, CONDITIONS, HOTTEST_C, PartBatch, draw_parts
from palpate_sim.part_geometry import GEOMETRIES_PER_CLASS
from palpate_sim.part_tables import NAMES
from palpate_sim.randomisation import CONDITION_MIX, LOTS

Floats = NDArray[np.float64]

DEFAULT_FEATURES = FeatureConfig()


@dataclass(frozen=True)
class BatchConfig:
    """Which parts and devices the cells have.

    Attributes:
        materials: drawn uniformly from these, None: from the whole catalogue.
        condition: of every part; None: drawn by the mix.
        mix: `mix` or `hard`, see `objects.condition_shares`.
        lots: first lot and the one behind the last.
        geometries: first outline of each class and the one behind the last, to train and test on different ones.
        outlines: numbers of outlines instead of that range.
        ambient_c: room temperature, or lowest and highest: then every part finds a room of its own.
        nominal_devices: without individual errors.
        features: grid of the spectrum.
        first_cell: number of the first cell: workers that share a seed have cells of their own.
        inductive: the warm pads have an eddy-current coil; without it a warm touch measures no inductance.

    Raises:
        ConfigError: a value that means nothing.
    """

    materials: tuple[str, ...] | None = None
    condition: str | None = None
    mix: str = "mix"
    lots: tuple[int, int] = (0, LOTS)
    geometries: tuple[int, int] = (0, GEOMETRIES_PER_CLASS)
    ambient_c: float | tuple[float, float] = 22.0
    nominal_devices: bool = False
    features: FeatureConfig = DEFAULT_FEATURES
    first_cell: int = 0
    inductive: bool = False
    outlines: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.materials is not None:
            if isinstance(self.materials, str) or not len(self.materials):
                raise ConfigError(f"materials is {self.materials!r}; give names in a tuple, or None for all")
            strange = [name for name in self.materials if name not in NAMES]
            if strange:
                raise ConfigError(f"material {strange[0]!r} is unknown; known are {', '.join(NAMES)}")
        if self.condition is not None and self.condition not in CONDITIONS:
            raise ConfigError(f"condition {self.condition!r} is unknown; known are {', '.join(CONDITIONS)}")
        if self.mix not in CONDITION_MIX:
            raise ConfigError(f"mix {self.mix!r} is unknown; known are {', '.join(CONDITION_MIX)}")
        number_range("lots", self.lots, 0, LOTS)
        number_range("geometries", self.geometries, 0, GEOMETRIES_PER_CLASS)
        for outline in self.outlines or ():
            whole_number("outlines", outline, 0, GEOMETRIES_PER_CLASS - 1)
        if self.outlines is not None and not self.outlines:
            raise ConfigError("outlines is empty; give numbers of outlines, or None for all")
        low, high = self.rooms_c
        if low > high:
            raise ConfigError(f"ambient_c is {self.ambient_c}; the lowest room is warmer than the highest")
        whole_number("first_cell", self.first_cell, 0)

    @property
    def rooms_c(self) -> tuple[float, float]:
        """Lowest and highest room temperature."""
        given: Any = self.ambient_c
        pair = given if isinstance(given, tuple | list) else (given, given)
        if len(pair) != 2:
            raise ConfigError(f"ambient_c is {given!r}; give one temperature, or the lowest and the highest")
        low, high = (real_number("ambient_c", value, COLDEST_C, HOTTEST_C) for value in pair)
        return low, high

    def draw_rooms(self, keys: NDArray[np.int64]) -> Floats:
        """(n,) room temperatures of the parts with these keys, degrees Celsius."""
        low, high = self.rooms_c
        if low == high:
            return np.full(len(keys), low)
        rooms: Floats = low + (high - low) * uniform(keys, "cell.room")
        return rooms

    def draw_parts(self, keys: NDArray[np.int64], ambient_c: Floats) -> PartBatch:
        """Parts with these keys.

        Args:
            keys: (n,).
            ambient_c: (n,) of their rooms.
        """
        first, behind = self.geometries
        geometry = None
        if self.outlines is not None:
            numbers = np.array(self.outlines)
            geometry = numbers[(uniform(keys, "cell.geometry") * len(numbers)).astype(np.int64)]
        elif (first, behind) != (0, GEOMETRIES_PER_CLASS):
            geometry = first + (uniform(keys, "cell.geometry") * (behind - first)).astype(np.int64)
        materials = None
        if self.materials is not None:
            place = (uniform(keys, "cell.material") * len(self.materials)).astype(int)
            materials = [self.materials[k] for k in place]
        return draw_parts(keys, materials, self.condition, geometry, self.mix, ambient_c, self.lots)

    def draw_devices(self, keys: NDArray[np.int64]) -> DeviceBatch:
        """Sets of devices for the (n,) parts with these keys."""
        if self.nominal_devices:
            return DeviceBatch.nominal(len(keys))
        return draw_device_batch(combine(keys, "devices"))
