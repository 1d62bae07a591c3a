import errno
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import bag_samples as samples
import pytest
import yaml
from mcap.reader import make_reader
from mcap_ros2.decoder import DecoderFactory
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import Reader

from palpate_agents.errors import DataError
from palpate_nodes.bag import mcap_file, splits
from palpate_nodes.bag.reader import BagReader
from palpate_nodes.bag.splits import SplitLimits
from palpate_nodes.bag.writer import BagWriter, RecordingError, WriterLimits


def rosbags_messages(directory):
    with Reader(directory) as reader:
        return [(connection.topic, stamp, bytes(data)) for connection, stamp, data in reader.messages()]


def mcap_messages(path):
    with path.open("rb") as stream:
        reader = make_reader(stream, validate_crcs=True, decoder_factories=[DecoderFactory()])
        return list(reader.iter_decoded_messages())


def by_topic(messages):
    grouped: dict[str, list] = {}
    for topic, stamp, data in messages:
        grouped.setdefault(topic, []).append((stamp, data))
    return grouped


def test_rosbags_reads_every_message_back(tmp_path):
    written = samples.record(tmp_path / "bag", 400)
    assert by_topic(rosbags_messages(tmp_path / "bag")) == by_topic(written)


def test_rosbags_decodes_with_the_definitions_in_the_bag(tmp_path):
    written = samples.record(tmp_path / "bag", 200)
    with AnyReader([tmp_path / "bag"]) as reader:
        seen = 0
        for connection, _, data in reader.messages():
            message: Any = reader.deserialize(data, connection.msgtype)
            if connection.msgtype == samples.SPECTRUM:
                assert message.device_serial.startswith("serial-")
                assert message.values.shape == (228,)
            seen += 1
    assert seen == len(written)


def test_mcap_ros2_support_decodes_every_message(tmp_path):
    written = samples.record(tmp_path / "bag", 200)
    expected = by_topic(written)
    found = mcap_messages(tmp_path / "bag" / "bag_0.mcap")
    assert Counter(channel.topic for _, channel, _, _ in found) == {t: len(m) for t, m in expected.items()}
    numbers: Counter[str] = Counter()
    for schema, channel, message, decoded in found:
        stamp, data = expected[channel.topic][numbers[channel.topic]]
        numbers[channel.topic] += 1
        assert (message.log_time, message.publish_time, message.data) == (stamp, stamp - 5, data)
        original = samples.typestore().deserialize_cdr(data, schema.name)
        assert decoded.header.stamp.nanosec == original.header.stamp.nanosec
        if schema.name == samples.EXECUTION:
            assert (decoded.message, decoded.max_force_n) == ("äöü", original.max_force_n)


