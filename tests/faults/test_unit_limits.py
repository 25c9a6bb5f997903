"""The daemon under the shipped unit's limits, while everything hostile happens at once: it lives, and it scores.

The limits are read from the unit. Memory and tasks are limited by control groups where this machine lets us make them;
everywhere, the peaks that the kernel saw must be below the limits.
"""

import contextlib
import json
import os
import re
import resource
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Self

import numpy as np
import pytest

from monitor.bench.load import publish_packet
from monitor.runtime.processes import procfs
from tests.support.daemons import RunningDaemon, configuration
from tests.support.hardened import settings
from tests.support.programs import ROOT
from tests.support.servers import answers, free_port, mosquitto, process, wait_for

pytestmark = pytest.mark.system

UNIT = {key: values[-1] for key, values in settings([ROOT / "systemd" / "vibration-monitor.service"]).items()}
MEMORY_MAX = int(UNIT["MemoryMax"][:-1]) * {"M": 2**20, "G": 2**30}[UNIT["MemoryMax"][-1]]
TASKS_MAX = int(UNIT["TasksMax"])
DESCRIPTORS = int(UNIT["LimitNOFILE"])

FORMATS = ("float32", "int16", "json", "senml", "cbor", "msgpack")
CONNECT = b"\x10\x10\x00\x04MQTT\x04\x02\x00\x00\x00\x04soak"
LARGEST = 2**28 - 1
"""The most bytes that a packet may have (MQTT 3.1.1, 2.2.3)."""

DIGITS = b"9" * 401
MIXED = b'{"samples": ["' + b"y" * 10**6 + b'"' + b",1" * 1000 + b"]}"
"""A long string among numbers: an array of all would give every one of them a megabyte."""


def shared_lists(levels: int = 12) -> bytes:
    """CBOR in which each list holds the one before it eight times, by reference (tags 28 and 29): 8^12 numbers."""
    lists = b"\xd8\x1c\x88" + b"\x00" * 8
    for level in range(1, levels):
        lists += b"\xd8\x1c\x88" + (b"\xd8\x1d" + bytes([level - 1])) * 8
    return b"\xa2" + b"\x61a" + bytes([0x80 + levels]) + lists + b"\x67samples" + b"\xd8\x1d" + bytes([levels - 1])


HOSTILE: dict[str, list[bytes]] = {
    "float32": [b"", b"\x00" * 7, np.full(1000, np.nan, np.float32).tobytes(), b"\xff" * 10**6],
    "int16": [b"\x00", b"\xff" * 10**6],
    "json": [
        MIXED,
        b'{"samples": [1], "t": 1.7e18}',
        b'{"samples": [1], "seq": 10000000000000000000}',
        b'{"samples": [1], "t": ' + DIGITS + b"}",
        b'{"samples": [1, ' + DIGITS + b"]}",
        b'{"samples": {"\\ud800": [1]}}',
        b"[" * 10**6,
        b'{"samples": [' + b"[1]," * 200_000 + b"[1]]}",
    ],
    "senml": [
        b'[{"bt": ' + DIGITS + b', "v": 1}]',
        b"[" + b'{"v":1},' * 100_000 + b'{"v":1}]',
        b'[{"n": "x", "v": 1}, {"n": "y", "v": 2}]',
    ],
    "cbor": [
        shared_lists(),
        b"\xa2\x67samples\x81\x01\x61t\xc2\x59\x04\x00" + b"\xff" * 1024,
        b"\x9b\x00\x00\x00\xff\xff\xff\xff\xff",
        b"\xa1\x67samples\xa2\x01\x81\x01\x61x\x81\x01",
        b"\x81" * 10**5,
    ],
    "msgpack": [
        b"\x81\xa7samples\xdc\x03\xe9" + b"\xdb\x00\x0f\x42\x40" + b"y" * 10**6 + b"\x01" * 1000,
        b"\xdd\xff\xff\xff\xff",
        b"\x91" * 10**5,
    ],
}
"""Payloads that are large, or become large, or whose numbers are."""

