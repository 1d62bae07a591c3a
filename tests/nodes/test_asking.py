"""Answers that are lost: every request of a session ends all the same, and nothing is done twice."""

import pytest
from rclpy.action import ActionClient, CancelResponse, GoalResponse
from rclpy.node import Node
from rclpy.task import Future
from std_srvs.srv import Trigger

from palpate_agents.errors import DeviceError
from palpate_agents.observation import Outcome, Primitive, ProbeExecution
from palpate_agents.samples import Execution
from palpate_interfaces.action import Probe
from palpate_interfaces.srv import PresentPart
from palpate_nodes import asking, topics
from palpate_nodes.asking import Goal, call
from palpate_nodes.cell_node import CellNode
from palpate_nodes.devices.cell import CellDevice, Part
from palpate_nodes.model_switch import ModelSwitch
from palpate_nodes.node_base import PalpateNode
from palpate_nodes.params import Param
from palpate_nodes.routines import Routine, action_server, wait

SUCCEEDED, CANCELED = 4, 5


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(asking, "AGAIN_S", 0.2)


class LosesFirst:
    """A handle of rclpy that does not send its first answer of one kind."""

    def __init__(self, handle, kind, times=1):
        self._handle, self._kind, self._left = handle, kind, times

    def __getattr__(self, name):
        if name == self._kind and self._left:
            self._left -= 1
            return lambda *_: None
        return getattr(self._handle, name)

    def __enter__(self):
        return self._handle.__enter__()

    def __exit__(self, *args):
        return self._handle.__exit__(*args)


def lose_answers(service, times=1):
    send, lost = service.send_response, []

    def lossy(response, header):
        if len(lost) < times:
            lost.append(response)
        else:
            send(response, header)

    service.send_response = lossy
    return lost


def result_of(ros, coroutine):
    routine = Routine(ros.executor, coroutine)
    ros.spin_until(routine.finished.done)
    return routine.finished.result()


def trigger(ros):
    server, client_node = ros.add(Node("server", context=ros.context), Node("client", context=ros.context))
    calls = []

    def answer(_, response):
        calls.append(1)
        response.success = True
        return response

    service = server.create_service(Trigger, "trigger", answer)
    client = client_node.create_client(Trigger, "trigger")
    ros.spin_until(client.service_is_ready)
    return server, service, client_node, client, calls


def test_a_service_whose_answer_is_lost_is_called_again(ros):
    _, service, node, client, calls = trigger(ros)
    lost = lose_answers(service)
    assert result_of(ros, call(node, client, Trigger.Request(), "pulling the trigger")).success
    assert len(lost) == 1
    assert len(calls) == 2


def test_a_service_that_never_answers_is_given_up_in_one_sentence(ros):
    _, service, node, client, _ = trigger(ros)
    lose_answers(service, times=1000)
    with pytest.raises(DeviceError, match=r"pulling the trigger: no answer within 0\.7 s"):
        result_of(ros, call(node, client, Trigger.Request(), "pulling the trigger", limit_s=0.7))


def test_a_server_that_goes_is_noticed_before_the_limit(ros, monkeypatch):
    monkeypatch.setattr(asking, "GONE_S", 0.5)
    server, service, node, client, _ = trigger(ros)
    lose_answers(service, times=1000)
    routine = Routine(ros.executor, call(node, client, Trigger.Request(), "pulling the trigger", limit_s=600.0))
    ros.spin_for(0.3)
    server.destroy_service(service)
    ros.spin_until(routine.finished.done)
    with pytest.raises(DeviceError, match="the server has been gone for"):
        routine.finished.result()


