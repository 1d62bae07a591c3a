"""What the report knows of a session and its parts, free of messages and topics."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from palpate_nodes.results import PartResult, SessionResults


@dataclass
class ProbeRecord:
    """One executed probe. Times are seconds since the part was presented; primitive and outcome are names."""

    index: int
    primitive: str
    outcome: str
    message: str
    start_s: float
    end_s: float
    contact_s: float | None
    max_force_n: float
    reliabilities: dict[str, tuple[float, str]] = field(default_factory=dict)  # modality -> (0..1, why below 1)


@dataclass(frozen=True)
class BeliefRecord:
    """Belief after some probes: label -> probability."""

    probes: int
    probabilities: dict[str, float]


@dataclass(frozen=True)
class SignatureRecord:
    """The result for a part; `properties` are (name with unit, value, standard deviation).

    `conditions` are name -> probability, `contributions` modality -> nats; `novelty` is (value, limit of known parts),
    None where the model does not tell.
    """

    material: str
    abstained: bool
    reason: str
    confidence: float
    probabilities: dict[str, float]
    properties: tuple[tuple[str, float, float], ...]
    label_set: str
    model_name: str
    model_hash: str
    feature_version: str
    conditions: dict[str, float] = field(default_factory=dict)
    novelty: tuple[float, float] | None = None
    contributions: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class SpectrumRecord:
    """(C,) wavelengths in nm, ascending, and values: reflectance, or counts."""

    wavelength_nm: NDArray[np.float64]
    values: NDArray[np.float64]
    is_reflectance: bool


@dataclass(frozen=True)
class BurstRecord:
    """Acceleration (S,) of the tip in m/s2 around one tap; times in ms from its first sample."""

    times_ms: NDArray[np.float64]
    acceleration_m_s2: NDArray[np.float64]
    impact_speed_m_s: float


@dataclass(frozen=True)
class ForceTrace:
    """Least and largest force in each of B time slices: (B,) s since the part was presented, (B,) N."""

    times_s: NDArray[np.float64]
    low_n: NDArray[np.float64]
    high_n: NDArray[np.float64]


@dataclass
class PartRecord:
    """Everything that was recorded of one part; None or empty where nothing was.

    Attributes:
        result: row of the results.
        start_ns, end_ns: from its presentation to that of the next part, ns on the cell's clock.
        logged_ns: log times of the first and the last message about it.
        facts: what is known of the part itself, in words (shape, mass, temperature).
        color: (H, W, 3) uint8; depth_mm: (H, W) uint16; thermal_before_c, thermal_after_c: (h, w) float32, before the
            first contact and after the last dwell with a warm pad.
    """

    result: PartResult
    start_ns: int = 0
    end_ns: int = 0
    logged_ns: tuple[int, int] = (0, 0)
    facts: list[str] = field(default_factory=list)
    probes: list[ProbeRecord] = field(default_factory=list)
    beliefs: list[BeliefRecord] = field(default_factory=list)
    signature: SignatureRecord | None = None
    spectra: list[SpectrumRecord] = field(default_factory=list)
    bursts: list[BurstRecord] = field(default_factory=list)
    color: NDArray[np.uint8] | None = None
    depth_mm: NDArray[np.uint16] | None = None
    thermal_before_c: NDArray[np.float32] | None = None
    thermal_after_c: NDArray[np.float32] | None = None
    force: ForceTrace | None = None


@dataclass
class SessionRecord:
    """A session, ready to be shown.

    Attributes:
        results: the figures.
        parts: in order; the same as `results.parts`.
        notes: what is incomplete, one sentence each.
        bag_bytes, bag_seconds, bag_messages: size of the recording; dropped: messages that it lost.
    """

    results: SessionResults
    parts: list[PartRecord]
    notes: list[str] = field(default_factory=list)
    bag_bytes: int = 0
    bag_seconds: float = 0.0
    bag_messages: int = 0
    dropped: int = 0
