"""The charts of a part: spectrum beside its reference, force over time, belief after each probe, a tap."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from palpate_nodes.report.records import BeliefRecord, BurstRecord, ForceTrace, ProbeRecord, SpectrumRecord
from palpate_nodes.report.reference import Reference
from palpate_nodes.report.svg import Axes, number, path_data, rect, svg, text

COLORS = 5
"""Categorical colours `c0`..`c4` of the page; everything else is grey."""
PRIMITIVE_TEXT = {
    "LOOK": "Look",
    "PRESS": "Press",
    "TAP": "Tap",
    "SLIDE": "Slide",
    "DWELL": "Dwell",
    "LIFT": "Lift",
    "PLACE": "Place",
    "WIPE": "Wipe",
    "SCRATCH": "Scratch",
}


def key(entries: Sequence[tuple[str, str]]) -> str:
    """Key of a chart: (css class, text) each."""
    items = "".join(f'<li><span class="swatch {css}"></span>{escape(words)}</li>' for css, words in entries)
    return f'<ul class="key">{items}</ul>'


def spectrum_chart(spectra: Sequence[SpectrumRecord], references: Sequence[tuple[str, Reference]]) -> str:
    """Measured spectra over (name, reference) pairs on the same wavelengths, with a key."""
    first = spectra[0]
    axis = first.wavelength_nm
    lines = np.concatenate([spectrum.values for spectrum in spectra] + [ref.median for _, ref in references])
    low, high = float(np.nanmin(lines)), float(np.nanmax(lines))
    if first.is_reflectance:
        low = min(0.0, low)
    # The spread of a reference (clear parts over any table) may exceed what was measured by far: cut off, not shrink.
    low, high = low - 0.02 * (high - low), high + 0.15 * (high - low or 1.0)
    chart = Axes(480, 270, (float(axis[0]), float(axis[-1])), (low, high), left=52)
    chart.frame("wavelength, nm", "reflectance" if first.is_reflectance else "detector counts")
    entries = []
    for number_, (name, reference) in enumerate(references[:2]):
        css = f"c{number_ + 1}"
        chart.band(axis, np.clip(reference.low, low, high), np.clip(reference.high, low, high), css)
        chart.line(axis, reference.median, f"{css} thin dash{number_}")
        entries.append((css, name))
    for spectrum in spectra:
        chart.line(spectrum.wavelength_nm, spectrum.values, "c0")
    count = f"measured ({len(spectra)} spectra)" if len(spectra) > 1 else "measured"
    names = " and ".join(name for name, _ in references) or "no reference"
    label = f"Spectrum from {axis[0]:.0f} to {axis[-1]:.0f} nm: {count}, beside {names}."
    return chart.render(label) + key([("c0", count), *entries])


def force_chart(trace: ForceTrace, probes: Sequence[ProbeRecord], narrow: bool) -> str:
    """Force over time, the window of every probe marked and named."""
    width = 420.0 if narrow else 1020.0
    end = max([float(trace.times_s[-1]), *(probe.end_s for probe in probes)])
    chart = Axes(width, 250, (0.0, end), (0.0, max(1.0, float(trace.high_n.max()) * 1.08)))
    names = _window_names(chart, probes)
    above = 14.0 * max((row for _, row in names), default=0) + 20.0
    chart.top, chart.height = chart.top + above, chart.height + above
    for probe, (x, row) in zip(probes, names, strict=True):
        bad = " bad" if probe.outcome != "SUCCEEDED" else ""
        name = _name(probe)
        when = f"{probe.start_s:.1f} to {probe.end_s:.1f} s"
        chart.span(probe.start_s, probe.end_s, "window" + bad, f"{name}, {_words(probe.outcome)}, {when}")
        chart.marks.append(text(x, chart.top - 6 - 14 * row, name, "name" + bad, "middle"))
    chart.frame("time since the part was presented, s", "", x_ticks=6 if narrow else 12)
    # One closed outline from the largest forces forward to the smallest back: spikes of single samples stay visible.
    times = np.concatenate([trace.times_s, trace.times_s[::-1]]).tolist()
    forces = np.concatenate([trace.high_n, trace.low_n[::-1]]).tolist()
    data = path_data((chart.x(t), chart.y(f)) for t, f in zip(times, forces, strict=True))
    chart.marks.append(f'<path class="trace" d="{data}Z"/>')
    done = ", ".join(f"{_words(p.primitive)} ({_words(p.outcome)})" for p in probes) or "no probes"
    label = f"Force over {end:.0f} s, at most {float(trace.high_n.max()):.2g} N. Probes: {done}."
    return chart.render(label)


def _name(probe: ProbeRecord) -> str:
    return PRIMITIVE_TEXT.get(probe.primitive, probe.primitive)


def _window_names(chart: Axes, probes: Sequence[ProbeRecord]) -> list[tuple[float, int]]:
    """Where the name of each window is written, px, and in which of three rows, so that names do not overlap."""
    ends = [-1e9, -1e9, -1e9]  # right end of the last name in each row
    places = []
    for probe in probes:
        half = 3.6 * len(_name(probe)) + 3
        x = chart.x(0.5 * (probe.start_s + probe.end_s))
        x = min(max(x, chart.left + half - 8), chart.width - half)
        row = next((i for i, right in enumerate(ends) if x - half > right), ends.index(min(ends)))
        ends[row] = x + half
        places.append((x, row))
    return places


def _words(name: str) -> str:
    return name.replace("_", " ").lower()


def leading_labels(beliefs: Sequence[BeliefRecord], decided: str, truth: str = "") -> list[str]:
    """Up to five labels to colour: decision, truth, the final belief's most probable, then those of earlier beliefs."""
    final = beliefs[-1].probabilities
    peak = {label: max(b.probabilities.get(label, 0.0) for b in beliefs[1:] or beliefs) for label in final}
    sure = [label for label in (decided, truth) if label in final]
    ranked = sorted(final, key=lambda label: -final[label])[:3] + sorted(peak, key=lambda label: -peak[label])
    leading = dict.fromkeys(sure + [label for label in ranked if peak[label] >= 0.02])
    return list(leading)[:COLORS]


