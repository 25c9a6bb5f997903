"""Recomputes forecasts from stored samples: for captures, pictures, comparisons and forecasts further ahead.

The daemon does not store forecasts, only sums of squared residuals. Here a contiguous series of blocks runs through the
same level, forecaster and head as in :mod:`monitor.core.pipeline`, in a new context. The network remembers more than
the warm-up, so its forecasts are close to those of the daemon and not the same. Does not handle: intervals, scores.
"""

from dataclasses import dataclass

import numpy as np

from monitor.core.arrays import Bool, Float32, Rows
from monitor.core.forecasting.forecaster import Forecaster, unusable
from monitor.core.forecasting.level import UnitBlocks, unit_blocks
from monitor.core.scoring.interval.head import Head


@dataclass(frozen=True)
class Recomputed:
    """Forecasts of n blocks, and of blocks after them."""

    level: UnitBlocks
    """The n blocks, normalised, and the level after each."""
    signal: Float32
    """(n, block_samples) the n blocks minus the running mean before each."""
    units: Float32
    """(n + ahead, block_samples) the network's normalised forecast of each block; NaN where there is none."""
    head: Head | None
    """Head of the channel, which makes the forecast from the network's; None: the network's is used as it is."""

    @property
    def network(self) -> Float32:
        """(n + ahead, block_samples) the network's forecast about the running mean, in the unit of the samples.

        The scale is the level before the block; after the last block it stays constant.
        """
        made: Float32 = self.units * self.level.rms[self._before, None]
        return made

    @property
    def _before(self) -> Rows:
        """The block whose level each forecast has."""
        before = np.minimum(np.arange(-1, len(self.units) - 1), len(self.level.mean) - 1)
        before[:1] = 0
        return before

    @property
    def forecast(self) -> Float32:
        """(n + ahead, block_samples) forecast of each block in the unit of the samples; NaN where there is none."""
        forecast = self.network
        if self.head is not None:
            forecast[1:] = self.head.forecast(self.signal[: len(forecast) - 1], forecast[1:])
        forecast += self.level.mean[self._before, None]
        return forecast

    @property
    def compared(self) -> Bool:
        """(n,) True for blocks that the pipeline compares: no spike or block after one, and not a context's first."""
        left_out = self.level.spikes | self.level.starts
        left_out[1:] |= self.level.spikes[:-1]
        return ~left_out


def recompute(
    forecaster: Forecaster,
    blocks: Float32,
    level_blocks: int,
    *,
    head: Head | None = None,
    first: int = 0,
    ahead: int = 0,
) -> Recomputed:
    """Forecast each block from the blocks before it.

    Args:
        forecaster: forecaster of one channel, with an empty context.
        blocks: (n, block_samples) consecutive blocks of one context, finite, any unit; n at least 1.
        level_blocks: time constant of the level.
        head: head of the channel; None: the network's forecasts are used as they are.
        first: block at which the forecaster's context starts; the level starts with the first block.
        ahead: blocks to forecast after the last one; from the second on, the previous forecast is the input. At most
            one with a head, which knows only blocks that came.

    Returns:
        The forecasts; there are none for the block ``first`` and those before it.
    """
    level = unit_blocks(blocks, level_blocks)
    count = len(blocks)
    units = np.full((count + ahead, blocks.shape[1]), np.nan, np.float32)
    row = np.zeros(1, np.intp)
    for k in range(first, count + ahead - 1):
        if k < count and level.starts[k]:
            forecaster.reset(row)
        units[k + 1] = forecaster.step(level.units[k : k + 1] if k < count else units[k : k + 1], row)[0]
        if unusable(units[k + 1 : k + 2]) is not None:
            # As in the pipeline: a NaN would stay in the network's state, and a head without the network needs none.
            forecaster.reset(row)
            units[k + 1] = np.nan if head is None or head.uses_network else 0.0
    mean = np.concatenate([level.mean[:1], level.mean[:-1]])
    mean[level.starts] = blocks[level.starts].mean(axis=1)
    return Recomputed(level, blocks - mean[:, None], units, head)
