"""Training windows: normalised causally, split in time, spread evenly over recordings."""

import numpy as np
import pytest

from monitor.core.arrays import Float32
from monitor.core.forecasting.level import unit_blocks
from monitor.model.training.dataset import Record, Windows, make_record, samples_before, split_in_time


def noise(size: int, seed: int = 0) -> Float32:
    return np.random.default_rng(seed).normal(2.0, 3.0, size).astype(np.float32)


def test_the_level_is_the_daemons_within_the_plain_average() -> None:
    samples = noise(80)
    record = make_record(samples, 8, 100)
    _, mean, rms, *_ = unit_blocks(samples.reshape(-1, 8), 100)
    ends = np.arange(8, 81, 8) - 1
    np.testing.assert_allclose(record.mean[ends], mean, rtol=1e-4)
    np.testing.assert_allclose(record.rms[ends], rms, rtol=1e-4)


def test_the_level_stays_near_the_daemons_afterwards() -> None:
    samples = noise(8 * 400) * np.linspace(1, 4, 8 * 400, dtype=np.float32)
    record = make_record(samples, 8, 20)
    rms = unit_blocks(samples.reshape(-1, 8), 20).rms
    np.testing.assert_allclose(record.rms[7::8], rms, rtol=0.1)


def test_the_level_knows_nothing_of_the_future() -> None:
    samples = noise(500)
    changed = samples.copy()
    changed[300:] *= 50
    before, after = make_record(samples, 8, 10), make_record(changed, 8, 10)
    np.testing.assert_array_equal(before.rms[:300], after.rms[:300])
    np.testing.assert_array_equal(before.mean[:300], after.mean[:300])


def test_a_window_is_made_of_the_samples_at_their_level() -> None:
    record = make_record(noise(200), 8, 5)
    windows = Windows([record], 8, 4, 3)
    inputs, targets = windows.batch(np.array([2]))
    start = 8 + 2 * 3
    for k in range(4):
        first = start + 8 * k
        mean, rms = record.mean[first + 7], record.rms[first + 7]
        np.testing.assert_allclose(inputs[0, k], (record.samples[first : first + 8] - mean) / rms, rtol=1e-5)
        np.testing.assert_allclose(targets[0, k], (record.samples[first + 8 : first + 16] - mean) / rms, rtol=1e-5)


def test_gain_does_not_matter() -> None:
    samples = noise(300)
    first = Windows([make_record(samples, 8, 10)], 8, 4, 3).batch(np.arange(20))
    second = Windows([make_record(samples * np.float32(37), 8, 10)], 8, 4, 3).batch(np.arange(20))
    for one, two in zip(first, second, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-4)


@pytest.mark.parametrize(("size", "count"), [(47, 0), (48, 1), (50, 1), (51, 2)])
def test_how_many_windows_a_record_has(size: int, count: int) -> None:
    assert len(Windows([make_record(noise(size), 8, 10)], 8, 4, 3)) == count


def test_windows_never_span_two_records() -> None:
    ones, twos = np.full(60, 1, np.float32), np.full(60, 2, np.float32)
    level = np.zeros(60, np.float32), np.ones(60, np.float32)
    windows = Windows([Record(ones, *level), Record(twos, *level)], 8, 4, 1)
    inputs, targets = windows.batch(np.arange(len(windows)))
    everything = np.concatenate([inputs, targets], axis=1).reshape(len(windows), -1)
    assert (np.ptp(everything, axis=1) == 0).all()
    assert set(everything[:, 0]) == {1, 2}


def test_a_short_recording_is_drawn_as_often_as_a_long_one() -> None:
    records = [
        make_record(noise(400), 8, 10, 0),
        make_record(noise(4000), 8, 10, 1),
        make_record(noise(4000), 8, 10, 1),
    ]
    windows = Windows(records, 8, 4, 3)
    chosen = windows.evenly(np.random.default_rng(0), 100)
    assert len(set(chosen)) == 100
    recordings = np.array([0, 1, 1])[windows.index[chosen, 0]]
    assert abs(int((recordings == 0).sum()) - 50) <= 1


@pytest.mark.parametrize(
    ("fraction", "counts"), [(0.0, [0, 0, 0]), (0.25, [10, 0, 0]), (0.5, [10, 10, 0]), (1.0, [10, 10, 20])]
)
def test_the_cut_is_in_time(fraction: float, counts: list[int]) -> None:
    assert samples_before([10, 10, 20], fraction) == counts
    records = [noise(10, 1), noise(10, 2), noise(20, 3)]
    first, last = split_in_time(records, fraction)
    np.testing.assert_array_equal(np.concatenate([*first, *last]), np.concatenate(records))
    assert sum(part.size for part in first) == sum(counts)
    assert all(part.size for part in [*first, *last])
