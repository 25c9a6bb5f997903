"""Hostile HTTP clients against the running daemon, while samples come and a well-behaved scraper asks."""

import contextlib
import json
import random
import resource
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from monitor.runtime.processes.procfs import cpu_s
from tests.support.daemons import RunningDaemon, running_daemon
from tests.support.servers import answers, ask, get, mosquitto, prometheus, wait_for

pytestmark = pytest.mark.system

CHANNELS = 250
"""Enough for a page of metrics of 800 kB."""

CLIENTS = 300
"""More than the server has places (256)."""

GOOD_SCRAPE_S = 5.0
"""A scrape must be through by then, on a busy machine too."""


@contextlib.contextmanager
def feed(port: int) -> Iterator[None]:
    """Two channels at their rate, and the others once."""
    ended = threading.Event()
    client = Client(CallbackAPIVersion.VERSION2)
    client.connect("127.0.0.1", port)
    client.loop_start()
    rng = np.random.default_rng(13)

    def publish() -> None:
        for number in range(CHANNELS):
            client.publish(f"plant/machine-{number}/x", rng.normal(size=1200).astype("<f4").tobytes())
        while not ended.wait(0.1):
            for number in range(2):
                client.publish(f"plant/machine-{number}/x", rng.normal(size=1200).astype("<f4").tobytes())

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        client.disconnect()
        client.loop_stop()


@dataclass
class Plant:
    """A daemon under load."""

    daemon: RunningDaemon
    port: int
    prometheus: str
    """The address of a Prometheus that scrapes the daemon."""

    def resident_bytes(self) -> int:
        pages = int(Path(f"/proc/{self.daemon.process.pid}/statm").read_text().split()[1])
        return pages * resource.getpagesize()

    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.daemon.process.pid}/fd").iterdir()))

    def scored(self) -> float:
        return self.daemon.value("vibration_blocks_scored_total", machine="machine-0")

    def scrape_s(self) -> float:
        """Seconds that a scrape of a new connection takes."""
        began_s = time.monotonic()
        assert "vibration_blocks_scored_total" in get(f"{self.daemon.address}/metrics")
        return time.monotonic() - began_s

    def connection(self, receive_bytes: int = 4096) -> socket.socket:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        client.settimeout(10)
        client.connect(("127.0.0.1", self.port))
        return client

    def answer(self, request: bytes) -> bytes:
        """The status line of the answer to raw bytes, empty if the connection ends without one."""
        with self.connection(65536) as client:
            with contextlib.suppress(ConnectionError):
                client.sendall(request)
            try:
                return client.recv(4096).partition(b"\r\n")[0]
            except ConnectionError:
                return b""


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    folder = tmp_path_factory.mktemp("http")
    with contextlib.ExitStack() as stack:
        broker = stack.enter_context(mosquitto(folder))
        daemon = stack.enter_context(running_daemon(folder, broker))
        stack.enter_context(feed(broker))
        target = daemon.address.removeprefix("http://")
        (folder / "prometheus.yml").write_text(
            "global: {scrape_interval: 3s, scrape_timeout: 3s}\n"
            f"scrape_configs: [{{job_name: vibration-monitor, static_configs: [{{targets: ['{target}']}}]}}]\n"
        )
        server = stack.enter_context(prometheus(folder, folder / "prometheus.yml"))
        running = Plant(daemon, int(target.rpartition(":")[2]), server)
        wait_for(lambda: len(daemon.values("vibration_samples_received_total")) == CHANNELS, "every channel")
        wait_for(lambda: running.scored() > 0, "the first score")
        wait_for(lambda: ask(server, "up"), "the first scrape")
        yield running


def lines_from(plant: Plant, start: int) -> list[str]:
    return plant.daemon.log.read_text().splitlines()[start:]


def ended(client: socket.socket) -> bool:
    """Whether the server has ended a connection."""
    client.setblocking(False)
    try:
        while client.recv(65536):
            pass
    except BlockingIOError:
        return False
    except ConnectionError:
        return True
    return True


@contextlib.contextmanager
def crowd(plant: Plant, greet: Callable[[socket.socket, int], None]) -> Iterator[list[socket.socket]]:
    clients = [plant.connection() for _ in range(CLIENTS)]
    try:
        for number, client in enumerate(clients):
            client.setblocking(False)
            with contextlib.suppress(ConnectionError, BlockingIOError):
                greet(client, number)
        yield clients
    finally:
        for client in clients:
            client.close()


