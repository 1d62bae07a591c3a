"""Coroutines that sleep while they wait.

An executor of rclpy polls a coroutine that awaits a future again and again: one waiting action keeps a core busy with
the EventsExecutor (measured: 200,000 turns a second). Here a coroutine is resumed once, by the future it waits for.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from typing import Any

from rclpy.action import ActionServer
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.task import Future

RESULT_KEPT_S = 300
"""Time of the node's clock for which the result of a goal can be asked for again (rclpy: 10 s)."""


class wait:  # noqa: N801  (reads as a verb: `await wait(future)`)
    """Awaits a future inside a routine; gives its result or raises its exception."""

    def __init__(self, future: Future[Any]) -> None:
        self._future = future

    def __await__(self) -> Generator[Future[Any], None, Any]:
        """Hand the future to the routine, and go on when it is done."""
        if not self._future.done():
            yield self._future
        return self._future.result()


class Routine:
    """Runs a coroutine in which every await is an `await wait(future)`."""

    def __init__(self, executor: Any, coroutine: Coroutine[Future[Any], None, Any]) -> None:
        """Start it; it first runs inside this call.

        Args:
            executor: whose thread resumes the coroutine.
            coroutine: what to run.
        """
        self._executor = executor
        self._coroutine = coroutine
        self.finished: Future[Any] = Future(executor=executor)
        self._resume()

    def _resume(self, *_: Any) -> None:
        try:
            future = self._coroutine.send(None)
        except StopIteration as end:
            self.finished.set_result(end.value)
        except Exception as error:
            self.finished.set_exception(error)
        else:
            # Done callbacks run in the thread that sets the result: back to the executor's.
            future.add_done_callback(lambda _: self._executor.create_task(self._resume))


def settle(future: Future[Any], value: Any = None) -> None:
    """Give a future its result, unless it has one."""
    if not future.done():
        future.set_result(value)


async def sleep(node: Node, seconds: float) -> None:
    """Let a routine sleep for some wall time."""
    done: Future[None] = Future(executor=node.executor)
    timer = node.create_timer(seconds, lambda: settle(done), clock=Clock(clock_type=ClockType.STEADY_TIME))
    await wait(done)
    node.destroy_timer(timer)


def action_server(
    node: Node,
    action: type,
    name: str,
    *,
    execute: Callable[[Any], Coroutine[Future[Any], None, tuple[str, Any]]],
    on_goal: Callable[[Any], Any],
    on_cancel: Callable[[Any], Any],
) -> ActionServer:
    """An action server whose goals run as routines.

    Args:
        node: owner.
        action: action type.
        name: action name.
        execute: coroutine over the goal handle; returns how it ended ('succeed', 'abort', 'canceled') and the result.
        on_goal: accepts or rejects a goal.
        on_cancel: accepts or rejects its cancellation.
    """

    def accepted(handle: Any) -> None:
        routine = Routine(node.executor, execute(handle))

        def end(_: Future[Any]) -> None:
            def conclude(goal_handle: Any) -> Any:
                outcome: Any = routine.finished.result()
                ending, result = outcome
                if ending == "canceled" and not goal_handle.is_cancel_requested:
                    ending = "abort"
                getattr(goal_handle, ending)()
                return result

            # rclpy only knows goals that execute; what it executes here is no more than the end.
            handle.execute(conclude)

        routine.finished.add_done_callback(end)

    return ActionServer(
        node,
        action,
        name,
        execute_callback=lambda handle: action.Result(),  # type: ignore[attr-defined]
        handle_accepted_callback=accepted,
        goal_callback=on_goal,
        cancel_callback=on_cancel,
        result_timeout=RESULT_KEPT_S,
    )
