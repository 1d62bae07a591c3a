"""Requests whose answer may be lost.

A server that does not know a client's reader of answers yet drops its answer ("failed to send response (timeout)"): on
a busy machine that happens to the first requests of a client, and the client's future is never done. Here a request is
made again when no answer comes, so it must be one that may be made twice. What may not (a goal, a change of state) is
asked for once, and when the answer is lost, another question tells what became of it: the goal's result, the state.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any

from action_msgs.msg import GoalStatus
from rclpy.action.client import ActionClient, ClientGoalHandle
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.task import Future
from unique_identifier_msgs.msg import UUID

from palpate_agents.errors import DeviceError
from palpate_nodes.routines import settle, wait

AGAIN_S = 3.0
"""Wall time after which an answer is taken for lost, and asked for again."""
LIMIT_S = 60.0
"""Wall time without an answer after which a server is given up."""
GONE_S = 10.0
"""Wall time after which a server that is not to be seen is given up."""
REFUSED_AFTER = 2
"""What has left no trace in so many answers was refused: requests are handled in the order of arrival."""


async def within(node: Node, future: Future[Any], seconds: float) -> bool:
    """Whether the future is done within so many seconds of wall time."""
    over: Future[None] = Future(executor=node.executor)
    timer = node.create_timer(seconds, lambda: settle(over), clock=Clock(clock_type=ClockType.STEADY_TIME))
    future.add_done_callback(lambda _: settle(over))
    await wait(over)
    node.destroy_timer(timer)
    return future.done()


async def ask(
    node: Node,
    send: Callable[[], Future[Any]],
    what: str,
    *,
    there: Callable[[], bool] = lambda: True,
    limit_s: float = LIMIT_S,
    enough: Callable[[Any], bool] = lambda _: True,
    heard_s: Callable[[], float] = lambda: 0.0,
) -> Any:
    """The first answer that is enough, of a request that is made again until one comes.

    Args:
        node: whose executor turns.
        send: makes the request, again with the same effect.
        what: begins the sentence of an error.
        there: whether the server is to be seen.
        limit_s: wall time without a word after which the server is given up.
        enough: whether an answer ends the waiting.
        heard_s: monotonic time of the last other sign of life (feedback).

    Raises:
        DeviceError: no answer came within the limit, or the server is gone.
    """
    answer: Future[Any] = Future(executor=node.executor)

    def request() -> None:
        # Nothing is withdrawn: what was late is an answer too.
        send().add_done_callback(lambda done: settle(answer, done.result()) if enough(done.result()) else None)

    began = seen = time.monotonic()
    request()
    while not await within(node, answer, min(AGAIN_S, limit_s)):
        now = time.monotonic()
        seen = now if there() else seen
        if now - seen >= GONE_S:
            raise DeviceError(f"{what}: the server has been gone for {GONE_S:g} s: see the log of its node")
        if now - max(began, heard_s()) >= limit_s:
            raise DeviceError(f"{what}: no answer within {limit_s:g} s: is its node busy, or does it hang? See its log")
        request()
    return answer.result()


async def call(node: Node, client: Any, request: Any, what: str, limit_s: float = LIMIT_S) -> Any:
    """The response of a service that may be called twice with the same request; see `ask`."""
    return await ask(node, lambda: client.call_async(request), what, there=client.service_is_ready, limit_s=limit_s)


def once(send: Callable[[], Future[Any]], look: Callable[[], Future[Any]]) -> Callable[[], Future[Any]]:
    """For `ask`: the request itself, and after that the question what became of it."""
    requests = iter((send,))

    def request() -> Future[Any]:
        return next(requests, look)()

    return request


class Goal:
    """One goal of an action, from the request to the result."""

    def __init__(self, node: Node, client: ActionClient[Any, Any, Any], action: Any, goal: Any, what: str) -> None:
        """Make the goal; `run` sends it.

        Args:
            node: whose executor turns.
            client: of the action.
            action: its type.
            goal: what is wanted.
            what: begins the sentence of an error.
        """
        self._node, self._client, self._goal, self._what = node, client, goal, what
        self._id = UUID(uuid=list(uuid.uuid4().bytes))
        # What rclpy makes of an acceptance; here it is needed when that is lost.
        accepted = action.Impl.SendGoalService.Response(accepted=True)
        self._handle: ClientGoalHandle[Any, Any, Any] = ClientGoalHandle(client, self._id, accepted)
        self._cancelled = False
        self._unknown = 0
        self._heard_s = 0.0

    def cancel(self) -> None:
        """Have it cancelled, whether or not it is known to run; `run` then gives how it ended."""
        self._cancelled = True
        self._handle.cancel_goal_async()

    async def run(self, limit_s: float, *, feedback: bool = False) -> Any:
        """Send the goal and wait for its end.

        Args:
            limit_s: wall time without an answer after which the goal is cancelled and given up.
            feedback: the server is alive as long as it gives feedback.

        Returns:
            status and result; None when the goal was refused.

        Raises:
            DeviceError: no answer, or the server is gone or was started again.
        """
        try:
            answer = await self._ask(limit_s, once(lambda: self._send(feedback), self._look))
            if isinstance(answer, ClientGoalHandle):
                if not answer.accepted:
                    return None
                if self._cancelled:  # perhaps before it was accepted, when there was nothing to cancel
                    self._handle.cancel_goal_async()
                answer = await self._ask(limit_s, self._handle.get_result_async)
                if answer.status == GoalStatus.STATUS_UNKNOWN:
                    raise DeviceError(f"{self._what}: its node no longer knows of it: was it started again?")
        except DeviceError:
            self.cancel()
            raise
        return None if answer.status == GoalStatus.STATUS_UNKNOWN else answer

    async def _ask(self, limit_s: float, send: Callable[[], Future[Any]]) -> Any:
        return await ask(
            self._node,
            send,
            self._what,
            there=self._client.server_is_ready,
            limit_s=limit_s,
            enough=self._enough,
            heard_s=lambda: self._heard_s,
        )

    def _send(self, feedback: bool) -> Future[Any]:
        def heard(_: Any) -> None:
            self._heard_s = time.monotonic()

        return self._client.send_goal_async(self._goal, heard if feedback else None, self._id)

    def _look(self) -> Future[Any]:
        if self._cancelled:
            self._handle.cancel_goal_async()
        return self._handle.get_result_async()

    def _enough(self, answer: Any) -> bool:
        if not isinstance(answer, ClientGoalHandle) and answer.status == GoalStatus.STATUS_UNKNOWN:
            self._unknown += 1
            return self._unknown >= REFUSED_AFTER
        return True
