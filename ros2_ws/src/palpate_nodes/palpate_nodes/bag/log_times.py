"""At which time of the cell a message became known, exactly, however late the recorder receives it.

Where time runs faster than real time the recorder's own clock lags by what is in flight. But each tick says up to
which stamp every stream has been published: the first tick that covers a message is when it became known. Log times
found in this way are the same at any rate, and a replay delivers every message as early as the cell did.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")


class Timed(NamedTuple, Generic[T]):
    """An item and its log time."""

    log_ns: int
    item: T


@dataclass
class _Stream(Generic[T]):
    held: deque[tuple[int, float, T]] = field(default_factory=deque)  # stamp, wall time of arrival, item
    ticks: deque[tuple[int, int]] = field(default_factory=deque)  # last stamp published, time of that tick

    def resolve(self) -> Iterator[Timed[T]]:
        while self.held:
            stamp, _, item = self.held[0]
            while self.ticks and self.ticks[0][0] < stamp:
                self.ticks.popleft()
            if not self.ticks:
                return
            self.held.popleft()
            yield Timed(max(self.ticks[0][1], stamp), item)


class LogTimes(Generic[T]):
    """Holds messages until the tick that covers them is known."""

    def __init__(self, topics: Sequence[str], patience_s: float = 1.0) -> None:
        """Watch these topics.

        Args:
            topics: fully qualified names.
            patience_s: wall time after which a message no longer waits for its tick (the cell has stopped, or there
                are no ticks), seconds.
        """
        self._streams: dict[str, _Stream[T]] = {topic: _Stream() for topic in topics}
        self._ticked: set[str] = set()
        self._patience_s = patience_s
        self._expecting = True
        self._tick_ns = 0

    def add(self, topic: str, stamp_ns: int, now_ns: int, wall_s: float, item: T) -> list[Timed[T]]:
        """A message arrived.

        Args:
            topic: fully qualified name.
            stamp_ns: its stamp.
            now_ns: the cell's time as far as the recorder knows, ns.
            wall_s: monotonic time, s.
            item: the message.

        Returns:
            messages whose log time is now known, in the order of arrival on their topic.
        """
        stream = self._streams[topic]
        if topic in self._ticked or (self._expecting and not self._ticked):
            stream.held.append((stamp_ns, wall_s, item))
            return list(stream.resolve())
        # Not a stream of the cell: known when it arrived, and never before it was stamped.
        return [Timed(max(now_ns, self._tick_ns, stamp_ns), item)]

    def tick(self, time_ns: int, last_stamps: Iterable[tuple[str, int]]) -> list[Timed[T]]:
        """The cell's time moved on.

        Args:
            time_ns: the cell's time.
            last_stamps: topic -> stamp of the last message published on it.
        """
        self._tick_ns = max(self._tick_ns, time_ns)
        ready: list[Timed[T]] = []
        first = not self._ticked
        for topic, stamp in last_stamps:
            stream = self._streams.get(topic)
            if stream is None:
                continue
            self._ticked.add(topic)
            if not stream.ticks or stream.ticks[-1][0] < stamp:
                stream.ticks.append((stamp, time_ns))
            ready += stream.resolve()
        if first and self._ticked:
            # Now it is known which topics the cell does not speak of: nothing is to be waited for there.
            for topic, stream in self._streams.items():
                if topic not in self._ticked:
                    ready += self._release(stream)
        return ready

    def overdue(self, wall_s: float) -> list[Timed[T]]:
        """Messages that have waited for too long, with their stamp (or the last tick) as log time."""
        ready: list[Timed[T]] = []
        for stream in self._streams.values():
            if stream.held and wall_s - stream.held[0][1] > self._patience_s:
                ready += self._release(stream)
                self._expecting = False
        return ready

    def rest(self) -> list[Timed[T]]:
        """Everything that is still held."""
        return [timed for stream in self._streams.values() for timed in self._release(stream)]

    def _release(self, stream: _Stream[T]) -> list[Timed[T]]:
        ready = [Timed(max(self._tick_ns, stamp), item) for stamp, _, item in stream.held]
        stream.held.clear()
        return ready
