"""From blocks of samples to scored intervals. The daemon, backtest and calibration all use this one pipeline.

Positions are sample indices of a channel's stream. A batch holds at most one block a channel. The order of the batches
is therefore the order within each channel, and the grouping of channels into batches does not change the results.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from monitor.core.arrays import Bool, Float32, Int64, Rows
from monitor.core.forecaster import Forecaster
from monitor.core.gap import GapFigures, GapSums, Residuals
from monitor.core.level import TIME_CONSTANT_BLOCKS, Level
from monitor.core.rings import DueBlocks, index_of
from monitor.core.scoring.judge import Judge, Judgements

WARMUP_BLOCKS = 25
"""Blocks at the start of a context that are not scored; forecasts are at their best after about 20 (measured with the
reference model). Fewer: the first scores after missing samples are too high. More: a channel with frequent losses is
scored less."""


@dataclass(frozen=True, slots=True)
class Intervals:
    """Intervals that closed with one batch, one row of every array each."""

    rows: Rows
    """(n,) channel rows."""
    start_sample: Int64
    """(n,) stream index of the interval's first sample."""
    end_sample: Int64
    """(n,) stream index after its last sample."""
    gaps: GapFigures
    """Gap, gap ratio, RMS and peak of each interval."""
    judgements: Judgements
    """Score, evidence and alarm state of each interval."""


@dataclass(frozen=True, slots=True)
class Processed:
    """The result of one batch."""

    scored: Bool
    """(n,) True where the block was scored; False for warm-up or a spike."""
    spikes: Bool
    """(n,) True where the block was left out as an isolated spike."""
    intervals: Intervals | None
    """The intervals that closed with this batch; None if none did."""


class Pipeline:
    """Level, forecast, residual and interval sums of a fixed number of channels."""

    def __init__(
        self, forecaster: Forecaster, channels: int, block_samples: int, level_blocks: int = TIME_CONSTANT_BLOCKS
    ) -> None:
        self.forecaster = forecaster
        self.block_samples = block_samples
        self.level = Level(channels, level_blocks)
        self._forecast: Float32 = np.zeros((channels, block_samples), np.float32)
        self._context_blocks: Int64 = np.zeros(channels, np.int64)
        self._warmup_blocks: Int64 = np.full(channels, WARMUP_BLOCKS, np.int64)
        self._interval_blocks: Int64 = np.full(channels, 1, np.int64)
        self._open_blocks: Int64 = np.zeros(channels, np.int64)
        self._interval_start: Int64 = np.zeros(channels, np.int64)
        self._gaps = GapSums(channels)
        self.judge = Judge(channels, block_samples)
        self.listener: Callable[[Residuals], None] | None = None

    def configure(self, rows: Rows, interval_blocks: int, warmup_blocks: int = WARMUP_BLOCKS) -> None:
        """Set the interval and the warm-up of ``rows``, both at least one block; an open interval goes on."""
        self._interval_blocks[rows] = max(1, interval_blocks)
        self._warmup_blocks[rows] = max(1, warmup_blocks)

    def reset(self, rows: Rows) -> None:
        """End the context of ``rows``: reset the state, the level, the warm-up and the open interval."""
        self.forecaster.reset(rows)
        self.level.reset(rows)
        self._gaps.reset(rows)
        self.judge.reset(rows)
        self._context_blocks[rows] = 0
        self._open_blocks[rows] = 0

    def process(self, due: DueBlocks) -> Processed:
        """Take one block of each of some channels: compare it with its forecast, then forecast the next.

        Args:
            due: the blocks, in m/s²; where ``first`` is set, the channel's context starts with the block.

        Returns:
            Which blocks were scored, and the intervals that closed. NaN in a block affects its own row only.
        """
        rows, samples = due.rows, due.samples
        if due.first.any():
            self.reset(rows[due.first])
        high, low = samples.max(axis=1), samples.min(axis=1)
        spikes, renewed = self.level.outside(rows, high, low)
        if renewed.any():
            self.reset(rows[renewed])
        context = self._context_blocks[rows]
        scored = (context >= self._warmup_blocks[rows]) & ~spikes
        signal = self.level.centre(rows, samples)
        intervals = self._compare(due, signal, high, low, scored) if scored.any() else None
        units = self.level.update(rows, signal, spikes)
        forecast = self.forecaster.step(units, rows)
        self._forecast[index_of(rows)] = forecast
        self._context_blocks[rows] = context + 1
        if not np.isfinite(forecast[:, 0]).all():
            # Without a reset a NaN would stay in the network's state for good.
            self.reset(rows[~np.isfinite(forecast[:, 0])])
        return Processed(scored, spikes, intervals)

    def _compare(self, due: DueBlocks, signal: Float32, high: Float32, low: Float32, scored: Bool) -> Intervals | None:
        rows, samples, start = due.rows, due.samples, due.start_sample
        if not scored.all():
            rows, samples, start = rows[scored], samples[scored], start[scored]
            signal, high, low = signal[scored], high[scored], low[scored]
        mean, rms = self.level.mean(rows), self.level.rms(rows)
        residual = self._forecast[index_of(rows)] * -rms[:, None]
        residual += signal
        batch = Residuals(rows, start, samples, high, low, signal, residual, mean, rms)
        self._gaps.add(batch)
        self.judge.add(batch)
        if self.listener is not None:
            self.listener(batch)
        count = self._open_blocks[rows]
        opening = count == 0
        self._interval_start[rows[opening]] = start[opening]
        count += 1
        closing = count >= self._interval_blocks[rows]
        self._open_blocks[rows] = np.where(closing, 0, count)
        if not closing.any():
            return None
        closed, samples_closed = rows[closing], count[closing] * self.block_samples
        gaps = self._gaps.close(closed, samples_closed)
        judgements = self.judge.close(closed, samples_closed, gaps)
        end = start[closing] + self.block_samples
        return Intervals(closed, self._interval_start[closed], end, gaps, judgements)
