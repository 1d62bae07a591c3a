"""The agent that characterises one part: used unchanged in simulation, on the cell, and in replay.

agent = MaterialCharacterizationAgent(load_model(), make_strategy("fixed"), AgentSettings())
while (goal := agent.next_goal()) is not None:
    execution, windows = ...          # the arm executes, the sensors' windows are cut
    belief = agent.observe(execution, windows)
signature = agent.signature()
"""

from __future__ import annotations

from dataclasses import dataclass

from palpate_agents.encoders.features import PartContext, extract
from palpate_agents.errors import ConfigError
from palpate_agents.fusion import MultimodalFusionNetwork, TokenBatch
from palpate_agents.fusion_memory import FusionMemory
from palpate_agents.materials import ABSTAIN_BIN, MATERIALS, bin_of
from palpate_agents.observation import (
    MAX_PROBES,
    Modality,
    Outcome,
    Primitive,
    ProbeExecution,
    ProbeFeatures,
    ProbeGoal,
    ProbeWindows,
)
from palpate_agents.probing.sensor_watch import SensorWatch, newest_reasons, with_faults
from palpate_agents.probing.spots import SpotChooser
from palpate_agents.probing.strategy import ProbingState, Strategy
from palpate_agents.segmentation import region_around
from palpate_agents.signature import ABSTAIN_BELOW, ONLY, Belief, Signature, belief_of, compute_signature

UNKNOWN_BIN = "other"
"""For labels of a model that are not in the catalogue."""


@dataclass(frozen=True)
class AgentSettings:
    """What does not depend on the strategy: one stop rule for all of them.

    Attributes:
        confidence: stop when the most probable label has at least this probability (1: practically never).
        min_probes: never stop for confidence before so many probes.
        max_probes: at most so many probes on a part, 1 to 10.
        abstain_below: least confidence for a decision.
        abstain_novel: whether a part that is unlike every label of the model gets none.
        table_height_m: z of the table in the base frame.
        search_half_m: half side of the square around the nominal place in which the part is searched.
    """

    confidence: float = 0.97
    min_probes: int = 2
    max_probes: int = MAX_PROBES
    abstain_below: float = ABSTAIN_BELOW
    abstain_novel: bool = True
    table_height_m: float = 0.0
    search_half_m: float = 0.10

    def __post_init__(self) -> None:
        if not 1 <= self.max_probes <= MAX_PROBES:
            raise ConfigError(f"max_probes is {self.max_probes}, allowed are 1 to {MAX_PROBES}")
        for name in ("confidence", "abstain_below"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ConfigError(f"{name} is {getattr(self, name)}, it is a probability from 0 to 1")


class MaterialCharacterizationAgent:
    """Holds network, strategy, and of one part its context, observations and belief. No ROS, not thread-safe.

    Args:
        network: fusion model; its feature configuration is used for all features.
        strategy: chooses probes.
        settings: stop rule and geometry.
        nominal_position_m: (3,) where the part should lie, base frame; None: the middle of the cell.
    """

    def __init__(
        self, network: MultimodalFusionNetwork, strategy: Strategy, settings: AgentSettings | None = None,
        nominal_position_m: tuple[float, float, float] | None = None,
    ) -> None:  # fmt: skip
        self.network = network.eval()
        self.strategy = strategy
        self.settings = settings or AgentSettings()
        self._watch = SensorWatch()
        self._memory = FusionMemory(self.network, 1)
        self.reset(nominal_position_m)

    def reset(self, nominal_position_m: tuple[float, float, float] | None = None, part_id: str = "") -> Belief:
        """Forgets the last part; returns the prior belief."""
        self.part_id = part_id
        self.context = PartContext(
            config=self.network.config.features,
            table_height_m=self.settings.table_height_m,
            region=region_around(nominal_position_m or (0.5, 0.0, 0.0), self.settings.search_half_m),
        )
        self.observations: list[ProbeFeatures] = []
        self.goals: list[ProbeGoal | None] = []
        self._asked: ProbeGoal | None = None
        self._memory.forget(ONLY)
        self.belief = belief_of(self._memory, [])
        return self.belief

    @property
    def history(self) -> tuple[ProbeExecution, ...]:
        """Executions so far, oldest first."""
        return tuple(o.execution for o in self.observations if o.execution is not None)

    def next_goal(self, elapsed_s: float = 0.0) -> ProbeGoal | None:
        """Next probe; None when the belief is sure, the limit of probes is reached, or the strategy stops."""
        done = len(self.observations)
        sure = done >= self.settings.min_probes and self.belief.confidence >= self.settings.confidence
        self._asked = None
        if not sure and done < self.settings.max_probes:
            state = ProbingState(self.context, self.belief, self.history, tuple(self.goals), elapsed_s, self.part_id)
            self._asked = self.strategy.next(state)
        return self._asked

    def observe(self, execution: ProbeExecution, windows: ProbeWindows) -> Belief:
        """Takes in what a probe measured, and returns the belief that follows. Bad data lowers reliability only.

        Raises:
            ValueError: more than 10 probes on one part.
        """
        if len(self.observations) >= MAX_PROBES:
            raise ValueError(f"this part already has {len(self.observations)} probes, the limit is {MAX_PROBES}")
        windows, faults = self._watch.check(execution, windows)
        self.context = self.context.after(execution, windows)
        self.observations.append(with_faults(extract(execution, windows, self.context), faults))
        self.goals.append(self._asked)
        self._memory.add(TokenBatch.of([self.observations[-1:]], self.network.config), ONLY)
        self.belief = belief_of(self._memory, self.observations)
        return self.belief

    @property
    def reasons(self) -> dict[Modality, str]:
        """Per modality the newest reason why it is not fully reliable; empty where it is."""
        return newest_reasons(self.observations)

    @property
    def problem(self) -> str:
        """What makes any answer void: no part seen, or parts that touch. Empty otherwise; only known after a look.

        A model that does not see (measured spectra without pictures) needs no picture of the part.
        """
        view = self.context.view
        if Modality.VISUAL.value not in self.network.config.modalities:
            return ""
        if view is None or (view.found and not view.touching):
            return ""
        return view.reason

    @property
    def holding(self) -> bool:
        """The last probe was a lift that succeeded: the part is in the hand."""
        history = self.history
        return bool(history) and history[-1].primitive is Primitive.LIFT and history[-1].outcome is Outcome.SUCCEEDED

    def signature(self) -> Signature:
        """Result for the part from the belief so far."""
        limits = self.settings
        return compute_signature(
            self.network, self.belief, self.problem, limits.abstain_below, abstain_novel=limits.abstain_novel
        )

    def place_goal(self) -> ProbeGoal:
        """Goal that puts the part (grasped first, unless a lift holds it) into the bin of its signature."""
        signature = self.signature()
        if signature.abstained:
            name = ABSTAIN_BIN
        else:
            name = bin_of(signature.material) if signature.material in MATERIALS else UNKNOWN_BIN
        view = self.context.view
        if view is None or not view.found:
            x0, x1, y0, y1 = self.context.region
            middle = ((x0 + x1) / 2, (y0 + y1) / 2, self.settings.table_height_m)
            return ProbeGoal(Primitive.PLACE, middle, bin=name)
        return SpotChooser(view).grasp(Primitive.PLACE, name)
