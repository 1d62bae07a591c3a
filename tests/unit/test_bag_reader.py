import json
import os
import struct
import subprocess
import sys

import bag_samples as samples
import pytest
from typer.testing import CliRunner

from palpate_agents.errors import DataError
from palpate_nodes.bag import metadata
from palpate_nodes.bag.info import describe, size_text
from palpate_nodes.bag.reader import BagReader, MessageDecoder, header_stamp_ns
from palpate_nodes.bag.splits import SplitLimits
from palpate_nodes.bag.writer import BagWriter, WriterLimits
from palpate_nodes.commands.bag import app


@pytest.fixture(scope="module")
def bag(tmp_path_factory):
    directory = tmp_path_factory.mktemp("reader") / "bag"
    return directory, samples.record(directory, 300)


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "160"})


def test_messages_come_in_log_time_order_over_all_files(tmp_path):
    """Late messages, across chunks and files; equal times in the order of writing."""
    limits = WriterLimits(SplitLimits(file_bytes=15_000, chunk_bytes=2048, chunk_span_ns=10**18), min_free_bytes=0)
    writer = BagWriter(tmp_path / "bag", {}, limits)
    channels = samples.declare(writer)
    written = []
    for i in range(1000):
        stamp = samples.START_NS + (i - 37 if i % 40 == 0 else i) // 3 * 1_000_000
        topic = list(samples.NAMES)[i % 4]
        data = samples.serialise(samples.WRENCH, stamp, i)
        writer.write(channels[topic], stamp, stamp, data)
        written.append((stamp, topic, data))
    writer.close()
    reader = BagReader(tmp_path / "bag")
    assert len(reader.files) > 2
    assert [(m.log_ns, m.topic, m.data) for m in reader.messages()] == sorted(written, key=lambda m: m[0])
    two = list(samples.NAMES)[:2]
    chosen = [m.data for m in reader.messages(two)]
    assert chosen == [data for _, topic, data in sorted(written, key=lambda m: m[0]) if topic in two]


def test_a_bag_is_found_by_folder_session_or_file(bag, tmp_path):
    directory, messages = bag
    assert BagReader(directory.parent).path == directory  # the session's folder
    single = BagReader(directory / "bag_0.mcap")
    assert (sum(single.counts.values()), single.complete) == (len(messages), True)


def test_stamp_is_read_in_either_byte_order():
    data = samples.serialise(samples.WRENCH, 5_000_000_007)
    assert header_stamp_ns(data) == 5_000_000_007
    assert header_stamp_ns(b"\0\0\0\0" + struct.pack(">iI", -2, 7)) == -1_999_999_993
    with pytest.raises(DataError, match="5 bytes has no header"):
        header_stamp_ns(bytes(5))


def test_decoding_without_ros_gives_the_same_values(bag):
    """In a process in which rclpy cannot be imported."""
    script = (
        "import sys; sys.modules['rclpy'] = None\n"
        "from palpate_nodes.bag.reader import BagReader, MessageDecoder\n"
        "from pathlib import Path\n"
        "reader = BagReader(Path(sys.argv[1])); decoder = MessageDecoder(reader)\n"
        "for m in reader.messages(['/cell/arm/probe_execution']):\n"
        "    e = decoder.decode(m); print(e.part_id, e.max_force_n, e.window_end.nanosec)\n"
        "assert 'palpate_interfaces' not in sys.modules\n"
    )
    run = subprocess.run([sys.executable, "-c", script, str(bag[0])], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines() == ["part-60 60.0 4", "part-160 160.0 4", "part-260 260.0 4"]
    reader = BagReader(bag[0])
    decoder = MessageDecoder(reader)
    with_ros = [decoder.decode(m) for m in reader.messages(["/cell/arm/probe_execution"])]
    assert [f"{e.part_id} {e.max_force_n} {e.window_end.nanosec}" for e in with_ros] == run.stdout.splitlines()


def foreign_mcap(path, profile="ros2"):
    from mcap.writer import Writer

    with path.open("wb") as stream:
        writer = Writer(stream)
        writer.start(profile=profile)
        schema = writer.register_schema("Odd", "jsonschema", b"{}")
        writer.add_message(writer.register_channel("/odd", "json", schema), 1, b"{}", 1)
        writer.finish()
    return path


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda d: d / "nothing", "no such file or folder"),
        (lambda d: d, "no bag: it holds no .mcap file"),
        (lambda d: _file(d / "a.mcap", b""), r"is empty \(0 bytes\)"),
        (lambda d: _file(d / "a.mcap", b"\x89MC"), "ends after 3 bytes"),
        (lambda d: _file(d / "a.mcap", b"\x89MCAP0\r\n\x01"), "ends within its header"),
        (lambda d: _file(d / "a.mcap", b"hello, world, hello"), "not an MCAP file: it begins with b'hello, w'"),
        (lambda d: foreign_mcap(d / "a.mcap", profile="x"), "its profile is 'x', expected 'ros2'"),
        (lambda d: _file(d / "a.db3", b"SQLite"), "convert it with `ros2 bag convert`"),
        (lambda d: _file(d / "metadata.yaml", b"a: [1").parent, "cannot read .*metadata.yaml"),
        (lambda d: _file(d / "metadata.yaml", b"a: 1").parent, "no rosbag2 metadata"),
        (lambda d: _metadata(d, files=[metadata.FileEntry("gone.mcap")]), "lacks gone.mcap"),
        (lambda d: _metadata(d, storage="sqlite3"), "stored as sqlite3"),
    ],
)
@pytest.mark.parametrize("command", ["info", "recover"])
def test_what_is_no_bag_is_refused_in_one_sentence(tmp_path, make, message, command):
    path = make(tmp_path)
    result = run(command, path)
    assert isinstance(result.exception, DataError)
    assert result.exception.exit_code == 2
    with pytest.raises(DataError, match=message):
        raise result.exception