REQUESTS = (
    b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n" * 4,
    b"GET /metrics HTTP/1.1\r\nHost: ",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"POST /-/reload HTTP/1.1\r\nHost: evil.example\r\nOrigin: http://evil.example\r\nContent-Length: 0\r\n\r\n",
    b"GET / HTTP/1.1\r\nAuthorization: Bearer \xff\r\nHost: localhost\r\n\r\n",
    b"GET /" + b"a" * 10**5,
)


@contextlib.contextmanager
def control_groups() -> Iterator[list[Path]]:
    """The members' files of new control groups with the unit's limits; none where they cannot be made."""
    name, root = f"vibration-monitor-test-{os.getpid()}", Path("/sys/fs/cgroup")
    if (root / "cgroup.subtree_control").exists():
        wanted = {root / name: {"memory.max": MEMORY_MAX, "pids.max": TASKS_MAX}}
    else:
        wanted = {
            root / "memory" / name: {"memory.limit_in_bytes": MEMORY_MAX},
            root / "pids" / name: {"pids.max": TASKS_MAX},
        }
    made = []
    try:
        for group, limits in wanted.items():
            with contextlib.suppress(OSError):
                group.mkdir()
                made.append(group)
                for file, limit in limits.items():
                    (group / file).write_text(str(limit))
        yield [group / "cgroup.procs" for group in made if all((group / file).exists() for file in wanted[group])]
    finally:
        for group in made:
            wait_for(lambda group=group: _gone(group), "the control group to be empty")  # type: ignore[misc]


def _gone(group: Path) -> bool:
    with contextlib.suppress(OSError):
        group.rmdir()
    return not group.exists()


@contextlib.contextmanager
def limited_daemon(folder: Path, broker: int, groups: list[Path]) -> Iterator[RunningDaemon]:
    sensors = [
        {"topic": f"{name}/{{machine}}/{{axis}}", "payload": {"format": name}, "sampling_rate_hz": 12000}
        for name in FORMATS
    ]
    port = free_port()
    config = folder / "config.yaml"
    # 3.1.1 cannot tell the broker how large a packet may be.
    mqtt = f"mqtt: {{url: 'mqtt://127.0.0.1:{broker}', version: '3.1.1', reconnect_min: 50ms, reconnect_max: 200ms}}\n"
    text = f"{mqtt}sensors: {json.dumps(sensors)}\nlimits: {{channels: 64}}\nstate_dir: '{folder}/state'\n"
    config.write_text(configuration(broker, port, text))
    log = folder / "daemon.log"
    join = "".join(f"echo $$ > {file}; " for file in groups) + f'ulimit -n {DESCRIPTORS}; exec "$@"'
    command = ("sh", "-c", join, "sh", sys.executable, "-P", "-m", "monitor", "run", "--config", config)
    with log.open("w") as stream, process(*command, stderr=stream, cwd=folder) as child:
        address = f"http://127.0.0.1:{port}"
        wait_for(lambda: answers(f"{address}/-/healthy") or child.poll() is not None, "the daemon to answer")
        yield RunningDaemon(address, config, child, log)


class Peaks:
    """The most that a daemon and its workers had, of what the kernel does not keep the peak of."""

    def __init__(self, pid: int) -> None:
        self.tasks = self.descriptors = 0
        self._pid = pid
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def memory_bytes(self) -> int:
        """Sum of the peaks of the processes; what they share counts several times."""
        return sum(_peak_bytes(pid) for pid in (self._pid, *procfs.children(self._pid)))

    def _watch(self) -> None:
        while not self._stop.wait(0.05):
            with contextlib.suppress(OSError):
                pids = (self._pid, *procfs.children(self._pid))
                self.tasks = max(self.tasks, sum(_entries(f"/proc/{pid}/task") for pid in pids))
                self.descriptors = max(self.descriptors, _entries(f"/proc/{self._pid}/fd"))


def _entries(folder: str) -> int:
    return sum(1 for _ in Path(folder).iterdir())


def _peak_bytes(pid: int) -> int:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) * 1024


def connection(port: int) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), timeout=30)
    client.sendall(CONNECT.replace(b"soak", os.urandom(2).hex().encode()))
    assert client.recv(4)[3] == 0
    return client


