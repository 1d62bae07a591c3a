"""Reads a session: first the events, then the pictures and forces of the parts that are shown in detail.

Needs no ROS: messages are decoded from the definitions in the bag where ROS is not installed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from palpate_agents.errors import DataError
from palpate_agents.observation import Outcome, Primitive
from palpate_nodes.bag import metadata
from palpate_nodes.bag.reader import BagReader, MessageDecoder
from palpate_nodes.report.records import (
    BeliefRecord,
    BurstRecord,
    PartRecord,
    ProbeRecord,
    SessionRecord,
    SignatureRecord,
    SpectrumRecord,
)
from palpate_nodes.results import JSON_NAME, PartResult, ProbeResult, SessionResults, read_results

# Relative names of the topics, as in `topics.py`, which cannot be imported without ROS.
PRESENTED, TRUTH, EXECUTION = "part_presented", "sim/part_truth", "arm/probe_execution"
OBSERVATION, BELIEF, SIGNATURE = "probe_observation", "belief", "signature"
SPECTRUM, TIP_BURST = "spectrometer/spectrum", "force_torque_sensor/tip_burst"
COLOR, DEPTH = "camera/color/image_raw", "camera/aligned_depth_to_color/image_raw"
THERMAL, WRENCH, JOINTS = "thermal_camera/image_raw", "force_torque_sensor/wrench", "joint_states"
EVENT_TOPICS = (PRESENTED, TRUTH, EXECUTION, OBSERVATION, BELIEF, SIGNATURE, SPECTRUM, TIP_BURST)

Progress = Callable[[int], None]
"""Called with the number of messages read since the last call."""


def open_session(folder: Path) -> tuple[BagReader, SessionResults | None]:
    """The bag and, where there are any, the results of a session.

    Raises:
        DataError: no such folder, no session, no bag, a foreign bag, or malformed results.
    """
    if not folder.exists():
        raise DataError(f"there is no session at {folder}; sessions lie where `palpate sim` wrote them (sessions/NAME)")
    if not folder.is_dir():
        raise DataError(f"{folder} is a file; give the folder of a session")
    has_results = (folder / JSON_NAME).is_file()
    if not (folder / "bag").is_dir() and not list(folder.glob("*.mcap")):
        if has_results:
            raise DataError(f"session {folder} has no bag (it was not recorded), so there is nothing to show")
        raise DataError(f"{folder} is no session: it holds neither bag/ nor {JSON_NAME}")
    return BagReader(folder), read_results(folder) if has_results else None


def stamp_ns(stamp: Any) -> int:
    """Nanoseconds of a stamp."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def topic_names(reader: BagReader, relative: Sequence[str]) -> dict[str, str]:
    """Fully qualified name -> relative name, for the topics that are in the bag, whatever its namespace."""
    return {
        full: name for full in reader.topics for name in relative if full.removeprefix("/") == name
        or full.endswith("/" + name)
    }  # fmt: skip


def collect_events(reader: BagReader, results: SessionResults | None, progress: Progress) -> SessionRecord:
    """Parts, probes, beliefs, signatures, spectra and taps; and what is missing."""
    decoder = MessageDecoder(reader)
    names = topic_names(reader, EVENT_TOPICS)
    found: dict[str, list[Any]] = {name: [] for name in EVENT_TOPICS}
    logged: dict[str, tuple[int, int]] = {}
    broken: set[str] = set()
    for message in reader.messages(names):
        progress(1)
        name = names[message.topic]
        try:
            decoded = decoder.decode(message)
        except Exception:  # a message of another version; the report shows what it can
            broken.add(message.topic)
            continue
        found[name].append(decoded)
        part_id = getattr(decoded, "part_id", "")
        logged[part_id] = (logged.get(part_id, (message.log_ns, 0))[0], message.log_ns)
    parts = _parts(found, results, reader.end_ns)
    for part_id, part in parts.items():
        part.logged_ns = logged.get(part_id, (0, 0))
    _add_probes(parts, found)
    _add_conclusions(parts, found)
    _add_by_time(parts, found)
    if results is None:
        results = _results_from_bag(reader, parts)
    notes = _notes(reader, found, broken, results)
    return SessionRecord(
        results=results,
        parts=list(parts.values()),
        notes=notes,
        bag_bytes=sum(file.size for file in reader.files),
        bag_seconds=(reader.end_ns - reader.start_ns) * 1e-9,
        bag_messages=sum(reader.counts.values()),
        dropped=sum((reader.dropped or {}).values()),
    )


