import pytest
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import State

from palpate_agents.errors import ConfigError, DeviceError
from palpate_nodes import topics
from palpate_nodes.node_base import ERROR, OK, PalpateNode
from palpate_nodes.params import Param


class Sample(PalpateNode):
    PARAMETERS = (Param("rate", 1.0, "Some rate.", "Hz", 0.1, 10.0),)

    def __init__(self, **kwargs):
        super().__init__("sample", **kwargs)
        self.calls = []
        self.fault = None

    def setup(self):
        self.calls.append("setup")
        if self.fault:
            raise self.fault

    def start(self):
        self.calls.append("start")

    def stop(self):
        self.calls.append("stop")

    def teardown(self):
        self.calls.append("teardown")

    def end(self):
        self.calls.append("end")


def state(node):
    return node._state_machine.current_state[0]


def test_autostart_configures_and_activates_and_may_begin_anew(ros):
    node = ros.add(Sample(context=ros.context))
    assert node.autostart()
    assert node.active
    node.trigger_deactivate()
    node.trigger_cleanup()
    node.trigger_configure()
    assert node.calls == ["setup", "start", "stop", "teardown", "setup"]


def test_shutdown_stops_releases_and_says_goodbye(ros):
    node = ros.add(Sample(context=ros.context))
    node.autostart()
    node.trigger_shutdown()
    assert node.calls[-3:] == ["stop", "teardown", "end"]


@pytest.mark.parametrize("fault", [DeviceError("the camera is not there"), RuntimeError("boom")])
def test_a_fault_while_configuring_is_reported_not_swallowed(ros, fault):
    node = ros.add(Sample(context=ros.context))
    heard = []
    node.create_subscription(DiagnosticArray, "/diagnostics", heard.append, topics.DIAGNOSTICS.qos)
    node.fault = fault
    assert not node.autostart()
    assert state(node) == State.PRIMARY_STATE_UNCONFIGURED
    assert not node.active
    ros.spin_until(lambda: any(s.level == ERROR and str(fault) in s.message for m in heard for s in m.status))
    node.fault = None
    assert node.autostart()


def test_a_misspelt_parameter_is_refused(ros):
    with pytest.raises(ConfigError, match="did you mean 'rate'"):
        Sample(context=ros.context, overrides={"ratte": 2.0})


def test_parameters_are_checked_when_they_change(ros):
    node = ros.add(Sample(context=ros.context, overrides={"rate": 2.0}))
    from rclpy.parameter import Parameter

    assert node.values["rate"] == 2.0
    assert not node.set_parameters([Parameter("rate", value=99.0)])[0].successful
    assert node.values["rate"] == 2.0
    assert node.set_parameters([Parameter("rate", value=3.0)])[0].successful
    assert node.values["rate"] == 3.0


def test_a_callback_that_raises_ends_nothing(ros):
    node = ros.add(Sample(context=ros.context))

    def bad(_):
        raise ValueError("not today")

    assert node.guarded(bad)(1) is None
    assert node._status["bad"][0] == ERROR
    node.report("bad", OK, "fine again")
    assert node._status["bad"][0] == OK
