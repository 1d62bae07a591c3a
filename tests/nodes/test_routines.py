import time

import pytest
from rclpy.action import ActionClient, CancelResponse, GoalResponse
from rclpy.node import Node
from rclpy.task import Future

from palpate_interfaces.action import Probe
from palpate_nodes.routines import Routine, action_server, wait


def test_a_waiting_routine_costs_nothing(ros):
    ros.add(Node("sleeper", context=ros.context))
    future = Future(executor=ros.executor)

    async def sleeps():
        return await wait(future) + 1

    routine = Routine(ros.executor, sleeps())
    began = time.process_time()
    ros.spin_for(0.5)
    assert time.process_time() - began < 0.3  # polling takes all of the 0.5 s
    future.set_result(41)
    ros.spin_until(routine.finished.done)
    assert routine.finished.result() == 42


def test_an_exception_arrives_where_the_routine_waits(ros):
    ros.add(Node("catcher", context=ros.context))
    future = Future(executor=ros.executor)

    async def catches():
        with pytest.raises(ValueError, match="no"):
            await wait(future)
        raise KeyError("out")

    routine = Routine(ros.executor, catches())
    future.set_exception(ValueError("no"))
    ros.spin_until(routine.finished.done)
    assert isinstance(routine.finished.exception(), KeyError)


def serve(ros, ending, steps=1):
    server_node = Node("server", context=ros.context)
    client_node = Node("client", context=ros.context)
    ros.add(server_node, client_node)
    pending = []

    async def execute(handle):
        for _ in range(steps):
            pending.append(Future(executor=ros.executor))
            await wait(pending[-1])
        how = "canceled" if handle.is_cancel_requested else ending
        return how, Probe.Result(success=how == "succeed")

    server = action_server(
        server_node,
        Probe,
        "probe",
        execute=execute,
        on_goal=lambda goal: GoalResponse.REJECT if goal.index == 9 else GoalResponse.ACCEPT,
        on_cancel=lambda handle: CancelResponse.ACCEPT,
    )
    client = ActionClient(client_node, Probe, "probe")
    ros.spin_until(client.server_is_ready)
    return server, client, pending


def answer(ros, future):
    ros.spin_until(future.done)
    return future.result()


@pytest.mark.parametrize(("ending", "status"), [("succeed", 4), ("abort", 6)])
def test_goals_end_as_the_routine_says(ros, ending, status):
    _server, client, pending = serve(ros, ending)
    handle = answer(ros, client.send_goal_async(Probe.Goal()))
    result = handle.get_result_async()
    ros.spin_until(lambda: pending)
    pending[0].set_result(None)
    response = answer(ros, result)
    assert response.status == status
    assert response.result.success == (ending == "succeed")


def test_a_goal_is_cancelled(ros):
    _server, client, pending = serve(ros, "succeed")
    handle = answer(ros, client.send_goal_async(Probe.Goal()))
    result = handle.get_result_async()
    answer(ros, handle.cancel_goal_async())
    pending[0].set_result(None)
    assert answer(ros, result).status == 5


def test_a_goal_is_refused(ros):
    _server, client, _ = serve(ros, "succeed")
    assert not answer(ros, client.send_goal_async(Probe.Goal(index=9))).accepted
