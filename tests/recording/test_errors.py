"""Every error message states what was found, what was expected and what to do."""

import gzip
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from monitor.core.arrays import Float32
from monitor.errors import ConfigurationError, MonitorError, RecordingError
from monitor.extras import install_line
from monitor.recording.fit import require_rate, require_samples
from monitor.recording.options import RecordingOptions
from monitor.recording.source import open_recording
from monitor.recording.write import write_recording


def save(**arrays: object) -> Callable[[Path], None]:
    return lambda path: np.savez(path, **arrays)  # type: ignore[arg-type]


def text(content: str) -> Callable[[Path], None]:
    return lambda path: [path.write_text(content, encoding="utf-8"), None][1]  # type: ignore[return-value]


X = np.ones(300, np.float32)
NAN = np.ones((3, 300), np.float32)
NAN[2, 17] = np.nan


NO_FILE = "there is no file {0}; check the path. A variable or column of a file is written FILE#key"


@pytest.mark.parametrize(
    ("address", "options", "write", "message"),
    [
        ("a.npz", {}, None, f"{{0}}: {NO_FILE}"),
        ("a.npz#x", {}, None, f"{{0}}#x: {NO_FILE}"),
        (".", {}, None, "{0}: is a folder; give a recording file in it"),
        (
            "a.mp3",
            {},
            text(""),
            (
                "{0}: a recording's name must end in one of .npy .npz .csv .csv.gz .mat .wav .parquet .h5 .hdf5 .pkl "
                ".pickle; convert or rename it"
            ),
        ),
        ("a.npz", {}, save(x=X), "{0}: the file does not say its sampling rate; add --sampling-rate-hz"),
        (
            "a.npz#acceleratoin",
            {},
            save(acceleration=X, speed=X),
            (
                "{0}#acceleratoin: the file has no 'acceleratoin'; did you mean 'acceleration'? It has acceleration, "
                "speed"
            ),
        ),
        (
            "a.npz",
            {},
            save(x=X, y=X, fs=100),
            "{0}: several arrays could be the recording: x, y; name one, for example '{0}#x'",
        ),
        (
            "a.npz",
            {},
            save(x=np.array(["a", "b"]), rpm=1797, fs=100),
            "{0}: holds no array that could be a recording: #x has type <U1, not numbers; #rpm is a single number",
        ),
        ("a.npz#rpm", {}, save(x=X, rpm=1797, fs=100), "{0}#rpm: the array is a single number"),
        ("a.npz", {}, save(x=X[:0], fs=9), "{0}: holds no array that could be a recording: #x is empty (shape (0,))"),
        (
            "a.npz",
            {},
            save(x=X * 1j, fs=9),
            (
                "{0}: holds no array that could be a recording: #x is complex; save its real part, or the signal it "
                "was computed from"
            ),
        ),
        (
            "a.npz",
            {},
            save(x=np.zeros((300, 2)), channels=["up", "side"], fs=100),
            "{0}: has 2 channels: up, side; choose one, for example --channel up",
        ),
        (
            "a.npz",
            {"channel": "sid"},
            save(x=np.zeros((300, 2)), channels=["up", "side"], fs=100),
            "{0}: there is no channel 'sid'; did you mean 'side'? Its channels are up, side, counted from 0",
        ),
        (
            "a.npz",
            {"channel": "2"},
            save(x=np.zeros((300, 2)), fs=100),
            "{0}: there is no channel '2'; its channels are 0, 1, counted from 0",
        ),
        (
            "a.csv",
            {"sampling_rate_hz": 10},
            text("a1,a2\n1,2\n3,4\n"),
            "{0}: has 2 channels: a1, a2; choose one, for example '{0}#a1' or --channel a1",
        ),
        (
            "a.csv#a1",
            {"sampling_rate_hz": 10, "channel": "a2"},
            text("a1,a2\n1,2\n3,4\n"),
            "{0}#a1: the address and --channel a2 name two channels; leave one out",
        ),
        (
            "a.npz",
            {"sampling_rate_hz": 12000},
            save(x=X, fs=48000),
            (
                "{0}: the file says 48000 Hz but --sampling-rate-hz says 12000; leave the option out, or correct the "
                "file. To change the rate, use --decimate"
            ),
        ),
        (
            "a.npz",
            {},
            save(x=X, fs=-1),
            "{0}: the file's sampling rate is -1; expected a number of Hz above 0",
        ),
        (
            "a.npz",
            {},
            save(x=X, fs=1, unit="in/s"),
            "{0}: the file says its unit is 'in/s'; expected one of g, mg, m/s2. Convert it",
        ),
        (
            "a.npz#acceleration_mg",
            {"unit": "g"},
            save(acceleration_mg=X, fs=1),
            (
                "{0}#acceleration_mg: the file says its unit is mg but --unit says g; leave the option out, or "
                "correct the file"
            ),
        ),
        (
            "a.npz",
            {},
            save(x=NAN, fs=1),
            (
                "{0}: sample 17 of record 2 (counted from 0, in the file) is nan, not a finite number; cut the "
                "recording there or repair the sample: a forecast cannot go across it"
            ),
        ),
        (
            "a.npz",
            {"decimate": 4},
            save(x=np.array([1.0, 2.0, -np.inf]), fs=1),
            (
                "{0}: sample 2 (counted from 0, in the file) is -inf, not a finite number; cut the recording there or "
                "repair the sample: a forecast cannot go across it"
            ),
        ),
        (
            "a.npz",
            {"unit": "g"},
            save(x=np.array([1.0, 2.0, -3e38]), fs=1),
            (
                "{0}: sample 2 (counted from 0, in the file) is -3e+38, more than any sensor gives; cut the recording "
                "there or repair the sample: a forecast cannot go across it"
            ),
        ),
        (
            "a.csv",
            {"sampling_rate_hz": 10},
            text("x\n\n1\nbroken\n3\n"),
            "a.csv: line 4, column 'x': 'broken'; expected a number",
        ),
        (
            "a.csv#y",
            {"sampling_rate_hz": 10},
            text("x,y\n1,2\n3\n"),
            "a.csv: line 3, column 'y': only 1 fields; expected a number",
        ),
        (
            "a.csv",
            {"sampling_rate_hz": 10},
            text("made by\nx\n1\n"),
            (
                "a.csv: line 2 is not numbers: 'x'; expected at most one line of column names, then rows of numbers. "
                "Put '#' before other lines"
            ),
        ),
        ("a.csv", {}, text("x\n"), "a.csv: no row of numbers found in 1 lines; expected one row an instant"),
        (
            "a.csv",
            {},
            text("x,y,z\n1,2\n"),
            "a.csv: 3 column names but 2 fields in line 2; give every column one name",
        ),
        (
            "a.csv.gz",
            {"sampling_rate_hz": 1},
            lambda path: path.write_bytes(gzip.compress(b"1\n2\n" * 9999)[:-30]),
            (
                "{0}: cannot be read: Compressed file ended before the end-of-stream marker was reached; the file is "
                "damaged, cut short, or not what its name says: copy or export it again"
            ),
        ),
        (
            "a.npz",
            {},
            lambda path: path.write_bytes(b"hello"),
            (
                "{0}: cannot be read: File is not a zip file; the file is damaged, cut short, or not what its name "
                "says: copy or export it again"
            ),
        ),
    ],
)
def test_message(
    tmp_path: Path, address: str, options: dict[str, object], write: Callable[[Path], None] | None, message: str
) -> None:
    path = tmp_path / address.partition("#")[0]
    if write:
        write(path)
    with pytest.raises(RecordingError) as caught:
        open_recording(str(tmp_path / address), RecordingOptions(**options)).load()  # type: ignore[arg-type]
    assert str(caught.value) == message.replace("{0}", str(path))
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(("suffix", "library"), [(".h5", "h5py"), (".parquet", "pyarrow"), (".wav", "soundfile")])
def test_a_missing_library_is_named(
    tmp_path: Path, noise: Float32, monkeypatch: pytest.MonkeyPatch, suffix: str, library: str
) -> None:
    path = tmp_path / f"a{suffix}"
    write_recording(path, noise, 100, None)
    monkeypatch.setitem(sys.modules, library, None)
    expected = f"{path}: the format {suffix} needs the library {library}, which is not installed: " + install_line(
        "recordings"
    )
    with pytest.raises(RecordingError) as caught:
        open_recording(str(path))
    assert str(caught.value) == expected
    with pytest.raises(RecordingError) as caught:
        write_recording(path, noise, 100, None)
    assert str(caught.value) == expected


