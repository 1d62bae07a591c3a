"""The arm's motion, one control period at a time: joint moves, straight lines, grip, cancelling. No simulator in here.

`Motion` holds what is commanded and what was measured last. Its methods are generators that yield an `ArmCommand` and
are sent an `ArmState` every millisecond; primitives.py strings them together. The caller may be a simulator or the
real-time loop of a real arm.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from palpate_agents.observation import Outcome
from palpate_sim.planning import HOME, Planner
from palpate_sim.trajectory import JOINT_ACCELERATION, JointMove, Profile, ToolLine

if TYPE_CHECKING:
    from palpate_sim.guarded import GuardedContact

Array = NDArray[np.float64]

PERIOD_S = 0.001
LEVEL, NEIGHBOUR_M = 0.995, 0.06
"""A touch tells the height of another place on the same part if the surface is level (cosine) and the place near."""
BRAKE_PERIODS = 280
"""Braking after an interrupt: 2 rad/s in 280 ms stays within the joints' accelerations."""


@dataclass(frozen=True)
class MotionLimits:
    """Limits and habits of every motion.

    Attributes:
        force_limit_n: largest quasi-static contact force, never exceeded, whatever a goal asks for.
        contact_threshold_n: force that counts as touch.
        transit_share: share of the joints' velocity and acceleration limits used between places.
        line_speed_m_s, line_acceleration_m_s2: of straight moves, if the joints allow it.
        drive_response: share of a commanded change of speed that the drives follow within one period; the inertia of
            the tool is taken off the measured force with it.
        reaction_s: from touch to the first braking command (two samples over the threshold, one period each way).
        overshoot_share: share of the force limit that may build up between touch and standstill.
        tip_spring_n_m: spring behind the tips while the clamp is open.
        arm_stiffness_n_m, pad_stiffness_n_m: stiffest contact to expect with ball and pad; sets the approach speed.
        slow_above_m, search_below_m: guarded approach begins above and ends below the expected surface;
        known_above_m: begins so far above a surface that was touched before; free_s: and lasts at least so long,
        because the force before the touch gives the tool's weight.
        hover_m: where lines begin above the surface; hover_height_m: and at least this high above the table.
        lift_m: height of a lift.
        press_share: share of the force limit that a press goes to; a second share is left for control and noise.
        press_rate_n_s: how fast force is built up; press_depth_m: how deep at most; tip_gap_m: and so far from where
        another tip would touch.
        tap_speed_m_s, tap_speed_max_m_s: default and limit (10 N peak on ABS at 0.042 m/s).
        slide_force_n, slide_m, slide_speed_m_s: normal force, distance and speed of a slide; wipe_force_n,
        scratch_force_n: of a wipe and a scratch; slide_share: share of the force limit that they may go to, the rest is
        for friction.
        dwell_force_n, dwell_s: force and time of a warm touch; watch_s: how long the spot is watched afterwards.
        grasp_force_n: of the fingers.
        spectrum_standoff_m: distance of the fibre; integration_s: of the spectrometer.
        far_standoff_m: height of the fibre over the table while the height of the part is unknown.
    """

    force_limit_n: float = 8.0
    contact_threshold_n: float = 0.3
    transit_share: float = 0.9
    line_speed_m_s: float = 0.40
    line_acceleration_m_s2: float = 4.0
    drive_response: float = 0.8
    reaction_s: float = 0.003
    overshoot_share: float = 0.3
    tip_spring_n_m: float = 1000.0
    arm_stiffness_n_m: float = 5e4
    pad_stiffness_n_m: float = 8.4e3
    slow_above_m: float = 0.008
    known_above_m: float = 0.001
    free_s: float = 0.15
    search_below_m: float = 0.012
    hover_m: float = 0.05
    hover_height_m: float = 0.115
    lift_m: float = 0.08
    press_share: float = 0.8
    press_rate_n_s: float = 8.0
    press_depth_m: float = 0.008
    tip_gap_m: float = 0.001
    tap_speed_m_s: float = 0.04
    tap_speed_max_m_s: float = 0.06
    slide_force_n: float = 2.0
    slide_m: float = 0.015
    slide_speed_m_s: float = 0.02
    slide_share: float = 0.65
    wipe_force_n: float = 3.0
    scratch_force_n: float = 3.0
    dwell_force_n: float = 5.0
    dwell_s: float = 2.0
    watch_s: float = 1.5
    grasp_force_n: float = 20.0
    spectrum_standoff_m: float = 0.010
    far_standoff_m: float = 0.075
    integration_s: float = 0.1


@dataclass(slots=True)
class ArmState:
    """What was measured in one control period.

    Attributes:
        time_ns: acquisition time on the cell's clock.
        q: (7,) joint positions, rad.
        wrench: (6,) raw wrench, N and N m, sensor frame.
        finger_width_m: opening between the fingers.
        tapped: the accelerometer in the tip has triggered.
    """

    time_ns: int
    q: Array
    wrench: Array
    finger_width_m: float
    tapped: bool = False


