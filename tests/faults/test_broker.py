"""What a broker, an account at it or a neighbour on it can do: the daemon says so, and is there again afterwards."""

import asyncio
import contextlib
import json
import re
import resource
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import aiomqtt
import pytest

from tests.support.authority import Authority
from tests.support.daemons import SENSOR, RunningDaemon, running_daemon
from tests.support.programs import missing, program
from tests.support.servers import free_port, mosquitto, publish, wait_for

pytestmark = pytest.mark.system

VERSIONS = pytest.mark.parametrize("version", ["5", "3.1.1"])
LARGEST = 2**28 - 1
"""The most bytes that a packet may have (MQTT 5, 1.5.5)."""

PLUGIN = Path("/usr/lib/x86_64-linux-gnu/mosquitto_dynamic_security.so")


def section(port: int, **keys: object) -> str:
    """The section ``mqtt`` of a configuration, with short waits."""
    waits = {"reconnect_min": "50ms", "reconnect_max": "200ms"}
    return f"mqtt: {json.dumps({'url': f'mqtt://127.0.0.1:{port}'} | waits | keys)}\n"


def send(port: int, topic: str, messages: int = 1) -> None:
    publish(port, [(topic, bytes(400))] * messages)


def unready(daemon: RunningDaemon) -> str:
    """Why the daemon is not ready, empty when it is."""
    try:
        with urllib.request.urlopen(f"{daemon.address}/-/ready", timeout=10):
            return ""
    except urllib.error.HTTPError as error:
        with error:
            text: str = error.read().decode()
            return text


def connected(daemon: RunningDaemon) -> bool:
    assert daemon.process.poll() is None, daemon.log.read_text()
    return daemon.value("vibration_mqtt_connected") == 1


def reconnections(daemon: RunningDaemon) -> float:
    return daemon.value("vibration_mqtt_reconnects_total")


def peak_mb(pid: int) -> float:
    """The most memory that a process has had."""
    return int(re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())[0]) / 1000


def send_giant(port: int, topic: str) -> None:
    """Publish the largest packet that there is (MQTT 3.1.1, QoS 1), and wait until the broker has taken it."""
    name = topic.encode()
    length = LARGEST
    head = b"\x32" + bytes([0xFF, 0xFF, 0xFF, 0x7F]) + len(name).to_bytes(2, "big") + name + b"\x00\x01"
    with socket.create_connection(("127.0.0.1", port), timeout=120) as sender:
        sender.sendall(b"\x10\x11\x00\x04MQTT\x04\x02\x00\x3c\x00\x05giant")
        assert sender.recv(4) == b"\x20\x02\x00\x00"
        sender.sendall(head)
        left = length - (len(head) - 5)
        while left:
            chunk = bytes(min(left, 2**20))
            sender.sendall(chunk)
            left -= len(chunk)
        assert sender.recv(4) == b"\x40\x02\x00\x01"


@pytest.mark.parametrize(("version", "qos"), [("5", 0), ("3.1.1", 1)])
def test_a_giant_message_costs_itself_only(tmp_path: Path, version: str, qos: int) -> None:
    with (
        mosquitto(tmp_path) as port,
        running_daemon(tmp_path, port, section(port, version=version, qos=qos)) as daemon,
    ):
        wait_for(lambda: connected(daemon), "the broker")
        send(port, "plant/fan/x")
        wait_for(lambda: daemon.value("vibration_samples_received_total", machine="fan") == 100, "a channel")
        before_mb = peak_mb(daemon.process.pid)
        send_giant(port, "plant/giant/x")
        send(port, "plant/fan/x")
        send(port, "plant/pump/x", 30)
        wait_for(
            lambda: daemon.value("vibration_samples_received_total", machine="pump") == 3000, "other channels", 120
        )
        wait_for(lambda: daemon.value("vibration_samples_received_total", machine="fan") == 200, "the channel")
        assert peak_mb(daemon.process.pid) - before_mb < 40
        # MQTT 5 tells the broker not to send it; of 3.1.1 the beginning comes, and is counted.
        refused = daemon.value("vibration_messages_rejected_total", reason="too_large")
        assert refused == (0 if version == "5" else 1)
        assert reconnections(daemon) == 0


