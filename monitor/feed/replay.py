"""Publishes a recording to a broker, message by message, in real time or at another speed.

Samples are sent in the unit of the file, as the sensor would send them.
"""

import asyncio
import math
import time
from dataclasses import dataclass
from typing import Protocol

import aiomqtt

from monitor.core.messages.encode import encode
from monitor.errors import MonitorError
from monitor.recording.source import Recording

DEFAULT_MESSAGE_S = 0.1
"""Default length of a message, typical of vibration sensors."""


class Publisher(Protocol):
    """A connected client, of MQTT or of Kafka."""

    async def publish(self, topic: str, payload: bytes, qos: int) -> None:
        """Send one message; raises aiomqtt.MqttError or MonitorError if it cannot be sent."""


@dataclass(frozen=True)
class ReplayPlan:
    """How a recording is published."""

    topic: str
    """Topic to publish to."""
    payload_format: str = "float32"
    """``float32``: packed; ``json``: with ``t``, which preserves the pauses between records."""
    speed: float = 1.0
    """Speed relative to real time; inf: as fast as the broker accepts messages."""
    message_samples: int | None = None
    """Samples in a message; None: about 0.1 s."""
    duration_s: float = math.inf
    """Seconds of the recording after which to stop."""
    loop: bool = False
    """Whether to begin again at the end, until ``duration_s``; where the end meets the beginning, the signal jumps."""
    qos: int = 0
    """Quality of service; with 1, the broker's acknowledgements limit the speed."""


@dataclass(frozen=True)
class Replayed:
    """The amount of published data."""

    messages: int
    """Published messages."""
    samples: int
    """Published samples."""
    seconds: float
    """Duration of the replay in seconds."""


class Replay:
    """Publishes a recording through a connected client; knows at any time how much it has published."""

    def __init__(self, recording: Recording, plan: ReplayPlan) -> None:
        self._recording = recording
        self._plan = plan
        self._began_s = time.monotonic()
        self._messages = self._samples = 0

    @property
    def done(self) -> Replayed:
        """What was published so far."""
        return Replayed(self._messages, self._samples, time.monotonic() - self._began_s)

    async def run(self, client: Publisher) -> None:
        """Publish until the end, or until the plan's duration is over.

        Raises:
            MonitorError: the connection to the broker was lost.
            RecordingError: reading the recording failed.
        """
        self._began_s, began_wall_s = time.monotonic(), time.time()
        while True:
            passed_s = await self._pass(client, began_wall_s)
            if passed_s is None or not self._plan.loop:
                return
            began_wall_s += passed_s

    async def _pass(self, client: Publisher, began_wall_s: float) -> float | None:
        """Publish the recording once; returns its seconds, None when the duration of the plan is over."""
        recording, plan, rate_hz = self._recording, self._plan, self._recording.sampling_rate_hz
        size = plan.message_samples or max(1, round(DEFAULT_MESSAGE_S * rate_hz))
        end_s = 0.0
        for piece in recording.pieces(size, own_unit=True):
            if self._samples / rate_hz >= plan.duration_s:
                return None
            if math.isfinite(plan.speed):
                # A message is sent when its last sample would have been measured.
                due_s = self._began_s + (self._samples + piece.samples.size) / rate_hz / plan.speed
                await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            at_s = recording.record_start_s(piece.record) + piece.start_sample / rate_hz
            end_s = at_s + piece.samples.size / rate_hz
            try:
                payload = encode(piece.samples, plan.payload_format, began_wall_s + at_s)
                await client.publish(plan.topic, payload, qos=plan.qos)
            except (aiomqtt.MqttError, MonitorError) as error:
                raise MonitorError(f"replay: lost the broker after {self._messages} messages: {error}") from error
            self._messages += 1
            self._samples += piece.samples.size
        return end_s
