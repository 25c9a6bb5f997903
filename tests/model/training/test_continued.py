"""Training that continues with a model's weights: what is kept, what is recorded, what is refused."""

import dataclasses
from pathlib import Path

import click
import numpy as np
import pytest

from monitor.core.arrays import Float32
from monitor.errors import ConfigurationError, MonitorError, RecordingError
from monitor.model.artefact.artefact import Artefact, load_artefact
from monitor.model.artefact.write import write_model
from monitor.model.network import Shape
from monitor.model.training.training import CONTINUED, Progress, Recipe, train
from monitor.model.training.training_run import recordings_seen
from monitor.shipped import shipped
from tests.support.commands import document, invoke, output, refusal

SHAPE = Shape(block_samples=8, window_blocks=4, units=(8, 8), hidden=8)
RECIPE = Recipe(epochs=2, batch=16, windows=320, seed=3)
QUICK = "--epochs=2 --windows=160 --batch=16".split()  # noqa: SIM905 - as typed
TINY = "--from-scratch --block-size=8 --blocks=4 --units=6 --hidden=5".split()  # noqa: SIM905 - as typed

# Keras converts its variables in a way that is deprecated in NumPy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def tone(size: int = 6000, seed: int = 0, step: float = 0.4) -> Float32:
    noise = np.random.default_rng(seed).normal(0.0, 0.1, size)
    samples: Float32 = (np.sin(step * np.arange(size)) + noise).astype(np.float32)
    return samples


def recording(file: Path, samples: Float32) -> Path:
    np.savez(file, acceleration=samples, sampling_rate_hz=12000.0)
    return file


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Artefact:
    """A tiny model, trained from scratch on a tone."""
    folder = tmp_path_factory.mktemp("first")
    output(
        "train", recording(folder / "fan.npz", tone()), "--out", folder / "fan", *TINY, *QUICK, "--learning-rate=0.01"
    )
    return load_artefact(folder / "fan")


def test_it_starts_where_the_weights_are() -> None:
    before = train([[tone()]], SHAPE, RECIPE, 50, lambda _: None)
    after = train([[tone(seed=1)]], SHAPE, dataclasses.replace(RECIPE, rising=0.2), 50, lambda _: None, before.weights)
    assert before.validation_loss_before is None
    assert after.validation_loss_before is not None
    assert after.validation_loss_before == pytest.approx(before.validation_losses[-1], rel=0.2)
    assert after.losses[0] < before.losses[0]
    assert after.validation_losses[-1] < after.validation_loss_before


def test_weights_that_get_no_better_are_kept() -> None:
    before = train([[tone()]], SHAPE, dataclasses.replace(RECIPE, epochs=6), 50, lambda _: None)
    # A tone that is trained on, then noise to validate on: whatever is learned makes the noise worse.
    noise = np.random.default_rng(1).normal(0.0, 1.0, 6000).astype(np.float32)
    after = train(
        [[tone(), noise[:900]]],
        SHAPE,
        dataclasses.replace(RECIPE, learning_rate=0.1),
        50,
        lambda _: None,
        before.weights,
    )
    assert after.validation_loss_before is not None
    assert min(after.validation_losses) > after.validation_loss_before
    for one, two in zip(before.weights, after.weights, strict=True):
        np.testing.assert_array_equal(one, two)


def test_an_interruption_in_the_first_epoch_keeps_the_model_that_it_started_from() -> None:
    def interrupt(_: Progress) -> None:
        raise KeyboardInterrupt

    before = train([[tone()]], SHAPE, RECIPE, 50, lambda _: None)
    recipe = dataclasses.replace(RECIPE, windows=640)
    after = train([[tone()]], SHAPE, recipe, 50, interrupt, before.weights)
    assert (after.interrupted, after.losses) == (True, [])
    for one, two in zip(before.weights, after.weights, strict=True):
        np.testing.assert_array_equal(one, two)


def test_it_takes_a_quarter_of_the_steps() -> None:
    quarter, whole = ((recipe.windows or 0) * recipe.epochs / recipe.batch for recipe in (CONTINUED, Recipe()))
    assert 0 < 4 * quarter <= whole


def test_the_model_says_what_it_started_from(first: Artefact, tmp_path: Path) -> None:
    pump = recording(tmp_path / "pump.npz", tone(seed=2, step=0.7))
    found = document("train", pump, "--from", first.path, "--out", tmp_path / "pump", *QUICK)
    start = found["started_from"]
    assert (start["name"], start["sha256"]) == ("fan", first.sha256)
    assert start["validation_loss"] > 0
    assert [each["name"] for each in start["recordings"]] == ["fan.npz"]
    model = load_artefact(tmp_path / "pump")
    assert model.manifest.shape == first.manifest.shape
    assert (
        f"the model `fan`, SHA-256 `{first.sha256}`, which has seen fan.npz." in (model.path / "README.md").read_text()
    )
    assert f"continued with fan, sha256 {first.sha256[:16]}" in output("models", "inspect", model.path)
    # What the weights have seen is passed on.
    document("train", pump, "--from", model.path, "--out", tmp_path / "again", *QUICK)
    seen = recordings_seen(load_artefact(tmp_path / "again").manifest.training)
    assert sorted(seen.values()) == ["fan.npz", "pump.npz"]
    assert set(recordings_seen(model.manifest.training)) == set(seen)


