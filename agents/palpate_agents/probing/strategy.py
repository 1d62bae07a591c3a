"""Strategies: which probe comes next, given the belief and everything done so far. `None` means: nothing more to learn.

The stop for a sure belief and the limit of probes are the agent's, the same for every strategy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from palpate_agents.encoders.features import PartContext
from palpate_agents.errors import ConfigError
from palpate_agents.observation import MAX_PROBES, Outcome, Primitive, ProbeExecution, ProbeGoal
from palpate_agents.probing.spots import SpotChooser
from palpate_agents.signature import Belief

DEFAULT_SEQUENCE = ("look", "tap", "press", "slide", "dwell", "lift")
RETRYABLE = (Outcome.UNREACHABLE, Outcome.NO_CONTACT)
OVERVIEW = ProbeGoal(Primitive.LOOK)
"""A look at no point: pictures only, with the arm away."""
MOVED = (Outcome.GRASP_FAILED, Outcome.DROPPED)
"""After these the part no longer lies where it was seen."""


@dataclass(frozen=True)
class ProbingState:
    """What a strategy decides on.

    Attributes:
        context: view of the part and the rest of what earlier probes told.
        belief: after the probes so far.
        history: executions so far, oldest first; goals: what was asked for each (None: not by this agent).
        elapsed_s: the cell's time since the part was presented.
        part_id: of the part.
    """

    context: PartContext
    belief: Belief
    history: tuple[ProbeExecution, ...] = ()
    goals: tuple[ProbeGoal | None, ...] = ()
    elapsed_s: float = 0.0
    part_id: str = ""


class Strategy(Protocol):
    """Chooses the next probe. Stateless: the same state gives the same answer, so that a replay repeats it."""

    def next(self, state: ProbingState) -> ProbeGoal | None:
        """Next probe, or None to stop."""
        ...


class FixedStrategy:
    """A fixed order of probes, each at a spot of its own.

    The part is found by an overview first (a look at no point: pictures only); only then can the sequence's own look
    bring the spectrometer close to a flat spot. A probe that could not reach or found nothing is tried once more at
    another spot; a primitive for which the part has no place (nothing to grasp, too short to slide) is left out; after
    a failed grasp the part is looked at anew; when parts touch it stops.

    Args:
        sequence: names of primitives; `dwell0` and `dwell1` name the warm pad, `dwell` takes the hotter one (1).

    Raises:
        ConfigError: an unknown primitive, an empty or too long sequence, or a lift before its end.
    """

    def __init__(self, sequence: Sequence[str] = DEFAULT_SEQUENCE) -> None:
        self.steps = [_step(name) for name in sequence]
        if not 1 <= len(self.steps) < MAX_PROBES:
            raise ConfigError(f"a sequence has 1 to {MAX_PROBES - 1} probes, this one has {len(self.steps)}")
        if any(primitive is Primitive.LIFT for primitive, _ in self.steps[:-1]):
            raise ConfigError("'lift' comes last in a sequence: the part stays in the hand")

    def next(self, state: ProbingState) -> ProbeGoal | None:
        """See `Strategy`."""
        history, view = state.history, state.context.view
        if view is None or not view.found:
            looks = sum(e.primitive is Primitive.LOOK for e in history)
            return OVERVIEW if looks < 2 else None
        if view.touching:
            return None  # whatever is measured, it is unknown of which part
        return self._next_step(SpotChooser(view, history, state.goals), history)

    def _next_step(self, chooser: SpotChooser, history: Sequence[ProbeExecution]) -> ProbeGoal | None:
        if history and history[-1].outcome in MOVED:
            return OVERVIEW
        goals = (chooser.goal(primitive, pad) for primitive, pad in self.steps[self._position(history) :])
        return next((goal for goal in goals if goal is not None), None)

    def _position(self, history: Sequence[ProbeExecution]) -> int:
        """Index of the next step: walks the sequence along what was done."""
        position, retried = 0, False
        for execution in history:
            ahead = [i for i in range(position, len(self.steps)) if self._matches(i, execution)]
            if not ahead or _is_overview(execution):
                continue
            again = execution.outcome in RETRYABLE and not retried
            retried = again
            position = ahead[0] if again else ahead[0] + 1
        return position

    def _matches(self, index: int, execution: ProbeExecution) -> bool:
        primitive, pad = self.steps[index]
        return primitive is execution.primitive and (primitive is not Primitive.DWELL or pad == execution.pad_index)


class RecordedStrategy:
    """Asks for the probes of a recording again, whatever chose them: only what answers them counts.

    Args:
        probes: part -> primitive and pad of each of its probes, in their order.
    """

    def __init__(self, probes: Mapping[str, Sequence[tuple[Primitive, int]]]) -> None:
        self.probes = probes

    def next(self, state: ProbingState) -> ProbeGoal | None:
        """See `Strategy`."""
        left = self.probes.get(state.part_id, ())[len(state.history) :]
        return ProbeGoal(left[0][0], pad_index=left[0][1]) if left else None


def _is_overview(execution: ProbeExecution) -> bool:
    return execution.primitive is Primitive.LOOK and not any(execution.contact_point_m)


def _step(name: str) -> tuple[Primitive, int]:
    pads = {"dwell": 1, "dwell0": 0, "dwell1": 1}
    if name in pads:
        return Primitive.DWELL, pads[name]
    known = [p.name.lower() for p in Primitive if p is not Primitive.PLACE]
    if name not in known:
        raise ConfigError(f"unknown probe '{name}'; known are {', '.join([*known, 'dwell0', 'dwell1'])}")
    return Primitive[name.upper()], 0
