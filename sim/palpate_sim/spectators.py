"""Who watches the cell and is no part of it: a film and a window, each in a process of its own.

The cell tells them where everything is and goes on; it never waits for them. A film that falls behind repeats its last
frame, a window shows the newest state. Both end with the cell, and a film can be played even when the cell was killed.
"""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from palpate_agents.errors import CellError, ConfigError
from palpate_sim.mirror import CellState, Mirror, check_display
from palpate_sim.render_process import PartsJob, SurfaceJob
from palpate_sim.video import OverviewRenderer, VideoWriter, check_video_path

START_DEADLINE_S, END_DEADLINE_S, PARENT_CHECK_S = 60.0, 20.0, 2.0
MAX_BEHIND = 20
"""States that may wait before a film repeats its last frame."""
LAST_FRAMES_S = 1.5
"""At the end so much time is left for what has not been drawn yet."""
FILM_PERIOD_S, WINDOW_PERIOD_S = 0.1, 0.04
NICENESS = 10
"""Of a film: where processors are few, the cell goes first."""


class Spectator:
    """The cell's end of one spectator."""

    def __init__(self, name: str, period_s: float, watch: Callable[..., None], *arguments: Any):
        """Start the process and wait until it sees.

        Args:
            name: of the process, for messages.
            period_s: between states.
            watch: runs in the process: `watch(jobs, ready, parent, closing, *arguments)`.
            arguments: pickled.

        Raises:
            ConfigError: it says why it cannot start.
            CellError: it ended without a word.
        """
        self.name, self.period_s = name, period_s
        context = multiprocessing.get_context("spawn")
        self._jobs: Any = context.Queue()
        self._closing = context.Event()
        ready, told = context.Pipe(duplex=False)
        self._process = context.Process(
            target=watch, args=(self._jobs, told, os.getpid(), self._closing, *arguments), name=f"palpate-{name}",
            daemon=True,
        )  # fmt: skip
        self._process.start()
        told.close()
        try:
            problem = ready.recv() if ready.poll(START_DEADLINE_S) else "it did not start in time"
        except (EOFError, OSError):
            self._process.join(1.0)
            problem = None
        ready.close()
        if problem:
            self.close()
            raise ConfigError(str(problem))
        if problem is None:
            self.close()
            raise CellError(f"the {name} ended before it began (exit code {self._process.exitcode})")

    @property
    def pid(self) -> int:
        """Process id."""
        return int(self._process.pid or 0)

    @property
    def watching(self) -> bool:
        """False once its process is gone, as after the window was closed."""
        return self._process.is_alive()

    def send(self, job: Any) -> None:
        """A `PartsJob`, `SurfaceJob` or `CellState`; returns at once, and does nothing when nobody watches."""
        if self.watching:
            self._jobs.put(job)

    def close(self) -> None:
        """Let it finish and end; safe to call twice."""
        self._closing.set()
        if self.watching:
            self._jobs.put(None)
        self._process.join(END_DEADLINE_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join(3.0)
        self._jobs.cancel_join_thread()
        self._jobs.close()


def film(path: Path) -> Spectator:
    """A spectator that writes an MP4 file.

    Raises:
        ConfigError: a file that cannot be written.
    """
    return Spectator("film", FILM_PERIOD_S, _film, check_video_path(path), 1.0 / FILM_PERIOD_S)


def window(*, visible: bool = True) -> Spectator:
    """A spectator that shows the cell in a PyBullet window.

    Args:
        visible: False does all but showing it, and needs no display.

    Raises:
        ConfigError: there is no display.
    """
    if visible:
        check_display()
    return Spectator("window", WINDOW_PERIOD_S, _window, visible)


def received(jobs: Any, parent: int) -> Iterator[Any]:
    """Jobs until the last one, or until the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent says when to end
    while True:
        try:
            job = jobs.get(timeout=PARENT_CHECK_S)
        except queue.Empty:
            if os.getppid() != parent:
                return
            continue
        except (EOFError, OSError):
            return
        if job is None:
            return
        yield job


@contextmanager
def _quiet() -> Iterator[None]:
    """FFmpeg tells every encoder that it has not; nobody can do anything about it."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _film(jobs: Any, ready: Any, parent: int, closing: Any, path: Path, frames_per_s: float) -> None:
    os.nice(NICENESS)
    renderer = OverviewRenderer()
    try:
        with _quiet():
            writer = VideoWriter(path, (renderer.camera.width, renderer.camera.height), frames_per_s)
    except ConfigError as error:
        ready.send(str(error))
        return
    ready.send("")
    last, until = None, float("inf")
    try:
        for job in received(jobs, parent):
            if isinstance(job, PartsJob):
                renderer.set_parts(job.parts, job.surfaces)
            elif isinstance(job, SurfaceJob):
                renderer.set_surface(job.index, job.surface)
            else:
                if closing.is_set():
                    until = min(until, time.monotonic() + LAST_FRAMES_S)
                if last is None or (jobs.qsize() <= MAX_BEHIND and time.monotonic() < until):
                    last = renderer.frame(job.poses, job.joints, job.lines)
                writer.add(last)
    finally:
        writer.close()
        renderer.close()


def _window(jobs: Any, ready: Any, parent: int, _closing: Any, visible: bool) -> None:
    try:
        mirror = Mirror(visible=visible)
    except ConfigError as error:
        ready.send(str(error))
        return
    ready.send("")
    for job in received(jobs, parent):
        # Where it falls behind only the newest state counts, but every other job.
        if (not isinstance(job, CellState) or jobs.qsize() <= 1) and not mirror.take(job):
            return
