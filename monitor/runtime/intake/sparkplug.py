"""Sparkplug B in the intake: which messages are its, and which nodes are to be asked for their births.

Protobuf is loaded only for a sensor that has this format. Does not handle: what messages say (``monitor.core.
messages.sparkplug``), and their samples (``ingest``).
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Protocol

from monitor.config.configuration import Config
from monitor.config.sensors import Sensor
from monitor.core.arrays import Numbers
from monitor.core.messages.decode import PACKED, SPARKPLUG
from monitor.core.messages.rejection import Rejected
from monitor.core.messages.sparkplug.addresses import Wanted, address_of, rebirth_topic
from monitor.runtime.intake.channel import Channel
from monitor.runtime.log.logs import RepeatedLog

if TYPE_CHECKING:
    from monitor.core.messages.sparkplug.nodes import Nodes

LOG = logging.getLogger(__name__)

Order = Callable[[float, float], tuple[int | None, bool]]
"""From a sampling rate in Hz and a longest pause in seconds: the number of a metric's message, None if it has no time;
and whether samples may be missing before it that no time can tell."""


def wanted_by(sensors: Sequence[Sensor]) -> Wanted:
    """The metrics that sensors of this format want."""
    return Wanted([(sensor.topic, PACKED.get(sensor.payload.bytes or "", "")) for sensor in sensors])


class Receiver(Protocol):
    """Who takes what messages hold: :class:`monitor.runtime.intake.ingest.Ingest`."""

    def take_metric(self, topic: str, values: Numbers, t: float | None, order: Order) -> None:
        """Take the samples of a metric."""

    def end(self, topics: Iterable[str]) -> int:
        """Make the channels of metrics silent."""

    def reject(self, topic: str, rejected: Rejected) -> None:
        """Count a metric, or a message, that is not used."""


class Sparkplug:
    """The nodes of the configured sensors."""

    def __init__(self, receiver: Receiver, clock: Callable[[], float]) -> None:
        """Make one without sensors.

        Args:
            receiver: takes what messages hold.
            clock: monotonic seconds.
        """
        self._receiver = receiver
        self._clock = clock
        self._log = RepeatedLog(LOG, clock)
        self._nodes: Nodes | None = None

    def configure(self, config: Config) -> None:
        """Apply a new configuration; the births stay, unless other metrics are wanted."""
        sensors = [sensor for sensor in config.sensors if sensor.payload.format == SPARKPLUG]
        if not sensors:
            self._nodes = None
            return
        from monitor.core.messages.sparkplug.nodes import Nodes

        wanted = wanted_by(sensors)
        if self._nodes is None:
            self._nodes = Nodes(wanted, self._clock)
        self._nodes.configure(wanted, config.limits.channels, asks=config.mqtt.sparkplug.rebirth)

    @property
    def breaks(self) -> int:
        """Breaks in the sequence numbers of all nodes so far."""
        return self._nodes.breaks if self._nodes is not None else 0

    @property
    def rebirths(self) -> int:
        """Requests for births so far."""
        return self._nodes.rebirths.requested if self._nodes is not None else 0

    def joined(self, channel: Channel) -> None:
        """Note a new channel, of any sensor."""
        if self._nodes is not None and channel.sensor.payload.format == SPARKPLUG:
            self._nodes.joined(channel.topic)

    def left(self, channel: Channel) -> None:
        """Note that a channel, of any sensor, is gone."""
        if self._nodes is not None and channel.sensor.payload.format == SPARKPLUG:
            self._nodes.left(channel.topic)

    def deliver(self, topic: str, payload: bytes) -> bool:
        """Take one message; False if its topic is not that of a birth, of data or of a death.

        A metric that cannot be used costs itself only.

        Raises:
            Rejected: the payload cannot be read.
        """
        nodes, receiver = self._nodes, self._receiver
        if nodes is None or (address := address_of(topic)) is None:
            return False
        heard = nodes.take(address, payload)
        for metric, rejected in heard.rejected:
            receiver.reject(metric, rejected)
        for samples in heard.samples:
            try:
                receiver.take_metric(samples.topic, samples.values, samples.t, partial(nodes.order, samples))
            except Rejected as rejected:
                receiver.reject(samples.topic, rejected)
        if heard.ended:
            channels = receiver.end(heard.ended)
            self._log.warning("ended", f"channels ended by their sender: topic={topic!r:.200} channels={channels}")
        if heard.born is not None:
            self._log.info("born", f"birth: topic={topic!r:.200} metrics={len(heard.born)} that sensors want")
        return True

    def requests(self, at_s: float) -> list[tuple[str, bytes]]:
        """Topics and payloads of the requests for births that are due; ``at_s`` is now in UNIX seconds."""
        if self._nodes is None:
            return []
        from monitor.core.messages.sparkplug.payload import rebirth_request

        return [(rebirth_topic(node), rebirth_request(at_s)) for node in self._nodes.rebirths.due()]
