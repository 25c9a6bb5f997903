"""A damaged or hostile file is rejected with one message; nothing is executed and memory stays bounded."""

import gzip
import os
import pickle
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from scipy.io import savemat

from monitor.core.arrays import Float32
from monitor.errors import RecordingError
from monitor.recording.options import RecordingOptions
from monitor.recording.source import open_recording
from monitor.recording.write import write_recording

RATED = RecordingOptions(sampling_rate_hz=1000, channel="0")
MIB = 2**20


def refusal(path: Path | str, options: RecordingOptions = RATED) -> str:
    with pytest.raises(RecordingError) as caught:
        open_recording(str(path), options).load()
    assert caught.value.exit_code == 3
    return str(caught.value)


@contextmanager
def at_most(limit_bytes: int) -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < limit_bytes


class Attack:
    """Runs a command when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("protocol", range(6))
def test_a_malicious_pickle_is_refused_and_not_run(tmp_path: Path, protocol: int) -> None:
    marker = tmp_path / "executed"
    path = tmp_path / "attack.pkl"
    path.write_bytes(pickle.dumps(Attack(marker), protocol))
    assert refusal(path) == (
        "attack.pkl: asks for posix.system; a .pkl may hold one plain numpy array of numbers and nothing else, and "
        "nothing of this one was run. If you trust where it comes from, load it yourself and save the array with "
        "numpy.save"
    )
    assert not marker.exists()
    pickle.loads(path.read_bytes())  # noqa: S301 - shows that the attack is a real one
    assert marker.exists()


def test_a_pickled_array_with_an_attack_inside_is_refused_and_not_run(tmp_path: Path) -> None:
    marker = tmp_path / "executed"
    path = tmp_path / "attack.pkl"
    path.write_bytes(pickle.dumps(np.array([Attack(marker), 1.0], dtype=object)))
    assert "asks for posix.system" in refusal(path) or "more than an array" in refusal(path)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ([np.zeros(3)], "holds more than an array (instruction EMPTY_LIST)"),
        ({"a": np.zeros(3)}, "holds more than an array (instruction EMPTY_DICT)"),
        (np.array(["a", None], object), "holds more than an array"),
        (np.float64(1), "asks for numpy._core.multiarray.scalar"),
        ("text", "holds no array"),
        (np.zeros(3, complex), "the array is complex"),
        (np.array(["a", "b"]), "the array has type <U1, not numbers"),
        (np.zeros(3, [("a", "f4")]), "holds more than an array (instruction EMPTY_DICT)"),
        (np.zeros(0), "the array is empty (shape (0,))"),
        (np.zeros((2, 2, 2, 2)), "the array has 4 axes"),
        (np.arange(4).astype("datetime64[s]"), "the array has type datetime64, not numbers"),
    ],
)
def test_a_pickle_of_anything_but_one_plain_array(tmp_path: Path, value: Any, found: str) -> None:
    (tmp_path / "other.pkl").write_bytes(pickle.dumps(value))
    assert found in refusal(tmp_path / "other.pkl")


@pytest.mark.parametrize(
    "program",
    [
        b"\x80\x04\x8e" + (2**60).to_bytes(8, "little"),  # BINBYTES8 of an exbibyte
        b"\x80\x04Nr" + (2**31 - 1).to_bytes(4, "little") + b".",  # memo slot 2**31 - 1
        b"\x80\x04\x8b" + (2**30).to_bytes(4, "little"),  # LONG4 of a gibibyte
        b"cos\nsystem\n(S'true'\ntR.",
        b"\x80\x04\x85.",
        b"\x80\x04R.",
        b"",
    ],
)
def test_pickle_programs_that_ask_for_memory_or_make_no_sense(tmp_path: Path, program: bytes) -> None:
    (tmp_path / "bomb.pkl").write_bytes(program)
    with at_most(8 * MIB):
        refusal(tmp_path / "bomb.pkl")


def test_a_pickle_with_a_shape_that_its_bytes_do_not_fill(tmp_path: Path) -> None:
    program = pickle.dumps(np.zeros(100, np.float32), 4).replace(b"K\x01Kd\x85", b"K\x01J\xff\xff\xff\x7f\x85")
    (tmp_path / "bomb.pkl").write_bytes(program)
    assert "do not agree with the bytes" in refusal(tmp_path / "bomb.pkl")


def zeros(size_bytes: int) -> Iterator[bytes]:
    for _ in range(size_bytes // MIB):
        yield bytes(MIB)


def npz_bomb(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("x.npy", "w") as member:
        header = {"descr": "<f4", "fortran_order": False, "shape": (64 * MIB,)}
        np.lib.format.write_array_header_1_0(member, header)
        for part in zeros(256 * MIB):
            member.write(part)


def csv_bomb(path: Path) -> None:
    with gzip.open(path, "wb", 9) as file:
        row = b"0." + bytes(4093).replace(b"\0", b"0") + b"\n"
        for _ in range(80):
            file.write(row * 256)


def line_bomb(path: Path) -> None:
    with gzip.open(path, "wb", 9) as file:
        for part in zeros(64 * MIB):
            file.write(part.replace(b"\0", b"1"))


def h5_bomb(path: Path) -> None:
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("x", (2**40,), "f4", chunks=(2**16,), compression="gzip")
        dataset[:100] = 1


def h5_chunk_bomb(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("x", (2**28,), "f4", chunks=(2**28,))


def parquet_bomb(path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.table({"x": np.zeros(2**25)}), path)


@pytest.mark.parametrize(
    ("name", "write", "found"),
    [
        ("bomb.npz", npz_bomb, "bomb.npz#x unpacks from"),
        ("bomb.csv.gz", csv_bomb, "bomb.csv.gz unpacks from"),
        ("line.csv.gz", line_bomb, "line.csv.gz: a line is longer than 1,048,576 characters"),
        ("bomb.h5", h5_bomb, "bomb.h5#x unpacks from"),
        ("chunk.h5", h5_chunk_bomb, "is kept in chunks of more than 134,217,728 bytes"),
        ("bomb.parquet", parquet_bomb, "bomb.parquet unpacks from"),
    ],
)
def test_a_bomb_is_refused_in_little_memory(
    tmp_path: Path, name: str, write: Callable[[Path], None], found: str
) -> None:
    write(tmp_path / name)
    assert (tmp_path / name).stat().st_size < 2 * MIB
    options = RecordingOptions(sampling_rate_hz=1000)
    with pytest.raises(RecordingError, match=found), at_most(64 * MIB):
        for _ in open_recording(str(tmp_path / name), options).pieces():
            pass


def test_a_matlab_bomb_is_refused_in_little_memory(tmp_path: Path) -> None:
    savemat(tmp_path / "bomb.mat", {"x": np.zeros(2**24)}, do_compression=True)
    with at_most(16 * MIB):
        assert "bomb.mat unpacks from" in refusal(tmp_path / "bomb.mat")


@pytest.mark.parametrize("rows", [-453, 2**31 - 1, 7])
def test_a_matlab_matrix_of_another_size_than_it_says(tmp_path: Path, rows: int) -> None:
    savemat(tmp_path / "a.mat", {"x": np.ones((300, 2), np.float32)})
    damaged = (tmp_path / "a.mat").read_bytes().replace(b"\x2c\x01\x00\x00", rows.to_bytes(4, "little", signed=True))
    (tmp_path / "a.mat").write_bytes(damaged)
    with at_most(8 * MIB):
        refusal(tmp_path / "a.mat")


def test_object_arrays_are_never_loaded(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([1, "a"], object))
    np.savez(tmp_path / "b.npz", x=np.array([1, "a"], object))
    assert "holds Python objects, never loaded because that can run code" in refusal(tmp_path / "a.npy")
    assert "#x holds Python objects, never loaded because" in refusal(tmp_path / "b.npz")


def test_h5_data_outside_the_file_are_not_read(tmp_path: Path, noise: Float32) -> None:
    (tmp_path / "secret").write_bytes(noise.tobytes())
    write_recording(tmp_path / "other.h5", noise, 1000, "g")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("outside", (100,), "f4", external=[(str(tmp_path / "secret"), 0, 400)])
        layout = h5py.VirtualLayout((2500,), "f4")
        layout[:] = h5py.VirtualSource(tmp_path / "other.h5", "acceleration", (2500,))
        file.create_virtual_dataset("virtual", layout)
        file["link"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "acceleration")
        file.create_dataset("unwritten", (100,), "f4")
    assert "lies in another file" in refusal(f"{tmp_path}/a.h5#outside")
    assert "lies in another file" in refusal(f"{tmp_path}/a.h5#virtual")
    assert "the file has no 'link'" in refusal(f"{tmp_path}/a.h5#link")
    assert "announced but never written" in refusal(f"{tmp_path}/a.h5#unwritten")


@pytest.mark.parametrize("suffix", [".npz", ".npy", ".csv.gz", ".mat", ".wav", ".parquet", ".h5", ".pkl"])
def test_a_file_cut_short_is_refused(tmp_path: Path, noise: Float32, suffix: str) -> None:
    path = tmp_path / f"recording{suffix}"
    if suffix == ".pkl":
        path.write_bytes(pickle.dumps(noise))
    else:
        write_recording(path, noise, 1000, "g")
    whole = path.read_bytes()
    for kept in (0, 1, 10, len(whole) // 2, len(whole) - 10):
        path.write_bytes(whole[:kept])
        assert path.name in refusal(path)


@pytest.mark.parametrize("suffix", [".npz", ".npy", ".csv", ".csv.gz", ".mat", ".wav", ".parquet", ".h5", ".pkl"])
def test_flipped_bytes_give_samples_or_one_refusal(tmp_path: Path, noise: Float32, suffix: str) -> None:
    path = tmp_path / f"recording{suffix}"
    if suffix == ".pkl":
        path.write_bytes(pickle.dumps(noise[:200]))
    else:
        write_recording(path, noise[:200], 1000, "g")
    whole = path.read_bytes()
    generator = np.random.default_rng(5)
    for _ in range(40):
        damaged = bytearray(whole)
        for at in generator.integers(0, min(len(whole), 600), 3):
            damaged[at] = generator.integers(256)
        path.write_bytes(damaged)
        try:
            open_recording(str(path), RecordingOptions(sampling_rate_hz=1000 if suffix in {".npy", ".pkl"} else None))
        except RecordingError as error:
            assert path.name in str(error)  # noqa: PT017 - either outcome is right; this is about the message
