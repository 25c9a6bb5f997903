"""The connection to the broker: connect, subscribe, deliver, and come back after every loss.

aiomqtt does the protocol. Its message queue is bypassed: the callback hands each payload straight to the ingest, so
there is no queue to overflow, and a QoS 1 message is acknowledged after its samples are in the ring. A new client is
made for each connection, so nothing of a broken one lives on. Refuses to know: what a payload means.
"""

import asyncio
import logging
import math
import random
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import aiomqtt
from paho.mqtt.client import MQTTMessage
from paho.mqtt.subscribeoptions import SubscribeOptions

from monitor.config import Mqtt
from monitor.errors import ConfigurationError, MonitorError
from monitor.runtime.certificates import load_certificate
from monitor.runtime.secret import credential, read_secret

LOG = logging.getLogger(__name__)

SESSION_TAKEN_OVER = 142
"""MQTT 5 reason code: another client connected with our identifier."""

SHORT_CONNECTION_S = 30.0
"""A connection that ends sooner does not count as recovery: the wait before the next one goes on growing. Lower: a
broker that accepts and drops us is hammered. Higher: after a true recovery the next loss waits longer than it need."""

SHORT_CONNECTIONS = 6
"""So many short connections in a row mean that another client uses our identifier (not every broker says so). Fewer: a
broker that restarts a few times stops the daemon. More: two daemons throw each other out for longer."""

GOODBYE_S = 3.0
"""Longest wait for a broker that hangs while we stop. Longer: systemd may lose patience. Shorter: a slow broker tells
its clients that we crashed."""

TAKEN_OVER = (
    "another client connects to the broker with our mqtt.client_id, and the two throw each other out for ever; "
    "give each its own mqtt.client_id"
)

Deliver = Callable[[str, bytes, bool], None]


MESSAGES_A_TURN = 64
"""Messages taken in one turn of the event loop, some 3 ms. Fewer: turns cost more. More: the page and the scrape wait;
without a bound they would wait for ever under overload."""


class ReadAhead:
    """A socket that reads ahead.

    paho reads a message with five calls, byte by byte at first, and one message a turn of the event loop. With the
    bytes at hand already these are no system calls, and ``pending`` tells that there is more to take.
    """

    SIZE = 2**18
    """Bytes read at once. Fewer: more system calls. More: other work of the event loop waits longer."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self._bytes = b""
        self._at = 0
        self.fault = ""
        """What broke the connection, as far as reading noticed."""
        self.turn_comes = False
        """Whether whoever reads has a turn of the event loop to come."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def recv(self, size: int) -> bytes:
        """At most ``size`` bytes, empty at the end; raises BlockingIOError when there are none yet."""
        if self._at >= len(self._bytes):
            try:
                self._bytes = self._sock.recv(self.SIZE)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                raise
            except OSError as error:
                self.fault = str(error)
                raise
            self._at = 0
        chunk: bytes = self._bytes[self._at : self._at + size]
        self._at += len(chunk)
        return chunk

    def pending(self) -> int:
        """Bytes that can be had without asking the kernel."""
        inner = self._sock.pending() if hasattr(self._sock, "pending") else 0
        return len(self._bytes) - self._at + int(inner)


