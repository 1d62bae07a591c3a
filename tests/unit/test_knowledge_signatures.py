"""What a signature and a failure report leave in the graph, and that a replay of either leaves nothing more."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field, replace

import pytest

from palpate_agents.knowledge import KnowledgeError, TemporalKnowledgeGraph, part_node
from palpate_agents.observation import Outcome, Primitive, ProbeExecution

HASH = "ab" * 32


@dataclass
class Signature:
    """The stored fields of `MaterialSignature`."""

    part_id: str
    material: str = "PP"
    session_id: str = "s1"
    abstained: bool = False
    reason: str = ""
    confidence: float = 0.9
    label_set: str = "catalogue"
    labels: list[str] = field(default_factory=lambda: ["PP", "ABS"])
    probabilities: list[float] = field(default_factory=lambda: [0.9, 0.1])
    property_names: list[str] = field(default_factory=lambda: ["density_kg_m3", "friction"])
    property_values: list[float] = field(default_factory=lambda: [905.0, float("nan")])
    property_std: list[float] = field(default_factory=lambda: [20.0, float("nan")])
    condition_names: list[str] = field(default_factory=lambda: ["black", "wet"])
    condition_probabilities: list[float] = field(default_factory=lambda: [0.75, float("nan")])
    novelty: float = 0.25
    novelty_limit: float = 0.5
    probes: int = 2
    model_name: str = "fusion"
    model_hash: str = HASH
    feature_version: str = "1"


@pytest.fixture
def graph(tmp_path):
    with TemporalKnowledgeGraph(tmp_path / "k.sqlite") as graph:
        yield graph


def objects(graph, node, **when):
    return {fact.predicate: fact.object for fact in graph.history(node, **when)}


def test_a_signature_is_stored_whole(graph):
    executions = [
        ProbeExecution(Primitive.LOOK, Outcome.SUCCEEDED, 0, 1),
        ProbeExecution(Primitive.TAP, Outcome.NO_CONTACT, 2, 3, max_force_n=1.5),
    ]
    stored = graph.add_signature(Signature("p1"), stamp_ns=50, lot="L7", executions=executions, learnt_at=100)
    facts = {fact.predicate: fact for fact in graph.history(part_node("s1", "p1"))}
    assert set(facts) == {
        "signature", "identified_as", "characterised_in", "from_lot", "property/density_kg_m3", "condition/black",
        "novelty", "probe/0", "probe/1",
    }  # fmt: skip
    assert facts["identified_as"].object == "material:PP"
    assert facts["identified_as"].confidence == pytest.approx(0.9)
    assert facts["identified_as"].evidence == ("s1/p1/0", "s1/p1/1")
    assert facts["identified_as"].source == "model:fusion@abababababab"
    assert facts["property/density_kg_m3"].object == {"value": 905.0, "std": 20.0}  # NaN was not measured: not stored
    assert facts["condition/black"].object == {"probability": 0.75}
    assert facts["condition/black"].evidence == facts["novelty"].evidence == ("s1/p1/0", "s1/p1/1")
    assert facts["novelty"].object == {"value": 0.25, "limit": 0.5}
    assert facts["probe/1"].object["outcome"] == "NO_CONTACT"
    assert facts["probe/1"].evidence == ("s1/p1/1",)
    assert all(fact.valid_from == 50 and fact.learnt_at == 100 for fact in facts.values())
    assert objects(graph, "session:s1") == {"used_model": f"model:{HASH}"}
    assert objects(graph, f"model:{HASH}") == {"named": "fusion"}
    assert len(stored) == len(graph)


def test_the_novelty_of_a_model_that_does_not_tell_is_no_fact(graph):
    graph.add_signature(Signature("p1", novelty=0.0, novelty_limit=1.0), stamp_ns=1)
    assert "novelty" not in objects(graph, part_node("s1", "p1"))


def test_conditions_are_of_the_part_and_never_of_its_material(graph):
    graph.add_signature(Signature("p1"), stamp_ns=1, lot="L7")
    for node in ("material:PP", "lot:L7"):
        assert not [name for name in objects(graph, node) if "condition" in name or "novelty" in name]


def test_replaying_a_signature_adds_nothing_even_after_a_correction(graph):
    signatures = [Signature("p1"), Signature("p2", "ABS"), Signature("p3", "", abstained=True, reason="unsure")]
    for i, signature in enumerate(signatures):
        assert graph.add_signature(signature, stamp_ns=i, learnt_at=10 + i)
    graph.report_failure("s1", "p1", "misidentified", true_material="ABS", learnt_at=50)
    before = len(graph)
    for i, signature in enumerate(signatures):
        again = replace(signature, probabilities=[0.9 + 1e-7, 0.1])  # a replay is equal to rounding only
        assert graph.add_signature(again, stamp_ns=i, learnt_at=99) == []
    assert len(graph) == before
    assert objects(graph, part_node("s1", "p1"))["identified_as"] == "material:ABS"


def test_an_abstention_is_no_identification(graph):
    graph.add_signature(Signature("p1", "", abstained=True, reason="confidence 0.41 below 0.7"), stamp_ns=1)
    known = objects(graph, part_node("s1", "p1"))
    assert known["not_identified"] == "confidence 0.41 below 0.7"
    assert "identified_as" not in known
    assert graph.history("material:") == []


def test_estimates_are_the_mean_and_deviation_of_the_parts_known_then(graph):
    values = [900.0, 910.0, 905.5, 980.25]
    for i, value in enumerate(values):
        graph.add_signature(
            Signature(f"p{i}", property_values=[value, float("nan")]), stamp_ns=i, learnt_at=100 * i + 1, lot="L7"
        )
    for node in ("material:PP", "lot:L7"):
        for n in range(1, 5):
            estimate = objects(graph, node, as_of=100 * (n - 1) + 1)["estimate/density_kg_m3"]
            assert estimate["n"] == n
            assert estimate["mean"] == pytest.approx(statistics.fmean(values[:n]))
            if n > 1:
                assert estimate["std"] == pytest.approx(statistics.stdev(values[:n]))
            else:
                assert estimate["std"] is None
        assert len(graph.history(node, predicate="estimate/density_kg_m3")) == 1
    (fact,) = graph.history("material:PP", predicate="estimate/density_kg_m3")
    assert fact.valid_from == 0
    assert "estimate/friction" not in objects(graph, "material:PP")


def test_a_failure_report_moves_the_part_to_its_true_material(graph):
    values = {"p0": 900.0, "p1": 1050.0, "p2": 910.0}
    for i, (part, value) in enumerate(values.items()):
        graph.add_signature(Signature(part, property_values=[value, 0.3]), stamp_ns=i, learnt_at=10 + i)
    facts = graph.report_failure(
        "s1", "p1", "misidentified", true_material="ABS", details="burn test", source="person:ann", learnt_at=100
    )
    assert facts[0].predicate == "failed"
    assert facts[0].object == {"failure": "misidentified", "details": "burn test", "true_material": "ABS"}
    part = part_node("s1", "p1")
    assert objects(graph, part, as_of=99)["identified_as"] == "material:PP"
    (identified,) = graph.history(part, predicate="identified_as")
    assert (identified.object, identified.source, identified.valid_from) == ("material:ABS", "person:ann", 1)
    assert graph.fact(identified.supersedes).object == "material:PP"
    estimate = objects(graph, "material:PP")["estimate/density_kg_m3"]
    assert estimate["n"] == 2
    assert estimate["mean"] == pytest.approx(905.0)
    assert estimate["std"] == pytest.approx(statistics.stdev([900.0, 910.0]))
    assert objects(graph, "material:ABS")["estimate/density_kg_m3"] == {"mean": 1050.0, "std": None, "n": 1}
    assert "estimate/identification_confidence" not in objects(graph, "material:ABS")  # a person is no model
    assert objects(graph, "material:PP", as_of=99)["estimate/density_kg_m3"]["n"] == 3


def test_the_last_part_of_a_material_takes_the_estimate_with_it(graph):
    graph.add_signature(Signature("p1"), stamp_ns=1)
    graph.report_failure("s1", "p1", "misidentified", true_material="PET")
    assert graph.history("material:PP") == []
    assert len(graph.history("material:PP", superseded=True)) == 2


def test_a_failure_without_truth_changes_no_identification(graph):
    graph.add_signature(Signature("p1"), stamp_ns=1, learnt_at=5)
    facts = graph.report_failure("s1", "p1", "broke in the grinder", learnt_at=9)
    assert len(facts) == 1
    assert objects(graph, part_node("s1", "p1"))["identified_as"] == "material:PP"


def test_a_failure_of_an_unknown_part_or_from_a_model_is_refused(graph):
    with pytest.raises(KnowledgeError, match="nothing is known of part:s1/p9"):
        graph.report_failure("s1", "p9", "misidentified")
    graph.add_signature(Signature("p1"), stamp_ns=1)
    with pytest.raises(KnowledgeError, match="kept for what models say"):
        graph.report_failure("s1", "p1", "misidentified", source="model:x")


def test_another_model_supersedes_a_model_but_not_a_person(graph):
    graph.add_signature(Signature("p1", property_values=[900.0, 0.3]), stamp_ns=1, learnt_at=10)
    other = Signature("p1", "ABS", model_hash="cd" * 32, model_name="next", property_values=[1040.0, 0.3])
    graph.add_signature(other, stamp_ns=1, learnt_at=20)
    part = part_node("s1", "p1")
    assert objects(graph, part)["identified_as"] == "material:ABS"
    assert objects(graph, part, as_of=15)["identified_as"] == "material:PP"
    assert graph.history("material:PP") == []
    graph.report_failure("s1", "p1", "misidentified", true_material="PC", learnt_at=30)
    third = Signature("p1", "PP", model_hash="ef" * 32, model_name="third", property_values=[901.0, 0.3])
    graph.add_signature(third, stamp_ns=1, learnt_at=40)
    assert objects(graph, part)["identified_as"] == "material:PC"
    assert objects(graph, part)["signature"]["material"] == "PP"  # what the model said is kept beside it
    assert objects(graph, "material:PC")["estimate/density_kg_m3"]["mean"] == pytest.approx(901.0)
    assert graph.history("material:PP") == []


def test_signatures_learnt_out_of_order_still_add_up(graph):
    for i, learnt_at in enumerate([100, 50, 50, 75]):
        graph.add_signature(Signature(f"p{i}"), stamp_ns=i, learnt_at=learnt_at)
    assert objects(graph, "material:PP")["estimate/density_kg_m3"]["n"] == 4


def test_lists_of_different_length_are_refused_and_leave_nothing(graph):
    with pytest.raises(ValueError, match="zip"):
        graph.add_signature(Signature("p1", property_std=[1.0]), stamp_ns=1)
    assert len(graph) == 0


def test_a_ros_message_is_a_signature(graph):
    msg = pytest.importorskip("palpate_interfaces.msg")
    message = msg.MaterialSignature(
        session_id="s", part_id="p", material="PP", confidence=0.75, labels=["PP"], probabilities=[1.0],
        property_names=["density_kg_m3"], property_values=[900.5], property_std=[3.0], probes=1, model_name="m",
        model_hash=HASH,
    )  # fmt: skip
    graph.add_signature(message, stamp_ns=3)
    assert objects(graph, part_node("s", "p"))["property/density_kg_m3"] == {"value": 900.5, "std": 3.0}
