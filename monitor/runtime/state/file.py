"""The state file: alarm states, accumulated evidence and counters, which survive a restart.

The file is a line with version and SHA-256, followed by an npz archive with one array for each name and an index of
channels. It is replaced atomically, so a kill at any instant leaves the old file or the new one. A file that cannot be
read is renamed and logged, and never stops a start.
"""

import contextlib
import errno
import fcntl
import hashlib
import io
import json
import logging
import os
import time
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Self

import numpy as np

from monitor.atomic_file import remove_left_overs, write_atomically
from monitor.core.arrays import AnyArray
from monitor.errors import MonitorError

LOG = logging.getLogger(__name__)


MAGIC = b"vibration-monitor state 2 "
MAX_BYTES = 1 << 28
"""Largest file that is read: the state of 100,000 channels has about 150 MB."""

LOCK_NAME = "lock"

WITHOUT_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS}
"""Errors of a file system that has no locks, and is otherwise used as any other."""

CANNOT_BE_USED = "cannot be used, and until it can nothing is learned, and nothing is kept for the next start"


@dataclass(frozen=True, slots=True)
class Known:
    """Identity of a saved channel."""

    labels: tuple[str, ...]
    """Its labels, each ``name=value``."""
    key: str
    """Everything that its arrays depend on, such as the calibration; a channel with another key does not use them."""
    topic: str
    """Topic of its messages."""
    axis: str
    """Axis of the messages that it holds."""
    last_sample_at_s: float
    """UNIX seconds of its last samples."""
    event: str
    """The last event of its alarm state, as JSON; empty: none yet."""

    def line(self) -> str:
        """The fields as one line of JSON."""
        fields = (self.labels, self.key, self.topic, self.axis, self.last_sample_at_s, self.event)
        return json.dumps(fields)

    @classmethod
    def of_line(cls, line: str) -> Self:
        """Parse :meth:`line`; raises ValueError or TypeError if it is not such a line."""
        labels, *rest = json.loads(line)
        return cls(tuple(labels), *rest)


@dataclass(frozen=True, slots=True)
class Table:
    """Channels with the same set of arrays."""

    channels: Sequence[str]
    """One :meth:`Known.line` for each; so many objects would make the garbage collector pause the event loop."""
    arrays: dict[str, AnyArray]
    """Arrays by name, each (channels, ...)."""

    def take(self, positions: Sequence[int]) -> Self:
        """A table of the channels at ``positions``."""
        arrays = {name: array[list(positions)] for name, array in self.arrays.items()}
        return type(self)([self.channels[position] for position in positions], arrays)


@dataclass(frozen=True, slots=True)
class Kept:
    """The contents of a state file."""

    tables: Sequence[Table] = ()
    """The channels, grouped by their arrays."""
    final: bool = False
    """Whether a clean stop wrote it, so that nothing was counted afterwards."""


def pack(tables: Sequence[Table], *, final: bool = False) -> tuple[bytes, memoryview]:
    """The bytes of a state file: the first line, and the npz archive."""
    names: list[dict[str, str]] = []
    arrays: dict[str, AnyArray] = {}
    for number, table in enumerate(tables):
        names.append({name: f"{number}.{position}" for position, name in enumerate(table.arrays)})
        arrays |= {names[-1][name]: array for name, array in table.arrays.items()}
    head = {"final": final, "tables": [[len(table.channels), own] for table, own in zip(tables, names, strict=True)]}
    lines = [json.dumps(head), *(line for table in tables for line in table.channels)]
    arrays["index"] = np.frombuffer("\n".join(lines).encode(), np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type] # keyword arrays, not allow_pickle
    data = buffer.getbuffer()
    return MAGIC + hashlib.sha256(data).hexdigest().encode() + b"\n", data


def unpack(content: bytes) -> Kept:
    """Parse the bytes of a state file.

    Raises:
        ValueError: they are not a state file of this version, or are damaged.
    """
    head, separator, data = content.partition(b"\n")
    if not separator or not head.startswith(MAGIC):
        raise ValueError("it is not a state file of this version")
    if hashlib.sha256(data).hexdigest().encode() != head[len(MAGIC) :]:
        raise ValueError("its checksum is wrong")
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            lines = iter(arrays["index"].tobytes().decode().split("\n"))
            about = json.loads(next(lines))
            tables = [
                Table(list(islice(lines, count)), {name: arrays[own] for name, own in names.items()})
                for count, names in about["tables"]
            ]
    except (KeyError, TypeError, AttributeError, StopIteration, OSError, zipfile.BadZipFile) as error:
        raise ValueError(f"its contents are inconsistent: {error}") from error
    if any(len(array) != len(table.channels) for table in tables for array in table.arrays.values()):
        raise ValueError("its contents are inconsistent: an array has another length than its table of channels")
    return Kept(tables, final=about["final"] is True)


def save(path: Path, tables: Sequence[Table], *, final: bool = False) -> None:
    """Write a state file atomically.

    Raises:
        OSError: it cannot be written; the old file stays.
    """
    write_atomically(path, *pack(tables, final=final))


def load(path: Path) -> Kept:
    """Read a state file; empty if there is none. A file that cannot be read is renamed to ``.bad-TIME`` and logged."""
    try:
        with path.open("rb") as file:
            return unpack(file.read(MAX_BYTES + 1))
    except FileNotFoundError:
        return Kept()
    except (OSError, ValueError) as error:
        aside = path.with_name(f"{path.name}.bad-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}")
        try:
            path.replace(aside)
        except OSError:
            aside = path
        LOG.warning("the state is not used: file=%s reason=%s kept_as=%s", path, error, aside.name)
        return Kept()


@contextlib.contextmanager
def locked(folder: Path | None) -> Iterator[None]:
    """Lock the state directory for this daemon, and clear it of what a killed one left half-written.

    The kernel releases the lock when the process ends.

    The daemon also runs where the file system has no locks, or the folder cannot be used, and logs a warning.

    Raises:
        MonitorError: another daemon holds the lock.
    """
    with contextlib.ExitStack() as stack:
        if folder is not None:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                descriptor = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
                stack.callback(os.close, descriptor)
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise MonitorError(
                    f"state_dir {folder} is in use by another daemon; stop it, or give each its own state_dir"
                ) from None
            except OSError as error:
                what = "is not locked" if error.errno in WITHOUT_LOCKS else CANNOT_BE_USED
                LOG.warning("the state directory %s: folder=%s reason=%s", what, folder, error.strerror or error)
            remove_left_overs(folder)
        yield
