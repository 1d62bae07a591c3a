"""Adding and superseding facts inside one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from palpate_agents.knowledge.database import FACTS, KnowledgeError
from palpate_agents.knowledge.facts import FOREVER, MAX_KEY, Fact, Statement, encode_object, fact_id_of, fork_node
from palpate_agents.knowledge.query import one_fact, select_facts

_C = FACTS.c


class Writer:
    """What one write transaction can do."""

    def __init__(self, connection: Connection):
        self.connection = connection

    def insert(self, facts: Sequence[Fact]) -> None:
        """Add facts; those already there (same id) are left as they are."""
        known: set[str] = set()
        for i in range(0, len(facts), 500):
            ids = [fact.fact_id for fact in facts[i : i + 500]]
            known.update(self.connection.scalars(sa.select(_C.fact_id).where(_C.fact_id.in_(ids))))
        rows = {fact.fact_id: _row(fact) for fact in facts if fact.fact_id not in known}
        if rows:
            self.connection.execute(sa.insert(FACTS), list(rows.values()))

    def live(self, subject: str, predicate: str | None = None) -> list[Fact]:
        """All facts about a node that are current, newest first."""
        where = [_C.subject == subject, _C.span == 0] + ([] if predicate is None else [_C.predicate == predicate])
        return select_facts(self.connection, [where])

    def knows(self, fact_id: str) -> bool:
        """True when this fact is stored, superseded or not."""
        return self.connection.scalar(sa.select(_C.seq).where(_C.fact_id == fact_id)) is not None

    def current(self, fact_id: str) -> Fact:
        """A fact that nothing has superseded."""
        fact = one_fact(self.connection, fact_id)
        if not fact.current:
            raise KnowledgeError(
                f"fact {fact_id} was superseded at {fact.superseded_at} ns; correct the fact that took its place"
            )
        return fact

    def supersede(self, fact: Fact, at: int) -> int:
        """Close a current fact at this time, ns, which is returned."""
        if not fact.learnt_at < at < FOREVER:
            raise KnowledgeError(
                f"fact {fact.fact_id} was learnt at {fact.learnt_at} ns and cannot be superseded at {at} ns; "
                "give a later time"
            )
        changed = self.connection.execute(
            sa.update(FACTS)
            .where(_C.fact_id == fact.fact_id, _C.span == 0)
            .values(superseded_at=at, span=fork_node(fact.learnt_at, at))
        )
        if changed.rowcount != 1:
            raise KnowledgeError(f"fact {fact.fact_id} was superseded by another writer; read it again")
        return at

    def correct(self, fact: Fact, at: int, changes: dict[str, Any]) -> Fact:
        """Close a fact at this time, ns, and put a changed one in its place."""
        self.supersede(fact, at)
        old = Statement(*(getattr(fact, name) for name in Statement._fields))
        new = new_fact(old._replace(**changes), at, supersedes=fact.fact_id)
        self.insert([new])
        return new


def new_fact(statement: Statement, learnt_at: int, supersedes: str = "") -> Fact:
    """A current fact, checked.

    Raises:
        KnowledgeError: an empty or overlong name, an empty interval, a time or confidence out of range, no JSON.
    """
    subject, predicate, _, valid_from, valid_to, confidence, source, evidence = statement
    for name, text, limit in (("subject", subject, MAX_KEY), ("predicate", predicate, MAX_KEY // 2)):
        if not 0 < len(text) <= limit:
            raise KnowledgeError(f"{name} of a fact is {text[:40]!r} ({len(text)} characters), must have 1 to {limit}")
    if len(source) > MAX_KEY:
        raise KnowledgeError(f"source of a fact has {len(source)} characters, at most {MAX_KEY} fit")
    if not 0 <= valid_from < valid_to <= FOREVER:
        raise KnowledgeError(f"a fact cannot hold from {valid_from} to {valid_to} ns; the start must be >= 0 and first")
    if not 0 <= learnt_at < FOREVER:
        raise KnowledgeError(f"a fact cannot be learnt at {learnt_at} ns; must be >= 0")
    if not 0.0 <= confidence <= 1.0:
        raise KnowledgeError(f"confidence of a fact is {confidence}, must be within 0..1")
    if any("\n" in item for item in evidence):
        raise KnowledgeError("an item of evidence contains a line break; give one item per piece of evidence")
    statement = statement._replace(confidence=float(confidence), evidence=tuple(evidence), subject=str(subject))
    try:
        fact_id = fact_id_of(statement, learnt_at, supersedes)
    except ValueError as error:
        raise KnowledgeError(f"object of fact {subject} {predicate} cannot be stored as JSON: {error}") from error
    return Fact(fact_id, *statement[:5], learnt_at, FOREVER, statement.confidence, source, statement.evidence,
                supersedes)  # fmt: skip


def _row(fact: Fact) -> dict[str, Any]:
    kind, text = encode_object(fact.object)
    row = fact._asdict()
    valid_span = 0 if fact.valid_to == FOREVER else fork_node(fact.valid_from, fact.valid_to)
    row.update(kind=kind, object=text, span=0, valid_span=valid_span, evidence="\n".join(fact.evidence))
    return row
