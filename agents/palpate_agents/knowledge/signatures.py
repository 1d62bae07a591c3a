"""From a part's signature, or a report that it failed, to facts about part, session, material and lot.

An estimate of a material (or lot) is one fact per property, `{"mean", "std", "n"}` over the parts identified as it,
which each further part supersedes: asking `as_of` a time gives what was known then. When a part turns out to be
something else, its share is taken out again (Welford's update, run backwards).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

from palpate_agents.knowledge.database import KnowledgeError
from palpate_agents.knowledge.facts import Fact, Node, Statement, digest, part_node
from palpate_agents.knowledge.writer import Writer, new_fact
from palpate_agents.observation import ProbeExecution

PROPERTY = "property/"
"""Predicates of a part's measured properties: this and the property's name, which ends in its unit."""
ESTIMATE = "estimate/"
"""Predicates of what is known of a material or lot: this and the property's name."""
CONDITION = "condition/"
"""Predicates of what a part may be beside its material: this and the condition's name."""
NOVELTY = "novelty"
"""Predicate of how unlike every known material a part is, with the limit of the model."""
MODEL = "model:"
"""Beginning of the source of all that a model said; what a person reported has another one."""

Shares = dict[str, dict[str, float]]
"""Node of a material or lot -> property -> the value that one part contributes to its estimate."""


class SignatureLike(Protocol):
    """The fields of `palpate_interfaces/MaterialSignature` that are stored."""

    session_id: str
    part_id: str
    material: str
    abstained: bool
    reason: str
    confidence: float
    label_set: str
    labels: Sequence[str]
    probabilities: Sequence[float]
    property_names: Sequence[str]
    property_values: Sequence[float]
    property_std: Sequence[float]
    condition_names: Sequence[str]
    condition_probabilities: Sequence[float]
    novelty: float
    novelty_limit: float
    probes: int
    model_name: str
    model_hash: str
    feature_version: str


def store_signature(
    writer: Writer,
    signature: SignatureLike,
    stamp_ns: int,
    lot: str,
    executions: Sequence[ProbeExecution],
    learnt_at: int,
) -> list[Fact]:
    """See `TemporalKnowledgeGraph.add_signature`."""
    part = part_node(signature.session_id, signature.part_id)
    identity = digest(["signature", part, stamp_ns, signature.model_hash, signature.feature_version])
    if writer.knows(identity):
        return []
    before = writer.live(part)
    reported = any(fact.predicate == "identified_as" and not fact.source.startswith(MODEL) for fact in before)
    now = max([learnt_at, *(fact.learnt_at + 1 for fact in before)])
    for fact in before:
        if fact.source.startswith(MODEL):
            writer.supersede(fact, now)
    facts = [new_fact(_signature(part, signature, stamp_ns), now)._replace(fact_id=identity)]
    statements = _about_part(part, signature, stamp_ns, lot, executions)
    facts += [new_fact(s, now) for s in statements if not (reported and s.predicate in _VERDICTS)]
    facts += [new_fact(s, now) for s in _about_session(writer, signature, stamp_ns)]
    writer.insert(facts)
    kept = [fact for fact in before if not fact.source.startswith(MODEL)]
    return facts + _update_estimates(writer, part, _shares(before), _shares(kept + facts), stamp_ns, now)


def report_failure(
    writer: Writer,
    session_id: str,
    part_id: str,
    failure: str,
    true_material: str,
    details: str,
    source: str,
    learnt_at: int,
) -> list[Fact]:
    """See `TemporalKnowledgeGraph.report_failure`."""
    if source.startswith(MODEL):
        raise KnowledgeError(f"the source of a report is {source!r}; {MODEL!r} is kept for what models say")
    part = part_node(session_id, part_id)
    before = writer.live(part)
    if not before:
        raise KnowledgeError(f"nothing is known of {part}; check session and part id")
    now = max([learnt_at, *(fact.learnt_at + 1 for fact in before)])
    report = {"failure": failure, "details": details, "true_material": true_material}
    facts = [new_fact(Statement(part, "failed", report, valid_from=now, source=source), now)]
    writer.insert(facts)
    if not true_material:
        return facts
    truth = Node(f"material:{true_material}")
    verdicts = [fact for fact in before if fact.predicate in _VERDICTS]
    since = min((fact.valid_from for fact in verdicts), default=0)
    for fact in verdicts:
        writer.supersede(fact, now)
    statement = Statement(part, "identified_as", truth, valid_from=since, source=source)
    facts.append(new_fact(statement, now, supersedes=verdicts[0].fact_id if verdicts else ""))
    writer.insert(facts[-1:])
    kept = [fact for fact in before if fact not in verdicts]
    return facts + _update_estimates(writer, part, _shares(before), _shares(kept + facts), since, now)


_VERDICTS = ("identified_as", "not_identified")


def _source(signature: SignatureLike) -> str:
    return f"{MODEL}{signature.model_name}@{signature.model_hash[:12]}"


def _signature(part: Node, signature: SignatureLike, stamp_ns: int) -> Statement:
    result = {
        "material": signature.material,
        "abstained": bool(signature.abstained),
        "reason": signature.reason,
        "label_set": signature.label_set,
        "labels": [str(label) for label in signature.labels],
        "probabilities": [float(p) for p in signature.probabilities],
        "probes": int(signature.probes),
        "model_name": signature.model_name,
        "model_hash": signature.model_hash,
        "feature_version": signature.feature_version,
    }
    confidence = float(signature.confidence)
    return Statement(part, "signature", result, stamp_ns, confidence=confidence, source=_source(signature))