@contextlib.contextmanager
def secured(folder: Path, port: int) -> Iterator[None]:
    """A broker with TLS and a password."""
    lines = [
        f"listener {port} 127.0.0.1",
        f"certfile {folder / 'plant' / 'broker.crt'}",
        f"keyfile {folder / 'plant' / 'broker.key'}",
        "allow_anonymous false",
        f"password_file {folder / 'passwords'}",
    ]
    with mosquitto(folder, port, *lines):
        yield


@pytest.mark.parametrize(
    ("name", "moved", "half_written"),
    [
        ("password", r"mqtt\.password_file: cannot read .*No such file", r"mqtt\.password_file: .* is empty"),
        ("plant/ca.crt", r"mqtt\.tls\.ca_file: cannot load", r"mqtt\.tls\.ca_file: cannot load"),
    ],
)
def test_a_file_that_cannot_be_read_at_a_reconnection_is_tried_again(
    tmp_path: Path, name: str, moved: str, half_written: str
) -> None:
    authority, port = Authority(tmp_path / "plant"), free_port()
    authority.sign("broker")
    (tmp_path / "password").write_text("horse\n")
    subprocess.run([program("mosquitto_passwd"), "-b", "-c", tmp_path / "passwords", "monitor", "horse"], check=True)
    keys = {
        "url": f"mqtts://127.0.0.1:{port}",
        "user": "monitor",
        "password_file": str(tmp_path / "password"),
        "tls": {"ca_file": str(authority.certificate)},
    }
    file = tmp_path / name
    contents = file.read_bytes()
    with running_daemon(tmp_path, port, section(port, **keys)) as daemon:
        with secured(tmp_path, port):
            wait_for(lambda: connected(daemon), "the broker")
            file.unlink()
        with secured(tmp_path, port):
            wait_for(lambda: re.search(moved, unready(daemon)), "the reason: moved")
            file.write_bytes(contents[:300] if len(contents) > 300 else b"")
            wait_for(lambda: re.search(half_written, unready(daemon)), "the reason: half written")
            file.write_bytes(contents)
            wait_for(lambda: connected(daemon), "the broker again")
        # Many attempts, few lines.
        assert len(re.findall(r"no broker: .*(password_file|ca_file)", daemon.log.read_text())) <= 6


def test_exhausted_descriptors_pass(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("horse\n")
    port = free_port()
    keys = section(port, user="monitor", password_file=str(tmp_path / "password"))
    with running_daemon(tmp_path, port, keys) as daemon:
        pid = daemon.process.pid
        limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        with mosquitto(tmp_path, port):
            wait_for(lambda: connected(daemon), "the broker")
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, limits[1]))
        wait_for(
            lambda: daemon.process.poll() is not None or "Too many open files" in daemon.log.read_text(), "the reason"
        )
        with mosquitto(tmp_path, port):
            assert daemon.process.poll() is None, daemon.log.read_text()
            resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
            wait_for(lambda: connected(daemon), "the broker again")


def known_as(port: int) -> str:
    """The configuration of a daemon whose client identifier another client can take."""
    return (
        f"mqtt: {{url: 'mqtt://127.0.0.1:{port}', client_id: the-daemon, reconnect_min: 50ms, reconnect_max: 200ms}}\n"
    )


def test_short_connections_end_nothing_and_blame_nobody(tmp_path: Path) -> None:
    async def throw_out() -> None:
        async with aiomqtt.Client("127.0.0.1", port, identifier="the-daemon"):
            pass

    with mosquitto(tmp_path) as port, running_daemon(tmp_path, port, known_as(port)) as daemon:
        wait_for(lambda: connected(daemon), "the broker")
        for number in range(1, 9):
            asyncio.run(throw_out())
            wait_for(lambda: reconnections(daemon) == number and connected(daemon), "again")  # noqa: B023 - awaited
        assert "another client" not in daemon.log.read_text()
        send(port, "plant/fan/x")
        wait_for(lambda: daemon.value("vibration_samples_received_total") == 100, "samples")


