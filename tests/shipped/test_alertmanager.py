"""The example for Alertmanager: accepted, routes as meant, and a real one inhibits what follows from something else."""

import json
import re
import subprocess
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.programs import ROOT, program
from tests.support.servers import answers, free_port, get, process, wait_for

FILE = ROOT / "config" / "prometheus" / "alertmanager.yml"
CHANNEL = {"job": "vibration-monitor", "instance": "a:1", "machine": "fan", "sensor": "de", "axis": "x"}
SERVICE = {"job": "vibration-monitor", "instance": "a:1", "scope": "service"}


def alert(name: str, labels: dict[str, str], **other: str) -> dict[str, str]:
    return {"alertname": f"Vibration{name}", "scope": "channel", "severity": "warning", **labels, **other}


def amtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program("amtool"), *arguments], capture_output=True, text=True, check=False, timeout=60)


def test_amtool_accepts_it() -> None:
    done = amtool("check-config", str(FILE))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        (alert("AnomalyAlarm", CHANNEL, severity="critical"), "maintenance-urgent"),
        (alert("AnomalyWarning", CHANNEL), "maintenance"),
        (alert("SilentInAlarm", CHANNEL, severity="critical"), "maintenance-urgent"),
        (alert("ChannelSilent", CHANNEL), "instrumentation"),
        (alert("CalibrationMissing", CHANNEL), "instrumentation"),
        (alert("DaemonDown", {"scope": "service", "severity": "critical"}), "operations-urgent"),
        (alert("Overload", SERVICE), "operations"),
        (alert("InternalErrors", SERVICE, where="message"), "operations"),
        ({"alertname": "DiskFull"}, "operations"),
    ],
    ids=lambda value: value if isinstance(value, str) else value["alertname"],
)
def test_routes(labels: dict[str, str], receiver: str) -> None:
    pairs = [f"{name}={value}" for name, value in labels.items()]
    done = amtool("config", "routes", "test", f"--config.file={FILE}", f"--verify.receivers={receiver}", *pairs)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def alertmanager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real Alertmanager with the example, whose receivers lead nowhere."""
    folder = tmp_path_factory.mktemp("alertmanager")
    configuration = folder / "alertmanager.yml"
    # Port 9 of this machine: nobody listens, so nothing leaves the test.
    configuration.write_text(FILE.read_text(encoding="utf-8").replace("127.0.0.1:9095", "127.0.0.1:9"))
    address = f"127.0.0.1:{free_port()}"
    command = (
        program("prometheus-alertmanager", "alertmanager"),
        f"--config.file={configuration}",
        f"--storage.path={folder / 'data'}",
        f"--web.listen-address={address}",
        "--cluster.listen-address=",
    )
    with (folder / "log").open("w") as log, process(*command, stdout=log, stderr=log):
        wait_for(lambda: answers(f"http://{address}/-/ready"), "Alertmanager to be ready")
        yield f"http://{address}"


def post(url: str, document: Any) -> None:
    request = urllib.request.Request(url, json.dumps(document).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200


SILENT_OTHER = {**CHANNEL, "axis": "y"}
STORIES = {
    "silence inhibits no alarm": (
        [alert("ChannelSilent", CHANNEL)],
        [alert("CoverageLow", CHANNEL)],
        [alert("AnomalyAlarm", CHANNEL, severity="critical"), alert("CoverageLow", SILENT_OTHER)],
    ),
    "silence while in alarm is told to maintenance, and not to instrumentation as well": (
        [alert("SilentInAlarm", CHANNEL, severity="critical"), alert("AnomalyAlarm", CHANNEL, severity="critical")],
        [alert("ChannelSilent", CHANNEL)],
        [alert("ChannelSilent", SILENT_OTHER)],
    ),
    "a broker that is down is one alert, not one a channel": (
        [alert("BrokerDisconnected", SERVICE, severity="critical")],
        [alert("ChannelSilent", {**CHANNEL, "axis": axis}) for axis in "xyz"]
        + [alert("SilentInAlarm", CHANNEL, severity="critical"), alert("BrokerUnstable", SERVICE)],
        [
            alert("ChannelSilent", {**CHANNEL, "instance": "b:1"}),
            alert("ReloadFailed", SERVICE),
            alert("AnomalyAlarm", CHANNEL, severity="critical"),
        ],
    ),
    "a daemon that is down is one alert": (
        [alert("DaemonDown", SERVICE, severity="critical")],
        [alert("AnomalyAlarm", CHANNEL), alert("BrokerDisconnected", SERVICE), alert("ReloadFailed", SERVICE)],
        [alert("AnomalyAlarm", {**CHANNEL, "instance": "b:1"})],
    ),
    "a daemon that is not scraped any more is one alert": (
        [alert("DaemonDown", {"job": "vibration-monitor", "scope": "service"}, severity="critical")],
        [alert("AnomalyAlarm", CHANNEL), alert("AnomalyAlarm", {**CHANNEL, "instance": "b:1"})],
        [alert("AnomalyAlarm", {**CHANNEL, "job": "another"})],
    ),
    "overload explains missing scores, but not an alarm": (
        [alert("Overload", SERVICE)],
        [alert("CoverageLow", CHANNEL), alert("ScoreMissing", CHANNEL)],
        [alert("AnomalyAlarm", CHANNEL), alert("CoverageLow", {**CHANNEL, "instance": "b:1"})],
    ),
    "the greater severity inhibits the lesser": (
        [
            alert("AnomalyAlarm", CHANNEL, severity="critical"),
            alert("CertificateExpiring", SERVICE, severity="critical", file="client.crt"),
        ],
        [alert("AnomalyWarning", CHANNEL), alert("CertificateExpiring", SERVICE, file="client.crt")],
        [alert("AnomalyWarning", SILENT_OTHER), alert("CertificateExpiring", SERVICE, file="ca.crt")],
    ),
}


@pytest.mark.system
@pytest.mark.parametrize("story", STORIES)
def test_inhibition(alertmanager: str, story: str) -> None:
    sources, inhibited, heard = STORIES[story]
    mark = re.sub(r"\W", "-", story)
    for group in (sources, inhibited, heard):
        for labels in group:  # each story is a plant of its own
            labels["job"] = f"{labels.get('job', '')}-{mark}"
    posted = [{"labels": labels} for labels in (*sources, *inhibited, *heard)]
    post(f"{alertmanager}/api/v2/alerts", posted)

    def states() -> dict[str, str]:
        found = json.loads(get(f"{alertmanager}/api/v2/alerts"))
        return {
            json.dumps(entry["labels"], sort_keys=True): "inhibited" if entry["status"]["inhibitedBy"] else "heard"
            for entry in found
            if entry["labels"]["job"].endswith(mark)
        }

    expected = {json.dumps(labels, sort_keys=True): "heard" for labels in (*sources, *heard)}
    expected |= {json.dumps(labels, sort_keys=True): "inhibited" for labels in inhibited}
    wait_for(lambda: len(states()) == len(posted), "all alerts")
    assert states() == expected
