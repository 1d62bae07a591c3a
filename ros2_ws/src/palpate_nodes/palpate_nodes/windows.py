"""Cuts the sensors' windows around a probe out of the raw streams, by stamp.

Messages are kept serialised and only those inside a window are decoded: at 1 kHz most are never looked at. Numbers of
streams are read from the serialised messages as whole columns where these share one layout, see `cdr`.
"""

from __future__ import annotations

import bisect
import itertools
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
from rclpy.serialization import deserialize_message

from palpate_agents.errors import DataError
from palpate_agents.observation import Frame, Primitive, ProbeExecution, ProbeWindows
from palpate_nodes import cdr, convert, topics
from palpate_nodes.lockstep import raw_stamp_ns
from palpate_sim.kinematics import Chain, UrdfModel

WINDOW_TOPICS = (
    topics.COLOR, topics.COLOR_INFO, topics.DEPTH, topics.THERMAL, topics.THERMAL_INFO, topics.WRENCH,
    topics.TIP_BURST, topics.SPECTRUM, topics.HEATED_TIP, topics.INDUCTIVE, topics.JOINT_STATES,
)  # fmt: skip


T = TypeVar("T")
WRENCH_FIELDS = tuple(f"wrench.{kind}.{axis}" for kind in ("force", "torque") for axis in "xyz")
PAD_FIELDS = ("temperature_c", "setpoint_c", "heater_power_w")
COIL_FIELDS = ("inductance_change", "resistance_change")


class Columns(NamedTuple):
    """Numbers of the messages of a span.

    Attributes:
        stamps: ns, oldest first.
        first: the oldest message, decoded.
        values: per field an array (n,) or (n, k) in the type of the field.
    """

    stamps: list[int]
    first: Any
    values: list[np.ndarray]


class StreamBuffer:
    """Serialised messages of one topic, in stamp order, no older than `keep_s` behind the newest."""

    def __init__(self, message_type: type, keep_s: float) -> None:
        self._type = message_type
        self._keep_ns = int(keep_s * 1e9)
        self._stamps: deque[int] = deque()
        self._data: deque[bytes] = deque()
        self.rejected = 0

    @property
    def last_ns(self) -> int:
        """Stamp of the newest message, -1 when there is none."""
        return self._stamps[-1] if self._stamps else -1

    def add(self, data: bytes) -> int:
        """Keep a message; returns its stamp. One that is older than its predecessor is counted and refused."""
        stamp = raw_stamp_ns(data)
        if self._stamps and stamp < self._stamps[-1]:
            self.rejected += 1
            return stamp
        self._stamps.append(stamp)
        self._data.append(data)
        while self._stamps[0] < stamp - self._keep_ns:
            self._stamps.popleft()
            self._data.popleft()
        return stamp

    def between(self, start_ns: int, end_ns: int) -> list[tuple[int, Any]]:
        """(stamp, message) with start <= stamp <= end, oldest first, decoded."""
        stamps, data = self.raw_between(start_ns, end_ns)
        return [(stamp, deserialize_message(one, self._type)) for stamp, one in zip(stamps, data, strict=True)]

    def raw_between(self, start_ns: int, end_ns: int) -> tuple[list[int], list[bytes]]:
        """Stamps and serialised messages with start <= stamp <= end, oldest first."""
        low, high = bisect.bisect_left(self._stamps, start_ns), bisect.bisect_right(self._stamps, end_ns)
        return _span(self._stamps, low, high), _span(self._data, low, high)

    def columns(self, start_ns: int, end_ns: int, paths: Sequence[str]) -> Columns | None:
        """Numbers of the messages with start <= stamp <= end; None without one, or when they must be decoded singly."""
        stamps, data = self.raw_between(start_ns, end_ns)
        found = cdr.columns(data, self._type, paths) if data else None
        return None if found is None else Columns(stamps, *found)

    def last_in(self, start_ns: int, end_ns: int) -> tuple[int, Any] | None:
        """The newest message of that span; only this one is decoded."""
        high = bisect.bisect_right(self._stamps, end_ns)
        if high == 0 or self._stamps[high - 1] < start_ns:
            return None
        return self._stamps[high - 1], deserialize_message(self._data[high - 1], self._type)


def _span(values: deque[T], low: int, high: int) -> list[T]:
    # From the end: a window is asked for soon after it closed, with much older data in front of it.
    return list(itertools.islice(reversed(values), len(values) - high, len(values) - low))[::-1]


