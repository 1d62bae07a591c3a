"""The arm's guarded contact (guarded.py) on many parts at once, for training data: same law, same steps, arrays.

One dimension along the approach: how far the tool is commanded beyond the free surface gives the force (contact.py),
the measured force gives the speed. A test runs the real controller beside it and compares forces and travel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from palpate_sim.guarded import (
    CAUGHT_SHARE,
    CONTROL_BANDWIDTH_HZ,
    LOST_PERIODS,
    SLIDE_ACCELERATION_M_S2,
    SLIDE_NORM_SHARE,
    STIFFNESS_RANGE_N_M,
    approach_speed,
)
from palpate_sim.motion import PERIOD_S, MotionLimits

Array = NDArray[np.floating]

FREE_S = 0.45
"""Free approach before the touch; a window begins 0.4 s before it."""


@dataclass
class Track:
    """What happened, one row per control period since the common start.

    Attributes:
        travel_m: (T, N) commanded tip beyond the free surface, m.
        normal_n: (T, N) true force along the surface's normal, N.
        tangential_n: (T, N) true friction, N.
        along_m: (T, N) slid distance, m.
        touched: (N,) row of the detected touch, -1 without.
        ended: (N,) row at which the window ends.
        limited: (N,) the force limit stopped it.
    """

    travel_m: Array
    normal_n: Array
    tangential_n: Array
    along_m: Array
    touched: NDArray[np.int64]
    ended: NDArray[np.int64]
    limited: NDArray[np.bool_]


@dataclass
class GuardedLoop:
    """N tools, each before its part.

    Args:
        force: (N,) travel m, (N,) slid distance m -> (N,) true force along the surface's normal, N.
        tilt: (N,) cosine between the approach and the surface's normal; and (N,) rise of the surface over the
            direction of a slide.
        limits: of the arm.
        noise: () -> (N,) noise of the measured normal force, N.
        stiffness_n_m: stiffest contact to expect, which sets the approach speed.
        acceleration_m_s2: (N,) what the arm's joints allow along the approach, in the postures of the touches.
    """

    force: Callable[[Array, Array], Array]
    tilt: tuple[Array, Array]
    limits: MotionLimits
    noise: Callable[[], Array]
    stiffness_n_m: float
    acceleration_m_s2: Array
    _rows: list[tuple[Array, Array, Array, Array]] = field(default_factory=list)
    _waits: list[tuple[NDArray[np.int64], int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        n, limits = len(self.acceleration_m_s2), self.limits
        self.count = n
        room = limits.overshoot_share * limits.force_limit_n
        self.approach_m_s = np.array(
            [approach_speed(self.stiffness_n_m, room, float(a), limits.reaction_s) for a in self.acceleration_m_s2]
        )
        self.travel = -FREE_S * self.approach_m_s
        self.speed = self.approach_m_s.copy()
        self.measured = np.zeros(n)
        self.true: Array = np.zeros(n)
        self.tangential: Array = np.zeros(n)
        self.along: Array = np.zeros(n)
        self.stiffness = np.full(n, self.stiffness_n_m)
        self.anchor_travel, self.anchor_force = np.zeros(n), np.zeros(n)
        self.contact = np.full(n, np.nan)
        self.touched = np.full(n, -1, np.int64)
        self.limited = np.zeros(n, bool)

    @property
    def row(self) -> int:
        """Number of periods so far."""
        return len(self._rows)

    def step(self, active: NDArray[np.bool_], wanted: Array | float, acceleration: float = np.inf) -> None:
        """One period of `GuardedContact.step`; parts that are not active stand still."""
        reach = np.minimum(acceleration, self.acceleration_m_s2) * PERIOD_S
        change = np.clip(wanted - self.speed, -reach, reach)
        self.speed = np.where(active, self.speed + change, 0.0)
        self.travel = self.travel + self.speed * PERIOD_S
        self.true = self.force(self.travel, self.along)
        # Seen along the approach: the tilted normal force, and what friction on a rising surface adds.
        self.measured = self.true * self.tilt[0] + self.tangential * self.tilt[1] + self.noise()
        self._rows.append((self.travel, self.true, self.tangential, self.along))
        over = np.hypot(self.measured, self.tangential) > self.limits.force_limit_n
        self.limited |= active & (self.touched >= 0) & over

    def approach(self) -> None:
        """At constant speed until two samples are over the threshold, then brake."""
        over, rest = np.zeros(self.count, int), np.full(self.count, -1, np.int64)
        for _ in range(2 * round(FREE_S / PERIOD_S)):
            waiting, braking = self.touched < 0, (self.touched >= 0) & (self.speed > 0.0)
            rest = np.where((rest < 0) & ~waiting & ~braking, self.row, rest)
            if not (waiting | braking).any():
                break
            self.step(waiting | braking, np.where(waiting, self.approach_m_s, 0.0))
            over = np.where(self.measured > self.limits.contact_threshold_n, over + 1, 0)
            new = waiting & (over >= 2)
            self.touched = np.where(new, self.row - 1, self.touched)
            self.contact = np.where(new, self.travel, self.contact)
            self.anchor_travel = np.where(new, self.travel, self.anchor_travel)
            self.anchor_force = np.where(new, self.measured, self.anchor_force)
        self._all_wait(rest)

    def _all_wait(self, done: NDArray[np.int64]) -> NDArray[np.int64]:
        """Parts that were done earlier have stood still since: `track` leaves those rows out."""
        done = np.where(done < 0, self.row, done)
        self._waits.append((done, self.row))
        return done

    def _force_speed(self, reference: Array, rate: Array | float, deepest: Array) -> Array:
        gain = 2.0 * np.pi * CONTROL_BANDWIDTH_HZ
        top = self.limits.slide_speed_m_s
        speed = (rate + gain * (reference - self.measured)) / self.stiffness
        room = np.maximum((deepest - self.travel) / PERIOD_S, 0.0)
        return np.clip(speed, -top, np.minimum(top, room))

    def _update_stiffness(self, active: NDArray[np.bool_]) -> None:
        travel, force = self.travel - self.anchor_travel, self.measured - self.anchor_force
        moved = active & (np.abs(travel) > 1e-5) & (np.abs(force) > 0.15)
        soft = active & ~moved & (np.abs(travel) > 4e-4)
        found = np.clip(force / np.where(travel == 0.0, 1e-12, travel), *STIFFNESS_RANGE_N_M)
        self.stiffness = np.where(moved, self.stiffness + 0.5 * (found - self.stiffness), self.stiffness)
        self.stiffness = np.where(soft, np.maximum(0.5 * self.stiffness, STIFFNESS_RANGE_N_M[0]), self.stiffness)
        anchor = moved | soft
        self.anchor_travel = np.where(anchor, self.travel, self.anchor_travel)
        self.anchor_force = np.where(anchor, self.measured, self.anchor_force)

    def hold(self, force_n: ArrayLike, seconds: ArrayLike, rate_n_s: float, depth_m: float) -> NDArray[np.int64]:
        """Ramp to a force and hold it; returns the (N,) row at which each was done.

        Args:
            force_n: wanted, one or (N,).
            seconds: at that force, one or (N,).
            rate_n_s: of the ramp.
            depth_m: deepest travel below the touch.
        """
        force_n, seconds = np.asarray(force_n, float), np.asarray(seconds, float)
        deepest = self.contact + depth_m
        reference, held = np.maximum(self.measured, 0.0), np.zeros(self.count)
        done = np.full(self.count, -1, np.int64)
        longest = round((float(np.max(force_n)) / rate_n_s + float(np.max(seconds)) + 1.5) / PERIOD_S)
        for _ in range(longest):
            active = (done < 0) & ~self.limited & (self.touched >= 0)
            if not active.any():
                break
            change = np.clip(force_n - reference, -rate_n_s * PERIOD_S, rate_n_s * PERIOD_S)
            reference = np.where(active, reference + change, reference)
            self.step(active, self._force_speed(reference, change / PERIOD_S, deepest), 1.0)
            self._update_stiffness(active)
            there = (change == 0.0) & (self.measured > 0.9 * force_n)
            counts = there | (held > 0.0) | (self.travel >= deepest - 1e-6)
            held = np.where(active & counts, held + PERIOD_S, held)
            done = np.where(active & (held >= seconds), self.row, done)
        return self._all_wait(done)

    def unload(self, rate_n_s: float) -> NDArray[np.int64]:
        """Lower the force until the tool is free; returns the (N,) row at which each was."""
        deepest = np.full(self.count, np.inf)
        reference = self.measured.copy()
        done = np.full(self.count, -1, np.int64)
        for _ in range(3000):
            free = self.measured < 0.5 * self.limits.contact_threshold_n
            done = np.where((done < 0) & free, self.row, done)
            active = (done < 0) & ~self.limited & (self.touched >= 0)
            if not active.any():
                break
            reference = np.maximum(reference - rate_n_s * PERIOD_S, -1.0)
            self.step(active, self._force_speed(reference, -rate_n_s, deepest), 1.0)
            self._update_stiffness(active)
        return np.where(done < 0, self.row, done)

    def slide(
        self,
        length_m: Array,
        speed_m_s: ArrayLike,
        force_n: ArrayLike,
        friction: Callable[[Array, Array, float], Array],
    ) -> NDArray[np.int64]:
        """Slide under a normal force; returns the (N,) row at which each was done, had lost contact, or had caught.

        Args:
            length_m: (N,) distance.
            speed_m_s: top speed, one or (N,).
            force_n: normal force, one or (N,).
            friction: normal force N (N,), speed m/s (N,), time since the start s -> friction N (N,); `along` is the
                place.
        """
        speed = np.broadcast_to(np.asarray(speed_m_s, float), length_m.shape)
        force = np.broadcast_to(np.asarray(force_n, float), length_m.shape)
        deepest = self.contact + self.limits.press_depth_m
        gain = 2.0 * np.pi * CONTROL_BANDWIDTH_HZ
        change = SLIDE_ACCELERATION_M_S2 * PERIOD_S
        velocity, climb, lost = np.zeros(self.count), np.zeros(self.count), np.zeros(self.count, int)
        done, start = np.full(self.count, -1, np.int64), self.row
        for _ in range(round((float((length_m / speed).max()) + 1.0) / PERIOD_S)):
            active = (done < 0) & ~self.limited & (self.touched >= 0)
            if not active.any():
                break
            left = np.maximum(length_m - self.along, 0.0)
            wanted = np.minimum(speed, np.sqrt(1.8 * SLIDE_ACCELERATION_M_S2 * left) + 1e-4)
            velocity = np.where(active, velocity + np.clip(wanted - velocity, -change, change), 0.0)
            self.along = np.minimum(self.along + velocity * PERIOD_S, length_m)
            norm = np.maximum(np.hypot(self.measured, self.tangential), 1e-9)
            self.tangential = friction(self.true, velocity, (self.row - start) * PERIOD_S)
            aimed = force * np.minimum(1.0, SLIDE_NORM_SHARE * self.limits.force_limit_n / norm)
            climb = climb + 0.5 * gain**2 * (aimed - self.measured) * PERIOD_S
            self.step(active, self._force_speed(aimed, climb, deepest), 1.0)
            self._update_stiffness(active)
            lost = np.where(self.measured < self.limits.contact_threshold_n, lost + 1, 0)
            ended = (self.along >= length_m) | (lost >= LOST_PERIODS) | (self.measured >= CAUGHT_SHARE * force)
            done = np.where(active & ended, self.row, done)
        return np.where(done < 0, self.row, done)

    def track(self, ended: NDArray[np.int64]) -> Track:
        """Everything that was recorded, without waits; a part that met the force limit ends there."""
        source = np.repeat(np.arange(self.row)[:, None], self.count, axis=1)
        touched, ended = self.touched.copy(), ended.copy()
        for done, until in self._waits:
            source = source + np.where(source >= done, until - done, 0)
            touched = touched - np.clip(self.touched - done, 0, until - done)
        left_out = sum(np.clip(ended - done, 0, until - done) for done, until in self._waits)
        rows = np.minimum(source, self.row - 1)
        parts = np.arange(self.count)
        travel, true, tangential, along = (np.stack(column)[rows, parts] for column in zip(*self._rows, strict=True))
        return Track(travel, true, tangential, along, touched, ended - left_out, self.limited)
