"""What is read from the bag for a part, and the pieces of its figures."""

from __future__ import annotations

import base64
import math
import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcap_ros2._dynamic import serialize_dynamic
from report_synthetic_bag import PART_S, PARTS, write_session

from palpate_nodes.bag.definitions import definition
from palpate_nodes.report import charts, collect
from palpate_nodes.report.collect import collect_events, open_session
from palpate_nodes.report.force import force_of, force_trace, resting, tool_force, up_in_sensor
from palpate_nodes.report.part_page import part_section
from palpate_nodes.report.pictures import around_part, around_spot, depth_picture, thermal_picture, thumbnail
from palpate_nodes.report.properties import property_rows, significant
from palpate_nodes.report.records import BeliefRecord, BurstRecord, ForceTrace, ProbeRecord, SpectrumRecord
from palpate_nodes.report.reference import Reference, catalogue_reference, scaled_to, session_reference
from palpate_nodes.report.streams import STREAM_TOPICS, collect_streams
from palpate_nodes.report.svg import nice_ticks, path_data


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    folder = tmp_path_factory.mktemp("session")
    write_session(folder)
    reader, results = open_session(folder)
    seen: list[int] = []
    session = collect_events(reader, results, seen.append)
    assert sum(seen) == sum(reader.counts[name] for name in collect.topic_names(reader, collect.EVENT_TOPICS))
    collect_streams(reader, session.parts, lambda _n: None)
    return session


def test_topic_names_are_those_of_the_stack():
    topics = pytest.importorskip("palpate_nodes.topics")
    pairs = {
        "PRESENTED": "PART_PRESENTED", "TRUTH": "PART_TRUTH", "EXECUTION": "PROBE_EXECUTION", "BELIEF": "BELIEF",
        "OBSERVATION": "PROBE_OBSERVATION", "SIGNATURE": "SIGNATURE", "SPECTRUM": "SPECTRUM", "COLOR": "COLOR",
        "TIP_BURST": "TIP_BURST", "DEPTH": "DEPTH", "THERMAL": "THERMAL", "WRENCH": "WRENCH",
        "JOINTS": "JOINT_STATES",
    }  # fmt: skip
    assert {getattr(collect, ours): name for ours, name in pairs.items()} == {
        getattr(topics, theirs).name: theirs for theirs in pairs.values()
    }
    assert len(collect.EVENT_TOPICS) + len(STREAM_TOPICS) == len(pairs)


def test_everything_lands_at_its_own_part(record):
    assert [part.result.part_id for part in record.parts] == ["part-000", "part-001", "part-002"]
    for part, made in zip(record.parts, PARTS, strict=True):
        assert len(part.probes) == len(made.plan)
        assert [belief.probes for belief in part.beliefs] == list(range(len(made.plan) + 1))
        assert len(part.spectra) == len(part.bursts) == 1
        assert part.signature.abstained == made.abstained
        tap = part.probes[1]
        assert (tap.primitive, tap.outcome, tap.contact_s) == ("TAP", "SUCCEEDED", pytest.approx(6.1))
        assert part.probes[4].outcome == "NO_CONTACT"
        assert part.probes[4].contact_s is None
        # black parts are dark, and only they: the spectrum is this part's
        assert (part.spectra[0].values.mean() < 0.1) == (made.condition == "black")
        middle = part.color[120, 160].astype(float)
        assert np.linalg.norm(middle - np.array(made.rgb)) < 40
    assert record.bag_seconds == pytest.approx(3 * PART_S + 2 * 2, abs=0.6)


def test_thermal_pictures_are_from_before_the_first_touch_and_after_the_warm_pad(record):
    for part in record.parts:
        assert part.thermal_before_c.max() < 23.5
        assert part.thermal_after_c.max() > 28.0


def test_the_force_trace_keeps_peaks_and_loses_the_weight(record):
    force = record.parts[0].force
    assert np.median(force.low_n) < 0.1  # 7.4 N of tool are gone
    assert force.high_n.max() == pytest.approx(5.0, abs=0.2)
    assert np.all(force.low_n <= force.high_n)
    during = (force.times_s > 12.2) & (force.times_s < 14.7)
    assert force.high_n[during].max() == force.high_n.max()


@pytest.mark.parametrize("frame", ["", "a", "abc", "tool0", "force_torque_sensor", "x" * 16])
def test_forces_are_read_in_place_as_a_decoder_reads_them(frame):
    kind = "geometry_msgs/msg/WrenchStamped"
    message = {
        "header": {"stamp": {"sec": 5, "nanosec": 6}, "frame_id": frame},
        "wrench": {"force": {"x": 1.5, "y": -2.25, "z": 1e-3}, "torque": {"x": 9.0, "y": 8.0, "z": 7.0}},
    }
    data = serialize_dynamic(kind, definition(kind))[kind](message)
    assert force_of(data) == (1.5, -2.25, 1e-3)


