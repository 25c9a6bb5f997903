"""The reader for a file. Only the suffix of its name decides; the content is never tried as several formats."""

from collections.abc import Callable
from pathlib import Path

from monitor.errors import RecordingError
from monitor.recording.readers.contents import Contents
from monitor.recording.readers.hdf5 import read_h5, read_mat73
from monitor.recording.readers.mat import is_hdf5, read_mat
from monitor.recording.readers.npy import read_npy, read_npz
from monitor.recording.readers.parquet import read_parquet
from monitor.recording.readers.pickled import read_pickle
from monitor.recording.readers.text import read_csv
from monitor.recording.readers.wav import read_wav


def read_matlab(path: Path) -> Contents:
    """Read the headers of a ``.mat`` file of any version."""
    return read_mat73(path) if is_hdf5(path) else read_mat(path)


READERS: dict[str, Callable[[Path], Contents]] = {
    ".npy": read_npy,
    ".npz": read_npz,
    ".csv": read_csv,
    ".csv.gz": read_csv,
    ".mat": read_matlab,
    ".wav": read_wav,
    ".parquet": read_parquet,
    ".h5": read_h5,
    ".hdf5": read_h5,
    ".pkl": read_pickle,
    ".pickle": read_pickle,
}
"""Reader by suffix, in lower case."""


def suffix_of(path: Path) -> str:
    """The suffix of a file name, in lower case.

    Raises:
        RecordingError: the suffix is not supported.
    """
    name = path.name.lower()
    for suffix in sorted(READERS, key=len, reverse=True):
        if name.endswith(suffix):
            return suffix
    raise RecordingError(f"{path}: a recording's name must end in one of {' '.join(READERS)}; convert or rename it")


def read_contents(path: Path) -> Contents:
    """Read the arrays and metadata of a file from its headers.

    Raises:
        RecordingError: the format is not supported or the file is rejected.
        Exception: the library cannot read the file; the type depends on the format.
    """
    return READERS[suffix_of(path)](path)
