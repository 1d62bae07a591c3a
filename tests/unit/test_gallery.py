"""The gallery: one well-formed page with every material, and curves that are those of the physics."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest
from typer.testing import CliRunner

from palpate_agents.materials import MATERIALS, MaterialError
from palpate_nodes.gallery.build import build_gallery
from palpate_nodes.gallery.charts import CHARTS, COLORS, MAPS
from palpate_nodes.gallery.page import anchor
from palpate_sim.close_up import SIZE, CloseUp
from palpate_sim.gallery import AMBIENT_C, FORCE_N, MARKED, conditions_of, sheet, sheets

VOID = {"meta", "img", "br", "link"}


class Checker(HTMLParser):
    """Every element is closed in order; collects ids and links."""

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.links, self.images = [], [], [], []

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        if "id" in attributes:
            self.ids.append(attributes["id"])
        if tag in ("a", "use"):
            self.links.append(attributes["href"])
        if tag == "img":
            self.images.append(attributes)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return build_gallery(tmp_path_factory.mktemp("gallery") / "gallery.html")


@pytest.fixture(scope="module")
def checked(whole):
    checker = Checker()
    checker.feed(whole.read_text(encoding="utf-8"))
    return checker


def test_page_is_well_formed_and_every_link_has_a_target(checked):
    assert checked.open == []
    assert len(checked.ids) == len(set(checked.ids))
    assert all(link.startswith("#") for link in checked.links)
    assert {link[1:] for link in checked.links} <= set(checked.ids)


def test_every_material_is_there_in_each_of_its_conditions(whole, checked):
    text = whole.read_text(encoding="utf-8")
    for name in MATERIALS:
        assert anchor(name) in checked.ids
        section = re.search(rf'<section class="card material" id="{anchor(name)}">.*?</section>', text, re.S).group(0)
        assert section.count("data:image/jpeg") == len(conditions_of(name)) + 1
        assert section.count("data:image/png") == len(MAPS)
        assert section.count("<svg") == len(CHARTS)
        assert not re.search(r"\b(nan|inf)\b", re.sub(r'src="data:[^"]*"', "", section))


def test_page_stands_alone_and_is_small(whole, checked):
    text = whole.read_text(encoding="utf-8")
    assert "<script" not in text
    assert not re.search(r'(src|href)="https?:', text)
    assert all(image["src"].startswith("data:") for image in checked.images)
    assert all("alt" in image for image in checked.images)
    assert whole.stat().st_size < 15 * 2**20
    assert "prefers-color-scheme:dark" in text


def test_command_writes_what_is_asked_for(tmp_path):
    from palpate_nodes.cli import make_app

    out = tmp_path / "two.html"
    result = CliRunner().invoke(make_app(), ["gallery", "--out", str(out), "--materials", "PC/ABS, Cu"])
    assert result.exit_code == 0, result.output
    text = out.read_text(encoding="utf-8")
    assert text.count('class="card material"') == 2
    assert 'id="m-PC-ABS"' in text
    assert "2 materials" in text


def test_unknown_materials_are_named_before_anything_is_drawn(tmp_path):
    with pytest.raises(MaterialError, match="unobtainium"):
        build_gallery(tmp_path / "none.html", ("PP", "unobtainium"))
    with pytest.raises(MaterialError, match="unobtainium"):
        list(sheets(["unobtainium"]))
    assert not (tmp_path / "none.html").exists()


def test_conditions_follow_the_material():
    assert conditions_of("PP") == ("clean", "black", "wet", "painted", "aged")
    assert conditions_of("Cu") == ("clean", "wet", "painted")
    assert conditions_of("EPDM")[0] == "black"


def test_a_sheet_shows_one_part_in_all_conditions():
    found = sheet("PP")
    parts = [sample.batch.part(0) for sample in found.samples]
    assert [sample.condition for sample in found.samples] == [*conditions_of("PP"), MARKED]
    assert len({(part.seed, part.shape, part.dimensions_m) for part in parts}) == 1
    by_name = {sample.condition: sample for sample in found.samples}
    assert by_name["painted"].batch.coat_um[0] > 0.0
    assert by_name["painted"].maps.coat.mean() > 0.7
    assert by_name["wet"].maps.film_um.max() > 0.0
    assert by_name["aged"].batch.age[0] > 0.7
    assert by_name[MARKED].maps.label.max() > 0.9
    assert by_name[MARKED].maps.dirt.max() > 0.5
    assert all(curve.name in COLORS for chart in CHARTS for curve in getattr(found, chart.field))


def test_curves_say_what_the_physics_says():
    steel, foam, plastic = sheet("mild-steel"), sheet("PUR-foam"), sheet("PP")
    solid, thin = plastic.press
    np.testing.assert_allclose(solid.y, FORCE_N)
    assert np.all(np.diff(solid.x) > 0.0)
    assert thin.x[-1] > solid.x[-1]
    assert steel.tap[0].y.max() > 2.0 * plastic.tap[0].y.max()
    assert steel.tap[0].x[-1] < plastic.tap[0].x[-1] < foam.tap[0].x[-1]
    assert len(foam.press) == 1, "no shells of foam"
    for curve in (*plastic.pad, *steel.pad):
        assert np.all(np.diff(curve.y) < 1e-6)
        assert np.all((curve.y > AMBIENT_C) & (curve.y < 70.0))
    assert steel.pad[0].y[-1] < plastic.pad[0].y[-1] < foam.pad[0].y[-1]
    spectra = {curve.name: curve.y for curve in plastic.spectra}
    assert np.ptp(spectra["black"]) < 0.05 < np.ptp(spectra["clean"])
    assert spectra["wet"][-60:].min() < spectra["clean"][-60:].min()


def test_sheets_are_the_same_each_time():
    one, two = sheet("ABS"), sheet("ABS")
    np.testing.assert_array_equal(one.spectra[0].y, two.spectra[0].y)
    np.testing.assert_array_equal(one.samples[-1].maps.dirt, two.samples[-1].maps.dirt)


def test_close_ups_show_the_part_and_its_paint():
    found = {sample.condition: sample for sample in sheet("PMMA").samples}
    with CloseUp() as camera:
        clean, painted = (camera.picture(found[name].batch.part(0), found[name].maps) for name in ("clean", "painted"))
        again = camera.picture(found["clean"].batch.part(0), found["clean"].maps)
    assert clean.shape == (SIZE[1], SIZE[0], 3)
    np.testing.assert_array_equal(clean, again)
    middle = slice(SIZE[1] // 3, 2 * SIZE[1] // 3), slice(SIZE[0] // 3, 2 * SIZE[0] // 3)
    assert np.abs(clean[middle].astype(int) - painted[middle]).mean() > 5.0
    camera.close()
