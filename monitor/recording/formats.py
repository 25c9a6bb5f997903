"""Which reader a file's name asks for. The name decides, not the content: a file is never tried as several formats."""

from collections.abc import Callable
from pathlib import Path

from monitor.errors import RecordingError
from monitor.recording.contents import Contents
from monitor.recording.mat import read_mat
from monitor.recording.npy import read_npy, read_npz
from monitor.recording.text import read_csv

READERS: dict[str, Callable[[Path], Contents]] = {
    ".npy": read_npy,
    ".npz": read_npz,
    ".csv": read_csv,
    ".csv.gz": read_csv,
    ".mat": read_mat,
}
"""Reader by suffix, in lower case."""


def suffix_of(path: Path) -> str:
    """The known suffix of a file name, in lower case.

    Raises:
        RecordingError: none of the known ones.
    """
    name = path.name.lower()
    for suffix in sorted(READERS, key=len, reverse=True):
        if name.endswith(suffix):
            return suffix
    raise RecordingError(f"{path}: a recording's name must end in one of {' '.join(READERS)}; convert or rename it")


def read_contents(path: Path) -> Contents:
    """The arrays and facts of a file, from its headers.

    Raises:
        RecordingError: the format is not known or the file is refused.
        Exception: the format's library could not read it; which one depends on the format.
    """
    return READERS[suffix_of(path)](path)
