"""NumPy files: ``.npy``, which holds one array, and ``.npz``, a zip archive of arrays.

An array is a short header and then the values in order, so it is read as a stream. Only one piece is in memory at a
time, whatever size the headers announce. Arrays of Python objects are rejected by their header and never unpickled.
"""

import io
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Any

import numpy as np

from monitor.core.arrays import Numbers
from monitor.errors import RecordingError
from monitor.recording.readers.contents import (
    FACT_NAMES,
    SINGLE_NUMBER,
    Contents,
    Dtype,
    Layout,
    Stored,
    refuse_bomb,
    refuse_whole,
    why_unusable,
)

Opener = Callable[[], AbstractContextManager[IO[bytes]]]

MAX_FACT_BYTES = 2**26
"""Largest metadata array (the starts of 8 million records)."""


def read_npy(path: Path) -> Contents:
    """Read the header of a ``.npy`` file; the key of its array is empty."""

    def opener() -> AbstractContextManager[IO[bytes]]:
        return path.open("rb")

    stored, reason = _member("", path.name, opener, path.stat().st_size)
    return Contents({"": stored} if stored and not reason else {}, unusable={"": reason} if reason else {})


def read_npz(path: Path) -> Contents:
    """Read the headers and metadata of a ``.npz`` file, compressed or not."""
    arrays: dict[str, Stored] = {}
    facts: dict[str, Any] = {}
    unusable: dict[str, str] = {}
    numbers: dict[str, Stored] = {}
    with zipfile.ZipFile(path) as archive:
        members = [member for member in archive.infolist() if member.filename.endswith(".npy")]
    for member in members:
        key = member.filename.removesuffix(".npy")
        what = f"{path.name}#{key}"

        def opener(member: str = member.filename) -> AbstractContextManager[IO[bytes]]:
            return _ZipMember(path, member)

        refuse_bomb(what, min(member.compress_size, path.stat().st_size), member.file_size)
        stored, reason = _member(key, what, opener, member.file_size)
        if key in FACT_NAMES:
            facts[key] = _fact(what, opener, member.file_size)
            continue
        if stored:
            (numbers if reason else arrays)[key] = stored
        if reason:
            unusable[key] = reason
    return Contents(arrays, facts, unusable, numbers=numbers)


class _ZipMember(AbstractContextManager[IO[bytes]]):
    """A member of a zip archive, opened and closed together with the archive."""

    def __init__(self, path: Path, member: str) -> None:
        self.archive = zipfile.ZipFile(path)
        self.stream = self.archive.open(member)

    def __enter__(self) -> IO[bytes]:
        return self.stream

    def __exit__(self, *_: object) -> None:
        self.stream.close()
        self.archive.close()


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, Dtype]:
    """Read shape, order (True for column-major) and type; the stream is then at the first value."""
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(stream)
    if version == (2, 0):
        return np.lib.format.read_array_header_2_0(stream)
    raise ValueError(f"the array has version {version} of the .npy format, which only tables of named fields use")


def _member(key: str, what: str, opener: Opener, size_bytes: int) -> tuple[Stored | None, str | None]:
    """The array that ``opener`` opens, or the reason why it cannot be a recording; both for a single number."""
    with opener() as stream:
        shape, columns_first, dtype = _header(stream)
        header_bytes = stream.tell()
    reason = why_unusable(shape, dtype)
    if reason and reason != SINGLE_NUMBER:
        return None, reason
    expected = header_bytes + int(np.prod(shape, dtype=object)) * dtype.itemsize
    if expected != size_bytes:
        raise RecordingError(
            f"{what}: its header announces an array of shape {shape} and type {dtype}, {expected:,} bytes in all, but "
            f"{size_bytes:,} bytes are there; the file is damaged or was cut short: copy or export it again"
        )

    def frames(layout: Layout, channel: int, max_samples: int) -> Iterator[Numbers]:
        with opener() as stream:
            _header(stream)
            total = size_bytes - header_bytes
            if columns_first and len(shape) > 1:
                refuse_whole(what, total)
                values = np.frombuffer(_exactly(stream, total), dtype).reshape(shape, order="F")
                flat = values.reshape(-1, layout.channels)[:, channel]
                yield from (flat[start : start + max_samples] for start in range(0, flat.shape[0], max_samples))
                return
            step = max_samples * layout.channels * dtype.itemsize
            for start in range(0, total, step):
                piece = _exactly(stream, min(step, total - start))
                yield np.frombuffer(piece, dtype).reshape(-1, layout.channels)[:, channel]

    return Stored(key, shape, frames), reason


def _exactly(stream: IO[bytes], count: int) -> bytes:
    """Read exactly ``count`` bytes; a zip member may return them in several parts."""
    parts = bytearray()
    while len(parts) < count:
        part = stream.read(count - len(parts))
        if not part:
            raise EOFError(f"{count - len(parts):,} bytes of samples are missing")
        parts += part
    return bytes(parts)


def _fact(what: str, opener: Opener, size_bytes: int) -> Numbers:
    """Read a metadata array."""
    if size_bytes > MAX_FACT_BYTES:
        raise RecordingError(f"{what} is {size_bytes:,} bytes, too large for a fact about a recording; rename it")
    with opener() as stream:
        fact: Numbers = np.lib.format.read_array(io.BytesIO(stream.read(size_bytes)), allow_pickle=False)
    return fact
