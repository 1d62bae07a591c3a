"""`TemporalKnowledgeGraph`: bitemporal facts and edges over any SQLAlchemy database."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, TypeVar

import sqlalchemy as sa

from palpate_agents.knowledge.database import FACTS, Database
from palpate_agents.knowledge.facts import FOREVER, Fact, Node, Statement
from palpate_agents.knowledge.query import find_facts, one_fact
from palpate_agents.knowledge.signatures import SignatureLike, report_failure, store_signature
from palpate_agents.knowledge.writer import Writer, new_fact
from palpate_agents.observation import ProbeExecution

DEFAULT_LIMIT = 1000
_C = FACTS.c
_T = TypeVar("_T")


class Neighbour(NamedTuple):
    """The node at the other end of an edge, and the fact that is the edge."""

    node: Node
    fact: Fact
    outgoing: bool


class TemporalKnowledgeGraph:
    """What was known, when it held, and when we learnt it. Facts are only added and superseded, never deleted.

    Every method is one transaction, safe from several threads and processes.

    Args:
        location: SQLite file (created when missing), or any SQLAlchemy URL.
        read_only: open an existing one without writing to it.
        busy_timeout_s: how long a write waits for another process's write, seconds.
        clock: nanoseconds now, for facts whose `learnt_at` is not given.

    Raises:
        KnowledgeError: the database is missing, foreign, of a newer schema, damaged, locked, read-only or full.
    """

    def __init__(
        self,
        location: str | Path,
        *,
        read_only: bool = False,
        busy_timeout_s: float = 10.0,
        clock: Callable[[], int] = time.time_ns,
    ):
        self._database = Database(location, read_only=read_only, busy_timeout_s=busy_timeout_s)
        self._clock = clock

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def __enter__(self) -> TemporalKnowledgeGraph:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    # -- learning ------------------------------------------------------------------------------------------------

    def add_fact(
        self,
        subject: str,
        predicate: str,
        object: Any,  # noqa: A002  (the field's word)
        *,
        valid_from: int = 0,
        valid_to: int | None = None,
        learnt_at: int | None = None,
        confidence: float = 1.0,
        source: str = "",
        evidence: Sequence[str] = (),
    ) -> Fact:
        """Learn one fact; see `Statement` for the arguments. The same one learnt at the same time is stored once."""
        end = FOREVER if valid_to is None else valid_to
        statement = Statement(subject, predicate, object, valid_from, end, confidence, source, tuple(evidence))
        return self.add_facts([statement], learnt_at=learnt_at)[0]

    def add_facts(self, statements: Iterable[Statement], *, learnt_at: int | None = None) -> list[Fact]:
        """Learn many facts in one transaction: all of them or none."""
        now = self._clock() if learnt_at is None else learnt_at
        facts = [new_fact(statement, now) for statement in statements]
        self._transact(lambda writer: writer.insert(facts))
        return facts

    def add_signature(
        self,
        signature: SignatureLike,
        *,
        stamp_ns: int,
        lot: str = "",
        executions: Sequence[ProbeExecution] = (),
        learnt_at: int | None = None,
    ) -> list[Fact]:
        """Learn the result for one part.

        Stores what the part was identified as (or that it was not), its properties, its probes, session, model and lot,
        and brings the estimates for its material and lot up to date. A later signature of the same part supersedes an
        earlier one; what a person reported about the part (`report_failure`) is not overruled.

        Args:
            signature: a `MaterialSignature` message or anything with the same fields.
            stamp_ns: its stamp, ns: from when on it holds.
            lot: formulation or production lot of the part, if known.
            executions: what the arm did, in order, if known.
            learnt_at: ns; now if not given.

        Returns:
            The facts that are new; empty when this signature (session, part, stamp, model) was stored before, even if
            it was superseded since: a replay changes nothing.
        """
        now = self._clock() if learnt_at is None else learnt_at
        return self._transact(lambda writer: store_signature(writer, signature, stamp_ns, lot, executions, now))

    def report_failure(
        self,
        session_id: str,
        part_id: str,
        failure: str,
        *,
        true_material: str = "",
        details: str = "",
        source: str = "report",
        learnt_at: int | None = None,
    ) -> list[Fact]:
        """A part failed; with `true_material`, its identification is corrected and both materials' estimates follow.

        Returns:
            The new facts, the report itself first.

        Raises:
            KnowledgeError: no signature of this part was ever stored.
        """
        now = self._clock() if learnt_at is None else learnt_at
        return self._transact(
            lambda writer: report_failure(writer, session_id, part_id, failure, true_material, details, source, now)
        )

    def correct(self, fact_id: str, *, learnt_at: int | None = None, **changes: Any) -> Fact:
        """Supersede a fact by one with some fields changed.

        Args:
            fact_id: a current fact.
            learnt_at: when we learnt better, ns, after the fact itself; now if not given.
            **changes: new values for fields of `Statement`, e.g. `object=`, `valid_to=`, `source=`.

        Raises:
            KnowledgeError: unknown or already superseded fact, or a time before the fact was learnt.
        """
        unknown = set(changes) - set(Statement._fields)
        if unknown:
            raise ValueError(f"a fact has no field {sorted(unknown)[0]!r}; fields are {', '.join(Statement._fields)}")

        def change(writer: Writer) -> Fact:
            fact = writer.current(fact_id)
            return writer.correct(fact, self._after(fact, learnt_at), changes)

        return self._transact(change)

    def retract(self, fact_id: str, *, reason: str, source: str = "", learnt_at: int | None = None) -> Fact:
        """Supersede a fact by nothing: we no longer hold it to be true.

        Returns:
            The fact `fact:ID retracted REASON` that remembers who did it and why.
        """

        def change(writer: Writer) -> Fact:
            fact = writer.current(fact_id)
            at = writer.supersede(fact, self._after(fact, learnt_at))
            trace = new_fact(Statement(f"fact:{fact_id}", "retracted", reason, source=source, valid_from=at), at)
            writer.insert([trace])
            return trace

        return self._transact(change)

    def _after(self, fact: Fact, learnt_at: int | None) -> int:
        """Time of a correction. A clock that stepped back since the fact was learnt does not keep us from it."""
        return max(self._clock(), fact.learnt_at + 1) if learnt_at is None else learnt_at

    def _transact(self, change: Callable[[Writer], _T]) -> _T:
        return self._database.transact(lambda connection: change(Writer(connection)))

    # -- asking --------------------------------------------------------------------------------------------------

    def history(
        self,
        subject: str,
        *,
        valid_at: int | None = None,
        as_of: int | None = None,
        predicate: str | None = None,
        limit: int = DEFAULT_LIMIT,
        superseded: bool = False,
    ) -> list[Fact]:
        """Facts about a node, newest learnt first.

        Args:
            subject: the node.
            valid_at: only facts that hold at this time, ns.
            as_of: the state of our knowledge at this time, ns: what was learnt by then and not superseded by then. Now
                if not given.
            predicate: only these.
            limit: at most this many, >= 1.
            superseded: also those that had been superseded by then (the audit trail).
        """
        where = [_C.subject == subject]
        if predicate is not None:
            where.append(_C.predicate == predicate)
        return self._select(where, valid_at, as_of, limit, superseded)

    def neighbours(
        self,
        node: str,
        *,
        predicate: str | None = None,
        outgoing: bool | None = None,
        valid_at: int | None = None,
        as_of: int | None = None,
        limit: int = DEFAULT_LIMIT,
    ) -> list[Neighbour]:
        """Nodes joined to this one, newest edge first; `outgoing` True, False, or None for both; times as `history`."""
        edges: list[Neighbour] = []
        extra = [_C.kind == "node"] + ([] if predicate is None else [_C.predicate == predicate])
        if outgoing is not False:
            facts = self._select([_C.subject == node, *extra], valid_at, as_of, limit)
            edges += [Neighbour(fact.object, fact, True) for fact in facts]
        if outgoing is not True:
            facts = self._select([_C.object == node, *extra], valid_at, as_of, limit)
            edges += [Neighbour(Node(fact.subject), fact, False) for fact in facts]
        edges.sort(key=lambda edge: -edge.fact.learnt_at)
        return edges[:limit]

    def fact(self, fact_id: str) -> Fact:
        """One fact by its id, superseded or not.

        Raises:
            KnowledgeError: there is none.
        """
        with self._database.reading() as connection:
            return one_fact(connection, fact_id)

    def __len__(self) -> int:
        """Number of facts, superseded ones included."""
        with self._database.reading() as connection:
            return connection.scalar(sa.select(sa.func.count()).select_from(FACTS)) or 0

    def _select(
        self, where: list[Any], valid_at: int | None, as_of: int | None, limit: int, superseded: bool = False
    ) -> list[Fact]:
        if limit < 1:
            raise ValueError(f"limit is {limit}, must be at least 1")
        with self._database.reading() as connection:
            return find_facts(connection, where, valid_at=valid_at, as_of=as_of, limit=limit, superseded=superseded)
