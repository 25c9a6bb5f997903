"""Backtest: runs recordings through the daemon's pipeline and keeps the scores and alarms.

The results are the same as those of a daemon that receives the recording.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from monitor.core.forecasting.forecaster import CarriedForecaster, Engine
from monitor.core.pipeline import Intervals, Pipeline
from monitor.core.scoring.alarm import State
from monitor.core.scoring.calibration.calibration import Calibration
from monitor.core.scoring.evidence.kinds import KINDS
from monitor.core.scoring.plausibility import REFUSALS
from monitor.offline.block_conditions import BlockConditions
from monitor.offline.calibration_run import Cut
from monitor.offline.drive import due_blocks
from monitor.recording.conditions import Conditions
from monitor.recording.source import Recording


@dataclass(frozen=True)
class Interval:
    """One closed interval of one channel."""

    start_s: float
    """Start in seconds: that of the record (stated, or its index times the record interval), plus the position in
    it."""
    end_s: float
    """End in seconds, as ``start_s``."""
    score: float
    """Score, 1 at the limit; NaN if the interval has none."""
    alarm_state: int
    """0 ok, 1 warning, 2 alarm; -1 without a calibration."""
    gap: float
    """RMS of the residual, in m/s²."""
    gap_ratio: float
    """Residual energy / signal energy."""
    gap_whitened: float
    """Energy of the whitened residual, about 1 when healthy; NaN without a calibration."""
    rms: float
    """RMS of the signal about its running mean, in m/s²."""
    evidence: tuple[float, ...]
    """Score of each kind alone, in the order of ``KINDS``."""
    conditions: dict[str, float]
    """Mean of each measured quantity over the blocks from start to end; NaN if one is not known."""


@dataclass
class ChannelResult:
    """The results of one recording."""

    name: str
    """Name of the recording."""
    sampling_rate_hz: float
    """Sampling rate of the channel."""
    samples: int = 0
    """Samples read, including those of incomplete blocks."""
    blocks_scored: int = 0
    """Blocks compared with their forecast."""
    blocks_skipped: Counter[str] = field(default_factory=Counter)
    """Blocks that were not compared or not scored, by reason."""
    intervals: list[Interval] = field(default_factory=list)
    """Closed intervals in the order of time."""

    def alarms(self) -> list[dict[str, float | None]]:
        """Start, end and peak score of each alarm; the end is None if the alarm did not end."""
        found: list[dict[str, float | None]] = []
        open_alarm: dict[str, float | None] | None = None
        for interval in self.intervals:
            if interval.alarm_state == State.ALARM:
                if open_alarm is None:
                    open_alarm = {"start_s": interval.start_s, "end_s": None, "peak_score": interval.score}
                    found.append(open_alarm)
                if interval.score > (open_alarm["peak_score"] or 0.0):
                    open_alarm["peak_score"] = interval.score
            elif open_alarm is not None:
                open_alarm["end_s"] = interval.start_s
                open_alarm = None
        return found

    def document(self) -> dict[str, object]:
        """The channel's part of the JSON document."""
        alarms = self.alarms()
        return {
            "name": self.name,
            "sampling_rate_hz": self.sampling_rate_hz,
            "duration_s": self.samples / self.sampling_rate_hz,
            "blocks_scored": self.blocks_scored,
            "blocks_skipped": dict(self.blocks_skipped),
            "intervals": len(self.intervals),
            "score": _figures(self, "score", {"median": 50.0, "p95": 95.0, "max": 100.0}),
            "gap_ratio": _figures(self, "gap_ratio", {"median": 50.0}),
            "gap_whitened": _figures(self, "gap_whitened", {"median": 50.0}),
            "alarms": alarms,
            "first_alarm_s": alarms[0]["start_s"] if alarms else None,
        }


def _figures(channel: ChannelResult, name: str, percentiles: dict[str, float]) -> dict[str, float | None]:
    values = np.array([getattr(interval, name) for interval in channel.intervals])
    values = values[np.isfinite(values)]
    return {key: float(np.percentile(values, p)) if values.size else None for key, p in percentiles.items()}


