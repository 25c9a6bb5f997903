"""From samples to a person: healthy, then a fault, a silent sensor, a dead broker; what Alertmanager says each time.

Rules and Alertmanager's example are the shipped ones, word for word; only evaluation and grouping are quicker.
"""

import asyncio
import contextlib
import json
import re
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import aiomqtt
import pytest

from monitor.core.messages.encode import packed_samples
from monitor.core.scoring.evidence.kinds import IN_WORDS
from monitor.demo.plant import PlantChannel, Story, plant_channels
from monitor.demo.run import calibrate_plant
from tests.support.daemons import running_daemon
from tests.support.programs import ROOT, program
from tests.support.servers import answers, ask, free_port, get, mosquitto, process, prometheus, wait_for

pytestmark = pytest.mark.system

STORY = Story(bearing_fault_s=15.0, growth_s=30.0)
MACHINES = ("fan-1", "fan-2")
DATA = ROOT / "config" / "prometheus"


class Sensors:
    """The accelerometers of two fans; fan-2's bearing breaks, and some can be silenced."""

    def __init__(self, port: int) -> None:
        self.silent = threading.Event()
        self._stop = threading.Event()
        self._channels = [c for c in plant_channels(STORY) if c.machine in MACHINES]
        self._thread = threading.Thread(target=lambda: asyncio.run(self._send(port)))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(20)

    async def _send(self, port: int) -> None:
        with contextlib.suppress(aiomqtt.MqttError):  # the test stops the broker
            async with aiomqtt.Client("127.0.0.1", port) as client:
                began_s, message = time.monotonic(), 0
                while not self._stop.is_set():
                    for channel in self._channels:
                        await self._one(client, channel)
                    message += 1
                    await asyncio.sleep(max(0.0, began_s + message * 0.1 - time.monotonic()))

    async def _one(self, client: aiomqtt.Client, channel: PlantChannel) -> None:
        samples = channel.simulation.next(1200)
        if not (self.silent.is_set() and (channel.machine, channel.point) == ("fan-2", "drive-end")):
            await client.publish(channel.topic, packed_samples(samples))


