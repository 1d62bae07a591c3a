"""Parts that were probed in the simulated full cell: raw windows, and the messages that they came from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from rclpy.serialization import serialize_message

from palpate_agents import samples
from palpate_agents.observation import Frame, ProbeExecution, ProbeWindows
from palpate_nodes import convert, topics
from palpate_sim.benchmarks.full_runs import actions_of
from palpate_sim.full_cell import FullCell
from palpate_sim.keyed import keys_of
from palpate_sim.kinematics import ARM_JOINTS, FINGER_JOINTS
from palpate_sim.library import placement
from palpate_sim.objects import draw_parts

STEPS = ("look", "tap", "press", "slide", "dwell_hot", "dwell_warm", "look_wiped", "lift")
"""After the overview; with it nine probes, the longest sequence of the training data."""
PROBES = 1 + len(STEPS)
PARTS_PER_CELL = 6
"""Then come other devices."""

Messages = tuple[tuple[topics.Topic, bytes], ...]


@dataclass(frozen=True)
class RecordedPart:
    """A part and its probes, oldest first.

    Attributes:
        position_m: (3,) where it was said to lie, base frame.
        probes: what the arm did, and the windows around it.
    """

    position_m: tuple[float, float, float]
    probes: tuple[tuple[ProbeExecution, ProbeWindows], ...]


def record_parts(count: int, seed: int, progress: Callable[[int, int], None]) -> list[RecordedPart]:
    """Probe parts of the usual mix in the full cell with pictures, about 12 s each.

    Args:
        count: of parts.
        seed: of parts, devices, noise and places.
        progress: called with parts done and parts in all.
    """
    batch = draw_parts(keys_of(seed, np.arange(count)))
    recorded: list[RecordedPart] = []
    for first in range(0, count, PARTS_PER_CELL):
        with FullCell(seed + first) as cell:
            for number in range(first, min(first + PARTS_PER_CELL, count)):
                part = batch.part(number, number)
                probes = [cell.present(part)]
                for action in actions_of(part, np.array(cell.view.extent_m), seed, STEPS):
                    probes.append(cell.act(action))
                x, y, _ = placement(part.geometry_class, part.geometry_id)
                recorded.append(RecordedPart((x, y, 0.0), tuple((p.execution, p.windows) for p in probes)))
                progress(len(recorded), count)
    return recorded


def messages_of(execution: ProbeExecution, windows: ProbeWindows) -> Messages:
    """The serialised messages of a window, in the order of their stamps; of the pictures in colour only the last.

    Args:
        execution: what the arm did.
        windows: cut around it.
    """
    origin = execution.contact_time_ns or execution.window_start_ns
    found: list[tuple[int, topics.Topic, bytes]] = []

    def add(topic: topics.Topic, stamp_ns: int, message: object) -> None:
        found.append((stamp_ns, topic, serialize_message(message)))

    for stamp, wrench in _stamped(windows.wrench_times_s, windows.wrench, origin):
        add(topics.WRENCH, stamp, convert.wrench_message(samples.Wrench(stamp, wrench)))
    names, still = (*ARM_JOINTS, *FINGER_JOINTS), np.zeros(len(FINGER_JOINTS))
    for stamp, arm in _stamped(windows.joint_times_s, windows.joint_positions, origin):
        position = np.concatenate([arm, still])
        joints = samples.Joints(stamp, names, position, 0.0 * position, 0.0 * position)
        add(topics.JOINT_STATES, stamp, convert.joint_message(joints))
    pads = np.stack([windows.pad_setpoint_c, windows.pad_temperature_c, windows.pad_power_w], axis=1)
    for stamp, state in _stamped(windows.pad_times_s, pads, origin):
        tip = samples.HeatedTipState(stamp, state[0], state[1], state[2], np.zeros(2, np.bool_))
        add(topics.HEATED_TIP, stamp, convert.heated_tip_message(tip))
    end = execution.window_end_ns
    if windows.burst is not None:
        add(topics.TIP_BURST, end, convert.burst_message(samples.Burst(end, windows.burst)))
    for spectrum in windows.spectra:
        add(topics.SPECTRUM, end, convert.spectrum_message(samples.Spectrum(end, spectrum)))
    _add_pictures(windows, origin, end, add)
    return tuple((topic, data) for _, topic, data in sorted(found, key=lambda one: one[0]))


def _add_pictures(
    windows: ProbeWindows, origin: int, end: int, add: Callable[[topics.Topic, int, object], None]
) -> None:
    if windows.color is not None and windows.depth_m is not None and windows.camera is not None:
        depth_mm = np.rint(1000.0 * windows.depth_m).astype(np.uint16)
        frame = samples.RgbdFrame(end, windows.color, depth_mm, windows.camera)
        info = convert.camera_info(end, Frame.CAMERA, windows.camera, *depth_mm.shape)
        add(topics.COLOR_INFO, end, info)
        add(topics.COLOR, end, convert.color_message(frame))
        add(topics.DEPTH, end, convert.depth_message(frame))
    camera = windows.thermal_camera
    if camera is None:
        return
    for stamp, celsius in _stamped(windows.thermal_times_s, windows.thermal_c, origin):
        add(topics.THERMAL_INFO, stamp, convert.camera_info(stamp, Frame.THERMAL_CAMERA, camera, *celsius.shape))
        add(topics.THERMAL, stamp, convert.thermal_message(samples.ThermalFrame(stamp, celsius, camera)))


def _stamped(times_s: np.ndarray, values: np.ndarray, origin_ns: int) -> Sequence[tuple[int, np.ndarray]]:
    stamps = origin_ns + np.rint(1e9 * np.asarray(times_s, np.float64)).astype(np.int64)
    return list(zip(stamps.tolist(), values, strict=True))
