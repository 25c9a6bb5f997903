"""Reading in pieces: the same samples for any size of the pieces, separate records, bounded memory."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.core.arrays import Float32
from monitor.errors import RecordingError
from monitor.recording import source
from monitor.recording.decimate import Decimator
from monitor.recording.fit import longest_record_samples
from monitor.recording.options import RecordingOptions
from monitor.recording.source import Recording, open_recording
from monitor.recording.write import write_recording

SUFFIXES = [".npz", ".csv", ".csv.gz", ".mat", ".wav", ".parquet", ".h5"]


def joined(recording: Recording, max_samples: int) -> list[Float32]:
    """Join the pieces to records, and check their numbering."""
    records: list[Float32] = []
    for piece in recording.pieces(max_samples):
        assert 1 <= piece.samples.size <= max_samples
        assert piece.samples.dtype == np.float32
        if piece.start_sample == 0:
            assert piece.record == len(records)
            records.append(piece.samples)
        else:
            assert piece.record == len(records) - 1
            assert piece.start_sample == records[-1].size
            records[-1] = np.concatenate((records[-1], piece.samples))
    return records


@pytest.mark.parametrize("decimate", [1, 3])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_pieces_of_any_size_are_the_whole(tmp_path: Path, noise: Float32, suffix: str, decimate: int) -> None:
    path = tmp_path / f"recording{suffix}"
    write_recording(path, noise.reshape(-1, 2), 12000, "g")
    recording = open_recording(str(path), RecordingOptions(channel="1", decimate=decimate))
    [whole] = recording.load()
    for max_samples in (1, 7, 100, 1249, 1250, 5000):
        [samples] = joined(recording, max_samples)
        np.testing.assert_array_equal(samples, whole)
    assert whole.size == longest_record_samples(recording) == -(-1250 // decimate)
    assert recording.sampling_rate_hz == 12000 / decimate


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, derandomize=True)
@given(
    records=st.integers(1, 5),
    samples=st.integers(65, 300),
    channels=st.integers(1, 3),
    decimate=st.integers(1, 4),
    max_samples=st.integers(1, 400),
)
def test_every_record_is_read_and_decimated_by_itself(
    tmp_path: Path, records: int, samples: int, channels: int, decimate: int, max_samples: int
) -> None:
    values = np.random.default_rng(7).normal(size=(records, samples, channels)).astype(np.float32)
    path = tmp_path / "recording.npz"
    np.savez(path, acceleration=values, sampling_rate_hz=1000)
    recording = open_recording(str(path), RecordingOptions(channel="0", decimate=decimate))
    found = joined(recording, max_samples)
    assert len(found) == records
    for k in range(records):
        decimator = Decimator(decimate)
        alone = np.concatenate((decimator.push(values[k, :, 0]), decimator.finish()))
        np.testing.assert_array_equal(found[k], alone.astype(np.float32))


def test_what_a_sensor_sent_times_its_unit_is_what_pieces_give(tmp_path: Path) -> None:
    counts = np.random.default_rng(0).integers(-5000, 5000, (2560, 2)).astype(np.int32)
    np.savez(tmp_path / "femto.npz", acceleration_mg=counts, sampling_rate_hz=25600)
    recording = open_recording(f"{tmp_path}/femto.npz#acceleration_mg", RecordingOptions(channel="0"))
    assert recording.unit == "mg"
    own = next(recording.pieces(own_unit=True)).samples
    np.testing.assert_array_equal(own, counts[:, 0])
    np.testing.assert_array_equal(next(recording.pieces()).samples, own * np.float32(0.00980665))


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".wav", ".h5", ".parquet"])
def test_a_large_file_is_read_in_little_memory(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"recording{suffix}"
    values = np.random.default_rng(0).normal(size=2**22).astype(np.float32)
    write_recording(path, values, 12000, "g")
    options = RecordingOptions(sampling_rate_hz=12000 if suffix == ".npy" else None, decimate=4)
    open_recording(str(path), options)  # imports must not count as memory of the file
    tracemalloc.start()
    try:
        count = sum(piece.samples.size for piece in open_recording(str(path), options).pieces())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 2**20
    assert peak < values.nbytes / 2


def test_loading_too_much_is_refused(tmp_path: Path, noise: Float32, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "MAX_LOADED_SAMPLES", 1000)
    write_recording(tmp_path / "recording.npz", noise, 1000, "g")
    with pytest.raises(RecordingError, match="loading the recording would take more than 1,000 samples"):
        open_recording(str(tmp_path / "recording.npz")).load()


def test_nothing_stays_open_when_a_reader_stops_early(tmp_path: Path, noise: Float32) -> None:
    for suffix in SUFFIXES:
        path = tmp_path / f"recording{suffix}"
        write_recording(path, noise, 1000, "g")
        pieces = open_recording(str(path)).pieces(10)
        next(pieces)
        del pieces
        path.unlink()
