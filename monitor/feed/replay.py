"""Publishes a recording over MQTT, message by message, in real time or at another speed.

Samples are sent in the unit of the file, as the sensor would send them.
"""

import asyncio
import math
import time
from dataclasses import dataclass

import aiomqtt

from monitor.core.messages.encode import encode
from monitor.errors import MonitorError
from monitor.recording.source import Recording

DEFAULT_MESSAGE_S = 0.1
"""Default length of a message, typical of vibration sensors."""


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


async def replay(recording: Recording, client: aiomqtt.Client, plan: ReplayPlan) -> Replayed:
    """Publish a recording through a connected client.

    Raises:
        MonitorError: the connection to the broker was lost.
        RecordingError: reading the recording failed.
    """
    rate_hz = recording.sampling_rate_hz
    size = plan.message_samples or max(1, round(DEFAULT_MESSAGE_S * rate_hz))
    began_s, began_wall_s = time.monotonic(), time.time()
    messages = samples = 0
    for piece in recording.pieces(size, own_unit=True):
        if samples / rate_hz >= plan.duration_s:
            break
        if math.isfinite(plan.speed):
            # A message is sent when its last sample would have been measured.
            due_s = began_s + (samples + piece.samples.size) / rate_hz / plan.speed
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
        at_s = began_wall_s + recording.record_start_s(piece.record) + piece.start_sample / rate_hz
        try:
            await client.publish(plan.topic, encode(piece.samples, plan.payload_format, at_s), qos=plan.qos)
        except aiomqtt.MqttError as error:
            raise MonitorError(f"replay: lost the broker after {messages} messages: {error}") from error
        messages += 1
        samples += piece.samples.size
    return Replayed(messages, samples, time.monotonic() - began_s)
