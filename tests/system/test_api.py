"""A running daemon answers as its own description of the HTTP API says, in every route and status."""

import base64
import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from monitor.bench.alone import bench_calibration
from monitor.model.artefact.artefact import load_artefact
from monitor.runtime.baselines.history import Source
from monitor.runtime.baselines.store import Store
from monitor.runtime.web.api.openapi import PATH
from monitor.shipped import shipped
from tests.support.alarming import MODEL, RATE_HZ, calibrated, noise, raise_alarm
from tests.support.daemons import SENSOR, RunningDaemon, running_daemon
from tests.support.servers import get, mosquitto, publish, wait_for

pytestmark = pytest.mark.system

LEARNED = {"machine": "pump", "axis": "x"}
WHO = {"by": "anna", "reason": "new bearing"}
ONE = {"channels": ["pump/x"], **WHO}

UNSEEN = {
    ("get", "/api/v1/stream", "503"), ("get", "/api/v1/channels/stream", "503"),  # 64 viewers
    ("post", "/api/v1/diagnosis", "503"),  # 16 channels wait
}  # fmt: skip
"""What is described and not provoked here; tests of the page do."""

Asked = tuple[str, str, Any, str]
"""Path as described, path and query as asked, body (None: GET), expected status."""


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDaemon]:
    """A daemon with a channel in alarm, whose evidence is written, and one with two baselines that learns."""
    folder = tmp_path_factory.mktemp("api")
    store = Store(folder / "state", time.time)
    sha256 = load_artefact(shipped(MODEL)).sha256
    for provisional in (False, True):
        source = Source(1_690_000_000.0, 1_690_086_400.0, provisional=provisional)
        store.learned(LEARNED, bench_calibration(100, RATE_HZ), model_sha256=sha256, source=source)
    with mosquitto(folder) as broker:
        learning = {**SENSOR, "topic": "learning/{machine}/{axis}"}
        text = calibrated(folder).replace("sensors: [", f"sensors: [{learning}, ")
        text += "learning: {enabled: true, duration: 2h}\nscoring: {interval: 100ms}\n"
        with running_daemon(folder, broker, text) as running:
            wait_for(lambda: running.value("vibration_mqtt_connected"), "the broker")
            publish(broker, [("learning/pump/x", noise(1, 1).tobytes())])
            raise_alarm(broker, "fan")
            wait_for(lambda: json.loads(get(f"{running.address}/api/v1/evidence"))["files"], "the evidence")
            wait_for(lambda: len(json.loads(get(f"{running.address}/api/v1/channels"))["channels"]) > 1, "the page")
            yield running


def answer(daemon: RunningDaemon, path: str, body: Any, **headers: str) -> tuple[str, str, bytes]:
    """Status, content type and body; of a stream the beginning."""
    data = None if body is None else json.dumps(body).encode()
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(daemon.address + path, data, names)
    try:
        with urllib.request.urlopen(request, timeout=30) as found:
            kind = found.headers.get_content_type()
            return str(found.status), kind, found.readline() if kind == "text/event-stream" else found.read()
    except urllib.error.HTTPError as error:
        with error:
            return str(error.code), error.headers.get_content_type(), error.read()


def strict(schema: Any) -> Any:
    """A schema that allows no field without a description."""
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: strict(part) for name, part in schema.items()}
    return found | {"additionalProperties": False} if isinstance(schema.get("properties"), dict) else found


