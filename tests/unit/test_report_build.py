"""The report as a whole: self-contained, complete, tolerant of what is missing, clear about what is wrong."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser

import pytest
import typer
from report_synthetic_bag import PARTS, MadeUpPart, write_session
from typer.testing import CliRunner

from palpate_agents.errors import DataError
from palpate_nodes.commands import report as report_command
from palpate_nodes.report import build
from palpate_nodes.report.build import build_report
from palpate_nodes.results import read_results, write_results

_VOID = {"meta", "img", "br"}


class _Page(HTMLParser):
    """Checks nesting and collects what the tests ask for."""

    def __init__(self, html):
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict]] = []
        self.text: list[str] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "title"):
            self.text.append(data)

    def all(self, tag, **attrs):
        return [found for name, found in self.tags if name == tag and attrs.items() <= found.items()]


def read(path):
    html = path.read_text(encoding="utf-8")
    return _Page(html), html


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    folder = tmp_path_factory.mktemp("session")
    write_session(folder)
    return folder


@pytest.fixture(scope="module")
def page(session):
    return read(build_report(session))


def test_the_page_needs_nothing_but_itself(page, session):
    document, html = page
    assert (session / "report.html").stat().st_size < 3e6
    assert not re.search(r"https?://", html)
    for tag, attrs in document.tags:
        assert tag not in ("script", "link", "iframe", "object")
        for name in ("src", "href"):
            if name in attrs:
                assert attrs[name].startswith(("data:image/jpeg;base64,", "#part-"))
    assert "@import" not in html
    assert "url(" not in html


def test_the_page_is_accessible(page):
    document, html = page
    assert document.all("html", lang="en")
    assert all("alt" in image for image in document.all("img"))
    described = [image for image in document.all("img") if image["alt"]]
    assert len(described) == 4 * len(PARTS)  # thumbnails are decoration, pictures are described
    charts = document.all("svg")
    assert len(charts) == 6 * len(PARTS)  # spectrum, belief, contributions, force twice (wide, narrow), tap
    assert all(chart["role"] == "img" and len(chart["aria-label"]) > 20 for chart in charts)
    assert all(head.get("scope") in ("row", "col") for head in document.all("th"))
    ids = {attrs["id"] for _, attrs in document.tags if "id" in attrs}
    assert {link["href"][1:] for link in document.all("a")} == ids
    assert "prefers-color-scheme:dark" in html
    assert document.all("meta", name="viewport")


def test_the_figures_are_on_top(page):
    text = " ".join(page[0].text)
    for words in ("33.3 %", "1 of 3 parts; 50.0 % of those decided", "24.0 s", "7.7 ×", "cell29 3f3f3f3f3f3f"):
        assert words in text
    assert "simulated cell" in text
    assert "no messages lost" in text


def test_the_confusion_matrix_counts(page):
    html = page[1]
    matrix = html[html.index('class="confusion"') :]
    matrix = matrix[: matrix.index("</table>")]
    columns = re.findall(r'class="label">([^<]*)<', matrix)
    assert columns == ["ABS", "PET", "PP", "PC", "no decision"]
    rows = {
        truth: [int(count) for count in re.findall(r"<td[^>]*>(\d+)</td>", cells)]
        for truth, cells in re.findall(r'<th scope="row">([^<]*)</th>(.*?)</tr>', matrix)
    }
    assert rows == {"ABS": [0, 0, 0, 1, 0], "PET": [0, 0, 0, 0, 1], "PP": [0, 0, 1, 0, 0]}


def test_a_part_shows_what_happened(page):
    html = page[1]
    section = html[html.index('id="part-1"') : html.index('id="part-2"')]
    for words in (
        "wrong, truth: ABS", "black, block, 45 g, 22.4 °C", "descended 12 mm past the expected surface", "no contact",
        "reflectance below 0.05", "Thermal effusivity", ">585<", "×/÷ 1.07", "Catalogue, ABS", ">518<",
        "PC, catalogue", "ABS, catalogue", "ABS 0.06 (truth)", "Tap at 0.04 m/s",
        "What each sense said for PC", "Contribution to PC, nats: visual +1.25, spectral -0.50.",
        "Condition and novelty",
        '<span>black</span><span class="track"><span style="width:96%"></span></span><span class="mark">0.96</span>',
        '<span class="mark">0.12</span>', "one known part in a hundred exceeds 0.75", "Share of the second polymer",
    ):  # fmt: skip
        assert words in section, words
    third = html[html.index('id="part-2"') :]
    assert "PS? " in third
    assert ">no decision</b>" in third
    assert 'class="chip unsure">truth: PET<' in third
    assert "confidence 0.34 is below 0.50" in third.lower()
    assert '<span class="mark unsure">0.91</span>' in third, "a novelty above its limit stands out"


def test_without_ros_the_page_is_the_same(session, page, tmp_path):
    code = (
        "import sys\n"
        "for name in ('rclpy', 'palpate_interfaces', 'sensor_msgs', 'rosidl_runtime_c'): sys.modules[name] = None\n"
        "from pathlib import Path\n"
        "from palpate_nodes.report.build import build_report\n"
        "build_report(Path(sys.argv[1]), Path(sys.argv[2]))\n"
    )
    out = tmp_path / "r.html"
    done = subprocess.run(
        [sys.executable, "-c", code, str(session), str(out)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    made = re.compile(r"<footer>.*")
    assert made.sub("", out.read_text()) == made.sub("", page[1])


@pytest.mark.parametrize(
    ("left_out", "gone", "still"),
    [
        (
            ("belief", "signature", "probe_observation"),
            ("Belief after each probe", "Properties"),
            ("Spectrum", "Force"),
        ),
        (("arm/probe_execution",), (">Probes</h4>",), ("Spectrum", "Force", "Colour", "Belief after each probe")),
        (("camera/color/image_raw", "thermal_camera/image_raw"), ("Colour", "Thermal,"), ("Depth", "Spectrum")),
        (("spectrometer/spectrum", "force_torque_sensor/wrench"), (">Spectrum<", ">Force<"), ("Colour", "Tap")),
        (("part_presented",), (), ("Probes", "Belief after each probe", "Colour", "Spectrum", "Force")),
    ],
)
def test_a_missing_topic_leaves_its_figure_out(tmp_path, left_out, gone, still):
    write_session(tmp_path, PARTS[:1], left_out=left_out)
    document, html = read(build_report(tmp_path))
    body = html[html.index("Part by part") :]
    assert not [words for words in gone if words in body]
    assert not [words for words in still if words not in body]
    derived = [topic for topic in left_out if topic in ("belief", "signature", "arm/probe_execution")]
    notes = " ".join(document.text)
    assert all(topic in notes[notes.index("Not recorded:") :] for topic in derived)


def test_without_results_the_figures_come_from_the_bag(tmp_path):
    write_session(tmp_path, results=False)
    document, html = read(build_report(tmp_path))
    text = " ".join(document.text)
    assert "33.3 %" in text
    assert "The session did not end normally" in text
    assert "wrong, truth: ABS" in html
    assert not (tmp_path / "results.json").exists()  # a report reads


def test_a_bag_that_was_cut_off_is_shown_as_far_as_it_goes(tmp_path):
    write_session(tmp_path, results=False)
    bag = tmp_path / "bag" / "bag_0.mcap"
    data = bag.read_bytes()
    bag.write_bytes(data[: len(data) * 45 // 100])
    document, _ = read(build_report(tmp_path))
    text = " ".join(document.text)
    assert "The recording is incomplete:" in text
    assert {section["id"] for section in document.all("details")} == {"part-0", "part-1"}
    assert "no signature was recorded" in text  # of the part that was in the cell when it was cut


def test_names_cannot_break_the_page(tmp_path):
    results = write_session(tmp_path, PARTS[:1])
    evil = '"><script>alert(1)</script>'
    results.session_id = results.parts[0].group = results.parts[0].belief = evil
    results.parts[0].reason = evil
    write_results(results, tmp_path)
    document, html = read(build_report(tmp_path))
    assert not document.all("script")
    assert "&lt;script&gt;" in html


def test_another_namespace_and_another_place(tmp_path):
    write_session(tmp_path / "session", PARTS[:1], namespace="/line2/cell")
    out = tmp_path / "mine.html"
    assert build_report(tmp_path / "session", out) == out
    assert "Belief after each probe" in out.read_text()
    assert not (tmp_path / "session" / "report.html").exists()


def test_of_many_parts_those_that_went_wrong_are_shown(tmp_path):
    parts = [MadeUpPart("PP", "PP", plan=()), *PARTS, MadeUpPart("PC", "PC", plan=())]
    write_session(tmp_path, parts, wrench_hz=5.0)
    document, html = read(build_report(tmp_path, max_details=2))
    assert [section["id"] for section in document.all("details")] == ["part-2", "part-3"]
    assert "2 of 5, those that went wrong first" in html
    assert html.count('<th scope="row">') >= 5  # the table has them all
    assert {link["href"] for link in document.all("a")} == {"#part-2", "#part-3"}


def test_a_session_without_parts_says_so(tmp_path):
    write_session(tmp_path, [])
    document, html = read(build_report(tmp_path))
    assert "No part was characterised." in html
    assert not document.all("table")
    assert not document.all("details")
    assert "Part by part" not in html


def test_many_details_are_folded(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "OPEN_DETAILS", 1)
    write_session(tmp_path, PARTS[:2], wrench_hz=5.0)
    document, _ = read(build_report(tmp_path))
    assert [section for section in document.all("details") if "open" in section] == []


def test_measured_spectra_get_the_other_items_as_reference(tmp_path):
    parts = [replace(PARTS[0], truth=truth, plan=()) for truth in ("PP", "PP", "ABS")]
    others = ("belief", "camera/color/image_raw", "force_torque_sensor/wrench")
    results = write_session(tmp_path, parts, left_out=others)
    for row in results.parts:
        row.truth = row.belief = "PLA" if row.index < 2 else "TPU"  # no materials of the catalogue
        row.group = f"item {row.index}"
    write_results(results, tmp_path)
    _, html = read(build_report(tmp_path))
    assert html.count("mean of 1 spectra of other items of PLA") == 2
    assert "other items of TPU" not in html


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path / "nowhere", "there is no session at .*nowhere"),
        (lambda path: (path / "file").write_text("x") and path / "file", "is a file; give the folder"),
        (lambda path: path, "is no session: it holds neither bag/ nor results.json"),
    ],
)
def test_what_is_no_session_is_said(tmp_path, make, message):
    with pytest.raises(DataError, match=message):
        build_report(make(tmp_path))


def test_a_session_without_a_bag_a_foreign_bag_and_broken_results(tmp_path):
    results = write_session(tmp_path / "a", PARTS[:1])
    (tmp_path / "b").mkdir()
    write_results(results, tmp_path / "b")
    with pytest.raises(DataError, match="has no bag"):
        build_report(tmp_path / "b")
    (tmp_path / "b" / "bag").mkdir()
    (tmp_path / "b" / "bag" / "x.mcap").write_bytes(b"not an mcap file at all")
    with pytest.raises(DataError, match=r"x\.mcap"):
        build_report(tmp_path / "b")
    (tmp_path / "a" / "results.json").write_text("{}")
    with pytest.raises(DataError, match="results format None"):
        build_report(tmp_path / "a")
    write_session(tmp_path / "c", PARTS[:1])
    with pytest.raises(DataError, match=r"cannot write .*r\.html: No such file or directory"):
        build_report(tmp_path / "c", tmp_path / "no" / "r.html")


def test_the_command_writes_and_names_the_file(session, tmp_path):
    app = typer.Typer()
    app.callback()(lambda: None)
    report_command.register(app)
    out = tmp_path / "r.html"
    done = CliRunner().invoke(app, ["report", str(session), "--out", str(out), "--details", "1"])
    assert done.exit_code == 0, done.output
    assert str(out) in done.output.replace("\n", "")
    assert out.stat().st_size > 50_000
    wrong = CliRunner().invoke(app, ["report", str(tmp_path / "nothing")])
    assert isinstance(wrong.exception, DataError)
    assert read_results(session).session_id == "synthetic"
