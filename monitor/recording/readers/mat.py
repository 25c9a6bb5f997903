"""MATLAB files up to version 7.2. Version 7.3 is HDF5; :mod:`monitor.recording.readers.hdf5` reads it.

The format stores matrices column by column, possibly compressed, so a matrix is loaded as a whole. The parts of the
format that a recording needs are parsed here, because one wrong byte can crash the process in SciPy's reader. A matrix
is read only if its header, its type and its size in the file agree. Source of the layout: MathWorks, "MAT-File Format",
levels 4 and 5. Does not handle: structures, objects, sparse and complex matrices.
"""

import io
import struct
import zlib
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol

import numpy as np

from monitor.core.arrays import Numbers
from monitor.errors import RecordingError
from monitor.recording.readers.contents import (
    FACT_NAMES,
    Contents,
    Frames,
    Layout,
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
"""NumPy types of the numeric MATLAB classes."""

CLASSES = ("", "cell", "struct", "object", "char", "sparse", *NUMERIC, "function", "opaque", "object")
"""Names of the level 5 classes, by their number."""

ELEMENTS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
"""Storage types of numbers, by element type; a matrix may be stored in a smaller type than that of its class."""

TEXTS = {**ELEMENTS, 16: "u1", 17: "u2", 18: "u4"}
"""Storage types of characters, by element type; all agree for ASCII, which metadata uses."""

PLAIN_4 = ("f8", "f4", "i4", "i2", "u2", "u1")
"""Storage types of level 4, by the digit in the header."""

MATRIX, PACKED = 14, 15
HEADER_BYTES = 128
STEP_BYTES = 2**16

MAX_VARIABLES = 10_000
"""Most variables in a file or a cell. Higher: a hostile file takes longer to open. Lower: large exports are
rejected."""

MAX_NAME_BYTES = 4096
"""Longest name in bytes; MATLAB's own limit is 63."""

LOGICAL, COMPLEX = 0x200, 0x800
"""Flags in the header of a matrix."""


class Source(Protocol):
    """A stream of bytes, read once and in order."""

    def read(self, count: int, /) -> bytes:
        """Read at most ``count`` bytes."""


class Matrix(NamedTuple):
    """A variable whose header has been read; its values follow in the source."""

    name: str
    """Name of the variable; empty inside a cell."""
    kind: str
    """Name of its MATLAB class."""
    shape: tuple[int, ...]
    """Lengths of the axes, at least two."""
    complex: bool
    """Whether imaginary parts follow the real parts."""


def is_hdf5(path: Path) -> bool:
    """Whether a ``.mat`` file has version 7.3, which is HDF5 after a MATLAB header."""
    with path.open("rb") as file:
        start = file.read(520)
    return start.startswith(b"MATLAB 7.3") or b"\x89HDF\r\n\x1a\n" in (start[:8], start[512:520])


def read_mat(path: Path) -> Contents:
    """Read the headers and metadata of a ``.mat`` file of version 4 to 7.2."""
    arrays: dict[str, Stored] = {}
    facts: dict[str, Any] = {}
    unusable: dict[str, str] = {}
    with path.open("rb") as file:
        for count, (offset, stored_bytes, variable) in enumerate(_variables(path, file)):
            if count >= MAX_VARIABLES:
                raise RecordingError(
                    f"{path.name}: holds more than {MAX_VARIABLES:,} variables; save the recording alone"
                )
            key, kind, shape, is_complex = matrix = variable.header()
            if key in FACT_NAMES:
                fact = variable.fact(matrix)
                facts |= {} if fact is None else {key: fact}
                continue
            reason: str | None = f"is a MATLAB {kind}, not a numeric matrix"
            if kind in NUMERIC:
                dtype = np.dtype(complex if is_complex else NUMERIC[kind])
                reason = why_unusable(shape, dtype)
                size = prod(shape) * dtype.itemsize
                refuse_whole(f"{path.name}#{key}", size)
                refuse_bomb(path.name, stored_bytes, size)
            if reason:
                unusable[key] = reason
            else:
                arrays[key] = Stored(key, shape, _reader(path, offset))
    return Contents(arrays, facts, unusable)


def _reader(path: Path, offset: int) -> Frames:
    def frames(layout: Layout, channel: int, max_samples: int) -> Iterator[Numbers]:
        with path.open("rb") as file:
            _, _, variable = next(_variables(path, file, offset))
            matrix = variable.values(variable.header())
        yield from in_memory(matrix)(layout, channel, max_samples)

    return frames


class _Variable5:
    """A level 5 variable; read its header first, then its values."""

    def __init__(self, source: Source, order: str) -> None:
        self._source, self._order = source, order

    def header(self) -> Matrix:
        """Read class, shape and name of the variable."""
        flags = struct.unpack(self._order + "II", self._element({6}, 8)[1][:8])[0]
        shape = tuple(np.frombuffer(self._element({5}, 4 * 32)[1], self._order + "i4").tolist())
        name = self._element({1, 2}, MAX_NAME_BYTES)[1].decode("latin-1").rstrip("\0")
        number = flags & 0xFF
        if number >= len(CLASSES) or len(shape) < 2 or min(shape) < 0:
            raise ValueError(f"a variable has the class {number} and the shape {shape}")
        kind = "logical" if flags & LOGICAL else CLASSES[number]
        return Matrix(name, kind, shape, bool(flags & COMPLEX))

    def values(self, matrix: Matrix) -> Numbers:
        """The numbers of a numeric or text variable."""
        known = TEXTS if matrix.kind == "char" else ELEMENTS
        count = prod(matrix.shape)
        kind, data = self._element(known.keys(), 8 * count)
        values = np.frombuffer(data, self._order + known[kind])
        if values.size != count and matrix.kind != "char":
            raise ValueError(f"'{matrix.name}' has the shape {matrix.shape} but {values.size} values")
        wanted = NUMERIC.get(matrix.kind)
        return (values if wanted is None else values.astype(wanted)).reshape(
            matrix.shape if values.size == count else (1, -1), order="F"
        )

    def fact(self, matrix: Matrix) -> Any:
        """Decode a metadata variable: numbers or texts."""
        count = prod(matrix.shape)
        if matrix.kind == "cell" and count <= MAX_VARIABLES:
            return [text for _ in range(count) for text in self._text_in_cell()]
        if count > MAX_VARIABLES * 100 or (matrix.kind not in NUMERIC and matrix.kind != "char"):
            return None
        values = self.values(matrix)
        return _texts(values) if matrix.kind == "char" else values

    def _text_in_cell(self) -> list[str]:
        kind, size = struct.unpack(self._order + "II", _exactly(self._source, 8))
        if kind != MATRIX or size > MAX_NAME_BYTES:
            raise ValueError("a cell holds something else than short texts")
        inner = _Variable5(io.BytesIO(_exactly(self._source, size)), self._order)
        matrix = inner.header()
        return _texts(inner.values(matrix)) if matrix.kind == "char" else [""]

    def _element(self, kinds: Any, most_bytes: int) -> tuple[int, bytes]:
        """Read the type and the bytes of the next element."""
        tag = _exactly(self._source, 8)
        kind, size = struct.unpack(self._order + "II", tag)
        if kind >> 16:  # up to four bytes are stored in the tag itself
            kind, size = kind & 0xFFFF, kind >> 16
            data = tag[4 : 4 + size]
        else:
            data = b""
        if kind not in kinds or size > most_bytes:
            raise ValueError(f"an element has the type {kind} and {size:,} bytes")
        if not data and size:
            data = _exactly(self._source, size)
            _exactly(self._source, -size % 8)
        if len(data) != size:
            raise ValueError(f"an element in its own tag has {size} bytes")
        return kind, data


class _Variable4:
    """A level 4 variable; read its header first, then its values."""

    def __init__(self, source: Source, order: str, header: tuple[int, ...]) -> None:
        self._source, self._order = source, order
        self._type, self._rows, self._columns, self._imaginary, self._name_bytes = header

    @property
    def dtype(self) -> str:
        """NumPy type of the values in the file."""
        return self._order + PLAIN_4[self._type // 10 % 10]

    def header(self) -> Matrix:
        """Read class, shape and name of the variable."""
        name = _exactly(self._source, self._name_bytes).decode("latin-1").rstrip("\0")
        kind = ("double", "char", "sparse")[self._type % 10]
        if kind == "double":
            kind = next(key for key, dtype in NUMERIC.items() if dtype == self.dtype[1:])
        return Matrix(name, kind, (self._rows, self._columns), bool(self._imaginary))

    def values(self, matrix: Matrix) -> Numbers:
        """The numbers of a numeric or text variable."""
        data = _exactly(self._source, prod(matrix.shape) * np.dtype(self.dtype).itemsize)
        return np.frombuffer(data, self.dtype).reshape(matrix.shape, order="F")

    def fact(self, matrix: Matrix) -> Any:
        """Decode a metadata variable: numbers or texts."""
        if prod(matrix.shape) > MAX_VARIABLES * 100 or matrix.kind == "sparse":
            return None
        return _texts(self.values(matrix)) if matrix.kind == "char" else self.values(matrix)


def _texts(codes: Numbers) -> list[str]:
    """Decode the rows of a matrix of characters."""
    return ["".join(chr(int(code)) for code in row if 0 < code < 0xD800).strip() for row in codes]


def _variables(path: Path, file: IO[bytes], start: int | None = None) -> Iterator[tuple[int, int, Any]]:
    """Iterate over the variables from ``start`` on: the offset of each, its size in bytes, and its reader."""
    size = path.stat().st_size
    header = file.read(HEADER_BYTES)
    if 0 in header[:4]:
        yield from _variables_4(path, file, size, start or 0)
        return
    if header[126:128] not in (b"IM", b"MI"):
        raise ValueError("it has no header of a MATLAB file")
    order = "<" if header[126:128] == b"IM" else ">"
    at = start or HEADER_BYTES
    file.seek(at)
    while len(tag := file.read(8)) == 8:
        kind, count = struct.unpack(order + "II", tag)
        following = at + 8 + count
        _require_whole(path, following, size)
        if kind == PACKED:
            source: Source = _Unpacked(file, count)
            kind = struct.unpack(order + "II", _exactly(source, 8))[0]
        else:
            source = file
        if kind == MATRIX:
            yield at, count, _Variable5(source, order)
        at = following
        file.seek(at)


def _variables_4(path: Path, file: IO[bytes], size: int, at: int) -> Iterator[tuple[int, int, Any]]:
    file.seek(at)
    while len(tag := file.read(20)) == 20:
        order = "<" if 0 <= struct.unpack("<i", tag[:4])[0] < 1000 else ">"
        header = kind, rows, columns, imaginary, name_bytes = struct.unpack(order + "5i", tag)
        digits = (kind // 1000, kind // 100 % 10, kind // 10 % 10, kind % 10)
        if kind < 0 or digits[0] > 1 or digits[1] or digits[2] >= len(PLAIN_4) or digits[3] > 2:
            raise ValueError(f"a variable has the type {kind}")
        if min(rows, columns) < 0 or not 0 < name_bytes <= MAX_NAME_BYTES or imaginary not in (0, 1):
            raise ValueError(f"a variable has {rows} rows, {columns} columns and a name of {name_bytes} bytes")
        count = name_bytes + rows * columns * np.dtype(PLAIN_4[digits[2]]).itemsize * (1 + imaginary)
        _require_whole(path, at + 20 + count, size)
        yield at, count, _Variable4(file, order, header)
        at += 20 + count
        file.seek(at)


def _require_whole(path: Path, end: int, size: int) -> None:
    if end > size:
        raise RecordingError(
            f"{path.name}: {end - size:,} bytes are missing at its end; it was cut short: copy or export it again"
        )


def _exactly(source: Source, count: int) -> bytes:
    data = source.read(count)
    if len(data) != count:
        raise EOFError(f"{count - len(data):,} bytes are missing")
    return data


class _Unpacked:
    """A compressed element; unpacks only as much as is read."""

    def __init__(self, file: IO[bytes], count: int) -> None:
        self._file, self._left = file, count
        self._unpacker = zlib.decompressobj()

    def read(self, count: int, /) -> bytes:
        """Read at most ``count`` unpacked bytes."""
        parts = bytearray()
        while len(parts) < count and not self._unpacker.eof:
            packed = self._unpacker.unconsumed_tail
            if not packed:
                packed = self._file.read(min(STEP_BYTES, self._left))
                self._left -= len(packed)
            part = self._unpacker.decompress(packed, count - len(parts))
            if not part and not packed:
                break
            parts += part
        return bytes(parts)
