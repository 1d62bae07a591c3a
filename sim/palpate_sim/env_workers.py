"""Episodes of many cells shared out among processes: Python keeps one core busy at most.

Actions and observations lie in memory that all share; each worker has the cells of a contiguous range, numbered as
they would be without workers, so that their number changes nothing.
"""

from __future__ import annotations

import multiprocessing
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from multiprocessing.connection import Connection
from typing import Any, Protocol

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from palpate_agents.errors import CellError, ConfigError, PalpateError
from palpate_agents.probing.decoder import check_actions
from palpate_sim.batch.cell import BatchConfig, ProbeResult
from palpate_sim.batch.checks import seeds_of, whole_number
from palpate_sim.episodes import Belief, Episodes, EpisodeSettings, Observation
from palpate_sim.library import PartLibrary

Floats = NDArray[np.float32]


@dataclass
class Ended:
    """Cells whose episodes ended in a step.

    Attributes:
        rows: (k,) numbers of the cells.
        observation: (k, ...) their last ones.
        truth: one for each, see `Episodes.truth`.
    """

    rows: NDArray[np.int64]
    observation: Observation
    truth: list[dict[str, Any]]


@dataclass
class Batch:
    """What a step of all cells gave; arrays are overwritten by the next step.

    Attributes:
        observation: (n, ...), of the new part where an episode ended.
        reward: (n,); terminated, truncated: (n,) bool.
        numbers: (n, 3) seconds, damage and largest force N of the probe.
        ended: the episodes that ended.
    """

    observation: Observation
    reward: NDArray[np.float64]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    numbers: NDArray[np.float64]
    ended: Ended


class Cells(Protocol):
    """Cells of one process, reset by themselves where an episode ends.

    Attributes:
        action_space, observation_space: of one cell.
    """

    action_space: spaces.Space[Any]
    observation_space: spaces.Dict

    def reset(self, seed: int | list[int] | None = None) -> Observation:
        """New parts in all cells; a seed begins anew with it, or with one for each."""
        ...

    def step(self, actions: NDArray[np.floating]) -> Batch:
        """One probe in every cell, and new parts where an episode ended."""
        ...

    def close(self) -> None:
        """Nothing is left open."""
        ...


class Local:
    """The cells of one process as `Episodes` has them."""

    def __init__(
        self, cells: int, seed: int, settings: EpisodeSettings, config: BatchConfig, belief: Belief | None,
        library: PartLibrary | None,
    ) -> None:  # fmt: skip
        """See `Episodes`."""
        self.episodes = Episodes(cells, seed, settings, config, belief, library)
        self.action_space: spaces.Space[Any] = self.episodes.action_space
        self.observation_space = self.episodes.observation_space

    def reset(self, seed: int | list[int] | None = None) -> Observation:
        """New parts in all cells.

        Args:
            seed: begin anew with it, or one for each; None: go on.
        """
        return self.episodes.observe(self.episodes.reset(seed=seed))

    def step(self, actions: NDArray[np.floating]) -> Batch:
        """One probe in every cell, and new parts where an episode ended."""
        taken = self.episodes.step(actions)
        observation = self.episodes.observe(taken.probe)
        over = np.flatnonzero(self.episodes.over)
        last = {name: values[over] for name, values in observation.items()} if len(over) else {}
        ended = Ended(over, last, [self.episodes.truth(int(row)) for row in over])
        if len(over):
            new = self.episodes.reset(self.episodes.over.copy())
            for name, values in self.episodes.observe(new, over).items():
                observation[name][over] = values
        return Batch(observation, taken.reward, taken.terminated, taken.truncated, _numbers(taken.probe), ended)

    def close(self) -> None:
        """Nothing is left open."""


def _numbers(probe: ProbeResult) -> NDArray[np.float64]:
    return np.stack((probe.seconds, probe.damage, probe.max_force_n), axis=1)


