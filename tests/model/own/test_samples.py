"""The files of samples: appended, bounded, and whole after a kill at any byte."""

from pathlib import Path
from typing import Self

import numpy as np
import pytest

from monitor.errors import RecordingError
from monitor.model.own import samples as files
from monitor.model.own.samples import FEWEST_STRETCHES, About, Samples, read_samples, running, share

SIZE = 400


def stretch(number: int, rms: float = 1.0) -> np.ndarray:
    return (rms * np.random.default_rng(number).normal(size=SIZE)).astype(np.float32)


def filled(folder: Path, count: int = FEWEST_STRETCHES) -> Samples:
    samples = Samples(folder)
    samples.abouts["fan"] = About("fan/x", 12000.0, 1.0, 30.0)
    for number in range(count):
        samples.append("fan", stretch(number), number)
    samples.save(samples.index())
    return samples


def test_what_is_appended_is_read_again(tmp_path: Path) -> None:
    filled(tmp_path, 8)
    (found,) = read_samples(tmp_path)
    assert (found.name, found.sampling_rate_hz) == ("fan/x", 12000.0)
    np.testing.assert_array_equal(found.stretches, np.stack([stretch(number) for number in range(8)]))
    again = Samples(tmp_path)
    assert again.abouts["fan"].ran_s == 30.0
    assert len(again.of("fan", SIZE)) == 8
    assert len(again.of("fan", SIZE + 1)) == 0
    assert again.bytes == (tmp_path / "samples" / "fan.npy").stat().st_size


@pytest.mark.parametrize("torn", [1, SIZE, 4 * SIZE])
def test_a_kill_before_the_header_costs_the_last_stretch_only(tmp_path: Path, torn: int) -> None:
    filled(tmp_path, 7)
    path = tmp_path / "samples" / "fan.npy"
    with path.open("ab") as file:  # what a kill leaves: samples that the header does not count
        file.write(b"\xff" * torn)
    np.testing.assert_array_equal(Samples(tmp_path).of("fan", SIZE)[-1], stretch(6))
    Samples(tmp_path).append("fan", stretch(7), 7)
    (found,) = read_samples(tmp_path)
    np.testing.assert_array_equal(found.stretches, np.stack([stretch(number) for number in range(8)]))


@pytest.mark.parametrize("harm", ["cut", "not an array", "other type", "index"])
def test_a_damaged_file_costs_its_channel_only(tmp_path: Path, harm: str) -> None:
    samples = filled(tmp_path)
    samples.abouts["pump"] = About("pump/x", 12000.0, 1.0)
    for number in range(FEWEST_STRETCHES):
        samples.append("pump", stretch(number), number)
    samples.save(samples.index())
    path = tmp_path / "samples" / "fan.npy"
    if harm == "cut":
        path.write_bytes(path.read_bytes()[:-1])
    elif harm == "not an array":
        path.write_bytes(b"\x93NUMPY" + bytes(100))
    elif harm == "other type":
        np.save(path, np.array(["a", "b"]))
    else:
        (tmp_path / "samples" / "index.json").write_text('{"fan": {"name": 3}}')
    assert len(Samples(tmp_path).of("fan", SIZE)) == 0
    if harm == "index":  # nobody knows what the files are of: all is sampled anew
        assert not list((tmp_path / "samples").glob("*.npy"))
        with pytest.raises(RecordingError, match="no channel has the 6 stretches"):
            read_samples(tmp_path)
    else:
        assert [each.name for each in read_samples(tmp_path)] == ["pump/x"]


def test_a_full_disk_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = filled(tmp_path)
    monkeypatch.setattr(Path, "open", lambda path, mode: _Full(open(path, mode)))  # noqa: PTH123, SIM115
    with pytest.raises(OSError, match="No space left"):
        samples.append("fan", stretch(9), FEWEST_STRETCHES)
    monkeypatch.undo()
    (found,) = read_samples(tmp_path)
    assert len(found.stretches) == FEWEST_STRETCHES


class _Full:
    """A file on a disk that takes no more samples."""

    def __init__(self, file: object) -> None:
        self.file = file

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()  # type: ignore[attr-defined]

    def __getattr__(self, name: str) -> object:
        return getattr(self.file, name)

    def write(self, _: bytes) -> None:
        raise OSError(28, "No space left on device")


def test_a_standstill_among_them_is_not_trained_on(tmp_path: Path) -> None:
    samples = filled(tmp_path)
    samples.append("fan", stretch(50, 0.01), FEWEST_STRETCHES)
    (found,) = read_samples(tmp_path)
    assert len(found.stretches) == FEWEST_STRETCHES
    # One shock does not make a standstill of everything else.
    assert running(np.array([1.0, 1.1, 40.0, 0.9], np.float32)).all()
    assert running(np.array([0.01, 1.1, 1.0, 0.01], np.float32)).tolist() == [False, True, True, False]


def test_a_channels_share_keeps_the_plant_within_its_bound() -> None:
    assert share(1, 5000) == 96
    for channels in (66, 200, 1000):
        assert share(channels, 5000) * channels * 5000 * 4 <= files.PLANT_BYTES or share(channels, 5000) == 6
