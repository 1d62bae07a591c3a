"""Every topic, service and action name, with its type and quality of service, in one place.

Names are relative: nodes run in the namespace `/cell` by default.
"""

from __future__ import annotations

from dataclasses import dataclass

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import WrenchStamped
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import Header  # noqa: F401  (re-exported for callers that stamp messages)
from trajectory_msgs.msg import JointTrajectory

from palpate_interfaces.msg import (
    ContactBurst,
    DesignFeedback,
    HeatedTip,
    Inductive,
    KnowledgeUpdate,
    MaterialBelief,
    MaterialSignature,
    PartPresented,
    PartTruth,
    ProbeExecution,
    ProbeObservation,
    SimAck,
    SimTick,
    Spectrum,
)

NAMESPACE = "/cell"


def qos(depth: int, *, latched: bool = False, reliable: bool = True) -> QoSProfile:
    """Keep-last profile of the given depth; `latched` means transient local (late subscribers get the last)."""
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )


# Sensor streams are published reliably (a best-effort subscriber still matches): a recorder may not lose messages, and
# depth covers what lock-step lets be in flight.
STREAM = qos(50)
FAST_STREAM = qos(2000)
EVENT = qos(100)
LATCHED = qos(100, latched=True)


@dataclass(frozen=True)
class Topic:
    """A topic: relative (or absolute) name, message type and quality of service."""

    name: str
    type: type
    qos: QoSProfile


COLOR = Topic("camera/color/image_raw", Image, STREAM)
COLOR_INFO = Topic("camera/color/camera_info", CameraInfo, STREAM)
DEPTH = Topic("camera/aligned_depth_to_color/image_raw", Image, STREAM)
THERMAL = Topic("thermal_camera/image_raw", Image, STREAM)
THERMAL_INFO = Topic("thermal_camera/camera_info", CameraInfo, STREAM)
WRENCH = Topic("force_torque_sensor/wrench", WrenchStamped, FAST_STREAM)
TIP_BURST = Topic("force_torque_sensor/tip_burst", ContactBurst, EVENT)
SPECTRUM = Topic("spectrometer/spectrum", Spectrum, EVENT)
HEATED_TIP = Topic("heated_tip/state", HeatedTip, STREAM)
INDUCTIVE = Topic("inductive_sensor/reading", Inductive, FAST_STREAM)
JOINT_STATES = Topic("joint_states", JointState, FAST_STREAM)
JOINT_TRAJECTORY = Topic("joint_trajectory_controller/joint_trajectory", JointTrajectory, EVENT)
PROBE_EXECUTION = Topic("arm/probe_execution", ProbeExecution, EVENT)
PART_PRESENTED = Topic("part_presented", PartPresented, LATCHED)
PART_TRUTH = Topic("sim/part_truth", PartTruth, LATCHED)
PROBE_OBSERVATION = Topic("probe_observation", ProbeObservation, EVENT)
BELIEF = Topic("belief", MaterialBelief, EVENT)
SIGNATURE = Topic("signature", MaterialSignature, LATCHED)
KNOWLEDGE_UPDATE = Topic("knowledge_update", KnowledgeUpdate, EVENT)
DESIGN_FEEDBACK = Topic("design_feedback", DesignFeedback, EVENT)
DIAGNOSTICS = Topic("/diagnostics", DiagnosticArray, EVENT)
CLOCK = Topic("/clock", Clock, qos(10))
SIM_TICK = Topic("sim/tick", SimTick, qos(200))
SIM_ACK = Topic("sim/ack", SimAck, qos(200))

RAW_TOPICS = (
    COLOR, COLOR_INFO, DEPTH, THERMAL, THERMAL_INFO, WRENCH, TIP_BURST, SPECTRUM, HEATED_TIP, INDUCTIVE,
    JOINT_STATES, JOINT_TRAJECTORY, PROBE_EXECUTION, PART_PRESENTED, PART_TRUTH,
)  # fmt: skip
"""What a replay plays back."""
DERIVED_TOPICS = (PROBE_OBSERVATION, BELIEF, SIGNATURE, KNOWLEDGE_UPDATE, DESIGN_FEEDBACK)
"""What a replay computes anew."""
RECORDED_TOPICS = (*RAW_TOPICS, *DERIVED_TOPICS, DIAGNOSTICS)

PROBE_ACTION = "probe"
CHARACTERIZE_ACTION = "characterize_material"
PRESENT_PART_SERVICE = "present_part"
MATERIAL_HISTORY_SERVICE = "get_material_history"
REPORT_FAILURE_SERVICE = "report_failure"


def resolve(name: str, namespace: str = NAMESPACE) -> str:
    """Fully qualified name of a relative topic name."""
    return name if name.startswith("/") else f"{namespace.rstrip('/')}/{name}"


def stamp_ns(stamp: Time) -> int:
    """Nanoseconds since the epoch of the cell's clock."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def to_stamp(ns: int) -> Time:
    """Message stamp from nanoseconds."""
    return Time(sec=int(ns) // 1_000_000_000, nanosec=int(ns) % 1_000_000_000)
