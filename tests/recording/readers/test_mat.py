"""MATLAB files of levels 4 and 5: this package reads what SciPy writes and reads."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from monitor.core.arrays import AnyArray, Numbers
from monitor.errors import RecordingError
from monitor.recording.options import RecordingOptions
from monitor.recording.readers.mat import read_mat
from monitor.recording.source import open_recording

TYPES = ("f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8")
OLD_TYPES = ("f8", "f4", "i4", "i2", "u2", "u1")


def table(dtype: str, shape: tuple[int, ...] = (50, 2)) -> Numbers:
    values = np.random.default_rng(1).normal(scale=40, size=shape)
    found: Numbers = (np.abs(values) if dtype.startswith("u") else values).astype(dtype)
    return found


def found(path: Path, key: str = "x") -> AnyArray:
    """A matrix of one channel with any axes."""
    contents = read_mat(path)
    stored = contents.arrays[key]
    shape = loadmat(path)[key].shape
    assert stored.shape == shape
    options = RecordingOptions(sampling_rate_hz=1000, channel="0")
    return open_recording(f"{path}#{key}", options).load(own_unit=True)[0]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("packed", [False, True])
def test_every_type_of_level_5(tmp_path: Path, dtype: str, *, packed: bool) -> None:
    path = tmp_path / "a.mat"
    savemat(path, {"other": np.arange(5.0), "x": table(dtype)}, do_compression=packed)
    assert (found(path) == loadmat(path)["x"][:, 0].astype(np.float32)).all()


@pytest.mark.parametrize("dtype", OLD_TYPES)
def test_every_type_of_level_4(tmp_path: Path, dtype: str) -> None:
    path = tmp_path / "a.mat"
    savemat(path, {"other": np.arange(5.0), "x": table(dtype), "unit": "g"}, format="4")
    assert (found(path) == loadmat(path)["x"][:, 0].astype(np.float32)).all()
    assert read_mat(path).facts["unit"] == ["g"]


def test_three_axes_are_records_samples_and_channels(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    values = table("f4", (3, 50, 2))
    savemat(path, {"x": values})
    records = open_recording(str(path), RecordingOptions(sampling_rate_hz=1000, channel="1")).load()
    assert (np.stack(records) == values[:, :, 1]).all()


def test_facts_are_numbers_texts_rows_of_texts_and_cells(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    cell = np.empty((1, 2), object)
    cell[0, :] = ["up", "along"]
    for names in (["up", "along"], cell):
        savemat(path, {"x": table("f8"), "fs": 1000.0, "unit": "m/s2", "channels": names})
        recording = open_recording(f"{path}#x", RecordingOptions(channel="along"))
        assert (recording.sampling_rate_hz, recording.unit, recording.channels) == (1000.0, "m/s2", ("up", "along"))


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (np.array([True, False, True]), "is a MATLAB logical, not a numeric matrix"),
        ({"a": 1}, "is a MATLAB struct, not a numeric matrix"),
        ("text", "is a MATLAB char, not a numeric matrix"),
        (np.ones(9, complex), "is complex; save its real part"),
        (np.zeros((0, 2)), r"is empty \(shape \(0, 2\)\)"),
    ],
)
def test_what_is_no_recording_is_named(tmp_path: Path, value: Any, reason: str) -> None:
    path = tmp_path / "a.mat"
    savemat(path, {"x": value})
    with pytest.raises(RecordingError, match=reason):
        open_recording(str(path), RecordingOptions(sampling_rate_hz=1000))