def test_clients_that_never_read_cost_neither_memory_nor_scrapes(plant: Plant) -> None:
    before_bytes, before_scored, before_lines = plant.resident_bytes(), plant.scored(), len(lines_from(plant, 0))
    descriptors = plant.descriptors()
    request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n" * 4
    with crowd(plant, lambda client, _: client.sendall(request)) as clients:
        slowest_s = max(plant.scrape_s() for _ in range(10))
        grown_bytes = plant.resident_bytes() - before_bytes
        assert slowest_s < GOOD_SCRAPE_S
        # The answers alone would be 300 x 0.8 MB, and as much again in the kernel.
        assert grown_bytes < 120e6
        wait_for(lambda: plant.descriptors() < descriptors + 10, "the clients to be dropped", 40)
        grown_bytes = plant.resident_bytes() - before_bytes
        assert grown_bytes < 120e6
        del clients
    wait_for(lambda: plant.scored() > before_scored + 20, "scores to go on")
    assert len(lines_from(plant, before_lines)) < 20
    assert not [line for line in lines_from(plant, before_lines) if "Traceback" in line]


def test_connections_that_say_nothing_or_little_are_ended(plant: Plant) -> None:
    before_lines, before_scored = len(lines_from(plant, 0)), plant.scored()

    def greet(client: socket.socket, number: int) -> None:
        if number % 2:
            client.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n")

    with crowd(plant, greet) as clients:
        slowest_s = 0.0

        def all_ended() -> bool:
            nonlocal slowest_s
            for client in clients[1::2]:  # a header that never ends, a few bytes at a time
                with contextlib.suppress(OSError):
                    client.sendall(b"X-a: b\r\n")
            slowest_s = max(slowest_s, plant.scrape_s())
            return all(ended(client) for client in clients)

        wait_for(all_ended, "every connection to be ended", 40)
        assert slowest_s < GOOD_SCRAPE_S
    assert ask(plant.prometheus, "min_over_time(up[10m])") == 1  # through the clients that never read, too
    assert (ask(plant.prometheus, "count_over_time(up[10m])") or 0) >= 5
    wait_for(lambda: plant.scored() > before_scored + 20, "scores to go on")
    assert len(lines_from(plant, before_lines)) < 20


MALFORMED = (
    b"\x00\x01\x02\r\n\r\n",
    b"GET\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET /metrics HTTP/1.1\r\nHost\r\n\r\n",
    b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
    b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"GET /" + 20_000 * b"a" + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n" + b"".join(b"X-%d: a\r\n" % n for n in range(1000)) + b"\r\n",
    b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: " + 200_000 * b"b" + b"\r\n\r\n",
)


def test_malformed_and_giant_requests_are_refused_without_a_traceback(plant: Plant) -> None:
    before_lines, before_bytes = len(lines_from(plant, 0)), plant.resident_bytes()
    for _ in range(10):
        for request in MALFORMED:
            status = plant.answer(request)
            assert status == b"" or status.split()[1] in {b"400", b"431", b"505"}, (request[:60], status)
    body = b"POST /-/reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n"
    for _ in range(5):
        assert plant.answer(body + bytes(1_000_000)).split()[1:2] in ([], [b"413"])
    assert plant.resident_bytes() - before_bytes < 50e6
    said = lines_from(plant, before_lines)
    assert not [line for line in said if "Traceback" in line]
    assert len(said) < 10
    assert plant.scrape_s() < GOOD_SCRAPE_S