class Pager:
    """A webhook: keeps what Alertmanager posts to each receiver."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, dict[str, Any]]] = []
        """Receiver and alert, in order."""
        heard = self.heard

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                document = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                heard.extend((self.path.strip("/"), alert) for alert in document["alerts"])
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(20)

    def texts(self, receiver: str, name: str, **labels: str) -> list[dict[str, str]]:
        """The annotations of the firing alerts of a name with these labels that a receiver got."""
        return [
            alert["annotations"]
            for at, alert in self.heard
            if at == receiver
            and alert["status"] == "firing"
            and {"alertname": name, **labels}.items() <= alert["labels"].items()
        ]


@contextlib.contextmanager
def alertmanager(folder: Path, pager: Pager) -> Iterator[str]:
    port = free_port()
    config = folder / "alertmanager.yml"
    text = (DATA / "alertmanager.yml").read_text().replace("127.0.0.1:9095", f"127.0.0.1:{pager.port}")
    config.write_text(re.sub(r"group_(wait|interval): \w+", r"group_\1: 1s", text))
    command = program("alertmanager", "prometheus-alertmanager")
    with (folder / "alertmanager.log").open("w") as log, process(
        command, f"--config.file={config}", f"--storage.path={folder / 'am'}", f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=", stderr=log, stdout=log,
    ):  # fmt: skip
        wait_for(lambda: answers(f"http://127.0.0.1:{port}/-/ready"), "Alertmanager to be ready")
        yield f"127.0.0.1:{port}"


def firing(address: str, name: str, **labels: str) -> list[dict[str, object]]:
    """Alerts of a name with these labels, as Alertmanager shows them."""
    alerts = json.loads(get(f"http://{address}/api/v2/alerts"))
    return [a for a in alerts if a["labels"]["alertname"] == name and labels.items() <= a["labels"].items()]


def inhibited(alert: dict[str, object]) -> bool:
    status = alert["status"]
    assert isinstance(status, dict)
    return bool(status["inhibitedBy"])


def receivers(alert: dict[str, object]) -> set[str]:
    found = alert["receivers"]
    assert isinstance(found, list)
    return {receiver["name"] for receiver in found}


def check_text(told: dict[str, str], address: str, captures: Path) -> None:
    """What a person gets of the alarm of fan-2, and where its links lead."""
    who, times = "fan-2, sensor drive-end, axis x vibrates unlike the healthy machine", r"(\d+\.\d)"
    found = re.fullmatch(rf"{who}: RMS {times} times healthy, (\d+) to (\d+) Hz {times} times", told["summary"])
    assert found, told["summary"]
    rms, low, high, band = map(float, found.groups())
    assert 0.5 < rms < 3.0  # the alarm comes while the RMS says little
    assert band > 1.2
    assert 0 <= low < high <= 6000
    found = re.fullmatch(
        r"Since (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) \+0000 UTC \(.*s ago\)\. "
        r"Score (\d+\.\d\d), limit 1, which a healthy channel exceeds about once a month\. "
        rf"Strongest evidence: ({'|'.join(map(re.escape, IN_WORDS.values()))})\. "
        r"In warning or alarm: [123] of 3 channels of the machine\. "
        r"Next: look at the channel's page \(waveform, spectrum, captures\), then inspect the machine\.",
        told["description"],
    )
    assert found, told["description"]
    since = datetime.fromisoformat(f"{found[1]}+00:00")
    assert -1 < (datetime.now(UTC) - since).total_seconds() < 300
    assert float(found[2]) > 0.9
    assert told["dashboard"] == f"{address}/#/channel?machine=fan-2&sensor=drive-end&axis=x"
    assert "<main" in get(told["dashboard"])
    page, _, anchor = told["runbook_url"].partition("#")
    assert page == f"{address}/runbook"
    assert f'id="{anchor}">VibrationAnomalyAlarm<' in get(page)
    about = wait_for(
        lambda: [json.loads(file.read_text()) for file in captures.glob("*drive-end*.json")], "the capture"
    )
    # The fault grows, so the alarm may have been captured again.
    assert any(one["text"].startswith("fan-2/drive-end/x: alarm. RMS ") for one in about)


def test_a_fault_a_silent_sensor_and_a_dead_broker(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    calibrate_plant(state)
    sensor = (
        "{topic: 'plant/{machine}/{sensor}/acceleration', payload: {format: float32}, sampling_rate_hz: 12000, "
        "labels: {axis: x}}"
    )
    text = (
        f"sensors: [{sensor}]\nmodels: {{default: models/demo}}\nscoring: {{silent_after: 5s}}\nstate_dir: '{state}'\n"
    )
    with contextlib.ExitStack() as stack:
        broker_life = stack.enter_context(contextlib.ExitStack())
        broker = broker_life.enter_context(mosquitto(tmp_path))
        daemon = stack.enter_context(running_daemon(tmp_path, broker, text))
        pager = stack.enter_context(Pager())
        manager = stack.enter_context(alertmanager(tmp_path, pager))
        config = tmp_path / "prometheus.yml"
        config.write_text(
            "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
            f"rule_files: ['{DATA / 'vibration.rules.yml'}']\n"
            f"alerting: {{alertmanagers: [{{static_configs: [{{targets: ['{manager}']}}]}}]}}\n"
            "scrape_configs: [{job_name: vibration-monitor, static_configs: "
            f"[{{targets: ['{daemon.address.removeprefix('http://')}']}}]}}]\n"
        )
        rules = stack.enter_context(prometheus(tmp_path, config))
        sensors = stack.enter_context(Sensors(broker))
        wait_for(lambda: len(daemon.values("vibration_anomaly_score")) == 6, "six scores")
        seen = "min(count_over_time(vibration_anomaly_score[1m])) > 5"
        wait_for(lambda: ask(rules, seen), "some evaluations of the rules with all scores")
        assert firing(manager, "VibrationAnomalyAlarm") == []
        (fault,) = wait_for(
            lambda: firing(manager, "VibrationAnomalyAlarm", machine="fan-2", sensor="drive-end"), "the alarm", 90
        )
        assert fault["labels"]["severity"] == "critical"  # type: ignore[index]
        assert not inhibited(fault)
        told = wait_for(
            lambda: pager.texts("maintenance-urgent", "VibrationAnomalyAlarm", machine="fan-2", sensor="drive-end"),
            "the webhook",
        )[0]
        check_text(told, daemon.address, tmp_path / "state" / "evidence")
        assert firing(manager, "VibrationAnomalyAlarm", machine="fan-1") == []
        sensors.silent.set()
        (silent,) = wait_for(
            lambda: firing(manager, "VibrationSilentInAlarm", machine="fan-2", sensor="drive-end"), "the silence", 60
        )
        assert silent["labels"]["severity"] == "critical"  # type: ignore[index]
        assert receivers(silent) == receivers(fault) == {"maintenance-urgent"}
        assert not inhibited(silent)
        assert not any(map(inhibited, firing(manager, "VibrationAnomalyAlarm")))
        (also,) = wait_for(
            lambda: firing(manager, "VibrationChannelSilent", sensor="drive-end"), "the sensor's own", 30
        )
        wait_for(lambda: inhibited(firing(manager, "VibrationChannelSilent", sensor="drive-end")[0]), "the inhibition")
        assert receivers(also) == {"instrumentation"}
        broker_life.close()
        wait_for(lambda: firing(manager, "VibrationBrokerDisconnected"), "the broker's alert", 90)
        wait_for(lambda: inhibited(firing(manager, "VibrationSilentInAlarm", sensor="drive-end")[0]), "the inhibition")
        assert len(firing(manager, "VibrationBrokerDisconnected")) == 1
        alerts = json.loads(get(f"http://{manager}/api/v2/alerts?active=true&inhibited=false&silenced=false"))
        heard = {a["labels"]["alertname"] for a in alerts}
        assert heard - {"VibrationAnomalyWarning"} == {"VibrationBrokerDisconnected", "VibrationAnomalyAlarm"}
