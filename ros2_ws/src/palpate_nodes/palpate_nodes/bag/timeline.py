"""A bag as the replay cell plays it: the raw topics, in the order in which they became known, by relative name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from palpate_agents.errors import DataError
from palpate_nodes import topics
from palpate_nodes.bag.definitions import type_hash
from palpate_nodes.bag.metadata import topic_type
from palpate_nodes.bag.reader import BagReader


class BagTimeline:
    """The raw topics of a bag.

    Attributes:
        reader: the bag.
        namespace: namespace under which the topics were recorded, such as `/cell`.
        counts: relative name -> messages, for the topics that are there.
        missing: relative names of topics that are not there.
        start_ns: log time of the first message of any topic, ns.
        end_ns: log time of the last, ns.
    """

    def __init__(
        self,
        path: Path,
        *,
        wanted: Sequence[topics.Topic] = topics.RAW_TOPICS,
        required: Sequence[topics.Topic] = (topics.PART_PRESENTED,),
        namespace: str | None = None,
    ) -> None:
        """Open a bag and check that it can be played.

        Args:
            path: bag folder, session folder or MCAP file; a truncated one is played as far as it goes.
            wanted: topics to play.
            required: topics without which it cannot be played.
            namespace: namespace of the recording; None: found out.

        Raises:
            DataError: no bag, a foreign one (says which topics it has), or one with other message definitions.
        """
        self.reader = BagReader(path)
        self.namespace = namespace if namespace is not None else self._find_namespace(wanted)
        self._relative: dict[str, str] = {}
        self.missing: tuple[str, ...] = ()
        for topic in wanted:
            full = topics.resolve(topic.name, self.namespace)
            if self.reader.counts.get(full):
                self._check_type(full, topic)
                self._relative[full] = topic.name
            else:
                self.missing += (topic.name,)
        lacking = [topic.name for topic in required if topic.name in self.missing]
        if lacking or not self._relative:
            has = ", ".join(f"{name} ({count})" for name, count in sorted(self.reader.counts.items())) or "nothing"
            raise DataError(
                f"{self.reader.path} cannot be played: it has no messages on "
                f"{', '.join(lacking or [topic.name for topic in wanted])} (namespace {self.namespace}); it holds {has}"
            )
        self.counts = {relative: self.reader.counts[full] for full, relative in self._relative.items()}
        self.start_ns = self.reader.start_ns
        self.end_ns = self.reader.end_ns

    def _find_namespace(self, wanted: Sequence[topics.Topic]) -> str:
        votes: Counter[str] = Counter()
        for topic in wanted:
            if not topic.name.startswith("/"):
                suffix = "/" + topic.name
                for name, count in self.reader.counts.items():
                    if name.endswith(suffix) and count:
                        votes[name[: -len(suffix)] or "/"] += 1
        return votes.most_common(1)[0][0] if votes else topics.NAMESPACE

    def _check_type(self, full: str, topic: topics.Topic) -> None:
        recorded, expected = self.reader.topics[full], topic_type(topic.type)
        if recorded.type != expected:
            raise DataError(
                f"{self.reader.path}: {full} is {recorded.type}, expected {expected}; is it a bag of palpate?"
            )
        installed = type_hash(expected)
        if installed and recorded.type_hash and recorded.type_hash != installed:
            raise DataError(
                f"{self.reader.path}: {full} was recorded with another definition of {expected} "
                f"({recorded.type_hash[:15]}..., installed {installed[:15]}...); replay it with the version that "
                f"recorded it{self._version()}"
            )

    def _version(self) -> str:
        version = self.reader.custom.get("palpate.version")
        return f" (palpate {version})" if version else ""

    def __iter__(self) -> Iterator[tuple[int, str, bytes]]:
        """(log time ns, relative topic name, serialised message), in the order of log time."""
        for message in self.reader.messages(self._relative):
            yield message.log_ns, self._relative[message.topic], message.data
