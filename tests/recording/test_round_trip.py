"""Every format reads back what was written, with the right rate and unit."""

import gzip
import pickle
import wave
from pathlib import Path

import numpy as np
import pytest

from monitor.core.arrays import Float32
from monitor.recording.options import RecordingOptions
from monitor.recording.source import open_recording, open_recordings
from monitor.recording.write import ONE_RECORD, WRITERS, write_recording
from tests.recording.conftest import Write73

SAYING_RATE = [suffix for suffix in WRITERS if suffix != ".npy"]
SEVERAL_RECORDS = [suffix for suffix in SAYING_RATE if suffix not in ONE_RECORD]


@pytest.mark.parametrize("unit", ["g", "m/s2", None])
@pytest.mark.parametrize("suffix", SAYING_RATE)
def test_one_channel(tmp_path: Path, noise: Float32, suffix: str, unit: str | None) -> None:
    path = tmp_path / f"recording{suffix}"
    write_recording(path, noise, 12800.0, unit)

    recording = open_recording(str(path))

    assert recording.sampling_rate_hz == 12800.0
    assert recording.unit == unit
    assert recording.records == 1
    [own] = recording.load(own_unit=True)
    assert own.dtype == np.float32
    np.testing.assert_array_equal(own, noise)
    [samples] = recording.load()
    np.testing.assert_array_equal(samples, noise * np.float32(9.80665) if unit == "g" else noise)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", SAYING_RATE)
def test_several_channels(tmp_path: Path, noise: Float32, suffix: str) -> None:
    path = tmp_path / f"recording{suffix}"
    names = ["0", "1"] if suffix == ".wav" else ["horizontal", "up"]
    write_recording(path, noise.reshape(-1, 2), 25600, "mg", channels=names)

    second = open_recording(str(path), RecordingOptions(channel="1"))
    by_name = open_recording(str(path), RecordingOptions(channel=names[1]))
    every = open_recordings([str(path)], RecordingOptions(channel="all"))

    assert [recording.channel for recording in every] == names
    assert [recording.name for recording in every] == [f"{path.name}[{name}]" for name in names]
    assert second.unit == "mg"
    for recording in (second, by_name, every[1]):
        np.testing.assert_array_equal(recording.load(own_unit=True)[0], noise[1::2])


@pytest.mark.parametrize("starts", [None, (3.0, 13.5, 24.0, 30.0)])
@pytest.mark.parametrize("suffix", SEVERAL_RECORDS)
def test_several_records(tmp_path: Path, noise: Float32, suffix: str, starts: tuple[float, ...] | None) -> None:
    path = tmp_path / f"recording{suffix}"
    records = noise.reshape(4, -1)
    write_recording(path, records, 20000, "m/s2", start_s=starts)

    recording = open_recording(str(path), RecordingOptions(record_interval_s=10.0))

    assert (recording.records, recording.record_samples, recording.start_s) == (4, 625, starts)
    assert recording.record_start_s(2) == (24.0 if starts else 20.0)
    np.testing.assert_array_equal(recording.load(), records)


@pytest.mark.parametrize("suffix", SEVERAL_RECORDS)
def test_several_records_of_several_channels(tmp_path: Path, noise: Float32, suffix: str) -> None:
    path = tmp_path / f"recording{suffix}"
    write_recording(path, noise[:2400].reshape(4, -1, 3), 20000, "m/s2")

    recording = open_recording(str(path), RecordingOptions(channel="2"))

    np.testing.assert_array_equal(recording.load(), noise[:2400].reshape(4, -1, 3)[:, :, 2])


def test_records_without_interval_lie_end_to_end(tmp_path: Path, noise: Float32) -> None:
    write_recording(tmp_path / "recording.npz", noise.reshape(4, -1), 1250, None)
    assert open_recording(str(tmp_path / "recording.npz")).record_start_s(3) == 1.5


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f4", ">f8", "<i2", ">u4", "<f2"])
def test_npy_of_any_type_and_order(tmp_path: Path, dtype: str, order: str) -> None:
    values = (np.random.default_rng(2).normal(size=(300, 3)) * 100).clip(0).astype(dtype)
    np.save(tmp_path / "recording.npy", np.asarray(values, order=order))  # type: ignore[call-overload]

    options = RecordingOptions(sampling_rate_hz=100, channel="1", unit="m/s2")
    [samples] = open_recording(str(tmp_path / "recording.npy"), options).load()

    np.testing.assert_array_equal(samples, values[:, 1].astype(np.float32))


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("order", ["C", "F"])
def test_pickle_of_every_protocol(tmp_path: Path, protocol: int, order: str) -> None:
    values = np.random.default_rng(3).normal(size=(500, 2))
    (tmp_path / "recording.pkl").write_bytes(pickle.dumps(np.asarray(values, order=order), protocol))  # type: ignore[call-overload]

    options = RecordingOptions(sampling_rate_hz=100, channel="1")
    [samples] = open_recording(str(tmp_path / "recording.pkl"), options).load()

    np.testing.assert_array_equal(samples, values[:, 1].astype(np.float32))