def test_a_single_short_spike_is_visible_in_the_trace():
    times = np.linspace(0.0, 60.0, 60_000)
    rows = np.c_[times, np.zeros((60_000, 3))]
    rows[31_337, 3] = -20.0
    trace = force_trace(rows, np.zeros((60_000, 3)))
    assert trace.times_s.size <= 700
    assert trace.high_n.max() == pytest.approx(20.0)
    assert trace.times_s[trace.high_n.argmax()] == pytest.approx(times[31_337], abs=0.1)


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6), st.integers(2, 12))
def test_ticks_are_inside_even_and_about_as_many(low, span, count):
    ticks = nice_ticks(low, low + span, count)
    assert 1 <= len(ticks) <= count + 1 or len(ticks) == 0
    slack = 1e-6 * max(abs(low), span)
    assert all(low - slack <= tick <= low + span + slack for tick in ticks)
    steps = np.diff(ticks)
    assert len(steps) == 0 or np.allclose(steps, steps[0], rtol=1e-3, atol=1e-9)


def test_paths_break_where_a_value_is_missing():
    assert path_data([(0, 0), (1, 1), (2, math.nan), (3, 3), (4, 4)]) == "M0.0 0.0L1.0 1.0M3.0 3.0L4.0 4.0"


def probe(primitive, start, end, outcome="SUCCEEDED"):
    return ProbeRecord(0, primitive, outcome, "", start, end, start, 1.0)


def test_charts_are_xml_and_say_what_they_show():
    axis = np.linspace(900.0, 1700.0, 20)
    flat = Reference(np.full(20, 0.5), np.full(20, 0.4), np.full(20, 0.6), "x")
    gap = np.r_[np.full(10, 0.3), np.nan, np.full(9, 0.3)]
    spectrum = charts.spectrum_chart([SpectrumRecord(axis, gap, True)], [("PP & <co>", flat)])
    trace = ForceTrace(np.array([0.0, 1.0]), np.zeros(2), np.array([0.5, 3.0]))
    probes = [probe("TAP", 0.2, 0.25), probe("PRESS", 0.3, 0.38, "FORCE_LIMIT"), probe("SLIDE", 0.4, 0.5)]
    force = charts.force_chart(trace, probes, narrow=True)
    tap = charts.tap_chart(BurstRecord(np.arange(50.0), np.r_[np.zeros(20), np.ones(5), np.zeros(25)], 0.05))
    beliefs = [BeliefRecord(0, {"PP": 0.5, "PC": 0.5}), BeliefRecord(1, {"PP": 0.9, "PC": 0.1})]
    belief = charts.belief_chart(beliefs, probes, "PP", "PC")
    for markup in (spectrum, force, tap, belief, charts.final_bars({"PP": 0.9, "PC": 0.1}, "PP")):
        ET.fromstring(f"<x>{markup}</x>")
    assert "tap (succeeded), press (force limit)" in force
    assert "Press, force limit, 0.3 to 0.4 s" in force
    assert force.count('class="window bad"') == 1
    assert "PC 0.10 (truth)" in belief
    assert charts.tap_chart(BurstRecord(np.arange(5.0), np.zeros(5), 0.05)) == ""


@pytest.mark.parametrize("told", [{"visual": 0.0}, {"visual": 8.0, "tactile": -13.125}, {"a": -0.25, "b": -3.0}])
def test_contributions_start_at_one_line_and_stay_in_the_picture(told):
    chart = ET.fromstring(charts.contribution_chart(told, "PP & <co>"))
    zero = float(re.match(r"M([0-9.]+) ", chart.find("path").get("d"))[1])
    bars = [(float(bar.get("x")), float(bar.get("width"))) for bar in chart.findall("rect")]
    for (left, width), nats in zip(bars, told.values(), strict=True):
        assert (left if nats >= 0 else left + width) == pytest.approx(zero, abs=0.11)
        assert left >= 92.0
        assert left + width <= 425.1
    widths = [width for _, width in bars]
    sizes = [abs(nats) for nats in told.values()]
    assert np.allclose(np.array(widths) * max(sizes), np.array(sizes) * max(widths), atol=1.0 * max(sizes, default=1.0))
    assert f"{list(told.values())[-1]:+.2f}" in chart.get("aria-label")


