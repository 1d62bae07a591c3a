"""The warm pads over time: their heater, what a touch does to them, and the warm spots that touches leave on a part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from palpate_agents.observation import Frame
from palpate_sim.contact import PAD_SIDE_M
from palpate_sim.devices import DeviceDraw
from palpate_sim.sensors.heat_contact import PAD_RADIUS_M, contact_resistance
from palpate_sim.sensors.thermal import HeatedTip, WarmSpot, pad_course, warmth_at
from palpate_sim.touch import PADS, Touch
from palpate_sim.world import PartBody

Array = NDArray[np.float64]

THERMAL_CONTACT_N = 0.2
"""A pad that presses less counts as free."""


@dataclass
class _Mark:
    """A touch in the part's frame: place, normal, first side; start s, dwell s (None: still touching), pad before.

    `warmth_k` is what earlier touches had left there, `resistance_m2k_w` lies between pad and part, `heat_j_m2` has
    gone in so far.
    """

    pad: int
    center: Array
    normal: Array
    side: Array
    start_s: float
    dwell_s: float | None
    pad_start_c: float
    warmth_k: float
    resistance_m2k_w: float
    heat_j_m2: float = 0.0


class WarmPads:
    """Both pads and the marks on the part that lies in the cell."""

    def __init__(self, devices: DeviceDraw, ambient_c: float):
        self._devices, self._ambient_c = devices, ambient_c
        self.heater = HeatedTip()
        self._marks: list[_Mark] = []
        self._touching: dict[int, _Mark] = {}
        self._owed_j = np.zeros(2)
        """Heat that ended touches drew since the heater's last step, J."""

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
                heat, self.heater.face_c[pad] = self._course(body, mark, mark.dwell_s)
                self._owed_j[pad] += (heat - mark.heat_j_m2) * PAD_SIDE_M**2
        for pad, touch in pressed.items():
            if pad not in self._touching and body is not None:
                self._begin(pad, touch, body, rotation, time_s)

    def _begin(self, pad: int, touch: Touch, body: PartBody, rotation: Array, time_s: float) -> None:
        turn = body.pose[:3, :3]
        center = turn.T @ (touch.point - body.pose[:3, 3])
        spot = body.touch.spot(center[:2], PAD_RADIUS_M)
        mark = _Mark(
            pad, center, turn.T @ touch.normal, turn.T @ rotation[:, 1], time_s, None, float(self.heater.face_c[pad]),
            warmth_at(touch.point, spot, self.spots(time_s, body), time_s, self._devices),
            float(contact_resistance(spot)[0]),
        )  # fmt: skip
        self._marks.append(mark)
        self._touching[pad] = mark

    def _course(self, body: PartBody, mark: _Mark, time_s: float) -> tuple[float, float]:
        """Heat that went into the part, J/m2, and temperature of the face so long after the touch."""
        heat, face = pad_course(
            body.touch.batch, self._devices, time_s, mark.pad_start_c - mark.warmth_k, mark.pad, mark.resistance_m2k_w
        )
        return float(heat[0]), float(face[0]) + mark.warmth_k

    def advance(self, dt_s: float, time_s: float, body: PartBody | None) -> None:
        """One step of the heater; the face of a touching pad follows the contact, and the part draws its heat."""
        contact, drawn = np.full(2, np.nan), self._owed_j / dt_s
        self._owed_j = np.zeros(2)
        for pad, mark in self._touching.items():
            if body is None:
                continue
            heat, contact[pad] = self._course(body, mark, time_s - mark.start_s)
            drawn[pad] += (heat - mark.heat_j_m2) * PAD_SIDE_M**2 / dt_s
            mark.heat_j_m2 = heat
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
                    mark.pad_start_c - mark.warmth_k,
                    mark.pad,
                    tuple(normal.tolist()),
                    float(np.arctan2(side[1], side[0])),
                    mark.resistance_m2k_w,
                )
            )
        return tuple(spots)


def touches_ball(touches: Sequence[Touch]) -> Touch | None:
    """The ball's touch, if any."""
    return next((touch for touch in touches if touch.frame is Frame.BALL_TIP), None)
