"""An MQTT client that delivers every message at once, in bounded memory.

aiomqtt implements the protocol, over paho. Its message queue is bypassed: no queue can overflow, and a QoS 1 message is
acknowledged after its delivery. The length of a packet comes first, so a packet that is too large is recognised before
its contents. They are discarded as they arrive, and the connection stays. Does not handle: reconnecting.
"""

import asyncio
import ssl
from collections.abc import Callable
from types import TracebackType
from typing import Any, Never, Self

import aiomqtt
from paho.mqtt.client import MQTTMessage
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from monitor.config.mqtt import Mqtt
from monitor.runtime.credentials.certificates import broker_context
from monitor.runtime.credentials.secret import read_secret
from monitor.runtime.intake.mqtt.loss import in_words

Deliver = Callable[[str, bytes, bool], None]
"""Takes topic, payload and whether the message was retained. A payload that was too large is empty but reports its
length."""

MESSAGES_A_TURN = 64
"""Messages processed in one iteration of the event loop, about 3 ms. Fewer: more overhead. More: page and scrape wait
longer; without a bound they would starve under overload."""

HEAD_BYTES = 2 * 2**16
"""Bytes that a packet may hold beside its payload: at most 64 KiB of topic, the rest for the properties of MQTT 5. This
much of a packet that is too large is kept, for its topic and identifier."""


class _Skipped(bytes):
    """Stands for discarded bytes: reports their length, but holds no contents."""

    def __new__(cls, length: int) -> Self:
        skipped = super().__new__(cls)
        skipped.length = length
        return skipped

    length: int

    def __len__(self) -> int:
        return self.length


