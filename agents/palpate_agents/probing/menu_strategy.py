"""Strategies over the menu on one real part: from what the agent knows to its state, and from an item to a goal."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from palpate_agents.observation import Outcome, Primitive, ProbeExecution, ProbeGoal
from palpate_agents.probing.decoder import SeenPart, decode, goal_of
from palpate_agents.probing.items import ItemStrategy, Options
from palpate_agents.probing.menu import MENU, NAMES, actions
from palpate_agents.probing.part_state import TREATMENTS, PartStates, ProbeLog, Reader
from palpate_agents.probing.policy_input import FLOOR_NATS
from palpate_agents.probing.spot_quality import level_ground
from palpate_agents.probing.strategy import MOVED, OVERVIEW, ProbingState
from palpate_agents.segmentation import PartView

SAME_PLACE_M = 0.004
"""A probe so near to the last wiped or scratched place was meant for it."""
MOST_LOOKS = 2
"""For a part before it is given up as not there."""
WORKED = (Outcome.SUCCEEDED, Outcome.FORCE_LIMIT)


class MenuStrategy:
    """Any strategy over the menu as the agent's strategy.

    The part is found by an overview first, and looked at anew after a failed grasp. When parts touch, when the deadline
    is over, or when the hand holds the part, it stops.

    Args:
        items: the strategy.
        reader: of surfaces.
        deadline_s: of the cell's time since the part was presented; then it is given up.
    """

    def __init__(self, items: ItemStrategy, reader: Reader, deadline_s: float) -> None:
        self.items, self.reader, self.deadline_s = items, reader, deadline_s

    def next(self, state: ProbingState) -> ProbeGoal | None:
        """See `Strategy`."""
        view, history = state.context.view, state.history
        if view is None or not view.found or state.context.surface is None:
            looks = sum(e.primitive is Primitive.LOOK for e in history)
            return OVERVIEW if looks < MOST_LOOKS else None
        if view.touching or state.elapsed_s >= self.deadline_s:
            return None
        if history and history[-1].outcome in MOVED:
            return OVERVIEW
        if any(e.primitive is Primitive.LIFT and e.outcome is Outcome.SUCCEEDED for e in history):
            return None
        states = states_of(state, self.reader, self.deadline_s)
        options = Options.of(states)
        if not view.graspable:
            options.allowed[:, NAMES.index("lift")] = False
        chosen = self.items.choose(options)
        return goal_of(decode(actions(states, options.spots, chosen).astype(np.float32), states.part), 0, view)


def states_of(state: ProbingState, reader: Reader, deadline_s: float) -> PartStates:
    """The agent's one part as `PartStates` of n = 1.

    Args:
        state: with a part that was found and whose surface was seen.
        reader: of surfaces.
        deadline_s: see `PartStates`.
    """
    view, surface = state.context.view, state.context.surface
    assert view is not None
    assert surface is not None
    belief = state.belief
    maps, extent = surface.values[None], np.array([view.extent_m], float)
    part = SeenPart(maps, extent, level_ground(maps, extent))
    # As float32 on both sides; a probability that underflowed is as small as the policy can tell.
    logs = np.log(np.maximum(belief.probabilities, math.exp(-2.0 * FLOOR_NATS)))[None].astype(np.float32)
    return PartStates(
        logs, belief.state[None], belief.condition_probabilities[None], part,
        reader.covers(maps, extent), log_of(view, state.history, state.goals), np.array([state.elapsed_s]), deadline_s,
        np.zeros(1, bool),
    )  # fmt: skip


def log_of(view: PartView, history: Sequence[ProbeExecution], goals: Sequence[ProbeGoal | None]) -> ProbeLog:
    """What was done to a part, in the frame in which it is seen now; looks at no point are not probes of the menu.

    Args:
        view: of the part.
        history: executions, oldest first.
        goals: what was asked for each.
    """
    log = ProbeLog(1)
    rows = np.zeros(1, np.int64)
    for execution, goal in zip(history, goals, strict=True):
        if goal is None or goal == OVERVIEW:
            continue
        place = _seen_frame(view, execution, goal)
        item = _item_of(goal, place, log)
        log.add(rows, item, int(execution.primitive), place, execution.outcome in WORKED)
    return log


def _seen_frame(view: PartView, execution: ProbeExecution, goal: ProbeGoal) -> NDArray[np.float64]:
    """(2,) middle of a touch or of its way."""
    at = np.array(execution.contact_point_m if execution.contact_time_ns > 0 else goal.target_m)[:2]
    if goal.slide_distance_m > 0.0:
        angle = goal.slide_angle_rad
        at = at + 0.5 * goal.slide_distance_m * np.array([math.cos(angle), math.sin(angle)])
    x, y = at - np.array(view.centroid_m[:2])
    cos, sin = math.cos(view.yaw_rad), math.sin(view.yaw_rad)
    return np.array([cos * x + sin * y, cos * y - sin * x])


def _item_of(goal: ProbeGoal, place_m: NDArray[np.float64], log: ProbeLog) -> int:
    """The item that a goal was decoded from: of its kind, on or off a treated place, of the nearest settings."""
    known, treated, _ = log.newest(TREATMENTS)
    on_treated = bool(known[0]) and float(np.linalg.norm(treated[0] - place_m)) < SAME_PLACE_M
    best, least = -1, math.inf
    for number, item in enumerate(MENU):
        if item.primitive is not goal.primitive:
            continue
        apart = 10.0 * ((item.spot == "treated") != on_treated) + _apart(dict(item.settings), goal)
        if apart < least:
            best, least = number, apart
    return best


def _apart(settings: dict[str, float], goal: ProbeGoal) -> float:
    """How far a goal is from an item's settings, each in units of itself."""
    given = {
        "standoff_m": goal.standoff_m, "speed_m_s": goal.speed_m_s, "dwell_s": goal.dwell_s,
        "force_n": goal.force_n, "slide_m": goal.slide_distance_m, "pad_index": float(goal.pad_index),
    }  # fmt: skip
    return sum(abs(given[name] - value) / max(abs(value), 1e-6) for name, value in settings.items() if name in given)
