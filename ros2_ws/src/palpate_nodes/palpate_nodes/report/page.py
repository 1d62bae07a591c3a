"""The page around the parts: figures in sum, table of parts, confusion matrix, items."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from palpate_nodes.report.pictures import Picture
from palpate_nodes.report.records import SessionRecord
from palpate_nodes.report.style import CSS
from palpate_nodes.results import PartResult, SessionResults

KINDS = {
    "sim": "simulated cell",
    "cell": "physical cell",
    "replay": "replay of a recording",
    "identify": "measured spectra",
}
ABSTAINED = "no decision"


def page(session: SessionRecord, thumbnails: dict[str, Picture], details: str, shown: Sequence[str], made: str) -> str:
    """Whole document: `details` are the sections of the parts with the ids `shown`, `made` says when and by what."""
    results = session.results
    title = f"Session {results.session_id}" if results.session_id else "Session"
    return "".join(
        (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width,initial-scale=1">',
            f"<title>{escape(title)} · palpate</title><style>{CSS}</style></head><body>",
            f'<header class="top"><p class="brand">palpate session report</p><h1>{escape(title)}</h1>',
            f'<p class="lead">{escape(_lead(results))}</p>{_tiles(session)}{_notes(session.notes)}{_facts(session)}',
            "</header><main>",
            _section("Parts", _overview(results, thumbnails, set(shown)) or "<p>No part was characterised.</p>"),
            _judgement(results),
            _items(results),
            f"<h2>{_details_title(len(shown), len(results.parts))}</h2>{details}" if shown else "",
            "</main>",
            f"<footer><p>{escape(made)}</p></footer></body></html>\n",
        )
    )


def table(label: str, css: str, columns: Sequence[tuple[str, str]], rows: Sequence[str]) -> str:
    """A table in a frame that scrolls on narrow screens; columns are (HTML of the head, css class)."""
    head = "".join(f'<th scope="col" class="{name_css}">{name}</th>' for name, name_css in columns)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(label)}"><table class="{css}">'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _section(title: str, content: str) -> str:
    return f'<h2>{escape(title)}</h2><section class="card">{content}</section>' if content else ""


def _details_title(shown: int, total: int) -> str:
    return "Part by part" if shown == total else f"Part by part: {shown} of {total}, those that went wrong first"


def _lead(results: SessionResults) -> str:
    count = len(results.parts)
    what = f"{count} part{'s' if count != 1 else ''}"
    where = KINDS.get(results.kind, "")
    when = results.started.replace("T", " ")[:16]
    return ", ".join(text for text in (what, where, when) if text)


def percent(value: float | None) -> str:
    """A share in words; a dash where there is none."""
    return "–" if value is None else f"{100.0 * value:.1f} %"


def _tiles(session: SessionRecord) -> str:
    summary = session.results.summary
    tiles: list[tuple[str, str, str]] = []
    if summary.known:
        detail = f"{summary.correct} of {summary.known} parts"
        if summary.abstained and summary.accuracy_decided is not None:
            detail += f"; {percent(summary.accuracy_decided)} of those decided"
        tiles.append(("Correct", percent(summary.accuracy), detail))
    if summary.parts:
        tiles.append(
            ("No decision", str(summary.abstained), f"{summary.failed} failed" if summary.failed else "abstained")
        )
    if summary.seconds_per_part:
        tiles.append(("Time per part", f"{summary.seconds_per_part:.1f} s", "on the cell's clock"))
    if summary.real_time_factor:
        tiles.append(("Speed", f"{summary.real_time_factor:.1f} ×", "real time"))
    tiles.append(("Recorded", f"{session.bag_bytes / 2**20:.0f} MiB", f"{session.bag_messages:,} messages"))
    cells = "".join(
        f'<div class="tile"><dt>{escape(name)}</dt><dd>{escape(value)}<small>{escape(detail)}</small></dd></div>'
        for name, value, detail in tiles
    )
    return f'<dl class="tiles">{cells}</dl>'


def _notes(notes: Sequence[str]) -> str:
    if not notes:
        return ""
    return '<div class="notes" role="note"><ul>' + "".join(f"<li>{escape(note)}</li>" for note in notes) + "</ul></div>"


def _facts(session: SessionRecord) -> str:
    results = session.results
    facts = [
        ("Model", " ".join(text for text in (results.model_name, results.model_hash[:12]) if text)),
        ("Labels", results.label_set),
        ("Recording", f"{session.bag_seconds:.0f} s of the cell's time, {session.dropped or 'no'} messages lost"),
        *sorted(results.versions.items()),
    ]
    cells = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in facts if value)
    return f'<dl class="facts">{cells}</dl>'


def verdict_mark(part: PartResult) -> tuple[str, str]:
    """(css class, words) of how a part came out."""
    if part.error:
        return "bad", "failed"
    if part.abstained:
        return "unsure", ABSTAINED
    if part.correct is None:
        return "plain", "truth unknown"
    return ("good", "correct") if part.correct else ("bad", "wrong")


_SIGNS = {"good": "✓", "bad": "✗", "unsure": "–", "plain": ""}


def _overview(results: SessionResults, thumbnails: dict[str, Picture], linked: set[str]) -> str:
    parts = results.parts
    if not parts:
        return ""
    columns = [
        (name, css, cells)
        for name, css, cells in (
            ("Item", "", [escape(part.group) if part.group != part.part_id else "" for part in parts]),
            ("Truth", "", [escape(part.truth) for part in parts]),
            ("Condition", "optional", [escape(part.condition) for part in parts]),
            ("Decision", "", [_decision_cell(part) for part in parts]),
            ("", "", [_mark_cell(part) for part in parts]),
            ("Confidence", "num", [f"{part.confidence:.2f}" if part.belief else "" for part in parts]),
            ("Probes", "num optional", [_probe_count(part) for part in parts]),
            ("Bin", "optional", [escape(part.bin) for part in parts]),
            ("Time, s", "num optional", [f"{part.cell_seconds:.1f}" if part.cell_seconds else "" for part in parts]),
        )
        if any(cells)
    ]
    with_pictures = any(part.part_id in thumbnails for part in parts)
    heads = [("", "thumb")] if with_pictures else []
    heads += [("Part", ""), *((name or "Result", css) for name, css, _ in columns)]
    rows = []
    for i, part in enumerate(parts):
        cells = []
        if with_pictures:
            picture = thumbnails.get(part.part_id)
            cells.append(f'<td class="thumb">{_thumbnail(picture)}</td>')
        name = escape(part.part_id)
        link = f'<a href="#part-{part.index}">{name}</a>' if part.part_id in linked else name
        cells.append(f'<th scope="row">{link}</th>')
        cells += [f'<td class="{css}">{values[i]}</td>' for _, css, values in columns]
        rows.append(f"<tr>{''.join(cells)}</tr>")
    return table("Table of parts", "overview", heads, rows)


def _thumbnail(picture: Picture | None) -> str:
    return f'<img src="{picture.uri}" alt="" width="36" height="36">' if picture else ""


def _decision_cell(part: PartResult) -> str:
    if part.error:
        return f'<span class="bad">{escape(part.error)}</span>'
    if part.abstained:
        return f'<span class="unsure">none</span> <span class="soft">({escape(part.belief)}?)</span>'
    return escape(part.belief)


def _mark_cell(part: PartResult) -> str:
    css, words = verdict_mark(part)
    return f'<span class="mark {css}">{_SIGNS[css]} <span class="words">{words}</span></span>' if css != "plain" else ""


def _probe_count(part: PartResult) -> str:
    failed = sum(probe.outcome != "SUCCEEDED" for probe in part.probes)
    if not part.probes:
        return ""
    return f"{len(part.probes)}" + (f' <span class="unsure">({failed} failed)</span>' if failed else "")


def _judgement(results: SessionResults) -> str:
    """Confusion matrix and accuracy per condition, where truths are known."""
    known = [part for part in results.parts if part.truth]
    if not known:
        return ""
    matrix = f"<div><h4>Which material was taken for which</h4>{confusion_matrix(known)}</div>"
    shares = results.summary.accuracy_by_condition
    if len(shares) < 2:
        return _section("Right and wrong", matrix)
    counts = {name: sum(part.condition == name for part in known) for name in shares}
    bars = "".join(
        f'<span>{escape(name)} <span class="soft">({counts[name]})</span></span>'
        f'<span class="track"><span style="width:{100 * share:.0f}%"></span></span><span>{100 * share:.0f} %</span>'
        for name, share in shares.items()
    )
    conditions = f'<div><h4>Correct by condition (parts)</h4><div class="bars">{bars}</div></div>'
    return _section("Right and wrong", f'<div class="split">{matrix}{conditions}</div>')


def confusion_matrix(parts: Sequence[PartResult]) -> str:
    """Rows are truths, columns decisions; cells hold counts, their shade the share of the row."""
    counts: dict[tuple[str, str], int] = {}
    for part in parts:
        cell = (part.truth, part.decision or ABSTAINED)
        counts[cell] = counts.get(cell, 0) + 1
    truths = sorted({truth for truth, _ in counts})
    decided = {decision for _, decision in counts}
    columns = truths + sorted(decided - {*truths, ABSTAINED}) + ([ABSTAINED] if ABSTAINED in decided else [])
    heads = [("", ""), *((f'<span class="label">{escape(name)}</span>', "") for name in columns)]
    rows = []
    for truth in truths:
        total = sum(count for (row, _), count in counts.items() if row == truth)
        cells = [_confusion_cell(counts.get((truth, name), 0), total, name == truth) for name in columns]
        rows.append(f'<tr><th scope="row">{escape(truth)}</th>{"".join(cells)}</tr>')
    note = '<p class="axis-note">rows: truth, columns: decision; a frame marks what is right</p>'
    return note + table("Confusion matrix", "confusion", heads, rows)


def _confusion_cell(count: int, total: int, right: bool) -> str:
    share = count / total
    css = " ".join(
        name for name, on in (("zero", count == 0), ("strong", share > 0.6), ("diagonal", right and count > 0)) if on
    )
    return f'<td class="{css}" style="--share:{share:.2f}">{count}</td>'


def _items(results: SessionResults) -> str:
    if not results.items:
        return ""
    rows = []
    for item in results.items:
        css = "plain" if item.correct is None else "good" if item.correct else "bad"
        words = {"plain": "", "good": "✓ correct", "bad": "✗ wrong"}[css]
        rows.append(
            f'<tr><th scope="row">{escape(item.group)}</th><td>{escape(item.truth)}</td><td>{escape(item.belief)}</td>'
            f'<td class="num">{item.confidence:.2f}</td><td><span class="mark {css}">{words}</span></td>'
            f'<td class="num">{item.correct_measurements} of {item.measurements}</td></tr>'
        )
    heads = (
        ("Item", ""), ("Truth", ""), ("Decision", ""), ("Confidence", "num"), ("Result", ""),
        ("Spectra correct", "num"),
    )  # fmt: skip
    title = "Items: all measurements of one object together"
    return _section(title, table("Table of items", "overview", heads, rows))