@dataclass(slots=True)
class ArmCommand:
    """What the arm shall do in the next period: joint targets (7,) rad, opening of the fingers m, their force N."""

    q: Array
    finger_width_m: float
    finger_force_n: float


@dataclass(frozen=True)
class SentPath:
    """A joint path that was commanded: time of its start, positions (P, 7) rad, times (P,) s from the start."""

    stamp_ns: int
    positions: Array
    times_s: Array


Ticks = Generator[ArmCommand, ArmState, None]


class Interrupted(Exception):  # noqa: N818 - control flow inside the executor
    """The running primitive has to end: cancelled by its client, or aborted by a fault."""

    def __init__(self, outcome: Outcome, message: str):
        super().__init__(message)
        self.outcome = outcome


@dataclass
class Motion:
    """Commands, last measurement, and the moves that everything is built from.

    Attributes:
        planner: geometry.
        limits: speeds, forces, distances.
        phase: what the arm is doing, for feedback.
        line, distance_m: straight line that the tool is on, if any, and where on it.
        contact: guarded contact that runs on that line, if any.
        surface: last touch of the part that lies there: target (3,) m and where on its line the surface began, m.
        free_offset_n: (3,) what the sensor reads beyond the free tool's weight, sensor frame, as first measured;
        None after somebody has zeroed the sensor.
        holding: a part is in the fingers.
        sent: joint paths since the caller last took them.
        spectrum_wanted: the primitive asks for a spectrum; the caller clears it.
        tips_released: the clamp is open, ball and pads ride on their springs.
        tap_armed: the accelerometer in the ball waits for a tap.
    """

    planner: Planner
    limits: MotionLimits = field(default_factory=MotionLimits)
    phase: str = "idle"
    line: ToolLine | None = None
    distance_m: float = 0.0
    holding: bool = False
    sent: list[SentPath] = field(default_factory=list)
    spectrum_wanted: bool = False
    tips_released: bool = False
    tap_armed: bool = False
    contact: GuardedContact | None = None
    surface: tuple[Array, float] | None = None
    open_width_m: float = 0.08
    free_offset_n: Array | None = None

    def __post_init__(self) -> None:
        self.command = ArmCommand(HOME.copy(), self.open_width_m, self.limits.grasp_force_n)
        self.state = ArmState(0, HOME.copy(), np.zeros(6), self.open_width_m)
        self._interrupt: Interrupted | None = None
        self._shielded = False

    def interrupt(self, outcome: Outcome, message: str) -> None:
        """Ask the running primitive to stop and retreat; the first request wins."""
        if self._interrupt is None:
            self._interrupt = Interrupted(outcome, message)

    def clear_interrupt(self) -> None:
        """Forget a request and allow new ones."""
        self._interrupt, self._shielded = None, False

    def release(self) -> None:
        """Open the hand; whatever was in it is gone."""
        self.holding = False
        self.surface = None
        self.grip(self.open_width_m, self.limits.grasp_force_n)

    def expected_surface(self, target: Array, normal: Array) -> float | None:
        """Where on a line to `target` a touch near by on the same part lets expect the surface, m; None if unknown."""
        if self.surface is None or normal[2] < LEVEL:
            return None
        last, distance = self.surface
        near = float(np.hypot(target[0] - last[0], target[1] - last[1])) < NEIGHBOUR_M
        return distance + float(target[2] - last[2]) if near else None

    def shield(self) -> None:
        """Let the retreat run to its end."""
        self._shielded = True

    def tick(self) -> Ticks:
        """Send the command and wait one period.

        Raises:
            Interrupted: somebody asked for it.
        """
        self.state = yield self.command
        if self._interrupt is not None and not self._shielded:
            raise self._interrupt

    def wait(self, seconds: float) -> Ticks:
        """Hold still."""
        for _ in range(round(seconds / PERIOD_S)):
            yield from self.tick()

    def move(self, goal: Array, payload_m: float = 0.0) -> Ticks:
        """Go to joint positions through free space.

        Raises:
            Unreachable: no free path.
        """
        self.line = None
        for stop in self.planner.path(self.command.q, goal, payload_m):
            move = JointMove(self.command.q, stop, self.planner.velocity, self.limits.transit_share)
            self.sent.append(SentPath(self.state.time_ns, *move.sampled()))
            yield from self._run(move, move.duration_s)

    def current_line(self) -> ToolLine:
        """The line that the tool is on."""
        assert self.line is not None
        return self.line

    def home(self) -> Ticks:
        """Go to the home posture, out of both cameras' view."""
        self.phase = "retreat"
        if float(np.abs(self.command.q - HOME).max()) > 1e-6:
            yield from self.move(HOME)
        self.line = None

    def swing_home(self) -> Ticks:
        """From a line straight home, the turn beginning while the tool still rises: out of a camera's view at once.

        It is short and ends at home, so it does not stop for an interrupt.
        """
        line = self.current_line()
        path = self.planner.path(line.at(line.start_m), HOME)
        top, most = line.limit(self.planner.velocity), line.limit(JOINT_ACCELERATION)
        rise = Profile.over(self.distance_m - line.start_m, top, most)
        turn = JointMove(line.at(line.start_m), path[0], self.planner.velocity, self.limits.transit_share)
        move = SwingMove(line, self.distance_m, rise, turn)
        self.sent.append(SentPath(self.state.time_ns, *move.sampled()))
        self.line = self.contact = None
        shielded, self._shielded = self._shielded, True
        yield from self._run(move, move.duration_s)
        self._shielded = shielded
        yield from self.home()

    def enter(self, line: ToolLine) -> Ticks:
        """Go to the start of a line."""
        yield from self.move(line.at(line.start_m), 0.05 if self.holding else 0.0)
        self.line, self.distance_m = line, line.start_m

    def travel(self, to_m: float, speed: float = 0.0) -> Ticks:
        """Along the current line to a distance, rest to rest."""
        line, start = self.current_line(), self.distance_m
        top = min(speed or self.limits.line_speed_m_s, line.limit(self.planner.velocity))
        most = min(self.limits.line_acceleration_m_s2, line.limit(JOINT_ACCELERATION))
        profile = Profile.over(abs(to_m - start), top, most)
        sign = 1.0 if to_m >= start else -1.0
        move = _LineMove(line, start, sign, profile)
        if profile.duration_s > 0.0:
            self.sent.append(SentPath(self.state.time_ns, *move.sampled()))
        yield from self._run(move, profile.duration_s)

    def grip(self, width_m: float, force_n: float) -> None:
        """Set the fingers' target; they move while ticks go on."""
        self.command.finger_width_m, self.command.finger_force_n = width_m, force_n

    def _run(self, move: JointMove | _LineMove | SwingMove, duration_s: float) -> Ticks:
        """Follow a move; when interrupted, brake along it before the exception goes on."""
        time_s = 0.0
        try:
            while time_s < duration_s:
                time_s = min(time_s + PERIOD_S, duration_s)
                self._set(move, time_s)
                yield from self.tick()
        except Interrupted:
            self._shielded = True
            for k in range(BRAKE_PERIODS, 0, -1):
                time_s = min(time_s + PERIOD_S * k / BRAKE_PERIODS, duration_s)
                self._set(move, time_s)
                yield from self.tick()
            self._shielded = False
            raise

    def _set(self, move: JointMove | _LineMove | SwingMove, time_s: float) -> None:
        self.command.q = move.at(time_s)
        if isinstance(move, _LineMove):
            self.distance_m = move.distance(time_s)


