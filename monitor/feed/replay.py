"""Publishing a recording over MQTT, message by message, at the pace at which it was made or another.

Samples go out in the recording's own unit, as its sensor would send them. Refuses to know: the daemon.
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
"""Length of a message, if none is asked for: what vibration sensors commonly send at once."""


@dataclass(frozen=True)
class ReplayPlan:
    """How a recording is to be published."""

    topic: str
    """Where to."""
    payload_format: str = "float32"
    """``float32``: packed; ``json``: with ``t``, which tells the pauses between records."""
    speed: float = 1.0
    """1: in real time; inf: as fast as the broker takes it."""
    message_samples: int | None = None
    """Samples in a message; None: about 0.1 s."""
    duration_s: float = math.inf
    """End after so much of the recording."""
    qos: int = 0
    """Quality of service; with 1 the broker's pace is kept to."""


@dataclass(frozen=True)
class Replayed:
    """What was published."""

    messages: int
    """Messages."""
    samples: int
    """Samples."""
    seconds: float
    """How long it took."""


async def replay(recording: Recording, client: aiomqtt.Client, plan: ReplayPlan) -> Replayed:
    """Publish a recording through a connected client.

    Raises:
        MonitorError: the broker went away.
        RecordingError: the recording cannot be read on.
    """
    rate_hz = recording.sampling_rate_hz
    size = plan.message_samples or max(1, round(DEFAULT_MESSAGE_S * rate_hz))
    began_s, began_wall_s = time.monotonic(), time.time()
    messages = samples = 0
    for piece in recording.pieces(size, own_unit=True):
        if samples / rate_hz >= plan.duration_s:
            break
        if math.isfinite(plan.speed):
            # A message is complete, and so sent, when its last sample has been measured.
            due_s = began_s + (samples + piece.samples.size) / rate_hz / plan.speed
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
        at_s = began_wall_s + recording.record_start_s(piece.record) + piece.start_sample / rate_hz
        try:
            await client.publish(plan.topic, encode(piece.samples, plan.payload_format, at_s), qos=plan.qos)
        except aiomqtt.MqttError as error:
            raise MonitorError(f"replay: the broker went away after {messages} messages: {error}") from error
        messages += 1
        samples += piece.samples.size
    return Replayed(messages, samples, time.monotonic() - began_s)
