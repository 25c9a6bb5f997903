"""The MQTT source against a real mosquitto, in both protocol versions."""

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiomqtt
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from monitor.config.mqtt import Mqtt
from monitor.runtime.intake.mqtt.connection import MqttSource
from monitor.runtime.intake.mqtt.direct_client import MESSAGES_A_TURN, DirectClient
from monitor.runtime.intake.mqtt.loss import in_words
from tests.support.servers import free_port, mosquitto, until

pytestmark = pytest.mark.system

VERSIONS = pytest.mark.parametrize("version", ["5", "3.1.1"])


def settings(port: int, **keys: object) -> Mqtt:
    return Mqtt.model_validate(
        {"url": f"mqtt://127.0.0.1:{port}", "reconnect_min": "50ms", "reconnect_max": "200ms"} | keys
    )


@contextlib.asynccontextmanager
async def running(source: MqttSource) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(source.run())
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@VERSIONS
def test_messages_go_straight_to_the_callback_in_order(tmp_path: Path, version: str) -> None:
    async def story(port: int) -> None:
        got: list[tuple[str, bytes, bool]] = []
        source = MqttSource(settings(port, version=version), ["plant/+"], lambda *m: got.append(m))
        async with running(source), aiomqtt.Client("127.0.0.1", port) as sender:
            await until(lambda: source.state.connected)
            for i in range(500):
                await sender.publish("plant/fan", str(i).encode(), qos=0)
            await until(lambda: len(got) == 500)
        assert got == [("plant/fan", str(i).encode(), False) for i in range(500)]

    with mosquitto(tmp_path) as port:
        asyncio.run(story(port))


@VERSIONS
def test_retained_messages_come_marked_or_not_at_all(tmp_path: Path, version: str) -> None:
    async def story(port: int) -> None:
        got: list[tuple[str, bytes, bool]] = []
        source = MqttSource(settings(port, version=version), ["plant/+"], lambda *m: got.append(m))
        async with aiomqtt.Client("127.0.0.1", port) as sender:
            await sender.publish("plant/fan", b"old", qos=1, retain=True)
            async with running(source):
                await until(lambda: source.state.connected)
                await sender.publish("plant/fan", b"live", qos=1)
                await until(lambda: (("plant/fan", b"live", False)) in got)
        old = [] if version == "5" else [("plant/fan", b"old", True)]
        assert got == [*old, ("plant/fan", b"live", False)]

    with mosquitto(tmp_path) as port:
        asyncio.run(story(port))


@VERSIONS
def test_retained_messages_of_a_filter_that_wants_them(tmp_path: Path, version: str) -> None:
    async def story(port: int) -> None:
        got: list[tuple[str, bytes, bool]] = []
        filters = ["plant/+/x", "plant/+/speed"]
        source = MqttSource(settings(port, version=version), filters, lambda *m: got.append(m), filters[1:])
        async with aiomqtt.Client("127.0.0.1", port) as sender:
            for topic in ("plant/fan/x", "plant/fan/speed"):
                await sender.publish(topic, b"old", qos=1, retain=True)
            for round_ in range(2):
                async with running(source):
                    await until(lambda: got.count(("plant/fan/speed", b"old", True)) == round_ + 1)  # noqa: B023
        old = 0 if version == "5" else 2
        assert got.count(("plant/fan/x", b"old", True)) == old

    with mosquitto(tmp_path) as port:
        asyncio.run(story(port))


@VERSIONS
def test_a_broker_that_comes_late_goes_and_comes_back(tmp_path: Path, version: str) -> None:
    async def story() -> None:
        port = free_port()
        got: list[bytes] = []
        source = MqttSource(settings(port, version=version), ["plant/+"], lambda _t, p, _r: got.append(p))
        async with running(source):
            await until(lambda: source.state.last_error not in {"", "not connected yet"})
            assert not source.state.connected
            for round_ in range(3):
                with contextlib.ExitStack() as stack:
                    await asyncio.to_thread(stack.enter_context, mosquitto(tmp_path, port))
                    await until(lambda: source.state.connected)
                    async with aiomqtt.Client("127.0.0.1", port) as sender:
                        await sender.publish("plant/fan", str(round_).encode(), qos=1)
                        await until(lambda: len(got) == round_ + 1)  # noqa: B023 - awaited in the same round
                    await asyncio.to_thread(stack.close)
                await until(lambda: not source.state.connected)
        assert got == [b"0", b"1", b"2"]
        assert source.state.reconnects == 2

    asyncio.run(story())


@VERSIONS
def test_status_is_online_then_stopped_and_offline_after_a_crash(tmp_path: Path, version: str) -> None:
    async def story(port: int) -> None:
        seen: list[bytes] = []
        watcher = DirectClient(
            lambda _t, payload, _r: seen.append(payload), 1000, hostname="127.0.0.1", port=port, identifier="watcher"
        )
        async with watcher:
            await watcher.subscribe("vibration-monitor/status/#")
            source = MqttSource(settings(port, version=version), ["a"], lambda *_: None)
            async with running(source):
                await until(lambda: seen == [b"online"])
                await source.close()
                await until(lambda: seen == [b"online", b"stopped"])
            crash = MqttSource(settings(port, version=version), ["a"], lambda *_: None)
            async with running(crash):
                await until(lambda: len(seen) == 3)
                assert crash._client is not None
                sock = crash._client._client.socket()
                assert sock is not None
                with socket.socket(fileno=os.dup(sock.fileno())) as twin:
                    twin.shutdown(socket.SHUT_RDWR)
                await until(lambda: b"offline" in seen)

    with mosquitto(tmp_path) as port:
        asyncio.run(story(port))


