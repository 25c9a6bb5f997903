"""Measured quantities of intervals: their means, and whether they lie in what a calibration was learned under.

Of a speed far from all learned ones nothing honest can be said, so such an interval gets no score. A value that is not
known withholds nothing: the interval is explained by its features alone. A mean is known if the value is known at every
block of the interval.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from monitor.core.arrays import Float32, Float64, Floats, Int64, Rows
from monitor.core.scoring.calibration.calibration import Calibration
from monitor.core.scoring.calibration.conditions import MOST_QUANTITIES
from monitor.errors import RecordingError

LONGEST_DISTANCE = 1000.0
"""Largest distance from what was learned that is told, in margins; a quantity that was always 0 has no margin."""


class Measured:
    """Means over the open intervals of a fixed number of channels; each has the quantities of its own calibration."""

    def __init__(self, channels: int) -> None:
        self._told: tuple[str, ...] = ()
        self._names: dict[int, tuple[str, ...]] = {}
        self._column: Int64 = np.full((channels, MOST_QUANTITIES), -1, np.int64)
        self._range: Float32 = np.full((channels, MOST_QUANTITIES, 2), np.nan, np.float32)
        self._margin: Float32 = np.full((channels, MOST_QUANTITIES), np.nan, np.float32)
        self._sum: Float64 = np.zeros((channels, MOST_QUANTITIES), np.float64)
        self._blocks: Int64 = np.zeros(channels, np.int64)

    @property
    def needed(self) -> bool:
        """Whether the calibration of any channel has quantities."""
        return bool(self._names)

    def tell(self, names: tuple[str, ...]) -> None:
        """Name the columns of the values that :meth:`add` gets from now on."""
        if names != self._told:
            self._told = names
            for row, own in self._names.items():
                self._place(np.array([row]), own)

    def assign(self, rows: Rows, calibration: Calibration | None) -> None:
        """Use the quantities of a calibration for ``rows``, or none; their open intervals start again."""
        names = () if calibration is None else calibration.quantities
        self.choose(rows, names)
        if calibration is not None:
            self._range[rows, : len(names)], self._margin[rows, : len(names)] = calibration.ranges, calibration.margins

    def choose(self, rows: Rows, names: tuple[str, ...]) -> None:
        """Use quantities without a range, at most :data:`MOST_QUANTITIES`, for ``rows``; open intervals start again."""
        self.reset(rows)
        for row in rows.tolist():
            self._names.pop(row, None)
            if names:
                self._names[row] = names
        self._range[rows], self._margin[rows] = np.nan, np.nan
        self._place(rows, names)

    def reset(self, rows: Rows) -> None:
        """Empty the open intervals of ``rows``."""
        self._sum[rows] = 0.0
        self._blocks[rows] = 0

    def add(self, rows: Rows, values: Float32 | None) -> None:
        """Add the values of one block of each of ``rows``, (n, names) as told; NaN and None: not known."""
        if not self._names:
            return
        own = np.full((rows.size, MOST_QUANTITIES), np.nan)
        if values is not None and values.shape[1]:
            column = self._column[rows]
            own = np.where(column >= 0, np.take_along_axis(values, np.maximum(column, 0), axis=1), np.nan)
        self._sum[rows] += own
        self._blocks[rows] += 1

    def close(self, rows: Rows) -> tuple[Float32 | None, Float32]:
        """The means over the intervals of ``rows``, and how far they are from what was learned; new ones start.

        Returns:
            (n, quantities) in the order of each row's calibration, NaN where not known, None if no channel has
            quantities; and (n,) distances: 0 inside what was learned, 1 at the margin, NaN where nothing is known.
        """
        if not self._names:
            return None, np.full(rows.size, np.nan, np.float32)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = (self._sum[rows] / self._blocks[rows, None]).astype(np.float32)
            low, high = np.moveaxis(self._range[rows], 2, 0)
            outside = np.maximum(np.maximum(low - mean, mean - high), 0.0)
            apart = np.where(outside > 0.0, np.minimum(outside / self._margin[rows], LONGEST_DISTANCE), outside)
            distance = np.fmax.reduce(apart, axis=1)
        self.reset(rows)
        return mean, distance

    def _place(self, rows: Rows, names: tuple[str, ...]) -> None:
        self._column[rows] = -1
        columns = [self._told.index(name) if name in self._told else -1 for name in names]
        self._column[rows, : len(names)] = columns


def learnable(quantities: Sequence[Mapping[str, Floats]]) -> tuple[str, ...]:
    """The names of which a value is known in some context.

    Raises:
        RecordingError: there are too many.
    """
    names = dict.fromkeys(name for one in quantities for name, values in one.items() if np.isfinite(values).any())
    if len(names) > MOST_QUANTITIES:
        raise RecordingError(
            f"calibration: {len(names)} measured quantities are given ({', '.join(names)}), at most {MOST_QUANTITIES} "
            "can be learned; leave out those that say least about how the machine runs"
        )
    return tuple(names)


def interval_means(values: Float64, start: int, interval_blocks: int) -> Float64:
    """Means of (blocks, C) values over consecutive whole intervals from block ``start`` on, (intervals, C)."""
    count = max(0, (len(values) - start) // interval_blocks)
    blocks = values[start : start + count * interval_blocks]
    return np.asarray(blocks.reshape(count, interval_blocks, values.shape[1]).mean(axis=1))
