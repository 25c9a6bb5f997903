"""One tier on disk: a file of rows, one row a cell of time with the figures of all channels, used round and round.

Cell ``number`` counts periods since 1970 and lies in row ``number modulo cells``. A row holds its own number, so rows
of an earlier round, or of a clock that was wrong, are recognised as such. A new cell is one sequential write for all
channels; the number is written after the figures are on disk, so a torn row is a gap. Only places that are in use take
disk. A file with other figures or fewer places is carried over; one that cannot be read is set aside.
"""

import contextlib
import json
import logging
import os
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from monitor.atomic_file import replacing
from monitor.core.arrays import Int64
from monitor.runtime.history.cells import PARTS, Codes, Tier

LOG = logging.getLogger(__name__)

FORMAT = 1
HEAD_BYTES = 4096
ROW_HEAD = struct.Struct("<qq")
"""Number of the cell, places in use."""
SECTOR = 512
"""Rows begin at multiples of it, so that a disk writes the number of a row as a whole."""


class RingFile:
    """The cells of one tier."""

    def __init__(self, path: Path, tier: Tier, places: int, quantities: Sequence[str]) -> None:
        """Open the file, or make it.

        Args:
            path: the file; its folder exists.
            tier: length and number of the cells.
            places: channels that it has room for.
            quantities: names of the figures of a cell.

        Raises:
            OSError: it can be neither read nor written.
        """
        self._path = path
        self._tier = tier
        self._places = places
        self._quantities = tuple(quantities)
        self._stride = _stride(places, len(self._quantities))
        self.numbers: Int64 = np.full(tier.cells, -1, np.int64)
        """Number of the cell in each row; -1: none."""
        self._used: Int64 = np.zeros(tier.cells, np.int64)
        self._file = self._opened()

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def write(self, number: int, codes: Codes) -> None:
        """Write a cell: ``codes`` are (places in use, quantities, 2). Raises OSError; the old row may then be a gap."""
        row = number % self._tier.cells
        at = HEAD_BYTES + row * self._stride
        self.numbers[row] = -1
        data = np.ascontiguousarray(codes, "<u2").tobytes()
        _write_all(self._file, data, at + SECTOR)
        os.fsync(self._file)
        _write_all(self._file, ROW_HEAD.pack(number, len(codes)), at)
        self.numbers[row], self._used[row] = number, len(codes)

    def row(self, number: int) -> Codes | None:
        """The cell of all places, (places, quantities, 2); None if there is none."""
        row = number % self._tier.cells
        if self.numbers[row] != number:
            return None
        used = int(self._used[row])
        return self._read(row, 0, used)

    def column(self, numbers: Int64, place: int) -> Codes:
        """Consecutive cells of one place, (cells, quantities, 2); gaps where there are none."""
        found: Codes = np.zeros((numbers.size, len(self._quantities), PARTS), np.uint16)
        rows = numbers % self._tier.cells
        for at in np.flatnonzero((self.numbers[rows] == numbers) & (self._used[rows] > place)).tolist():
            found[at] = self._read(int(rows[at]), place, 1)[0]
        return found

    def _read(self, row: int, first: int, count: int) -> Codes:
        size = len(self._quantities) * PARTS * 2
        at = HEAD_BYTES + row * self._stride + SECTOR + first * size
        data = os.pread(self._file, count * size, at)
        data += bytes(count * size - len(data))
        return np.frombuffer(data, "<u2").reshape(count, len(self._quantities), PARTS)

    def _opened(self) -> int:
        """Open the file as it should be, whatever lies there."""
        with contextlib.suppress(FileNotFoundError):
            try:
                old = _Old(self._path, self._tier)
            except (ValueError, KeyError, TypeError) as error:
                aside = self._path.with_name(f"{self._path.name}.bad")
                self._path.replace(aside)
                LOG.warning("history starts empty: file=%s reason=%s kept_as=%s", self._path, error, aside.name)
            else:
                if (old.places, old.quantities) != (self._places, self._quantities):
                    self._carry_over(old)
                old.close()
        if not self._path.exists():
            with replacing(self._path) as fresh:
                fresh.write_bytes(self._head())
        file = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        for row in range(self._tier.cells):
            number, used = _row_head(file, HEAD_BYTES + row * self._stride)
            if number >= 0 and number % self._tier.cells == row and 0 < used <= self._places:
                self.numbers[row], self._used[row] = number, used
        return file

    def _head(self) -> bytes:
        about = {
            "format": FORMAT,
            "period_s": self._tier.period_s,
            "cells": self._tier.cells,
            "places": self._places,
            "quantities": self._quantities,
        }
        return json.dumps(about).encode().ljust(HEAD_BYTES)

    def _carry_over(self, old: "_Old") -> None:
        """Replace the file by one with the same cells in the present layout."""
        before = {name: at for at, name in enumerate(old.quantities)}
        columns = [(at, before[name]) for at, name in enumerate(self._quantities) if name in before]
        with replacing(self._path) as fresh, fresh.open("wb") as file:
            file.write(self._head())
            for row, number, codes in old.rows():
                kept = codes[: self._places]
                into: Codes = np.zeros((len(kept), len(self._quantities), PARTS), np.uint16)
                for at, source in columns:
                    into[:, at] = kept[:, source]
                file.seek(HEAD_BYTES + row * self._stride)
                file.write(ROW_HEAD.pack(number, len(kept)).ljust(SECTOR, b"\0"))
                file.write(into.astype("<u2").tobytes())
        LOG.info("history carried over: file=%s places=%d quantities=%s", self._path, self._places, self._quantities)


