"""Contact under control: approach until touch, hold a force, ramp it, slide. Forces come from the wrench alone.

The tool moves along one `ToolLine`; control is one-dimensional: speed along the line from the force error, divided by
the stiffness that is estimated on the way, so that foam and steel are loaded at the same rate.
"""

from __future__ import annotations

import math
from collections.abc import Generator

import numpy as np
from numpy.typing import NDArray

from palpate_agents.observation import Frame
from palpate_sim.clearance import WORK_AREA
from palpate_sim.free_tool import FREE_OFFSET_N, Onset, carried_n, same_zero
from palpate_sim.motion import PERIOD_S, ArmCommand, ArmState, Motion, SentPath, Ticks
from palpate_sim.trajectory import JOINT_ACCELERATION, Profile, ToolLine, approach_speed

Array = NDArray[np.float64]

CONTROL_BANDWIDTH_HZ = 3.2
STIFFNESS_RANGE_N_M = (300.0, 6e4)
ZERO_SAMPLES = 40
ZERO_TRIES = 3
SETTLE_PERIODS = 10
"""After a change of speed, until the drives have followed and the wrench is the tool's weight alone."""
COARSE_TOUCH_N = 1.5
"""Force that ends a quick approach: above what a change of speed leaves uncompensated."""
EARLY_BACK_M = 0.005
SLIDE_ACCELERATION_M_S2 = 0.4
LIMIT_SHARE = 0.98
"""Share of the force limit that counts as reached: the rest is for the sensor's gain and noise."""
CLEAR_M = 0.001
"""So far above the first touch the tool is free again, and forces are no contact forces."""
SLIDE_NORM_SHARE = 0.85
"""Share of the force limit that normal force and friction together may reach in a slide."""
CAUGHT_SHARE = 2.2
"""A normal force so far above the wanted one means that the part tips or the tip has caught on something."""
LOST_PERIODS = 30
"""Contact counts as lost when the force stays below the threshold for so long."""


class ForceLimit(Exception):  # noqa: N818 - an outcome: the measured force reached the limit
    """The contact force reached the limit; the primitive retreats."""


