import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import bag_samples as samples
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from rosbags.rosbag2 import Reader

from palpate_agents.errors import DataError
from palpate_nodes.bag.reader import BagReader
from palpate_nodes.bag.recover import recover
from palpate_nodes.bag.scan import block_messages, read_front
from palpate_nodes.bag.splits import SplitLimits
from palpate_nodes.bag.writer import WriterLimits

SPLIT = WriterLimits(SplitLimits(file_bytes=60_000, chunk_bytes=4096, chunk_span_ns=10**18), min_free_bytes=0)


def rosbags_messages(directory):
    with Reader(directory) as reader:
        return sorted((stamp, connection.topic, bytes(data)) for connection, stamp, data in reader.messages())


def ordered(messages):
    return sorted((stamp, topic, data) for topic, stamp, data in messages)


def cut(source, target, length):
    """A copy of a bag whose only file ends after `length` bytes, as a killed recorder leaves it."""
    target.mkdir()
    (target / "bag_0.mcap").write_bytes((source / "bag_0.mcap").read_bytes()[:length])
    return target


class Bag(NamedTuple):
    directory: Path
    messages: list
    ends: list  # per chunk: byte at which it ends, messages up to there

    def __repr__(self):  # hypothesis prints its arguments
        return f"Bag({self.directory})"


@pytest.fixture(scope="module")
def bag(tmp_path_factory):
    directory = tmp_path_factory.mktemp("recover") / "bag"
    messages = samples.record(directory, 300)
    file = BagReader(directory).files[0]
    ends, total = [], 0
    with file.path.open("rb") as stream:
        for block in file.blocks:
            total += len(list(block_messages(stream, block, file.path)))
            ends.append((block.offset + block.length, total))
    assert total == len(messages)
    return Bag(directory, messages, ends)


@settings(max_examples=60, deadline=None, phases=[Phase.generate])
@given(share=st.floats(0.02, 1.0, exclude_max=True))
def test_truncated_anywhere_every_whole_chunk_comes_back(bag, tmp_path_factory, share):
    directory, messages, ends = bag
    folder = tmp_path_factory.mktemp("cut")
    length = int(share * (directory / "bag_0.mcap").stat().st_size)
    broken = cut(directory, folder / "bag", length)
    before = (broken / "bag_0.mcap").read_bytes()
    expected = max((count for end, count in ends if end <= length), default=0)
    result = recover(broken)
    assert result.messages == expected
    assert (broken / "bag_0.mcap").read_bytes() == before
    found = rosbags_messages(folder / "bag_recovered")
    assert found == ordered(messages[:expected])
    again = BagReader(folder / "bag_recovered")
    assert again.complete
    assert set(again.topics) == set(samples.NAMES) or length < 15_000
    shutil.rmtree(folder)


@settings(max_examples=40, deadline=None, phases=[Phase.generate])
@given(data=st.data())
def test_flipped_bytes_cost_their_chunk_only_and_nothing_wrong_comes_out(bag, tmp_path_factory, data):
    directory, messages, ends = bag
    folder = tmp_path_factory.mktemp("flip")
    content = bytearray((directory / "bag_0.mcap").read_bytes())
    blocks = BagReader(directory).files[0].blocks
    number = data.draw(st.integers(0, len(blocks) - 1))
    block = blocks[number]
    # Behind the fixed fields of the chunk: the length of the record itself stays right.
    position = data.draw(st.integers(block.offset + 50, block.offset + block.length - 1))
    content[position] ^= data.draw(st.integers(1, 255))
    (folder / "bag").mkdir()
    (folder / "bag" / "bag_0.mcap").write_bytes(content)
    result = recover(folder / "bag")
    found = rosbags_messages(folder / "bag_recovered")
    before = ends[number - 1][1] if number else 0
    assert found == ordered(messages[:before] + messages[ends[number][1] :])
    assert result.lost_bytes == block.length
    assert any("damaged" in problem for problem in result.problems)
    shutil.rmtree(folder)


def test_zeros_behind_the_data_are_cut_off(bag, tmp_path):
    """A power cut can leave a file longer than what was written."""
    directory, messages, ends = bag
    broken = cut(directory, tmp_path / "bag", ends[5][0])
    with (broken / "bag_0.mcap").open("ab") as stream:
        stream.write(bytes(5000))
    assert recover(broken).messages == ends[5][1]
    assert rosbags_messages(tmp_path / "bag_recovered") == ordered(messages[: ends[5][1]])


def test_custom_data_and_qos_survive(bag, tmp_path):
    directory, _, ends = bag
    broken = cut(directory, tmp_path / "bag", ends[3][0])
    recover(broken, tmp_path / "out")
    reader = BagReader(tmp_path / "out")
    assert reader.custom["palpate.model_hash.fusion"] == "ab" * 32
    assert reader.custom["palpate.state"] == "recovered"
    topic = reader.topics["/cell/spectrometer/spectrum"]
    assert topic == samples.spec(topic.name, topic.type)


