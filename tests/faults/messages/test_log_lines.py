"""Names from outside cannot forge a line of the log or of the status, nor cost the page of metrics."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion
from prometheus_client.parser import text_string_to_metric_families

from monitor.runtime.alarms.capture_names import NAME, evidence_stem
from monitor.runtime.processes.notify import Notifier
from monitor.runtime.web.metrics.exposition import MetricsPage, label_text
from monitor.runtime.web.page.stream import event
from tests.support.daemons import SENSOR, running_daemon
from tests.support.programs import program
from tests.support.servers import get, mosquitto, wait_for

HOSTILE = (
    "x\n2026-01-01 00:00:00,000 ERROR forged: line",
    "x\r\n<2>forged",
    "\x1b[2J\x1b]0;title\x07",
    "half \ud800 a pair",
    "\udcff\udc00",
    "nul \x00 del \x7f c1 \x9b31m",
    "separators \u2028 and \u2029 and \x85 and \x0b",
    "turned \u202e around \u2066",
)

SENSOR_OF_AXES = SENSOR | {"topic": "plant/{machine}/{sensor}", "payload": {"format": "json"}}

SPEAKER = r"""
import json, logging, sys
from monitor.runtime.log.logs import configure_logging
configure_logging(sys.argv[1])
log = logging.getLogger("speaker")
for name in json.loads(sys.argv[2]):
    log.warning("new channel: %s", name)
    try:
        raise ValueError(name)
    except ValueError:
        log.exception("lost: %s", name)
"""


def spoken(folder: Path, style: str, *, journald: bool) -> str:
    file = folder / "log"
    with file.open("wb") as stream:
        status = os.fstat(stream.fileno())
        environment = {name: value for name, value in os.environ.items() if name != "JOURNAL_STREAM"}
        if journald:
            environment["JOURNAL_STREAM"] = f"{status.st_dev}:{status.st_ino}"
        command = [sys.executable, "-c", SPEAKER, style, json.dumps(HOSTILE)]
        subprocess.run(command, stderr=stream, env=environment, check=True, timeout=60)
    return file.read_bytes().decode()


@pytest.mark.parametrize("journald", [False, True])
@pytest.mark.parametrize("style", ["text", "json"])
def test_a_record_is_a_line_whatever_it_names(tmp_path: Path, style: str, journald: bool) -> None:
    text = spoken(tmp_path, style, journald=journald)
    lines = text.removesuffix("\n").split("\n")
    assert [char for line in lines for char in line if not char.isprintable() and char != "\t"] == []
    if journald:
        assert all(line[:3] in {"<4>", "<3>"} for line in lines)
        lines = [line[3:] for line in lines]
    if style == "json":
        records = [json.loads(line) for line in lines]
        assert [record["message"] for record in records[::2]] == [f"new channel: {name}" for name in HOSTILE]
        return
    # What is not indented is a record; two a name.
    records = [line for line in lines if not line.startswith("  ")]
    assert len(records) == 2 * len(HOSTILE)
    assert all("speaker: " in line for line in records)
    assert not [line for line in records if line.startswith("forged")]


def test_the_metrics_survive_any_name_and_prometheus_reads_them() -> None:
    page = MetricsPage()
    names = [*HOSTILE, *('plain "quoted" \\', "ein Lüfter", "")]
    page.family(
        "vibration_channels", "gauge", "Text with \\ and\na line.", [(label_text(("m",), (name,)), 1) for name in names]
    )
    body = page.text()
    found = [family.samples for family in text_string_to_metric_families(body.decode())]
    assert len(found) == 1
    values = [sample.labels["m"] for sample in found[0]]
    assert len(set(values)) == len(names)
    assert values[-3:] == names[-3:]
    assert values[3] == "half \\ud800 a pair"
    assert not [char for value in values for char in value if not char.isprintable() and char != "\n"]
    checked = subprocess.run(
        [program("promtool"), "check", "metrics"], input=body, capture_output=True, check=False, timeout=60
    )
    assert b"error while linting" not in checked.stderr, checked.stderr


@pytest.mark.parametrize("name", HOSTILE)
def test_a_status_is_one_line(tmp_path: Path, name: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(10)
        notifier = Notifier(str(tmp_path / "notify"))
        notifier.status(f"channel {name}\nREADY=1")
        told = systemd.recv(4096).decode()
        notifier.close()
    assert told.startswith("STATUS=channel")
    assert "\n" not in told
    assert told.isprintable()


@pytest.mark.parametrize("name", HOSTILE)
def test_files_and_documents_take_any_name(name: str) -> None:
    assert NAME.fullmatch(f"{evidence_stem(name, 0.0)}.npz")
    message = event("channel", {"name": name})
    assert message.count(b"\n") == 3
    assert json.loads(message.split(b"data: ")[1])["name"] == name


@pytest.mark.system
def test_hostile_names_of_axes_reach_neither_the_log_nor_the_metrics(tmp_path: Path) -> None:
    with (
        mosquitto(tmp_path) as broker,
        running_daemon(tmp_path, broker, f"sensors: [{SENSOR_OF_AXES}]\n") as daemon,
    ):
        wait_for(lambda: daemon.value("vibration_mqtt_connected"), "the broker")
        names = (*HOSTILE, "good")
        client = Client(CallbackAPIVersion.VERSION2)
        client.connect("127.0.0.1", broker)
        for name in names:
            client.publish("plant/fan/de", json.dumps({"samples": {name: [0.1] * 200}}))
        while client.want_write():
            client.loop()
        wait_for(lambda: daemon.value("vibration_mqtt_messages_received_total") == len(names), "every message", 15)
        client.disconnect()
        page = get(f"{daemon.address}/metrics")
        log = daemon.log.read_bytes().decode()
    assert "vibration_samples_received_total" in page
    assert all(char.isprintable() or char == "\n" for char in page)
    assert all(char.isprintable() or char == "\n" for char in log)
    assert not [line for line in log.split("\n") if line.startswith(("2026-01-01", "<2>", "forged"))]
    assert "Traceback" not in log
