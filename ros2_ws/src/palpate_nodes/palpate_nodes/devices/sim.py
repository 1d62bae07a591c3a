"""The `sim` backend: the simulated cell as a `Cell`."""

from __future__ import annotations

from typing import Any

from palpate_agents.observation import ProbeGoal
from palpate_agents.samples import Sample
from palpate_nodes.devices.cell import Part


class SimulatedCell:
    """Adapts `palpate_sim.cell.SimCell`: its parts keep their truth apart from what the agent is told."""

    def __init__(self, sim: Any, parts: int) -> None:
        """Wrap a `SimCell`.

        Args:
            sim: the cell; owned from now on.
            parts: how many parts there are; 0 means no end.
        """
        self._sim = sim
        self._parts = parts

    def present_part(self, session_id: str, index: int, material: str | None) -> Part | None:
        """Draw the next part and let it come to rest; None when there are no more."""
        if self._parts and index >= self._parts:
            return None
        presented = self._sim.present_part(session_id, index, material)
        part = presented.part
        truth = {
            "material": part.material,
            "condition": part.condition,
            "group": presented.part_id,
            "shape": part.shape,
            "mass_kg": float(part.mass_kg),
            "temperature_c": float(part.temperature_c),
            "seed": int(part.seed),
        }
        x, y, z = (float(value) for value in presented.position_m)
        return Part(presented.part_id, (x, y, z), truth)

    @property
    def waiting_for_part(self) -> bool:
        """Parts come at once."""
        return False

    @property
    def time_ns(self) -> int:
        """Simulated time."""
        return int(self._sim.time_ns)

    @property
    def probe_phase(self) -> str:
        """What the arm does now."""
        return str(self._sim.probe_phase)

    @property
    def contact_force_n(self) -> float:
        """Norm of the contact force now."""
        return float(self._sim.contact_force_n)

    def start_probe(self, goal: ProbeGoal, session_id: str, part_id: str, index: int) -> None:
        """Begin a probe."""
        self._sim.start_probe(goal, session_id, part_id, index)

    def cancel_probe(self) -> None:
        """Stop and retreat."""
        self._sim.cancel_probe()

    def advance(self, duration_ns: int) -> list[Sample]:
        """Step the simulation."""
        samples: list[Sample] = self._sim.advance(duration_ns)
        return samples

    def measure_spectrum(self) -> None:
        """One spectrum here and now."""
        self._sim.measure_spectrum()

    def zero_wrench(self) -> None:
        """Tare, refused in contact."""
        self._sim.zero_wrench()

    def close(self) -> None:
        """End the simulation and its renderer."""
        self._sim.close()
