"""Recomputed forecasts equal those of the pipeline."""

from dataclasses import replace

import numpy as np
import pytest

from monitor.core.arrays import Float32
from monitor.core.forecasting.forecaster import make_forecaster
from monitor.core.forecasting.gap import ComparedBlocks
from monitor.core.forecasting.level import SPIKE_BLOCKS, SPIKE_LEVELS
from monitor.core.learning.fit import calibrate
from monitor.core.learning.head_fit import Stretch
from monitor.core.pipeline import Pipeline
from monitor.core.recompute import recompute
from monitor.core.samples.rings import Rings
from monitor.core.scoring.interval.head import Head
from tests.support.networks.numpy_engine import Exploding, NumpyEngine

ENGINE = NumpyEngine()
SIZE = ENGINE.block_samples
LEVEL_BLOCKS = 10


def noise(blocks: int, seed: int = 0) -> Float32:
    return (3.0 + 2.0 * np.random.default_rng(seed).normal(size=(blocks, SIZE))).astype(np.float32)


def spoiled() -> Float32:
    """Noise with a spike, and later a lasting change of level."""
    blocks = noise(60)
    blocks[20, 3] += 4 * SPIKE_LEVELS
    blocks[40:] *= 4 * SPIKE_LEVELS
    return blocks


def pipeline_forecasts(mode: str, blocks: Float32) -> Float32:
    """The forecast that the pipeline compared each block with; NaN if it did not compare it."""
    pipeline = Pipeline(make_forecaster(ENGINE, mode, 1), 1, SIZE, LEVEL_BLOCKS)
    pipeline.configure(np.zeros(1, np.intp), interval_blocks=10**9, warmup_blocks=1)
    forecast = np.full(blocks.shape, np.nan, np.float32)

    def listen(batch: ComparedBlocks) -> None:
        forecast[batch.start_sample[0] // SIZE] = batch.samples[0] - batch.signal[0] + batch.forecast[0]

    pipeline.listener = listen
    rings = Rings(1, len(blocks) + 1, SIZE)
    rings.append(0, blocks.reshape(-1), 1.0, 0.0)
    while (due := rings.take()) is not None:
        pipeline.process(due)
    return forecast


@pytest.mark.parametrize("mode", ["carried", "windowed"])
@pytest.mark.parametrize("blocks", [noise(30), spoiled()], ids=["noise", "spoiled"])
def test_forecasts_are_those_of_the_pipeline(mode: str, blocks: Float32) -> None:
    made = recompute(make_forecaster(ENGINE, mode, 1), blocks, LEVEL_BLOCKS)
    expected = pipeline_forecasts(mode, blocks)
    compared = np.isfinite(expected[:, 0])
    assert made.compared.tolist() == compared.tolist()
    np.testing.assert_allclose(made.forecast[compared], expected[compared], rtol=1e-4, atol=1e-3)


def test_a_spike_the_block_after_it_and_a_new_context_are_not_compared() -> None:
    made = recompute(make_forecaster(ENGINE, "carried", 1), spoiled(), LEVEL_BLOCKS)
    assert np.flatnonzero(~made.compared).tolist() == [0, 20, 21, *range(40, 40 + SPIKE_BLOCKS + 1)]


@pytest.mark.parametrize("mode", ["carried", "windowed"])
@pytest.mark.parametrize("blocks", [noise(60), spoiled()], ids=["noise", "spoiled"])
def test_with_a_head_the_residual_is_that_of_the_pipeline(mode: str, blocks: Float32) -> None:
    rng = np.random.default_rng(1)
    summary = (0.3 * rng.normal(size=(2 * SIZE, SIZE))).astype(np.float32)
    ahead, carried = (0.3 * rng.normal(size=(2, SIZE, SIZE))).astype(np.float32)
    head = Head(0.4 ** np.arange(1.0, SIZE + 1.0), np.ones(SIZE), np.ones(SIZE), summary, ahead, carried)
    made = recompute(make_forecaster(ENGINE, mode, 1), blocks, LEVEL_BLOCKS, head=head)
    residual = np.sqrt(np.mean((blocks - made.forecast) ** 2, axis=1))

    rows = np.zeros(1, np.intp)
    pipeline = Pipeline(make_forecaster(ENGINE, mode, 1), 1, SIZE, LEVEL_BLOCKS)
    pipeline.configure(rows, interval_blocks=1, warmup_blocks=1)
    healthy = Stretch(blocks[0], noise(200), noise(200, 1))
    calibration = calibrate([[healthy]], interval_blocks=1, warmup_blocks=1, sampling_rate_hz=1000.0)
    pipeline.assign(rows, replace(calibration, head=head), 1.0)
    rings = Rings(1, len(blocks) + 1, SIZE)
    rings.append(0, blocks.reshape(-1), 1.0, 0.0)
    gaps = np.full(len(blocks), np.nan)
    while (due := rings.take()) is not None:
        intervals = pipeline.process(due).intervals
        if intervals is not None:
            gaps[intervals.start_sample // SIZE] = intervals.gaps.gap_mps2
    assert np.isfinite(gaps).tolist() == made.compared.tolist()
    np.testing.assert_allclose(residual[made.compared], gaps[made.compared], rtol=1e-3)


def test_a_later_first_block_has_no_forecast_before_it() -> None:
    blocks = noise(30)
    made = recompute(make_forecaster(ENGINE, "carried", 1), blocks, LEVEL_BLOCKS, first=12)
    assert np.isnan(made.forecast[:13]).all()
    assert np.isfinite(made.forecast[13:]).all()


def test_ahead_each_forecast_is_the_input_of_the_next() -> None:
    blocks = noise(12)
    made = recompute(make_forecaster(ENGINE, "carried", 1), blocks, LEVEL_BLOCKS, ahead=3)
    assert made.forecast.shape == (15, SIZE)
    forecaster, row = make_forecaster(ENGINE, "carried", 1), np.zeros(1, np.intp)
    for unit in made.level.units:
        last = forecaster.step(unit[None], row)
    expected = [last]
    for _ in range(2):
        expected.append(forecaster.step(expected[-1], row))
    scaled = np.concatenate(expected) * made.level.rms[-1] + made.level.mean[-1]
    np.testing.assert_allclose(made.forecast[12:], scaled, rtol=1e-6)


def test_a_forecast_that_is_not_finite_costs_one_block_and_a_head_without_the_network_none() -> None:
    blocks = noise(50)
    none, ones = np.zeros((SIZE, SIZE), np.float32), np.ones(SIZE)
    head = Head(0.4 ** np.arange(1.0, SIZE + 1.0), ones, ones, np.concatenate([none, none]), none, none)
    missing = [
        np.flatnonzero(~np.isfinite(made.forecast).all(axis=1)).tolist()
        for made in (
            recompute(make_forecaster(Exploding(SIZE), "carried", 1), blocks, LEVEL_BLOCKS, head=one)
            for one in (None, head)
        )
    ]
    assert missing == [[0, Exploding.EVERY, 2 * Exploding.EVERY], [0]]