def _parts(found: dict[str, list[Any]], results: SessionResults | None, end_ns: int) -> dict[str, PartRecord]:
    """Parts of the results and of the bag, in order, each with its time in the cell."""
    rows = {part.part_id: part for part in results.parts} if results else {}
    presented = {message.part_id: stamp_ns(message.header.stamp) for message in found[PRESENTED]}
    ids = [*rows, *(part_id for part_id in presented if part_id not in rows)]
    for name in (EXECUTION, SIGNATURE, TRUTH):
        ids += [m.part_id for m in found[name] if m.part_id not in ids]
    parts: dict[str, PartRecord] = {}
    starts = sorted(presented.values())
    for index, part_id in enumerate(ids):
        result = rows.get(part_id) or PartResult(index=index, part_id=part_id)
        start = presented.get(part_id, 0)
        later = [time for time in starts if time > start]
        parts[part_id] = PartRecord(result, start, (later[0] if later else end_ns) if start else 0)
    for truth in found[TRUTH]:
        _add_truth(parts[truth.part_id], truth)
    return parts


def _add_truth(part: PartRecord, truth: Any) -> None:
    result = part.result
    for name, value in (("truth", truth.material), ("condition", truth.condition), ("group", truth.group)):
        if not getattr(result, name):
            setattr(result, name, value)
    if truth.shape:
        part.facts.append(truth.shape)
    if truth.mass_kg > 0.0:
        part.facts.append(f"{1e3 * truth.mass_kg:.3g} g")
    if np.isfinite(truth.temperature_c):
        part.facts.append(f"{truth.temperature_c:.1f} °C")


def _add_probes(parts: dict[str, PartRecord], found: dict[str, list[Any]]) -> None:
    for message in found[EXECUTION]:
        part = parts[message.part_id]
        if not part.start_ns:  # its presentation is lost: count from its first window
            part.start_ns = stamp_ns(message.window_start)
        part.end_ns = max(part.end_ns, stamp_ns(message.window_end))
        contact = stamp_ns(message.contact_time)
        part.probes.append(
            ProbeRecord(
                index=int(message.index),
                primitive=_name(Primitive, message.primitive),
                outcome=_name(Outcome, message.outcome),
                message=message.message,
                start_s=(stamp_ns(message.window_start) - part.start_ns) * 1e-9,
                end_s=(stamp_ns(message.window_end) - part.start_ns) * 1e-9,
                contact_s=(contact - part.start_ns) * 1e-9 if contact else None,
                max_force_n=float(message.max_force_n),
            )
        )
    for message in found[OBSERVATION]:
        part = parts.get(message.part_id) or PartRecord(PartResult(index=0, part_id=message.part_id))
        for probe in part.probes:
            if probe.index == message.index:
                told = zip(message.modalities, message.reliabilities, message.reliability_reasons, strict=False)
                probe.reliabilities = {modality: (float(value), reason) for modality, value, reason in told}
    for part in parts.values():
        part.probes.sort(key=lambda probe: probe.index)


def _name(kind: Any, value: int) -> str:
    try:
        return kind(value).name
    except ValueError:
        return f"{kind.__name__} {value}"


def _pairs(message: Any, names: str, values: str) -> dict[str, float]:
    """Name -> value; empty in a recording from before there were such fields."""
    return {
        name: float(value)
        for name, value in zip(getattr(message, names, ()), getattr(message, values, ()), strict=False)
    }


def _novelty(message: Any) -> tuple[float, float] | None:
    limit = float(getattr(message, "novelty_limit", 0.0))
    return (float(message.novelty), limit) if 0.0 < limit < 1.0 else None


