"""Sliding: Coulomb with a Stribeck rise, load dependence of rubber, texture ripple and stick-slip."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from palpate_sim.backend import Array, namespace
from palpate_sim.objects import PartBatch

ROUGH_SHARE = 0.3
"""Noise of asperities over the ripple of the texture."""
LIGHTEST_N = 0.05
"""The load dependence of rubber is not carried further down."""


def stribeck_rise(batch: PartBatch, speed_m_s: Array | float) -> Array:
    """(N,) how much friction is above its value at high speed, relative to it; also the height of stick-slip."""
    xp = namespace(batch.stribeck_share)
    return batch.stribeck_share * xp.exp(-((speed_m_s / batch.stribeck_speed_m_s) ** 2))


def friction_coefficient(batch: PartBatch, normal_n: Array, speed_m_s: Array | float) -> Array:
    """(N,) mean friction coefficient: Coulomb with Stribeck rise at low speed, `N^(-1/3)` on rubber, less when wet.

    Args:
        batch: N spots; `friction_factor` is what lies on the surface there.
        normal_n: (N,) normal force, N; the catalogue's values hold at 1 N.
        speed_m_s: sliding speed, one or (N,).
    """
    xp = namespace(batch.friction)
    load = xp.maximum(normal_n, LIGHTEST_N) ** batch.friction_exponent
    return batch.friction * batch.friction_factor * (1.0 + stribeck_rise(batch, speed_m_s)) * load


def slide_force(
    batch: PartBatch, normal_n: Array | float, speed_m_s: Array | float, time_s: float, rng: np.random.Generator
) -> Array:
    """Friction against the motion at one moment of a slide.

    The surface's pitch gives a spectral peak at `speed / pitch`; below the Stribeck speed stick-slip adds to it.

    Args:
        batch: N spots, NumPy.
        normal_n: (N,) normal force, N.
        speed_m_s: sliding speed, one or (N,), m/s; 0 gives 0.
        time_s: time since the slide began, s.
        rng: noise of asperities.

    Returns:
        (N,) N, magnitude.
    """
    normal = np.broadcast_to(np.asarray(normal_n, float), (len(batch),))
    speed = np.broadcast_to(np.asarray(speed_m_s, float), (len(batch),))
    mean = friction_coefficient(batch, normal, speed) * normal
    place = speed * time_s / batch.texture_pitch_m
    stick_slip = stribeck_rise(batch, speed) * (0.5 - np.mod(place, 1.0))
    ripple = batch.ripple * np.sin(2.0 * np.pi * place) + stick_slip
    rough = ROUGH_SHARE * batch.ripple * rng.standard_normal(len(batch))
    return np.where(speed > 0.0, np.maximum(mean * (1.0 + ripple + rough), 0.0), 0.0)


@dataclass(frozen=True)
class FrictionLaw:
    """`slide_force` of one part as plain numbers: for the 1 kHz loop."""

    friction: float
    exponent: float
    stribeck_share: float
    stribeck_speed_m_s: float
    ripple: float
    pitch_m: float

    @staticmethod
    def of(batch: PartBatch) -> FrictionLaw:
        """Law of a batch of one."""
        return FrictionLaw(
            float(batch.friction[0]),
            float(batch.friction_exponent[0]),
            float(batch.stribeck_share[0]),
            float(batch.stribeck_speed_m_s[0]),
            float(batch.ripple[0]),
            float(batch.texture_pitch_m[0]),
        )

    def force(self, normal_n: float, speed_m_s: float, time_s: float, factor: float, noise: float) -> float:
        """Friction at one moment, N.

        Args:
            normal_n: normal force.
            speed_m_s: sliding speed, > 0.
            time_s: since the slide began.
            factor: of what lies on the surface there (`friction_factor` of the spot).
            noise: a standard normal number.
        """
        rise = self.stribeck_share * math.exp(-((speed_m_s / self.stribeck_speed_m_s) ** 2))
        load = max(normal_n, LIGHTEST_N) ** self.exponent
        place = speed_m_s * time_s / self.pitch_m
        ripple = self.ripple * math.sin(2.0 * math.pi * place) + rise * (0.5 - place % 1.0)
        share = max(1.0 + ripple + ROUGH_SHARE * self.ripple * noise, 0.0)
        return self.friction * factor * (1.0 + rise) * load * normal_n * share
