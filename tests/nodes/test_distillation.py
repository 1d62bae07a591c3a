import pytest

from palpate_interfaces.msg import KnowledgeUpdate, MaterialSignature
from palpate_interfaces.srv import GetMaterialHistory, ReportFailure
from palpate_nodes import topics
from palpate_nodes.distillation_node import DistillationNode
from palpate_nodes.node_base import PalpateNode


@pytest.fixture
def stack(ros, tmp_path):
    node = ros.add(DistillationNode(context=ros.context, overrides={"session_dir": str(tmp_path)}))
    assert node.autostart()
    user = ros.add(PalpateNode("user", context=ros.context))
    return ros, node, user


def signature(part="part_0", material="PP", stamp=100):
    message = MaterialSignature(
        session_id="s", part_id=part, material=material, confidence=0.75, label_set="catalogue", labels=["PP", "PS"],
        probabilities=[0.75, 0.25], property_names=["log10_density_kg_m3"], property_values=[3.0], property_std=[0.1],
        probes=0, model_name="m", model_hash="ab" * 32, feature_version="1",
    )  # fmt: skip
    message.header.stamp = topics.to_stamp(stamp * 1_000_000_000)
    return message


def call(ros, client, request):
    ros.spin_until(client.service_is_ready)
    future = client.call_async(request)
    ros.spin_until(future.done)
    return future.result()


def test_a_signature_is_stored_announced_and_answered(stack):
    ros, node, user = stack
    heard = []
    user.create_subscription(KnowledgeUpdate, topics.KNOWLEDGE_UPDATE.name, heard.append, topics.KNOWLEDGE_UPDATE.qos)
    output = user.publisher(topics.SIGNATURE)
    ros.spin_until(lambda: output.get_subscription_count() == 1)
    output.publish(signature())
    ros.spin_until(lambda: any(u.predicate == "identified_as" for u in heard))
    history = user.create_client(GetMaterialHistory, topics.MATERIAL_HISTORY_SERVICE)
    answer = call(ros, history, GetMaterialHistory.Request(subject="part:s/part_0"))
    assert answer.success
    facts = dict(zip(answer.predicates, answer.objects, strict=True))
    assert facts["identified_as"] == "material:PP"
    assert answer.valid_from[0].sec == 100
    assert answer.learnt_at[0].sec > 1_700_000_000
    count = len(node._graph)
    output.publish(signature())
    ros.spin_for(0.5)
    assert len(node._graph) == count, "the same signature again (a replay) must add nothing"


def test_a_reported_failure_corrects_and_keeps_the_history(stack):
    ros, _, user = stack
    output = user.publisher(topics.SIGNATURE)
    ros.spin_until(lambda: output.get_subscription_count() == 1)
    output.publish(signature())
    report = user.create_client(ReportFailure, topics.REPORT_FAILURE_SERVICE)
    history = user.create_client(GetMaterialHistory, topics.MATERIAL_HISTORY_SERVICE)
    unknown = call(ros, report, ReportFailure.Request(session_id="s", part_id="nobody", failure="misidentified"))
    assert not unknown.success
    assert "nothing is known" in unknown.message
    request = ReportFailure.Request(session_id="s", part_id="part_0", failure="misidentified", true_material="PS")
    ros.spin_until(lambda: call(ros, history, GetMaterialHistory.Request(subject="part:s/part_0")).predicates)
    assert call(ros, report, request).success
    answer = call(ros, history, GetMaterialHistory.Request(subject="part:s/part_0"))
    verdicts = [
        (o, e.sec > 0)
        for p, o, e in zip(answer.predicates, answer.objects, answer.superseded_at, strict=True)
        if p == "identified_as"
    ]
    assert sorted(verdicts) == [("material:PP", True), ("material:PS", False)]


def test_a_database_that_cannot_be_opened_is_one_error(ros, tmp_path):
    (tmp_path / "knowledge.sqlite").write_text("this is no database, it is a letter to somebody" * 100)
    node = ros.add(DistillationNode(context=ros.context, overrides={"session_dir": str(tmp_path)}))
    assert not node.autostart()
    assert "knowledge.sqlite" in node._status["lifecycle"][1]
