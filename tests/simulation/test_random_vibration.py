"""Random machines: reproducible, bounded, each different, and with something to forecast in most of them."""

import numpy as np
import pytest

from monitor.model.training.report import linear_forecaster
from monitor.simulation.random_vibration import LOWEST_FREQUENCY, RandomVibration

SAMPLES = 12_000


@pytest.fixture(scope="module")
def signals() -> np.ndarray:
    return RandomVibration(3).signals(120, SAMPLES)


def test_signals_are_finite_with_unit_variance(signals: np.ndarray) -> None:
    assert signals.dtype == np.float32
    assert signals.shape == (120, SAMPLES)
    assert np.isfinite(signals).all()
    np.testing.assert_allclose(signals.std(axis=1), 1.0, rtol=1e-3)


def test_the_same_seed_gives_the_same_machines(signals: np.ndarray) -> None:
    again = RandomVibration(3)
    np.testing.assert_array_equal(np.concatenate([again.signals(1, SAMPLES), again.signals(2, SAMPLES)]), signals[:3])
    assert not np.array_equal(RandomVibration(4).signals(1, SAMPLES), signals[:1])
    assert not np.array_equal(RandomVibration(3, 0).signals(1, SAMPLES), signals[:1])


def test_no_two_machines_are_alike(signals: np.ndarray) -> None:
    unit = signals - signals.mean(axis=1, keepdims=True)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    likeness = np.abs(unit @ unit.T) - np.eye(len(unit))
    assert likeness.max() < 0.9


def test_they_range_from_noise_to_almost_perfectly_predictable(signals: np.ndarray) -> None:
    """A generator whose signals are all noise, or all tones, would teach nothing: both must be there."""
    half = SAMPLES // 2
    ratios = []
    for signal in signals:
        matrix = linear_forecaster([[signal[:half]]], 100, 100)
        blocks = signal[half:].reshape(-1, 100)
        ratios.append(float(((blocks[1:] - blocks[:-1] @ matrix) ** 2).sum() / (blocks[1:] ** 2).sum()))
    found = np.minimum(np.array(ratios), 1.0)
    assert (found < 0.1).mean() > 0.15
    assert (found > 0.9).mean() > 0.04
    assert ((found > 0.1) & (found < 0.9)).mean() > 0.3


def test_energy_lies_at_all_frequencies(signals: np.ndarray) -> None:
    """In each octave from the lowest repetition rate to half the sampling rate, some machine has most of its energy."""
    power = np.abs(np.fft.rfft(signals - signals.mean(axis=1, keepdims=True), axis=1)) ** 2
    power /= power.sum(axis=1, keepdims=True)
    median = np.fft.rfftfreq(SAMPLES)[np.argmax(np.cumsum(power, axis=1) >= 0.5, axis=1)]
    octaves = np.floor(np.log2(0.5 / np.maximum(median, LOWEST_FREQUENCY))).astype(int)
    assert set(range(6)) <= set(octaves.tolist())
