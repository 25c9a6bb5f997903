"""Encryption and passwords with a real broker and a real browser's view: who is let in, and what is said to others."""

import base64
import json
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.support.authority import Authority
from tests.support.closed_broker import PASSWORD, closed_broker
from tests.support.daemons import SENSOR, running_daemon
from tests.support.servers import free_port, process, wait_for

pytestmark = pytest.mark.system


def mqtt(port: int, trusted: Path, ours: tuple[Path, Path] | None, password_file: Path) -> str:
    """The section of the configuration."""
    tls = {"ca_file": str(trusted)}
    if ours is not None:
        tls |= {"cert_file": str(ours[0]), "key_file": str(ours[1])}
    waits = {"reconnect_min": "50ms", "reconnect_max": "200ms"}
    settings = {"url": f"mqtts://127.0.0.1:{port}", "user": "monitor", "password_file": str(password_file), "tls": tls}
    return f"mqtt: {json.dumps(settings | waits)}\n"


def refusals(log: Path, port: int) -> str:
    """What the log says of attempts to connect, in small letters."""
    lines = log.read_text().lower().replace("_", " ").splitlines()
    return "\n".join(line for line in lines if f"no broker: url=mqtts://127.0.0.1:{port} " in line)


def test_a_broker_that_asks_for_everything(tmp_path: Path) -> None:
    authority, stranger = Authority(tmp_path / "plant"), Authority(tmp_path / "stranger")
    good, bad = tmp_path / "password", tmp_path / "wrong-password"
    good.write_text(f"{PASSWORD}\n")
    bad.write_text("battery staple")
    ours = authority.sign("monitor", days=10)
    with closed_broker(tmp_path, authority) as port:
        refused = {
            "self-signed certificate in certificate chain": mqtt(port, stranger.certificate, ours, good),
            "certificate required": mqtt(port, authority.certificate, None, good),
            "unknown ca": mqtt(port, authority.certificate, stranger.sign("monitor"), good),
            "not authorized": mqtt(port, authority.certificate, ours, bad),
        }
        for reason, section in refused.items():
            with running_daemon(tmp_path, port, section) as daemon:
                # A reset may overtake the broker's reason; one of the next attempts gets it.
                wait_for(lambda: reason in refusals(daemon.log, port), reason)  # noqa: B023 - awaited here
                assert daemon.value("vibration_mqtt_connected") == 0
                assert "battery" not in daemon.log.read_text()
        with running_daemon(tmp_path, port, mqtt(port, authority.certificate, ours, good)) as daemon:
            wait_for(lambda: daemon.value("vibration_mqtt_connected"), "the broker")
            ends_s = daemon.value("vibration_certificate_expiry_timestamp_seconds", file=str(ours[0]))
            assert ends_s == pytest.approx(time.time() + 10 * 86400, abs=120)
            assert daemon.value("vibration_certificate_expiry_timestamp_seconds", file=str(authority.certificate))
            assert PASSWORD not in daemon.log.read_text()


def test_a_certificate_for_another_host_is_refused(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "plant")
    (tmp_path / "password").write_text(PASSWORD)
    with closed_broker(tmp_path, authority) as port:
        section = mqtt(port, authority.certificate, authority.sign("monitor"), tmp_path / "password")
        with running_daemon(tmp_path, port, section.replace("mqtts://127.0.0.1", "mqtts://localhost")) as daemon:
            wait_for(lambda: "Hostname mismatch" in daemon.log.read_text(), "the refusal")
            assert daemon.value("vibration_mqtt_connected") == 0


def test_https_with_a_password_and_a_certificate_renewed_in_place(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "plant")
    cert, key = authority.sign("monitor", days=3)
    (tmp_path / "password").write_text(PASSWORD)
    http = {
        "listen": "127.0.0.1:0",
        "reload": True,
        "cert_file": str(cert),
        "key_file": str(key),
        "basic_auth": {"user": "prometheus", "password_file": str(tmp_path / "password")},
    }
    broker = f"mqtt://127.0.0.1:{free_port()}"
    config = tmp_path / "config.yaml"
    config.write_text(json.dumps({"sensors": [SENSOR], "http": http, "mqtt": {"url": broker}}))
    trusting = ssl.create_default_context(cafile=str(authority.certificate))
    login = base64.b64encode(f"prometheus:{PASSWORD}".encode()).decode()
    command = (sys.executable, "-m", "monitor", "run", "--config", config, "--announce")
    with process(*command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        assert child.stdout is not None
        address = child.stdout.readline().strip()
        assert address.startswith("https://127.0.0.1:")

        def ask(path: str, method: str = "GET", authorization: str = f"Basic {login}") -> str:
            request = urllib.request.Request(
                address + path, method=method, headers={"Authorization": authorization} if authorization else {}
            )
            with urllib.request.urlopen(request, timeout=10, context=trusting) as answer:
                text: str = answer.read().decode()
                return text

        name = f'vibration_certificate_expiry_timestamp_seconds{{file="{cert}"}}'

        def expiry_s() -> float:
            return next(float(line.split()[1]) for line in ask("/metrics").splitlines() if line.startswith(name))

        assert expiry_s() == pytest.approx(time.time() + 3 * 86400, abs=120)
        for path in ("/metrics", "/-/healthy", "/api/v1/channels", "/"):
            with pytest.raises(urllib.error.HTTPError) as refused:
                ask(path, authorization="")
            assert refused.value.code == 401
            refused.value.close()
        with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
            urllib.request.urlopen(address + "/metrics", timeout=10)
        served = ssl.get_server_certificate(("127.0.0.1", int(address.rpartition(":")[2])))
        authority.sign("monitor", days=90)
        assert ask("/-/reload", "POST") == "reloaded\n"
        # A page is reused for a moment, so the first answer may be that of before.
        wait_for(
            lambda: expiry_s() == pytest.approx(time.time() + 90 * 86400, abs=120), "the expiry of the new certificate"
        )
        assert ssl.get_server_certificate(("127.0.0.1", int(address.rpartition(":")[2]))) != served
