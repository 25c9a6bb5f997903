"""Forecasts made again from stored samples: for a capture, a picture, a comparison or a forecast further ahead.

The daemon keeps no forecasts, it only sums the squares of the residuals. Here one contiguous stretch of a channel goes
through the same level and the same forecaster as in :mod:`monitor.core.pipeline`, with a context of its own. After a
warm-up it makes no difference that this context starts with the stretch. Does not handle: intervals, scores.
"""

from dataclasses import dataclass

import numpy as np

from monitor.core.arrays import Bool, Float32
from monitor.core.forecaster import Forecaster
from monitor.core.level import UnitBlocks, unit_blocks


@dataclass(frozen=True)
class Recomputed:
    """Forecasts of the n blocks of a stretch, and of those ahead of it."""

    level: UnitBlocks
    """The n blocks at unit level, and the level after each."""
    units: Float32
    """(n + ahead, block_samples) the forecast of each block at unit level; NaN for those that none was made for."""

    @property
    def forecast(self) -> Float32:
        """(n + ahead, block_samples) the forecast of each block in the unit of the samples, NaN where none was made.

        The scale is the level before the block; ahead of the stretch it stays as it was after the last block.
        """
        before = np.minimum(np.arange(-1, len(self.units) - 1), len(self.level.mean) - 1)
        before[:1] = 0
        forecast: Float32 = self.units * self.level.rms[before, None] + self.level.mean[before, None]
        return forecast

    @property
    def compared(self) -> Bool:
        """(n,) blocks that the pipeline compares with their forecasts: no spike, and not the first of a context."""
        return ~(self.level.spikes | self.level.starts)


def recompute(
    forecaster: Forecaster, blocks: Float32, level_blocks: int, *, first: int = 0, ahead: int = 0
) -> Recomputed:
    """Forecast each block from the blocks before it.

    Args:
        forecaster: of one channel, with an empty context.
        blocks: (n, block_samples) consecutive blocks of one context, finite, any unit; n at least 1.
        level_blocks: time constant of the level.
        first: the block at which the forecaster's context starts; the level's starts with the stretch.
        ahead: blocks to forecast after the last; from the second on, the forecast before is the input.

    Returns:
        The forecasts; the block ``first`` and those before it have none.
    """
    level = unit_blocks(blocks, level_blocks)
    count = len(blocks)
    units = np.full((count + ahead, blocks.shape[1]), np.nan, np.float32)
    row = np.zeros(1, np.intp)
    for k in range(first, count + ahead - 1):
        if k < count and level.starts[k]:
            forecaster.reset(row)
        units[k + 1] = forecaster.step(level.units[k : k + 1] if k < count else units[k : k + 1], row)[0]
    return Recomputed(level, units)
