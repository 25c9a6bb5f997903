"""MATLAB files up to version 7.2, read with SciPy; version 7.3 is HDF5 and read by :mod:`monitor.recording.hdf5`.

The format keeps a matrix column by column, possibly packed, so a matrix is taken into memory whole. Before SciPy sees
the file, every packed element is unpacked once into nothing to learn its true size, whatever its header says.
"""

import struct
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from monitor.errors import RecordingError
from monitor.recording.contents import (
    FACT_NAMES,
    MAX_WHOLE_BYTES,
    Contents,
    Layout,
    RealArray,
    Stored,
    in_memory,
    refuse_bomb,
    refuse_whole,
    why_unusable,
)

NUMERIC = {
    "double": "f8", "single": "f4", "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2",
    "int32": "i4", "uint32": "u4", "int64": "i8", "uint64": "u8",
}  # fmt: skip
"""MATLAB classes that hold numbers, and their NumPy types."""

HEADER_BYTES = 128
PACKED = 15
STEP_BYTES = 2**20


def is_hdf5(path: Path) -> bool:
    """Whether a ``.mat`` file is of version 7.3, that is, HDF5 behind a MATLAB header."""
    with path.open("rb") as file:
        start = file.read(520)
    return start.startswith(b"MATLAB 7.3") or b"\x89HDF\r\n\x1a\n" in (start[:8], start[512:520])


def read_mat(path: Path) -> Contents:
    """The numeric matrices of a ``.mat`` file of version 4 to 7.2 and the facts beside them."""
    from scipy.io import whosmat

    _measure(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        variables: list[tuple[str, tuple[int, ...], str]] = whosmat(path)
    arrays: dict[str, Stored] = {}
    facts: dict[str, Any] = {}
    unusable: dict[str, str] = {}
    for key, shape, kind in variables:
        reason: str | None = f"is a MATLAB {kind}, not a numeric matrix"
        if kind in NUMERIC:
            dtype = np.dtype(NUMERIC[kind])
            reason = why_unusable(shape, dtype)
            refuse_whole(f"{path.name}#{key}", int(np.prod(shape, dtype=object)) * dtype.itemsize)
        if key in FACT_NAMES:
            facts[key] = _load(path, key)
        elif reason:
            unusable[key] = reason
        else:
            arrays[key] = Stored(key, shape, _reader(path, key))
    return Contents(arrays, facts, unusable)


def _reader(path: Path, key: str) -> Any:
    def frames(layout: Layout, channel: int, max_samples: int) -> Iterator[RealArray]:
        matrix = _load(path, key)
        if matrix.dtype.kind == "c":
            raise RecordingError(f"{path.name}#{key} {why_unusable(matrix.shape, matrix.dtype)}")
        yield from in_memory(matrix)(layout, channel, max_samples)

    return frames


def _load(path: Path, key: str) -> RealArray:
    from scipy.io import loadmat

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        matrix: RealArray = loadmat(path, variable_names=[key])[key]
    return matrix


def _measure(path: Path) -> None:
    """Refuse a file whose elements are cut short or unpack to far more than their size.

    Source of the layout: MathWorks, "MAT-File Format", level 5: a header of 128 bytes whose last two give the byte
    order, then elements of a type, a size and that many bytes. Level 4 files have no packed elements.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        header = file.read(HEADER_BYTES)
        if 0 in header[:4] or header[126:128] not in (b"IM", b"MI"):
            return
        order = "<" if header[126:128] == b"IM" else ">"
        while len(tag := file.read(8)) == 8:
            kind, count = struct.unpack(order + "II", tag)
            if file.tell() + count > size:
                missing = file.tell() + count - size
                raise RecordingError(
                    f"{path.name}: {missing:,} bytes are missing at its end; it was cut short: copy or export it again"
                )
            if kind == PACKED:
                _measure_packed(path, file.read(count))
            else:
                file.seek(count, 1)


def _measure_packed(path: Path, packed: bytes) -> None:
    """Unpack one element into nothing, refusing it as soon as it is too large."""
    unpacker = zlib.decompressobj()
    unpacked = 0
    while packed and not unpacker.eof:
        unpacked += len(unpacker.decompress(packed, STEP_BYTES))
        refuse_bomb(path.name, path.stat().st_size, unpacked)
        if unpacked > MAX_WHOLE_BYTES:
            refuse_whole(path.name, unpacked)
        packed = unpacker.unconsumed_tail
