"""An MQTT load generator with very low CPU use: packets are built once and sent repeatedly.

paho opens the connection. The prebuilt PUBLISH packets (MQTT 3.1.1, QoS 0) of many channels are then written to its
socket in one call.
"""

import itertools
import struct
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from monitor.config_mqtt import Mqtt
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
    rounds = [_round(load, seed) for seed in range(4)]
    period_s = load.message_samples / load.sampling_rate_hz / load.factor
    count = max(1, round(load.seconds / period_s))
    try:
        client = _connect(broker)
        connection: Any = client.socket()
        connection.setblocking(True)
        cpu_s = time.process_time()
        began_s = time.monotonic()
        for number in range(count):
            for step, packets in enumerate(rounds[number % len(rounds)]):
                due_s = began_s + (number + step / STEPS) * period_s
                time.sleep(max(0.0, due_s - time.monotonic()))
                connection.sendall(packets)
        seconds = time.monotonic() - began_s
        cpu_s = time.process_time() - cpu_s
        connection.sendall(b"\xe0\x00")  # DISCONNECT
        connection.close()
    except OSError as error:
        raise MonitorError(f"load: sending to the broker at {broker.url} failed: {error}") from error
    messages = count * load.channels
    return Sent(messages, messages * load.message_samples, seconds, cpu_s)


def _round(load: Load, seed: int) -> list[bytes]:
    rng = np.random.default_rng(seed)
    base = np.sin(0.1 * np.arange(load.message_samples)) + 0.3 * rng.normal(size=load.message_samples)
    payload = packed_samples(base.astype(np.float32))
    packets = [publish_packet(topic(channel), payload) for channel in range(load.channels)]
    bounds = np.linspace(0, load.channels, STEPS + 1).astype(int)
    return [b"".join(packets[first:last]) for first, last in itertools.pairwise(bounds)]


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