SWING_RISE_M = 0.02
"""The turn begins when the tool has risen so far: above the table's clutter of a part's own size."""


@dataclass(frozen=True)
class SwingMove:
    """Up a line and, before its end, into a joint move: both motions added."""

    line: ToolLine
    start_m: float
    rise: Profile
    turn: JointMove

    @cached_property
    def turn_at_s(self) -> float:
        """When the turn begins: as soon as the tool has risen a little."""
        time_s = 0.0
        while self.rise.at(time_s) < min(SWING_RISE_M, self.rise.distance) - 1e-9:
            time_s += PERIOD_S
        return time_s

    @property
    def duration_s(self) -> float:
        """Seconds from rest to rest."""
        return max(self.rise.duration_s, self.turn_at_s + self.turn.duration_s)

    def at(self, time_s: float) -> Array:
        """Joint positions (7,) after `time_s`."""
        turned = self.turn.at(time_s - self.turn_at_s) - self.turn.start
        return self.line.at(self.start_m - self.rise.at(time_s)) + turned

    def sampled(self, step_s: float = 0.02) -> tuple[Array, Array]:
        """Positions (P, 7) and times (P,) from the start, for publishing."""
        times = np.append(np.arange(0.0, self.duration_s, step_s), self.duration_s)
        return np.stack([self.at(t) for t in times]), times


@dataclass(frozen=True)
class _LineMove:
    """A profile along a tool line, with the interface of `JointMove`."""

    line: ToolLine
    start_m: float
    sign: float
    profile: Profile

    def distance(self, time_s: float) -> float:
        return self.start_m + self.sign * self.profile.at(time_s)

    def at(self, time_s: float) -> Array:
        return self.line.at(self.distance(time_s))

    def sampled(self, step_s: float = 0.02) -> tuple[Array, Array]:
        times = np.append(np.arange(0.0, self.profile.duration_s, step_s), self.profile.duration_s)
        return np.stack([self.at(t) for t in times]), times
