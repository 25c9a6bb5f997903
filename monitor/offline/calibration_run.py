"""Makes calibrations from healthy recordings: collects the residuals of the daemon's pipeline and learns from them."""

from dataclasses import dataclass

import numpy as np

from monitor.core.arrays import Float32
from monitor.core.forecaster import CarriedForecaster, Engine
from monitor.core.gap import Residuals
from monitor.core.pipeline import Pipeline
from monitor.core.scoring.calibration import Calibration
from monitor.core.scoring.fit import HealthyContext, calibrate
from monitor.offline.drive import due_blocks
from monitor.recording.source import Recording

BURST_WARMUP_BLOCKS = 5
"""Warm-up blocks of a burst. Fewer: the poor first forecasts widen what counts as normal. More: less of a short burst
is scored."""


@dataclass(frozen=True)
class Cut:
    """How a channel's stream is divided into intervals."""

    interval_blocks: int
    """Scored blocks in an interval."""
    warmup_blocks: int
    """Blocks at the start of a context that are not scored."""
    interval_s: float | None
    """Seconds from one interval to the next; None if there is no pause between them."""


def cut(recordings: list[Recording], interval_s: float, window_blocks: int, block_samples: int) -> Cut:
    """Choose interval and warm-up: a burst is one interval, a long record is divided into intervals.

    Args:
        recordings: recordings of one channel.
        interval_s: the requested interval.
        window_blocks: warm-up of the model in blocks.
        block_samples: samples of a block.

    Returns:
        If records have at most two windows of blocks, they are bursts: one interval a record, with a short warm-up.
    """
    rate_hz = recordings[0].sampling_rate_hz
    shortest = min((recording.record_samples or 0) // block_samples for recording in recordings)
    if all(recording.records > 1 for recording in recordings) and 0 < shortest <= 2 * window_blocks:
        warmup = min(BURST_WARMUP_BLOCKS, max(1, shortest // 4))
        first = recordings[0]
        pause_s = first.record_start_s(1) - first.record_start_s(0)
        return Cut(max(1, shortest - warmup), warmup, pause_s if pause_s > 0 else None)
    return Cut(max(1, round(interval_s * rate_hz / block_samples)), window_blocks, None)


class _Contexts:
    """Collects the scored blocks of every context of some channels."""

    def __init__(self, channels: int) -> None:
        self._contexts: list[list[list[tuple[Float32, Float32, np.float32]]]] = [[] for _ in range(channels)]

    def take(self, batch: Residuals) -> None:
        """Add a batch of scored blocks."""
        unit = batch.level_mps2[:, None]
        for row, observed, residual, level in zip(
            batch.rows.tolist(), batch.signal / unit, batch.residual / unit, batch.level_mps2, strict=True
        ):
            self._contexts[row][-1].append((observed, residual, level))

    def begin(self, row: int) -> None:
        """Start a new context of a channel."""
        self._contexts[row].append([])

    def healthy(self, row: int) -> list[HealthyContext]:
        """The collected contexts of a channel."""
        return [
            HealthyContext(
                np.stack([observed for observed, _, _ in context]),
                np.stack([residual for _, residual, _ in context]),
                np.array([level for _, _, level in context], np.float32),
            )
            for context in self._contexts[row]
            if context
        ]


def calibrate_channels(
    engine: Engine, level_blocks: int, channels: list[list[Recording]], how: Cut
) -> list[Calibration]:
    """Calibrate several channels in one run, each on its healthy recordings.

    Args:
        engine: runs the model.
        level_blocks: time constant of the level, from the model.
        channels: the recordings of each channel, with the same rate, and the same number for each.
        how: interval and warm-up.

    Raises:
        RecordingError: there are too few healthy data (the message states how many are needed), or they are unusable.
    """
    collected = _Contexts(len(channels))
    for number in range(max(len(recordings) for recordings in channels)):
        present = [recordings[number] for recordings in channels]
        pipeline = Pipeline(CarriedForecaster(engine, len(present)), len(present), engine.block_samples, level_blocks)
        pipeline.configure(np.arange(len(present)), how.interval_blocks, how.warmup_blocks)
        pipeline.listener = collected.take
        for due in due_blocks(present, engine.block_samples):
            for row in due.rows[due.first].tolist():
                collected.begin(row)
            pipeline.process(due)
    return [
        calibrate(
            collected.healthy(row),
            interval_blocks=how.interval_blocks,
            warmup_blocks=how.warmup_blocks,
            sampling_rate_hz=recordings[0].sampling_rate_hz,
            interval_s=how.interval_s,
            block_samples=engine.block_samples,
        )
        for row, recordings in enumerate(channels)
    ]
