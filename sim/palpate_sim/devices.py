"""What differs between two copies of the same sensor: drawn once per session."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from palpate_sim.randomisation import DEVICE


@dataclass(frozen=True)
class DeviceDraw:
    """One set of devices.

    Attributes:
        wavelength_shift_nm: true minus reported wavelength of the spectrometer.
        spectral_gain: factor on reflectance.
        spectral_snr: full-scale signal over noise of one scan.
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


def draw_devices(rng: np.random.Generator) -> DeviceDraw:
    """One set of devices from the distributions of `randomisation.DEVICE`."""

    def draw(name: str) -> float:
        return DEVICE[name].draw(rng)

    balance = (draw("white_balance"), 1.0, draw("white_balance"))
    force = [draw("force_bias_n") for _ in range(3)]
    torque = [draw("torque_bias_nm") for _ in range(3)]
    return DeviceDraw(
        wavelength_shift_nm=draw("wavelength_shift_nm"),
        spectral_gain=draw("spectral_gain"),
        spectral_snr=draw("spectral_snr"),
        thermal_offset_k=draw("thermal_offset_k"),
        depth_scale=draw("depth_scale"),
        depth_noise_per_m=draw("depth_noise_per_m"),
        white_balance=balance,
        exposure=draw("exposure"),
        color_noise=draw("color_noise"),
        wrench_bias=(force[0], force[1], force[2], torque[0], torque[1], torque[2]),
        force_gain=draw("force_gain"),
        burst_gain=draw("burst_gain"),
        pad_effusivity=(draw("pad_effusivity"), draw("pad_effusivity")),
        pad_offset_k=(draw("pad_offset_k"), draw("pad_offset_k")),
    )