def test_a_recording_from_before_conditions_and_novelty_is_shown_without_them(record):
    part = record.parts[0]
    old = replace(part.signature, conditions={}, novelty=None, contributions={})
    section = part_section(replace(part, signature=old), record.parts, open_=True)
    assert "Condition and novelty" not in section
    assert "What each sense said" not in section
    assert "Condition and novelty" in part_section(part, record.parts, open_=True)


def test_names_of_close_windows_do_not_overlap():
    axes = charts.Axes(420, 250, (0.0, 30.0), (0.0, 1.0))
    probes = [probe("PRESS", 5.0 + 0.4 * i, 5.2 + 0.4 * i) for i in range(3)]
    places = charts._window_names(axes, probes)
    assert len({row for _, row in places}) == 3


def test_columns_of_belief_fill_to_one():
    beliefs = [BeliefRecord(i, {f"M{k}": 1 / 29 for k in range(29)}) for i in range(3)]
    root = ET.fromstring(charts.belief_chart(beliefs, [], "M3").split("<ul")[0])
    columns: dict[str, list[float]] = {}
    for rect in root.iter("rect"):
        columns.setdefault(rect.attrib["x"], []).append(float(rect.attrib["height"]))
    assert len(columns) == 3
    full = [sum(heights) for heights in columns.values()]
    assert full == pytest.approx([270 - 14 - 34] * 3, abs=0.5)


def test_the_leading_labels_hold_decision_and_truth():
    final = BeliefRecord(2, {"A": 0.5, "B": 0.2, "C": 0.1, "D": 0.1, "E": 0.06, "F": 0.04})
    earlier = BeliefRecord(1, {"A": 0.1, "B": 0.1, "C": 0.1, "D": 0.1, "E": 0.1, "F": 0.5})
    labels = charts.leading_labels([final, earlier, final], "A", "E")
    assert labels == ["A", "E", "B", "C", "F"]  # F led once
    assert charts.leading_labels([final], "Z", "") == ["A", "B", "C", "D", "E"]


def test_the_reference_of_polypropylene_has_its_bands():
    axis = np.linspace(900.0, 1700.0, 228)
    reference = catalogue_reference("PP", axis)
    assert reference is not None
    assert np.all((reference.low <= reference.median) & (reference.median <= reference.high))
    at = {nm: reference.median[np.abs(axis - nm).argmin()] for nm in (1100, 1202, 1290, 1690)}
    assert at[1202] < at[1100] - 0.1
    assert at[1202] < at[1290] - 0.1
    assert at[1690] < at[1290]
    assert catalogue_reference("PP", axis.copy()) is reference  # drawn once
    assert catalogue_reference("PLA", axis) is None
    assert catalogue_reference("PP", np.linspace(1550.0, 1950.0, 128)) is None


def test_scaling_finds_the_gain():
    reference = Reference(np.array([0.5, 0.2, 0.7]), np.zeros(3), np.ones(3), "x")
    scaled, factor = scaled_to(reference, 1.3 * reference.median)
    assert factor == pytest.approx(1.3)
    assert scaled.high == pytest.approx([1.3] * 3)
    assert session_reference([], "PP") is None
    mean = session_reference([np.ones(3), 3 * np.ones(3)], "PP")
    assert mean is not None
    assert mean.median == pytest.approx([2.0] * 3)


def test_properties_are_shown_in_their_unit_beside_the_catalogue():
    rows = property_rows(
        [
            ("log10_stiffness_pa", 9.13, 0.1),
            ("friction", 0.31, 0.02),
            ("warmth_c", 5.0, math.nan),
            ("blend_fraction", -0.004, 0.02),
            ("x", math.nan, 1.0),
        ],
        "PP",
    )
    assert [(row.name, row.unit, row.value, row.uncertainty, row.catalogue) for row in rows] == [
        ("Modulus", "GPa", "1.35", "×/÷ 1.26", "1.35"),
        ("Friction against steel", "", "0.31", "± 0.02", "0.3"),
        ("warmth c", "", "5", "", ""),
        ("Share of the second polymer", "%", "0", "± 2", ""),
    ]
    assert [significant(v) for v in (0.0, 1234.0, 0.02345, 2.5e9, -3.14159)] == [
        "0", "1234", "0.0234", "2.50e+09", "-3.14",
    ]  # fmt: skip


def decode(picture):
    data = np.frombuffer(base64.b64decode(picture.uri.split(",")[1]), np.uint8)
    return cv2.imdecode(data, cv2.IMREAD_COLOR)


