"""Figures and command of `bench identify`, from a result that nobody measured."""

from __future__ import annotations

import json
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from palpate_agents.errors import ConfigError, DataError
from palpate_agents.materials import MATERIALS
from palpate_nodes.commands import bench_identify as command
from palpate_nodes.report.identify_figures import CONDITIONS, FIGURES, write_figures
from palpate_sim.formulations import FORMULATIONS

PROBES = 9


def figure(value, half=0.01):
    return {"value": value, "low": round(value - half, 4), "high": round(value + half, 4), "n": 300}


@pytest.fixture(scope="module")
def result():
    rng = np.random.default_rng(0)
    conditions = {name: figure(0.95 - 0.02 * k) for k, name in enumerate(CONDITIONS)}
    metrics = conditions | {"ece": figure(0.012), "ece_shifted": figure(0.023), "ood_auroc": figure(0.931)}
    metrics |= {f"after_{k}_probes": figure(round(0.05 + 0.1 * k, 3)) for k in range(PROBES + 1)}
    metrics |= {f"ood_auroc_{name}": figure(round(rng.uniform(0.7, 0.98), 3)) for name in FORMULATIONS}
    metrics["ood_auroc_confidence"] = figure(0.801)
    names = ("ceiling", "concat", "gated_late", "best_single", "extra_trees")
    baselines = {who: {name: figure(0.8 - 0.05 * k) for name in CONDITIONS} for k, who in enumerate(names)}
    table = np.diag(np.full(len(MATERIALS), 9)) + np.eye(len(MATERIALS), k=1, dtype=int)
    bins = [[round(0.4 + 0.06 * k, 3), round(0.41 + 0.055 * k, 3), 25] for k in range(10)]
    pictures = {"labels": list(MATERIALS), "confusion": table.tolist(), "reliability": bins}
    return {
        "benchmark": "identify", "seeds": [1], "wall_s": 1.0, "quick": True, "metrics": metrics,
        "baselines": baselines, "pictures": pictures,
    }  # fmt: skip


def test_figures_are_drawn_from_the_result_alone(result, tmp_path):
    paths = write_figures(result, tmp_path / "figures")
    assert [path.name for path in paths] == list(FIGURES)
    for path in paths:
        root = ElementTree.fromstring(path.read_text(encoding="utf-8"))
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        words = "".join(root.itertext())
        assert "nan" not in path.read_text(encoding="utf-8")
        assert root.get("aria-label")
        assert "prefers-color-scheme:dark" in words
        assert root.find("{*}rect").get("class") == "sheet"
    first = {path.name: path.read_text(encoding="utf-8") for path in paths}
    write_figures(json.loads(json.dumps(result)), tmp_path / "figures")
    assert first == {path.name: path.read_text(encoding="utf-8") for path in paths}


def test_the_figures_say_the_numbers_of_the_result(result):
    metrics = result["metrics"]
    conditions, confusion = FIGURES["identify_conditions.svg"](result), FIGURES["identify_confusion.svg"](result)
    assert f">{100 * metrics['mix']['value']:.1f}<" in conditions
    assert f">{100 * metrics['painted']['value']:.1f}<" in conditions
    assert f"{100 * metrics['mix']['value']:.1f} %" in confusion
    for name in MATERIALS:
        assert confusion.count(f">{name}<") >= 2
    novelty = FIGURES["identify_novelty.svg"](result)
    for name in FORMULATIONS:
        assert f">{name}<" in novelty
    assert f"{metrics['ood_auroc']['value']:.3f}" in novelty
    assert f"{metrics['ece']['value']:.3f}" in FIGURES["identify_reliability.svg"](result)
    for count in range(PROBES + 1):
        assert f">{100 * metrics[f'after_{count}_probes']['value']:.1f}<" in FIGURES["identify_probes.svg"](result)


def test_other_results_are_refused(result, tmp_path):
    for other in ({**result, "benchmark": "spectra"}, {"benchmark": "identify", "metrics": {}, "baselines": {}}):
        with pytest.raises(DataError, match="identify"):
            write_figures(other, tmp_path)
    with pytest.raises(DataError, match="aged"):
        write_figures({**result, "metrics": {k: v for k, v in result["metrics"].items() if k != "aged"}}, tmp_path)
    assert not list(tmp_path.iterdir())


