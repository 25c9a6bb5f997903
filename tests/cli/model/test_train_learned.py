"""``train --learned``: what is made of the samples of a daemon, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest

from monitor.core.arrays import Float32
from monitor.errors import ArtefactError, ConfigurationError, MonitorError, RecordingError
from monitor.model.artefact.artefact import Artefact, load_artefact
from monitor.model.own.state import Phase, read_state, write_state
from monitor.runtime.models_in_use import own_folder
from tests.support.channels.own_model import RATE_HZ, rig, sampled, unknowing
from tests.support.commands import document, invoke, output, refusal

# Keras converts its variables in a way that is deprecated in NumPy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

QUICK = ("--epochs=3", "--windows=2000")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Artefact:
    return unknowing(tmp_path_factory.mktemp("base") / "base")


def noise(seed: int) -> Float32:
    return np.random.default_rng(seed).normal(0.0, 1.0, 20 * RATE_HZ).astype(np.float32)


def test_a_model_that_foresees_more_is_taken(tmp_path: Path, base: Artefact) -> None:
    folder = own_folder(tmp_path, "default")
    sampled(folder, base, {"fan": rig()})
    told = output("train", "--learned", tmp_path, *QUICK)
    state = read_state(folder)
    assert state is not None
    assert (state.phase, state.channels) == (Phase.TAKEN, 1)
    assert state.gain is not None
    assert state.gain > 0.01
    own = state.directory(folder)
    assert own is not None
    assert load_artefact(own).sha256 == state.sha256
    assert "it is taken; a daemon with learning.model: own uses it from now on" in told
    assert f"{state.foreseen:.1%} of the signal's energy" in told
    trained = load_artefact(own).manifest.training
    assert trained["started_from"]["sha256"] == base.sha256
    assert trained["recordings"][0]["name"] == "fan/x"
    # It is not trained again, unless that is asked for.
    before = own.stat().st_mtime_ns
    assert "it is taken" in output("train", "--learned", folder)
    assert own.stat().st_mtime_ns == before
    assert {path.name for path in folder.iterdir() if path.is_dir()} == {"samples", own.name}


def test_a_model_that_foresees_no_more_is_not_taken(tmp_path: Path, base: Artefact) -> None:
    folder = own_folder(tmp_path, "default")
    sampled(folder, base, {"fan": noise(0), "pump": noise(1)})
    found = document("train", "--learned", tmp_path, "--epochs=1", "--windows=640")
    (model,) = found["models"]
    assert model["phase"] == "declined"
    assert model["sha256"] is None
    assert model["channels"] == 2
    assert abs(model["gain"]) < 0.005
    assert not list(folder.glob("model-*"))
    assert not (folder / "candidate").exists()


def test_what_nobody_sampled_or_too_little_is_refused(tmp_path: Path, base: Artefact) -> None:
    error = refusal("train", "--learned", tmp_path)
    assert isinstance(error, ConfigurationError)
    assert "nothing was sampled there; expected the state_dir of a daemon that runs with" in str(error)
    folder = own_folder(tmp_path, "default")
    sampled(folder, base, {"fan": rig()}, stretches=3)
    assert isinstance(refusal("train", "--learned", tmp_path), RecordingError)
    state = read_state(folder)
    assert state is not None
    assert state.phase is Phase.TRAINING  # nothing is decided
    (folder / "own.json").write_text("{}")
    assert isinstance(refusal("train", "--learned", tmp_path), ArtefactError)


def test_without_the_model_that_it_starts_from(tmp_path: Path, base: Artefact) -> None:
    folder = own_folder(tmp_path, "default")
    sampled(folder, base, {"fan": rig()})
    state = read_state(folder)
    assert state is not None
    write_state(folder, state.model_copy(update={"base": "/nowhere"}))
    assert "/nowhere" in str(refusal("train", "--learned", tmp_path))


def test_a_training_that_diverges_or_finds_no_room_leaves_nothing(
    tmp_path: Path, base: Artefact, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = own_folder(tmp_path, "default")
    sampled(folder, base, {"fan": rig()})

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("monitor.atomic_file.write_atomically", full)
    error = refusal("train", "--learned", tmp_path, "--epochs=1", "--windows=64")
    assert isinstance(error, MonitorError)
    assert "No space left on device" in str(error)
    assert not (folder / "candidate").exists()
    state = read_state(folder)
    assert state is not None
    assert state.phase is Phase.TRAINING


def test_options_that_do_not_go_with_it(tmp_path: Path) -> None:
    for more in (["fan.npz"], ["--out", "x"], ["--universal"], ["--tutorial"], ["--from-scratch"]):
        result = invoke("train", "--learned", tmp_path, *more)
        assert result.exit_code == 2
        assert "--learned goes without RECORDING, --out" in result.output
    assert "Missing option '--out'" in invoke("train", "fan.npz").output


def test_the_outcome_is_one_document(tmp_path: Path, base: Artefact) -> None:
    sampled(own_folder(tmp_path, "default"), base, {"fan": rig()})
    state = read_state(own_folder(tmp_path, "default"))
    assert state is not None
    write_state(own_folder(tmp_path, "default"), state.model_copy(update={"phase": Phase.TAKEN, "sha256": "c" * 64}))
    found = json.loads(output("train", "--learned", tmp_path, "--json"))
    assert found["models"][0]["phase"] == "taken"
