"""One running process: its output, its end, and how it is brought to its end."""

from __future__ import annotations

import asyncio
import functools
import os
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from palpate_nodes.launching import reaper
from palpate_nodes.launching.plan import Process

LAST_LINES = 15
DRAIN_S = 1.0  # how long to read on after the end, for lines that are still in the pipe
ENDED_BY_US = (0, -signal.SIGINT, 128 + signal.SIGINT)
"""Exit codes of a clean end on SIGINT: handled, not handled, and as Python or a shell reports it."""

Say = Callable[[str, str], None]
"""Takes the name of a process (or `launch`) and a line."""


class _Output(asyncio.Protocol):
    """One output pipe, cut into lines."""

    def __init__(self, take: Callable[[bytes, bool], None], is_error: bool) -> None:
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._take = take
        self._is_error = is_error
        self._rest = b""
        self._transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Pass on whole lines."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._take(line, self._is_error)

    def connection_lost(self, error: Exception | None) -> None:
        """Pass on the last line, also without its line feed."""
        if self._rest:
            self._take(self._rest, self._is_error)
            self._rest = b""
        if not self.closed.done():
            self.closed.set_result(None)

    def close(self) -> None:
        """Read no more."""
        if self._transport is not None:
            self._transport.close()


class Running:
    """A process of a plan, from start to end."""

    def __init__(self, process: Process, command: list[str], say: Say, log: TextIO | None) -> None:
        """Prepare; `start` starts it.

        Args:
            process: what to run.
            command: its command line.
            say: shows a line on the screen.
            log: file for what the `output` attribute sends to a log.
        """
        self.process = process
        self.command = command
        self.last_lines: deque[str] = deque(maxlen=LAST_LINES)
        self.exit_code: int | None = None
        self.signalled: list[int] = []
        self._say = say
        self._log = log
        self._child: subprocess.Popen[bytes] | None = None
        self._ended: asyncio.Future[None] | None = None
        self._outputs: list[_Output] = []

    @property
    def pid(self) -> int:
        """Process number."""
        assert self._child is not None
        return self._child.pid

    @property
    def name(self) -> str:
        """Label of the process."""
        return self.process.name

    async def start(self) -> None:
        """Start it, in a session of its own: a Ctrl-C in the terminal must reach the launcher only.

        Raises:
            OSError: the executable cannot be run (no interpreter, wrong format).
        """
        # Not asyncio's subprocess: its wait() lasts until a child of the child closes the pipes, too.
        self._child = subprocess.Popen(
            self.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.process.cwd,
            env=dict(self.process.environment),
            start_new_session=True,
        )
        loop = asyncio.get_running_loop()
        self._ended = loop.create_future()
        for stream, is_error in ((self._child.stdout, False), (self._child.stderr, True)):
            factory = functools.partial(_Output, self._line, is_error)
            _, output = await loop.connect_read_pipe(factory, stream)
            self._outputs.append(output)
        threading.Thread(target=self._watch, args=(loop, self._child.pid), daemon=True).start()

    def _watch(self, loop: asyncio.AbstractEventLoop, pid: int) -> None:
        """Wait for the end in a thread. The process stays a zombie until `wait`, so its number cannot be reused."""
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert self._ended is not None
        loop.call_soon_threadsafe(self._ended.set_result, None)

    def _line(self, raw: bytes, is_error: bool) -> None:
        line = raw.decode(errors="replace").rstrip("\r")
        self.last_lines.append(line)
        output = self.process.output
        if output in ("screen", "both", "full") or (output == "log" and is_error):
            self._say(self.name, line)
        if self._log and output != "screen":
            self._log.write(f"{line}\n")
            self._log.flush()

    async def wait(self) -> int:
        """Wait for the end and the rest of the output.

        Returns:
            exit code; minus the signal's number if a signal ended it.
        """
        assert self._child is not None
        assert self._ended is not None
        await self._ended
        reaper.kill_group(self._child.pid)  # what it left behind
        self.exit_code = self._child.wait()
        await asyncio.wait([output.closed for output in self._outputs], timeout=DRAIN_S)
        for output in self._outputs:
            output.close()
        return self.exit_code

    def send(self, number: int) -> None:
        """Send a signal if it still runs."""
        if self._child is not None and self.exit_code is None:
            self.signalled.append(number)
            reaper.send(self._child.pid, number)

    @property
    def ended_cleanly(self) -> bool:
        """Whether it ended by itself with code 0, or on SIGINT without needing more."""
        if self.signalled:
            return self.signalled == [signal.SIGINT] and self.exit_code in ENDED_BY_US
        return self.exit_code == 0

    def how_it_ended(self) -> str:
        """`exit code 3`, `killed by SIGSEGV`."""
        code = self.exit_code
        if code is not None and code < 0:
            try:
                return f"ended by {signal.Signals(-code).name}"
            except ValueError:
                return f"ended by signal {-code}"
        return f"exit code {code}"


def open_log(folder: Path | None, name: str) -> TextIO | None:
    """Log file of a process, appended to on a respawn."""
    return (folder / f"{name}.log").open("a", encoding="utf-8") if folder else None
