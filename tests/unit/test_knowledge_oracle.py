"""As-of answers equal a brute-force oracle over random histories; interval nodes find every interval and no other."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palpate_agents.knowledge import FOREVER, Fact, KnowledgeError, Node, Statement, TemporalKnowledgeGraph
from palpate_agents.knowledge.facts import fork_node, path_to

TIME = st.integers(0, 12)
SUBJECTS = ("material:PP", "lot:7")


@dataclass
class Oracle:
    """Every fact as a mutable record, and the definition of an as-of query written down as plain filters."""

    rows: list[dict] = field(default_factory=list)

    def add(self, fact: Fact) -> None:
        if fact.fact_id not in {row["fact_id"] for row in self.rows}:
            self.rows.append(fact._asdict())

    def close(self, fact_id: str, at: int) -> None:
        next(row for row in self.rows if row["fact_id"] == fact_id)["superseded_at"] = at

    def ask(self, subject, valid_at, as_of, predicate, limit, superseded=False):
        found = []
        for order, row in enumerate(self.rows):
            known = row["superseded_at"] == FOREVER
            if as_of is not None:
                known = row["learnt_at"] <= as_of and (superseded or as_of < row["superseded_at"])
            elif superseded:
                known = True
            holds = valid_at is None or row["valid_from"] <= valid_at < row["valid_to"]
            if known and holds and row["subject"] == subject and predicate in (None, row["predicate"]):
                found.append((-row["learnt_at"], -order, row["fact_id"]))
        return [fact_id for *_, fact_id in sorted(found)][:limit]


@st.composite
def statements(draw) -> Statement:
    start = draw(TIME)
    end = draw(st.one_of(st.just(FOREVER), st.integers(start + 1, 14)))
    value = draw(st.one_of(st.integers(0, 2), st.sampled_from(["x", Node("material:PE")])))
    return Statement(draw(st.sampled_from(SUBJECTS)), draw(st.sampled_from("pq")), value, start, end, source="s")


step = st.one_of(
    st.tuples(st.just("add"), statements(), TIME),
    st.tuples(st.just("correct"), st.integers(0, 50), st.integers(1, 14), TIME),
    st.tuples(st.just("retract"), st.integers(0, 50), st.integers(1, 14)),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(step, min_size=1, max_size=25), st.integers(1, 6))
def test_as_of_equals_brute_force(tmp_path_factory, steps, limit):
    oracle = Oracle()
    with TemporalKnowledgeGraph(tmp_path_factory.mktemp("oracle") / "k.sqlite") as graph:
        for kind, *what in steps:
            if kind == "add":
                oracle.add(graph.add_facts([what[0]], learnt_at=what[1])[0])
                continue
            if not oracle.rows:
                continue
            row = oracle.rows[what[0] % len(oracle.rows)]
            at = what[1]
            if row["superseded_at"] != FOREVER or at <= row["learnt_at"]:
                with pytest.raises(KnowledgeError):
                    graph.retract(row["fact_id"], reason="r", learnt_at=at)
                continue
            if kind == "correct":
                start = min(what[2], row["valid_to"] - 1)
                new = graph.correct(row["fact_id"], valid_from=start, learnt_at=at)
                assert new.supersedes == row["fact_id"]
            else:
                new = graph.retract(row["fact_id"], reason="r", learnt_at=at)
            oracle.close(row["fact_id"], at)
            oracle.add(new)
        for subject, valid_at, as_of, (predicate, superseded) in itertools.product(
            SUBJECTS, [None, 0, 4, 7, 12], [None, 0, 3, 6, 9, 14], [(None, False), ("p", False), (None, True)]
        ):
            expected = oracle.ask(subject, valid_at, as_of, predicate, limit, superseded)
            got = graph.history(
                subject, valid_at=valid_at, as_of=as_of, predicate=predicate, limit=limit, superseded=superseded
            )
            assert [fact.fact_id for fact in got] == expected
        stored = {row["fact_id"]: row for row in oracle.rows}
        for fact_id, row in stored.items():
            assert graph.fact(fact_id)._asdict() == row
        assert len(graph) == len(stored)


@given(st.integers(0, 2**62), st.integers(1, 2**62), st.integers(0, 2**40))
def test_an_interval_lies_on_the_path_to_every_time_inside_it(start, length, offset):
    end = min(start + length, FOREVER - 1)
    node = fork_node(start, end)
    assert 0 < node < 2**63
    for inside in (start, end - 1, (start + end) // 2, min(end - 1, start + offset)):
        assert node in path_to(inside)


def test_every_short_interval_by_enumeration():
    for start in range(40):
        for end in range(start + 1, 41):
            node = fork_node(start, end)
            assert start < node <= end  # kept at a time inside itself
            on_path = [time for time in range(45) if node in path_to(time)]
            assert on_path[0] <= start
            assert on_path[-1] >= end - 1


def test_the_path_has_at_most_63_nodes_and_no_repeats():
    for time in (0, 1, 2, 1_700_000_000_000_000_000, 2**62, FOREVER - 2):
        path = path_to(time)
        assert path[0] == time + 1
        assert len(set(path)) == len(path) <= 63


def test_a_long_chain_of_corrections_is_answered_exactly_at_every_time(tmp_path):
    rng = random.Random(3)
    with TemporalKnowledgeGraph(tmp_path / "k.sqlite") as graph:
        fact = graph.add_fact("material:PP", "estimate/x", 0, learnt_at=0)
        times = [0]
        for i in range(1, 150):
            times.append(times[-1] + rng.randrange(1, 10 ** rng.randrange(1, 17)))
            fact = graph.correct(fact.fact_id, object=i, learnt_at=times[-1])
        for i, time in enumerate(times):
            assert [f.object for f in graph.history("material:PP", as_of=time)] == [i]
            if i:
                assert [f.object for f in graph.history("material:PP", as_of=time - 1)] == [i - 1]
