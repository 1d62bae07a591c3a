"""An arm over a springy plane, without a simulator: the other side of the motion's generators in tests."""

from __future__ import annotations

import numpy as np

from palpate_agents.observation import Frame, ProbeExecution, ProbeGoal
from palpate_sim.executor import Executor
from palpate_sim.motion import PERIOD_S, ArmState, Motion, MotionLimits
from palpate_sim.planning import HOME, Planner

GRAVITY_M_S2 = 9.81
PLANNER = Planner()


class SpringArm:
    """First-order joints, a plane of given height and stiffness under the tips, and a rigid tool of the true mass.

    The end of the fibre is rigid, and so is everything below `core_m`; `hanging_n` hangs on the tool.
    """

    def __init__(self, surface_m=0.03, stiffness_n_m=5e4, noise_n=0.01, limits=None, part_width_m=0.0, core_m=-1.0):
        self.motion = Motion(PLANNER, limits or MotionLimits())
        self.executor = Executor(self.motion)
        self.surface_m, self.stiffness_n_m, self.noise_n = surface_m, stiffness_n_m, noise_n
        self.part_width_m = part_width_m
        self.core_m, self.hanging_n = core_m, 0.0
        self.rng = np.random.default_rng(0)
        self.q = HOME.copy()
        self.width = 0.08
        self.time_ns = 1_000_000_000
        self.peak_n = self.depth_m = 0.0
        self.commands = []
        self.positions = []
        self._velocity = np.zeros(3)
        self._origin = None

    def _step(self):
        command = self.motion.command
        self.commands.append(command.q.copy())
        self.q = self.q + 0.8 * (command.q - self.q)
        target = command.finger_width_m
        self.width += float(np.clip(target - self.width, -1e-4, 1e-4))
        if target < self.part_width_m:
            self.width = max(self.width, self.part_width_m)
        sensor = PLANNER.sensor_chain.forward(self.q)
        origin = sensor[:3, 3]
        velocity = np.zeros(3) if self._origin is None else (origin - self._origin) / PERIOD_S
        acceleration = (velocity - self._velocity) / PERIOD_S
        self._origin, self._velocity = origin, velocity
        contact = np.zeros(3)
        for frame in (Frame.BALL_TIP, Frame.WARM_PAD_0, Frame.WARM_PAD_1, Frame.SCRAPER_TIP):
            tip = sensor[:3, :3] @ PLANNER.tool_in_sensor[frame][:3, 3] + origin
            depth = self.surface_m - float(tip[2])
            if depth > 0.0:
                limits = self.motion.limits
                pad = frame in (Frame.WARM_PAD_0, Frame.WARM_PAD_1)
                stiffest = limits.pad_stiffness_n_m if pad else limits.arm_stiffness_n_m
                hard = min(self.stiffness_n_m, stiffest) if pad else self.stiffness_n_m
                spring = limits.tip_spring_n_m if self.motion.tips_released else hard
                contact[2] += spring * depth + stiffest * max(self.core_m - float(tip[2]), 0.0)
                self.depth_m = max(self.depth_m, depth)
        fibre = sensor[:3, :3] @ PLANNER.tool_in_sensor[Frame.FIBRE][:3, 3] + origin
        contact[2] += self.motion.limits.arm_stiffness_n_m * max(self.surface_m - float(fibre[2]), 0.0)
        self.peak_n = max(self.peak_n, float(contact[2]))
        weight = -PLANNER.tool_mass_kg * (acceleration + np.array([0.0, 0.0, GRAVITY_M_S2]))
        weight[2] -= self.hanging_n
        force = sensor[:3, :3].T @ (weight + contact) + self.noise_n * self.rng.standard_normal(3)
        self.time_ns += 1_000_000
        self.positions.append(sensor[:3, 3])
        tapped = self.motion.tap_armed and contact[2] > 0.0
        state = ArmState(self.time_ns, self.q.copy(), np.concatenate([force, np.zeros(3)]), self.width, tapped)
        self.executor.tick(state)

    def run(self, goal: ProbeGoal, watch=None, limit_s=30.0) -> ProbeExecution:
        """Run one probe; `watch(arm)` is called every period."""
        self.executor.start(goal)
        for _ in range(round(limit_s / PERIOD_S)):
            self._step()
            if self.executor.finished is not None:
                return self.executor.finished
            if watch is not None:
                watch(self)
        raise AssertionError(f"the probe did not end within {limit_s} s; phase {self.motion.phase}")
