"""Universal training: it learns from random machines, resumes exactly, and says what it foresees."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from monitor.errors import ArtefactError
from monitor.model.artefact.artefact import load_artefact
from monitor.model.artefact.onnx_graph import onnx_bytes
from monitor.model.engines.onnx_engine import OnnxEngine
from monitor.model.network import Shape
from monitor.model.training.universal import UniversalProgress, UniversalRecipe, UniversalTrained, train_universal
from monitor.model.training.universal_run import HeldOutMachines
from tests.support.commands import document, invoke, output, refusal

SHAPE = Shape(block_samples=8, window_blocks=4, units=(24, 24), hidden=24)
RECIPE = UniversalRecipe(sequences=8, piece_blocks=8, pieces=2, together=4, renewed=1, seed=3)
TINY = "--block-size=8 --blocks=4 --units=6 --hidden=5 --batch=4".split()  # noqa: SIM905 - as typed

# Keras converts its variables in a way that is deprecated in NumPy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(autouse=True)
def small_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.model.training.universal.POOL_SIGNALS", 40)
    # So short a training has no time to begin with simple machines only.
    monkeypatch.setattr("monitor.model.training.signal_pool.SIMPLE_POOLS", 0.0)
    monkeypatch.setattr("monitor.model.training.signal_pool.MIXING_POOLS", 0.1)
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
    before, after = (trained(batches=batches) for batches in (1, 240))
    first, last = (
        held_out.summary(held_out.gap_ratios(OnnxEngine(SHAPE, onnx_bytes(SHAPE, each.weights))))
        for each in (before, after)
    )
    assert [each.shape for each in after.weights] == list(SHAPE.weight_shapes)
    assert first["gap_ratio_median"] > 0.95
    assert last["gap_ratio_median"] < 0.9
    assert last["gap_ratio_mean"] < first["gap_ratio_mean"]


def test_an_interrupted_training_resumes_to_the_same_weights(tmp_path: Path) -> None:
    def interrupt(told: UniversalProgress) -> None:
        if told.batch >= 6:
            raise KeyboardInterrupt

    checkpoint = tmp_path / "checkpoint.npz"
    first = trained(checkpoint, interrupt)
    assert first.interrupted
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
    """Where the rate begins to fall, the length is fixed, so that the same length can be asked for again."""
    now = [0.0]

    def clock() -> float:
        now[0] += 0.25
        return now[0]

    monkeypatch.setattr("monitor.model.training.universal.time.monotonic", clock)
    fractions: list[float] = []
    found = train_universal(
        [],
        SHAPE,
        RECIPE,
        budget_s=20.0,
        batches=None,
        checkpoint=None,
        report=lambda told: fractions.append(told.fraction),
    )
    assert 20.0 * 0.7 < found.seconds < 20.0 * 1.3
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0


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
    assert "| 0.0005 | 0.002 |" in card
    assert not out.with_name("universal.checkpoint.npz").exists()
    assert "trained on random machines, for any sampling rate" in output("models", "inspect", out)
    assert json.loads((out / "manifest.json").read_text())["training"]["universal"]["recordings"] == 1
    # A model of one's own continues with it, and has the rate of its recordings.
    own = document(
        "train", tmp_path / "pump.npz", "--from", out, "--out", tmp_path / "own", "--epochs=1", "--windows=64"
    )
    assert own["started_from"]["name"] == "universal"
    assert load_artefact(tmp_path / "own").manifest.sampling_rates_hz == (12000.0,)


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
