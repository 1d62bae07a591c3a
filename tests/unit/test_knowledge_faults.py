"""What goes wrong with a database file is one sentence, and loses nothing that was stored."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from palpate_agents.knowledge import KnowledgeError, Statement, TemporalKnowledgeGraph


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "k.sqlite"
    with TemporalKnowledgeGraph(path) as graph:
        graph.add_fact("material:PP", "p", 1, learnt_at=1)
    return path


def test_a_foreign_database(tmp_path):
    path = tmp_path / "bag.db3"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE messages (id INTEGER)")
    with pytest.raises(KnowledgeError, match=r"bag\.db3 is a database of something else \(tables: messages\)"):
        TemporalKnowledgeGraph(path)


def test_a_file_that_is_no_database(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("hello " * 100)
    with pytest.raises(KnowledgeError, match="not an SQLite database; name another file"):
        TemporalKnowledgeGraph(path)
    assert path.read_text().startswith("hello")


def test_a_newer_schema(path):
    with sqlite3.connect(path) as connection:
        connection.execute("INSERT INTO knowledge_schema VALUES (7, 'from the future')")
    with pytest.raises(KnowledgeError, match="schema version 7, this palpate reads up to 1; update"):
        TemporalKnowledgeGraph(path)


def test_a_missing_folder_a_folder_and_a_missing_file(tmp_path):
    with pytest.raises(KnowledgeError, match=r"folder .*nowhere for the knowledge graph does not exist"):
        TemporalKnowledgeGraph(tmp_path / "nowhere" / "k.sqlite")
    with pytest.raises(KnowledgeError, match="is a folder; name a file"):
        TemporalKnowledgeGraph(tmp_path)
    with pytest.raises(KnowledgeError, match="there is no knowledge graph at"):
        TemporalKnowledgeGraph(tmp_path / "k.sqlite", read_only=True)
    assert list(tmp_path.iterdir()) == []


def test_urls_that_cannot_be_used():
    with pytest.raises(KnowledgeError, match="is no database URL"):
        TemporalKnowledgeGraph("://nothing")
    with pytest.raises(KnowledgeError, match=r"oracledb|cx_Oracle"):
        TemporalKnowledgeGraph("oracle://user:secret@host/db")
    with pytest.raises(KnowledgeError) as error:
        TemporalKnowledgeGraph("nosuch://user:secret@host/db")
    assert "secret" not in str(error.value)


def test_a_damaged_file(path):
    data = bytearray(path.read_bytes())
    data[4096 * 2 :] = os.urandom(len(data) - 4096 * 2)
    path.write_bytes(data)
    with pytest.raises(KnowledgeError, match=r"damaged .*rebuild it by replaying the bags"):
        TemporalKnowledgeGraph(path).history("material:PP")


def test_read_only_opens_for_reading_and_says_so(path):
    with TemporalKnowledgeGraph(path, read_only=True) as graph:
        assert len(graph.history("material:PP")) == 1
        with pytest.raises(KnowledgeError, match="opened read-only"):
            graph.add_fact("material:PP", "p", 2)
    assert {p.name for p in path.parent.iterdir()} == {"k.sqlite"}


def test_read_only_sees_what_a_running_writer_stored(path):
    with TemporalKnowledgeGraph(path) as writer, TemporalKnowledgeGraph(path, read_only=True) as reader:
        writer.add_fact("material:PP", "p", 2)
        assert len(reader.history("material:PP")) == 2


def test_a_file_without_write_permission(path):
    """As an ordinary user: whoever runs this test may be root, whom permissions do not stop."""
    code = (
        "import os, sys\n"
        "from palpate_agents.knowledge import KnowledgeError, TemporalKnowledgeGraph\n"
        "TemporalKnowledgeGraph('sqlite://').close()\n"  # imports the driver while it may
        "if os.geteuid() == 0: os.setegid(65534); os.seteuid(65534)\n"
        "file = sys.argv[1] + '/k.sqlite'\n"
        "assert len(TemporalKnowledgeGraph(file, read_only=True).history('material:PP')) == 1\n"
        "try: TemporalKnowledgeGraph(file).add_fact('a:b', 'p', 1)\n"
        "except KnowledgeError as error: print(error)\n"
    )
    folder = Path(tempfile.mkdtemp())  # not below tmp_path, which only its owner may enter
    try:
        shutil.copy(path, folder)
        (folder / path.name).chmod(0o444)
        folder.chmod(0o555)
        result = subprocess.run(
            [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=False, timeout=60
        )
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)
    assert result.returncode == 0, result.stderr
    assert "read-only; change its permissions or name another file" in result.stdout


def test_a_full_disk_loses_nothing(path):
    with TemporalKnowledgeGraph(path) as graph:
        pages = len(path.read_bytes()) // 4096 + 6
        # SQLite's own limit on the size of the file raises the same SQLITE_FULL as a disk without space.
        sa.event.listen(
            graph._database.engine, "begin", lambda c: c.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
        )
        stored = 1

        def fill():
            nonlocal stored
            for i in range(1000):
                graph.add_facts([Statement("a:b", "p", "x" * 500 + str(i * 5 + k)) for k in range(5)], learnt_at=i)
                stored += 5

        with pytest.raises(KnowledgeError, match=r"full, .* MiB free on its disk; what was stored before is intact"):
            fill()
        assert stored > 1
        assert len(graph) == stored
    with TemporalKnowledgeGraph(path) as graph:  # space again: it goes on
        graph.add_fact("a:b", "p", "after")
        assert len(graph) == stored + 1


def test_a_locked_database_says_so_after_the_timeout_and_readers_go_on(path):
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with TemporalKnowledgeGraph(path, busy_timeout_s=0.2) as graph:
        start = time.monotonic()
        with pytest.raises(KnowledgeError, match=r"held its write lock for more than 0\.2 s; stop it or retry"):
            graph.add_fact("a:b", "p", 1)
        assert 0.2 <= time.monotonic() - start < 5
        assert len(graph.history("material:PP")) == 1
        other.execute("ROLLBACK")
        other.close()
        graph.add_fact("a:b", "p", 1)
        assert len(graph) == 2


_WRITER = """
import sys
from types import SimpleNamespace
from palpate_agents.knowledge import TemporalKnowledgeGraph
path, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
with TemporalKnowledgeGraph(path, busy_timeout_s=60) as graph:
    for i in range(count):
        for part in (f"{name}-{i}", f"shared-{i}"):  # every process also stores the same shared parts
            graph.add_signature(SimpleNamespace(
                session_id="s", part_id=part, material="PP", abstained=False, reason="", confidence=0.5,
                label_set="x", labels=["PP"], probabilities=[1.0], property_names=["density_kg_m3"],
                property_values=[900.0 + i], property_std=[1.0], condition_names=["wet"],
                condition_probabilities=[0.5], novelty=0.1, novelty_limit=0.5, probes=1, model_name="m",
                model_hash="ab", feature_version="1"), stamp_ns=i)