@contextlib.contextmanager
def healthy(port: int) -> Iterator[None]:
    """Sensors that send what they should, ten times a second."""
    stop = threading.Event()
    rng = np.random.default_rng(5)

    def send() -> None:
        with connection(port) as client:
            while not stop.wait(0.1):
                samples = rng.normal(size=1200).astype("<f4")
                client.sendall(publish_packet("float32/healthy-float32/x", samples.tobytes()))
                numbers = json.dumps({"samples": samples.round(3).tolist()}).encode()
                client.sendall(publish_packet("json/healthy-json/x", numbers))

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def bombs(port: int) -> None:
    """Every hostile payload to a topic of its codec, and to those of all others."""
    with connection(port) as client:
        for name in FORMATS:
            for payload in (payload for payloads in HOSTILE.values() for payload in payloads):
                client.sendall(publish_packet(f"{name}/bombs/x", payload))


def topics(port: int) -> None:
    """Thousands of topics: undecodable ones that match a sensor, and ones that match none, long and odd ones."""
    names = [f"json/machine-{number}/x" for number in range(3000)]
    names += [f"nobody/{number}" for number in range(3000)]
    names += [f"json/{'m' * 250}/x", "json/new\x7fline/x", "json/\u2028/x", "/".join(["json", "\U0001f4a9" * 60, "x"])]
    with connection(port) as client:
        client.sendall(b"".join(publish_packet(name, b'{"samples": [') for name in names))


def flood(port: int) -> None:
    """Two seconds of as much as the broker takes."""
    payload = np.zeros(1000, np.float32).tobytes()
    packets = b"".join(publish_packet(f"float32/flood-{number}/x", payload) for number in range(40))
    with connection(port) as client:
        until_s = time.monotonic() + 2
        while time.monotonic() < until_s:
            client.sendall(packets)


def giant(port: int) -> None:
    """The largest message that MQTT allows."""
    topic = b"float32/giant/x"
    head = b"\x30\xff\xff\xff\x7f" + len(topic).to_bytes(2, "big") + topic
    left = LARGEST - 2 - len(topic)
    part = bytes(2**20)
    with connection(port) as client:
        client.sendall(head)
        while left:
            client.sendall(part[:left])
            left -= min(left, len(part))


@contextlib.contextmanager
def crowd(port: int) -> Iterator[None]:
    """Three hundred HTTP clients that ask and never read, or never finish asking."""
    with contextlib.ExitStack() as stack:
        for number in range(300):
            client = socket.socket()
            stack.callback(client.close)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.settimeout(5)
            with contextlib.suppress(OSError):
                client.connect(("127.0.0.1", port))
                client.sendall(REQUESTS[number % len(REQUESTS)])
        yield


def test_everything_hostile_at_once_under_the_units_limits(tmp_path: Path) -> None:
    attacks: list[Callable[[int], None]] = [bombs, topics, giant, flood]
    with (
        control_groups() as groups,
        mosquitto(tmp_path) as broker,
        limited_daemon(tmp_path, broker, groups) as daemon,
        healthy(broker),
        Peaks(daemon.process.pid) as peaks,
    ):

        def value(name: str, **labels: str) -> float:
            """A value of the page; 0 while the crowd leaves no place for us."""
            assert daemon.process.poll() is None, daemon.log.read_text()[-4000:]
            with contextlib.suppress(OSError):
                return daemon.value(name, **labels)
            return 0.0

        def scored(name: str) -> float:
            return value("vibration_blocks_scored_total", machine=f"healthy-{name}")

        assert resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE) == (DESCRIPTORS, DESCRIPTORS)
        before = {name: wait_for(partial(scored, name), "scores") for name in ("float32", "json")}
        with crowd(int(daemon.address.rpartition(":")[2])):
            for attack in attacks:
                attack(broker)
            received = value("vibration_mqtt_messages_received_total")
            wait_for(lambda: value("vibration_mqtt_messages_received_total") > received + 20, "messages after it", 60)
        for name, count in before.items():
            wait_for(lambda name=name, count=count: scored(name) > count + 200, "blocks to be scored")  # type: ignore[misc]
        assert peaks.memory_bytes < MEMORY_MAX
        assert peaks.tasks < TASKS_MAX
        assert peaks.descriptors < DESCRIPTORS
        assert sum(daemon.values("vibration_internal_errors_total")) == 0
        assert "Traceback" not in daemon.log.read_text()
        daemon.process.terminate()
        assert daemon.process.wait(20) == 0
