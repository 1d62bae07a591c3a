"""The distillation node: every signature becomes knowledge with two times, and questions about it are answered."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from palpate_agents.errors import PalpateError
from palpate_agents.knowledge import FOREVER, Fact, TemporalKnowledgeGraph, subject_of
from palpate_agents.knowledge.facts import encode_object
from palpate_agents.observation import ProbeExecution
from palpate_interfaces.msg import KnowledgeUpdate, MaterialSignature
from palpate_interfaces.msg import ProbeExecution as ProbeExecutionMessage
from palpate_interfaces.srv import GetMaterialHistory, ReportFailure
from palpate_nodes import convert, topics
from palpate_nodes.node_base import OK, PalpateNode, run
from palpate_nodes.params import Param

DEFAULT_LIMIT = 1000


class DistillationNode(PalpateNode):
    """Stores signatures in the temporal knowledge graph; services `get_material_history` and `report_failure`."""

    PARAMETERS = (
        Param("database", "", "Knowledge graph: a file, or an SQLAlchemy URL; empty: knowledge.sqlite in session_dir."),
        Param("session_dir", "", "Folder of the session; empty: the working directory."),
    )

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("distillation", **kwargs)
        self._graph: TemporalKnowledgeGraph | None = None
        # By part alone: in a replay the executions carry the session of the recording.
        self._executions: dict[str, list[ProbeExecution]] = {}
        self._updates = self.publisher(topics.KNOWLEDGE_UPDATE)
        self.subscription(topics.PROBE_EXECUTION, self._on_execution)
        self.subscription(topics.SIGNATURE, self._on_signature)
        self.create_service(GetMaterialHistory, topics.MATERIAL_HISTORY_SERVICE, self._history)
        self.create_service(ReportFailure, topics.REPORT_FAILURE_SERVICE, self._failure)
        self._stored = 0

    def setup(self) -> None:
        """Open the graph."""
        location = self.values["database"] or str(Path(self.values["session_dir"] or ".") / "knowledge.sqlite")
        if "://" not in location:
            Path(location).parent.mkdir(parents=True, exist_ok=True)
        self._graph = TemporalKnowledgeGraph(location)
        self.report("graph", OK, f"open: {location}", facts=len(self._graph))

    def teardown(self) -> None:
        """Close the graph."""
        if self._graph is not None:
            self._graph.close()
            self._graph = None

    def _on_execution(self, message: ProbeExecutionMessage) -> None:
        self._executions.setdefault(message.part_id, []).append(convert.execution_of(message))

    def _on_signature(self, message: MaterialSignature) -> None:
        if self._graph is None:
            return
        executions = self._executions.pop(message.part_id, [])
        facts = self._graph.add_signature(
            message, stamp_ns=topics.stamp_ns(message.header.stamp), executions=executions[: message.probes]
        )
        self._stored += bool(facts)
        self._announce(facts)
        self.report("graph", OK, "storing", signatures=self._stored, facts=len(self._graph))

    def _announce(self, facts: list[Fact]) -> None:
        for fact in facts:
            update = KnowledgeUpdate(
                fact_id=fact.fact_id,
                subject=fact.subject,
                predicate=fact.predicate,
                object=encode_object(fact.object)[1],
                valid_from=topics.to_stamp(fact.valid_from),
                confidence=float(fact.confidence),
                source=fact.source,
            )
            update.header.stamp = self.get_clock().now().to_msg()
            self._updates.publish(update)

    def _history(self, request: Any, response: Any) -> Any:
        # Without as_of the whole history is asked for, corrections included; with it, what we held to be true then.
        valid_at, as_of = topics.stamp_ns(request.valid_at), topics.stamp_ns(request.as_of)
        try:
            facts = self._open_graph().history(
                subject_of(request.subject),
                valid_at=valid_at or None,
                as_of=as_of or None,
                limit=request.limit or DEFAULT_LIMIT,
                superseded=as_of == 0,
            )
        except PalpateError as error:
            response.message = str(error)
            return response
        response.success = True
        for fact in facts:
            response.fact_ids.append(fact.fact_id)
            response.subjects.append(fact.subject)
            response.predicates.append(fact.predicate)
            response.objects.append(encode_object(fact.object)[1])
            response.confidences.append(float(fact.confidence))
            response.sources.append(fact.source)
            response.valid_from.append(topics.to_stamp(fact.valid_from))
            response.valid_to.append(_end(fact.valid_to))
            response.learnt_at.append(topics.to_stamp(fact.learnt_at))
            response.superseded_at.append(_end(fact.superseded_at))
        return response

    def _failure(self, request: Any, response: Any) -> Any:
        try:
            facts = self._open_graph().report_failure(
                request.session_id,
                request.part_id,
                request.failure,
                true_material=request.true_material,
                details=request.details,
                learnt_at=time.time_ns(),
            )
        except PalpateError as error:
            response.message = str(error)
            return response
        self._announce(facts)
        response.success, response.fact_id = True, facts[0].fact_id
        return response

    def _open_graph(self) -> TemporalKnowledgeGraph:
        if self._graph is None:
            raise PalpateError("the distillation node is not configured: activate it first")
        return self._graph


def _end(time_ns: int) -> Any:
    return topics.to_stamp(0 if time_ns == FOREVER else time_ns)


def make() -> list[PalpateNode]:
    """The nodes of this process."""
    return [DistillationNode()]


def main() -> int:
    """Run the distillation node."""
    return run(make)


if __name__ == "__main__":
    sys.exit(main())
