"""Baselines under a person's hand: the command, HTTP and MQTT of a running daemon."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monitor.bench.alone import bench_calibration
from monitor.model.artefact.artefact import load_artefact
from monitor.runtime.baselines.history import Source
from monitor.runtime.baselines.store import Store
from monitor.shipped import shipped
from tests.support.alarming import noise, retained, send
from tests.support.commands import document, invoke, output, refusal
from tests.support.daemons import SENSOR, RunningDaemon, running_daemon
from tests.support.servers import mosquitto, publish, wait_for

pytestmark = pytest.mark.system

MODEL = load_artefact(shipped("models/reference")).sha256
FAN = {"machine": "fan", "axis": "x"}
WHO = ("--reason", "new bearing", "--by", "anna")


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningDaemon, int]]:
    """A daemon with a broker, and two baselines of its channel fan/x; press/x has a configured calibration."""
    folder = tmp_path_factory.mktemp("plant")
    store = Store(folder / "state", time.time)
    for number in range(2):
        source = Source(1_690_000_000.0, 1_690_086_400.0, provisional=number == 1)
        store.learned(FAN, bench_calibration(100, 12000.0), model_sha256=MODEL, source=source)
    press = {**SENSOR, "topic": "presses/{machine}/{axis}", "calibration": "press.npz"}
    (folder / "press.npz").write_bytes((next(iter((folder / "state" / "baselines").glob("*.1.npz")))).read_bytes())
    with mosquitto(folder) as broker:
        mqtt = f"mqtt: {{url: 'mqtt://127.0.0.1:{broker}', baselines_topic: baselines}}\n"
        sensors = f"sensors: {json.dumps([SENSOR, press])}\n"
        # A provisional baseline judges only with the interval that it was made for: 128 blocks.
        rest = "evidence: {enabled: false}\nscoring: {interval: 1067ms}\n"
        text = f"{mqtt}state_dir: {folder / 'state'}\n{rest}{sensors}"
        with running_daemon(folder, broker, text) as daemon:
            wait_for(lambda: daemon.value("vibration_mqtt_connected"), "the broker")
            send(broker, "fan", noise(1, 1))
            wait_for(lambda: daemon.values("vibration_channel_calibrated", machine="fan") == [1], "the channel")
            yield daemon, broker


def ask(daemon: RunningDaemon, path: str, body: object = None, **headers: str) -> tuple[int, str]:
    """Status and text of an answer."""
    data = None if body is None else json.dumps(body).encode()
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(daemon.address + path, data, names)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def fan(daemon: RunningDaemon) -> dict[str, Any]:
    (found,) = document("baseline", "show", "fan/x", "--url", daemon.address)["channels"]
    assert isinstance(found, dict)
    return found


def test_a_change_reaches_scores_log_broker_and_metrics(plant: tuple[RunningDaemon, int]) -> None:
    daemon, broker = plant
    url = ("--url", daemon.address)
    assert output("baseline", "list", *url).startswith("fan/x  provisional  2: 2023-07-22 04:26 UTC to ")
    assert daemon.values("vibration_calibration_timestamp_seconds", machine="fan") == []  # it is not locked
    before_s = time.time()
    assert output("baseline", "accept", "fan/*", *url, *WHO) == "fan/x: done, baseline 2 is current\n"
    # A page of metrics may be shown again for a moment.
    name = "vibration_calibration_timestamp_seconds"
    (at_s,) = wait_for(lambda: daemon.values(name, machine="fan"), "the instant of the change")
    assert before_s - 2 < at_s < time.time() + 2
    told = json.loads(retained(broker, "baselines/fan/x")["baselines/fan/x"])
    assert abs(time.time() - at_s) < 60
    assert told | {"time": ""} == {
        "time": "",
        "labels": FAN,
        "change": "accepted",
        "by": "anna",
        "reason": "new bearing",
        "baseline": 2,
        "provisional": False,
    }
    assert "baseline: channel=fan/x change=accepted baseline=2 by='anna' reason='new bearing'" in daemon.log.read_text()
    assert output("baseline", "revert", "fan/x", *url, *WHO) == "fan/x: done, baseline 1 is current\n"
    assert [one["what"] for one in fan(daemon)["changes"]] == ["learned", "learned", "accepted", "reverted"]
    wait_for(lambda: b"reverted" in retained(broker, "baselines/fan/x")["baselines/fan/x"], "the event")
    marked = "vibration_baseline_changed_timestamp_seconds"
    (at_s,) = wait_for(lambda: daemon.values(marked, machine="fan", change="reverted"), "the mark in the dashboards")
    assert before_s - 2 < at_s < time.time() + 2
    assert len(daemon.values(marked, machine="fan")) == 1
    # What was changed is there after a kill.
    stored = Store(daemon.config.parent / "state", time.time).history(FAN)
    assert stored is not None
    assert stored.current == 1
    assert daemon.value("vibration_internal_errors_total", where="request") == 0


def test_what_cannot_be_done_is_said(plant: tuple[RunningDaemon, int]) -> None:
    daemon, broker = plant
    url = ("--url", daemon.address)
    publish(broker, [("presses/press/x", bytes(4000))])
    wait_for(lambda: daemon.values("vibration_channel_calibrated", machine="press") == [1], "the press")
    result = invoke("baseline", "revert", "fan/x", "--to", "7", *url, *WHO)
    assert (result.exit_code, result.stdout) == (4, "")
    assert "fan/x: cannot go back to baseline 7: baseline " in result.stderr
    result = invoke("baseline", "accept", "press/*", *url, *WHO)
    assert "press/x: the configuration names its calibration press.npz, which counts as accepted" in result.stderr
    assert "press/x  configured  the configuration names press.npz" in output("baseline", "list", *url)
    error = refusal("baseline", "accept", "fan-9/*", *url, *WHO)
    assert error.exit_code == 2
    assert "no channel fits 'fan-9/*': there are fan/x, press/x; write for example" in str(error)
    for what in ("learn", "extend"):
        assert "this daemon does not learn; set 'learning: " in str(refusal("baseline", what, "fan/x", *url, *WHO))
    held = refusal("baseline", "accept", "fan/x", "--config", daemon.config, *WHO)
    assert "a daemon runs on" in str(held)
    assert "ask it instead, with --url" in str(held)


def test_a_running_daemon_exports(plant: tuple[RunningDaemon, int], tmp_path: Path) -> None:
    daemon, _ = plant
    out, other = tmp_path / "out", tmp_path / "other"
    other.mkdir()
    assert "1 baselines" in output("baseline", "export", "fan/*", "--out", out, "--url", daemon.address)
    assert "fan/x: done" in output("baseline", "import", out, "--state-dir", other, *WHO)
    there = Store(other, time.time).current(FAN, MODEL)
    assert there is not None
    assert there.sampling_rate_hz == 12000


def test_a_running_daemon_takes_a_baseline_from_elsewhere(plant: tuple[RunningDaemon, int], tmp_path: Path) -> None:
    daemon, broker = plant
    url = ("--url", daemon.address)
    send(broker, "pump", noise(1, 1))
    publish(broker, [("presses/press/x", bytes(4000))])
    wait_for(lambda: daemon.values("vibration_channel_calibrated", machine="pump") == [0], "the channel")
    wait_for(lambda: daemon.values("vibration_channel_calibrated", machine="press") == [1], "the press")
    elsewhere = Store(tmp_path / "elsewhere", time.time)
    source = Source(1_690_000_000.0, 1_690_086_400.0)
    made = bench_calibration(100, 12000.0)
    summary = np.random.default_rng(0).normal(0.0, 0.01, made.head.summary.shape).astype(np.float32)
    full = replace(made.head, summary=summary)  # the largest file
    elsewhere.learned({**FAN, "machine": "pump"}, replace(made, head=full), model_sha256=MODEL, source=source)
    output("baseline", "export", "--out", tmp_path / "out", "--state-dir", tmp_path / "elsewhere")
    assert output("baseline", "import", tmp_path / "out", *url, *WHO) == "pump/x: done\n"
    wait_for(lambda: daemon.values("vibration_channel_calibrated", machine="pump") == [1], "the baseline")
    assert output("baseline", "list", "pump/x", *url).startswith("pump/x  locked  1: 2023-07-22 04:26 UTC to ")
    (file,) = (tmp_path / "out").glob("*.npz")
    assert output("baseline", "import", file, "--labels", "machine=pump,axis=x", *url, *WHO) == "pump/x: done\n"
    (found,) = document("baseline", "show", "pump/x", *url)["channels"]
    assert [one["what"] for one in found["changes"]] == ["learned", "imported", "imported"]
    press = refusal("baseline", "import", file, "--labels", "machine=press,axis=x", *url, *WHO)
    assert "press/x: the configuration names its calibration" in str(press)
    half = refusal("baseline", "import", file, "--labels", "machine=pump", *url, *WHO)
    assert "a channel with these labels: sensors[0]: the label 'axis' is missing; name machine, axis" in str(half)
    assert "pump" not in {one["name"] for one in document("baseline", "list", *url)["channels"]}
    file.write_bytes(file.read_bytes()[:-1000])
    error = refusal("baseline", "import", file, "--labels", "machine=pump,axis=x", *url, *WHO)
    assert "is not a calibration, or is damaged" in str(error)
    token = json.loads(ask(daemon, "/api/v1/baselines")[1])["token"]
    headers = {"Content_Type": "application/json", "X_Vibration_Token": token}
    good = {"labels": {**FAN, "machine": "pump"}, "by": "anna", "reason": "r", "calibration": "UEsDBA=="}
    for body, status in ((good, 409), ({**good, "calibration": "A"}, 400), ({**good, "labels": {}}, 400)):
        assert ask(daemon, "/api/v1/baselines/import", body, **headers)[0] == status, body
    assert ask(daemon, "/api/v1/baselines/import", {**good, "calibration": "A" * 300_000}, **headers)[0] == 413
    assert ask(daemon, "/api/v1/baselines/import", good)[0] == 415
    assert daemon.value("vibration_internal_errors_total", where="request") == 0


def test_only_this_machines_user_may_change_something(plant: tuple[RunningDaemon, int]) -> None:
    daemon, _ = plant
    token = json.loads(ask(daemon, "/api/v1/baselines")[1])["token"]
    good = {"channels": ["fan/x"], "by": "anna", "reason": "new bearing"}
    current = fan(daemon)["changes"]
    path, kind = "/api/v1/baselines/accept", {"Content_Type": "application/json"}
    forged: list[tuple[int, dict[str, str]]] = [
        (415, {}),
        (415, {"Content_Type": "text/plain", "X_Vibration_Token": token}),
        (415, {"Content_Type": "application/x-www-form-urlencoded", "X_Vibration_Token": token}),
        (403, kind),
        (403, {**kind, "X_Vibration_Token": "wrong"}),
        (403, {**kind, "X_Vibration_Token": token, "Origin": "http://evil.example"}),
        (403, {**kind, "X_Vibration_Token": token, "Host": "evil.example"}),
        (403, {**kind, "X_Vibration_Token": token, "X_Forwarded_For": "192.0.2.1"}),
    ]
    for status, headers in forged:
        assert ask(daemon, path, good, **headers)[0] == status, headers
    ours = {**kind, "X_Vibration_Token": token}
    for body, status in (
        ([], 400),
        ({**good, "reason": ""}, 400),
        ({**good, "by": "a\nb"}, 400),
        ({**good, "channels": ["no/*"]}, 404),
        ({**good, "more": 1}, 400),
        ({**good, "to": 99}, 200),  # only revert has a use for it
    ):
        assert ask(daemon, path, body, **ours)[0] == status, body
    assert ask(daemon, "/api/v1/baselines/revert", {**good, "to": 99}, **ours)[0] == 409
    assert len(fan(daemon)["changes"]) == len(current) + 1
    listing = json.loads(ask(daemon, "/api/v1/baselines", None, X_Forwarded_For="192.0.2.1")[1])
    assert (listing["token"], listing["may_change"]) == (None, False)
    assert ask(daemon, "/api/v1/baselines", None, Host="evil.example")[0] == 403
    assert ask(daemon, "/api/v1/baselines?channel=no")[0] == 404
    assert ask(daemon, "/api/v1/baselines/file?channel=..%2F..%2Fetc%2Fpasswd")[0] == 404