class GuardedContact:
    """Touches along one line of one tool frame."""

    def __init__(
        self, motion: Motion, frame: Frame, limit_n: float, stiffness_n_m: float, depth_m: float, room_m: float
    ):
        """Prepare.

        Args:
            motion: the arm.
            frame: tool frame that touches.
            limit_n: force norm that must not be exceeded.
            stiffness_n_m: stiffest contact to expect.
            depth_m: deepest travel below the first touch.
            room_m: deepest travel below where the part begins; a soft one is felt deeper.
        """
        self.motion, self.frame, self.limit_n, self.depth_m = motion, frame, limit_n, depth_m
        self._room_m = room_m
        self.approach_axis = motion.planner.tool_in_sensor[frame][:3, 2]
        self.expected_stiffness = self.stiffness = stiffness_n_m
        self.normal_n = self.norm_n = self.max_force_n = 0.0
        self.speed = 0.0
        line = motion.current_line()
        limits = motion.limits
        self._top_speed = min(limits.line_speed_m_s, line.limit(motion.planner.velocity))
        self._top_acceleration = min(limits.line_acceleration_m_s2, line.limit(JOINT_ACCELERATION))
        self.contact_distance_m: float | None = None
        self.surface_distance_m = 0.0
        self.contact_time_ns = self.steady_time_ns = 0
        self.contact_q: Array | None = None
        self._zero = np.zeros(3)
        self._acceleration = 0.0
        self._anchor = (0.0, 0.0)
        self._along: ToolLine | None = None
        self._columns: list[Array] = []
        self.along_m = self._along_speed = self._along_wanted = 0.0
        motion.contact = self

    @property
    def safe_speed_m_s(self) -> float:
        """Approach speed that keeps the overshoot within its share of the limit."""
        return self._safe_speed(self.expected_stiffness)

    def _safe_speed(self, stiffness_n_m: float) -> float:
        limits = self.motion.limits
        room = limits.overshoot_share * self.limit_n
        return approach_speed(stiffness_n_m, room, self._top_acceleration, limits.reaction_s)

    def approach(self, slow_from_m: float, until_m: float, speed_m_s: float, *, released: bool = False) -> Ticks:
        """Quickly to `slow_from_m`, then at constant speed until touch or `until_m`; brakes in either case.

        While it is quick the tips ride on their springs: should the surface be higher than expected, the force stays
        within the limit all the same, and the slow approach begins anew from there. Afterwards `contact_distance_m` is
        None if nothing was touched.

        Args:
            slow_from_m: where the slow part begins, distance along the line, 0 at the expected surface.
            until_m: where it ends.
            speed_m_s: of the slow part.
            released: leave the tips on their springs until the touch (a tap).
        """
        motion = self.motion
        motion.tips_released = True
        yield from self._coarse_zero()
        self._tell(slow_from_m, self._top_speed)
        met = yield from self._fast(slow_from_m, speed_m_s)
        if met:
            slow_from_m = motion.distance_m - EARLY_BACK_M
            yield from self._back_to(slow_from_m - EARLY_BACK_M)
            yield from self._fast(slow_from_m, speed_m_s)
        for left in range(ZERO_TRIES - 1, -1, -1):
            motion.tips_released = motion.tap_armed = released
            self._tell(until_m, speed_m_s)
            free = yield from self._slow(until_m, speed_m_s)
            if free or not left:
                break
            slow_from_m -= EARLY_BACK_M
            motion.tap_armed = False
            yield from self._back_to(slow_from_m - EARLY_BACK_M)
            yield from self._fast(slow_from_m, speed_m_s)
        while self.speed > 0.0:
            yield from self.step(0.0)

    def _tell(self, to_m: float, speed_m_s: float) -> None:
        """Publish the line as it is planned from here on; a touch may end it earlier."""
        motion = self.motion
        distances = np.linspace(motion.distance_m, to_m, 8)
        times = np.abs(distances - distances[0]) / speed_m_s
        if times[-1] > 0.0:
            motion.sent.append(SentPath(motion.state.time_ns, np.stack([self._line.at(d) for d in distances]), times))

    def _coarse_zero(self) -> Ticks:
        """Weight of the tool while it stands still at the start of the line; the line keeps its orientation.

        Raises:
            ForceLimit: it is another weight than in the probes before: something touches the tool, or hangs on it.
        """
        motion, samples = self.motion, []
        for _ in range(10):
            yield from self.step(0.0)
            samples.append(motion.state.wrench[:3])
        self._zero = np.mean(samples, axis=0)
        carried = carried_n(motion, self._zero)
        if carried > FREE_OFFSET_N:
            raise ForceLimit(f"the tool carries {carried:.1f} N before it approaches: something touches it")

    def _fast(self, slow_from_m: float, speed_m_s: float) -> Generator[ArmCommand, ArmState, bool]:
        """Quickly to a distance, arriving with a speed; True (and at rest) if something was met before."""
        motion, fast = self.motion, self._top_speed
        springy = min(fast, max(self._safe_speed(motion.limits.tip_spring_n_m), speed_m_s))
        into_area = (self._line.origin[2] - WORK_AREA[2]) / -float(self._line.direction[2])
        braking = 2.0 * 0.9 * self._top_acceleration
        while motion.distance_m < slow_from_m:
            wanted = min(
                math.sqrt(springy**2 + braking * max(into_area - motion.distance_m, 0.0)),
                math.sqrt(speed_m_s**2 + braking * max(slow_from_m - motion.distance_m, 0.0)),
                fast,
            )
            yield from self.step(wanted)
            if self.normal_n > min(COARSE_TOUCH_N, 0.5 * self.limit_n):
                while self.speed > 0.0:
                    yield from self.step(0.0)
                return True
        return False

    def _back_to(self, distance_m: float) -> Ticks:
        while self.motion.distance_m > max(distance_m, self._line.start_m):
            yield from self.step(-0.05)
        while self.speed < 0.0:
            yield from self.step(0.0)

    def _slow(self, until_m: float, speed_m_s: float) -> Generator[ArmCommand, ArmState, bool]:
        """At constant speed until touch or `until_m`; False if the tool touches something from the beginning.

        Foam gives millimetres at the force that counts as touch: a zero that is taken there hides most of the force.
        """
        motion, limits = self.motion, self.motion.limits
        free: list[Array] = []
        over = steady = 0
        onset = Onset(motion.distance_m)
        while motion.distance_m < until_m:
            yield from self.step(speed_m_s)
            steady = steady + 1 if abs(self.speed - speed_m_s) < 1e-9 else 0
            if steady < SETTLE_PERIODS:
                continue
            if len(free) < ZERO_SAMPLES:
                self.steady_time_ns = self.steady_time_ns if free else motion.state.time_ns
                free.append(motion.state.wrench[:3])
                if len(free) == ZERO_SAMPLES:  # then kept: a zero that follows would swallow the force of foam
                    zero = np.mean(free, axis=0)
                    if not same_zero(self._zero, zero):
                        return False
                    self._zero = zero
            onset.add(motion.distance_m, self.normal_n)
            over = over + 1 if self.normal_n > limits.contact_threshold_n else 0
            if over >= 2 or motion.state.tapped:
                self._touch()
                self.surface_distance_m = onset.surface_m(motion.distance_m, speed_m_s)
                return True
            self._check_limit()
        return True

    def _touch(self) -> None:
        motion = self.motion
        self.contact_distance_m = motion.distance_m
        self.contact_time_ns = motion.state.time_ns
        self.contact_q = motion.state.q
        self._anchor = (motion.distance_m, self.normal_n)

    @property
    def _line(self) -> ToolLine:
        return self.motion.current_line()

    def step(self, speed: float, acceleration: float = math.inf) -> Ticks:
        """One period along the line; measures, and checks the limit once there was a touch.

        Args:
            speed: wanted, m/s.
            acceleration: at most, m/s2; the line's own limit holds anyway.

        Raises:
            ForceLimit: the force norm is above the limit.
        """
        motion = self.motion
        if self.contact_distance_m is not None:
            # Another tip may meet the part at any time, and as hard as the arm is: stop within what is left.
            left_n = max(LIMIT_SHARE * self.limit_n - self.norm_n, 0.0)
            stiffest, reaction_s = motion.limits.arm_stiffness_n_m, motion.limits.reaction_s
            left = approach_speed(stiffest, left_n, self._top_acceleration, reaction_s)
            if max(speed, self.speed) > left:
                speed, acceleration = min(speed, left), math.inf
        most = min(acceleration, self._top_acceleration) * PERIOD_S
        change = min(max(speed - self.speed, -most), most)
        self.speed += change
        response = motion.limits.drive_response
        self._acceleration += response * (change / PERIOD_S - self._acceleration)
        motion.distance_m = min(max(motion.distance_m + self.speed * PERIOD_S, self._line.start_m), self._line.end_m)
        self._advance_along()
        motion.command.q = self._positions()
        yield from motion.tick()
        self._measure()
        if self.contact_distance_m is not None and motion.distance_m > self.contact_distance_m - CLEAR_M:
            self.max_force_n = max(self.max_force_n, self.norm_n)
            self._check_limit()

    def _check_limit(self) -> None:
        if self.norm_n > LIMIT_SHARE * self.limit_n:
            raise ForceLimit(f"{self.norm_n:.1f} N reached the limit of {self.limit_n:g} N")

    def _advance_along(self) -> None:
        if self._along is not None:
            most = SLIDE_ACCELERATION_M_S2 * PERIOD_S
            self._along_speed += min(max(self._along_wanted - self._along_speed, -most), most)
            self.along_m = min(self.along_m + self._along_speed * PERIOD_S, self._along.end_m)

    def _measure(self) -> None:
        force = self.motion.state.wrench[:3] - self._zero
        inertia = self.motion.planner.tool_mass_kg * self._acceleration
        self.normal_n = -float(force @ self.approach_axis) - inertia
        self.norm_n = float(np.linalg.norm(force + inertia * self.approach_axis))

    def _positions(self) -> Array:
        motion = self.motion
        q = self._line.at(motion.distance_m)
        if self._along is None:
            return q
        x = self.along_m / max(self._along.end_m, 1e-9) * (len(self._columns) - 1)
        k = min(int(x), len(self._columns) - 2)
        column = self._columns[k] + (x - k) * (self._columns[k + 1] - self._columns[k])
        offset = motion.distance_m - self._along_distance
        return q + self._along.at(self.along_m) - self._along.positions[0] + offset * (column - self._columns[0])

    @property
    def _deepest_m(self) -> float:
        assert self.contact_distance_m is not None
        return min(self.contact_distance_m + self.depth_m, self.surface_distance_m + self._room_m)

    def _update_stiffness(self) -> None:
        travel = self.motion.distance_m - self._anchor[0]
        force = self.normal_n - self._anchor[1]
        if abs(travel) > 1e-5 and abs(force) > 0.15:
            low, high = STIFFNESS_RANGE_N_M
            found = min(max(force / travel, low), high)
            self.stiffness += 0.5 * (found - self.stiffness)
            self._anchor = (self.motion.distance_m, self.normal_n)
        elif abs(travel) > 4e-4:  # soft: much travel, little force
            self.stiffness = max(0.5 * self.stiffness, STIFFNESS_RANGE_N_M[0])
            self._anchor = (self.motion.distance_m, self.normal_n)

    def hold(self, force_n: float, seconds: float, rate_n_s: float, *, in_all: bool = False) -> Ticks:
        """Ramp the normal force to `force_n` and hold it, or stop at `depth_m` below the touch.

        Args:
            force_n: normal force.
            seconds: time at that force, or from now on with `in_all`.
            rate_n_s: how fast the force is changed.
            in_all: count the ramp too.

        Raises:
            ForceLimit: see `step`.
        """
        assert self.contact_distance_m is not None
        reference = max(self.normal_n, 0.0)
        deepest = min(self._deepest_m, self._line.end_m)
        held = 0.0
        while held < seconds:
            change = min(max(force_n - reference, -rate_n_s * PERIOD_S), rate_n_s * PERIOD_S)
            reference += change
            yield from self.step(self._force_speed(reference, change / PERIOD_S, deepest), 1.0)
            self._update_stiffness()
            there = change == 0.0 and self.normal_n > 0.9 * force_n
            if in_all or there or held > 0.0 or self.motion.distance_m >= deepest - 1e-6:
                held += PERIOD_S

    def _force_speed(self, reference_n: float, rate_n_s: float, deepest_m: float) -> float:
        gain = 2.0 * math.pi * CONTROL_BANDWIDTH_HZ
        speed = (rate_n_s + gain * (reference_n - self.normal_n)) / self.stiffness
        top = self.motion.limits.slide_speed_m_s
        room = max(0.0, (deepest_m - self.motion.distance_m) / PERIOD_S)
        return min(max(speed, -top), top, room)

    def unload(self, rate_n_s: float) -> Ticks:
        """Lower the force at a rate until the tool is free."""
        assert self.contact_distance_m is not None
        reference = self.normal_n
        for _ in range(3000):
            if self.normal_n < 0.5 * self.motion.limits.contact_threshold_n:
                return
            reference = max(reference - rate_n_s * PERIOD_S, -1.0)
            yield from self.step(self._force_speed(reference, -rate_n_s, self._line.end_m), 1.0)
            self._update_stiffness()

    def slide(self, along: ToolLine, speed_m_s: float, force_n: float) -> Ticks:
        """Move along the surface under a normal force; ends early when contact is lost, or when the tip catches.

        Afterwards `along_m` tells how far it went.

        Raises:
            ForceLimit: see `step`.
        """
        assert self.contact_distance_m is not None
        chain = self.motion.planner.ik[self.frame].chain
        direction = np.concatenate([self._line.direction, np.zeros(3)])
        self._columns = [np.linalg.pinv(chain.jacobian(q)[1]) @ direction for q in along.positions]
        self._along, self._along_distance = along, self.motion.distance_m
        lost, climb = 0, 0.0
        deepest = self._deepest_m
        gain = 2.0 * math.pi * CONTROL_BANDWIDTH_HZ
        while self.along_m < along.end_m and lost < LOST_PERIODS and self.normal_n < CAUGHT_SHARE * force_n:
            left = along.end_m - self.along_m
            self._along_wanted = min(speed_m_s, math.sqrt(1.8 * SLIDE_ACCELERATION_M_S2 * left) + 1e-4)
            # The plane that was told may be tilted against the surface: an integral term climbs with it.
            # Friction adds to the norm, which must stay below the limit: then the normal force gives way.
            wanted = force_n * min(1.0, SLIDE_NORM_SHARE * self.limit_n / max(self.norm_n, 1e-9))
            climb += 0.5 * gain**2 * (wanted - self.normal_n) * PERIOD_S
            yield from self.step(self._force_speed(wanted, climb, deepest), 1.0)
            self._update_stiffness()
            lost = lost + 1 if self.normal_n < self.motion.limits.contact_threshold_n else 0

    def release(self) -> Ticks:
        """Fast up until the tool is free."""
        self._along_wanted = 0.0
        limits = self.motion.limits
        while self.normal_n > limits.contact_threshold_n and self.motion.distance_m > self._line.start_m:
            yield from self.step(-self._top_speed)

    def settle(self) -> Ticks:
        """Come to rest."""
        self._along_wanted = 0.0
        while self.speed != 0.0 or self._along_speed != 0.0:
            yield from self.step(0.0)

    def leave(self) -> Ticks:
        """Straight up, away from the part, to the start of the line; the limit no longer applies."""
        self.limit_n = math.inf
        motion = self.motion
        if self.contact_distance_m is not None:
            yield from self.release()
        yield from self.settle()
        if self._along is not None:  # the way down was over another place
            back = motion.planner.retreat(self._line, self.frame, motion.command.q, motion.distance_m)
            if back is not None:
                motion.line, self._along = back, None
        start = motion.distance_m
        profile = Profile.over(start - self._line.start_m, self._top_speed, self._top_acceleration)
        self._tell(self._line.start_m, self._top_speed)
        for k in range(1, math.ceil(profile.duration_s / PERIOD_S) + 1):
            last, motion.distance_m = motion.distance_m, start - profile.at(k * PERIOD_S)
            self.speed = (motion.distance_m - last) / PERIOD_S
            motion.command.q = self._positions()
            yield from motion.tick()
        motion.line = motion.contact = None
