"""The launcher with real processes: start, output, respawn, ordered shutdown, crashes, kill -9, shared memory."""

import fcntl
import itertools
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from launching_dummies import events, make_prefix

from palpate_nodes.launching import reaper
from palpate_nodes.launching.plan import make_plan
from palpate_nodes.launching.runner import Result, Runner

NAMES = ("recorder", "probing", "cell", "session")


def wait_for(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


class Bench:
    """Runs launch files with dummies in this process, in a thread."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.out = folder / "out"
        self.out.mkdir()
        self.prefix = make_prefix(folder / "prefix", "dummies", NAMES)
        self.environment = {**os.environ, "AMENT_PREFIX_PATH": str(self.prefix), "DUMMY_OUT": str(self.out)}
        self.lines: list[tuple[str, str]] = []
        self.result: Result | None = None

    def file(self, elements: str) -> Path:
        path = self.folder / "x.launch.yaml"
        path.write_text("launch:\n" + textwrap.dedent(elements))
        return path

    def start(self, elements: str) -> None:
        plan = make_plan(self.file(elements), {}, self.environment)
        self.runner = Runner(
            plan, log_folder=self.folder / "logs", say=lambda name, line: self.lines.append((name, line))
        )
        self.thread = threading.Thread(target=lambda: setattr(self, "result", self.runner.run()))
        self.thread.start()

    def join(self, timeout_s: float = 20.0) -> Result:
        self.thread.join(timeout_s)
        assert not self.thread.is_alive(), "the launch did not end"
        assert self.result is not None
        return self.result

    def run(self, elements: str) -> Result:
        self.start(elements)
        return self.join()

    def wait_for_start(self, *names: str) -> None:
        wait_for(lambda: {name for _, name, event in events(self.out) if event == "start"} >= set(names))

    def said(self, name: str = "launch") -> str:
        return "\n".join(line for who, line in self.lines if who == name)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    if made.result is None and hasattr(made, "runner"):
        made.runner.stop()
        made.thread.join(20.0)


def node(name: str, behaviour: str = "", extra: str = "") -> str:
    return f"- node: {{pkg: dummies, exec: {name}, args: '{behaviour}'{', ' + extra if extra else ''}}}\n"


def test_processes_run_to_their_end(bench: Bench) -> None:
    result = bench.run(node("recorder", "for=0.2", "output: screen") + node("cell", "for=0.1"))
    assert result.exit_code == 0
    assert {ended.name for ended in result.ended} == {"recorder-1", "cell-2"}
    assert all(ended.clean for ended in result.ended)
    assert bench.said("recorder-1") == "recorder on stdout\nrecorder on stderr"
    assert bench.said("cell-2") == "cell on stderr", "'log' shows only stderr, as in ROS"
    assert (bench.folder / "logs/cell-2.log").read_text() == "cell on stdout\ncell on stderr\n"
    assert "cell-2 ended" in (bench.folder / "logs/launch.log").read_text()


def test_shutdown_is_in_reverse_order_and_clean(bench: Bench) -> None:
    bench.start("".join(node(name, "slow=0.15") for name in NAMES))
    bench.wait_for_start(*NAMES)
    bench.runner.stop()
    assert bench.join().exit_code == 0
    order = [(name, event) for _, name, event in events(bench.out) if event != "start"]
    assert order == [(name, event) for name in reversed(NAMES) for event in ("SIGINT", "end")]
    assert "goodbye" in "".join(
        (bench.folder / "logs" / f"{name}-{i}.log").read_text() for i, name in enumerate(NAMES, 1)
    )


def test_a_slow_process_does_not_hold_up_the_others_for_ever(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("palpate_nodes.launching.runner.TURN_S", 0.3)
    bench.start(node("recorder") + node("cell", "slow=1.5"))
    bench.wait_for_start("recorder", "cell")
    bench.runner.stop()
    assert bench.join().exit_code == 0
    moments = {(name, event): moment for moment, name, event in events(bench.out)}
    assert 0.2 < moments["recorder", "SIGINT"] - moments["cell", "SIGINT"] < 1.0
    assert moments["recorder", "end"] < moments["cell", "end"]


@pytest.mark.parametrize(
    ("ignored", "seen", "exit_code"),
    [("SIGINT", ["SIGINT", "SIGTERM", "end"], 0), ("SIGINT,SIGTERM", ["SIGINT", "SIGTERM"], -9)],
)
def test_escalation(bench: Bench, ignored: str, seen: list[str], exit_code: int) -> None:
    bench.start(node("cell", f"ignore={ignored}", "sigterm_timeout: 0.4, sigkill_timeout: 0.4"))
    bench.wait_for_start("cell")
    started = time.monotonic()
    bench.runner.stop()
    result = bench.join()
    assert [event for _, _, event in events(bench.out)][1:] == seen
    assert 0.35 < time.monotonic() - started < 3.0
    assert result.ended[0].exit_code == exit_code
    assert result.exit_code == 1, "a process that had to be forced did not end cleanly"
    assert "needed SIGTERM" in bench.said()


def test_a_process_without_handlers_ends_cleanly_on_sigint(bench: Bench) -> None:
    bench.start("- executable: {cmd: /bin/sleep 600}\n" + node("cell", "signals=default"))
    bench.wait_for_start("cell")
    bench.runner.stop()
    result = bench.join()
    assert result.exit_code == 0
    assert {ended.exit_code for ended in result.ended} <= {-2, 130}


def test_a_required_process_that_ends_ends_the_launch(bench: Bench) -> None:
    result = bench.run(node("recorder") + node("session", "for=0.2", "on_exit: shutdown"))
    assert result.exit_code == 0
    assert "session-2 is required" in bench.said()
    assert (events(bench.out)[-1][1:]) == ("recorder", "end")


@pytest.mark.parametrize(
    ("behaviour", "code", "how"), [("fail=7", 7, "exit code 7"), ("crash=1", 1, "ended by SIGSEGV")]
)
def test_a_required_process_that_fails_is_reported_with_its_last_lines(
    bench: Bench, behaviour: str, code: int, how: str
) -> None:
    result = bench.run(node("recorder") + node("cell", behaviour, "on_exit: shutdown"))
    assert result.exit_code == code
    said = bench.said()
    assert f"cell-2 failed: {how}" in said
    assert "| cell on stderr" in said
    assert ("| the reason why" in said) == (behaviour == "fail=7")
    assert [ended.name for ended in result.ended if not ended.clean] == ["cell-2"]


def test_a_process_that_is_not_required_may_fail_but_is_not_forgotten(bench: Bench) -> None:
    started = time.monotonic()
    result = bench.run(node("recorder", "for=0.8") + node("cell", "fail=7"))
    assert time.monotonic() - started > 0.7, "the others ran on"
    assert result.exit_code == 7


def test_respawn(bench: Bench) -> None:
    extra = "respawn: 'true', respawn_delay: 0.1, respawn_max_retries: 2"
    result = bench.run(node("recorder", "for=0.05", extra) + node("cell", "for=1.5"))
    assert [event for _, name, event in events(bench.out) if name == "recorder"] == ["start", "done"] * 3
    assert result.exit_code == 0
    starts = [moment for moment, name, event in events(bench.out) if (name, event) == ("recorder", "start")]
    assert all(later - earlier > 0.1 for earlier, later in itertools.pairwise(starts))


def test_a_respawned_process_that_fails_does_not_fail_the_launch_until_it_may_no_longer(bench: Bench) -> None:
    result = bench.run(node("recorder", "fail=5", "respawn: 'true', respawn_max_retries: 1"))
    assert [ended.exit_code for ended in result.ended] == [5, 5]
    assert result.exit_code == 5


def test_shutdown_while_waiting_to_respawn(bench: Bench) -> None:
    bench.start(node("recorder", "for=0", "respawn: 'true', respawn_delay: 60.0") + node("cell"))
    bench.wait_for_start("recorder", "cell")
    wait_for(lambda: "recorder-1 ended" in bench.said())
    bench.runner.stop()
    assert bench.join(5.0).exit_code == 0


def test_what_a_process_leaves_behind_goes_with_it(bench: Bench) -> None:
    bench.run(node("cell", "for=0.1 child=1"))
    (child,) = (int(event.split()[1]) for _, _, event in events(bench.out) if event.startswith("child"))
    wait_for(lambda: not alive(child), 2.0)


def test_an_executable_that_cannot_run(bench: Bench) -> None:
    (bench.prefix / "lib/dummies/cell").write_text("no interpreter here\n")
    result = bench.run(node("recorder") + node("cell", "", "on_exit: shutdown"))
    assert result.exit_code == 1
    assert "Exec format error" in bench.said()


def test_stop_before_the_start(bench: Bench) -> None:
    plan = make_plan(bench.file(node("cell")), {}, bench.environment)
    runner = Runner(plan, say=lambda *_: None)
    runner.stop()
    assert runner.run().exit_code == 0
    assert not [event for _, _, event in events(bench.out) if event == "done"]


def test_long_and_broken_output_is_passed_on(bench: Bench) -> None:
    script = bench.folder / "long.py"
    script.write_text(r"import sys; sys.stdout.buffer.write(b'x' * 300000 + b'\n\xff end')")
    result = bench.run(f"- executable:\n    output: screen\n    cmd: {sys.executable} -IS {script}\n")
    assert result.exit_code == 0
    (label,) = {who for who, _ in bench.lines if who != "launch"}
    assert bench.said(label) == "x" * 300000 + "\n\ufffd end"


# The launcher as a process of its own: signals and sudden death.

PROGRAM = """
import sys
from pathlib import Path
from palpate_nodes.launching import api
sys.exit(api.launch(sys.argv[1], runner="own", log_folder=Path(sys.argv[2])).exit_code)
"""


def spawn(bench: Bench, elements: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(bench.file(elements)), str(bench.folder / "logs")],
        env=bench.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_the_whole_terminal_reaches_the_launcher_only(bench: Bench, number: int) -> None:
    """Ctrl-C goes to the terminal's process group; the processes must still end in order, after one SIGINT each."""
    launcher = spawn(bench, "".join(node(name, "slow=0.1") for name in NAMES))
    bench.wait_for_start(*NAMES)
    os.killpg(launcher.pid, number)
    output, _ = launcher.communicate(timeout=10)
    assert launcher.returncode == 0, output
    assert [name for _, name, event in events(bench.out) if event == "SIGINT"] == list(reversed(NAMES))
    assert "shutting down in order" in output


def test_the_second_and_third_signal_are_harder(bench: Bench) -> None:
    launcher = spawn(bench, node("recorder", "ignore=SIGINT,SIGTERM") + node("cell", "ignore=SIGINT"))
    bench.wait_for_start("recorder", "cell")
    launcher.send_signal(signal.SIGINT)
    wait_for(lambda: ("cell", "SIGINT") in [event[1:] for event in events(bench.out)])
    launcher.send_signal(signal.SIGINT)
    wait_for(lambda: ("recorder", "SIGTERM") in [event[1:] for event in events(bench.out)])
    launcher.send_signal(signal.SIGINT)
    output, _ = launcher.communicate(timeout=4)
    assert launcher.returncode == 1
    assert "SIGKILL to every process" in output


def test_kill_9_of_the_launcher_leaves_no_orphans(bench: Bench) -> None:
    launcher = spawn(bench, node("recorder") + node("cell", "child=1") + node("probing", "ignore=SIGINT"))
    bench.wait_for_start("recorder", "cell", "probing")
    pids = [json.loads((bench.out / f"{name}.json").read_text())["pid"] for name in ("recorder", "cell", "probing")]
    pids += [int(event.split()[1]) for _, _, event in events(bench.out) if event.startswith("child")]
    assert len(pids) == 4
    assert all(alive(pid) for pid in pids)
    launcher.kill()
    launcher.wait()
    wait_for(lambda: not any(alive(pid) for pid in pids), 12.0)
    seen = {(name, event) for _, name, event in events(bench.out)}
    assert seen >= {("recorder", "SIGINT"), ("recorder", "end"), ("cell", "SIGINT"), ("probing", "SIGTERM")}


def test_a_reader_that_goes_away_does_not_end_the_launch(bench: Bench) -> None:
    launcher = spawn(bench, node("recorder", "for=0.8", "output: screen"))
    assert launcher.stdout is not None
    launcher.stdout.close()
    assert launcher.wait(timeout=10) == 0
    assert [event for _, _, event in events(bench.out)] == ["start", "done"]


# Shared memory of Fast DDS.


def segment(folder: Path, name: str, age_s: float) -> Path:
    for path in (folder / name, folder / f"{name}_el"):
        path.touch()
        os.utime(path, (time.time() - age_s,) * 2)
    return folder / f"{name}_el"


def test_only_segments_of_dead_owners_are_removed(tmp_path: Path) -> None:
    segment(tmp_path, "fastdds_0123456789abcdef", 10.0)
    segment(tmp_path, "fastdds_port7413", 10.0)
    (tmp_path / "sem.fastdds_port7413_mutex").touch()
    segment(tmp_path, "fastdds_fedcba9876543210", 0.0)
    other = segment(tmp_path, "unrelated_0123456789abcdef", 10.0)
    owned = segment(tmp_path, "fastdds_aaaaaaaaaaaaaaaa", 10.0)
    with owned.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        removed = reaper.remove_dead_segments(folder=tmp_path)
    expected = {"fastdds_0123456789abcdef", "fastdds_0123456789abcdef_el"}
    expected |= {"fastdds_port7413", "fastdds_port7413_el", "sem.fastdds_port7413_mutex"}
    assert set(removed) == expected
    assert other.exists()
    assert owned.exists()
    assert (tmp_path / "fastdds_fedcba9876543210").exists(), "too young to be judged"


def test_no_shared_memory_is_no_problem(tmp_path: Path) -> None:
    assert reaper.remove_dead_segments(folder=tmp_path / "none") == []


def test_ports_that_were_used_are_removed_when_nobody_uses_them_any_more(tmp_path: Path) -> None:
    for name in ("fastdds_port1", "sem.fastdds_port1_mutex", "fastdds_port2"):
        (tmp_path / name).touch()
    segment(tmp_path, "fastdds_port3", 0.0)
    removed = reaper.remove_dead_segments({"fastdds_port1", "fastdds_port3"}, tmp_path)
    assert set(removed) == {"fastdds_port1", "sem.fastdds_port1_mutex"}
    assert (tmp_path / "fastdds_port2").exists(), "not ours"
    assert (tmp_path / "fastdds_port3").exists(), "too young to be judged by its lock"
