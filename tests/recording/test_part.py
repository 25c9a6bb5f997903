"""A part of a recording has exactly the samples between two times, for any size of the pieces."""

from pathlib import Path

import numpy as np
import pytest

from monitor.core.arrays import Float32
from monitor.offline.drive import due_blocks
from monitor.recording.options import RecordingOptions
from monitor.recording.part import between
from monitor.recording.source import Recording, open_recording
from monitor.recording.write import write_recording

RATE = 1000


@pytest.fixture
def ramp(tmp_path: Path) -> Recording:
    """10 s of samples whose values are their positions."""
    path = tmp_path / "ramp.npz"
    write_recording(path, np.arange(10 * RATE, dtype=np.float32), RATE, "m/s2")
    return open_recording(str(path))


@pytest.fixture
def bursts(tmp_path: Path) -> Recording:
    """Four records that start far from zero; each sample is the number of its record."""
    path = tmp_path / "bursts.npz"
    samples = np.repeat(np.arange(4, dtype=np.float32)[:, None], 250, axis=1)
    write_recording(path, samples, RATE, "m/s2", start_s=[5000.0, 5060.0, 5120.0, 5600.0])
    return open_recording(str(path))


def read(recording: Recording, max_samples: int) -> Float32:
    """Join the pieces of the only record, and check that they are contiguous from 0."""
    parts = []
    position = 0
    for piece in recording.pieces(max_samples):
        assert (piece.record, piece.start_sample) == (0, position)
        assert 1 <= piece.samples.size <= max_samples
        position += piece.samples.size
        parts.append(piece.samples)
    return np.concatenate(parts) if parts else np.empty(0, np.float32)


@pytest.mark.parametrize("max_samples", [1, 7, 1000, 2**16])
@pytest.mark.parametrize(
    ("first_s", "last_s", "expected"),
    [
        (None, 0.25, (0, 250)),
        (9.75, None, (9750, 10_000)),
        (2.0, 2.003, (2000, 2003)),
        (0.9996, 1.0014, (1000, 1001)),
        (0.0, 99.0, (0, 10_000)),
        (12.0, None, (0, 0)),
        (3.0, 3.0, (0, 0)),
        (4.0, 3.0, (0, 0)),
        (None, 0.0, (0, 0)),
    ],
)
def test_samples_between_two_times(
    ramp: Recording, max_samples: int, first_s: float | None, last_s: float | None, expected: tuple[int, int]
) -> None:
    found = read(between(ramp, first_s, last_s), max_samples)
    np.testing.assert_array_equal(found, np.arange(*expected, dtype=np.float32))


def test_without_times_it_is_the_recording_itself(ramp: Recording) -> None:
    assert between(ramp, None, None) is ramp


def test_a_part_keeps_what_is_said_of_the_whole(tmp_path: Path) -> None:
    path = tmp_path / "two.npz"
    write_recording(path, np.ones((4000, 2), np.float32), 2 * RATE, "g", channels=["x", "y"])
    whole = open_recording(str(path), RecordingOptions(channel="y", decimate=2))
    part = between(whole, 0.5, 1.5)
    assert (part.name, part.channel, part.sampling_rate_hz, part.unit) == ("two.npz[y]", "y", RATE, "g")
    [samples], [own] = part.load(), part.load(own_unit=True)
    assert samples.size == own.size == RATE
    assert samples == pytest.approx(9.80665, rel=1e-3)
    assert own == pytest.approx(1.0, rel=1e-3)


@pytest.mark.parametrize(
    ("first_s", "last_s", "expected"),
    [
        (60.0, None, [1, 2, 3]),
        (60.001, None, [2, 3]),
        (None, 120.0, [0, 1]),
        (30.0, 600.0, [1, 2]),
        (None, 0.001, [0]),
        (601.0, None, []),
    ],
)
def test_records_are_kept_or_left_out_whole_by_their_start(
    bursts: Recording, first_s: float | None, last_s: float | None, expected: list[int]
) -> None:
    records = between(bursts, first_s, last_s).load()
    assert [record.size for record in records] == [250] * len(expected)
    assert [float(record[0]) for record in records] == expected


def test_a_part_begins_a_context_and_its_records_each_one(ramp: Recording, bursts: Recording) -> None:
    parts = [between(ramp, 9.0, 9.5), between(bursts, 60.0, None)]
    seen: dict[int, list[tuple[int, bool, float]]] = {0: [], 1: []}
    for due in due_blocks(parts, 100):
        for i, row in enumerate(due.rows.tolist()):
            seen[row].append((int(due.start_sample[i]), bool(due.first[i]), float(due.samples[i, 0])))
    assert seen[0] == [(100 * number, number == 0, 9000.0 + 100 * number) for number in range(5)]
    # Samples after the last whole block of a record are not used, but are counted.
    assert seen[1] == [(250 * number + offset, offset == 0, number + 1.0) for number in range(3) for offset in (0, 100)]
