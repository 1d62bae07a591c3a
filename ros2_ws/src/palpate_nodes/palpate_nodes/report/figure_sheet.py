"""Figures that stand alone in a README or a page on GitHub: SVG with its own style, background, title and key."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from palpate_nodes.report.svg import text

WIDTH = 760.0
MARGIN = 26.0
_STYLE = """<style>
svg{font-family:system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","Liberation Sans",sans-serif;
font-variant-numeric:tabular-nums;--card:#fff;--edge:#dcd9d2;--ink:#1d2126;--soft:#5a626c;--grid:#e9e7e1;--wash:#f4f2ed;
--c0:#1f6fb2;--c1:#d9741a;--c2:#2b9a78;--c3:#b0468e;--c4:#8a7f1f;--rest:#a9aeb6;--inside:#fff}
@media (prefers-color-scheme:dark){svg{--card:#1d2125;--edge:#343a41;--ink:#e8e9ea;--soft:#a2abb5;--grid:#2c3238;
--wash:#242a2f;--c0:#5aa9e6;--c1:#f0a04b;--c2:#52c7a0;--c3:#d97fbd;--c4:#c9bd55;--rest:#7b858f;--inside:#14171a}}
text{fill:var(--ink);font-size:12px}
.title{font-size:17px;font-weight:650}.note,.tick,.label{fill:var(--soft)}.note{font-size:12.5px}
.strong{font-weight:650}.inside{fill:var(--inside);font-size:9px;font-weight:650}.small{font-size:9px}
.sheet{fill:var(--card);stroke:var(--edge)}
path{fill:none}.grid{stroke:var(--grid)}.axis{stroke:var(--soft)}.whisker{stroke:var(--ink);stroke-width:1.2}
.line{stroke-width:2.2;stroke-linejoin:round;stroke-linecap:round}.thin{stroke-width:1.3}.dash{stroke-dasharray:5 4}
path.ink{stroke:var(--ink)}path.soft{stroke:var(--soft)}path.c0{stroke:var(--c0)}path.c1{stroke:var(--c1)}
path.c2{stroke:var(--c2)}path.c3{stroke:var(--c3)}path.c4{stroke:var(--c4)}path.rest{stroke:var(--rest)}
path.band{stroke:none;opacity:.18}
.wash{fill:var(--wash)}.c0{fill:var(--c0)}.c1{fill:var(--c1)}.c2{fill:var(--c2)}.c3{fill:var(--c3)}.c4{fill:var(--c4)}
.rest{fill:var(--rest)}.ring{fill:var(--card);stroke:var(--c0);stroke-width:2.2}
path.line{fill:none}path.band.c0{fill:var(--c0)}
</style>"""


def sheet(height: float, title: str, note: str, spoken: str, marks: Sequence[str]) -> str:
    """One SVG file.

    Args:
        height: of the whole, px; the width is WIDTH.
        title: in bold above.
        note: one line below it: what was counted on what.
        spoken: what a screen reader says.
        marks: the drawing, between 70 px and `height`.
    """
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:g} {height:g}" width="{WIDTH:g}" '
        f'height="{height:g}" role="img" aria-label="{escape(spoken)}">{_STYLE}'
        f'<rect class="sheet" x=".5" y=".5" width="{WIDTH - 1:g}" height="{height - 1:g}" rx="10"/>'
    )
    words = [text(MARGIN, 34, title, "title"), text(MARGIN, 55, note, "note")]
    return head + "\n".join([*words, *marks]) + "</svg>\n"


def key(x: float, y: float, entries: Sequence[tuple[str, str]]) -> list[str]:
    """A row of coloured squares with words.

    Args:
        x: of the left end, px.
        y: of the words' baseline, px.
        entries: CSS class and words of each.
    """
    marks = []
    for css, words in entries:
        marks.append(f'<rect x="{x:.1f}" y="{y - 9.5:.1f}" width="11" height="11" rx="2.5" class="{css}"/>')
        marks.append(text(x + 16, y, words, "tick"))
        x += 16 + 6.4 * len(words) + 18
    return marks


def whisker(x: float, low: float, high: float) -> str:
    """A vertical interval with short ends; all px."""
    left = x - 2.5
    return f'<path class="whisker" d="M{x:.1f} {low:.1f}V{high:.1f}M{left:.1f} {low:.1f}h5M{left:.1f} {high:.1f}h5"/>'


def turned(x: float, y: float, words: str, css: str, degrees: float = -55.0, anchor: str = "start") -> str:
    """Words turned about the point (x, y), px."""
    return (
        f'<text transform="translate({x:.1f} {y:.1f}) rotate({degrees:g})" class="{css}" text-anchor="{anchor}">'
        f"{escape(words)}</text>"
    )
