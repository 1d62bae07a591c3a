"""Charts of a material in front of all others, and its surface maps as small pictures."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import cv2
import numpy as np
from numpy.typing import NDArray

from palpate_nodes.report.charts import key
from palpate_nodes.report.svg import Axes, path_data
from palpate_sim.gallery import Curve, Sample, Sheet
from palpate_sim.surface_maps import footprint_weights

COLORS = {
    "clean": "c0", "black": "ink", "wet": "c2", "painted": "c1", "aged": "c4", "labelled": "c3",
    "solid": "c0", "thin wall": "c1",
}  # fmt: skip
"""Colour of each line by its name."""
WORDS = {"labelled": "label", "thin wall": "wall of 1 mm"}
_WIDTH, _HEIGHT = 360.0, 236.0
_JPEG_QUALITY = [int(cv2.IMWRITE_JPEG_QUALITY), 86]


@dataclass(frozen=True)
class Chart:
    """One kind of chart; all materials share its axes.

    Attributes:
        field: of `palpate_sim.gallery.Sheet`.
        title, note: above and below it.
        x_label, y_label: with units.
        x_range, y_range: what is shown.
    """

    field: str
    title: str
    note: str
    x_label: str
    y_label: str
    x_range: tuple[float, float]
    y_range: tuple[float, float]

    def axes(self) -> Axes:
        """Empty plot area."""
        return Axes(_WIDTH, _HEIGHT, self.x_range, self.y_range, left=38)


CHARTS = (
    Chart("spectra", "Near infrared", "Whole coat, even film; without the device's noise.",
          "wavelength, nm", "reflectance", (900.0, 1700.0), (0.0, 1.0)),
    Chart("press", "Press", "Steel ball of 5 mm radius; the arm gives way by 20 µm/N.",
          "travel, µm", "force, N", (0.0, 400.0), (0.0, 6.0)),
    Chart("tap", "Tap at 40 mm/s", "50 g behind the ball.",
          "time, ms", "force, N", (0.0, 4.0), (0.0, 40.0)),
    Chart("pad", "Warm pad", "Face of the pad after touching at 70 °C a part at 22 °C.",
          "time, s", "temperature, °C", (0.0, 4.0), (20.0, 70.0)),
    Chart("spot", "Warm spot", "True rise of the surface: 2 s under the pad, then left alone.",
          "time, s", "rise, K", (0.0, 10.0), (0.0, 50.0)),
)  # fmt: skip

MAPS = (("coat", "painted", "coat left"), ("film_um", "wet", "water"), ("label", "labelled", "label"),
        ("dirt", "labelled", "dirt"))  # fmt: skip
"""Map, condition that it is shown of, caption."""


def definitions(sheets: Sequence[Sheet]) -> str:
    """What all charts share: the first curve of every material as one grey path per chart, and the plot's outline."""
    plot = CHARTS[0].axes()
    inner = plot.width - plot.left - plot.right, plot.height - plot.top - plot.bottom
    parts = [
        f'<clipPath id="plot"><rect x="{plot.left:g}" y="{plot.top:g}" width="{inner[0]:g}" height="{inner[1]:g}"/>'
        "</clipPath>"
    ]
    for chart in CHARTS:
        axes = chart.axes()
        lines = [_line(axes, getattr(sheet, chart.field)[0]) for sheet in sheets]
        parts.append(f'<path id="others-{chart.field}" d="{"".join(lines)}"/>')
    return f'<svg class="defs" aria-hidden="true"><defs>{"".join(parts)}</defs></svg>'


def _line(axes: Axes, curve: Curve) -> str:
    # beyond the plot nothing is drawn: far points only make the page long
    far = np.nonzero(curve.x > axes.x_range[1])[0]
    end = far[0] + 1 if len(far) else len(curve.x)
    points = zip(curve.x[:end].tolist(), curve.y[:end].tolist(), strict=True)
    top = axes.y_range[1] * 4.0
    return path_data((axes.x(x), axes.y(min(y, top))) for x, y in points)


def chart_figure(chart: Chart, material: str, curves: Sequence[Curve]) -> str:
    """A material's curves in front of those of all materials."""
    axes = chart.axes()
    axes.frame(chart.x_label, chart.y_label, x_ticks=5)
    lines = "".join(f'<path class="line {COLORS[curve.name]}" d="{_line(axes, curve)}"/>' for curve in curves[::-1])
    axes.marks.append(f'<g clip-path="url(#plot)"><use href="#others-{chart.field}" class="others"/>{lines}</g>')
    names = ", ".join(curve.name for curve in curves)
    svg = axes.render(f"{chart.title} of {material}: {chart.y_label} over {chart.x_label}; {names}.")
    entries = key([(COLORS[curve.name], WORDS.get(curve.name, curve.name)) for curve in curves])
    return (
        f'<figure class="chart"><h4>{escape(chart.title)}</h4>{svg}{entries}'
        f"<figcaption>{escape(chart.note)}</figcaption></figure>"
    )


def photo(picture: NDArray[np.uint8], alt: str, width: int = 0) -> str:
    """An image element of an (H, W, 3) RGB picture, scaled to a width in px if given."""
    if width:
        size = width, round(picture.shape[0] * width / picture.shape[1])
        picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA))
    _, data = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), _JPEG_QUALITY)
    uri = base64.b64encode(data.tobytes()).decode("ascii")
    high, wide = picture.shape[:2]
    return f'<img src="data:image/jpeg;base64,{uri}" width="{wide}" height="{high}" alt="{escape(alt)}" loading="lazy">'


def maps_figure(samples: Sequence[Sample]) -> str:
    """The surface maps of the conditions that have any, seen from above."""
    by_name = {sample.condition: sample for sample in samples}
    figures = "".join(_map(by_name[condition], field, caption) for field, condition, caption in MAPS)
    return (
        f'<figure class="chart"><h4>Surface maps</h4><div class="maps">{figures}</div>'
        '<div class="scale viridis"></div><div class="ends"><span>none</span><span>all</span></div>'
        "<figcaption>From above, 16 × 16 cells over the part: what its surface is made of where.</figcaption></figure>"
    )


def _map(sample: Sample, field: str, caption: str) -> str:
    values = np.asarray(getattr(sample.maps, field)[0], float)
    unit = f", 0 to {values.max():.0f} µm" if field == "film_um" else ""
    inside = footprint_weights(sample.batch)[0] > 0.0
    shade = np.rint(255.0 * values / max(values.max(), 1e-9)).astype(np.uint8)
    # rows of a picture run downwards, y of the part upwards
    color = cv2.applyColorMap(shade.T[::-1].copy(), cv2.COLORMAP_VIRIDIS)
    alpha = np.where(inside.T[::-1], 255, 0).astype(np.uint8)
    _, data = cv2.imencode(".png", np.dstack((color, alpha)))
    uri = base64.b64encode(data.tobytes()).decode("ascii")
    x, y = (float(side) for side in sample.batch.dimensions_m[0, :2])
    style = f"aspect-ratio:{x / y:.3f}"
    return (
        f'<figure><img class="map" style="{style}" src="data:image/png;base64,{uri}" '
        f'alt="{escape(caption)}" loading="lazy"><figcaption>{escape(caption + unit)}</figcaption></figure>'
    )
