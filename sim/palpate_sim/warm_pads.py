"""The warm pads over time: their heater, what a touch does to them, and the warm spots that touches leave on a part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from palpate_agents.observation import Frame
from palpate_sim.contact import PAD_SIDE_M
from palpate_sim.devices import DeviceDraw
from palpate_sim.sensors.thermal import HeatedTip, WarmSpot, pad_face_temperature, pad_flux_w_m2
from palpate_sim.touch import PADS, Touch
from palpate_sim.world import PartBody

Array = NDArray[np.float64]

THERMAL_CONTACT_N = 0.2
"""A pad that presses less counts as free."""


@dataclass
class _Mark:
    """A touch in the part's frame: place, normal, first side; start s, dwell s (None: still touching), pad before."""

    pad: int
    center: Array
    normal: Array
    side: Array
    start_s: float
    dwell_s: float | None
    pad_start_c: float


class WarmPads:
    """Both pads and the marks on the part that lies in the cell."""

    def __init__(self, devices: DeviceDraw, ambient_c: float):
        self._devices, self._ambient_c = devices, ambient_c
        self.heater = HeatedTip()
        self._marks: list[_Mark] = []
        self._touching: dict[int, _Mark] = {}

    def new_part(self) -> None:
        """Forget the marks of the last part."""
        self._marks.clear()
        self._touching.clear()

    def update(self, time_s: float, touches: Sequence[Touch], body: PartBody | None, rotation: Array) -> None:
        """Notice touches that begin or end. Called every step.

        Args:
            time_s: elapsed time.
            touches: tool frames that touch now.
            body: the part.
            rotation: (3, 3) of the sensor's frame, for the direction of the pad's side.
        """
        if not touches and not self._touching:
            return
        pressed = {PADS.index(t.frame): t for t in touches if t.frame in PADS and t.normal_n > THERMAL_CONTACT_N}
        for pad in [pad for pad in self._touching if pad not in pressed]:
            mark = self._touching.pop(pad)
            mark.dwell_s = time_s - mark.start_s
            if body is not None:
                self.heater.face_c[pad] = self._face(body, mark, mark.dwell_s)
        for pad, touch in pressed.items():
            if pad not in self._touching and body is not None:
                self._begin(pad, touch, body, rotation, time_s)

    def _begin(self, pad: int, touch: Touch, body: PartBody, rotation: Array, time_s: float) -> None:
        turn = body.pose[:3, :3]
        mark = _Mark(
            pad, turn.T @ (touch.point - body.pose[:3, 3]), turn.T @ touch.normal, turn.T @ rotation[:, 1], time_s,
            None, float(self.heater.face_c[pad]),
        )  # fmt: skip
        self._marks.append(mark)
        self._touching[pad] = mark

    def _face(self, body: PartBody, mark: _Mark, time_s: float) -> float:
        return float(pad_face_temperature(body.touch.batch, self._devices, time_s, mark.pad_start_c, mark.pad)[0, 0])

    def advance(self, dt_s: float, time_s: float, body: PartBody | None) -> None:
        """One step of the heater; the face of a touching pad follows the contact."""
        contact, drawn = np.full(2, np.nan), np.zeros(2)
        for pad, mark in self._touching.items():
            if body is None:
                continue
            age = time_s - mark.start_s
            contact[pad] = self._face(body, mark, age)
            flux = pad_flux_w_m2(body.touch.batch, self._devices, max(age, 0.01), mark.pad_start_c, pad)
            drawn[pad] = float(flux[0, 0]) * PAD_SIDE_M**2
        self.heater.advance(dt_s, self._ambient_c, contact, drawn)

    def spots(self, time_s: float, body: PartBody) -> tuple[WarmSpot, ...]:
        """Marks where they are now, base frame; a touch that goes on counts until now."""
        pose = body.pose
        spots = []
        for mark in self._marks:
            center, normal = pose[:3, :3] @ mark.center + pose[:3, 3], pose[:3, :3] @ mark.normal
            side = pose[:3, :3] @ mark.side
            dwell = time_s - mark.start_s if mark.dwell_s is None else mark.dwell_s
            spots.append(
                WarmSpot(
                    tuple(center.tolist()),
                    mark.start_s,
                    dwell,
                    mark.pad_start_c,
                    mark.pad,
                    tuple(normal.tolist()),
                    float(np.arctan2(side[1], side[0])),
                )
            )
        return tuple(spots)


def touches_ball(touches: Sequence[Touch]) -> Touch | None:
    """The ball's touch, if any."""
    return next((touch for touch in touches if touch.frame is Frame.BALL_TIP), None)