class Workers:
    """The same interface as `Cells`, with the cells in several processes."""

    def __init__(
        self, workers: int, cells: int, make: Callable[..., Cells], given: list[tuple[Any, ...]],
        action_space: spaces.Space[Any], observation_space: spaces.Dict,
        check: Callable[[NDArray[np.floating], int], None] = check_actions,
    ) -> None:  # fmt: skip
        """Start the processes.

        Args:
            workers: number of them.
            cells: in all.
            make: number of cells and what is given -> the cells of a process; a function of a module.
            given: to each worker, see `shares`.
            action_space: of one cell.
            observation_space: of one cell.
            check: refuses what is no action.

        Raises:
            CellError: a process did not start.
        """
        context = multiprocessing.get_context("spawn")
        self.action_space, self.observation_space, self._check = action_space, observation_space, check
        shapes = {name: (cells, *(box.shape or ())) for name, box in observation_space.spaces.items()}
        shapes |= {"action": (cells, *(action_space.shape or ()))}
        shared = {name: context.RawArray("f", int(np.prod(shape))) for name, shape in shapes.items()}
        self.cells = cells
        self._memory = {name: _view(shared[name], shape) for name, shape in shapes.items()}
        self._pipes: list[Connection] = []
        self._processes: list[Any] = []
        self._bounds = shares(workers, cells)
        self._running = False
        for bounds in self._bounds:
            here, there = context.Pipe()
            process = context.Process(target=_serve, args=(there, shared, shapes, bounds, make), daemon=True)
            process.start()
            there.close()
            self._pipes.append(here)
            self._processes.append(process)
        # Through the pipe: `start` would wait for ever for a process that died before it has read so much.
        try:
            self._tell("make", given)
            self._answers()
        except BaseException:
            self.close()
            raise

    def reset(self, seed: int | list[int] | None = None) -> Observation:
        """See `Local`."""
        if self._running:
            self._answers()
        if isinstance(seed, list):
            seed = seeds_of(seed, self.cells)
        self._tell("reset", [seed[a:b] if isinstance(seed, list) else seed for a, b in self._bounds])
        self._answers()
        return self._observation()

    def step(self, actions: NDArray[np.floating]) -> Batch:
        """See `Local`."""
        self.begin(actions)
        return self.finish()

    def begin(self, actions: NDArray[np.floating]) -> None:
        """Send a step off.

        Raises:
            CellError: one is under way.
        """
        if self._running:
            raise CellError("a step is under way; wait for it before the next one")
        actions = np.asarray(actions)
        self._check(actions, self.cells)
        self._memory["action"][:] = actions
        self._tell("step", [None] * len(self._pipes))

    def finish(self) -> Batch:
        """Wait for it."""
        parts = self._answers()
        kept = [part[4] for part in parts if len(part[4].rows)]
        last = (
            {name: np.concatenate([e.observation[name] for e in kept]) for name in kept[0].observation} if kept else {}
        )
        rows = np.concatenate([part[4].rows for part in parts])
        ended = Ended(rows, last, [truth for e in kept for truth in e.truth])
        reward, terminated, truncated, numbers = (np.concatenate([part[k] for part in parts]) for k in range(4))
        return Batch(self._observation(), reward, terminated, truncated, numbers, ended)

    def _observation(self) -> Observation:
        return {name: values.copy() for name, values in self._memory.items() if name != "action"}

    def _tell(self, command: str, arguments: list[Any]) -> None:
        told, problem = [], None
        for pipe, process, argument in zip(self._pipes, self._processes, arguments, strict=True):
            try:
                pipe.send((command, argument))
                told.append((pipe, process))
            except OSError as error:
                problem = _dead(process)
                problem.__cause__ = error
        self._running = True
        if problem is not None:
            with suppress(PalpateError):
                self._answers(told)
            raise problem

    def _answers(self, told: list[Any] | None = None) -> list[Any]:
        """Of all workers. A failure is raised when all have answered, or the next call would read what is left."""
        found, problems = [], []
        for pair in told if told is not None else zip(self._pipes, self._processes, strict=True):
            try:
                found.append(self._answer(*pair))
            except PalpateError as error:
                problems.append(error)
        self._running = False
        if problems:
            raise problems[0]
        return found

    @staticmethod
    def _answer(pipe: Connection, process: Any) -> Any:
        try:
            while not pipe.poll(1.0):
                if not process.is_alive() and not pipe.poll():
                    raise EOFError
            kind, content = pipe.recv()
        except (EOFError, OSError) as error:
            raise _dead(process) from error
        if kind == "refused":
            raise content
        if kind == "error":
            raise CellError(f"a worker of the environment failed: {content}")
        return content

    def close(self) -> None:
        """End the processes; safe to call twice."""
        for pipe in self._pipes:
            try:
                pipe.send(("close", None))
            except (BrokenPipeError, OSError):
                continue
        for process in self._processes:
            process.join(timeout=5.0)
            if process.is_alive():
                process.kill()
                process.join()
        for pipe in self._pipes:
            pipe.close()
        self._pipes, self._processes = [], []