def test_it_starts_from_the_shipped_reference_unless_told_otherwise(tmp_path: Path) -> None:
    fan = recording(tmp_path / "fan.npz", tone(12_000))
    found = document("train", fan, "--out", tmp_path / "fan", "--epochs=1", "--windows=64")
    reference = load_artefact(shipped("models/reference"))
    assert (found["started_from"]["name"], found["started_from"]["sha256"]) == ("reference", reference.sha256)
    fewer = document(
        "train", fan, "--from", "demo", "--blocks=5", "--out", tmp_path / "demo", "--epochs=1", "--windows=64"
    )
    assert fewer["started_from"]["name"] == "demo"
    assert load_artefact(tmp_path / "demo").manifest.shape == Shape(window_blocks=5)


@pytest.mark.parametrize("option", ["--block-size=50", "--units=50", "--hidden=50"])
def test_another_shape_needs_fresh_weights(option: str, tmp_path: Path) -> None:
    error = refusal("train", recording(tmp_path / "a.npz", tone(12_000)), option, "--out", tmp_path / "a")
    assert isinstance(error, ConfigurationError)
    assert str(error) == (
        "train: the model reference, with which the training continues, has blocks of 100 samples, LSTM layers of 100 "
        "and 100 units, and a dense layer of 100; leave out --block-size, --units and --hidden, or start with fresh "
        "weights: --from-scratch"
    )


@pytest.mark.parametrize("option", ["--from-scratch", "--tutorial"])
def test_a_model_to_start_from_and_fresh_weights_exclude_each_other(option: str, tmp_path: Path) -> None:
    result = invoke("train", tmp_path / "a.npz", "--from", "demo", option, "--out", tmp_path / "a")
    assert isinstance(result.exception, SystemExit | click.UsageError)
    assert result.exit_code == 2
    assert f"--from and {option} exclude each other" in result.stderr


def test_a_recording_without_signal_is_left_out(first: Artefact, tmp_path: Path) -> None:
    flat = recording(tmp_path / "flat.npz", np.full(6000, 3.7, np.float32))
    pump = recording(tmp_path / "pump.npz", tone(seed=3))
    result = invoke("train", flat, pump, "--from", first.path, "--out", tmp_path / "model", *QUICK)
    assert result.exit_code == 0, result.output
    assert "warning: flat.npz: all samples that would be trained on are equal" in result.stderr
    trained = load_artefact(tmp_path / "model").manifest.training["recordings"]
    assert [each["name"] for each in trained] == ["pump.npz"]
    error = refusal("train", flat, "--from", first.path, "--out", tmp_path / "none", *QUICK)
    assert isinstance(error, RecordingError)
    assert "there is nothing to forecast: in every recording all samples to train on are equal" in str(error)
    assert not (tmp_path / "none").exists()


def test_noise_holds_nothing_to_forecast(first: Artefact, tmp_path: Path) -> None:
    noise = np.random.default_rng(5).normal(0.0, 1.0, 20_000).astype(np.float32)
    fan = tone(20_000, seed=3)
    # Noise that ends in silence: the held-out part has no signal.
    ends = np.concatenate([noise[:8000], np.full(12_000, noise[7999], np.float32)])
    files = [recording(tmp_path / f"{name}.npz", x) for name, x in {"noise": noise, "fan": fan, "ends": ends}.items()]
    told = output(
        "train",
        *files,
        "--from",
        first.path,
        "--out",
        tmp_path / "model",
        *QUICK,
        "--windows=1600",
        "--learning-rate=0.01",
    )
    assert told.count("nothing to forecast: this recording is noise to the network and to an AR model alike") == 1
    report = {each["name"]: each["gap_ratio"] for each in load_artefact(tmp_path / "model").manifest.training["report"]}
    assert report["noise.npz"]["network"] == pytest.approx(1.0, abs=0.1)
    assert report["noise.npz"]["linear_own"] == pytest.approx(1.0, abs=0.05)
    assert report["fan.npz"]["network"] < 0.9
    card = (tmp_path / "model" / "README.md").read_text()
    assert "so that a forecast adds nothing: noise.npz." in card


def test_a_training_that_diverges_says_so_and_writes_nothing(first: Artefact, tmp_path: Path) -> None:
    with pytest.raises(MonitorError, match="the loss was no finite number in epoch 1; give a --learning-rate below"):
        train(
            [[tone()]], SHAPE, RECIPE, 50, lambda _: None, [np.full(s, 1e30, np.float32) for s in SHAPE.weight_shapes]
        )
    with pytest.raises(MonitorError, match="not written, because the training diverged"):
        write_model(
            tmp_path / "model",
            first.manifest.shape,
            [np.full_like(each, np.inf) for each in first.weights()],
            first.manifest.scaling,
            [],
            {},
        )
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("command", [["train", "--from-scratch"], ["train", "--universal", "--batches=1"]])
def test_a_place_that_cannot_be_written_is_found_before_the_training(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("training_run.train", "universal_run.train_universal"):
        monkeypatch.setattr(f"monitor.model.training.{name}", lambda *_, **__: pytest.fail("it was trained"))
    fan = recording(tmp_path / "fan.npz", tone(20_000))
    (tmp_path / "plain").write_text("text")
    error = refusal(*command, fan, "--out", tmp_path / "plain" / "model")
    assert f"a model cannot be written there: {tmp_path / 'plain'}: File exists; give another directory" in str(error)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "notes.txt").write_text("text")
    assert "exists and is not a model" in str(refusal(*command, fan, "--out", tmp_path / "folder"))
    monkeypatch.chdir(tmp_path)
    assert ".: has no name of its own" in str(refusal(*command, fan, "--out", "."))
    assert sorted(each.name for each in tmp_path.iterdir()) == ["fan.npz", "folder", "plain"]
