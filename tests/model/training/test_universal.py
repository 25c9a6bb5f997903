"""Universal training: it learns from random machines, resumes exactly, and says what it foresees."""

import dataclasses
import json
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from monitor.core.arrays import Float32
from monitor.errors import ArtefactError, MonitorError
from monitor.model.artefact.artefact import load_artefact
from monitor.model.artefact.onnx_graph import onnx_bytes
from monitor.model.engines.onnx_engine import OnnxEngine
from monitor.model.network import Shape
from monitor.model.training.training_run import recordings_seen
from monitor.model.training.universal import (
    UniversalProgress,
    UniversalTrained,
    _Run,
    train_universal,
)
from monitor.model.training.universal_recipe import CONTINUED_UNIVERSAL, UniversalRecipe
from monitor.model.training.universal_run import HeldOutMachines
from tests.support.commands import document, invoke, output, refusal

SHAPE = Shape(block_samples=8, window_blocks=4, units=(24, 24), hidden=24)
RECIPE = UniversalRecipe(sequences=16, blocks=16, piece_blocks=(8, 16), together=4, renewed=1, excess=2.0, seed=3)
TINY = "--block-size=8 --blocks=4 --units=6 --hidden=5 --batch=4".split()  # noqa: SIM905 - as typed

# Keras converts its variables in a way that is deprecated in NumPy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(autouse=True)
def small_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.model.training.universal.POOL_SIGNALS", 40)
    monkeypatch.setattr("monitor.model.training.universal_run.HELD_OUT_MACHINES", 12)


def trained(
    checkpoint: Path | None = None,
    report: Callable[[UniversalProgress], None] = lambda _: None,
    batches: int = 12,
    recipe: UniversalRecipe = RECIPE,
) -> UniversalTrained:
    return train_universal([], SHAPE, recipe, budget_s=None, batches=batches, checkpoint=checkpoint, report=report)


def test_it_learns_to_forecast_machines_that_it_never_saw() -> None:
    held_out = HeldOutMachines(30, SHAPE.block_samples, SHAPE.window_blocks)
    before, after = (trained(batches=batches) for batches in (1, 480))
    first, last = (
        held_out.summary(held_out.gap_ratios(OnnxEngine(SHAPE, onnx_bytes(SHAPE, each.weights))))
        for each in (before, after)
    )
    assert [each.shape for each in after.weights] == list(SHAPE.weight_shapes)
    assert first["gap_ratio_median"] > 0.95
    assert last["gap_ratio_median"] < 0.9
    assert last["gap_ratio_mean"] < first["gap_ratio_mean"]


def stopped_at(batch: int, checkpoint: Path) -> UniversalTrained:
    """The result of a training of twelve batches with Ctrl-C after ``batch`` of them."""
    train_on = _Run.train_on

    def until(run: _Run, batches: list[tuple[Float32, Float32]]) -> None:
        if run.position.batch >= batch:
            raise KeyboardInterrupt
        train_on(run, batches)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_Run, "train_on", until)
        found = trained(checkpoint)
    assert found.interrupted
    return found


