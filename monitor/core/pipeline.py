"""From blocks of samples to scored intervals. The daemon, backtest and calibration all use this one pipeline.

Positions are sample indices of a channel's stream. A batch holds at most one block a channel. The order of the batches
is therefore the order within each channel, and the grouping of channels into batches does not change the results.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from monitor.core.arrays import Arrays, Bool, Float32, Int64, Rows
from monitor.core.forecasting.forecaster import Forecaster, unusable
from monitor.core.forecasting.gap import ComparedBlocks, GapFigures
from monitor.core.forecasting.level import TIME_CONSTANT_BLOCKS, Level
from monitor.core.forecasting.resume import Next, ResumePoints
from monitor.core.learning.gather import Gatherer
from monitor.core.samples.rings import DueBlocks, index_of
from monitor.core.scoring.calibration.calibration import Calibration
from monitor.core.scoring.interval.head import Head
from monitor.core.scoring.judge import Judge, Judgements
from monitor.core.scoring.plausibility import Skip

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
    """(n,) True where the block was scored."""
    skipped: dict[Skip, Bool]
    """(n,) True where the block was not scored, by reason; a block has one reason. A spike takes the block after it
    along, whose forecast it spoiled."""
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
        self._after_spike: Bool = np.zeros(channels, np.bool_)
        self._no_forecast: Bool = np.zeros(channels, np.bool_)  # of the next block, which therefore starts a context
        # Where the last block of the context was not compared, it is kept: a head forecasts the next block from it.
        self._follows: Bool = np.zeros(channels, np.bool_)
        self._before: Float32 = np.zeros((channels, block_samples), np.float32)
        self._without_network: Bool = np.zeros(channels, np.bool_)
        self.judge = Judge(channels, block_samples)
        self.listener: Callable[[ComparedBlocks], None] | None = None
        self.gatherer = Gatherer(channels, block_samples)
        self.points: ResumePoints | None = None
        """Where another process can go on with each channel; None: :meth:`keep_points` was not called."""
        self._resuming: dict[int, tuple[int, Arrays]] = {}  # by row: where it is scored from, and a point or nothing
        self.unforeseen: Int64 = np.zeros(channels, np.int64)
        """(channels,) finite blocks after which the network had no usable forecast, needed or not."""

    def configure(self, rows: Rows, interval_blocks: int, warmup_blocks: int = WARMUP_BLOCKS) -> None:
        """Set the interval and the warm-up of ``rows``, both at least one block; an open interval goes on."""
        self._interval_blocks[rows] = max(1, interval_blocks)
        self._warmup_blocks[rows] = max(1, warmup_blocks)

    def assign(
        self, rows: Rows, calibration: Calibration | None, limit: float = 0.0, *, wrong_rate: bool = False
    ) -> None:
        """Assign a calibration to ``rows``, or remove it; the open interval starts again. See :meth:`Judge.assign`."""
        self.judge.assign(rows, calibration, limit, wrong_rate=wrong_rate)
        self.without_network(rows, calibration is not None and not calibration.head.uses_network)
        self._restart(rows)

    def _restart(self, rows: Rows) -> None:
        """Start the open intervals of ``rows`` again."""
        self.gatherer.reset(rows)
        self._open_blocks[rows] = 0
        # The block before the next one is not kept, so the next one is not scored.
        self._context_blocks[rows] = np.minimum(self._context_blocks[rows], self._warmup_blocks[rows] - 1)

    def learn(self, rows: Rows, head: Head | None, level_mps2: float) -> None:
        """Have the intervals of ``rows`` prepared for learning until the next :meth:`assign`; see :meth:`Judge.learn`.

        While there is no head, a forecast that is unusable costs no context: the head may do without the network.
        """
        bare = rows[~self.judge.calibrated_rows[rows]]
        self.judge.learn(rows, head, level_mps2)
        self.without_network(bare, head is None or not head.uses_network)
        self._restart(bare)

    def without_network(self, rows: Rows, without: bool = True) -> None:
        """Set whether ``rows`` do without the network: a forecast that is unusable then costs them no context."""
        self._without_network[rows] = without

    def keep_points(self) -> ResumePoints:
        """Keep a point of every channel from now on, at the end of each interval."""
        if self.points is None:
            self.points = ResumePoints(self._context_blocks.size, self.level, self.forecaster)
        return self.points

    def resume(self, row: int, at: int, point: Arrays) -> None:
        """Score ``row`` from the stream index ``at`` on, as its process before would have done.

        Args:
            row: the channel, at the start of a context; the blocks before ``at`` are a warm-up.
            at: where the interval begins that was not scored.
            point: one channel of :meth:`ResumePoints.export`; where it does not fit, what the warm-up left is used.
        """
        self._resuming[row] = at, point if self.keep_points().fits(point) else {}

    def renew(self, row: int) -> None:
        """Forget what belongs to the channel that had ``row`` before."""
        self._resuming.pop(row, None)
        if self.points is not None:
            self.points.forget(np.array([row]))

    def reset(self, rows: Rows) -> None:
        """End the context of ``rows``: reset the state, the level, the warm-up and the open interval."""
        self.forecaster.reset(rows)
        self.level.reset(rows)
        self.judge.reset(rows)
        self.gatherer.reset(rows)
        self._context_blocks[rows] = 0
        self._open_blocks[rows] = 0
        self._follows[rows] = False
        self._after_spike[rows] = False
        self._no_forecast[rows] = False

    def process(self, due: DueBlocks, conditions: Float32 | None = None) -> Processed:
        """Take one block of each of some channels: compare it with its forecast, then forecast the next.

        Args:
            due: the blocks, in m/s²; where ``first`` is set, the channel's context starts with the block.
            conditions: (n, names) measured values at the blocks, NaN where not known, with the names that
                ``judge.measured`` was told; None: nothing is known.

        Returns:
            Which blocks were scored, and the intervals that closed. NaN in a block affects its own row only.
        """
        rows, samples = due.rows, due.samples
        if self.gatherer.active:
            self.gatherer.arrived(due)
        if due.first.any():
            self.reset(rows[due.first])
        held = self._resume(due) if self._resuming else None
        high, low = samples.max(axis=1), samples.min(axis=1)
        spikes, renewed = self.level.outside(rows, high, low)
        if renewed.any():
            self.reset(rows[renewed])
        context = self._context_blocks[rows]
        left_out = spikes | self._after_spike[rows]
        no_forecast = self._no_forecast[rows]
        if no_forecast.any():
            self._no_forecast[rows] = False
        scored = (context >= self._warmup_blocks[rows]) & ~left_out
        if held is not None:
            scored &= ~held
        signal = self.level.centre(rows, samples)
        intervals = self._compare(due, signal, high, low, scored, conditions) if scored.any() else None
        if not scored.all():
            self._before[rows[~scored]] = signal[~scored]
        self._follows[rows] = scored
        self._after_spike[rows] = spikes
        units = self.level.update(rows, signal, spikes)
        forecast = self.forecaster.step(units, rows)
        self._context_blocks[rows] = context + 1
        bad = unusable(forecast)
        if bad is not None:
            self._without_forecast(rows, bad, np.isfinite(high) & np.isfinite(low))
            forecast = np.where(bad[:, None], np.float32(0), forecast)
        self._forecast[index_of(rows)] = forecast
        if self.points is not None and intervals is not None:
            self._keep(self.points, intervals)
        warm_up = ~(scored | left_out | no_forecast)
        skipped = {Skip.WARM_UP: warm_up, Skip.SPIKE: left_out, Skip.NO_FORECAST: no_forecast}
        return Processed(scored, skipped, intervals)

    def _resume(self, due: DueBlocks) -> Bool:
        """(n,) True for blocks that were scored before; puts the points in place that are reached."""
        held = np.zeros(due.rows.size, np.bool_)
        for row, (at, point) in list(self._resuming.items()):
            place = int(np.searchsorted(due.rows, row))
            if place == due.rows.size or due.rows[place] != row:
                continue
            start = int(due.start_sample[place])
            held[place] = start < at
            if start >= at:
                del self._resuming[row]
                if point and start == at:
                    self._put_in_place(row, point)
        return held

    def _put_in_place(self, row: int, point: Arrays) -> None:
        assert self.points is not None  # noqa: S101 - resume() made it
        found, rows = self.points.put_in_place(row, point), np.array([row])
        self._forecast[rows], self._before[rows] = found.forecast, found.before
        self._after_spike[rows], self._no_forecast[rows] = False, found.no_forecast
        self._context_blocks[rows] = np.maximum(self._context_blocks[rows], self._warmup_blocks[rows])
        self._follows[rows] = False

    def _keep(self, points: ResumePoints, intervals: Intervals) -> None:
        rows = intervals.rows
        before = self.judge.observations.last(rows)
        points.keep(rows, intervals.end_sample, Next(self._forecast[rows], before, self._no_forecast[rows]))

    def _without_forecast(self, rows: Rows, bad: Bool, finite: Bool) -> None:
        """Reset the rows whose forecast is ``bad``: a NaN would stay in the network's state for good.

        If the channel needs the network, that ends its context, and the next block counts as ``no_forecast``; those
        after it are an ordinary warm-up. Where the samples were not finite, the network is not to blame.
        """
        self.unforeseen[rows[bad & finite]] += 1
        going_on = bad & finite & self._without_network[rows]
        self.forecaster.reset(rows[going_on])
        self.reset(rows[bad & ~going_on])
        self._no_forecast[rows[bad & finite & ~going_on]] = True

    def _compare(
        self, due: DueBlocks, signal: Float32, high: Float32, low: Float32, scored: Bool, conditions: Float32 | None
    ) -> Intervals | None:
        rows, samples, start = due.rows, due.samples, due.start_sample
        if not scored.all():
            rows, samples, start = rows[scored], samples[scored], start[scored]
            signal, high, low = signal[scored], high[scored], low[scored]
            conditions = None if conditions is None else conditions[scored]
        forecast = self._forecast[index_of(rows)] * self.level.rms(rows)[:, None]
        follows = self._follows[rows]
        before = None if follows.all() else self._before[rows]
        batch = ComparedBlocks(
            rows, start, samples, high, low, signal, forecast, self.level.mean(rows), follows, before
        )
        self.judge.add(batch, conditions)
        self.gatherer.add(batch, conditions)
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
        gaps, judgements = self.judge.close(closed, samples_closed)
        end = start[closing] + self.block_samples
        return Intervals(closed, self._interval_start[closed], end, gaps, judgements)
