import numpy as np
import pytest

from monitor.core.arrays import Float32
from monitor.core.forecasting.forecaster import CarriedForecaster, Forecaster, WindowedForecaster
from monitor.core.pipeline import Pipeline
from monitor.core.samples.rings import Rings
from monitor.runtime.web.page.picture import (
    SPECTRUM_BLOCKS,
    WAVE_SAMPLES,
    make_picture,
    picture_document,
)
from tests.support.networks.numpy_engine import NumpyEngine
from tests.support.page.page_plant import unpacked

ENGINE = NumpyEngine()


def pipeline_forecasts(mode: str, blocks: Float32) -> Float32:
    """What the daemon's pipeline forecast for each block but the first, in the unit of the samples."""
    forecaster: Forecaster = CarriedForecaster(ENGINE, 1) if mode == "carried" else WindowedForecaster(ENGINE, 1)
    size = ENGINE.block_samples
    pipeline = Pipeline(forecaster, 1, size, level_blocks=10)
    rings = Rings(1, len(blocks) + 1, size)
    rings.append(0, blocks.reshape(-1), 1.0, 0.0)
    row = np.zeros(1, np.intp)
    forecasts = []
    while (due := rings.take()) is not None:
        pipeline.process(due)
        forecasts.append(pipeline._forecast[0] * pipeline.level.rms(row)[0] + pipeline.level.mean(row)[0])
    return np.stack(forecasts)[:-1]


@pytest.mark.parametrize("mode", ["carried", "windowed"])
def test_the_picture_shows_what_the_pipeline_forecast(mode: str) -> None:
    rng = np.random.default_rng(0)
    blocks = (3.0 + 2.0 * rng.normal(size=(30, ENGINE.block_samples))).astype(np.float32)
    picture = make_picture(ENGINE, mode, 1000, blocks, level_blocks=10)
    assert picture is not None
    assert picture.start_sample == 1000 + ENGINE.block_samples
    assert picture.measured_mps2 == pytest.approx(blocks[1:].reshape(-1))
    assert picture.forecast_mps2 == pytest.approx(pipeline_forecasts(mode, blocks).reshape(-1), rel=1e-4, abs=1e-5)
    assert picture.warmup_samples == ENGINE.window_blocks * ENGINE.block_samples


def test_after_the_warm_up_a_fresh_state_makes_no_difference_that_is_seen() -> None:
    rng = np.random.default_rng(0)
    blocks = rng.normal(size=(200, ENGINE.block_samples)).astype(np.float32)
    picture = make_picture(ENGINE, "carried", 0, blocks, level_blocks=10)
    assert picture is not None
    assert picture.warmup_samples == 0
    assert picture.measured_mps2.size == SPECTRUM_BLOCKS * ENGINE.block_samples
    expected = pipeline_forecasts("carried", blocks)[-SPECTRUM_BLOCKS:].reshape(-1)
    difference = np.abs(picture.forecast_mps2 - expected)
    assert difference.max() < 0.1 * np.abs(expected).max()
    assert difference[difference.size // 2 :].max() < 1e-3


def test_one_block_is_no_picture() -> None:
    blocks = np.ones((1, ENGINE.block_samples), np.float32)
    assert make_picture(ENGINE, "carried", 0, blocks, level_blocks=10) is None
    assert make_picture(ENGINE, "carried", 0, blocks[:0], level_blocks=10) is None


@pytest.mark.parametrize("rate_hz", [100.0, 12_000.0, 1_000_000.0])
def test_the_document_is_bounded_at_any_rate(rate_hz: float) -> None:
    rng = np.random.default_rng(0)
    blocks = rng.normal(size=(165, 100)).astype(np.float32)
    engine = NumpyEngine(block_samples=100)
    picture = make_picture(engine, "carried", 0, blocks, level_blocks=10)
    assert picture is not None
    document = picture_document(picture, rate_hz)
    measured = unpacked(document["measured"])
    assert 200 <= measured.size <= WAVE_SAMPLES
    assert measured == pytest.approx(picture.measured_mps2[-measured.size :])
    assert document["start_sample"] == 165 * 100 - measured.size
    assert document["step_hz"] * (unpacked(document["spectrum"]["residual"]).size - 1) == pytest.approx(rate_hz / 2)


def test_recent_blocks_are_those_of_the_reader() -> None:
    rings = Rings(1, 5, 10)
    rings.append(0, np.arange(33, dtype=np.float32), 1.0, 0.0)
    start, blocks = rings.recent_blocks(0, 2)
    assert (start, blocks.tolist()) == (10, [list(range(10, 20)), list(range(20, 30))])
    assert rings.recent_blocks(0, 9)[1].shape == (3, 10)
    rings.take()
    rings.take()
    rings.append(0, np.arange(33, 64, dtype=np.float32), 1.0, 0.0)
    start, blocks = rings.recent_blocks(0, 9)
    assert start % 10 == 0
    assert blocks[0, 0] == start
    assert blocks[-1, -1] == 59
    rings.take()
    rings.start_context(0, 100)
    rings.append(0, np.arange(100, 117, dtype=np.float32), 1.0, 0.0)
    start, blocks = rings.recent_blocks(0, 9)
    assert (start, blocks.tolist()) == (100, [list(range(100, 110))])
