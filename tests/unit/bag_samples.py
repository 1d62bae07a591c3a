"""Messages for the bag tests, serialised by `rosbags` (not by ROS) from the definitions that we put into bags."""

from functools import cache
from pathlib import Path

import numpy as np
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from palpate_nodes.bag.definitions import definition, type_hash
from palpate_nodes.bag.metadata import TopicSpec, qos_entry
from palpate_nodes.bag.splits import SplitLimits
from palpate_nodes.bag.writer import BagWriter, WriterLimits

WRENCH = "geometry_msgs/msg/WrenchStamped"
SPECTRUM = "palpate_interfaces/msg/Spectrum"
IMAGE = "sensor_msgs/msg/Image"
EXECUTION = "palpate_interfaces/msg/ProbeExecution"
NAMES = {
    "/cell/force_torque_sensor/wrench": WRENCH,
    "/cell/spectrometer/spectrum": SPECTRUM,
    "/cell/camera/color/image_raw": IMAGE,
    "/cell/arm/probe_execution": EXECUTION,
}
START_NS = 1_700_000_000_000_000_000
CUSTOM = {"palpate.session_id": "test-1", "palpate.version": "0.1.0", "palpate.model_hash.fusion": "ab" * 32}
SMALL = WriterLimits(
    split=SplitLimits(file_bytes=1 << 30, chunk_bytes=4096, chunk_span_ns=10**18),
    queue_bytes=64 << 20,
    min_free_bytes=0,
)


@cache
def typestore():
    store = get_typestore(Stores.EMPTY)
    for name in NAMES.values():
        store.register(get_types_from_msg(definition(name), name))
    return store


def _header(stamp_ns, frame="tool"):
    types = typestore().types
    time = types["builtin_interfaces/msg/Time"](sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
    return types["std_msgs/msg/Header"](stamp=time, frame_id=frame)


def make(type_name, stamp_ns, number):
    types = typestore().types
    vector, point = types["geometry_msgs/msg/Vector3"], types["geometry_msgs/msg/Point"]
    if type_name == WRENCH:
        wrench = types["geometry_msgs/msg/Wrench"](force=vector(number, 0.25, -1.5), torque=vector(0.0, 1e-3, number))
        return types[WRENCH](header=_header(stamp_ns), wrench=wrench)
    if type_name == SPECTRUM:
        return types[SPECTRUM](
            header=_header(stamp_ns, "fibre"),
            device_serial=f"serial-{number}",
            kind=1,
            wavelength_nm=np.linspace(900, 1700, 228, dtype=np.float32),
            values=np.full(228, number / 7, dtype=np.float32),
            integration_time_s=0.25,
            scans_averaged=6,
            saturation=0.0,
        )
    if type_name == IMAGE:
        pixels = np.random.default_rng(number).integers(0, 255, 24 * 32 * 3, dtype=np.uint8)
        return types[IMAGE](_header(stamp_ns, "camera"), 24, 32, "rgb8", 0, 96, pixels)
    time = types["builtin_interfaces/msg/Time"]
    return types[EXECUTION](
        header=_header(stamp_ns), session_id="test-1", part_id=f"part-{number}", index=number, primitive=2, outcome=0,
        message="äöü", window_start=time(1, 2), window_end=time(3, 4), contact_time=time(0, 0),
        contact_point=point(0.1, 0.2, 0.3), contact_normal=vector(0.0, 0.0, 1.0), speed_m_s=0.1, slide_distance_m=0.0,
        dwell_s=0.0, max_force_n=float(number), pad_index=1, pad_contact_area_m2=1.44e-4,
    )  # fmt: skip


def serialise(type_name, stamp_ns, number=0):
    return bytes(typestore().serialize_cdr(make(type_name, stamp_ns, number), type_name))


def spec(name, type_name):
    return TopicSpec(name, type_name, definition(type_name), type_hash(type_name), (qos_entry(depth=50),))


def stream(count):
    """(topic, log ns, bytes): wrenches at 1 kHz with a spectrum, an execution and a picture now and then."""
    for i in range(count):
        stamp = START_NS + i * 1_000_000
        yield "/cell/force_torque_sensor/wrench", stamp, serialise(WRENCH, stamp, i)
        if i % 50 == 10:
            yield "/cell/spectrometer/spectrum", stamp, serialise(SPECTRUM, stamp, i)
        if i % 100 == 60:
            yield "/cell/arm/probe_execution", stamp, serialise(EXECUTION, stamp, i)
        if i % 100 == 20:
            yield "/cell/camera/color/image_raw", stamp, serialise(IMAGE, stamp, i)


def declare(writer):
    return {name: writer.add_topic(spec(name, type_name)) for name, type_name in NAMES.items()}


def record(directory: Path, count: int, limits: WriterLimits = SMALL):
    """Record `count` wrenches and what goes with them; returns the messages as `(topic, log ns, bytes)`."""
    writer = BagWriter(directory, CUSTOM, limits)
    channels = declare(writer)
    messages = list(stream(count))
    for topic, stamp, data in messages:
        assert writer.write(channels[topic], stamp, stamp - 5, data)
    writer.close()
    return messages
