"""The heater behind the two warm pads: a block with a controller and its own over-temperature cut-off."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from palpate_sim.devices import DeviceDraw

Array = NDArray[np.floating]

PAD_SETPOINTS_C = (45.0, 70.0)
BLOCK_CAPACITY_J_K = 6.0
BLOCK_LOSS_W_K = 0.03
HEATER_LIMIT_W = 8.0
HEATER_GAIN_W_K = 4.0
CUT_OFF_C = 85.0
RECOVERY_S = 1.5
"""Time in which a pad's face comes back to its block's temperature after a touch; assumed."""
THERMISTOR_NOISE_K = 0.03
HEATER_PERIOD_S = 0.1
TOUCH_DELAY_S = 0.003
"""From the true touch to its detection."""
RELEASE_S = (0.015, 0.03)
"""The pad leaves the part so long after the dwell that was asked for."""
APPROACH_S = (0.19, 0.22)
"""A window begins so long before the touch, where the approach became steady."""


def heater_power(setpoint_c: Array, block_c: Array, ambient_c: float) -> Array:
    """(2,) W: proportional control with feed-forward of the losses, between 0 and `HEATER_LIMIT_W`.

    Args:
        setpoint_c: (2,) set temperature, degrees Celsius.
        block_c: (2,) temperature of the blocks.
        ambient_c: room temperature.
    """
    wanted = HEATER_GAIN_W_K * (setpoint_c - block_c) + BLOCK_LOSS_W_K * (setpoint_c - ambient_c)
    return np.clip(wanted, 0.0, HEATER_LIMIT_W)


@dataclass
class HeatedTip:
    """State of both pads.

    Attributes:
        setpoint_c: (2,) set temperature, degrees Celsius.
        block_c: (2,) temperature of the heated blocks.
        face_c: (2,) temperature of the faces that touch.
        power_w: (2,) heating power of the last step.
        cut_off: (2,) tripped; stays so until the block has cooled by 10 K.
    """

    setpoint_c: Array = field(default_factory=lambda: np.asarray(PAD_SETPOINTS_C, float))
    block_c: Array = field(default_factory=lambda: np.asarray(PAD_SETPOINTS_C, float))
    face_c: Array = field(default_factory=lambda: np.asarray(PAD_SETPOINTS_C, float))
    power_w: Array = field(default_factory=lambda: np.zeros(2))
    cut_off: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(2, bool))

    def advance(
        self, dt_s: float, ambient_c: float, contact_c: Array | None = None, drawn_w: Array | None = None
    ) -> None:
        """One step of the heater.

        Args:
            dt_s: step, s; at most 1 s.
            ambient_c: room temperature.
            contact_c: (2,) face temperature of a touching pad (`pad_face_temperature`), NaN where a pad is free.
            drawn_w: (2,) heat that a part draws, W.
        """
        contact = np.full(2, np.nan) if contact_c is None else np.asarray(contact_c, float)
        drawn = np.zeros(2) if drawn_w is None else np.asarray(drawn_w, float)
        self.cut_off = (self.block_c > CUT_OFF_C) | (self.cut_off & (self.block_c > CUT_OFF_C - 10.0))
        self.power_w = np.where(self.cut_off, 0.0, heater_power(self.setpoint_c, self.block_c, ambient_c))
        net = self.power_w - BLOCK_LOSS_W_K * (self.block_c - ambient_c) - drawn
        self.block_c = self.block_c + dt_s * net / BLOCK_CAPACITY_J_K
        relaxed = self.block_c + (self.face_c - self.block_c) * np.exp(-dt_s / RECOVERY_S)
        self.face_c = np.where(np.isnan(contact), relaxed, contact)

    def read(self, devices: DeviceDraw, rng: np.random.Generator) -> Array:
        """(2,) published temperature of the faces: with the thermistors' offset and noise, degrees Celsius."""
        return self.face_c + np.asarray(devices.pad_offset_k) + THERMISTOR_NOISE_K * rng.standard_normal(2)
