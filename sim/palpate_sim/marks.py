"""What the tool leaves on a part in the full cell: the way of each touch, and what it does to the surface maps.

The world follows every tip while it touches; when it leaves, the way that it really went wipes, scrapes or dents.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from palpate_agents.observation import Frame
from palpate_sim.contact import dent_depth_m
from palpate_sim.surface import SurfaceMaps, dent, scrape, wipe
from palpate_sim.touch import PADS, SPOT_RADIUS_M, TouchModel

Array = NDArray[np.float64]

MIN_SLIDE_M = 2e-3
"""Shorter ways are no slides: the arm gives way sideways, parts shift a little."""
STEP_M = 2e-4
"""The way is measured in steps of this length: noise of the part's motion adds up to nothing."""


@dataclass
class ContactTrack:
    """Way of one tool frame over a part while it touched it.

    Attributes:
        frame: what touched.
        model: contact laws of the part, with its surface maps.
        start_uv, end_uv: (2,) m, part's frame.
        path_m: length of the way.
        force_path_nm: normal force along it, summed over its length.
        max_force_n: largest normal force with the tip clamped.
    """

    frame: Frame
    model: TouchModel
    start_uv: Array
    end_uv: Array
    path_m: float = 0.0
    force_path_nm: float = 0.0
    max_force_n: float = 0.0

    def go_on(self, uv: Array, force_n: float, *, clamped: bool) -> None:
        """One more period at a place (2,) m."""
        step = math.hypot(uv[0] - self.end_uv[0], uv[1] - self.end_uv[1])
        if step > STEP_M:
            self.end_uv = uv
            self.path_m += step
            self.force_path_nm += step * force_n
        if clamped:
            self.max_force_n = max(self.max_force_n, force_n)

    @property
    def mean_force_n(self) -> float:
        """Normal force along the way, N."""
        return self.force_path_nm / self.path_m if self.path_m > 0.0 else self.max_force_n


def marked(track: ContactTrack) -> tuple[SurfaceMaps | None, float]:
    """New maps of the part after a touch, None if they are as before, and the depth of the mark on its body, m."""
    batch, maps = track.model.batch, track.model.maps
    start, end = track.start_uv[None], track.end_uv[None]
    slid = float(np.hypot(*(track.end_uv - track.start_uv))) > MIN_SLIDE_M
    if slid and track.frame in PADS:
        after, depth = wipe(batch, maps, start, end, force_n=track.mean_force_n)
    elif slid and track.frame is Frame.SCRAPER_TIP:
        after, depth = scrape(batch, maps, start, end, force_n=track.mean_force_n)
    elif track.frame is Frame.BALL_TIP and track.max_force_n > 0.0:
        spot = track.model.spot(track.end_uv, SPOT_RADIUS_M[Frame.BALL_TIP])
        dented = dent_depth_m(spot, track.max_force_n)
        if float(dented[0]) <= 0.0:
            return None, 0.0
        after, depth = dent(batch, maps, end, dented)
    else:
        return None, 0.0
    return after, float(depth[0])
