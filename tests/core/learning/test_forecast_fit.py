"""The forecast of a head: what it finds, and that an uncertain one is damped."""

import numpy as np
import pytest

from monitor.core.arrays import Float32, Float64
from monitor.core.learning import head_fit
from monitor.core.learning.forecast_fit import window_products
from monitor.core.learning.head_fit import NO_NETWORK, Fitted, Stretch, fit_head
from monitor.core.scoring.interval.head import Head
from monitor.simulation.random_vibration import RandomVibration

BLOCK = 100


def fitted(blocks: Float32, network: Float32 | None = None) -> Fitted:
    none = np.zeros_like(blocks)
    return fit_head([Stretch(blocks[0], blocks[1:], (none if network is None else network)[1:])])


def error(head: Head, blocks: Float32) -> float:
    """Energy of the error over that of the signal, without a network."""
    left = blocks[1:] - head.forecast(blocks[:-1], np.zeros_like(blocks[1:]))
    return float(np.sum(left**2) / np.sum(blocks[1:] ** 2))


def iterated(head: Head, blocks: Float32) -> float:
    """The same of the model that whitens, sample by sample over each block."""
    samples = blocks[:-1].astype(np.float64)
    for _ in range(BLOCK):
        samples = np.concatenate([samples, (samples[:, -BLOCK:] @ head.past[::-1])[:, None]], axis=1)
    return float(np.sum((blocks[1:] - samples[:, BLOCK:]) ** 2) / np.sum(blocks[1:] ** 2))


def tone(frequency: Float64, seed: int = 0) -> Float32:
    """Blocks of a tone of changing frequency in cycles a sample, with a tenth of its power of white noise."""
    rng = np.random.default_rng(seed)
    signal = np.sqrt(2) * np.sin(2 * np.pi * np.cumsum(frequency)) + np.sqrt(0.1) * rng.normal(size=frequency.size)
    return np.asarray(signal, np.float32).reshape(-1, BLOCK)


@pytest.mark.parametrize("size", [3, 7, 8, 9, 60])
def test_products_of_windows_are_those_of_each_window(size: int) -> None:
    samples = np.random.default_rng(0).normal(size=size)
    expected = np.zeros((8, 8))
    for first in range(size - 7):
        expected += np.outer(samples[first : first + 8], samples[first : first + 8])
    np.testing.assert_allclose(window_products(samples, 8), expected, atol=1e-12)


def test_a_steady_tone_is_foreseen_as_far_as_the_trust_says() -> None:
    blocks = tone(np.full(40_000, 0.0731))
    found = fitted(blocks[:200])
    assert found.trust == pytest.approx(1 / 1.1, abs=0.01)
    assert error(found.head, blocks[200:]) == pytest.approx(1 - found.trust, abs=0.01)


@pytest.mark.parametrize("seed", [36, 80])
def test_a_machine_whose_lines_drift_away_is_not_foreseen_worse_than_by_nothing(seed: int) -> None:
    blocks = RandomVibration(seed).signals(1, 30_000, simple=0.0).reshape(-1, BLOCK)
    found = fitted(blocks[:150])
    assert iterated(found.head, blocks[150:]) > 1.5
    assert error(found.head, blocks[150:]) < 1.02
    assert found.trust < 0.02


def test_the_part_that_asks_for_least_decides() -> None:
    steady, other = np.full(30_000, 0.0731), np.full(10_000, 0.0756)
    blocks = tone(np.concatenate([steady, other]))
    found = fitted(blocks)
    assert found.trust == pytest.approx(0.0, abs=0.02)
    assert error(found.head, blocks[301:]) <= 1.0
    assert fitted(blocks[:300]).trust > 0.9


def test_noise_is_foreseen_by_nothing() -> None:
    blocks = np.random.default_rng(0).normal(size=(400, BLOCK)).astype(np.float32)
    found = fitted(blocks[:48])
    assert found.trust < 0.01
    assert error(found.head, blocks[48:]) < 1.01
    assert not found.head.uses_network


def test_a_network_that_follows_the_drift_gets_its_weight_beside_the_block_before() -> None:
    frequency = 0.0731 + 0.004 * np.sin(np.arange(40_000) / 3000.0)
    blocks = tone(frequency)
    network = (0.7 * blocks + 0.3 * np.random.default_rng(2).normal(size=blocks.shape)).astype(np.float32)
    found = fitted(blocks, network)
    assert found.head.uses_network
    assert found.trust > found.linear_trust + 0.2
    alone = fit_head([Stretch(blocks[0], blocks[1:], network[1:])], (NO_NETWORK,))
    assert not alone.head.uses_network
    assert alone.trust == pytest.approx(found.linear_trust, abs=0.01)


def test_of_too_many_blocks_runs_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = tone(np.full(200_000, 0.0731))
    whole = fitted(blocks)
    monkeypatch.setattr(head_fit, "MOST_BLOCKS", 500)
    monkeypatch.setattr(head_fit, "RUN_BLOCKS", 50)
    some = fitted(blocks)
    assert some.trust == pytest.approx(whole.trust, abs=0.005)
    weights, of_some = (one.head.summary @ one.head.ahead for one in (whole, some))
    np.testing.assert_allclose(of_some, weights, atol=0.02)
    assert not np.array_equal(of_some, weights)
