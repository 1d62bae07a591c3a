"""Force over time for people: without the tool's weight, and small enough to draw without losing a spike."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from palpate_agents.observation import Frame
from palpate_nodes.report.records import ForceTrace, ProbeRecord
from palpate_sim.kinematics import Chain, UrdfModel

SLICES = 700
"""Time slices of a force trace: about one per pixel."""
STILL_RAD_S = 0.02
"""Below this speed of every joint the arm is at rest: the sensor carries the tool's weight and nothing else."""
Array = NDArray[np.float64]


def force_of(data: bytes) -> tuple[float, float, float]:
    """Force in N of a serialised WrenchStamped. A thousand a second: read in place, where a decoder takes 20 us each.

    CDR: encapsulation (4 bytes), stamp (8), frame id (length, text), then doubles aligned to 8 from the encapsulation.
    """
    order = "<" if data[1] & 1 else ">"
    (length,) = struct.unpack_from(f"{order}I", data, 12)
    return struct.unpack_from(f"{order}3d", data, 4 + (12 + length + 7) // 8 * 8)


def up_in_sensor(names: Sequence[str], positions: Array) -> Array | None:
    """(J, 3) direction of up in the force/torque sensor's frame for (J, K) joint positions, rad.

    None when the joints are not those of the cell's arm.
    """
    chain = _chain()
    if not set(chain.names) <= set(names):
        return None
    columns = [list(names).index(name) for name in chain.names]
    return np.array([chain.forward(q)[2, :3] for q in positions[:, columns]])


@lru_cache(maxsize=1)
def _chain() -> Chain:
    return Chain(UrdfModel(), Frame.FORCE_TORQUE)


def tool_force(rows: Array, joint_times_s: Array, up: Array | None, rest: NDArray[np.bool_]) -> Array:
    """(W, 3) what the sensor reads without contact, N: `w up + b`, weight and bias fitted to the arm at rest.

    Args:
        rows: (W, 4) s, N, N, N.
        joint_times_s: (J,) s.
        up: (J, 3) direction of up in the sensor's frame; None: the median is taken for the whole.
        rest: (W,) samples at which the arm is at rest and touches nothing.
    """
    forces = rows[:, 1:]
    usable = rest if rest.any() else np.ones(len(rows), bool)
    if up is None or rest.sum() < 20:
        return np.broadcast_to(np.median(forces[usable], axis=0), forces.shape)
    at = np.stack([np.interp(rows[:, 0], joint_times_s, up[:, axis]) for axis in range(3)], axis=1)
    # Unknowns w, bx, by, bz. Poses that hardly differ leave w undetermined: the least-norm solution is right for them.
    known = np.concatenate([at[usable].reshape(-1, 1), np.tile(np.eye(3), (int(usable.sum()), 1))], axis=1)
    solution, *_ = np.linalg.lstsq(known, forces[usable].reshape(-1), rcond=1e-3)
    return solution[0] * at + solution[1:]


def resting(times_s: Array, joint_times_s: Array, positions: Array, probes: Sequence[ProbeRecord]) -> NDArray[np.bool_]:
    """(W,) where the arm neither moves, nor probes, nor holds the part.

    Args:
        times_s: (W,) s.
        joint_times_s: (J,) s; may be empty.
        positions: (J, K) rad.
        probes: their windows do not count, nor what follows a lift.
    """
    free = np.ones(times_s.size, bool)
    for probe in probes:
        end = np.inf if probe.primitive in ("LIFT", "PLACE") else probe.end_s
        free &= (times_s < probe.start_s) | (times_s > end)
    if joint_times_s.size > 2:
        speed = np.abs(np.gradient(positions, joint_times_s, axis=0)).max(axis=1)
        free &= np.interp(times_s, joint_times_s, speed) < STILL_RAD_S
    return free


def force_trace(rows: Array, tool: Array) -> ForceTrace:
    """Norm of the contact force: least and largest in each time slice.

    Args:
        rows: (W, 4) s, N, N, N.
        tool: (W, 3) what the sensor reads without contact, N.
    """
    order = np.argsort(rows[:, 0], kind="stable")
    norm = np.linalg.norm(rows[:, 1:] - tool, axis=1)[order]
    edges = np.unique(np.linspace(0, order.size, min(SLICES, order.size) + 1).astype(int)[:-1])
    return ForceTrace(rows[order[edges], 0], np.minimum.reduceat(norm, edges), np.maximum.reduceat(norm, edges))
