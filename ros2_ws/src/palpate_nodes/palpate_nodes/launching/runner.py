"""Runs a plan: starts its processes, shows what they say, respawns, and shuts down in order.

Shutdown: SIGINT to one process after the other, the last started first; each gets `sigterm_timeout` (5 s) before
SIGTERM and `sigkill_timeout` (5 s) more before SIGKILL. The first in the file ends last, so a recorder that stands
there records what the others say when they end. ROS's launch signals all at once; a launch file must bear both.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from palpate_nodes.launching import reaper
from palpate_nodes.launching.plan import Plan, Process
from palpate_nodes.launching.process import Running, Say, open_log

TURN_S = 2.0  # a process that takes longer to end no longer holds up the signal to the one before it
LAUNCH = "launch"


@dataclass
class Ended:
    """How one process ended: exit code (minus the signal's number if one ended it), cleanly or not, last lines."""

    name: str
    exit_code: int
    clean: bool
    last_lines: list[str]


@dataclass
class Result:
    """How a launch ended.

    Attributes:
        exit_code: 0 if everything ended as it should.
        ended: every end of a process, respawned ones included, in time order.
        log_folder: where the output of the processes was written; None if nowhere.
    """

    exit_code: int = 0
    ended: list[Ended] = field(default_factory=list)
    log_folder: Path | None = None


class Runner:
    """Runs one plan, once. `run` blocks; `stop` may be called from any thread."""

    def __init__(self, plan: Plan, *, log_folder: Path | None = None, say: Say | None = None) -> None:
        """Prepare.

        Args:
            plan: what to run.
            log_folder: one file per process is written here, and `launch.log`; made if it is not there.
            say: shows lines; None prints them to standard output with the process's name in front.
        """
        self.plan = plan
        self.result = Result(log_folder=log_folder)
        self._say_to = say or _print
        self._log_folder = log_folder
        self._running: list[Running] = []
        self._enders: dict[Running, asyncio.Task[None]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._ports: set[str] = set()
        self._interrupts = 0
        self._stopped_early = threading.Event()
        self._stack = ExitStack()

    def run(self) -> Result:
        """Run until every process has ended, or a required one has, or a signal or `stop` asks for the end."""
        with self._stack:
            self._parameters = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="palpate_launch_")))
            if self._log_folder:
                self._log_folder.mkdir(parents=True, exist_ok=True)
            self._launch_log = open_log(self._log_folder, LAUNCH)
            if self._launch_log:
                self._stack.enter_context(self._launch_log)
            self._guard = reaper.Guard()
            self._stack.callback(self._guard.close)
            asyncio.run(self._main())
        reaper.remove_dead_segments(self._ports)
        return self.result

    def stop(self) -> None:
        """Ask for an orderly shutdown, as SIGINT does; from any thread, also before `run`."""
        self._stopped_early.set()
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop has ended meanwhile
                self._loop.call_soon_threadsafe(self._begin_shutdown)

    def _begin_shutdown(self) -> None:
        if self._stopping is not None:
            self._stopping.set()

    def say(self, name: str, line: str) -> None:
        """Show a line, and keep the launcher's own in its log."""
        if name == LAUNCH and self._launch_log:
            self._launch_log.write(f"{time.strftime('%H:%M:%S')}.{time.time() % 1 * 1000:03.0f} {line}\n")
            self._launch_log.flush()
        self._say_to(name, line)

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        if self._stopped_early.is_set():
            self._stopping.set()
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                self._loop.add_signal_handler(number, self._on_signal, number)
        for message in self.plan.messages:
            self.say(LAUNCH, message)
        lives = [asyncio.create_task(self._live(process)) for process in self.plan.processes]
        everything = asyncio.gather(*lives)
        stopping = asyncio.create_task(self._stopping.wait())
        either: list[asyncio.Future[Any]] = [everything, stopping]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not everything.done():
            await self._shut_down()
        stopping.cancel()
        await everything

    def _on_signal(self, number: int) -> None:
        """First signal: in order; second: SIGTERM to all at once; third: SIGKILL."""
        self._interrupts += 1
        name = signal.Signals(number).name
        if self._interrupts == 1:
            self.say(LAUNCH, f"{name}: shutting down in order (again: at once)")
            self._begin_shutdown()
            return
        harder = signal.SIGTERM if self._interrupts == 2 else signal.SIGKILL
        self.say(LAUNCH, f"{name} again: {harder.name} to every process")
        for running in self._running:
            running.send(harder)

    async def _live(self, process: Process) -> None:
        """Start a process, see it end, start it again as often as it may."""
        assert self._stopping is not None
        retries = 0
        while not self._stopping.is_set():
            may_respawn = process.respawn and not process.required and not 0 <= process.respawn_max_retries <= retries
            await self._live_once(process, may_respawn)
            if not may_respawn:
                return
            retries += 1
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), process.respawn_delay_s or 0.001)

    async def _live_once(self, process: Process, may_respawn: bool) -> None:
        log = open_log(self._log_folder, process.name)
        running = Running(process, process.command(self._parameters), self.say, log)
        try:
            await running.start()
        except OSError as error:
            running.last_lines.append(str(error))
            running.exit_code = 127
            self._on_end(running, may_respawn)
            return
        self._guard.add(running.pid)
        self._running.append(running)
        self.say(LAUNCH, f"{process.name} started (pid {running.pid})")
        if self._stopping is not None and self._stopping.is_set():  # the shutdown began while it started
            self._end(running)
        try:
            await running.wait()
        finally:
            self._guard.remove(running.pid)
            self._running.remove(running)
            if log:
                log.close()
        self._on_end(running, may_respawn)

    def _on_end(self, running: Running, may_respawn: bool) -> None:
        """Report an end, and decide what it means for the launch."""
        assert self._stopping is not None
        assert running.exit_code is not None
        clean = running.ended_cleanly
        self.result.ended.append(Ended(running.name, running.exit_code, clean, list(running.last_lines)))
        if clean:
            self.say(LAUNCH, f"{running.name} ended")
        else:
            escalated = [signal.Signals(number).name for number in running.signalled if number != signal.SIGINT]
            needed = f", needed {' and '.join(escalated)}" if escalated else ""
            self.say(LAUNCH, f"{running.name} failed: {running.how_it_ended()}{needed}; its last lines:")
            for line in running.last_lines:
                self.say(LAUNCH, f"  | {line}")
        respawns = may_respawn and not self._stopping.is_set()
        if not clean and not respawns and self.result.exit_code == 0:
            code = running.exit_code
            self.result.exit_code = code if 0 < code < 126 else 1
        if running.process.required and not self._stopping.is_set():
            self.say(LAUNCH, f"{running.name} is required: shutting down")
            self._begin_shutdown()

    async def _shut_down(self) -> None:
        """End the processes, the last of the plan first; one that started again meanwhile keeps its place."""
        self._ports |= set().union(*(reaper.used_ports(running.pid) for running in self._running))
        order = {process.name: index for index, process in enumerate(self.plan.processes)}
        for running in sorted(self._running, key=lambda one: order[one.name], reverse=True):
            await asyncio.wait([self._end(running)], timeout=TURN_S)

    def _end(self, running: Running) -> asyncio.Task[None]:
        """Begin to end a process, once."""
        if running not in self._enders:
            self._enders[running] = asyncio.create_task(_end(running, self.say))
        return self._enders[running]


async def _end(running: Running, say: Callable[[str, str], None]) -> None:
    """SIGINT, SIGTERM, SIGKILL, each when the one before did not help in time."""
    steps = (
        (signal.SIGINT, running.process.sigterm_timeout_s),
        (signal.SIGTERM, running.process.sigkill_timeout_s),
        (signal.SIGKILL, 5.0),
    )
    for number, wait_s in steps:
        if number != signal.SIGINT:
            say(LAUNCH, f"{running.name} has not ended: {number.name}")
        running.send(number)
        deadline = asyncio.get_running_loop().time() + wait_s
        while running.exit_code is None and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.01)
        if running.exit_code is not None:
            return


def _print(name: str, line: str) -> None:
    """Default `say`; a reader that went away (`| head`) is no reason to leave the cell without supervision."""
    try:
        print(f"[{name}] {line}", flush=True)
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  (or the interpreter fails at exit when it flushes)
