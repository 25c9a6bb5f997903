"""The file of what one channel has kept for learning: its head, then a record for each interval.

Records are appended, and each has a checksum. A kill leaves at most one that is torn, which the next start removes.
When there are too many, the file is replaced atomically by one with fewer (:mod:`monitor.core.learning.thinning`). The
head belongs to the file: features of another head cannot be compared with its records.
"""

import hashlib
import io
import json
import zipfile
import zlib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np

from monitor.atomic_file import write_atomically
from monitor.core.arrays import AnyArray, Bool, Float32, Float64, Int64
from monitor.core.learning.head_fit import Fitted
from monitor.core.learning.thinning import MOST_INTERVALS, kept
from monitor.core.scoring.interval.head import Head

MAGIC = b"vibration-monitor learning 3 "

MOST_BYTES = 1 << 20
"""Largest file that is read; a full one has 0.28 MB."""

OF_HEAD = tuple(field.name for field in fields(Head))


class Records(NamedTuple):
    """Kept intervals, in order of time."""

    place: Int64
    """(n,) place among all intervals that the channel has seen, from 0."""
    at_s: Float64
    """(n,) UNIX seconds at which each ended, whole."""
    raw: Float32
    """(n, R) raw features."""
    measured: Float32
    """(n, C) means of the measured quantities, NaN where not known."""

    def of(self, chosen: Bool) -> "Records":
        """The records where ``chosen`` (n,) is True."""
        return Records(self.place[chosen], self.at_s[chosen], self.raw[chosen], self.measured[chosen])


@dataclass(frozen=True)
class About:
    """What a file is about."""

    key: str
    """Everything that its records depend on besides the head, as text."""
    names: tuple[str, ...]
    """Names of the measured quantities."""
    raw: int
    """Number of raw features."""

    @property
    def record(self) -> np.dtype[np.void]:
        """The type of a record."""
        return np.dtype(
            [("place", "<u4"), ("at_s", "<u4"), ("raw", "<f4", (self.raw,)), ("measured", "<f4", (len(self.names),)),
             ("check", "<u4")]
        )  # fmt: skip