def belief_chart(beliefs: Sequence[BeliefRecord], probes: Sequence[ProbeRecord], decided: str, truth: str = "") -> str:
    """One column per belief, from the prior on: how the probability mass moves, the leading labels in colour."""
    labels = leading_labels(beliefs, decided, truth)
    names = {probe.index + 1: _name(probe) for probe in probes}
    chart = Axes(480, 270, (0.0, float(len(beliefs))), (0.0, 1.0), left=34, right=4, top=14, bottom=34)
    column = (480 - 38) / len(beliefs)
    width = min(0.86 * column, 86.0)
    for tick in (0.0, 0.5, 1.0):
        chart.marks.append(f'<path class="grid" d="M34 {chart.y(tick):.1f}H476"/>')
        chart.marks.append(text(28, chart.y(tick) + 4, number(tick), "tick", "end"))
    for i, belief in enumerate(beliefs):
        left = 34 + (i + 0.5) * column - width / 2
        floor = 0.0
        step = "no probe" if belief.probes == 0 else names.get(belief.probes, f"probe {belief.probes}")
        for rank, label in enumerate(labels):
            p = belief.probabilities.get(label, 0.0)
            title = f"{label} {p:.3f} after {step}"
            chart.marks.append(_segment(chart, left, width, floor, p, f"c{rank}", label, title))
            floor += p
        chart.marks.append(_segment(chart, left, width, floor, max(0.0, 1.0 - floor), "rest", "", "all others"))
        caption = "prior" if belief.probes == 0 else step
        chart.marks.append(text(34 + (i + 0.5) * column, 252, caption, "tick", "middle"))
    last = beliefs[-1].probabilities
    top = ", ".join(f"{label} {last.get(label, 0.0):.2f}" for label in labels)
    label = f"Belief after each of {len(beliefs) - 1} probes, from no probe on. Last: {top}."
    entries = [
        (f"c{rank}", f"{name} {last.get(name, 0.0):.2f}" + (" (truth)" if name == truth else ""))
        for rank, name in enumerate(labels)
    ]
    return chart.render(label) + key([*entries, ("rest", "all others")])