def _add_conclusions(parts: dict[str, PartRecord], found: dict[str, list[Any]]) -> None:
    for message in found[BELIEF]:
        if message.part_id in parts:
            beliefs = parts[message.part_id].beliefs
            beliefs[:] = [belief for belief in beliefs if belief.probes != message.probes]
            beliefs.append(BeliefRecord(int(message.probes), _pairs(message, "labels", "probabilities")))
    for message in found[SIGNATURE]:
        properties = zip(message.property_names, message.property_values, message.property_std, strict=False)
        parts[message.part_id].signature = signature = SignatureRecord(
            material=message.material,
            abstained=bool(message.abstained),
            reason=message.reason,
            confidence=float(message.confidence),
            probabilities=_pairs(message, "labels", "probabilities"),
            properties=tuple((name, float(value), float(std)) for name, value, std in properties),
            label_set=message.label_set,
            model_name=message.model_name,
            model_hash=message.model_hash,
            feature_version=message.feature_version,
            conditions=_pairs(message, "condition_names", "condition_probabilities"),
            novelty=_novelty(message),
            contributions=_pairs(message, "modalities", "modality_contributions"),
        )
        result = parts[message.part_id].result
        if not result.belief and not result.error and signature.probabilities:
            result.belief = max(signature.probabilities, key=lambda label: signature.probabilities[label])
            result.confidence = min(1.0, max(0.0, signature.confidence))
            result.abstained, result.reason = signature.abstained, signature.reason
            result.condition_probabilities, result.contributions = signature.conditions, signature.contributions
            if signature.novelty:
                result.novelty, result.novelty_limit = signature.novelty
    for part in parts.values():
        part.beliefs.sort(key=lambda belief: belief.probes)


def _add_by_time(parts: dict[str, PartRecord], found: dict[str, list[Any]]) -> None:
    """Spectra and taps carry no part id: they belong to the part that was in the cell at their stamp."""

    def part_at(time_ns: int) -> PartRecord | None:
        return next((part for part in parts.values() if part.start_ns <= time_ns <= part.end_ns), None)

    for message in found[SPECTRUM]:
        part = part_at(stamp_ns(message.header.stamp))
        if part is not None and len(message.wavelength_nm) == len(message.values) > 1:
            axis, values = (np.array(field, float) for field in (message.wavelength_nm, message.values))
            part.spectra.append(SpectrumRecord(axis, values, message.kind == 1))
    for message in found[TIP_BURST]:
        part = part_at(stamp_ns(message.header.stamp))
        if part is not None and message.sample_rate_hz > 0.0:
            acceleration = np.array(message.acceleration_m_s2, float)
            times = np.arange(acceleration.size) * 1e3 / message.sample_rate_hz
            part.bursts.append(BurstRecord(times, acceleration, float(message.impact_speed_m_s)))


def _results_from_bag(reader: BagReader, parts: dict[str, PartRecord]) -> SessionResults:
    for part in parts.values():
        part.result.probes = [
            ProbeResult(index=p.index, primitive=p.primitive, outcome=p.outcome, message=p.message) for p in part.probes
        ]
        part.result.cell_seconds = max(0.0, (part.end_ns - part.start_ns) * 1e-9)
        if part.signature is None and not part.result.error:
            part.result.error = "no signature was recorded"
    signature = next((part.signature for part in parts.values() if part.signature), None)
    version = reader.custom.get(metadata.PALPATE_VERSION)
    return SessionResults(
        session_id=reader.custom.get(metadata.SESSION, ""),
        model_name=signature.model_name if signature else "",
        model_hash=signature.model_hash if signature else "",
        label_set=signature.label_set if signature else "",
        versions={"palpate": version} if version else {},
        parts=[part.result for part in parts.values()],
    )


def _notes(reader: BagReader, found: dict[str, list[Any]], broken: set[str], results: SessionResults) -> list[str]:
    notes = [f"The recording is incomplete: {problem}." for problem in reader.problems]
    if not results.finished:
        notes.append("The session did not end normally; the last part may be missing.")
    if reader.dropped:
        lost = ", ".join(f"{topic} ({count})" for topic, count in reader.dropped.items() if count)
        if lost:
            notes.append(f"The recorder lost messages: {lost}.")
    missing = [name for name in (EXECUTION, OBSERVATION, BELIEF, SIGNATURE) if not found[name]]
    if missing:
        notes.append(f"Not recorded: {', '.join(missing)}; what depends on it is left out.")
    if broken:
        notes.append(f"Some messages could not be decoded: {', '.join(sorted(broken))}.")
    return notes
