"""Runs one probe at a time, tick by tick: starts a primitive, retreats when it is interrupted, reports how it ended."""

from __future__ import annotations

import math
from collections.abc import Generator
from contextlib import suppress

from palpate_agents.errors import CellError
from palpate_agents.observation import Outcome, Primitive, ProbeExecution, ProbeGoal
from palpate_sim.guarded import ForceLimit
from palpate_sim.motion import ArmCommand, ArmState, Interrupted, Motion
from palpate_sim.planning import Unreachable
from palpate_sim.primitives import PRIMITIVES, Report

HAND_FREE = (
    Primitive.PRESS, Primitive.TAP, Primitive.SLIDE, Primitive.DWELL, Primitive.WIPE, Primitive.SCRATCH,
)  # fmt: skip


class Executor:
    """The arm's side of a `Probe` goal. Call `tick` every millisecond with the newest measurement."""

    def __init__(self, motion: Motion):
        self.motion = motion
        self._run: Generator[ArmCommand, ArmState, ProbeExecution] | None = None
        self.finished: ProbeExecution | None = None

    @property
    def busy(self) -> bool:
        """A probe is running."""
        return self._run is not None

    @property
    def contact_force_n(self) -> float:
        """Force norm in the running guarded contact, else 0."""
        contact = self.motion.contact
        return contact.norm_n if contact is not None and contact.contact_distance_m is not None else 0.0

    def start(self, goal: ProbeGoal) -> None:
        """Begin a probe.

        Raises:
            CellError: one is running, or the goal makes no sense whatever the part.
        """
        if self.busy:
            raise CellError("a probe is running; wait for its result or cancel it")
        check_goal(goal, tuple(self.motion.planner.bins))
        self.motion.clear_interrupt()
        self.finished = None
        run = self._probe(goal)
        next(run)
        self._run = run

    def cancel(self) -> None:
        """Stop the running probe and retreat; does nothing when there is none."""
        if self.busy:
            self.motion.interrupt(Outcome.CANCELLED, "the probe was cancelled")

    def abort(self, message: str) -> None:
        """Stop the running probe because of a fault, and retreat."""
        if self.busy:
            self.motion.interrupt(Outcome.ABORTED, message)

    def tick(self, state: ArmState) -> ArmCommand:
        """One control period; `finished` is set in the period in which a probe ends."""
        self.finished = None
        if self._run is None:
            self.motion.state = state
            return self.motion.command
        try:
            return self._run.send(state)
        except StopIteration as stop:
            self._run = None
            self.finished = stop.value
            self.motion.phase = "idle"
            return self.motion.command

    def _probe(self, goal: ProbeGoal) -> Generator[ArmCommand, ArmState, ProbeExecution]:
        motion, report = self.motion, Report(goal)
        yield from motion.tick()
        report.window_start_ns = motion.state.time_ns
        try:
            if motion.holding and goal.primitive in HAND_FREE:
                report.fail(Outcome.ABORTED, "the hand holds a part; place it before touching with the tool")
            else:
                yield from PRIMITIVES[goal.primitive](motion, report)
        except Unreachable as problem:
            report.fail(Outcome.UNREACHABLE, f"{problem}")
            yield from self._retreat()
        except ForceLimit as problem:
            report.fail(Outcome.FORCE_LIMIT, f"{problem}")
            yield from self._retreat()
        except Interrupted as stop:
            report.fail(stop.outcome, f"{stop}")
            yield from self._retreat(home=True)
        motion.tips_released = motion.tap_armed = motion.spectrum_wanted = False
        if report.window_end_ns == 0:
            report.window_end_ns = motion.state.time_ns
        return report.execution()

    def _retreat(self, *, home: bool = False) -> Generator[ArmCommand, ArmState, None]:
        """Up and away from wherever the tool is; a held part stays in the hand, over the place where it was lifted."""
        motion = self.motion
        motion.shield()
        motion.phase = "retreat"
        if motion.contact is not None:
            yield from motion.contact.leave()
        elif motion.line is not None:
            if not motion.holding:
                motion.grip(motion.open_width_m, motion.limits.grasp_force_n)
            yield from motion.travel(motion.line.start_m)
        if home and not motion.holding:
            with suppress(Unreachable):  # then it stays over the part
                yield from motion.home()


def check_goal(goal: ProbeGoal, bins: tuple[str, ...]) -> None:
    """Refuse goals that no part could make right.

    Raises:
        CellError: a number is not finite or negative, the pad or the bin does not exist.
    """
    for name in (
        "force_limit_n", "force_n", "standoff_m", "speed_m_s", "dwell_s", "slide_distance_m", "grasp_width_m",
    ):  # fmt: skip
        value = getattr(goal, name)
        if not math.isfinite(value) or value < 0.0:
            raise CellError(f"{name} is {value}; it must be a finite number of at least 0 (0: the default)")
    for name, limit in (("dwell_s", 30.0), ("slide_distance_m", 0.08), ("standoff_m", 0.2)):
        if getattr(goal, name) > limit:
            raise CellError(f"{name} is {getattr(goal, name):g}, at most {limit:g} is allowed")
    if goal.primitive == Primitive.DWELL and goal.pad_index not in (0, 1):
        raise CellError(f"pad_index is {goal.pad_index}; the tool has pads 0 and 1")
    if goal.primitive == Primitive.PLACE and goal.bin not in bins:
        raise CellError(f"there is no bin {goal.bin!r} in the cell; bins are {', '.join(sorted(bins))}")