@pytest.mark.parametrize(
    ("rate", "decimate", "expected_hz", "remedy"),
    [
        (48000.0, 1, 12000.0, "use --decimate 4"),
        (48000.0, 2, 12000.0, "use --decimate 4"),
        (48000.0, 4, 48000.0, "leave --decimate out"),
        (
            25600.0,
            1,
            12000.0,
            "use a recording made at 12000 Hz or a whole multiple of it, or one meant for 25600 Hz",
        ),
    ],
)
def test_wrong_rate(
    tmp_path: Path, noise: Float32, rate: float, decimate: int, expected_hz: float, remedy: str
) -> None:
    write_recording(tmp_path / "a.npz", noise, rate, None)
    recording = open_recording(f"{tmp_path}/a.npz", RecordingOptions(decimate=decimate))
    with pytest.raises(RecordingError) as caught:
        require_rate(recording, expected_hz, "the model 'm'")
    found = rate / decimate
    assert str(caught.value) == (
        f"{tmp_path}/a.npz: has {found:g} Hz, but the model 'm' needs {expected_hz:g} Hz; {remedy}"
    )
    require_rate(recording, found * 1.0005, "the model 'm'")


@pytest.mark.parametrize("suffix", [".npz", ".csv"])
def test_too_short(tmp_path: Path, noise: Float32, suffix: str) -> None:
    write_recording(tmp_path / f"a{suffix}", noise, 1000, None)
    recording = open_recording(f"{tmp_path}/a{suffix}")
    require_samples(recording, 2500, "to train")
    with pytest.raises(RecordingError) as caught:
        require_samples(recording, 2600, "to train on windows of 26 blocks")
    assert str(caught.value) == (
        f"{tmp_path}/a{suffix}: too short: it has 2,500 samples (2.5 s at 1000 Hz), but 2,600 (2.6 s) without a break "
        "are needed to train on windows of 26 blocks; use a longer recording"
    )