class DirectClient(aiomqtt.Client):
    """An aiomqtt client that hands every message to ``deliver(topic, payload, retained)`` at once."""

    def __init__(self, deliver: Deliver, **options: Any) -> None:
        super().__init__(**options)
        self._deliver = deliver
        self._ahead: ReadAhead | None = None

    def _on_disconnect(self, client: Any, userdata: Any, flags: Any, reason_code: Any, properties: Any = None) -> None:
        if not self._connected.done():
            # aiomqtt would wait for an answer that can no longer come.
            self._loop.call_soon_threadsafe(self._end_connecting)
        super()._on_disconnect(client, userdata, flags, reason_code, properties)

    def _end_connecting(self) -> None:
        if not self._connected.done():
            fault = self._ahead.fault if self._ahead is not None else ""
            self._connected.set_exception(aiomqtt.MqttError(fault or "the broker closed the connection at once"))

    def _on_message(self, client: Any, userdata: Any, message: MQTTMessage) -> None:  # noqa: ARG002 - paho's signature
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = "\N{REPLACEMENT CHARACTER}"
        self._deliver(topic, bytes(message.payload), message.retain)

    def _on_socket_open(self, client: Any, userdata: Any, sock: Any) -> None:
        ahead = ReadAhead(sock)
        self._ahead = ahead
        client._sock = ahead  # noqa: SLF001 - paho has no way to hand it a socket
        super()._on_socket_open(client, userdata, sock)
        self._loop.call_soon_threadsafe(self._loop.add_reader, sock.fileno(), self._on_readable, client, ahead)

    def _on_readable(self, client: Any, ahead: ReadAhead) -> None:
        # Under load the kernel has more at every turn: turns that add up would let nothing else have one.
        if not ahead.turn_comes:
            self._read_some(client, ahead)

    def _read_some(self, client: Any, ahead: ReadAhead) -> None:
        """Take a few messages, then let others have a turn; what is left is taken in the next one."""
        ahead.turn_comes = False
        try:
            for _ in range(MESSAGES_A_TURN):
                client.loop_read()
                if client._sock is not ahead or not ahead.pending():  # noqa: SLF001 - None once it is closed
                    return
        except Exception as error:  # noqa: BLE001 - a broken connection, as aiomqtt takes it
            if not self._disconnected.done():
                self._disconnected.set_exception(error)
            return
        ahead.turn_comes = True
        self._loop.call_soon(self._read_some, client, ahead)

    async def wait_disconnected(self) -> None:
        """Wait until the connection is lost.

        Raises:
            aiomqtt.MqttError: with the reason of the loss.
        """
        await asyncio.shield(self._disconnected)


@dataclass
class MqttState:
    """What the metrics tell of the connection."""

    connected: bool = False
    """Whether subscriptions are active."""
    connections: int = 0
    """Successful connections since the start."""
    last_error: str = "not connected yet"
    """Why there is no connection, for the readiness answer."""

    @property
    def reconnects(self) -> int:
        """Successful connections after the first."""
        return max(0, self.connections - 1)


