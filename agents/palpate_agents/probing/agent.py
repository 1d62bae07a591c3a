"""The agent that characterises one part after another: used unchanged in simulation, on the cell, and in replay.

agent = MaterialCharacterizationAgent(load_model(), FixedStrategy())
agent.reset(part_position)
while (goal := agent.next_goal()) is not None:
    execution, windows = ...          # the arm executes, the sensors' windows are cut
    belief = agent.observe(execution, windows)
signature = agent.signature()
"""

from __future__ import annotations

from palpate_agents.encoders.features import PartContext, extract
from palpate_agents.fusion import MultimodalFusionNetwork
from palpate_agents.observation import (
    MAX_PROBES,
    FloatArray,
    Primitive,
    ProbeExecution,
    ProbeFeatures,
    ProbeGoal,
    ProbeWindows,
)
from palpate_agents.probing.spots import SpotChooser
from palpate_agents.probing.strategy import ProbingState, Strategy
from palpate_agents.segmentation import region_around
from palpate_agents.signature import ABSTAIN_BELOW, Belief, Signature, compute_belief, compute_signature


class MaterialCharacterizationAgent:
    """Holds network and strategy, and of the current part its context, features and belief. No ROS, not thread-safe.

    Args:
        network: fusion model; its feature configuration is used for all features.
        strategy: chooses probes.
        table_height_m: z of the table in the base frame.
        search_half_m: half side of the square around the nominal place in which the part is searched.
        max_probes: at most so many probes per part, up to 10.
        abstain_below: least confidence for a decision.
    """

    def __init__(
        self, network: MultimodalFusionNetwork, strategy: Strategy, table_height_m: float = 0.0,
        search_half_m: float = 0.10, max_probes: int = MAX_PROBES, abstain_below: float = ABSTAIN_BELOW,
    ) -> None:  # fmt: skip
        self.network = network
        self.strategy = strategy
        self.table_height_m = table_height_m
        self.search_half_m = search_half_m
        self.max_probes = min(max_probes, MAX_PROBES)
        self.abstain_below = abstain_below
        self.reset((0.5, 0.0, table_height_m))

    def reset(self, position_m: tuple[float, float, float] | FloatArray, max_probes: int | None = None) -> Belief:
        """Forgets the last part; the next lies near `position_m` (base frame). Returns the prior belief."""
        self.context = PartContext(
            config=self.network.config.features,
            table_height_m=self.table_height_m,
            region=region_around(position_m, self.search_half_m),
        )
        self.probe_limit = min(max_probes or self.max_probes, MAX_PROBES)
        self.features: list[ProbeFeatures] = []
        self.belief = compute_belief(self.network, [])
        return self.belief

    @property
    def history(self) -> tuple[ProbeExecution, ...]:
        """Executions so far, oldest first."""
        return tuple(f.execution for f in self.features if f.execution is not None)

    def next_goal(self, elapsed_s: float = 0.0) -> ProbeGoal | None:
        """Next probe by the strategy; None when it stops or the limit of probes is reached."""
        if len(self.features) >= self.probe_limit:
            return None
        return self.strategy.next(ProbingState(self.context, self.belief, self.history, elapsed_s))

    def observe(self, execution: ProbeExecution, windows: ProbeWindows) -> Belief:
        """Takes in what a probe measured, and returns the belief that follows. Bad data lowers reliability only.

        Raises:
            ValueError: more than 10 probes on one part.
        """
        if len(self.features) >= MAX_PROBES:
            raise ValueError(f"this part already has {len(self.features)} probes, the limit is {MAX_PROBES}")
        self.context = self.context.after(execution, windows)
        self.features.append(extract(execution, windows, self.context))
        self.belief = compute_belief(self.network, self.features)
        return self.belief

    @property
    def problem(self) -> str:
        """What makes any answer void: no part seen, or parts that touch. Empty otherwise; only known after a look."""
        view = self.context.view
        if view is None:
            return ""
        if not view.found:
            return view.reason
        return view.reason if view.touching else ""

    def signature(self) -> Signature:
        """Result for the part from the belief so far."""
        return compute_signature(self.network, self.belief, self.problem, self.abstain_below)

    def place_goal(self, bin_name: str) -> ProbeGoal:
        """Goal that puts the part (grasped first unless a lift holds it) into a bin."""
        view = self.context.view
        if view is None or not view.found:
            x0, x1, y0, y1 = self.context.region
            return ProbeGoal(Primitive.PLACE, ((x0 + x1) / 2, (y0 + y1) / 2, self.table_height_m), bin=bin_name)
        return SpotChooser(view).grasp(Primitive.PLACE, bin_name)
