"""The node of the eddy-current coils, its stream in windows, bags and replays, and the cells that have it or not."""

from __future__ import annotations

import time

import numpy as np
import pytest
from rclpy.serialization import serialize_message

from palpate_agents import samples
from palpate_agents.observation import Outcome, Primitive, ProbeExecution
from palpate_interfaces.msg import Inductive, PartPresented
from palpate_nodes import cell_node, convert, topics
from palpate_nodes.bag_playback import bag_timeline
from palpate_nodes.cell_node import CellNode, build_cell
from palpate_nodes.devices.cell import CellDevice
from palpate_nodes.devices.recorded import PartArrival, RecordedCell
from palpate_nodes.inductive_node import InductiveNode
from palpate_nodes.node_base import ERROR, PalpateNode
from palpate_nodes.recorder_node import RecorderNode
from palpate_nodes.windows import WindowCutter
from palpate_sim.kinematics import UrdfModel

MS = 1_000_000
START = 10_000 * MS


def reading(ms, pads=2):
    values = np.arange(pads) + 0.001 * ms
    return samples.Inductive(START + ms * MS, 50_000.0, values.astype(np.float32), -values.astype(np.float32))


def node_of(ros):
    node = ros.add(InductiveNode("inductive_sensor", CellDevice("coils", (samples.Inductive,)), context=ros.context))
    assert node.autostart()
    return node


def dwell(pad, start_ms=200, end_ms=520, primitive=Primitive.DWELL):
    times = START + start_ms * MS, START + end_ms * MS, START + 300 * MS
    return ProbeExecution(primitive, Outcome.SUCCEEDED, *times, pad_index=pad)


def cutter_of(messages):
    cutter = WindowCutter(UrdfModel())
    for message in messages:
        cutter.add(topics.INDUCTIVE)(serialize_message(message))
    return cutter


def test_readings_go_out_as_they_came_in(ros):
    node = node_of(ros)
    listener = ros.add(PalpateNode("listener", context=ros.context))
    heard = []
    listener.subscription(topics.INDUCTIVE, heard.append)
    ros.spin_until(lambda: node._outputs[topics.INDUCTIVE.name].get_subscription_count() == 1)
    sent = [reading(ms) for ms in range(0, 100, 10)]
    for sample in sent:
        node.device.push(sample)
    node.publish_pending()
    ros.spin_until(lambda: len(heard) == len(sent))
    for sample, message in zip(sent, heard, strict=True):
        assert message.frequency_hz == 50_000.0
        back = convert.inductive_sample(message)
        assert back.stamp_ns == sample.stamp_ns
        np.testing.assert_array_equal(back.inductance_change, sample.inductance_change)
        np.testing.assert_array_equal(back.resistance_change, sample.resistance_change)
    assert list(node.outputs()) == ["/cell/inductive_sensor/reading"]


def test_silence_is_reported(ros):
    node = node_of(ros)
    node.device.push(samples.Inductive(time.time_ns() - 10_000 * MS, 50_000.0, np.zeros(2), np.zeros(2)))
    node.publish_pending()
    node.publish_diagnostics()
    level, text, _ = node._status["stream"]
    assert level == ERROR
    assert "no sample for 10" in text


@pytest.mark.parametrize("pad", [0, 1])
def test_a_window_has_the_coil_of_the_pad_that_touched(pad):
    cutter = cutter_of(convert.inductive_message(reading(ms)) for ms in range(0, 1000, 10))
    windows = cutter.cut(dwell(pad))
    np.testing.assert_allclose(windows.inductive_times_s, np.arange(-0.1, 0.2201, 0.01), atol=1e-9)
    expected = pad + np.arange(0.2, 0.5201, 0.01)
    np.testing.assert_allclose(windows.inductive, np.stack([expected, -expected], axis=1), rtol=1e-6)


def test_other_probes_and_cells_without_the_coil_have_no_reading():
    cutter = cutter_of(convert.inductive_message(reading(ms)) for ms in range(0, 1000, 10))
    assert len(cutter.cut(dwell(0, primitive=Primitive.PRESS)).inductive) == 0
    assert cutter_of([]).cut(dwell(0)).inductive.shape == (0, 2)


def test_a_message_without_the_pad_is_not_a_number():
    messages = [convert.inductive_message(reading(ms, pads=1)) for ms in range(200, 500, 10)]
    assert np.isnan(cutter_of(messages).cut(dwell(1)).inductive).all()
    messages.append(Inductive(header=convert.inductive_message(reading(500)).header))
    windows = cutter_of(messages).cut(dwell(0))
    assert np.isfinite(windows.inductive[:-1]).all()
    assert np.isnan(windows.inductive[-1]).all()


def test_a_bag_has_the_readings_and_a_replay_gives_the_same_window(ros, tmp_path):
    node = node_of(ros)
    recorder = ros.add(RecorderNode(context=ros.context, overrides={"session_dir": str(tmp_path), "min_free_space": 1}))
    assert recorder.autostart()
    presenter = ros.add(PalpateNode("presenter", context=ros.context))
    parts = presenter.publisher(topics.PART_PRESENTED)
    stream = node._outputs[topics.INDUCTIVE.name]
    ros.spin_until(lambda: stream.get_subscription_count() == 1 and parts.get_subscription_count() == 1)
    part = PartPresented(part_id="p1")
    part.header.stamp = topics.to_stamp(START)
    parts.publish(part)
    ros.spin_for(0.2)
    sent = [reading(ms) for ms in range(0, 600, 10)]
    for sample in sent:
        node.device.push(sample)
    node.publish_pending()
    ros.spin_until(lambda: sum(s.received for s in recorder._streams if "inductive" in s.name) == len(sent))
    recorder.trigger_deactivate()
    recorder.trigger_shutdown()

    cell = RecordedCell(bag_timeline(tmp_path / "bag"))
    cell.present_part("", 0, None)
    played = []
    for _ in range(400):
        played += [s for s in cell.advance(50 * MS) if not isinstance(s, PartArrival)]
        if len(played) == len(sent):
            break
    assert [s.stamp_ns for s in played] == [s.stamp_ns for s in sent]
    live = cutter_of(map(convert.inductive_message, sent)).cut(dwell(1))
    again = cutter_of(map(convert.inductive_message, played)).cut(dwell(1))
    np.testing.assert_array_equal(live.inductive, again.inductive)
    np.testing.assert_array_equal(live.inductive_times_s, again.inductive_times_s)


class NoCell:
    """Stands still."""

    time_ns = START
    waiting_for_part = False

    def close(self):
        """Nothing to release."""


@pytest.mark.parametrize(
    ("overrides", "has"),
    [({}, False), ({"inductive": True}, True), ({"backend": "recorded", "bag": "somewhere"}, True)],
)
def test_the_cell_has_the_node_where_it_has_the_coil(ros, monkeypatch, overrides, has):
    monkeypatch.setattr(cell_node, "build_cell", lambda values: NoCell())
    nodes = ros.add(*CellNode(context=ros.context, overrides={"wait_for": [""], **overrides}).compose())
    assert any(isinstance(node, InductiveNode) for node in nodes) == has
    assert nodes[-1].get_name() == "arm", "the end of a probe is published last"


@pytest.mark.parametrize("fitted", [False, True])
def test_the_parameter_reaches_the_simulated_cell(monkeypatch, fitted):
    from palpate_nodes.params import check_all

    configs = []
    monkeypatch.setattr("palpate_sim.cell.SimCell", lambda config, seed: configs.append(config))
    build_cell(check_all(CellNode.PARAMETERS, {"inductive": fitted}, "cell"))
    assert configs[0].inductive is fitted
