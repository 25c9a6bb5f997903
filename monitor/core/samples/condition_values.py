"""The latest measured operating quantities of a lane's channels: written by the daemon, read by workers and pages.

Each quantity is a column, which keeps its name as long as the lane has room, so a reload moves no value. Every value
has the instant until which it holds; a later reader finds NaN. The value is written before its instant, so a reader
needs no lock. Does not handle: where values come from.
"""

from collections.abc import Iterable
from copy import copy
from typing import Self

import numpy as np

from monitor.core.arrays import AnyArray, Bool, Float32, Float64, Int64, Rows, Zeros

LONGEST_CONDITION_NAME = 40
"""Most characters of the name of a measured quantity. Fewer: clear names do not fit. More: the name, which stands in
every series of its values, fills the pages."""

CONDITIONS_IN_ALL = 32
"""Most different names of measured quantities in a configuration. Fewer: plants of many kinds of machines do not fit.
More: each is a column of every lane, 12 bytes a channel."""


class ConditionValues:
    """One value a quantity and row, in arrays that processes may share."""

    def __init__(self, channels: int, zeros: Zeros = np.zeros) -> None:
        """Make values of which none is known; columns that are never written take no memory."""
        self._encoded: AnyArray = zeros(CONDITIONS_IN_ALL, f"S{LONGEST_CONDITION_NAME}")
        self._renamed: Int64 = zeros(1, np.int64)
        self._value: Float32 = zeros((CONDITIONS_IN_ALL, channels), np.float32)
        self._until_s: Float64 = zeros((CONDITIONS_IN_ALL, channels), np.float64)
        self._names: tuple[str, ...] = ()
        self._read = 0

    def part(self, first: int, end: int) -> Self:
        """The rows from ``first`` up to ``end``, numbered from 0."""
        part = copy(self)
        part._value, part._until_s = self._value[:, first:end], self._until_s[:, first:end]  # noqa: SLF001
        return part

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns, in order; a name that the configuration no longer has may stay, without values."""
        renamed = int(self._renamed[0])
        if self._read != renamed:
            self._names = tuple(name.decode() for name in self._encoded.tolist() if name)
            self._read = renamed
        return self._names

    def rename(self, wanted: Iterable[str]) -> dict[str, int]:
        """Give every ``wanted`` name a column; the first unused one, or else one whose name is not wanted any more.

        Returns:
            The column of each name.
        """
        columns, wanted = list(self.names), tuple(wanted)
        for name in wanted:
            if name not in columns:
                if len(columns) < CONDITIONS_IN_ALL:
                    columns.append(name)
                else:
                    column = next(i for i, old in enumerate(columns) if old not in wanted)
                    self._until_s[column] = 0.0
                    columns[column] = name
        self._encoded[: len(columns)] = [name.encode() for name in columns]
        self._renamed += 1
        return {name: columns.index(name) for name in wanted}

    def write(self, column: int, rows: Rows, value: float, until_s: float) -> None:
        """Set a quantity of some rows; it holds until the monotonic instant ``until_s``."""
        self._value[column, rows] = value
        self._until_s[column, rows] = until_s

    def clear(self, row: int) -> None:
        """Forget all values of a row, for another channel."""
        self._until_s[: len(self.names), row] = 0.0

    def clear_all_but(self, joined: Bool) -> None:
        """Forget the values of which ``joined``, (columns, channels), is False."""
        columns = len(self.names)
        self._until_s[:columns][~joined[:columns]] = 0.0

    @property
    def shape(self) -> tuple[int, int]:
        """Columns that there is room for, and channels."""
        columns, channels = self._until_s.shape
        return columns, channels

    def of(self, rows: Rows, at_s: float | Float64) -> Float32:
        """The values that hold at ``at_s``, a monotonic instant or (n,) of them.

        Returns:
            (n, names) float32; NaN: unknown, or too old.
        """
        columns = len(self.names)
        holds = self._until_s[:columns, rows] >= at_s
        found: Float32 = np.where(holds, self._value[:columns, rows], np.float32(np.nan)).T
        return found

    def stale(self, rows: Rows, at_s: float | Float64) -> Bool:
        """(n, names) whether a value came that is too old at ``at_s``."""
        until_s = self._until_s[: len(self.names), rows]
        found: Bool = ((until_s > 0) & (until_s < at_s)).T
        return found
