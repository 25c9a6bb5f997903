"""``check-config`` says what can be scored, and what stands in the way."""

import shutil
import sys
from pathlib import Path

import pytest

from monitor.bench.alone import bench_calibration
from monitor.model.artefact.artefact import load_artefact
from monitor.runtime.baselines.history import Source
from monitor.runtime.baselines.store import Store
from monitor.shipped import shipped
from tests.support.commands import document, invoke, output, refusal

SENSOR = "topic: 'plant/{{machine}}/{{axis}}', payload: {{format: float32}}, sampling_rate_hz: {rate}"


@pytest.fixture(scope="module")
def calibrations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a calibration of fan-1 made with the reference, and one of fan-2 made with another model."""
    folder = tmp_path_factory.mktemp("calibrations")
    output("simulate", "--out", folder / "fan.npz", "--duration", "8s")
    for model, name in (("reference", "fan-1"), ("demo", "fan-2")):
        output("calibrate", model, folder / "fan.npz", "--out", folder / f"{name}-x.calibration")
    return folder


def configuration(folder: Path, calibrations: Path, *, rate: int = 12000, more: str = "") -> Path:
    shutil.copytree(calibrations, folder / "cal", dirs_exist_ok=True)
    (folder / "cal" / "odd-x.calibration").write_text("nothing of the kind")
    file = folder / "config.yaml"
    file.write_text(
        "models: {default: reference}\nsensors:\n"
        f"- {{{SENSOR.format(rate=rate)}, unit: g, calibration: 'cal/{{machine}}-{{axis}}.calibration'"
        + (f", {more}}}\n" if more else "}\n")
    )
    return file


def test_calibrations_are_found_missing_and_of_another_model(tmp_path: Path, calibrations: Path) -> None:
    expected = "expect: [{machine: fan-1, axis: x}, {machine: fan-9, axis: x}]"
    file = configuration(tmp_path, calibrations, more=expected)
    found = document("check-config", file)
    assert (found["ok"], found["problems"], found["warnings"]) == (True, [], [])
    (sensor,) = found["sensors"]
    assert sensor["learns"] is False
    folder = tmp_path / "cal"
    assert sensor["calibrations_found"] == [str(folder / "fan-1-x.calibration")]
    assert sensor["calibrations_missing"] == [str(folder / "fan-9-x.calibration")]
    unusable = sensor["calibrations_unusable"]
    assert set(unusable) == {str(folder / "fan-2-x.calibration"), str(folder / "odd-x.calibration")}
    assert "was made with model" in unusable[str(folder / "fan-2-x.calibration")]
    told = output("check-config", file).splitlines()
    assert told[0] == f"{file}: ok (1 sensor, labels machine, axis)"
    assert told[1] == "sensors[0] plant/{machine}/{axis}: 1 calibration found"
    assert told[2] == f"  missing: {folder / 'fan-9-x.calibration'}"
    assert len(told) == 5


def test_a_calibration_at_another_rate_is_not_usable(tmp_path: Path, calibrations: Path) -> None:
    (sensor,) = document("check-config", configuration(tmp_path, calibrations, rate=6400))["sensors"]
    assert sensor["calibrations_found"] == []
    why = sensor["calibrations_unusable"][str(tmp_path / "cal" / "fan-1-x.calibration")]
    assert why.endswith("was made at 12000 Hz, the sensor has 6400 Hz; calibrate again")


def test_nothing_to_score_with_is_said(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    one = SENSOR.format(rate=12000)
    other = one.replace("plant", "other") + ", unit: g, calibration: '{machine}.calibration'"
    file.write_text(f"models: {{default: reference}}\nsensors: [{{{one}}}, {{{other}}}]\n")
    result = invoke("check-config", file)
    assert result.exit_code == 0
    assert result.stdout.splitlines()[1:] == [
        "sensors[0] plant/{machine}/{axis}: no calibration is named: gaps, but no score and no alarm",
        "sensors[1] other/{machine}/{axis}: 0 calibrations found: no score and no alarm until there is one",
    ]
    assert result.stderr == (
        "warning: sensors[0].unit: is not given, so samples are taken as m/s2; write unit: g if they are in g\n"
    )


def test_what_is_not_installed_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(
        f"models: {{default: reference}}\nsensors: [{{{SENSOR.format(rate=12000)}, unit: g}}]\n"
        f"inference: {{engine: tensorflow}}\nstate_dir: {tmp_path}\n"
    )
    for library in ("tensorflow", "matplotlib"):
        monkeypatch.setitem(sys.modules, library, None)
    first, second = document("check-config", file)["warnings"]
    assert first.startswith("inference.engine: tensorflow needs the library tensorflow, which is not installed: ")
    assert second.startswith("evidence: samples around alarms are kept, but a figure of them needs the library")


def test_a_file_is_needed_unless_the_schema_is_wanted() -> None:
    result = invoke("check-config")
    assert result.exit_code == 2
    assert "Missing argument 'FILE'" in result.stderr


@pytest.mark.parametrize("learns", [True, False])
def test_baselines_that_another_model_has_learned_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, learns: bool
) -> None:
    now = load_artefact(shipped("models/reference")).sha256
    store = Store(tmp_path / "state", lambda: 1.0)
    for machine, sha256 in (("fan-1", now), ("fan-2", "ab" * 32)):
        labels = {"machine": machine, "axis": "x"}
        store.learned(labels, bench_calibration(100, 12000.0), model_sha256=sha256, source=Source())
    file = tmp_path / "config.yaml"
    state = f"state_dir: state\nlearning: {{enabled: {str(learns).lower()}}}\n"
    sensor = f"{{{SENSOR.format(rate=12000)}, unit: g}}"
    text = f"evidence: {{enabled: false}}\nmodels: {{default: reference}}\nsensors: [{sensor}]\n"
    file.write_text(text + state)
    (warning,) = document("check-config", file)["warnings"]
    assert (
        "1 of 2 learned baselines cannot be used any more, such as that of fan-2/x (baseline 1 was learned" in warning
    )
    assert ("learn anew" in warning, "have no score" in warning) == (learns, not learns)
    if not learns:  # as of the service, whose state directory systemd names
        file.write_text(text)
        assert document("check-config", file)["warnings"] == []
        monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
        assert "1 of 2 learned" in document("check-config", file)["warnings"][0]
    next((tmp_path / "state" / "baselines").glob("*fan-1*.npz")).write_bytes(b"of a later format")
    assert "2 of 2 learned" in document("check-config", file)["warnings"][0]


LEARNS = f"sensors: [{{{SENSOR.format(rate=12000)}, unit: g}}]\nlearning: {{enabled: true}}\n"


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ("mqtt: {url: 'mqtts://broker', tls: {ca_file: no.pem}}\nstate_dir: state\n", "mqtt.tls.ca_file: cannot load"),
        ("http: {cert_file: no.pem, key_file: no.pem}\nstate_dir: state\n", "http.cert_file: cannot load"),
        ("state_dir: no.pem\n", "state_dir: {folder}/no.pem is not a folder; name one, which is made"),
    ],
)
def test_it_refuses_what_the_daemon_would_not_start_with(tmp_path: Path, more: str, problem: str) -> None:
    (tmp_path / "no.pem").write_text("nothing of the kind")
    file = tmp_path / "config.yaml"
    file.write_text(LEARNS + more)
    for command in (("check-config", file), ("run", "--config", file)):
        error = refusal(*command)
        assert error.exit_code == 2
        first, second = str(error).splitlines()
        assert first == f"{file}: 1 problem"
        assert second.startswith("  " + problem.format(folder=tmp_path))


def test_learning_without_a_state_directory_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    file = tmp_path / "config.yaml"
    file.write_text(LEARNS)
    assert document("check-config", file)["warnings"] == [
        "state_dir: is not given, and learning needs it; name a folder, unless systemd sets it for the service"
    ]
    assert "learning.enabled: needs a state_dir" in str(refusal("run", "--config", file))
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    assert document("check-config", file)["warnings"] == []
