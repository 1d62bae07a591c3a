"""The base of every node: lifecycle with autostart, parameters from a table, guarded callbacks, diagnostics.

A lifecycle callback that raises would go to ERROR in silence, and a subscription callback that raises would end the
process; here both are caught, logged with their traceback and reported to `/diagnostics`.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter

from palpate_agents.errors import PalpateError
from palpate_nodes import topics
from palpate_nodes.params import Param, Value, check_all

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR
AUTOSTART = Param("autostart", True, "Configure and activate at start, without a lifecycle manager.")


class PalpateNode(LifecycleNode):
    """A lifecycle node whose subclasses say what to do in `setup`, `start`, `stop` and `teardown`.

    Subclasses set `PARAMETERS`; every value is validated before `setup` runs and lies in `self.values`.
    """

    PARAMETERS: tuple[Param, ...] = ()

    def __init__(self, name: str, *, overrides: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Declare and check the parameters.

        Args:
            name: node name.
            overrides: parameter values that win over the parameter file (composition, tests).
            **kwargs: passed to rclpy.

        Raises:
            ConfigError: an unknown parameter or an impossible value.
        """
        kwargs.setdefault("namespace", topics.NAMESPACE)  # a `__ns:=` of the launch file wins over it
        ros = [Parameter(key, value=value) for key, value in (overrides or {}).items()]
        super().__init__(name, parameter_overrides=ros, **kwargs)
        table = (*self.PARAMETERS, AUTOSTART)
        # rclpy ignores an override that is never declared; a misspelt name must be an error.
        given = {key: parameter.value for key, parameter in self._parameter_overrides.items()}
        self.values: dict[str, Any] = dict(check_all(table, given, name))
        for param in table:
            self.declare_parameter(param.name, self.values[param.name], param.descriptor(), ignore_override=True)
        self.add_on_set_parameters_callback(self._on_set_parameters)
        self._status: dict[str, tuple[int, str, dict[str, str]]] = {}
        self._diagnostics = self.create_publisher(DiagnosticArray, topics.DIAGNOSTICS.name, topics.DIAGNOSTICS.qos)
        self._diagnostics_timer = self.create_timer(1.0, self.publish_diagnostics)
        self.active = False

    # What a subclass fills in.
    def setup(self) -> None:
        """Acquire what the node needs; may be called again after `teardown`."""

    def start(self) -> None:
        """Begin to work."""

    def stop(self) -> None:
        """Stop working; motion stops here."""

    def teardown(self) -> None:
        """Release everything that `setup` acquired."""

    def end(self) -> None:
        """Say goodbye; once, at shutdown."""

    # Lifecycle.
    def _transition(self, what: str, action: Callable[[], None]) -> TransitionCallbackReturn:
        try:
            action()
        except PalpateError as error:
            self.get_logger().error(f"{what}: {error}")
            self.report("lifecycle", ERROR, f"{what}: {error}")
            return TransitionCallbackReturn.FAILURE
        except Exception as error:
            self.get_logger().error(f"{what} failed:\n{traceback.format_exc()}")
            self.report("lifecycle", ERROR, f"{what}: {error!r}")
            return TransitionCallbackReturn.ERROR
        self.report("lifecycle", OK, what)
        return TransitionCallbackReturn.SUCCESS

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Run `setup`."""
        return self._transition("configure", self.setup)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Run `start`."""
        result = self._transition("activate", self.start)
        self.active = result == TransitionCallbackReturn.SUCCESS
        if self.active:
            super().on_activate(state)
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Run `stop`."""
        self.active = False
        super().on_deactivate(state)
        return self._transition("deactivate", self.stop)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Run `teardown`."""
        return self._transition("clean up", self.teardown)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop and release, from any state."""
        return self._transition("shut down", self._shut_down)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release what can be released; the node may then be configured again."""
        return self._transition("recover from error", self._release)

    def _shut_down(self) -> None:
        self._release()
        self.end()

    def _release(self) -> None:
        if self.active:
            self.active = False
            self.stop()
        self.teardown()

    def autostart(self) -> bool:
        """Configure and activate if the parameter says so; False if that failed."""
        if not self.values["autostart"]:
            return True
        for trigger in (self.trigger_configure, self.trigger_activate):
            if trigger() != TransitionCallbackReturn.SUCCESS:
                return False
        return True

    def _on_set_parameters(self, parameters: list[Parameter]) -> Any:
        from rcl_interfaces.msg import SetParametersResult

        table = {param.name: param for param in (*self.PARAMETERS, AUTOSTART)}
        checked: dict[str, Value] = {}
        for parameter in parameters:
            if parameter.name in table:
                try:
                    checked[parameter.name] = table[parameter.name].check(parameter.value, self.get_name())
                except PalpateError as error:
                    return SetParametersResult(successful=False, reason=str(error))
        self.values.update(checked)
        return SetParametersResult(successful=True)

    # Publishing, subscribing, reporting.
    def publisher(self, topic: topics.Topic) -> Any:
        """Publisher for one entry of the topic table."""
        return self.create_publisher(topic.type, topic.name, topic.qos)

    def subscription(self, topic: topics.Topic, callback: Callable[[Any], None], *, raw: bool = False) -> Any:
        """Guarded subscription for one entry of the topic table; raw gives serialised bytes."""
        return self.create_subscription(topic.type, topic.name, self.guarded(callback), topic.qos, raw=raw)

    def guarded(self, callback: Callable[..., Any]) -> Callable[..., Any]:
        """The callback with every exception caught, logged and reported, so that one bad message ends nothing."""

        @functools.wraps(callback)
        def wrapper(*args: Any) -> Any:
            try:
                return callback(*args)
            except Exception as error:
                name = getattr(callback, "__name__", "callback")
                self.get_logger().error(f"{name} failed:\n{traceback.format_exc()}")
                self.report(name, ERROR, f"{type(error).__name__}: {error}")
                return None

        return wrapper

    def report(self, what: str, level: Any, message: str, **values: Any) -> None:
        """Set one status line of this node; published at once when the level changes, and every second."""
        before = self._status.get(what)
        self._status[what] = (level, message, {key: str(value) for key, value in values.items()})
        if before is None or before[0] != level:
            self.publish_diagnostics()

    def publish_diagnostics(self) -> None:
        """Publish every status line of this node."""
        if not self._status or not self.context.ok():
            return
        array = DiagnosticArray()
        array.header.stamp = self.get_clock().now().to_msg()
        name = self.get_fully_qualified_name()
        for what, (level, message, values) in self._status.items():
            pairs = [KeyValue(key=key, value=value) for key, value in values.items()]
            array.status.append(
                DiagnosticStatus(level=level, name=f"{name}: {what}", message=message, hardware_id="", values=pairs)
            )
        try:
            self._diagnostics.publish(array)
        except Exception as error:  # a publisher under overload may refuse (RCLError); diagnostics are best effort
            self.get_logger().warning(f"diagnostics not published: {error}")