def test_pictures_show_range_and_holes():
    depth = np.full((60, 80), 700, np.uint16)
    depth[20:40, 20:40] = 600
    depth[:, :8] = 0
    picture = depth_picture(depth)
    assert (picture.low, picture.high) == (600.0, 700.0)
    assert picture.invalid == pytest.approx(0.1)
    image = decode(picture)
    near, far, hole = (image[y * 4, x * 4].astype(int) for y, x in ((30, 30), (50, 60), (30, 3)))
    assert near[2] < 120 < far[2]  # viridis: dark blue to yellow
    assert np.ptp(hole) < 12  # grey
    flat = thermal_picture(np.full((12, 16), 22.0, np.float32))
    assert (flat.low, flat.high) == (pytest.approx(21.5), pytest.approx(22.5))
    assert decode(flat).shape == (240, 320, 3)
    empty = depth_picture(np.zeros((6, 8), np.uint16))
    assert empty.invalid == 1.0
    assert thumbnail(np.zeros((240, 320, 3), np.uint8), None).width == 72


def test_the_part_is_found_where_it_stands_out():
    rng = np.random.default_rng(1)
    depth = (700 + rng.normal(0, 2, (240, 320))).astype(np.uint16)
    depth[rng.random(depth.shape) < 0.01] = 0
    depth[150:170, 250:290] = 660
    region = around_part(depth.shape, depth, 4 / 3)
    assert region.top <= 150 < 170 <= region.bottom <= 240
    assert region.left <= 250 < 290 <= region.right <= 320
    assert (region.right - region.left) / (region.bottom - region.top) == pytest.approx(4 / 3, abs=0.02)
    assert region.bottom - region.top < 100
    assert region.of(depth).shape == (region.bottom - region.top, region.right - region.left)
    whole = around_part((240, 320, 3), np.full((240, 320), 700, np.uint16), 4 / 3)
    assert (whole.top, whole.bottom, whole.left, whole.right) == (0, 240, 0, 320)
    assert around_part((480, 640, 3), depth, 1.0).bottom == 480  # depth of another size says nothing


def test_thermal_pictures_are_cut_to_the_warm_spot():
    rng = np.random.default_rng(2)
    before = (22.0 + rng.normal(0, 0.05, (120, 160))).astype(np.float32)
    after = before + rng.normal(0, 0.05, (120, 160)).astype(np.float32)
    assert around_spot(before, after).of(before).shape == (120, 160)  # noise is no spot
    after[30:36, 100:106] += 1.0
    region = around_spot(before, after + 3.0)  # the camera's offset has drifted: that is no spot either
    assert region.of(before).shape == (60, 80)
    assert region.top < 30 < 36 < region.bottom
    assert region.left < 100 < 106 < region.right
    assert around_spot(before, None).of(before).shape == (120, 160)
    assert around_spot(before, np.zeros((60, 80), np.float32)).of(before).shape == (120, 160)


def test_the_weight_of_the_tool_is_removed_in_every_pose():
    rng = np.random.default_rng(5)
    names = [f"panda_joint{i}" for i in range(1, 8)] + ["panda_finger_joint1"]
    times = np.arange(0.0, 20.0, 0.05)
    poses = np.array([0, -0.5, 0, -2.0, 0, 1.8, 0, 0]) + rng.uniform(-0.6, 0.6, (10, 8))
    positions = poses[(times // 2.0).astype(int)]  # ten poses, two seconds each
    up = up_in_sensor(names, positions)
    assert up is not None
    assert np.linalg.norm(up, axis=1) == pytest.approx(np.ones(len(times)))
    wrench_times = np.arange(0.0, 19.9, 0.002)
    at = np.stack([np.interp(wrench_times, times, up[:, axis]) for axis in range(3)], axis=1)
    contact = np.zeros((wrench_times.size, 3))
    pressing = (wrench_times > 8.5) & (wrench_times < 9.5)
    contact[pressing, 2] = 4.0
    forces = -7.4 * at + [0.3, -0.2, 0.5] + contact + rng.normal(0, 0.02, contact.shape)
    rows = np.c_[wrench_times, forces]
    rest = resting(wrench_times, times, positions, [probe("PRESS", 8.4, 9.6)])
    assert not rest[pressing].any()
    assert rest.mean() > 0.5
    trace = force_trace(rows, tool_force(rows, times, up, rest))
    assert np.percentile(trace.high_n, 60) < 0.15
    assert trace.high_n.max() == pytest.approx(4.0, abs=0.15)
    median = force_trace(rows, tool_force(rows, times, None, rest))
    assert np.percentile(median.high_n, 60) > 0.5  # which is why the pose is needed
    assert up_in_sensor(["shoulder", "elbow"], np.zeros((3, 2))) is None