def test_only_the_last_file_of_a_split_bag_was_cut(tmp_path):
    messages = samples.record(tmp_path / "bag", 1500, SPLIT)
    files = sorted((tmp_path / "bag").glob("*.mcap"), key=lambda path: int(path.stem.split("_")[1]))
    assert len(files) > 2
    whole = sum(sum(found.summary.counts.values()) for found in map(read_front, files[:-1]))
    files[-1].write_bytes(files[-1].read_bytes()[:-200])
    result = recover(tmp_path / "bag")
    assert result.messages == len(messages)  # only the index was lost
    files[-1].write_bytes(files[-1].read_bytes()[:40])
    result = recover(tmp_path / "bag", tmp_path / "second")
    assert result.messages == whole
    assert rosbags_messages(tmp_path / "second") == ordered(messages[:whole])


def test_a_complete_bag_is_copied_message_for_message(bag, tmp_path):
    directory, messages, _ = bag
    result = recover(directory, tmp_path / "copy")
    assert (result.problems, result.lost_bytes) == ((), 0)
    assert rosbags_messages(tmp_path / "copy") == ordered(messages)


def test_bags_of_other_recorders_are_recovered_too(bag, tmp_path):
    """Schemas and channels inside chunks, and no chunks at all, as rosbag2's presets write them."""
    from mcap.writer import CompressionType, Writer

    _, messages, _ = bag
    for name, options in (("chunked", {"chunk_size": 4096}), ("flat", {"use_chunking": False})):
        (tmp_path / name).mkdir()
        path = tmp_path / name / f"{name}_0.mcap"
        with path.open("wb") as stream:
            writer = Writer(stream, compression=CompressionType.LZ4, **options)
            writer.start(profile="ros2", library="other")
            channels = {}
            for topic, type_name in samples.NAMES.items():
                schema = writer.register_schema(
                    type_name, "ros2msg", samples.spec(topic, type_name).definition.encode()
                )
                channels[topic] = writer.register_channel(topic, "cdr", schema)
            for topic, stamp, data in messages:
                writer.add_message(channels[topic], stamp, data, stamp)
            writer.finish()
        assert BagReader(tmp_path / name).complete
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        result = recover(tmp_path / name)
        assert len(messages) / 3 < result.messages < len(messages)
        assert rosbags_messages(tmp_path / f"{name}_recovered") == ordered(messages[: result.messages])


def test_nothing_is_overwritten(bag, tmp_path):
    directory, _, ends = bag
    broken = cut(directory, tmp_path / "bag", ends[2][0])
    (tmp_path / "bag_recovered").mkdir()
    (tmp_path / "bag_recovered" / "mine").write_text("keep")
    with pytest.raises(DataError, match=r"exists: nothing is overwritten; .*--out"):
        recover(broken)
    assert (tmp_path / "bag_recovered" / "mine").read_text() == "keep"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bag", "bag_recovered"]


def test_a_place_that_cannot_be_written_leaves_nothing_behind(bag, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot write"):
        recover(bag[0], tmp_path / "file" / "out")


RECORDER = """
import itertools, sys, time
sys.path.insert(0, sys.argv[2])
import bag_samples as samples
from pathlib import Path
from palpate_nodes.bag.writer import BagWriter, WriterLimits
writer = BagWriter(Path(sys.argv[1]), samples.CUSTOM, WriterLimits(min_free_bytes=0))
channels = samples.declare(writer)
print("ready", flush=True)
for number in itertools.count():
    now = time.time_ns()
    writer.write(channels["/cell/force_torque_sensor/wrench"], now, now, samples.serialise(samples.WRENCH, now, number))
    if number % 100 == 0:
        writer.write(channels["/cell/camera/color/image_raw"], now, now, samples.serialise(samples.IMAGE, now, number))
    time.sleep(0.001)
"""


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_kill_9_loses_less_than_the_last_second(tmp_path, seed):
    process = subprocess.Popen(
        [sys.executable, "-c", RECORDER, str(tmp_path / "bag"), str(Path(__file__).parent)],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(random.Random(seed).uniform(1.5, 2.5))
    killed_ns = time.time_ns()
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    reader = BagReader(tmp_path / "bag")
    assert not reader.complete
    result = recover(tmp_path / "bag")
    assert killed_ns - result.end_ns < 1_000_000_000
    numbers = [
        samples.typestore().deserialize_cdr(data, samples.WRENCH).wrench.force.x
        for _, topic, data in rosbags_messages(tmp_path / "bag_recovered")
        if topic.endswith("wrench")
    ]
    assert len(numbers) > 100
    assert numbers == list(range(len(numbers)))
