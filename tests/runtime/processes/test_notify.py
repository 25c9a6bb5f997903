import asyncio
import contextlib
import logging
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.runtime.processes import notify
from monitor.runtime.processes.notify import Notifier


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """A socket as systemd would open it, and its name in NOTIFY_SOCKET."""
    path, abstract = str(tmp_path / "notify"), f"vibration-monitor-test-{os.getpid()}"
    address, name = (path, path) if request.param == "path" else ("\0" + abstract, "@" + abstract)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(address)
        server.settimeout(5)
        yield name, server


def test_every_message_is_one_datagram_of_the_protocol(systemd: tuple[str, socket.socket]) -> None:
    name, server = systemd
    notifier = Notifier(name)
    before_us = time.monotonic_ns() // 1000
    notifier.ready("12 channels")
    notifier.status("12 channels,\n lag 0.1 s")
    notifier.reloading()
    notifier.watchdog()
    notifier.stopping("saving state")
    notifier.status("")
    messages = [server.recv(4096).decode() for _ in range(5)]
    assert messages[0] == "READY=1\nSTATUS=12 channels"
    assert messages[1] == "STATUS=12 channels, lag 0.1 s"
    assert messages[3:] == ["WATCHDOG=1", "STOPPING=1\nSTATUS=saving state"]
    reloading, instant = messages[2].split("\n")
    assert reloading == "RELOADING=1"
    key, _, microseconds = instant.partition("=")
    assert key == "MONOTONIC_USEC"
    assert before_us <= int(microseconds) <= time.monotonic_ns() // 1000
    notifier.close()
    notifier.watchdog()
    server.setblocking(False)
    with pytest.raises(BlockingIOError):
        server.recv(4096)


def test_without_a_socket_nothing_is_sent() -> None:
    notifier = Notifier.from_environment({})
    assert notifier.watchdog_s is None
    notifier.ready("x")
    notifier.reloading()
    notifier.status("x")
    notifier.watchdog()
    notifier.stopping()
    notifier.close()


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_watchdog_period_comes_from_the_environment(environment: dict[str, str], expected: float | None) -> None:
    assert Notifier.from_environment(environment).watchdog_s == expected


def test_a_socket_that_is_gone_costs_a_warning_only(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    notifier = Notifier(str(tmp_path / "nobody"))
    with caplog.at_level(logging.WARNING, notify.__name__):
        notifier.ready()
    assert "systemd was not notified of READY=1" in caplog.text
    notifier.close()


def test_an_address_of_another_family_costs_a_warning_only(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, notify.__name__):
        Notifier("vsock:2:1234").ready()
    assert "systemd is not notified: NOTIFY_SOCKET is 'vsock:2:1234'" in caplog.text


def test_a_full_queue_never_blocks_the_watchdog(tmp_path: Path) -> None:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(path)
        notifier = Notifier(path)
        begin = time.monotonic()
        for _ in range(2000):  # far more than a queue of datagrams holds
            notifier.watchdog()
        assert time.monotonic() - begin < 60
        notifier.close()


@pytest.mark.parametrize(("silent_s", "expected"), [(0.0, True), (60.0, False)])
def test_no_watchdog_while_a_worker_hangs(
    systemd: tuple[str, socket.socket], silent_s: float, *, expected: bool
) -> None:
    address, receiver = systemd
    notifier = Notifier(address, watchdog_s=0.03)

    async def story() -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(notifier.watch(lambda: time.monotonic() - silent_s, lambda: "fine"), 0.005)

    asyncio.run(story())
    notifier.close()
    found = [receiver.recv(100)]
    if expected:
        found.append(receiver.recv(100))
    assert found == [b"WATCHDOG=1", b"STATUS=fine"][not expected :]
