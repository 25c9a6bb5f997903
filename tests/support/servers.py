"""Real servers for tests, on loopback, with ports of their own; each ends with its block."""

import asyncio
import contextlib
import json
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import aiomqtt

from tests.support.programs import program

Found = TypeVar("Found")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def wait_for(condition: Callable[[], Found | None], what: str, timeout_s: float = 30.0) -> Found:
    """The first truthy value of ``condition``, asked again and again; fails with ``what`` after the time."""
    deadline = time.monotonic() + timeout_s
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout_s} s in vain for: {what}")
        time.sleep(0.02)


async def until(condition: Callable[[], object], what: str = "the condition", timeout_s: float = 30.0) -> None:
    """As :func:`wait_for`, on an event loop that goes on."""
    try:
        async with asyncio.timeout(timeout_s):
            while not condition():  # noqa: ASYNC110 - conditions of any kind
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"waited {timeout_s} s in vain for: {what}") from None


def listening(port: int) -> bool:
    with socket.socket() as client:
        client.settimeout(1.0)
        return client.connect_ex(("127.0.0.1", port)) == 0


def get(url: str) -> str:
    """The body of an answer; an HTTP error status raises."""
    with urllib.request.urlopen(url, timeout=10) as answer:
        text: str = answer.read().decode()
        return text


def answers(url: str) -> bool:
    """Whether a GET succeeds."""
    try:
        get(url)
    except OSError:
        return False
    return True


def ask(address: str, query: str) -> float | None:
    """The value of a PromQL query with one series, None while there is none."""
    document = json.loads(get(f"{address}/api/v1/query?{urllib.parse.urlencode({'query': query})}"))
    result = document["data"]["result"]
    return float(result[0]["value"][1]) if result else None


@contextlib.contextmanager
def process(*command: str | Path, **options: object) -> Iterator[subprocess.Popen[str]]:
    """A subprocess that is ended with the block."""
    child = subprocess.Popen(  # type: ignore[call-overload]
        [str(part) for part in command], text=True, **options
    )
    try:
        yield child
    finally:
        if child.poll() is None:
            child.terminate()
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        for stream in (child.stdout, child.stderr, child.stdin):
            if stream:
                stream.close()


@contextlib.contextmanager
def mosquitto(folder: Path, port: int | None = None, *lines: str) -> Iterator[int]:
    """A mosquitto on a loopback port; ``lines`` are added to its configuration."""
    port = port or free_port()
    config = folder / f"mosquitto-{port}.conf"
    settings = lines or (f"listener {port} 127.0.0.1", "allow_anonymous true")
    config.write_text("\n".join([*settings, "max_queued_messages 0", "user root", ""]))
    with process(program("mosquitto"), "-c", config, stderr=subprocess.DEVNULL):
        wait_for(lambda: listening(port), "mosquitto to listen")
        yield port


def publish(
    port: int, messages: Iterable[tuple[str, bytes | str]], *, retain: bool = False, pause_s: float = 0.0
) -> None:
    """Send messages, each after the broker has the one before."""

    async def story() -> None:
        async with aiomqtt.Client("127.0.0.1", port) as client:
            for topic, payload in messages:
                await client.publish(topic, payload, qos=1, retain=retain)
                await asyncio.sleep(pause_s)

    asyncio.run(story())


@contextlib.contextmanager
def prometheus(folder: Path, config: Path, *options: str) -> Iterator[str]:
    """A Prometheus with a configuration; gives its address."""
    port = free_port()
    with process(
        program("prometheus"),
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
        *options,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    ):
        address = f"http://127.0.0.1:{port}"
        wait_for(lambda: answers(f"{address}/-/ready"), "Prometheus to be ready")
        yield address