class WindowCutter:
    """All streams of the cell, and the cutting of `ProbeWindows`."""

    def __init__(self, urdf: UrdfModel, keep_s: float = 25.0) -> None:
        self._tip = Chain(urdf, Frame.BALL_TIP, Frame.BASE)
        self._sensor = Chain(urdf, Frame.FORCE_TORQUE, Frame.BASE)
        in_base = np.linalg.inv(urdf.fixed_transform(Frame.BASE))
        self._poses = {frame: in_base @ urdf.fixed_transform(frame) for frame in (Frame.CAMERA, Frame.THERMAL_CAMERA)}
        self.streams = {topic.name: StreamBuffer(topic.type, keep_s) for topic in WINDOW_TOPICS}

    def add(self, topic: topics.Topic) -> Callable[[bytes], int]:
        """Callback for a raw subscription; returns the stamp."""
        return self.streams[topic.name].add

    def last_ns(self) -> dict[str, int]:
        """Newest stamp per topic."""
        return {name: stream.last_ns for name, stream in self.streams.items()}

    def cut(self, execution: ProbeExecution) -> ProbeWindows:
        """Windows of one probe.

        Args:
            execution: what the arm did, with the window's start and end.

        Returns:
            windows; a sensor that gave nothing leaves its fields empty.
        """
        start, end = execution.window_start_ns, execution.window_end_ns
        origin = execution.contact_time_ns or start
        windows = ProbeWindows()
        self._pictures(windows, start, end)
        self._thermal(windows, start, end, origin)
        self._wrench(windows, start, end, origin)
        self._joints(windows, start, end, origin)
        bursts = self.streams[topics.TIP_BURST.name].between(start, end)
        if bursts:
            windows.burst = convert.burst_of(bursts[-1][1])
        windows.spectra = [convert.spectrum_of(m) for _, m in self.streams[topics.SPECTRUM.name].between(start, end)]
        self._pads(windows, start, end, origin)
        if execution.primitive is Primitive.DWELL:
            self._inductive(windows, start, end, origin, execution.pad_index)
        return windows

    def thermal_picture(self, start_ns: int, end_ns: int) -> np.ndarray | None:
        """Last thermal picture of a span, (h, w) degrees Celsius."""
        found = self.streams[topics.THERMAL.name].last_in(start_ns, end_ns)
        return None if found is None else convert.image_pixels(found[1])

    def _pictures(self, windows: ProbeWindows, start: int, end: int) -> None:
        depth = self.streams[topics.DEPTH.name].last_in(start, end)
        if depth is None:
            return
        # Colour and info of the very same frame: depth is only meaningful with its own picture.
        color = self.streams[topics.COLOR.name].last_in(depth[0], depth[0])
        info = self.streams[topics.COLOR_INFO.name].last_in(depth[0], depth[0])
        if color is None or info is None:
            return
        windows.color = convert.image_pixels(color[1])
        windows.depth_m = convert.image_pixels(depth[1]).astype(np.float32) / 1000.0
        windows.camera = convert.geometry(info[1], self._pose(depth[1].header.frame_id, Frame.CAMERA))

    def _thermal(self, windows: ProbeWindows, start: int, end: int, origin: int) -> None:
        frames = self.streams[topics.THERMAL.name].between(start, end)
        info = self.streams[topics.THERMAL_INFO.name].last_in(start, end)
        if not frames or info is None:
            return
        windows.thermal_times_s = _seconds([stamp for stamp, _ in frames], origin)
        windows.thermal_c = np.stack([convert.image_pixels(message) for _, message in frames])
        pose = self._pose(frames[-1][1].header.frame_id, Frame.THERMAL_CAMERA)
        windows.thermal_camera = convert.geometry(info[1], pose)

    def _wrench(self, windows: ProbeWindows, start: int, end: int, origin: int) -> None:
        stream = self.streams[topics.WRENCH.name]
        found = stream.columns(start, end, WRENCH_FIELDS)
        if found is not None:
            windows.wrench_times_s = _seconds(found.stamps, origin)
            windows.wrench = np.stack(found.values, axis=1)
        elif wrenches := stream.between(start, end):
            windows.wrench_times_s = _seconds([stamp for stamp, _ in wrenches], origin)
            windows.wrench = np.array([convert.wrench_values(message) for _, message in wrenches])

    def _joints(self, windows: ProbeWindows, start: int, end: int, origin: int) -> None:
        stream, names = self.streams[topics.JOINT_STATES.name], self._tip.names
        found = stream.columns(start, end, ("position",))
        if found is not None and len(found.first.name) == len(found.first.position):
            column = {name: number for number, name in enumerate(found.first.name)}
            stamps, positions = found.stamps, found.values[0][:, [column[name] for name in names]]
        else:
            joints = stream.between(start, end)
            if not joints:
                return
            rows = [dict(zip(message.name, message.position, strict=True)) for _, message in joints]
            stamps = [stamp for stamp, _ in joints]
            positions = np.array([[row[name] for name in names] for row in rows])
        tips, sensors = self._tip.forward_rows(positions, self._sensor)
        windows.joint_times_s = _seconds(stamps, origin)
        windows.joint_positions = np.ascontiguousarray(positions)
        windows.tip_positions_m = tips[:, :3, 3].copy()
        windows.sensor_rotation = sensors[:, :3, :3].copy()

    def _pads(self, windows: ProbeWindows, start: int, end: int, origin: int) -> None:
        stream = self.streams[topics.HEATED_TIP.name]
        found = stream.columns(start, end, PAD_FIELDS)
        if found is not None:
            stamps, values = found.stamps, found.values
        else:
            states = stream.between(start, end)
            if not states:
                return
            stamps = [stamp for stamp, _ in states]
            values = [np.array([getattr(message, name) for _, message in states]) for name in PAD_FIELDS]
        windows.pad_times_s = _seconds(stamps, origin)
        windows.pad_temperature_c, windows.pad_setpoint_c, windows.pad_power_w = values

    def _inductive(self, windows: ProbeWindows, start: int, end: int, origin: int, pad: int) -> None:
        """Readings of the coil in the pad that touched; NaN where a message lacks it."""
        stream = self.streams[topics.INDUCTIVE.name]
        found = stream.columns(start, end, COIL_FIELDS)
        if found is not None and all(pad < values.shape[1] for values in found.values):
            windows.inductive_times_s = _seconds(found.stamps, origin)
            windows.inductive = np.stack([values[:, pad] for values in found.values], axis=1).astype(np.float64)
        elif readings := stream.between(start, end):
            windows.inductive_times_s = _seconds([stamp for stamp, _ in readings], origin)
            windows.inductive = np.array([convert.coil_values(message, pad) for _, message in readings])

    def _pose(self, frame_id: str, expected: Frame) -> np.ndarray:
        if frame_id != expected:
            raise DataError(f"picture in frame '{frame_id}', expected '{expected}': check the driver's frame parameter")
        return self._poses[expected]


def _seconds(stamps: list[int], origin: int) -> np.ndarray:
    return (np.array(stamps, dtype=np.int64) - origin) / 1e9
