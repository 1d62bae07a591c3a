"""Results of a session: figures, files, tables, and what is said about broken files."""

from __future__ import annotations

import json
import os

import pytest
from pydantic import ValidationError
from rich.console import Console

from palpate_agents.errors import DataError
from palpate_nodes.results import (
    PartResult,
    ProbeResult,
    SessionResults,
    print_table,
    read_csv,
    read_results,
    write_results,
)


def part(index, truth="PP", belief="PP", **more):
    return PartResult(index=index, part_id=f"part-{index:03d}", truth=truth, belief=belief, confidence=0.8, **more)


TOLD = {
    "condition_probabilities": {"black": 0.97, "painted": 0.02}, "novelty": 0.25, "novelty_limit": 0.5,
    "contributions": {"visual": 1.5, "spectral": -0.25},
}  # fmt: skip


@pytest.fixture
def results():
    probes = [
        ProbeResult(index=0, primitive="LOOK", outcome="SUCCEEDED"),
        ProbeResult(index=1, primitive="TAP", outcome="NO_CONTACT", message='past "there", 12 mm', max_force_n=0.5),
    ]
    return SessionResults(
        session_id="s",
        kind="sim",
        parts=[
            part(0, condition="clean", probes=probes, cell_seconds=30.0, wall_seconds=3.0),
            part(
                1,
                belief="ABS",
                condition="black",
                cell_seconds=20.0,
                wall_seconds=2.0,
                probabilities={"ABS": 0.8},
                **TOLD,
            ),
            part(2, condition="black", abstained=True, reason="confidence 0.41 below 0.50, or\nworse"),
            part(3, truth="", belief="PC"),
            part(4, belief="", error="the part was dropped"),
        ],
    )


def render(results, width=120):
    console = Console(width=width, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    print_table(results, console)
    return console.export_text()


def test_figures_count_abstentions_and_failures_as_not_correct(results):
    summary = results.summary
    assert [p.correct for p in results.parts] == [True, False, False, None, False]
    assert (summary.parts, summary.known, summary.correct, summary.abstained, summary.failed) == (5, 4, 1, 1, 1)
    assert summary.accuracy == pytest.approx(1 / 4)
    assert summary.accuracy_decided == pytest.approx(1 / 2)
    assert summary.accuracy_by_condition == {"black": 0.0, "clean": 1.0}
    assert summary.seconds_per_part == pytest.approx(10.0)
    assert summary.real_time_factor == pytest.approx(10.0)


def test_an_empty_session_has_no_figures():
    summary = SessionResults(session_id="s").summary
    assert summary.accuracy is None
    assert summary.real_time_factor is None
    assert summary.seconds_per_part == 0.0


def test_json_and_csv_come_back_the_same(results, tmp_path):
    write_results(results, tmp_path)
    assert read_results(tmp_path) == results
    assert read_results(tmp_path / "results.json") == results
    assert read_csv(tmp_path) == results.parts
    assert sorted(path.name for path in tmp_path.iterdir()) == ["results.csv", "results.json"]
    data = json.loads((tmp_path / "results.json").read_text())
    assert data["summary"]["accuracy"] == pytest.approx(0.25)  # readable by other programs without recomputing
    assert data["parts"][0]["correct"] is True


def test_items_take_the_largest_mean_probability_not_the_majority(tmp_path):
    sure = {"PP": 0.9, "PE": 0.1}
    unsure = {"PP": 0.45, "PE": 0.55}
    results = SessionResults(
        session_id="s",
        parts=[
            part(0, group="cup", probabilities=sure),
            part(1, group="cup", belief="PE", probabilities=unsure),
            part(2, group="cup", belief="PE", probabilities=unsure),
            part(3, truth="PE", group="lid", belief="PE"),
        ],
    )
    cup, lid = results.items
    assert (cup.belief, cup.correct, cup.measurements, cup.correct_measurements) == ("PP", True, 3, 1)
    assert cup.confidence == pytest.approx((0.9 + 0.45 + 0.45) / 3)
    assert (lid.belief, lid.confidence) == ("PE", pytest.approx(0.8))
    write_results(results, tmp_path)
    assert (tmp_path / "items.csv").read_text().splitlines()[1].startswith("cup,PP,PP,0.6,3,1,true")
    assert "items correct 2 of 2" in render(results)


def test_single_measurements_are_no_items():
    assert SessionResults(session_id="s", parts=[part(0, group="a"), part(1, group="b")]).items == []


def test_a_write_that_fails_leaves_the_old_file_and_no_scratch(results, tmp_path, monkeypatch):
    write_results(results, tmp_path)
    before = (tmp_path / "results.json").read_text()

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    results.parts.append(part(5))
    with pytest.raises(DataError, match=r"cannot write .*results\.json: No space left on device"):
        write_results(results, tmp_path)
    assert (tmp_path / "results.json").read_text() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["results.csv", "results.json"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot read"),
        ("[]", "results format None"),
        ('{"format": 99, "session_id": "s"}', "results format 99, this palpate reads 1 to 1; update palpate"),
        ('{"format": 1}', "session_id: Field required"),
        ('{"format": 1, "session_id": "s", "parts": [{"index": 0, "part_id": "p", "confidence": 7}]}', "parts.0.conf"),
    ],
)
def test_broken_results_are_named(tmp_path, text, message):
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(DataError, match=message):
        read_results(tmp_path)


def test_missing_and_broken_csv_are_named(results, tmp_path):
    with pytest.raises(DataError, match="there are no results at"):
        read_results(tmp_path)
    with pytest.raises(DataError, match="cannot read"):
        read_csv(tmp_path)
    write_results(results, tmp_path)
    lines = (tmp_path / "results.csv").read_text().replace(",0.8,", ",8,", 1)
    (tmp_path / "results.csv").write_text(lines)
    with pytest.raises(DataError, match=r"line 2, is malformed: confidence"):
        read_csv(tmp_path)


def test_values_out_of_range_are_refused():
    for wrong in ({"confidence": 1.2}, {"confidence": float("nan")}, {"cell_seconds": -1.0}, {"index": -1}):
        with pytest.raises(ValidationError):
            PartResult.model_validate({"index": 0, "part_id": "p", **wrong})


def test_the_table_shows_every_outcome_within_80_columns(results):
    text = render(results, width=80)
    rows = {line.split()[1]: line for line in text.splitlines() if "part-" in line}
    assert "✓" in rows["part-000"]
    assert "2 (1✗)" in rows["part-000"]
    assert "✗" in rows["part-001"]
    assert "–" in rows["part-002"]
    assert "PP?" in rows["part-002"]
    assert "✓" not in rows["part-003"] + rows["part-004"]
    assert "dropped" in text
    assert "correct 1 of 4 (25.0%), 50.0% of those decided" in text
    assert "abstained 1, failed 1" in text
    assert "10.0 s of cell time per part, 10.0 times real time" in text
    assert max(len(line) for line in text.splitlines()) <= 80


def test_empty_columns_are_left_out_and_names_are_not_markup():
    text = render(SessionResults(session_id="s", parts=[part(0, truth="", belief="[red]PP[/red]")]))
    header = next(line for line in text.splitlines() if "Part " in line)
    assert "Truth" not in header
    assert "Bin" not in header
    assert "[red]PP[/red]" in text
