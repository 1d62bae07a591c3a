"""The session's results on disk, brought up to date after every part."""

from __future__ import annotations

import platform
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from palpate_agents.observation import Outcome, Primitive
from palpate_interfaces.action import CharacterizeMaterial
from palpate_interfaces.msg import PartTruth, ProbeExecution
from palpate_nodes import topics
from palpate_nodes.results import PartResult, ProbeResult, SessionResults, write_results

PACKAGES = ("palpate", "torch", "numpy", "pybullet", "ros-rclpy")


class SessionLog:
    """Collects one record per part and writes `results.json` and `results.csv`."""

    def __init__(self, folder: Path, session_id: str, kind: str) -> None:
        """Start a session.

        Args:
            folder: the session's folder; made if missing.
            session_id: name of the session.
            kind: sim, cell, replay or identify.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._began = time.monotonic()
        self.results = SessionResults(
            session_id=session_id,
            kind=kind,
            started=datetime.now(UTC).isoformat(timespec="seconds"),
            versions={"python": platform.python_version(), **_versions()},
        )
        write_results(self.results, folder)

    def add(
        self,
        index: int,
        part_id: str,
        result: CharacterizeMaterial.Result,
        truth: PartTruth | None,
        executions: Sequence[ProbeExecution],
        wall_seconds: float,
    ) -> str:
        """Write down one part; returns it as one line for people."""
        signature = result.signature
        probabilities = np.asarray(signature.probabilities)
        best = int(probabilities.argmax()) if len(probabilities) else -1
        tells = 0.0 < signature.novelty_limit < 1.0
        part = PartResult(
            index=index,
            part_id=part_id,
            truth=truth.material if truth else "",
            condition=truth.condition if truth else "",
            group=truth.group if truth else "",
            belief=signature.labels[best] if best >= 0 else "",
            confidence=float(min(1.0, probabilities[best])) if best >= 0 else 0.0,
            abstained=signature.abstained,
            reason=signature.reason,
            probabilities={
                label: float(p) for label, p in zip(signature.labels, signature.probabilities, strict=True) if p >= 1e-4
            },
            condition_probabilities=_named(signature.condition_names, signature.condition_probabilities),
            novelty=_share(signature.novelty) if tells else None,
            novelty_limit=signature.novelty_limit if tells else None,
            contributions=_named(signature.modalities, signature.modality_contributions),
            probes=[_probe(execution) for execution in executions],
            bin=result.bin,
            sort_outcome="" if result.bin or not result.message else Outcome(result.sort_outcome).name,
            cell_seconds=result.duration_s,
            wall_seconds=wall_seconds,
            model_hash=signature.model_hash,
            error="" if result.success else result.message,
        )
        results = self.results
        results.parts.append(part)
        if signature.model_hash:
            results.model_name, results.model_hash = signature.model_name, signature.model_hash
            results.label_set = signature.label_set
        results.wall_seconds = time.monotonic() - self._began
        write_results(results, self._folder)
        return describe(part)

    def finish(self) -> None:
        """The session ended as it should."""
        self.results.finished = True
        self.results.wall_seconds = time.monotonic() - self._began
        write_results(self.results, self._folder)


def describe(part: PartResult) -> str:
    """One line for people: truth, decision, probes, time."""
    if part.error:
        decision = f"failed: {part.error}"
    elif part.abstained:
        decision = f"abstained ({part.reason})"
    else:
        decision = f"{part.belief} ({part.confidence:.2f})"
    truth = f"{part.truth} [{part.condition}]" if part.truth else part.part_id
    bin_ = f" -> {part.bin}" if part.bin else ""
    return f"{truth}: {decision}{bin_}, {len(part.probes)} probes, {part.cell_seconds:.1f} s of cell time"


def _named(names: Sequence[str], values: Sequence[float]) -> dict[str, float]:
    return {name: float(value) for name, value in zip(names, values, strict=True)}


def _share(value: float) -> float:
    """Rounding of a float32 may leave the range by a hair."""
    return float(min(1.0, max(0.0, value)))


def _probe(execution: ProbeExecution) -> ProbeResult:
    duration_ns = topics.stamp_ns(execution.window_end) - topics.stamp_ns(execution.window_start)
    return ProbeResult(
        index=execution.index,
        primitive=Primitive(execution.primitive).name,
        outcome=Outcome(execution.outcome).name,
        message=execution.message,
        max_force_n=execution.max_force_n,
        seconds=max(0.0, duration_ns / 1e9),
    )


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