def test_metadata_yaml_has_what_rosbag2_version_9_wants(tmp_path):
    written = samples.record(tmp_path / "bag", 300)
    info = yaml.safe_load((tmp_path / "bag" / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    assert (info["version"], info["storage_identifier"], info["message_count"]) == (9, "mcap", len(written))
    assert info["starting_time"]["nanoseconds_since_epoch"] == samples.START_NS
    assert info["duration"]["nanoseconds"] == 299 * 1_000_000
    assert info["relative_file_paths"] == ["bag_0.mcap"]
    assert info["custom_data"]["palpate.model_hash.fusion"] == "ab" * 32
    assert info["custom_data"]["palpate.state"] == "complete"
    topic = info["topics_with_message_count"][0]["topic_metadata"]
    assert topic["type_description_hash"].startswith("RIHS01_")
    assert topic["offered_qos_profiles"][0]["durability"] == "volatile"
    assert topic["offered_qos_profiles"][0]["deadline"] == {"sec": 9223372036, "nsec": 854775807}


def test_custom_data_stands_in_the_mcap_file_too(tmp_path):
    samples.record(tmp_path / "bag", 10)
    with (tmp_path / "bag" / "bag_0.mcap").open("rb") as stream:
        records = [record for record in make_reader(stream).iter_metadata() if record.name == "palpate"]
    assert records[-1].metadata["palpate.session_id"] == "test-1"
    assert records[-1].metadata["palpate.state"] == "complete"


def test_split_bag_loses_and_repeats_nothing(tmp_path):
    limits = WriterLimits(SplitLimits(file_bytes=30_000, chunk_bytes=4096, chunk_span_ns=10**18), min_free_bytes=0)
    written = samples.record(tmp_path / "bag", 1500, limits)
    files = sorted((tmp_path / "bag").glob("*.mcap"))
    assert len(files) > 3
    assert all(file.stat().st_size < 60_000 for file in files)
    assert by_topic(rosbags_messages(tmp_path / "bag")) == by_topic(written)
    # Each file can be read on its own.
    assert sum(len(mcap_messages(file)) for file in files) == len(written)
    info = yaml.safe_load((tmp_path / "bag" / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    assert sum(entry["message_count"] for entry in info["files"]) == len(written)


def test_empty_recording_names_its_topics(tmp_path):
    samples.record(tmp_path / "bag", 0)
    with Reader(tmp_path / "bag") as reader:
        assert {c.topic for c in reader.connections} == set(samples.NAMES)
        assert reader.message_count == 0


def test_close_again_does_nothing_and_writes_after_it_are_refused(tmp_path):
    writer = BagWriter(tmp_path / "bag", {}, samples.SMALL)
    channel = samples.declare(writer)["/cell/force_torque_sensor/wrench"]
    assert writer.write(channel, 1, 1, b"\0\1\0\0" + bytes(8))
    writer.close()
    before = (tmp_path / "bag" / "bag_0.mcap").read_bytes()
    writer.close()
    assert not writer.write(channel, 2, 2, b"late")
    assert (tmp_path / "bag" / "bag_0.mcap").read_bytes() == before
    assert writer.status().dropped == {"/cell/force_torque_sensor/wrench": 1}


def test_written_messages_reach_the_file_within_the_flush_time(tmp_path):
    """What kill -9 leaves is what lies in the file: without close, within a second, everything does."""
    writer = BagWriter(tmp_path / "bag", {}, WriterLimits(min_free_bytes=0))
    channel = samples.declare(writer)["/cell/force_torque_sensor/wrench"]
    data = samples.serialise(samples.WRENCH, samples.START_NS)
    writer.write(channel, samples.START_NS, 0, data)
    deadline = time.monotonic() + 1.0
    while not BagReader(tmp_path / "bag").counts.get("/cell/force_torque_sensor/wrench"):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    writer.close()


def test_chunks_end_by_log_time_where_time_runs_fast(tmp_path):
    samples.record(tmp_path / "bag", 2000, WriterLimits(min_free_bytes=0))
    spans = [block.end_ns - block.start_ns for block in BagReader(tmp_path / "bag").files[0].blocks]
    assert len(spans) >= 4
    assert max(spans) <= 500_000_000


def test_full_queue_drops_counts_and_never_blocks(tmp_path, monkeypatch):
    hold = threading.Event()
    original = splits.SplitFiles.append

    def slow(self, *args):
        hold.wait(10)
        original(self, *args)

    monkeypatch.setattr(splits.SplitFiles, "append", slow)
    writer = BagWriter(tmp_path / "bag", {}, WriterLimits(queue_bytes=10_000, min_free_bytes=0))
    channels = samples.declare(writer)
    topic = "/cell/spectrometer/spectrum"
    started = time.monotonic()
    kept = sum(writer.write(channels[topic], i, i, bytes(1000)) for i in range(100))
    assert time.monotonic() - started < 1.0
    assert kept == 10
    writer.count_lost("/cell/arm/probe_execution", 3)
    hold.set()
    writer.close()
    assert writer.status().dropped == {topic: 90, "/cell/arm/probe_execution": 3}
    assert len(rosbags_messages(tmp_path / "bag")) == 10
    assert BagReader(tmp_path / "bag").dropped == {topic: 90, "/cell/arm/probe_execution": 3}


class FullDisk:
    """Lets so many bytes through, then answers with ENOSPC until space is made."""

    def __init__(self, monkeypatch, allowed):
        self.left = allowed
        original = mcap_file.McapFile.append

        def append(file, data):
            if len(data) > self.left:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self.left -= len(data)
            original(file, data)

        monkeypatch.setattr(mcap_file.McapFile, "append", append)


@pytest.mark.parametrize("freed", [0, 1 << 20])
def test_full_disk_keeps_what_is_written_and_says_so(tmp_path, monkeypatch, freed):
    """With the reserve given back the bag is complete and indexed; without it is still all there to recover."""
    disk = FullDisk(monkeypatch, 60_000)
    release = splits.SplitFiles.release_reserve

    def give_back(files):
        disk.left += freed
        release(files)

    monkeypatch.setattr(splits.SplitFiles, "release_reserve", give_back)
    reasons: list[str] = []
    writer = BagWriter(tmp_path / "bag", samples.CUSTOM, samples.SMALL, on_stop=reasons.append)
    channels = samples.declare(writer)
    messages = list(samples.stream(3000))
    for topic, stamp, data in messages:
        writer.write(channels[topic], stamp, stamp, data)
    with pytest.raises(RecordingError, match=r"No space left on device .*messages are safe.*free some space"):
        writer.close()
    reader = BagReader(tmp_path / "bag")
    kept = sum(reader.counts.values())
    assert 100 < kept <= len(messages)  # what was already queued fits into the space that was freed
    assert freed or kept < len(messages)
    assert kept + sum(writer.status().dropped.values()) == len(messages)
    assert reader.complete == bool(freed)
    assert reader.custom["palpate.state"] == "stopped"
    assert "No space left" in reader.custom["palpate.stop_reason"]
    assert reasons == [writer.status().reason]
    assert not (tmp_path / "bag" / splits.RESERVE_NAME).exists()
    if freed:
        assert by_topic(rosbags_messages(tmp_path / "bag")) == by_topic(messages[:kept])


LIMITED = """
import resource, sys
sys.path.insert(0, sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
import bag_samples as samples
from pathlib import Path
from typing import Any
from palpate_nodes.bag import splits
from palpate_nodes.bag.writer import BagWriter, RecordingError
splits.RESERVE_BYTES = 10_000
writer = BagWriter(Path(sys.argv[1]), samples.CUSTOM, samples.SMALL)
channels = samples.declare(writer)
for topic, stamp, data in samples.stream(4000):
    writer.write(channels[topic], stamp, stamp, data)
try:
    writer.close()
except RecordingError as error:
    print(error)
    sys.exit(3)
"""


def test_a_file_size_limit_of_the_system_ends_the_bag_cleanly(tmp_path):
    """The operating system itself refuses (EFBIG, after a partial write): what was written is whole."""
    run = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path / "bag"), str(Path(__file__).parent)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert run.returncode == 3, run.stderr
    assert "File too large" in run.stdout
    reader = BagReader(tmp_path / "bag")
    read = [(message.topic, message.log_ns, message.data) for message in reader.messages()]
    assert len(read) > 500
    assert by_topic(read) == by_topic(list(samples.stream(4000))[: len(read)])


def test_recording_stops_before_the_disk_is_full(tmp_path, monkeypatch):
    from palpate_nodes.bag import writer as module

    free = {"bytes": 10 << 30}
    monkeypatch.setattr(module, "free_bytes", lambda path: free["bytes"])
    writer = BagWriter(tmp_path / "bag", {}, WriterLimits(flush_s=0.2, min_free_bytes=1 << 30))
    channel = samples.declare(writer)["/cell/force_torque_sensor/wrench"]
    data = samples.serialise(samples.WRENCH, samples.START_NS)
    writer.write(channel, samples.START_NS, 0, data)
    free["bytes"] = 100 << 20
    deadline = time.monotonic() + 5
    while writer.status().state == "recording":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert "only 100 MiB are free, the limit is 1024 MiB" in writer.status().reason
    with pytest.raises(RecordingError):
        writer.close()
    assert len(rosbags_messages(tmp_path / "bag")) == 1
    with pytest.raises(DataError, match="only 100 MiB are free"):
        BagWriter(tmp_path / "other", {}, WriterLimits(min_free_bytes=1 << 30))
    assert not (tmp_path / "other").exists()


def test_what_waits_when_the_disk_runs_low_is_still_written(tmp_path, monkeypatch):
    queued = threading.Event()

    def low(self):
        queued.wait(10)
        raise OSError(errno.ENOSPC, "only a little is free")

    monkeypatch.setattr(BagWriter, "_step", low)
    writer = BagWriter(tmp_path / "bag", {}, samples.SMALL)
    channels = samples.declare(writer)
    messages = list(samples.stream(200))
    for topic, stamp, data in messages:
        assert writer.write(channels[topic], stamp, stamp, data)
    queued.set()
    with pytest.raises(RecordingError, match=rf"{len(messages)} messages are safe, 0 were lost"):
        writer.close()
    assert by_topic(rosbags_messages(tmp_path / "bag")) == by_topic(messages)


def test_a_broken_fsync_stops_the_recording(tmp_path, monkeypatch):
    def broken(descriptor):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fdatasync", broken)
    writer = BagWriter(tmp_path / "bag", {}, WriterLimits(flush_s=0.2, min_free_bytes=0))
    samples.declare(writer)
    time.sleep(0.7)
    with pytest.raises(RecordingError, match="Input/output error"):
        writer.close()


def test_an_existing_bag_is_never_overwritten(tmp_path):
    samples.record(tmp_path / "bag", 10)
    before = (tmp_path / "bag" / "metadata.yaml").read_bytes()
    with pytest.raises(DataError, match="never overwritten"):
        BagWriter(tmp_path / "bag", {}, samples.SMALL)
    assert (tmp_path / "bag" / "metadata.yaml").read_bytes() == before


def test_a_place_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot record into"):
        BagWriter(tmp_path / "file" / "bag", {}, samples.SMALL)


def test_a_large_queue_is_written_within_the_closing_time(tmp_path):
    writer = BagWriter(tmp_path / "bag", {}, WriterLimits(min_free_bytes=0))
    channel = samples.declare(writer)["/cell/camera/color/image_raw"]
    picture = os.urandom(230_400)
    for i in range(100):
        writer.write(channel, samples.START_NS + i, 0, picture)
    started = time.monotonic()
    writer.close()
    assert time.monotonic() - started < 2.0
    assert json.loads(BagReader(tmp_path / "bag").custom["palpate.dropped"]) == {}
    assert len(rosbags_messages(tmp_path / "bag")) == 100
