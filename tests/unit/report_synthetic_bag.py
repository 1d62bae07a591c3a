"""A recorded session made up for the tests of the report: every topic, no ROS, written by mcap-ros2-support."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from mcap_ros2.writer import Writer

from palpate_nodes.bag.definitions import definition
from palpate_nodes.results import PartResult, ProbeResult, SessionResults, write_results
from palpate_sim.objects import DeviceDraw, PartBatch, draw_part
from palpate_sim.sensors.spectrum import WAVELENGTH_NM, measure

START_NS = 1_000_000_000_000
PART_S = 24.0
LABELS = ("PP", "PE-HD", "ABS", "PC", "PET", "ALU-CAST", "PS")
HASH = "3f" * 32
# primitive, outcome, window start and end, contact (s after the part was presented), force N
PLAN = (
    (0, 0, 0.8, 3.6, None, 0.0),
    (2, 0, 6.0, 6.5, 6.1, 4.6),
    (1, 0, 8.6, 9.4, 8.8, 3.0),
    (4, 0, 12.0, 16.0, 12.2, 5.0),
    (3, 2, 17.4, 18.2, None, 0.0),
    (5, 0, 19.5, 21.0, 19.7, 1.3),
)
TYPES = {
    "part_presented": "palpate_interfaces/msg/PartPresented",
    "sim/part_truth": "palpate_interfaces/msg/PartTruth",
    "arm/probe_execution": "palpate_interfaces/msg/ProbeExecution",
    "probe_observation": "palpate_interfaces/msg/ProbeObservation",
    "belief": "palpate_interfaces/msg/MaterialBelief",
    "signature": "palpate_interfaces/msg/MaterialSignature",
    "spectrometer/spectrum": "palpate_interfaces/msg/Spectrum",
    "force_torque_sensor/tip_burst": "palpate_interfaces/msg/ContactBurst",
    "camera/color/image_raw": "sensor_msgs/msg/Image",
    "camera/aligned_depth_to_color/image_raw": "sensor_msgs/msg/Image",
    "thermal_camera/image_raw": "sensor_msgs/msg/Image",
    "force_torque_sensor/wrench": "geometry_msgs/msg/WrenchStamped",
}


@dataclass
class MadeUpPart:
    """What is true of a part and what came out."""

    truth: str
    belief: str
    confidence: float = 0.95
    abstained: bool = False
    condition: str = "clean"
    novelty: float = 0.12
    rgb: tuple[int, int, int] = (70, 130, 180)
    plan: Sequence[tuple[int, int, float, float, float | None, float]] = field(default=PLAN)


PARTS = (
    MadeUpPart("PP", "PP", 0.98),
    MadeUpPart("ABS", "PC", 0.61, condition="black", rgb=(28, 28, 30)),
    MadeUpPart("PET", "PS", 0.34, abstained=True, condition="wet", novelty=0.91, rgb=(190, 205, 200)),
)


class _Recording:
    def __init__(self, path: Path, namespace: str, left_out: Collection[str]) -> None:
        self._stream = path.open("wb")
        self._writer = Writer(self._stream, chunk_size=16 * 1024)
        self._namespace, self._left_out = namespace, left_out
        self._schemas: dict[str, Any] = {}
        self._pending: list[tuple[int, str, dict]] = []

    def add(self, topic: str, time_ns: int, message: dict[str, Any], stamped: bool = True) -> None:
        if topic in self._left_out:
            return
        if stamped:
            message = {"header": {"stamp": stamp(time_ns), "frame_id": "panda_link0"}, **message}
        self._pending.append((time_ns, topic, message))

    def close(self) -> None:
        for time_ns, topic, message in sorted(self._pending, key=lambda entry: entry[0]):
            kind = TYPES[topic]
            if kind not in self._schemas:
                self._schemas[kind] = self._writer.register_msgdef(kind, definition(kind))
            self._writer.write_message(f"{self._namespace}/{topic}", self._schemas[kind], message, log_time=time_ns)
        self._writer.finish()
        self._stream.close()


def stamp(time_ns: int) -> dict[str, int]:
    """A time as a dictionary."""
    return {"sec": time_ns // 10**9, "nanosec": time_ns % 10**9}


def write_session(
    folder: Path,
    parts: Sequence[MadeUpPart] = PARTS,
    *,
    left_out: Collection[str] = (),
    namespace: str = "/cell",
    results: bool = True,
    wrench_hz: float = 50.0,
) -> SessionResults:
    """Write `bag/` and, if wanted, the results; returns what the results say."""
    bag = folder / "bag"
    bag.mkdir(parents=True)
    recording = _Recording(bag / "bag_0.mcap", namespace, left_out)
    rows = [_add_part(recording, index, part, wrench_hz) for index, part in enumerate(parts)]
    recording.close()
    made = SessionResults(
        session_id="synthetic", kind="sim", started="2026-11-24T08:14:00+00:00", finished=True, model_name="cell29",
        model_hash=HASH, label_set="catalogue29", versions={"palpate": "0.1.0", "torch": "2.13.0"}, parts=rows,
    )  # fmt: skip
    if results:
        write_results(made, folder)
    return made


def _add_part(recording: _Recording, index: int, part: MadeUpPart, wrench_hz: float) -> PartResult:
    start = START_NS + round(index * (PART_S + 2.0) * 1e9)
    part_id = f"part-{index:03d}"
    rng = np.random.default_rng(index)
    names = {"session_id": "synthetic", "part_id": part_id}
    drawn = draw_part(rng, index, material=part.truth, condition=part.condition)
    truth = {"material": part.truth, "condition": part.condition, "shape": "block", "mass_kg": 0.045}
    recording.add("sim/part_truth", start - 1000, {**names, **truth, "temperature_c": 22.4, "seed": 7})
    recording.add("part_presented", start, {**names, "position": {"x": 0.5, "y": 0.0, "z": 0.0}})

    def at(seconds: float) -> int:
        return start + round(seconds * 1e9)

    _add_beliefs(recording, part, names, at)
    for number, (primitive, outcome, begin, end, contact, force) in enumerate(part.plan):
        execution = {
            **names, "index": number, "primitive": primitive, "outcome": outcome, "window_start": stamp(at(begin)),
            "window_end": stamp(at(end)), "contact_time": stamp(at(contact) if contact else 0), "max_force_n": force,
            "message": "descended 12 mm past the expected surface" if outcome == 2 else "",
        }  # fmt: skip
        recording.add("arm/probe_execution", at(end + 0.4), execution)
        observation = {
            **names, "index": number, "execution": {}, "modalities": ["visual", "spectral"],
            "reliabilities": [1.0, 0.4 if part.condition == "black" else 1.0],
            "reliability_reasons": ["", "reflectance below 0.05" if part.condition == "black" else ""],
        }  # fmt: skip
        recording.add("probe_observation", at(end + 0.5), observation)
    _add_sensors(recording, part, at, rng, wrench_hz)
    values = measure(PartBatch.of([drawn]), DeviceDraw.nominal(), 0.01, 0.0, rng)[0]
    spectrum = {"kind": 1, "wavelength_nm": WAVELENGTH_NM.tolist(), "values": values.tolist(), "scans_averaged": 1}
    recording.add("spectrometer/spectrum", at(1.4), spectrum)
    time = np.arange(2000) / 50_000.0
    pulse = np.where(time > 0.001, 200.0 * np.sin(np.clip((time - 0.001) / 7e-4, 0, 1) * np.pi), 0.0)
    burst = {"sample_rate_hz": 50_000.0, "tip_mass_kg": 0.05, "impact_speed_m_s": 0.04}
    recording.add("force_torque_sensor/tip_burst", at(6.1), {**burst, "acceleration_m_s2": pulse.tolist()})
    return PartResult(
        index=index, part_id=part_id, truth=part.truth, condition=part.condition, belief=part.belief,
        confidence=part.confidence, abstained=part.abstained,
        reason=f"confidence {part.confidence:.2f} is below 0.50" if part.abstained else "",
        bin="abstain" if part.abstained else "plastic", sort_outcome="SUCCEEDED", cell_seconds=PART_S, wall_seconds=3.1,
        probes=[ProbeResult(index=i, primitive="LOOK", outcome="SUCCEEDED") for i, _ in enumerate(part.plan)],
    )  # fmt: skip


def _add_beliefs(recording: _Recording, part: MadeUpPart, names: dict[str, str], at: Any) -> None:
    final = np.full(len(LABELS), (1.0 - part.confidence) / (len(LABELS) - 1))
    final[LABELS.index(part.belief)] = part.confidence
    prior = np.full(len(LABELS), 1.0 / len(LABELS))
    for step in range(len(part.plan) + 1):
        weight = step / max(1, len(part.plan))
        mixed = (1.0 - weight) * prior + weight * final
        belief = {**names, "probes": step, "labels": list(LABELS), "probabilities": mixed.tolist()}
        recording.add("belief", at(0.2 if step == 0 else part.plan[step - 1][3] + 0.6), belief)
    signature = {
        **names, "material": "" if part.abstained else part.belief, "abstained": part.abstained,
        "reason": "confidence too low" if part.abstained else "", "confidence": part.confidence,
        "label_set": "catalogue29", "labels": list(LABELS), "probabilities": final.tolist(), "model_name": "cell29",
        "model_hash": HASH, "feature_version": "1", "probes": len(part.plan),
        "property_names": [
            "log10_effusivity_w_s05_m2_k", "restitution", "log10_stiffness_pa", "log10_density_kg_m3", "blend_fraction",
        ],
        "property_values": [2.767, 0.61, 9.13, 2.957, -0.01], "property_std": [0.031, 0.04, 0.11, 0.035, 0.05],
        "condition_names": ["black", "wet"],
        "condition_probabilities": [0.96 if part.condition == "black" else 0.04, 0.1],
        "novelty": part.novelty, "novelty_limit": 0.75, "modalities": ["visual", "spectral"],
        "modality_reliabilities": [1.0, 0.9], "modality_contributions": [1.25, -0.5],
    }  # fmt: skip
    recording.add("signature", at(PART_S - 1.0), signature)


def _image(pixels: np.ndarray, encoding: str) -> dict[str, Any]:
    step = pixels.strides[0]
    return {
        "height": pixels.shape[0], "width": pixels.shape[1], "encoding": encoding, "step": step,
        "data": pixels.tobytes(),
    }  # fmt: skip


def _add_sensors(recording: _Recording, part: MadeUpPart, at: Any, rng: np.random.Generator, wrench_hz: float) -> None:
    rows, columns = np.mgrid[0:120, 0:160]
    inside = (abs(rows - 62) < 20) & (abs(columns - 82) < 28)
    for step in range(round(PART_S)):
        time = at(float(step))
        color = np.clip(168 - 0.2 * rows[..., None] + rng.normal(0, 4, (120, 160, 3)), 0, 255)
        color[inside] = np.array(part.rgb) + 0.8 * (columns[inside][:, None] - 80) + rng.normal(0, 4, (inside.sum(), 3))
        color = np.clip(np.repeat(np.repeat(color, 2, 0), 2, 1), 0, 255).astype(np.uint8)
        depth = np.where(inside, 655, 690) + rng.normal(0, 1.5, inside.shape)
        depth[rng.random(depth.shape) < 0.004] = 0
        depth = np.repeat(np.repeat(depth, 2, 0), 2, 1).astype(np.uint16)
        spot = 9.0 * np.exp(-((rows - 58) ** 2 + (columns - 84) ** 2) / 60.0) if 12 <= step <= 17 else 0.0
        celsius = (22.0 + 0.4 * inside + spot + rng.normal(0, 0.06, inside.shape)).astype(np.float32)
        recording.add("camera/color/image_raw", time, _image(color, "rgb8"))
        recording.add("camera/aligned_depth_to_color/image_raw", time, _image(depth, "16UC1"))
        recording.add("thermal_camera/image_raw", time, _image(celsius, "32FC1"))
    for step in range(round(PART_S * wrench_hz)):
        seconds = step / wrench_hz
        force = np.array((0.1, -0.2, 7.4)) + rng.normal(0.0, 0.03, 3)
        for _, _, begin, end, contact, newtons in part.plan:
            if contact and contact <= seconds <= min(end, contact + 2.5):
                force[2] += newtons * np.sin(np.pi * (seconds - contact) / (min(end, contact + 2.5) - begin)) ** 2
        names = ("x", "y", "z")
        wrench = {"force": dict(zip(names, force.tolist(), strict=True)), "torque": {"x": 0.0, "y": 0.0, "z": 0.0}}
        recording.add("force_torque_sensor/wrench", at(seconds), {"wrench": wrench})