def _file(path, content):
    path.write_bytes(content)
    return path


def _metadata(directory, **values):
    metadata.write(directory, metadata.BagMetadata(**values))
    return directory


@pytest.mark.parametrize("words", [["info"], ["recover"]])
def test_the_palpate_command_ends_with_2_and_one_sentence(tmp_path, monkeypatch, capsys, words):
    from palpate_nodes import cli

    monkeypatch.setattr(cli, "COMMANDS", ("bag",))
    monkeypatch.setattr(sys, "argv", ["palpate", "bag", *words, str(tmp_path / "nothing")])
    assert cli.main() == 2
    shown = capsys.readouterr()
    assert shown.err.strip() == f"error: no bag at {tmp_path / 'nothing'}: there is no such file or folder"
    assert shown.out == ""


def test_info_describes_a_complete_bag(bag):
    directory, messages = bag
    info = describe(directory)
    assert (info.indexed, info.state, info.messages) == (True, "complete", len(messages))
    assert info.duration_s == pytest.approx(0.299)
    assert info.size_bytes == (directory / "bag_0.mcap").stat().st_size
    wrench = next(topic for topic in info.topics if topic.name.endswith("wrench"))
    assert (wrench.messages, wrench.type, wrench.dropped) == (300, samples.WRENCH, 0)
    assert wrench.rate_hz == pytest.approx(1000.0)
    result = run("info", directory)
    assert result.exit_code == 0
    assert "/cell/spectrometer/spectrum" in result.output
    assert "Recovery is needed" not in result.output
    assert "test-1" in result.output


def test_info_as_json(bag):
    values = json.loads(run("info", bag[0], "--json").output)
    assert values["recovery_needed"] is False
    assert values["messages"] == len(bag[1])
    assert {topic["name"] for topic in values["topics"]} == set(samples.NAMES)
    assert values["custom_data"]["palpate.session_id"] == "test-1"


def test_info_and_recover_of_a_cut_bag(bag, tmp_path):
    directory, messages = bag
    (tmp_path / "bag").mkdir()
    content = (directory / "bag_0.mcap").read_bytes()
    (tmp_path / "bag" / "bag_0.mcap").write_bytes(content[: len(content) // 2])
    result = run("info", tmp_path / "bag")
    assert result.exit_code == 0
    assert "Recovery is needed" in result.output
    values = json.loads(run("info", tmp_path / "bag", "--json").output)
    assert values["recovery_needed"] is True
    assert 0 < values["messages"] < len(messages)
    result = run("recover", tmp_path / "bag", "--out", tmp_path / "mended")
    assert result.exit_code == 0
    assert f"{values['messages']} messages" in result.output
    again = json.loads(run("info", tmp_path / "mended", "--json").output)
    assert (again["recovery_needed"], again["messages"]) == (False, values["messages"])


def test_unknown_drops_are_not_called_zero(bag, tmp_path):
    foreign = foreign_mcap(tmp_path / "a.mcap")
    assert describe(foreign).topics[0].dropped is None
    assert run("info", foreign).exit_code == 0


def test_one_topic_with_two_types_is_refused(tmp_path):
    writer = BagWriter(tmp_path / "bag", {}, samples.SMALL)
    writer.add_topic(samples.spec("/a", samples.WRENCH))
    writer.add_topic(samples.spec("/a", samples.IMAGE))
    writer.close()
    with pytest.raises(DataError, match="both as geometry_msgs/msg/WrenchStamped and as sensor_msgs/msg/Image"):
        BagReader(tmp_path / "bag")


def test_a_damaged_chunk_behind_a_good_index_names_the_way_out(bag, tmp_path):
    directory, _ = bag
    block = BagReader(directory).files[0].blocks[1]
    content = bytearray((directory / "bag_0.mcap").read_bytes())
    content[block.offset + block.length // 2] ^= 0xFF
    (tmp_path / "bag").mkdir()
    (tmp_path / "bag" / "bag_0.mcap").write_bytes(content)
    with pytest.raises(DataError, match=f"damaged at byte {block.offset}: .*palpate bag recover"):
        list(BagReader(tmp_path / "bag").messages())


def test_a_bag_that_is_still_being_recorded_can_be_looked_at(tmp_path):
    writer = BagWriter(tmp_path / "bag", samples.CUSTOM, samples.SMALL)
    channel = samples.declare(writer)["/cell/camera/color/image_raw"]
    for i in range(50):
        writer.write(channel, samples.START_NS + i, 0, os.urandom(1000))
    info = describe(tmp_path / "bag")
    assert info.state == "recording"
    assert not info.indexed
    writer.close()
    assert describe(tmp_path / "bag").indexed


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 << 20, "5.0 MiB"), (3 << 30, "3.00 GiB")]
)
def test_sizes_for_people(size, text):
    assert size_text(size) == text
