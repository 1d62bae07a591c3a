"""Changes the model of the running probing node: parameter, then clean up and configure anew."""

from __future__ import annotations

from typing import Any

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters

from palpate_agents.errors import DeviceError
from palpate_nodes.node_base import PalpateNode
from palpate_nodes.routines import wait

_STEPS = (
    (Transition.TRANSITION_DEACTIVATE, "deactivate"),
    (Transition.TRANSITION_CLEANUP, "clean up"),
    (None, "set the model"),
    (Transition.TRANSITION_CONFIGURE, "configure"),
    (Transition.TRANSITION_ACTIVATE, "activate"),
)


class ModelSwitch:
    """Client of the probing node's lifecycle and parameters."""

    def __init__(self, node: PalpateNode, target: str = "probing") -> None:
        self._target = target
        self._change: Any = node.create_client(ChangeState, f"{target}/change_state")
        self._set: Any = node.create_client(SetParameters, f"{target}/set_parameters")

    def ready(self) -> bool:
        """Whether the node is there."""
        return self._change.service_is_ready() and self._set.service_is_ready()

    async def load(self, model: str) -> None:
        """Have the node use this model.

        Raises:
            DeviceError: a step was refused; the node's log says why.
        """
        for transition, name in _STEPS:
            if transition is None:
                await self._set_model(model)
                continue
            request = ChangeState.Request(transition=Transition(id=transition))
            response: Any = await wait(self._change.call_async(request))
            if not response.success:
                raise DeviceError(f"node '{self._target}' refused to {name} for the model {model}: see its log")

    async def _set_model(self, model: str) -> None:
        value = ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=model)
        request = SetParameters.Request(parameters=[Parameter(name="model", value=value)])
        response: Any = await wait(self._set.call_async(request))
        if not response.results[0].successful:
            raise DeviceError(f"node '{self._target}' refused the model {model}: {response.results[0].reason}")
