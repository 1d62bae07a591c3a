"""The spectrometer: a spectrum per request (`~/measure`) and whenever a probe takes one."""

from __future__ import annotations

from typing import Any

from std_srvs.srv import Trigger

from palpate_agents.errors import PalpateError
from palpate_nodes import convert, topics
from palpate_nodes.device_node import STALE_AFTER, DeviceNode
from palpate_nodes.devices.cell import SpectrometerDevice
from palpate_nodes.params import Param


class SpectrometerNode(DeviceNode):
    """Publishes spectra; measured on request, so silence alone is no fault."""

    PARAMETERS = (
        Param(STALE_AFTER.name, 0.0, STALE_AFTER.description, STALE_AFTER.unit, STALE_AFTER.low, STALE_AFTER.high),
        *(param for param in DeviceNode.PARAMETERS if param is not STALE_AFTER),
    )
    device: SpectrometerDevice

    def __init__(self, name: str, device: SpectrometerDevice, **kwargs: Any) -> None:
        super().__init__(name, device, **kwargs)
        self.create_service(Trigger, "~/measure", self._measure)

    def streams(self) -> tuple[topics.Topic, ...]:
        """The spectrum."""
        return (topics.SPECTRUM,)

    def publish_sample(self, sample: Any) -> None:
        """One spectrum."""
        self.send(topics.SPECTRUM, convert.spectrum_message(sample))

    def _measure(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        try:
            self.device.measure()
        except PalpateError as error:
            response.success, response.message = False, str(error)
        else:
            response.success, response.message = True, "the spectrum follows on the topic"
        return response
