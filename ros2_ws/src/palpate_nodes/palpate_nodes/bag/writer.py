"""Records messages into a rosbag2 MCAP directory without ever holding up the thread that receives them.

Three threads: the caller's puts messages into a queue bounded in bytes; the writer's packs chunks and writes them; a
third calls fsync, so that a slow disk holds up neither. Bounds on what is lost:

* killed process (kill -9): what was received within the last `flush_s`; written chunks lie with the operating system.
* power cut: what was received within the last two fsyncs, that is about `2 * flush_s` and the disk's own time.
* full disk or write error: the bag is ended there, indexed and readable; the reason stands in it.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from palpate_agents.errors import ConfigError, DataError, PalpateError
from palpate_nodes.bag import metadata
from palpate_nodes.bag.metadata import TopicSpec
from palpate_nodes.bag.splits import SplitFiles, SplitLimits

_POLL_S = 0.05
_MIB = 1 << 20


class RecordingError(PalpateError):
    """The bag could not be written to its end."""

    exit_code = 3


@dataclass(frozen=True)
class WriterLimits:
    """Bounds of a recording.

    Attributes:
        split: when chunks and files end.
        flush_s: longest wall time from receiving a message to its being written, seconds.
        queue_bytes: messages waiting to be written; beyond it they are dropped and counted.
        min_free_bytes: recording stops before the file system has less than this.
    """

    split: SplitLimits = field(default_factory=SplitLimits)
    flush_s: float = 0.3
    queue_bytes: int = 256 * _MIB
    min_free_bytes: int = 512 * _MIB


@dataclass(frozen=True)
class WriterStatus:
    """Where a recording stands.

    Attributes:
        state: recording, complete or stopped.
        reason: why it stopped, one sentence.
        messages: messages written.
        size_bytes: bytes written.
        backlog_bytes: bytes that wait to be written.
        dropped: topic -> messages that were sent and are not in the bag.
    """

    state: str
    reason: str
    messages: int
    size_bytes: int
    backlog_bytes: int
    dropped: Mapping[str, int]


class _Item(NamedTuple):
    channel: int
    sequence: int
    log_ns: int
    publish_ns: int
    data: bytes


class BagWriter:
    """A recording in progress. Thread-safe."""

    def __init__(
        self,
        directory: Path,
        custom: Mapping[str, str] | None = None,
        limits: WriterLimits | None = None,
        on_stop: Callable[[str], None] | None = None,
    ) -> None:
        """Create the bag and begin.

        Args:
            directory: the bag's folder; must not exist, its parents are made.
            custom: custom data for `metadata.yaml` and for every file (see `bag.metadata` for our keys).
            limits: bounds.
            on_stop: called once, from the writer's thread, with the reason when recording ends early.

        Raises:
            DataError: the folder exists, cannot be made, or too little space is free.
        """
        self.directory = directory
        self._limits = limits or WriterLimits()
        if self._limits.flush_s < 2 * _POLL_S:
            raise ConfigError(f"a flush time of {self._limits.flush_s} s is below the smallest, {2 * _POLL_S} s")
        self._on_stop = on_stop
        self._lock = threading.Lock()  # guards queue, backlog, drops, state
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._queue: deque[_Item | TopicSpec] = deque()
        self._batch: deque[_Item | TopicSpec] = deque()  # taken from the queue, the writer's own
        self._accepting = True
        self._channels: list[str] = []
        self._backlog = 0
        self._dropped: dict[str, int] = {}
        self._state = metadata.STATE_RECORDING
        self._reason = ""
        self._chunk_since = 0.0
        self._last_check = 0.0
        self._sync_error: OSError | None = None
        values = {**(custom or {}), metadata.STATE: metadata.STATE_RECORDING}
        try:
            self._check_space(directory)
            self._files = SplitFiles(directory, values, self._limits.split)
        except FileExistsError as error:
            raise DataError(f"{directory} exists: a bag is never overwritten; choose another folder") from error
        except OSError as error:
            raise DataError(f"cannot record into {directory}: {error.strerror or error}") from error
        self._writer = threading.Thread(target=self._run, name="bag writer", daemon=True)
        self._syncer = threading.Thread(target=self._sync, name="bag fsync", daemon=True)
        self._writer.start()
        self._syncer.start()

    # The caller's side.
    def add_topic(self, topic: TopicSpec) -> int:
        """Declare a topic; returns the channel for `write`."""
        with self._lock:
            self._queue.append(topic)
            self._channels.append(topic.name)
            return len(self._channels)

    def write(self, channel: int, log_ns: int, publish_ns: int, data: bytes, sequence: int = 0) -> bool:
        """Hand over a serialised message; never waits for the disk.

        Args:
            channel: from `add_topic`.
            log_ns: time of recording on the cell's clock, ns.
            publish_ns: time of publishing or acquisition, ns.
            data: CDR with its encapsulation.
            sequence: publisher's sequence number, 0 if unknown.

        Returns:
            False if the message was dropped (counted): the queue is full or recording has ended.
        """
        with self._lock:
            if not self._accepting or self._backlog + len(data) > self._limits.queue_bytes:
                self._drop(self._channels[channel - 1], 1)
                return False
            self._backlog += len(data)
            self._queue.append(_Item(channel, sequence, log_ns, publish_ns, data))
            full_chunk = self._backlog >= self._limits.split.chunk_bytes
        if full_chunk:
            self._wake.set()
        return True

    def count_lost(self, topic: str, count: int) -> None:
        """Messages of this topic that were sent and never arrived here."""
        with self._lock:
            self._drop(topic, count)

    def _drop(self, topic: str, count: int) -> None:
        self._dropped[topic] = self._dropped.get(topic, 0) + count

    @property
    def backlog_bytes(self) -> int:
        """Bytes that wait to be written."""
        return self._backlog

    def status(self) -> WriterStatus:
        """Where the recording stands."""
        with self._lock:
            return WriterStatus(
                state=self._state,
                reason=self._reason,
                messages=self._files.messages,
                size_bytes=self._files.size,
                backlog_bytes=self._backlog,
                dropped=dict(self._dropped),
            )

    def close(self, timeout_s: float = 3.0) -> None:
        """Write what is queued, index the bag and end; calling it again is nothing.

        Raises:
            RecordingError: the bag could not be ended in time or was stopped before; the reason and the way out.
        """
        with self._lock:
            self._accepting = False
        self._closing.set()
        self._wake.set()
        self._writer.join(timeout_s)
        if self._writer.is_alive():
            raise RecordingError(
                f"{self.directory} was not finished within {timeout_s:g} s: the disk is too slow; what is written "
                f"can be had with `palpate bag recover {self.directory}`"
            )
        self._syncer.join(timeout_s)
        if self._state == metadata.STATE_STOPPED:
            raise RecordingError(self._reason)

    # The writer's thread.
    def _run(self) -> None:
        try:
            while self._step():
                pass
            self._files.flush()
            self._end(metadata.STATE_COMPLETE)
        except Exception as error:  # a full disk, a broken one, or a bug: none may lose what is recorded
            self._stop(error)

    def _step(self) -> bool:
        """Write what came in; False when the recording is over."""
        self._wake.wait(_POLL_S)
        self._wake.clear()
        closing = self._closing.is_set()
        if self._sync_error is not None:
            raise self._sync_error
        with self._lock:
            self._batch, self._queue = self._queue, deque()
            self._files.dropped = dict(self._dropped)
        while self._batch:
            self._append(self._batch[0])
            self._batch.popleft()
        # What has just been taken from the queue is up to one poll old, and the next look is one poll away.
        if time.monotonic() - self._chunk_since >= self._limits.flush_s - 2 * _POLL_S:
            self._files.flush()
        self._guard_space()
        return not closing

    def _append(self, item: _Item | TopicSpec) -> None:
        if isinstance(item, TopicSpec):
            self._files.add_topic(item)
            return
        if not self._files.pending:
            self._chunk_since = time.monotonic()
        self._files.append(*item)
        with self._lock:
            self._backlog -= len(item.data)

    def _guard_space(self) -> None:
        now = time.monotonic()
        if now - self._last_check >= self._limits.flush_s:
            self._last_check = now
            self._check_space(self.directory)

    def _check_space(self, directory: Path) -> None:
        place = next(path for path in (directory, *directory.absolute().parents) if path.exists())
        free = free_bytes(place)
        if free < self._limits.min_free_bytes:
            raise OSError(
                errno.ENOSPC,
                f"only {free / _MIB:.0f} MiB are free, the limit is {self._limits.min_free_bytes / _MIB:.0f} MiB",
            )

    def _stop(self, error: Exception) -> None:
        """End the bag early: keep what can be kept, and say why."""
        with self._lock:
            self._accepting = False
        self._batch += self._queue
        unwritten: dict[int, int] = {}
        try:
            # The reserve has room for the chunk that failed; a disk that is merely low has room for all.
            self._files.release_reserve()
            self._files.flush()
            while self._batch:
                self._append(self._batch[0])
                self._batch.popleft()
            self._files.flush()
        except Exception:  # still the same trouble
            unwritten = self._files.discard_chunk()
        left = [item.channel for item in self._batch if isinstance(item, _Item)]
        for channel in left:
            unwritten[channel] = unwritten.get(channel, 0) + 1
        with self._lock:
            for channel, count in unwritten.items():
                self._drop(self._channels[channel - 1], count)
            self._files.dropped = dict(self._dropped)
            self._backlog = 0
        self._batch.clear()
        self._queue.clear()
        reason = (
            f"recording stopped: {_cause(error)} ({self._files.file.path}); {self._files.messages} messages are safe, "
            f"{sum(unwritten.values())} were lost; {_way_out(error)}"
        )
        try:
            self._end(metadata.STATE_STOPPED, reason)
        except OSError as second:
            reason += f"; the index could not be written ({_cause(second)}): run `palpate bag recover {self.directory}`"
            with self._lock:
                self._state, self._reason = metadata.STATE_STOPPED, reason
        if self._on_stop:
            self._on_stop(reason)

    def _end(self, state: str, reason: str = "") -> None:
        self._files.end(state, reason)
        with self._lock:
            self._state, self._reason = state, reason

    # The fsync thread.
    def _sync(self) -> None:
        synced = 0
        while not self._closing.wait(self._limits.flush_s):
            size = self._files.size
            if size == synced:
                continue
            try:
                descriptor = os.dup(self._files.file.fileno())
            except (OSError, ValueError):  # the file was ended in between, and that synchronises it
                continue
            try:
                os.fdatasync(descriptor)
                synced = size
            except OSError as error:
                self._sync_error = error
            finally:
                os.close(descriptor)


def free_bytes(path: Path) -> int:
    """Bytes that an ordinary user may still write to the file system of `path`."""
    values = os.statvfs(path)
    return values.f_bavail * values.f_frsize


def _cause(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return f"{type(error).__name__}: {error}"


def _way_out(error: Exception) -> str:
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    return "free some space or record to another place" if full else "check the disk and the system's log"
