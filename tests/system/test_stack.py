"""The whole stack as processes: simulated session, its bag, replay without the derived topics, measured spectra."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from mcap.reader import make_reader
from mcap.writer import Writer
from mcap_ros2.decoder import DecoderFactory
from rosbags.highlevel import AnyReader

from palpate_nodes import topics
from palpate_nodes.results import read_results

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]
PALPATE = Path(sys.prefix) / "bin" / "palpate"


def palpate(*words, domain, cwd, check=0):
    environment = {**os.environ, "ROS_DOMAIN_ID": str(domain)}
    command = [PALPATE if PALPATE.exists() else sys.executable, *words]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=550, check=False)
    assert done.returncode == check, f"{words}: {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    """Two parts in the simulated cell."""
    root = tmp_path_factory.mktemp("stack")
    palpate("sim", "--parts", "2", "--seed", "5", "--name", "one", domain=81, cwd=root)
    return root / "sessions" / "one"


def test_every_part_has_a_result_and_a_report(session):
    results = read_results(session)
    assert results.finished
    assert len(results.parts) == 2
    for part in results.parts:
        assert not part.error
        assert part.truth
        assert part.probes
        assert part.belief
    assert (session / "report.html").stat().st_size > 20_000
    assert (session / "knowledge.sqlite").exists()


def test_nothing_was_lost_on_the_way_into_the_bag(session):
    info = json.loads(palpate("bag", "info", str(session / "bag"), "--json", domain=82, cwd=session))
    wrench = topics.resolve(topics.WRENCH.name)
    stamps = []
    with AnyReader([session / "bag"]) as reader:
        for connection, _, data in reader.messages([c for c in reader.connections if c.topic == wrench]):
            stamp = reader.deserialize(data, connection.msgtype).header.stamp
            stamps.append(stamp.sec * 1_000_000_000 + stamp.nanosec)
    assert len(stamps) > 1000
    assert set(np.diff(stamps)) == {1_000_000}, "the wrench at 1 kHz has a gap"
    assert "drop" not in json.dumps(info).lower() or not any(v for k, v in info.items() if k.startswith("drop"))


def test_two_independent_readers_read_the_same_messages(session):
    file = next((session / "bag").glob("*.mcap"))
    with AnyReader([session / "bag"]) as reader:
        ours = [(c.topic, t, reader.deserialize(d, c.msgtype)) for c, t, d in reader.messages()]
    with file.open("rb") as stream:
        theirs = [
            (channel.topic, message.log_time, decoded)
            for _, channel, message, decoded in make_reader(
                stream, decoder_factories=[DecoderFactory()]
            ).iter_decoded_messages()
        ]
    assert len(ours) == len(theirs) > 1000
    names = {name for name, _, _ in ours}
    assert {topics.resolve(t.name) for t in (topics.COLOR, topics.WRENCH, topics.SIGNATURE)} <= names
    assert sorted((n, t) for n, t, _ in ours) == sorted((n, t) for n, t, _ in theirs)
    pick = topics.resolve(topics.SIGNATURE.name)
    a = [m for n, _, m in ours if n == pick]
    b = [m for n, _, m in theirs if n == pick]
    for one, two in zip(a, b, strict=True):
        assert one.part_id == two.part_id
        np.testing.assert_array_equal(np.asarray(one.probabilities), np.asarray(two.probabilities, np.float32))


def without(bag, out, dropped):
    """A copy of a bag without some topics."""
    out.mkdir()
    source = next(bag.glob("*.mcap"))
    with source.open("rb") as stream, (out / "bag_0.mcap").open("wb") as target:
        writer = Writer(target)
        writer.start("ros2")
        schemas, channels = {}, {}
        for schema, channel, message in make_reader(stream).iter_messages():
            if channel.topic in dropped:
                continue
            if channel.id not in channels:
                if schema.id not in schemas:
                    schemas[schema.id] = writer.register_schema(schema.name, schema.encoding, schema.data)
                channels[channel.id] = writer.register_channel(
                    channel.topic, channel.message_encoding, schemas[schema.id], channel.metadata
                )
            writer.add_message(channels[channel.id], message.log_time, message.data, message.publish_time)
        writer.finish()
    return out


def test_replay_gives_the_same_signatures(session):
    out = palpate("replay", str(session / "bag"), "--json", "--name", "again", domain=83, cwd=session)
    comparison = json.loads(out)
    assert comparison["same"]
    assert comparison["worst"] <= 1e-5
    assert len(comparison["parts"]) == 2


def test_replay_needs_no_derived_topic(session, tmp_path):
    dropped = {topics.resolve(t.name) for t in topics.DERIVED_TOPICS}
    bare = without(session / "bag", tmp_path / "bare", dropped)
    palpate("replay", str(bare), "--name", "bare", "--json", domain=84, cwd=tmp_path)
    again, first = read_results(tmp_path / "sessions" / "bare"), read_results(session)
    for one, two in zip(first.parts, again.parts, strict=True):
        assert (one.belief, one.abstained) == (two.belief, two.abstained)
        assert one.probabilities.keys() == two.probabilities.keys()
        for label, p in one.probabilities.items():
            assert two.probabilities[label] == pytest.approx(p, abs=1e-5)


def test_measured_spectra_run_through_the_nodes(tmp_path):
    rng = np.random.default_rng(0)
    wavelength = np.linspace(1000.0, 1600.0, 80)
    values, label, group = [], [], []
    for centre, name in ((1200.0, "PLA"), (1350.0, "PETG")):
        for item in range(3):
            depth = rng.uniform(0.2, 0.4)
            for _ in range(2):
                band = depth * np.exp(-0.5 * ((wavelength - centre) / 25.0) ** 2)
                values.append(0.8 - band + rng.normal(0.0, 0.003, len(wavelength)))
                label.append(name)
                group.append(f"{name} ../item {item}")
    folder = tmp_path / "data"
    folder.mkdir()
    np.savez(folder / "spectra.npz", wavelength_nm=wavelength, values=values, label=label, group=group)
    palpate("identify", "--data", str(folder), "--name", "two", domain=85, cwd=tmp_path)
    results = read_results(tmp_path / "sessions" / "two")
    assert len(results.parts) == 12
    assert len(results.items) == 6
    assert len({part.model_hash for part in results.parts}) == 6
    assert results.summary.accuracy == 1.0
