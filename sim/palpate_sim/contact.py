"""Contact of the tool with a part: press, pad, slide and tap, for N parts at once.

The arm's position control cannot resolve hard contacts and PyBullet cannot resolve a tap of 150 us; both are computed
here beside the scene. Elastic law: Hertz for the ball, in series with the bending of a thin wall and, where the arm
pushes, with the arm itself. Damping: Hunt-Crossley, `F = F_elastic (1 + c v)`. See `docs/physics.md`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from palpate_sim.devices import DeviceDraw
from palpate_sim.objects import PartBatch

Array = NDArray[np.floating]

BALL_RADIUS_M = 0.005
BALL_MODULUS_PA = 207e9  # hardened steel, the catalogue's mild steel
BALL_POISSON = 0.29
TIP_MASS_KG = 0.05
ARM_STIFFNESS_N_M = 5e4
SUPPORT_MASS_KG = 0.5
"""Share of the table that moves with the part in a tap; assumed."""

PAD_SIDE_M = 0.012
PAD_STIFFNESS_N_M = 1e4
"""Compliant pad on its gimbal; assumed: 5 N at half a millimetre."""

BURST_RATE_HZ = 50_000
BURST_PREROLL_S = 1e-3
BURST_DURATION_S = 0.05
BURST_RANGE_M_S2 = 5000.0
"""Range of the accelerometer (500 g class)."""

TAP_STEPS = 120
"""Integration steps in one estimated contact time; a test compares impulse and peak with their closed forms."""


def effective_modulus_pa(batch: PartBatch) -> Array:
    """(N,) Hertz modulus E* of ball and part, `1/E* = (1-n1^2)/E1 + (1-n2^2)/E2`, Pa."""
    ball = (1.0 - BALL_POISSON**2) / BALL_MODULUS_PA
    return 1.0 / (ball + (1.0 - batch.poisson**2) / batch.indentation_modulus_pa)


def hertz_stiffness(batch: PartBatch) -> Array:
    """(N,) `K` of `F = K d^1.5`, `K = 4/3 E* sqrt(R)`, N/m^1.5."""
    return 4.0 / 3.0 * effective_modulus_pa(batch) * np.sqrt(BALL_RADIUS_M)


def wall_stiffness_n_m(batch: PartBatch) -> Array:
    """(N,) stiffness of a thin wall under a central point load, N/m; inf for solid parts.

    Clamped circular plate, `k = 16 pi D / a^2` with `D = E t^3 / (12 (1-n^2))` (Timoshenko and Woinowsky-Krieger); `a`
    is half the smaller side of the top face less the wall.
    """
    wall = batch.wall_thickness_m
    hollow = np.isfinite(wall)
    thickness = np.where(hollow, wall, 1.0)
    radius = np.maximum(0.5 * batch.dimensions_m[:, :2].min(axis=1) - thickness, 1e-3)
    bending = batch.youngs_modulus_pa * thickness**3 / (12.0 * (1.0 - batch.poisson**2))
    stiffness = 16.0 * np.pi * bending / np.where(hollow, radius, 1.0) ** 2
    return np.where(hollow, stiffness, np.inf)


def series_force(displacement_m: Array, hertz: Array, linear_compliance: Array) -> Array:
    """Force of a Hertz contact in series with linear springs: solves `d = (F/K)^(2/3) + C F`.

    With `x = F^(1/3)` this is a cubic, monotone and convex, and Newton's method from above converges.

    Args:
        displacement_m: total approach, >= 0; negative counts as no contact.
        hertz: `K` in N/m^1.5.
        linear_compliance: `C` in m/N.
    """
    d = np.maximum(displacement_m, 0.0)
    c2 = hertz ** (-2.0 / 3.0)
    x = np.sqrt(d / c2)
    with np.errstate(divide="ignore", invalid="ignore"):
        x = np.where(linear_compliance > 0.0, np.minimum(x, np.cbrt(d / np.maximum(linear_compliance, 1e-300))), x)
    for _ in range(8):
        slope = 3.0 * linear_compliance * x**2 + 2.0 * c2 * x
        error = linear_compliance * x**3 + c2 * x**2 - d
        x = x - np.divide(error, slope, out=np.zeros_like(x), where=slope > 0.0)
    return x**3


def _series_force_scalar(displacement_m: float, hertz: float, linear_compliance: float) -> float:
    """`series_force` for one part: a hundred times faster than arrays of one, for the 1 kHz loop."""
    if displacement_m <= 0.0:
        return 0.0
    c1, c2 = linear_compliance, hertz ** (-2.0 / 3.0)
    x = math.sqrt(displacement_m / c2)
    if c1 > 0.0:
        x = min(x, (displacement_m / c1) ** (1.0 / 3.0))
    for _ in range(8):
        step = ((c1 * x + c2) * x * x - displacement_m) / ((3.0 * c1 * x + 2.0 * c2) * x)
        x -= step
        if abs(step) < 1e-9 * x:
            break
    return x**3


@lru_cache(maxsize=32)
def _laws(batch: PartBatch) -> tuple[Array, Array, Array]:
    """(N,) Hertz constant, and linear compliance under ball and pad, of a batch; kept for the last batches."""
    radius = PAD_SIDE_M / np.sqrt(np.pi)
    punch = 2.0 * radius * batch.indentation_modulus_pa / (1.0 - batch.poisson**2)
    ball = 1.0 / ARM_STIFFNESS_N_M + 1.0 / wall_stiffness_n_m(batch)
    return hertz_stiffness(batch), ball, ball + 1.0 / PAD_STIFFNESS_N_M + 1.0 / punch


def press_force(batch: PartBatch, displacement_m: Array | float) -> Array:
    """Quasi-static force of the ball.

    Args:
        batch: N parts.
        displacement_m: (N,) travel of the commanded tip beyond the free surface, m; arm, ball and wall share it.

    Returns:
        (N,) N, 0 without contact.
    """
    hertz, compliance, _ = _laws(batch)
    if len(batch) == 1:
        one = float(np.asarray(displacement_m).ravel()[0])
        return np.array([_series_force_scalar(one, float(hertz[0]), float(compliance[0]))])
    return series_force(np.broadcast_to(np.asarray(displacement_m, float), (len(batch),)), hertz, compliance)


def press_displacement(batch: PartBatch, force_n: Array | float) -> Array:
    """(N,) inverse of `press_force`: travel of the commanded tip at a quasi-static force, m."""
    hertz, compliance, _ = _laws(batch)
    force = np.maximum(np.asarray(force_n, float), 0.0)
    return compliance * force + (force / hertz) ** (2.0 / 3.0)


def pad_force(batch: PartBatch, displacement_m: Array | float) -> Array:
    """Quasi-static force of the compliant flat pad: pad, arm, wall and a flat punch on the part in series.

    Args:
        batch: N parts.
        displacement_m: (N,) travel of the commanded pad beyond the free surface, m.

    Returns:
        (N,) N, 0 without contact.
    """
    return np.maximum(np.asarray(displacement_m, float), 0.0) / _laws(batch)[2]


def friction_coefficient(batch: PartBatch, normal_n: Array, speed_m_s: float) -> Array:
    """(N,) mean friction coefficient: Coulomb with Stribeck rise at low speed, `N^(-1/3)` on rubber, less when wet.

    Args:
        batch: N parts.
        normal_n: (N,) normal force, N; the catalogue's values hold at 1 N.
        speed_m_s: sliding speed.
    """
    stribeck = 1.0 + batch.stribeck_share * np.exp(-((speed_m_s / batch.stribeck_speed_m_s) ** 2))
    load = np.maximum(normal_n, 0.05) ** batch.friction_exponent
    return batch.friction * batch.friction_factor * stribeck * load


def slide_force(
    batch: PartBatch, normal_n: Array | float, speed_m_s: float, time_s: float, rng: np.random.Generator
) -> Array:
    """Friction against the motion at one moment of a slide.

    The surface's pitch gives a spectral peak at `speed / pitch`; below the Stribeck speed stick-slip adds to it.

    Args:
        batch: N parts.
        normal_n: (N,) normal force, N.
        speed_m_s: sliding speed, m/s; 0 gives 0.
        time_s: time since the slide began, s.
        rng: noise of asperities.

    Returns:
        (N,) N, magnitude.
    """
    normal = np.broadcast_to(np.asarray(normal_n, float), (len(batch),))
    if speed_m_s <= 0.0:
        return np.zeros(len(batch))
    mean = friction_coefficient(batch, normal, speed_m_s) * normal
    phase = 2.0 * np.pi * speed_m_s * time_s / batch.texture_pitch_m
    stick_slip = batch.stribeck_share * np.exp(-((speed_m_s / batch.stribeck_speed_m_s) ** 2))
    ripple = batch.ripple * np.sin(phase) + stick_slip * (0.5 - np.mod(phase / (2.0 * np.pi), 1.0))
    rough = 0.3 * batch.ripple * rng.standard_normal(len(batch))
    return np.maximum(mean * (1.0 + ripple + rough), 0.0)


def reduced_mass_kg(batch: PartBatch) -> Array:
    """(N,) reduced mass of the spring-isolated tip and the part with its support, kg."""
    other = batch.mass_kg + SUPPORT_MASS_KG
    return TIP_MASS_KG * other / (TIP_MASS_KG + other)


def hertz_contact_time_s(batch: PartBatch, speed_m_s: Array | float) -> Array:
    """(N,) `2.94 (15 m / (16 E* sqrt R))^(2/5) v^(-1/5)`: elastic Hertz impact without a bending wall, s."""
    modulus = effective_modulus_pa(batch)
    ratio = 15.0 * reduced_mass_kg(batch) / (16.0 * modulus * np.sqrt(BALL_RADIUS_M))
    return 2.94 * ratio**0.4 * np.asarray(speed_m_s) ** -0.2


def hertz_peak_force_n(mass_kg: Array | float, hertz: Array | float, speed_m_s: float) -> Array:
    """Peak force of an elastic Hertz impact, `K^(2/5) (5/4 m v^2)^(3/5)`, N."""
    return np.asarray(hertz) ** 0.4 * (1.25 * np.asarray(mass_kg) * speed_m_s**2) ** 0.6


def max_tap_speed(peak_force_n: float, modulus_pa: float = 2.5e9, poisson: float = 0.38) -> float:
    """Highest speed of a tap whose peak stays below a force on a solid of the given modulus, m/s.

    A tap is over before any controller can react: it is limited beforehand. 10 N on ABS means about 0.043 m/s.

    Args:
        peak_force_n: largest peak force allowed, N.
        modulus_pa: stiffest material that must not be marked (metals bear more).
        poisson: its Poisson's ratio.
    """
    contact = 1.0 / ((1.0 - BALL_POISSON**2) / BALL_MODULUS_PA + (1.0 - poisson**2) / modulus_pa)
    hertz = 4.0 / 3.0 * contact * np.sqrt(BALL_RADIUS_M)
    return float(np.sqrt((peak_force_n / hertz**0.4) ** (5.0 / 3.0) / (1.25 * TIP_MASS_KG)))


def damping_number(restitution: Array) -> Array:
    """(N,) Hunt-Crossley `c v0` that returns the share `e` of the speed: root of `D (1+e) = ln((1+D)/(1-e D))`.

    It follows from integrating `v dv/dx = -F(x) (1 + c v) / m` from impact to release and holds for every elastic law.
    """
    e = np.clip(restitution, 1e-3, 1.0 - 1e-9)
    low, high = np.zeros_like(e), (1.0 - 1e-12) / e
    for _ in range(80):
        middle = 0.5 * (low + high)
        below = np.log1p(middle) - np.log1p(-e * middle) < middle * (1.0 + e)
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return 0.5 * (low + high)


def impact(batch: PartBatch, speed_m_s: Array | float) -> tuple[Array, Array]:
    """Integrates N taps, each on its own time scale (classical Runge-Kutta).

    Args:
        batch: N parts.
        speed_m_s: approach speed, one or (N,), m/s.

    Returns:
        times (N, M) s since contact, and impulse (N, M) N s that the tip has received until then. Contact has ended
        before the last entry.
    """
    mass, hertz = reduced_mass_kg(batch), hertz_stiffness(batch)
    compliance = 1.0 / wall_stiffness_n_m(batch)
    speed = np.broadcast_to(np.asarray(speed_m_s, float), (len(batch),))
    damping = damping_number(batch.restitution) / speed
    # A bending wall lengthens the contact: half a period of mass on spring, added in square.
    estimate = np.hypot(hertz_contact_time_s(batch, speed), np.pi * np.sqrt(mass * compliance))
    step = estimate / TAP_STEPS
    position, velocity = np.zeros(len(batch)), speed.copy()

    def acceleration(x: Array, v: Array) -> Array:
        return -series_force(x, hertz, compliance) * np.maximum(1.0 + damping * v, 0.0) / mass

    velocities = [velocity]
    for _ in range(2 * TAP_STEPS):
        k1 = acceleration(position, velocity)
        k2 = acceleration(position + 0.5 * step * velocity, velocity + 0.5 * step * k1)
        k3 = acceleration(position + 0.5 * step * (velocity + 0.5 * step * k1), velocity + 0.5 * step * k2)
        k4 = acceleration(position + step * (velocity + 0.5 * step * k2), velocity + step * k3)
        position = position + step * (velocity + step / 6.0 * (k1 + k2 + k3))
        velocity = velocity + step / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)
        velocities.append(velocity)
    times = np.arange(2 * TAP_STEPS + 1) * step[:, None]
    impulse = mass[:, None] * (speed[:, None] - np.stack(velocities, axis=1))
    return times, impulse


def tap_burst(
    batch: PartBatch,
    speed_m_s: Array | float,
    rng: np.random.Generator,
    devices: DeviceDraw | Sequence[DeviceDraw] | None = None,
) -> Array:
    """Acceleration of the tip around one tap.

    Each sample is the mean over its interval, as an anti-alias filter gives it: the impulse is conserved exactly.

    Args:
        batch: N parts.
        speed_m_s: speed at contact, one or (N,), m/s.
        rng: noise.
        devices: gain and noise of the accelerometer, one or N; nominal if None.

    Returns:
        (N, S) m/s2 at `BURST_RATE_HZ`, positive away from the part; contact begins after `BURST_PREROLL_S`.
    """
    each = [devices or DeviceDraw.nominal()] if devices is None or isinstance(devices, DeviceDraw) else devices
    gain = np.array([[device.burst_gain] for device in each])
    sigma = np.array([[device.burst_noise_m_s2] for device in each])
    times, impulse = impact(batch, speed_m_s)
    samples = round(BURST_DURATION_S * BURST_RATE_HZ)
    edges = np.arange(samples + 1) / BURST_RATE_HZ - BURST_PREROLL_S
    jitter = rng.uniform(0.0, 1.0 / BURST_RATE_HZ, len(batch))
    received = np.stack([np.interp(edges - jitter[n], times[n], impulse[n]) for n in range(len(batch))])
    clean = np.diff(received, axis=1) * BURST_RATE_HZ / TIP_MASS_KG
    noisy = gain * clean + sigma * rng.standard_normal(clean.shape)
    return np.clip(noisy, -BURST_RANGE_M_S2, BURST_RANGE_M_S2)
