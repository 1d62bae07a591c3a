"""Results of a session as data: one record per part, per item and in sum; written and read as JSON and CSV.

`results.json` is written anew after every part, whole or not at all, so that a session that was killed has its results
up to the last part.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, computed_field

from palpate_agents.errors import DataError
from palpate_nodes.report.table import print_table

__all__ = [
    "ItemResult",
    "PartResult",
    "ProbeResult",
    "SessionResults",
    "Summary",
    "print_table",
    "read_csv",
    "read_results",
    "write_results",
    "write_text",
]

FORMAT = 1
JSON_NAME, CSV_NAME, ITEMS_NAME = "results.json", "results.csv", "items.csv"

_Share = Field(default=0.0, ge=0.0, le=1.0)
_Seconds = Field(default=0.0, ge=0.0)


class _Record(BaseModel):
    model_config = ConfigDict(extra="ignore", validate_assignment=True)


class ProbeResult(_Record):
    """One probe: `primitive` and `outcome` are the names of `observation.Primitive` and `Outcome`."""

    index: int
    primitive: str
    outcome: str
    message: str = ""
    max_force_n: FiniteFloat = 0.0
    seconds: FiniteFloat = _Seconds


class PartResult(_Record):
    """What came of one part, or of one spectrum.

    Attributes:
        truth: true material; empty if unknown.
        group: the physical object; measurements of one object share it.
        belief: most probable label, also where the system abstained; empty if there was no belief.
        confidence: its probability, 0..1.
        probabilities: label -> probability; may be left empty.
        condition_probabilities: what the part may be beside its material (painted ...) -> probability, each for itself.
        novelty, novelty_limit: 0..1, how unlike every known material it is, and what one known part in a hundred
            exceeds; None where the model does not tell.
        contributions: modality -> nats of the belief's log probability that would be lost without it.
        cell_seconds, wall_seconds: duration on the cell's clock and on the wall's.
        error: why there is no result, otherwise empty.
    """

    index: int = Field(ge=0)
    part_id: str
    truth: str = ""
    condition: str = ""
    group: str = ""
    belief: str = ""
    confidence: FiniteFloat = _Share
    abstained: bool = False
    reason: str = ""
    probabilities: dict[str, FiniteFloat] = Field(default_factory=dict)
    condition_probabilities: dict[str, FiniteFloat] = Field(default_factory=dict)
    novelty: FiniteFloat | None = Field(default=None, ge=0.0, le=1.0)
    novelty_limit: FiniteFloat | None = Field(default=None, ge=0.0, le=1.0)
    contributions: dict[str, FiniteFloat] = Field(default_factory=dict)
    probes: list[ProbeResult] = Field(default_factory=list)
    bin: str = ""
    sort_outcome: str = ""
    cell_seconds: FiniteFloat = _Seconds
    wall_seconds: FiniteFloat = _Seconds
    model_hash: str = ""
    error: str = ""

    @property
    def decision(self) -> str:
        """The material that it was taken for; empty when the system abstained or failed."""
        return "" if self.abstained or self.error else self.belief

    @computed_field  # type: ignore[prop-decorator]
    @property
    def correct(self) -> bool | None:
        """Whether the decision is true (an abstention is not); None where the truth is unknown."""
        return self.decision == self.truth if self.truth else None


class ItemResult(_Record):
    """All measurements of one physical object together; `belief` has the largest mean probability."""

    group: str
    truth: str
    belief: str
    confidence: FiniteFloat = _Share
    measurements: int
    correct_measurements: int

    @computed_field  # type: ignore[prop-decorator]
    @property
    def correct(self) -> bool | None:
        """Whether the belief is true; None where the truth is unknown."""
        return self.belief == self.truth if self.truth else None


class Summary(_Record):
    """Figures over all parts. `accuracy` counts abstentions as wrong, `accuracy_decided` leaves them out."""

    parts: int
    known: int
    correct: int
    abstained: int
    failed: int
    accuracy: float | None
    accuracy_decided: float | None
    accuracy_by_condition: dict[str, float]
    seconds_per_part: float
    real_time_factor: float | None


class SessionResults(_Record):
    """Results of a session.

    Attributes:
        kind: sim, cell, replay or identify.
        started: ISO 8601 time.
        finished: False while it runs, and for ever where it was cut off.
        versions: program or package -> version.
        wall_seconds: of the whole session, start-up included; the summary's speed is over the parts.
    """

    format: int = FORMAT
    session_id: str
    kind: str = ""
    started: str = ""
    finished: bool = False
    model_name: str = ""
    model_hash: str = ""
    label_set: str = ""
    versions: dict[str, str] = Field(default_factory=dict)
    wall_seconds: FiniteFloat = _Seconds
    parts: list[PartResult] = Field(default_factory=list)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def summary(self) -> Summary:
        """Figures over all parts."""
        parts = self.parts
        known = [part for part in parts if part.truth]
        correct = [part for part in known if part.correct]
        decided = [part for part in known if part.decision]
        cell = sum(part.cell_seconds for part in parts)
        wall = sum(part.wall_seconds for part in parts)
        conditions = sorted({part.condition for part in known if part.condition})
        return Summary(
            parts=len(parts),
            known=len(known),
            correct=len(correct),
            abstained=sum(part.abstained for part in parts),
            failed=sum(bool(part.error) for part in parts),
            accuracy=_share(known),
            accuracy_decided=_share(decided),
            accuracy_by_condition={c: _share([p for p in known if p.condition == c]) or 0.0 for c in conditions},
            seconds_per_part=cell / len(parts) if parts else 0.0,
            real_time_factor=cell / wall if wall > 0.0 else None,
        )

    @computed_field  # type: ignore[prop-decorator]
    @property
    def items(self) -> list[ItemResult]:
        """Per physical object, where at least one object was measured more than once."""
        groups: dict[str, list[PartResult]] = {}
        for part in self.parts:
            groups.setdefault(part.group, []).append(part)
        groups.pop("", None)
        if all(len(parts) < 2 for parts in groups.values()):
            return []
        return [_item(group, parts) for group, parts in groups.items()]


def _share(parts: list[PartResult]) -> float | None:
    return sum(bool(part.correct) for part in parts) / len(parts) if parts else None


def _item(group: str, parts: list[PartResult]) -> ItemResult:
    totals: dict[str, float] = {}
    for part in parts:
        for label, probability in (part.probabilities or {part.belief: part.confidence}).items():
            if label:
                totals[label] = totals.get(label, 0.0) + probability
    best = max(totals, key=lambda label: totals[label], default="")
    return ItemResult(
        group=group,
        truth=parts[0].truth,
        belief=best,
        confidence=min(1.0, totals.get(best, 0.0) / len(parts)),
        measurements=len(parts),
        correct_measurements=sum(bool(part.correct) for part in parts),
    )


def write_results(results: SessionResults, folder: Path) -> None:
    """Write `results.json`, `results.csv` and, where objects were measured more than once, `items.csv`.

    Each file is replaced as a whole: a reader, or a crash, never sees half of one.

    Raises:
        DataError: the folder does not exist or cannot be written to.
    """
    write_text(folder / JSON_NAME, results.model_dump_json(indent=1) + "\n")
    write_text(folder / CSV_NAME, _csv_text(PartResult, results.parts))
    if results.items:
        write_text(folder / ITEMS_NAME, _csv_text(ItemResult, results.items))


def read_results(path: Path) -> SessionResults:
    """Read `results.json`, given itself or the session's folder.

    Raises:
        DataError: missing, malformed, or of a later format.
    """
    file = path / JSON_NAME if path.is_dir() else path
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"there are no results at {file}; give the folder of a session") from None
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {file}: {error}") from error
    version = value.get("format") if isinstance(value, dict) else None
    if not isinstance(version, int) or not 1 <= version <= FORMAT:
        raise DataError(f"{file} has results format {version!r}, this palpate reads 1 to {FORMAT}; update palpate")
    try:
        return SessionResults.model_validate(value)
    except ValidationError as error:
        raise DataError(f"{file} is malformed: {_first(error)}") from error


def read_csv(path: Path) -> list[PartResult]:
    """Read `results.csv` back, given itself or the session's folder.

    Raises:
        DataError: missing or malformed; names the line.
    """
    file = path / CSV_NAME if path.is_dir() else path
    try:
        rows = list(csv.DictReader(io.StringIO(file.read_text(encoding="utf-8"))))
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {file}: {error}") from error
    parts = []
    for number, row in enumerate(rows, start=2):
        try:
            parts.append(PartResult.model_validate({name: _uncell(name, text) for name, text in row.items()}))
        except (ValidationError, ValueError) as error:
            detail = _first(error) if isinstance(error, ValidationError) else str(error)
            raise DataError(f"{file}, line {number}, is malformed: {detail}") from error
    return parts


def write_text(path: Path, text: str) -> None:
    """Replace a file by a new text, whole or not at all.

    Raises:
        DataError: the folder is missing or not writable, or the disk is full.
    """
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with scratch.open("w", encoding="utf-8", newline="") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        scratch.replace(path)
    except OSError as error:
        scratch.unlink(missing_ok=True)
        raise DataError(f"cannot write {path}: {error.strerror or error}") from error


_NESTED = ("probes", "probabilities", "condition_probabilities", "contributions")
_OPTIONAL = ("novelty", "novelty_limit")


def _csv_text(kind: type[_Record], rows: Iterable[_Record]) -> str:
    names = [*kind.model_fields, "correct"]
    order = [name for name in names if name not in _NESTED] + [name for name in names if name in _NESTED]
    stream = io.StringIO()
    writer = csv.DictWriter(stream, order, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        values = row.model_dump(mode="json")
        writer.writerow({name: _cell(values[name]) for name in order})
    return stream.getvalue()


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    return json.dumps(value) if isinstance(value, dict | list | bool) else value


def _uncell(name: str, text: str | None) -> Any:
    if text is None:
        raise ValueError(f"column {name} is missing")
    if name in _OPTIONAL and not text:
        return None
    return json.loads(text) if name in _NESTED else text


def _first(error: ValidationError) -> str:
    problem = error.errors()[0]
    place = ".".join(str(step) for step in problem["loc"])
    return f"{place}: {problem['msg']} (got {problem.get('input')!r:.80})"