def mutated(rng: random.Random) -> bytes:
    """A request that is nearly good."""
    method = rng.choice([b"GET", b"GET", b"HEAD", b"POST", b"OPTIONS", b"CONNECT", b"TRACE", b"PRI", b"get"])
    path = rng.choice(
        [
            b"/", b"*", b"//evil", b"http://[::1", b"http://evil/metrics", b"/metrics", b"/%ff%00", b"/\xff\xfe",
            b"/static/%2e%2e%2fx", b"/api/v1/channels", b"/api/v1/evidence/%00", b"/api/v1/evidence/..%2f..",
            b"/api/v1/evidence?channel=%ff%00", b"/api/v1/evidence?channel=" + b"a" * 5000,
            b"/api/v1/channels/stream?machine=%ff&axis=%00", b"/-/reload?" + b"a=b&" * 1000, b"/?" + b"%f0%9f" * 500,
        ]
    )  # fmt: skip
    headers = rng.sample(
        [
            b"Host: \xff", b"Host: [", b"Origin: \xff", b"Origin: http://[", b"Upgrade: websocket",
            b"Connection: upgrade", b"Expect: 100-continue", b"Expect: nonsense", b"Content-Length: 5",
            b"Transfer-Encoding: chunked", b"Content-Encoding: gzip", b"Range: bytes=9-1", b"If-None-Match: \xff",
            b"Accept: \xff;q=\xff,;=", b"Accept-Encoding: \xff;;q,",
            b"Accept-Encoding: \xff", b"Content-Type: \xff;;=", b"Cookie: \xff=\x01", b"X: a\x00b", b" folded",
            b"If-Modified-Since: nonsense", b"Authorization: \xff",
        ],
        rng.randint(0, 6),
    )  # fmt: skip
    if rng.random() < 0.8:
        headers.insert(0, b"Host: localhost")
    raw = bytearray(b"%s %s HTTP/1.1\r\n%s\r\n\r\nbody" % (method, path, b"\r\n".join(headers)))
    for _ in range(rng.choice([0, 0, 1, 3])):
        raw[rng.randrange(len(raw))] = rng.randrange(256)
    return bytes(raw)


def test_requests_that_are_nearly_good_raise_nothing(plant: Plant) -> None:
    before_lines, rng = len(lines_from(plant, 0)), random.Random(13)
    for _ in range(300):
        with plant.connection(65536) as client, contextlib.suppress(ConnectionError):
            client.settimeout(0.2)  # most of those without an answer wait for a body
            client.sendall(mutated(rng))
            with contextlib.suppress(TimeoutError):
                client.recv(4096)
    said = lines_from(plant, before_lines)
    assert not [line for line in said if "Traceback" in line or "internal error" in line]
    assert len(said) < 10


def test_a_foreign_name_or_page_changes_nothing_and_reads_no_channel(plant: Plant) -> None:
    def status(method: str, path: str, **headers: str) -> int:
        request = urllib.request.Request(f"{plant.daemon.address}{path}", method=method, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                found: int = answer.status
                return found
        except urllib.error.HTTPError as error:
            return error.code

    own = plant.daemon.address.removeprefix("http://")
    for host in ("evil.example", f"evil.example:{plant.port}", "127.0.0.1.evil.example"):
        assert status("POST", "/-/reload", Host=host) == 403
        assert status("GET", "/api/v1/channels", Host=host) == 403
        assert status("GET", "/metrics", Host=host) == 200
    for origin in ("http://evil.example", "null", f"http://localhost:{plant.port + 1}"):
        assert status("POST", "/-/reload", Origin=origin) == 403
    assert "reloaded" not in plant.daemon.log.read_text()
    for host in (own, f"localhost:{plant.port}", "[::1]:9108", socket.gethostname()):
        assert status("GET", "/api/v1/channels", Host=host) == 200
    assert status("POST", "/-/reload", Origin=f"http://{own}") == 200


def test_without_descriptors_scoring_goes_on_and_scrapes_come_back(plant: Plant) -> None:
    pid = plant.daemon.process.pid
    before_lines, before_scored = len(lines_from(plant, 0)), plant.scored()
    wait_for(lambda: answers(f"{plant.daemon.address}/metrics"), "a scrape")
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (plant.descriptors(), before[1]))
    clients = [plant.connection() for _ in range(50)]
    began_s = time.monotonic()
    try:
        before_s = cpu_s(pid)
        wait_for(lambda: time.monotonic() - began_s > 3, "some seconds without descriptors")
        assert cpu_s(pid) - before_s < 1.5
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
        for client in clients:
            client.close()
    wait_for(lambda: answers(f"{plant.daemon.address}/metrics"), "scrapes to come back")
    # 12 blocks come every 0.1 s: what came in the meantime was scored.
    assert plant.scored() > before_scored + 200
    assert len(lines_from(plant, before_lines)) < 20
    assert plant.daemon.process.poll() is None


def test_after_all_of_it_no_error_was_unforeseen(plant: Plant) -> None:
    assert sum(plant.daemon.values("vibration_internal_errors_total")) == 0
    assert "Traceback" not in plant.daemon.log.read_text()
    assert json.loads(get(f"{plant.daemon.address}/api/v1/channels"))["service"]["channels"] == CHANNELS