def test_too_short_records(tmp_path: Path, noise: Float32) -> None:
    write_recording(tmp_path / "a.npz", noise.reshape(5, 500), 1000, None)
    with pytest.raises(RecordingError, match="too short: its longest of 5 records has 500 samples"):
        require_samples(open_recording(f"{tmp_path}/a.npz"), 2500, "to train")


@pytest.mark.parametrize(
    ("name", "shape", "facts", "message"),
    [
        ("a.doc", (9,), {}, "recordings are written as .npz .npy .csv .csv.gz .mat .wav .parquet .h5; end"),
        ("a.wav", (2, 99), {}, ".wav holds one record, not 2; write .npz or .h5"),
        ("a.wav", (99,), {"sampling_rate_hz": 0.5}, "a WAV cannot say 0.5 Hz, only whole numbers; write .npz"),
        ("a.npz", (99,), {"sampling_rate_hz": 0, "unit": "m"}, "the sampling rate is 0 Hz; it must be above 0\nthe"),
        ("a.npz", (99,), {"start_s": [1, 2]}, "2 starts for 1 records; give one each"),
        ("a.npz", (99, 2), {"channels": ["x"]}, "1 names for 2 channels; give one each"),
    ],
)  # fmt: skip
def test_what_cannot_be_written(
    tmp_path: Path, name: str, shape: tuple[int, ...], facts: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        write_recording(tmp_path / name, np.ones(shape), **({"sampling_rate_hz": 10, "unit": None} | facts))  # type: ignore[arg-type]
    assert message in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_writing_where_there_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(MonitorError, match="cannot be written: No such file or directory; check folder and free space"):
        write_recording(tmp_path / "none" / "a.npz", np.ones(9), 10, None)


def test_writing_what_is_not_finite_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    write_recording(path, np.ones(9), 10, None)
    before = path.read_bytes()
    with pytest.raises(RecordingError, match="value 3 of the samples to be written is not finite; nothing was written"):
        write_recording(path, np.array([0, 1, 2, np.nan]), 10, None)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.npz"]


def test_writing_replaces_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    write_recording(path, np.ones(9), 10, None)
    write_recording(path, np.zeros(5), 20, "g")
    assert open_recording(str(path)).sampling_rate_hz == 20