def _about_part(
    part: Node, signature: SignatureLike, stamp_ns: int, lot: str, executions: Sequence[ProbeExecution]
) -> list[Statement]:
    source, confidence = _source(signature), float(signature.confidence)
    evidence = tuple(f"{signature.session_id}/{signature.part_id}/{i}" for i in range(int(signature.probes)))
    if signature.abstained:
        verdict = Statement(part, "not_identified", signature.reason or "confidence below the threshold")
    else:
        verdict = Statement(part, "identified_as", Node(f"material:{signature.material}"))
    about = [
        verdict._replace(confidence=confidence, evidence=evidence),
        Statement(part, "characterised_in", Node(f"session:{signature.session_id}")),
    ]
    if lot:
        about.append(Statement(part, "from_lot", Node(f"lot:{lot}")))
    names, values, stds = signature.property_names, signature.property_values, signature.property_std
    for name, value, std in zip(names, values, stds, strict=True):
        if math.isfinite(value):
            measured = {"value": float(value), "std": float(std) if math.isfinite(std) else None}
            about.append(Statement(part, f"{PROPERTY}{name}", measured, evidence=evidence))
    for name, share in zip(signature.condition_names, signature.condition_probabilities, strict=True):
        if math.isfinite(share):
            about.append(Statement(part, f"{CONDITION}{name}", {"probability": float(share)}, evidence=evidence))
    if 0.0 < signature.novelty_limit < 1.0:  # otherwise the model does not tell
        novelty = {"value": float(signature.novelty), "limit": float(signature.novelty_limit)}
        about.append(Statement(part, NOVELTY, novelty, evidence=evidence))
    for i, execution in enumerate(executions):
        done = {
            "primitive": execution.primitive.name,
            "outcome": execution.outcome.name,
            "max_force_n": float(execution.max_force_n),
            "contact_point_m": [float(x) for x in execution.contact_point_m],
        }
        about.append(Statement(part, f"probe/{i}", done, evidence=evidence[i : i + 1]))
    return [statement._replace(valid_from=stamp_ns, source=source) for statement in about]


def _about_session(writer: Writer, signature: SignatureLike, stamp_ns: int) -> list[Statement]:
    session, model = f"session:{signature.session_id}", Node(f"model:{signature.model_hash}")
    if any(fact.object == model for fact in writer.live(session, "used_model")):
        return []
    used = Statement(session, "used_model", model, stamp_ns, source=_source(signature))
    named = Statement(model, "named", signature.model_name, stamp_ns, source=_source(signature))
    return [used] if writer.live(model, "named") else [used, named]


def _shares(facts: Sequence[Fact]) -> Shares:
    """What a part in this state contributes, and to whom."""
    values = {f.predicate.removeprefix(PROPERTY): f.object["value"] for f in facts if f.predicate.startswith(PROPERTY)}
    shares: Shares = {}
    for fact in facts:
        if fact.predicate == "identified_as":
            sure = {"identification_confidence": fact.confidence} if fact.source.startswith(MODEL) else {}
            shares[fact.object] = {**values, **sure}
        elif fact.predicate == "from_lot":
            shares[fact.object] = values
    return shares


def _update_estimates(
    writer: Writer, part: Node, before: Shares, after: Shares, stamp_ns: int, learnt_at: int
) -> list[Fact]:
    """Take out what the part contributed before, put in what it contributes now."""
    new: list[Fact] = []
    for node in sorted({*before, *after}):
        old, now = before.get(node, {}), after.get(node, {})
        if old == now:
            continue
        estimates = {fact.predicate: fact for fact in writer.live(node) if fact.predicate.startswith(ESTIMATE)}
        for name in sorted({*old, *now}):
            estimate = estimates.get(ESTIMATE + name)
            value = _updated(estimate.object if estimate else None, old.get(name), now.get(name))
            at = learnt_at
            if estimate:
                at = writer.supersede(estimate, max(learnt_at, estimate.learnt_at + 1))
            if value is not None:
                since = min(stamp_ns, estimate.valid_from) if estimate else stamp_ns
                statement = Statement(node, ESTIMATE + name, value, since, source="knowledge", evidence=(str(part),))
                new.append(new_fact(statement, at, supersedes=estimate.fact_id if estimate else ""))
    writer.insert(new)
    return new


def _updated(estimate: dict[str, Any] | None, remove: float | None, add: float | None) -> dict[str, Any] | None:
    """`{"mean", "std", "n"}` without one value and with another; `None` when no value is left."""
    n, mean, m2 = 0, 0.0, 0.0
    if estimate is not None:
        n, mean = estimate["n"], estimate["mean"]
        m2 = (estimate["std"] or 0.0) ** 2 * (n - 1)
    if remove is not None:
        n -= 1
        rest = ((n + 1) * mean - remove) / n if n else 0.0
        m2 = max(0.0, m2 - (remove - mean) * (remove - rest)) if n else 0.0
        mean = rest
    if add is not None:
        n += 1
        step = add - mean
        mean += step / n
        m2 += step * (add - mean)
    if n == 0:
        return None
    return {"mean": mean, "std": math.sqrt(m2 / (n - 1)) if n > 1 else None, "n": n}
