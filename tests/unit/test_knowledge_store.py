"""Facts, corrections, edges, and what the database itself refuses."""

from __future__ import annotations

import sqlite3
import subprocess
import sys

import pytest
import sqlalchemy as sa

from palpate_agents.knowledge import (
    FOREVER,
    KnowledgeError,
    Node,
    Statement,
    TemporalKnowledgeGraph,
    part_node,
    subject_of,
)


@pytest.fixture
def graph(tmp_path):
    with TemporalKnowledgeGraph(tmp_path / "k.sqlite") as graph:
        yield graph


def test_a_fact_comes_back_as_it_was_given(graph):
    value = {"mean": 0.1 + 0.2, "n": 3, "flags": [True, None, "Ü"]}
    given = graph.add_fact(
        "material:PP", "property/density_kg_m3", value, valid_from=5, valid_to=9, learnt_at=7, confidence=0.25,
        source="model:m", evidence=("s/p/0", "s/p/1"),
    )  # fmt: skip
    (found,) = graph.history("material:PP")
    assert found == given
    assert found.object == value
    assert (found.valid_from, found.valid_to, found.learnt_at, found.superseded_at) == (5, 9, 7, FOREVER)
    assert found.evidence == ("s/p/0", "s/p/1")
    assert found.current


def test_text_that_looks_like_json_or_a_node_stays_text(graph):
    for i, text in enumerate(["12", "null", "material:PP", ""]):
        graph.add_fact("part:s/p", f"note{i}", text, learnt_at=i)
    objects = [fact.object for fact in reversed(graph.history("part:s/p"))]
    assert objects == ["12", "null", "material:PP", ""]
    assert not any(isinstance(value, Node) for value in objects)
    assert graph.neighbours("material:PP") == []


def test_the_same_fact_learnt_at_the_same_time_is_stored_once(graph):
    statements = [Statement("lot:1", "made_of", Node("material:PP")), Statement("lot:1", "colour", "black")]
    first = graph.add_facts(statements * 2, learnt_at=3)
    second = graph.add_facts(statements, learnt_at=3)
    assert [fact.fact_id for fact in first[:2]] == [fact.fact_id for fact in second]
    assert len(graph) == 2
    graph.add_facts(statements, learnt_at=4)  # said again later: that is something else
    assert len(graph) == 4


def test_all_of_a_batch_or_nothing(graph):
    good, bad = Statement("a:b", "p", 1), Statement("a:b", "p", float("nan"))
    with pytest.raises(KnowledgeError, match="JSON"):
        graph.add_facts([good, bad])
    assert len(graph) == 0


def test_correct_supersedes_and_keeps_both(graph):
    old = graph.add_fact("lot:7", "made_of", Node("material:PP-GF30"), valid_from=1, learnt_at=10, source="supplier")
    new = graph.correct(old.fact_id, object=Node("material:PP-T20"), source="laboratory", learnt_at=20)
    assert new.supersedes == old.fact_id
    assert (new.valid_from, new.predicate) == (1, "made_of")
    assert [f.object for f in graph.history("lot:7", as_of=19)] == ["material:PP-GF30"]
    assert [f.object for f in graph.history("lot:7", as_of=20)] == ["material:PP-T20"]
    assert graph.fact(old.fact_id).superseded_at == 20
    assert len(graph.history("lot:7", superseded=True)) == 2
    with pytest.raises(KnowledgeError, match="superseded at 20 ns"):
        graph.correct(old.fact_id, object="x", learnt_at=30)
    with pytest.raises(KnowledgeError, match="later time"):
        graph.correct(new.fact_id, object="x", learnt_at=20)
    with pytest.raises(ValueError, match="no field 'objet'"):
        graph.correct(new.fact_id, objet="x")


def test_something_that_ceased_to_hold_is_a_correction_of_its_end(graph):
    fact = graph.add_fact("lot:7", "supplier", "A", valid_from=100, learnt_at=100)
    graph.correct(fact.fact_id, valid_to=200, learnt_at=250)
    assert len(graph.history("lot:7", valid_at=220, as_of=240)) == 1  # on day 240 we still thought so
    assert graph.history("lot:7", valid_at=220, as_of=260) == []
    assert len(graph.history("lot:7", valid_at=150, as_of=260)) == 1


def test_retract_leaves_a_trace(graph):
    fact = graph.add_fact("lot:7", "supplier", "A", learnt_at=1)
    trace = graph.retract(fact.fact_id, reason="wrong label on the bag", source="person:ann", learnt_at=2)
    assert graph.history("lot:7") == []
    assert (trace.subject, trace.object, trace.source) == (
        f"fact:{fact.fact_id}", "wrong label on the bag", "person:ann",
    )  # fmt: skip
    assert graph.history(trace.subject) == [trace]


def test_a_clock_that_steps_back_does_not_block_corrections(tmp_path):
    now = [1000]
    with TemporalKnowledgeGraph(tmp_path / "k.sqlite", clock=lambda: now[0]) as graph:
        fact = graph.add_fact("a:b", "p", 1)
        now[0] = 500
        assert graph.correct(fact.fact_id, object=2).learnt_at == 1001


