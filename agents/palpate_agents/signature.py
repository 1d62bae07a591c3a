"""From fused probes to a belief, and from a belief to the signature that leaves the cell. Equal input, equal output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from palpate_agents.encoders.features import FEATURE_VERSION, mean_reliabilities
from palpate_agents.fusion import MultimodalFusionNetwork, TokenBatch
from palpate_agents.fusion_memory import FusionMemory
from palpate_agents.observation import Modality, ProbeFeatures

ABSTAIN_BELOW = 0.5
"""Confidence under which a part goes to the bin for unknowns."""
ONLY = torch.zeros(1, dtype=torch.int64)
"""Place of the only part of a memory."""
MIN_EVIDENCE = 0.05
"""Mean reliability under which a modality has told nothing."""


@dataclass(frozen=True)
class Belief:
    """Belief over materials after some probes.

    Attributes:
        labels: (L,) names; probabilities: (L,) float32, sum 1.
        label_set: name of the set of labels.
        probes: number of probes that went in.
        reliabilities: modality -> mean reliability over the probes that should have measured it, 0..1.
        property_names: units in the names; property_values, property_std: (K,) float32, one standard deviation.
        state: (512,) float32 fused state.
        gate: (E,) float32 weights of the experts.
        condition_names: what the part may be beside its material.
        condition_probabilities: (C,) float32, each for itself.
        novelty: probability, at even odds beforehand, that the part is of a formulation that is none of the labels.
        novelty_limit: what one known part in a hundred exceeds; 1 for a model that does not tell.
        contributions: modality -> nats by which it raises the log probability of `material`: what would be lost
            without it. Negative: it speaks against.
    """

    labels: tuple[str, ...]
    probabilities: NDArray[np.float32]
    label_set: str
    probes: int
    reliabilities: dict[Modality, float]
    property_names: tuple[str, ...]
    property_values: NDArray[np.float32]
    property_std: NDArray[np.float32]
    state: NDArray[np.float32]
    gate: NDArray[np.float32]
    condition_names: tuple[str, ...] = ()
    condition_probabilities: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    novelty: float = 0.0
    novelty_limit: float = 1.0
    contributions: dict[Modality, float] = field(default_factory=dict)

    @property
    def material(self) -> str:
        """Most probable label."""
        return self.labels[int(np.argmax(self.probabilities))]

    @property
    def confidence(self) -> float:
        """Probability of the most probable label."""
        return float(self.probabilities.max())

    @property
    def entropy_nats(self) -> float:
        """Entropy of the belief, nats."""
        p = np.asarray(self.probabilities, np.float64)
        return float(-np.sum(p * np.log(np.maximum(p, 1e-12))))

    def ranking(self, count: int = 3) -> list[tuple[str, float]]:
        """The most probable labels with their probabilities."""
        order = np.argsort(-self.probabilities, kind="stable")[:count]
        return [(self.labels[i], float(self.probabilities[i])) for i in order]


@dataclass(frozen=True)
class Signature:
    """The result for one part; fields as in `palpate_interfaces/MaterialSignature`."""

    material: str
    abstained: bool
    reason: str
    belief: Belief
    model_name: str
    model_hash: str
    feature_version: str = FEATURE_VERSION
    embedding: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))


def compute_belief(network: MultimodalFusionNetwork, probes: Sequence[ProbeFeatures]) -> Belief:
    """Fuses the probes so far (none: the prior).

    Raises:
        ConfigError: features of another configuration than the model's.
    """
    if network.training:
        network.eval()
    memory = FusionMemory(network, 1, max(1, len(probes)))
    for probe in probes:
        memory.add(TokenBatch.of([[probe]], network.config), ONLY)
    return belief_of(memory, probes)


def belief_of(memory: FusionMemory, probes: Sequence[ProbeFeatures]) -> Belief:
    """The belief about the one part whose encoded probes a memory keeps.

    Args:
        memory: of one part.
        probes: the same probes.
    """
    network = memory.network
    config = network.config
    with torch.inference_mode():
        out = network.decide(_with_each_left_out(memory.read(ONLY), memory.nothing))
    probabilities = np.exp(out.log_probabilities[0].double().numpy())
    answer = int(out.log_probabilities[0].argmax())
    lost = (out.log_probabilities[0, answer] - out.log_probabilities[1:, answer]).tolist()
    return Belief(
        labels=config.labels,
        probabilities=(probabilities / probabilities.sum()).astype(np.float32),
        label_set=config.label_set,
        probes=len(probes),
        reliabilities=mean_reliabilities(probes),
        property_names=config.properties,
        property_values=out.property_mean[0].numpy(),
        property_std=out.property_std[0].numpy(),
        state=out.state[0].numpy(),
        gate=out.gate[0].numpy(),
        condition_names=config.conditions,
        condition_probabilities=torch.sigmoid(out.condition_logit[0]).numpy(),
        novelty=float(torch.sigmoid(out.novelty_logit[0])) if config.novelty else 0.0,
        novelty_limit=float(network.novelty_limit),
        contributions={Modality(m): nats for m, nats in zip(config.modalities, lost, strict=False)},
    )


def _with_each_left_out(read: dict[str, Tensor], nothing: dict[str, Tensor]) -> dict[str, Tensor]:
    """From what is read of a part and of nothing: the part as it is, and once more without each modality."""
    rows = {m: one.repeat(1 + len(read), 1) for m, one in read.items()}
    for place, m in enumerate(read, start=1):
        rows[m][place] = nothing[m][0]
    return rows


def compute_signature(
    network: MultimodalFusionNetwork, belief: Belief, problem: str = "", abstain_below: float = ABSTAIN_BELOW,
    abstain_novel: bool = True,
) -> Signature:  # fmt: skip
    """Decides, or abstains with a reason.

    Args:
        network: gives name and hash of the model.
        belief: the last one.
        problem: what makes any answer void (no part, two parts that touch); empty when nothing does.
        abstain_below: least confidence for a decision.
        abstain_novel: whether a part that is unlike every label gets none.
    """
    reason = problem
    evidence = max((belief.reliabilities.get(Modality(m), 0.0) for m in network.config.modalities), default=0.0)
    if not reason and (belief.probes == 0 or evidence < MIN_EVIDENCE):
        reason = "no sensor gave usable data"
    if not reason and belief.confidence < abstain_below:
        (first, p), (second, q) = belief.ranking(2)
        reason = f"confidence {belief.confidence:.2f} is below {abstain_below:.2f}: {first} {p:.2f} or {second} {q:.2f}"
    if not reason and abstain_novel and belief.novelty > belief.novelty_limit:
        reason = (
            f"unlike every known material (novelty {belief.novelty:.2f}, limit {belief.novelty_limit:.2f}); "
            f"nearest is {belief.material}"
        )
    return Signature(
        material="" if reason else belief.material,
        abstained=bool(reason),
        reason=reason,
        belief=belief,
        model_name=network.name,
        model_hash=network.hash,
        embedding=belief.state,
    )
