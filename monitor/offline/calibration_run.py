"""From healthy recordings to a calibration: the pipeline runs over them, and its residuals are what is learned from.

Refuses to know: how limits are made, what the command line says.
"""

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
"""Warm-up inside a burst. Fewer: the first forecasts, from next to nothing, widen what is normal. More: less of a short
burst is scored."""


@dataclass(frozen=True)
class Cut:
    """How a channel's stream is cut into what is scored together."""

    interval_blocks: int
    """Scored blocks in an interval."""
    warmup_blocks: int
    """Blocks at the start of a context that are not scored."""
    interval_s: float | None
    """From one interval to the next; None: they follow without a pause."""


def cut(recordings: list[Recording], interval_s: float, window_blocks: int, block_samples: int) -> Cut:
    """How recordings are cut: bursts whole, long records into intervals.

    Args:
        recordings: of one channel.
        interval_s: the interval asked for.
        window_blocks: the model's warm-up.
        block_samples: the model's block.

    Returns:
        For records that hold at most two windows of blocks, one interval a record, all its blocks but a short warm-up.
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
    """Collects the scored blocks of each context of some channels."""

    def __init__(self, channels: int) -> None:
        self._contexts: list[list[list[tuple[Float32, Float32, np.float32]]]] = [[] for _ in range(channels)]

    def take(self, batch: Residuals) -> None:
        """Keep a batch of scored blocks."""
        unit = batch.level_mps2[:, None]
        for row, observed, residual, level in zip(
            batch.rows.tolist(), batch.signal / unit, batch.residual / unit, batch.level_mps2, strict=True
        ):
            self._contexts[row][-1].append((observed, residual, level))

    def begin(self, row: int) -> None:
        """A new context of a channel begins."""
        self._contexts[row].append([])

    def healthy(self, row: int) -> list[HealthyContext]:
        """What was collected of a channel."""
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
    """Calibrate channels, each on its healthy recordings, side by side.

    Args:
        engine: runs the model.
        level_blocks: of the model's scaling.
        channels: the recordings of each channel, all at one rate, as many for each.
        how: interval and warm-up.

    Raises:
        RecordingError: too little healthy data, with the amount needed, or data that cannot be healthy.
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
