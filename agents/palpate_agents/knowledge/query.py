"""Finding facts by node, valid time and as-of time, without looking at the rest of a long history.

Facts whose interval has no end are walked newest first, in the order of an index, up to the limit. The others are
found through the nodes of `path_to` the time asked for (see `fork_node`): the work grows with what is found, not with
what was ever stored, whether a fact was corrected ten or a hundred thousand times.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from palpate_agents.knowledge.database import FACTS, KnowledgeError
from palpate_agents.knowledge.facts import Fact, decode_object, path_to

_C = FACTS.c
_COLUMNS = (
    _C.seq, _C.fact_id, _C.subject, _C.predicate, _C.kind, _C.object, _C.valid_from, _C.valid_to, _C.learnt_at,
    _C.superseded_at, _C.confidence, _C.source, _C.evidence, _C.supersedes,
)  # fmt: skip
_WALK = (_C.learnt_at.desc(), _C.seq.desc())
# The same order, but no index can serve it: keeps the planner from walking where it shall look nodes up.
_SORT = ((_C.learnt_at + 0).desc(), _C.seq.desc())


def find_facts(
    connection: Connection,
    where: Sequence[Any],
    *,
    valid_at: int | None,
    as_of: int | None,
    limit: int,
    superseded: bool = False,
) -> list[Fact]:
    """Facts that fulfil all of `where`, newest learnt first; the other arguments as in `history` of the graph."""
    if as_of is not None:
        where = [*where, _C.learnt_at <= as_of]
    if valid_at is not None:
        where = [*where, _C.valid_from <= valid_at, _C.valid_to > valid_at]
    if superseded:
        return select_facts(connection, [where], limit)
    # Disjoint alternatives: current and without end; current and holding at the time; superseded since.
    current = [*where, _C.span == 0]
    if valid_at is None:
        walked, looked_up = current, []
    else:
        walked = [*current, _C.valid_span == 0]
        looked_up = [[*current, _C.valid_span.in_(path_to(valid_at))]] if valid_at >= 0 else []
    if as_of is not None and as_of >= 0:
        looked_up.append([*where, _C.span.in_(path_to(as_of)), _C.superseded_at > as_of])
    return select_facts(connection, [walked], limit, looked_up)


def select_facts(
    connection: Connection, walked: Sequence[Sequence[Any]], limit: int | None = None, looked_up: Sequence[Any] = ()
) -> list[Fact]:
    """Facts that fulfil all conditions of one of the (disjoint) alternatives, newest learnt first."""
    selects = [sa.select(*_COLUMNS).where(*where).order_by(*_WALK).limit(limit) for where in walked]
    selects += [sa.select(*_COLUMNS).where(*where).order_by(*_SORT).limit(limit) for where in looked_up]
    query: Any = selects[0]
    if len(selects) > 1:
        query = sa.union_all(*(sa.select(part.subquery()) for part in selects))
        newest = [query.selected_columns[column.name].desc() for column in (_C.learnt_at, _C.seq)]
        query = query.order_by(*newest).limit(limit)
    return [_fact(row) for row in connection.execute(query).all()]


def _fact(row: Sequence[Any]) -> Fact:
    _, fact_id, subject, predicate, kind, text, valid_from, valid_to, learnt_at, superseded_at, *rest = row
    confidence, source, evidence, supersedes = rest
    return Fact(
        fact_id, subject, predicate, decode_object(kind, text), valid_from, valid_to, learnt_at, superseded_at,
        confidence, source, tuple(evidence.split("\n")) if evidence else (), supersedes,
    )  # fmt: skip


def one_fact(connection: Connection, fact_id: str) -> Fact:
    """The fact of this id.

    Raises:
        KnowledgeError: there is none.
    """
    found = select_facts(connection, [[_C.fact_id == fact_id]])
    if not found:
        raise KnowledgeError(f"there is no fact {fact_id!r}; ids come from history()")
    return found[0]
