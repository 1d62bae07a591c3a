"""Changes the model of the running probing node: parameter, then clean up and configure anew."""

from __future__ import annotations

from typing import Any

from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters

from palpate_agents.errors import DeviceError
from palpate_nodes.asking import REFUSED_AFTER, ask, call, once
from palpate_nodes.node_base import PalpateNode

LOAD_S = 300.0
"""Wall time to load a model in; one that reads pictures with a vision model of one's own may be large."""

_STEPS = (
    (Transition.TRANSITION_DEACTIVATE, State.PRIMARY_STATE_INACTIVE, "deactivate"),
    (Transition.TRANSITION_CLEANUP, State.PRIMARY_STATE_UNCONFIGURED, "clean up"),
    (None, None, "set the model"),
    (Transition.TRANSITION_CONFIGURE, State.PRIMARY_STATE_INACTIVE, "configure"),
    (Transition.TRANSITION_ACTIVATE, State.PRIMARY_STATE_ACTIVE, "activate"),
)


class ModelSwitch:
    """Client of the probing node's lifecycle and parameters."""

    def __init__(self, node: PalpateNode, target: str = "probing") -> None:
        self._node = node
        self._target = target
        self._change: Any = node.create_client(ChangeState, f"{target}/change_state")
        self._state: Any = node.create_client(GetState, f"{target}/get_state")
        self._set: Any = node.create_client(SetParameters, f"{target}/set_parameters")

    def ready(self) -> bool:
        """Whether the node is there."""
        return all(client.service_is_ready() for client in (self._change, self._state, self._set))

    async def load(self, model: str) -> None:
        """Have the node use this model.

        Raises:
            DeviceError: a step was refused or not answered; the node's log says why.
        """
        for transition, wanted, name in _STEPS:
            if transition is None or wanted is None:
                await self._set_model(model)
                continue
            if not await self._step(transition, wanted, name):
                raise DeviceError(f"node '{self._target}' refused to {name} for the model {model}: see its log")

    async def _step(self, transition: int, wanted: int, name: str) -> bool:
        """Whether the node is in the state wanted; asked for twice, a change of state would be refused."""
        request = ChangeState.Request(transition=Transition(id=transition))
        states: list[int] = []

        def enough(answer: Any) -> bool:
            if isinstance(answer, ChangeState.Response):
                return True
            if answer.current_state.id > State.PRIMARY_STATE_FINALIZED:
                return False  # on its way
            states.append(int(answer.current_state.id))
            return states[-1] == wanted or len(states) >= REFUSED_AFTER

        answer = await ask(
            self._node,
            once(lambda: self._change.call_async(request), lambda: self._state.call_async(GetState.Request())),
            self._what(name),
            there=self._change.service_is_ready,
            limit_s=LOAD_S,
            enough=enough,
        )
        return bool(answer.success if isinstance(answer, ChangeState.Response) else states[-1] == wanted)

    def _what(self, to_do: str) -> str:
        return f"having node '{self._target}' {to_do}"

    async def _set_model(self, model: str) -> None:
        value = ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=model)
        request = SetParameters.Request(parameters=[Parameter(name="model", value=value)])
        response: Any = await call(self._node, self._set, request, self._what("set the model"))
        if not response.results[0].successful:
            raise DeviceError(f"node '{self._target}' refused the model {model}: {response.results[0].reason}")
