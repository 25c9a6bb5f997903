"""The pool of a universal training: batches follow from the seed and their number, recordings are stretched."""

import numpy as np
import pytest

from monitor.core.forecasting.level import unit_blocks
from monitor.errors import RecordingError
from monitor.model.training.signal_pool import SignalPool, normalised
from monitor.simulation.random_vibration import SIMPLE


def pool(recordings: list[list[np.ndarray]] | None = None, seed: int = 1) -> SignalPool:
    return SignalPool(seed, recordings or [], blocks=12, block_samples=20, renewed=3, size=10, beginning=20.0)


def test_a_batch_depends_on_seed_and_number_only() -> None:
    one, other = pool(), pool()
    straight = [one.batch(number, 6) for number in range(4)]
    resumed = other.batch(3, 6)
    np.testing.assert_array_equal(resumed[0], straight[3][0])
    np.testing.assert_array_equal(resumed[1], straight[3][1])
    assert not np.array_equal(straight[0][0], straight[1][0])
    assert not np.array_equal(pool(seed=2).batch(0, 6)[0], straight[0][0])


def test_targets_are_the_next_blocks() -> None:
    inputs, targets = pool().batch(0, 6)
    assert inputs.shape == targets.shape == (6, 12, 20)
    assert inputs.dtype == targets.dtype == np.float32
    # Block k + 1 is a target by the level after k, and an input by the level after k + 1: the shapes are the same.
    for row in range(6):
        for block in range(11):
            both = np.corrcoef(targets[row, block], inputs[row, block + 1])[0, 1]
            assert both == pytest.approx(1.0, abs=1e-3)


def test_the_level_is_the_daemons() -> None:
    rng = np.random.default_rng(0)
    blocks = (3.0 + 0.5 * rng.standard_normal((1, 41, 20))).astype(np.float32)
    found = unit_blocks(blocks[0, :-1], 10)
    np.testing.assert_allclose(normalised(blocks, 10)[0][0], found.units, atol=2e-3)


def test_recordings_are_mixed_in() -> None:
    """A recording of a tone is found in the pool, stretched: narrow spectra that no random machine has."""
    tone = np.sin(0.3 * np.arange(40_000)).astype(np.float32)
    with_tone = pool([[tone]])
    with_tone.batch(0, 6)
    signals = with_tone._signals.astype(np.float64)
    power = np.abs(np.fft.rfft(signals * np.hanning(signals.shape[1]), axis=1)) ** 2
    narrow = power.max(axis=1) / power.sum(axis=1) > 0.3
    peaks = power.argmax(axis=1)[narrow]
    assert narrow.sum() >= 1
    assert not np.array_equal(with_tone._signals, _filled(pool())._signals)
    expected = 0.3 / (2 * np.pi) * signals.shape[1]
    assert np.all((peaks > expected * 2**-1.6) & (peaks < expected * 2**1.6)) or narrow.sum() > 1


def _filled(empty: SignalPool) -> SignalPool:
    empty.batch(0, 6)
    return empty


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (np.zeros(40_000, np.float32), "recording 1 is a flat line; leave it out"),
        (np.full(40_000, np.nan, np.float32), "recording 1 holds NaN or infinity; leave it out"),
        (np.ones(100, np.float32), "the longest record of recording 1 has 100 samples, at least"),
    ],
)
def test_unusable_recordings_are_refused(record: np.ndarray, words: str) -> None:
    with pytest.raises(RecordingError, match=words):
        pool([[record]])


def test_it_begins_with_simple_machines() -> None:
    """All signals are simple for half of the beginning, 20 batches; at its end only a part is."""
    shares = [pool()._simple(3 * batch + 5) for batch in (0, 10, 15, 20, 1000)]
    assert shares == pytest.approx([1.0, 1.0, (1 + SIMPLE) / 2, SIMPLE, SIMPLE])
    assert SignalPool(1, [], blocks=12, block_samples=20, renewed=3, size=10, beginning=0.0)._simple(5) == SIMPLE
