import threading

import pytest

from palpate_agents import samples
from palpate_agents.errors import CellError, DeviceError
from palpate_agents.observation import Outcome, Primitive, ProbeExecution, ProbeGoal, SpectrumSample
from palpate_nodes.devices.base import Device
from palpate_nodes.devices.cell import CellDevice, Part, route
from palpate_nodes.devices.recorded import PartArrival, RecordedCell

MS = 1_000_000


def sample(ms):
    return samples.Sample(ms * MS)


def test_read_gives_samples_in_order_and_fails_in_time():
    with Device("thing") as device:
        device.push(sample(1))
        device.push(sample(2))
        assert [device.read(0.1).stamp_ns, device.read(0.1).stamp_ns] == [1 * MS, 2 * MS]
        with pytest.raises(DeviceError, match=r"gave nothing for 0\.01 s"):
            device.read(0.01)


def test_read_waits_for_another_thread():
    with Device("thing") as device:
        threading.Timer(0.05, device.push, [sample(5)]).start()
        assert device.read(5.0).stamp_ns == 5 * MS


def test_a_full_buffer_drops_the_oldest_and_counts():
    with Device("thing", buffer_size=2) as device:
        for ms in (1, 2, 3):
            device.push(sample(ms))
        assert device.dropped == 1
        assert [s.stamp_ns for s in device.drain()] == [2 * MS, 3 * MS]


def test_read_latest_refuses_stale_and_missing():
    with Device("thing") as device:
        with pytest.raises(DeviceError, match="nothing yet"):
            device.read_latest(100, 0)
        device.push(sample(10))
        assert device.read_latest(100, 50 * MS).stamp_ns == 10 * MS
        with pytest.raises(DeviceError, match="190 ms old, allowed 100 ms"):
            device.read_latest(100, 200 * MS)


def test_a_device_that_is_not_connected_takes_nothing():
    device = Device("thing")
    device.push(sample(1))
    assert device.drain() == []
    with pytest.raises(DeviceError, match="not connected"):
        device.read(0.01)


def test_route_gives_each_kind_to_its_device():
    spectrum = samples.Spectrum(1, SpectrumSample([1.0], [1.0]))
    device = CellDevice("spectrometer", (samples.Spectrum,))
    device.connect()
    route([device], [spectrum])
    assert device.drain() == [spectrum]
    with pytest.raises(DeviceError, match="no device takes"):
        route([device], [sample(1)])


def execution(part, index, ms, primitive=Primitive.LOOK):
    done = ProbeExecution(primitive, Outcome.SUCCEEDED, (ms - 5) * MS, ms * MS)
    return samples.Execution(ms * MS, "session", part, index, done)


def recording():
    first, second = Part("a", (0, 0, 0), {}), Part("b", (0, 0, 0), {})
    rows = [
        (10, PartArrival(10 * MS, first)),
        (12, sample(12)),
        (20, execution("a", 0, 20)),
        (25, sample(25)),
        (30, execution("a", 1, 30, Primitive.TAP)),
        (40, PartArrival(40 * MS, second)),
        (50, execution("b", 0, 50)),
    ]
    return RecordedCell((ms * MS, s) for ms, s in rows)


def play(cell, steps=20):
    return [s for _ in range(steps) for s in cell.advance(10 * MS)]


def test_time_pauses_until_the_part_is_asked_for():
    cell = recording()
    assert play(cell) == []
    assert cell.time_ns == 10 * MS
    assert cell.present_part("s", 0, None) is None
    assert cell.waiting_for_part
    play(cell, 1)
    assert cell.present_part("s", 0, None).part_id == "a"


def test_time_pauses_until_the_probe_is_asked_for_and_loses_nothing():
    cell = recording()
    cell.present_part("s", 0, None)
    got = play(cell)
    assert [s.stamp_ns for s in got] == [12 * MS]
    assert cell.time_ns == 20 * MS
    cell.start_probe(ProbeGoal(Primitive.LOOK), "s", "a", 0)
    got = play(cell)
    assert [type(s).__name__ for s in got] == ["Execution", "Sample"]
    assert cell.time_ns == 30 * MS


def test_another_probe_than_the_recorded_is_refused_and_the_recording_goes_on():
    cell = recording()
    cell.present_part("s", 0, None)
    play(cell)
    cell.start_probe(ProbeGoal(Primitive.PRESS), "s", "a", 0)
    with pytest.raises(CellError, match=r"holds probe 0 on a \(LOOK\).*PRESS"):
        play(cell)
    cell.start_probe(ProbeGoal(Primitive.LOOK), "s", "a", 0)
    assert play(cell)[0].index == 0


def test_a_probe_beyond_the_recorded_ones_is_refused():
    cell = recording()
    cell.present_part("s", 0, None)
    for index, primitive in enumerate((Primitive.LOOK, Primitive.TAP)):
        cell.start_probe(ProbeGoal(primitive), "s", "a", index)
        play(cell)
    cell.start_probe(ProbeGoal(Primitive.DWELL), "s", "a", 2)
    with pytest.raises(CellError, match="holds no probe 2 on a"):
        play(cell)


def test_asking_for_the_next_part_passes_over_probes_nobody_wants():
    cell = recording()
    cell.present_part("s", 0, None)
    play(cell)
    assert cell.present_part("s", 1, None) is None
    play(cell)
    assert cell.present_part("s", 1, None).part_id == "b"
    assert cell.present_part("s", 2, None) is None
    play(cell)
    assert not cell.waiting_for_part


def test_parts_come_in_order_and_an_empty_recording_is_said():
    with pytest.raises(CellError, match="part 0 is next, not 3"):
        recording().present_part("s", 3, None)
    with pytest.raises(CellError, match="empty"):
        RecordedCell([])