@VERSIONS
def test_an_account_that_may_not_write_the_status_takes_samples(tmp_path: Path, version: str) -> None:
    port = free_port()
    (tmp_path / "acl").write_text("topic read plant/#\nuser sensor\ntopic write plant/#\n")
    (tmp_path / "acl").chmod(0o700)
    (tmp_path / "passwords").write_text("")
    subprocess.run([program("mosquitto_passwd"), "-b", tmp_path / "passwords", "sensor", "s"], check=True)
    # With unlimited queues mosquitto 2.0 ends the connection of whoever publishes what it may not.
    lines = (f"acl_file {tmp_path / 'acl'}", f"password_file {tmp_path / 'passwords'}")

    async def send() -> None:
        async with aiomqtt.Client("127.0.0.1", port, username="sensor", password="s") as client:  # noqa: S106 - of a test
            await client.publish("plant/fan/x", bytes(400), qos=1)

    with (
        mosquitto(tmp_path, port, f"listener {port} 127.0.0.1", "allow_anonymous true", *lines),
        running_daemon(tmp_path, port, section(port, version=version)) as daemon,
    ):
        wait_for(lambda: "mqtt.status_topic" in daemon.log.read_text(), "a connection without status")
        # In MQTT 5 the broker says so and ends the connection; in 3.1.1 it ends two before we ask ourselves.
        reconnects = 1 if version == "5" else 2
        wait_for(lambda: connected(daemon) and reconnections(daemon) >= reconnects, "a connection that stays")
        reconnects = daemon.log.read_text().count("connected: url=") - 1
        for _ in range(3):
            received = daemon.value("vibration_samples_received_total")
            asyncio.run(send())
            wait_for(lambda: daemon.value("vibration_samples_received_total") == received + 100, "samples")  # noqa: B023 - awaited
        assert reconnections(daemon) == reconnects
        assert unready(daemon) == ""
        assert daemon.log.read_text().count("mqtt.status_topic") == 1


@VERSIONS
def test_a_refused_filter_costs_its_sensor_only(tmp_path: Path, version: str) -> None:
    if not PLUGIN.exists():
        missing(f"{PLUGIN} is not installed")
    port = free_port()
    may_read = {"acltype": "subscribePattern", "topic": "plant/#", "priority": 0, "allow": True}
    rules = {
        "defaultACLAccess": {
            "publishClientSend": True, "publishClientReceive": True, "subscribe": False, "unsubscribe": True,
        },
        "clients": [],
        "groups": [{"groupname": "all", "clients": [], "roles": [{"rolename": "reader"}]}],
        "roles": [{"rolename": "reader", "acls": [may_read]}],
        "anonymousGroup": "all",
    }  # fmt: skip
    (tmp_path / "rules.json").write_text(json.dumps(rules))
    lines = (f"plugin {PLUGIN}", f"plugin_opt_config_file {tmp_path / 'rules.json'}")
    sensors = [SENSOR, {**SENSOR, "topic": "secret/{machine}/{axis}"}]
    with (
        mosquitto(tmp_path, port, f"listener {port} 127.0.0.1", "allow_anonymous true", *lines),
        running_daemon(tmp_path, port, f"{section(port, version=version)}sensors: {json.dumps(sensors)}\n") as daemon,
    ):
        wait_for(lambda: connected(daemon), "the broker")
        send(port, "plant/fan/x")
        wait_for(lambda: daemon.value("vibration_samples_received_total") == 100, "samples")
        assert "refuses the subscription to secret/+/+" in unready(daemon)
        assert daemon.log.read_text().count("refused the subscription to secret/+/+") == 1


def test_a_broker_that_says_nonsense_is_a_broker_that_is_away(tmp_path: Path) -> None:
    accepted = b"\x20\x03\x00\x00\x00"
    nonsense = (
        b"\xf0\x00",  # no such packet
        accepted + b"\x30\x02\xff\xff",  # a topic that is longer than its packet
        accepted + b"\x30\x05\x00\x01a\x01\x7f",  # no such property
        accepted + b"\x30\xff\xff\xff\xff\x7f",  # no such length
        accepted + b"\x90\x02\x00\x07",  # the answer to a question that nobody asked
    )
    port = free_port()
    with running_daemon(tmp_path, port) as daemon, socket.create_server(("127.0.0.1", port)) as listener:
        listener.settimeout(30)
        for packets in nonsense:
            peer, _ = listener.accept()
            with peer:
                peer.settimeout(30)
                peer.recv(1000)
                peer.sendall(packets)
                peer.shutdown(socket.SHUT_WR)
                with contextlib.suppress(ConnectionError):
                    while peer.recv(1000):
                        pass
        assert "broker mqtt://127.0.0.1" in unready(daemon)
        assert "internal error" not in daemon.log.read_text()
