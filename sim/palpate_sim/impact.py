"""Taps: a Hertz contact in series with a bending wall, Hunt-Crossley damping, and the burst of the accelerometer.

With travel in units of `d0 = (m v^2 / K)^(2/5)` and time in units of `d0 / v` a tap depends on two numbers only: the
restitution, and the wall's give over that of the Hertz contact, `C K sqrt(d0)`. Its pulse is integrated once over a
grid of both, and looked up ever after; `integrate_impact` is the reference.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from palpate_sim.backend import Array, constant, integers, kept_all, limited, namespace
from palpate_sim.devices import DeviceDraw
from palpate_sim.elastic import (
    ARM_STIFFNESS_N_M,
    BALL_MODULUS_PA,
    BALL_POISSON,
    BALL_RADIUS_M,
    PressLaw,
    effective_modulus_pa,
    press_law,
    series_force,
)
from palpate_sim.objects import PartBatch

TIP_MASS_KG = 0.05
SUPPORT_MASS_KG = 0.5
"""Share of the table that moves with the part in a tap; assumed."""

BURST_RATE_HZ = 50_000
BURST_PREROLL_S = 1e-3
BURST_DURATION_S = 0.05
BURST_RANGE_M_S2 = 5000.0
"""Range of the accelerometer (500 g class)."""

TAP_STEPS = 120
"""Integration steps in one estimated contact time; a test compares impulse and peak with their closed forms."""
HERTZ_TIME = 2.943
"""Elastic contact time of a Hertz impact in units of largest indentation over speed."""
LARGEST_INDENTATION = 1.25**0.4
"""Of an elastic Hertz impact, in units of `d0`."""

RESTITUTIONS = (0.04, 0.98, 48)
"""First, last and number of the grid; parts beyond are taken to its ends."""
WALL_LOG10 = (-3.0, 3.0, 49)
"""Of the wall's give over the Hertz contact's: beyond, it is pure Hertz, and a pure spring."""
PULSE_NODES = 48
PULSE_END = 4.0
"""The integration for the table covers so many estimated contact times."""


def reduced_mass_kg(batch: PartBatch) -> Array:
    """(N,) reduced mass of the spring-isolated tip and the part with its support, kg."""
    other = batch.mass_kg + SUPPORT_MASS_KG
    return TIP_MASS_KG * other / (TIP_MASS_KG + other)


def hertz_contact_time_s(batch: PartBatch, speed_m_s: Array | float) -> Array:
    """(N,) `2.94 (15 m / (16 E* sqrt R))^(2/5) v^(-1/5)`: elastic Hertz impact without a bending wall, s."""
    modulus = effective_modulus_pa(batch)
    ratio = 15.0 * reduced_mass_kg(batch) / (16.0 * modulus * math.sqrt(BALL_RADIUS_M))
    return 2.94 * ratio**0.4 * speed_m_s**-0.2


def hertz_peak_force_n(mass_kg: Array | float, hertz: Array | float, speed_m_s: Array | float) -> Array:
    """Peak force of an elastic Hertz impact, `K^(2/5) (5/4 m v^2)^(3/5)`, N."""
    return hertz**0.4 * (1.25 * mass_kg * speed_m_s**2) ** 0.6


def max_tap_speed(peak_force_n: float, modulus_pa: float = 2.5e9, poisson: float = 0.38) -> float:
    """Highest speed of a tap whose peak stays below a force on a solid of the given modulus, m/s.

    A tap is over before any controller can react: it is limited beforehand. 10 N on ABS means about 0.042 m/s.

    Args:
        peak_force_n: largest peak force allowed, N.
        modulus_pa: stiffest material that must not be marked (metals bear more).
        poisson: its Poisson's ratio.
    """
    contact = 1.0 / ((1.0 - BALL_POISSON**2) / BALL_MODULUS_PA + (1.0 - poisson**2) / modulus_pa)
    hertz = 4.0 / 3.0 * contact * math.sqrt(BALL_RADIUS_M)
    return math.sqrt((peak_force_n / hertz**0.4) ** (5.0 / 3.0) / (1.25 * TIP_MASS_KG))


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


def integrate_impact(
    mass: Array, hertz: Array, compliance: Array, damping: Array, speed: Array, end: float = 2.0
) -> tuple[Array, Array, Array]:
    """N taps by classical Runge-Kutta, each on its own time scale: the reference of the table.

    Args:
        mass: (N,) reduced mass, kg.
        hertz: (N,) `K`, N/m^1.5.
        compliance: (N,) of the wall, m/N.
        damping: (N,) `c v0`.
        speed: (N,) at the touch, m/s.
        end: time covered, in estimated contact times.

    Returns:
        (N, M) s since contact, (N, M) travel m, and (N, M) speed m/s.
    """
    step = estimated_time_s(mass, hertz, compliance, speed) / TAP_STEPS
    position, velocity = np.zeros_like(speed), speed.copy()
    factor = damping / speed

    def acceleration(x: Array, v: Array) -> Array:
        return -series_force(x, hertz, compliance) * np.maximum(1.0 + factor * v, 0.0) / mass

    positions, velocities = [position], [velocity]
    for _ in range(round(end * TAP_STEPS)):
        k1 = acceleration(position, velocity)
        k2 = acceleration(position + 0.5 * step * velocity, velocity + 0.5 * step * k1)
        k3 = acceleration(position + 0.5 * step * (velocity + 0.5 * step * k1), velocity + 0.5 * step * k2)
        k4 = acceleration(position + step * (velocity + 0.5 * step * k2), velocity + step * k3)
        position = position + step * (velocity + step / 6.0 * (k1 + k2 + k3))
        velocity = velocity + step / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)
        positions.append(position)
        velocities.append(velocity)
    times = np.arange(len(positions)) * step[:, None]
    return times, np.stack(positions, axis=1), np.stack(velocities, axis=1)


def estimated_time_s(mass: Array, hertz: Array, compliance: Array, speed: Array | float) -> Array:
    """(N,) contact time without damping: of the Hertz contact, and half a period on the wall, added in square, s."""
    xp = namespace(mass)
    contact = HERTZ_TIME * LARGEST_INDENTATION * (mass * speed**2 / hertz) ** 0.4 / speed
    return xp.sqrt(contact**2 + math.pi**2 * mass * compliance)


class _PulseTable(NamedTuple):
    """Pulses over the grid of restitution and wall, flattened to G rows.

    Attributes:
        duration: (G,) contact time over the estimated one.
        impulse: (G, P) share of the whole impulse received until each of P even places in the pulse.
        force: (G, P) its slope: force over its mean.
    """

    duration: Array
    impulse: Array
    force: Array


@lru_cache(maxsize=1)
def _pulse_table() -> _PulseTable:
    low, high, count = RESTITUTIONS
    grid = np.meshgrid(np.linspace(low, high, count), 10.0 ** np.linspace(*WALL_LOG10), indexing="ij")
    restitution, wall = (values.ravel() for values in grid)
    one, damping = np.ones_like(wall), damping_number(restitution)
    times, travel, speed = integrate_impact(one, one, wall, damping, one, PULSE_END)
    after = np.argmax((travel[:, 1:] <= 0.0) | (np.arange(1, travel.shape[1]) == travel.shape[1] - 1), axis=1) + 1
    rows = np.arange(len(wall))
    before = after - 1
    share = travel[rows, before] / (travel[rows, before] - travel[rows, after])
    ended = times[rows, before] + share * (times[rows, after] - times[rows, before])
    force = series_force(travel, one[:, None], wall[:, None]) * np.maximum(1.0 + damping[:, None] * speed, 0.0)
    force[travel <= 0.0] = 0.0
    step = times[:, 1]
    # cubic Hermite between the steps: the impulse is the loss of speed, its slope the force
    places = np.linspace(0.0, 1.0, PULSE_NODES) * ended[:, None]
    index = np.minimum((places / step[:, None]).astype(np.int64), before[:, None])
    t = places / step[:, None] - index
    column = rows[:, None]
    received = _hermite(
        t, speed[:, :1] - speed[column, index], speed[:, :1] - speed[column, index + 1],
        force[column, index] * step[:, None], force[column, index + 1] * step[:, None],
    )  # fmt: skip
    received[:, -1] = 1.0 + restitution  # what the damping number was made for
    slope = (1.0 - t) * force[column, index] + t * force[column, index + 1]
    slope[:, [0, -1]] = 0.0
    whole = received[:, -1:]
    return _PulseTable(ended / estimated_time_s(one, one, wall, one), received / whole, slope * ended[:, None] / whole)


def _hermite(t: Array, start: Array, end: Array, start_slope: Array, end_slope: Array) -> Array:
    """Cubic between two values with given slopes per interval, at the share `t` of the interval."""
    rise = end - start
    both = start_slope + end_slope
    return start + t * (start_slope + t * (3.0 * rise - start_slope - both + t * (both - 2.0 * rise)))


class Pulses(NamedTuple):
    """N taps.

    Attributes:
        duration_s: (N,) of the contact.
        impulse_n_s: (N,) that the tip receives in all.
        received: (N, P) share of it until each of P even places in the pulse.
        slope: (N, P) force over its mean there.
    """

    duration_s: Array
    impulse_n_s: Array
    received: Array
    slope: Array

    @property
    def peak_force_n(self) -> Array:
        """(N,) largest force, N (between the places it is higher by less than a thousandth)."""
        xp = namespace(self.slope)
        return xp.max(self.slope, axis=1) * self.impulse_n_s / self.duration_s


def pulses(batch: PartBatch, speed_m_s: Array | float, law: PressLaw | None = None) -> Pulses:
    """Pulses of N taps from the table.

    Args:
        batch: N spots.
        speed_m_s: approach speed, one or (N,), m/s.
        law: of a press on the same spots, if it is known already.
    """
    xp = namespace(batch.restitution)
    mass = reduced_mass_kg(batch)
    speed = speed_m_s + xp.zeros_like(mass)
    law = press_law(batch) if law is None else law
    hertz, compliance = law.hertz, xp.maximum(law.compliance - 1.0 / ARM_STIFFNESS_N_M, 0.0)
    wall = compliance * hertz**0.8 * (mass * speed**2) ** 0.2  # C K sqrt(d0)
    low, high, count = RESTITUTIONS
    e = limited(batch.restitution, low, high)
    row = (e - low) * ((count - 1) / (high - low))
    first, last, columns = WALL_LOG10
    column = (limited(xp.log10(wall + 1e-30), first, last) - first) * ((columns - 1) / (last - first))
    i = limited(xp.floor(row), 0.0, count - 2.0)
    j = limited(xp.floor(column), 0.0, columns - 2.0)
    u, v = row - i, column - j
    corner = integers(i * columns + j)
    table = kept_all("pulses", _pulse_table(), mass)
    weights = ((1.0 - u) * (1.0 - v), (1.0 - u) * v, u * (1.0 - v), u * v)
    places = (corner, corner + 1, corner + columns, corner + columns + 1)
    pairs = list(zip(weights, places, strict=True))
    share = sum(w * table.duration[k] for w, k in pairs)
    received = sum(w[:, None] * table.impulse[k] for w, k in pairs)
    slope = sum(w[:, None] * table.force[k] for w, k in pairs)
    duration = share * estimated_time_s(mass, hertz, compliance, speed)
    return Pulses(duration, mass * speed * (1.0 + e), received, slope)


def received_until(found: Pulses, places: Array) -> Array:
    """Share of the impulse that was received until a place in the pulse.

    Args:
        found: N pulses.
        places: (N, S) time since the touch over the duration; before and after the contact it is 0 and 1.
    """
    xp = namespace(places)
    nodes = found.received.shape[1]
    x = limited(places, 0.0, 1.0) * (nodes - 1.0)
    low = limited(xp.floor(x), 0.0, nodes - 2.0)
    t = x - low
    base = xp.arange(places.shape[0], dtype=xp.int64, device=places.device)[:, None] * nodes
    index = integers(low) + base
    received, slope = xp.reshape(found.received, (-1,)), xp.reshape(found.slope, (-1,)) / (nodes - 1.0)
    after = index + 1
    return _hermite(t, received[index], received[after], slope[index], slope[after])


def impact(batch: PartBatch, speed_m_s: Array | float) -> tuple[Array, Array]:
    """N taps, each on its own time scale.

    Args:
        batch: N spots.
        speed_m_s: approach speed, one or (N,), m/s.

    Returns:
        times (N, M) s since contact, and impulse (N, M) N s that the tip has received until then; the last is the end.
    """
    found = pulses(batch, speed_m_s)
    places = constant(np.linspace(0.0, 1.0, PULSE_NODES), found.duration_s)
    return places[None, :] * found.duration_s[:, None], found.received * found.impulse_n_s[:, None]


def tap_burst(
    batch: PartBatch,
    speed_m_s: Array | float,
    rng: np.random.Generator,
    devices: DeviceDraw | Sequence[DeviceDraw] | None = None,
) -> Array:
    """Acceleration of the tip around one tap.

    Each sample is the mean over its interval, as an anti-alias filter gives it: the impulse is conserved exactly.

    Args:
        batch: N spots, NumPy.
        speed_m_s: speed at contact, one or (N,), m/s.
        rng: noise.
        devices: gain and noise of the accelerometer, one or N; nominal if None.

    Returns:
        (N, S) m/s2 at `BURST_RATE_HZ`, positive away from the part; contact begins after `BURST_PREROLL_S`.
    """
    each = [devices or DeviceDraw.nominal()] if devices is None or isinstance(devices, DeviceDraw) else devices
    gain = np.array([[device.burst_gain] for device in each])
    sigma = np.array([[device.burst_noise_m_s2] for device in each])
    found = pulses(batch, speed_m_s)
    samples = round(BURST_DURATION_S * BURST_RATE_HZ)
    edges = np.arange(samples + 1) / BURST_RATE_HZ - BURST_PREROLL_S
    jitter = rng.uniform(0.0, 1.0 / BURST_RATE_HZ, len(batch))
    received = received_until(found, (edges - jitter[:, None]) / found.duration_s[:, None])
    clean = np.diff(received * found.impulse_n_s[:, None], axis=1) * (BURST_RATE_HZ / TIP_MASS_KG)
    noisy = gain * clean + sigma * rng.standard_normal(clean.shape)
    return np.clip(noisy, -BURST_RANGE_M_S2, BURST_RANGE_M_S2)
