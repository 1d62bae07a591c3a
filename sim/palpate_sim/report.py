"""What a probe has come to so far, and its final record."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np

from palpate_agents.observation import Outcome, Primitive, ProbeExecution, ProbeGoal
from palpate_sim.guarded import GuardedContact
from palpate_sim.motion import ArmCommand, ArmState
from palpate_sim.planning import Planner

Steps = Generator[ArmCommand, ArmState, None]

BEFORE_CONTACT_NS = 400_000_000
"""Free part of a window before the touch: it gives the tool's own weight."""


def reported_normal(goal: ProbeGoal) -> tuple[float, float, float]:
    """Unit normal by which a probe's forces are to be decomposed: that of a slide's surface, else the approach.

    A slide keeps to its surface however the tool is tilted; seen normals are off by degrees, which would be friction.
    """
    normal = np.asarray(goal.normal, float)
    size = float(np.linalg.norm(normal))
    unit = normal / size if np.isfinite(size) and size > 0 else np.array([0.0, 0.0, 1.0])
    if goal.primitive is Primitive.SLIDE:
        unit = Planner.surface_normal(unit)
    return float(unit[0]), float(unit[1]), float(unit[2])


@dataclass
class Report:
    """A `ProbeExecution` in the making (stamps 0 where nothing happened yet)."""

    goal: ProbeGoal
    outcome: Outcome = Outcome.SUCCEEDED
    message: str = ""
    window_start_ns: int = 0
    window_end_ns: int = 0
    contact: GuardedContact | None = None
    contact_time_ns: int = 0
    speed_m_s: float = 0.0
    slide_distance_m: float = 0.0
    dwell_s: float = 0.0
    pad_area_m2: float = 0.0

    def fail(self, outcome: Outcome, message: str) -> Report:
        """Mark as not succeeded."""
        self.outcome, self.message = outcome, message
        return self

    def touched(self) -> None:
        """Begin the window at the free part before the touch."""
        assert self.contact is not None
        self.contact_time_ns = self.contact.contact_time_ns
        self.window_start_ns = max(self.contact.steady_time_ns, self.contact_time_ns - BEFORE_CONTACT_NS)

    def execution(self) -> ProbeExecution:
        """The finished record."""
        point = self.goal.target_m
        if self.contact is not None and self.contact.contact_q is not None:
            pose = self.contact.motion.planner.ik[self.contact.frame].chain.forward(self.contact.contact_q)
            point = (float(pose[0, 3]), float(pose[1, 3]), float(pose[2, 3]))
        return ProbeExecution(
            primitive=self.goal.primitive,
            outcome=self.outcome,
            window_start_ns=self.window_start_ns,
            window_end_ns=self.window_end_ns,
            contact_time_ns=self.contact_time_ns,
            contact_point_m=point,
            contact_normal=reported_normal(self.goal),
            speed_m_s=self.speed_m_s,
            slide_distance_m=self.slide_distance_m,
            dwell_s=self.dwell_s,
            max_force_n=0.0 if self.contact is None else self.contact.max_force_n,
            pad_index=self.goal.pad_index,
            pad_contact_area_m2=self.pad_area_m2,
            message=self.message,
        )