class KeptFile:
    """A channel's file; not thread-safe."""

    def __init__(self, path: Path, about: About, level_mps2: float) -> None:
        self.path, self.about, self.level_mps2 = path, about, level_mps2
        self.count = 0
        """Number of records."""
        self.following = 0
        """Place after the last record."""
        self.last_at_s = 0.0
        """UNIX seconds at which the last interval ended; 0: there is none."""
        self.head = ""
        """Digest of its head."""
        self.torn_bytes = 0
        """Bytes at the end of what was read that are no record."""

    @classmethod
    def create(cls, path: Path, about: About, fitted: Fitted, level_mps2: float) -> Self:
        """Write a new file without records.

        Raises:
            OSError: it cannot be written; an old one stays.
        """
        made = cls(path, about, level_mps2)
        data = made._head(fitted)
        write_atomically(path, data)
        made.head = _digest(data)
        return made

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read a file, and remove what is torn at its end.

        Raises:
            FileNotFoundError: there is none.
            OSError: it cannot be read.
            ValueError: it is of another version, or is damaged; the message says which.
        """
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
        found = cls.of(path, data)
        if found.torn_bytes:
            with path.open("r+b") as file:
                file.truncate(len(data) - found.torn_bytes)
        return found

    @classmethod
    def of(cls, path: Path, data: bytes) -> Self:
        """The file that is at ``path``, or will be, with these contents; what is torn at their end does not count.

        Raises:
            ValueError: it is of another version, or is damaged; the message says which.
        """
        about, _, level_mps2 = _read_head(data)
        found = cls(path, about, level_mps2)
        body = data[_start(data) :]
        records = found._checked(body)
        found.count, found.head, found.torn_bytes = len(records), _digest(data), len(body) - records.nbytes
        if found.count:
            found.following, found.last_at_s = int(records["place"][-1]) + 1, float(records["at_s"][-1])
        return found

    def append(self, records: Records, seen: int) -> None:
        """Append records, and thin them when there are too many.

        Args:
            records: later than all in the file.
            seen: intervals that the channel has seen.

        Raises:
            OSError: they cannot be written; they are lost, what was there stays.
        """
        if not len(records.place):
            return
        data = memoryview(self._packed(records).tobytes())
        # Without a buffer, which would write what failed once more when the file is cut and closed.
        with self.path.open("ab", buffering=0) as file:
            before = file.tell()
            try:
                while data:
                    data = data[file.write(data) :]
            except OSError:
                file.truncate(before)
                raise
        self.count += len(records.place)
        self.following, self.last_at_s = int(records.place[-1]) + 1, float(records.at_s[-1])
        if self.count > MOST_INTERVALS:
            self._thin(max(seen, self.following))

    def read(self) -> Records:
        """All records.

        Raises:
            OSError: the file cannot be read.
        """
        data = self.path.read_bytes()
        return self._records(self._checked(data[_start(data) :]))

    def fitted(self) -> Fitted:
        """The head; it takes 120 kB of memory, and is read when it is needed.

        Raises:
            OSError: the file cannot be read.
            ValueError: it is damaged.
        """
        return _read_head(self.path.read_bytes())[1]

    def close_up(self) -> None:
        """Number the records anew, one after the other: what comes now is kept as densely as they are.

        Raises:
            OSError: the file cannot be written; nothing is changed.
        """
        data = self.path.read_bytes()
        start = _start(data)
        records = self._records(self._checked(data[start:]))
        numbered = records._replace(place=np.arange(len(records.place)))
        write_atomically(self.path, data[:start], self._packed(numbered).tobytes())
        self.following = len(records.place)

    @staticmethod
    def _records(found: AnyArray) -> Records:
        return Records(
            found["place"].astype(np.int64), found["at_s"].astype(np.float64), found["raw"], found["measured"]
        )

    def _thin(self, seen: int) -> None:
        data = self.path.read_bytes()
        start = _start(data)
        records = self._records(self._checked(data[start:]))
        fewer = records.of(kept(records.place, seen))
        write_atomically(self.path, data[:start], self._packed(fewer).tobytes())
        self.count = len(fewer.place)

    def _packed(self, records: Records) -> AnyArray:
        packed = np.zeros(len(records.place), self.about.record)
        packed["place"], packed["at_s"] = records.place, records.at_s
        packed["raw"], packed["measured"] = records.raw, records.measured
        size = packed.dtype.itemsize - 4
        packed["check"] = [zlib.crc32(one.tobytes()[:size]) for one in packed]
        return packed

    def _checked(self, body: bytes) -> AnyArray:
        """The records of the bytes after the head, up to the first that is torn or damaged."""
        kind = self.about.record
        whole = np.frombuffer(body[: len(body) // kind.itemsize * kind.itemsize], kind)
        size = kind.itemsize - 4
        good = [zlib.crc32(one.tobytes()[:size]) == int(one["check"]) for one in whole]
        return whole[: good.index(False) if False in good else len(good)]

    def _head(self, fitted: Fitted) -> bytes:
        text = {
            "key": self.about.key,
            "names": self.about.names,
            "raw": self.about.raw,
            "trust": fitted.trust,
            "linear_trust": fitted.linear_trust,
            "level_mps2": self.level_mps2,
        }
        buffer = io.BytesIO()
        arrays = {name: getattr(fitted.head, name) for name in OF_HEAD}
        np.savez_compressed(buffer, about=np.frombuffer(json.dumps(text).encode(), np.uint8), **arrays)
        head = buffer.getvalue()
        return b"%s%d %s\n%s" % (MAGIC, len(head), hashlib.sha256(head).hexdigest().encode(), head)


def _read_head(data: bytes) -> tuple[About, Fitted, float]:
    """What a file is about, its head, and the RMS that belongs to it.

    Raises:
        ValueError: it is of another version, or is damaged; the message says which.
    """
    first, separator, rest = data.partition(b"\n")
    if not separator or not first.startswith(MAGIC):
        raise ValueError("it is not a learning file of this version")
    try:
        length, digest = first[len(MAGIC) :].split(b" ")
        head = rest[: int(length)]
        if hashlib.sha256(head).hexdigest().encode() != digest:
            raise ValueError("its head is damaged")
        with np.load(io.BytesIO(head), allow_pickle=False) as arrays:
            text = json.loads(arrays["about"].tobytes())
            of_head = Head(**{name: arrays[name] for name in OF_HEAD})
        about = About(text["key"], tuple(text["names"]), text["raw"])
        return about, Fitted(of_head, text["trust"], text["linear_trust"]), text["level_mps2"]
    except (KeyError, TypeError, OSError, zipfile.BadZipFile) as error:
        raise ValueError(f"its head is inconsistent: {error}") from error


def _digest(data: bytes) -> str:
    """The digest of the head of a file that is in order."""
    return data[len(MAGIC) : data.index(b"\n")].split(b" ")[1].decode()


def _start(data: bytes) -> int:
    """Where the records begin."""
    end = data.index(b"\n")
    return end + 1 + int(data[len(MAGIC) : end].split(b" ")[0])
