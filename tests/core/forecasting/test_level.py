"""The level compared with its definition in float64, and blocks that lie outside it."""

import numpy as np
import pytest

from monitor.core.arrays import Float32, Float64
from monitor.core.forecasting.level import CLIP_LEVELS, SPIKE_BLOCKS, SPIKE_LEVELS, Level, unit_blocks

BLOCK = 100
T = 20
ROW = np.zeros(1, np.intp)


def noise(blocks: int, seed: int = 0) -> Float32:
    return np.random.default_rng(seed).normal(size=(blocks, BLOCK)).astype(np.float32)


def defined(blocks: Float32) -> tuple[Float64, Float64]:
    """Running mean and variance (mean of squares minus square of the mean), in float64."""
    values = blocks.astype(np.float64)
    mean = square = 0.0
    found = []
    for k, block in enumerate(values, 1):
        weight = 1.0 / min(k, T)
        mean += weight * (block.mean() - mean)
        square += weight * ((block**2).mean() - square)
        found.append((mean, np.sqrt(square - mean * mean)))
    return np.array(found)[:, 0], np.array(found)[:, 1]


@pytest.mark.parametrize(("offset", "size"), [(0.0, 1.0), (9.80665, 0.005), (980.665, 0.005), (-3.0, 2.0)])
def test_the_level_is_its_definition_at_any_offset(offset: float, size: float) -> None:
    blocks = (offset + size * noise(200) * np.linspace(1, 2, 200)[:, None]).astype(np.float32)
    units, mean, rms, *_ = unit_blocks(blocks, T)
    expected_mean, expected_rms = defined(blocks)
    assert mean == pytest.approx(expected_mean, rel=1e-6, abs=1e-6 * size)
    assert rms == pytest.approx(expected_rms, rel=1e-5)
    exact = (blocks.astype(np.float64) - expected_mean[:, None]) / expected_rms[:, None]
    assert np.abs(units - exact).max() < 1e-5 * np.abs(exact).max() + 1e-7 * abs(offset) / size


def test_rows_are_on_their_own_whether_together_or_apart() -> None:
    rng = np.random.default_rng(3)
    blocks = rng.normal(size=(40, 3, BLOCK)).astype(np.float32)
    together, apart = Level(3, T), Level(3, T)
    for step in blocks:
        rows = np.arange(3)
        units = together.update(rows, together.centre(rows, step))
        for order in (np.array([0, 2]), np.array([1])):
            assert (apart.update(order, apart.centre(order, step[order])) == units[order]).all()


def test_a_spike_does_not_enter_the_level_and_is_clipped_for_the_network() -> None:
    blocks = noise(60)
    spoiled = blocks.copy()
    spoiled[30, 7] = 1e5
    clean, found = unit_blocks(blocks, T), unit_blocks(spoiled, T)
    assert found.rms[30] == found.rms[29]
    assert found.rms[31:] == pytest.approx(clean.rms[31:], rel=0.02)
    assert np.abs(found.units[30]).max() == CLIP_LEVELS
    others = np.arange(BLOCK) != 7
    assert found.units[30, others] == pytest.approx(clean.units[30, others], abs=0.05)


def test_a_block_within_the_bound_is_no_spike() -> None:
    blocks = noise(60)
    blocks[30, 7] = 0.9 * SPIKE_LEVELS
    rms = unit_blocks(blocks, T).rms
    assert rms[30] > 3 * rms[29]


def test_what_goes_on_is_a_new_level_at_once() -> None:
    blocks = noise(60)
    blocks[30:] *= 1e4
    rms = unit_blocks(blocks, T).rms
    assert rms[29 + SPIKE_BLOCKS] < 2
    assert rms[30 + SPIKE_BLOCKS] == pytest.approx(1e4, rel=0.3)


def test_what_comes_again_and_again_is_real() -> None:
    blocks = noise(200)
    blocks[30::5, 7] = 1e4
    rms = unit_blocks(blocks, T).rms
    assert rms[44] < 2
    assert rms[50:].min() > 100


def test_a_spike_in_the_first_block_is_forgotten_after_some_blocks() -> None:
    blocks = noise(60)
    blocks[0, 7] = 1e5
    assert unit_blocks(blocks, T).rms[1 + SPIKE_BLOCKS :] == pytest.approx(1.0, abs=0.3)


def test_a_dead_channel_keeps_its_context() -> None:
    level = Level(1, T)
    flat = np.full((1, BLOCK), 3.0, np.float32)
    for _ in range(3 * T):
        spikes, renewed = level.outside(ROW, flat[:, 0], flat[:, 0])
        assert not spikes.any()
        assert not renewed.any()
        assert not level.update(ROW, level.centre(ROW, flat), spikes).any()


def test_nan_lies_nowhere() -> None:
    level = Level(1, T)
    level.update(ROW, level.centre(ROW, noise(1)))
    nan = np.full(1, np.nan, np.float32)
    with np.errstate(all="raise"):
        assert not any(np.concatenate(level.outside(ROW, nan, nan)))