def test_a_broker_that_hangs_up_is_not_waited_for() -> None:
    async def story() -> str:
        async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.close()

        async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
            source = MqttSource(settings(server.sockets[0].getsockname()[1]), ["a"], lambda *_: None)
            async with running(source):
                await until(lambda: source.state.last_error not in {"", "not connected yet"}, timeout_s=5.0)
        return source.state.last_error

    assert asyncio.run(story()) in {"the broker closed the connection at once", "the connection was reset"}


Answer = Callable[[bytes], bytes]


@contextlib.asynccontextmanager
async def broker(subscribe: Answer, publish: Answer) -> AsyncIterator[int]:
    """A broker of MQTT 5 that answers as it is told; packets have at most 127 bytes."""
    answers: dict[int, Answer] = {0x10: lambda _: b"\x20\x03\x00\x00\x00", 0x80: subscribe, 0x30: publish}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                kind, length = await reader.readexactly(2)
                body = await reader.readexactly(length)
                if answer := answers.get(kind & 0xF0):
                    writer.write(answer(body))
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


def subscribed(body: bytes, *codes: int) -> bytes:
    """The answer to a subscription."""
    return bytes([0x90, 3 + len(codes)]) + body[:2] + b"\x00" + bytes(codes)


def test_a_rival_is_named_where_the_broker_tells_of_it(caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        taken_over = b"\xe0\x02\x8e\x00"
        async with broker(lambda body: subscribed(body, 0), lambda _: taken_over) as port:
            source = MqttSource(settings(port), ["a"], lambda *_: None)
            async with running(source) as task:
                await until(lambda: source.state.connections >= 4)
                await until(lambda: "mqtt.client_id" in source.state.problem)
                assert not task.done()

    asyncio.run(story())
    assert sum(r.levelname == "ERROR" and "mqtt.client_id" in r.getMessage() for r in caplog.records) == 1


def test_what_the_broker_refuses_is_asked_for_again() -> None:
    codes = [(0, 0x87), (0x87,), (0,)]

    async def story() -> None:
        topic = len(settings(1).status) + 2
        accept = b"\x40\x02"
        async with broker(
            lambda body: subscribed(body, *codes.pop(0)), lambda body: accept + body[topic : topic + 2]
        ) as port:
            source = MqttSource(settings(port), ["a", "b"], lambda *_: None)
            async with running(source):
                await until(lambda: source.state.problem == "refuses the subscription to b")
                await until(lambda: source.state.connected and not source.state.problem)
                assert source.state.connections == 1

    asyncio.run(story())
    assert codes == []


def test_a_rival_that_the_broker_does_not_tell_of_is_outlived(tmp_path: Path) -> None:
    async def story(port: int) -> None:
        source = MqttSource(settings(port, client_id="twin"), ["a"], lambda *_: None)
        async with running(source) as task:
            async with running(MqttSource(settings(port, client_id="twin"), ["a"], lambda *_: None)):
                await until(lambda: source.state.connections >= 8)
                assert "client_id" not in source.state.last_error
            await until(lambda: source.state.connected)
            assert not task.done()

    with mosquitto(tmp_path) as port:
        asyncio.run(story(port))


def test_a_flood_leaves_every_turn_of_the_event_loop_short(tmp_path: Path) -> None:
    count = 4000

    async def story(port: int) -> list[int]:
        taken = 0

        def deliver(*_: object) -> None:
            nonlocal taken
            taken += 1
            time.sleep(0.0002)  # slower than the messages come

        source = MqttSource(settings(port), ["a"], deliver)
        turns = []
        async with running(source), aiomqtt.Client("127.0.0.1", port) as flood:
            await until(lambda: source.state.connected)
            sending = asyncio.gather(*(flood.publish("a", bytes(1000)) for _ in range(count)))
            while taken < count:
                before = taken
                await asyncio.sleep(0)
                turns.append(taken - before)
            await sending
        return turns

    with mosquitto(tmp_path) as port:
        turns = asyncio.run(asyncio.wait_for(story(port), 60))
    assert sum(turns) == count
    assert max(turns) == MESSAGES_A_TURN


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ConnectionRefusedError(111, "Connection refused"), "nothing accepts connections there; does the broker run?"),
        (socket.gaierror(-2, "Name or service not known"), "the name of this host is not known"),
        (TimeoutError("timed out"), "the broker did not answer in time"),
        (OSError(113, "No route to host"), "there is no way to this host; is it on, and the network up?"),
        (OSError(24, "Too many open files"), "Too many open files"),
        (aiomqtt.MqttCodeError(7), "The connection was lost."),
        (aiomqtt.MqttError("Operation timed out"), "Operation timed out"),
        (aiomqtt.MqttError(), "MqttError"),
        (
            aiomqtt.MqttCodeError(ReasonCode(PacketTypes.DISCONNECT, "Unspecified error"), "Unexpected disconnection"),
            "the connection ended, and the broker gave no reason; was it stopped?",
        ),
    ],
)
def test_a_loss_is_told_in_words(error: Exception, words: str) -> None:
    assert in_words(error) == words

    def as_aiomqtt_does() -> None:
        try:
            raise error
        except OSError as cause:
            raise aiomqtt.MqttError(str(cause)) from None

    if isinstance(error, OSError):
        with pytest.raises(aiomqtt.MqttError) as raised:
            as_aiomqtt_does()
        assert in_words(raised.value) == words
