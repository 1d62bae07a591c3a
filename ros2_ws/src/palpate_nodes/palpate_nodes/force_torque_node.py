"""The force/torque sensor and the accelerometer in the tip. The raw wrench is never replaced by a filtered one."""

from __future__ import annotations

from typing import Any

from std_srvs.srv import Trigger

from palpate_agents.errors import PalpateError
from palpate_agents.samples import Burst
from palpate_nodes import convert, topics
from palpate_nodes.device_node import DeviceNode
from palpate_nodes.devices.cell import ForceTorqueDevice


class ForceTorqueNode(DeviceNode):
    """Publishes the wrench and one burst per tap; `~/zero` refuses while in contact."""

    device: ForceTorqueDevice

    def __init__(self, name: str, device: ForceTorqueDevice, **kwargs: Any) -> None:
        super().__init__(name, device, **kwargs)
        self.create_service(Trigger, "~/zero", self._zero)

    def streams(self) -> tuple[topics.Topic, ...]:
        """Wrench and burst."""
        return topics.WRENCH, topics.TIP_BURST

    def publish_sample(self, sample: Any) -> None:
        """A wrench or a burst."""
        if isinstance(sample, Burst):
            self.send(topics.TIP_BURST, convert.burst_message(sample))
        else:
            self.send(topics.WRENCH, convert.wrench_message(sample))

    def _zero(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        try:
            self.device.zero()
        except PalpateError as error:
            response.success, response.message = False, str(error)
        else:
            response.success, response.message = True, "zeroed"
        return response