def questions(daemon: RunningDaemon) -> Iterator[Asked]:
    """Something to ask of every described route, for every described status."""
    files = json.loads(get(f"{daemon.address}/api/v1/evidence"))["files"]
    calibration = base64.b64encode(next((daemon.config.parent / "state" / "baselines").glob("*.npz")).read_bytes())
    for path in ("/", "/metrics", "/-/healthy", "/-/ready", "/runbook", PATH, "/api/v1/channels", "/api/v1/stream"):
        yield path, path, None, "200"
    yield "/static/{name}", "/static/app.js", None, "200"
    yield "/static/{name}", "/static/nothing.js", None, "404"
    yield "/api/v1/channels/stream", "/api/v1/channels/stream?machine=fan&axis=x", None, "200"
    yield "/api/v1/channels/stream", "/api/v1/channels/stream?machine=nobody", None, "404"
    for path in ("/api/v1/history", "/api/v1/history/alarms", "/api/v1/history/healthy"):
        yield path, f"{path}?channel=fan/x", None, "200"
        yield path, f"{path}?channel=nobody", None, "404"
    path, asked, nobody = (
        "/api/v1/diagnosis",
        "/api/v1/diagnosis?machine=fan&axis=x",
        "/api/v1/diagnosis?machine=nobody",
    )
    yield path, asked, None, "200"
    yield path, nobody, None, "404"
    yield path, asked, {}, "200"
    yield path, nobody, {}, "404"
    yield "/api/v1/history", "/api/v1/history?channel=fan/x&over=years", None, "400"
    yield "/api/v1/evidence", "/api/v1/evidence?channel=fan/x", None, "200"
    yield "/api/v1/evidence/{name}", f"/api/v1/evidence/{files[0]['name']}", None, "200"
    yield "/api/v1/evidence/{name}", "/api/v1/evidence/none.npz", None, "404"
    path = "/api/v1/alarms/acknowledge"
    yield path, path, {**ONE, "channels": ["fan/x", "pump/x"]}, "200"
    yield path, path, {**ONE, "channels": ["nobody"]}, "404"
    yield path, path, ONE, "409"
    yield path, path, {**ONE, "by": ""}, "400"
    yield "/api/v1/alarms", "/api/v1/alarms", None, "200"
    listing = "/api/v1/baselines"
    for query, status in (("", "200"), ("?channel=pump*&channel=fan*&details=1", "200"), ("?channel=nobody", "404")):
        yield listing, listing + query, None, status
    yield f"{listing}/file", f"{listing}/file?channel=pump/x", None, "200"
    yield f"{listing}/file", f"{listing}/file?channel=nobody", None, "404"
    for action in ("accept", "revert", "learn", "extend"):
        path = f"{listing}/{action}"
        yield path, path, ONE, "200"
        yield path, path, {**ONE, "channels": ["nobody"]}, "404"
        yield path, path, {**ONE, "channels": ["fan/x"]}, "409"
        yield path, path, {**ONE, "by": ""}, "400"
    path = f"{listing}/import"
    parcel = {"labels": LEARNED, **WHO, "calibration": calibration.decode()}
    yield path, path, parcel, "200"
    yield path, path, {**parcel, "calibration": "UEsDBA=="}, "409"
    yield path, path, {**parcel, "labels": {}}, "400"
    yield "/-/reload", "/-/reload", {}, "200"


def test_every_route_answers_as_described(daemon: RunningDaemon) -> None:
    document = json.loads(get(daemon.address + PATH))
    validate(document)
    token = json.loads(get(f"{daemon.address}/api/v1/baselines"))["token"]
    ours = {"Content_Type": "application/json", document["components"]["securitySchemes"]["changes"]["name"]: token}
    seen: set[tuple[str, str, str]] = set()

    def check(path: str, asked: str, body: Any, expected: str, headers: dict[str, str]) -> None:
        method = "get" if body is None else "post"
        described = document["paths"][path][method]
        status, kind, text = answer(daemon, asked, body, **headers)
        assert status == expected, (method, asked, text[:500])
        assert status in described["responses"], (method, asked, status)
        ((promised, content),) = described["responses"][status]["content"].items()
        assert promised in {kind, "*/*"}, (method, asked, kind)
        if "schema" in content:
            schema = strict({**content["schema"], "components": document["components"]})
            errors = [error.message for error in Draft202012Validator(schema).iter_errors(json.loads(text))]
            assert errors == [], (method, asked, "describe it in the Shape of the route")
        elif kind == "text/plain":
            assert text.endswith(b"\n"), (method, asked)
        seen.add((method, path, status))

    for path, asked, body, expected in questions(daemon):
        check(path, asked, body, expected, {} if body is None else ours)
        if path.startswith(("/api/v1/baselines/", "/api/v1/alarms/")) and expected == "400":
            check(path, asked, body, "403", {"Content_Type": "application/json"})
            check(path, asked, body, "415", {})
    daemon.config.write_text("nonsense")
    check("/-/reload", "/-/reload", {}, "500", ours)
    promised = {
        (method, path, status)
        for path, methods in document["paths"].items()
        for method, described in methods.items()
        for status in described["responses"]
        if status != "default"
    }
    assert promised - seen - UNSEEN == {("get", "/-/ready", "503")}, "ask for it in questions()"
    assert daemon.value("vibration_internal_errors_total", where="request") == 0


def test_a_daemon_without_its_broker_says_so_as_described(tmp_path: Path) -> None:
    with running_daemon(tmp_path, 1) as running:
        status, kind, text = answer(running, "/-/ready", None)
        assert (status, kind) == ("503", "text/plain")
        assert text.startswith(b"not ready: broker ")
