"""The `recorded` backend: a cell that plays stamped samples (a bag, or a folder of measurements) as they were.

Time pauses before every recorded probe and before every recorded part until somebody asks for it, so that the nodes
may take as long as they like and still see the same data at the same stamps.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from palpate_agents.errors import CellError
from palpate_agents.observation import ProbeGoal
from palpate_agents.samples import Execution, Sample
from palpate_nodes.devices.cell import Part


@dataclass(frozen=True)
class PartArrival(Sample):
    """A part was presented in the recording."""

    part: Part


class RecordedCell:
    """Plays samples ordered by the time at which they became known.

    Attributes:
        time_ns: the recording's clock.
        probe_phase: `replay` while a probe is being answered, otherwise `idle`.
        contact_force_n: always 0: a recording touches nothing.
    """

    def __init__(self, timeline: Iterable[tuple[int, Sample]]) -> None:
        """Play `(time_ns, sample)` pairs in ascending time.

        Raises:
            CellError: the recording is empty.
        """
        self._timeline: Iterator[tuple[int, Sample]] = iter(timeline)
        self._next: tuple[int, Sample] | None = next(self._timeline, None)
        if self._next is None:
            raise CellError("the recording is empty: nothing to play back")
        self.time_ns = self._next[0]
        self.probe_phase = "idle"
        self.contact_force_n = 0.0
        self._parts: list[Part] = []
        self._wanted_part = 0
        self._asked: tuple[ProbeGoal, str, int] | None = None

    def present_part(self, session_id: str, index: int, material: str | None) -> Part | None:
        """The part of that number, playing on until it arrives.

        Returns:
            the part; None when the recording has no further part or when it has not arrived yet (`waiting`).

        Raises:
            CellError: parts are asked for out of order.
        """
        if index < len(self._parts):
            return self._parts[index]
        if index > self._wanted_part:
            raise CellError(f"a recording gives its parts in order: part {self._wanted_part} is next, not {index}")
        self._wanted_part = index + 1
        return None

    @property
    def waiting_for_part(self) -> bool:
        """A part was asked for and may still arrive."""
        return self._wanted_part > len(self._parts) and self._next is not None

    def start_probe(self, goal: ProbeGoal, session_id: str, part_id: str, index: int) -> None:
        """Answer this probe with the recorded one.

        Raises:
            CellError: another probe is being answered.
        """
        if self._asked is not None:
            raise CellError("a probe is being answered: wait for its result")
        self._asked = (goal, part_id, index)
        self.probe_phase = "replay"

    def cancel_probe(self) -> None:
        """A recording cannot be stopped half-way: the recorded result follows."""

    def measure_spectrum(self) -> None:
        """The spectra come when they were recorded."""

    def zero_wrench(self) -> None:
        """The recorded wrench stays as it was."""

    def close(self) -> None:
        """Forget the rest."""
        self._next = None

    def advance(self, duration_ns: int) -> list[Sample]:
        """Play on, up to the next part or probe that nobody has asked for.

        Raises:
            CellError: the recording holds another probe than the one asked for.
        """
        end = self.time_ns + duration_ns
        batch: list[Sample] = []
        while self._next is not None and self._next[0] <= end:
            time_ns, sample = self._next
            if isinstance(sample, PartArrival):
                if len(self._parts) >= self._wanted_part:
                    self.time_ns = max(self.time_ns, time_ns)
                    if not batch:
                        self._refuse_probe()
                    return batch
                self._parts.append(sample.part)
            else:
                # What came before a probe's end is given out first: an error must not take it along.
                if isinstance(sample, Execution) and (batch or not self._answers(sample)):
                    self.time_ns = max(self.time_ns, time_ns)
                    return batch
                batch.append(sample)
            self._next = next(self._timeline, None)
        if self._next is None and not batch:
            self._refuse_probe()
        self.time_ns = end
        return batch

    def _refuse_probe(self) -> None:
        """The recording goes no further with this part: what was asked for cannot be answered.

        Raises:
            CellError: a probe was asked for.
        """
        if self._asked is not None:
            goal, part_id, index = self._asked
            self._asked = None
            self.probe_phase = "idle"
            raise CellError(
                f"the recording holds no probe {index} on {part_id} ({goal.primitive.name}): replay with the strategy, "
                "the stop rule and the model of the recording"
            )

    def _answers(self, sample: Execution) -> bool:
        if self._asked is None:
            # Once the next part has been asked for, what is left of this one is no longer waited for.
            return self.waiting_for_part
        goal, part_id, index = self._asked
        recorded = f"probe {sample.index} on {sample.part_id} ({sample.execution.primitive.name})"
        if (goal.primitive, part_id, index) != (sample.execution.primitive, sample.part_id, sample.index):
            self._asked = None
            self.probe_phase = "idle"
            raise CellError(
                f"the recording holds {recorded}, asked for was probe {index} on {part_id} ({goal.primitive.name}): "
                "replay with the strategy and the number of probes of the recording"
            )
        self._asked = None
        self.probe_phase = "idle"
        return True