class Arm:
    """An action server whose goals end when they are told to."""

    def __init__(self, ros):
        self.node, self.client_node = ros.add(Node("arm", context=ros.context), Node("client", context=ros.context))
        self.executor = ros.executor
        self.pending, self.asked, self.cancelled = [], 0, 0
        self.refuses = False
        self.server = action_server(
            self.node,
            Probe,
            "probe",
            execute=self._execute,
            on_goal=self._on_goal,
            on_cancel=self._on_cancel,
        )
        self.client = ActionClient(self.client_node, Probe, "probe")
        ros.spin_until(self.client.server_is_ready)

    def loses(self, kind, times=1):
        self.server._handle = LosesFirst(self.server._handle, kind, times)

    def goal(self):
        return Goal(self.client_node, self.client, Probe, Probe.Goal(), "the probe")

    def _on_goal(self, _):
        self.asked += 1
        return GoalResponse.REJECT if self.refuses else GoalResponse.ACCEPT

    def _on_cancel(self, _):
        self.cancelled += 1
        return CancelResponse.ACCEPT

    async def _execute(self, handle):
        self.pending.append(Future(executor=self.executor))
        await wait(self.pending[-1])
        return "canceled" if handle.is_cancel_requested else "succeed", Probe.Result(success=True)


@pytest.fixture
def arm(ros):
    return Arm(ros)


@pytest.mark.parametrize("lost", ["", "send_goal_response", "send_result_response"])
def test_a_goal_runs_once_whichever_answer_is_lost(ros, arm, lost):
    if lost:
        arm.loses(lost)
    routine = Routine(ros.executor, arm.goal().run(60.0))
    ros.spin_until(lambda: arm.pending)
    ros.spin_for(0.7)
    assert not routine.finished.done(), "it still runs"
    arm.pending[0].set_result(None)
    ros.spin_until(routine.finished.done)
    assert routine.finished.result().status == SUCCEEDED
    assert routine.finished.result().result.success
    assert (arm.asked, len(arm.pending)) == (1, 1)


def test_a_result_is_asked_for_again_after_the_end(ros, arm):
    arm.loses("send_result_response", times=3)
    routine = Routine(ros.executor, arm.goal().run(60.0))
    ros.spin_until(lambda: arm.pending)
    arm.pending[0].set_result(None)
    ros.spin_until(routine.finished.done)
    assert routine.finished.result().status == SUCCEEDED


@pytest.mark.parametrize("lost", ["", "send_goal_response"])
def test_a_refusal_is_known_even_if_it_is_lost(ros, arm, lost):
    arm.refuses = True
    if lost:
        arm.loses(lost)
    assert result_of(ros, arm.goal().run(60.0)) is None
    assert arm.asked == 1


def test_a_goal_without_an_end_is_cancelled_and_given_up(ros, arm):
    with pytest.raises(DeviceError, match=r"the probe: no answer within 0\.5 s"):
        result_of(ros, arm.goal().run(0.5))
    ros.spin_until(lambda: arm.cancelled)


def test_feedback_keeps_a_goal_alive(ros, arm):
    goal = arm.goal()
    routine = Routine(ros.executor, goal.run(0.5, feedback=True))
    ros.spin_until(lambda: arm.pending)
    handle = next(iter(arm.server._goal_handles.values()))
    for _ in range(5):
        handle.publish_feedback(Probe.Feedback(phase="descend"))
        ros.spin_for(0.25)
    assert not routine.finished.done()
    ros.spin_until(routine.finished.done)
    assert isinstance(routine.finished.exception(), DeviceError)


@pytest.mark.parametrize("lost", ["", "send_goal_response"])
def test_a_goal_is_cancelled_even_if_nobody_said_that_it_runs(ros, arm, lost):
    if lost:
        arm.loses(lost)
    goal = arm.goal()
    routine = Routine(ros.executor, goal.run(60.0))
    goal.cancel()  # before the server has seen it
    ros.spin_until(lambda: arm.pending and arm.cancelled)
    arm.pending[0].set_result(None)
    ros.spin_until(routine.finished.done)
    assert routine.finished.result().status == CANCELED