def backtest(
    engine: Engine,
    level_blocks: int,
    recordings: list[Recording],
    how: Cut,
    calibration: Calibration | None,
    false_alarms_per_month: float,
    conditions: Sequence[Conditions] = (),
) -> list[ChannelResult]:
    """Score recordings, each as a separate channel, exactly as the daemon would.

    Args:
        engine: runs the model.
        level_blocks: time constant of the level, from the model.
        recordings: recordings with the same sampling rate.
        how: interval and warm-up; those of the calibration if there is one.
        calibration: calibration of all channels; None for gaps without scores.
        false_alarms_per_month: the false alarm budget of each channel.
        conditions: the measured quantities of each recording; none: there are none.

    Raises:
        RecordingError: reading a recording failed.
    """
    rows = np.arange(len(recordings))
    pipeline = Pipeline(CarriedForecaster(engine, len(recordings)), len(recordings), engine.block_samples, level_blocks)
    pipeline.configure(rows, how.interval_blocks, how.warmup_blocks)
    pipeline.judge.plausibility.without_unit(rows[[recording.unit is None for recording in recordings]])
    if calibration is not None:
        pipeline.assign(rows, calibration, calibration.limit(false_alarms_per_month))
    results = [ChannelResult(recording.name, recording.sampling_rate_hz) for recording in recordings]
    clocks = [_Clock(recording) for recording in recordings]
    known = BlockConditions(conditions, engine.block_samples)
    read: Counter[int] = Counter()
    for due in due_blocks(recordings, engine.block_samples, read):
        known.enter(due)
        values = known.at(due.rows, due.start_sample)
        pipeline.judge.measured.tell(tuple(values))
        processed = pipeline.process(due, np.stack(list(values.values()), axis=1) if values else None)
        for row, start in zip(due.rows[due.first].tolist(), due.start_sample[due.first].tolist(), strict=True):
            clocks[row].enter(start)
        for row in due.rows[processed.scored].tolist():
            results[row].blocks_scored += 1
        for reason, blocks in processed.skipped.items():
            for row in due.rows[blocks].tolist():
                results[row].blocks_skipped[reason] += 1
        if processed.intervals is not None:
            means = _mean_conditions(processed.intervals, known, engine.block_samples)
            _keep(processed.intervals, results, clocks, how.interval_blocks, means)
    for row, result in enumerate(results):
        result.samples = read[row]
    return results


class _Clock:
    """Converts the sample index of a recording to seconds, record by record."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._first = recording.first_record
        self._record = self._first - 1
        self._origin = 0

    def enter(self, start_sample: int) -> None:
        """Go to the next record, whose context starts at ``start_sample``."""
        self._record += 1
        self._origin = start_sample

    def seconds(self, sample: int) -> float:
        """The time of a sample of the current record."""
        start_s = self._recording.record_start_s(max(self._first, self._record))
        return start_s + (sample - self._origin) / self._recording.sampling_rate_hz


def _mean_conditions(intervals: Intervals, known: BlockConditions, block_samples: int) -> list[dict[str, float]]:
    found = []
    for row, start, end in zip(intervals.rows, intervals.start_sample, intervals.end_sample, strict=True):
        blocks = np.arange(start, end, block_samples)
        values = known.at(np.full(blocks.size, row), blocks)
        found.append({name: float(value.mean(dtype=np.float64)) for name, value in values.items()})
    return found


def _keep(
    intervals: Intervals,
    results: list[ChannelResult],
    clocks: list[_Clock],
    interval_blocks: int,
    conditions: list[dict[str, float]],
) -> None:
    gaps, judged = intervals.gaps, intervals.judgements
    for i, row in enumerate(intervals.rows.tolist()):
        if judged.refusal[i]:
            # All blocks of a refused interval count as skipped.
            results[row].blocks_skipped[REFUSALS[judged.refusal[i] - 1]] += interval_blocks
        results[row].intervals.append(
            Interval(
                clocks[row].seconds(int(intervals.start_sample[i])),
                clocks[row].seconds(int(intervals.end_sample[i])),
                float(judged.score[i]),
                int(judged.alarm_state[i]),
                float(gaps.gap_mps2[i]),
                float(gaps.gap_ratio[i]),
                float(judged.gap_whitened[i]),
                float(gaps.rms_mps2[i]),
                tuple(judged.evidence[i].tolist()),
                conditions[i],
            )
        )


COLUMNS = ("channel", "start_s", "score", "alarm_state", "gap", "gap_ratio", "gap_whitened", "rms")
"""Columns of the CSV; the measured quantities follow."""


def csv_rows(results: list[ChannelResult]) -> list[tuple[object, ...]]:
    """The column names, then one row an interval, for all channels; missing values are empty."""
    quantities = next((tuple(one.conditions) for channel in results for one in channel.intervals), ())
    rows: list[tuple[object, ...]] = [(*COLUMNS, *quantities)]
    for channel in results:
        for interval in channel.intervals:
            values = [getattr(interval, column) for column in COLUMNS[1:]]
            values += [interval.conditions[name] for name in quantities]
            shown = ["" if value != value else value for value in values]  # noqa: PLR0124 - NaN
            rows.append((channel.name, *shown))
    return rows


def strongest(interval: Interval) -> str | None:
    """The kind of evidence with the highest score; None without a score."""
    values = np.array(interval.evidence)
    return KINDS[int(values.argmax())].value if np.isfinite(values).all() else None