def _segment(
    chart: Axes, left: float, width: float, floor: float, share: float, css: str, label: str, title: str
) -> str:
    top, bottom = chart.y(floor + share), chart.y(floor)
    mark = rect(left, top, width, bottom - top, f"fill {css}", title)
    if label and bottom - top >= 15 and width >= 6.6 * len(label):
        mark += text(left + width / 2, (top + bottom) / 2 + 4, label, "inside", "middle")
    return mark


def final_bars(probabilities: dict[str, float], decided: str, truth: str = "") -> str:
    """Horizontal bars of the five most probable labels: for parts without a recorded history of beliefs."""
    labels = leading_labels([BeliefRecord(0, probabilities)], decided, truth)
    marks = []
    for rank, label in enumerate(labels):
        y, p = 14 + 30 * rank, probabilities[label]
        marks.append(text(112, y + 14, label, "tick", "end"))
        marks.append(rect(120, y, 300 * p, 20, f"fill c{rank}"))
        marks.append(text(126 + 300 * p, y + 14, f"{p:.2f}", "tick"))
    top = ", ".join(f"{label} {probabilities[label]:.2f}" for label in labels)
    return svg(480, 20 + 30 * len(labels), f"Final belief: {top}.", marks)


def contribution_chart(contributions: dict[str, float], material: str) -> str:
    """Horizontal bars from a zero line: what each sense did for the belief in a material, nats."""
    low, high = min(0.0, *contributions.values()), max(0.0, *contributions.values())
    left, right = (138.0 if low < 0.0 else 92.0), 425.0  # numbers stand beside the bars
    scale = (right - left) / max(high - low, 1.0)
    zero = left - scale * low
    height = 12 + 30 * len(contributions)
    marks = [f'<path class="axis" d="M{zero:.1f} 6V{height - 6}"/>']
    for row, (name, nats) in enumerate(contributions.items()):
        y, end = 12 + 30 * row, zero + scale * nats
        words = number(round(nats, 2)) if nats < 0.0 else f"+{round(nats, 2):g}"
        marks.append(text(84, y + 14, name, "tick", "end"))
        marks.append(rect(min(zero, end), y, abs(end - zero), 20, f"fill {'c0' if nats >= 0.0 else 'c1'}"))
        marks.append(text(end + (6 if nats >= 0.0 else -6), y + 14, words, "tick", "start" if nats >= 0.0 else "end"))
    told = ", ".join(f"{name} {nats:+.2f}" for name, nats in contributions.items())
    return svg(480, height, f"Contribution to {material}, nats: {told}.", marks)


def tap_chart(burst: BurstRecord) -> str:
    """Acceleration of the tip around one tap, cut to where something happens."""
    strength = np.abs(burst.acceleration_m_s2)
    loud = np.flatnonzero(strength > 0.05 * strength.max()) if strength.size else np.zeros(0, int)
    if loud.size == 0:
        return ""
    margin = max(8, (loud[-1] - loud[0]) // 3)
    part = slice(max(0, loud[0] - margin), loud[-1] + margin + 1)
    times, values = burst.times_ms[part], burst.acceleration_m_s2[part]
    low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
    chart = Axes(480, 270, (float(times[0]), float(times[-1])), (low, 1.05 * high), left=52)
    chart.frame("time, ms", "acceleration of the tip, m/s²")
    chart.line(times, values, "c0")
    return chart.render(
        f"Tap at {burst.impact_speed_m_s:g} m/s: peak {float(strength.max()):.3g} m/s² over "
        f"{float(times[-1] - times[0]):.2g} ms."
    )