def test_command_measures_draws_and_draws_again(result, tmp_path, monkeypatch):
    asked = []

    def measured(library, seeds, **options):
        asked.append((list(seeds), options))
        options["progress"]("palpate: half way [1, 2]")
        return {k: v for k, v in result.items() if k != "quick"}

    monkeypatch.setattr("palpate_sim.benchmarks.identify.bench_identify", measured)
    monkeypatch.setattr("palpate_nodes.part_library.part_library", lambda console: None)
    written, drawn, again = tmp_path / "identify.json", tmp_path / "figures", tmp_path / "again"
    run = invoke("--quick", "--seed", "4", "--jobs", "1", "--json", written, "--figures", drawn)
    assert "0:00:00  palpate: half way [1, 2]" in run
    assert asked[0][0] == [4]
    assert {k: asked[0][1][k] for k in command.QUICK} == command.QUICK
    assert asked[0][1]["committed"] is None
    assert json.loads(written.read_text())["quick"] is True
    run = invoke("--from", written, "--figures", again)
    assert "identify (quick)" in run
    assert len(asked) == 1
    assert {p.name: p.read_text() for p in drawn.iterdir()} == {p.name: p.read_text() for p in again.iterdir()}
    invoke("--seeds", "2", "--data", tmp_path, "--jobs", "1")
    assert asked[1][0] == [1, 2]
    assert asked[1][1]["committed"] == "cell29"
    assert asked[1][1]["parts"] == 170_000
    invoke("--model", "", "--jobs", "1")
    assert asked[2][1]["committed"] is None


def test_command_refuses_what_is_no_result(result, tmp_path):
    for content in ("", "[]", "{}", '{"benchmark": "identify"}'):
        (tmp_path / "a.json").write_text(content)
        with pytest.raises(DataError, match=r"a\.json"):
            invoke("--from", tmp_path / "a.json")
    with pytest.raises(DataError, match="missing"):
        invoke("--from", tmp_path / "missing.json")
    (tmp_path / "b.json").write_text(json.dumps(result))
    with pytest.raises(ConfigError, match="--json"):
        invoke("--from", tmp_path / "b.json", "--json", tmp_path / "c.json")


def invoke(*words) -> str:
    app = typer.Typer()
    app.command("identify", help=command.HELP)(command.identify)
    done = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_the_reliability_figure_survives_a_few_parts_that_are_all_right(result):
    bins = [[0.999, 1.0, 5], [1.0, 1.0, 5], [1.0, 1.0, 4]]
    few = {**result, "pictures": {**result["pictures"], "reliability": bins}}
    drawn = FIGURES["identify_reliability.svg"](few)
    assert "bins of 4 to 5 each" in drawn
    assert "nan" not in drawn


def test_the_counts_under_the_reliability_figure_never_overlap(result):
    bins = [[0.7165, 0.668, 250], [0.9825, 0.988, 250], [0.9991, 0.996, 1250], *[[1.0, 1.0, 250]] * 5]
    many = {**result, "pictures": {**result["pictures"], "reliability": bins}}
    root = ElementTree.fromstring(FIGURES["identify_reliability.svg"](many))
    words = [one for one in root.findall("{*}text") if one.get("y") == "425.0" and one.text != "parts"]
    assert sum(int(one.text.replace(",", "")) for one in words) == sum(count for *_, count in bins)
    assert len(words) >= 2
    for left, right in pairwise(words):
        assert float(right.get("x")) - float(left.get("x")) > 3.5 * (len(left.text) + len(right.text))


def test_a_material_without_parts_leaves_an_empty_row(result):
    table = np.array(result["pictures"]["confusion"])
    table[3] = 0
    drawn = FIGURES["identify_confusion.svg"](
        {**result, "pictures": {**result["pictures"], "confusion": table.tolist()}}
    )
    assert drawn.count('class="wash"') == len(MATERIALS) ** 2 - np.count_nonzero(table)
