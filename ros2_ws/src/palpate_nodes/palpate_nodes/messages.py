"""From what the agent thinks to the messages that say so."""

from __future__ import annotations

import array
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from palpate_agents.encoders.context import FeatureConfig
from palpate_agents.encoders.features import FEATURE_VERSION, feature_names
from palpate_agents.fusion import MultimodalFusionNetwork
from palpate_agents.observation import Modality, ProbeFeatures
from palpate_agents.signature import Belief, Signature
from palpate_interfaces import msg
from palpate_interfaces.action import CharacterizeMaterial
from palpate_nodes.topics import to_stamp


def _floats(values: np.ndarray) -> array.array:
    return array.array("f", np.ascontiguousarray(values, np.float32).tobytes())


def _modalities(network: MultimodalFusionNetwork) -> list[Modality]:
    return [Modality(name) for name in network.config.modalities]


def _conclusions(value: Belief, modalities: Sequence[Modality]) -> dict[str, Any]:
    """What belief and signature say alike: properties, condition, novelty, and what each modality did for it."""
    return {
        "property_names": list(value.property_names),
        "property_values": _floats(value.property_values),
        "property_std": _floats(value.property_std),
        "condition_names": list(value.condition_names),
        "condition_probabilities": _floats(value.condition_probabilities),
        "novelty": float(value.novelty),
        "novelty_limit": float(value.novelty_limit),
        "modalities": [m.value for m in modalities],
        "modality_reliabilities": [float(value.reliabilities.get(m, 0.0)) for m in modalities],
        "modality_contributions": [float(value.contributions.get(m, 0.0)) for m in modalities],
    }


def observation(features: ProbeFeatures, execution: msg.ProbeExecution, config: FeatureConfig) -> msg.ProbeObservation:
    """One probe as the agent saw it.

    Args:
        features: of the probe.
        execution: what the arm did.
        config: feature configuration of the model.
    """
    message = msg.ProbeObservation(
        session_id=execution.session_id,
        part_id=execution.part_id,
        index=execution.index,
        execution=execution,
        feature_version=FEATURE_VERSION,
    )
    message.header.stamp = execution.window_end
    message.header.frame_id = execution.header.frame_id
    names = feature_names(config)
    rows: list[np.ndarray] = []
    for modality in Modality:
        if modality not in features.values:
            continue
        message.modalities.append(modality.value)
        message.reliabilities.append(float(features.reliability.get(modality, 0.0)))
        message.reliability_reasons.append(features.reasons.get(modality, ""))
        message.feature_names.extend(f"{modality.value}/{name}" for name in names[modality])
        rows.append(np.asarray(features.values[modality], np.float32))
    message.features = _floats(np.concatenate(rows) if rows else np.zeros(0, np.float32))
    return message


def belief(
    value: Belief,
    reasons: Mapping[Modality, str],
    network: MultimodalFusionNetwork,
    goal: CharacterizeMaterial.Goal,
    stamp_ns: int,
) -> msg.MaterialBelief:
    """The belief after the probes so far.

    Args:
        value: the belief.
        reasons: modality -> why it is not fully reliable.
        network: what believes; says which modalities it reads.
        goal: names session and part.
        stamp_ns: end of the last window that went in.
    """
    modalities = _modalities(network)
    message = msg.MaterialBelief(
        session_id=goal.session_id,
        part_id=goal.part_id,
        probes=value.probes,
        label_set=value.label_set,
        labels=list(value.labels),
        probabilities=_floats(value.probabilities),
        entropy_nats=value.entropy_nats,
        **_conclusions(value, modalities),
        modality_reliability_reasons=[reasons.get(m, "") for m in modalities],
        model_hash=network.hash,
    )
    message.header.stamp = to_stamp(stamp_ns)
    return message


def signature(
    value: Signature, network: MultimodalFusionNetwork, goal: CharacterizeMaterial.Goal, stamp_ns: int
) -> msg.MaterialSignature:
    """The result for one part; stamped with the end of the last window that went in."""
    message = msg.MaterialSignature(
        session_id=goal.session_id,
        part_id=goal.part_id,
        material=value.material,
        abstained=value.abstained,
        reason=value.reason,
        confidence=value.belief.confidence,
        label_set=value.belief.label_set,
        labels=list(value.belief.labels),
        probabilities=_floats(value.belief.probabilities),
        **_conclusions(value.belief, _modalities(network)),
        embedding=_floats(value.embedding),
        probes=value.belief.probes,
        model_name=value.model_name,
        model_hash=value.model_hash,
        feature_version=value.feature_version,
    )
    message.header.stamp = to_stamp(stamp_ns)
    return message
