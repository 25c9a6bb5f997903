"""The daemon as systemd would run it: under the unit's system call rules, with its environment and a notify socket."""

import os
import socket
import sys
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.authority import Authority
from tests.support.daemons import configuration
from tests.support.programs import ROOT, program
from tests.support.servers import free_port, get, mosquitto, process, wait_for

pytestmark = pytest.mark.system
UNIT = ROOT / "systemd" / "vibration-monitor.service"


@pytest.mark.parametrize("encrypted", [False, True])
def test_the_daemon_works_under_the_units_rules_and_says_so(tmp_path: Path, encrypted: bool) -> None:
    program("systemd-analyze")
    port, broker_port = free_port(), free_port()
    authority = Authority(tmp_path / "authority")
    certificate, key = authority.sign("broker")
    listener = (f"listener {broker_port} 127.0.0.1", "allow_anonymous true")
    secure = (f"certfile {certificate}", f"keyfile {key}") if encrypted else ()
    config = tmp_path / "config.yaml"
    log = tmp_path / "daemon.log"
    notify = tmp_path / "notify"
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd,
        mosquitto(tmp_path, broker_port, *listener, *secure) as broker,
        log.open("w") as stream,
    ):
        systemd.bind(str(notify))
        systemd.settimeout(60)
        trust = f"{{ca_file: '{authority.certificate}'}}"
        tls = f"mqtt: {{url: 'mqtts://127.0.0.1:{broker}', tls: {trust}}}\n"
        config.write_text(configuration(broker, port, tls if encrypted else ""))
        (tmp_path / "state").mkdir()
        environment = {
            **os.environ,
            "NOTIFY_SOCKET": str(notify),
            "WATCHDOG_USEC": "2000000",
            "STATE_DIRECTORY": str(tmp_path / "state"),
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        hardened = (sys.executable, "-m", "tests.support.hardened", UNIT, "--")
        daemon = (sys.executable, "-m", "monitor", "run", "--config", config)
        with process(*hardened, *daemon, stderr=stream, env=environment) as child:
            first = systemd.recv(4096).decode()
            assert first.startswith("READY=1"), first
            assert child.poll() is None

            def connected() -> bool:
                families = text_string_to_metric_families(get(f"http://127.0.0.1:{port}/metrics"))
                values = {sample.name: sample.value for family in families for sample in family.samples}
                assert values["process_resident_memory_bytes"] > 0
                assert ("vibration_certificate_expiry_timestamp_seconds" in values) == encrypted
                return bool(values["vibration_mqtt_connected"])

            wait_for(connected, "the broker")
            child.terminate()
            assert child.wait(30) == 0, log.read_text()
            said: list[str] = []
            systemd.settimeout(1)
            while not said or not said[-1].startswith("STOPPING=1"):
                said.append(systemd.recv(4096).decode())
        assert "Traceback" not in log.read_text()
