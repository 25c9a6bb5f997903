"""What ``train`` refuses before it begins, and what it says of a recording that is hardly forecast."""

import shutil
from pathlib import Path

import pytest

from monitor.cli.model.train import orphans, replaced_model
from monitor.errors import ConfigurationError
from monitor.model.artefact.artefact import load_artefact
from monitor.model.artefact.card import advice
from monitor.model.training.checkpoint import checkpoint_of
from monitor.shipped import shipped
from tests.support.commands import refusal


@pytest.fixture
def model(tmp_path: Path) -> Path:
    shutil.copytree(shipped("models/demo"), tmp_path / "mine")
    return tmp_path / "mine"


@pytest.mark.parametrize("how", [[], ["--universal", "--budget=2h"]])
def test_a_model_is_not_replaced_without_force(model: Path, how: list[str]) -> None:
    before = sorted((file.name, file.stat().st_mtime_ns) for file in model.iterdir())
    error = refusal("train", "fan.npz", "--out", model, *how)
    assert isinstance(error, ConfigurationError)
    assert str(error) == (
        f"--out {model}: exists, and every calibration made with this model would be refused; give another name, or "
        "--force to replace it"
    )
    assert sorted((file.name, file.stat().st_mtime_ns) for file in model.iterdir()) == before


def test_what_depends_on_a_replaced_model_is_told(model: Path) -> None:
    replaced = replaced_model(model, force=True, resumes=False)
    assert replaced == load_artefact(model).sha256
    assert orphans(replaced) == (
        f"calibrations made with the model that was replaced, sha256 {replaced[:16]}, are refused now: calibrate again"
    )
    assert replaced_model(model.with_name("new"), force=False, resumes=False) == ""
    assert orphans("") == ""


def test_a_training_that_is_resumed_may_replace_its_own_model(model: Path) -> None:
    checkpoint_of(model).touch()
    assert replaced_model(model, force=False, resumes=True)
    with pytest.raises(ConfigurationError):
        replaced_model(model, force=False, resumes=False)


def test_a_recording_that_is_hardly_forecast_comes_with_advice() -> None:
    assert advice({"network": 0.9, "linear_own": 0.99}) == ""
    noise = advice({"network": 0.95, "linear_own": 0.93})
    assert noise.startswith("it is broad-band noise, gap ratio 0.95: the forecast adds little here")
    assert noise.endswith("more training will not")
    assert "an AR model of this recording foresees more (0.40): give longer recordings" in advice(
        {"network": 0.95, "linear_own": 0.4}
    )
