"""A model is named by its directory, or by the name under which it is shipped."""

from pathlib import Path

import pytest

from monitor.shipped import model_directory, shipped, shipped_models
from tests.support.commands import document, refusal


def test_the_shipped_models_are_known_by_name() -> None:
    assert {"demo", "reference"} <= set(shipped_models())
    for name in shipped_models():
        assert (shipped(f"models/{name}") / "manifest.json").is_file()


@pytest.mark.parametrize("given", ["reference", "models/reference", "reference/"])
def test_a_name_is_a_shipped_model(given: str, tmp_path: Path) -> None:
    assert model_directory(given, tmp_path) == shipped("models/reference")


def test_a_path_that_exists_takes_precedence(tmp_path: Path) -> None:
    (tmp_path / "reference").mkdir()
    assert model_directory("reference", tmp_path) == tmp_path / "reference"


@pytest.mark.parametrize("given", ["mine", "/nowhere/reference", "../reference", "", "models", "x" * 5000])
def test_another_name_stays_a_path(given: str, tmp_path: Path) -> None:
    assert model_directory(given, tmp_path) == tmp_path / given


def test_commands_take_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert document("models", "verify", "demo")["ok"]
    healthy = tmp_path / "fan.npz"
    document("simulate", "--out", healthy, "--duration", "6s")
    calibrated = document("calibrate", "demo", healthy, "--out", tmp_path / "fan.calibration", "--interval", "100ms")
    assert calibrated["intervals"] > 10
    scored = document("backtest", "demo", healthy, "--calibration", tmp_path / "fan.calibration")
    assert scored["channels"][0]["blocks_scored"] > 100
    assert document("forecast", "demo", healthy, "--at", "5000")["gap_ratio"] < 1


def test_a_configuration_takes_a_name(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    sensor = "{topic: 'plant/{machine}', payload: {format: float32}, sampling_rate_hz: 12000, unit: g, model: default}"
    for model in ("demo", "models/demo", shipped("models/demo")):
        file.write_text(f"models: {{default: {model}}}\nsensors: [{sensor}]\n")
        assert document("check-config", file)["ok"]
    file.write_text(f"models: {{default: demmo}}\nsensors: [{sensor}]\n")
    assert str(refusal("check-config", file)) == (
        f"{file}: 1 problem\n  models.default: no model in {tmp_path / 'demmo'}: expected a folder with manifest.json, "
        "or a shipped model: demo, reference"
    )


@pytest.mark.parametrize("command", ["calibrate", "backtest", "forecast", "models inspect", "models verify"])
def test_an_unknown_name_lists_the_models(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    recording = [] if command.startswith("models") else ["fan.npz"]
    options = {"calibrate": ["--out", "fan.calibration"], "forecast": ["--at", "5000"]}.get(command, [])
    error = refusal(*command.split(), "refrence", *recording, *options)
    assert str(error) == (
        "model refrence: there is no such directory; give one that 'train' wrote, or a shipped model: demo, reference"
    )