def make_executor() -> Any:
    """The executor of a process: EventsExecutor, or SingleThreadedExecutor where ROS has none (before Kilted)."""
    try:
        from rclpy.experimental import EventsExecutor
    except ImportError:
        return SingleThreadedExecutor()
    return EventsExecutor()


class StopFlag:
    """Set by SIGINT or SIGTERM; a second signal changes nothing, so that an orderly end is not interrupted."""

    def __init__(self) -> None:
        self.stopped = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)

    def _on_signal(self, *_: Any) -> None:
        self.stopped = True

    @staticmethod
    def ignore() -> None:
        """From now on nothing interrupts: Python gives its handlers up at exit, and a late signal would kill."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)


def run(
    make: Callable[[], Sequence[PalpateNode]],
    *,
    done: Callable[[Sequence[PalpateNode]], int | None] | None = None,
) -> int:
    """Run nodes in one process until a signal, or until `done` gives an exit code.

    Args:
        make: builds the nodes (after `rclpy.init`).
        done: polled between callbacks; an exit code ends the process.

    Returns:
        exit code of the process.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # Our own handlers: rclpy's would shut the context down before nodes could say goodbye.
    rclpy.init(signal_handler_options=rclpy.signals.SignalHandlerOptions.NO)
    flag = StopFlag()
    nodes: Sequence[PalpateNode] = ()
    code = 0
    try:
        nodes = make()
        executor = make_executor()
        for node in nodes:
            executor.add_node(node)
        if not all(node.autostart() for node in nodes):
            code = 3
        while code == 0 and not flag.stopped and rclpy.ok():
            # spin() of the EventsExecutor is a busy loop in the wheels of Kilted; spin_once works.
            executor.spin_once(timeout_sec=0.1)
            result = done(nodes) if done else None
            if result is not None:
                code = result
                break
    except PalpateError as error:
        print(f"error: {error}", file=sys.stderr)
        code = error.exit_code
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        for node in reversed(nodes):
            try:
                if node.active:
                    node.trigger_deactivate()
                node.trigger_shutdown()
            except Exception:
                traceback.print_exc()
        rclpy.try_shutdown()
        flag.ignore()
    return code