class Switched(PalpateNode):
    """A node with a model."""

    PARAMETERS = (Param("model", "first", "Its model."),)
    log: tuple[str, ...] = ()
    fails = False

    def setup(self):
        self.log += (f"load {self.values['model']}",)
        if self.fails:
            raise DeviceError("no such model")

    def start(self):
        self.log += ("start",)

    def stop(self):
        self.log += ("stop",)

    def teardown(self):
        self.log += ("forget",)


@pytest.fixture
def switched(ros):
    target = ros.add(Switched("probing", context=ros.context))
    assert target.autostart()
    switch = ModelSwitch(ros.add(PalpateNode("session", context=ros.context)))
    ros.spin_until(switch.ready)
    return target, switch


@pytest.mark.parametrize("lost", ["change_state", "set_parameters", None])
def test_a_model_is_changed_once_whichever_answer_is_lost(ros, switched, lost):
    target, switch = switched
    named = {service.srv_name.rsplit("/", 1)[-1]: service for service in target.services}
    answers = lose_answers(named[lost], times=2) if lost else []
    result_of(ros, switch.load("second"))
    assert target.log == ("load first", "start", "stop", "forget", "load second", "start")
    assert target.active
    assert len(answers) == (2 if lost else 0)


def test_a_model_that_does_not_load_is_an_error_even_if_that_answer_is_lost(ros, switched):
    target, switch = switched
    target.fails = True
    lose_answers(target._service_change_state, times=3)
    with pytest.raises(DeviceError, match="'probing' refused to configure for the model second"):
        result_of(ros, switch.load("second"))
    assert target.log[-1] == "load second"


class Feeder:
    """A cell that counts its parts."""

    time_ns, probe_phase, contact_force_n, waiting_for_part = 5_000_000_000, "idle", 0.0, False

    def __init__(self):
        self.presented = []

    def advance(self, duration_ns):
        self.time_ns += duration_ns
        placed = ProbeExecution(Primitive.PLACE, Outcome.SUCCEEDED, self.time_ns - duration_ns, self.time_ns)
        return [Execution(self.time_ns, "s", "part_0", 5, placed)]

    def present_part(self, session_id, index, material):
        self.presented.append(index)
        return Part(f"part_{index}", (0.4, 0.1 * index, 0.0), {}) if index < 2 else None

    def close(self):
        pass


def test_a_part_is_presented_once_though_it_is_asked_for_twice(ros, monkeypatch):
    feeder = Feeder()
    monkeypatch.setattr("palpate_nodes.cell_node.build_cell", lambda values: feeder)
    cell, node = ros.add(CellNode(context=ros.context), PalpateNode("session", context=ros.context))
    cell._ready = True
    heard = []
    node.subscription(topics.PART_PRESENTED, heard.append)
    client = node.create_client(PresentPart, topics.PRESENT_PART_SERVICE)
    ros.spin_until(lambda: client.service_is_ready() and cell._presented.get_subscription_count() == 1)
    (service,) = (s for s in cell.services if s.srv_name.endswith(topics.PRESENT_PART_SERVICE))
    lost = lose_answers(service)

    def present(index, session="s"):
        return result_of(ros, call(node, client, PresentPart.Request(session_id=session, index=index), "presenting"))

    assert present(0).part.part_id == "part_0"
    assert len(lost) == 1
    assert feeder.presented == [0]
    assert present(0).part.part_id == "part_0"
    assert feeder.presented == [0]
    assert present(0, "t").part.part_id == "part_0"
    assert present(1).part.part_id == "part_1"
    assert present(2).exhausted
    assert feeder.presented == [0, 0, 1, 2]
    ros.spin_for(0.2)
    assert [message.part_id for message in heard] == ["part_0", "part_0", "part_1"]

    cell.active, cell._devices = True, [CellDevice("arm", (Execution,))]
    cell._step()  # puts it into a bin
    assert present(1).part.part_id == "part_1"
    assert feeder.presented[-2:] == [2, 1]
