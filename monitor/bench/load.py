"""A load of messages at a constant rate, and its generator over MQTT, which uses very little processor time.

paho opens the connection. The prebuilt PUBLISH packets (MQTT 3.1.1, QoS 0) of many channels are then written to its
socket in one call. Does not handle: the same over Kafka (``load_kafka``).
"""

import itertools
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from monitor.config.mqtt import Mqtt
from monitor.core.messages.encode import packed_samples
from monitor.errors import MonitorError
from monitor.runtime.intake.mqtt.direct_client import client_options

STEPS = 10
"""Parts of one round of all channels, sent at different times. Fewer: messages arrive in bursts. More: more calls."""


@dataclass(frozen=True)
class Load:
    """The load to be sent."""

    channels: int
    """Number of channels, with one topic each."""
    sampling_rate_hz: float
    """Sampling rate of each channel."""
    message_samples: int
    """Samples per message, float32."""
    seconds: float
    """Duration of the load in seconds."""
    factor: float = 1.0
    """Multiplies the message rate, to test less or more than real time."""


@dataclass(frozen=True)
class Sent:
    """The load that was really sent."""

    messages: int
    """Sent messages."""
    samples: int
    """Sent samples."""
    seconds: float
    """Duration in seconds; longer than requested if the broker was too slow."""
    cpu_s: float
    """CPU seconds of the generator."""


def topic(channel: int) -> str:
    """The topic of a channel, by its number."""
    return f"load/machine-{channel}/x"


def send_load(broker: Mqtt, load: Load) -> Sent:
    """Send a load; returns when it is sent.

    Raises:
        ConfigurationError: a password or certificate cannot be read.
        MonitorError: there is no broker, or the connection was lost.
    """
    packets = [
        [publish_packet(topic(channel), payload) for channel in range(load.channels)] for payload in payloads(load)
    ]
    rounds = [[b"".join(each[first:last]) for first, last in steps(load)] for each in packets]
    try:
        client = _connect(broker)
        connection: Any = client.socket()
        connection.setblocking(True)
        sent = paced(load, lambda number, step: connection.sendall(rounds[number % len(rounds)][step]))
        connection.sendall(b"\xe0\x00")  # DISCONNECT
        connection.close()
    except OSError as error:
        raise MonitorError(f"load: sending to the broker at {broker.url} failed: {error}") from error
    return sent


def payloads(load: Load) -> list[bytes]:
    """What the messages hold, in turn."""
    found = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        base = np.sin(0.1 * np.arange(load.message_samples)) + 0.3 * rng.normal(size=load.message_samples)
        found.append(packed_samples(base.astype(np.float32)))
    return found


def steps(load: Load) -> list[tuple[int, int]]:
    """The channels of each step of a round: number of the first, and of the one after the last."""
    bounds = np.linspace(0, load.channels, STEPS + 1).astype(int).tolist()
    return list(itertools.pairwise(bounds))


def paced(load: Load, send: Callable[[int, int], object], finish: Callable[[], object] = lambda: None) -> Sent:
    """Send a load at its rate, or as fast as it goes.

    Args:
        load: the load.
        send: called with the number of a round and that of its step; sends them.
        finish: called at the end; waits until all is sent.
    """
    period_s = load.message_samples / load.sampling_rate_hz / load.factor
    count = max(1, round(load.seconds / period_s))
    cpu_s = time.process_time()
    began_s = time.monotonic()
    for number in range(count):
        for step in range(STEPS):
            due_s = began_s + (number + step / STEPS) * period_s
            time.sleep(max(0.0, due_s - time.monotonic()))
            send(number, step)
    finish()
    messages = count * load.channels
    return Sent(messages, messages * load.message_samples, time.monotonic() - began_s, time.process_time() - cpu_s)


def publish_packet(name: str, payload: bytes) -> bytes:
    """A PUBLISH packet of QoS 0 (MQTT 3.1.1, section 3.3)."""
    encoded = name.encode()
    body = struct.pack("!H", len(encoded)) + encoded + payload
    length, remaining = b"", len(body)
    while True:
        remaining, digit = divmod(remaining, 128)
        length += bytes([digit | (0x80 if remaining else 0)])
        if not remaining:
            return b"\x30" + length + body


def _connect(broker: Mqtt) -> paho.Client:
    options = client_options(broker)
    client = paho.Client(CallbackAPIVersion.VERSION2)
    if options["username"] is not None:
        client.username_pw_set(options["username"], options["password"])
    if options["tls_context"] is not None:
        client.tls_set_context(options["tls_context"])
    client.connect(options["hostname"], options["port"], keepalive=600)
    deadline = time.monotonic() + 10
    while not client.is_connected():
        client.loop(0.1)
        if time.monotonic() > deadline:
            raise OSError("it did not answer, or refused the connection")
    return client