"""


def test_processes_that_write_at_once_lose_and_double_nothing(tmp_path):
    path, count, writers = tmp_path / "k.sqlite", 12, 3  # nobody created the file yet: they race for that too
    processes = [
        subprocess.Popen([sys.executable, "-c", _WRITER, str(path), f"w{k}", str(count)], stderr=subprocess.PIPE)
        for k in range(writers)
    ]
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors.decode()
    parts = count * (writers + 1)
    with TemporalKnowledgeGraph(path) as graph:
        edges = graph.neighbours("material:PP", predicate="identified_as", outgoing=False)
        assert len(edges) == len({edge.node for edge in edges}) == parts
        (estimate,) = graph.history("material:PP", predicate="estimate/density_kg_m3")
        assert estimate.object["n"] == parts
        assert estimate.object["mean"] == pytest.approx(900.0 + (count - 1) / 2)
        trail = graph.history("material:PP", predicate="estimate/density_kg_m3", superseded=True)
        assert sorted(fact.object["n"] for fact in trail) == list(range(1, parts + 1))


def test_a_killed_writer_leaves_whole_transactions(tmp_path):
    path = tmp_path / "k.sqlite"
    code = (
        "import os, sys\n"
        "from palpate_agents.knowledge import Statement, TemporalKnowledgeGraph\n"
        "graph = TemporalKnowledgeGraph(sys.argv[1])\n"
        "graph.add_facts([Statement('a:b', 'p', i) for i in range(10)])\n"
        "with graph._database.writing() as connection:\n"
        "    from palpate_agents.knowledge.writer import Writer, new_fact\n"
        "    Writer(connection).insert([new_fact(Statement('a:b', 'q', i), i) for i in range(10)])\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)], check=False).returncode == -9
    with TemporalKnowledgeGraph(path) as graph:
        assert [fact.predicate for fact in graph.history("a:b")] == ["p"] * 10