class MqttSource:
    """Keeps one connection to the broker alive."""

    def __init__(
        self, settings: Mqtt, topic_filters: list[str], deliver: Deliver, on_change: Callable[[], None]
    ) -> None:
        """Make a source; :meth:`run` connects.

        Args:
            settings: the broker; files named there are read now and again at each connection.
            topic_filters: what to subscribe to.
            deliver: takes ``(topic, payload, retained)`` of each message, on the event loop.
            on_change: told when the connection came or went.
        """
        self.state = MqttState()
        self._settings = settings
        self._filters = topic_filters
        self._deliver = deliver
        self._on_change = on_change
        self._client: DirectClient | None = None
        self._clock = time.monotonic
        self._random = random.Random()  # noqa: S311 - jitter, not secrecy
        self._make_client()

    async def run(self) -> None:
        """Connect, and connect again after every loss, until cancelled.

        Raises:
            MonitorError: when another client uses our identifier.
        """
        settings = self._settings
        wait_s = settings.reconnect_min
        short = 0
        while True:
            connected_s = math.inf
            try:
                async with self._make_client() as client:
                    await self._subscribe(client)
                    connected_s = self._clock()
                    self._client = client
                    self._change(connected=True, error="")
                    await client.publish(settings.status_topic, "online", qos=1, retain=True)
                    _raise_if_cancelled()
                    await client.wait_disconnected()
            except aiomqtt.MqttError as error:
                self._refuse_takeover(error)
                text = str(error) or type(error).__name__
            except TimeoutError:
                text = "the broker did not answer in time"
            else:
                text = "the broker closed the connection"
            finally:
                self._client = None
                self._change(connected=False, error=self.state.last_error)
                # Leaving a broken connection may raise an error of its own, in place of the cancellation.
                _raise_if_cancelled()
            lasted_s = self._clock() - connected_s
            if lasted_s >= SHORT_CONNECTION_S:
                wait_s, short = settings.reconnect_min, 0
            elif lasted_s >= 0:
                short += 1
                if short >= SHORT_CONNECTIONS:
                    raise MonitorError(TAKEN_OVER)
            # Jitter: a thousand clients that lost one broker must not come back at one instant.
            pause_s = wait_s * self._random.uniform(0.5, 1.0)
            LOG.warning("no broker: url=%s error=%r next_try_s=%.1f", settings.url, text, pause_s)
            self._change(connected=False, error=text)
            await asyncio.sleep(pause_s)
            wait_s = min(2 * wait_s, settings.reconnect_max)

    async def publish(self, topic: str, payload: str | bytes, *, retain: bool = False) -> bool:
        """Publish if connected; returns whether the broker took it."""
        if self._client is None:
            return False
        try:
            await self._client.publish(topic, payload, qos=1, retain=retain)
        except (aiomqtt.MqttError, ValueError) as error:
            LOG.warning("not published: topic=%s error=%s", topic, error)
            return False
        return True

    def _change(self, *, connected: bool, error: str) -> None:
        if connected and not self.state.connected:
            self.state.connections += 1
            LOG.info("connected: url=%s filters=%s", self._settings.url, ",".join(self._filters))
        self.state.connected = connected
        self.state.last_error = error
        self._on_change()

    async def _subscribe(self, client: DirectClient) -> None:
        settings = self._settings
        topics: Any
        if settings.version == "5":
            # Retained messages are not wanted: 2 asks the broker not to send them.
            options = SubscribeOptions(qos=settings.qos, retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND)
            topics = [(topic, options) for topic in self._filters]
        else:
            topics = [(topic, settings.qos) for topic in self._filters]
        codes: Any = await client.subscribe(topics)
        refused = [
            topic
            for topic, code in zip(self._filters, codes, strict=False)
            if getattr(code, "value", code) >= 128  # one integer in MQTT 3.1.1, a reason code in 5
        ]
        if refused:
            raise aiomqtt.MqttError(f"the broker refused the subscription to {', '.join(refused)}")

    @staticmethod
    def _refuse_takeover(error: aiomqtt.MqttError) -> None:
        code = getattr(error, "rc", None)
        if getattr(code, "value", code) == SESSION_TAKEN_OVER:
            raise MonitorError(TAKEN_OVER) from error

    def _make_client(self) -> DirectClient:
        settings = self._settings
        host, port = settings.host_and_port
        password = None
        if settings.password_file is not None:
            password = read_secret(settings.password_file, "mqtt.password_file")
        modern = settings.version == "5"
        return DirectClient(
            self._deliver,
            hostname=host,
            port=port,
            username=settings.user,
            password=password.reveal() if password else None,
            identifier=settings.client_id,
            protocol=aiomqtt.ProtocolVersion.V5 if modern else aiomqtt.ProtocolVersion.V311,
            will=aiomqtt.Will(settings.status_topic, "offline", qos=1, retain=True),
            clean_session=None if modern else True,
            keepalive=settings.keepalive_s,
            tls_context=tls_context(settings) if settings.secure else None,
            timeout=10.0,
        )

    async def close(self) -> None:
        """Say goodbye: publish ``stopped``, so that the will is not sent."""
        try:
            async with asyncio.timeout(GOODBYE_S):
                await self.publish(self._settings.status_topic, "stopped", retain=True)
        except TimeoutError:
            LOG.warning("the broker did not take our goodbye: url=%s", self._settings.url)


def _raise_if_cancelled() -> None:
    """Python 3.11's ``wait_for``, which aiomqtt uses, loses a cancellation that meets the answer it waits for."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def tls_context(settings: Mqtt) -> ssl.SSLContext:
    """The TLS settings towards the broker, which is always verified.

    Raises:
        ConfigurationError: a certificate or key cannot be read.
    """
    tls = settings.tls
    try:
        context = ssl.create_default_context(cafile=str(credential(tls.ca_file)) if tls.ca_file else None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"mqtt.tls.ca_file: cannot load {tls.ca_file}: {error}") from error
    if tls.cert_file is not None and tls.key_file is not None:
        load_certificate(context, tls.cert_file, tls.key_file, "mqtt.tls.cert_file")
    return context