class _Old:
    """A file as it was left, in its own layout."""

    def __init__(self, path: Path, tier: Tier) -> None:
        """Open it; raises ValueError, KeyError or TypeError if it is not a history of this format and tier."""
        with path.open("rb") as file:
            about = _about(file.read(HEAD_BYTES), tier)
        self.places, self.quantities = int(about["places"]), tuple(map(str, about["quantities"]))
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._cells = tier.cells

    def close(self) -> None:
        os.close(self._file)

    def rows(self) -> Iterator[tuple[int, int, Codes]]:
        """Row, number and codes of each cell."""
        size = len(self.quantities) * PARTS * 2
        for row in range(self._cells):
            at = HEAD_BYTES + row * _stride(self.places, len(self.quantities))
            number, used = _row_head(self._file, at)
            if number >= 0 and 0 < used <= self.places:
                data = os.pread(self._file, used * size, at + SECTOR)
                if len(data) == used * size:
                    yield row, number, np.frombuffer(data, "<u2").reshape(used, len(self.quantities), PARTS)


def _about(head: bytes, tier: Tier) -> dict[str, Any]:
    """What the head of a file says; raises ValueError, KeyError or TypeError if it is not such a file."""
    try:
        about: dict[str, Any] = json.loads(head)
    except ValueError as error:
        raise ValueError("it is not a history file") from error
    if about["format"] != FORMAT:
        raise ValueError(f"it has format {about['format']}, this version reads {FORMAT}")
    if (about["period_s"], about["cells"]) != (tier.period_s, tier.cells):
        raise ValueError("its cells have another length or number")
    if not (0 < about["places"] < 1 << 20 and 0 < len(about["quantities"]) < 64):
        raise ValueError(f"it claims {about['places']} places and {len(about['quantities'])} quantities")
    return about


def _stride(places: int, quantities: int) -> int:
    """Bytes from one row to the next."""
    data = places * quantities * PARTS * 2
    return SECTOR + -(-data // SECTOR) * SECTOR


def _row_head(file: int, at: int) -> tuple[int, int]:
    """Number and places in use of a row; (-1, 0) if it was never written."""
    data = os.pread(file, ROW_HEAD.size, at)
    if len(data) < ROW_HEAD.size or not any(data):
        return -1, 0
    number, used = ROW_HEAD.unpack(data)
    return number, used


def _write_all(file: int, data: bytes, at: int) -> None:
    """``pwrite`` all of it."""
    view = memoryview(data)
    while view:
        written = os.pwrite(file, view, at)
        view, at = view[written:], at + written
