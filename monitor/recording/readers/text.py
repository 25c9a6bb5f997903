"""CSV text, plain or gzipped: one row per sampling instant, one column per channel.

The delimiter (comma, semicolon, tab, blanks) and a decimal comma are detected from the first rows. A first row that is
not numeric gives the column names. Lines that begin with ``#`` are comments; ``# sampling_rate_hz: 12000`` and
``# unit: m/s2`` are read as metadata. Columns of times or row numbers are not channels. The file is read line by line
and may be larger than memory.
"""

import gzip
import io
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from monitor.core.arrays import Numbers
from monitor.errors import RecordingError
from monitor.recording.readers.contents import CLOCKS, FACT_NAMES, Contents, Layout, Stored, refuse_bomb

MAX_LINE = 2**20
"""Longest line in characters; without a limit, a file without line ends would fill the memory."""


class Dialect(NamedTuple):
    """The syntax of one file."""

    delimiter: str | None
    """Separator of fields; None for any run of blanks."""
    decimal_comma: bool
    """Whether numbers have a decimal comma, as in 1,5."""
    header_lines: int
    """Lines before the first row of numbers."""
    columns: tuple[str, ...]
    """Names of the columns; numbers from 0 if the file has no names."""
    facts: dict[str, str]
    """Metadata from the comments."""


def read_csv(path: Path) -> Contents:
    """Open a ``.csv`` or ``.csv.gz``; its numeric columns are one array (samples, columns)."""
    dialect = _dialect(path)
    chosen = [k for k, name in enumerate(dialect.columns) if name.lower() not in CLOCKS]
    if not chosen:
        chosen = list(range(len(dialect.columns)))

    def frames(layout: Layout, channel: int, max_samples: int) -> Iterator[Numbers]:
        del layout  # there is one record, and the parser selects the column
        lines = _lines(path)
        next(islice(lines, dialect.header_lines, dialect.header_lines), None)
        rows = (line.replace(",", ".") if dialect.decimal_comma else line for line in lines if line.strip())
        while batch := list(islice(rows, max_samples)):
            yield _numbers(path, batch, dialect, chosen[channel])

    names = tuple(dialect.columns[k] for k in chosen)
    stored = Stored("", (None, len(names)), frames, {"channels": names})
    return Contents({"": stored}, dialect.facts, key_is_channel=True)


def _lines(path: Path) -> Iterator[str]:
    """The lines of the file, unpacked if compressed, none longer than ``MAX_LINE``."""
    packed = path.name.lower().endswith(".gz")
    stored_bytes = path.stat().st_size
    done = 0
    with gzip.open(path, "rb") if packed else path.open("rb") as binary:
        text = io.TextIOWrapper(binary, encoding="utf-8-sig", errors="replace", newline=None)
        while line := text.readline(MAX_LINE):
            if len(line) >= MAX_LINE and not line.endswith("\n"):
                raise RecordingError(
                    f"{path.name}: a line is longer than {MAX_LINE:,} characters; expected one row an instant"
                )
            done += len(line)
            if packed:
                refuse_bomb(path.name, stored_bytes, done)
            yield line


def _dialect(path: Path) -> Dialect:
    """Detect the syntax of the file from its first lines."""
    facts: dict[str, str] = {}
    names: str | None = None
    count = 0
    for line in _lines(path):
        count += 1
        if line.startswith("#"):
            key, _, value = line.lstrip("# ").partition(":")
            if key.strip() in FACT_NAMES:
                facts[key.strip()] = value.strip()
        elif line.strip():
            delimiter, decimal_comma = _punctuation(line)
            fields = _fields(line, delimiter)
            if all(_is_number(field.replace(",", ".") if decimal_comma else field) for field in fields):
                columns = _fields(names, delimiter) if names else [str(k) for k in range(len(fields))]
                if len(columns) != len(fields):
                    raise RecordingError(
                        f"{path.name}: {len(columns)} column names but {len(fields)} fields in line {count}; "
                        "give every column one name"
                    )
                return Dialect(delimiter, decimal_comma, count - 1, tuple(columns), facts)
            if names is not None:
                raise RecordingError(
                    f"{path.name}: line {count} is not numbers: {line.strip()[:60]!r}; expected at most one line of "
                    "column names, then rows of numbers. Put '#' before other lines"
                )
            names = line
    raise RecordingError(f"{path.name}: no row of numbers found in {count} lines; expected one row an instant")


def _punctuation(row: str) -> tuple[str | None, bool]:
    """Detect the delimiter of a row of numbers, and whether its numbers have decimal commas."""
    for delimiter in (";", "\t"):
        if delimiter in row:
            return delimiter, "," in row and "." not in row
    return ("," if "," in row else None), False


def _fields(line: str, delimiter: str | None) -> list[str]:
    return [field.strip().strip('"') for field in line.strip("\r\n").split(delimiter)]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _numbers(path: Path, batch: list[str], dialect: Dialect, column: int) -> Numbers:
    """Parse one column of a batch of rows as float64."""
    try:
        table: Numbers = np.loadtxt(
            batch, np.float64, comments=None, delimiter=dialect.delimiter, usecols=[column], ndmin=2, quotechar='"'
        )
    except ValueError as error:
        raise RecordingError(_complaint(path, dialect, column) or f"{path.name}: {error}") from error
    return table[:, 0]


def _complaint(path: Path, dialect: Dialect, column: int) -> str | None:
    """Describe the first row without a number in a column; reads the file again, since this is rare."""
    for number, line in enumerate(_lines(path), 1):
        if number <= dialect.header_lines or not line.strip():
            continue
        fields = _fields(line.replace(",", ".") if dialect.decimal_comma else line, dialect.delimiter)
        found = repr(fields[column][:40]) if column < len(fields) else f"only {len(fields)} fields"
        if column >= len(fields) or not _is_number(fields[column]):
            return f"{path.name}: line {number}, column '{dialect.columns[column]}': {found}; expected a number"
    return None
