"""The port of a device: connect, read, read the latest, drain, disconnect.

A backend pushes stamped samples into a bounded buffer, from an acquisition thread (drivers) or from the cell that is
being stepped (simulation, recordings). When the buffer is full the oldest sample is dropped and counted.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Any, Generic, Self, TypeVar

from palpate_agents.errors import DeviceError
from palpate_agents.samples import Sample

SampleT = TypeVar("SampleT", bound=Sample)


class Device(Generic[SampleT]):
    """One device; also a context manager.

    Attributes:
        name: for messages.
        dropped: samples that were overwritten before anybody took them.
    """

    def __init__(self, name: str, *, buffer_size: int = 4096) -> None:
        self.name = name
        self.dropped = 0
        self._buffer: deque[SampleT] = deque(maxlen=buffer_size)
        self._latest: SampleT | None = None
        self._arrived = threading.Condition()
        self.connected = False

    def connect(self) -> None:
        """Open the device. Backends extend this.

        Raises:
            DeviceError: it is not there.
        """
        self.connected = True

    def disconnect(self) -> None:
        """Close the device; may be called again. Backends extend this."""
        self.connected = False
        with self._arrived:
            self._buffer.clear()
            self._latest = None

    def push(self, sample: SampleT) -> None:
        """Add a sample (called by the backend, from any thread)."""
        if not self.connected:
            return
        with self._arrived:
            if len(self._buffer) == self._buffer.maxlen:
                self.dropped += 1
            self._buffer.append(sample)
            self._latest = sample
            self._arrived.notify_all()

    def drain(self) -> list[SampleT]:
        """All samples that arrived since the last call, oldest first."""
        with self._arrived:
            samples = list(self._buffer)
            self._buffer.clear()
        return samples

    def read(self, timeout_s: float) -> SampleT:
        """The next sample, waiting for it.

        Raises:
            DeviceError: not connected, or nothing arrived in time.
        """
        deadline = time.monotonic() + timeout_s
        with self._arrived:
            while not self._buffer:
                left = deadline - time.monotonic()
                if not self.connected:
                    raise DeviceError(f"{self.name} is not connected: call connect() first")
                if left <= 0:
                    raise DeviceError(f"{self.name} gave nothing for {timeout_s:g} s: check cable, power and driver")
                self._arrived.wait(left)
            return self._buffer.popleft()

    def read_latest(self, max_age_ms: float, now_ns: int) -> SampleT:
        """The newest sample, if it is young enough.

        Args:
            max_age_ms: oldest acceptable age in milliseconds.
            now_ns: the cell's time now.

        Raises:
            DeviceError: nothing yet, or stale.
        """
        latest = self._latest
        if latest is None:
            raise DeviceError(f"{self.name} has given nothing yet")
        age_ms = (now_ns - latest.stamp_ns) / 1e6
        if age_ms > max_age_ms:
            raise DeviceError(f"{self.name} is stale: last sample {age_ms:.0f} ms old, allowed {max_age_ms:g} ms")
        return latest

    def __enter__(self) -> Self:
        """Connect."""
        self.connect()
        return self

    def __exit__(self, *_: Any) -> None:
        """Disconnect, whatever happened."""
        self.disconnect()