def test_neighbours_in_both_directions_and_in_time(graph):
    part, pp = part_node("s", "p1"), Node("material:PP")
    edge = graph.add_fact(part, "identified_as", pp, learnt_at=10)
    graph.add_fact(part, "from_lot", Node("lot:3"), learnt_at=11)
    graph.add_fact(part, "note", "material:PP", learnt_at=12)
    assert [(n.node, n.outgoing) for n in graph.neighbours(part)] == [("lot:3", True), (pp, True)]
    assert [(n.node, n.outgoing) for n in graph.neighbours(pp)] == [(part, False)]
    assert graph.neighbours(pp, outgoing=True) == []
    assert graph.neighbours(pp, as_of=9) == []
    graph.correct(edge.fact_id, object=Node("material:ABS"), learnt_at=20)
    assert graph.neighbours(pp) == []
    assert graph.neighbours(pp, as_of=15)[0].fact == edge._replace(superseded_at=20)
    assert [n.node for n in graph.neighbours(part, predicate="identified_as")] == ["material:ABS"]
    assert len(graph.neighbours(part, limit=1)) == 1


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"subject": ""}, "subject"),
        ({"predicate": "p" * 128}, "128 characters"),
        ({"valid_from": 5, "valid_to": 5}, "from 5 to 5 ns"),
        ({"valid_from": -1}, "-1"),
        ({"confidence": 1.5}, "confidence of a fact is 1.5"),
        ({"confidence": float("nan")}, "confidence of a fact is nan"),
        ({"object": object()}, "JSON"),
        ({"evidence": ("a\nb",)}, "line break"),
        ({"source": "s" * 256}, "256 characters"),
    ],
)
def test_nonsense_is_refused_by_name(graph, fields, message):
    statement = Statement("a:b", "p", 1)._replace(**fields)
    with pytest.raises(KnowledgeError, match=message):
        graph.add_facts([statement], learnt_at=1)
    with pytest.raises(KnowledgeError, match="learnt at -3"):
        graph.add_fact("a:b", "p", 1, learnt_at=-3)
    assert len(graph) == 0


def test_the_file_itself_refuses_deletion_and_change(graph, tmp_path):
    fact = graph.add_fact("a:b", "p", 1, learnt_at=1)
    other = sqlite3.connect(tmp_path / "k.sqlite")
    for statement in (
        "DELETE FROM knowledge_facts",
        "UPDATE knowledge_facts SET object = '2'",
        "UPDATE knowledge_facts SET object = '2', span = 9, superseded_at = 9",
        "UPDATE knowledge_facts SET superseded_at = 9",
    ):
        with pytest.raises(sqlite3.IntegrityError, match="never"):
            other.execute(statement)
    other.close()
    assert graph.history("a:b") == [fact]


def test_bare_names_are_materials():
    assert subject_of(" PE-HD ") == "material:PE-HD"
    assert subject_of("part:s/p") == "part:s/p"


def test_a_database_in_memory_and_by_url(tmp_path):
    for location in ("sqlite://", f"sqlite:///{tmp_path}/u.sqlite"):
        with TemporalKnowledgeGraph(location) as graph:
            graph.add_fact("a:b", "p", 1)
            assert len(graph.history("a:b")) == 1
    assert len(TemporalKnowledgeGraph(tmp_path / "u.sqlite", read_only=True)) == 1


def test_connections_have_the_promised_settings(graph):
    with graph._database.engine.connect() as connection:
        values = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "busy_timeout", "foreign_keys", "synchronous", "application_id")
        }
    assert values == {
        "journal_mode": "wal", "busy_timeout": 10_000, "foreign_keys": 1, "synchronous": 2,
        "application_id": 0x706C7074,
    }  # fmt: skip


def test_a_long_history_is_looked_up_by_index(graph):
    """No alternative of an as-of query may scan the table or walk all that was ever superseded."""
    seen: list[str] = []
    sa.event.listen(
        graph._database.engine, "before_cursor_execute",
        lambda _c, cursor, statement, parameters, *_: seen.extend(
            row[3] for row in cursor.connection.execute("EXPLAIN QUERY PLAN " + statement, parameters)
        ) if statement.startswith("SELECT") else None,
    )  # fmt: skip
    graph.history("a:b", valid_at=10**18, as_of=10**18)
    plan = [line for line in seen if "knowledge_facts" in line]
    assert plan == [
        "SEARCH knowledge_facts USING INDEX ix_valid (subject=? AND span=? AND valid_span=? AND learnt_at<?)",
        "SEARCH knowledge_facts USING INDEX ix_valid (subject=? AND span=? AND valid_span=? AND learnt_at<?)",
        "SEARCH knowledge_facts USING INDEX ix_subject (subject=? AND span=? AND learnt_at<?)",
    ]


def test_no_torch_is_imported():
    code = "import sys, palpate_agents.knowledge; sys.exit('torch' in sys.modules or 'rclpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
