"""The page of the gallery: a wall of all materials, then each with its pictures and charts, by family."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

from palpate_agents.materials import FAMILIES, Material, material
from palpate_nodes.gallery.charts import CHARTS, chart_figure, definitions, maps_figure, photo
from palpate_nodes.gallery.style import CSS as GALLERY_CSS
from palpate_nodes.report.style import CSS
from palpate_sim.gallery import MARKED, Sheet

FAMILY_WORDS = {
    "polymer": "Polymers", "blend": "Blends", "composite": "Composites", "foam": "Foams", "rubber": "Rubber",
    "metal": "Metals", "ceramic": "Glass", "wood": "Wood", "paper": "Paper",
}  # fmt: skip
THUMBNAIL_PX = 150
CONDITION_WORDS = {MARKED: "label and dirt"}

Pictures = Mapping[str, Sequence[NDArray[np.uint8]]]


def page(sheets: Sequence[Sheet], pictures: Pictures, background: Sequence[Sheet], made: str) -> str:
    """The whole document.

    Args:
        sheets: materials to show.
        pictures: of each material, one per sample of its sheet, (H, W, 3) RGB.
        background: materials whose curves lie grey behind all others.
        made: when and by what.
    """
    families = [
        (family, [sheet for sheet in sheets if material(sheet.material).family == family]) for family in FAMILIES
    ]
    families = [(family, members) for family, members in families if members]
    shown = sum(len(sheet.samples) for sheet in sheets)
    wall = "".join(_tile(sheet, pictures[sheet.material][0]) for _, members in families for sheet in members)
    body = "".join(
        f'<h2 id="{family}">{_title(family)}</h2>'
        + "".join(_section(sheet, pictures[sheet.material]) for sheet in members)
        for family, members in families
    )
    count = f"{len(sheets)} material{'s' if len(sheets) != 1 else ''}"
    return "".join(
        (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width,initial-scale=1">',
            f"<title>Materials in the simulated cell · palpate</title><style>{CSS}{GALLERY_CSS}</style></head><body>",
            definitions(background),
            '<header class="top"><p class="brand">palpate gallery</p><h1>Materials in the simulated cell</h1>',
            f'<p class="lead">{count} in {shown} conditions, as the sensors of the simulated cell meet them. Each '
            "material is one part, drawn from its distributions and shown in every condition that it can be in. Grey "
            "lines are all materials, bare: what lies among them cannot be told by this sensor alone.</p></header>",
            f'<nav class="families" aria-label="Families"><ul>{_links(families)}</ul></nav>',
            f'<main><h2>All materials</h2><section class="card"><ul class="wall">{wall}</ul></section>{body}</main>',
            f"<footer><p>{escape(made)}</p></footer></body></html>\n",
        )
    )


def anchor(material_id: str) -> str:
    """Id of a material's section in the page."""
    return "m-" + re.sub(r"[^A-Za-z0-9]+", "-", material_id)


def _title(family: str) -> str:
    return escape(FAMILY_WORDS.get(family, family.capitalize()))


def _links(families: Sequence[tuple[str, Sequence[Sheet]]]) -> str:
    return "".join(
        f'<li><a href="#{family}">{_title(family)} <span>{len(members)}</span></a></li>' for family, members in families
    )


def _tile(sheet: Sheet, picture: NDArray[np.uint8]) -> str:
    image = photo(picture, "", THUMBNAIL_PX)
    return f'<li><a href="#{anchor(sheet.material)}">{image}{escape(sheet.material)}</a></li>'


def _section(sheet: Sheet, pictures: Sequence[NDArray[np.uint8]]) -> str:
    entry = material(sheet.material)
    part = sheet.samples[0].batch.part(0)
    size = " × ".join(f"{1e3 * side:.0f}" for side in part.dimensions_m)
    wall = "solid" if np.isinf(part.wall_thickness_m) else f"walls of {1e3 * part.wall_thickness_m:.1f} mm"
    conditions = "".join(
        f"<figure>{photo(picture, f'{sheet.material}, {sample.condition}')}<figcaption>"
        f"<b>{escape(CONDITION_WORDS.get(sample.condition, sample.condition))}</b>{escape(sample.note)}"
        "</figcaption></figure>"
        for sample, picture in zip(sheet.samples, pictures, strict=True)
    )
    charts = "".join(chart_figure(chart, sheet.material, getattr(sheet, chart.field)) for chart in CHARTS)
    return (
        f'<section class="card material" id="{anchor(sheet.material)}"><h3>{escape(entry.id)}'
        f"<small>{escape(entry.name)}</small></h3>"
        f'<p class="soft">{escape(entry.appearance)}. Here a {part.shape}, {size} mm, {wall}, '
        f"{1e3 * part.mass_kg:.0f} g.</p>{_facts(entry)}"
        f'<div class="conditions">{conditions}</div><div class="charts">{charts}{maps_figure(sheet.samples)}</div>'
        "</section>"
    )


def _facts(entry: Material) -> str:
    low, high = entry.friction_range
    facts = (
        ("Density", f"{entry.density_kg_m3:,.0f} kg/m³"),
        ("Modulus", _modulus(entry.youngs_modulus_pa)),
        ("Restitution", f"{entry.restitution:g}"),
        ("Friction", f"{low:g} to {high:g}"),
        ("Conductivity", f"{entry.conductivity_w_mk:g} W/(m K)"),
        ("Effusivity", f"{entry.effusivity_w_s05_m2k:,.0f} W s½/(m² K)"),
        ("Emissivity", f"{entry.emissivity:g}"),
    )
    cells = "".join(f"<div><dt>{name}</dt><dd>{escape(value)}</dd></div>" for name, value in facts)
    return f'<dl class="facts">{cells}</dl>'


def _modulus(pascal: float) -> str:
    return f"{1e-9 * pascal:.3g} GPa" if pascal >= 1e8 else f"{1e-6 * pascal:.3g} MPa"
