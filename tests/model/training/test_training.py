"""Training: the loss falls, a seed reproduces the result, early stopping, and interruption keeps the best weights."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from monitor.cli.main import group
from monitor.core.arrays import Float32
from monitor.errors import ConfigurationError, RecordingError
from monitor.model.artefact.artefact import load_artefact
from monitor.model.network import Shape
from monitor.model.training.training import TUTORIAL, Progress, Recipe, train
from tests.support.recordings import recording_file

Seen = list[Progress]

SHAPE = Shape(block_samples=8, window_blocks=4, units=(8, 8), hidden=8)
QUICK = Recipe(epochs=3, batch=16, windows=320, seed=3)

# Keras converts its variables in a way that is deprecated in NumPy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def tone(size: int = 6000, seed: int = 0) -> Float32:
    noise = np.random.default_rng(seed).normal(0.0, 0.1, size)
    samples: Float32 = (np.sin(0.4 * np.arange(size)) + noise).astype(np.float32)
    return samples


@pytest.mark.parametrize("loss", ["every-block", "last-block"])
def test_the_loss_falls(loss: str) -> None:
    seen: Seen = []
    recipe = Recipe(loss="every-block" if loss == "every-block" else "last-block", epochs=3, batch=16, windows=640)
    found = train([[tone()]], SHAPE, recipe, 50, seen.append)
    assert found.losses == sorted(found.losses, reverse=True)
    assert found.losses[-1] < 0.8 * found.losses[0]
    assert [each.shape for each in found.weights] == list(SHAPE.weight_shapes)
    ends = [each for each in seen if each.epoch_over]
    assert [each.epoch for each in ends] == [1, 2, 3]
    assert [each.validation_loss for each in ends] == found.validation_losses
    assert ends[-1].fraction == pytest.approx(1.0)
    assert ends[-1].remaining_s == pytest.approx(0.0)
    assert all(each.windows_per_s > 0 for each in seen)


def test_the_same_seed_gives_the_same_weights() -> None:
    first, second = (train([[tone()]], SHAPE, QUICK, 50, lambda _: None) for _ in range(2))
    assert first.losses == second.losses
    for one, two in zip(first.weights, second.weights, strict=True):
        np.testing.assert_array_equal(one, two)
    other = train([[tone()]], SHAPE, dataclasses.replace(QUICK, seed=4), 50, lambda _: None)
    assert other.losses != first.losses


def test_training_stops_when_the_last_part_gets_no_better() -> None:
    # The end of the recording is noise, so what was learned from the tone does not help there.
    samples = tone(8000)
    samples[6500:] = np.random.default_rng(1).normal(0.0, 1.0, 1500)
    recipe = Recipe(epochs=30, batch=16, windows=320, patience=2, validation=0.2)
    found = train([[samples]], SHAPE, recipe, 50, lambda _: None)
    assert len(found.losses) < 30
    best = int(np.argmin(found.validation_losses))
    assert best == len(found.validation_losses) - 3


def test_an_interruption_keeps_the_best_so_far() -> None:
    def interrupt(progress: Progress) -> None:
        if progress.epoch_over and progress.epoch == 2:
            raise KeyboardInterrupt

    found = train([[tone()]], SHAPE, QUICK, 50, interrupt)
    assert found.interrupted
    assert len(found.losses) == 2
    complete = train([[tone()]], SHAPE, QUICK, 50, lambda _: None)
    assert found.losses == complete.losses[:2]
    assert all(np.isfinite(array).all() for array in found.weights)


def test_too_short_a_recording_says_what_is_needed() -> None:
    with pytest.raises(RecordingError, match=r"has 40 samples, a window of 4 blocks of 8 needs 57"):
        train([[tone(40)]], SHAPE, QUICK, 50, lambda _: None)


def test_the_tutorial_is_the_tutorials() -> None:
    assert (TUTORIAL.windows, TUTORIAL.stride, TUTORIAL.batch, TUTORIAL.epochs) == (5000, 5, 32, 3)
    assert [count for _, count in Shape().layers] == [80_400, 80_400, 10_100, 10_100]
    assert Shape().parameters == 181_000


ARGUMENTS = "--from-scratch --block-size=8 --blocks=4 --units=6 --hidden=5 --epochs=2 --windows=160 --batch=16".split()  # noqa: SIM905 - as typed


def run(*arguments: object) -> tuple[int, str, str, BaseException | None]:
    found = CliRunner().invoke(group, [str(argument) for argument in arguments])
    return found.exit_code, found.stdout, found.stderr, found.exception


def test_the_command_writes_a_model_and_reports(tmp_path: Path) -> None:
    recording, second = tmp_path / "pump.npz", tmp_path / "raw.npy"
    np.savez(recording, acceleration=tone(), sampling_rate_hz=12000.0)
    np.save(second, np.stack([tone(seed=1), tone(seed=2)], axis=1))
    out = tmp_path / "model"
    code, stdout, stderr, error = run(
        "train", recording, f"{second}?sampling-rate-hz=20000&channel=all&first=0.8", "--out", out, *ARGUMENTS, "--json"
    )
    assert code == 0, (stdout, stderr, error)
    document = json.loads(stdout)
    training = load_artefact(out).manifest.training
    assert {key: document[key] for key in training} == training
    assert [each["name"] for each in training["recordings"]] == ["pump.npz", "raw.npy[0]", "raw.npy[1]"]
    assert [each["held_out_samples"] for each in training["recordings"]] == [2400, 1920, 1920]
    assert str(tmp_path) not in (out / "manifest.json").read_text() + (out / "README.md").read_text()
    assert load_artefact(out).manifest.sampling_rates_hz == (12000.0, 20000.0)
    for row in training["report"]:
        assert set(row["gap_ratio"]) == {"network", "persistence", "zero", "linear", "linear_own"}
        assert len(row["by_position"]["network"]) == 8
    assert stderr.count("epoch ") == 2
    text = run("models", "inspect", out)[1]
    assert "pump.npz: held-out gap ratio over" in text
    forecast = run("forecast", out, recording, "--at", 4000, "--blocks", 3, "--plot", tmp_path / "a.png", "--json")
    assert forecast[0] == 0, forecast
    assert len(json.loads(forecast[1])["gap_ratio_by_block"]) == 3
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    text = run("forecast", out, recording, "--at", 4000, "--plot-positions", tmp_path / "b.png")[1]
    assert "gap ratio" in text
    assert (tmp_path / "b.png").read_bytes().startswith(b"\x89PNG")
    error = run("forecast", out, second, "--sampling-rate-hz", 48000, "--channel", "0", "--at", 4000)[3]
    assert isinstance(error, RecordingError)
    assert "use --decimate 4" in str(error)
    error = run("forecast", out, recording, "--at", 4000, "--record", 1)[3]
    assert "there are 1 records" in str(error)


@pytest.mark.parametrize(
    ("suffix", "message"),
    [
        ("?decimate=x", "write numbers after"),
        ("?colour=red", "colour is 'red'; a measured quantity is a finite number"),
        ("?speed_rpm=1200", "train makes no use of measured quantities; leave speed_rpm out after '?'"),
        ("?", "is not known"),
        ("?first=0", "above 0 and at most 1"),
        ("?unit=inch", "--unit is 'inch'"),
    ],
)
def test_what_follows_a_recording_must_be_known(tmp_path: Path, suffix: str, message: str) -> None:
    np.savez(tmp_path / "a.npz", acceleration=tone(), sampling_rate_hz=12000.0)
    error = run("train", f"{tmp_path / 'a.npz'}{suffix}", "--out", tmp_path / "model")[3]
    assert isinstance(error, ConfigurationError)
    assert message in str(error)


def test_too_short_a_file_says_what_is_needed(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", acceleration=tone(2000), sampling_rate_hz=12000.0)
    error = run("train", tmp_path / "a.npz", "--out", tmp_path / "model")[3]
    assert isinstance(error, RecordingError)
    assert "to train on windows of 25 blocks of 100" in str(error)


def test_the_tutorial_on_a_real_recording_loses_loss(tmp_path: Path) -> None:
    recording = recording_file("uestc/healthy_1000rpm.npz")
    arguments = ["--tutorial", "--windows", "640", "--epochs", "2", "--units", "32", "--hidden", "32"]
    code, stdout, stderr, _ = run("train", f"{recording}?first=0.05", "--out", tmp_path / "model", *arguments, "--json")
    assert code == 0, stderr
    losses = json.loads(stdout)["losses"]
    assert losses[1] < losses[0]