@pytest.mark.parametrize("dtype", ["<f4", ">f8", "<i2", "u1"])
def test_pickle_of_any_type(tmp_path: Path, dtype: str) -> None:
    values = np.arange(200).astype(dtype)
    (tmp_path / "recording.pkl").write_bytes(pickle.dumps(values[::2]))
    [samples] = open_recording(str(tmp_path / "recording.pkl"), RecordingOptions(sampling_rate_hz=100)).load()
    np.testing.assert_array_equal(samples, np.arange(0, 200, 2))


def test_matlab_7_3(write_mat73: Write73, noise: Float32) -> None:
    path = str(write_mat73(DE_time=noise.reshape(-1, 1), RPM=np.array([[1797.0]]), fs=np.array([[12000.0]]), unit="g"))
    recording = open_recording(path)
    assert (recording.sampling_rate_hz, recording.unit, recording.record_samples) == (12000.0, "g", 2500)
    np.testing.assert_array_equal(recording.load(own_unit=True)[0], noise)


@pytest.mark.parametrize("shape", [(4, 625), (625, 4), (4, 125, 5), (1, 2500)])
def test_matlab_7_3_of_any_shape(write_mat73: Write73, noise: Float32, shape: tuple[int, ...]) -> None:
    path = write_mat73(x=noise.reshape(shape), fs=np.array([[10.0]]))
    plain = path.with_name("plain.npz")
    np.savez(plain, x=noise.reshape(shape), fs=10.0)
    channel = "3" if shape[-1] < 10 else None
    options = RecordingOptions(channel=channel)
    np.testing.assert_array_equal(
        open_recording(str(path), options).load(), open_recording(str(plain), options).load(), strict=True
    )


@pytest.mark.parametrize("compressed", [False, True])
def test_matlab_5_as_matlab_writes_it(tmp_path: Path, noise: Float32, compressed: bool) -> None:
    from scipy.io import savemat

    path = tmp_path / "X097.mat"
    variables = {"X097_DE_time": noise[:, None].astype(np.float64), "X097RPM": np.array([[1796.0]]), "note": "hello"}
    savemat(path, variables, do_compression=compressed)
    recording = open_recording(str(path), RecordingOptions(sampling_rate_hz=48000, unit="g"))
    assert recording.sampling_rate_hz == 48000
    np.testing.assert_array_equal(recording.load(own_unit=True)[0], noise)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1\n2\n3\n", [1, 2, 3]),
        ("a;b\n1,5;7\n2,5;8\n", [1.5, 2.5]),
        ("b\ta\n7\t1.5\n8\t2.5\n", [1.5, 2.5]),
        ("a b\n1.5 7\n2.5  8\n", [1.5, 2.5]),
        ('\ufeff# a remark\n"time","a"\n0,1e-3\n\n1,2e-3\n', [1e-3, 2e-3]),
        ("t,a\r\n0,1\r\n1,2\r\n", [1, 2]),
        (",a\n0,1\n1,2\n", [1, 2]),
    ],
)
def test_csv_dialects(tmp_path: Path, text: str, expected: list[float]) -> None:
    path = tmp_path / "recording.csv"
    path.write_text(text, encoding="utf-8", newline="")
    key = "#a" if "a" in text and "time" not in text else ""
    [samples] = open_recording(f"{path}{key}", RecordingOptions(sampling_rate_hz=1)).load()
    np.testing.assert_array_equal(samples, np.array(expected, np.float32))


def test_csv_gz_is_gzip(tmp_path: Path, noise: Float32) -> None:
    write_recording(tmp_path / "recording.csv.gz", noise, 12000, "g")
    head = gzip.decompress((tmp_path / "recording.csv.gz").read_bytes()).splitlines()[:3]
    assert head == [b"# sampling_rate_hz: 12000.0", b"# unit: g", b"acceleration"]


def test_integer_wav_is_a_part_of_full_scale(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "recording.wav"), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(np.array([0, 16384, -32768], "<i2").tobytes())
    recording = open_recording(str(tmp_path / "recording.wav"))
    assert (recording.sampling_rate_hz, recording.unit) == (8000, None)
    np.testing.assert_array_equal(recording.load()[0], [0, 0.5, -1])


def test_h5_facts_in_group_and_dataset_by_path(tmp_path: Path, noise: Float32) -> None:
    import h5py

    with h5py.File(tmp_path / "recording.h5", "w") as file:
        file.attrs["unit"] = "g"
        group = file.create_group("drive/end")
        group.create_dataset("samples", data=noise, chunks=(100,), compression="gzip")
        group.create_dataset("fan", data=noise)
        group["sampling_rate_hz"] = 6400
    recording = open_recording(f"{tmp_path}/recording.h5#drive/end/samples")
    assert (recording.sampling_rate_hz, recording.unit, recording.name) == (6400, "g", "recording.h5#drive/end/samples")
    np.testing.assert_array_equal(recording.load(own_unit=True)[0], noise)


def test_a_name_with_a_hash_is_a_file_first(tmp_path: Path, noise: Float32) -> None:
    write_recording(tmp_path / "pump#3.npz", noise, 100, "g")
    assert open_recording(f"{tmp_path}/pump#3.npz").name == "pump#3.npz"
    assert open_recording(f"{tmp_path}/pump#3.npz#acceleration").channel == "0"