def test_an_interrupted_training_resumes_to_the_same_weights(tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint.npz"
    first = stopped_at(8, checkpoint)
    assert first.batches == 8
    second = trained(checkpoint)
    assert not second.interrupted
    for one, two in zip(second.weights, trained().weights, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-4)
    assert len(second.losses) > len(first.losses)


def test_a_checkpoint_of_another_training_is_refused(tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint.npz"
    trained(checkpoint, batches=1)
    with pytest.raises(ArtefactError, match="belongs to a training with other settings"):
        trained(checkpoint, recipe=dataclasses.replace(RECIPE, seed=4))
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    with pytest.raises(ArtefactError, match=r"cannot be read .*; delete it to start the training again"):
        trained(checkpoint)


def test_a_budget_becomes_a_length(monkeypatch: pytest.MonkeyPatch) -> None:
    """A trial finds out how long batches take; only what the training does with its time counts here."""
    now = [0.0]
    train_on = _Run._train_on

    def timed(run: _Run, batches: list[tuple[Float32, Float32]], *, later: bool, rate: float) -> None:
        now[0] += len(batches) * (0.1 if later else 0.2)
        train_on(run, batches, later=later, rate=rate)

    monkeypatch.setattr(_Run, "_train_on", timed)
    monkeypatch.setattr("monitor.model.training.universal.time.monotonic", lambda: now[0])
    fractions: list[float] = []
    found = train_universal(
        [],
        SHAPE,
        RECIPE,
        budget_s=10.0,
        batches=None,
        checkpoint=None,
        report=lambda told: fractions.append(told.fraction),
    )
    assert found.seconds == pytest.approx(10.0, rel=0.1)
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    # The trial leaves no trace: as many batches without it give the same weights.
    for one, two in zip(found.weights, trained(batches=found.batches).weights, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-4)


def test_the_command_writes_a_model_for_any_rate(tmp_path: Path) -> None:
    out = tmp_path / "universal"
    tone = np.sin(0.3 * np.arange(30_000)).astype(np.float32)
    np.savez(tmp_path / "pump.npz", acceleration=tone, sampling_rate_hz=12000.0)
    found = document("train", "--universal", "--out", out, "--batches=3", *TINY, tmp_path / "pump.npz")
    assert found["universal"]["batches"] == 3
    assert found["universal"]["random_machines"]["count"] == 12
    assert sum(each["count"] for each in found["universal"]["random_machines"]["classes"]) == 12
    assert [each["name"] for each in found["recordings"]] == ["pump.npz"]
    assert [each["name"] for each in found["report"]] == ["pump.npz"]
    model = load_artefact(out)
    assert model.manifest.sampling_rates_hz == ()
    assert model.manifest.untrained_rate(51_200.0, "fan") == ""
    card = (out / "README.md").read_text()
    assert "Gap ratio on 12 random machines of a seed kept apart" in card
    assert f"Loss in the course of the training: {found['losses'][0]:.4f}" in card
    assert "| 0.0005 | 0.002 |" in card
    assert not out.with_name("universal.checkpoint.npz").exists()
    assert "trained on random machines, for any sampling rate" in output("models", "inspect", out)
    assert json.loads((out / "manifest.json").read_text())["training"]["universal"]["recordings"] == 1
    # Continuing with it has no beginning with simple machines, and a lower rate.
    more = document("train", "--universal", "--from", out, "--out", tmp_path / "more", "--batches=1", "--batch=4")
    assert more["started_from"]["name"] == "universal"
    assert (more["recipe"]["beginning"], more["recipe"]["learning_rate"]) == (0.0, CONTINUED_UNIVERSAL.learning_rate)
    assert list(recordings_seen(load_artefact(tmp_path / "more").manifest.training).values()) == ["pump.npz"]
    # A model of one's own continues with it, and has the rate of its recordings.
    own = document(
        "train", tmp_path / "pump.npz", "--from", out, "--out", tmp_path / "own", "--epochs=1", "--windows=64"
    )
    assert own["started_from"]["name"] == "universal"
    assert load_artefact(tmp_path / "own").manifest.sampling_rates_hz == (12000.0,)


def test_it_trains_on_exactly_as_many_batches_as_asked_for(tmp_path: Path) -> None:
    seen: list[int] = []
    assert trained(report=lambda told: seen.append(told.batch), batches=6).batches == 6
    assert seen[-1] == 6
    checkpoint = tmp_path / "checkpoint.npz"
    stopped_at(4, checkpoint)
    with pytest.raises(ArtefactError, match="has 4 batches already, 3 are asked for; give more --batches"):
        trained(checkpoint, batches=3)


def test_a_checkpoint_is_not_resumed_with_other_recordings(tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint.npz"
    trained(checkpoint, batches=1)
    tone = np.sin(0.3 * np.arange(30_000)).astype(np.float32)
    with pytest.raises(ArtefactError, match="other settings or recordings"):
        train_universal([[tone]], SHAPE, RECIPE, budget_s=None, batches=2, checkpoint=checkpoint, report=lambda _: None)


def test_a_training_that_diverges_stops() -> None:
    start = [np.full(shape, 1e30, np.float32) for shape in SHAPE.weight_shapes]
    with pytest.raises(MonitorError, match="the loss was no finite number after 0 batches; give a --learning-rate"):
        train_universal(
            [], SHAPE, RECIPE, budget_s=None, batches=2, checkpoint=None, report=lambda _: None, start=start
        )


def test_a_stopped_training_replaces_no_finished_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "model"
    command: list[str | Path] = ["train", "--universal", "--out", out, *TINY]

    def stop(*_: object) -> None:
        signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr("monitor.cli.model.train_universal._show", stop)
        told = output(*command, "--batches=20")
        assert ", stopped early" in told
        assert "repeat with" not in told
    assert out.with_name("model.checkpoint.npz").exists()
    first = load_artefact(out)
    output(*command, "--batches=20")
    finished = load_artefact(out)
    assert (first.manifest.training["interrupted"], finished.manifest.training["interrupted"]) == (True, False)
    assert not out.with_name("model.checkpoint.npz").exists()
    with monkeypatch.context() as patch:
        patch.setattr("monitor.cli.model.train_universal._show", stop)
        assert f"{out} is kept as it was, the same command resumes" in str(refusal(*command, "--force", "--batches=20"))
    assert load_artefact(out).sha256 == finished.sha256


def test_before_the_first_batch_there_is_no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("monitor.model.training.universal._Run.train_on", stop)
    error = refusal("train", "--universal", "--out", tmp_path / "model", "--batches=3", *TINY)
    assert "stopped after 0 batches; no model was written" in str(error)
    assert not (tmp_path / "model").exists()


def test_a_model_made_from_a_model_names_what_that_has_seen(tmp_path: Path) -> None:
    for name, step in (("pump", 0.3), ("fan", 0.5)):
        tone = np.sin(step * np.arange(30_000)).astype(np.float32)
        np.savez(tmp_path / f"{name}.npz", acceleration=tone, sampling_rate_hz=12000.0)
    command: list[str | Path] = ["train", "--universal", "--batches=1", "--batch=4"]
    output(*command, tmp_path / "pump.npz", *TINY, "--out", tmp_path / "first")
    output(*command, tmp_path / "fan.npz", "--from", tmp_path / "first", "--out", tmp_path / "second")
    seen = recordings_seen(load_artefact(tmp_path / "second").manifest.training)
    assert sorted(seen.values()) == ["fan.npz", "pump.npz"]
    told = output("models", "inspect", tmp_path / "second")
    assert "continued with first" in told
    assert "12 random machines that it was not trained on: median gap ratio" in told
    assert "by epoch" not in told


def test_what_is_too_short_or_flat_is_named(tmp_path: Path) -> None:
    tone, flat = np.sin(0.3 * np.arange(10_000)).astype(np.float32), np.full(10_000, 9.81, np.float32)
    for name, samples in {"pump": tone, "flat": flat, "burst": tone[:1500]}.items():
        np.savez(tmp_path / f"{name}.npz", acceleration=samples, sampling_rate_hz=12000.0)
    command: list[str | Path] = ["train", "--universal", "--batches=1", *TINY, "--out", tmp_path / "model"]
    error = refusal(*command, tmp_path / "pump.npz", "--holdout=0.9")
    assert "pump.npz: too short: its longest record has 1,000 samples to train on, after --holdout 0.9" in str(error)
    assert "flat.npz" in invoke(*command, tmp_path / "pump.npz", tmp_path / "flat.npz").stderr
    assert "in every recording all samples to train on are equal" in str(
        refusal(*command, "--force", tmp_path / "flat.npz")
    )
    assert "1,500 samples" in str(refusal(*command, "--force", tmp_path / "burst.npz", "--holdout=0"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--universal"], "how long may it train? Give --budget 2h"),
        (["--universal", "--tutorial", "--budget=1h"], "--universal and --tutorial exclude each other"),
        (["--universal", "--budget=1h", "--epochs=3"], "--universal: --epochs does not apply to this training"),
        (["--budget=1h"], "--budget and --batches need --universal"),
        ([], "Missing argument 'RECORDING...'; only --universal trains without recordings"),
    ],
)
def test_usage_errors(arguments: list[str], words: str, tmp_path: Path) -> None:
    found = invoke("train", "--out", tmp_path / "model", *arguments)
    assert found.exit_code == 2
    assert words in found.stderr


def test_a_budget_too_short_is_refused(tmp_path: Path) -> None:
    error = refusal("train", "--universal", "--budget=5s", "--out", tmp_path / "model")
    assert "a budget of 5 s is too short to learn anything; give at least 30 s" in str(error)
