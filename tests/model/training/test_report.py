"""The comparison of forecasters in the training report."""

import numpy as np
import pytest

from monitor.core.arrays import Float32
from monitor.model.training.report import compare, linear_forecaster
from tests.support.networks.numpy_engine import LastBlock, NumpyEngine


def ar2(size: int, seed: int = 0) -> Float32:
    """A noisy resonance: x_t = 1.8 x_(t-1) - 0.95 x_(t-2) + e."""
    noise = np.random.default_rng(seed).normal(size=size)
    samples = np.zeros(size)
    for t in range(2, size):
        samples[t] = 1.8 * samples[t - 1] - 0.95 * samples[t - 2] + noise[t]
    return samples.astype(np.float32)


def test_the_linear_forecaster_finds_the_coefficients() -> None:
    matrix = linear_forecaster([[ar2(20_000)]], 8, 10_000)
    np.testing.assert_allclose(matrix[-1, 0], 1.8, atol=0.06)
    np.testing.assert_allclose(matrix[-2, 0], -0.95, atol=0.06)
    # The level moves a little from block to block, which biases the fit. Two steps: 1.8 (1.8 x - 0.95 y) - 0.95 x.
    np.testing.assert_allclose(matrix[-1, 1], 1.8**2 - 0.95, atol=0.12)
    np.testing.assert_allclose(matrix[-2, 1], -1.8 * 0.95, atol=0.12)


def test_a_tone_is_forecast_by_the_linear_forecaster() -> None:
    tone = np.sin(0.3 * np.arange(8000)).astype(np.float32)
    tone += np.random.default_rng(0).normal(0, 1e-3, tone.size).astype(np.float32)
    matrix = linear_forecaster([[tone[:4000]]], 16, 100)
    found = compare(NumpyEngine(16, 4, 5), [tone[4000:]], {"linear": matrix}, 100, 5)
    assert found.ratios["linear"].overall < 0.01
    assert found.ratios["network"].overall > 0.3


def test_a_longer_model_is_the_short_one_where_more_history_says_nothing() -> None:
    samples = ar2(200_000)
    short, long = (linear_forecaster([[samples[:150_000]]], 8, 10_000, blocks) for blocks in (1, 3))
    assert (short.shape, long.shape) == ((8, 8), (24, 8))
    np.testing.assert_allclose(long[-8:], short, atol=0.05)
    np.testing.assert_allclose(long[:-8], 0, atol=0.05)


def test_a_longer_model_sees_further_back() -> None:
    rng = np.random.default_rng(0)
    samples = rng.normal(size=20_000)
    for t in range(20, samples.size):  # an echo, 20 samples later
        samples[t] += 0.9 * samples[t - 20]
    half = samples.astype(np.float32)[:10_000], samples.astype(np.float32)[10_000:]
    matrices = {str(blocks): linear_forecaster([[half[0]]], 8, 100, blocks) for blocks in (1, 3)}
    found = compare(LastBlock(8, 4, 5), [half[1]], matrices, 100, 5).ratios
    assert found["1"].overall == pytest.approx(1.0, abs=0.05)
    assert found["3"].overall == pytest.approx(1 - 0.9**2, abs=0.05)


def test_no_forecast_at_all_has_the_ratio_one_and_noise_cannot_be_forecast() -> None:
    noise = np.random.default_rng(1).normal(5.0, 2.0, 40_000).astype(np.float32)
    matrix = linear_forecaster([[noise[:20_000]]], 8, 100)
    found = compare(LastBlock(8, 4, 5), [noise[20_000:]], {"linear": matrix}, 100, 5)
    assert found.ratios["zero"].overall == pytest.approx(1.0)
    assert found.ratios["linear"].overall == pytest.approx(1.0, abs=0.02)
    assert found.ratios["persistence"].overall == pytest.approx(2.0, abs=0.1)
    assert found.ratios["network"] == found.ratios["persistence"]
    assert len(found.ratios["network"].by_position) == 8


def test_the_ratio_grows_along_the_block() -> None:
    samples = ar2(40_000)
    matrix = linear_forecaster([[samples[:20_000]]], 8, 100)
    found = compare(LastBlock(8, 4, 5), [samples[20_000:]], {"linear": matrix}, 100, 5)
    by_position = found.ratios["linear"].by_position
    assert by_position[0] < 0.1 < by_position[-1]
    assert sum(by_position[:2]) < sum(by_position[2:4]) < sum(by_position[6:])


def test_gain_and_offset_do_not_matter() -> None:
    samples = ar2(4000)
    found = [
        compare(LastBlock(8, 4, 5), [record.astype(np.float32)], {}, 50, 5).ratios["network"].overall
        for record in (samples, samples * 100, samples + 20)
    ]
    assert found[1] == pytest.approx(found[0], rel=1e-3)
    assert found[2] == pytest.approx(found[0], rel=1e-2)


def test_records_shorter_than_two_blocks_say_nothing() -> None:
    found = compare(LastBlock(8, 4, 5), [np.ones(15, np.float32)], {}, 50, 5)
    assert found.blocks == 0
    assert np.isnan(found.ratios["network"].overall)
    assert not linear_forecaster([[np.ones(7, np.float32)]], 8, 10).any()


def test_short_records_are_warmed_up_for_half_their_length() -> None:
    assert compare(LastBlock(8, 4, 25), [ar2(80), ar2(80, 1)], {}, 50, 25).blocks == 2 * 5
