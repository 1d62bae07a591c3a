"""What happens when processes die badly: no orphans, and no shared memory left behind.

Run as a program it is the launcher's guard: it reads `add PID` and `del PID` lines from its standard input, and when
that ends (the launcher is gone, kill -9 included) it ends what is still listed: SIGINT, then SIGTERM, then SIGKILL.
Standard library only, so that it can run without site-packages (`python -I -S reaper.py`), in a few milliseconds.
"""

from __future__ import annotations

import fcntl
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

SHM = Path("/dev/shm")
# Fast DDS marks what it shares with a lock file; the lock goes with its owner (`fastdds shm clean` uses the same fact).
_LOCK = re.compile(r"(fastdds_[0-9a-z]{16}|fastdds_port\d{1,5})(_el|_sl)")
_PORT = re.compile(r"/dev/shm/(fastdds_port\d{1,5})\b")
MIN_AGE_S = 1.0  # younger ones may be on their way between being created and being locked


def remove_dead_segments(used: Collection[str] = (), folder: Path = SHM) -> list[str]:
    """Remove the Fast DDS segments and ports of this user whose owners are dead.

    Args:
        used: names of ports that our processes used. After an orderly end, too, Fast DDS leaves some of them behind,
            without a lock file that would tell (83 KB each; a container's 64 MB are full after some hundred sessions).
        folder: where shared memory lies.

    Returns:
        names of the removed files.
    """
    removed: list[str] = []
    try:
        entries = list(folder.iterdir())
    except OSError:
        return removed
    locks: dict[str, list[Path]] = {}
    for entry in entries:
        if match := _LOCK.fullmatch(entry.name):
            locks.setdefault(match.group(1), []).append(entry)
    dead = {name for name, files in locks.items() if all(_is_dead(file) for file in files)}
    if left := {name for name in used if name not in locks}:
        dead |= left - set().union(*(used_ports(int(entry)) for entry in os.listdir("/proc") if entry.isdigit()))
    for name in sorted(dead):
        for path in (folder / name, folder / f"sem.{name}_mutex", *locks.get(name, ())):
            with suppress(OSError):
                path.unlink()
                removed.append(path.name)
    return removed


def used_ports(pid: int) -> set[str]:
    """Names of the Fast DDS ports that a process has mapped; none if it is gone or another user's."""
    try:
        return set(_PORT.findall(Path(f"/proc/{pid}/maps").read_text()))
    except OSError:
        return set()


def _is_dead(lock: Path) -> bool:
    """Whether the lock file is ours, old enough, and held by nobody."""
    try:
        status = lock.stat()
        if status.st_uid != os.getuid() or time.time() - status.st_mtime < MIN_AGE_S:
            return False
        with lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def send(pid: int, number: int) -> bool:
    """Send a signal to a process, SIGKILL to its whole group if it leads one; False if there is none any more."""
    try:
        if number == signal.SIGKILL and os.getpgid(pid) == pid:
            os.killpg(pid, number)
        else:
            os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def kill_group(leader: int) -> None:
    """End what a process that led its own group left behind (a rendering child, a shell's child)."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


class Guard:
    """The launcher's end of the guard process."""

    def __init__(self, sigterm_timeout_s: float = 5.0, sigkill_timeout_s: float = 5.0) -> None:
        """Start the guard, in a session of its own, so that a Ctrl-C in the terminal does not reach it."""
        command = [sys.executable, "-I", "-S", __file__, str(sigterm_timeout_s), str(sigkill_timeout_s)]
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=quiet, stderr=quiet, start_new_session=True
        )

    def add(self, pid: int) -> None:
        """Put a process under guard."""
        self._write(f"add {pid}\n")

    def remove(self, pid: int) -> None:
        """The process has ended and was waited for; its number may be given to another from now on."""
        self._write(f"del {pid}\n")

    def _write(self, line: str) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # somebody killed the guard; the launch itself is not affected
            self._process.stdin.write(line.encode())
            self._process.stdin.flush()

    def close(self) -> None:
        """End the guard; with nothing listed any more it does nothing else."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (OSError, IndexError):
        return False
    return state not in "ZX"  # nobody but init can still wait for it


def main() -> int:
    """Guard until standard input ends, then end what is left."""
    sigterm_timeout_s, sigkill_timeout_s = (float(word) for word in sys.argv[1:3])
    listed: dict[int, None] = {}
    for line in sys.stdin:
        word, pid = line.split()
        if word == "add":
            listed[int(pid)] = None
        else:
            listed.pop(int(pid), None)
    if not listed:
        return 0
    pids = list(reversed(listed))  # last started first, as in an orderly shutdown
    ports = set().union(*(used_ports(pid) for pid in pids))
    for number, wait_s in (
        (signal.SIGINT, sigterm_timeout_s),
        (signal.SIGTERM, sigkill_timeout_s),
        (signal.SIGKILL, 1.0),
    ):
        for pid in pids:
            if _alive(pid):
                send(pid, number)
        deadline = time.monotonic() + wait_s
        while time.monotonic() < deadline and any(_alive(pid) for pid in pids):
            time.sleep(0.02)
    for pid in pids:
        kill_group(pid)
    remove_dead_segments(ports)
    return 0


if __name__ == "__main__":
    sys.exit(main())
