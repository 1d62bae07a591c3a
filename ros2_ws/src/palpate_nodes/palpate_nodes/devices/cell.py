"""What a cell is to the devices: one thing that owns time, and gives every sensor's samples in stamp order.

`palpate_sim.cell.SimCell` is one, `RecordedCell` (a bag or a data folder) another. A physical cell needs none: there
each device has its own backend and time runs by itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from palpate_agents import samples
from palpate_agents.errors import DeviceError
from palpate_agents.observation import ProbeGoal
from palpate_nodes.devices.base import Device


@dataclass(frozen=True)
class Part:
    """A part that lies in the cell, with its truth where somebody knows it (never given to the agent).

    Attributes:
        part_id: name, unique in the session.
        position_m: (3,) nominal place, base frame, metres.
        truth: material, condition, group, shape, mass_kg, temperature_c, seed; empty when unknown.
    """

    part_id: str
    position_m: tuple[float, float, float]
    truth: dict[str, Any]


class Cell(Protocol):
    """Owner of time and of every sensor."""

    @property
    def time_ns(self) -> int:
        """The cell's time."""

    @property
    def probe_phase(self) -> str:
        """What the arm does now; `idle` when it does nothing."""

    @property
    def contact_force_n(self) -> float:
        """Norm of the quasi-static contact force now, N."""

    @property
    def waiting_for_part(self) -> bool:
        """A part was asked for and may still arrive as time runs."""

    def present_part(self, session_id: str, index: int, material: str | None) -> Part | None:
        """The part of that number; None when there is none left or when it has not arrived yet."""

    def start_probe(self, goal: ProbeGoal, session_id: str, part_id: str, index: int) -> None:
        """Begin a probe; its end arrives as an `Execution` sample."""

    def cancel_probe(self) -> None:
        """Stop and retreat; ends as an `Execution` with outcome CANCELLED."""

    def advance(self, duration_ns: int) -> list[samples.Sample]:
        """Let time run; returns what the sensors gave. `time_ns` may move less than asked (a paused recording)."""

    def measure_spectrum(self) -> None:
        """Ask for one spectrum here and now."""

    def zero_wrench(self) -> None:
        """Take the present wrench as zero."""

    def close(self) -> None:
        """Release everything."""


class CellDevice(Device[Any]):
    """Backend `sim` and `recorded` of every port: fed by a cell with the samples of its kinds."""

    def __init__(self, name: str, kinds: tuple[type[samples.Sample], ...]) -> None:
        super().__init__(name)
        self.kinds = kinds


class ArmDevice(CellDevice):
    """The arm of a cell."""

    def __init__(self, cell: Cell) -> None:
        super().__init__("arm", (samples.Joints, samples.Execution, samples.JointPath))
        self._cell = cell

    def start_probe(self, goal: ProbeGoal, session_id: str, part_id: str, index: int) -> None:
        """Begin a probe.

        Raises:
            CellError: one is running, or a recording holds another.
        """
        self._cell.start_probe(goal, session_id, part_id, index)

    def cancel(self) -> None:
        """Stop and retreat."""
        self._cell.cancel_probe()

    @property
    def phase(self) -> str:
        """What the arm does now."""
        return self._cell.probe_phase

    @property
    def contact_force_n(self) -> float:
        """Norm of the quasi-static contact force now, N."""
        return self._cell.contact_force_n


class SpectrometerDevice(CellDevice):
    """The spectrometer of a cell."""

    def __init__(self, cell: Cell) -> None:
        super().__init__("spectrometer", (samples.Spectrum,))
        self._cell = cell

    def measure(self) -> None:
        """Ask for one spectrum."""
        self._cell.measure_spectrum()


class ForceTorqueDevice(CellDevice):
    """The force/torque sensor of a cell."""

    def __init__(self, cell: Cell) -> None:
        super().__init__("force/torque sensor", (samples.Wrench, samples.Burst))
        self._cell = cell

    def zero(self) -> None:
        """Take the present wrench as zero.

        Raises:
            CellError: the tool is in contact.
        """
        self._cell.zero_wrench()


def route(devices: Iterable[CellDevice], batch: Iterable[samples.Sample]) -> None:
    """Give each sample to the device that it belongs to.

    Raises:
        DeviceError: a sample that no device takes.
    """
    by_kind = {kind: device for device in devices for kind in device.kinds}
    for sample in batch:
        try:
            by_kind[type(sample)].push(sample)
        except KeyError:
            raise DeviceError(f"no device takes samples of kind {type(sample).__name__}") from None
