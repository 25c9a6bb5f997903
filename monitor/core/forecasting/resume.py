"""Points at which another process can go on with a channel, as if the same one had gone on.

A point lies between two intervals. It holds the position in the stream, and what the next block needs: the level, the
state of the network, the forecast of that block and the block before it. Evidence and alarm are those of the scorer,
which change only when an interval closes. The process that takes over warms its network up on the samples before the
point, and there replaces what it has by what the point holds. A state that does not fit, such as one of another engine,
leaves it with its warm-up. Does not handle: how a point travels.
"""

from dataclasses import dataclass

import numpy as np

from monitor.core.arrays import Arrays, Bool, Float32, Float64, Int64, Rows
from monitor.core.forecasting.forecaster import Forecaster
from monitor.core.forecasting.level import Level

PREFIX = "resume."
"""Beginning of the names of a point's arrays."""

AT = f"{PREFIX}at"
"""Name of the array with the position of the point in the stream."""

NOWHERE = -1
"""Position of a channel without a point."""

FLAGS = 1
"""Numbers beside those of the level: whether the next block has no forecast."""


@dataclass(frozen=True, slots=True)
class Next:
    """What the pipeline keeps for the next block of n channels."""

    forecast: Float32
    """(n, block_samples) its forecast, in units of the level."""
    before: Float32
    """(n, block_samples) the last block, minus the running mean before it."""
    no_forecast: Bool
    """(n,) whether it has no forecast."""


class ResumePoints:
    """The latest point of each of a fixed number of channels."""

    def __init__(self, channels: int, level: Level, forecaster: Forecaster) -> None:
        self._level, self._forecaster = level, forecaster
        rows = np.arange(channels)
        width = forecaster.export(rows[:1]).shape[1]
        self._block = forecaster.engine.block_samples
        self._at: Int64 = np.full(channels, NOWHERE, np.int64)
        self._levels: Float64 = np.zeros((channels, level.export(rows[:1]).shape[1] + FLAGS), np.float64)
        self._network: Float32 = np.zeros((channels, 2 * self._block + width), np.float32)

    def keep(self, rows: Rows, at: Int64, coming: Next) -> None:
        """Make the present a point of ``rows``, (n,), whose next blocks begin at the stream indices ``at``, (n,)."""
        flags = coming.no_forecast[:, None].astype(np.float64)
        self._at[rows] = at
        self._levels[rows] = np.concatenate([self._level.export(rows), flags], axis=1)
        self._network[rows] = np.concatenate([coming.forecast, coming.before, self._forecaster.export(rows)], axis=1)

    def forget(self, rows: Rows) -> None:
        """Remove the points of ``rows``."""
        self._at[rows] = NOWHERE

    def export(self, rows: Rows) -> Arrays:
        """The points of ``rows`` by name; the position of a channel without one is :data:`NOWHERE`."""
        level, network = self._levels[rows], self._network[rows]
        return {AT: self._at[rows], f"{PREFIX}level": level, f"{PREFIX}network": network}

    def fits(self, arrays: Arrays) -> bool:
        """Whether :meth:`put_in_place` can use the arrays of one channel."""
        own = {name: values[0] for name, values in self.export(np.zeros(1, np.intp)).items()}
        same = own.keys() <= arrays.keys() and all(own[name].shape == arrays[name].shape for name in own)
        return same and bool(np.isfinite(arrays[f"{PREFIX}level"]).all())

    def put_in_place(self, row: int, arrays: Arrays) -> Next:
        """Replace level and network of ``row`` by those of a point that fits; returns the rest of it, of one channel.

        Args:
            row: the channel.
            arrays: one channel of :meth:`export`.
        """
        rows, size = np.array([row]), self._block
        levels, network = arrays[f"{PREFIX}level"].astype(np.float64), arrays[f"{PREFIX}network"].astype(np.float32)
        self._level.restore(rows, levels[None, :-FLAGS])
        self._forecaster.restore(rows, network[None, 2 * size :])
        return Next(network[None, :size], network[None, size : 2 * size], levels[-FLAGS:] != 0.0)
