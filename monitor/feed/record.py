"""Records contiguous samples of one channel from the broker."""

import asyncio
import time

import aiomqtt
import numpy as np

from monitor.config import Mqtt
from monitor.core.arrays import Float32, Numbers
from monitor.core.messages.continuity import Arrival, Continuity, Piece
from monitor.core.messages.decode import Rejected, decoder
from monitor.errors import MonitorError
from monitor.runtime.intake.direct_client import client_options

SILENCE_S = 30.0
"""Seconds without a message after which recording fails. Lower: sensors that send rarely cannot be recorded. Higher: a
wrong topic is noticed later."""


class LiveChannel:
    """Collects the samples of one axis until there are enough; missing samples restart the collection."""

    def __init__(self, payload_format: str, sampling_rate_hz: float, axis: str | None, samples: int) -> None:
        self.restarts = 0
        """Number of restarts because samples were missing."""
        self.rejected = 0
        """Number of rejected messages."""
        self._decode = decoder(payload_format, (axis or "",), sampling_rate_hz)
        self._continuity: Continuity[Numbers] = Continuity(sampling_rate_hz)
        self._axis = axis
        self._wanted = samples
        self._parts: list[Float32] = []
        self._collected = 0

    @property
    def complete(self) -> bool:
        """Whether there are enough samples."""
        return self._collected >= self._wanted

    def take(self, payload: bytes) -> None:
        """Add the samples of one message."""
        try:
            message = self._decode(payload)
        except Rejected:
            self.rejected += 1
            return
        axes = message.axes
        samples = axes.get(self._axis or "") if len(axes) > 1 or self._axis else next(iter(axes.values()))
        if samples is None:
            self.rejected += 1
            return
        piece = Piece(samples, samples.shape[0], message.seq, message.t, time.monotonic(), samples.nbytes)
        for verdict in self._continuity.take(piece):
            if not verdict.arrival.used:
                self.rejected += 1
                continue
            if verdict.arrival is not Arrival.CONTIGUOUS:
                self._begin_anew()
            self._parts.append(verdict.piece.item.astype(np.float32))
            self._collected += verdict.piece.count

    def _begin_anew(self) -> None:
        if self._collected:
            self.restarts += 1
            self._parts, self._collected = [], 0

    def samples(self) -> Float32:
        """The collected samples, (n,) as sent."""
        return np.concatenate(self._parts)[: self._wanted]


async def record(broker: Mqtt, topic: str, channel: LiveChannel) -> Float32:
    """Subscribe to a topic until the channel is complete.

    Raises:
        ConfigurationError: a password or certificate cannot be read.
        MonitorError: there is no broker, the connection was lost, or no message arrives.
    """
    try:
        async with aiomqtt.Client(**client_options(broker)) as client:
            await client.subscribe(topic)
            messages = aiter(client.messages)
            while not channel.complete:
                message = await asyncio.wait_for(anext(messages), SILENCE_S)
                if not message.retain:
                    channel.take(bytes(message.payload))
    except TimeoutError as error:
        raise MonitorError(f"record: no message on '{topic}' for {SILENCE_S:g} s; check the topic") from error
    except aiomqtt.MqttError as error:
        host, port = broker.host_and_port
        raise MonitorError(f"record: the broker at {host}:{port} failed: {error}") from error
    return channel.samples()
