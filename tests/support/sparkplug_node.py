"""A small Sparkplug B node: encodes births, data and deaths by hand, as the specification says, without protobuf.

:class:`LiveNode` sends them over MQTT: it has its death as the will, and answers a request for births.
"""

import contextlib
import struct
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from monitor.core.arrays import AnyArray

FLOAT_ARRAY, INT16_ARRAY, FLOAT, STRING, BYTES = 30, 23, 9, 12, 17
UINT64, BOOLEAN = 8, 11


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def number_field(number: int, value: int) -> bytes:
    return varint(number << 3) + varint(value)


def bytes_field(number: int, value: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(value)) + value


def metric(
    name: str | None = None,
    value: AnyArray | float | str | bytes | None = None,
    *,
    alias: int | None = None,
    datatype: int | None = None,
    t: float | None = None,
    historical: bool = False,
) -> bytes:
    """One metric; arrays, bytes, text and numbers go where their kind of value goes."""
    parts = [bytes_field(1, name.encode())] if name is not None else []
    for number, given in ((2, alias), (3, None if t is None else round(1000 * t)), (4, datatype)):
        parts += [number_field(number, given)] if given is not None else []
    parts += [number_field(5, 1)] if historical else []
    if value is None:
        parts.append(number_field(7, 1))
    elif isinstance(value, np.ndarray):
        parts.append(bytes_field(16, value.tobytes()))
    elif isinstance(value, bytes):
        parts.append(bytes_field(16, value))
    elif isinstance(value, str):
        parts.append(bytes_field(15, value.encode()))
    else:
        parts.append(varint(12 << 3 | 5) + struct.pack("<f", value))
    return b"".join(parts)


def payload(metrics: Iterable[bytes] = (), seq: int | None = None, t: float = 1.764e9) -> bytes:
    parts = [number_field(1, round(1000 * t)), *(bytes_field(2, each) for each in metrics)]
    return b"".join(parts) + (number_field(3, seq) if seq is not None else b"")


@dataclass
class SparkplugNode:
    """Numbers the messages of one node; every method gives the topic and the payload of one."""

    group: str = "plant"
    name: str = "gateway"
    session: int = 0
    seq: int = 0
    aliases: dict[str, int] = field(default_factory=dict)

    def topic(self, kind: str, device: str = "") -> str:
        return "/".join(["spBv1.0", self.group, kind, self.name, *([device] if device else [])])

    def _numbered(self, kind: str, device: str, metrics: Iterable[bytes], t: float) -> tuple[str, bytes]:
        self.seq = (self.seq + 1) % 256
        return self.topic(kind, device), payload(metrics, self.seq, t)

    def birth(self, t: float = 1.764e9) -> tuple[str, bytes]:
        self.seq = 0
        session = bytes_field(1, b"bdSeq") + number_field(4, UINT64) + number_field(11, self.session)
        return self.topic("NBIRTH"), payload([session], 0, t)

    def device_birth(self, device: str, types: dict[str, int], t: float = 1.764e9) -> tuple[str, bytes]:
        """The birth of a device; its metrics get aliases and no values."""
        metrics = []
        for name, datatype in types.items():
            alias = self.aliases.setdefault(f"{device}/{name}", len(self.aliases))
            metrics.append(metric(name, alias=alias, datatype=datatype, t=t))
        return self._numbered("DBIRTH", device, metrics, t)

    def data(self, device: str, values: dict[str, AnyArray | float | bytes | str], t: float) -> tuple[str, bytes]:
        """Data of a device, by alias and without types."""
        metrics = [metric(value=value, alias=self.aliases[f"{device}/{name}"], t=t) for name, value in values.items()]
        return self._numbered("DDATA", device, metrics, t)

    def device_death(self, device: str, t: float = 1.764e9) -> tuple[str, bytes]:
        return self._numbered("DDEATH", device, (), t)

    def death(self, t: float = 1.764e9) -> tuple[str, bytes]:
        session = bytes_field(1, b"bdSeq") + number_field(4, UINT64) + number_field(11, self.session)
        return self.topic("NDEATH"), payload([session], None, t)


class LiveNode:
    """A node with a connection of its own."""

    def __init__(self, port: int, node: SparkplugNode, devices: dict[str, dict[str, int]]) -> None:
        """Connect; ``devices`` has the types of the metrics of each."""
        self.node = node
        self.requests = 0
        """Requests for births that it has answered."""
        self._devices = devices
        self._lock = threading.RLock()
        self._subscribed = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.will_set(*node.death(), qos=1)
        self._client.on_message = self._commanded
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        self._client.subscribe(node.topic("NCMD"), qos=1)
        assert self._subscribed.wait(30)

    def bear(self) -> None:
        """Send all births."""
        with self._lock:
            self._send(self.node.birth())
            for device, types in self._devices.items():
                self._send(self.node.device_birth(device, types))

    def data(
        self, device: str, values: dict[str, AnyArray | float | bytes | str], t: float, *, lost: bool = False
    ) -> None:
        """Send data, or only count it as if it got ``lost`` on the way."""
        with self._lock:
            message = self.node.data(device, values, t)
            if not lost:
                self._send(message)

    def device_death(self, device: str) -> None:
        with self._lock:
            self._send(self.node.device_death(device))

    def end(self, *, cleanly: bool = False) -> None:
        """Lose the connection, so that the broker sends the will; or close it."""
        if cleanly:
            self._client.disconnect()
        self._client.loop_stop()
        connection = self._client.socket()
        if connection is not None:
            connection.close()

    def _send(self, message: tuple[str, bytes]) -> None:
        topic, data = message
        self._client.publish(topic, data, qos=1)

    def _commanded(self, client: Any, userdata: Any, message: Any) -> None:
        del client, userdata
        if b"Node Control/Rebirth" in message.payload:
            self.bear()
            self.requests += 1


@contextlib.contextmanager
def live_node(port: int, node: SparkplugNode, devices: dict[str, dict[str, int]]) -> Iterator[LiveNode]:
    live = LiveNode(port, node, devices)
    try:
        yield live
    finally:
        live.end(cleanly=True)
