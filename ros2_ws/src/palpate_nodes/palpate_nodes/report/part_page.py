"""One part on the page: decision, pictures, spectrum, belief, force, properties, probes."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from palpate_nodes.report import charts
from palpate_nodes.report.page import ABSTAINED, table, verdict_mark
from palpate_nodes.report.pictures import (
    DEPTH_MAP,
    SHOWN_PX,
    THERMAL_MAP,
    Picture,
    Region,
    around_part,
    around_spot,
    color_picture,
    depth_picture,
    scale_gradient,
    thermal_picture,
)
from palpate_nodes.report.properties import property_rows
from palpate_nodes.report.records import PartRecord, ProbeRecord
from palpate_nodes.report.reference import Reference, catalogue_reference, scaled_to, session_reference

PICTURE_ASPECT = 4 / 3
BLACK_BELOW = 0.12
"""Mean reflectance below which a scaled reference would only mislead."""


def part_section(part: PartRecord, peers: Sequence[PartRecord], open_: bool) -> str:
    """The section of one part; `peers` are all parts of the session, for references from their spectra."""
    blocks = [
        _reason(part),
        _pictures(part),
        _pair(_spectrum(part, peers), _belief(part)),
        _pair(_contributions(part), _condition(part)),
        _force(part),
        _pair(_properties(part), _tap(part)),
        _probes(part.probes),
    ]
    body = "".join(block for block in blocks if block) or '<p class="reason">Nothing was recorded of this part.</p>'
    return (
        f'<details class="part card" id="part-{part.result.index}"{" open" if open_ else ""}>'
        f'<summary>{_head(part)}</summary><div class="body">{body}</div></details>'
    )


def _head(part: PartRecord) -> str:
    result = part.result
    words = [result.condition, *part.facts]
    if result.group not in ("", result.part_id):
        words.insert(0, f"item {result.group}")
    sub = ", ".join(escape(word) for word in words if word)
    css, verdict = verdict_mark(result)
    chip = [f"truth: {result.truth}"] if result.truth else []
    if not (chip and result.abstained):  # "no decision" stands beside it already
        chip.insert(0, verdict)
    decision = escape(result.decision or (ABSTAINED if not result.error else "failed"))
    sure = ""
    if result.belief:
        share = 100 * result.confidence
        guess = f"{result.belief}? " if not result.decision else ""
        sure = (
            f'<span class="sub"><span class="meter"><span style="width:{share:.0f}%"></span></span>'
            f"{escape(guess)}{result.confidence:.2f}</span>"
        )
    bin_ = f'<span class="sub">bin: {escape(result.bin)}{_sorted(result.sort_outcome)}</span>' if result.bin else ""
    return (
        f'<div class="who"><h3>{escape(result.part_id)}</h3><span class="sub">{sub}</span></div>'
        f'<div class="verdict"><b>{decision}</b>{sure}{bin_}</div>'
        f'<span class="chip {css}">{escape(", ".join(chip))}</span>'
    )


def _sorted(outcome: str) -> str:
    return f" ({escape(outcome.replace('_', ' ').lower())})" if outcome not in ("", "SUCCEEDED") else ""


def _reason(part: PartRecord) -> str:
    words = part.result.error or part.result.reason
    return f'<p class="reason">{escape(words[:1].upper() + words[1:])}.</p>' if words else ""


def _pair(left: str, right: str) -> str:
    both = [block for block in (left, right) if block]
    return f'<div class="split">{"".join(both)}</div>' if both else ""


def _figure(title: str, content: str, caption: str = "") -> str:
    tail = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return f"<figure><h4>{escape(title)}</h4>{content}{tail}</figure>"


def _picture(
    title: str, picture: Picture, alt: str, unit: str = "", colormap: int | None = None, note: str = ""
) -> str:
    image = f'<img src="{picture.uri}" alt="{escape(alt)}" loading="lazy">'
    if colormap is not None and picture.low is not None and picture.high is not None:
        digits = 0 if picture.high - picture.low >= 20 else 1
        ends = "".join(f"<span>{value:.{digits}f} {unit}</span>" for value in (picture.low, picture.high))
        image += (
            f'<div class="scale" style="background:{scale_gradient(colormap)}"></div><div class="ends">{ends}</div>'
        )
    return _figure(title, image, note)


def _pictures(part: PartRecord) -> str:
    name = part.result.part_id
    figures = []
    if part.color is not None:
        region = around_part(part.color.shape, part.depth_mm, PICTURE_ASPECT)
        picture = color_picture(region.of(part.color), SHOWN_PX)
        figures.append(_picture("Colour", picture, f"Colour picture of {name}", note=_cut(region, part.color)))
    if part.depth_mm is not None:
        region = around_part(part.depth_mm.shape, part.depth_mm, PICTURE_ASPECT)
        picture = depth_picture(region.of(part.depth_mm))
        note = _cut(region, part.depth_mm)
        if picture.invalid > 0.001:
            note = f"{note} {100 * picture.invalid:.1f} % without a value (grey).".strip()
        alt = f"Depth picture of {name}, {picture.low:.0f} to {picture.high:.0f} mm"
        figures.append(_picture("Depth", picture, alt, "mm", DEPTH_MAP, note))
    for title, celsius in (
        ("Thermal, before", part.thermal_before_c),
        ("Thermal, warmed", part.thermal_after_c),
    ):
        if celsius is not None:
            before = part.thermal_before_c if part.thermal_before_c is not None else celsius
            region = around_spot(before, part.thermal_after_c)
            region = region if before.shape == celsius.shape else around_spot(celsius, None)
            picture = thermal_picture(region.of(celsius))
            alt = f"{title}: {picture.low:.1f} to {picture.high:.1f} degrees Celsius"
            figures.append(_picture(title, picture, alt, "°C", THERMAL_MAP, _cut(region, celsius, "warm spot")))
    return f'<div class="pictures">{"".join(figures)}</div>' if figures else ""


def _cut(region: Region, image: np.ndarray, around: str = "part") -> str:
    whole = region.of(image).shape == image.shape
    return "" if whole else f"Cut to the {around} from {image.shape[1]} × {image.shape[0]} px."


def _references(part: PartRecord, peers: Sequence[PartRecord]) -> list[tuple[str, Reference]]:
    """References of the decision and, where it differs, of the truth, scaled to the measurement."""
    measured = part.spectra[0]
    names = dict.fromkeys(name for name in (part.result.belief, part.result.truth) if name)
    found = []
    for name in names:
        reference = catalogue_reference(name, measured.wavelength_nm) if measured.is_reflectance else None
        if reference is None:
            reference = session_reference(_spectra_of(name, part, peers), name)
        if reference is None:
            continue
        words = f"{name}, {'catalogue' if measured.is_reflectance else 'other items'}"
        if not measured.is_reflectance or np.mean(measured.values) > BLACK_BELOW:
            reference, factor = scaled_to(reference, measured.values)
            words += f", × {factor:.2f}"
        found.append((words, reference))
    return found


def _spectra_of(label: str, part: PartRecord, peers: Sequence[PartRecord]) -> list[np.ndarray]:
    axis = part.spectra[0].wavelength_nm
    return [
        spectrum.values
        for peer in peers
        if peer.result.truth == label
        and (peer.result.group or peer.result.part_id) != (part.result.group or part.result.part_id)
        for spectrum in peer.spectra[:1]
        if spectrum.wavelength_nm.shape == axis.shape and np.allclose(spectrum.wavelength_nm, axis)
    ]


def _spectrum(part: PartRecord, peers: Sequence[PartRecord]) -> str:
    if not part.spectra:
        return ""
    references = _references(part, peers)
    caption = ""
    if references:
        caption = f"Reference: {references[0][1].source}; the band holds 80 % of them."
        if "×" in references[0][0]:
            caption += " Scaled to the measurement, because gain and distance are not known; the shape tells."
    return _figure("Spectrum", charts.spectrum_chart(part.spectra, references), caption)


def _belief(part: PartRecord) -> str:
    decided = part.result.belief
    if len(part.beliefs) > 1:
        return _figure(
            "Belief after each probe", charts.belief_chart(part.beliefs, part.probes, decided, part.result.truth)
        )
    last = part.beliefs[-1].probabilities if part.beliefs else {}
    last = last or (part.signature.probabilities if part.signature else {}) or part.result.probabilities
    return _figure("Belief", charts.final_bars(last, decided, part.result.truth)) if last else ""


def _contributions(part: PartRecord) -> str:
    told = part.signature.contributions if part.signature else part.result.contributions
    if not told:
        return ""
    name = part.result.belief
    caption = (
        f"Nats of the log probability of {name} that would be lost without the sense: 0.69 halves it. "
        "To the left: the sense speaks against it."
    )
    return _figure(f"What each sense said for {name}", charts.contribution_chart(told, name), caption)


def _condition(part: PartRecord) -> str:
    """What the part may be beside its material, and how unlike every known material it is."""
    signature = part.signature
    if signature is None or not (signature.conditions or signature.novelty):
        return ""
    bars = [_bar(name, share, "") for name, share in signature.conditions.items()]
    caption = "Probability of each condition, each for itself."
    if signature.novelty:
        value, limit = signature.novelty
        bars.append(_bar("unlike all known", value, " unsure" if value > limit else ""))
        caption += f" Unlike every known material: one known part in a hundred exceeds {limit:.2f}."
    return _figure("Condition and novelty", f'<div class="bars">{"".join(bars)}</div>', caption)


def _bar(name: str, share: float, css: str) -> str:
    width = 100.0 * min(1.0, max(0.0, share))
    return (
        f'<span>{escape(name)}</span><span class="track"><span style="width:{width:.0f}%"></span></span>'
        f'<span class="mark{css}">{share:.2f}</span>'
    )


def _force(part: PartRecord) -> str:
    if part.force is None:
        return ""
    content = (
        f'<div class="wide">{charts.force_chart(part.force, part.probes, narrow=False)}</div>'
        f'<div class="narrow">{charts.force_chart(part.force, part.probes, narrow=True)}</div>'
    )
    caption = (
        "Norm of the force without the tool's weight; what is left while the arm moves freely is inertia. "
        "Shaded: the window of each probe, red where it failed."
    )
    return _figure("Force, N", content, caption)


def _tap(part: PartRecord) -> str:
    drawn = charts.tap_chart(part.bursts[-1]) if part.bursts else ""
    return _figure("Tap", drawn, f"Struck at {1e3 * part.bursts[-1].impact_speed_m_s:.0f} mm/s.") if drawn else ""


def _properties(part: PartRecord) -> str:
    if part.signature is None or not part.signature.properties:
        return ""
    reference = part.result.truth or part.result.decision
    rows = property_rows(part.signature.properties, reference)
    with_catalogue = any(row.catalogue for row in rows)
    heads = [("Property", ""), ("Estimate", "num"), ("Std. dev.", "num")]
    if with_catalogue:
        heads.append((f"Catalogue, {escape(reference)}", "num"))
    body = [
        f'<tr><th scope="row">{escape(row.name)} <span class="unit">{escape(row.unit)}</span></th>'
        f'<td class="num">{escape(row.value)}</td><td class="num soft">{escape(row.uncertainty)}</td>'
        + (f'<td class="num">{escape(row.catalogue)}</td>' if with_catalogue else "")
        + "</tr>"
        for row in rows
    ]
    return _figure("Properties", table("Properties", "", heads, body)) if body else ""


def _probes(probes: Sequence[ProbeRecord]) -> str:
    if not probes:
        return ""
    modalities = list(dict.fromkeys(name for probe in probes for name in probe.reliabilities))
    rows = []
    for probe in probes:
        failed = probe.outcome != "SUCCEEDED"
        outcome = escape(probe.outcome.replace("_", " ").lower())
        if failed:
            outcome = f'<span class="mark bad">✗ {outcome}</span>'
        why = "; ".join(
            [probe.message] * bool(probe.message)
            + [f"{name}: {why}" for name, (_, why) in probe.reliabilities.items() if why and not _idle(why)]
        )
        force = f"{probe.max_force_n:.2f}" if probe.contact_s is not None else ""
        cells = "".join(f'<td class="num">{_reliability(probe, name)}</td>' for name in modalities)
        name = charts.PRIMITIVE_TEXT.get(probe.primitive, probe.primitive)
        rows.append(
            f'<tr><td class="num">{probe.index + 1}</td><th scope="row">{escape(name)}</th><td>{outcome}</td>'
            f'<td class="num">{probe.start_s:.1f}</td><td class="num">{force}</td>{cells}'
            f'<td class="why soft">{escape(why)}</td></tr>'
        )
    heads = [("#", "num"), ("Probe", ""), ("Outcome", ""), ("Start, s", "num"), ("Force, N", "num")]
    heads += [*((escape(name), "num") for name in modalities), ("Remarks", "")]
    caption = "Under the name of a sense: how far its measurement can be relied on, 0 to 1." if modalities else ""
    return _figure("Probes", table("Probes", "overview", heads, rows), caption)


def _reliability(probe: ProbeRecord, name: str) -> str:
    value, why = probe.reliabilities.get(name, (None, ""))
    return "" if value is None or _idle(why) else f"{value:.2f}"


def _idle(reason: str) -> bool:
    """A sense that this kind of probe does not use is neither reliable nor unreliable."""
    return reason.startswith("not measured by this primitive")
