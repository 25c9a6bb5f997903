"""The recordings of the data folder, read by this package and, for comparison, by NumPy and SciPy alone."""

import gzip
import os
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat

from monitor.errors import RecordingError
from monitor.recording.options import RecordingOptions
from monitor.recording.source import open_recording

DATA = Path(os.environ.get("VIBRATION_DATA", Path(__file__).parents[2] / "../shared/data"))


@pytest.fixture(scope="module", autouse=True)
def data() -> None:
    if not DATA.is_dir():
        message = f"no recordings in {DATA}: set VIBRATION_DATA to their folder"
        pytest.fail(message) if "CI" in os.environ else pytest.skip(message)


@pytest.mark.parametrize("name", ["B007_0", "B021_0", "IR007_0", "IR021_0", "Normal_0", "OR007at6_0", "OR021at6_0"])
def test_cwru(name: str) -> None:
    path = DATA / "cwru" / f"{name}.mat"
    rate = 48000 if name == "Normal_0" else 12000
    [key] = [key for key in loadmat(path) if key.endswith("_DE_time")]
    with pytest.raises(RecordingError, match=f"several arrays could be the recording: {key}"):
        open_recording(str(path), RecordingOptions(sampling_rate_hz=rate))

    recording = open_recording(f"{path}#{key}", RecordingOptions(sampling_rate_hz=rate, unit="g"))

    assert (recording.sampling_rate_hz, recording.unit, recording.records) == (rate, "g", 1)
    np.testing.assert_array_equal(recording.load(own_unit=True)[0], loadmat(path)[key][:, 0].astype(np.float32))


def test_cwru_decimated_to_12_khz_is_the_signal_below_4_8_khz() -> None:
    address = f"{DATA}/cwru/Normal_0.mat#X097_DE_time"
    whole = open_recording(address, RecordingOptions(sampling_rate_hz=48000)).load()[0]
    recording = open_recording(address, RecordingOptions(sampling_rate_hz=48000, decimate=4))
    [samples] = recording.load()
    assert recording.sampling_rate_hz == 12000
    assert samples.size == -(-whole.size // 4)

    before = np.abs(np.fft.rfft(whole[: 4 * 60000] * np.hanning(4 * 60000))) / 4
    after = np.abs(np.fft.rfft(samples[:60000] * np.hanning(60000)))
    below = slice(50, int(0.79 * 30000))
    np.testing.assert_allclose(after[below], before[below], atol=0.002 * before[below].max())


@pytest.mark.parametrize("name", ["Bearing1_1", "Bearing1_2", "Bearing2_2", "Bearing3_2"])
def test_femto(name: str) -> None:
    path = DATA / "femto" / f"{name}.npz"
    recording = open_recording(f"{path}#acceleration_mg", RecordingOptions(channel="0"))
    with np.load(path) as file:
        values, starts = file["acceleration_mg"], file["start_s"]
    assert (recording.sampling_rate_hz, recording.unit, recording.records) == (25600, "mg", len(values))
    assert recording.record_samples == 2560
    assert [recording.record_start_s(k) for k in range(len(values))] == starts.tolist()
    records = recording.load(own_unit=True)
    np.testing.assert_array_equal(np.stack(records), values[:, :, 0].astype(np.float32))
    assert open_recording(str(path), RecordingOptions(channel="1")).name == f"{name}.npz[1]"


@pytest.mark.parametrize(
    "name", ["ball_1000rpm", "healthy_1000rpm", "healthy_1200rpm", "inner_1000rpm", "outer_1000rpm"]
)
def test_uestc(name: str) -> None:
    path = DATA / "uestc" / f"{name}.npz"
    recording = open_recording(str(path))
    with np.load(path) as file:
        values = file["acceleration"]
    assert (recording.sampling_rate_hz, recording.unit, recording.name) == (20000, None, f"{name}.npz")
    np.testing.assert_array_equal(recording.load()[0], values)


@pytest.mark.parametrize("name", ["h30hz50", "b30hz50"])
def test_gearbox(name: str) -> None:
    path = DATA / "gearbox" / f"{name}.csv.gz"
    recording = open_recording(f"{path}#a1", RecordingOptions(sampling_rate_hz=10000))
    with gzip.open(path, "rt") as file:
        values = [float(line.split(",")[0]) for line in file.readlines()[1:]]
    assert recording.channels == ("a1", "a2", "a3", "a4")
    np.testing.assert_array_equal(recording.load()[0], np.array(values, np.float32))