class ReadAhead:
    """A socket that reads ahead, and discards the part of a packet that is over a limit.

    paho reads a message with five calls, the first ones for single bytes, and one message for each iteration of the
    event loop. Reading ahead saves the system calls, and ``pending`` tells whether more messages are there. The last of
    the five calls asks for the whole rest of the packet, so its size is known before its contents are read.
    """

    SIZE = 2**18
    """Bytes for each system call. Fewer: more system calls. More: other work of the event loop waits longer."""

    def __init__(self, sock: Any, most_bytes: int) -> None:
        self._sock = sock
        self._most_bytes = most_bytes
        self._bytes = b""
        self._at = 0
        self._missing = 0
        self._kept = 0
        self.skipped = 0
        """Bytes discarded so far of the packet that is being read."""
        self.fault = ""
        """The error that reading met, empty without one."""
        self.turn_comes = False
        """Whether the next read is scheduled on the event loop already."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def recv(self, size: int) -> bytes:
        """At most ``size`` bytes, empty at the end of the stream; raises BlockingIOError when none have arrived."""
        if self._at >= len(self._bytes):
            if size > self._most_bytes:
                return self._too_many(size)
            self._bytes = self._read(self.SIZE)
            self._at = 0
        chunk: bytes = self._bytes[self._at : self._at + size]
        self._at += len(chunk)
        return chunk

    def pending(self) -> int:
        """Bytes that can be read without a system call."""
        inner = self._sock.pending() if hasattr(self._sock, "pending") else 0
        return len(self._bytes) - self._at + int(inner)

    def _too_many(self, size: int) -> bytes:
        """Some of the ``size`` bytes that a packet lacks: its head unchanged, the rest discarded but for its length."""
        if size != self._missing:  # another packet
            self._kept = self.skipped = 0
        chunk = self._read(min(size, self.SIZE))
        self._missing = size - len(chunk)
        if self._kept < HEAD_BYTES:
            self._kept += len(chunk)
            return chunk
        self.skipped += len(chunk)
        return _Skipped(len(chunk)) if chunk else chunk

    def _read(self, size: int) -> bytes:
        try:
            chunk: bytes = self._sock.recv(size)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except OSError as error:
            self.fault = in_words(error)
            raise
        return chunk


class PublishRefusedError(aiomqtt.MqttError):
    """The broker received a message and refused it, for example because the account may not write its topic."""


class DirectClient(aiomqtt.Client):
    """An aiomqtt client that hands every message to ``deliver(topic, payload, retained)`` at once."""

    def __init__(self, deliver: Deliver, max_payload: int, **options: Any) -> None:
        """Make a client of one connection.

        Args:
            deliver: called with each message, on the event loop.
            max_payload: largest payload in bytes; the contents of a larger packet are discarded. With MQTT 5 the broker
                knows the limit and does not send such a packet.
            options: passed on to :class:`aiomqtt.Client`.
        """
        self._most_bytes = max_payload + HEAD_BYTES
        if options.get("protocol") == aiomqtt.ProtocolVersion.V5:
            properties: Any = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.MaximumPacketSize = self._most_bytes
            options["properties"] = properties
        super().__init__(**options)
        self._deliver = deliver
        self._ahead: ReadAhead | None = None
        self._given_up = False
        self._answers: dict[int, asyncio.Future[Any]] = {}

    async def __aenter__(self) -> Self:
        lost = self._disconnected
        try:
            await super().__aenter__()
            if lost.done():  # lost before its first use; aiomqtt would drop the reason
                await _end_of(lost)
        except BaseException:
            # aiomqtt does not close the socket when the broker does not answer.
            self._given_up = True
            self._client._sock_close()  # noqa: SLF001 - paho has no public way to close without DISCONNECT
            raise
        return self

    def _client_connect(self) -> None:
        """Connect, on a thread; close the socket if the caller has given up meanwhile."""
        super()._client_connect()
        if self._given_up:
            self._loop.call_soon_threadsafe(self._client._sock_close)  # noqa: SLF001 - as above

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        try:
            await super().__aexit__(exc_type, exc, tb)
        finally:
            self._client._sock_close()  # noqa: SLF001 - as above
            if self._disconnected.done() and not self._disconnected.cancelled():
                self._disconnected.exception()  # retrieved, else asyncio logs it as never retrieved

    async def send(self, topic: str, payload: str | bytes, *, retain: bool) -> None:
        """Publish with QoS 1.

        Raises:
            PublishRefusedError: the broker refuses the message; the connection stays up.
            aiomqtt.MqttError: the connection is lost.
        """
        info = self._client.publish(topic, payload, 1, retain)
        if info.rc:
            raise aiomqtt.MqttCodeError(info.rc, "Could not publish message")
        answer = self._answers[info.mid] = self._loop.create_future()
        try:
            code = await self._wait_for(answer, timeout=None)
        finally:
            del self._answers[info.mid]
        if code.is_failure:
            raise PublishRefusedError(f"the broker refuses messages on '{topic}': {code}")

    async def wait_disconnected(self) -> Never:
        """Wait until the connection is lost.

        Raises:
            aiomqtt.MqttError: with the reason of the loss.
        """
        await _end_of(self._disconnected)

    async def _wait_for(self, fut: Any, timeout: float | None) -> Any:  # noqa: ASYNC109 - aiomqtt's signature
        """Wait for an answer of the broker, as aiomqtt does, but end when the connection is lost."""
        if fut is self._disconnected:
            return await super()._wait_for(fut, timeout)
        answer = asyncio.ensure_future(super()._wait_for(fut, timeout))
        try:
            await asyncio.wait({answer, self._disconnected}, return_when=asyncio.FIRST_COMPLETED)
            if not answer.done():
                await self.wait_disconnected()
            return answer.result()
        finally:
            answer.cancel()

    def _on_publish(self, client: Any, userdata: Any, mid: int, reason_code: Any, properties: Any) -> None:
        answer = self._answers.get(mid)
        if answer is not None and not answer.done():
            answer.set_result(reason_code)
        super()._on_publish(client, userdata, mid, reason_code, properties)

    def _on_disconnect(self, client: Any, userdata: Any, flags: Any, reason_code: Any, properties: Any = None) -> None:
        if not self._connected.done():
            # aiomqtt would go on waiting for the broker's answer.
            fault = self._ahead.fault if self._ahead is not None else ""
            error = aiomqtt.MqttError(fault or "the broker closed the connection at once")
            self._loop.call_soon_threadsafe(self._end, error)
        super()._on_disconnect(client, userdata, flags, reason_code, properties)

    def _end(self, error: aiomqtt.MqttError) -> None:
        """Give the reason of the loss to the waiting coroutine: that of the connect, or that of the disconnect."""
        future = self._disconnected if self._connected.done() else self._connected
        if not future.done():
            future.set_exception(error)

    def _on_message(self, client: Any, userdata: Any, message: MQTTMessage) -> None:  # noqa: ARG002 - paho's signature
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = "\N{REPLACEMENT CHARACTER}"
        ahead, payload = self._ahead, bytes(message.payload)
        if ahead is not None and ahead.skipped:
            payload, ahead.skipped = _Skipped(len(payload) + ahead.skipped), 0
        self._deliver(topic, payload, message.retain)

    def _on_socket_open(self, client: Any, userdata: Any, sock: Any) -> None:
        ahead = ReadAhead(sock, self._most_bytes)
        self._ahead = ahead
        client._sock = ahead  # noqa: SLF001 - paho has no way to hand it a socket
        super()._on_socket_open(client, userdata, sock)
        self._loop.call_soon_threadsafe(self._loop.add_reader, sock.fileno(), self._on_readable, client, ahead)

    def _on_readable(self, client: Any, ahead: ReadAhead) -> None:
        # Under load the socket is readable in every iteration: a second scheduled read would starve everything else.
        if not ahead.turn_comes and self._read_some(client, ahead):
            ahead.turn_comes = True
            self._loop.call_soon(self._read_on, client, ahead)

    def _read_on(self, client: Any, ahead: ReadAhead) -> None:
        if self._read_some(client, ahead):
            self._loop.call_soon(self._read_on, client, ahead)
        else:
            # In the next iteration: in this one the socket may be readable too, which would make it twice as long.
            self._loop.call_soon(setattr, ahead, "turn_comes", False)

    def _read_some(self, client: Any, ahead: ReadAhead) -> bool:
        """Process up to ``MESSAGES_A_TURN`` messages; returns whether there are more, for the loop's next iteration."""
        try:
            for _ in range(MESSAGES_A_TURN):
                client.loop_read()
                if client._sock is not ahead or not ahead.pending():  # noqa: SLF001 - None once it is closed
                    return False
        except Exception as error:  # noqa: BLE001 - a packet that paho cannot parse ends this connection only
            self._end(aiomqtt.MqttError(f"a packet that cannot be read: {error!r:.200}"))
            client._sock_close()  # noqa: SLF001 - as above
            return False
        return True


async def _end_of(connection: "asyncio.Future[None]") -> Never:
    """Wait until the connection is lost, which raises the reason."""
    try:
        await asyncio.shield(connection)
    except OSError as error:  # from aiomqtt's writes
        raise aiomqtt.MqttError(str(error)) from error
    raise aiomqtt.MqttError("the broker closed the connection")


def client_options(settings: Mqtt) -> dict[str, Any]:
    """Keyword arguments of an aiomqtt client for the broker of ``settings``; reads the files that they name.

    Raises:
        ConfigurationError: a password or certificate cannot be read.
    """
    host, port = settings.host_and_port
    password = None
    if settings.password_file is not None:
        password = read_secret(settings.password_file, "mqtt.password_file")
    modern = settings.version == "5"
    return {
        "hostname": host,
        "port": port,
        "username": settings.user,
        "password": password.reveal() if password else None,
        "protocol": aiomqtt.ProtocolVersion.V5 if modern else aiomqtt.ProtocolVersion.V311,
        "clean_session": None if modern else True,
        "keepalive": settings.keepalive_s,
        "tls_context": broker_context(settings) if settings.secure else None,
        "timeout": 10.0,
    }
