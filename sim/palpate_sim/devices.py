"""What differs between two copies of the same sensor: drawn once per session."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palpate_sim import keyed
from palpate_sim.backend import Array, copied
from palpate_sim.randomisation import DEVICE, Table


@dataclass(frozen=True)
class DeviceDraw:
    """One set of devices. What `randomisation.DEVICE` has under the name of a field is drawn, the rest is the same.

    Attributes:
        wavelength_shift_nm: true minus reported wavelength of the spectrometer.
        spectral_gain: factor on reflectance.
        spectral_snr: full-scale signal over noise of one scan.
        axis_end_nm: end of the spectrometer's reported axis; reference_place: 0..1, which noise its references have.
        thermal_offset_k: absolute error of the thermal camera; netd_k: its noise-equivalent temperature difference.
        depth_scale: factor on depth; depth_noise_per_m: standard deviation of depth over its square, 1/m.
        white_balance: (3,) factors on RGB; exposure: factor on all; color_noise: standard deviation in grey levels.
        wrench_bias: (6,) N and N m; force_gain: factor; force_noise_n, torque_noise_nm: standard deviations.
        burst_gain: factor of the accelerometer; burst_noise_m_s2: standard deviation of a sample.
        pad_effusivity: (2,) W s0.5/(m2 K); pad_offset_k: (2,) error of their published temperature.
    """

    wavelength_shift_nm: float = 0.0
    spectral_gain: float = 1.0
    spectral_snr: float = 1350.0
    axis_end_nm: float = 1700.0
    reference_place: float = 0.0
    thermal_offset_k: float = 0.0
    netd_k: float = 0.05
    depth_scale: float = 1.0
    depth_noise_per_m: float = 3.8e-3
    white_balance: tuple[float, float, float] = (1.0, 1.0, 1.0)
    exposure: float = 1.0
    color_noise: float = 1.5
    wrench_bias: tuple[float, float, float, float, float, float] = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    force_gain: float = 1.0
    force_noise_n: float = 0.01
    torque_noise_nm: float = 2.5e-4
    burst_gain: float = 1.0
    burst_noise_m_s2: float = 0.3
    pad_effusivity: tuple[float, float] = (1000.0, 1000.0)
    pad_offset_k: tuple[float, float] = (0.0, 0.0)

    @staticmethod
    def nominal() -> DeviceDraw:
        """Devices without individual errors; their noise stays."""
        return DeviceDraw()

    @property
    def batch(self) -> DeviceBatch:
        """The same as a batch of one."""
        return DeviceBatch.of([self])


DEVICE_FIELDS: tuple[str, ...] = tuple(field.name for field in fields(DeviceDraw))
_NOMINAL = {name: np.asarray(getattr(DeviceDraw(), name), float) for name in DEVICE_FIELDS}
_DRAWN = {name: value.size for name, value in _NOMINAL.items() if name in DEVICE}
_DRAWN |= {"force_bias_n": 3, "torque_bias_nm": 3}
_TABLE = Table({f"device.{name}.{k}": DEVICE[name] for name, count in _DRAWN.items() for k in range(count)})


@dataclass(frozen=True, eq=False)
class DeviceBatch:
    """The fields of `DeviceDraw` as arrays over N sets of devices, of NumPy or torch.

    Attributes:
        arrays: float64, (N,), or (N, k) where the field has k numbers.
    """

    arrays: dict[str, Array]

    @staticmethod
    def of(devices: Sequence[DeviceDraw]) -> DeviceBatch:
        """Stacks sets of devices.

        Raises:
            ValueError: none was given.
        """
        if not devices:
            raise ValueError("a batch of 0 sets of devices has no shape; give at least 1")
        return DeviceBatch({name: np.array([getattr(d, name) for d in devices], float) for name in DEVICE_FIELDS})

    @staticmethod
    def nominal(count: int) -> DeviceBatch:
        """N sets without individual errors."""
        return DeviceBatch({name: np.repeat(value[None], count, axis=0) for name, value in _NOMINAL.items()})

    def __len__(self) -> int:
        return int(self.arrays["spectral_gain"].shape[0])

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["arrays"][name]
        except KeyError:
            raise AttributeError(f"a batch of devices has no field {name!r}") from None

    def replace(self, **arrays: Array) -> DeviceBatch:
        """A batch with some arrays overridden.

        Raises:
            KeyError: a name is not a field of `DeviceDraw`.
        """
        unknown = set(arrays) - set(self.arrays)
        if unknown:
            raise KeyError(f"{sorted(unknown)} are not fields of a device; known: {sorted(self.arrays)}")
        return DeviceBatch({**self.arrays, **arrays})

    def rows(self, index: Any) -> DeviceBatch:
        """The sets at an index array, a boolean mask or a slice."""
        return DeviceBatch({name: array[index] for name, array in self.arrays.items()})

    def to(self, xp: Any, device: Any = None) -> DeviceBatch:
        """A copy in another array library, see `PartBatch.to`."""
        return DeviceBatch({name: copied(array, xp, device) for name, array in self.arrays.items()})

    def draw(self, row: int) -> DeviceDraw:
        """One set."""
        numbers = {name: array[row].tolist() for name, array in self.arrays.items()}
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in numbers.items()}
        return DeviceDraw(**values)


def draw_device_batch(keys: NDArray[np.int64]) -> DeviceBatch:
    """N sets of devices from the distributions of `randomisation.DEVICE`.

    Args:
        keys: (N,) int64, one each; what a set has depends on nothing else.
    """
    keys = np.asarray(keys, np.int64)
    values = _TABLE.at(keyed.uniforms(keys, _TABLE.names))
    drawn, row = {}, 0
    for name, count in _DRAWN.items():
        drawn[name], row = values[row : row + count].T.copy(), row + count
    bias = np.concatenate([drawn.pop("force_bias_n"), drawn.pop("torque_bias_nm")], axis=1)
    drawn["white_balance"][:, 1] = 1.0  # green is the reference
    scalars = {name: array if _NOMINAL[name].ndim else array[:, 0] for name, array in drawn.items()}
    return DeviceBatch({**DeviceBatch.nominal(len(keys)).arrays, **scalars, "wrench_bias": bias})


def draw_devices(rng: np.random.Generator) -> DeviceDraw:
    """One set of devices; only a key is taken from `rng`."""
    return draw_device_batch(np.array([rng.integers(2**62)])).draw(0)
