import os
import signal
import subprocess
import sys
import threading
import time
from typing import Any

import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message

from palpate_agents.errors import ConfigError, DataError
from palpate_interfaces.msg import SimAck, SimTick
from palpate_nodes import topics
from palpate_nodes.bag.info import describe
from palpate_nodes.bag.reader import BagReader, MessageDecoder
from palpate_nodes.bag.recover import recover
from palpate_nodes.bag.timeline import BagTimeline
from palpate_nodes.recorder_node import RecorderNode, free_directory

DOMAIN = 71
PRESENTED = "palpate_interfaces/msg/PartPresented"
START_NS = 1_700_000_000_000_000_000
WRENCH = "/cell/force_torque_sensor/wrench"


def events_executor(context):
    from rclpy.experimental import EventsExecutor

    return EventsExecutor(context=context)


def single_executor(context):
    return SingleThreadedExecutor(context=context)


class Bench:
    """A recorder and a publishing node in one process, spun by hand."""

    def __init__(self, make_executor, folder, **overrides):
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=DOMAIN)
        self.node = Node("publisher", namespace="/cell", context=self.context)
        self.executor = make_executor(self.context)
        values = {"session_dir": str(folder), "session_id": "s-1", "min_free_space": 1, **overrides}
        self.recorder = RecorderNode(context=self.context, overrides=values)
        self.executor.add_node(self.recorder)
        self.publishers = {}
        self.sent = {}
        self.finished = False

    def publisher(self, topic, qos=None):
        if topic.name not in self.publishers:
            self.publishers[topic.name] = self.node.create_publisher(topic.type, topic.name, qos or topic.qos)
            self.wait(lambda: self.publishers[topic.name].get_subscription_count() > 0)
        return self.publishers[topic.name]

    def publish(self, topic, message):
        self.publisher(topic).publish(message)
        self.sent.setdefault(topics.resolve(topic.name), []).append(message)

    def spin(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.executor.spin_once(timeout_sec=0.02)

    def wait(self, condition, timeout_s=10.0):
        end = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < end, "timed out"
            self.executor.spin_once(timeout_sec=0.02)

    def received(self):
        return sum(stream.received for stream in self.recorder._streams if not stream.name.startswith("/diag"))

    def finish(self):
        if self.recorder.active:
            self.recorder.trigger_deactivate()
        if not self.finished:
            self.recorder.trigger_shutdown()
            self.finished = True

    def close(self):
        self.finish()
        rclpy.shutdown(context=self.context)


@pytest.fixture
def bench(tmp_path):
    opened = []

    def make(make_executor=events_executor, **overrides):
        opened.append(Bench(make_executor, tmp_path, **overrides))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


def message_of(topic, number, stamp_ns=None):
    message = topic.type()
    message.header.stamp = topics.to_stamp(stamp_ns or START_NS + number * 1_000_000)
    message.header.frame_id = f"frame {number}"
    return message


@pytest.mark.parametrize("make_executor", [events_executor, single_executor])
def test_every_message_of_every_topic_is_recorded(bench, tmp_path, make_executor):
    rig = bench(make_executor, model_hashes=["fusion=abc"])
    assert rig.recorder.autostart()
    for number in range(20):
        for topic in topics.RAW_TOPICS + topics.DERIVED_TOPICS:
            rig.publish(topic, message_of(topic, number))
    rig.wait(lambda: rig.received() == 20 * len(topics.RAW_TOPICS + topics.DERIVED_TOPICS))
    rig.finish()
    reader = BagReader(tmp_path / "bag")
    assert reader.complete
    kinds = {topics.resolve(topic.name): topic.type for topic in topics.RECORDED_TOPICS}
    found: dict[str, list] = {}
    for message in reader.messages(rig.sent):
        # Bytes of padding are undefined, so what they mean is compared.
        found.setdefault(message.topic, []).append(deserialize_message(message.data, kinds[message.topic]))
        assert abs(message.log_ns - time.time_ns()) < 60e9  # a physical cell's clock: time of reception
    assert found == rig.sent
    assert reader.dropped == {}
    assert reader.custom["palpate.session_id"] == "s-1"
    assert reader.custom["palpate.model_hash.fusion"] == "abc"
    assert len(list(BagTimeline(tmp_path))) == 20 * len(topics.RAW_TOPICS)
    decoder = MessageDecoder(reader)
    spectra = [decoder.decode(m).header.frame_id for m in reader.messages(["/cell/spectrometer/spectrum"])]
    assert spectra == [f"frame {number}" for number in range(20)]


@pytest.mark.parametrize("make_executor", [events_executor, single_executor])
def test_messages_lost_on_the_way_are_counted_exactly(bench, tmp_path, make_executor):
    rig = bench(make_executor)
    assert rig.recorder.autostart()
    rig.publish(topics.WRENCH, message_of(topics.WRENCH, 0))
    rig.wait(lambda: rig.received() == 1)
    for number in range(1, 3001):  # more than the middleware keeps while nobody takes
        rig.publish(topics.WRENCH, message_of(topics.WRENCH, number))
    rig.publish(topics.WRENCH, message_of(topics.WRENCH, 3001))
    rig.spin(0.5)
    assert rig.received() < 3002
    reported = rig.recorder._status
    rig.wait(lambda: "messages lost" in reported["recording"][1])
    rig.finish()
    info = describe(tmp_path / "bag")
    wrench = next(topic for topic in info.topics if topic.name == WRENCH)
    assert wrench.dropped is not None
    assert wrench.messages + wrench.dropped == 3002
    assert 0 < wrench.dropped < 2500


def test_in_lock_step_log_times_are_those_of_the_ticks_and_ticks_are_acknowledged(bench, tmp_path):
    rig = bench(use_sim_time=True)
    acks: list[SimAck] = []
    rig.executor.add_node(rig.node)
    rig.node.create_subscription(SimAck, topics.SIM_ACK.name, acks.append, topics.SIM_ACK.qos)
    assert rig.recorder.autostart()
    rig.wait(lambda: any(WRENCH in ack.topics for ack in acks))  # announced
    # Ticks first, so that everything arrives late.
    for tick in range(1, 6):
        message = SimTick(stamp=topics.to_stamp(START_NS + tick * 10_000_000), topics=[WRENCH, "/cell/other"])
        message.last_stamps = [topics.to_stamp(START_NS + tick * 10_000_000)] * 2
        rig.publish(topics.SIM_TICK, message)
        if tick == 1:
            rig.wait(lambda: rig.recorder._lockstep.ticking)
    for number in range(11, 51):
        rig.publish(topics.WRENCH, message_of(topics.WRENCH, number))
    rig.wait(lambda: any(topics.stamp_ns(ack.stamp) == START_NS + 50_000_000 for ack in acks))
    rig.finish()
    rig.wait(lambda: any(ack.leaving for ack in acks))
    times = [(message.log_ns - START_NS) // 1_000_000 for message in BagReader(tmp_path / "bag").messages([WRENCH])]
    assert times == [tick * 10 for tick in range(2, 6) for _ in range(10)]


def test_in_lock_step_a_slow_disk_holds_up_time_instead_of_dropping(bench, monkeypatch):
    rig = bench(use_sim_time=True, queue_size=1)
    acks: list[SimAck] = []
    rig.executor.add_node(rig.node)
    rig.node.create_subscription(SimAck, topics.SIM_ACK.name, acks.append, topics.SIM_ACK.qos)
    assert rig.recorder.autostart()
    for tick, last in ((1, 0), (2, 15)):
        message = SimTick(stamp=topics.to_stamp(START_NS + tick * 10_000_000), topics=[WRENCH])
        message.last_stamps = [topics.to_stamp(START_NS + last * 1_000_000)]
        rig.publish(topics.SIM_TICK, message)
    rig.wait(lambda: rig.recorder._lockstep.ticking)
    backlog = {"bytes": 900_000}
    monkeypatch.setattr(type(rig.recorder.writer), "backlog_bytes", property(lambda self: backlog["bytes"]))
    rig.publish(topics.WRENCH, message_of(topics.WRENCH, 15))
    rig.spin(0.5)
    assert not any(topics.stamp_ns(ack.stamp) == START_NS + 20_000_000 for ack in acks)
    backlog["bytes"] = 0
    rig.wait(lambda: any(topics.stamp_ns(ack.stamp) == START_NS + 20_000_000 for ack in acks))


def test_a_best_effort_driver_is_heard_too(bench, tmp_path):
    rig = bench()
    assert rig.recorder.autostart()
    qos = QoSProfile(depth=50, reliability=ReliabilityPolicy.BEST_EFFORT)
    rig.publishers[topics.WRENCH.name] = rig.node.create_publisher(topics.WRENCH.type, topics.WRENCH.name, qos)

    def heard():
        rig.publish(topics.WRENCH, message_of(topics.WRENCH, 1))
        return rig.received() > 0

    rig.wait(heard)
    rig.finish()
    assert BagReader(tmp_path / "bag").counts[WRENCH] > 0


def test_messages_still_in_the_middleware_at_the_end_are_recorded(bench, tmp_path):
    rig = bench()
    assert rig.recorder.autostart()
    rig.publisher(topics.WRENCH)
    for number in range(500):
        rig.publish(topics.WRENCH, message_of(topics.WRENCH, number))
    time.sleep(0.3)
    rig.finish()  # without one more spin
    assert BagReader(tmp_path / "bag").counts[WRENCH] == 500


def test_full_disk_is_reported_and_what_was_recorded_stays(bench, tmp_path, monkeypatch):
    from palpate_nodes.bag import writer as module

    rig = bench(min_free_space=100)
    assert rig.recorder.autostart()
    rig.publish(topics.WRENCH, message_of(topics.WRENCH, 0))
    rig.wait(lambda: rig.received() == 1)
    monkeypatch.setattr(module, "free_bytes", lambda path: 5 << 20)
    rig.wait(lambda: "only 5 MiB are free, the limit is 100 MiB" in rig.recorder._status["recording"][1])
    assert rig.recorder.active
    rig.finish()
    assert "only 5 MiB are free" in rig.recorder.failure
    info = describe(tmp_path / "bag")
    assert (info.indexed, info.state) == (True, "stopped")
    assert BagReader(tmp_path / "bag").counts[WRENCH] == 1


def test_it_can_be_configured_again_and_shut_down_twice(bench, tmp_path):
    rig = bench()
    assert rig.recorder.autostart()
    rig.recorder.trigger_deactivate()
    rig.recorder.trigger_cleanup()
    assert rig.recorder.autostart()
    rig.finish()
    rig.recorder.on_shutdown(None)
    assert describe(tmp_path / "bag").indexed
    assert describe(tmp_path / "bag_2").indexed
    assert free_directory(tmp_path / "bag").name == "bag_3"


def test_wrong_parameters_are_refused(bench):
    rig = bench(model_hashes=["fusion"])
    assert not rig.recorder.autostart()
    assert "'fusion', expected 'name=sha256'" in rig.recorder._status["lifecycle"][1]
    with pytest.raises(ConfigError, match="no parameter 'sesion_dir'; did you mean 'session_dir'"):
        RecorderNode(context=rig.context, overrides={"sesion_dir": "x"})


def test_timeline_tells_a_foreign_bag_by_its_topics_and_definitions(tmp_path):
    from palpate_nodes.bag.metadata import TopicSpec
    from palpate_nodes.bag.writer import BagWriter, WriterLimits

    def bag(name, specs):
        writer = BagWriter(tmp_path / name, {"palpate.version": "9.9"}, WriterLimits(min_free_bytes=0))
        for spec in specs:
            writer.write(writer.add_topic(spec), 1, 1, bytes(16))
        writer.close()
        return tmp_path / name

    text = "std_msgs/Header header\n"
    odd = bag("odd", [TopicSpec("/turtle/pose", "turtlesim/msg/Pose", "float32 x\n")])
    with pytest.raises(DataError, match=r"no messages on part_presented .*it holds /turtle/pose \(1\)"):
        BagTimeline(odd)
    other = bag("other", [TopicSpec("/x/part_presented", "std_msgs/msg/Header", text)])
    with pytest.raises(DataError, match="is std_msgs/msg/Header, expected palpate_interfaces/msg/Part"):
        BagTimeline(other)
    old = bag("old", [TopicSpec("/x/part_presented", PRESENTED, text, "RIHS01_" + "0" * 64)])
    with pytest.raises(DataError, match=r"another definition .*\(palpate 9.9\)"):
        BagTimeline(old)


# The recorder as a process of its own.
class Process:
    def __init__(self, folder, *parameters):
        environment = {**os.environ, "ROS_DOMAIN_ID": str(DOMAIN + 1)}
        values = [f"session_dir:={folder}", "min_free_space:=1", *parameters]
        arguments = [word for value in values for word in ("-p", value)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "palpate_nodes.recorder_node", "--ros-args", *arguments],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def end(self, timeout_s=5.0):
        output, _ = self.process.communicate(timeout=timeout_s)
        return self.process.returncode, output


class Publishing(threading.Thread):
    """Publishes wrenches at about 1 kHz until told to stop."""

    def __init__(self):
        super().__init__()
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=DOMAIN + 1)
        node = Node("publisher", namespace="/cell", context=self.context)
        self.output: Any = node.create_publisher(topics.WRENCH.type, topics.WRENCH.name, topics.WRENCH.qos)
        self.halt = threading.Event()
        self.count = 0

    def run(self):
        while not self.halt.is_set():
            self.output.publish(message_of(topics.WRENCH, self.count, time.time_ns()))
            self.count += 1
            time.sleep(0.001)

    def __enter__(self):
        end = time.monotonic() + 20
        while not self.output.get_subscription_count():
            assert time.monotonic() < end, "the recorder never subscribed"
            time.sleep(0.05)
        self.start()
        return self

    def __exit__(self, *_):
        self.halt.set()
        self.join()
        rclpy.shutdown(context=self.context)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_even_repeated_end_with_a_complete_bag_and_exit_code_0(tmp_path, number):
    recorder = Process(tmp_path)
    with Publishing() as source:
        time.sleep(1.0)
        source.halt.set()
        source.join()
        time.sleep(0.2)
        started = time.monotonic()
        for _ in range(3):
            recorder.process.send_signal(number)
            time.sleep(0.02)
        code, output = recorder.end()
        assert time.monotonic() - started < 3.0
    assert code == 0, output
    info = describe(tmp_path / "bag")
    assert (info.indexed, info.state) == (True, "complete")
    wrench = next(topic for topic in info.topics if topic.name == WRENCH)
    assert (wrench.messages, wrench.dropped) == (source.count, 0)


def test_kill_9_of_the_recorder_loses_less_than_the_last_second(tmp_path):
    recorder = Process(tmp_path)
    with Publishing():
        time.sleep(2.2)
        killed_ns = time.time_ns()
        recorder.process.kill()
        recorder.end()
    assert not describe(tmp_path / "bag").indexed
    result = recover(tmp_path / "bag")
    assert killed_ns - result.end_ns < 1_000_000_000
    frames = [
        MessageDecoder(reader).decode(message).header.frame_id
        for reader in [BagReader(tmp_path / "bag_recovered")]
        for message in reader.messages([WRENCH])
    ]
    assert len(frames) > 200
    first = int(frames[0].split()[1])
    assert frames == [f"frame {first + number}" for number in range(len(frames))]


def test_a_disk_that_is_too_full_is_one_sentence_and_an_exit_code(tmp_path):
    code, output = Process(tmp_path, "min_free_space:=9999999").end(15)
    assert code == 3
    assert "the limit is 9999999 MiB" in output
    assert "Traceback" not in output
    assert not (tmp_path / "bag").exists()


def test_a_misspelt_parameter_ends_the_process(tmp_path):
    code, output = Process(tmp_path, "flush:=1.0").end(15)
    assert code == 2
    assert "no parameter 'flush'" in output
