"""The forecast benchmark's own rules; what it measures is no test's business."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from monitor.core.forecasting.level import TIME_CONSTANT_BLOCKS
from monitor.errors import ArtefactError
from monitor.model.artefact.artefact import load_artefact
from monitor.model.engines.engines import load_engine
from monitor.model.training.report import compare, linear_forecaster
from monitor.model.training.training import CONTINUED, TUTORIAL, Recipe
from monitor.model.training.universal_recipe import UniversalRecipe
from monitor.model.training.universal_run import HELD_OUT_SEED
from monitor.shipped import shipped
from tests.benchmarks import forecast_data as data
from tests.benchmarks import forecast_machines
from tests.benchmarks.forecast import BLOCK_SAMPLES, WARMUP_BLOCKS, Asked, gap_ratios, stretches, summary
from tests.benchmarks.forecast_machines import Simulated
from tests.support.networks.numpy_engine import LastBlock

REFERENCE = load_artefact(shipped("models/reference"))


@pytest.fixture
def one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A benchmark with one rig of one recording."""
    file = tmp_path / "healthy.npz"
    np.savez(file, acceleration=np.random.default_rng(1).normal(size=9000).astype(np.float32), sampling_rate_hz=12000.0)
    monkeypatch.setenv("VIBRATION_DATA", str(tmp_path))
    monkeypatch.setattr(data, "RIGS", {"rig": ["healthy.npz"]})
    return file


def trained(sha256: str, *, before: bool) -> Asked:
    record = {"recordings": [{"name": "other.npz", "sha256": sha256}]}
    training = {"recordings": [], "started_from": record} if before else record
    manifest = REFERENCE.manifest.model_copy(update={"training": training})
    return Asked(dataclasses.replace(REFERENCE, manifest=manifest), None, skip_seen=False)


@pytest.mark.parametrize("before", [False, True])
def test_a_model_is_not_judged_on_what_it_was_trained_on(one_file: Path, *, before: bool) -> None:
    asked = trained(data.sha256(one_file), before=before)
    with pytest.raises(ArtefactError, match=r"it was trained on healthy.npz, and a model is judged on machines"):
        asked.machines()
    assert dataclasses.replace(asked, skip_seen=True).machines() == []
    assert asked.engines(data.sha256(one_file)) == {}
    unseen = trained("0" * 64, before=before)
    assert [each.name for each in unseen.machines()] == ["healthy.npz"]
    with pytest.raises(ArtefactError, match="it was trained on"):
        dataclasses.replace(unseen, previous=asked.model).machines()


def test_the_first_half_is_fitted_and_the_second_judged(one_file: Path) -> None:
    (machine,) = trained("0" * 64, before=False).machines()
    whole = np.load(one_file)["acceleration"]
    np.testing.assert_array_equal(np.concatenate([*machine.first, *machine.last]), whole)
    assert sum(record.size for record in machine.first) == whole.size // 2


def test_the_shipped_reference_has_seen_no_recording_and_forecasts_machines_that_it_does_not_know() -> None:
    assert REFERENCE.manifest.parameters == 181_000
    assert data.trained_on(REFERENCE) == {}
    engines = {"reference": load_engine(REFERENCE, "onnxruntime")}
    found = [gap_ratios(engines, each.first, each.last) for each in forecast_machines.random_machines(20)]
    over = [each["reference"] / each["AR(100)"] for each in found]
    assert np.median(over) < 2.0
    assert max(each["reference"] for each in found) < 1.1


def test_the_small_model_is_that_of_the_training_report() -> None:
    signal = np.random.default_rng(2).normal(size=20_000).astype(np.float32).cumsum()
    first, last = [signal[:10_000]], [signal[10_000:]]
    matrix = linear_forecaster([first], BLOCK_SAMPLES, TIME_CONSTANT_BLOCKS)
    assert matrix.shape == (BLOCK_SAMPLES, BLOCK_SAMPLES)
    found = gap_ratios({"model": LastBlock(BLOCK_SAMPLES, 25, 5)}, first, last)
    assert set(found) == {"model", "model + head", "AR(100)", "AR(400)"}
    assert found["AR(100)"] < found["model"]
    assert found["model + head"] < 0.1


def test_a_head_is_judged_on_the_same_blocks_and_weights() -> None:
    signal = np.random.default_rng(3).normal(size=12_345).astype(np.float32)
    for record in (signal * 5 + 100, signal[:1500]):
        engine = LastBlock(BLOCK_SAMPLES, 25, 5)
        (stretch,) = stretches(engine, [record])
        ratio = np.sum((stretch.signal - stretch.forecast) ** 2) / np.sum(stretch.signal**2)
        expected = compare(engine, [record], {}, TIME_CONSTANT_BLOCKS, WARMUP_BLOCKS)
        assert len(stretch.signal) == expected.blocks
        assert ratio == pytest.approx(expected.ratios["network"].overall, rel=1e-4)


@pytest.mark.parametrize("family", [forecast_machines.random_machines, forecast_machines.random_vibration])
def test_simulated_machines_are_reproducible_and_different(family: Callable[[int], list[Simulated]]) -> None:
    one, two = family(2), family(2)
    for first, second in zip(one, two, strict=True):
        np.testing.assert_array_equal(first.last[0], second.last[0])
    assert not np.array_equal(one[0].first[0], one[1].first[0])


def test_their_seeds_are_no_seeds_of_trainings() -> None:
    used = range(forecast_machines.SEED, forecast_machines.SEED + forecast_machines.COUNT)
    trained = {recipe.seed for recipe in (Recipe(), CONTINUED, TUTORIAL, UniversalRecipe())}
    assert not {*trained, HELD_OUT_SEED} & set(used)


def test_every_random_machine_turns_slower_than_it_is_sampled() -> None:
    found = [forecast_machines.random_machine(number) for number in range(forecast_machines.COUNT)]
    assert all(machine.shaft_hz < 0.1 * rate_hz and machine.noise_mps2 > 0 for machine, rate_hz in found)
    assert len({machine.build for machine, _ in found}) == len(found)


def test_the_summary_counts() -> None:
    rows = [{"name": "a", "AR(100)": 0.5, "model": 0.25}, {"name": "b", "AR(100)": 0.5, "model": 1.5, "model_s": 3.0}]
    told = summary(rows)
    assert told["machines"] == 2
    assert told["model"] == {
        "judged": 2, "largest": 1.5, "above_1": 1, "over_ar_quartiles": [1.125, 1.75, 2.375], "better_than_ar": 0.5,
    }  # fmt: skip
    assert "model_s" not in told