def _dead(process: Any) -> CellError:
    process.join(timeout=1.0)  # its pipe closes a little before its exit code is known
    return CellError(
        f"a worker of the environment died (exit code {process.exitcode}); make the environment anew, "
        f'and in a script only below `if __name__ == "__main__":`'
    )


def _view(shared: Any, shape: tuple[int, ...]) -> Floats:
    return np.frombuffer(shared, np.float32).reshape(shape)


def _serve(
    pipe: Connection, shared: dict[str, Any], shapes: dict[str, tuple[int, ...]], bounds: tuple[int, int],
    make: Callable[..., Cells],
) -> None:  # fmt: skip
    """A worker."""
    first, behind = bounds
    memory = {name: _view(shared[name], shape)[first:behind] for name, shape in shapes.items()}
    try:
        _, given = pipe.recv()
        local = make(behind - first, *given)
        pipe.send(("done", None))
        while True:
            command, argument = pipe.recv()
            if command == "close":
                return
            try:
                answer: Any = None
                if command == "reset":
                    observation = local.reset(argument)
                else:
                    batch = local.step(memory["action"])
                    observation = batch.observation
                    ended = Ended(batch.ended.rows + first, batch.ended.observation, batch.ended.truth)
                    answer = batch.reward, batch.terminated, batch.truncated, batch.numbers, ended
            except PalpateError as error:
                pipe.send(("refused", error))
                continue
            for name, values in observation.items():
                memory[name][:] = values
            pipe.send(("done", answer))
    except (EOFError, KeyboardInterrupt):
        return
    except Exception as error:
        pipe.send(("error", f"{error}\n{traceback.format_exc()}"))


def make_cells(
    workers: int, cells: int, seed: int, settings: EpisodeSettings | None, config: BatchConfig | None,
    belief: Belief | None, library: PartLibrary | None,
) -> Local | Workers:  # fmt: skip
    """Cells in this process (one worker), or in several.

    Raises:
        ConfigError: no cell, no worker, or more workers than cells.
    """
    chosen, which = settings or EpisodeSettings(), config or BatchConfig()
    if whole_number("the number of workers", workers, 1) == 1:
        return Local(cells, seed, chosen, which, belief, library)
    library = library or PartLibrary.load_or_build()
    one = Episodes(1, seed, chosen, which, None, library)
    own = [replace(which, first_cell=which.first_cell + first) for first, _ in shares(workers, cells)]
    given: list[tuple[Any, ...]] = [(seed, chosen, part, belief, library) for part in own]
    return Workers(workers, cells, Local, given, one.action_space, one.observation_space)


def shares(workers: int, cells: int) -> list[tuple[int, int]]:
    """First cell of each worker, and the one behind its last.

    Raises:
        ConfigError: more workers than cells.
    """
    if workers > cells:
        raise ConfigError(f"{workers} workers were asked for {cells} cells, allowed are 1 to {cells}")
    return list(pairwise(cells * k // workers for k in range(workers + 1)))
