"""Strategies: which probe comes next, given the belief and everything done so far. `None` means: stop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from palpate_agents.encoders.features import PartContext
from palpate_agents.errors import ConfigError
from palpate_agents.observation import MAX_PROBES, Outcome, Primitive, ProbeExecution, ProbeGoal
from palpate_agents.probing.spots import SpotChooser
from palpate_agents.signature import Belief

DEFAULT_SEQUENCE = ("look", "tap", "press", "slide", "dwell", "lift")
RETRYABLE = (Outcome.UNREACHABLE, Outcome.NO_CONTACT)
MOVED = (Outcome.GRASP_FAILED, Outcome.DROPPED)
"""After these the part no longer lies where it was seen."""


@dataclass(frozen=True)
class ProbingState:
    """What a strategy decides on.

    Attributes:
        context: view of the part and the rest of what earlier probes told.
        belief: after the probes so far.
        history: executions so far, oldest first.
        elapsed_s: the cell's time since the part was presented.
    """

    context: PartContext
    belief: Belief
    history: tuple[ProbeExecution, ...] = ()
    elapsed_s: float = 0.0


class Strategy(Protocol):
    """Chooses the next probe. Stateless: the same state gives the same answer, so that a replay repeats it."""

    def next(self, state: ProbingState) -> ProbeGoal | None:
        """Next probe, or None to stop."""
        ...


class FixedStrategy:
    """A fixed order of probes, each at a spot of its own, with a stop when the belief is sure enough.

    A probe that could not reach or found nothing is tried once more at another spot; a primitive for which the part has
    no place (nothing to grasp, too short to slide) is left out; after a failed grasp the part is looked at anew; when
    parts touch it stops.

    Args:
        sequence: names of primitives; `dwell0` and `dwell1` name the warm pad, `dwell` takes the hotter one (1).
        stop_confidence: stop when the belief's best label has at least this probability; above 1 never stops early.
        min_probes: never stop before so many probes.

    Raises:
        ConfigError: an unknown primitive, an empty or too long sequence, or one that does not begin with a look.
    """

    def __init__(
        self, sequence: Sequence[str] = DEFAULT_SEQUENCE, stop_confidence: float = 0.95, min_probes: int = 2
    ) -> None:
        self.steps = [_step(name) for name in sequence]
        if not 1 <= len(self.steps) <= MAX_PROBES:
            raise ConfigError(f"a sequence has 1 to {MAX_PROBES} probes, this one has {len(self.steps)}")
        if self.steps[0][0] is not Primitive.LOOK:
            raise ConfigError(f"a sequence begins with 'look', which finds the part, not '{sequence[0]}'")
        if not stop_confidence > 0:
            raise ConfigError(f"stop_confidence is a probability above 0, got {stop_confidence}")
        self.stop_confidence = stop_confidence
        self.min_probes = min_probes

    def next(self, state: ProbingState) -> ProbeGoal | None:
        """See `Strategy`."""
        history, view = state.history, state.context.view
        sure = len(history) >= self.min_probes and state.belief.confidence >= self.stop_confidence
        if len(history) >= MAX_PROBES or sure:
            return None
        if view is None or not view.found:
            looks = sum(e.primitive is Primitive.LOOK for e in history)
            return _first_look(state) if looks < 2 else None
        if view.touching:
            return None  # whatever is measured, it is unknown of which part
        return self._next_step(SpotChooser(view, history), history)

    def _next_step(self, chooser: SpotChooser, history: Sequence[ProbeExecution]) -> ProbeGoal | None:
        if history and history[-1].outcome in MOVED:
            return chooser.goal(Primitive.LOOK)
        goals = (chooser.goal(primitive, pad) for primitive, pad in self.steps[self._position(history) :])
        return next((goal for goal in goals if goal is not None), None)

    def _position(self, history: Sequence[ProbeExecution]) -> int:
        """Index of the next step: walks the sequence along what was done."""
        position, retried = 0, False
        for execution in history:
            ahead = [i for i in range(position, len(self.steps)) if self._matches(i, execution)]
            if not ahead:
                continue  # an extra look after a failed grasp
            again = execution.outcome in RETRYABLE and not retried
            retried = again
            position = ahead[0] if again else ahead[0] + 1
        return position

    def _matches(self, index: int, execution: ProbeExecution) -> bool:
        primitive, pad = self.steps[index]
        return primitive is execution.primitive and (primitive is not Primitive.DWELL or pad == execution.pad_index)


def _first_look(state: ProbingState) -> ProbeGoal:
    """A look at the middle of the region."""
    x0, x1, y0, y1 = state.context.region
    return ProbeGoal(Primitive.LOOK, ((x0 + x1) / 2, (y0 + y1) / 2, state.context.table_height_m))


def _step(name: str) -> tuple[Primitive, int]:
    pads = {"dwell": 1, "dwell0": 0, "dwell1": 1}
    if name in pads:
        return Primitive.DWELL, pads[name]
    known = [p.name.lower() for p in Primitive if p is not Primitive.PLACE]
    if name not in known:
        raise ConfigError(f"unknown probe '{name}'; known are {', '.join([*known, 'dwell0', 'dwell1'])}")
    return Primitive[name.upper()], 0
