"""A fixed row of probes on parts in the full cell, with everything that the batched cell needs to do the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from palpate_agents.observation import Modality, Primitive, ProbeExecution, ProbeGoal
from palpate_agents.probing.decoder import GoalArrays, SeenPart, encode
from palpate_sim.cell import CellConfig
from palpate_sim.devices import DeviceDraw
from palpate_sim.full_cell import FullCell
from palpate_sim.keyed import combine, keys_of, uniform
from palpate_sim.objects import Part

Array = NDArray[np.floating]

PARTS_PER_CELL = 6
"""Then come other devices."""
STEPS: dict[str, Primitive] = {
    "look": Primitive.LOOK,
    "tap": Primitive.TAP,
    "press": Primitive.PRESS,
    "slide": Primitive.SLIDE,
    "dwell_hot": Primitive.DWELL,
    "dwell_warm": Primitive.DWELL,
    "wipe": Primitive.WIPE,
    "look_wiped": Primitive.LOOK,
    "scratch": Primitive.SCRATCH,
    "look_scratched": Primitive.LOOK,
    "lift": Primitive.LIFT,
}
"""Probes of each part, in this order: the looks see what came before them."""
LOOKS_AT = {"look_wiped": "wipe", "look_scratched": "scratch"}
"""These look at the middle of the way of those."""
MAPS = ("coat", "label", "film_um", "dirt")


@dataclass(frozen=True)
class PartRun:
    """A part in the full cell.

    Attributes:
        part, devices: which.
        actions: (S, 7).
        goals: of them, N = 1 each, decoded on what was seen.
        seen: what that was.
        asked, executions: of each probe.
        features: of each probe, modality -> (F,).
        seconds: (S,).
        maps: of MAPS, (S + 1, 16, 16) before each probe and at the end.
        damage_m: (S,) deepest mark after each probe.
        steps: (S,) names in STEPS.
    """

    part: Part
    devices: DeviceDraw
    actions: Array
    goals: tuple[GoalArrays, ...]
    seen: tuple[SeenPart, ...]
    asked: tuple[ProbeGoal, ...]
    executions: tuple[ProbeExecution, ...]
    features: tuple[dict[Modality, Array], ...]
    seconds: Array
    maps: dict[str, Array]
    damage_m: Array
    steps: tuple[str, ...] = tuple(STEPS)

    @property
    def outcome(self) -> NDArray[np.int64]:
        """(S,) of `Outcome`."""
        return np.array([int(execution.outcome) for execution in self.executions])


def actions_of(part: Part, extent_m: Array, seed: int, steps: Sequence[str] = tuple(STEPS)) -> Array:
    """(S, 7) actions: random places on the inner half of the part, forces and speeds inside their ranges.

    Args:
        part: which.
        extent_m: (3,) as seen.
        seed: of the draws.
        steps: names in STEPS.
    """
    rows = []
    for name in steps:
        primitive = STEPS[name]
        key = combine(keys_of(seed, part.seed), "full_vs_batched", LOOKS_AT.get(name, name))
        u = uniform(key, "action", (8,))[0]
        place = (u[:2] - 0.5) * 0.5 * np.asarray(extent_m)[:2]
        action = encode(
            primitive, place, extent_m, standoff_m=0.012 + 0.05 * u[2], slide_m=0.012 + 0.006 * u[3], across=u[4] > 0.5,
            speed_m_s=0.025 + 0.012 * u[5], dwell_s=0.3 + 0.4 * u[6] if primitive is Primitive.PRESS else 1.5 + u[6],
            force_n=1.5 + 3.0 * u[7], pad_index=int(name == "dwell_hot"),
        )  # fmt: skip
        rows.append(action[0])
    return np.stack(rows)


def run_part(cell: FullCell, part: Part, seed: int, steps: Sequence[str] = tuple(STEPS)) -> PartRun:
    """Some STEPS on one part.

    Args:
        cell: the full cell.
        part: is laid in.
        seed: of the actions.
        steps: names in STEPS.
    """
    cell.present(part)
    actions = actions_of(part, np.array(cell.view.extent_m), seed, steps)
    goals, seen, probes, damage, maps = [], [], [], [], [_maps_of(cell)]
    for action in actions:
        seen.append(cell.seen)
        goals.append(cell.goals(action))
        probes.append(cell.act(action))
        damage.append(cell.damage_m)
        maps.append(_maps_of(cell))
    return PartRun(
        part, cell.devices, actions, tuple(goals), tuple(seen), tuple(probe.goal for probe in probes),
        tuple(probe.execution for probe in probes),
        tuple({m: np.asarray(v, float) for m, v in probe.features.values.items()} for probe in probes),
        np.array([probe.seconds for probe in probes]), {name: np.stack([one[name] for one in maps]) for name in MAPS},
        np.array(damage), tuple(steps),
    )  # fmt: skip


def _maps_of(cell: FullCell) -> dict[str, Array]:
    return {name: getattr(cell.maps, name)[0].copy() for name in MAPS}


def full_probes(
    parts: Sequence[Part], seed: int, config: CellConfig | None = None,
    progress: Callable[[int, int], None] | None = None, steps: Sequence[str] = tuple(STEPS),
) -> list[PartRun]:  # fmt: skip
    """STEPS on some parts, one after the other, in the full cell; about 12 s each on two cores.

    Args:
        parts: of geometries in the part library.
        seed: of devices, noise and actions.
        config: of the cell.
        progress: called with parts done and parts in all.
        steps: names in STEPS.
    """
    runs: list[PartRun] = []
    for first in range(0, len(parts), PARTS_PER_CELL):
        with FullCell(seed + first, config) as cell:
            for part in parts[first : first + PARTS_PER_CELL]:
                runs.append(run_part(cell, part, seed, steps))
                if progress is not None:
                    progress(len(runs), len(parts))
    return runs
